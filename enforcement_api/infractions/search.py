"""The log, searched within bounds: whatever is asked, no more than so much of it is looked at.

A filter with an index *leads*: its entries are read in the order of the log, a window at a time,
and everything else that is wanted is tried on them. What leads is the filter that lets fewest
through. A search that has looked at as many entries as it may ends there, full page or not, and
says where to go on: somebody who looks for what is not there learns how far was looked.

The indexes are in the order of receipt. By the instant of observation, few entries are read whole
and sorted; otherwise the index of that instant leads. A range of that instant bounds the receipt
too, since nearly all are received soon after they are observed; the others have an index of their
own (`tables.DELAYED`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Connection,
    Select,
    and_,
    exists,
    func,
    literal,
    or_,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.sql import ColumnElement
from sqlalchemy.sql.selectable import CompoundSelect

from enforcement_api.database.engine import Record
from enforcement_api.database.tables import (
    DELAYED,
    USUAL_DELAY_S,
    infraction_codes,
    infractions,
)
from enforcement_api.infractions import store
from enforcement_api.infractions.attention import last_rank
from enforcement_api.infractions.core import Infraction, Place, Selection
from enforcement_api.infractions.weighing import has_reason
from sync.plates import fold, normalise

MOST_EXAMINED = 20_000
"""Entries of an index that one search looks at."""
MOST_WORDED = 8_000
"""Entries that one search for words looks at: each is read at length."""
FEW = 4_000
"""Entries that are read whole and sorted."""
MOST_MERGED = 8
"""Values of one filter whose entries are merged in order."""
MOST_COUNTED = 2_000
"""Matches that facets are counted of."""
FIRST_WINDOW = 200
_WIDER = 5
_PART = 500
"""Infractions of an export that are read in one transaction."""
SHORTEST_PLATE_PART = 3
"""Characters of free text, as a plate has them, that are looked for in plates too."""

_c, _codes = infractions.c, infraction_codes.c
_Entries = Select[Any] | CompoundSelect[Any]
_Spot = tuple[datetime, str]
"""An instant of the order, and an id."""

_VALUES = {
    "number": "numbers",
    "plate": "plates",
    "device": "devices",
    "patroller": "patrollers",
    "lot": "lots",
    "state": "states",
    "zone": "zones",
    "outcome": "outcomes",
}
"""Columns, and what a selection wants of each."""
_WORDED = (
    "note",
    "place",
    "plate_raw",
    "plate_missing_reason",
    "no_issue_reason",
    "number",
    "patroller",
    "plate",
)
FACETS = ("zone", "lot", "patroller", "device", "code", "outcome", "state", "differs")
"""What a selection is counted by."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a search came to."""

    items: Sequence[Infraction]
    next: Place | None
    """Where to go on; None: there is nothing beyond."""
    examined_until: datetime | None
    """Where it ended before the page was full; None: it did not."""

    @property
    def is_complete(self) -> bool:
        """Whether there is nothing beyond."""
        return self.next is None


def search(
    tx: Connection,
    wanted: Selection,
    *,
    after: Place | None = None,
    limit: int,
    most: int | None = None,
) -> Found:
    """Up to `limit` infractions wanted, in their order, after a place. At most `most` entries are
    looked at; by itself as many as take the service some tenths of a second at the worst.
    """
    found = _search(tx, wanted, after, limit, most)
    ids: dict[str, list[str]] = {}
    for _, id, site in found.spots:
        ids.setdefault(site, []).append(id)
    items = {
        infraction.id: infraction
        for site, some in ids.items()
        for infraction in store.named(tx, site, some)
    }
    return Found([items[id] for _, id, _ in found.spots], found.next, found.examined_until)


def whole_log(record: Record, wanted: Selection) -> Iterator[Infraction]:
    """All the infractions wanted, however many and however slowly they are read.

    Each part is read in a transaction of its own, and looks at no more than a search may: nobody
    who exports holds the record up. What arrives meanwhile may be among them or not; nothing is
    twice.
    """
    after: Place | None = None

    def part(tx: Connection) -> Found:
        return search(tx, wanted, after=after, limit=_PART)

    while True:
        found = record.read(part)
        yield from found.items
        after = found.next
        if after is None:
            return


@dataclass(frozen=True, slots=True)
class Facets:
    """How many of the first matches of a selection, in its order, have each value."""

    counts: Mapping[str, Sequence[tuple[Any, int]]]
    """By FACETS; of each the commonest value first. A missing lot is None."""
    matches: int
    """Matches that were counted."""
    is_exact: bool
    """Whether these are all."""


