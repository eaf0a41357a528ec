"""An infraction: what a device sends, what is flagged about it, how it is shown. Pure."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from enforcement_api.audit.core import Entry
from enforcement_api.figures.core import Counted
from enforcement_api.infractions.attention import Reason
from enforcement_api.problems import N_, Invalid, Problem, error_of
from enforcement_api.shapes import (
    JURISDICTION_PATTERN,
    Instant,
    NotAPageCursor,
    mended,
    mended_id,
    page_cursor,
    page_position,
)
from sync import codec
from sync.entities import Notice, Outcome
from sync.plates import LONGEST_RAW, Plate, UnusablePlate, check_jurisdiction
from sync.validity import VERDICTS, Verdict

State = Literal[
    "received",
    "information_requested",
    "confirmed",
    "voided",
    "paid",
    "contested",
    "upheld",
    "cancelled",
]
STATES: tuple[State, ...] = get_args(State)

Placed = Literal["known", "lost", "unknown"]
"""What the record can say of a device's cursor: it holds what the device knew; it did, until a
restore lost it; it never heard of such a cursor."""

Shows = Literal["plate", "context", "sign"]
"""What a photo is of, if the patroller said so."""

CLOCK_TOLERANCE = timedelta(minutes=5)
"""How far in the future an observation may lie before it is flagged."""

_MOST_ERRORS = 50
LAST_SECOND = 253_402_300_800  # the year 10000
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


class InfractionConflict(Problem):
    """The id was used for something else."""

    status = 409
    slug = "infraction-conflict"
    title = N_("Another infraction was received under this id")
    detail = N_(
        "What was received first stays unchanged. Record a correction as a new infraction,"
        " with an id of its own."
    )


class UnknownInfraction(Problem):
    """No such infraction."""

    status = 404
    slug = "unknown-infraction"
    title = N_("There is no such infraction")
    detail = N_("Check the id {id}; GET /v1/infractions lists those that were received.")


# What a device sends


def _mended(value: object) -> object:
    return mended(value) if isinstance(value, str) else value


def _mended_id(value: object) -> object:
    return mended_id(value) if isinstance(value, str) else value


def _plate(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return Plate.parse(value[: LONGEST_RAW + 1], "CA-QC").text
    except UnusablePlate:
        raise ValueError(N_("is no plate: 2 to 8 letters and digits are needed")) from None


def _jurisdiction(value: str) -> str:
    try:
        return check_jurisdiction(value)
    except ValueError:
        raise ValueError(N_("is no jurisdiction code such as CA-QC")) from None


def _sha256(value: str) -> str:
    if not re.fullmatch("[0-9a-fA-F]{64}", value):
        raise ValueError(N_("must be a SHA-256 in 64 hexadecimal digits"))
    return value.lower()


def _verdict(value: object) -> object:
    if value not in VERDICTS:
        raise ValueError(N_("must be a verdict such as valid or unknown, or null"))
    return value


def _outcome(value: object) -> object:
    if value not in get_args(Outcome):
        raise ValueError(N_("must be notice, warning or no_issue"))
    return value


def _shows(value: object) -> object:
    if value not in get_args(Shows):
        raise ValueError(N_("must be plate, context or sign"))
    return value


def _plate_source(value: object) -> object:
    if value not in ("typed", "scanned", "none"):
        raise ValueError(N_("must be typed, scanned or none"))
    return value


def _description(value: object) -> object:
    """A vehicle as the patroller saw it: a flat object, whatever its fields."""
    told = N_("must be an object of at most 20 short texts and numbers")
    if not isinstance(value, dict) or len(value) > 20:
        raise ValueError(told)
    described: dict[str, str | int | float | bool | None] = {}
    for name, fact in value.items():
        is_text = isinstance(fact, str) and len(fact) <= 200
        is_number = isinstance(fact, int | float) and abs(fact) < 1 << 53 and math.isfinite(fact)
        if len(name) > 50 or not (fact is None or is_text or is_number):
            raise ValueError(told)
        kept = mended(fact if is_text else str(fact))
        described[mended(name)] = kept if is_text or kept != str(fact) else fact
    return described


_Clean = BeforeValidator(_mended)
_CleanId = BeforeValidator(_mended_id)
Name = Annotated[str, Field(min_length=1, max_length=100), _Clean]
Words = Annotated[str, Field(max_length=500), _Clean]
Note = Annotated[str, Field(max_length=10_000), _Clean]
Opaque = Annotated[str, Field(max_length=1000), _Clean]
PlateText = Annotated[str, BeforeValidator(_plate, json_schema_input_type=str)]
Jurisdiction = Annotated[
    str,
    AfterValidator(_jurisdiction),
    _Clean,
    Field(json_schema_extra={"pattern": JURISDICTION_PATTERN}),
]
Sha256 = Annotated[
    str,
    AfterValidator(_sha256),
    Field(json_schema_extra={"pattern": "^[0-9A-Fa-f]{64}$"}),
]
Whole = Annotated[int, Field(ge=-(1 << 63), le=(1 << 63) - 1)]
Size = Annotated[int, Field(ge=0, le=(1 << 63) - 1)]
Metres = Annotated[float, Field(ge=0, le=1e8, allow_inf_nan=False)]
Latitude = Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)]
Longitude = Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)]


class _Sent(BaseModel):
    # Fields that are not known here are left out, and flagged: a newer handheld may send more.
    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class Position(_Sent):
    """Where the vehicle stood, by GPS, and how sure that is."""

    lat: Latitude
    lon: Longitude
    accuracy_m: Metres | None = None


class KnownVehicle(_Sent):
    """What the index says of a permit's vehicle."""

    make: Words | None = None
    colour: Words | None = None


