"""Enrolment codes, the limit on guessing them, and what can be wrong with a device."""

from __future__ import annotations

import ipaddress
import math
import secrets
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from enforcement_api.problems import N_, Problem
from sync.plates import normalise

ALPHABET = "ACEFHJKNPRTXY3479"
"""None of these looks like another, nor like a character that is left out (DOMAIN 3.5)."""

CODE_LENGTH = 8
WINDOW = timedelta(minutes=1)
ADDRESSES_AT_LIMIT = 10
"""So many addresses may guess as fast as one may; then everyone waits."""


class EnrolmentRefused(Problem):
    """The code is wrong, old, used, or its device was revoked: which one is not told."""

    status = 403
    slug = "enrolment-refused"
    title = N_("This enrolment code is not good")
    detail = N_("Type it again. A code is good once and for {minutes} minutes: ask for a new one.")


class TooManyFailures(Problem):
    """Wrong codes came too fast."""

    status = 429
    slug = "too-many-failures"
    title = N_("Too many wrong enrolment codes")
    detail = N_("Wait {retry_after} seconds, then type the code again.")


class UnknownDevice(Problem):
    """No such device."""

    status = 404
    slug = "unknown-device"
    title = N_("There is no such device")
    detail = N_("Take the id {id} from the list of devices.")


@dataclass(frozen=True, slots=True)
class DeviceCursor:
    """How far a device has come at a site, and when it said so."""

    site: str
    cursor: str
    sequence: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Device:
    """A handheld, as far as the service knows it."""

    id: str
    name: str
    sites: tuple[str, ...]
    created_at: datetime
    enrolled_at: datetime | None
    revoked_at: datetime | None
    last_seen_at: datetime | None
    app_version: str | None
    unsent: int | None
    clock_offset_ms: int | None
    battery_percent: int | None
    cursors: tuple[DeviceCursor, ...]


def new_code() -> str:
    """A fresh enrolment code."""
    return "".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH))


def typed_code(text: str) -> str:
    """A code as a person typed it: lower case, dashes and spaces do not matter."""
    return normalise(text)


def who_guesses(address: str | None) -> str:
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


class FailureLimit:
    """So many failures in a minute from one address, and ten times as many from all together.

    Threads share it. What succeeds does not count.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._failures: deque[tuple[datetime, str]] = deque()

    @contextmanager
    def attempt(self, address: str, at: datetime) -> Iterator[None]:
        """One attempt, a failure if EnrolmentRefused leaves the block. Raises TooManyFailures.

        It counts from its beginning, so that many attempts at once are not free.
        """
        failure = (at, address)
        with self._lock:
            self._check(address, at)
            self._failures.append(failure)
        refused = False
        try:
            yield
        except EnrolmentRefused:
            refused = True
            raise
        finally:
            if not refused:
                with self._lock:
                    if failure in self._failures:
                        self._failures.remove(failure)

    def _check(self, address: str, at: datetime) -> None:
        # Threads come a little out of order; what lies far ahead is from before the clock was set.
        while self._failures and abs(at - self._failures[0][0]) >= WINDOW:
            self._failures.popleft()
        here = [failed for failed, where in self._failures if where == address]
        everywhere = [failed for failed, _ in self._failures]
        for failures, most in ((here, self._most), (everywhere, self._most * ADDRESSES_AT_LIMIT)):
            if len(failures) >= most:
                wait = failures[-most] + WINDOW - at
                raise TooManyFailures(retry_after=max(1, math.ceil(wait.total_seconds())))
