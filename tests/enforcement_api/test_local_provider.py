"""The local payment provider: its page as a person sees it, its interface, its ledger, its events.

A real process over real HTTP throughout.
"""

from __future__ import annotations

import base64
import concurrent.futures
import hashlib
import http.server
import json
import re
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest

from enforcement_api.local_provider.webhooks import SIGNATURE, TIMESTAMP, pause
from enforcement_api.security import signature
from tests.local_provider import (
    DECLINES,
    DECLINES_ONCE,
    PAYS,
    PAYS_TOO,
    PLAIN,
    REFUSED,
    WITHIN_S,
    LocalProvider,
    Person,
    free_port,
    give_card,
    local_provider,
    shared_provider,
    wait_for,
)

__all__ = ["shared_provider"]

RETURN = "http://127.0.0.1:9/paiement/retour"


@pytest.fixture
def provider(shared_provider: LocalProvider) -> LocalProvider:
    return shared_provider


def preload(
    provider: LocalProvider, *, language: str = "fr", return_url: str = RETURN
) -> dict[str, str]:
    with provider.client() as client:
        answer = client.post("/v1/preloads", json={"language": language, "return_url": return_url})
        assert answer.status_code == 201, answer.text
        found: dict[str, str] = answer.json()
        return found


def receipt(provider: LocalProvider, ticket: str) -> Any:
    with provider.client() as client:
        answer = client.get(f"/v1/receipts/{ticket}")
        assert answer.status_code == 200, answer.text
        return answer.json()


def token(provider: LocalProvider, number: str = PAYS) -> str:
    """What the service gets of a card."""
    page = preload(provider)
    give_card(page["url"], number)
    return str(receipt(provider, page["ticket"])["card"]["token"])


def new_order() -> str:
    return f"{uuid.uuid4()}-1"


def purchase(provider: LocalProvider, order: str, token: str, cents: int = 2308) -> httpx.Response:
    with provider.client() as client:
        return client.put(f"/v1/orders/{order}", json={"token": token, "amount_cents": cents})


def outcome(answer: httpx.Response) -> tuple[str, str | None]:
    assert answer.status_code == 200, answer.text
    return answer.json()["outcome"], answer.json()["reason"]


def problem(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["type"].removeprefix("/problems/"))


# The page


def test_a_card_that_is_given_becomes_a_token_and_the_person_goes_on(
    provider: LocalProvider,
) -> None:
    page = preload(provider, return_url=RETURN + "?langue=fr")
    assert receipt(provider, page["ticket"])["card"] is None
    onward = give_card(page["url"], PAYS, expiry="5/31")
    assert onward == f"{RETURN}?langue=fr&ticket={page['ticket']}"
    card = receipt(provider, page["ticket"])["card"]
    assert (card["brand"], card["last4"], card["expiry"]) == ("Visa", "4242", "2031-05")
    assert card["token"].startswith("card_")


def test_page_is_french_first_and_english_when_asked(provider: LocalProvider) -> None:
    french = Person(preload(provider, language="fr")["url"]).page
    assert '<html lang="fr">' in french.text
    assert "Numéro de carte" in french.text
    assert "Card number" not in french.text
    url = preload(provider, language="en")["url"]
    english = Person(url).page
    assert '<html lang="en">' in english.text
    assert "Card number" in english.text
    other = re.search(r'<a href="(\?language=fr)"', english.text)
    assert other is not None
    turned = httpx.get(httpx.URL(url).join(other[1]), **PLAIN)
    assert "Numéro de carte" in turned.text
    assert turned.headers["content-language"] == "fr"


def test_page_says_that_it_is_a_trial(provider: LocalProvider) -> None:
    for language, words in (("fr", "Essais seulement"), ("en", "For trials only")):
        page = Person(preload(provider, language=language)["url"]).page
        assert words in unescape(page.text)
    assert "trials only" in provider.log()


