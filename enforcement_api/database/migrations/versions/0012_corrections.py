"""Which infraction corrects which."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "infraction_corrections",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("infraction", sa.String(), nullable=False),
        sa.Column("correction", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("by_name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint(
            "site", "infraction", "correction", name=op.f("pk_infraction_corrections")
        ),
    )
    op.create_index(
        "ix_infraction_corrections_correction", "infraction_corrections", ["site", "correction"]
    )
