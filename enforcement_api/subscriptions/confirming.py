"""An address is the holder's when they follow the link in the letter that was sent there.

The page behind the link asks for a press of a button: programs that look at every link of a letter
would confirm it otherwise.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from sqlalchemy import Connection, delete, insert, select, update

from enforcement_api.database.engine import Record
from enforcement_api.database.tables import confirmations
from enforcement_api.problems import N_, language_of
from enforcement_api.security import secret_hash
from enforcement_api.sites import store as sites
from enforcement_api.subscriptions import store
from enforcement_api.subscriptions.core import Holder
from enforcement_api.subscriptions.pages import page
from enforcement_api.subscriptions.store import Action
from sync.entities import Site

PATH = "/abonnes/confirmation"
Secret = Annotated[str, Query(max_length=200)]


@dataclass(frozen=True, slots=True)
class Link:
    """A link that confirms an address, once, until it expires."""

    url: str
    expires_at: datetime


def new_link(
    tx: Connection, holder: Holder, *, address: str, life: timedelta, at: datetime
) -> Link:
    """A link for the holder's address at the service's; earlier ones are good no more."""
    secret = secrets.token_urlsafe(32)
    c = confirmations.c
    tx.execute(delete(confirmations).where(c.site == holder.site, c.holder == holder.id))
    expires_at = at + life
    tx.execute(
        insert(confirmations).values(
            hash=secret_hash(secret),
            site=holder.site,
            holder=holder.id,
            email=holder.email,
            expires_at=expires_at,
        )
    )
    query = urlencode({"jeton": secret})
    return Link(f"{address.rstrip('/')}{PATH}?{query}", expires_at)


def _holder_of(tx: Connection, secret: str, at: datetime, *, lock: bool = False) -> Holder | None:
    """Whose address a link confirms; None for one that is wrong, old, or of another address."""
    c = confirmations.c
    row = tx.execute(select(confirmations).where(c.hash == secret_hash(secret))).first()
    if row is None or row.expires_at <= at:
        return None
    holder = store.find_holder(tx, row.holder, lock=lock)
    if holder is None or holder.erased_at is not None or holder.email != row.email:
        return None
    return holder


def _confirm(tx: Connection, secret: str, at: datetime) -> Holder | None:
    """Believe that the address is the holder's. Whoever presses twice is told the same."""
    holder = _holder_of(tx, secret, at, lock=True)
    if holder is None:
        return None
    if holder.email_confirmed_at is None:
        confirmed = replace(holder, email_confirmed_at=at, version=holder.version + 1)
        store.put_holder(tx, confirmed)
        action = Action(by=f"holder:{holder.id}", at=at)
        store.remember(tx, holder.site, f"holder:{holder.id}", "address-confirmed", action)
        c = confirmations.c
        tx.execute(update(confirmations).where(c.hash == secret_hash(secret)).values(used_at=at))
    return holder


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

    @routes.get(PATH)
    def ask(request: Request, jeton: Secret = "") -> Response:
        """Ask whether it is really them."""
        at = now().replace(microsecond=0)

        def read(tx: Connection) -> tuple[Holder, Site] | None:
            return _with_site(tx, _holder_of(tx, jeton, at))

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

    @routes.post(PATH)
    def confirm(request: Request, jeton: Secret = "") -> Response:
        """Believe it."""
        at = now().replace(microsecond=0)

        def write(tx: Connection) -> tuple[Holder, Site] | None:
            return _with_site(tx, _confirm(tx, jeton, at))

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
