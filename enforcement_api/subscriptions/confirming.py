"""An address is the holder's when they follow the link in the letter that was sent there."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from urllib.parse import urlencode

from sqlalchemy import Connection, delete, insert, select, update

from enforcement_api.database.tables import confirmations
from enforcement_api.security import secret_hash
from enforcement_api.subscriptions import store
from enforcement_api.subscriptions.core import Holder
from enforcement_api.subscriptions.store import Action

PATH = "/abonnes/confirmation"
"""Of the page behind the link, at the service."""


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


def holder_of(tx: Connection, secret: str, at: datetime, *, lock: bool = False) -> Holder | None:
    """Whose address a link confirms; None for one that is wrong, old, or of another address."""
    c = confirmations.c
    row = tx.execute(select(confirmations).where(c.hash == secret_hash(secret))).first()
    if row is None or row.expires_at <= at:
        return None
    holder = store.find_holder(tx, row.holder, lock=lock)
    if holder is None or holder.erased_at is not None or holder.email != row.email:
        return None
    return holder


def confirm(tx: Connection, secret: str, at: datetime) -> Holder | None:
    """Believe that the address is the holder's. Whoever presses twice is told the same."""
    holder = holder_of(tx, secret, at, lock=True)
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