def test_page_runs_nothing_and_sends_nowhere_else(provider: LocalProvider) -> None:
    page = Person(preload(provider)["url"]).page
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "script-src" not in policy
    # A browser holds the redirect after the form against this too.
    assert "form-action 'self' http://127.0.0.1:9" in policy
    assert "<script" not in page.text
    assert "style=" not in page.text
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == "no-referrer"
    (style,) = re.findall(r"<style>(.*?)</style>", page.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert "url(" not in style
    assert "prefers-color-scheme: dark" in style


def test_every_field_has_its_label_and_what_is_wrong_is_told_beside_it(
    provider: LocalProvider,
) -> None:
    person = Person(preload(provider)["url"])
    answer = person.give_card("", expiry="13/31")
    assert answer.status_code == 422
    for field in ("number", "expiry"):
        assert f'<label for="{field}">' in answer.text
        assert f'<a href="#{field}">' in answer.text
        assert f'aria-describedby="{field}-error"' in answer.text
        assert f'id="{field}-error"' in answer.text
    assert 'role="alert"' in answer.text
    assert "<title>À corriger" in answer.text
    assert 'value="13/31"' in answer.text


@pytest.mark.parametrize("expiry", ["", "00/31", "1/", "05/20", "2031", "x", "05/31/01"])
def test_expiry_that_is_none_or_over_is_refused(provider: LocalProvider, expiry: str) -> None:
    page = preload(provider)
    assert Person(page["url"]).give_card(PAYS, expiry=expiry).status_code == 422
    assert receipt(provider, page["ticket"])["card"] is None


@pytest.mark.parametrize(
    "number", ["4111 1111 1111 1111", "4242424242424243", "quarante-deux", "4" * 200]
)
def test_number_that_is_not_a_test_card_is_not_taken_nor_shown_again(
    provider: LocalProvider, number: str
) -> None:
    page = preload(provider)
    answer = Person(page["url"]).give_card(number)
    assert answer.status_code == 422
    assert "essai" in answer.text
    assert number not in answer.text
    assert receipt(provider, page["ticket"])["card"] is None


def test_number_is_read_however_it_is_spaced(provider: LocalProvider) -> None:
    for typed in (
        PAYS,
        "4242.4242.4242.4242",
        "４２４２ ４２４２ ４２４２ ４２４２",
        "\xa0" + PAYS_TOO,
    ):
        page = preload(provider)
        give_card(page["url"], typed)
        assert receipt(provider, page["ticket"])["card"]["last4"] in ("4242", "5454")


def test_card_that_is_declined_at_once_is_told_and_another_may_be_given(
    provider: LocalProvider,
) -> None:
    page = preload(provider)
    person = Person(page["url"])
    answer = person.give_card(REFUSED)
    assert answer.status_code == 422
    assert "a été refusée" in answer.text
    assert receipt(provider, page["ticket"])["card"] is None
    assert person.give_card(PAYS).status_code == 303


def test_card_is_given_once_on_each_page(provider: LocalProvider) -> None:
    page = preload(provider)
    first, second = Person(page["url"]), Person(page["url"])
    assert first.give_card(PAYS).status_code == 303
    late = second.give_card(PAYS_TOO)
    assert late.status_code == 200
    assert "4242" in late.text
    assert receipt(provider, page["ticket"])["card"]["last4"] == "4242"
    again = Person(page["url"]).page
    assert f"{RETURN}?ticket={page['ticket']}" in unescape(again.text)


def test_page_that_there_is_not_is_told_to_a_person(provider: LocalProvider) -> None:
    answer = httpx.get(f"{provider.address}/pay/none", **PLAIN)
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert '<html lang="fr">' in answer.text


# The interface


def test_nobody_without_the_key_is_answered(provider: LocalProvider) -> None:
    for key in ("none", "patrouille_admin_guessed", "clé"):
        headers = {"Authorization": f"Bearer {key}".encode()}
        for method, path in (
            ("POST", "/v1/preloads"),
            ("GET", "/v1/receipts/x"),
            ("PUT", "/v1/orders/x"),
            ("GET", "/v1/orders/x"),
            ("PUT", "/v1/refunds/x"),
        ):
            answer = httpx.request(method, provider.address + path, headers=headers, **PLAIN)
            assert problem(answer, 401) == "unauthenticated"


def test_order_is_charged_once_and_answered_alike(provider: LocalProvider) -> None:
    card, order = token(provider), new_order()
    first = purchase(provider, order, card)
    assert outcome(first) == ("charged", None)
    assert purchase(provider, order, card).json() == first.json()
    with provider.client() as client:
        assert client.get(f"/v1/orders/{order}").json() == first.json()
    assert len([o for o in provider.charged() if o.id == order]) == 1


def test_order_with_another_content_is_a_conflict_and_charges_nothing(
    provider: LocalProvider,
) -> None:
    card, other, order = token(provider), token(provider), new_order()
    purchase(provider, order, card, 2308)
    assert problem(purchase(provider, order, card, 2309), 409) == "order-conflict"
    assert problem(purchase(provider, order, other, 2308), 409) == "order-conflict"


def test_order_that_many_ask_for_at_once_is_charged_once(provider: LocalProvider) -> None:
    card, order = token(provider), new_order()
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        asked = [pool.submit(purchase, provider, order, card) for _ in range(36)]
        answers = {ask.result(WITHIN_S).text for ask in asked}
    assert len(answers) == 1
    assert len([o for o in provider.charged() if o.id == order]) == 1


def test_cards_do_what_the_page_says(provider: LocalProvider) -> None:
    assert outcome(purchase(provider, new_order(), token(provider, PAYS_TOO)))[0] == "charged"
    card = token(provider, DECLINES)
    for _ in range(2):
        assert outcome(purchase(provider, new_order(), card)) == ("declined", "card_declined")
    card, order = token(provider, DECLINES_ONCE), new_order()
    assert outcome(purchase(provider, order, card)) == ("declined", "card_declined")
    assert outcome(purchase(provider, order, card)) == ("declined", "card_declined")
    assert outcome(purchase(provider, new_order(), card)) == ("charged", None)


def test_card_that_nobody_gave_is_declined(provider: LocalProvider) -> None:
    assert outcome(purchase(provider, new_order(), "card_x")) == ("declined", "unknown_card")


def test_order_that_nobody_asked_for_is_not_found(provider: LocalProvider) -> None:
    with provider.client() as client:
        assert problem(client.get(f"/v1/orders/{new_order()}"), 404) == "unknown-order"


def test_what_was_charged_is_given_back_once_and_no_more_than_that(
    provider: LocalProvider,
) -> None:
    card, order = token(provider), new_order()
    purchase(provider, order, card)
    with provider.client() as client:

        def refund(id: str, cents: int, of: str = order) -> httpx.Response:
            return client.put(f"/v1/refunds/{id}", json={"order": of, "amount_cents": cents})

        id = new_order()
        first = refund(id, 2308)
        assert outcome(first) == ("refunded", None)
        assert refund(id, 2308).json() == first.json()
        assert problem(refund(id, 2307), 409) == "order-conflict"
        assert problem(refund(new_order(), 1), 409) == "nothing-to-refund"
        assert problem(refund(new_order(), 1, of=new_order()), 404) == "unknown-order"
        assert problem(refund(new_order(), 1, of=id), 409) == "nothing-to-refund"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/preloads", {"language": "de", "return_url": RETURN}),
        ("/v1/preloads", {"language": "fr", "return_url": "javascript:alert(1)"}),
        ("/v1/preloads", {"language": "fr", "return_url": "http://[x/"}),
        ("/v1/preloads", {"language": "fr", "return_url": RETURN, "card": PAYS}),
        ("/v1/preloads", []),
        ("/v1/orders/x", {"token": "card_x", "amount_cents": 0}),
        ("/v1/orders/x", {"token": "card_x", "amount_cents": "1"}),
        ("/v1/orders/%3Cx%3E", {"token": "card_x", "amount_cents": 1}),
        ("/v1/refunds/x", {"order": "", "amount_cents": 1}),
    ],
)
def test_what_cannot_be_is_refused_in_words(provider: LocalProvider, path: str, body: Any) -> None:
    with provider.client() as client:
        method = "POST" if path == "/v1/preloads" else "PUT"
        assert problem(client.request(method, path, json=body), 422) == "invalid"


