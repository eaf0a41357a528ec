"""The staff's SQL: accounts, the links that give a password, sessions, and wrong passwords."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, null, select, update

from enforcement_api.audit import store as audit
from enforcement_api.audit.core import Entry
from enforcement_api.database.engine import Record
from enforcement_api.database.tables import account_links, accounts, sessions, sign_in_failures
from enforcement_api.problems import N_, Invalid, Problem
from enforcement_api.security import secret_hash
from enforcement_api.settings import mail_address
from enforcement_api.shapes import line
from enforcement_api.staff.core import (
    FORGET_FAILURES,
    INVITATION_LASTS,
    RESET_LASTS,
    STAFF_ROLES,
    Account,
    AccountExists,
    LastAdministrator,
    LimitedAdministrator,
    LinkExpired,
    Purpose,
    Session,
    UnknownAccount,
    lock_after,
)
from enforcement_api.staff.keys import known_sites

_a, _s, _l, _f = accounts.c, sessions.c, account_links.c, sign_in_failures.c
_COMMAND = "command"

# Accounts


def address(text: str) -> str:
    """An e-mail address in its one form. Raises ValueError."""
    return mail_address(text.strip()).addr_spec.casefold()


def create(
    tx: Connection,
    *,
    email: str,
    role: str,
    name: str | None = None,
    sites: Iterable[str] | None = None,
    badge: str | None = None,
    sees_subscribers: bool = False,
    language: str = "fr",
    by: str = _COMMAND,
    at: datetime,
) -> tuple[Account, str]:
    """Make an account without a password; it, and the secret of the link that gives it one.

    `sites`: None is all. Raises Invalid, AccountExists, LimitedAdministrator, UnknownSites,
    NoSites.
    """
    made = Account(
        id=uuid.uuid4().hex[:12],
        email=_email(email),
        name=_named(name or email.partition("@")[0]),
        role=_role(role),  # type: ignore[arg-type]  # it is one of them
        sites=_sites(tx, role, sites),
        badge=badge or None,
        sees_subscribers=sees_subscribers,
        language=language,
        created_at=at,
        has_password=False,
        revoked_at=None,
    )
    if tx.execute(select(_a.id).where(_a.email == made.email)).first():
        raise AccountExists(email=made.email)
    tx.execute(accounts.insert().values(**_row(made)))
    _remember(tx, made, "created", _shown(made), by=by, at=at)
    return made, give_link(tx, made, "invitation", by=by, at=at)


def change(tx: Connection, before: Account, after: Account, *, by: str, at: datetime) -> Account:
    """Change who somebody is and what they may. Their sessions go on, with what they may now.

    Raises Invalid, AccountExists, LimitedAdministrator, UnknownSites, NoSites, LastAdministrator.
    """
    after = replace(
        after,
        email=_email(after.email),
        name=_named(after.name),
        role=_role(after.role),  # type: ignore[arg-type]
        sites=_sites(tx, after.role, after.sites),
        badge=after.badge or None,
    )
    others = select(_a.id).where(_a.email == after.email, _a.id != after.id)
    if tx.execute(others).first():
        raise AccountExists(email=after.email)
    if before.is_administrator and not after.is_administrator:
        _check_not_last(tx, before)
    was, is_now = _shown(before), _shown(after)
    changed = {name: value for name, value in is_now.items() if was[name] != value}
    if changed:
        # Nothing else: whoever is revoked or signs in meanwhile is revoked, or has signed in.
        tx.execute(update(accounts).where(_a.id == after.id).values(**is_now))
        _remember(tx, after, "changed", changed, by=by, at=at)
    return after


def revoke(tx: Connection, account: Account, *, by: str, at: datetime) -> None:
    """Let somebody in no more: every session ends. Raises LastAdministrator."""
    if account.revoked_at is not None:
        return
    if account.is_administrator:
        _check_not_last(tx, account)
    tx.execute(update(accounts).where(_a.id == account.id).values(revoked_at=at))
    tx.execute(delete(account_links).where(_l.account == account.id))
    end_all(tx, account.id, by=by, at=at)
    _remember(tx, account, "revoked", {}, by=by, at=at)


def reinstate(tx: Connection, account: Account, *, by: str, at: datetime) -> str:
    """Let somebody in again, with a new password; the secret of the link that gives it. Whoever is
    let in has no need of it, and keeps their password until the link is used.
    """
    cleared = {"revoked_at": None, "password_hash": None}
    here = (_a.id == account.id, _a.revoked_at.is_not(None))
    if not tx.execute(update(accounts).where(*here).values(**cleared)).rowcount:
        return give_link(tx, account, "reset", by=by, at=at)
    _remember(tx, account, "reinstated", {}, by=by, at=at)
    return give_link(tx, account, "invitation", by=by, at=at)


def _check_not_last(tx: Connection, account: Account) -> None:
    """That somebody else is left who can let others in: one who never chose a password may never
    do so. Two who revoke each other at once do it one after the other.
    """
    let_in = select(_a.id, _a.password_hash).where(
        _a.role == "administrator", _a.sites.is_(null()), _a.revoked_at.is_(None)
    )
    found = tx.execute(let_in.order_by(_a.id).with_for_update()).all()
    here = next((one for one in found if one.id == account.id), None)
    has_password = here is not None and here.password_hash is not None
    others = [one for one in found if one.id != account.id]
    if not any(one.password_hash is not None or not has_password for one in others):
        raise LastAdministrator


def account(tx: Connection, id: str, *, to_change: bool = False) -> Account:
    """`to_change`: nobody else changes it until the transaction ends. Raises UnknownAccount."""
    query = select(accounts).where(_a.id == id)
    row = tx.execute(query.with_for_update() if to_change else query).first()
    if row is None:
        raise UnknownAccount
    return _account(row)


def account_of(tx: Connection, email: str) -> tuple[Account, str | None] | None:
    """Who has this address and may sign in, with the hash of the password."""
    try:
        here = (_a.email == address(email), _a.revoked_at.is_(None))
    except ValueError:
        return None
    row = tx.execute(select(accounts).where(*here)).first()
    return None if row is None else (_account(row), row.password_hash)


def all_accounts(tx: Connection) -> list[Account]:
    """Everybody, by address; those who are not let in any more too."""
    return [_account(row) for row in tx.execute(select(accounts).order_by(_a.email))]


def names(tx: Connection, ids: Iterable[str]) -> dict[str, str]:
    """What accounts are called, by id."""
    found = tx.execute(select(_a.id, _a.name).where(_a.id.in_(sorted(set(ids)))))
    return {row.id: row.name for row in found}


def set_language(tx: Connection, id: str, language: str) -> None:
    """The language that somebody reads in."""
    tx.execute(update(accounts).where(_a.id == id).values(language=language))


def _account(row: Any) -> Account:
    """The account of a row. Administrators of some sites alone could be made once: such a one is a
    supervisor of those sites, who reads subscribers as before, until an administrator decides.
    """
    was_limited = row.role == "administrator" and row.sites is not None
    return Account(
        id=row.id,
        email=row.email,
        name=row.name,
        role="supervisor" if was_limited else row.role,
        sites=None if row.sites is None else tuple(row.sites),
        badge=row.badge,
        sees_subscribers=was_limited or row.sees_subscribers,
        language=row.language,
        created_at=row.created_at,
        has_password=row.password_hash is not None,
        revoked_at=row.revoked_at,
    )


def _row(account: Account) -> dict[str, Any]:
    row = asdict(account)
    del row["has_password"]
    return row | {"sites": None if account.sites is None else list(account.sites)}


def _shown(account: Account) -> dict[str, Any]:
    """What the log keeps of an account."""
    shown = ("email", "name", "role", "sites", "badge", "sees_subscribers")
    return {name: value for name, value in _row(account).items() if name in shown}


def _email(text: str) -> str:
    try:
        return address(text)
    except ValueError as error:
        told = N_("must be an e-mail address such as marie@example.org")
        raise Invalid(errors=[Problem.Error("/email", told)]) from error


def _named(text: str) -> str:
    try:
        return line(text.strip())
    except ValueError as error:
        raise Invalid(errors=[Problem.Error("/name", str(error))]) from error


def _role(text: str) -> str:
    if text not in STAFF_ROLES:
        told = N_("must be one of: {allowed}")
        raise Invalid(errors=[Problem.Error("/role", told, allowed=", ".join(STAFF_ROLES))])
    return text


def _sites(tx: Connection, role: str, wanted: Iterable[str] | None) -> tuple[str, ...] | None:
    if wanted is None:
        return None
    if role == "administrator":
        raise LimitedAdministrator
    return tuple(known_sites(tx, wanted))


def _remember(
    tx: Connection, account: Account, action: str, facts: dict[str, Any], *, by: str, at: datetime
) -> None:
    audit.append(tx, Entry(at, by, action, f"staff:{account.id}", facts))


# Passwords


def give_link(tx: Connection, account: Account, purpose: Purpose, *, by: str, at: datetime) -> str:
    """The secret of a link that sets a password, once; links given before open nothing more."""
    secret = secrets.token_urlsafe(32)
    lasts = INVITATION_LASTS if purpose == "invitation" else RESET_LASTS
    tx.execute(delete(account_links).where(_l.account == account.id))
    tx.execute(
        account_links.insert().values(
            hash=secret_hash(secret),
            account=account.id,
            purpose=purpose,
            created_at=at,
            expires_at=at + lasts,
        )
    )
    _remember(tx, account, "password-link-given", {"purpose": purpose}, by=by, at=at)
    return secret


def link(tx: Connection, secret: str, *, at: datetime) -> Account:
    """Whose password a link sets. Raises LinkExpired."""
    here = select(_l.account).where(_l.hash == secret_hash(secret), _l.expires_at > at)
    found = tx.execute(here).scalar()
    if found is None:
        raise LinkExpired
    owner = account(tx, found)
    if owner.revoked_at is not None:
        raise LinkExpired
    return owner


def set_password(
    tx: Connection,
    account: Account,
    password_hash: str,
    *,
    at: datetime,
    by: str,
    keep: str | None = None,
) -> None:
    """A new password: every session but `keep` ends, and no link opens anything any more."""
    values = {"password_hash": password_hash}
    tx.execute(update(accounts).where(_a.id == account.id).values(**values))
    tx.execute(delete(account_links).where(_l.account == account.id))
    forgive(tx, account.email)
    end_all(tx, account.id, by=by, at=at, keep=keep)
    _remember(tx, account, "password-set", {}, by=by, at=at)


def rehash(tx: Connection, account: Account, password_hash: str) -> None:
    """The same password, hashed with more effort."""
    values = {"password_hash": password_hash}
    tx.execute(update(accounts).where(_a.id == account.id).values(**values))


# Wrong passwords


def attempt(record: Record, tx: Connection, email: str, *, at: datetime) -> int:
    """Count a password as a wrong one, before anybody has looked at it: many at once are counted
    one by one. The seconds for which this address is not let in, whether it has an account or not;
    0: the password may be looked at.
    """
    tx.execute(delete(sign_in_failures).where(_f.last_at < at - FORGET_FAILURES))
    who = _who(email)
    none = {"failures": 0, "last_at": at, "locked_until": at}
    first = record.insert(sign_in_failures).values(hash=who, **none)
    tx.execute(first.on_conflict_do_nothing())
    here = _f.hash == who
    known = tx.execute(select(sign_in_failures).where(here).with_for_update()).one()
    if known.locked_until > at:
        return int((known.locked_until - at).total_seconds()) + 1
    failures = known.failures + 1
    facts = {"failures": failures, "last_at": at, "locked_until": at + lock_after(failures)}
    tx.execute(update(sign_in_failures).where(here).values(**facts))
    return 0


def forgive(tx: Connection, email: str) -> None:
    """Forget the wrong passwords of an address: the right one came."""
    tx.execute(delete(sign_in_failures).where(_f.hash == _who(email)))


def _who(email: str) -> str:
    """An address that somebody typed, which may be anything, even a password: hashed."""
    try:
        return secret_hash(address(email))
    except ValueError:
        return secret_hash(email.strip().casefold())


# Sessions


def open_session(
    tx: Connection, account: Account, *, at: datetime, lasts: timedelta, address: str, browser: str
) -> tuple[Session, str]:
    """Let somebody in; the session, and the secret that its cookie carries."""
    secret = secrets.token_urlsafe(32)
    made = Session(
        id=uuid.uuid4().hex[:12],
        account=account.id,
        created_at=at,
        seen_at=at,
        expires_at=at + lasts,
        ended_at=None,
        address=address,
        browser=browser[:200],
    )
    tx.execute(sessions.insert().values(hash=secret_hash(secret), **asdict(made)))
    _remember(tx, account, "signed-in", {"session": made.id}, by=f"staff:{account.id}", at=at)
    return made, secret


def session(tx: Connection, secret: str) -> tuple[Session, Account] | None:
    """Whose cookie this is: the session, open or not, and the account as it is now."""
    query = (
        select(
            _s.id.label("session_id"),
            *(c for c in _s if c.name not in ("id", "hash", "created_at")),
            _s.created_at.label("session_created_at"),
            *(c for c in _a),
        )
        .join_from(sessions, accounts, _s.account == _a.id)
        .where(_s.hash == secret_hash(secret))
    )
    row = tx.execute(query).first()
    if row is None:
        return None
    found = Session(
        id=row.session_id,
        account=row.account,
        created_at=row.session_created_at,
        seen_at=row.seen_at,
        expires_at=row.expires_at,
        ended_at=row.ended_at,
        address=row.address,
        browser=row.browser,
    )
    return found, _account(row)


def touch(tx: Connection, id: str, *, at: datetime) -> None:
    """A session was used."""
    tx.execute(update(sessions).where(_s.id == id, _s.seen_at < at).values(seen_at=at))


def end(tx: Connection, account: str, id: str, *, by: str, at: datetime) -> bool:
    """End a session of an account; whether it was open."""
    here = (_s.id == id, _s.account == account, _s.ended_at.is_(None))
    ended = tx.execute(update(sessions).where(*here).values(ended_at=at)).rowcount
    if ended:
        audit.append(tx, Entry(at, by, "session-ended", f"staff:{account}", {"session": id}))
    return bool(ended)


def end_all(
    tx: Connection, account: str, *, by: str, at: datetime, keep: str | None = None
) -> Sequence[str]:
    """End every session of an account, but one or none; which."""
    here = select(_s.id).where(_s.account == account, _s.ended_at.is_(None))
    ids = [id for id in tx.execute(here).scalars() if id != keep]
    for id in ids:
        end(tx, account, id, by=by, at=at)
    return ids


def open_sessions(tx: Connection, account: str, *, at: datetime, idle: timedelta) -> list[Session]:
    """Where somebody is signed in, the last used first."""
    here = (_s.account == account, _s.ended_at.is_(None), _s.expires_at > at)
    rows = tx.execute(
        select(*(c for c in _s if c.name != "hash"))
        .where(*here, _s.seen_at > at - idle)
        .order_by(_s.seen_at.desc())
    )
    return [Session(**row._mapping) for row in rows]


def sweep(tx: Connection, *, before: datetime) -> int:
    """Forget sessions that were over before an instant, and links that are; how many."""
    over = (_s.expires_at < before) | (_s.ended_at < before)
    tx.execute(delete(account_links).where(_l.expires_at < before))
    return tx.execute(delete(sessions).where(over)).rowcount
