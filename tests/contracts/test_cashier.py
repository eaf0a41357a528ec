"""Charging: once, after the approval, through lost answers, refusals and several cashiers; with the
local provider as a real process over real HTTP, on both engines.
"""

from __future__ import annotations

import io
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from pypdf import PdfReader

from enforcement_api.subscriptions import payments, store
from enforcement_api.subscriptions.cashier import CLAIM
from sync.codec import instant, parse_instant
from tests.local_provider import (
    DECLINES,
    DECLINES_ONCE,
    PAYS,
    PAYS_TOO,
    Line,
    LocalProvider,
    shared_provider,
)
from tests.paying import PRICE, Till, line, service, till
from tests.service import NOW, Service, new_id

__all__ = ["line", "service", "shared_provider", "till"]

DAY, HOUR, SECOND = timedelta(days=1), timedelta(hours=1), timedelta(seconds=1)
GRACE_ENDS = datetime(2026, 12, 4, 5, tzinfo=UTC)
"""The end of the tenth local day after NOW's, 2026-11-23, in Québec."""


def now(till: Till) -> datetime:
    return till.service.clock()


# The first charge


def test_nothing_is_charged_before_the_approval(till: Till) -> None:
    subscription = till.requested()
    till.service.clock.advance(days=3)
    assert till.charge_due() == 0
    assert till.payments(subscription) == []
    assert till.office.get(subscription)["payment"] == {
        "method": "card",
        "card_brand": "Visa",
        "card_last4": "4242",
        "card_expiry": "2031-05",
        "cheque": None,
        "is_complete": True,
    }
    till.office.approve(subscription)
    owed = till.payment(subscription)
    assert (owed["state"], owed["amount_cents"]) == ("due", PRICE)
    assert till.office.get(subscription)["balance_cents"] == PRICE


def test_first_amount_is_charged_once_after_the_approval(till: Till) -> None:
    subscription = till.subscribed()
    assert till.charge_due() == 1
    assert till.charge_due() == 0
    till.service.clock.advance(days=40)
    assert till.charge_due() == 0
    paid = till.payment(subscription)
    (order,) = till.orders(subscription)
    assert (paid["state"], paid["reference"]) == ("paid", order.transaction)
    assert (order.outcome, order.amount_cents) == ("charged", PRICE)
    assert paid["settled_at"] == instant(NOW)
    assert till.office.get(subscription)["balance_cents"] == 0
    assert till.history(subscription)[-1] == "payment-received"
    assert till.letters(subscription) == [
        (
            "payment_received",
            {
                "name": "John John",
                "number": till.office.get(subscription)["number"],
                "product": "5569 - Permis G (général zone 1) - Superviseur de stage-épisodique",
                "site": "Site 1085",
                "time_zone": "America/Toronto",
                "amount_cents": PRICE,
                "period_from": "2026-01-01",
                "period_until": "2026-01-31",
                "card_last4": "4242",
            },
        )
    ]


def test_price_that_was_accepted_is_that_of_the_contract_and_of_the_charge(till: Till) -> None:
    subscription = till.requested()
    till.office.product(price_cents=9999, billing_period="year", grace_days=10)
    till.office.approve(subscription)
    till.charge_due()
    paid = till.payment(subscription)
    assert (paid["amount_cents"], till.taken(subscription)) == (PRICE, PRICE)
    assert paid["period_until"] == "2026-01-31"
    contract = till.office.ask("GET", f"subscriptions/{subscription}/contract").content
    said = PdfReader(io.BytesIO(contract)).pages[0].extract_text()
    assert "23,08" in said
    assert "99,99" not in said
    later = till.subscribed(plate="XYZ 789")
    assert till.payment(later)["amount_cents"] == 9999