def facets(
    tx: Connection, wanted: Selection, *, limit: int = MOST_COUNTED, most: int | None = None
) -> Facets:
    """Count the values of the selection's first `limit` matches, as far as a search may look."""
    found = _search(tx, wanted, None, limit, most)
    counters: dict[str, Counter[Any]] = {name: Counter() for name in FACETS}
    ids: dict[str, list[str]] = {}
    for _, id, site in found.spots:
        ids.setdefault(site, []).append(id)
    columns = [_c[name] for name in FACETS if name != "code"]
    for site, some in ids.items():
        for part in (some[at : at + _PART] for at in range(0, len(some), _PART)):
            of_these = select(*columns).where(_c.site == site, _c.id.in_(part))
            rows = list(zip(*tx.execute(of_these).all(), strict=True))
            for column, values in zip(columns, rows, strict=True):
                counters[column.name].update(values)
            named = select(_codes.infraction, _codes.code)
            of_these = named.where(_codes.site == site, _codes.infraction.in_(part))
            # In this order SQLite reads those; else, of one infraction, those of the whole site.
            in_order = of_these.order_by(_codes.infraction, _codes.position)
            different = {(infraction, code) for infraction, code in tx.execute(in_order)}
            counters["code"].update(code for _, code in different)
    return Facets(
        {
            name: sorted(counter.items(), key=lambda one: (-one[1], str(one[0])))
            for name, counter in counters.items()
        },
        matches=len(found.spots),
        is_exact=found.next is None,
    )


# Sites


@dataclass(frozen=True, slots=True)
class _Spots:
    spots: Sequence[tuple[datetime, str, str]]
    """Instant of the order, id, site."""
    next: Place | None
    examined_until: datetime | None


