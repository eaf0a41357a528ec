"""What subscriptions are, and what may become of them. Pure (DOMAIN 2.2-2.5, 4).

    requested -> approved | refused | withdrawn
    approved: waiting -> active -> suspended -> active ... -> cancelled | ended

What is decided is kept; what follows from the clock (waiting, active, cancelled, ended) is told
from instants that are known beforehand, so that nothing has to run when they come.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, Literal, get_args

from enforcement_api.permits.core import GivenVehicle, day_begins
from enforcement_api.permits.updates import PlateUpdateIn, VehicleIn
from enforcement_api.problems import N_, Invalid, Problem, Sentence
from sync.entities import Site
from sync.plates import Plate

Status = Literal[
    "requested", "refused", "withdrawn", "waiting", "active", "suspended", "cancelled", "ended"
]
STATUSES: tuple[Status, ...] = get_args(Status)
Decision = Literal["requested", "approved", "refused", "withdrawn"]
Why = Literal["staff", "payment"]
"""What a subscription is suspended for: staff resumes one, a payment that came the other."""
Kind = Literal["subscription", "category_change", "cancellation"]
KINDS: tuple[Kind, ...] = get_args(Kind)
RequestState = Literal["submitted", "approved", "refused", "withdrawn"]
REQUEST_STATES: tuple[RequestState, ...] = get_args(RequestState)
BillingPeriod = Literal["once", "week", "month", "term", "year"]
Method = Literal["card", "cheque"]

PERMIT = "subscription-"
"""What the ids of subscriptions' permits begin with in the feed."""
SOURCE = "patrouille:subscriptions"
"""The source of the permits that come from here."""

CONSENTS: dict[str, str] = {
    "terms": N_("I accept the terms of service."),
    "approval": N_("I understand that access to the service requires the operator's approval."),
    "payment_terms": N_("I accept the terms of payment."),
    "charge_after_approval": N_(
        "I understand that I am only charged once the subscription is approved."
    ),
}
"""What a subscriber accepts (DOMAIN 4), by its code."""
PAYMENT_CONSENTS = ("payment_terms", "charge_after_approval")
"""Those that are needed only where there is something to pay."""

_STATUS_WORDS: dict[Status, Sentence] = {
    "requested": Sentence(N_("it awaits approval")),
    "refused": Sentence(N_("it was refused")),
    "withdrawn": Sentence(N_("its request was withdrawn")),
    "waiting": Sentence(N_("it is approved but not active yet")),
    "active": Sentence(N_("it is active")),
    "suspended": Sentence(N_("it is suspended")),
    "cancelled": Sentence(N_("it was cancelled")),
    "ended": Sentence(N_("it has ended")),
}


class NotInThisState(Problem):
    """What is asked for does not fit what the subscription is now."""

    status = 409
    slug = "not-in-this-state"
    title = N_("This cannot be done to the subscription as it is now")
    detail = N_("Subscription {number}: {told}. Look at it again before you go on.")

    def __init__(self, subscription: Subscription, at: datetime) -> None:
        status = subscription.status(at)
        super().__init__(
            number=subscription.number, told=_STATUS_WORDS[status], extra={"state": status}
        )


class TooManyVehicles(Problem):
    """More vehicles than the product allows."""

    status = 409
    slug = "too-many-vehicles"
    title = N_("The subscription has as many vehicles as it may have")
    detail = N_("{product} allows {most}. Change one of them, or delete one first.")


class PlateTwice(Problem):
    """The plate is on this subscription already."""

    status = 409
    slug = "plate-twice"
    title = N_("This plate is on the subscription already")
    detail = N_("Vehicle {vehicle} has the plate {plate}: change that one, or correct the plate.")


class UnknownVehicle(Problem):
    """No such vehicle on this subscription."""

    status = 404
    slug = "unknown-vehicle"
    title = N_("The subscription has no such vehicle")
    detail = N_("Subscription {number} has no vehicle {vehicle}: look at its list of vehicles.")