def test_price_of_a_change_is_that_of_its_request(till: Till) -> None:
    till.office.product("free", price_cents=0)
    subscription = till.requested(product="free")
    till.office.approve(subscription)
    asked = new_id()
    wanted = {
        "kind": "category_change",
        "subscription": subscription,
        "product": "5569",
        "message": "Je suis maintenant résidente.",
    }
    till.office.does("PUT", f"requests/{asked}", json=wanted)
    till.office.product(price_cents=9999, grace_days=10)
    till.office.approve(asked)
    assert till.payment(subscription)["amount_cents"] == PRICE


def test_what_was_free_when_it_was_asked_for_is_approved_without_a_payment(till: Till) -> None:
    till.office.product("free", price_cents=0)
    subscription = till.office.subscribe("ABC 123", product="free")
    till.office.product("free", price_cents=9999)
    till.office.approve(subscription)
    assert till.payments(subscription) == []


def test_refused_request_is_not_charged(till: Till) -> None:
    subscription = till.requested()
    till.office.decide(subscription, "refuse", reason="La preuve est illisible.")
    assert till.charge_due() == 0
    assert till.payments(subscription) == []


def test_what_costs_nothing_owes_nothing(till: Till) -> None:
    till.office.product("free", price_cents=0)
    subscription = till.office.subscribed("ABC 123", product="free")
    assert till.payments(subscription) == []
    assert till.office.get(subscription)["balance_cents"] == 0


# Declined


def test_declined_charge_is_told_once_and_tried_daily(till: Till) -> None:
    subscription = till.subscribed(DECLINES)
    assert till.charge_due() == 1
    failed = till.payment(subscription)
    assert (failed["state"], failed["reason"]) == ("failed", "card_declined")
    assert failed["failed_since"] == instant(NOW)
    assert failed["next_try_at"] == instant(NOW + DAY)
    assert failed["grace_until"] == instant(GRACE_ENDS)
    assert till.office.get(subscription)["balance_cents"] == PRICE
    till.service.clock.at = NOW + DAY - SECOND
    assert till.charge_due() == 0
    till.service.clock.at = NOW + DAY
    assert till.charge_due() == 1
    again = till.payment(subscription)
    assert (again["attempts"], again["grace_until"]) == (2, instant(GRACE_ENDS))
    assert [order.outcome for order in till.orders(subscription)] == ["declined", "declined"]
    assert len({order.id for order in till.orders(subscription)}) == 2
    ((kind, facts),) = till.letters(subscription)
    assert kind == "payment_failed"
    assert facts["reason"] == "La carte a été refusée."
    assert facts["grace_until"] == instant(GRACE_ENDS)
    assert facts["next_try_at"] == instant(NOW + DAY)
    assert till.history(subscription).count("payment-failed") == 2


def test_card_that_pays_the_next_day_pays(till: Till) -> None:
    subscription = till.subscribed(DECLINES_ONCE)
    till.charge_due()
    assert till.state(subscription) == "failed"
    till.service.clock.advance(days=1)
    till.charge_due()
    assert till.state(subscription) == "paid"
    assert till.payment(subscription)["reason"] is None
    assert till.taken(subscription) == PRICE
    assert [kind for kind, _ in till.letters(subscription)] == [
        "payment_failed",
        "payment_received",
    ]


def test_subscription_is_suspended_when_the_days_of_grace_are_over(till: Till) -> None:
    subscription = till.subscribed(DECLINES)
    till.charge_due()
    till.service.clock.at = GRACE_ENDS - SECOND
    till.charge_due()
    assert till.office.status(subscription) == "active"
    assert till.service.verdict("ABC123") == "valid"
    till.service.clock.at = GRACE_ENDS
    assert till.charge_due() == 1
    found = till.office.get(subscription)
    assert (found["status"], found["suspended_for"]) == ("suspended", "payment")
    assert till.service.verdict("ABC123") == "suspended"
    assert [kind for kind, _ in till.letters(subscription)] == [
        "payment_failed",
        "payment_suspended",
    ]
    tried = len(till.orders(subscription))
    till.service.clock.advance(days=30)
    assert till.charge_due() == 0
    assert len(till.orders(subscription)) == tried


