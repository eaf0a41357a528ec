"""Accounts of the staff: who they are, what a password must be, how long a session lasts. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, get_args

from enforcement_api.problems import N_, Problem
from enforcement_api.security import Principal

StaffRole = Literal["supervisor", "administrator"]
STAFF_ROLES: tuple[StaffRole, ...] = get_args(StaffRole)
Purpose = Literal["invitation", "reset"]

PASSWORD_PATH = "/console/password"
"""Where a link that sets a password leads, its secret behind it."""
SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 200
INVITATION_LASTS = timedelta(days=7)
RESET_LASTS = timedelta(hours=1)
LOCKED_FROM = 5
"""Wrong passwords in a row after which the next is not looked at for a while."""
LONGEST_LOCK = timedelta(hours=1)
FORGET_FAILURES = timedelta(days=1)

_COMMON = ("azerty", "motdepasse", "password", "patrouille", "qwerty", "stationnement")


class SignInFailed(Problem):
    """No such account, or not its password: which one is not told."""

    status = 403
    slug = "staff-sign-in-failed"
    title = N_("The e-mail address and the password do not go together")
    detail = N_("Type both again. If the password is forgotten, ask an administrator for a link.")


class SignInLocked(Problem):
    """Wrong passwords came too often."""

    status = 429
    slug = "staff-sign-in-locked"
    title = N_("Too many wrong passwords")
    detail = N_("Wait {retry_after} seconds, then sign in again.")


class UnusablePassword(Problem):
    """A password that is too easily guessed, or too long."""

    status = 422
    slug = "unusable-password"
    title = N_("Choose another password")


class PasswordTooShort(UnusablePassword):
    """Fewer characters than a password needs."""

    detail = N_("It needs {shortest} characters at least: several words are easy to remember.")


class PasswordTooLong(UnusablePassword):
    """More characters than anybody types."""

    detail = N_("It may have {longest} characters at most.")


class PasswordTooPlain(UnusablePassword):
    """A password that others try first."""

    detail = N_("It is one of those that are tried first: use words that nobody expects.")


class LinkExpired(Problem):
    """A link for a password that is used, old, or was never given."""

    status = 410
    slug = "link-expired"
    title = N_("This link does not open anything any more")
    detail = N_("It was used, or it is too old. Ask an administrator for a new one.")


class UnknownAccount(Problem):
    """No such account."""

    status = 404
    slug = "unknown-account"
    title = N_("There is no such account")
    detail = N_("Take it from the list of accounts; it may have been removed meanwhile.")


class AccountExists(Problem):
    """An address that has an account."""

    status = 409
    slug = "account-exists"
    title = N_("There is an account with this e-mail address")
    detail = N_("Change that one, or give it a new link: {email}.")


class AccountMovedOn(Problem):
    """Somebody else has changed the account since it was looked at."""

    status = 409
    slug = "account-moved-on"
    title = N_("Somebody else has changed this account meanwhile")
    detail = N_(
        "It is now: {name}, {email}, {role}; sites: {sites}. What you typed is still here: save it"
        " again to put it in the place of that."
    )


class LimitedAdministrator(Problem):
    """An administrator of some sites alone: whoever gives sites can give themselves all of them."""

    status = 422
    slug = "limited-administrator"
    title = N_("An administrator has all sites")
    detail = N_(
        "Choose all of them (the command does without --site), or make it a supervisor of some."
    )


class LastAdministrator(Problem):
    """Nobody would be left who can let others in."""

    status = 409
    slug = "last-administrator"
    title = N_("This is the last administrator")
    detail = N_("Make somebody else an administrator first, who chooses a password.")


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody of the staff. `sites`: None is all, as an administrator has them. `badge`: the
    patroller's, if they patrol too: nobody reviews their own. `sees_subscribers`: may read names,
    addresses and proofs.
    """

    id: str
    email: str
    name: str
    role: StaffRole
    sites: tuple[str, ...] | None
    badge: str | None
    sees_subscribers: bool
    language: str
    created_at: datetime
    has_password: bool
    revoked_at: datetime | None

    @property
    def principal(self) -> Principal:
        """The account as whoever asks: its badge is what it is known by besides."""
        return Principal(
            id=self.id,
            role=self.role,
            name=self.name,
            source=self.badge or f"staff:{self.id}",
            sites=None if self.sites is None else frozenset(self.sites),
        )

    @property
    def is_administrator(self) -> bool:
        """Whether they may change sites and accounts, all of them."""
        return self.role == "administrator"

    @property
    def may_see_subscribers(self) -> bool:
        """Whether they may read what is personal of subscribers (DOMAIN 6)."""
        return self.is_administrator or self.sees_subscribers


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that somebody signed in on. `id` can be shown; the cookie's secret cannot."""

    id: str
    account: str
    created_at: datetime
    seen_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    address: str
    browser: str

    def is_open(self, at: datetime, *, idle: timedelta) -> bool:
        """Whether it still lets in: not ended, not too old, not left alone for too long."""
        return self.ended_at is None and at < self.expires_at and at - self.seen_at < idle


def check_password(password: str, *, known: Sequence[str]) -> str:
    """The password itself. `known`: what others know of its owner, such as the address.

    Length counts and not kinds of characters. Raises UnusablePassword.
    """
    if len(password) < SHORTEST_PASSWORD:
        raise PasswordTooShort(shortest=SHORTEST_PASSWORD)
    if len(password) > LONGEST_PASSWORD:
        raise PasswordTooLong(longest=LONGEST_PASSWORD)
    left = password.casefold()
    for word in (*known, *_COMMON):
        if len(word) > 2:
            left = left.replace(word.casefold(), "")
    # What is left when the guessable is taken out must still be something.
    if len(set(left)) < 5 or left in ("123456789012"[: len(left)],):
        raise PasswordTooPlain
    return password


def lock_after(failures: int) -> timedelta:
    """How long nobody is let in after so many wrong passwords in a row: it doubles each time."""
    if failures < LOCKED_FROM:
        return timedelta()
    return min(timedelta(minutes=1 << min(failures - LOCKED_FROM, 16)), LONGEST_LOCK)