# What is kept


def test_no_number_is_kept_or_logged(tmp_path: Path) -> None:
    typed = [PAYS, PAYS_TOO, DECLINES, REFUSED, "4111 1111 1111 1111"]
    with local_provider(tmp_path / "data") as provider:
        for number in typed:
            person = Person(preload(provider)["url"])
            person.give_card(number)
            with provider.client() as client:
                client.put("/v1/orders/x", json={"token": number, "amount_cents": number})
                client.post("/v1/preloads", content=number)
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        kept = b"".join(path.read_bytes() for path in files)
        tokens = [order for order in (b"card_", b"4242", b"5454") if order in kept]
        assert tokens == [b"card_", b"4242", b"5454"], "the search finds what is kept"
        for number in typed:
            digits = re.sub(r"\D", "", number)
            for form in (number, digits, " ".join(re.findall("....", digits))):
                assert form.encode() not in kept


def test_what_was_done_is_there_after_kill_9_and_is_not_done_again(tmp_path: Path) -> None:
    with local_provider(tmp_path / "data") as provider:
        card = token(provider)
        orders = [new_order() for _ in range(8)]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(_tried, provider, order, card) for order in orders]
            wait_for(lambda: any(ask.done() for ask in asked))
            provider.kill()
            answered = [order for order, ask in zip(orders, asked, strict=True) if ask.result()]
        provider.start()
        assert {order.id for order in provider.charged()} >= set(answered)
        for order in orders:
            assert outcome(purchase(provider, order, card))[0] == "charged"
        assert sorted(order.id for order in provider.charged()) == sorted(orders)
        assert provider.end() == 0