def test_new_card_is_charged_at_once_and_ends_the_suspension(till: Till) -> None:
    subscription = till.subscribed(DECLINES)
    till.charge_due()
    till.service.clock.at = GRACE_ENDS
    till.charge_due()
    till.give_card(subscription, PAYS_TOO)
    assert till.office.get(subscription)["payment"]["card_last4"] == "5454"
    assert till.charge_due() == 1
    assert till.state(subscription) == "paid"
    assert till.office.status(subscription) == "active"
    assert till.service.verdict("ABC123") == "valid"
    assert till.taken(subscription) == PRICE
    assert till.office.get(subscription)["balance_cents"] == 0


def test_new_card_is_charged_at_once_within_the_grace(till: Till) -> None:
    subscription = till.subscribed(DECLINES)
    till.charge_due()
    till.service.clock.advance(hours=1)
    till.give_card(subscription)
    till.charge_due()
    assert till.state(subscription) == "paid"
    till.service.clock.at = GRACE_ENDS
    till.charge_due()
    assert till.office.status(subscription) == "active"


def test_new_card_that_is_declined_too_changes_nothing_of_the_grace(till: Till) -> None:
    subscription = till.subscribed(DECLINES)
    till.charge_due()
    till.service.clock.advance(days=3)
    till.give_card(subscription, DECLINES)
    till.charge_due()
    failed = till.payment(subscription)
    assert failed["grace_until"] == instant(GRACE_ENDS)
    assert failed["next_try_at"] == instant(NOW + 4 * DAY)
    assert len(till.letters(subscription)) == 1


def test_suspension_by_staff_is_not_ended_by_a_payment(till: Till) -> None:
    subscription = till.subscribed(DECLINES)
    till.charge_due()
    till.office.act(subscription, "suspend", reason="Plaque prêtée")
    till.service.clock.at = GRACE_ENDS
    till.charge_due()
    assert till.office.get(subscription)["suspended_for"] == "staff"
    till.give_card(subscription)
    till.charge_due()
    assert till.state(subscription) == "paid"
    assert till.office.status(subscription) == "suspended"


def test_who_was_let_go_on_by_staff_is_not_suspended_again(till: Till) -> None:
    subscription = till.subscribed(DECLINES)
    till.charge_due()
    till.service.clock.at = GRACE_ENDS
    till.charge_due()
    till.office.act(subscription, "resume")
    till.service.clock.advance(days=5)
    till.charge_due()
    assert till.office.status(subscription) == "active"
    assert till.office.get(subscription)["balance_cents"] == PRICE


# Nobody knows


def test_charge_whose_answer_was_lost_is_found_and_not_made_twice(till: Till, line: Line) -> None:
    subscription = till.subscribed()
    line.loses = lambda method, path: path.startswith("/v1/orders/")
    assert till.charge_due() == 0
    unknown = till.payment(subscription)
    assert (unknown["state"], unknown["is_under_way"]) == ("due", True)
    assert till.taken(subscription) == PRICE
    assert till.charge_due() == 0, "not before a while"
    line.loses = lambda method, path: False
    till.service.clock.at = parse_instant(unknown["next_try_at"])
    assert till.charge_due() == 1
    assert (till.state(subscription), till.taken(subscription)) == ("paid", PRICE)
    assert len(till.orders(subscription)) == 1
    assert [kind for kind, _ in till.letters(subscription)] == ["payment_received"]


def test_refusal_whose_answer_was_lost_is_found(till: Till, line: Line) -> None:
    subscription = till.subscribed(DECLINES)
    line.loses = lambda method, path: path.startswith("/v1/orders/")
    till.charge_due()
    line.loses = lambda method, path: False
    till.service.clock.advance(hours=1)
    till.charge_due()
    assert till.state(subscription) == "failed"
    assert len(till.orders(subscription)) == 1


