"""What each photo of an infraction is of, where the patroller said so."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("infraction_photos", sa.Column("shows", sa.String()))
