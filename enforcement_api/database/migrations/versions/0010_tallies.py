"""What is counted as it happens; counted this once from what is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_QUARTER = 15 * 60
"""Seconds: no time zone begins its days in the middle of a quarter of an hour."""
_AT_ONCE = 5000
_PARTS = 4
"""Of a day."""
_LONGEST = 100
_VERDICTS = (
    "valid", "pending_activation", "wrong_zone", "not_started", "suspended", "expired",
    "cancelled", "unknown",
)  # fmt: skip
_REASONS = (
    "permit_valid_at_the_time", "replacement_under_way", "misread_plate", "stale_replica",
    "deficient_signs", "emergency", "duplicate", "wrong_code",
)  # fmt: skip


def upgrade() -> None:
    op.add_column(
        "infractions", sa.Column("day", sa.Date(), nullable=False, server_default="1970-01-01")
    )
    make_tables()
    count(op.get_bind())


def make_tables() -> None:
    """What is counted in, as it was then."""
    _table(
        "infraction_tallies",
        ("dimension", sa.String(), "day", sa.Date(), "value", sa.Text()),
        ("notices", "warnings", "no_issues", "undecided", "voided"),
    )
    _table(
        "void_tallies",
        ("dimension", sa.String(), "day", sa.Date(), "value", sa.Text(), "reason", sa.String()),
        ("count",),
    )
    _table("check_tallies", ("day", sa.Date(), "verdict", sa.String()), ("count",))
    _table(
        "visits",
        ("day", sa.Date(), "zone", sa.Text(), "lot", sa.Text()),
        ("night", "morning", "afternoon", "evening", "infractions"),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_visits_zone", "visits", ["site", "zone", "day"])
    op.create_index("ix_visits_lot", "visits", ["site", "lot", "day"])
    _table("catch_up_tallies", ("day", sa.Date(), "band", sa.Integer()), ("count",))


def _table(name: str, key: tuple[Any, ...], numbers: tuple[str, ...], *more: Any) -> None:
    keys = [("site", sa.String()), *zip(key[::2], key[1::2], strict=True)]
    op.create_table(
        name,
        *(sa.Column(each, kind, nullable=False, autoincrement=False) for each, kind in keys),
        *(sa.Column(number, sa.Integer(), nullable=False) for number in numbers),
        *more,
        sa.PrimaryKeyConstraint(*(each for each, _ in keys), name=op.f(f"pk_{name}")),
        sqlite_with_rowid=False,
    )


def count(tx: sa.Connection) -> None:
    """Count what is there, into tables that are empty."""
    for site, name in tx.execute(sa.text("SELECT id, time_zone FROM sites")).all():
        zone = ZoneInfo(name)
        _tell_days(tx, site, zone)
        _count_checks(tx, site, zone)
    _count_infractions(tx)


def _tell_days(tx: sa.Connection, site: str, zone: ZoneInfo) -> None:
    """Write under which day each infraction counts, a day at a time."""
    quarter = f"observed_at / {_QUARTER}"
    if tx.dialect.name == "postgresql":
        quarter = f"div(observed_at, {_QUARTER})::bigint"
    found = tx.execute(
        sa.text(f"SELECT DISTINCT {quarter} AS q FROM infractions WHERE site = :site ORDER BY q"),
        {"site": site},
    )
    days: dict[date, tuple[int, int]] = {}
    for begins in (quarter * _QUARTER for quarter in found.scalars()):
        day = datetime.fromtimestamp(begins, UTC).astimezone(zone).date()
        days[day] = (days.get(day, (begins,))[0], begins + _QUARTER)
    tell = sa.text(
        "UPDATE infractions SET day = :day"
        " WHERE site = :site AND observed_at >= :begins AND observed_at < :ends"
    ).bindparams(sa.bindparam("day", type_=sa.Date()))
    for day, (begins, ends) in days.items():
        tx.execute(tell, {"site": site, "day": day, "begins": begins, "ends": ends})


def _count_infractions(tx: sa.Connection) -> None:
    numbers = ", ".join(
        f"SUM(CASE WHEN {column} IN ({values}) THEN 1 ELSE 0 END)"
        for column, values in (
            ("outcome", "'notice'"),
            ("outcome", "'warning'"),
            ("outcome", "'no_issue'"),
            ("state", "'received', 'information_requested'"),
            ("state", "'voided'"),
        )
    )
    listed = ", ".join(f"'{reason}'" for reason in _REASONS)
    reason = f"CASE WHEN decision_reason IN ({listed}) THEN decision_reason ELSE 'other' END"
    coded = (
        "infractions AS i LEFT JOIN"
        " (SELECT DISTINCT site AS at, infraction, code FROM infraction_codes) AS c"
        " ON c.at = i.site AND c.infraction = i.id"
    )
    for dimension, value, source in (
        ("all", "''", "infractions"),
        ("zone", "zone", "infractions"),
        ("lot", "COALESCE(lot, '')", "infractions"),
        ("code", "COALESCE(code, '')", coded),
        ("patroller", "patroller", "infractions"),
    ):
        key = f"site, '{dimension}', day, {value}"
        grouped = "site, day" if dimension == "all" else f"site, day, {value}"
        op_text = f"INSERT INTO infraction_tallies SELECT {key}, {numbers} FROM {source}"
        tx.execute(sa.text(f"{op_text} GROUP BY {grouped}"))
        op_text = f"INSERT INTO void_tallies SELECT {key}, {reason}, COUNT(*) FROM {source}"
        tx.execute(sa.text(f"{op_text} WHERE state = 'voided' GROUP BY {grouped}, {reason}"))
    place = "site, day, zone, COALESCE(lot, '')"
    tx.execute(
        sa.text(
            f"INSERT INTO visits SELECT {place}, 0, 0, 0, 0, COUNT(*), MAX(observed_at)"
            f" FROM infractions WHERE true GROUP BY {place}"
            " ON CONFLICT (site, day, zone, lot) DO UPDATE SET infractions = excluded.infractions,"
            " last_at = CASE WHEN excluded.last_at > visits.last_at THEN excluded.last_at"
            " ELSE visits.last_at END"
        )
    )


def _count_checks(tx: sa.Connection, site: str, zone: ZoneInfo) -> None:
    verdicts: Counter[tuple[date, str]] = Counter()
    parts: dict[tuple[date, str, str], list[int]] = {}
    last: dict[tuple[date, str, str], int] = {}
    for at, facts in _checks(tx, site):
        local = datetime.fromtimestamp(at, UTC).astimezone(zone)
        verdict = facts.get("verdict")
        verdicts[local.date(), verdict if verdict in _VERDICTS else ""] += 1
        place = (local.date(), _text(facts, "zone"), _text(facts, "lot"))
        parts.setdefault(place, [0] * _PARTS)[local.hour * _PARTS // 24] += 1
        last[place] = max(at, last.get(place, at))
    _insert(tx, "check_tallies", ((site, *key, n) for key, n in verdicts.items()))
    _insert(tx, "visits", ((site, *key, *n, 0, last[key]) for key, n in parts.items()))


def _checks(tx: sa.Connection, site: str) -> Iterator[tuple[int, dict[str, Any]]]:
    c = sa.table(
        "events",
        *(sa.column(name, sa.String()) for name in ("site", "kind", "id")),
        sa.column("at", sa.BigInteger()),
        sa.column("facts", sa.JSON()),
    ).c
    after: tuple[int, str] | None = None
    while True:
        query = sa.select(c.at, c.id, c.facts).where(c.site == site, c.kind == "check")
        if after is not None:
            query = query.where(sa.tuple_(c.at, c.id) > sa.tuple_(*after))
        found = tx.execute(query.order_by(c.at, c.id).limit(_AT_ONCE)).all()
        for row in found:
            yield row.at, row.facts
        if len(found) < _AT_ONCE:
            return
        after = (found[-1].at, found[-1].id)


def _text(facts: dict[str, Any], name: str) -> str:
    fact = facts.get(name)
    return fact[:_LONGEST] if isinstance(fact, str) and fact.strip() else ""


def _insert(tx: sa.Connection, name: str, rows: Iterable[tuple[Any, ...]]) -> None:
    given = list(rows)
    if not given:
        return
    columns = [each["name"] for each in sa.inspect(tx).get_columns(name)]
    kinds = {"day": sa.Date()}
    table = sa.table(name, *(sa.column(each, kinds.get(each)) for each in columns))
    tx.execute(sa.insert(table), [dict(zip(columns, row, strict=True)) for row in given])
