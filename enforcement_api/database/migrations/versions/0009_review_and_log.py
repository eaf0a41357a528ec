"""What needs a supervisor's eyes first, and the indexes that the log is searched by."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_LOOK_ALIKES = ("0ODQ", "1IL", "8B", "5S", "2Z", "6G", "UV", "MW")
_FILTERED = ("fold", "number", "device", "patroller", "lot", "state", "zone", "outcome")
_THIRTY_DAYS = 30 * 24 * 3600
_OPEN = "state = 'received'"


def upgrade() -> None:
    op.add_column("infractions", sa.Column("fold", sa.String(), nullable=True))
    op.add_column(
        "infractions", sa.Column("attention", sa.JSON(), nullable=False, server_default="[]")
    )
    op.add_column("infractions", sa.Column("review_rank", sa.Integer(), nullable=True))
    op.add_column(
        "infraction_codes",
        sa.Column("received_at", sa.BigInteger(), nullable=False, server_default="0"),
    )
    _fold()
    op.execute(
        "UPDATE infraction_codes SET received_at = (SELECT i.received_at FROM infractions i"
        " WHERE i.site = infraction_codes.site AND i.id = infraction_codes.infraction)"
        " WHERE EXISTS (SELECT 1 FROM infractions i"
        " WHERE i.site = infraction_codes.site AND i.id = infraction_codes.infraction)"
    )
    _indexes()
    _weigh()


def _fold() -> None:
    folded = "plate"
    for group in _LOOK_ALIKES:
        for character in group[1:]:
            folded = f"replace({folded}, '{character}', '{group[0]}')"
    op.execute(f"UPDATE infractions SET fold = {folded} WHERE plate IS NOT NULL")


def _indexes() -> None:
    op.drop_index("ix_infractions_plate", "infractions")
    op.create_index("ix_infractions_plate", "infractions", ["site", "plate", "observed_at", "id"])
    op.drop_index("ix_infractions_number", "infractions")
    for column in _FILTERED:
        columns = ["site", column, "received_at", "id"]
        op.create_index(f"ix_infractions_{column}", "infractions", columns)
    in_time = ["site", "received_at", "id"]
    _partial("ix_infractions_differs", in_time, sqlite="differs IS 1", postgresql="differs IS true")
    waits = "review_rank IS NOT NULL"
    columns = ["site", "review_rank", "received_at", "id"]
    _partial("ix_infractions_waiting", columns, sqlite=waits, postgresql=waits)
    delayed = "received_at - observed_at NOT BETWEEN -300 AND 604800"
    _partial("ix_infractions_delayed", in_time, sqlite=delayed, postgresql=delayed)
    op.drop_index("ix_infraction_codes_code", "infraction_codes")
    op.create_index(
        "ix_infraction_codes_code",
        "infraction_codes",
        ["site", "code", "received_at", "infraction"],
    )
    # Anew, since SQLite takes the newest of the indexes that it deems equal: these are of a few.
    op.drop_index("ix_infractions_undecided", "infractions")
    undecided, asked = "decided_at IS NULL", "state = 'information_requested'"
    columns = ["site", "plate", "jurisdiction"]
    _partial("ix_infractions_undecided", columns, sqlite=undecided, postgresql=undecided)
    op.drop_index("ix_infractions_asked", "infractions")
    _partial("ix_infractions_asked", ["site", "device"], sqlite=asked, postgresql=asked)


def _partial(name: str, columns: list[str], *, sqlite: str, postgresql: str) -> None:
    op.create_index(
        name,
        "infractions",
        columns,
        sqlite_where=sa.text(sqlite),
        postgresql_where=sa.text(postgresql),
    )


def _weigh() -> None:
    """As enforcement_api/infractions/attention.py had it, of what nobody has decided."""
    tx = op.get_bind()
    table = sa.table(
        "infractions",
        *(sa.column(name) for name in ("site", "id", "plate", "jurisdiction", "observed_at")),
        *(sa.column(name) for name in ("outcome", "epoch", "cursor", "review_rank")),
        sa.column("differs", sa.Boolean),
        sa.column("warnings", sa.JSON),
        sa.column("attention", sa.JSON),
    )
    here = (table.c.site == sa.bindparam("of_site"), table.c.id == sa.bindparam("of_id"))
    keep = sa.update(table).where(*here)
    keep = keep.values(attention=sa.bindparam("why"), review_rank=sa.bindparam("rank"))
    for row in tx.execute(sa.select(table).where(sa.text(_OPEN))).all():
        flags = set(row.warnings)
        holds = {
            "differs": row.differs,
            "stale": bool(flags & {"verdict-not-as-known", "lost-cursor", "unknown-cursor"})
            or _is_stale(tx, row),
            "clock": bool(flags & {"clock-jumped", "observed-in-future"}),
            "repeated": _is_repeated(tx, row),
            "photos": _lacks_photos(tx, row),
        }
        why = [reason for reason, is_so in holds.items() if is_so]
        rank = list(holds).index(why[0]) if why else len(holds) + 1
        if not why and hashlib.blake2b(row.id.encode(), digest_size=8).digest()[0] * 100 < 2560:
            why, rank = ["sample"], len(holds)
        tx.execute(keep, {"of_site": row.site, "of_id": row.id, "why": why, "rank": rank})


def _is_stale(tx: sa.Connection, row: Any) -> bool:
    epoch = tx.execute(sa.text("SELECT value FROM meta WHERE name = 'epoch'")).scalar()
    known = _cursor(row.cursor, row.site)
    if known is None or known[0] != row.epoch:
        return False
    of_epoch = (
        sa.text("SELECT sequence FROM counters WHERE site = :site")
        if epoch == row.epoch
        else sa.text("SELECT sequence FROM earlier_epochs WHERE site = :site AND epoch = :epoch")
    )
    asked = {"site": row.site, "epoch": row.epoch} if epoch != row.epoch else {"site": row.site}
    held = tx.execute(of_epoch, asked).scalar()
    if held is None or known[1] > held:
        return False
    recorded = tx.execute(
        sa.text(
            "SELECT recorded_at FROM permit_versions WHERE site = :site AND sequence > :sequence"
            " ORDER BY sequence LIMIT 1"
        ),
        {"site": row.site, "sequence": known[1]},
    ).scalar()
    if recorded is None:
        return False
    limits = sa.text("SELECT stale_after_hours, activation_hours FROM sites WHERE id = :site")
    stale_after, activation = tx.execute(limits, {"site": row.site}).one()
    hours = max(1, activation) if stale_after is None else stale_after
    return bool(row.observed_at - recorded > hours * 3600)


def _cursor(text: str, site: str) -> tuple[str, int] | None:
    """The epoch and the sequence number of a cursor; None of what is none of the site."""
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        plain = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error):
        return None
    version, *rest = plain.removesuffix(f" {site}").split(" ")
    if not plain.endswith(f" {site}") or (version, len(rest)) not in (("1", 2), ("2", 3)):
        return None
    if not all(map(str.isdecimal, rest[1:])):
        return None
    return rest[0], int(rest[1])


def _is_repeated(tx: sa.Connection, row: Any) -> bool:
    others = sa.text(
        "SELECT 1 FROM infractions WHERE site = :site AND plate = :plate"
        " AND jurisdiction = :jurisdiction AND observed_at BETWEEN :begin AND :end"
        " AND id != :id AND state != 'voided' LIMIT 1"
    )
    asked = {
        "site": row.site,
        "plate": row.plate,
        "jurisdiction": row.jurisdiction,
        "begin": row.observed_at - _THIRTY_DAYS,
        "end": row.observed_at,
        "id": row.id,
    }
    return row.plate is not None and tx.execute(others, asked).first() is not None


def _lacks_photos(tx: sa.Connection, row: Any) -> bool:
    key = {"site": row.site, "id": row.id}
    named = set(
        tx.execute(
            sa.text("SELECT sha256 FROM infraction_photos WHERE site = :site AND infraction = :id"),
            key,
        ).scalars()
    )
    come = sum(
        tx.execute(sa.text("SELECT 1 FROM photos WHERE sha256 = :one"), {"one": one}).first()
        is not None
        for one in named
    )
    if come < len(named):
        return True
    if row.outcome == "no_issue":
        return False
    codes = sa.table(
        "codes",
        sa.column("site"),
        sa.column("code"),
        sa.column("photos_required", sa.JSON),
    )
    named_codes = sa.table(
        "infraction_codes", *(sa.column(name) for name in ("site", "infraction", "code"))
    )
    required = tx.execute(
        sa.select(codes.c.photos_required)
        .join(
            named_codes,
            (named_codes.c.site == codes.c.site) & (named_codes.c.code == codes.c.code),
        )
        .where(named_codes.c.site == row.site, named_codes.c.infraction == row.id)
    ).scalars()
    return len(named) < max(map(int, required), default=0)
