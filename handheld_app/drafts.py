"""An infraction that is being recorded, and what it is about; kept over restarts as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, cast

from handheld_app.evidence import WANTED, Photo, Refusal, Shows
from handheld_app.locating import Position
from sync import codec
from sync.clock import ClockReading
from sync.entities import InfractionCode, Outcome, Site, Vehicle, Zone
from sync.messages import Digest
from sync.plates import Plate
from sync.replica import State
from sync.validity import Check, Judgement, Verdict

PlateSource = Literal["typed", "scanned"]


@dataclass(frozen=True, slots=True)
class Sighting:
    """One check as it was made: the answer, and what the handheld knew when it gave it."""

    raw: str
    site: Site
    check: Check
    state: State
    known_at: datetime | None
    clock: ClockReading

    @property
    def plate(self) -> Plate:
        return self.check.plate

    @property
    def at(self) -> datetime:
        """The instant judged: the service's time, as well as this device knows it."""
        return self.check.at

    @property
    def verdict(self) -> Verdict:
        return self.check.judgement.verdict


@dataclass(frozen=True, slots=True)
class Unjudged:
    """A plate that was read, and of which nothing is known now."""

    raw: str
    plate: Plate


@dataclass
class Draft:
    """An infraction that is being recorded, about what was checked, about a plate that could not
    be judged, or, without `sighting` and `unjudged`, about a vehicle with no readable plate.

    `begun`, `server` and `state`: when, for which service, and what was known then. `site`, `zone`
    and `known_codes` are as they were then: it is of that place, also when the device is revoked
    meanwhile and its copy is wiped, or when it is enrolled for another site.
    """

    id: str
    begun: ClockReading
    sighting: Sighting | None
    unjudged: Unjudged | None = None
    server: str = ""
    state: State | None = None
    site: Site | None = None
    zone: Zone | None = None
    known_codes: Sequence[InfractionCode] = ()
    codes: list[str] = field(default_factory=list)
    outcome: Outcome = "notice"
    no_issue_reason: str | None = None
    plate_missing_reason: str | None = None
    note: str = ""
    photos: list[Photo] = field(default_factory=list)
    expected: list[Shows] = field(default_factory=list)
    photo_refused: Refusal | None = None
    stale_accepted: bool = False
    faces_accepted: bool = False
    source: PlateSource = "typed"
    lot: str | None = None
    place: str = ""
    position: Position | None = None
    vehicle: Vehicle | None = None

    @property
    def plate(self) -> Plate | None:
        """The vehicle's plate, if it was read."""
        if self.sighting is not None:
            return self.sighting.plate
        return self.unjudged.plate if self.unjudged is not None else None

    def decide(self, outcome: Outcome) -> None:
        """Another outcome; what was accepted for the one before is asked anew."""
        self.outcome = outcome
        self.stale_accepted = False

    @property
    def photos_pending(self) -> int:
        """How many photos were taken and are not kept yet."""
        return len(self.expected)

    def next_shows(self) -> Shows:
        """What the next photo is to show: the first that none shows yet."""
        shown = {photo.shows for photo in self.photos} | set(self.expected)
        return next((shows for shows in WANTED if shows not in shown), "other")

    def expect_photo(self, shows: Shows = "other") -> None:
        """A photo was chosen and is being kept; until then nothing is recorded without it."""
        self.expected.append(shows)
        self.photo_refused = None

    def keep_photo(self, photo: Photo) -> None:
        """The photo that was expected is kept; the same picture is there once only."""
        if photo.shows in self.expected:
            self.expected.remove(photo.shows)
        if photo.sha256 not in {known.sha256 for known in self.photos}:
            self.photos.append(photo)
            self.faces_accepted = self.faces_accepted and not photo.faces

    def miss_photo(self, reason: Refusal, shows: Shows = "other") -> None:
        """The photo that was expected does not come, and why."""
        self.expected.remove(shows)
        self.photo_refused = reason

    def remove_photo(self, photo: Photo) -> None:
        """Leave a photo out after all."""
        self.photos.remove(photo)
        self.faces_accepted = False

    def label_photo(self, photo: Photo, shows: Shows) -> None:
        """Say what a photo shows."""
        self.photos[self.photos.index(photo)] = replace(photo, shows=shows)

    def frozen(self) -> Draft:
        """The draft as it is now, for recording: what changes later changes nothing in it."""
        return replace(
            self,
            codes=list(self.codes),
            photos=list(self.photos),
            expected=list(self.expected),
        )


# As JSON, for the notebook


def as_json(draft: Draft) -> dict[str, Any]:
    """The draft as it is kept. A photo that is still on its way is not in it."""
    return {
        "id": draft.id,
        "begun": _clock_json(draft.begun),
        "sighting": draft.sighting and sighting_json(draft.sighting),
        "unjudged": draft.unjudged and [draft.unjudged.raw, *_plate_json(draft.unjudged.plate)],
        "server": draft.server,
        "state": draft.state and _state_json(draft.state),
        "site": draft.site and codec.change_of(draft.site).record,
        "zone": draft.zone and codec.change_of(draft.zone).record,
        "known_codes": [codec.change_of(code).record for code in draft.known_codes],
        "codes": list(draft.codes),
        "outcome": draft.outcome,
        "no_issue_reason": draft.no_issue_reason,
        "plate_missing_reason": draft.plate_missing_reason,
        "note": draft.note,
        "photos": [
            {
                "sha256": photo.sha256,
                "bytes": photo.bytes,
                "taken_at": photo.taken_at.isoformat(),
                "path": str(photo.path),
                "shows": photo.shows,
                "faces": photo.faces,
            }
            for photo in draft.photos
        ],
        "stale_accepted": draft.stale_accepted,
        "faces_accepted": draft.faces_accepted,
        "source": draft.source,
        "lot": draft.lot,
        "place": draft.place,
        "position": draft.position
        and draft.position.as_json() | {"at": draft.position.at.isoformat()},
        "vehicle": draft.vehicle and [draft.vehicle.make, draft.vehicle.colour],
    }


