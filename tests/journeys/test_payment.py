"""A subscriber pays, with everything a process of its own: the service, the provider, a browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.enforcement_api.program import Serving, key, open_site, serving
from tests.local_provider import (
    PAYS,
    PAYS_TOO,
    PLAIN,
    LocalProvider,
    Person,
    free_port,
    give_card,
    local_provider,
    wait_for,
)
from tests.subscribing import Office, new_id

PRICE = 2308


class Remote:
    """The serving process, as an office asks it."""

    def __init__(self, admin: httpx.Client) -> None:
        self.admin = admin

    def clock(self) -> datetime:
        return datetime.now(UTC)


@dataclass
class World:
    """Both processes, and an office."""

    server: Serving
    provider: LocalProvider
    office: Office

    def open_page(self, subscription: str) -> str:
        path = f"subscriptions/{subscription}/payment-pages/{new_id()}"
        return str(self.office.does("PUT", path, json={"language": "fr"})["url"])

    def method(self, subscription: str) -> Any:
        return self.office.get(subscription)["payment"]

    def payment(self, subscription: str) -> Any:
        found = self.office.does("GET", f"subscriptions/{subscription}/payments")["items"]
        return found[0] if found else None

    def requested(self, plate: str) -> str:
        return self.office.subscribe(plate, payment={"method": "card"})


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    data_dir, port = tmp_path / "service", free_port()
    admin = key(data_dir)
    here = f"http://127.0.0.1:{port}"
    with local_provider(tmp_path / "provider", service=here) as provider:
        settings = {f"PATROUILLE_{name.upper()}": v for name, v in provider.settings.items()}
        settings["PATROUILLE_CLERK_SECONDS"] = "0.2"
        options = ("--port", str(port))
        with (
            serving(data_dir, options=options, settings=settings) as server,
            server.client(admin) as client,
        ):
            open_site(client)
            office = Office(Remote(client))  # type: ignore[arg-type]
            office.product(price_cents=PRICE)
            yield World(server, provider, office)


def test_subscriber_pays_and_no_card_number_reaches_the_service(
    world: World, tmp_path: Path
) -> None:
    subscription = world.requested("ABC 123")
    browser = Person(world.open_page(subscription))
    answer = browser.give_card(PAYS)
    back = httpx.get(answer.headers["location"], headers={"Accept-Language": "fr"}, **PLAIN)
    assert "Votre carte est enregistrée" in unescape(back.text)
    assert world.method(subscription)["card_last4"] == "4242"
    assert world.payment(subscription) is None
    world.office.approve(subscription)
    wait_for(lambda: world.payment(subscription)["state"] == "paid")
    (order,) = world.provider.charged()
    assert order.amount_cents == PRICE
    assert world.office.get(subscription)["balance_cents"] == 0
    # Somebody who misunderstands sends the number to the service itself.
    for path in ("payment-events", f"subscriptions/{subscription}/payment-pages/{new_id()}"):
        for method in ("POST", "PUT"):
            world.office.client.request(method, f"/v1/{path}", content=PAYS)
            world.office.client.request(method, f"/v1/{path}", json={"language": PAYS})
    world.server.client("none").close()
    kept = b"".join(
        path.read_bytes()
        for folder in (tmp_path / "service", tmp_path / "provider")
        for path in folder.rglob("*")
        if path.is_file()
    )
    kept += world.server.log().encode() + world.provider.log().encode()
    assert b"4242" in kept, "the search finds what is kept"
    for form in (PAYS, re.sub(" ", "", PAYS), re.sub(" ", "-", PAYS)):
        assert form.encode() not in kept


def test_service_hears_of_a_card_from_the_provider_alone(world: World) -> None:
    """The person closes the browser, and nobody looks."""
    subscription = world.requested("ABC 123")
    give_card(world.open_page(subscription), PAYS_TOO)
    wait_for(lambda: world.method(subscription)["card_last4"] == "5454")
    wait_for(lambda: world.provider.ledger.untold() == 0)
    history = [event["action"] for event in world.office.get(subscription)["history"]]
    assert history == ["requested", "payment-method"]
