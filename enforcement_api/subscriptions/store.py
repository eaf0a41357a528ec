"""The SQL of subscriptions: what there is, how it is found, and what was done to it."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, func, insert, or_, select, tuple_, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql import ColumnElement

from enforcement_api.audit import store as audit
from enforcement_api.audit.core import Entry
from enforcement_api.database.engine import Record
from enforcement_api.database.tables import (
    categories,
    contract_series,
    contracts,
    holders,
    messages,
    products,
    requests,
    subscription_events,
    subscriptions,
    vehicles,
)
from enforcement_api.devices.numbers import first_of_a_series
from enforcement_api.permits.core import GivenVehicle
from enforcement_api.problems import N_, Problem
from enforcement_api.shapes import page_instant
from enforcement_api.subscriptions.core import (
    Category,
    Holder,
    PaymentMethod,
    Product,
    Question,
    Request,
    Status,
    Subscription,
    Vehicle,
)
from sync import codec
from sync.plates import Plate

_Query = Select[Any]
_Where = ColumnElement[bool]

FIRST_NUMBER = 100_000_001
"""Of a site's contracts."""


class UnknownHolder(Problem):
    """No such holder."""

    status = 404
    slug = "unknown-holder"
    title = N_("There is no such subscriber")
    detail = N_("Check the id {id}; GET /v1/holders finds people by name and by e-mail.")


class UnknownProduct(Problem):
    """The site has no such product."""

    status = 404
    slug = "unknown-product"
    title = N_("The site has no such product")
    detail = N_("Check the code {code}; GET /v1/products lists those of site {site}.")


class UnknownCategory(Problem):
    """The site has no such category of users."""

    status = 404
    slug = "unknown-category"
    title = N_("The site has no such category of users")
    detail = N_("Check the code {code}; GET /v1/categories lists those of site {site}.")


class UnknownSubscription(Problem):
    """No such subscription."""

    status = 404
    slug = "unknown-subscription"
    title = N_("There is no such subscription")
    detail = N_("Check the id {id}; GET /v1/subscriptions finds them by number, plate and holder.")


class UnknownRequest(Problem):
    """No such request."""

    status = 404
    slug = "unknown-request"
    title = N_("There is no such request")
    detail = N_("Check the id {id}; GET /v1/requests lists what was asked for.")


class UnknownContract(Problem):
    """No contract was made."""

    status = 404
    slug = "unknown-contract"
    title = N_("There is no contract")
    detail = N_("One is made when the subscription is approved.")


class LostUpdate(Problem):
    """Somebody else changed it since it was looked at."""

    status = 412
    slug = "lost-update"
    title = N_("It was changed meanwhile")
    detail = N_("You looked at another version than {found}, at which it is now. Look at it again.")


class ActionConflict(Problem):
    """An id that stands for something else already."""

    status = 409
    slug = "action-conflict"
    title = N_("This id was used for something else")
    detail = N_("{id} came before with other content. Make a new id for a new action.")


def check_version(found: int, expected: int | None) -> None:
    """Raises LostUpdate, unless what is there is what somebody looked at (None: whatever it is)."""
    if expected is not None and found != expected:
        raise LostUpdate(found=found)


# Categories and products


def put_category(tx: Connection, category: Category) -> bool:
    """Write a category; whether it is new."""
    return _put(
        tx,
        categories,
        {"site": category.site, "code": category.code},
        {"name": category.name, "active": category.active},
    )


def category(tx: Connection, site: str, code: str) -> Category:
    """A category. Raises UnknownCategory."""
    c = categories.c
    row = tx.execute(select(categories).where(c.site == site, c.code == code)).first()
    if row is None:
        raise UnknownCategory(site=site, code=code)
    return Category(**row._mapping)


def put_product(tx: Connection, product: Product) -> bool:
    """Write a product; whether it is new."""
    values = {
        "version": product.version,
        "name": product.name,
        "category": product.category,
        "price_cents": product.price_cents,
        "billing_period": product.billing_period,
        "zones": " ".join(product.zones),
        "notice": product.notice,
        "questions": [
            {"code": q.code, "text": q.text, "required": q.required} for q in product.questions
        ],
        "proof_required": product.proof_required,
        "max_vehicles": product.max_vehicles,
        "grace_days": product.grace_days,
        "active": product.active,
    }
    return _put(tx, products, {"site": product.site, "code": product.code}, values)