class PaymentMethodMissing(Problem):
    """There is something to pay, and nothing to pay it with."""

    status = 409
    slug = "payment-method-missing"
    title = N_("The subscription has no payment method")
    detail = N_(
        "{product} costs something: have the subscriber give a card on the provider's page, or hand"
        " in a void cheque, before you approve."
    )


class TermOver(Problem):
    """What is asked for ended before anybody approved it."""

    status = 409
    slug = "term-over"
    title = N_("The term that is asked for is over")
    detail = N_(
        "Its last day was {ends_on}: refuse the request, and have another made for days to come."
    )


@dataclass(frozen=True, slots=True)
class Question:
    """What a product asks besides, such as the school."""

    code: str
    text: dict[str, str]
    required: bool


@dataclass(frozen=True, slots=True)
class Category:
    """A kind of user, such as internship supervisors."""

    site: str
    code: str
    name: dict[str, str]
    active: bool


@dataclass(frozen=True, slots=True)
class Product:
    """What can be subscribed to. `price_cents` is for one billing period, tax included."""

    site: str
    code: str
    name: dict[str, str]
    category: str
    price_cents: int
    billing_period: BillingPeriod
    zones: tuple[str, ...]
    notice: dict[str, str] | None
    questions: tuple[Question, ...]
    proof_required: bool
    max_vehicles: int
    grace_days: int
    active: bool
    version: int = 1

    def title(self, language: str) -> str:
        """As people of the office say it: code and name."""
        return f"{self.code} - {self.name[language]}"


@dataclass(frozen=True, slots=True)
class Holder:
    """Who subscribes. Everything here is personal, and none of it leaves the service's record."""

    site: str
    id: str
    email: str
    language: str
    first_name: str
    last_name: str
    gender: str | None = None
    line1: str | None = None
    apartment: str | None = None
    line2: str | None = None
    city: str | None = None
    province: str | None = None
    postal_code: str | None = None
    mobile: str | None = None
    home: str | None = None
    home_extension: str | None = None
    work: str | None = None
    work_extension: str | None = None
    version: int = 1
    created_at: datetime | None = None
    email_confirmed_at: datetime | None = None
    erased_at: datetime | None = None

    @property
    def name(self) -> str:
        """First and last name."""
        return f"{self.first_name} {self.last_name}".strip()


@dataclass(frozen=True, slots=True)
class Vehicle:
    """A vehicle of a subscription. `confirmed_at`: from when its plate's 24 hours are counted; None
    until the approval. `permit_version`: of its permit as it was last pushed; None: never.
    """

    id: str
    position: int
    plate: Plate
    plate_raw: str
    given: GivenVehicle
    added_at: datetime
    confirmed_at: datetime | None = None
    deleted_at: datetime | None = None
    permit_version: int | None = None


@dataclass(frozen=True, slots=True)
class PaymentMethod:
    """How it is paid. `token` stands for a card at the provider; `cheque` is an attachment."""

    kind: Method
    token: str | None = None
    brand: str | None = None
    last4: str | None = None
    expiry: str | None = None
    cheque: str | None = None

    @property
    def is_complete(self) -> bool:
        """Whether something can be charged with it."""
        return bool(self.token if self.kind == "card" else self.cheque)


