"""Pages on which cards are given, and what the provider tells, on both engines."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest

from enforcement_api.security import signature
from enforcement_api.subscriptions.providers import UnusableProvider, provider_of
from tests.local_provider import (
    DECLINES,
    PAYS_TOO,
    Line,
    LocalProvider,
    Person,
    give_card,
    shared_provider,
)
from tests.paying import Till, line, service, till
from tests.service import ADDRESS, Service, new_id, running

__all__ = ["line", "service", "shared_provider", "till"]


on_one_engine = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For what no engine has a part in."""


def path(subscription: str, page: str) -> str:
    return f"subscriptions/{subscription}/payment-pages/{page}"


def put(till: Till, subscription: str, page: str, **wanted: Any) -> httpx.Response:
    return till.office.ask("PUT", path(subscription, page), json=wanted)


def problem(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    return str(answer.json()["type"].removeprefix("/problems/"))


def ticket_of(url: str) -> str:
    return str(httpx.URL(url).params["ticket"])


# Opening


def test_page_is_opened_once_for_an_id(till: Till) -> None:
    subscription, page = till.requested(None), new_id()
    first = put(till, subscription, page, language="fr")
    assert first.status_code == 201
    assert first.json()["state"] == "open"
    assert first.json()["completed_at"] is None
    again = put(till, subscription, page, language="fr")
    assert (again.status_code, again.json()) == (200, first.json())
    assert problem(put(till, subscription, page, language="en"), 409) == "action-conflict"
    other = till.requested(None, plate="XYZ 789")
    assert problem(put(till, other, page, language="fr"), 409) == "action-conflict"
    assert problem(till.office.ask("GET", path(other, page)), 404) == "unknown-payment-page"


def test_page_that_many_open_at_once_is_one(till: Till) -> None:
    subscription, page = till.requested(None), new_id()
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(put, till, subscription, page) for _ in range(4)]
        answers = [ask.result() for ask in asked]
    assert sorted(answer.status_code for answer in answers).count(201) == 1
    assert len({answer.json()["ticket"] for answer in answers}) == 1


def test_page_speaks_the_language_that_was_asked_for(till: Till) -> None:
    subscription = till.requested(None)
    for language, words in (("fr", "Numéro de carte"), ("en", "Card number")):
        opened = till.open_page(subscription, language=language)
        assert words in unescape(Person(opened["url"]).page.text)


def test_person_is_sent_to_the_address_that_was_asked_for(till: Till) -> None:
    subscription = till.requested(None)
    mine = till.open_page(subscription, return_url="https://example.org/merci?a=b")
    assert give_card(mine["url"]) == f"https://example.org/merci?a=b&ticket={mine['ticket']}"
    ours = till.open_page(subscription, language="en")
    expected = f"{ADDRESS}/paiement/retour?langue=en&ticket={ours['ticket']}"
    assert give_card(ours["url"]) == expected


@on_one_engine
@pytest.mark.parametrize(
    ("wanted", "pointer"),
    [
        ({"language": "de"}, "/language"),
        ({"return_url": "javascript:alert(1)"}, "/return_url"),
        ({"return_url": "//example.org"}, "/return_url"),
        ({"return_url": "https://example.org/" + "x" * 2000}, "/return_url"),
        ({"return_url": 5}, "/return_url"),
        ({"card": "4242424242424242"}, "/card"),
    ],
)
def test_page_that_cannot_be_is_refused(till: Till, wanted: Any, pointer: str) -> None:
    answer = put(till, till.requested(None), new_id(), **wanted)
    assert problem(answer, 422) == "invalid"
    assert pointer in {error["pointer"] for error in answer.json()["errors"]}


def test_no_page_is_opened_where_nothing_will_be_charged(till: Till) -> None:
    refused = till.requested(None)
    till.office.decide(refused, "refuse", reason="La preuve est illisible.")
    assert problem(put(till, refused, new_id()), 409) == "not-in-this-state"
    cancelled = till.subscribed(plate="XYZ 789")
    till.office.act(cancelled, "cancel")
    assert problem(put(till, cancelled, new_id()), 409) == "not-in-this-state"
    assert problem(put(till, new_id(), new_id()), 404) == "unknown-subscription"


def test_provider_that_does_not_answer_opens_no_page(till: Till, line: Line) -> None:
    subscription, page = till.requested(None), new_id()
    line.is_cut = True
    answer = put(till, subscription, page)
    assert problem(answer, 503) == "payment-provider-unreachable"
    assert int(answer.headers["retry-after"]) > 0
    assert problem(till.office.ask("GET", path(subscription, page)), 404) == "unknown-payment-page"
    line.is_cut = False
    assert put(till, subscription, page).status_code == 201


# Completing


def test_card_is_fetched_by_whoever_looks_although_nobody_told(till: Till) -> None:
    subscription = till.requested(None)
    opened = till.open_page(subscription)
    assert till.page(subscription, opened["id"])["state"] == "open"
    give_card(opened["url"], PAYS_TOO)
    done = till.page(subscription, opened["id"])
    assert (done["state"], done["completed_at"]) == ("completed", "2026-11-23T15:15:00Z")
    paid_with = till.office.get(subscription)["payment"]
    assert (paid_with["card_brand"], paid_with["card_last4"]) == ("Mastercard", "5454")
    assert till.history(subscription) == ["requested", "payment-method"]


