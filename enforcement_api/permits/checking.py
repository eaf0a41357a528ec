"""Checks, however they are asked for: read what was asked, judge, and show the answer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from enforcement_api.database.engine import Record
from enforcement_api.feed import store as feed
from enforcement_api.feed.store import Level
from enforcement_api.permits import store
from enforcement_api.permits.core import UnknownZone
from enforcement_api.problems import N_, Invalid, Problem, translation
from enforcement_api.sites import store as sites
from sync import codec
from sync.entities import Site, Zone
from sync.plates import Plate, UnusableJurisdiction, UnusablePlate
from sync.validity import Check, check

WORDS = {
    "valid": N_("VALID"),
    "pending_activation": N_("NOT YET ACTIVE"),
    "wrong_zone": N_("WRONG ZONE"),
    "not_started": N_("NOT STARTED"),
    "suspended": N_("SUSPENDED"),
    "expired": N_("EXPIRED"),
    "cancelled": N_("CANCELLED"),
    "unknown": N_("UNKNOWN"),
}
"""The words of the verdicts (DOMAIN 2.6)."""


class Forgotten(Problem):
    """What was known then is no longer kept."""

    status = 410
    slug = "forgotten"
    title = N_("What was known then is no longer kept")
    detail = N_("Ask for a sequence number from {horizon} on.")


@dataclass(frozen=True, slots=True)
class Answer:
    """A check, with the level of what it was judged by."""

    check: Check
    site: str
    sequence: int
    fed_at: datetime | None

    def as_json(self) -> str:
        """The answer of CONTRACT, "Checks"."""
        check, judgement = self.check, self.check.judgement
        answer: dict[str, Any] = {
            "verdict": judgement.verdict,
            "plate": check.plate.text,
            "jurisdiction": check.plate.jurisdiction,
            "site": self.site,
            "zone": check.zone.id,
            "at": codec.instant(check.at),
            "changes_at": codec.optional_instant(judgement.changes_at),
            "permits": [codec.permit_record(permit) for permit in judgement.permits],
            "suggestions": [
                {"plate": plate.text, "jurisdiction": plate.jurisdiction}
                for plate in check.suggestions
            ],
            "sequence": self.sequence,
            "fed_at": codec.optional_instant(self.fed_at),
        }
        return codec.json_text(answer)

    def sentence(self, language: str) -> str:
        """The answer for a person."""
        show = translation(language).gettext
        check = self.check
        parts = [f"{check.plate}: {show(WORDS[check.judgement.verdict])}"]
        if check.judgement.changes_at is not None:
            changes_at = codec.instant(check.judgement.changes_at)
            parts.append(show(N_("changes at {at}")).format(at=changes_at))
        if any(permit.is_courtesy for permit in check.judgement.permits):
            parts.append(show(N_("courtesy permit")))
        if check.suggestions:
            plates = ", ".join(map(str, check.suggestions))
            parts.append(show(N_("compare with {plates}")).format(plates=plates))
        return " · ".join(parts)


def parse_plate(text: str, jurisdiction: str) -> Plate:
    """Read a plate that was asked about. Raises Invalid."""
    try:
        return Plate.parse(text, jurisdiction)
    except UnusablePlate:
        detail = N_("is no plate: 2 to 8 of A-Z and 0-9 are needed")
        raise Invalid(errors=[Problem.Error("/query/plate", detail)]) from None
    except UnusableJurisdiction:
        detail = N_("must be a code such as CA-QC")
        raise Invalid(errors=[Problem.Error("/query/jurisdiction", detail)]) from None


def parse_instant(text: str, name: str = "at") -> datetime:
    """Read an instant that was asked about, in a parameter of this name. Raises Invalid."""
    try:
        return codec.parse_instant(text)
    except ValueError:
        detail = N_("must be an instant such as 2026-11-23T15:15:00Z")
        raise Invalid(errors=[Problem.Error(f"/query/{name}", detail)]) from None


def from_record(
    record: Record,
    *,
    site: str,
    zone: str,
    plate: str,
    jurisdiction: str | None,
    at: str | None,
    now: datetime,
    as_known_at: str | None = None,
) -> Answer:
    """Check a plate by the record: any instant, whatever the retention job has removed; with
    `as_known_at` by the permits that were known at that sequence number.

    The same answer as the index gives, or gave, where that may answer. The site's own settings
    and zones are today's. Raises UnknownSite, UnknownZone, Forgotten, Invalid.
    """

    def read(tx: Connection) -> Answer:
        place = Place.find(tx, site, zone)
        wanted = parse_plate(plate, jurisdiction or place.site.jurisdiction)
        known_at = None if as_known_at is None else _sequence(as_known_at, place.level)
        when = now.replace(microsecond=0) if at is None else parse_instant(at)
        return judged(tx, place, wanted, at=when, as_known_at=known_at)

    return record.read(read)


@dataclass(frozen=True, slots=True)
class Place:
    """A zone of a site, and how far the site's feed has come."""

    level: Level
    site: Site
    zone: Zone

    @classmethod
    def find(cls, tx: Connection, site: str, zone: str) -> Place:
        """Raises UnknownSite, UnknownZone."""
        level, plan = feed.level(tx, site), sites.plan(tx, site)
        zones = {each.id: each for each in plan.zones}
        if zone not in zones:
            raise UnknownZone(site=site, zone=zone, zones=", ".join(sorted(zones)))
        return cls(level, plan.site, zones[zone])


def judged(
    tx: Connection, place: Place, plate: Plate, *, at: datetime, as_known_at: int | None
) -> Answer:
    """Check a plate by the record, as it is known now or was at a sequence number.

    Raises Invalid, Forgotten for a number of which not everything is known.
    """
    level, here = place.level, place.site
    if as_known_at is not None:
        check_known(as_known_at, level)
    found = check(
        plate,
        store.permits_for(tx, here.id, plate, as_known_at=as_known_at),
        lambda: store.look_alikes(tx, here.id, plate, as_known_at=as_known_at),
        zone=place.zone,
        at=at,
        retention=here.retention,
    )
    sequence = level.sequence if as_known_at is None else as_known_at
    return Answer(found, here.id, sequence, level.fed_at)


def _sequence(text: str, level: Level) -> int:
    """A sequence number of which everything is still known. Raises Invalid, Forgotten."""
    return check_known(int(text) if re.fullmatch("[0-9]{1,18}", text) else -1, level)


def check_known(sequence: int, level: Level) -> int:
    """The number itself, if everything of it is still known. Raises Invalid, Forgotten."""
    if not 0 <= sequence <= level.sequence:
        detail = N_("must be a sequence number from 0 to {level}")
        error = Problem.Error("/query/as_known_at", detail, level=level.sequence)
        raise Invalid(errors=[error])
    if sequence < level.horizon:
        raise Forgotten(horizon=level.horizon)
    return sequence
