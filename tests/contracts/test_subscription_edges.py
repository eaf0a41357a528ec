"""Subscriptions where it is narrow, on both engines."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import Connection, event, select, text

from enforcement_api.database.tables import letters as letter_table
from enforcement_api.subscriptions import privacy, store
from enforcement_api.subscriptions.store import Action
from sync.codec import instant
from tests.service import NOW, Service, picture
from tests.subscribing import Office, new_id

DAY = timedelta(days=1)


@pytest.fixture
def office(service: Service) -> Office:
    service.site(zones=["G1", "G2"])
    return Office(service)


def while_it_is_written(
    office: Office, write: Callable[[Connection], Any], ask: Callable[[], httpx.Response]
) -> httpx.Response:
    """What somebody is answered who asks while a transaction is open, and has to wait for it."""
    others = text(
        "SELECT count(*) FROM pg_locks"
        " WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
    )
    record, asking = office.service.parts.record, []

    def work(tx: Connection) -> None:
        write(tx)
        asking.append(threads.submit(ask))
        if record.is_sqlite:
            return  # it has but one writer at a time: whoever asks begins after this
        give_up = time.monotonic() + 10
        while not tx.execute(others).scalar_one() and not asking[0].done():
            assert time.monotonic() < give_up
            time.sleep(0.01)

    with ThreadPoolExecutor(1) as threads:
        record.write(work)
        return asking[0].result(20)


def letters(office: Office, subscription: str) -> list[str]:
    return [letter["kind"] for letter in office.get(subscription)["letters"]]


# Refusals


@pytest.mark.parametrize("kind", ["subscription", "category_change", "cancellation"])
def test_holder_is_told_why_a_request_was_refused(office: Office, kind: str) -> None:
    if kind == "subscription":
        request = subscription = office.subscribe()
    else:
        subscription, request = office.subscribed(), new_id()
        wanted: dict[str, Any] = {"kind": kind, "subscription": subscription, "message": "Svp"}
        office.does("PUT", f"requests/{request}", json=wanted)
    office.decide(request, "refuse", reason="La preuve est illisible.")
    expected = {"subscription": "refused", "category_change": "change_refused"}
    told = expected.get(kind, "cancellation_refused")
    assert letters(office, subscription).count(told) == 1


# People who were erased


def erased(office: Office, **facts: Any) -> tuple[str, str]:
    """Somebody who was erased, and the subscription they had."""
    holder = office.holder()
    subscription = office.subscribed("ABC 123", holder=holder, **facts)
    office.act(subscription, "cancel")
    assert office.ask("DELETE", f"holders/{holder}").status_code == 204
    return holder, subscription


def test_nothing_is_written_about_somebody_who_was_erased(office: Office) -> None:
    _, subscription = erased(office)
    path = f"subscriptions/{subscription}/messages/{new_id()}"
    answer = office.ask("PUT", path, json={"body": "Ici Zacharie Quenneville."})
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/unknown-holder")
    assert office.get(subscription)["messages"] == []


def test_request_that_waits_is_withdrawn_when_its_holder_is_erased(office: Office) -> None:
    holder = office.holder()
    subscription, request = office.subscribed("ABC 123", holder=holder), new_id()
    wanted = {"kind": "category_change", "subscription": subscription, "message": "Svp"}
    office.does("PUT", f"requests/{request}", json=wanted)
    office.act(subscription, "cancel")
    assert office.ask("DELETE", f"holders/{holder}").status_code == 204
    found = office.does("GET", f"requests/{request}")
    assert (found["state"], found["message"]) == ("withdrawn", None)
    shape = {"id": new_id(), "decision": "refuse", "reason": "Zacharie n'est plus ici."}
    answer = office.ask("POST", f"requests/{request}/decision", json=shape)
    assert answer.json()["type"] == "/problems/already-decided"


def test_vehicles_of_erased_people_share_no_plate(office: Office) -> None:
    subscriptions = [erased(office)[1] for _ in range(2)]
    for subscription in subscriptions:
        assert office.get(subscription)["vehicles"][0]["also_on"] == []
    assert office.does("GET", "subscriptions", params={"plate": "-"})["items"] == []


def test_plate_of_a_courtesy_permit_goes_with_its_holder(office: Office) -> None:
    holder = office.holder()
    subscription, courtesy = office.subscribed("ABC 123", holder=holder), new_id()
    wanted = {
        "site": "1085",
        "plate": "LOC 123",
        "subscription": subscription,
        "reason": "Voiture de Zacharie",
        "expires_at": instant(NOW + 2 * DAY),
    }
    office.does("PUT", f"courtesy-permits/{courtesy}", json=wanted)
    office.act(subscription, "cancel")
    answer = office.ask("DELETE", f"holders/{holder}")
    assert answer.status_code == 409  # whoever parks with it is let in yet
    assert "COURTOISIE-" in answer.json()["detail"]
    assert office.ask("DELETE", f"courtesy-permits/{courtesy}").status_code == 200
    assert office.ask("DELETE", f"holders/{holder}").status_code == 204
    found = office.does("GET", f"courtesy-permits/{courtesy}")
    assert "LOC" not in str(found)
    assert "Zacharie" not in str(found)


def test_person_who_asks_while_they_are_erased_is_not_left_with_a_subscription(
    office: Office,
) -> None:
    holder = office.holder()
    wanted = office.wanted("ABC 123", holder=holder)
    answer = while_it_is_written(
        office,
        lambda tx: privacy.erase(tx, holder, action=Action("key:x", NOW)),
        lambda: office.ask("PUT", f"requests/{new_id()}", json=wanted),
    )
    assert answer.status_code == 404
    assert office.does("GET", f"holders/{holder}")["subscriptions"] == []


# Ends


def test_cancellation_after_the_last_day_changes_no_verdict(office: Office) -> None:
    subscription = office.subscribed("ABC 123", ends_on="2026-12-31")
    office.act(subscription, "cancel", on="2027-02-28")
    ends = datetime(2027, 1, 1, 5, tzinfo=UTC)
    assert office.service.verdict("ABC123", at=instant(ends)) == "expired"
    office.service.clock.at = ends
    assert office.status(subscription) == "ended"


def test_suspended_subscription_that_is_cancelled_at_once_is_cancelled_to_patrollers_too(
    office: Office,
) -> None:
    subscription = office.subscribed("ABC 123")
    office.service.clock.advance(days=2)
    office.act(subscription, "suspend")
    office.act(subscription, "cancel")
    assert office.status(subscription) == "cancelled"
    at = instant(office.service.clock())
    assert office.service.verdict("ABC123", at=at) == "cancelled"


# What is decided too late, and paid with nothing


def void_cheque(office: Office) -> str:
    id, params = new_id(), {"site": "1085", "purpose": "cheque"}
    answer = office.client.put(f"/v1/attachments/{id}", params=params, content=picture("red"))
    assert answer.status_code == 201
    return id


def test_term_that_is_over_is_neither_asked_for_nor_approved(office: Office) -> None:
    wanted = office.wanted("ABC 123", ends_on="2026-11-22")
    answer = office.ask("PUT", f"requests/{new_id()}", json=wanted)
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/ends_on"]
    office.product(price_cents=2308)
    subscription = office.subscribe("ABC 123", ends_on="2026-11-30")
    office.service.clock.advance(days=30)
    shape = {"id": new_id(), "decision": "approve"}
    answer = office.ask("POST", f"requests/{subscription}/decision", json=shape)
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/term-over")
    assert office.status(subscription) == "requested"
    office.decide(subscription, "refuse", reason="Trop tard.")


@pytest.mark.parametrize("by", ["office", "request"])
def test_free_subscription_becomes_one_to_be_paid_with_a_payment_method_alone(
    office: Office, by: str
) -> None:
    cheque = void_cheque(office)
    office.product("paid", price_cents=2308)
    office.product("free")
    unpayable = office.subscribed("ABC 123", product="free")
    payable = office.subscribed(
        "XYZ 789", product="free", payment={"method": "cheque", "cheque": cheque}
    )
    office.service.clock.advance(days=10)

    def change(subscription: str) -> httpx.Response:
        if by == "office":
            path, id = f"subscriptions/{subscription}/actions", new_id()
            shape = {"id": id, "action": "change_product", "product": "paid"}
            return office.ask("POST", path, json=shape)
        id = new_id()
        wanted = {"kind": "category_change", "subscription": subscription, "message": "Svp"}
        office.does("PUT", f"requests/{id}", json=wanted | {"product": "paid"})
        shape = {"id": new_id(), "decision": "approve"}
        return office.ask("POST", f"requests/{id}/decision", json=shape)

    answer = change(unpayable)
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/payment-method-missing")
    assert office.get(unpayable)["product"] == "free"
    assert change(payable).status_code == 200
    (owed,) = office.does("GET", f"subscriptions/{payable}/payments")["items"]
    assert (owed["amount_cents"], owed["period_from"]) == (2308, "2026-12-03")
    assert office.get(payable)["balance_cents"] == 2308
    office.act(payable, "change_product", product="free")
    office.act(payable, "change_product", product="paid")
    assert len(office.does("GET", f"subscriptions/{payable}/payments")["items"]) == 1


@pytest.mark.parametrize("decision", ["refuse", "withdraw"])
def test_what_was_to_pay_is_not_kept_when_nothing_is_to_be_paid(
    office: Office, decision: str
) -> None:
    cheque = void_cheque(office)
    subscription = office.subscribe(payment={"method": "cheque", "cheque": cheque})
    office.decide(subscription, decision, reason="Non")
    assert office.get(subscription)["payment"] is None
    answer = office.ask("GET", f"attachments/{cheque}")
    assert answer.json()["type"] == "/problems/attachment-removed"


# Products that change


def test_who_gets_a_product_while_its_zones_change_gets_the_new_zones(office: Office) -> None:
    office.product()
    office.product("7001", zones=["G2"])
    subscription = office.subscribed("ABC 123")

    def write(tx: Connection) -> None:
        before = store.find_product(tx, "1085", "7001", lock=True)
        assert before is not None
        after = replace(before, zones=("G1",), version=2)
        store.put_product(tx, after)
        office.service.parts.office.product_changed(tx, before, after, NOW)

    shape = {"id": new_id(), "action": "change_product", "product": "7001"}
    path = f"subscriptions/{subscription}/actions"
    answer = while_it_is_written(office, write, lambda: office.ask("POST", path, json=shape))
    assert answer.status_code == 200
    (permit,) = office.service.check("ABC123")["permits"]
    assert permit["zones"] == ["G1"]


def test_zones_of_many_permits_change_in_about_as_many_statements_as_those_of_few(
    office: Office,
) -> None:
    counts = []
    for plates in ["A11", "A12"], ["B11", "B12", "B13", "B14"]:
        office.product()
        for plate in plates:
            office.subscribed(plate)
        with statements(office) as told:
            office.product(zones=["G2"])
        counts.append(len(told))
        assert office.service.check("A11", zone="G2")["verdict"] == "pending_activation"
        office.service.assert_consistent()
    assert counts[1] - counts[0] < 4  # not one for each permit more; the follower asks as well


@contextmanager
def statements(office: Office) -> Iterator[list[str]]:
    """What the record is asked meanwhile."""
    told: list[str] = []

    def listen(*told_with: Any) -> None:
        told.append(told_with[2])

    engine = office.service.parts.record.engine
    event.listen(engine, "before_cursor_execute", listen)
    yield told
    event.remove(engine, "before_cursor_execute", listen)


def test_letter_of_another_plate_names_the_one_that_works_until_then(office: Office) -> None:
    subscription = office.subscribed("ABC 123")
    vehicle = office.vehicles(subscription)["ABC123"]

    def told() -> tuple[str | None, str]:
        c = letter_table.c
        written = select(c.facts).where(c.subscription == subscription, c.kind == "vehicle_changed")
        found = office.service.parts.record.read(
            lambda tx: tx.execute(written.order_by(c.key.desc()).limit(1)).scalar_one()
        )
        return found["previous"], found["plate"]

    office.put_vehicle(subscription, "FFF 111", vehicle=vehicle)
    assert told() == (None, "FFF111")  # the first is pending too: it would be no good to park with
    office.service.clock.advance(days=3)
    office.put_vehicle(subscription, "XYZ 789", vehicle=vehicle)
    assert told() == ("FFF111", "XYZ789")
    office.service.clock.advance(hours=1)
    office.put_vehicle(subscription, "GGG 222", vehicle=vehicle)
    assert told() == ("FFF111", "GGG222")
    office.act(subscription, "suspend")
    office.service.clock.advance(hours=1)
    office.put_vehicle(subscription, "HHH 333", vehicle=vehicle)
    assert told() == (None, "HHH333")