def test_looking_again_asks_nobody_and_changes_nothing(till: Till, line: Line) -> None:
    subscription = till.requested(None)
    opened = till.open_page(subscription)
    give_card(opened["url"])
    first = till.page(subscription, opened["id"])
    version = till.office.get(subscription)["version"]
    line.is_cut = True
    assert till.page(subscription, opened["id"]) == first
    assert till.office.get(subscription)["version"] == version


def test_card_of_the_page_that_was_completed_last_counts(till: Till) -> None:
    subscription = till.requested(None)
    first, second = till.open_page(subscription), till.open_page(subscription)
    give_card(second["url"], PAYS_TOO)
    till.page(subscription, second["id"])
    give_card(first["url"], DECLINES)
    till.page(subscription, first["id"])
    assert till.office.get(subscription)["payment"]["card_last4"] == "0341"
    till.page(subscription, second["id"])
    assert till.office.get(subscription)["payment"]["card_last4"] == "0341"


def test_card_for_what_was_cancelled_meanwhile_is_not_kept(till: Till) -> None:
    subscription = till.requested(None)
    opened = till.open_page(subscription)
    till.office.decide(subscription, "withdraw")
    give_card(opened["url"])
    assert till.page(subscription, opened["id"])["state"] == "completed"
    assert till.office.get(subscription)["payment"] is None


def test_page_that_the_provider_forgot_is_told_as_expired(
    till: Till,
) -> None:
    subscription = till.requested(None)
    opened = till.open_page(subscription)
    with till.service.parts.record.engine.begin() as tx:
        tx.exec_driver_sql("UPDATE payment_pages SET ticket = 'forgotten'")
    assert till.page(subscription, opened["id"])["state"] == "expired"


# Where the person comes back to


def come_back(till: Till, ticket: str, **query: str) -> httpx.Response:
    nobody = till.service.client(None, language="fr")
    return nobody.get("/paiement/retour", params={"ticket": ticket} | query)


def test_person_who_comes_back_is_told_that_the_card_is_saved(till: Till) -> None:
    subscription = till.requested(None)
    opened = till.open_page(subscription)
    ticket = ticket_of(give_card(opened["url"]))
    french = come_back(till, ticket)
    assert french.status_code == 200
    assert "carte est enregistrée" in unescape(french.text)
    assert till.office.get(subscription)["payment"]["card_last4"] == "4242"
    english = come_back(till, ticket, langue="en")
    assert "Your card is saved" in english.text
    for answer in (french, english):
        assert answer.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        for private in (subscription, "John", "4242", ticket, "100000001"):
            assert private not in answer.text


def test_person_who_has_given_no_card_is_not_told_that_it_is_saved(till: Till, line: Line) -> None:
    opened = till.open_page(till.requested(None))
    assert "pas encore confirmée" in unescape(come_back(till, opened["ticket"]).text)
    give_card(opened["url"])
    line.is_cut = True
    assert "pas encore confirmée" in unescape(come_back(till, opened["ticket"]).text)
    line.is_cut = False
    assert "carte est enregistrée" in unescape(come_back(till, opened["ticket"]).text)


def test_ticket_that_nobody_has_asks_nobody(till: Till, line: Line) -> None:
    line.passed.clear()
    for ticket in ("", "guessed", "é\0", "x" * 200):
        answer = come_back(till, ticket)
        assert answer.status_code == 404
        assert "pas encore confirmée" in unescape(answer.text)
    assert line.passed == []


# What the provider tells


def told(
    till: Till,
    body: bytes,
    *,
    secret: str | None = None,
    shift: float = 0,
    headers: dict[str, str] | None = None,
) -> httpx.Response:
    """As the provider sends it, so many seconds ago."""
    known = till.service.settings.payment_webhook_secret if secret is None else secret
    timestamp = str(int(till.service.clock().timestamp() - shift))
    signed = {
        "Payment-Timestamp": timestamp,
        "Payment-Signature": signature(known, timestamp, body),
        "Content-Type": "application/json",
    }
    client = till.service.client(None)
    return client.post("/v1/payment-events", content=body, headers=signed | (headers or {}))


def test_event_makes_the_service_look_and_may_come_again(till: Till) -> None:
    subscription = till.requested(None)
    opened = till.open_page(subscription)
    body = b'{"kind": "page.completed", "ticket": "%s"}' % opened["ticket"].encode()
    assert told(till, body).status_code == 204
    assert till.office.get(subscription)["payment"]["card_last4"] is None, "it is only a hint"
    give_card(opened["url"])
    for _ in range(3):
        assert told(till, body).status_code == 204
    assert till.office.get(subscription)["payment"]["card_last4"] == "4242"
    assert till.history(subscription) == ["requested", "payment-method"]


