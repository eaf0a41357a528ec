"""Counting: each function is called in the transaction in which what it counts is written."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from sqlalchemy import Connection, bindparam, select

from enforcement_api.database.bulk import add_rows
from enforcement_api.database.tables import (
    VOIDED_FOR,
    catch_up_tallies,
    check_tallies,
    infraction_tallies,
    permit_versions,
    sites,
    visits,
)
from enforcement_api.figures import core
from enforcement_api.figures.core import PARTS, Counted, Standing

_TIME_ZONE = select(sites.c.time_zone).where(sites.c.id == bindparam("of_site"))
_v = permit_versions.c
_OLDEST_CHANGE = (
    select(_v.recorded_at)
    .where(
        _v.site == bindparam("of_site"),
        _v.sequence > bindparam("after"),
        _v.sequence <= bindparam("up_to"),
    )
    .order_by(_v.sequence)
    .limit(1)
)
_OUTCOMES = ("notice", "warning", "no_issue")
_NOBODY = dict.fromkeys(PARTS, 0)


def infraction_came(
    tx: Connection, counted: Counted, standing: Standing, *, observed_at: datetime
) -> None:
    """Count an infraction that was not there before."""
    by_outcome = [int(counted.outcome == outcome) for outcome in _OUTCOMES]
    _add(tx, counted, [*by_outcome, *_stands(standing)])
    _visit(tx, counted.site, counted.day, counted.zone, counted.lot, observed_at, infractions=1)


def infraction_moved(tx: Connection, counted: Counted, before: Standing, after: Standing) -> None:
    """Count what has become of an infraction that is counted as it was before."""
    changes = [now - then for now, then in zip(_stands(after), _stands(before), strict=True)]
    if any(changes):
        _add(tx, counted, [0, 0, 0, *changes])


def check_came(
    tx: Connection,
    site: str,
    *,
    at: datetime,
    zone: str | None,
    lot: str | None,
    verdict: str | None,
) -> None:
    """Count a check that was not there before."""
    time_zone = tx.execute(_TIME_ZONE, {"of_site": site}).scalar()
    if time_zone is None:
        return
    there = core.local(at, time_zone)
    add_rows(tx, check_tallies, [(site, there.date(), verdict or "", 1)])
    part = PARTS[there.hour * len(PARTS) // 24]
    _visit(tx, site, there.date(), zone, lot, at, **{part: 1})


def caught_up(tx: Connection, site: str, *, after: int, up_to: int, at: datetime) -> None:
    """Count that a device was given what came after one sequence number, up to another.

    Counted is the age of the oldest change of a permit among it; if there is none, nothing.
    """
    asked = {"of_site": site, "after": after, "up_to": up_to}
    recorded_at = tx.execute(_OLDEST_CHANGE, asked).scalar()
    time_zone = tx.execute(_TIME_ZONE, {"of_site": site}).scalar()
    if recorded_at is None or time_zone is None:
        return
    day = core.local(at, time_zone).date()
    add_rows(tx, catch_up_tallies, [(site, day, core.age_band(at - recorded_at), 1)])


def _stands(standing: Standing) -> list[int]:
    """What it adds to those that are undecided, and to those that are voided for each reason."""
    voided_for = standing.voided_for
    return [int(standing.is_undecided), *(int(voided_for == reason) for reason in VOIDED_FOR)]


def _add(tx: Connection, counted: Counted, numbers: Sequence[int]) -> None:
    keys = ((counted.site, *value, counted.day) for value in counted.values())
    add_rows(tx, infraction_tallies, [(*key, *numbers) for key in keys])


def _visit(
    tx: Connection,
    site: str,
    day: date,
    zone: str | None,
    lot: str | None,
    at: datetime,
    *,
    infractions: int = 0,
    **checks: int,
) -> None:
    numbers = (_NOBODY | checks).values()
    places = (("lot", lot or ""), ("zone", zone or ""))
    add_rows(tx, visits, [(site, *place, day, *numbers, infractions, at) for place in places])