@dataclass(frozen=True, slots=True)
class Subscription:
    """One holder, one product, some vehicles. `active_from` is not before its start; `ends_at` is
    the earlier of its last day's end and its cancellation.
    """

    site: str
    id: str
    number: str
    holder: str
    product: str
    decision: Decision
    requested_at: datetime
    starts_on: date
    ends_on: date | None
    version: int = 1
    decided_at: datetime | None = None
    active_from: datetime | None = None
    ends_at: datetime | None = None
    cancelled_at: datetime | None = None
    suspended_at: datetime | None = None
    suspended_for: Why | None = None
    payment: PaymentMethod | None = None
    vehicles: tuple[Vehicle, ...] = ()

    def status(self, at: datetime) -> Status:
        """What it is at an instant, with what is decided today."""
        if self.decision != "approved":
            return self.decision
        if self.ends_at is not None and at >= self.ends_at:
            return "cancelled" if self.ends_at == self.cancelled_at else "ended"
        if self.suspended_at is not None:
            return "suspended"
        assert self.active_from is not None
        return "waiting" if at < self.active_from else "active"

    @property
    def present(self) -> tuple[Vehicle, ...]:
        """Its vehicles, those that were deleted aside."""
        return tuple(vehicle for vehicle in self.vehicles if vehicle.deleted_at is None)

    def vehicle(self, id: str) -> Vehicle:
        """One of its present vehicles. Raises UnknownVehicle."""
        for vehicle in self.present:
            if vehicle.id == id:
                return vehicle
        raise UnknownVehicle(number=self.number, vehicle=id)

    def permit_id(self, vehicle: Vehicle) -> str:
        """What the vehicle's permit is called in the feed."""
        return f"{PERMIT}{self.number}-{vehicle.position}"


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody asked for, and what was decided. The request for a subscription has its id."""

    site: str
    id: str
    kind: Kind
    subscription: str
    submitted_at: datetime
    wanted: dict[str, Any]
    answers: dict[str, str]
    consents: dict[str, str]
    message: str | None
    attachments: tuple[str, ...]
    content_hash: str
    state: RequestState = "submitted"
    version: int = 1
    decided_at: datetime | None = None
    decided_by: str | None = None
    reason: str | None = None


# Asking


def missing(
    product: Product,
    *,
    answers: dict[str, str],
    consents: dict[str, str],
    proofs: int,
) -> Iterator[Problem.Error]:
    """What a request for a product lacks."""
    for question in product.questions:
        if question.required and not answers.get(question.code, "").strip():
            yield Problem.Error(f"/answers/{question.code}", N_("is missing"))
    known = {question.code for question in product.questions}
    for code in answers.keys() - known:
        yield Problem.Error(f"/answers/{code}", N_("is not known here"))
    for code in CONSENTS:
        needed = product.price_cents > 0 or code not in PAYMENT_CONSENTS
        if needed and code not in consents:
            yield Problem.Error(f"/consents/{code}", N_("must be accepted"))
    if product.proof_required and not proofs:
        yield Problem.Error("/attachments", N_("a proof must be attached"))


def is_over(ends_on: date | None, site: Site, *, at: datetime) -> bool:
    """Whether a last day is over at the site."""
    if ends_on is None:
        return False
    return day_begins(ends_on + timedelta(days=1), site.time_zone) <= at


# Deciding


def approve(
    subscription: Subscription, product: Product, site: Site, *, at: datetime
) -> Subscription:
    """Approved at `at`: the 24 hours of every plate begin (DOMAIN 2.2).

    Raises NotInThisState, PaymentMethodMissing, TermOver.
    """
    _must_be(subscription, at, "requested")
    if is_over(subscription.ends_on, site, at=at):
        raise TermOver(ends_on=subscription.ends_on)
    _must_be_payable(subscription, product)
    starts_at = day_begins(subscription.starts_on, site.time_zone)
    approved = replace(
        subscription,
        decision="approved",
        decided_at=at,
        active_from=max(starts_at, at + timedelta(hours=site.activation_hours)),
        vehicles=tuple(
            vehicle if vehicle.deleted_at else replace(vehicle, confirmed_at=at)
            for vehicle in subscription.vehicles
        ),
    )
    return _with_end(approved, site)


def refuse(subscription: Subscription, *, at: datetime) -> Subscription:
    """Refused: nothing will be paid, and it is forgotten with what. Raises NotInThisState."""
    _must_be(subscription, at, "requested")
    return replace(subscription, decision="refused", decided_at=at, payment=None)


def withdraw(subscription: Subscription, *, at: datetime) -> Subscription:
    """The subscriber asks for it no more; as when it is refused. Raises NotInThisState."""
    _must_be(subscription, at, "requested")
    return replace(subscription, decision="withdrawn", decided_at=at, payment=None)


def suspend(subscription: Subscription, *, why: Why, at: datetime) -> Subscription:
    """Its plates are suspended from now on. Raises NotInThisState."""
    _must_be(subscription, at, "waiting", "active")
    return replace(subscription, suspended_at=at, suspended_for=why)


def resume(subscription: Subscription, *, at: datetime) -> Subscription:
    """No longer suspended; the clock of its plates was not stopped. Raises NotInThisState."""
    _must_be(subscription, at, "suspended")
    return replace(subscription, suspended_at=None, suspended_for=None)


def cancel(
    subscription: Subscription, *, last_day: date | None, site: Site, at: datetime
) -> Subscription:
    """Cancelled after its last day, or at once (None); one that awaits it may get another day.

    Raises NotInThisState, Invalid.
    """
    _must_be(subscription, at, "waiting", "active", "suspended")
    if last_day is None:
        # What is over is suspended no more: patrollers are told that it was cancelled.
        subscription = replace(subscription, suspended_at=None, suspended_for=None)
        ends_at = at
    else:
        ends_at = day_begins(last_day + timedelta(days=1), site.time_zone)
        if ends_at <= at:
            raise Invalid(errors=[Problem.Error("/on", N_("is over: a day to come is needed"))])
    return _with_end(replace(subscription, cancelled_at=ends_at), site)


def keep(subscription: Subscription, *, site: Site, at: datetime) -> Subscription:
    """A cancellation that has not come is taken back. Raises NotInThisState."""
    _must_be(subscription, at, "waiting", "active", "suspended")
    return _with_end(replace(subscription, cancelled_at=None), site)


def renew(
    subscription: Subscription, *, ends_on: date | None, site: Site, at: datetime
) -> Subscription:
    """Goes on until another day, or without an end; plates keep their clock (DOMAIN 2.3).

    Raises NotInThisState, Invalid.
    """
    _must_be(subscription, at, "waiting", "active", "suspended")
    before = subscription.ends_on
    if ends_on is not None and (before is None or ends_on <= before):
        raise Invalid(errors=[Problem.Error("/ends_on", N_("must be later than its end now"))])
    return _with_end(replace(subscription, ends_on=ends_on), site)


def change_product(subscription: Subscription, product: Product, *, at: datetime) -> Subscription:
    """Another product from now on; plates keep their clock (DOMAIN 2.3).

    Raises NotInThisState, PaymentMethodMissing, TooManyVehicles.
    """
    _must_be(subscription, at, "waiting", "active", "suspended")
    _must_be_payable(subscription, product)
    if len(subscription.present) > product.max_vehicles:
        raise TooManyVehicles(product=product.code, most=product.max_vehicles)
    return replace(subscription, product=product.code)


# Vehicles


@dataclass(frozen=True, slots=True)
class Described:
    """A vehicle as somebody describes it."""

    plate: Plate
    plate_raw: str
    given: GivenVehicle


def add_vehicle(
    subscription: Subscription, id: str, described: Described, product: Product, *, at: datetime
) -> Subscription:
    """One more vehicle; its plate's clock begins now, or with the approval (DOMAIN 2.2).

    Raises NotInThisState, TooManyVehicles, PlateTwice.
    """
    _must_be(subscription, at, "requested", "waiting", "active", "suspended")
    if len(subscription.present) >= product.max_vehicles:
        raise TooManyVehicles(product=product.code, most=product.max_vehicles)
    _must_be_new(subscription, id, described.plate)
    added = Vehicle(
        id=id,
        position=max((vehicle.position for vehicle in subscription.vehicles), default=0) + 1,
        plate=described.plate,
        plate_raw=described.plate_raw,
        given=described.given,
        added_at=at,
        confirmed_at=at if subscription.decision == "approved" else None,
    )
    return replace(subscription, vehicles=(*subscription.vehicles, added))


def change_vehicle(
    subscription: Subscription, id: str, described: Described, *, at: datetime
) -> Subscription:
    """Described anew. Another plate begins its clock, another colour does not (DOMAIN 2.3).

    Raises NotInThisState, UnknownVehicle, PlateTwice.
    """
    _must_be(subscription, at, "requested", "waiting", "active", "suspended")
    before = subscription.vehicle(id)
    _must_be_new(subscription, id, described.plate)
    confirmed_at = before.confirmed_at
    if described.plate != before.plate and confirmed_at is not None:
        confirmed_at = at
    changed = replace(
        before,
        plate=described.plate,
        plate_raw=described.plate_raw,
        given=described.given,
        confirmed_at=confirmed_at,
    )
    return _with_vehicle(subscription, changed)


def delete_vehicle(subscription: Subscription, id: str, *, at: datetime) -> Subscription:
    """Sold or stolen: its plate ends at once (DOMAIN 2.4).

    Raises NotInThisState, UnknownVehicle.
    """
    _must_be(subscription, at, "requested", "waiting", "active", "suspended")
    return _with_vehicle(subscription, replace(subscription.vehicle(id), deleted_at=at))


# What the enforcement side knows of it


def number_of(permit: str) -> str | None:
    """The contract number in what a permit is called in the feed; None: it is no subscription's."""
    number, dash, _ = permit.removeprefix(PERMIT).rpartition("-")
    return number if dash and permit.startswith(PERMIT) else None