class KnownPermit(_Sent):
    """A permit behind the verdict, as the device had it."""

    # Its id and its number stay as a feeder gave them: see FeederId.
    id: Annotated[str, Field(min_length=1, max_length=200), _CleanId]
    plate: PlateText
    jurisdiction: Jurisdiction
    zones: Annotated[list[Name], Field(max_length=1000)]
    permit_number: Annotated[str, Field(max_length=500), _CleanId]
    starts_at: Instant
    ends_at: Instant | None
    active_from: Instant
    status: Name
    vehicle: KnownVehicle | None


class Photo(_Sent):
    """A photo, hashed when it was taken. It comes by itself (PUT /v1/photos/{sha256})."""

    sha256: Sha256
    bytes: Size
    taken_at: Instant
    shows: Annotated[Shows, BeforeValidator(_shows, json_schema_input_type=Shows)] | None = None


_ADDED = ("clock_uncertainty_ms", "clock_jumped")
"""Fields that the first version did not have."""


class InfractionIn(_Sent):
    """What a patroller recorded, and what the device knew (CONTRACT, "Infractions")."""

    site: Name
    zone: Name
    lot: Name | None = None
    place: Words | None = None
    position: Position | None = None
    plate: PlateText | None
    jurisdiction: Jurisdiction | None = None
    plate_raw: Words = ""
    plate_source: Annotated[
        Literal["typed", "scanned", "none"],
        BeforeValidator(_plate_source, json_schema_input_type=Literal["typed", "scanned", "none"]),
    ]
    plate_missing_reason: Words | None = None
    vehicle: (
        Annotated[
            dict[str, str | int | float | bool | None],
            BeforeValidator(_description, json_schema_input_type=dict[str, str | int | None]),
        ]
        | None
    ) = None
    codes: Annotated[list[Name], Field(max_length=50)]
    outcome: Annotated[Outcome, BeforeValidator(_outcome, json_schema_input_type=Outcome)]
    no_issue_reason: Words | None = None
    number: Name | None = None
    patroller: Name
    shift: Name | None = None
    observed_at: Instant
    device_time: Instant
    clock_offset_ms: Whole
    clock_uncertainty_ms: Size | None = None
    clock_jumped: bool | None = None
    verdict: Annotated[Verdict, BeforeValidator(_verdict, json_schema_input_type=Verdict)] | None
    epoch: Opaque
    cursor: Opaque
    known: Annotated[list[KnownPermit], Field(max_length=5000)]
    note: Note | None = None
    photos: Annotated[list[Photo], Field(max_length=100)]

    def hash(self) -> str:
        """The same for the same content, however it is written down."""
        content = self.model_dump(mode="json")
        for name in _ADDED:
            if content[name] is None:
                del content[name]  # so that what was received before has the hash it had
        for photo in content["photos"]:
            if photo["shows"] is None:
                del photo["shows"]  # likewise
        return hashlib.sha256(codec.canonical(content).encode()).hexdigest()

    def plate_at(self, jurisdiction: str) -> Plate | None:
        """The plate; of this jurisdiction unless it says another (DOMAIN 3.1)."""
        return None if self.plate is None else Plate(self.plate, self.jurisdiction or jurisdiction)


