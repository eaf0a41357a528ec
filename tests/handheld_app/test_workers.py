"""What happens beside the thread that draws: what is written always, and what only if seen."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from handheld_app.workers import Workers

DEADLINE = 10


class Drawing:
    """The thread that draws, as far as workers know it."""

    def __init__(self) -> None:
        self._handed: queue.Queue[Callable[[], None]] = queue.Queue()

    def soon(self, do: Callable[[], None]) -> None:
        self._handed.put(do)

    def turn(self) -> None:
        self._handed.get(timeout=DEADLINE)()


@pytest.fixture
def drawing() -> Drawing:
    return Drawing()


@pytest.fixture
def workers(drawing: Drawing) -> Iterator[Workers]:
    workers = Workers(drawing.soon)
    yield workers
    workers.close()


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    gate = threading.Event()
    yield gate
    gate.set()


def ignore(_: Any) -> None:
    pass


def test_what_is_written_does_not_wait_behind_pictures(
    workers: Workers, drawing: Drawing, gate: threading.Event
) -> None:
    for _ in range(60):
        workers.picture(lambda: gate.wait(DEADLINE), ignore)
    written: list[str] = []
    workers.write(lambda: "recorded", written.append, ignore)
    drawing.turn()
    assert written == ["recorded"]


def test_what_was_to_be_written_is_written_when_the_window_closes(
    drawing: Drawing, gate: threading.Event
) -> None:
    workers, done = Workers(drawing.soon), []
    workers.write(lambda: gate.wait(DEADLINE), ignore, ignore)
    for number in range(3):
        workers.write(lambda number=number: done.append(number), ignore, ignore)
    closing = threading.Thread(target=workers.close)
    closing.start()
    gate.set()
    closing.join(DEADLINE)
    assert done == [0, 1, 2]


def test_closing_waits_for_no_picture_and_no_answer(
    drawing: Drawing, gate: threading.Event
) -> None:
    workers, seen = Workers(drawing.soon), []
    workers.ask(lambda: gate.wait(DEADLINE), ignore, ignore)
    workers.picture(lambda: gate.wait(DEADLINE), ignore)
    workers.picture(lambda: seen.append("late"), ignore)
    workers.close()
    assert not gate.is_set()
    gate.set()
    assert seen == []


def test_a_picture_that_nobody_looks_at_any_more_is_not_read(
    workers: Workers, drawing: Drawing, gate: threading.Event
) -> None:
    read: list[str] = []
    workers.picture(lambda: gate.wait(DEADLINE), ignore)
    take_back = workers.picture(lambda: read.append("left"), ignore)
    workers.picture(lambda: read.append("seen"), ignore)
    assert take_back()
    gate.set()
    drawing.turn()
    drawing.turn()
    assert read == ["seen"]


@pytest.mark.parametrize("kind", ["write", "picture", "ask"])
def test_an_error_is_handed_back(workers: Workers, drawing: Drawing, kind: str) -> None:
    failed: list[Exception] = []

    def do() -> None:
        raise OSError("full")

    getattr(workers, kind)(do, ignore, failed.append)
    drawing.turn()
    assert [str(error) for error in failed] == ["full"]
