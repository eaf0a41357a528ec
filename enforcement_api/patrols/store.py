"""The SQL of what patrols are told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, or_, select, tuple_

from enforcement_api.database.engine import Record
from enforcement_api.database.tables import patrol_messages, patrol_settings
from enforcement_api.patrols.core import (
    Message,
    MessageConflict,
    PatrolSettings,
    UnknownMessage,
)
from enforcement_api.shapes import page_instant

_m = patrol_messages.c
MOST_SHOWN = 200
"""Messages in one briefing, the newest."""

# Put together once, as every briefing asks them: that takes longer than executing them.
_SETTINGS = select(patrol_settings.c.facts).where(patrol_settings.c.site == bindparam("of_site"))
# Without an order: SQLite would rather read all of a site in order than sort a few.
_CURRENT = select(patrol_messages).where(
    _m.site == bindparam("of_site"),
    _m.expires_at > bindparam("of_now"),
    or_(_m.device.is_(None), _m.device == bindparam("of_device")),
)


def settings(tx: Connection, site: str) -> PatrolSettings:
    """What is set for the patrols of a site; the defaults, if nothing is."""
    facts = tx.execute(_SETTINGS, {"of_site": site}).scalar()
    return PatrolSettings() if facts is None else PatrolSettings.model_validate(facts)


def put_settings(record: Record, tx: Connection, site: str, wanted: PatrolSettings) -> None:
    """Write what is set for the patrols of a site, in place of what was."""
    facts = {"facts": wanted.model_dump(mode="json")}
    new = record.insert(patrol_settings).values(site=site, **facts)
    tx.execute(new.on_conflict_do_update(index_elements=[patrol_settings.c.site], set_=facts))


def message(tx: Connection, site: str, id: str) -> Message | None:
    """The message of this id."""
    row = tx.execute(select(patrol_messages).where(_m.site == site, _m.id == id)).first()
    return None if row is None else _of(row)


def add_message(record: Record, tx: Connection, wanted: Message) -> tuple[Message, bool]:
    """Keep a message; as it was sent, and whether this was the first time.

    Raises MessageConflict.
    """
    new = record.insert(patrol_messages).on_conflict_do_nothing()
    if tx.execute(new, asdict(wanted)).rowcount:
        return wanted, True
    kept = message(tx, wanted.site, wanted.id)  # of another request, at this moment
    if kept is None:
        raise MessageConflict
    return kept.same_as(wanted.content_hash), False


def delete_message(tx: Connection, site: str, id: str) -> None:
    """Withdraw a message. Raises UnknownMessage."""
    here = (_m.site == site, _m.id == id)
    if not tx.execute(delete(patrol_messages).where(*here)).rowcount:
        raise UnknownMessage(id=id)


def messages_for(tx: Connection, site: str, device: str, at: datetime) -> list[Message]:
    """What is told to a device at an instant, the newest first."""
    asked = {"of_site": site, "of_device": device, "of_now": at}
    found = map(_of, tx.execute(_CURRENT, asked))
    newest = sorted(found, key=lambda message: (message.at, message.id), reverse=True)
    return newest[:MOST_SHOWN]


def messages(
    tx: Connection, site: str, *, after: tuple[int, str] | None, limit: int
) -> Sequence[Message]:
    """Up to `limit` messages of a site, the newest first, after a position (at, id)."""
    query = select(patrol_messages).where(_m.site == site)
    if after is not None:
        there = (page_instant(after[0]), after[1])
        query = query.where(tuple_(_m.at, _m.id) < tuple_(*there, types=[_m.at.type, _m.id.type]))
    query = query.order_by(_m.at.desc(), _m.id.desc()).limit(limit)
    return [_of(row) for row in tx.execute(query)]


def _of(row: Any) -> Message:
    return Message(**row._mapping)
