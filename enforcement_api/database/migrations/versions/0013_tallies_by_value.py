"""Tallies lie by what they count and then by day, so that a period of each is summed unsorted."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_NUMBERS = ("notices", "warnings", "no_issues", "undecided")
_REASONS = (
    "permit_valid_at_the_time", "replacement_under_way", "misread_plate", "stale_replica",
    "deficient_signs", "emergency", "duplicate", "wrong_code", "other",
)  # fmt: skip
_VISITS = ("night", "morning", "afternoon", "evening", "infractions")


def upgrade() -> None:
    kept = ("infraction_tallies", "void_tallies", "visits")
    for name in kept:
        op.execute(f"CREATE TABLE kept_{name} AS SELECT * FROM {name}")
        op.drop_table(name)
    voided = tuple(f"voided_{reason}" for reason in _REASONS)
    _table("infraction_tallies", ("dimension", "value"), (*_NUMBERS, *voided))
    last_at = sa.Column("last_at", sa.BigInteger(), nullable=False)
    _table("visits", ("kind", "place"), _VISITS, last_at)

    key, numbers = "site, dimension, value, day", ", ".join(_NUMBERS)
    zeros = ", ".join(f"0 AS {number}" for number in _NUMBERS)
    sums = [f"SUM({number})" for number in _NUMBERS]
    sums += [f"SUM(CASE reason WHEN '{reason}' THEN n ELSE 0 END)" for reason in _REASONS]
    op.execute(
        f"INSERT INTO infraction_tallies SELECT {key}, {', '.join(sums)} FROM"
        f" (SELECT {key}, {numbers}, '' AS reason, 0 AS n FROM kept_infraction_tallies"
        f" UNION ALL SELECT {key}, {zeros}, reason, count AS n FROM kept_void_tallies) AS of_day"
        f" GROUP BY {key}"
    )
    sums = [f"SUM({number})" for number in _VISITS]
    for kind in ("lot", "zone"):
        op.execute(
            f"INSERT INTO visits SELECT site, '{kind}', {kind}, day, {', '.join(sums)},"
            f" MAX(last_at) FROM kept_visits GROUP BY site, {kind}, day"
        )
    for name in kept:
        op.drop_table(f"kept_{name}")


def _table(name: str, told_by: tuple[str, str], numbers: tuple[str, ...], *more: Any) -> None:
    kind, value = told_by
    op.create_table(
        name,
        sa.Column("site", sa.String(), nullable=False),
        sa.Column(kind, sa.String(), nullable=False),
        sa.Column(value, sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        *(sa.Column(number, sa.Integer(), nullable=False) for number in numbers),
        *more,
        sa.PrimaryKeyConstraint("site", kind, value, "day", name=op.f(f"pk_{name}")),
        sqlite_with_rowid=False,
    )
