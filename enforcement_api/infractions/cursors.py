"""What a device knew, by the cursor that it sent with an infraction."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, bindparam, select

from enforcement_api.database.tables import permit_versions
from enforcement_api.feed import store as feed
from enforcement_api.feed.core import Cursor, NotACursor
from enforcement_api.feed.store import Level
from enforcement_api.infractions.core import Placed

_NEXT_RECORDED = (
    select(permit_versions.c.recorded_at)
    .where(
        permit_versions.c.site == bindparam("of_site"),
        permit_versions.c.sequence > bindparam("of_sequence"),
    )
    .order_by(permit_versions.c.sequence)
    .limit(1)
)


def place(tx: Connection, here: Level, *, epoch: str, cursor: str) -> tuple[Placed, int]:
    """What this record can say of a device's cursor, and the cursor's sequence number."""
    try:
        parsed = Cursor.parse(cursor, site=here.site)
    except NotACursor:
        return "unknown", 0
    placed: Placed = "unknown"
    if parsed.epoch == epoch == here.epoch:
        placed = "known" if parsed.sequence <= here.sequence else "unknown"
    elif parsed.epoch == epoch:
        held = feed.held_of(tx, here.site, parsed.epoch)
        if held is not None:
            placed = "known" if parsed.sequence <= held else "lost"
    return placed, parsed.sequence


def fresh_until(tx: Connection, here: Level, *, epoch: str, cursor: str) -> datetime | None:
    """When the first change of a permit was recorded that is not in what the device knew; None: it
    knew all that there is, or nobody can tell.
    """
    placed, sequence = place(tx, here, epoch=epoch, cursor=cursor)
    if placed != "known":
        return None
    asked = {"of_site": here.site, "of_sequence": sequence}
    found: datetime | None = tx.execute(_NEXT_RECORDED, asked).scalar()
    return found
