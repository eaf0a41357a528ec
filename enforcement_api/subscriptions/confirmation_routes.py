"""The page behind the link that confirms an address. It asks for a press of a button: programs that
look at every link of a letter would confirm it otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from sqlalchemy import Connection

from enforcement_api.database.engine import Record
from enforcement_api.problems import N_, language_of
from enforcement_api.sites import store as sites
from enforcement_api.subscriptions import confirming
from enforcement_api.subscriptions.core import Holder
from enforcement_api.subscriptions.pages import page
from sync.entities import Site

Secret = Annotated[str, Query(max_length=200)]


def router(*, record: Record, now: Callable[[], datetime]) -> APIRouter:
    """The page behind the link of a letter."""
    routes = APIRouter(include_in_schema=False)

    def unusable(request: Request) -> Response:
        return page(
            language_of(request),
            title=N_("This link is no longer good"),
            paragraphs=(
                N_("It was used up, it is too old, or a newer one was sent to you."),
                N_("Ask the parking office for another: it comes by e-mail."),
            ),
            tone="wait",
            status=410,
        )

    @routes.get(confirming.PATH)
    def ask(request: Request, jeton: Secret = "") -> Response:
        """Ask whether it is really them."""
        at = now().replace(microsecond=0)

        def read(tx: Connection) -> tuple[Holder, Site] | None:
            return _with_site(tx, confirming.holder_of(tx, jeton, at))

        found = record.read(read)
        if found is None:
            return unusable(request)
        holder, site = found
        if holder.email_confirmed_at is not None:
            return _done(holder, site)
        return page(
            holder.language,
            site=site,
            title=N_("Confirm your address"),
            paragraphs=(
                N_("Is {email} your address? Letters about your parking subscription go there."),
            ),
            button=N_("Yes, this is my address"),
            email=holder.email,
        )

    @routes.post(confirming.PATH)
    def confirm(request: Request, jeton: Secret = "") -> Response:
        """Believe it."""
        at = now().replace(microsecond=0)

        def write(tx: Connection) -> tuple[Holder, Site] | None:
            return _with_site(tx, confirming.confirm(tx, jeton, at))

        found = record.write(write)
        return unusable(request) if found is None else _done(*found)

    return routes


def _with_site(tx: Connection, holder: Holder | None) -> tuple[Holder, Site] | None:
    return None if holder is None else (holder, sites.site(tx, holder.site))


def _done(holder: Holder, site: Site) -> Response:
    return page(
        holder.language,
        site=site,
        tone="good",
        title=N_("Thank you, your address is confirmed"),
        paragraphs=(N_("Letters about your parking subscription go to {email}."),),
        email=holder.email,
    )
