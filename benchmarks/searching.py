"""The review queue and the log on a record of three years: CPU, against what a page may cost."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from benchmarks.console_record import (
    CODES,
    DEVICES,
    LOTS,
    NOW,
    PATROLLERS,
    SITE,
    ZONES,
    zone_of,
)
from benchmarks.measuring import Line
from enforcement_api.database.engine import Record
from enforcement_api.infractions import queue, search, store
from enforcement_api.infractions.core import Order, Place, Selection
from enforcement_api.infractions.queue import QueuePlace

LIMIT_MS = 200
_PAGE = 50
_ORDERS: tuple[Order, ...] = ("-received_at", "-observed_at")
_Ask = Callable[[Connection], object]


def measure(record: Record, plates: Sequence[str], *, repetitions: int) -> Iterator[Line]:
    """The worst of the pages of each kind, on a record that `fill` made."""
    kinds = {
        "review queue": _of_queue(record),
        "log": dict(_of_log(plates, after=False)),
        "log (deep pages)": dict(_of_log(plates, after=True)),
        "log facets": dict(_of_facets(plates)),
    }
    for kind, asked in kinds.items():
        # One round to know them, and two to know the worst.
        rounds = [{name: _cost(record, ask) for name, ask in asked.items()} for _ in range(3)]
        least = {name: min(each[name] for each in rounds[1:]) for name in asked}
        worst = max(least, key=least.__getitem__)
        costs = [_cost(record, asked[worst]) for _ in range(repetitions)]
        yield Line(
            name=kind,
            ours=f"a page of {_PAGE}, the worst of {len(asked)} asked for: {worst}",
            limit=f"what a page may cost the service: {LIMIT_MS} ms",
            unit="ms",
            goal=1.0,
            ratios=[cost / LIMIT_MS for cost in costs],
            our_cost=statistics.median(costs),
            limit_cost=LIMIT_MS,
        )


def _cost(record: Record, ask: _Ask) -> float:
    """CPU milliseconds. What the collector does meanwhile is part of them."""
    started = time.process_time()
    record.read(ask)
    return 1000 * (time.process_time() - started)


def _of_queue(record: Record) -> dict[str, _Ask]:
    def page(tx: Connection, after: QueuePlace | None = None) -> object:
        return queue.counts(tx, SITE), queue.waiting(tx, SITE, after=after, limit=_PAGE)

    def one(tx: Connection) -> object:
        found = store.find(tx, first.id)
        there = QueuePlace.of(found)
        assert there is not None
        return (
            queue.earlier(tx, found, limit=20),
            queue.position(tx, SITE, there),
            queue.before(tx, SITE, there),
            queue.next_after(tx, SITE, there),
            store.history(tx, SITE, found.id),
            store.known_now(tx, found),
        )

    first = record.read(lambda tx: queue.waiting(tx, SITE, limit=1))[0]
    middle = QueuePlace(4, NOW, first.id)
    return {
        "the first": page,
        "one in the middle": lambda tx: page(tx, middle),
        "of one reason": lambda tx: queue.waiting(tx, SITE, reasons=("photos",), limit=_PAGE),
        "one infraction": one,
    }


def _of_log(plates: Sequence[str], *, after: bool) -> Iterator[tuple[str, _Ask]]:
    for name, wanted in _selections(plates):
        place = Place(wanted.order, _midnight(500), "0" * 8 + "-0000-7000-8000-" + "0" * 12)

        def ask(
            tx: Connection,
            wanted: Selection = wanted,
            place: Place | None = place if after else None,
        ) -> object:
            return search.search(tx, wanted, after=place, limit=_PAGE)

        yield name, ask


def _of_facets(plates: Sequence[str]) -> Iterator[tuple[str, _Ask]]:
    for name, wanted in _selections(plates):

        def ask(tx: Connection, wanted: Selection = wanted) -> object:
            return search.facets(tx, wanted)

        yield name, ask


def _selections(plates: Sequence[str]) -> Iterator[tuple[str, Selection]]:
    for order in _ORDERS:
        for name, filters in selections(plates).items():
            yield f"{name} ({order})", Selection(sites=(SITE,), order=order, **filters)


def selections(plates: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Filters as a supervisor sets them, by name: each alone, pairs, and pairs that exclude each
    other.
    """
    lot, other = LOTS[0], LOTS[1]
    month = {"begins": _midnight(400), "ends": _midnight(370)}
    alone: dict[str, dict[str, Any]] = {
        "none": {},
        "zone": {"zones": ZONES[:1]},
        "zones": {"zones": ZONES[:3]},
        "lot": {"lots": (lot,)},
        "patroller": {"patrollers": PATROLLERS[:1]},
        "device": {"devices": DEVICES[:1]},
        "device of long ago": {"devices": (DEVICES[0],), "outcomes": ("no_issue",)},
        "code": {"codes": CODES[-1:]},
        "codes": {"codes": CODES[3:6]},
        "state": {"states": ("confirmed",)},
        "undecided": {"states": ("received", "information_requested")},
        "outcome": {"outcomes": ("no_issue",)},
        "plate": {"plates": (plates[0],)},
        "look-alikes": {"looks_like": (plates[0],)},
        "no such plate": {"looks_like": ("QQQQQQQ",)},
        "number": {"numbers": (f"{SITE}-77",)},
        "differs": {"differs": True},
        "does not differ": {"differs": False},
        "reason": {"reasons": ("photos",)},
        "day": {"begins": _midnight(700), "ends": _midnight(699)},
        "month": month,
        "since a year": {"begins": _midnight(365)},
        "before a year": {"ends": _midnight(365)},
        "words": {"words": "moteur en marche"},
        "words without hits": {"words": "girafe"},
        "plate as words": {"words": plates[5]},
    }
    pairs: dict[str, dict[str, Any]] = {
        "lot of another zone": {"zones": (zone_of(other),), "lots": (lot,)},
        "patroller without the device": {
            "patrollers": PATROLLERS[:1],
            "devices": DEVICES[-1:],
        },
        "voided and differs": {"states": ("voided",), "differs": True},
        "code and lot": {"codes": CODES[-1:], "lots": (lot,)},
        "device and month": {"devices": DEVICES[:1], **month},
        "words in a month": {"words": "girafe", **month},
        "zone and words": {"zones": ZONES[:1], "words": "girafe"},
        "confirmed and undecided": {"states": ("confirmed",), "reasons": ("repeated",)},
        "all at once": {
            "zones": ZONES[:2],
            "lots": LOTS[:4],
            "patrollers": PATROLLERS[:10],
            "codes": CODES[:3],
            "states": ("confirmed", "voided"),
            "outcomes": ("warning",),
            "differs": False,
            "words": "girafe",
            **month,
        },
    }
    return alone | pairs


def _midnight(days_ago: int) -> datetime:
    return datetime(NOW.year, NOW.month, NOW.day, tzinfo=UTC) - timedelta(days=days_ago)
