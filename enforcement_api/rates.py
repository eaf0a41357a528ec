"""How often somebody may do something: moving windows, kept in this process.

Several windows of one limit make waits that grow: 5 a minute, but 10 a quarter of an hour and 20
a day, lets five guesses wait a minute, ten a quarter of an hour, and twenty until tomorrow.
"""

from __future__ import annotations

import ipaddress
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import ClassVar

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.storage import MovingWindowSupport, Storage
from limits.strategies import MovingWindowRateLimiter
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from enforcement_api.problems import N_, Problem, problem_response

_SWEPT_FROM = 10_000


class TooManyRequests(Problem):
    """More requests in a moment than one client has use for."""

    status = 429
    slug = "too-many-requests"
    title = N_("Too many requests in too short a time")
    detail = N_("Wait {retry_after} seconds, then go on more slowly. Nothing of this one was done.")


class _Windows(Storage, MovingWindowSupport):
    """When things were done lately, by a clock that is given.

    The library's own storage reads the wall clock, which locks everybody out when it is set back,
    and starts a thread to forget.
    """

    STORAGE_SCHEME: ClassVar[list[str] | None] = None  # type: ignore[misc]  # nobody asks by name

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__()
        self._now = now
        self._entries: dict[str, tuple[int, deque[float]]] = {}
        self._sweep_at = _SWEPT_FROM

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        entries = self._window(key, expiry)
        if len(entries) + amount > limit:
            return False
        if key not in self._entries:
            self._sweep()
            self._entries[key] = (expiry, entries)
        entries.extend([self._now()] * amount)
        return True

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        entries = self._window(key, expiry)
        return (entries[0] if entries else self._now()), len(entries)

    def give_back(self, key: str) -> None:
        """Forget the last entry."""
        _, entries = self._entries.get(key, (0, deque[float]()))
        if entries:
            entries.pop()

    def _window(self, key: str, expiry: int) -> deque[float]:
        _, entries = self._entries.get(key, (expiry, deque[float]()))
        now = self._now()
        # What lies far ahead is from before the clock was set back.
        while entries and abs(now - entries[0]) >= expiry:
            entries.popleft()
        return entries

    def _sweep(self) -> None:
        """Forget who has not been here for long, now and then."""
        if len(self._entries) < self._sweep_at:
            return
        now = self._now()
        self._entries = {
            key: (expiry, entries)
            for key, (expiry, entries) in self._entries.items()
            if entries and abs(now - entries[-1]) < expiry
        }
        self._sweep_at = max(_SWEPT_FROM, 2 * len(self._entries))

    # What the library's other strategies would ask for.

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        raise NotImplementedError

    def get(self, key: str) -> int:
        raise NotImplementedError

    def get_expiry(self, key: str) -> float:
        raise NotImplementedError

    def check(self) -> bool:
        return True

    def reset(self) -> int | None:
        self._entries.clear()
        return None

    def clear(self, key: str) -> None:
        self._entries.pop(key, None)


class Limit:
    """So many in so many seconds, for each `who`; with several windows, in each of them.

    An amount of 0 is no limit. Threads share it.
    """

    def __init__(
        self, *windows: tuple[int, int], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._kept = _Windows(now)
        self._limiter = MovingWindowRateLimiter(self._kept)
        self._rates = [RateLimitItemPerSecond(most, seconds) for most, seconds in windows if most]

    def take(self, *who: str) -> int:
        """Count one, and return 0; or count none, and return the seconds to wait."""
        with self._lock:
            for i, rate in enumerate(self._rates):
                if not self._limiter.hit(rate, *who):
                    self._give_back(self._rates[:i], who)
                    return self._wait(who)
            return 0

    def wait(self, *who: str) -> int:
        """The seconds to wait until one more is allowed; 0: it is."""
        with self._lock:
            return self._wait(who)

    def give_back(self, *who: str) -> None:
        """What was taken last does not count."""
        with self._lock:
            self._give_back(self._rates, who)

    def _give_back(self, rates: Sequence[RateLimitItem], who: tuple[str, ...]) -> None:
        for rate in rates:
            self._kept.give_back(rate.key_for(*who))

    def _wait(self, who: tuple[str, ...]) -> int:
        wait = 0
        for rate in self._rates:
            if not self._limiter.test(rate, *who):
                left = self._limiter.get_window_stats(rate, *who).reset_time - self._now()
                wait = max(wait, math.ceil(left), 1)
        return wait


@lru_cache(maxsize=10_000)
def one_address(address: str | None) -> str:
    """What counts as one address: an IPv4 address, or the /64 network that one IPv6 host gets."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return address or ""
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed.packed[:8] + bytes(8), 64)))


class AddressLimit:
    """Answers 429 to an address that asks too often, before anything of the request is read.

    Whether the service lives is always answered.
    """

    def __init__(self, app: ASGIApp, *, limit: Limit) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it."""
        if scope["type"] == "http" and not scope["path"].startswith("/health/"):
            client = scope.get("client")
            wait = self._limit.take(one_address(client[0] if client else None))
            if wait:
                problem = TooManyRequests(retry_after=wait)
                await problem_response(problem, Request(scope))(scope, receive, send)
                return
        await self._app(scope, receive, send)