EXAMPLE: Mapping[str, Any] = {
    "site": "1085",
    "zone": "G1",
    "lot": "P3",
    "place": "rangée C, près de la borne",
    "position": {"lat": 45.41, "lon": -71.88, "accuracy_m": 6.5},
    "plate": "ABC123",
    "jurisdiction": "CA-QC",
    "plate_raw": "ABC 123",
    "plate_source": "typed",
    "vehicle": {"make": "Acura", "colour": "rouge"},
    "codes": ["P01"],
    "outcome": "notice",
    "patroller": "42",
    "observed_at": "2026-11-23T15:15:00Z",
    "device_time": "2026-11-23T15:14:58Z",
    "clock_offset_ms": 2000,
    "clock_uncertainty_ms": 540,
    "clock_jumped": False,
    "verdict": "unknown",
    "epoch": "3f0c1d2e4a5b",
    "cursor": "MSAzZjBjMWQyZTRhNWIgMTIgMTA4NQ",
    "known": [],
    "note": "pare-brise déneigé, aucun permis affiché",
    "photos": [
        {"sha256": "9f86d08188" + "0" * 54, "bytes": 812345, "taken_at": "2026-11-23T15:14:40Z"}
        | {"shows": "plate"}
    ],
}

RECEIPT_EXAMPLE: Mapping[str, Any] = {
    "id": "01939a7e-5c1b-7c7e-8f5e-3a1d2b4c5d6e",
    "received_at": "2026-11-23T15:20:00Z",
    "state": "received",
    "recheck": {"verdict": "valid", "differs": True},
    "photos_missing": ["9f86d08188" + "0" * 54],
    "warnings": ["unknown-lot"],
    "epoch": "3f0c1d2e4a5b",
}


_PHOTO = "9f86d08188" + "0" * 54
LOG_EXAMPLE: dict[str, Any] = {
    "id": RECEIPT_EXAMPLE["id"],
    **{name: value for name, value in EXAMPLE.items() if name not in ("known", "photos")},
    "plate_missing_reason": None,
    "no_issue_reason": None,
    "number": None,
    "shift": None,
    "photos": [
        {
            "sha256": _PHOTO,
            "bytes": 812345,
            "taken_at": "2026-11-23T15:14:40Z",
            "shows": "plate",
            "present": False,
            "url": f"/v1/photos/{_PHOTO}",
        }
    ],
    "complete": False,
    "known": {"verdict": "unknown", "epoch": EXAMPLE["epoch"], "cursor": EXAMPLE["cursor"]}
    | {"permits": []},
    "recheck": {"verdict": "valid", "differs": True, "at": "2026-11-23T15:20:00Z"},
    "device": "0b6f6c0e-5a4e-4f0e-9d0a-1f2f3a4b5c6d",
    "after_revocation": False,
    "received_at": "2026-11-23T15:20:00Z",
    "state": "received",
    "decision_reason": None,
    "verdicts": {"device": "unknown", "cursor": "unknown", "cursor_reason": None, "now": "valid"},
    "warnings": ["unknown-lot"],
}
"""An infraction as the log shows it."""

WHOLE_EXAMPLE: dict[str, Any] = {
    **LOG_EXAMPLE,
    "recheck": {**LOG_EXAMPLE["recheck"], "permits": []},
    "reviews": [],
    "history": [
        {
            "at": "2026-11-23T15:20:00Z",
            "event": "received",
            "state": "received",
            "by": "0b6f6c0e-5a4e-4f0e-9d0a-1f2f3a4b5c6d",
            "facts": {},
        }
    ],
}
"""An infraction by itself."""


