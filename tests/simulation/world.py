"""What a seed owns: time, dice, randomness, and the event loop that the service runs on."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

BEGINNING = datetime(2026, 11, 23, 15, 15, tzinfo=UTC)


class World:
    """Seconds since the beginning, dice, and what was told so far."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.dice = random.Random(seed)
        self.seconds = 0.0
        self.told: list[str] = []
        self._trace = hashlib.blake2b(digest_size=16)

    def now(self) -> datetime:
        """The true time."""
        return BEGINNING + timedelta(seconds=self.seconds)

    def tell(self, *what: object) -> None:
        """Put a line into the history."""
        line = f"{self.seconds:12.3f}  " + " ".join(map(str, what))
        self.told.append(line)
        self._trace.update(line.encode())

    @property
    def trace(self) -> str:
        """The hash of the whole history: two runs of a seed have the same."""
        return self._trace.hexdigest()

    def chance(self, odds: float) -> bool:
        return self.dice.random() < odds


class Loop(asyncio.SelectorEventLoop):
    """An event loop on the simulation's time, which never waits."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def time(self) -> float:
        return self._world.seconds

    def next_timer(self) -> float | None:
        """When it wants to be run next."""
        timers = [timer.when() for timer in self._scheduled if not timer.cancelled()]
        return min(timers, default=None)

    def settle(self) -> None:
        """Run until all that is left waits for something."""
        while self._ready or ((timer := self.next_timer()) is not None and timer <= self.time()):
            self.call_soon(self.stop)
            self.run_forever()


async def _inline(work: Callable[..., Any], *arguments: Any, **_: Any) -> Any:
    return work(*arguments)


@contextlib.contextmanager
def one_thread_and_seeded(world: World) -> Iterator[None]:
    """Within the block, what the service would do on threads it does at once, and what the system
    would make at random the seed makes.
    """
    bytes_of = random.Random(f"bytes {world.seed}").randbytes
    random_state = random.getstate()
    random.seed(f"module {world.seed}")
    logging.disable(logging.CRITICAL)  # of faults that are meant
    try:
        with (
            mock.patch("anyio.to_thread.run_sync", _inline),
            mock.patch("os.urandom", bytes_of),
            mock.patch("random._urandom", bytes_of),
        ):
            yield
    finally:
        logging.disable(logging.NOTSET)
        random.setstate(random_state)
