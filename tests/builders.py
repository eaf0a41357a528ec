"""Builders of facts for the pure tests: what does not matter has a default."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sync.entities import Permit, PermitStatus, Vehicle
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
