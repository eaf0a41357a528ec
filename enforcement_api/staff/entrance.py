"""The entrance: passwords are checked, sessions opened and followed. Argon2 takes a tenth of a
second, so it runs outside of every transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from enforcement_api.database.engine import Record
from enforcement_api.rates import Limit, TooManyRequests, one_address
from enforcement_api.security import is_outdated, is_secret_of, nobodys_hash, slow_hash
from enforcement_api.staff import store
from enforcement_api.staff.core import (
    Account,
    Session,
    SignInFailed,
    SignInLocked,
    check_password,
)

BY_ADDRESS = ((20, 60), (200, 3_600))
"""Attempts from one address, with whatever account, in so many seconds: a hospital shares one."""
_TOUCHED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Entered:
    """Somebody who was let in, and the secret that the cookie of their browser carries."""

    account: Account
    session: Session
    secret: str


class Entrance:
    """Lets the staff in. `lasts`, `idle`: how long a session lasts at most, and unused."""

    def __init__(
        self,
        record: Record,
        *,
        now: Callable[[], datetime],
        lasts: timedelta,
        idle: timedelta,
    ) -> None:
        self._record = record
        self._now = now
        self._lasts = lasts
        self.idle = idle
        self._by_address = Limit(*BY_ADDRESS, now=lambda: now().timestamp())

    def _at(self) -> datetime:
        return self._now().replace(microsecond=0)

    def sign_in(self, email: str, password: str, *, address: str, browser: str) -> Entered:
        """Let somebody in by address and password.

        Raises SignInFailed, SignInLocked, TooManyRequests.
        """
        if wait := self._by_address.take(one_address(address)):
            raise TooManyRequests(retry_after=wait)
        at = self._at()
        self._attempt(email, at)
        found = self._record.read(lambda tx: store.account_of(tx, email))
        account, hash = found or (None, None)
        # As much is computed for an address without an account, so that the time tells nothing.
        is_right = is_secret_of(password, hash or nobodys_hash())
        if account is None or hash is None or not is_right:
            raise SignInFailed
        renewed = slow_hash(password) if is_outdated(hash) else None

        def enter(tx: Connection) -> tuple[Session, str]:
            store.forgive(tx, email)
            if renewed is not None:
                store.rehash(tx, account, renewed)
            return store.open_session(
                tx, account, at=at, lasts=self._lasts, address=address, browser=browser
            )

        session, secret = self._record.write(enter)
        return Entered(account, session, secret)

    def follow(self, secret: str, *, is_used: bool = True) -> tuple[Account, Session] | None:
        """Who is signed in by a cookie, as they are now; None: nobody, or not any more.

        `is_used`: whether somebody did something; what a page asks by itself keeps no session open.
        """
        at = self._at()
        found = self._record.read(lambda tx: store.session(tx, secret))
        if found is None:
            return None
        session, account = found
        if account.revoked_at is not None or not session.is_open(at, idle=self.idle):
            return None
        if is_used and at - session.seen_at >= _TOUCHED_EVERY:
            self._record.write(lambda tx: store.touch(tx, session.id, at=at))
        return account, session

    def owner(self, secret: str) -> Account | None:
        """Whose session a cookie was, even one that has ended."""
        found = self._record.read(lambda tx: store.session(tx, secret))
        return None if found is None else found[1]

    def sign_out(self, account: Account, session: Session) -> None:
        """End a session, as the one who has it asks."""
        by = account.principal.actor
        at = self._at()
        self._record.write(lambda tx: store.end(tx, account.id, session.id, by=by, at=at))

    def set_password(self, link: str, password: str) -> Account:
        """Set a password by a link. Raises LinkExpired, UnusablePassword."""
        at = self._at()
        account = self._record.read(lambda tx: store.link(tx, link, at=at))
        self._check(account, password)
        hash = slow_hash(password)

        def work(tx: Connection) -> Account:
            owner = store.link(tx, link, at=at)  # whoever used it first has used it
            store.set_password(tx, owner, hash, at=at, by=owner.principal.actor)
            return owner

        return self._record.write(work)

    def change_password(
        self, account: Account, session: Session, *, old: str, password: str
    ) -> None:
        """Change one's own password; every other session of theirs ends.

        Raises SignInFailed, SignInLocked, UnusablePassword.
        """
        at = self._at()
        self._attempt(account.email, at)
        found = self._record.read(lambda tx: store.account_of(tx, account.email))
        if found is None or not is_secret_of(old, found[1] or nobodys_hash()):
            raise SignInFailed
        self._record.write(lambda tx: store.forgive(tx, account.email))
        self._check(account, password)
        hash, by = slow_hash(password), account.principal.actor
        self._record.write(
            lambda tx: store.set_password(tx, account, hash, at=at, by=by, keep=session.id)
        )

    def _attempt(self, email: str, at: datetime) -> None:
        """Before a password is looked at, so that many guesses at once are not free.

        Raises SignInLocked.
        """
        locked = self._record.write(lambda tx: store.attempt(self._record, tx, email, at=at))
        if locked:
            raise SignInLocked(retry_after=locked)

    def _check(self, account: Account, password: str) -> None:
        known = (account.email, *account.email.split("@"), *account.name.split())
        check_password(password, known=known)
