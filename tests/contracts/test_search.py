"""The log is searched within bounds, on both engines: in the end it gives what a plain look at all
infractions gives, and no query goes through a whole table.
"""

from __future__ import annotations

import itertools
import json
import random
import re
import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enforcement_api.database.engine import Record
from enforcement_api.database.tables import infraction_codes, infractions, metadata
from enforcement_api.infractions import attention, queue, search, store
from enforcement_api.infractions.core import ORDERS, Place, Selection
from enforcement_api.infractions.queue import QueuePlace
from enforcement_api.infractions.search import FACETS
from sync.plates import fold, normalise
from tests.paging import turns
from tests.service import migrated_record

NOON = datetime(2026, 11, 23, 17, 0, tzinfo=UTC)
SITES = ("1085", "2000")
ZONES, LOTS = ("G1", "G2", "V1"), ("P1", "P2", None)
PLATES = ("ABC123", "A8C123", "ABCI23", "XYZ999", "XYZ99", None)
PATROLLERS, DEVICES = ("42", "43", "marie"), ("d1", "d2", "d3")
CODES = ("P01", "P02", "R03")
STATES = ("received", "information_requested", "confirmed", "voided")
OUTCOMES = ("notice", "warning", "no_issue")
NOTES = (None, "Pare-brise déneigé", "bloque 100 % de la sortie", "rien_du tout", "AB C123")
COUNT = 150

Row = dict[str, Any]


def row(n: int, chance: random.Random) -> Row:
    """An infraction as the record has it, with its codes."""
    received = NOON + timedelta(seconds=chance.choice((60, 60, 60, 0)) * n)
    late = chance.choice((0, 5, 300, 86_400, 6 * 86_400, 9 * 86_400, 40 * 86_400, -200, -90_000))
    plate, state = chance.choice(PLATES), chance.choice(STATES)
    why: list[str] = []
    rank = None
    if state in STATES[:2]:
        why = [reason for reason in attention.REASONS[:5] if chance.random() < 0.2]
        rank = attention.rank(why)
    id = str(uuid.UUID(int=chance.getrandbits(128)))
    return {
        "site": chance.choice(SITES),
        "id": id,
        "received_at": received,
        "observed_at": received - timedelta(seconds=late),
        "state": state,
        "device": chance.choice(DEVICES),
        "after_revocation": False,
        "patroller": chance.choice(PATROLLERS),
        "zone": chance.choice(ZONES),
        "lot": chance.choice(LOTS),
        "plate": plate,
        "jurisdiction": chance.choice(("CA-QC", "CA-ON")),
        "plate_raw": (plate or "").lower(),
        "plate_source": "typed",
        "outcome": chance.choice(OUTCOMES),
        "number": chance.choice((None, f"A-{n}", "A-1")),
        "device_time": received,
        "clock_offset_ms": 0,
        "epoch": "e",
        "cursor": "c",
        "known": [],
        "note": chance.choice(NOTES),
        "content_hash": "x",
        "warnings": [],
        "differs": chance.random() < 0.3,
        "fold": plate and fold(plate),
        "attention": why,
        "review_rank": rank,
        "decided_at": None if rank is not None else received,
        "codes": [chance.choice(CODES) for _ in range(chance.randrange(4))],
    }


