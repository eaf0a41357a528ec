"""What the service and a handheld both know: facts, immutable, instants aware and in UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal

from sync.plates import Plate

Localized = Mapping[str, str]
"""A text in both languages: {"fr": …, "en": …}."""

Instrument = Literal["avis", "constat"]
Outcome = Literal["notice", "warning", "no_issue"]
PermitStatus = Literal["active", "suspended", "cancelled"]

ALL_ZONES = "*"


@dataclass(frozen=True, slots=True)
class NoNotice:
    """A window in which no notice is to be issued in some zones, such as a snow storm."""

    begins: datetime
    ends: datetime
    zones: tuple[str, ...]
    reason: str | Localized

    def covers(self, zone: str, at: datetime) -> bool:
        """Whether the window holds in the zone at the instant; half-open."""
        return self.begins <= at < self.ends and (ALL_ZONES in self.zones or zone in self.zones)


@dataclass(frozen=True, slots=True)
class Site:
    """One operator's car parks: its clock, its place in the law, its settings (DOMAIN 1)."""

    id: str
    name: str
    address: str
    time_zone: str
    jurisdiction: str
    instrument: Instrument
    activation_hours: int
    retention_days: int
    stale_after_hours: int | None
    no_notice: tuple[NoNotice, ...]
    pruned_at: datetime | None

    @property
    def retention(self) -> timedelta:
        """How long after its end a permit still counts (DOMAIN 2.6)."""
        return timedelta(days=self.retention_days)

    @property
    def stale_after(self) -> timedelta:
        """The age past which what is known warns before a notice (DOMAIN 2.7)."""
        hours = self.stale_after_hours
        return timedelta(hours=max(1, self.activation_hours) if hours is None else hours)


@dataclass(frozen=True, slots=True)
class Zone:
    """Where inside a site a permit is good; its note is shown with every verdict there."""

    id: str
    name: Localized
    note: Localized | None


@dataclass(frozen=True, slots=True)
class Lot:
    """One car park of a zone. `area` is GeoJSON text, so that no number is ever re-rounded."""

    id: str
    name: str
    zone: str | None
    area: str | None


@dataclass(frozen=True, slots=True)
class InfractionCode:
    """What a vehicle can be noticed for. Amounts: ({"from": date, "amount_cents": int}, …)."""

    id: str
    title: Localized
    instruments: tuple[Instrument, ...]
    article: str | None
    amounts: tuple[Mapping[str, Any], ...]
    photos_required: bool | int
    active: bool

    def amount_on(self, day: date) -> int | None:
        """The cents that it costs on a day, local to the site; None: no amount holds yet."""
        known = [each for each in self.amounts if str(each["from"]) <= day.isoformat()]
        if not known:
            return None
        return int(max(known, key=lambda each: str(each["from"]))["amount_cents"])


@dataclass(frozen=True, slots=True)
class Vehicle:
    """What a patroller compares with the car in front of them."""

    make: str | None
    colour: str | None


COURTESY = "COURTOISIE-"
"""What the number of a courtesy permit begins with: a loan car's, say, granted by staff at once."""


@dataclass(frozen=True, slots=True)
class Permit:
    """One plate may park in these zones from here to there, active from this instant."""

    id: str
    plate: Plate
    zones: tuple[str, ...]
    permit_number: str
    starts_at: datetime
    ends_at: datetime | None
    active_from: datetime
    status: PermitStatus
    vehicle: Vehicle | None

    def covers(self, zone: str) -> bool:
        """Whether the permit is good in the zone."""
        return zone in self.zones or ALL_ZONES in self.zones

    @property
    def is_courtesy(self) -> bool:
        """Whether staff granted it for a few days."""
        return self.permit_number.startswith(COURTESY)

    @property
    def usable_from(self) -> datetime:
        """The later of its start and its activation (DOMAIN 2.2)."""
        return max(self.starts_at, self.active_from)


@dataclass(frozen=True, slots=True)
class HotlistEntry:
    """A plate that a supervisor wants seen."""

    id: str
    plate: Plate
    reason: str
    priority: Literal["low", "high"]
    instructions: str | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Notice:
    """What a handheld needs to know of an infraction already recorded."""

    id: str
    plate: Plate | None
    codes: tuple[str, ...]
    zone: str
    observed_at: datetime
    outcome: Outcome
    number: str | None
    patroller: str
    state: str
    decision_reason: str | None


Entity = Site | Zone | Lot | InfractionCode | Permit | HotlistEntry | Notice
