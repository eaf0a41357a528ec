"""What patrols are told, and what their events are about."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("events", sa.Column("subject", sa.Text(), nullable=True))
    op.add_column("events", sa.Column("shared_permit", sa.Text(), nullable=True))
    _partial("ix_events_subject", "events", ["site", "subject"], "subject IS NOT NULL")
    _partial("ix_events_shared_permit", "events", ["site", "at", "id"], "shared_permit IS NOT NULL")
    _partial(
        "ix_infractions_asked",
        "infractions",
        ["site", "device"],
        "state = 'information_requested'",
    )
    _partial(
        "ix_permit_versions_number",
        "permit_versions",
        ["site", "permit_number"],
        "superseded_at IS NULL",
    )
    op.create_table(
        "patrol_settings",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("facts", sa.JSON(none_as_null=True), nullable=False),
        sa.PrimaryKeyConstraint("site", name=op.f("pk_patrol_settings")),
    )
    op.create_table(
        "patrol_messages",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("content_hash", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("by_name", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("device", sa.String(), nullable=True),
        sa.Column("patroller", sa.String(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("site", "id", name=op.f("pk_patrol_messages")),
    )
    op.create_index("ix_patrol_messages_at", "patrol_messages", ["site", "at", "id"])
    op.create_index("ix_patrol_messages_expires", "patrol_messages", ["site", "expires_at"])


def _partial(name: str, table: str, columns: list[str], where: str) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, sqlite_where=condition, postgresql_where=condition)
