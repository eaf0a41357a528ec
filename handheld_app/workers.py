"""Work beside the thread that draws: what writes, what is only to be seen, what reads a
plate, what asks the service.

Each has threads of its own, so that a record never waits behind a picture or the network.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
Failed = Callable[[Exception], None]


class Workers:
    """`soon` hands what is to be done with a result back to the thread that draws."""

    def __init__(self, soon: Callable[[Callable[[], None]], None]) -> None:
        self._soon = soon
        self._writing = ThreadPoolExecutor(max_workers=1, thread_name_prefix="write")
        self._picturing = ThreadPoolExecutor(max_workers=1, thread_name_prefix="picture")
        self._reading = ThreadPoolExecutor(max_workers=1, thread_name_prefix="read")

    def write(self, do: Callable[[], T], then: Callable[[T], None], failed: Failed) -> None:
        """Change something on disk, after what was asked before; also when the window closes."""
        self._report(self._writing.submit(do), then, failed)

    def picture(
        self, do: Callable[[], T], then: Callable[[T], None], failed: Failed = lambda error: None
    ) -> Callable[[], bool]:
        """Read something to be shown. What is returned takes it back if it has not begun."""
        future = self._picturing.submit(do)
        self._report(future, then, failed)
        return future.cancel

    def read(self, do: Callable[[], T], then: Callable[[T], None], failed: Failed) -> None:
        """Read a plate: one at a time, and nothing else waits for it."""
        self._report(self._reading.submit(do), then, failed)

    def ask(self, do: Callable[[], T], then: Callable[[T], None], failed: Failed) -> None:
        """Ask somebody who may never answer: nothing waits for the end of it."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(do())
            except Exception as error:
                future.set_exception(error)

        self._report(future, then, failed)
        threading.Thread(target=run, name="ask", daemon=True).start()

    def _report(self, future: Future[T], then: Callable[[T], None], failed: Failed) -> None:
        def report(future: Future[T]) -> None:
            if future.cancelled():
                return
            error = future.exception()
            if error is None:
                self._soon(lambda: then(future.result()))
            elif isinstance(error, Exception):
                self._soon(lambda: failed(error))

        future.add_done_callback(report)

    def close(self) -> None:
        """What was to be written is written; what was only to be seen is left."""
        self._picturing.shutdown(wait=False, cancel_futures=True)
        self._reading.shutdown(wait=False, cancel_futures=True)
        self._writing.shutdown(wait=True)
