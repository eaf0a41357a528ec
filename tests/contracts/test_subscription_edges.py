"""Subscriptions where it is narrow, on both engines."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import Connection, text

from enforcement_api.subscriptions import privacy
from enforcement_api.subscriptions.store import Action
from sync.codec import instant
from tests.service import NOW, Service
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
        "SELECT count(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))"
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
