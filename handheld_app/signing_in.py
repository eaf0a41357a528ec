"""Who may sign in on this handheld, and how often they may be wrong (DOMAIN 6): the rule, pure.

The service checks a badge and its PIN at the first sign-in. The device then makes a verifier of
its own, good until the instant that the service said, without network too. A PIN has a million
values only: what protects it is that ten failures in a row take the verifier away.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sync import codec
from sync.messages import SignIn

MOST_FAILURES = 10
"""Failures in a row after which a verifier is gone, and the service must be asked."""

SHIFT = timedelta(hours=12)
"""How long one sign-in is good for: a shift, not the life of a device left on a desk [choice]."""

PIN_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Cost:
    """What one try takes, by scrypt's own names; kept with each verifier, so that it may grow."""

    n: int = 2**15
    r: int = 8
    p: int = 3
    """32 MiB of memory, three times over: OWASP's password storage cheat sheet, for a device."""


@dataclass(frozen=True, slots=True)
class Verifier:
    """What a device keeps of one patroller's PIN. `failures`: in a row, the one under way too."""

    badge: str
    patroller: str
    name: str
    offline_until: datetime
    salt: bytes
    check: bytes
    cost: Cost
    failures: int = 0

    def __repr__(self) -> str:
        return f"Verifier(badge={self.badge!r}, failures={self.failures})"

    @property
    def left(self) -> int:
        """How many more tries there are."""
        return max(0, MOST_FAILURES - self.failures)

    def as_json(self) -> dict[str, Any]:
        """To be kept in a file."""
        return {
            "badge": self.badge,
            "patroller": self.patroller,
            "name": self.name,
            "offline_until": codec.instant(self.offline_until),
            "scrypt": {"n": self.cost.n, "r": self.cost.r, "p": self.cost.p},
            "salt": base64.b64encode(self.salt).decode(),
            "check": base64.b64encode(self.check).decode(),
            "failures": self.failures,
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Verifier:
        """What as_json gave. Raises ValueError, KeyError or TypeError of anything else."""
        cost = kept["scrypt"]
        return cls(
            badge=str(kept["badge"]),
            patroller=str(kept["patroller"]),
            name=str(kept["name"]),
            offline_until=codec.parse_instant(kept["offline_until"]),
            salt=base64.b64decode(kept["salt"], validate=True),
            check=base64.b64decode(kept["check"], validate=True),
            cost=Cost(int(cost["n"]), int(cost["r"]), int(cost["p"])),
            failures=int(kept["failures"]),
        )


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Whose work it is, until they sign out or this instant comes. `unconfirmed`: this device let
    them in, the service was not asked.
    """

    patroller: str
    name: str
    badge: str
    until: datetime
    unconfirmed: bool

    @property
    def called(self) -> str:
        """The name, else the badge."""
        return self.name or self.badge


def is_pin(text: str) -> bool:
    """Whether it is six digits."""
    return len(text) == PIN_DIGITS and text.isascii() and text.isdigit()


def new_verifier(badge: str, pin: str, said: SignIn, *, salt: bytes, cost: Cost) -> Verifier:
    """After the service said yes. Slow on purpose; `salt` is random and of this badge alone."""
    check = _derived(pin, salt, cost)
    return Verifier(badge, said.patroller, said.name, said.offline_until, salt, check, cost)


def matches(verifier: Verifier, pin: str) -> bool:
    """Whether it is the PIN. Slow on purpose."""
    return hmac.compare_digest(_derived(pin, verifier.salt, verifier.cost), verifier.check)


def is_good(verifier: Verifier, *, at: datetime) -> bool:
    """Whether the verifier may still be asked at that instant."""
    return verifier.failures < MOST_FAILURES and at < verifier.offline_until


def trying(verifier: Verifier) -> Verifier:
    """The verifier while a PIN is tried: a failure until it is known to be right, so that a
    program that ends between the try and its answer leaves no free one.
    """
    return replace(verifier, failures=verifier.failures + 1)


def tried(verifier: Verifier, *, right: bool) -> Verifier | None:
    """The verifier after the try that `trying` counted; None: that was one too many."""
    if right:
        return replace(verifier, failures=0)
    return verifier if verifier.failures < MOST_FAILURES else None


def signed_in(who: Verifier, *, at: datetime, unconfirmed: bool) -> SignedIn:
    """Who is at work from that instant on."""
    until = min(who.offline_until, at + SHIFT)
    return SignedIn(who.patroller, who.name, who.badge, until, unconfirmed)


def _derived(pin: str, salt: bytes, cost: Cost) -> bytes:
    memory = 128 * cost.r * (cost.n + cost.p + 2)
    return hashlib.scrypt(
        pin.encode(), salt=salt, n=cost.n, r=cost.r, p=cost.p, maxmem=memory + 2**20, dklen=32
    )
