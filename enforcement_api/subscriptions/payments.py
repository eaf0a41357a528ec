"""What subscriptions owe, what became of it, and on which pages cards are given.

A payment is tried under an order id that is written down before anybody is asked to charge it, and
asked for under that same id until its outcome is known. Its ids follow from the subscription's, so
that a record that was restored from a backup asks again for what it has forgotten under the same
order, and finds it charged. What happens to a payment is pure; the SQL stands below.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, Row, and_, func, insert, or_, select, update

from enforcement_api.database.engine import Record
from enforcement_api.database.tables import payment_pages, payments, subscriptions
from enforcement_api.problems import N_, Problem, Sentence
from enforcement_api.subscriptions.core import Method, Product, Subscription

State = Literal["due", "failed", "paid", "void", "refunding", "refunded"]
"""`failed`: declined, and tried again. `void`: nothing is charged for it any more."""

OWED: tuple[State, ...] = ("due", "failed")
NO_CARD = "no_card"
"""Why a charge fails for which there is nothing to charge."""

_SOONEST, _LATEST = timedelta(seconds=15), timedelta(hours=1)
_NAMESPACE = uuid.UUID("5d1f0a3e-6a0e-4b57-9d41-5c9e3a0c7f11")


class UnknownPayment(Problem):
    """No such payment of the subscription."""

    status = 404
    slug = "unknown-payment"
    title = N_("The subscription has no such payment")
    detail = N_("GET /v1/subscriptions/{subscription}/payments lists those that it has.")


class UnknownPage(Problem):
    """No such payment page."""

    status = 404
    slug = "unknown-payment-page"
    title = N_("There is no such payment page")
    detail = N_("Open one: PUT it under a new id.")


class PaymentNotInThisState(Problem):
    """What is asked for does not fit what the payment is now."""

    status = 409
    slug = "payment-not-in-this-state"
    title = N_("This cannot be done to the payment as it is now")
    detail = N_("{told} Look at the payment again before you go on.")


NOT_PAID_BY_CARD = Sentence(N_("Only what was paid by card can be given back here."))
NOT_OWED_BY_CHEQUE = Sentence(N_("Only what is owed by cheque can be received here."))


@dataclass(frozen=True, slots=True)
class Payment:
    """An amount for a period. `position` counts from 1 in its subscription; `attempts` are orders
    that were declined. `asked_at`: when `order` was first asked for, while its outcome is unknown;
    `claimed_until`: somebody is asking until then. `charge`: the provider's name for what it took,
    or the cheque that paid it. `refund`: what gave it back.
    """

    site: str
    id: str
    subscription: str
    position: int
    kind: str
    method: Method
    period_from: date
    period_until: date | None
    amount_cents: int
    due_at: datetime
    state: State
    order: str
    attempts: int = 0
    asked_at: datetime | None = None
    charge: str | None = None
    next_try_at: datetime | None = None
    claimed_until: datetime | None = None
    failed_since: datetime | None = None
    grace_until: datetime | None = None
    reason: str | None = None
    settled_at: datetime | None = None
    refund: str | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether a provider was asked, and nobody knows what came of it."""
        return self.asked_at is not None


# What is owed


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be paid for one period of a subscription; `last`: None without an end."""

    position: int
    first: date
    last: date | None
    amount_cents: int


def owed(
    product: Product, *, approved_on: date, starts_on: date, ends_on: date | None, by: date
) -> tuple[Due, ...]:
    """The payments that a subscription owes by a local date, the first at the top.

    The first is owed from its approval on, whenever it starts (DOMAIN 4: "charged once approved").
    It is the only one for now: the later periods come with the collection calendar of the portal,
    which is a site's to set, and this function is the one place that will then name them.
    """
    if by < approved_on or product.price_cents == 0:
        return ()
    return (Due(1, starts_on, _last_day(product, starts_on, ends_on), product.price_cents),)


def _last_day(product: Product, first: date, ends_on: date | None) -> date | None:
    """The last day of the period that begins on a day; no later than the subscription's."""
    if product.billing_period in ("once", "term"):
        return ends_on
    if product.billing_period == "week":
        last = first + timedelta(days=6)
    else:
        last = _months_later(first, 12 if product.billing_period == "year" else 1)
        last -= timedelta(days=1)
    return last if ends_on is None else min(last, ends_on)


