"""What subscriptions owe, and what becomes of a payment: the rules by themselves."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from enforcement_api.subscriptions import payments
from enforcement_api.subscriptions.core import Product
from enforcement_api.subscriptions.payments import Due, Payment, PaymentNotInThisState

AT = datetime(2026, 6, 1, 14, tzinfo=UTC)
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)


def product(**facts: Any) -> Product:
    shape: dict[str, Any] = {
        "site": "1085",
        "code": "5569",
        "name": {"fr": "Permis G", "en": "Permit G"},
        "category": "supervisor",
        "price_cents": 2308,
        "billing_period": "month",
        "zones": ("G1",),
        "notice": None,
        "questions": (),
        "proof_required": False,
        "max_vehicles": 2,
        "grace_days": 10,
        "active": True,
    }
    return Product(**(shape | facts))


def payment(**facts: Any) -> Payment:
    shape: dict[str, Any] = {
        "site": "1085",
        "id": "p",
        "subscription": "s",
        "position": 1,
        "kind": "first",
        "method": "card",
        "period_from": date(2026, 6, 1),
        "period_until": date(2026, 6, 30),
        "amount_cents": 2308,
        "due_at": AT,
        "state": "due",
        "order": "p-1",
        "next_try_at": AT,
    }
    return Payment(**(shape | facts))


def owed(by: str = "2026-05-20", **facts: Any) -> tuple[Due, ...]:
    """Of a subscription approved on 20 May."""
    starts, ends = facts.pop("starts", "2026-06-01"), facts.pop("ends", None)
    return payments.owed(
        product(**facts),
        approved_on=date(2026, 5, 20),
        starts_on=date.fromisoformat(starts),
        ends_on=ends and date.fromisoformat(ends),
        by=date.fromisoformat(by),
    )


# What is owed


def test_first_amount_is_owed_from_the_approval_on_and_is_the_only_one() -> None:
    first = Due(1, date(2026, 6, 1), date(2026, 6, 30), 2308)
    assert owed(by="2026-05-19") == ()
    for by in ("2026-05-20", "2026-06-01", "2027-06-01"):
        assert owed(by=by) == (first,)


def test_what_costs_nothing_is_never_owed() -> None:
    assert owed(price_cents=0) == ()


@pytest.mark.parametrize(
    ("period", "starts", "ends", "last"),
    [
        ("month", "2026-06-01", None, "2026-06-30"),
        ("month", "2026-06-15", None, "2026-07-14"),
        ("month", "2026-01-31", None, "2026-02-27"),
        ("month", "2028-01-31", None, "2028-02-28"),
        ("month", "2026-12-15", None, "2027-01-14"),
        ("month", "2026-06-01", "2026-06-10", "2026-06-10"),
        ("week", "2026-06-29", None, "2026-07-05"),
        ("year", "2026-06-01", None, "2027-05-31"),
        ("year", "2028-02-29", None, "2029-02-27"),
        ("term", "2026-06-01", "2026-08-31", "2026-08-31"),
        ("term", "2026-06-01", None, None),
        ("once", "2026-06-01", "2026-08-31", "2026-08-31"),
    ],
)
def test_first_period_begins_with_the_subscription_and_ends_no_later_than_it(
    period: str, starts: str, ends: str | None, last: str | None
) -> None:
    (due,) = owed(starts=starts, ends=ends, billing_period=period)
    assert due.first == date.fromisoformat(starts)
    assert due.last == (last and date.fromisoformat(last))


# What becomes of it


def declined(before: Payment, at: datetime = AT, grace: int = 10) -> Payment:
    return payments.declined(
        before, "card_declined", at=at, next_try_at=at + DAY, grace_until=at + grace * DAY
    )


def test_order_stays_the_same_until_its_outcome_is_known() -> None:
    asked = payments.asked(payment(), at=AT, until=AT + DAY)
    again = payments.asked(payments.unanswered(asked, at=AT + SECOND), at=AT + DAY, until=AT + DAY)
    assert again.order == asked.order == "p-1"
    assert again.asked_at == AT
    failed = declined(again)
    assert failed.order == "p-2"
    assert declined(failed).order == "p-3"


def test_grace_counts_from_the_first_failure() -> None:
    failed = declined(declined(payment()), at=AT + 3 * DAY)
    assert failed.failed_since == AT
    assert failed.grace_until == AT + 10 * DAY


def test_who_nobody_answers_is_asked_twice_as_late_each_time_up_to_an_hour() -> None:
    now, waits = payments.asked(payment(), at=AT, until=AT), []
    at = AT
    for _ in range(14):
        now = payments.unanswered(now, at=at)
        assert now.next_try_at is not None
        waits.append((now.next_try_at - at).total_seconds())
        at = now.next_try_at
    assert waits[:6] == [15, 15, 30, 60, 120, 240]
    assert waits[-1] == 3600


def test_clock_that_was_set_back_lets_nobody_ask_in_the_past() -> None:
    asked = payments.asked(payment(), at=AT, until=AT)
    again = payments.unanswered(asked, at=AT - DAY)
    assert again.next_try_at == AT - DAY + timedelta(seconds=15)


def test_settled_payment_is_not_tried_any_more() -> None:
    asked = payments.asked(payment(), at=AT, until=AT + DAY)
    for done in (
        payments.charged(asked, "txn", at=AT),
        payments.voided(asked, at=AT),
        payments.given_up(asked),
    ):
        assert (done.next_try_at, done.claimed_until, done.is_under_way) == (None, None, False)
        assert not payments.is_to_try(done, AT + 999 * DAY)


@pytest.mark.parametrize(
    ("facts", "to_try"),
    [
        ({}, True),
        ({"next_try_at": AT + SECOND}, False),
        ({"next_try_at": None}, False),
        ({"claimed_until": AT + SECOND}, False),
        ({"claimed_until": AT}, True),
    ],
)
def test_payment_is_tried_when_it_is_due_and_nobody_has_claimed_it(
    facts: dict[str, Any], to_try: bool
) -> None:
    assert payments.is_to_try(payment(**facts), AT) is to_try


@pytest.mark.parametrize(
    ("facts", "beyond"),
    [
        ({}, True),
        ({"grace_until": AT + SECOND}, False),
        ({"grace_until": None}, False),
        ({"next_try_at": AT}, False),
        ({"next_try_at": None}, False),
        ({"asked_at": AT}, False),
        ({"state": "due"}, False),
        ({"state": "paid"}, False),
    ],
)
def test_grace_is_over_only_for_what_failed_and_waits_for_another_try(
    facts: dict[str, Any], beyond: bool
) -> None:
    failed = {"state": "failed", "grace_until": AT, "next_try_at": AT + DAY}
    assert payments.is_beyond_grace(payment(**(failed | facts)), AT) is beyond


def test_only_what_a_card_paid_is_given_back() -> None:
    paid = payment(state="paid", charge="txn", next_try_at=None)
    begun = payments.refunding(paid, "r", at=AT)
    assert (begun.state, begun.refund) == ("refunding", "r")
    assert payments.refunded(begun, at=AT).state == "refunded"
    assert payments.not_refunded(begun) == paid
    for other in (
        payment(),
        replace(paid, method="cheque"),
        replace(paid, state="refunded"),
        begun,
    ):
        with pytest.raises(PaymentNotInThisState):
            payments.refunding(other, "r2", at=AT)


def test_only_what_is_owed_by_cheque_is_received() -> None:
    cheque = payment(method="cheque", next_try_at=None)
    assert payments.received(cheque, "0042", at=AT).charge == "0042"
    for other in (payment(), replace(cheque, state="void"), replace(cheque, state="paid")):
        with pytest.raises(PaymentNotInThisState):
            payments.received(other, "0042", at=AT)


def test_order_ids_are_such_as_moneris_takes() -> None:
    longest = payments.order_id("f0f7f6a2-6f0b-5d60-8c1f-0d6b5f1d2a11", 10_000)
    assert len(longest) <= 50
    assert not set(longest) & set('<>$%=?^"{}[]\\')