def test_event_about_an_order_hurries_whoever_asks_for_it(till: Till, line: Line) -> None:
    subscription = till.subscribed()
    line.loses = lambda method, path: path.startswith("/v1/orders/")
    till.charge_due()
    line.loses = lambda method, path: False
    assert till.charge_due() == 0
    order = f"{till.payment(subscription)['id']}-1"
    assert told(till, b'{"order": "%s"}' % order.encode()).status_code == 204
    assert till.charge_due() == 1
    assert till.state(subscription) == "paid"


def test_event_that_is_not_signed_so_or_not_lately_is_not_believed(till: Till) -> None:
    subscription = till.requested(None)
    opened = till.open_page(subscription)
    give_card(opened["url"])
    body = b'{"ticket": "%s"}' % opened["ticket"].encode()
    mine = signature(till.service.settings.payment_webhook_secret, "1", body)
    for answer in (
        told(till, body, secret="guessed"),
        told(till, body, secret=""),
        told(till, body, shift=301),
        told(till, body, shift=-301),
        told(till, body, headers={"Payment-Timestamp": "1"}),
        told(till, body, headers={"Payment-Timestamp": "1", "Payment-Signature": mine}),
        told(till, body, headers={"Payment-Timestamp": "x", "Payment-Signature": ""}),
        told(till, body, headers={"Payment-Timestamp": "9" * 400}),
        till.service.client(None).post("/v1/payment-events", content=body),
    ):
        assert problem(answer, 403) == "event-not-believed"
    assert till.office.get(subscription)["payment"]["card_last4"] is None
    for shift in (299, -299):
        assert told(till, body, shift=shift).status_code == 204


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"null",
        b'{"ticket": 5, "order": null}',
        b'{"ticket": "of nobody", "order": "of nobody"}',
        b'{"order": "\\u0000"}',
        b'{"order": "\\ud800"}',
        b'{"ticket": "' + b"x" * 10_000 + b'"}',
        b"[" * 10_000,
        b"\xff",
    ],
)
def test_signed_event_that_says_nothing_does_nothing(till: Till, body: bytes) -> None:
    assert told(till, body).status_code == 204


@on_one_engine
def test_event_that_is_too_large_is_refused(till: Till) -> None:
    assert problem(told(till, b'{"a": "' + b"x" * 20_000 + b'"}'), 413) == "too-large"


def test_event_that_meets_no_provider_is_to_be_sent_again(till: Till, line: Line) -> None:
    subscription = till.requested(None)
    opened = till.open_page(subscription)
    give_card(opened["url"])
    line.is_cut = True
    body = b'{"ticket": "%s"}' % opened["ticket"].encode()
    assert problem(told(till, body), 503) == "payment-provider-unreachable"
    line.is_cut = False
    assert told(till, body).status_code == 204
    assert till.office.get(subscription)["payment"]["card_last4"] == "4242"


# Without a provider


def test_without_a_provider_cards_are_a_problem_and_the_rest_works(
    tmp_path: Path, database_url: str | None, shared_provider: LocalProvider
) -> None:
    with running(tmp_path / "without", database_url=database_url) as service:
        till = Till(service, shared_provider)
        subscription = till.requested(None)
        assert problem(put(till, subscription, new_id()), 409) == "no-payment-provider"
        answer = till.office.ask("GET", path(subscription, new_id()))
        assert problem(answer, 404) == "unknown-payment-page"
        assert problem(told(till, b"{}"), 409) == "no-payment-provider"
        assert till.payments(subscription) == []
        assert till.charge_due() == 0


# Settings


def test_settings_that_name_no_usable_provider_are_told(tmp_path: Path, service: Service) -> None:
    good = service.settings
    for wrong, words in (
        ({"payment_provider": "paypal"}, "paypal"),
        ({"payment_url": ""}, "PATROUILLE_PAYMENT_URL"),
        ({"payment_url": "http://192.0.2.1"}, "PATROUILLE_PAYMENT_URL"),
        ({"payment_key": ""}, "PATROUILLE_PAYMENT_KEY"),
    ):
        with pytest.raises(UnusableProvider) as told:
            provider_of(replace(good, **wrong))
        assert words in told.value.text("en")
    assert provider_of(replace(good, payment_provider="")) is None


def test_secrets_are_not_shown_with_the_settings(service: Service) -> None:
    shown = repr(service.settings)
    assert service.settings.payment_key not in shown
    assert service.settings.payment_webhook_secret not in shown
    assert service.settings.payment_url in shown


# The list


def test_payments_are_listed_page_by_page(till: Till) -> None:
    subscription = till.subscribed()
    first = till.office.does("GET", f"subscriptions/{subscription}/payments?limit=1")
    assert (len(first["items"]), first["next_cursor"]) == (1, None)
    beyond = till.office.ask("GET", f"subscriptions/{subscription}/payments?cursor=x")
    assert problem(beyond, 422) == "not-a-page-cursor"
    other = till.office.ask(
        "POST", f"subscriptions/{subscription}/payments/{new_id()}/refund",
        json={"id": new_id(), "reason": "Annulé"},
    )  # fmt: skip
    assert problem(other, 404) == "unknown-payment"
