"""Builders of facts for the pure tests: what does not matter has a default."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from enforcement_api.permits.core import NO_VEHICLE, Facts, PlateUpdate, StoredPermit, apply
from sync.entities import Permit, PermitStatus, Site, Vehicle
from sync.plates import Plate

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
RETENTION = 90 * DAY


def at(text: str) -> datetime:
    """`2026-06-01 14:00`, in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


NOON = at("2026-06-15 12:00")
"""An instant at which the permits below are valid unless said otherwise."""


def permit(
    plate: str = "ABC123",
    *,
    id: str = "p1",
    zone: str = "G1",
    jurisdiction: str = "CA-QC",
    starts_at: datetime = NOON - 30 * DAY,
    active_from: datetime | None = None,
    ends_at: datetime | None = None,
    status: PermitStatus = "active",
    number: str = "100014764",
    vehicle: Vehicle | None = None,
) -> Permit:
    """A permit that is valid at NOON in zone G1 (`zone`: codes separated by spaces)."""
    return Permit(
        id=id,
        plate=Plate.parse(plate, jurisdiction),
        zones=tuple(zone.split()),
        permit_number=number,
        starts_at=starts_at,
        ends_at=ends_at,
        active_from=starts_at if active_from is None else active_from,
        status=status,
        vehicle=vehicle,
    )


def a_site(*, activation_hours: int = 24) -> Site:
    """Site 1085, in Sherbrooke."""
    return Site(
        "1085", "CHUS", "", "America/Toronto", "CA-QC", "avis", activation_hours, 90, None, (), None
    )


ZONES = {"G1", "G2"}
"""The zones of that site."""


def confirmed(
    when: datetime | None, plate: str = "AAA111", *, version: int = 1, id: str = "p", **facts: Any
) -> PlateUpdate:
    """An update of a permit that was confirmed then (None: before this system)."""
    given: dict[str, Any] = {
        "zones": ("G1",),
        "permit_number": "100014764",
        "valid_from": date(2026, 1, 1),
        "valid_until": None,
        "ends_at": None,
        "status": "active",
        "vehicle": NO_VEHICLE,
    } | facts
    known = Facts(plate=Plate.parse(plate, "CA-QC"), confirmed_at=when, **given)
    return PlateUpdate(id, version, "1085", plate, known)


def recorded(update: PlateUpdate, *, site: Site | None = None) -> StoredPermit:
    """What a first update comes to, received when it was confirmed."""
    now = update.facts.confirmed_at or at("2026-01-01 05:00")
    effect, versions = apply(
        update, current=None, before=(), site=site or a_site(), zones=ZONES, source="s", now=now
    )
    assert effect == "applied"
    assert [v.id for v in versions] == [update.id]
    return versions[0]
