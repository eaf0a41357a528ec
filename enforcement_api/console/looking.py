"""Looks at plates, kept with who looked and what for (DOMAIN 6), once within a while."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection

from enforcement_api.console.web import Visitor, Web
from enforcement_api.permits import explaining, lookups
from enforcement_api.subscriptions import store
from sync.plates import Plate

GOOD_FOR = timedelta(minutes=30)
"""How long a look-up lets somebody look at a plate: at other instants, in other zones, again."""


def recent(tx: Connection, visitor: Visitor, plate: Plate, at: datetime) -> set[str]:
    """What somebody has looked the plate up for within a while."""
    site, by = visitor.at_site.id, visitor.principal
    return lookups.purposes(tx, site, plate, by=by, since=at - GOOD_FOR)


def keep(web: Web, visitor: Visitor, plate: Plate, purpose: str) -> None:
    """Remember that somebody looks a plate up, and how it is judged now; not twice for the same
    within a while.
    """
    site, at = visitor.at_site, web.at()

    def write(tx: Connection) -> None:
        if purpose in recent(tx, visitor, plate, at):
            return
        everywhere = explaining.in_every_zone(tx, site.id, plate, at=at)
        lookups.keep(
            tx,
            site.id,
            store.new_id(),
            plate,
            zone=everywhere[0][0].id if everywhere else None,
            verdict=everywhere[0][1].verdict if everywhere else None,
            purpose=purpose,
            by=visitor.principal,
            at=at,
        )

    # Looked for first: whoever looks again does not wait for those who write.
    if purpose not in web.record.read(lambda tx: recent(tx, visitor, plate, at)):
        web.record.write(write)
