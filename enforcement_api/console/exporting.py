"""How far exports have come, as they are streamed: in memory, for whoever waits for one.

An export is named by the page that asked for it, so that the page can ask how far it is while the
browser saves it. What is streamed is counted on its way and held nowhere.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, TypeVar

from enforcement_api.problems import N_, Problem

T = TypeVar("T")

State = Literal["running", "done", "broken", "cancelled"]
"""`cancelled`: whoever asked for it went away before its end."""

MOST_RUNNING = 3
"""Exports of one account at once."""
MOST_REMEMBERED = 20
"""Exports of one account that are told of; the oldest that have ended go first."""
REMEMBERED = timedelta(minutes=10)
"""How long an export is told of after its end, or after its last row if it never said how it
ended."""
LONGEST_ID = 100


class TooManyExports(Problem):
    """An account has as many exports under way as it may."""

    status = 429
    slug = "too-many-exports"
    title = N_("Too many exports are under way")
    detail = N_(
        "{most} at once are made for one account. Wait until one has ended, or stop one in the"
        " browser."
    )


class ExportUnderWay(Problem):
    """An export of this account has the id, and has not ended."""

    status = 409
    slug = "export-under-way"
    title = N_("This export is under way already")
    detail = N_("Wait until it has ended, or begin another one under another id.")


@dataclass(frozen=True, slots=True)
class Export:
    """How far an export is. `number`: of those of this process; `expected`: rows in all, as they
    were estimated (None: nobody knows).
    """

    id: str
    by: str
    expected: int | None
    number: int
    touched_at: datetime
    rows: int = 0
    state: State = "running"

    @property
    def fraction(self) -> float | None:
        """How much of it is done, from 0 to 1; None: nobody knows. 1 only when it is done."""
        if self.state == "done":
            return 1.0
        if not self.expected:
            return None
        return min(self.rows / self.expected, 0.99)


class Exports:
    """The exports of this process. Threads share it; each stream is read by one at a time."""

    def __init__(self, *, now: Callable[[], datetime]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._by_account: dict[str, dict[str, Export]] = {}

    def begin(self, id: str, *, by: str, expected: int | None) -> Export:
        """Begin an export of an account, in the place of an ended one of this id.

        Raises TooManyExports, ExportUnderWay.
        """
        at = self._now()
        export = Export(id[:LONGEST_ID], by, expected, next(self._numbers), touched_at=at)
        with self._lock:
            self._forget(at)
            own = self._by_account.setdefault(by, {})
            running = [each for each in own.values() if each.state == "running"]
            if any(each.id == export.id for each in running):
                raise ExportUnderWay
            if len(running) >= MOST_RUNNING:
                raise TooManyExports(most=MOST_RUNNING)
            own.pop(export.id, None)
            ended = [each.id for each in own.values() if each.state != "running"]
            for oldest in ended[: max(0, len(own) + 1 - MOST_REMEMBERED)]:
                del own[oldest]
            own[export.id] = export
        return export

    def find(self, id: str, *, by: str) -> Export | None:
        """How far an account's export is; None: it has none of this id, or it is forgotten."""
        with self._lock:
            self._forget(self._now())
            return self._by_account.get(by, {}).get(id[:LONGEST_ID])

    def of(self, by: str) -> list[Export]:
        """How far an account's exports are, in the order in which they began."""
        with self._lock:
            self._forget(self._now())
            return list(self._by_account.get(by, {}).values())

    def counted(self, rows: Iterable[T], export: Export) -> Iterator[T]:
        """The rows, each counted as it is taken."""
        for row in rows:
            self._change(export, rows=1)
            yield row

    def wrap(self, pieces: Iterable[T], export: Export) -> Iterator[T]:
        """The pieces that are sent. When they end, or break, or nobody takes them any more, the
        export has ended so.
        """
        state: State = "cancelled"
        try:
            yield from pieces
            state = "done"
        except GeneratorExit:
            raise
        except BaseException:
            state = "broken"
            raise
        finally:
            self._change(export, state=state)

    def _change(self, export: Export, *, rows: int = 0, state: State | None = None) -> None:
        at = self._now()
        with self._lock:
            own = self._by_account.get(export.by, {})
            here = own.get(export.id)
            if here is None or here.number != export.number:
                return  # forgotten, or another one of that id has begun since
            changed = replace(here, rows=here.rows + rows, touched_at=at)
            own[export.id] = changed if state is None else replace(changed, state=state)

    def _forget(self, at: datetime) -> None:
        for by, own in list(self._by_account.items()):
            for export in list(own.values()):
                if at - export.touched_at > REMEMBERED:
                    del own[export.id]
            if not own:
                del self._by_account[by]
