"""Letters about a subscription: what every one of them says, and to whom it goes."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from enforcement_api.database.engine import Record
from enforcement_api.database.tables import letters
from enforcement_api.sites import store as sites
from enforcement_api.subscriptions import store
from enforcement_api.subscriptions.core import Subscription


def tell(
    record: Record,
    tx: Connection,
    subscription: Subscription,
    kind: str,
    key: str,
    facts: Mapping[str, Any],
    at: datetime,
) -> None:
    """Write to the holder of a subscription, in the caller's transaction; nothing if the site has a
    letter of this key. `facts`: what it says besides names, numbers and the time zone.
    """
    holder = store.holder(tx, subscription.holder)
    if holder.erased_at is not None:
        return
    site = sites.site(tx, subscription.site)
    product = store.product(tx, subscription.site, subscription.product)
    said = {
        "name": holder.name,
        "number": subscription.number,
        "product": product.title(holder.language),
        "site": site.name,
        "time_zone": site.time_zone,
    }
    new = record.insert(letters).values(
        site=subscription.site,
        id=str(uuid.uuid4()),
        key=key,
        holder=holder.id,
        subscription=subscription.id,
        kind=kind,
        language=holder.language,
        recipient=holder.email,
        facts=said | dict(facts),
        message_id="",
        state="queued",
        queued_at=at,
        next_try_at=at,
        attempts=0,
    )
    c = letters.c
    tx.execute(new.on_conflict_do_nothing(index_elements=[c.site, c.key]))