def find_product(tx: Connection, site: str, code: str, *, lock: bool = False) -> Product | None:
    """A product, or None. `lock`: it stays as it is until the transaction ends."""
    query: _Query = select(products).where(products.c.site == site, products.c.code == code)
    row = tx.execute(query.with_for_update() if lock else query).first()
    return None if row is None else _product_of(row)


def product(tx: Connection, site: str, code: str, *, lock: bool = False) -> Product:
    """A product. Raises UnknownProduct."""
    found = find_product(tx, site, code, lock=lock)
    if found is None:
        raise UnknownProduct(site=site, code=code)
    return found


def _product_of(row: Row[Any]) -> Product:
    values = dict(row._mapping)
    values["zones"] = tuple(values["zones"].split(" "))
    values["questions"] = tuple(Question(**q) for q in values["questions"])
    return Product(**values)


# Holders


def put_holder(tx: Connection, holder: Holder) -> bool:
    """Write a holder; whether they are new."""
    values = {column.name: getattr(holder, column.name) for column in holders.c}
    return _put(tx, holders, {"site": values.pop("site"), "id": values.pop("id")}, values)


def find_holder(tx: Connection, id: str, *, lock: bool = False) -> Holder | None:
    """A holder, or None. `lock`: they stay as they are until the transaction ends."""
    query: _Query = select(holders).where(holders.c.id == id)
    row = tx.execute(query.with_for_update() if lock else query).first()
    return None if row is None else Holder(**row._mapping)


def holder(tx: Connection, id: str, *, lock: bool = False) -> Holder:
    """A holder. Raises UnknownHolder."""
    found = find_holder(tx, id, lock=lock)
    if found is None:
        raise UnknownHolder(id=id)
    return found


def holders_named(tx: Connection, site: str, ids: Collection[str]) -> dict[str, Holder]:
    """The holders of these ids."""
    c = holders.c
    query = select(holders).where(c.site == site, c.id.in_(sorted(set(ids))))
    return {row.id: Holder(**row._mapping) for row in tx.execute(query)}


# Subscriptions


def next_number(tx: Connection, site: str) -> str:
    """A contract number that nobody has. The site's series is locked until the transaction ends."""
    c = contract_series.c
    take = update(contract_series).where(c.site == site).values(next=c.next + 1).returning(c.next)
    found = tx.execute(take).scalar()
    if found is None:
        try:
            with tx.begin_nested():
                first = FIRST_NUMBER - 1 + first_of_a_series(tx)
                tx.execute(insert(contract_series).values(site=site, next=first))
        except IntegrityError:
            pass  # another transaction began it at this moment
        found = tx.execute(take).scalar_one()
    return str(found - 1)


def add_subscription(tx: Connection, subscription: Subscription) -> None:
    """Write one that is new, with its vehicles."""
    tx.execute(insert(subscriptions).values(_subscription_row(subscription)))
    for vehicle in subscription.vehicles:
        _add_vehicle(tx, subscription, vehicle)


def save_subscription(tx: Connection, before: Subscription, after: Subscription) -> None:
    """Write what changed of one that was read under a lock."""
    here = and_(subscriptions.c.site == after.site, subscriptions.c.id == after.id)
    tx.execute(update(subscriptions).where(here).values(_subscription_row(after)))
    known = {vehicle.id: vehicle for vehicle in before.vehicles}
    for vehicle in after.vehicles:
        if vehicle.id not in known:
            _add_vehicle(tx, after, vehicle)
        elif vehicle != known[vehicle.id]:
            this = and_(vehicles.c.site == after.site, vehicles.c.id == vehicle.id)
            tx.execute(update(vehicles).where(this).values(_vehicle_row(after, vehicle)))


def _add_vehicle(tx: Connection, subscription: Subscription, vehicle: Vehicle) -> None:
    """Write one that is new. Raises ActionConflict where another subscription has its id."""
    try:
        with tx.begin_nested():
            tx.execute(insert(vehicles).values(_vehicle_row(subscription, vehicle)))
    except IntegrityError as error:
        raise ActionConflict(id=vehicle.id) from error


