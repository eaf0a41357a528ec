"""Who looked a plate up: the staff's look-ups, and patrollers' checks by plate and by device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

from sync.plates import LONGEST, LONGEST_RAW, SHORTEST, normalise

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_AT_ONCE = 1000

_events = sa.table(
    "events",
    sa.column("site", sa.String()),
    sa.column("id", sa.String()),
    sa.column("kind", sa.String()),
    sa.column("facts", sa.JSON()),
    sa.column("subject", sa.Text()),
)


def upgrade() -> None:
    op.create_table(
        "lookups",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("by_name", sa.Text(), nullable=False),
        sa.Column("plate", sa.String(), nullable=False),
        sa.Column("jurisdiction", sa.String(), nullable=False),
        sa.Column("zone", sa.String(), nullable=True),
        sa.Column("verdict", sa.String(), nullable=True),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("site", "id", name=op.f("pk_lookups")),
    )
    op.create_index("ix_lookups_plate", "lookups", ["site", "plate", "at", "id"])
    condition = sa.text("kind = 'check'")
    op.create_index(
        "ix_events_checks",
        "events",
        ["site", "device", "at"],
        sqlite_where=condition,
        postgresql_where=condition,
    )
    _name_plates_of_checks()


def _name_plates_of_checks() -> None:
    record = op.get_bind()
    named = (
        sa.update(_events)
        .where(_events.c.site == sa.bindparam("of_site"), _events.c.id == sa.bindparam("of_id"))
        .values(subject=sa.bindparam("of_plate"))
    )
    for rows in _checks(record):
        found = [
            {"of_site": row.site, "of_id": row.id, "of_plate": f"plate:{plate}"}
            for row in rows
            if (plate := _plate(row.facts)) is not None
        ]
        if found:
            record.execute(named, found)


def _checks(record: sa.Connection) -> Iterator[Sequence[Any]]:
    table = _events.c
    query = (
        sa.select(table.site, table.id, table.facts)
        .where(table.kind == "check")
        .order_by(table.site, table.id)
        .limit(_AT_ONCE)
    )
    rows = record.execute(query).all()
    while rows:
        yield rows
        last = rows[-1]
        beyond = sa.or_(
            table.site > last.site, sa.and_(table.site == last.site, table.id > last.id)
        )
        rows = record.execute(query.where(beyond)).all()


def _plate(facts: Any) -> str | None:
    given = facts.get("plate") if isinstance(facts, dict) else None
    text = normalise(given[:LONGEST_RAW]) if isinstance(given, str) else ""
    return text if SHORTEST <= len(text) <= LONGEST else None