def _months_later(day: date, months: int) -> date:
    """The same day of a later month, or the last one of it."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    for number in (day.day, 30, 29, 28):
        try:
            return date(year, month + 1, number)
        except ValueError:
            continue
    raise AssertionError("every month has 28 days")


# What becomes of it


def is_chargeable(subscription: Subscription, at: datetime) -> bool:
    """Whether anything may be charged for it: not once it was refused, was cancelled or ended."""
    return subscription.status(at) in ("waiting", "active", "suspended")


def asked(payment: Payment, *, at: datetime, until: datetime) -> Payment:
    """Somebody asks the provider for its order, until then at most."""
    return replace(payment, asked_at=payment.asked_at or at, claimed_until=until)


def unanswered(payment: Payment, *, at: datetime) -> Payment:
    """Nobody knows: the same order is asked for again, each time after twice as long."""
    waited = at - (payment.asked_at or at)
    return replace(
        payment, claimed_until=None, next_try_at=at + min(max(waited, _SOONEST), _LATEST)
    )


def charged(payment: Payment, charge: str, *, at: datetime) -> Payment:
    """Its order took the money."""
    return replace(_at_rest(payment), state="paid", charge=charge, reason=None, settled_at=at)


def declined(
    payment: Payment, reason: str, *, at: datetime, next_try_at: datetime, grace_until: datetime
) -> Payment:
    """Its order took nothing: another one is tried later. The grace counts from the first."""
    tried = payment.attempts + 1
    is_first = payment.failed_since is None
    return replace(
        _at_rest(payment),
        state="failed",
        reason=reason,
        attempts=tried,
        order=order_id(payment.id, tried + 1),
        next_try_at=next_try_at,
        failed_since=payment.failed_since or at,
        grace_until=grace_until if is_first else payment.grace_until,
    )


def given_up(payment: Payment) -> Payment:
    """It is still owed, but not tried again until there is another card."""
    return _at_rest(payment)


def voided(payment: Payment, *, at: datetime) -> Payment:
    """It is owed no more."""
    return replace(_at_rest(payment), state="void", settled_at=at)


def received(payment: Payment, reference: str, *, at: datetime) -> Payment:
    """A cheque came. Raises PaymentNotInThisState."""
    if payment.method != "cheque" or payment.state not in OWED:
        raise PaymentNotInThisState(told=NOT_OWED_BY_CHEQUE, extra={"state": payment.state})
    return replace(_at_rest(payment), state="paid", charge=reference, settled_at=at)


def refunding(payment: Payment, refund: str, *, at: datetime) -> Payment:
    """It is to be given back; the provider is asked until it answers.

    Raises PaymentNotInThisState.
    """
    if payment.method != "card" or payment.state != "paid" or payment.charge is None:
        raise PaymentNotInThisState(told=NOT_PAID_BY_CARD, extra={"state": payment.state})
    return replace(payment, state="refunding", refund=refund, next_try_at=at)


def refunded(payment: Payment, *, at: datetime) -> Payment:
    """It was given back."""
    return replace(_at_rest(payment), state="refunded", settled_at=at)


def not_refunded(payment: Payment) -> Payment:
    """The provider gives nothing back: it stays paid."""
    return replace(_at_rest(payment), state="paid", refund=None)


def _at_rest(payment: Payment) -> Payment:
    """Nobody is asked about it, nor will be."""
    return replace(payment, asked_at=None, claimed_until=None, next_try_at=None)


def order_id(payment: str, number: int) -> str:
    """The order of a payment's n-th try: 50 characters at most, as providers take them."""
    return f"{payment}-{number}"


