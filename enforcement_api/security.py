"""Who is asking, and may they? Keys and device tokens, the roles they give, and their secrets."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from anyio import CapacityLimiter, to_thread
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error
from starlette.requests import Request

from enforcement_api.problems import N_, Problem
from enforcement_api.rates import Limit, TooManyRequests

Role = Literal["admin", "feeder", "reader", "device", "supervisor", "administrator"]

_ACTORS: dict[Role, str] = {"device": "device", "supervisor": "staff", "administrator": "staff"}
_hasher = PasswordHasher()
# Each takes 64 MiB.
_hashing = threading.BoundedSemaphore(4)


class Unauthenticated(Problem):
    """No key, or one that nobody was given."""

    status = 401
    slug = "unauthenticated"
    title = N_("A key is needed")
    detail = N_("Send a valid key: `Authorization: Bearer <key>`.")


class DeviceRevoked(Problem):
    """The device's token was withdrawn."""

    status = 401
    slug = "device-revoked"
    title = N_("This device has been revoked")
    detail = N_("Bring it to your supervisor. What it recorded is still taken.")


class Forbidden(Problem):
    """A good key of the wrong role."""

    status = 403
    slug = "forbidden"
    title = N_("This key may not do that")
    detail = N_("Use a key with one of the roles: {roles}.")


