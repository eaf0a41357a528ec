"""Evidence in a chain, numbers of notices, events, reviews, what devices tell of themselves."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_BEGINNING = "0" * 64


def upgrade() -> None:
    _new_tables()
    for table, column in (
        ("counters", sa.Column("horizon", sa.BigInteger(), nullable=False, server_default="0")),
        (
            "permit_versions",
            sa.Column("reconciled", sa.Boolean(), nullable=False, server_default=sa.false()),
        ),
        ("devices", sa.Column("next_token_hash", sa.String(), nullable=True)),
        ("devices", sa.Column("mismatches", sa.Integer(), nullable=False, server_default="0")),
        ("devices", sa.Column("mismatched_at", sa.BigInteger(), nullable=True)),
        ("devices", sa.Column("numbers_left", sa.Integer(), nullable=True)),
        ("devices", sa.Column("plates_held", sa.Integer(), nullable=True)),
        ("device_cursors", sa.Column("plates_held", sa.Integer(), nullable=True)),
        ("infractions", sa.Column("clock_uncertainty_ms", sa.BigInteger(), nullable=True)),
        ("infractions", sa.Column("clock_jumped", sa.Boolean(), nullable=True)),
        ("infractions", sa.Column("cursor_verdict", sa.String(), nullable=True)),
    ):
        op.add_column(table, column)
    op.create_index("ix_devices_next_token_hash", "devices", ["next_token_hash"], unique=True)
    # What was known of a plate earlier is looked up as what is known now.
    op.drop_index("ix_permit_versions_fold", "permit_versions")
    op.create_index("ix_permit_versions_fold", "permit_versions", ["site", "fold"])
    _chain_what_was_remembered()
    op.drop_table("infraction_history")
    _append_only()


def _new_tables() -> None:
    op.create_table(
        "reviews",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("infraction", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("by_name", sa.Text(), nullable=False),
        sa.Column("decision", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("state_before", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("acknowledged_differs", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("site", "infraction", "position", name=op.f("pk_reviews")),
    )
    op.create_table(
        "number_series",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("next", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("site", name=op.f("pk_number_series")),
    )
    op.create_table(
        "number_blocks",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("given_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("site", "id", name=op.f("pk_number_blocks")),
    )
    op.create_index("ix_number_blocks_first", "number_blocks", ["site", "first"], unique=True)
    op.create_table(
        "events",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("after_revocation", sa.Boolean(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("content_hash", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("site", "id", name=op.f("pk_events")),
    )
    op.create_index("ix_events_id", "events", ["id"], unique=True)
    op.create_index("ix_events_at", "events", ["site", "at", "id"])
    op.create_index("ix_events_kind", "events", ["site", "kind", "at", "id"])
    op.create_table(
        "audit_heads",
        sa.Column("chain", sa.String(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("chain", name=op.f("pk_audit_heads")),
    )
    op.create_table(
        "audit_log",
        sa.Column("chain", sa.String(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("entry", sa.Text(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("chain", "number", name=op.f("pk_audit_log")),
    )
    op.create_index("ix_audit_log_subject", "audit_log", ["chain", "subject", "number"])


def _chain_what_was_remembered() -> None:
    """What became of each infraction until now: the first entries of its site's chain."""
    connection = op.get_bind()
    heads: dict[str, tuple[int, str]] = {}
    for site, subject, entry in _remembered(connection):
        number, before = heads.get(site, (0, _BEGINNING))
        number += 1
        chained = {"chain": site, "number": number, "before": before, **entry}
        text = json.dumps(chained, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        hash = hashlib.sha256(text.encode()).hexdigest()
        connection.execute(
            sa.text("INSERT INTO audit_log VALUES (:chain, :number, :subject, :entry, :hash)"),
            {"chain": site, "number": number, "subject": subject, "entry": text, "hash": hash},
        )
        heads[site] = (number, hash)
    for site, (number, hash) in heads.items():
        connection.execute(
            sa.text("INSERT INTO audit_heads VALUES (:chain, :number, :hash)"),
            {"chain": site, "number": number, "hash": hash},
        )


def _remembered(connection: sa.Connection) -> Iterator[tuple[str, str, dict[str, Any]]]:
    history = sa.table(
        "infraction_history",
        sa.column("site", sa.String),
        sa.column("infraction", sa.String),
        sa.column("position", sa.Integer),
        sa.column("at", sa.BigInteger),
        sa.column("event", sa.String),
        sa.column("state", sa.String),
        sa.column("by", sa.Text),
        sa.column("facts", sa.JSON),
    )
    in_order = sa.select(history).order_by("site", "at", "infraction", "position")
    for row in connection.execute(in_order).all():
        at = datetime.fromtimestamp(row.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        subject = f"infraction:{row.infraction}"
        yield (
            row.site,
            subject,
            {
                "at": at,
                "by": row.by if row.by == "service" else f"device:{row.by}",
                "action": row.event,
                "subject": subject,
                "facts": {"state": row.state, **row.facts},
            },
        )


def _append_only() -> None:
    """From now on the database itself refuses to change or delete an entry."""
    if op.get_bind().dialect.name == "sqlite":
        for deed in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER audit_log_no_{deed.lower()} BEFORE {deed} ON audit_log"
                " BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION audit_log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$"
    )
    op.execute(
        "CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE ON audit_log"
        " FOR EACH ROW EXECUTE FUNCTION audit_log_is_append_only()"
    )
