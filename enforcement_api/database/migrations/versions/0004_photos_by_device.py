"""What a device has left of photos is summed without a look at all the others."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "photos", sa.Column("is_named", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.execute(
        "UPDATE photos SET is_named = (1 = 1)"
        " WHERE sha256 IN (SELECT sha256 FROM infraction_photos)"
    )
    op.create_index("ix_photos_device", "photos", ["device", "received_at", "bytes"])
    op.create_index(
        "ix_photos_unnamed",
        "photos",
        ["device"],
        sqlite_where=sa.text("is_named IS 0"),
        postgresql_where=sa.text("is_named IS false"),
    )