def permit(subscription: Subscription, vehicle: Vehicle, product: Product) -> PlateUpdateIn | None:
    """What is pushed of a vehicle, but for its version; None before the approval.

    A deleted vehicle ends when it was deleted. One of a suspended subscription is suspended until
    the end, also where a cancellation is to come.
    """
    if vehicle.confirmed_at is None:
        return None
    status: Literal["active", "suspended", "cancelled"] = "active"
    ends_at = subscription.cancelled_at
    if vehicle.deleted_at is not None:
        status, ends_at = "cancelled", vehicle.deleted_at
    elif subscription.suspended_at is not None:
        status = "suspended"
    elif ends_at is not None and ends_at == subscription.ends_at:
        status = "cancelled"  # and not one that is over before it is cancelled
    given = vehicle.given
    return PlateUpdateIn(
        id=subscription.permit_id(vehicle),
        version=0 if vehicle.permit_version is None else vehicle.permit_version,
        plate=vehicle.plate_raw,
        jurisdiction=vehicle.plate.jurisdiction,
        site=subscription.site,
        zones=list(product.zones),
        permit_number=subscription.number,
        valid_from=subscription.starts_on,
        valid_until=subscription.ends_on,
        confirmed_at=vehicle.confirmed_at,
        ends_at=ends_at,
        status=status,
        vehicle=VehicleIn(make=given.make, model=given.model, year=given.year, colour=given.colour),
    )


