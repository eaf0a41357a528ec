"""Who does what is due: letters to be sent, charges to be made, contacts to be told.

One thread of the service. What it does is safe to be done by several processes at once, and what
fails is tried again: a letter that cannot leave must not keep a charge waiting.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

_log = logging.getLogger(__name__)

Duty = Callable[[], int]
"""Does what is due now; how much it was."""


class Clerk:
    """Does each duty again and again, at its own interval in seconds, until told to stop."""

    def __init__(self, duties: Mapping[str, tuple[Duty, float]]) -> None:
        self._duties = dict(duties)
        self._due = dict.fromkeys(self._duties, 0.0)
        self._woken = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._work, name="clerk", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Something may be due at once: a letter was written, say."""
        self._due = dict.fromkeys(self._duties, 0.0)
        self._woken.set()

    def stop(self) -> None:
        """End with what is under way."""
        self._stopping = True
        self._woken.set()
        if self._thread is not None:
            self._thread.join()

    def do_all(self) -> int:
        """Do every duty once, now; how much was done."""
        return sum(self._do(name) for name in self._duties)

    def _work(self) -> None:
        while not self._stopping:
            self._woken.clear()
            began = time.monotonic()
            for name, (_, interval) in self._duties.items():
                if self._due[name] <= began and not self._stopping:
                    self._due[name] = began + interval
                    self._do(name)
            wait = min(self._due.values(), default=began + 1) - time.monotonic()
            if not self._stopping and wait > 0:
                self._woken.wait(wait)

    def _do(self, name: str) -> int:
        try:
            return self._duties[name][0]()
        except Exception:
            _log.exception("%s failed; it is tried again", name)
            return 0
