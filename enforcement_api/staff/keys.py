"""Keys: what programs and people show to be let in; stored hashed, shown once."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, insert, select, update

from enforcement_api.audit import store as audit
from enforcement_api.audit.core import Entry
from enforcement_api.database.tables import keys, sites
from enforcement_api.problems import N_, Problem, Sentence
from enforcement_api.security import Principal, Role, new_secret, secret_hash
from enforcement_api.shapes import line

ROLES: tuple[Role, ...] = ("admin", "feeder", "reader")
"""What a key can be for; devices get their tokens by enrolment."""
OWN_SOURCE = "patrouille:"
"""What sources of the service itself begin with."""


class UnusableKey(Problem):
    """A role, name or source with which no key can be made."""

    status = 422
    slug = "unusable-key"
    title = N_("No such key can be made")


class UnknownRole(UnusableKey):
    """No such role."""

    detail = N_("{role} is no role of a key; use one of: {roles}.")


class UnusableKeyName(UnusableKey):
    """A name or a source that tells nothing or cannot be kept."""

    detail = N_("Give the key a name and a source of 1 to 200 characters on one line.")


class ReservedSource(UnusableKey):
    """A source that is the service's own."""

    detail = N_("{source} is a source of the service itself; choose another for the key.")


class UnknownSites(Problem):
    """A site that is not there, given to a key, an account or a device."""

    status = 422
    slug = "unknown-sites"
    title = N_("There is no site {site}")
    detail = N_(
        "Name one that there is ({known}), or create this one first, at the console or with"
        " PUT /v1/sites/{site}."
    )


class NoSites(Problem):
    """A list of sites that is empty, given to a key, an account or a device."""

    status = 422
    slug = "no-sites"
    title = N_("No site is named")
    detail = N_("Name one at least, or choose all sites.")


class UnknownKey(Problem):
    """No such key."""

    status = 404
    slug = "unknown-key"
    title = N_("There is no such key")
    detail = N_("Take the id {id} from the list of keys.")


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it can be shown: all but the secret. `sites`: None is all of them."""

    id: str
    role: Role
    name: str
    source: str
    sites: tuple[str, ...] | None
    created_at: datetime
    revoked_at: datetime | None


def create(
    tx: Connection,
    *,
    role: str,
    name: str,
    at: datetime,
    source: str | None = None,
    sites: Iterable[str] | None = None,
) -> str:
    """Make a key; its secret, which cannot be seen again. The source is the name unless said.

    Raises UnknownRole, UnusableKeyName, ReservedSource, UnknownSites, NoSites.
    """
    if role not in ROLES:
        raise UnknownRole(role=role, roles=", ".join(ROLES))
    try:
        source = line(name if source is None else source)
        name = line(name)
    except ValueError as error:
        raise UnusableKeyName from error
    if source.startswith(OWN_SOURCE):
        raise ReservedSource(source=source)
    secret, id = new_secret(role), uuid.uuid4().hex[:12]
    known = None if sites is None else known_sites(tx, sites)
    tx.execute(
        insert(keys).values(
            id=id,
            hash=secret_hash(secret),
            role=role,
            name=name,
            source=source,
            sites=known,
            created_at=at,
        )
    )
    facts = {"role": role, "name": name, "source": source, "sites": known}
    audit.append(tx, Entry(at, "command", "created", f"key:{id}", facts))
    return secret


def known_sites(tx: Connection, wanted: Iterable[str]) -> list[str]:
    """The codes, each once, in order. Raises UnknownSites, NoSites."""
    codes = sorted(set(wanted))
    if not codes:
        raise NoSites
    known = sorted(tx.execute(select(sites.c.id)).scalars())
    told = ", ".join(known) or Sentence(N_("there is none yet"))
    for site in codes:
        if site not in known:
            raise UnknownSites(site=site, known=told)
    return codes


def all_keys(tx: Connection) -> list[Key]:
    """Every key, the oldest first, with those that were revoked."""
    return [
        Key(
            id=row.id,
            role=row.role,
            name=row.name,
            source=row.source,
            sites=None if row.sites is None else tuple(row.sites),
            created_at=row.created_at,
            revoked_at=row.revoked_at,
        )
        for row in tx.execute(select(keys).order_by(keys.c.created_at, keys.c.id))
    ]


def names(tx: Connection, ids: Iterable[str]) -> dict[str, str]:
    """What keys are called, by id."""
    c = keys.c
    found = tx.execute(select(c.id, c.name).where(c.id.in_(sorted(set(ids)))))
    return {row.id: row.name for row in found}


def sites_of_feeders(tx: Connection) -> set[str] | None:
    """The sites at which a feeder's key is good; None: there is one that is good everywhere."""
    found: set[str] = set()
    for key in all_keys(tx):
        if key.role == "feeder" and key.revoked_at is None:
            if key.sites is None:
                return None
            found.update(key.sites)
    return found


def revoke(tx: Connection, id: str, *, at: datetime) -> None:
    """End a key; one that has ended stays so. Raises UnknownKey."""
    found = {key.id: key for key in all_keys(tx)}.get(id)
    if found is None:
        raise UnknownKey(id=id)
    if found.revoked_at is None:
        tx.execute(update(keys).where(keys.c.id == id).values(revoked_at=at))
        audit.append(tx, Entry(at, "command", "revoked", f"key:{id}"))


_BY_HASH = select(keys).where(keys.c.hash == bindparam("of_hash"), keys.c.revoked_at.is_(None))
"""Put together once, as every key is looked for: that takes longer than executing it."""


def find(tx: Connection, hash: str) -> Principal | None:
    """Who holds the key with this hash; nobody if it was revoked."""
    row = tx.execute(_BY_HASH, {"of_hash": hash}).first()
    if row is None:
        return None
    role: Role = row.role
    return Principal(
        id=row.id,
        role=role,
        name=row.name,
        source=row.source,
        sites=None if row.sites is None else frozenset(row.sites),
    )
