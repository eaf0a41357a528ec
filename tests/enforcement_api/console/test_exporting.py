"""How far exports have come: counted on their way, ended as they end, bounded, forgotten."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest

from enforcement_api.console.exporting import (
    MOST_REMEMBERED,
    MOST_RUNNING,
    REMEMBERED,
    Export,
    Exports,
    ExportUnderWay,
    TooManyExports,
)
from tests.service import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def exports(clock: Clock) -> Exports:
    return Exports(now=clock)


def stream(exports: Exports, export: Export, rows: int) -> Iterator[str]:
    """An export of so many rows, a piece for each ten."""

    def pieces() -> Iterator[str]:
        for row in exports.counted(range(rows), export):
            if row % 10 == 9:
                yield "piece"

    return exports.wrap(pieces(), export)


def found(exports: Exports, id: str = "a", by: str = "staff:1") -> Export:
    export = exports.find(id, by=by)
    assert export is not None
    return export


def test_rows_are_counted_as_they_are_sent_and_the_end_is_told(exports: Exports) -> None:
    export = exports.begin("a", by="staff:1", expected=100)
    assert (found(exports).rows, found(exports).fraction) == (0, 0)
    pieces = stream(exports, export, 100)
    for _ in range(5):
        next(pieces)
    assert (found(exports).rows, found(exports).fraction) == (50, 0.5)
    assert list(pieces) == ["piece"] * 5
    told = found(exports)
    assert (told.rows, told.state, told.fraction) == (100, "done", 1)


def test_an_estimate_that_was_too_low_or_missing_promises_no_end(exports: Exports) -> None:
    low = exports.begin("low", by="staff:1", expected=10)
    pieces = stream(exports, low, 100)
    for _ in range(5):
        next(pieces)
    assert found(exports, "low").fraction == 0.99
    exports.begin("none", by="staff:1", expected=None)
    assert found(exports, "none").fraction is None


def test_what_breaks_is_broken_and_breaks_the_download(exports: Exports) -> None:
    export = exports.begin("a", by="staff:1", expected=None)

    def broken() -> Iterator[str]:
        yield "half"
        raise OSError("the record went away")

    pieces = exports.wrap(broken(), export)
    assert next(pieces) == "half"
    with pytest.raises(OSError, match="the record went away"):
        next(pieces)
    assert found(exports).state == "broken"


@pytest.mark.parametrize("is_closed", [True, False])
def test_who_goes_away_cancels_it(exports: Exports, is_closed: bool) -> None:
    export = exports.begin("a", by="staff:1", expected=100)
    closed = []

    def source() -> Iterator[int]:
        try:
            yield from range(100)
        finally:
            closed.append(True)

    pieces = exports.wrap(exports.counted(source(), export), export)
    next(pieces)
    if is_closed:
        pieces.close()  # type: ignore[attr-defined]
    else:  # as a server that lost its client drops it
        del pieces
        gc.collect()
    assert (found(exports).state, found(exports).rows) == ("cancelled", 1)
    assert closed == [True]


def test_one_account_has_so_many_at_once_and_others_are_not_held_up(exports: Exports) -> None:
    running = [exports.begin(str(n), by="staff:1", expected=None) for n in range(MOST_RUNNING)]
    with pytest.raises(TooManyExports):
        exports.begin("one more", by="staff:1", expected=None)
    exports.begin("one more", by="staff:2", expected=None)
    list(stream(exports, running[0], 1))
    exports.begin("one more", by="staff:1", expected=None)


def test_nobody_sees_the_exports_of_another(exports: Exports) -> None:
    exports.begin("a", by="staff:1", expected=7)
    assert exports.find("a", by="staff:2") is None
    assert exports.of("staff:2") == []
    exports.begin("a", by="staff:2", expected=8)
    assert found(exports).expected == 7


def test_an_id_is_used_again_only_when_its_export_has_ended(exports: Exports, clock: Clock) -> None:
    first = exports.begin("a", by="staff:1", expected=None)
    with pytest.raises(ExportUnderWay):
        exports.begin("a", by="staff:1", expected=None)
    list(stream(exports, first, 10))
    exports.begin("a", by="staff:1", expected=None)
    list(stream(exports, first, 10))  # what is left of the one before counts for nothing
    assert (found(exports).rows, found(exports).state) == (0, "running")


def test_it_is_forgotten_some_minutes_after_its_last_row(exports: Exports, clock: Clock) -> None:
    """Also one of which nobody took a single piece: it never comes to its end."""
    ended = exports.begin("ended", by="staff:1", expected=None)
    exports.begin("left alone", by="staff:1", expected=None)
    slow = stream(exports, exports.begin("slow", by="staff:1", expected=None), 1000)
    list(stream(exports, ended, 10))
    clock.at += REMEMBERED
    next(slow)
    assert {each.id for each in exports.of("staff:1")} == {"ended", "left alone", "slow"}
    clock.at += timedelta(seconds=1)
    assert [each.id for each in exports.of("staff:1")] == ["slow"]
    clock.at += REMEMBERED
    assert exports.of("staff:1") == []
    assert sum(1 for _ in slow) == 99  # who reads slowly gets all of it


def test_no_more_are_remembered_than_anybody_looks_at(exports: Exports) -> None:
    for n in range(3 * MOST_REMEMBERED):
        list(stream(exports, exports.begin(f"{n}", by="staff:1", expected=None), 10))
    own = exports.of("staff:1")
    assert [each.id for each in own] == [
        f"{n}" for n in range(2 * MOST_REMEMBERED, 3 * MOST_REMEMBERED)
    ]


def test_threads_lose_no_row(exports: Exports) -> None:
    def run(n: int) -> None:
        export = exports.begin("a", by=f"staff:{n}", expected=None)
        for _ in stream(exports, export, 5000):
            exports.of(f"staff:{(n + 1) % 6}")

    threads = [threading.Thread(target=run, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found(exports, by=f"staff:{n}").rows for n in range(6)] == [5000] * 6
    assert {found(exports, by=f"staff:{n}").state for n in range(6)} == {"done"}