def _search(
    tx: Connection, wanted: Selection, after: Place | None, limit: int, most: int | None
) -> _Spots:
    """Each site has its own keys, so each is searched by itself, and what is found merged: as far
    as all of them were looked at.
    """
    if most is None:
        most = MOST_WORDED if wanted.words else MOST_EXAMINED
    each = max(most // max(len(wanted.sites), 1), FIRST_WINDOW)
    start = None if after is None else (after.at, after.id)
    merged: list[tuple[datetime, str, str]] = []
    ends: list[_Spot] = []
    for site in wanted.sites:
        # One more than wanted, which tells whether there is more.
        found, end = _Site(tx, site, wanted, limit + 1, each).search(start)
        merged += [(at, id, site) for at, id in found]
        if end is not None:
            ends.append(end)
    backwards = wanted.is_descending
    merged.sort(key=lambda one: one[:2], reverse=backwards)
    if ends:
        end = max(ends) if backwards else min(ends)
        merged = [one for one in merged if (one[:2] >= end if backwards else one[:2] <= end)]
        if len(merged) <= limit:
            is_short = len(merged) < limit
            return _Spots(merged, Place(wanted.order, *end), end[0] if is_short else None)
    if len(merged) <= limit:
        return _Spots(merged, None, None)
    page = merged[:limit]
    return _Spots(page, Place(wanted.order, *page[-1][:2]), None)


# One site


@dataclass(frozen=True, slots=True)
class _Leader:
    """A filter whose index may lead: all its entries, and, in the order of receipt, its arms."""

    whole: ColumnElement[bool]
    arms: Sequence[ColumnElement[bool]]
    is_of_codes: bool = False


class _Site:
    """A search in one site."""

    def __init__(self, tx: Connection, site: str, wanted: Selection, limit: int, most: int) -> None:
        self._tx = tx
        self._site = site
        self._wanted = wanted
        self._limit = limit
        self._most = most
        self._columns = [_c[name] for name in sorted(_needed(wanted))]

    def search(self, start: _Spot | None) -> tuple[list[_Spot], _Spot | None]:
        """What was found after a place, and where it ended before that was enough; None: nowhere,
        there is nothing beyond.
        """
        leaders = list(_leaders(self._wanted))
        counts = [self._count(leader) for leader in leaders]
        few = min(counts, default=FEW + 1)
        if few <= FEW:
            return self._among_few(leaders[counts.index(few)], start), None
        by_receipt = self._wanted.column == "received_at"
        leader = next(
            (one for one in leaders if by_receipt and 0 < len(one.arms) <= MOST_MERGED), None
        )
        return self._walk(leader, start)

    def _count(self, leader: _Leader) -> int:
        site = _codes.site if leader.is_of_codes else _c.site
        some = select(literal(1)).where(site == self._site, leader.whole).limit(FEW + 1)
        counted = select(func.count()).select_from(some.subquery())
        return int(self._tx.execute(counted).scalar_one())

    def _among_few(self, leader: _Leader, start: _Spot | None) -> list[_Spot]:
        entries = self._entries(leader, leader.whole, read=True).limit(FEW + 1)
        return self._matches(entries, start)

    def _walk(
        self, leader: _Leader | None, start: _Spot | None
    ) -> tuple[list[_Spot], _Spot | None]:
        found: list[_Spot] = []
        examined, window = 0, max(FIRST_WINDOW, 2 * self._limit)
        while True:
            window = min(window, self._most - examined)
            found += self._matches(self._window(leader, start, read=True).limit(window))
            if len(found) >= self._limit:
                return found[: self._limit], None
            last = self._window(leader, start, read=False).offset(window - 1).limit(1)
            row = self._tx.execute(last).first()
            if row is None:
                return found, None
            start = row.at, row.id
            examined += window
            if examined >= self._most:
                return found, start
            window *= _WIDER

    def _matches(self, entries: _Entries, start: _Spot | None = None) -> list[_Spot]:
        """Those of the entries that are wanted, in order, as many as are asked for."""
        of = entries.subquery("looked_at")
        query = select(of.c.at, of.c.id).where(*_conditions(self._wanted, self._site, of.c))
        if start is not None:
            query = query.where(self._after(of.c.at, of.c.id, start))
        if self._wanted.codes:
            query = query.distinct()  # an infraction has an entry for each of its codes
        rows = self._tx.execute(query.order_by(*self._order(of.c.at, of.c.id)).limit(self._limit))
        return [(row.at, row.id) for row in rows]

    def _window(self, leader: _Leader | None, start: _Spot | None, *, read: bool) -> _Entries:
        """The leader's entries after a place, in order: its arms merged."""
        at, id = self._keys(leader)
        arms = [
            self._bounded(self._entries(leader, arm, read=read), at, id, start)
            for arm in (leader.arms if leader else [_c.site == self._site])
        ]
        if self._is_bounded_otherwise:
            arms.append(self._delayed(start, read=read))
        if len(arms) == 1:
            return arms[0].order_by(*self._order(at, id))
        merged = union_all(*arms)
        columns = merged.selected_columns
        return merged.order_by(*self._order(columns.at, columns.id))

    @property
    def _is_bounded_otherwise(self) -> bool:
        """Whether the order is that of receipt, and a range of the observation is wanted."""
        wanted = self._wanted
        return wanted.column == "received_at" and (
            wanted.begins is not None or wanted.ends is not None
        )

    def _bounded(
        self,
        entries: Select[Any],
        at: ColumnElement[Any],
        id: ColumnElement[Any],
        start: _Spot | None,
    ) -> Select[Any]:
        # One bound on each side: given two on one, SQLite may take the index of the time alone.
        begins, ends = self._range()
        if start is not None:
            # A place beyond the range bounds nothing of it.
            if self._wanted.is_descending:
                if ends is None or start[0] < ends:
                    entries, ends = entries.where(self._after(at, id, start)), None
            elif begins is None or start[0] >= begins:
                entries, begins = entries.where(self._after(at, id, start)), None
        if begins is not None:
            entries = entries.where(at >= begins)
        return entries if ends is None else entries.where(at < ends)

    def _range(self) -> tuple[datetime | None, datetime | None]:
        """The instants of the order between which all are that are wanted, but for those that were
        received with delay.
        """
        begins, ends = self._wanted.begins, self._wanted.ends
        if self._is_bounded_otherwise:
            early, late = (timedelta(seconds=each) for each in USUAL_DELAY_S)
            return begins and begins + early, ends and ends + late
        return begins, ends

    def _delayed(self, start: _Spot | None, *, read: bool) -> Select[Any]:
        """What was received with delay, outside the range of all others."""
        begins, ends = self._range()
        outside = [] if begins is None else [_c.received_at < begins]
        outside += [] if ends is None else [_c.received_at >= ends]
        entries = self._entries(None, and_(DELAYED, or_(*outside)), read=read)
        return entries if start is None else entries.where(self._after(*self._keys(None), start))

    def _entries(
        self, leader: _Leader | None, condition: ColumnElement[bool], *, read: bool
    ) -> Select[Any]:
        """Entries where a condition on the leader's index holds: what the order goes by; and what
        is wanted of them, where they are read.
        """
        at, id = self._keys(leader)
        query = select(at.label("at"), id.label("id"), *(self._columns if read else ()))
        if leader is None or not leader.is_of_codes:
            return query.where(_c.site == self._site, condition)
        source: Any = infraction_codes
        if read:
            of = (_c.site == _codes.site) & (_c.id == _codes.infraction)
            source = infraction_codes.join(infractions, of)
        return query.select_from(source).where(_codes.site == self._site, condition)

    def _keys(self, leader: _Leader | None) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
        """The columns that the order of a leader's entries goes by."""
        if leader is None or not leader.is_of_codes:
            return _c[self._wanted.column], _c.id
        # By the other order, the entries are read whole.
        by_receipt = self._wanted.column == "received_at"
        return (_codes.received_at if by_receipt else _c.observed_at), _codes.infraction

    def _order(
        self, at: ColumnElement[Any], id: ColumnElement[Any]
    ) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
        return (at.desc(), id.desc()) if self._wanted.is_descending else (at, id)

    def _after(
        self, at: ColumnElement[Any], id: ColumnElement[Any], start: _Spot
    ) -> ColumnElement[bool]:
        here, there = tuple_(at, id), tuple_(*start, types=[at.type, id.type])
        return here < there if self._wanted.is_descending else here > there


def _leaders(wanted: Selection) -> Iterator[_Leader]:
    """The filters of a selection that have an index; those that let fewer through first."""

    def of(column: ColumnElement[Any], values: Sequence[Any]) -> _Leader:
        return _Leader(column.in_(values), [column == value for value in dict.fromkeys(values)])

    if wanted.plates:
        # Few plates look alike: what has the index of the receipt leads to them as well.
        alike = of(_c.fold, _folds(wanted.plates))
        yield _Leader(_c.plate.in_(wanted.plates), alike.arms)
    if wanted.looks_like:
        yield of(_c.fold, _folds(wanted.looks_like))
    if wanted.numbers:
        yield of(_c.number, wanted.numbers)
    if wanted.reasons:
        last = last_rank(wanted.reasons)
        yield _Leader(_c.review_rank <= last, [_c.review_rank == rank for rank in range(last + 1)])
    if wanted.differs:
        yield _Leader(_c.differs.is_(True), [_c.differs.is_(True)])
    for name in ("device", "patroller", "lot"):
        if values := getattr(wanted, _VALUES[name]):
            yield of(_c[name], values)
    if wanted.codes:
        arms = [_codes.code == code for code in dict.fromkeys(wanted.codes)]
        yield _Leader(_codes.code.in_(wanted.codes), arms, is_of_codes=True)
    for name in ("state", "zone", "outcome"):
        if values := getattr(wanted, _VALUES[name]):
            yield of(_c[name], values)
    observed = list(_observed(wanted, _c.observed_at))
    if observed:
        yield _Leader(and_(*observed), [])


def _observed(wanted: Selection, at: ColumnElement[Any]) -> Iterator[ColumnElement[bool]]:
    if wanted.begins is not None:
        yield at >= wanted.begins
    if wanted.ends is not None:
        yield at < wanted.ends


def _folds(plates: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(fold(plate) for plate in plates))


def _needed(wanted: Selection) -> set[str]:
    """The columns that the conditions of a selection need."""
    names = {column for column, values in _VALUES.items() if getattr(wanted, values)}
    if wanted.looks_like:
        names.add("fold")
    if wanted.reasons:
        names |= {"attention", "review_rank"}
    if wanted.differs is not None:
        names.add("differs")
    if wanted.begins is not None or wanted.ends is not None:
        names.add("observed_at")
    if wanted.words:
        names |= set(_WORDED)
    return names


def _conditions(wanted: Selection, site: str, c: Any) -> Iterator[ColumnElement[bool]]:
    for name, values in _VALUES.items():
        if getattr(wanted, values):
            yield c[name].in_(getattr(wanted, values))
    if wanted.looks_like:
        yield c.fold.in_(_folds(wanted.looks_like))
    if wanted.codes:
        yield exists().where(
            _codes.site == site,
            _codes.infraction == c.id,
            _codes.code.in_(wanted.codes),
        )
    if wanted.reasons:
        yield c.review_rank.is_not(None)
        yield or_(*(has_reason(c.attention, reason) for reason in wanted.reasons))
    if wanted.differs is not None:
        yield c.differs.is_(wanted.differs)
    if wanted.begins is not None or wanted.ends is not None:
        yield from _observed(wanted, c.observed_at)
    if wanted.words:
        plate = normalise(wanted.words)
        found = [c[name].icontains(wanted.words, autoescape=True) for name in _WORDED[:-1]]
        if len(plate) >= SHORTEST_PLATE_PART:
            found.append(c.plate.contains(plate, autoescape=True))
        yield or_(*found)