def _no_such_number(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


@dataclass(frozen=True, slots=True)
class Upload:
    """A body that could be read, and whether it said more than is known here."""

    sent: InfractionIn
    has_unknown_fields: bool


def read(body: bytes) -> Upload:
    """The infraction in a body. Raises Invalid, with a pointer to each thing wrong."""
    try:
        message = json.loads(body.decode("utf-8-sig"), parse_constant=_no_such_number)
        sent = InfractionIn.model_validate(message)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[:_MOST_ERRORS]
        raise Invalid(errors=[error_of(one) for one in found]) from error
    except (ValueError, RecursionError) as error:
        raise Invalid(errors=[Problem.Error("", N_("is not JSON"))]) from error
    return Upload(sent, not set(message) <= set(InfractionIn.model_fields))


def is_uuid(text: str) -> bool:
    """Whether a text is a UUID, of any version."""
    return _UUID.fullmatch(text) is not None


def infraction_id(text: str) -> str:
    """The id in its one form. Any version of UUID is taken: only that it is unique matters here.

    Raises Invalid.
    """
    if not is_uuid(text):
        told = N_("must be a UUID such as 01939a7e-5c1b-7c7e-8f5e-3a1d2b4c5d6e")
        raise Invalid(errors=[Problem.Error("/path/id", told)])
    return text.lower()


def photo_name(text: str) -> str:
    """The SHA-256 that a photo is named by, in its one form. Raises Invalid."""
    try:
        return _sha256(text)
    except ValueError as error:
        raise Invalid(errors=[Problem.Error("/path/sha256", str(error))]) from None


# What is flagged


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the record knows of the things that an infraction names."""

    zone: bool
    lot: bool
    codes: Mapping[str, bool]
    """The site's codes among those named, and whether each is active."""
    patroller: bool
    cursor: Placed
    number: bool
    """Whether the number lies in a block that was given out."""
    number_is_anothers: bool
    """Whether that block is another device's."""
    number_is_used: bool
    cursor_verdict: str | None
    """What a replica at the device's cursor says; None when nobody can tell."""


def warnings_of(upload: Upload, known: Surroundings, received_at: datetime) -> list[str]:
    """What a supervisor should look at, as stable slugs; none of it is a reason to refuse."""
    sent = upload.sent
    flags = {
        "unknown-zone": not known.zone,
        "unknown-lot": sent.lot is not None and not known.lot,
        "unknown-code": any(code not in known.codes for code in sent.codes),
        "inactive-code": any(known.codes.get(code) is False for code in sent.codes),
        "no-code": not sent.codes and sent.outcome != "no_issue",
        "unknown-patroller": not known.patroller,
        "unknown-cursor": known.cursor == "unknown",
        "lost-cursor": known.cursor == "lost",
        "unknown-number": sent.number is not None and not known.number,
        "number-of-another-device": known.number_is_anothers,
        "number-used-twice": known.number_is_used,
        "plate-without-source": sent.plate is not None and sent.plate_source == "none",
        "source-without-plate": sent.plate is None and sent.plate_source != "none",
        "no-plate-reason": sent.plate is None and not sent.plate_missing_reason,
        "no-issue-reason": sent.outcome == "no_issue" and not sent.no_issue_reason,
        "verdict-not-as-known": differs(sent.verdict, known.cursor_verdict),
        "clock-jumped": bool(sent.clock_jumped),
        "observed-in-future": sent.observed_at > received_at + CLOCK_TOLERANCE,
        "unknown-field": upload.has_unknown_fields,
    }
    return [slug for slug, holds in flags.items() if holds]


def differs(given: str | None, known_now: str | None) -> bool:
    """Whether the device's verdict is not the one that is known now (DOMAIN 5, "Re-check")."""
    return given is not None and known_now is not None and given != known_now


# How it is shown


@dataclass(frozen=True, slots=True)
class Infraction:
    """An infraction in the record: what was sent, and what became of it."""

    id: str
    sent: InfractionIn
    plate: Plate | None
    device: str
    after_revocation: bool
    received_at: datetime
    state: str
    decision_reason: str | None
    warnings: Sequence[str]
    cursor_verdict: str | None
    recheck_verdict: str | None
    differs: bool
    rechecked_at: datetime | None
    photos_present: frozenset[str]
    day: date
    """The date at the site on which it was observed: the one that figures count it under."""
    attention: Sequence[str] = ()
    """Why a supervisor should see it (attention.REASONS), the weightiest first."""
    review_rank: int | None = None
    """Its place among what waits for a supervisor, the lowest first; None once it is decided."""

    @property
    def cursor_reason(self) -> str | None:
        """Why nobody can tell what a replica at the device's cursor says; None: it is told, or
        there is no plate to judge. What is not flagged was known, and is no longer kept.
        """
        if self.cursor_verdict is not None or self.plate is None:
            return None
        flags = ("unknown-cursor", "lost-cursor")
        return next((flag for flag in flags if flag in self.warnings), "forgotten-cursor")

    @property
    def photos_missing(self) -> tuple[str, ...]:
        """The photos that have not come yet, each once."""
        named = dict.fromkeys(photo.sha256 for photo in self.sent.photos)
        return tuple(sha256 for sha256 in named if sha256 not in self.photos_present)

    @property
    def is_complete(self) -> bool:
        """Whether all its photos are there."""
        return not self.photos_missing

    def counted(self) -> Counted:
        """What figures count it under."""
        sent = self.sent
        return Counted(
            site=sent.site,
            day=self.day,
            zone=sent.zone,
            lot=sent.lot,
            codes=sent.codes,
            patroller=sent.patroller,
            outcome=sent.outcome,
        )

    def notice(self) -> Notice:
        """What handhelds are told of it."""
        return Notice(
            id=self.id,
            plate=self.plate,
            codes=tuple(self.sent.codes),
            zone=self.sent.zone,
            observed_at=self.sent.observed_at,
            outcome=self.sent.outcome,
            number=self.sent.number,
            patroller=self.sent.patroller,
            state=self.state,
            decision_reason=self.decision_reason,
        )

    def as_json(self) -> dict[str, Any]:
        """The infraction as the log shows it: every field that was sent, and what became of it."""
        sent = self.sent.model_dump(mode="json", exclude={"known", "photos"})
        return {
            "id": self.id,
            **sent,
            "jurisdiction": self.sent.jurisdiction or (self.plate and self.plate.jurisdiction),
            "photos": [
                {
                    "sha256": photo.sha256,
                    "bytes": photo.bytes,
                    "taken_at": codec.instant(photo.taken_at),
                    "shows": photo.shows,
                    "present": photo.sha256 in self.photos_present,
                    "url": f"/v1/photos/{photo.sha256}",
                }
                for photo in self.sent.photos
            ],
            "complete": self.is_complete,
            "known": {
                "verdict": self.sent.verdict,
                "epoch": self.sent.epoch,
                "cursor": self.sent.cursor,
                "permits": [permit.model_dump(mode="json") for permit in self.sent.known],
            },
            "recheck": {
                "verdict": self.recheck_verdict,
                "differs": self.differs,
                "at": codec.optional_instant(self.rechecked_at),
            },
            "device": self.device,
            "after_revocation": self.after_revocation,
            "received_at": codec.instant(self.received_at),
            "state": self.state,
            "decision_reason": self.decision_reason,
            "verdicts": {
                "device": self.sent.verdict,
                "cursor": self.cursor_verdict,
                "cursor_reason": self.cursor_reason,
                "now": self.recheck_verdict,
            },
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True, slots=True)
class Event:
    """A line of an infraction's history."""

    at: datetime
    event: str
    state: str
    by: str
    facts: Mapping[str, Any]

    @classmethod
    def of(cls, entry: Entry) -> Event:
        """The line that an entry of the log is."""
        facts = dict(entry.facts)
        return cls(entry.at, entry.action, facts.pop("state"), entry.by, facts)

    def entry(self, subject: str) -> Entry:
        """The line as an entry of the log."""
        return Entry(self.at, self.by, self.event, subject, {"state": self.state, **self.facts})

    def as_json(self) -> dict[str, Any]:
        """The line as it is shown."""
        return {
            "at": codec.instant(self.at),
            "event": self.event,
            "state": self.state,
            "by": self.by,
            "facts": dict(self.facts),
        }


# What is asked of the log

Order = Literal["received_at", "-received_at", "observed_at", "-observed_at"]
ORDERS: tuple[Order, ...] = get_args(Order)


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the log in one order: after this infraction."""

    order: Order
    at: datetime
    id: str

    def __str__(self) -> str:
        return page_cursor(self.order, int(self.at.timestamp()), self.id)

    @classmethod
    def parse(cls, text: str, *, order: Order) -> Place:
        """Read a cursor of the log in this order. Raises NotAPageCursor."""
        of_order, seconds, id = page_position(text, str, int, str)
        if of_order != order or not 0 <= seconds < LAST_SECOND or not is_uuid(id):
            raise NotAPageCursor
        return cls(order, datetime.fromtimestamp(seconds, UTC), id)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which infractions, in which order. An empty tuple and None let everything through."""

    sites: tuple[str, ...]
    zones: tuple[str, ...] = ()
    lots: tuple[str, ...] = ()
    plates: tuple[str, ...] = ()
    looks_like: tuple[str, ...] = ()
    """Plates, normalised: those that may be read for one of them count as well (DOMAIN 3.5)."""
    numbers: tuple[str, ...] = ()
    patrollers: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()
    reasons: tuple[Reason, ...] = ()
    """Why a supervisor should see them: what is decided has none."""
    differs: bool | None = None
    begins: datetime | None = None
    ends: datetime | None = None
    words: str | None = None
    order: Order = "-received_at"

    @property
    def is_descending(self) -> bool:
        """Whether the newest comes first."""
        return self.order.startswith("-")

    @property
    def column(self) -> str:
        """The instant that the order goes by."""
        return self.order.removeprefix("-")

    def place_of(self, infraction: Infraction) -> Place:
        """Where the infraction stands in this order."""
        by_receipt = self.column == "received_at"
        at = infraction.received_at if by_receipt else infraction.sent.observed_at
        return Place(self.order, at, infraction.id)