# The SQL


def owe(
    tx: Connection,
    *,
    site: str,
    subscription: str,
    method: Method,
    amount_cents: int,
    period_from: date,
    period_until: date | None,
    at: datetime,
) -> str:
    """A subscription owes an amount from now on; the payment's id. One by card is charged as soon
    as somebody looks. The subscription is locked by the caller.
    """
    here = _of_subscription(site, subscription)
    position = (tx.execute(select(func.max(payments.c.position)).where(here)).scalar() or 0) + 1
    id = str(uuid.uuid5(_NAMESPACE, f"{subscription}:{position}"))
    payment = Payment(
        site=site,
        id=id,
        subscription=subscription,
        position=position,
        kind="first" if position == 1 else "period",
        method=method,
        period_from=period_from,
        period_until=period_until,
        amount_cents=amount_cents,
        due_at=at,
        state="due",
        order=order_id(id, 1),
        next_try_at=at if method == "card" else None,
    )
    tx.execute(insert(payments).values(_row(payment)))
    return id


def balances(tx: Connection, site: str, subscriptions: Sequence[str]) -> dict[str, int]:
    """What each of these owes now, in cents; those that owe nothing are left out."""
    c = payments.c
    found: dict[str, int] = {}
    for at in range(0, len(subscriptions), 1000):
        these = subscriptions[at : at + 1000]
        query = (
            select(c.subscription, func.sum(c.amount_cents).label("cents"))
            .where(c.site == site, c.subscription.in_(these), c.state.in_(OWED))
            .group_by(c.subscription)
        )
        found |= {row.subscription: int(row.cents) for row in tx.execute(query)}
    return found


def void_unpaid(tx: Connection, site: str, subscription: str, *, at: datetime) -> None:
    """Nothing more is charged. An order that is under way keeps its true outcome."""
    for payment in of_subscription(tx, site, subscription):
        if payment.state in OWED and not payment.is_under_way:
            save(tx, voided(payment, at=at))


def hurry(tx: Connection, site: str, subscription: str, *, at: datetime) -> None:
    """A new card is here: what was not paid by the old one is tried at once."""
    c = payments.c
    here = and_(_of_subscription(site, subscription), c.state.in_(OWED), c.method == "card")
    tx.execute(update(payments).where(here).values(next_try_at=at))


def payment(tx: Connection, subscription: Subscription, id: str) -> Payment:
    """One of a subscription's payments. Whoever changes it has locked the subscription.

    Raises UnknownPayment.
    """
    c = payments.c
    here = and_(_of_subscription(subscription.site, subscription.id), c.id == id)
    row = tx.execute(select(payments).where(here)).first()
    if row is None:
        raise UnknownPayment(subscription=subscription.id)
    return _payment(row)


def of_subscription(
    tx: Connection, site: str, subscription: str, *, after: int = 0, limit: int | None = None
) -> list[Payment]:
    """A subscription's payments after a position, the oldest first."""
    c = payments.c
    query = (
        select(payments)
        .where(_of_subscription(site, subscription), c.position > after)
        .order_by(c.position)
        .limit(limit)
    )
    return [_payment(row) for row in tx.execute(query)]


def save(tx: Connection, payment: Payment) -> None:
    """Write what became of one that was read under a lock."""
    c = payments.c
    here = and_(c.site == payment.site, c.id == payment.id)
    tx.execute(update(payments).where(here).values(_row(payment)))


def to_try(tx: Connection, at: datetime, *, limit: int) -> list[tuple[str, str]]:
    """Payments that somebody should ask the provider about: subscription and id."""
    c = payments.c
    query = (
        select(c.subscription, c.id)
        .where(c.next_try_at <= at, or_(c.claimed_until.is_(None), c.claimed_until <= at))
        .order_by(c.next_try_at, c.id)
        .limit(limit)
    )
    return [(row.subscription, row.id) for row in tx.execute(query)]