def test_provider_that_cannot_be_reached_is_asked_again_more_and_more_seldom(
    till: Till, line: Line
) -> None:
    subscription = till.subscribed()
    line.is_cut = True
    waits = []
    for _ in range(14):
        till.charge_due()
        next_try_at = parse_instant(till.payment(subscription)["next_try_at"])
        waits.append(next_try_at - now(till))
        till.service.clock.at = next_try_at
    assert waits[:4] == [timedelta(seconds=s) for s in (15, 15, 30, 60)]
    assert waits[-1] == HOUR
    till.service.clock.at = GRACE_ENDS + 30 * DAY
    till.charge_due()
    assert till.office.status(subscription) == "active", "nobody is suspended for our trouble"
    line.is_cut = False
    till.service.clock.advance(hours=1)
    assert till.charge_due() == 1
    assert till.taken(subscription) == PRICE


def test_one_that_cannot_be_asked_does_not_keep_others_waiting(till: Till, line: Line) -> None:
    first = till.subscribed()
    till.service.clock.advance(seconds=1)
    second = till.subscribed(plate="XYZ 789")
    order = till.payment(first)["id"]
    line.loses = lambda method, path: order in path
    till.charge_due()
    till.charge_due()
    assert till.state(second) == "paid"


def test_other_card_given_while_nobody_knows_charges_nothing_twice(till: Till, line: Line) -> None:
    subscription = till.subscribed()
    line.loses = lambda method, path: path.startswith("/v1/orders/")
    till.charge_due()
    line.loses = lambda method, path: False
    till.service.clock.advance(seconds=5)
    till.give_card(subscription, PAYS_TOO)
    assert till.charge_due() == 1
    assert (till.state(subscription), till.taken(subscription)) == ("paid", PRICE)


def test_card_given_while_the_old_one_was_declined_is_charged_at_once(
    till: Till, line: Line
) -> None:
    subscription = till.subscribed(DECLINES)
    line.loses = lambda method, path: path.startswith("/v1/orders/")
    till.charge_due()
    line.loses = lambda method, path: False
    till.service.clock.advance(seconds=5)
    till.give_card(subscription, PAYS)
    till.charge_due()
    till.charge_due()
    assert (till.state(subscription), till.taken(subscription)) == ("paid", PRICE)


# Several cashiers, and none


def test_many_cashiers_at_once_charge_each_amount_once(till: Till) -> None:
    subscriptions = [till.subscribed(plate=f"AB{n} 123") for n in range(6)]
    start = threading.Barrier(4)

    def charge() -> int:
        start.wait()
        return till.charge_due()

    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(charge) for _ in range(4)]
        assert sum(one.result() for one in done) >= 6
    for subscription in subscriptions:
        assert till.state(subscription) == "paid"
        assert till.taken(subscription) == PRICE
        assert len(till.orders(subscription)) == 1
        assert till.history(subscription).count("payment-received") == 1


def test_cashier_that_died_is_followed_when_its_claim_is_over(till: Till) -> None:
    subscription = till.subscribed()
    claim = till.service.parts.cashier._claim
    id = till.payment(subscription)["id"]
    assert till.service.parts.record.write(lambda tx: claim(tx, subscription, id)) is not None
    till.service.clock.at = NOW + CLAIM - SECOND
    assert till.charge_due() == 0
    till.service.clock.at = NOW + CLAIM
    assert till.charge_due() == 1
    assert (till.state(subscription), till.taken(subscription)) == ("paid", PRICE)


def test_record_that_forgot_a_charge_finds_it_again(till: Till) -> None:
    """As one that was restored from a backup does: its orders have the same ids again."""
    subscription = till.subscribed(DECLINES_ONCE)
    with till.service.parts.record.reading() as tx:
        (before,) = payments.of_subscription(tx, "1085", subscription)
    till.charge_due()
    till.service.clock.advance(days=1)
    till.charge_due()
    assert till.state(subscription) == "paid"
    till.service.parts.record.write(lambda tx: payments.save(tx, before))
    for _ in range(2):
        till.charge_due()
        till.service.clock.advance(days=1)
    assert (till.state(subscription), till.taken(subscription)) == ("paid", PRICE)
    assert len(till.orders(subscription)) == 2


# Cancelled and ended


