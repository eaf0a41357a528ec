"""Enrolment codes, the limit on guessing them, and what can be wrong with a device."""

from __future__ import annotations

import base64
import hashlib
import secrets
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import quote, urlencode

from enforcement_api.problems import N_, Problem
from enforcement_api.rates import Limit
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


class DeviceIsRevoked(Problem):
    """A revoked device is not enrolled again."""

    status = 409
    slug = "device-is-revoked"
    title = N_("This device has been revoked")
    detail = N_("A revocation is for good: make a new device and enrol the handheld as that.")


class NoAuthority(Problem):
    """The service has no authority of its own."""

    status = 404
    slug = "no-authority"
    title = N_("This service has no certificate authority of its own")
    detail = N_("Its certificate is one that systems trust by themselves; leave out the pin.")


class UnusableAuthority(Problem):
    """The file of the authority cannot be read."""

    status = 503
    slug = "unusable-authority"
    title = N_("The certificate of the authority cannot be used")
    detail = N_(
        "{path} should be a certificate in PEM form (-----BEGIN CERTIFICATE-----): {reason}"
    )


@dataclass(frozen=True, slots=True)
class Authority:
    """The private authority that the service's certificate comes from."""

    pem: str
    pin: str
    """The SHA-256 of the certificate (DER), in base64url without padding."""

    @classmethod
    def read(cls, path: Path) -> Authority:
        """The first certificate of a PEM file. Raises UnusableAuthority."""
        try:
            text = path.read_text("ascii")
            begins = text.index(ssl.PEM_HEADER)
            ends = text.index(ssl.PEM_FOOTER, begins) + len(ssl.PEM_FOOTER)
            pem = text[begins:ends] + "\n"
            der = ssl.PEM_cert_to_DER_cert(pem)
            ssl.create_default_context(cadata=der)
        except (OSError, ValueError, ssl.SSLError) as error:
            raise UnusableAuthority(path=path, reason=error) from error
        pin = base64.urlsafe_b64encode(hashlib.sha256(der).digest()).decode().rstrip("=")
        return cls(pem, pin)


@dataclass(frozen=True, slots=True)
class DeviceCursor:
    """How far a device has come at a site, and when it said so."""

    site: str
    cursor: str
    sequence: int
    at: datetime
    plates_held: int | None
    """How many plates a copy at this cursor has; None: they were not counted."""


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
    mismatches: int
    mismatched_at: datetime | None
    numbers_left: int | None
    plates_held: int | None
    cursors: tuple[DeviceCursor, ...]

    @property
    def held_at_contact(self) -> int | None:
        """How many plates its copies held when it was last heard of; None: not counted yet."""
        counts = [at.plates_held for at in self.cursors if at.plates_held is not None]
        return sum(counts) if len(counts) == len(self.cursors) else None

    def is_stale(self, at: datetime, stale_after: Mapping[str, timedelta]) -> bool:
        """Whether its copy of a site is older than that site allows (DOMAIN 2.7), or never came.

        One that is not enrolled, or was revoked, should hold nothing: it is not waited for.
        """
        if self.enrolled_at is None or self.revoked_at is not None:
            return False
        level = {cursor.site: cursor.at for cursor in self.cursors}
        return any(
            site not in level or at - level[site] > stale_after.get(site, timedelta.max)
            for site in self.sites
        )


def new_code() -> str:
    """A fresh enrolment code."""
    return "".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH))


def typed_code(text: str) -> str:
    """A code as a person typed it: lower case, dashes and spaces do not matter."""
    return normalise(text)


def enrolment_link(server: str, code: str, *, pin: str | None) -> str:
    """What a handheld reads from a QR code: where to enrol, with which code.

    `pin`: the private authority that the server's certificate comes from, and that the handheld
    is to trust for this service alone.
    """
    facts = {"server": server.rstrip("/"), "code": code} | ({} if pin is None else {"ca": pin})
    return f"patrouille://enrol?{urlencode(facts, quote_via=quote, safe='/:')}"


class FailureLimit:
    """So many failures in a minute from one address, and ten times as many from all together.

    Threads share it. What succeeds does not count.
    """

    def __init__(self, most: int, *, now: Callable[[], datetime]) -> None:
        seconds = int(WINDOW.total_seconds())
        clock = lambda: now().timestamp()  # noqa: E731
        self._here = Limit((most, seconds), now=clock)
        self._everywhere = Limit((most * ADDRESSES_AT_LIMIT, seconds), now=clock)

    @contextmanager
    def attempt(self, address: str) -> Iterator[None]:
        """One attempt, a failure if EnrolmentRefused leaves the block. Raises TooManyFailures.

        It counts from its beginning, so that many attempts at once are not free.
        """
        wait = self._here.take(address)
        if not wait:
            wait = self._everywhere.take()
            if wait:
                self._here.give_back(address)
        if wait:
            raise TooManyFailures(retry_after=wait)
        refused = False
        try:
            yield
        except EnrolmentRefused:
            refused = True
            raise
        finally:
            if not refused:
                self._here.give_back(address)
                self._everywhere.give_back()
