"""What a plate update does to the permit it names. Pure (DOMAIN 2.1-2.4, CONTRACT)."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

from enforcement_api.problems import N_, Problem
from sync import codec
from sync.entities import ALL_ZONES, Permit, PermitStatus, Site, Vehicle
from sync.plates import Plate

_DAY = timedelta(days=1)
FUTURE_CONFIRMATION = timedelta(minutes=5)
"""How far a feeder's clock may be ahead of ours."""


class VersionConflict(Problem):
    """The same version of a permit with other content."""

    status = 409
    slug = "version-conflict"
    title = N_("This version of the permit is known with other content")
    detail = N_("Send the change of permit {id} with a version greater than {version}.")


class NotYourPermit(Problem):
    """The permit belongs to another source."""

    status = 409
    slug = "not-your-permit"
    title = N_("This permit belongs to another system")
    detail = N_("Permit {id} came from {source}: change it there, or use another id.")


class UnknownZone(Problem):
    """The site has no such zone."""

    status = 404
    slug = "unknown-zone"
    title = N_("The site has no such zone")
    detail = N_("Site {site} has no zone {zone}. Its zones: {zones}.")


class ConfirmedInTheFuture(Problem):
    """A confirmation that has not happened yet."""

    status = 422
    slug = "confirmed-in-the-future"
    title = N_("The confirmation is in the future")
    detail = N_("`confirmed_at` is {confirmed_at}, but it is {now}: check the sender's clock.")


@dataclass(frozen=True, slots=True)
class GivenVehicle:
    """A vehicle as its feeder describes it."""

    make: str | None
    model: str | None
    year: int | None
    colour: str | None


NO_VEHICLE = GivenVehicle(None, None, None, None)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a feeder says of a permit. Equal facts are the same permit, however typed."""

    plate: Plate
    zones: tuple[str, ...]
    permit_number: str
    valid_from: date
    valid_until: date | None
    confirmed_at: datetime | None
    ends_at: datetime | None
    status: PermitStatus
    vehicle: GivenVehicle

    def same_as(self, other: Facts) -> bool:
        """Whether both describe the same permit; the order of zones does not matter."""
        return self == other or (
            set(self.zones) == set(other.zones) and replace(self, zones=other.zones) == other
        )


@dataclass(frozen=True, slots=True)
class PlateUpdate:
    """One update, read and normalised."""

    id: str
    version: int
    site: str
    plate_raw: str
    facts: Facts


@dataclass(frozen=True, slots=True)
class StoredPermit:
    """One version of a permit as the record has it: what was given, and what came of it."""

    id: str
    source: str
    version: int
    plate_raw: str
    facts: Facts
    starts_at: datetime
    ends_at: datetime | None
    active_from: datetime
    recorded_at: datetime
    cancelled_at: datetime | None = None
    """When a cancellation that names no end of its own was first received."""
    removed: bool = False
    reconciled: bool = False
    """Cancelled because its source's list of all permits lacked it: the same version brings it
    back."""

    @property
    def permit(self) -> Permit:
        """What the feed says of it."""
        facts = self.facts
        vehicle = facts.vehicle
        shown = None
        if vehicle.make is not None or vehicle.colour is not None:
            shown = Vehicle(vehicle.make, vehicle.colour)
        return Permit(
            self.id,
            facts.plate,
            facts.zones,
            facts.permit_number,
            self.starts_at,
            self.ends_at,
            self.active_from,
            facts.status,
            shown,
        )

    def is_live(self, at: datetime) -> bool:
        """Whether it is in the feed, not cancelled, and has not ended."""
        has_ended = self.ends_at is not None and self.ends_at <= at
        return not (self.removed or self.facts.status == "cancelled" or has_ended)

    @property
    def usable_from(self) -> datetime:
        """The later of its start and its activation (DOMAIN 2.2)."""
        return max(self.starts_at, self.active_from)

    @property
    def was_usable(self) -> bool:
        """Whether the plate works, or worked, at some instant."""
        return self.ends_at is None or self.usable_from < self.ends_at


Effect = Literal["applied", "unchanged", "stale"]

NOTHING_NEW: tuple[StoredPermit, ...] = ()


@lru_cache(maxsize=20_000)
def day_begins(day: date, time_zone: str) -> datetime:
    """The first instant of a local date, in UTC (DOMAIN 2.1).

    Also where the clock jumps over midnight, or shows it twice.
    """
    zone = ZoneInfo(time_zone)
    wall = datetime.combine(day, time())
    begins = wall.replace(tzinfo=zone).astimezone(UTC)
    if begins.astimezone(zone).replace(tzinfo=None) == wall:
        return begins
    # Midnight is skipped. The clock read earlier before `low` and later from `high` on; the jump
    # between them is the instant.
    low = min(begins, wall.replace(tzinfo=zone, fold=1).astimezone(UTC)) - timedelta(days=1)
    high = begins
    while high - low > timedelta(seconds=1):
        middle = (low + (high - low) / 2).replace(microsecond=0)
        if middle.astimezone(zone).replace(tzinfo=None) < wall:
            low = middle
        else:
            high = middle
    return high


def _own_end(facts: Facts, site: Site, cancelled_at: datetime | None) -> datetime | None:
    """The earliest of the last day's end, the given end, and the cancellation."""
    end = facts.ends_at
    if facts.valid_until is not None:
        last = day_begins(facts.valid_until + _DAY, site.time_zone)
        end = last if end is None else min(end, last)
    if cancelled_at is not None:
        end = cancelled_at if end is None else min(end, cancelled_at)
    return end


