"""Checks, however they are asked for: read what was asked, judge, and show the answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from enforcement_api.database.engine import Record
from enforcement_api.feed import store as feed
from enforcement_api.permits import store
from enforcement_api.permits.core import UnknownZone
from enforcement_api.problems import N_, Invalid, Problem, translation
from enforcement_api.sites import store as sites
from sync import codec
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


def parse_instant(text: str) -> datetime:
    """Read an instant that was asked about. Raises Invalid."""
    try:
        return codec.parse_instant(text)
    except ValueError:
        detail = N_("must be an instant such as 2026-11-23T15:15:00Z")
        raise Invalid(errors=[Problem.Error("/query/at", detail)]) from None


def from_record(
    record: Record,
    *,
    site: str,
    zone: str,
    plate: str,
    jurisdiction: str | None,
    at: str | None,
    now: datetime,
) -> Answer:
    """Check a plate by the record: any instant, whatever the retention job has removed.

    The same answer as the index gives, where that may answer. Raises UnknownSite, UnknownZone,
    Invalid.
    """

    def read(tx: Connection) -> Answer:
        level = feed.level(tx, site)
        here = sites.site(tx, site)
        zones = {z.id: z for z in sites.plan(tx, site).zones}
        if zone not in zones:
            raise UnknownZone(site=site, zone=zone, zones=", ".join(sorted(zones)))
        wanted = parse_plate(plate, jurisdiction or here.jurisdiction)
        found = check(
            wanted,
            store.permits_for(tx, site, wanted),
            lambda: store.look_alikes(tx, site, wanted),
            zone=zones[zone],
            at=now.replace(microsecond=0) if at is None else parse_instant(at),
            retention=here.retention,
        )
        return Answer(found, site, level.sequence, level.fed_at)

    return record.read(read)
