"""The SQL of what is told: a period at a site, from what was counted and nothing else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import date
from typing import Any, Literal

from sqlalchemy import Connection, Select, and_, bindparam, func, select
from sqlalchemy.sql import ColumnElement

from enforcement_api.database.tables import (
    VOIDED_FOR,
    catch_up_tallies,
    check_tallies,
    codes,
    infraction_tallies,
    lots,
    patrollers,
    visits,
    zones,
)
from enforcement_api.figures.core import (
    AGES,
    NOTHING,
    PARTS,
    DayCatchUps,
    DayChecks,
    DayTally,
    Dimension,
    Line,
    Period,
    Tally,
    Visited,
)
from sync.entities import Localized

_t, _k, _v, _u = infraction_tallies.c, check_tallies.c, visits.c, catch_up_tallies.c
_SUMS = tuple(func.sum(_t[name]) for name in ("notices", "warnings", "no_issues", "undecided"))
_BY_REASON = tuple(func.sum(_t[f"voided_{reason}"]) for reason in VOIDED_FOR)
_CHECKS = tuple(func.sum(_v[part]) for part in PARTS)

Names = Mapping[str, str | Localized]


# Infractions


def by_day(tx: Connection, site: str, period: Period) -> list[DayTally]:
    """Every day of the period, those without an infraction too."""
    found = _tallies(tx, _all(site, period), _t.day)
    return [DayTally(day, found.get(day, NOTHING)) for day in period.days]


def whole(tx: Connection, site: str, period: Period) -> Tally:
    """All of the period."""
    return _tallies(tx, _all(site, period), _t.value).get("", NOTHING)


def by(tx: Connection, site: str, dimension: Dimension, period: Period) -> list[Line]:
    """What the period, or the one before, has of each zone, lot, code or patroller; the most in
    the period first.

    A patroller is named by badge or id, and is one line all the same. An infraction of several
    codes counts under each: the lines of codes may come to more than there are.
    """
    names, ids = _names(tx, site, dimension)
    now, before = (
        _of_ids(_tallies(tx, _each(site, dimension, each), _t.value), ids)
        for each in (period, period.before)
    )
    lines = [
        Line(value, names.get(value), now.get(value, NOTHING), before.get(value, NOTHING))
        for value in now.keys() | before.keys()
    ]
    lines = [line for line in lines if line.tally.total or line.before.total]
    return sorted(lines, key=lambda line: (-line.tally.total, -line.before.total, line.value))


def _of_ids(found: Mapping[str, Tally], ids: Mapping[str, str]) -> dict[str, Tally]:
    """The tallies of those that have two names, together under one."""
    together: defaultdict[str, Tally] = defaultdict(Tally)
    for value, tally in found.items():
        together[ids.get(value, value)] += tally
    return together


def _all(site: str, period: Period) -> ColumnElement[bool]:
    days = _t.day.between(period.first, period.last)
    return and_(_t.site == site, _t.dimension == "all", _t.value == "", days)


def _each(site: str, dimension: Dimension, period: Period) -> ColumnElement[bool]:
    """The rows of a period of every value.

    A value's days follow one another: with the values named, those of the period are read and no
    others, and come in the order in which they are summed.
    """
    there = and_(_t.site == site, _t.dimension == dimension)
    found = select(func.min(_t.value).label("value")).where(there).cte("found", recursive=True)
    following = select(func.min(_t.value)).where(there, _t.value > found.c.value)
    found = found.union_all(select(following.scalar_subquery()).where(found.c.value.is_not(None)))
    values = select(found.c.value).where(found.c.value.is_not(None))
    return and_(there, _t.value.in_(values), _t.day.between(period.first, period.last))


def _tallies(
    tx: Connection, rows: ColumnElement[bool], each: ColumnElement[Any]
) -> dict[Any, Tally]:
    """The tallies of rows, of each day or value."""
    found = {}
    query = select(each, *_SUMS, *_BY_REASON).where(rows).group_by(each)
    for key, notices, warnings, no_issues, undecided, *voided in tx.execute(query):
        reasons = {why: int(n) for why, n in zip(VOIDED_FOR, voided, strict=True) if n}
        found[key] = Tally(int(notices), int(warnings), int(no_issues), int(undecided), reasons)
    return found


def _names(tx: Connection, site: str, dimension: Dimension) -> tuple[Names, Mapping[str, str]]:
    """What each value of a dimension is called at the site; of other names of it, the value."""
    if dimension == "zone":
        return _named(tx, site, select(zones.c.code, zones.c.name).where(zones.c.site == site)), {}
    if dimension == "lot":
        return _named(tx, site, select(lots.c.code, lots.c.name).where(lots.c.site == site)), {}
    if dimension == "code":
        return _named(tx, site, select(codes.c.code, codes.c.title).where(codes.c.site == site)), {}
    c = patrollers.c
    found = tx.execute(select(c.id, c.badge, c.name).where(c.site == site)).all()
    return {row.id: row.name for row in found}, {row.badge: row.id for row in found}


def _named(tx: Connection, site: str, query: Select[Any]) -> Names:
    return {row[0]: row[1] for row in tx.execute(query)}


# Checks, and where patrols were


def checks(tx: Connection, site: str, period: Period) -> list[DayChecks]:
    """The checks of every day of the period."""
    found: defaultdict[date, dict[str, int]] = defaultdict(dict)
    query = select(_k.day, _k.verdict, _k.count).where(
        _k.site == site, _k.day.between(period.first, period.last)
    )
    for day, verdict, n in tx.execute(query):
        found[day][verdict] = n
    return [DayChecks(day, found.get(day, {})) for day in period.days]


def visited(
    tx: Connection, site: str, kind: Literal["zone", "lot"], period: Period
) -> list[Visited]:
    """Every zone or lot that the site has: first those where no patrol was in the period, the
    longest ago first; then those with the fewest checks.

    A patrol was where it checked a plate or recorded an infraction. One that did not say at which
    lot it was, was at none.
    """
    of_kind = zones.c if kind == "zone" else lots.c
    days = _v.day.between(period.first, period.last)
    query = select(
        _v.place, *_CHECKS, func.sum(_v.infractions), func.count(), func.max(_v.last_at)
    ).where(
        _v.site == site,
        _v.kind == kind,
        _v.place.in_(select(of_kind.code).where(of_kind.site == site)),
        days,
    )
    found = {code: there for code, *there in tx.execute(query.group_by(_v.place))}
    places = [
        _visited(tx, site, kind, row, period, found.get(row.code))
        for row in _places(tx, site, kind)
    ]

    def rank(place: Visited) -> tuple[bool, float, int]:
        last = 0.0 if place.last_at is None else place.last_at.timestamp()
        return place.is_visited, 0 if place.is_visited else last, sum(place.checks.values())

    return sorted(places, key=rank)


def _places(tx: Connection, site: str, kind: Literal["zone", "lot"]) -> list[Any]:
    table = zones if kind == "zone" else lots
    c = table.c
    zone = c.code if kind == "zone" else lots.c.zone
    query = select(c.code, c.name, zone.label("zone")).where(c.site == site).order_by(c.position)
    return list(tx.execute(query))


# The last row of an index, not the largest of many.
_LAST = (
    select(_v.last_at)
    .where(
        _v.site == bindparam("of_site"),
        _v.kind == bindparam("of_kind"),
        _v.place == bindparam("code"),
        _v.day < bindparam("before"),
    )
    .order_by(_v.day.desc())
    .limit(1)
)


def _visited(
    tx: Connection,
    site: str,
    kind: Literal["zone", "lot"],
    place: Any,
    period: Period,
    there: list[Any] | None,
) -> Visited:
    if there is None:
        asked = {"of_site": site, "of_kind": kind, "code": place.code, "before": period.first}
        last_at = tx.execute(_LAST, asked).scalar()
        there = [*(0 for _ in PARTS), 0, 0, last_at]
    *numbers, infractions, days, last_at = there
    return Visited(
        kind=kind,
        code=place.code,
        name=place.name,
        zone=place.zone,
        checks=dict(zip(PARTS, map(int, numbers), strict=True)),
        infractions=int(infractions),
        days=days,
        last_at=last_at,
    )


# From a change to handhelds


def catch_ups(tx: Connection, site: str, period: Period) -> list[DayCatchUps]:
    """The catch-ups of every day of the period."""
    found = {day: [0] * (len(AGES) + 1) for day in period.days}
    query = select(_u.day, _u.band, _u.count).where(
        _u.site == site, _u.day.between(period.first, period.last)
    )
    for day, band, n in tx.execute(query):
        found[day][band] = n
    return [DayCatchUps(day, tuple(bands)) for day, bands in found.items()]
