"""What waits for a supervisor: what needs eyes first, and of that what has waited longest."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Select, func, literal, or_, select, tuple_
from sqlalchemy.sql import ColumnElement

from enforcement_api.database.tables import infractions
from enforcement_api.infractions.attention import REST, Reason, last_rank
from enforcement_api.infractions.core import LAST_SECOND, Infraction, is_uuid
from enforcement_api.infractions.store import built
from enforcement_api.infractions.weighing import has_reason
from enforcement_api.shapes import NotAPageCursor, page_cursor, page_position

_c = infractions.c
MOST_COUNTED = 10_000
"""Infractions of one rank, or before a place, beyond which nobody counts on."""
_ORDER = (_c.review_rank, _c.received_at, _c.id)


@dataclass(frozen=True, slots=True, order=True)
class QueuePlace:
    """A place in the queue of a site: that of an infraction, whether it still waits or not."""

    rank: int
    received_at: datetime
    id: str

    @classmethod
    def of(cls, infraction: Infraction) -> QueuePlace | None:
        """Where an infraction stands; None: it waits for nobody."""
        if infraction.review_rank is None:
            return None
        return cls(infraction.review_rank, infraction.received_at, infraction.id)

    def __str__(self) -> str:
        return page_cursor(self.rank, int(self.received_at.timestamp()), self.id)

    @classmethod
    def parse(cls, text: str) -> QueuePlace:
        """Read what a place is written as. Raises NotAPageCursor."""
        rank, seconds, id = page_position(text, int, int, str)
        if not (0 <= rank <= REST and 0 <= seconds < LAST_SECOND and is_uuid(id)):
            raise NotAPageCursor
        return cls(rank, datetime.fromtimestamp(seconds, UTC), id)


def waiting(
    tx: Connection,
    site: str,
    *,
    reasons: Sequence[Reason] = (),
    after: QueuePlace | None = None,
    skipping: Collection[str] = (),
    limit: int,
) -> list[Infraction]:
    """Up to `limit` infractions that wait at a site, in the order of the queue, after a place; only
    those that have one of the reasons, if any are given, and none of the ids to be skipped.
    """
    query = _queue(select(infractions), site, reasons)
    if after is not None:
        query = query.where(_here() > _at(after))
    if skipping:
        query = query.where(_c.id.not_in(list(skipping)))
    return built(tx, site, tx.execute(query.order_by(*_ORDER).limit(limit)).all())


def next_after(
    tx: Connection,
    site: str,
    place: QueuePlace | None,
    *,
    reasons: Sequence[Reason] = (),
    skipping: Collection[str] = (),
) -> Infraction | None:
    """What waits next after a place (None: first of all); None: nothing does."""
    found = waiting(tx, site, reasons=reasons, after=place, skipping=skipping, limit=1)
    return found[0] if found else None


def before(
    tx: Connection, site: str, place: QueuePlace, *, reasons: Sequence[Reason] = ()
) -> Infraction | None:
    """What waits next before a place; None: nothing does."""
    query = _queue(select(infractions), site, reasons).where(_here() < _at(place))
    backwards = (column.desc() for column in _ORDER)
    found = built(tx, site, tx.execute(query.order_by(*backwards).limit(1)).all())
    return found[0] if found else None


def position(
    tx: Connection, site: str, place: QueuePlace, *, reasons: Sequence[Reason] = ()
) -> int:
    """How many wait before a place, MOST_COUNTED at most."""
    ahead = _queue(select(literal(1)), site, reasons).where(_here() < _at(place))
    return _counted(tx, ahead)


def counts(tx: Connection, site: str) -> Mapping[int, int]:
    """How many wait in each rank, 0 to REST, up to MOST_COUNTED of each."""
    ranks = range(REST + 1)
    of_rank = select(literal(1)).where(_c.site == site)
    columns = (
        select(func.count())
        .select_from(of_rank.where(_c.review_rank == rank).limit(MOST_COUNTED).subquery())
        .scalar_subquery()
        .label(f"rank_{rank}")
        for rank in ranks
    )
    return dict(zip(ranks, tx.execute(select(*columns)).one(), strict=True))


def earlier(tx: Connection, infraction: Infraction, *, limit: int) -> list[Infraction]:
    """Up to `limit` infractions of the same plate that its site has observed before, the latest
    observed first; none of one without a plate.
    """
    plate, site = infraction.plate, infraction.sent.site
    if plate is None:
        return []
    query = select(infractions).where(
        _c.site == site,
        _c.plate == plate.text,
        _c.jurisdiction == plate.jurisdiction,
        tuple_(_c.observed_at, _c.id)
        < tuple_(
            infraction.sent.observed_at,
            infraction.id,
            types=[_c.observed_at.type, _c.id.type],
        ),
    )
    latest_first = query.order_by(_c.observed_at.desc(), _c.id.desc()).limit(limit)
    return built(tx, site, tx.execute(latest_first).all())


def _queue(query: Select[Any], site: str, reasons: Sequence[Reason]) -> Select[Any]:
    query = query.where(_c.site == site, _c.review_rank.is_not(None))
    if not reasons:
        return query
    return query.where(
        _c.review_rank <= last_rank(reasons),
        or_(*(has_reason(_c.attention, one) for one in reasons)),
    )


def _here() -> ColumnElement[Any]:
    return tuple_(*_ORDER)


def _at(place: QueuePlace) -> ColumnElement[Any]:
    types = [column.type for column in _ORDER]
    return tuple_(place.rank, place.received_at, place.id, types=types)


def _counted(tx: Connection, found: Select[Any]) -> int:
    some = found.limit(MOST_COUNTED).subquery()
    return int(tx.execute(select(func.count()).select_from(some)).scalar_one())