def insert(tx: sa.Connection, rows: Sequence[Row]) -> None:
    whole = [{name: of[name] for name in of if name != "codes"} for of in rows]
    tx.execute(sa.insert(infractions), whole)
    named = [
        {"site": of["site"], "infraction": of["id"], "position": i, "code": code}
        | {"received_at": of["received_at"]}
        for of in rows
        for i, code in enumerate(of["codes"])
    ]
    if named:
        tx.execute(sa.insert(infraction_codes), named)


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits so small that they count among few infractions."""
    for name, value in {"FEW": 6, "FIRST_WINDOW": 4, "MOST_MERGED": 2, "_PART": 7}.items():
        monkeypatch.setattr(search, name, value)
    monkeypatch.setattr(search, "MOST_EXAMINED", 30)
    monkeypatch.setattr(search, "MOST_WORDED", 20)


def filled(record: Record) -> list[Row]:
    chance = random.Random(1)
    made = [row(n, chance) for n in range(COUNT)]
    record.write(lambda tx: insert(tx, made))
    return made


@pytest.fixture
def rows(record: Record, small_limits: None) -> list[Row]:
    """Infractions of two sites."""
    return filled(record)


@pytest.fixture
def on_sqlite(tmp_path: Path, small_limits: None) -> Iterator[Record]:
    """The same, on SQLite alone."""
    shutil.copy(migrated_record(), tmp_path / "alone.db")
    record = Record(f"sqlite:///{tmp_path / 'alone.db'}")
    filled(record)
    yield record
    record.close()


def wants(wanted: Selection, of: Row) -> bool:
    """What a selection means, in plain words."""
    for name, values in (
        ("site", wanted.sites),
        ("zone", wanted.zones),
        ("lot", wanted.lots),
        ("plate", wanted.plates),
        ("number", wanted.numbers),
        ("patroller", wanted.patrollers),
        ("device", wanted.devices),
        ("state", wanted.states),
        ("outcome", wanted.outcomes),
        ("fold", tuple(fold(plate) for plate in wanted.looks_like)),
    ):
        if values and of[name] not in values:
            return False
    if wanted.codes and not set(wanted.codes) & set(of["codes"]):
        return False
    if wanted.reasons and not set(wanted.reasons) & set(of["attention"]):
        return False
    if wanted.differs is not None and of["differs"] != wanted.differs:
        return False
    if wanted.begins is not None and of["observed_at"] < wanted.begins:
        return False
    if wanted.ends is not None and of["observed_at"] >= wanted.ends:
        return False
    if not wanted.words:
        return True
    texts = [of[name] or "" for name in ("note", "plate_raw", "number", "patroller")]
    plate = normalise(wanted.words)
    is_plate = len(plate) >= search.SHORTEST_PLATE_PART and plate in (of["plate"] or "")
    return is_plate or any(wanted.words.lower() in text.lower() for text in texts)


def naive(wanted: Selection, rows: Sequence[Row]) -> list[str]:
    found = [of for of in rows if wants(wanted, of)]
    found.sort(key=lambda of: (of[wanted.column], of["id"]), reverse=wanted.is_descending)
    return [of["id"] for of in found]


def pages(record: Record, wanted: Selection, *, limit: int) -> Iterator[search.Found]:
    after: Place | None = None

    def page(tx: sa.Connection) -> search.Found:
        return search.search(tx, wanted, after=after, limit=limit)

    for _ in turns():
        found = record.read(page)
        assert len(found.items) <= limit
        assert found.next is not None or found.examined_until is None
        yield found
        if found.next is None:
            return
        after = Place.parse(str(found.next), order=wanted.order)


def some(values: Sequence[Any], most: int = 3) -> st.SearchStrategy[tuple[Any, ...]]:
    chosen = st.lists(st.sampled_from(values), max_size=most, unique=True)
    return st.one_of(st.just(()), st.just(()), chosen.map(tuple))


instants = st.integers(-45 * 24, 10 * 24).map(lambda hours: NOON + timedelta(hours=hours))
selections = st.builds(
    Selection,
    sites=st.sampled_from((SITES[:1], SITES)),
    zones=some((*ZONES, "X")),
    lots=some(LOTS[:2]),
    plates=some(PLATES[:5]),
    looks_like=some(PLATES[:5]),
    numbers=some(("A-1", "A-2", "A-33", "B")),
    patrollers=some(PATROLLERS),
    devices=some(DEVICES),
    codes=some(CODES),
    states=some(STATES),
    outcomes=some(OUTCOMES),
    reasons=some(attention.REASONS[:5]),
    differs=st.sampled_from((None, None, True, False)),
    begins=st.one_of(st.none(), instants),
    ends=st.one_of(st.none(), instants),
    words=st.sampled_from((None, None, None, "a-1", "100 %", "_", "brise dé", "abc 1", "nothing")),
    order=st.sampled_from(ORDERS),
)


def test_search_gives_in_the_end_what_a_look_at_everything_gives(
    record: Record, rows: list[Row]
) -> None:
    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(wanted=selections, limit=st.integers(1, 20))
    def check(wanted: Selection, limit: int) -> None:
        found = list(pages(record, wanted, limit=limit))
        expected = naive(wanted, rows)
        assert [item.id for page in found for item in page.items] == expected
        facets = record.read(lambda tx: search.facets(tx, wanted))
        counted = expected[: facets.matches]
        by_id = {of["id"]: of for of in rows}
        for name in FACETS:
            values = [by_id[id][name] for id in counted] if name != "code" else []
            if name == "code":
                values = [code for id in counted for code in set(by_id[id]["codes"])]
            assert dict(facets.counts[name]) == Counter(values)
        assert not facets.is_exact or facets.matches == len(expected)

    check()


@pytest.mark.parametrize("order", ORDERS)
def test_each_filter_alone_gives_what_a_look_at_everything_gives(
    record: Record, rows: list[Row], order: Any
) -> None:
    for filters in FILTERS:
        wanted = Selection(sites=SITES[:1], order=order, **filters)
        found = [item.id for page in pages(record, wanted, limit=5) for item in page.items]
        assert found == naive(wanted, rows), filters
        exported = [infraction.id for infraction in search.whole_log(record, wanted)]
        assert exported == naive(wanted, rows), filters


FILTERS: tuple[Mapping[str, Any], ...] = (
    {},
    {"zones": ("G1",)},
    {"lots": ("P1",)},
    {"lots": ("P1", "P2")},
    {"plates": ("ABC123",)},
    {"plates": ("ABC123", "XYZ999", "XYZ99", "A8C123")},
    {"looks_like": ("ABC123",)},
    {"numbers": ("A-1",)},
    {"patrollers": ("42", "43")},
    {"devices": ("d1",)},
    {"codes": ("P01", "P02")},
    {"states": ("received",)},
    {"outcomes": ("notice",)},
    {"reasons": ("photos",)},
    {"reasons": ("differs", "stale")},
    {"differs": True},
    {"differs": False},
    {"words": "brise dé"},
    {"begins": NOON, "ends": NOON + timedelta(hours=1)},
    {"begins": NOON - timedelta(days=3)},
    {"ends": NOON - timedelta(days=3)},
    {"zones": ("G1",), "devices": ("d2",), "codes": ("P01",), "begins": NOON},
    {"zones": ZONES, "differs": True, "words": "a-1"},
)


def test_search_for_what_is_not_there_says_how_far_it_looked(
    record: Record, rows: list[Row]
) -> None:
    here = sorted((of["received_at"], of["id"]) for of in rows if of["site"] == "1085")[::-1]
    wanted = Selection(sites=("1085",), words="nowhere")
    found = list(pages(record, wanted, limit=5))
    assert [item for page in found for item in page.items] == []
    ended = [page.examined_until for page in found]
    assert ended == [here[n][0] for n in range(19, len(here), 20)] + [None]
    assert [page.is_complete for page in found] == [*[False] * (len(found) - 1), True]


def test_pages_stay_as_they_are_while_new_infractions_come(record: Record, rows: list[Row]) -> None:
    """What is on no page yet is read once, and what was read is not read again."""
    chance = random.Random(2)
    for order in ORDERS:
        wanted = Selection(sites=SITES, zones=("G1", "G2"), order=order)
        before = naive(wanted, rows)
        read: list[str] = []
        for page in pages(record, wanted, limit=10):
            read += [item.id for item in page.items]
            come = [row(COUNT + n, chance) for n in range(3)]
            rows += come
            record.write(lambda tx, come=come: insert(tx, come))
        assert len(read) == len(set(read))
        assert set(before) <= set(read)
        assert [id for id in naive(wanted, rows) if id in set(read)] == read


def test_facets_of_more_than_are_counted_are_not_exact(record: Record, rows: list[Row]) -> None:
    wanted = Selection(sites=SITES)
    most = record.read(lambda tx: search.facets(tx, wanted, limit=10))
    assert (most.matches, most.is_exact) == (10, False)
    everything = record.read(lambda tx: search.facets(tx, wanted, limit=1000, most=1000))
    assert (everything.matches, everything.is_exact) == (COUNT, True)
    assert sum(count for _, count in everything.counts["zone"]) == COUNT
    values = [count for _, count in everything.counts["lot"]]
    assert values == sorted(values, reverse=True)


# What the engines do


def asked(record: Record, ask: Callable[[sa.Connection], Any]) -> list[tuple[str, Any]]:
    """The statements of some work, with their parameters."""
    found: list[tuple[str, Any]] = []

    def note(_c: Any, _cur: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "UPDATE")):
            found.append((statement, parameters))

    sa.event.listen(record.engine, "before_cursor_execute", note)
    try:
        record.read(ask)
    finally:
        sa.event.remove(record.engine, "before_cursor_execute", note)
    return found


def check_plans(record: Record, ask: Callable[[sa.Connection], Any]) -> None:
    """No statement of some work goes through a whole table, or sorts more than its window."""
    tables = set(metadata.tables)
    for statement, parameters in asked(record, ask):
        with record.reading() as tx:
            if record.is_sqlite:
                explained = f"EXPLAIN QUERY PLAN {statement}"
                plan = [tuple(one) for one in tx.exec_driver_sql(explained, parameters)]
                told = "\n".join((statement, *(one[3] for one in plan)))
                for _, parent, _, step in plan:
                    assert step.partition(" ")[2].split(" ")[0] not in tables or (
                        not step.startswith("SCAN")
                    ), told
                    if "TEMP B-TREE" in step:
                        assert parent == 0, told
                        assert any(one[3].startswith("CO-ROUTINE") for one in plan) or (
                            "LIMIT" not in statement
                        ), told
            else:
                tx.exec_driver_sql("SET LOCAL enable_seqscan = off")
                explained = f"EXPLAIN (FORMAT JSON) {statement}"
                (plan_of,) = tx.exec_driver_sql(explained, parameters).scalars()
                whole = plan_of if isinstance(plan_of, str) else json.dumps(plan_of)
                assert "Seq Scan" not in whole, f"{statement}\n{whole}"


@pytest.mark.parametrize("order", ORDERS)
def test_no_search_goes_through_a_table(record: Record, rows: list[Row], order: Any) -> None:
    place = Place(order, NOON + timedelta(hours=1), rows[0]["id"])
    for filters in FILTERS:
        wanted = Selection(sites=("1085",), order=order, **filters)
        for ask in (
            partial(search.search, wanted=wanted, limit=5),
            partial(search.search, wanted=wanted, after=place, limit=5),
            partial(search.facets, wanted=wanted),
        ):
            check_plans(record, ask)


LED: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("fold", {"plates": ("ABC123",)}),
    ("fold", {"looks_like": ("ABC123", "XYZ99")}),
    ("number", {"numbers": ("A-1",)}),
    ("waiting", {"reasons": ("stale",)}),
    ("differs", {"differs": True}),
    ("device", {"devices": ("d1",)}),
    ("patroller", {"patrollers": ("42", "43")}),
    ("lot", {"lots": ("P1",)}),
    ("code", {"codes": ("P01", "P02")}),
    ("state", {"states": ("received",)}),
    ("zone", {"zones": ("G1", "V1")}),
    ("outcome", {"outcomes": ("notice",)}),
    ("received", {}),
)
RANGES = (
    (None, None),
    (NOON, None),
    (None, NOON + timedelta(hours=1)),
    (NOON, NOON + timedelta(hours=1)),
    (NOON - timedelta(days=300), NOON - timedelta(days=270)),
)


@pytest.mark.parametrize("order", ["received_at", "-received_at"])
@pytest.mark.parametrize(("index", "filters"), LED, ids=str)
def test_window_is_read_along_the_index_that_leads_on_sqlite(
    on_sqlite: Record,
    index: str,
    filters: Mapping[str, Any],
    order: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Along another one, as many entries would be read as there are until the window is full.
    (PostgreSQL's planner goes by what it has counted, which is nothing here.)
    """
    monkeypatch.setattr(search, "FEW", -1)
    table = "infraction_codes" if index == "code" else "infractions"
    places = (None, 600, 9 * 86_400, -400 * 86_400, 400 * 86_400)
    for (begins, ends), seconds in itertools.product(RANGES, places):
        at = NOON + timedelta(seconds=seconds or 0)
        place = None if seconds is None else Place(order, at, str(uuid.UUID(int=1 << 127)))
        wanted = Selection(("1085",), begins=begins, ends=ends, order=order, **filters)
        ask = partial(search.search, wanted=wanted, after=place, limit=5)
        windows = [each for each in asked(on_sqlite, ask) if "looked_at" in each[0]]
        assert windows
        for statement, parameters in windows:
            with on_sqlite.reading() as tx:
                explained = f"EXPLAIN QUERY PLAN {statement}"
                steps = tx.exec_driver_sql(explained, parameters).all()
            used = set(re.findall(r"ix_\w+", str(steps)))
            assert used - {"ix_infractions_delayed"} == {f"ix_{table}_{index}"}, statement


def test_no_look_at_the_queue_goes_through_a_table(record: Record, rows: list[Row]) -> None:
    at = rows[0]
    place = QueuePlace(2, at["received_at"], at["id"])
    for ask in (
        lambda tx: queue.waiting(tx, "1085", limit=5),
        lambda tx: queue.waiting(tx, "1085", after=place, limit=5),
        lambda tx: queue.waiting(tx, "1085", reasons=("clock",), after=place, limit=5),
        lambda tx: queue.next_after(tx, "1085", place, skipping=[at["id"]]),
        lambda tx: queue.before(tx, "1085", place),
        lambda tx: queue.position(tx, "1085", place),
        lambda tx: queue.counts(tx, "1085"),
        lambda tx: [
            queue.earlier(tx, found, limit=5)
            for found in search.search(tx, Selection(("1085",), plates=("ABC123",)), limit=3).items
        ],
        lambda tx: store.find(tx, at["id"]),
    ):
        check_plans(record, ask)
