"""Sign-ins: a patroller's badge and PIN, checked once per device (CONTRACT, "Devices").

The device then keeps a verifier of its own for a month. A PIN has a million values, so what
protects it is how seldom it may be guessed: per badge and per device, with waits that grow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Any

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends
from pydantic import AfterValidator, Field, Strict
from sqlalchemy import Connection

from enforcement_api.audit import store as audit
from enforcement_api.audit.core import Entry
from enforcement_api.audit.core import read as read_entry
from enforcement_api.database.engine import Record
from enforcement_api.problems import N_, Problem
from enforcement_api.rates import Limit
from enforcement_api.security import Guard, Principal, is_secret_of, nobodys_hash
from enforcement_api.settings import Settings
from enforcement_api.shapes import Shape, Word, shown_as
from enforcement_api.sites import core, store
from enforcement_api.sites.core import PIN_RESET, Patroller
from sync import codec

BY_BADGE = ((5, 60), (10, 900), (20, 86_400))
"""Failures with one badge, from whatever device, in so many seconds."""
BY_DEVICE = ((10, 60), (30, 3_600), (60, 86_400))
"""Failures from one device, with whatever badge: several patrollers may share it."""

Candidates = Mapping[str, Patroller | None]
"""Who has a badge, by site."""
Counted = tuple[Limit, tuple[str, ...]]
"""A limit, and as whose something counts in it."""

_AT_ONCE = 4
"""Each takes 64 MiB and a tenth of a second of one core."""


class SignInRefused(Problem):
    """No such badge, or not its PIN: which one is not told."""

    status = 403
    slug = "sign-in-refused"
    title = N_("The badge and the PIN do not go together")
    detail = N_("Type both again. If the PIN is forgotten, a supervisor gives a new one.")


class TooManySignIns(Problem):
    """Wrong PINs came too fast."""

    status = 429
    slug = "too-many-sign-ins"
    title = N_("Too many wrong PINs")
    detail = N_("Wait {retry_after} seconds, then sign in again.")


class SignInShape(Shape):
    """What a patroller types."""

    badge: Word = Field(examples=["4217"])
    pin: Annotated[str, Strict(), AfterValidator(core.check_pin)] = Field(
        examples=["806213"], json_schema_extra={"pattern": "^[0-9]{6}$", "writeOnly": True}
    )


class SignInOut(Shape):
    """Who signed in, and until when the device may let them in without network."""

    model_config = shown_as(
        {
            "patroller": "marie",
            "name": "Marie Tremblay",
            "badge": "4217",
            "site": "1085",
            "offline_until": "2026-12-23T15:15:00Z",
        }
    )

    patroller: str
    name: str
    badge: str
    site: str
    offline_until: str


SIGNED_IN = "signed-in"
_LATEST = 500
"""Entries about a patroller that are looked through for a sign-in on a device."""


def verifiers(
    tx: Connection, site: str, patroller: str, *, lasts: timedelta, at: datetime
) -> dict[str, datetime]:
    """The devices, by id, that may let a patroller in without network by a PIN that the service
    takes no more, and until when: those where they signed in with it.

    `lasts`: how long a device's verifier does. A device that was asked since, with network, has
    forgotten its own, which nobody here can know; one that was wiped too.
    """
    found: dict[str, datetime] = {}
    old: dict[str, datetime] = {}
    for entry in audit.entries(tx, f"patroller:{patroller}", site=site):
        if entry.action == SIGNED_IN:
            found[entry.by.partition(":")[2]] = entry.at + lasts
        elif entry.action in (PIN_RESET, "replaced", "deleted"):
            old |= found
            found = {}
    return {device: until for device, until in old.items() if until > at and device not in found}


def known_on(
    tx: Connection,
    site: str,
    device: str,
    patrollers: Iterable[str],
    *,
    lasts: timedelta,
    at: datetime,
) -> list[str]:
    """Of these patrollers, those whose PIN as it is now a device may hold a verifier of: of a lost
    one, who needs another PIN. `lasts`: how long a verifier does.
    """
    found = []
    for patroller in patrollers:
        entries = audit.latest(
            tx, chain=site, subject=f"patroller:{patroller}", before=None, limit=_LATEST
        )
        for entry in (read_entry(kept.text) for kept in entries):
            if entry.action in (PIN_RESET, "replaced", "deleted"):
                break
            if entry.action == SIGNED_IN and entry.by == f"device:{device}":
                if entry.at + lasts > at:
                    found.append(patroller)
                break
    return found


def router(
    *, record: Record, guard: Guard, settings: Settings, now: Callable[[], datetime]
) -> APIRouter:
    """The route by which patrollers sign in."""
    routes = APIRouter(prefix="/v1", tags=["patrollers"])
    itself = guard.allow("device")
    threads = CapacityLimiter(_AT_ONCE)

    def clock() -> float:
        return now().timestamp()

    by_badge, by_device = Limit(*BY_BADGE, now=clock), Limit(*BY_DEVICE, now=clock)

    def look(device: Principal, badge: str) -> Candidates:
        """Who has the badge at each of the device's sites."""
        sites = sorted(device.sites or ())
        return record.read(
            lambda tx: {site: store.patroller_of_badge(tx, site, badge) for site in sites}
        )

    def counted(device: Principal, badge: str, found: Candidates) -> list[Counted]:
        """The limits that an attempt counts in, and as whose: guesses at a PIN end with it, so
        that a new one lets a patroller in who forgot theirs.
        """
        badges = [
            (by_badge, (site, badge, "" if patroller is None else patroller.pin_hash))
            for site, patroller in found.items()
        ]
        return [(by_device, (device.id,)), *badges]

    def check(
        device: Principal, pin: str, found: Candidates, attempt: list[Counted], at: datetime
    ) -> SignInOut:
        """Look at the PIN, and remember what came of it. Raises SignInRefused."""
        candidates = [(site, one) for site, one in found.items() if one is not None]
        nobodys = nobodys_hash()
        # With no such badge as much is computed as with one, so that the time tells nothing.
        hashes = [patroller.pin_hash for _, patroller in candidates] or [nobodys]
        right = [is_secret_of(pin, hash) for hash in hashes]
        matching = [c for c, is_right in zip(candidates, right, strict=False) if is_right]

        def remember(tx: Connection, action: str, chain: str, subject: str, **facts: Any) -> None:
            audit.append(tx, Entry(at, device.actor, action, subject, facts), site=chain)

        if matching:
            site, patroller = matching[0]
            who = f"patroller:{patroller.id}"
            record.write(lambda tx: remember(tx, SIGNED_IN, site, who))
            until = at + timedelta(days=settings.sign_in_days)
            return SignInOut(
                patroller=patroller.id,
                name=patroller.name,
                badge=patroller.badge,
                site=site,
                offline_until=codec.instant(until),
            )
        # A badge that nobody has may be a PIN in the wrong field: it is not written down.
        known = [(site, f"patroller:{patroller.id}") for site, patroller in candidates]
        chain, who = known[0] if known else (min(found), device.actor)
        wait = max(limit.wait(*whose) for limit, whose in attempt)

        def refuse(tx: Connection) -> None:
            remember(tx, "sign-in-refused", chain, who)
            if wait:
                remember(tx, "sign-in-locked", chain, who, seconds=wait)

        record.write(refuse)
        raise SignInRefused

    @routes.post(
        "/sign-ins",
        operation_id="signIn",
        summary="Sign a patroller in on a device",
        response_model=SignInOut,
        responses={
            403: {"description": "The badge and the PIN do not go together"},
            429: {"description": "Too many wrong PINs; wait as long as Retry-After says"},
        },
    )
    async def sign_in(wanted: SignInShape, device: Principal = Depends(itself)) -> SignInOut:
        """Once on line; from then on, until `offline_until`, the device lets the patroller in by
        a verifier that it made itself. Guesses are limited by badge and by device.
        """
        found = await to_thread.run_sync(look, device, wanted.badge, limiter=threads)
        attempt = counted(device, wanted.badge, found)
        # Counted before the PIN is looked at, so that many guesses at once are not free.
        for i, (limit, whose) in enumerate(attempt):
            wait = limit.take(*whose)
            if wait:
                _give_back(attempt[:i])
                raise TooManySignIns(retry_after=wait)
        work = partial(check, device, wanted.pin, found, attempt, now().replace(microsecond=0))
        try:
            signed_in = await to_thread.run_sync(work, limiter=threads)
        except SignInRefused:
            raise
        except BaseException:
            _give_back(attempt)
            raise
        _give_back(attempt)
        return signed_in

    return routes


def _give_back(attempt: list[Counted]) -> None:
    for limit, whose in attempt:
        limit.give_back(*whose)