def from_json(kept: Mapping[str, Any]) -> Draft:
    """What `as_json` gave. Raises MalformedDraft of anything else."""
    try:
        return _draft(kept)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MalformedDraft(f"the draft cannot be read: {error!r}") from error


class MalformedDraft(ValueError):
    """What was kept is no draft of this version of the program."""


def _draft(r: Mapping[str, Any]) -> Draft:
    position, vehicle, unjudged = r["position"], r["vehicle"], r["unjudged"]
    return Draft(
        id=str(r["id"]),
        begun=_clock(r["begun"]),
        sighting=None if r["sighting"] is None else sighting_from_json(r["sighting"]),
        unjudged=None if unjudged is None else Unjudged(unjudged[0], Plate(*unjudged[1:])),
        server=r["server"],
        state=None if r["state"] is None else _state(r["state"]),
        site=None if r["site"] is None else cast(Site, codec.entity("site", r["site"])),
        zone=None if r["zone"] is None else cast(Zone, codec.entity("zone", r["zone"])),
        known_codes=[cast(InfractionCode, codec.entity("code", one)) for one in r["known_codes"]],
        codes=list(r["codes"]),
        outcome=r["outcome"],
        no_issue_reason=r["no_issue_reason"],
        plate_missing_reason=r["plate_missing_reason"],
        note=r["note"],
        photos=[
            Photo(
                sha256=one["sha256"],
                bytes=one["bytes"],
                taken_at=datetime.fromisoformat(one["taken_at"]),
                path=Path(one["path"]),
                shows=one["shows"],
                faces=one["faces"],
            )
            for one in r["photos"]
        ],
        stale_accepted=r["stale_accepted"],
        faces_accepted=r["faces_accepted"],
        source=r["source"],
        lot=r["lot"],
        place=r["place"],
        position=position
        and Position(
            position["lat"],
            position["lon"],
            position["accuracy_m"],
            datetime.fromisoformat(position["at"]),
        ),
        vehicle=vehicle and Vehicle(*vehicle),
    )


def sighting_json(sighting: Sighting) -> dict[str, Any]:
    """A check as it is kept."""
    check = sighting.check
    return {
        "raw": sighting.raw,
        "site": codec.change_of(sighting.site).record,
        "plate": _plate_json(check.plate),
        "zone": codec.change_of(check.zone).record,
        "at": check.at.isoformat(),
        "verdict": check.judgement.verdict,
        "permits": [codec.permit_record(permit) for permit in check.judgement.permits],
        "changes_at": codec.optional_instant(check.judgement.changes_at),
        "suggestions": [_plate_json(plate) for plate in check.suggestions],
        "state": _state_json(sighting.state),
        "known_at": codec.optional_instant(sighting.known_at),
        "clock": _clock_json(sighting.clock),
    }


def sighting_from_json(r: Mapping[str, Any]) -> Sighting:
    """What `sighting_json` gave. Raises KeyError, TypeError or ValueError of anything else."""
    judgement = Judgement(
        r["verdict"],
        tuple(codec.permit(one) for one in r["permits"]),
        codec.parse_optional_instant(r["changes_at"]),
    )
    check = Check(
        Plate(*r["plate"]),
        cast(Zone, codec.entity("zone", r["zone"])),
        datetime.fromisoformat(r["at"]),
        judgement,
        tuple(Plate(*one) for one in r["suggestions"]),
    )
    return Sighting(
        raw=r["raw"],
        site=cast(Site, codec.entity("site", r["site"])),
        check=check,
        state=_state(r["state"]),
        known_at=codec.parse_optional_instant(r["known_at"]),
        clock=_clock(r["clock"]),
    )


def _plate_json(plate: Plate) -> list[str]:
    return [plate.text, plate.jurisdiction]


def _state_json(state: State) -> dict[str, Any]:
    return {
        "epoch": state.epoch,
        "cursor": state.cursor,
        "sequence": state.sequence,
        "digest": [state.digest.count, state.digest.sum],
        "fed_at": codec.optional_instant(state.fed_at),
        "server_time": codec.instant(state.server_time),
    }


def _state(r: Mapping[str, Any]) -> State:
    return State(
        epoch=r["epoch"],
        cursor=r["cursor"],
        sequence=r["sequence"],
        digest=Digest(*r["digest"]),
        fed_at=codec.parse_optional_instant(r["fed_at"]),
        server_time=codec.parse_instant(r["server_time"]),
    )


def _clock_json(clock: ClockReading) -> dict[str, Any]:
    return {
        "device_time": clock.device_time.isoformat(),
        "corrected": clock.corrected.isoformat(),
        "offset": clock.offset.total_seconds(),
        "uncertainty": None if clock.uncertainty is None else clock.uncertainty.total_seconds(),
        "jumped": clock.jumped,
    }


def _clock(r: Mapping[str, Any]) -> ClockReading:
    uncertainty = r["uncertainty"]
    return ClockReading(
        datetime.fromisoformat(r["device_time"]),
        datetime.fromisoformat(r["corrected"]),
        timedelta(seconds=r["offset"]),
        None if uncertainty is None else timedelta(seconds=uncertainty),
        r["jumped"],
    )