class ForbiddenSite(Problem):
    """A good key of another site."""

    status = 403
    slug = "forbidden-site"
    title = N_("This key is not for this site")
    detail = N_("Use a key of the site {site}.")


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever asks: a role, and the sites where it holds (None: all).

    A key has one, and a device's token; a person of the staff has one for as long as they are
    signed in.
    """

    id: str
    role: Role
    name: str
    source: str
    sites: frozenset[str] | None
    revoked: bool = False

    @property
    def actor(self) -> str:
        """How the log names who did something."""
        return f"{_ACTORS.get(self.role, 'key')}:{self.id}"

    def may_touch(self, site: str) -> bool:
        """Whether the key is good at the site."""
        return self.sites is None or site in self.sites

    def check_site(self, site: str) -> None:
        """Raises ForbiddenSite."""
        if not self.may_touch(site):
            raise ForbiddenSite(site=site)


# Secrets that people choose


def slow_hash(secret: str) -> str:
    """What is stored of a password or a PIN (Argon2id). It takes a tenth of a second: never inside
    a transaction.
    """
    with _hashing:
        return _hasher.hash(secret)


def is_secret_of(secret: str, hash: str) -> bool:
    """Whether this is the secret of that hash, in a time that does not tell. As slow as
    `slow_hash`.
    """
    try:
        with _hashing:
            return _hasher.verify(hash, secret)
    except Argon2Error:
        return False


def is_outdated(hash: str) -> bool:
    """Whether a hash was made with less effort than one is now."""
    return _hasher.check_needs_rehash(hash)


@cache
def nobodys_hash() -> str:
    """A hash that no secret has: to take as long over somebody unknown as over somebody known."""
    return slow_hash(secrets.token_hex())


# Keys


def new_secret(role: str) -> str:
    """A fresh key; its role is readable in it, so that a leaked one tells what it opens."""
    return f"patrouille_{role}_{secrets.token_urlsafe(32)}"


def secret_hash(secret: str) -> str:
    """What is stored of a key. Keys are 256 random bits, so a plain hash is enough."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """The HMAC-SHA256 of `<timestamp>.<body>`, in hexadecimal: who has the secret sent this then.

    `timestamp`: seconds since 1970, as they are sent.
    """
    message = timestamp.encode("utf-8", "surrogateescape") + b"." + body
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


class KeyRing:
    """Believes a key for a moment after the record confirmed it, so that a check costs no query.

    `find` asks the record for the holder of a key's hash. A revocation by another process takes
    `seconds` at most to be known; one of this process is known at once, even to who was just
    asking the record.
    """

    def __init__(
        self,
        find: Callable[[str], Principal | None],
        *,
        seconds: float,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._find = find
        self._seconds = seconds
        self._now = now
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, Principal]] = {}
        self._forgotten = 0

    def known(self, hash: str) -> Principal | None:
        """The holder, if it was confirmed a moment ago."""
        found = self._known.get(hash)
        if found is None or found[0] < self._now():
            return None
        return found[1]

    def holder(self, hash: str) -> Principal | None:
        """The holder, as the record has it now."""
        forgotten = self._forgotten
        principal = self._find(hash)
        with self._lock:
            if len(self._known) > 10_000:
                self._known.clear()
            if principal is None:
                self._known.pop(hash, None)
            elif forgotten == self._forgotten:
                self._known[hash] = (self._now() + self._seconds, principal)
        return principal

    def forget(self, holder: str) -> None:
        """Believe nothing of this holder any more: a key of theirs was revoked in this process."""
        with self._lock:
            self._forgotten += 1
            self._known = {
                hash: entry for hash, entry in self._known.items() if entry[1].id != holder
            }


Dependency = Callable[[Request], Coroutine[Any, Any, Principal]]


async def ask_the_doors(request: Request) -> None:
    """Ask the doors of the route that a request was for. Raises what they raise.

    FastAPI reads a JSON body before it asks any dependency: a body that cannot be read would hide
    that its sender is not let in.
    """
    found = getattr(request.scope.get("route"), "dependant", None)  # Starlette's routes have none
    waiting = [] if found is None else [found]
    while waiting:
        dependant = waiting.pop()
        if isinstance(dependant.call, Door):
            await dependant.call(request)
        waiting += dependant.dependencies


class Guard:
    """Makes the dependencies that let a role in."""

    def __init__(
        self,
        ring: KeyRing,
        *,
        requests: Limit | None = None,
        epoch: Callable[[], str] = lambda: "",
    ) -> None:
        """`requests`: how often one key may ask. `epoch`: the record's, which a revoked device is
        told, since it asks for nothing else that would: what it sent to another may be lacking.
        """
        self.ring = ring
        self._epoch = epoch
        self._requests = requests or Limit()
        # Threads of their own: a check must not wait behind uploads for its key to be known.
        self._threads = CapacityLimiter(4)

    async def principal(self, request: Request) -> Principal:
        """Whoever asks. Raises Unauthenticated, TooManyRequests."""
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        secret = secret.strip()
        if scheme.lower() != "bearer" or not secret:
            raise Unauthenticated
        hash = secret_hash(secret)
        principal = self.ring.known(hash) or await to_thread.run_sync(
            self.ring.holder, hash, limiter=self._threads
        )
        if principal is None:
            raise Unauthenticated
        if wait := self._requests.take(principal.actor):
            raise TooManyRequests(retry_after=wait)
        return principal

    async def revocation(self) -> DeviceRevoked:
        """What a revoked device is told."""
        epoch = await to_thread.run_sync(self._epoch, limiter=self._threads)
        return DeviceRevoked(extra={"epoch": epoch})

    def allow(self, *roles: Role, revoked: bool = False) -> Dependency:
        """A dependency that lets these roles in (no role named: any key).

        `revoked`: a revoked device may still hand over what it holds.
        A path or query parameter called `site` must be one of the key's.
        """
        return Door(self, roles, revoked)


@dataclass(frozen=True)
class Door:
    """Lets some roles in: a dependency of a route."""

    guard: Guard
    roles: tuple[Role, ...]
    revoked: bool

    async def __call__(self, request: Request) -> Principal:
        """Whoever asks, if they may. Raises Unauthenticated, DeviceRevoked, Forbidden,
        ForbiddenSite.
        """
        found = await self.guard.principal(request)
        if found.revoked and not self.revoked:
            raise await self.guard.revocation()
        if self.roles and found.role not in self.roles:
            raise Forbidden(roles=", ".join(self.roles))
        site = request.path_params.get("site")
        if site is not None:
            found.check_site(site)
        return found
