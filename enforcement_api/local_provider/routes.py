"""What the service asks of the provider: JSON, with a key."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Request
from pydantic import Field, Strict

from enforcement_api.local_provider.ledger import Ledger
from enforcement_api.security import Unauthenticated
from enforcement_api.shapes import Shape, WebAddress
from sync import codec

LARGEST_CENTS = 100_000_000
ORDER = r"^[A-Za-z0-9_.:-]{1,50}$"
"""As Moneris has them: 50 characters at most, and few that are no letters."""

Cents = Annotated[int, Strict(), Field(ge=1, le=LARGEST_CENTS)]
OrderId = Annotated[str, Path(pattern=ORDER)]


class Preload(Shape):
    """A page to open. `return_url`: where the person is sent when they have given a card."""

    language: Literal["fr", "en"]
    return_url: WebAddress


class Purchase(Shape):
    """What to charge, and which card."""

    token: Annotated[str, Strict(), Field(max_length=100)]
    amount_cents: Cents


class Refund(Shape):
    """What to give back, and of which order."""

    order: Annotated[str, Strict(), Field(pattern=ORDER)]
    amount_cents: Cents


class KeyDoor:
    """Lets in who has the provider's one key."""

    def __init__(self, key: str) -> None:
        self._expected = f"Bearer {key}".encode()

    async def __call__(self, request: Request) -> None:
        """Raises Unauthenticated."""
        given = request.headers.get("authorization", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, self._expected):
            raise Unauthenticated


def router(ledger: Ledger, *, key: str, now: Callable[[], datetime]) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/v1", dependencies=[Depends(KeyDoor(key))])

    @routes.post("/preloads", status_code=201)
    def preload(wanted: Preload, request: Request) -> dict[str, str]:
        ticket = ledger.preload(
            language=wanted.language, return_url=wanted.return_url, at=now()
        ).ticket
        return {"ticket": ticket, "url": str(request.url_for("hosted_page", ticket=ticket))}

    @routes.get("/receipts/{ticket}")
    def receipt(ticket: str) -> dict[str, Any]:
        found = ledger.ticket(ticket)
        if found.card is None:
            found.check_open(now())
            return {"ticket": ticket, "completed_at": None, "card": None}
        card = found.card
        return {
            "ticket": ticket,
            "completed_at": codec.optional_instant(found.completed_at),
            "card": {
                "token": card.token,
                "brand": card.brand,
                "last4": card.last4,
                "expiry": card.expiry,
            },
        }

    @routes.put("/orders/{id}")
    def purchase(id: OrderId, wanted: Purchase) -> dict[str, Any]:
        return ledger.purchase(
            id, token=wanted.token, amount_cents=wanted.amount_cents, at=now()
        ).as_json()

    @routes.get("/orders/{id}")
    def order(id: OrderId) -> dict[str, Any]:
        return ledger.order(id).as_json()

    @routes.put("/refunds/{id}")
    def refund(id: OrderId, wanted: Refund) -> dict[str, Any]:
        return ledger.refund(
            id, of_order=wanted.order, amount_cents=wanted.amount_cents, at=now()
        ).as_json()

    return routes
