"""Payments in tests: subscribers who give cards on the local provider's page, and a cashier."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import httpx
import pytest

from enforcement_api.database.tables import letters
from enforcement_api.local_provider.ledger import Order
from enforcement_api.subscriptions.letters import Letter, compose
from tests.local_provider import PAYS, Line, LocalProvider, give_card
from tests.service import Service, running
from tests.subscribing import Office, new_id

PRICE = 2308


class Till:
    """An office whose product costs something, and what the provider took for it."""

    def __init__(self, service: Service, provider: LocalProvider) -> None:
        self.service, self.provider = service, provider
        service.site(zones=["G1", "G2"])
        self.office = Office(service)
        self.office.product(price_cents=PRICE, grace_days=10)

    # cards

    def open_page(self, subscription: str, **wanted: Any) -> dict[str, Any]:
        path = f"subscriptions/{subscription}/payment-pages/{new_id()}"
        return self.office.does("PUT", path, json=wanted)

    def page(self, subscription: str, page: str) -> dict[str, Any]:
        return self.office.does("GET", f"subscriptions/{subscription}/payment-pages/{page}")

    def give_card(self, subscription: str, number: str = PAYS) -> None:
        """Somebody gives a card, and the service learns of it."""
        opened = self.open_page(subscription)
        give_card(opened["url"], number)
        assert self.page(subscription, opened["id"])["state"] == "completed"

    # subscriptions

    def requested(self, number: str | None = PAYS, *, plate: str = "ABC 123", **facts: Any) -> str:
        """A request that is to be paid with this card (None: it is not given yet)."""
        subscription = self.office.subscribe(plate, payment={"method": "card"}, **facts)
        if number is not None:
            self.give_card(subscription, number)
        return subscription

    def subscribed(self, number: str = PAYS, **facts: Any) -> str:
        """A subscription that was approved now, and that nothing was charged for yet."""
        subscription = self.requested(number, **facts)
        self.office.approve(subscription)
        return subscription

    # what came of it

    def charge_due(self) -> int:
        return self.service.parts.cashier.charge_due()

    def payments(self, subscription: str) -> list[dict[str, Any]]:
        found = self.office.does("GET", f"subscriptions/{subscription}/payments")
        return list(found["items"])

    def payment(self, subscription: str) -> dict[str, Any]:
        """The only one."""
        (found,) = self.payments(subscription)
        return found

    def state(self, subscription: str) -> str:
        return str(self.payment(subscription)["state"])

    def post(self, subscription: str, what: str, **body: Any) -> httpx.Response:
        payment = self.payment(subscription)["id"]
        path = f"subscriptions/{subscription}/payments/{payment}/{what}"
        return self.office.ask("POST", path, json={"id": new_id()} | body)

    def orders(self, subscription: str) -> list[Order]:
        """What the provider did for a subscription's only payment."""
        payment = self.payment(subscription)["id"]
        known = self.provider.ledger.orders()
        return [order for order in known if order.id.startswith(payment)]

    def taken(self, subscription: str) -> int:
        """The cents that the provider took, less what it gave back."""
        signs = {"charged": 1, "declined": 0, "refunded": -1}
        known = self.provider.ledger.orders()
        payment = self.payment(subscription)
        of_payment = {payment["refund"], *(o.id for o in self.orders(subscription))}
        return sum(signs[o.outcome] * o.amount_cents for o in known if o.id in of_payment)

    def history(self, subscription: str) -> list[str]:
        return [event["action"] for event in self.office.get(subscription)["history"]]

    def letters(self, subscription: str) -> list[tuple[str, dict[str, Any]]]:
        """Kind and facts of the letters about payments, in the order they were written."""
        c = letters.c
        with self.service.parts.record.reading() as tx:
            rows = tx.execute(
                letters.select().where(c.subscription == subscription).order_by(c.queued_at)
            ).all()
        found = [row for row in rows if row.kind.startswith("payment_")]
        for row in found:
            names = [field.name for field in fields(Letter)]
            told = compose(Letter(**{name: getattr(row, name) for name in names}))
            assert "23,08" in told.text
        return [(row.kind, row.facts) for row in found]


@pytest.fixture
def line(shared_provider: LocalProvider) -> Iterator[Line]:
    line = Line(shared_provider)
    yield line
    line.close()


@pytest.fixture
def service(tmp_path: Path, database_url: str | None, line: Line) -> Iterator[Service]:
    """A service that reaches the provider over the line."""
    with running(tmp_path, database_url=database_url, **line.settings) as service:
        yield service


@pytest.fixture
def till(service: Service, line: Line) -> Till:
    return Till(service, line.provider)