def test_subscription_that_is_cancelled_before_is_not_charged(till: Till) -> None:
    subscription = till.subscribed()
    till.office.act(subscription, "cancel")
    assert till.charge_due() == 0
    assert (till.state(subscription), till.orders(subscription)) == ("void", [])
    assert till.office.get(subscription)["balance_cents"] == 0


def test_subscription_that_is_to_be_cancelled_is_charged_until_it_is(till: Till) -> None:
    first, second = till.subscribed(DECLINES_ONCE), till.subscribed(DECLINES, plate="XYZ 789")
    for subscription in (first, second):
        till.office.act(subscription, "cancel", on="2026-11-30")
    till.charge_due()
    till.service.clock.advance(days=1)
    till.charge_due()
    assert till.state(first) == "paid"
    till.service.clock.advance(days=8)
    till.charge_due()
    assert till.state(second) == "void"
    assert till.office.status(second) == "cancelled"


def test_charge_that_was_under_way_when_it_was_cancelled_keeps_its_true_outcome(
    till: Till, line: Line
) -> None:
    subscription = till.subscribed()
    line.loses = lambda method, path: path.startswith("/v1/orders/")
    till.charge_due()
    till.office.act(subscription, "cancel")
    assert till.payment(subscription)["is_under_way"]
    line.loses = lambda method, path: False
    till.service.clock.advance(hours=1)
    till.charge_due()
    assert (till.state(subscription), till.taken(subscription)) == ("paid", PRICE)
    assert till.office.status(subscription) == "cancelled"
    assert till.post(subscription, "refund", reason="Annulé").json()["state"] == "refunded"
    assert till.taken(subscription) == 0


def test_charge_that_never_came_when_it_was_cancelled_is_not_made(till: Till, line: Line) -> None:
    subscription = till.subscribed()
    line.is_cut = True
    till.charge_due()
    till.office.act(subscription, "cancel")
    line.is_cut = False
    till.service.clock.advance(hours=1)
    till.charge_due()
    assert (till.state(subscription), till.orders(subscription)) == ("void", [])
    assert ("PUT", f"/v1/orders/{till.payment(subscription)['id']}-1") not in line.passed


def test_what_an_ended_subscription_owes_stays_owed_and_is_not_tried(till: Till) -> None:
    subscription = till.subscribed(DECLINES, ends_on="2026-11-25")
    till.charge_due()
    till.service.clock.advance(days=5)
    tried = len(till.orders(subscription))
    till.charge_due()
    till.service.clock.at = GRACE_ENDS + DAY
    till.charge_due()
    assert till.state(subscription) == "failed"
    assert till.payment(subscription)["next_try_at"] is None
    assert len(till.orders(subscription)) == tried
    assert till.office.get(subscription)["balance_cents"] == PRICE


# Refunds


def test_what_was_paid_is_given_back_once(till: Till) -> None:
    subscription = till.subscribed()
    till.charge_due()
    id = new_id()
    for _ in range(2):
        answer = till.post(subscription, "refund", id=id, reason="Payé en double")
        assert answer.status_code == 200, answer.text
        assert answer.json()["state"] == "refunded"
        assert answer.json()["refund"] == id
    assert till.taken(subscription) == 0
    assert till.history(subscription)[-2:] == ["refund-asked", "refunded"]
    other = till.post(subscription, "refund", reason="Encore")
    assert (other.status_code, other.json()["state"]) == (409, "refunded")
    changed = till.post(subscription, "refund", id=id, reason="Autre raison")
    assert changed.json()["type"] == "/problems/action-conflict"


def test_refund_goes_on_until_the_provider_answers(till: Till, line: Line) -> None:
    subscription = till.subscribed()
    till.charge_due()
    line.loses = lambda method, path: path.startswith("/v1/refunds/")
    answer = till.post(subscription, "refund", reason="Annulé")
    assert (answer.status_code, answer.json()["state"]) == (200, "refunding")
    line.loses = lambda method, path: False
    till.service.clock.advance(minutes=1)
    assert till.charge_due() == 1
    assert till.state(subscription) == "refunded"
    assert till.taken(subscription) == 0