def is_to_try(payment: Payment, at: datetime) -> bool:
    """As `to_try`, of a payment that was read under a lock."""
    is_free = payment.claimed_until is None or payment.claimed_until <= at
    return payment.next_try_at is not None and payment.next_try_at <= at and is_free


def beyond_grace(tx: Connection, at: datetime, *, limit: int) -> list[tuple[str, str]]:
    """Payments that failed and were not paid within the days of grace, of subscriptions that are
    not suspended: subscription and id. One that is to be tried now may be paid yet.
    """
    c, s = payments.c, subscriptions.c
    query = (
        select(c.subscription, c.id)
        .join(subscriptions, and_(s.site == c.site, s.id == c.subscription))
        .where(c.next_try_at > at, c.grace_until <= at, c.asked_at.is_(None))
        .where(c.state == "failed", s.suspended_at.is_(None))
        .order_by(c.next_try_at, c.id)
        .limit(limit)
    )
    return [(row.subscription, row.id) for row in tx.execute(query)]


def is_beyond_grace(payment: Payment, at: datetime) -> bool:
    """As `beyond_grace`, of a payment that was read under a lock."""
    later = payment.next_try_at is not None and payment.next_try_at > at
    is_waiting = later and payment.asked_at is None
    is_over = payment.grace_until is not None and payment.grace_until <= at
    return payment.state == "failed" and is_waiting and is_over


def look_at_order(tx: Connection, order: str, *, at: datetime) -> None:
    """The provider says that something became of an order: it is asked soon."""
    c = payments.c
    here = and_(c.order == order, c.asked_at.is_not(None), c.next_try_at > at)
    tx.execute(update(payments).where(here).values(next_try_at=at))


def _of_subscription(site: str, subscription: str) -> Any:
    return and_(payments.c.site == site, payments.c.subscription == subscription)


def _payment(row: Row[Any]) -> Payment:
    return Payment(**row._mapping)


def _row(payment: Payment) -> dict[str, Any]:
    return {column.name: getattr(payment, column.name) for column in payments.c}


# Pages on which a card is given


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the provider for a subscription. `completed_at`: its card is here."""

    site: str
    id: str
    subscription: str
    content_hash: str
    ticket: str
    url: str
    opened_at: datetime
    completed_at: datetime | None = None


def add_page(record: Record, tx: Connection, page: Page) -> bool:
    """Write a page, unless there is one of its id; whether it was written."""
    values = {column.name: getattr(page, column.name) for column in payment_pages.c}
    added = tx.execute(record.insert(payment_pages).values(values).on_conflict_do_nothing())
    return bool(added.rowcount)


def find_page(tx: Connection, id: str) -> Page | None:
    """A page, or None."""
    return _page(tx.execute(select(payment_pages).where(payment_pages.c.id == id)).first())


def page_of_ticket(tx: Connection, ticket: str) -> Page | None:
    """The page of a ticket, or None."""
    return _page(tx.execute(select(payment_pages).where(payment_pages.c.ticket == ticket)).first())


def complete_page(tx: Connection, page: Page, *, at: datetime) -> bool:
    """Its card is here; whether this was the first to say so. The subscription is locked."""
    c = payment_pages.c
    here = and_(c.site == page.site, c.id == page.id, c.completed_at.is_(None))
    return bool(tx.execute(update(payment_pages).where(here).values(completed_at=at)).rowcount)


def has_card_since(tx: Connection, site: str, subscription: str, at: datetime) -> bool:
    """Whether somebody gave a card on a page after an instant."""
    c = payment_pages.c
    query = select(c.id).where(c.site == site, c.subscription == subscription, c.completed_at > at)
    return tx.execute(query.limit(1)).first() is not None


def _page(row: Row[Any] | None) -> Page | None:
    return None if row is None else Page(**row._mapping)
