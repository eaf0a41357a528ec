"""Who does what is due: letters to be sent, charges to be made, contacts to be told.

Each duty has a thread of its own, so that a mail server that does not answer keeps no charge
waiting. What is done is safe to be done by several processes at once; what fails is tried again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

_log = logging.getLogger(__name__)

LONGEST_END = 10.0
"""Seconds that a service which ends waits for its clerk."""

Duty = Callable[[], int]
"""Does what is due now; how much it was."""


class Clerk:
    """Does each duty again and again until told to stop, with so many seconds between."""

    def __init__(self, duties: Mapping[str, Duty], *, seconds: float) -> None:
        self._duties = dict(duties)
        self._seconds = seconds
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin."""
        for name in self._duties:
            thread = threading.Thread(target=self._work, args=(name,), name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """End with what is under way, unless that takes long: a mail server may be silent for
        minutes, and what is cut off is done again when its lease is over.
        """
        self._stopping.set()
        give_up = time.monotonic() + LONGEST_END
        for thread in self._threads:
            thread.join(max(0.0, give_up - time.monotonic()))

    def do_all(self) -> int:
        """Do every duty once, now; how much was done."""
        return sum(self._do(name) for name in self._duties)

    def _work(self, name: str) -> None:
        while not self._stopping.is_set():
            self._do(name)
            self._stopping.wait(self._seconds)

    def _do(self, name: str) -> int:
        try:
            return self._duties[name]()
        except Exception:
            _log.exception("%s failed; it is tried again", name)
            return 0