def find_subscription(tx: Connection, id: str, *, lock: bool = False) -> Subscription | None:
    """A subscription with its vehicles, or None. `lock`: nobody else changes it until the
    transaction ends.
    """
    query: _Query = select(subscriptions).where(subscriptions.c.id == id)
    row = tx.execute(query.with_for_update() if lock else query).first()
    return None if row is None else _with_vehicles(tx, row.site, [row])[0]


def subscription(tx: Connection, id: str, *, lock: bool = False) -> Subscription:
    """A subscription. Raises UnknownSubscription."""
    found = find_subscription(tx, id, lock=lock)
    if found is None:
        raise UnknownSubscription(id=id)
    return found


def numbered(tx: Connection, site: str, number: str) -> Subscription | None:
    """The subscription with a contract number, or None."""
    c = subscriptions.c
    row = tx.execute(select(subscriptions).where(c.site == site, c.number == number)).first()
    return None if row is None else _with_vehicles(tx, site, [row])[0]


def subscriptions_named(tx: Connection, site: str, ids: Collection[str]) -> dict[str, Subscription]:
    """The subscriptions of these ids, with their vehicles."""
    c = subscriptions.c
    query = select(subscriptions).where(c.site == site, c.id.in_(sorted(set(ids))))
    return {one.id: one for one in _with_vehicles(tx, site, tx.execute(query).all())}


def of_product(tx: Connection, site: str, code: str, *, at: datetime) -> list[Subscription]:
    """The subscriptions of a product that are approved and not over, locked until the transaction
    ends.
    """
    c = subscriptions.c
    lives = or_(c.ends_at.is_(None), c.ends_at > at)
    here = and_(c.site == site, c.product == code, c.decision == "approved", lives)
    query = select(subscriptions).where(here).order_by(c.number)
    return _with_vehicles(tx, site, tx.execute(query.with_for_update()).all())


def count_pushed(tx: Connection, site: str, ids: Sequence[str]) -> None:
    """The permits of these vehicles were pushed once more."""
    c = vehicles.c
    for at in range(0, len(ids), 1000):
        here = and_(c.site == site, c.id.in_(ids[at : at + 1000]))
        more = func.coalesce(c.permit_version, 0) + 1
        tx.execute(update(vehicles).where(here).values(permit_version=more))


def of_holder(tx: Connection, site: str, holder: str, *, lock: bool = False) -> list[Subscription]:
    """All subscriptions of a holder, the oldest first. `lock`: nobody else changes them until the
    transaction ends.
    """
    c = subscriptions.c
    query: _Query = (
        select(subscriptions).where(c.site == site, c.holder == holder).order_by(c.number)
    )
    rows = tx.execute(query.with_for_update() if lock else query).all()
    return _with_vehicles(tx, site, rows)


