"""For how long nobody has touched the device: a clock that nobody sets, and that goes on while the
device sleeps, tells it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta


class Idle:
    """`boot` gives seconds since the device started."""

    def __init__(self, boot: Callable[[], float]) -> None:
        self._boot = boot
        self._since = boot()

    def touched(self) -> None:
        """Somebody is there."""
        self._since = self._boot()

    def is_over(self, limit: timedelta) -> bool:
        """Whether nobody was there for so long; a limit of 0 is none."""
        return bool(limit) and self._boot() - self._since >= limit.total_seconds()