def _tried(provider: LocalProvider, order: str, card: str) -> bool:
    try:
        return purchase(provider, order, card).status_code == 200
    except httpx.HTTPError:
        return False


# Events


class Ear:
    """Listens where the service would, and hears, or refuses to, as it is told."""

    def __init__(self) -> None:
        self.heard: list[tuple[dict[str, Any], str, str, bytes]] = []
        self.refusals = 0
        ear = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if ear.refusals:
                    ear.refusals -= 1
                    self.send_error(503)
                    return
                ear.heard.append(
                    (json.loads(body), self.headers[TIMESTAMP], self.headers[SIGNATURE], body)
                )
                self.send_response(204)
                self.end_headers()

            def log_message(self, *told: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def ear() -> Iterator[Ear]:
    ear = Ear()
    yield ear
    ear.close()


def test_service_is_told_signed_until_it_hears(tmp_path: Path, ear: Ear) -> None:
    ear.refusals = 2
    with local_provider(tmp_path / "data", service=ear.address) as provider:
        page = preload(provider)
        give_card(page["url"])
        wait_for(lambda: ear.heard)
        told, timestamp, signed, body = ear.heard[0]
        assert (told["kind"], told["ticket"]) == ("page.completed", page["ticket"])
        assert set(told) == {"id", "kind", "at", "ticket"}
        secret = provider.settings["payment_webhook_secret"]
        assert signed == signature(secret, timestamp, body)
        order = new_order()
        purchase(provider, order, receipt(provider, page["ticket"])["card"]["token"])
        wait_for(lambda: len(ear.heard) == 2)
        assert ear.heard[1][0]["order"] == order
        wait_for(lambda: provider.ledger.untold() == 0)


def test_events_outlive_the_process(tmp_path: Path, ear: Ear) -> None:
    ear.refusals = 1000
    with local_provider(tmp_path / "data", service=ear.address) as provider:
        page = preload(provider)
        give_card(page["url"])
        provider.kill()
        assert provider.ledger.untold() == 1
        ear.refusals = 0
        provider.start()
        wait_for(lambda: ear.heard)
        assert ear.heard[0][0]["ticket"] == page["ticket"]


def test_pauses_between_tries_grow_and_end() -> None:
    pauses = [pause(attempts) for attempts in range(60)]
    seconds = [wait.total_seconds() for wait in pauses if wait is not None]
    assert seconds[:4] == [1, 2, 4, 8]
    assert max(seconds) == 3600
    assert sum(seconds) > 48 * 3600
    assert pause(60) is None


# The command


def test_only_this_machine_is_served(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.org"):
        done = subprocess.run(
            [
                *(sys.executable, "-m", "enforcement_api", "local-provider"),
                *("--host", host, "--port", "0", "--data-dir", str(tmp_path / "data")),
            ],
            env={"PATROUILLE_LANG": "en", "PYTHONPATH": ".", "PATH": ""},
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
        )
        assert done.returncode == 1
        assert "this machine alone" in done.stderr
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "data").exists()


def test_secrets_are_made_once_or_given(tmp_path: Path) -> None:
    with local_provider(tmp_path / "made") as provider:
        made = provider.settings
        assert made["payment_provider"] == "local"
        assert len(made["payment_key"]) >= 32
        assert made["payment_key"] != made["payment_webhook_secret"]
        assert provider.end() == 0
        provider.start()
        assert provider.settings == made
    given = {"PATROUILLE_PAYMENT_KEY": "a", "PATROUILLE_PAYMENT_WEBHOOK_SECRET": "b"}
    with local_provider(tmp_path / "given", environment=given) as provider:
        assert provider.settings["payment_key"] == "a"
        assert provider.settings["payment_webhook_secret"] == "b"