def _recorded(
    update: PlateUpdate, site: Site, source: str, current: StoredPermit | None, now: datetime
) -> StoredPermit:
    """The update as a version of its own."""
    facts = update.facts
    starts_at = day_begins(facts.valid_from, site.time_zone)
    active_from = starts_at
    if facts.confirmed_at is not None:
        active_from = facts.confirmed_at + timedelta(hours=site.activation_hours)
    cancelled_at = None
    if facts.status == "cancelled" and facts.ends_at is None:
        cancelled_at = (current and current.cancelled_at) or now
    return StoredPermit(
        id=update.id,
        source=source,
        version=update.version,
        plate_raw=update.plate_raw,
        facts=facts,
        starts_at=starts_at,
        ends_at=_own_end(facts, site, cancelled_at),
        active_from=active_from,
        recorded_at=now,
        cancelled_at=cancelled_at,
    )


def _ending(permit: StoredPermit, end: datetime, site: Site, now: datetime) -> StoredPermit:
    """The plate before, living on until `end` or its own earlier end."""
    own = _own_end(permit.facts, site, permit.cancelled_at)
    ends_at = end if own is None else min(own, end)
    return replace(permit, ends_at=ends_at, recorded_at=now, removed=False)


def _takes_over(successor: StoredPermit, ready: datetime) -> datetime:
    """When the plate before is no longer needed (DOMAIN 2.4): once the new one is ready.

    Or at once when the permit is cancelled earlier than that.
    """
    if successor.facts.status == "cancelled" and successor.ends_at is not None:
        return min(ready, successor.ends_at)
    return ready


def _following(before: StoredPermit, new: StoredPermit, now: datetime) -> StoredPermit:
    """The plate before, where and as what the permit is good now, for as long as it lives on.

    Without it the plate would be good while its permit is suspended, and suspended when that is
    over, though one plate should always work (DOMAIN 2.4).
    """
    if new.facts.status == "cancelled" or (before.ends_at is not None and before.ends_at <= now):
        return before
    facts, its = new.facts, before.facts
    same = replace(its, status=facts.status, zones=facts.zones, permit_number=facts.permit_number)
    if facts.valid_from == its.valid_from:  # a renewal without a gap
        same = replace(same, valid_until=facts.valid_until)
    return replace(before, facts=same)


def number_before(id: str) -> int:
    """Of a plate that a permit had before: 1 for `<id>~1`."""
    return int(id.partition("~")[2])