def usable_from(subscription: Subscription, vehicle: Vehicle, site: Site) -> datetime | None:
    """From when the vehicle's plate works: the later of its activation and the start (DOMAIN 2.2);
    None before the approval.
    """
    if vehicle.confirmed_at is None:
        return None
    active_from = vehicle.confirmed_at + timedelta(hours=site.activation_hours)
    return max(active_from, day_begins(subscription.starts_on, site.time_zone))


def _must_be(subscription: Subscription, at: datetime, *statuses: Status) -> None:
    if subscription.status(at) not in statuses:
        raise NotInThisState(subscription, at)


def _must_be_payable(subscription: Subscription, product: Product) -> None:
    method = subscription.payment
    if product.price_cents > 0 and (method is None or not method.is_complete):
        raise PaymentMethodMissing(product=product.code)


def _must_be_new(subscription: Subscription, id: str, plate: Plate) -> None:
    for other in subscription.present:
        if other.id != id and other.plate == plate:
            raise PlateTwice(vehicle=other.id, plate=plate.text)


def _with_vehicle(subscription: Subscription, changed: Vehicle) -> Subscription:
    vehicles: Sequence[Vehicle] = subscription.vehicles
    return replace(
        subscription, vehicles=tuple(changed if v.id == changed.id else v for v in vehicles)
    )


def _with_end(subscription: Subscription, site: Site) -> Subscription:
    ends = [subscription.cancelled_at]
    if subscription.ends_on is not None:
        ends.append(day_begins(subscription.ends_on + timedelta(days=1), site.time_zone))
    return replace(
        subscription, ends_at=min((end for end in ends if end is not None), default=None)
    )