def sharing(tx: Connection, site: str, ids: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
    """Of each vehicle of these subscriptions whose plate is on another one too: the number and the
    id of those others.
    """
    other = vehicles.alias("other")
    v, o, s = vehicles.c, other.c, subscriptions.c
    same_plate = and_(
        o.site == v.site,
        o.plate == v.plate,
        o.jurisdiction == v.jurisdiction,
        o.subscription != v.subscription,
        o.deleted_at.is_(None),
    )
    query = (
        select(v.id.label("vehicle"), s.number, s.id)
        .join(other, same_plate)
        .join(subscriptions, and_(s.site == o.site, s.id == o.subscription))
        .where(v.site == site, v.subscription.in_(ids), v.deleted_at.is_(None))
        .where(v.plate != "")  # of somebody who was erased
        .order_by(s.number)
    )
    found: dict[str, list[tuple[str, str]]] = {}
    for row in tx.execute(query) if ids else ():
        found.setdefault(row.vehicle, []).append((row.number, row.id))
    return found


def _with_vehicles(tx: Connection, site: str, rows: Sequence[Row[Any]]) -> list[Subscription]:
    found: dict[str, list[Vehicle]] = {row.id: [] for row in rows}
    ids = list(found)
    for at in range(0, len(ids), 1000):
        v = vehicles.c
        query = (
            select(vehicles)
            .where(v.site == site, v.subscription.in_(ids[at : at + 1000]))
            .order_by(v.subscription, v.position)
        )
        for row in tx.execute(query):
            found[row.subscription].append(_vehicle_of(row))
    return [_subscription_of(row, tuple(found[row.id])) for row in rows]


_PAYMENT = {
    "kind": "payment_method",
    "token": "payment_token",
    "brand": "card_brand",
    "last4": "card_last4",
    "expiry": "card_expiry",
    "cheque": "cheque",
}
"""Where the parts of a payment method lie."""
_PLAIN = (
    "site", "id", "number", "version", "holder", "product", "decision", "requested_at",
    "decided_at", "starts_on", "ends_on", "active_from", "ends_at", "cancelled_at",
    "suspended_at", "suspended_for",
)  # fmt: skip


def _subscription_of(row: Row[Any], its: tuple[Vehicle, ...]) -> Subscription:
    values = row._mapping
    method = None
    if values["payment_method"] is not None:
        method = PaymentMethod(**{part: values[column] for part, column in _PAYMENT.items()})
    plain = {name: values[name] for name in _PLAIN}
    return Subscription(**plain, payment=method, vehicles=its)


def _subscription_row(subscription: Subscription) -> dict[str, Any]:
    method = subscription.payment
    paid = {c: None if method is None else getattr(method, part) for part, c in _PAYMENT.items()}
    return {name: getattr(subscription, name) for name in _PLAIN} | paid


def _vehicle_of(row: Row[Any]) -> Vehicle:
    return Vehicle(
        id=row.id,
        position=row.position,
        plate=Plate(row.plate, row.jurisdiction),
        plate_raw=row.plate_raw,
        given=GivenVehicle(row.make, row.model, row.year, row.colour),
        added_at=row.added_at,
        confirmed_at=row.confirmed_at,
        deleted_at=row.deleted_at,
        permit_version=row.permit_version,
    )


def _vehicle_row(subscription: Subscription, vehicle: Vehicle) -> dict[str, Any]:
    given = vehicle.given
    return {
        "site": subscription.site,
        "id": vehicle.id,
        "subscription": subscription.id,
        "position": vehicle.position,
        "plate": vehicle.plate.text,
        "jurisdiction": vehicle.plate.jurisdiction,
        "plate_raw": vehicle.plate_raw,
        "make": given.make,
        "model": given.model,
        "year": given.year,
        "colour": given.colour,
        "added_at": vehicle.added_at,
        "confirmed_at": vehicle.confirmed_at,
        "deleted_at": vehicle.deleted_at,
        "permit_version": vehicle.permit_version,
    }


# Requests


def add_request(record: Record, tx: Connection, request: Request) -> bool:
    """Write a request, unless there is one of its id; whether it was written."""
    added = tx.execute(
        record.insert(requests).values(_request_row(request)).on_conflict_do_nothing()
    )
    return bool(added.rowcount)


def save_request(tx: Connection, request: Request) -> None:
    """Write what was decided."""
    here = and_(requests.c.site == request.site, requests.c.id == request.id)
    tx.execute(update(requests).where(here).values(_request_row(request)))


def find_request(tx: Connection, id: str, *, lock: bool = False) -> Request | None:
    """A request, or None. `lock`: nobody else decides it until the transaction ends."""
    query: _Query = select(requests).where(requests.c.id == id)
    row = tx.execute(query.with_for_update() if lock else query).first()
    return None if row is None else _request_of(row)


def request(tx: Connection, id: str, *, lock: bool = False) -> Request:
    """A request. Raises UnknownRequest."""
    found = find_request(tx, id, lock=lock)
    if found is None:
        raise UnknownRequest(id=id)
    return found


def requests_of(tx: Connection, site: str, subscription: str) -> list[Request]:
    """All requests about a subscription, the oldest first."""
    c = requests.c
    query = (
        select(requests)
        .where(c.site == site, c.subscription == subscription)
        .order_by(c.submitted_at)  # as in its index: SQLite would read all requests for the rest
    )
    found = (_request_of(row) for row in tx.execute(query))
    return sorted(found, key=lambda one: (one.submitted_at, one.id))


def _request_of(row: Row[Any]) -> Request:
    values = dict(row._mapping)
    values["attachments"] = tuple(values["attachments"])
    return Request(**values)


def _request_row(request: Request) -> dict[str, Any]:
    values = {column.name: getattr(request, column.name) for column in requests.c}
    return values | {"attachments": list(request.attachments)}


# Messages and contracts


@dataclass(frozen=True, slots=True)
class Message:
    """Something that a subscriber or the office wrote about a subscription."""

    site: str
    id: str
    subscription: str
    sender: str
    at: datetime
    subject: str
    body: str
    attachments: tuple[str, ...]
    content_hash: str


def add_message(record: Record, tx: Connection, message: Message) -> bool:
    """Write a message, unless there is one of its id; whether it was written."""
    values = {column.name: getattr(message, column.name) for column in messages.c}
    values["attachments"] = list(message.attachments)
    added = tx.execute(record.insert(messages).values(values).on_conflict_do_nothing())
    return bool(added.rowcount)


def find_message(tx: Connection, id: str) -> Message | None:
    """A message, or None."""
    row = tx.execute(select(messages).where(messages.c.id == id)).first()
    return None if row is None else _message_of(row)


def messages_of(tx: Connection, site: str, subscription: str) -> list[Message]:
    """All messages about a subscription, the oldest first."""
    c = messages.c
    query = (
        select(messages).where(c.site == site, c.subscription == subscription).order_by(c.at, c.id)
    )
    return [_message_of(row) for row in tx.execute(query)]


def _message_of(row: Row[Any]) -> Message:
    values = dict(row._mapping)
    values["attachments"] = tuple(values["attachments"])
    return Message(**values)


def add_contract(
    tx: Connection, subscription: Subscription, facts: dict[str, Any], at: datetime
) -> int:
    """Keep what a contract says; its position among those of the subscription."""
    c = contracts.c
    here = and_(c.site == subscription.site, c.subscription == subscription.id)
    last = tx.execute(select(func.max(c.position)).where(here)).scalar() or 0
    tx.execute(
        insert(contracts).values(
            site=subscription.site,
            subscription=subscription.id,
            position=last + 1,
            made_at=at,
            facts=facts | {"position": last + 1},
        )
    )
    return int(last + 1)


def contract(tx: Connection, site: str, subscription: str, position: int | None) -> dict[str, Any]:
    """What a contract says; the last one, if no position is given. Raises UnknownContract."""
    c = contracts.c
    query = select(c.facts).where(c.site == site, c.subscription == subscription)
    if position is not None:
        query = query.where(c.position == position)
    found = tx.execute(query.order_by(c.position.desc()).limit(1)).scalar()
    if found is None:
        raise UnknownContract
    return dict(found)


def contract_positions(tx: Connection, site: str, subscription: str) -> list[tuple[int, datetime]]:
    """The contracts of a subscription, and when each was made."""
    c = contracts.c
    query = (
        select(c.position, c.made_at)
        .where(c.site == site, c.subscription == subscription)
        .order_by(c.position)
    )
    return [(row.position, row.made_at) for row in tx.execute(query)]


# What was done


@dataclass(frozen=True, slots=True)
class Action:
    """Who does something, when and why. `id` is the client's, which makes it safe to send again;
    `content_hash` is what came with it.
    """

    by: str
    at: datetime
    id: str | None = None
    content_hash: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that was done to a subject."""

    at: datetime
    by: str
    action: str
    reason: str | None
    facts: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """As it is answered."""
        return {
            "at": codec.instant(self.at),
            "by": self.by,
            "action": self.action,
            "reason": self.reason,
            "facts": self.facts,
        }


def was_done(tx: Connection, subject: str, action: Action) -> bool:
    """Whether this very action came before. Asked with the subject locked.

    Raises ActionConflict where its id stands for something else.
    """
    if action.id is None:
        return False
    c = subscription_events.c
    row = tx.execute(select(c.subject, c.content_hash).where(c.action_id == action.id)).first()
    if row is None:
        return False
    if (row.subject, row.content_hash) != (subject, action.content_hash):
        raise ActionConflict(id=action.id)
    return True


def remember(
    tx: Connection, site: str, subject: str, what: str, action: Action, **facts: Any
) -> None:
    """Write down what was done: for people, and without what is personal in the audit log.

    `facts` hold nothing personal, since they cannot be erased from there. Raises ActionConflict.
    """
    c = subscription_events.c
    here = and_(c.site == site, c.subject == subject)
    last = tx.execute(select(func.max(c.position)).where(here)).scalar() or 0
    row = {
        "site": site,
        "subject": subject,
        "position": last + 1,
        "action_id": action.id,
        "content_hash": action.content_hash,
        "at": action.at,
        "by": action.by,
        "action": what,
        "reason": action.reason,
        "facts": facts,
    }
    try:
        with tx.begin_nested():
            tx.execute(insert(subscription_events).values(row))
    except IntegrityError as error:
        raise ActionConflict(id=action.id) from error
    audit.append(tx, Entry(action.at, action.by, what, subject, facts), site=site)


def events_of(tx: Connection, site: str, subject: str) -> list[Event]:
    """All that was done to a subject, the oldest first."""
    c = subscription_events.c
    query = (
        select(c.at, c.by, c.action, c.reason, c.facts)
        .where(c.site == site, c.subject == subject)
        .order_by(c.position)
    )
    return [Event(**row._mapping) for row in tx.execute(query)]


# Lists


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows of a list are wanted, and after which the page begins."""

    sites: Collection[str]
    limit: int
    after: tuple[Any, ...] | None = None


def page_of(query: _Query, wanted: Wanted, order: Sequence[ColumnElement[Any]]) -> _Query:
    """One page and a row more, in order after a position."""
    query = query.where(order[0].in_(sorted(wanted.sites))).order_by(*order)
    if wanted.after is not None:
        query = query.where(_beyond(order, wanted.after, wanted.sites))
    return query.limit(wanted.limit + 1)


def _beyond(
    order: Sequence[ColumnElement[Any]], after: Sequence[Any], sites: Collection[str]
) -> _Where:
    """Rows of the sites after a position, whose first part is a site: further on at that one, or at
    a later one. Of one site, an index goes to the very place.
    """
    site, *rest = order
    there = tuple_(*after[1:], types=[column.type for column in rest])
    further = and_(site == after[0], tuple_(*rest) > there)
    later = sorted(one for one in sites if one > after[0])
    return or_(further, site.in_(later)) if later else further


def list_categories(tx: Connection, wanted: Wanted) -> list[Category]:
    """Categories by site and code."""
    c = categories.c
    query = page_of(select(categories), wanted, (c.site, c.code))
    return [Category(**row._mapping) for row in tx.execute(query)]


def list_products(
    tx: Connection, wanted: Wanted, *, category: str | None, active: bool | None
) -> list[Product]:
    """Products by site and code."""
    c = products.c
    query = page_of(select(products), wanted, (c.site, c.code))
    if category is not None:
        query = query.where(c.category == category)
    if active is not None:
        query = query.where(c.active == active)
    return [_product_of(row) for row in tx.execute(query)]


def list_holders(
    tx: Connection, wanted: Wanted, *, email: str | None, q: str | None
) -> list[Holder]:
    """Holders by site and name; those that were erased aside."""
    c = holders.c
    query = select(holders).where(c.erased_at.is_(None))
    if email is not None:
        query = query.where(c.email == email)
    for word in (q or "").split():
        like = f"%{_literally(word.lower())}%"
        query = query.where(
            or_(
                func.lower(c.first_name).like(like, escape="\\"),
                func.lower(c.last_name).like(like, escape="\\"),
                func.lower(c.email).like(like, escape="\\"),
            )
        )
    query = page_of(query, wanted, (c.site, c.last_name, c.first_name, c.id))
    return [Holder(**row._mapping) for row in tx.execute(query)]


def list_subscriptions(
    tx: Connection,
    wanted: Wanted,
    *,
    at: datetime,
    statuses: Collection[Status],
    product: str | None,
    category: str | None,
    holder: str | None,
    number: str | None,
    plates: Collection[str],
) -> list[Subscription]:
    """Subscriptions by site and number."""
    c = subscriptions.c
    query: _Query = select(subscriptions)
    if statuses:
        query = query.where(or_(*(_has_status(status, at) for status in statuses)))
    for column, value in ((c.product, product), (c.holder, holder), (c.number, number)):
        if value is not None:
            query = query.where(column == value)
    if category is not None:
        p = products.c
        of_category = select(p.code).where(p.site == c.site, p.category == category)
        query = query.where(c.product.in_(of_category))
    if plates:
        v = vehicles.c
        with_plate = select(v.subscription).where(
            v.site.in_(wanted.sites), v.plate.in_(plates), v.plate != "", v.deleted_at.is_(None)
        )
        query = query.where(c.id.in_(with_plate))
    rows = tx.execute(page_of(query, wanted, (c.site, c.number))).all()
    found: dict[str, Subscription] = {}
    for site in {row.site for row in rows}:
        of_site = _with_vehicles(tx, site, [row for row in rows if row.site == site])
        found |= {subscription.id: subscription for subscription in of_site}
    return [found[row.id] for row in rows]


def _has_status(status: Status, at: datetime) -> _Where:
    """Rows whose Subscription.status(at) is this one."""
    c = subscriptions.c
    if status in ("requested", "refused", "withdrawn"):
        return c.decision == status
    is_over = and_(c.ends_at.is_not(None), c.ends_at <= at)
    was_cancelled = and_(c.cancelled_at.is_not(None), c.ends_at == c.cancelled_at)
    lives = or_(c.ends_at.is_(None), c.ends_at > at)
    not_suspended = c.suspended_at.is_(None)
    conditions: dict[Status, tuple[_Where, ...]] = {
        "cancelled": (is_over, was_cancelled),
        "ended": (is_over, or_(c.cancelled_at.is_(None), c.ends_at != c.cancelled_at)),
        "suspended": (lives, c.suspended_at.is_not(None)),
        "waiting": (lives, not_suspended, c.active_from > at),
        "active": (lives, not_suspended, c.active_from <= at),
    }
    return and_(c.decision == "approved", *conditions[status])


def since(wanted: Wanted) -> Wanted:
    """A page of requests: the second part of its position is an instant, in seconds."""
    if wanted.after is None:
        return wanted
    site, seconds, id = wanted.after
    return replace(wanted, after=(site, page_instant(seconds), id))


def list_requests(
    tx: Connection,
    wanted: Wanted,
    *,
    states: Collection[str],
    kinds: Collection[str],
    subscription: str | None,
) -> list[Request]:
    """Requests by site, the one that was submitted first at the top."""
    c = requests.c
    query: _Query = select(requests)
    if states:
        query = query.where(c.state.in_(states))
    if kinds:
        query = query.where(c.kind.in_(kinds))
    if subscription is not None:
        query = query.where(c.subscription == subscription)
    query = page_of(query, wanted, (c.site, c.submitted_at, c.id))
    return [_request_of(row) for row in tx.execute(query)]


def next_request(
    tx: Connection, site: str, after: Request | None, *, kinds: Collection[str]
) -> Request | None:
    """The next request to be decided, in the order of `list_requests`; after the last, the first
    again.
    """
    place = None if after is None else (site, after.submitted_at, after.id)
    for begin in (place, None):
        wanted = Wanted([site], 1, begin)
        found = list_requests(tx, wanted, states=["submitted"], kinds=kinds, subscription=None)
        for one in found:
            if after is None or one.id != after.id:
                return one
    return None


def count_undecided(tx: Connection, site: str) -> dict[str, int]:
    """How many requests are to be decided, by kind."""
    c = requests.c
    query = (
        select(c.kind, func.count())
        .where(c.site == site, c.state == "submitted")
        .group_by(c.kind)
        .order_by(c.kind)
    )
    return {kind: int(count) for kind, count in tx.execute(query)}


def _literally(word: str) -> str:
    return word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def new_id() -> str:
    """An id of ours."""
    return str(uuid.uuid4())


def _put(tx: Connection, table: Any, key: dict[str, Any], values: dict[str, Any]) -> bool:
    """Write a row; whether it is new. Raises LostUpdate where another comes at this moment."""
    here = and_(*(table.c[name] == value for name, value in key.items()))
    if tx.execute(update(table).where(here).values(values)).rowcount:
        return False
    try:
        with tx.begin_nested():
            tx.execute(insert(table).values(key | values))
    except IntegrityError as error:
        raise LostUpdate(found=1) from error
    return True