def apply(
    update: PlateUpdate,
    *,
    current: StoredPermit | None,
    before: Sequence[StoredPermit],
    site: Site,
    zones: Set[str],
    source: str,
    now: datetime,
    reconciling: bool = False,
) -> tuple[Effect, tuple[StoredPermit, ...]]:
    """What the update comes to: the versions to record, in order.

    `reconciling`: it is of a source's list of all its permits, which is right also where it says
    something else under the same version.

    `current` is the permit of that id as it stands, `before` the plates it had before, the oldest
    first (`<id>~1`, …); `zones` are those that the site has now, which only what is new is held
    to. Raises VersionConflict, NotYourPermit, UnknownZone, ConfirmedInTheFuture.
    """
    confirmed_at = update.facts.confirmed_at
    if current is not None:
        if current.source != source:
            raise NotYourPermit(id=update.id, source=current.source)
        if update.version < current.version:
            return "stale", NOTHING_NEW
        if update.version == current.version:
            if current.facts.same_as(update.facts):
                return "unchanged", NOTHING_NEW
            if not (reconciling or current.reconciled):
                raise VersionConflict(id=update.id, version=update.version)
    for zone in update.facts.zones:
        if zone != ALL_ZONES and zone not in zones:
            raise UnknownZone(site=site.id, zone=zone, zones=", ".join(sorted(zones)))
    if confirmed_at is not None and confirmed_at > now + FUTURE_CONFIRMATION:
        raise ConfirmedInTheFuture(confirmed_at=codec.instant(confirmed_at), now=codec.instant(now))
    new = _recorded(update, site, source, current, now)
    if current is None:
        return "applied", (new,)
    since = min(confirmed_at or now, now)
    worked = _last_that_worked(before, since)
    if current.facts.plate != update.facts.plate:
        number = number_before(before[-1].id) + 1 if before else 1  # the first may be forgotten
        plate_before = replace(current, id=f"{current.id}~{number}")
        return "applied", (new, *_replaced(plate_before, worked, new, since, site, now))
    if worked is None:
        return "applied", (new,)
    # A renewal that starts later is no reason to wait for it with the plate before, which ends when
    # it did: unless it was cut short together with this one, which is given back now.
    cut = current.facts.status == "cancelled" and worked.ends_at == current.ends_at
    ended = current.starts_at if cut or worked.ends_at is None else worked.ends_at
    ready = max(new.active_from, min(new.starts_at, ended))
    moved = _ending(_following(worked, new, now), _takes_over(new, ready), site, now)
    is_as_it_was = moved.ends_at == worked.ends_at and moved.facts == worked.facts
    return "applied", (new,) if is_as_it_was else (new, moved)


def lacking(permit: StoredPermit, now: datetime) -> PlateUpdate:
    """What a list of all permits says of one that it lacks: it is cancelled, now at the latest."""
    facts = permit.facts
    ends_at = None if facts.ends_at is None else min(facts.ends_at, now)
    cancelled = replace(facts, status="cancelled", ends_at=ends_at)
    return PlateUpdate(permit.id, permit.version, "", permit.plate_raw, cancelled)


def marked_reconciled(versions: Sequence[StoredPermit], id: str) -> tuple[StoredPermit, ...]:
    """The versions that a cancellation came to; the one of the permit itself says why."""
    return tuple(
        replace(version, reconciled=True) if version.id == id else version for version in versions
    )


def _replaced(
    plate_before: StoredPermit,
    worked: StoredPermit | None,
    new: StoredPermit,
    since: datetime,
    site: Site,
    now: datetime,
) -> tuple[StoredPermit, ...]:
    """Make-before-break (DOMAIN 2.4): the plate before lives on until the new one works.

    One that was still pending when it was replaced in turn ends then, and the last plate that
    worked lives on in its stead.
    """
    takes_over = _takes_over(new, new.usable_from)
    if worked is None or plate_before.active_from <= since:
        return (_ending(plate_before, takes_over, site, now),)
    return _ending(plate_before, since, site, now), _ending(worked, takes_over, site, now)


def _last_that_worked(before: Sequence[StoredPermit], since: datetime) -> StoredPermit | None:
    """The plate before that lives on at `since`, or worked until then at least.

    One that had ended by then stays so: a renewal must not bring back a plate that was given up.
    One that lives on may never work: confirmed in the same second as the next one, it would end
    when it becomes active.
    """
    for permit in reversed(before):
        lives_on = permit.ends_at is None or permit.ends_at > since
        if lives_on or permit.was_usable:
            return permit if lives_on or permit.ends_at == since else None
    return None