def test_refund_that_the_provider_refuses_leaves_it_paid(
    till: Till, line: Line, shared_provider: LocalProvider
) -> None:
    subscription = till.subscribed()
    till.charge_due()
    (order,) = till.orders(subscription)
    with shared_provider.client() as client:
        given = {"order": order.id, "amount_cents": PRICE}
        client.put("/v1/refunds/by-hand-" + order.id[:36], json=given).raise_for_status()
    answer = till.post(subscription, "refund", reason="Annulé")
    assert answer.status_code == 409
    assert answer.json()["type"] == "/problems/refund-refused"
    assert till.state(subscription) == "paid"
    assert till.history(subscription)[-1] == "refund-refused"


def test_what_is_not_paid_cannot_be_given_back(till: Till) -> None:
    subscription = till.subscribed()
    answer = till.post(subscription, "refund", reason="Annulé")
    assert (answer.status_code, answer.json()["state"]) == (409, "due")


# Cheques


def by_cheque(till: Till) -> str:
    """An approved subscription that is to be paid by cheque."""
    from enforcement_api.subscriptions.core import PaymentMethod

    subscription = till.requested(None)
    method = PaymentMethod("cheque", cheque=new_id())
    action = store.Action("command", now(till))
    till.service.parts.record.write(
        lambda tx: till.service.parts.office.set_payment(tx, subscription, method, action=action)
    )
    till.office.approve(subscription)
    return subscription


def test_cheque_is_owed_until_staff_received_it(till: Till) -> None:
    subscription = by_cheque(till)
    till.service.clock.advance(days=60)
    assert till.charge_due() == 0
    owed = till.payment(subscription)
    assert (owed["state"], owed["method"], owed["next_try_at"]) == ("due", "cheque", None)
    assert till.office.get(subscription)["balance_cents"] == PRICE
    id = new_id()
    for _ in range(2):
        answer = till.post(subscription, "received", id=id, reference="Chèque 0042")
        assert answer.status_code == 200, answer.text
        assert (answer.json()["state"], answer.json()["reference"]) == ("paid", "Chèque 0042")
    assert till.office.get(subscription)["balance_cents"] == 0
    ((kind, facts),) = till.letters(subscription)
    assert (kind, facts["card_last4"]) == ("payment_received", None)
    again = till.post(subscription, "received", reference="Chèque 0043")
    assert (again.status_code, again.json()["state"]) == (409, "paid")
    assert till.post(subscription, "refund", reason="Annulé").status_code == 409


def test_card_payment_is_not_received_by_hand(till: Till) -> None:
    subscription = till.subscribed()
    assert till.post(subscription, "received", reference="Comptant").status_code == 409


def test_card_that_takes_the_place_of_a_cheque_leaves_what_the_cheque_owes(till: Till) -> None:
    subscription = by_cheque(till)
    till.give_card(subscription)
    assert till.charge_due() == 0
    assert till.payment(subscription)["method"] == "cheque"


# Without a provider, and what is logged


def test_without_a_provider_nothing_is_charged_and_nobody_suspended(
    till: Till, service: Service
) -> None:
    subscription = till.subscribed(DECLINES)
    till.charge_due()
    service.stop()
    service.settings = replace(service.settings, payment_provider="")
    service.start()
    service.clock.at = NOW + 2 * DAY
    assert service.parts.cashier.charge_due() == 0
    service.clock.at = GRACE_ENDS
    assert service.parts.cashier.charge_due() == 0
    found = service.parts.record.read(lambda tx: store.subscription(tx, subscription))
    assert found.status(GRACE_ENDS) == "active"


def test_log_says_that_payments_wait_and_names_nobody(
    till: Till, line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    till.subscribed(PAYS)
    line.is_cut = True
    with caplog.at_level(logging.DEBUG):
        till.charge_due()
    assert "payments wait" in caplog.text
    for secret in ("John", "4242", "card_", line.settings["payment_key"]):
        assert secret not in caplog.text
