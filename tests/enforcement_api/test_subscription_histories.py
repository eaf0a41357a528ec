"""Random histories of subscriptions: the index says at any instant what a simple model says.

The model knows plates and instants, and nothing of how the service keeps them: each vehicle has had
plates, of which one works from an instant to another, where its subscription is good.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from sync.codec import instant
from tests.local_provider import DECLINES, PAYS, LocalProvider, shared_provider
from tests.paying import Till
from tests.service import Handheld, Service
from tests.subscribing import new_id

__all__ = ["shared_provider"]

MONTREAL = ZoneInfo("America/Toronto")
DAY, HOUR, SECOND = timedelta(days=1), timedelta(hours=1), timedelta(seconds=1)
BEGIN = datetime(2026, 3, 6, 20, 0, tzinfo=UTC)
"""Two days before clocks are put forward."""
PLATES = ["AAA 111", "BBB 222", "CCC 333", "DDD 444"]
ZONES = {"5569": "G1", "7001": "G2"}
GRACE = 1
"""Days from a failed charge to the suspension."""


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=MONTREAL).astimezone(UTC)


@dataclass
class Plate:
    """A plate that a vehicle has, or had: until when, and whether it was suspended by then."""

    text: str
    confirmed: datetime
    ends: datetime | None = None
    is_suspended: bool = False
    zone: str = "G1"

    @property
    def active(self) -> datetime:
        return self.confirmed + DAY


@dataclass
class Vehicle:
    id: str
    plates: list[Plate] = field(default_factory=list)
    deleted: datetime | None = None


@dataclass
class Subscription:
    id: str
    starts_on: date
    ends_on: date | None
    product: str = "5569"
    state: str = "requested"
    cancelled: datetime | None = None
    is_suspended: bool = False
    vehicles: list[Vehicle] = field(default_factory=list)
    card: str = PAYS
    owes: bool = False
    grace: datetime | None = None
    next_try: datetime | None = None
    is_unpaid: bool = False
    """Suspended for a payment."""

    @property
    def starts(self) -> datetime:
        return midnight(self.starts_on)

    @property
    def ends(self) -> datetime:
        last = datetime.max.replace(tzinfo=UTC)
        if self.ends_on is not None:
            last = midnight(self.ends_on + DAY)
        return min(last, self.cancelled or last)

    def is_running(self, now: datetime) -> bool:
        return self.state == "approved" and now < self.ends

    @property
    def present(self) -> list[Vehicle]:
        return [vehicle for vehicle in self.vehicles if vehicle.deleted is None]

    def living(self, now: datetime) -> list[Plate]:
        """The plates that something that is done now is done to."""
        return [
            plate
            for vehicle in self.present
            for plate in vehicle.plates
            if plate.ends is None or plate.ends > now
        ]

    def outcomes(self, text: str, zone: str, at: datetime) -> set[str]:
        """What its permits of a plate say at an instant (DOMAIN 2.6)."""
        found = set()
        for vehicle in self.vehicles if self.state == "approved" else []:
            for plate in vehicle.plates:
                if plate.text.replace(" ", "") == text:
                    found.add(self._outcome(vehicle, plate, zone, at))
        return found

    def _outcome(self, vehicle: Vehicle, plate: Plate, zone: str, at: datetime) -> str:
        is_newest = plate is vehicle.plates[-1]
        ends, over = min(plate.ends or self.ends, self.ends), "expired"
        if is_newest and vehicle.deleted is not None:
            ends, over = min(ends, vehicle.deleted), "cancelled"
        elif is_newest and self.cancelled == self.ends and not self.is_suspended:
            over = "cancelled"
        if at >= ends:
            return over
        if plate.is_suspended:
            return "suspended"
        if at < self.starts:
            return "not_started"
        if zone != plate.zone:
            return "wrong_zone"
        return "valid" if at >= plate.active else "pending_activation"


RANKS = [
    "valid", "pending_activation", "wrong_zone", "not_started", "suspended", "expired", "cancelled",
    "unknown",
]  # fmt: skip


class Histories(RuleBasedStateMachine):
    """An office and its subscribers, a service with a payment provider, and a handheld that hears
    of it now and then.
    """

    provider: ClassVar[LocalProvider]

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.service = Service(Path(self.folder.name), at=BEGIN, **self.provider.settings)
        self.service.start()
        self.till = Till(self.service, self.provider)
        self.office = self.till.office
        for code, zone in ZONES.items():
            self.office.product(code, zones=[zone], price_cents=2308, grace_days=GRACE)
        self.holder = self.office.holder()
        self.subscriptions: list[Subscription] = []
        self.handheld: Handheld = self.service.handheld()

    def teardown(self) -> None:
        if hasattr(self, "service"):
            self.service.close()
            self.folder.cleanup()

    @property
    def now(self) -> datetime:
        return self.service.clock.at

    def among(self, data: Any, *states: str) -> Subscription | None:
        """One that is in one of these states, if there is any."""
        found = [
            s
            for s in self.subscriptions
            if s.state in states and (s.state != "approved" or s.is_running(self.now))
        ]
        return data.draw(st.sampled_from(found)) if found else None

    # What happens

    @rule(
        texts=st.lists(st.sampled_from(PLATES), min_size=1, max_size=2, unique=True),
        start=st.integers(-2, 3),
        lasts=st.none() | st.integers(1, 6),
        card=st.sampled_from([PAYS, PAYS, DECLINES]),
    )
    @precondition(lambda self: len(self.subscriptions) < 4)
    def ask(self, texts: list[str], start: int, lasts: int | None, card: str) -> None:
        today = self.now.astimezone(MONTREAL).date()
        starts_on = today + timedelta(days=start)
        ends_on = None if lasts is None else max(starts_on, today) + timedelta(days=lasts)
        vehicles = [self.office.vehicle(text, id=new_id()) for text in texts]
        id = self.office.subscribe(
            holder=self.holder,
            product="5569",
            payment={"method": "card"},
            starts_on=starts_on.isoformat(),
            ends_on=ends_on and ends_on.isoformat(),
            vehicles=vehicles,
        )
        self.till.give_card(id, card)
        asked = Subscription(id, starts_on, ends_on, card=card)
        for vehicle in vehicles:
            asked.vehicles.append(Vehicle(vehicle["id"], [Plate(vehicle["plate"], self.now)]))
        self.subscriptions.append(asked)

    @rule(data=st.data(), approves=st.sampled_from([True, True, True, False]))
    def decide(self, data: Any, approves: bool) -> None:
        asked = self.among(data, "requested")
        if asked is None or self.now >= asked.ends:
            return
        if not approves:
            self.office.decide(asked.id, "refuse", reason="Incomplet")
            asked.state = "refused"
            return
        self.office.approve(asked.id)
        asked.state, asked.owes = "approved", True
        asked.vehicles = asked.present
        for vehicle in asked.vehicles:
            vehicle.plates = [Plate(vehicle.plates[-1].text, self.now, zone=ZONES[asked.product])]

    @rule(data=st.data(), text=st.sampled_from(PLATES))
    def change_plate(self, data: Any, text: str) -> None:
        subscription = self.among(data, "requested", "approved", "approved")
        if subscription is None or not subscription.present:
            return
        vehicle = data.draw(st.sampled_from(subscription.present))
        if text in {other.plates[-1].text for other in subscription.present}:
            return
        self.office.put_vehicle(subscription.id, text, vehicle=vehicle.id)
        current, now = vehicle.plates[-1], self.now
        if subscription.state == "requested":
            current.text = text
            return
        new = Plate(
            text, now, is_suspended=subscription.is_suspended, zone=ZONES[subscription.product]
        )
        ready = max(new.active, subscription.starts)
        if subscription.cancelled is not None and not subscription.is_suspended:
            ready = min(ready, subscription.cancelled)
        earlier = [
            plate for plate in vehicle.plates[:-1] if plate.ends is not None and plate.ends > now
        ]
        if current.active > now and earlier:
            current.ends = now
            earlier[-1].ends = ready
        else:
            current.ends = ready
        vehicle.plates.append(new)

    @rule(data=st.data(), colour=st.sampled_from(["bleu", "noir"]))
    def paint(self, data: Any, colour: str) -> None:
        subscription = self.among(data, "approved")
        if subscription is None or not subscription.present:
            return
        vehicle = data.draw(st.sampled_from(subscription.present))
        self.office.put_vehicle(
            subscription.id, vehicle.plates[-1].text, vehicle=vehicle.id, colour=colour
        )

    @rule(data=st.data(), text=st.sampled_from(PLATES))
    def add_vehicle(self, data: Any, text: str) -> None:
        subscription = self.among(data, "approved", "requested")
        if subscription is None or len(subscription.present) >= 2:
            return
        if text in {other.plates[-1].text for other in subscription.present}:
            return
        id = new_id()
        self.office.put_vehicle(subscription.id, text, vehicle=id)
        plate = Plate(
            text,
            self.now,
            is_suspended=subscription.is_suspended,
            zone=ZONES[subscription.product],
        )
        subscription.vehicles.append(Vehicle(id, [plate]))

    @rule(data=st.data())
    def delete_vehicle(self, data: Any) -> None:
        subscription = self.among(data, "approved", "requested")
        if subscription is None or not subscription.present:
            return
        vehicle = data.draw(st.sampled_from(subscription.present))
        self.office.delete_vehicle(subscription.id, vehicle.id)
        for plate in vehicle.plates[:-1]:
            plate.ends = min(plate.ends or self.now, self.now)
        vehicle.deleted = self.now

    @rule(data=st.data())
    def suspend_or_resume(self, data: Any) -> None:
        subscription = self.among(data, "approved")
        if subscription is None or subscription.is_unpaid:
            return
        self.office.act(subscription.id, "resume" if subscription.is_suspended else "suspend")
        self.set_suspended(subscription, not subscription.is_suspended)

    def set_suspended(self, subscription: Subscription, is_suspended: bool) -> None:
        subscription.is_suspended = is_suspended
        for plate in subscription.living(self.now):
            plate.is_suspended = is_suspended

    @rule(data=st.data(), card=st.sampled_from([PAYS, PAYS, DECLINES]))
    def give_card(self, data: Any, card: str) -> None:
        subscription = self.among(data, "requested", "approved")
        if subscription is None:
            return
        self.till.give_card(subscription.id, card)
        subscription.card = card
        if subscription.grace is not None:
            subscription.next_try = self.now

    @rule()
    def charge(self) -> None:
        """The cashier does what is due: every charge that is not tried again later, then what was
        not paid within its days of grace."""
        self.till.charge_due()
        today = self.now.astimezone(MONTREAL).date()
        for subscription in self.subscriptions:
            if not subscription.owes:
                continue
            if not subscription.is_running(self.now):
                subscription.owes = False
                continue
            is_due = subscription.grace is None or (
                subscription.next_try is not None and subscription.next_try <= self.now
            )
            if is_due and subscription.card == PAYS:
                subscription.owes, subscription.grace = False, None
                if subscription.is_unpaid:
                    subscription.is_unpaid = False
                    self.set_suspended(subscription, False)
            elif is_due:
                subscription.next_try = self.now + DAY
                subscription.grace = subscription.grace or midnight(today + (GRACE + 1) * DAY)
        for subscription in self.subscriptions:
            is_late = subscription.grace is not None and subscription.grace <= self.now
            is_tried_later = subscription.next_try is not None and subscription.next_try > self.now
            may = subscription.is_running(self.now) and not subscription.is_suspended
            if subscription.owes and is_late and is_tried_later and may:
                subscription.is_unpaid, subscription.next_try = True, None
                self.set_suspended(subscription, True)

    @rule(data=st.data(), days=st.none() | st.integers(0, 3))
    def cancel(self, data: Any, days: int | None) -> None:
        subscription = self.among(data, "approved")
        if subscription is None:
            return
        last = None
        if days is not None:
            last = self.now.astimezone(MONTREAL).date() + timedelta(days=days)
        self.office.act(subscription.id, "cancel", on=last and last.isoformat())
        subscription.cancelled = self.now if last is None else midnight(last + DAY)
        if last is None:
            subscription.is_suspended = False
            for vehicle in subscription.present:
                vehicle.plates[-1].is_suspended = False

    @rule(data=st.data())
    def keep(self, data: Any) -> None:
        subscription = self.among(data, "approved")
        if subscription is None:
            return
        self.office.act(subscription.id, "keep")
        subscription.cancelled = None

    @rule(data=st.data(), days=st.none() | st.integers(1, 5))
    def renew(self, data: Any, days: int | None) -> None:
        subscription = self.among(data, "approved")
        if subscription is None:
            return
        if days is not None and subscription.ends_on is None:
            return
        if subscription.ends_on is None:
            return
        ends_on = None if days is None else subscription.ends_on + timedelta(days=days)
        self.office.act(subscription.id, "renew", ends_on=ends_on and ends_on.isoformat())
        subscription.ends_on = ends_on

    @rule(data=st.data(), product=st.sampled_from(sorted(ZONES)))
    def change_product(self, data: Any, product: str) -> None:
        subscription = self.among(data, "approved")
        if subscription is None:
            return
        self.office.act(subscription.id, "change_product", product=product)
        subscription.product = product
        for plate in subscription.living(self.now):
            plate.zone = ZONES[product]

    @rule(by=st.sampled_from([HOUR, 5 * HOUR, DAY - SECOND, SECOND, DAY, 2 * DAY]))
    def wait(self, by: timedelta) -> None:
        self.service.clock.at += by

    @rule()
    def sync(self) -> None:
        """The handheld hears of the service: from now on it says what the service says."""
        self.handheld.pull()
        self.handheld.assert_level_with(self.service)

    # What must hold

    @invariant()
    def balances_are_what_is_owed(self) -> None:
        for subscription in self.subscriptions if hasattr(self, "service") else []:
            if subscription.is_running(self.now):
                owed = self.office.get(subscription.id)["balance_cents"]
                assert owed == (2308 if subscription.owes else 0)

    @invariant()
    def index_says_what_the_model_says(self) -> None:
        if not hasattr(self, "service"):
            return
        self.service.parts.follower.follow("1085")
        plates = {
            plate.text.replace(" ", "")
            for subscription in self.subscriptions
            for vehicle in subscription.vehicles
            for plate in vehicle.plates
        }
        for text in sorted(plates):
            for at in self.instants():
                for zone in ("G1", "G2"):
                    said = {"unknown"}
                    for subscription in self.subscriptions:
                        said |= subscription.outcomes(text, zone, at)
                    expected = min(said, key=RANKS.index)
                    found = self.service.verdict(text, zone=zone, at=instant(at))
                    assert found == expected, f"{text} in {zone} at {at}"

    def instants(self) -> list[datetime]:
        """Now, and just before and at what is about to change or just did."""
        found = {self.now}
        for subscription in self.subscriptions:
            if subscription.ends.year < 9000:
                found |= {subscription.ends - SECOND, subscription.ends}
            found |= {subscription.starts - SECOND, subscription.starts}
            for vehicle in subscription.vehicles:
                for plate in vehicle.plates[-2:]:
                    found |= {plate.active - SECOND, plate.active}
        close = sorted(found, key=lambda at: abs(at - self.now))
        return close[:6]


def test_index_says_at_any_instant_what_a_simple_model_says(
    shared_provider: LocalProvider,
) -> None:
    Histories.provider = shared_provider
    run_state_machine_as_test(
        Histories,
        settings=settings(
            max_examples=int(os.environ.get("HISTORIES", "20")),
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
