"""The hosted page: a person types a card number here, and it goes no further than this module.

Without JavaScript; in French and English.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from fastapi import APIRouter, Form, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from enforcement_api.local_provider.cards import (
    TEST_CARDS,
    TestCard,
    Unusable,
    read_expiry,
    read_number,
    spaced,
)
from enforcement_api.local_provider.ledger import Ledger, Ticket
from enforcement_api.pages import Pages
from enforcement_api.problems import LANGUAGES, N_, Problem

_PAGES = Pages(Path(__file__).parent / "templates")

_DECLINED = N_("This card was declined. Use another one.")

Typed = Annotated[str, Form(max_length=200)]
Language = Annotated[str, Query(max_length=10)]


def return_address(ticket: Ticket) -> str:
    """Where the person goes on, with the ticket among what the address asks."""
    parts = urlsplit(ticket.return_url)
    query = [*parse_qsl(parts.query, keep_blank_values=True), ("ticket", ticket.ticket)]
    return parts._replace(query=urlencode(query)).geturl()


def _page(
    template: str, language: str, *, ticket: Ticket | None = None, status: int = 200, **shown: Any
) -> Response:
    onward = ""
    if ticket is not None:
        parts = urlsplit(ticket.return_url)
        onward = f"{parts.scheme}://{parts.netloc}"
    return _PAGES.page(
        template,
        language,
        status=status,
        onward=onward,
        other="en" if language == "fr" else "fr",
        **shown,
    )


def router(ledger: Ledger, *, now: Callable[[], datetime]) -> APIRouter:
    """The routes."""
    routes = APIRouter()

    def asked(ticket: str, language: str, show: Callable[[Ticket, str], Response]) -> Response:
        chosen = language if language in LANGUAGES else None
        try:
            found = ledger.ticket(ticket)
            chosen = chosen or found.language
            found.check_open(now())
            return show(found, chosen)
        except Problem as problem:
            chosen = chosen or LANGUAGES[0]
            return _page(
                "problem.html", chosen, status=problem.status, problem=problem.as_json(chosen)
            )

    def form(
        ticket: Ticket,
        language: str,
        *,
        errors: dict[str, str] | None = None,
        expiry: str = "",
        status: int = 200,
    ) -> Response:
        # What was typed for a number is never shown again: no page holds one.
        return _page(
            "card.html",
            language,
            ticket=ticket,
            status=status,
            errors=errors or {},
            expiry=expiry if len(expiry) <= 10 else "",
            cards=[(spaced(card.number), card.brand, card.does) for card in TEST_CARDS],
        )

    def completed(ticket: Ticket, language: str) -> Response:
        return _page(
            "completed.html",
            language,
            ticket=ticket,
            card=ticket.card,
            goes_to=return_address(ticket),
        )

    @routes.get("/pay/{ticket}", name="hosted_page", response_class=HTMLResponse)
    def hosted_page(ticket: str, language: Language = "") -> Response:
        return asked(ticket, language, lambda t, chosen: (completed if t.card else form)(t, chosen))

    @routes.post("/pay/{ticket}", response_class=HTMLResponse)
    def give_card(
        ticket: str, number: Typed = "", expiry: Typed = "", language: Language = ""
    ) -> Response:
        def take(found: Ticket, chosen: str) -> Response:
            if found.card is not None:
                return completed(found, chosen)
            errors: dict[str, str] = {}
            card: TestCard | None = None
            until = ""
            try:
                card = read_number(number)
            except Unusable as unusable:
                errors["number"] = str(unusable)
            try:
                until = read_expiry(expiry, at=now())
            except Unusable as unusable:
                errors["expiry"] = str(unusable)
            if card is not None and not errors and card.behaviour == "refused":
                errors["number"] = _DECLINED
            if card is None or errors:
                return form(found, chosen, errors=errors, expiry=expiry, status=422)
            done = ledger.complete(
                ticket,
                brand=card.brand,
                last4=card.number[-4:],
                expiry=until,
                behaviour=card.behaviour,
                at=now(),
            )
            return RedirectResponse(return_address(done), status_code=303)

        return asked(ticket, language, take)

    @routes.get("/", response_class=HTMLResponse)
    def home(language: Language = LANGUAGES[0]) -> Response:
        chosen = language if language in LANGUAGES else LANGUAGES[0]
        return _page("home.html", chosen)

    return routes
