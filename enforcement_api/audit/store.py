"""The log's SQL: entries are appended and read; the database itself refuses anything else."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from sqlalchemy import Connection, and_, bindparam, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from enforcement_api.audit.core import (
    BEGINNING,
    INSTALLATION,
    Entry,
    Head,
    Kept,
    Proof,
    Witnessed,
    hash_of,
    prove,
    read,
    text_of,
    witness,
)
from enforcement_api.database.tables import audit_heads, audit_log

_head, _log = audit_heads.c, audit_log.c

# Put together once: that takes longer than executing them.
_HERE = update(audit_heads).where(_head.chain == bindparam("of_chain"))
_TAKE = _HERE.values(number=_head.number + 1).returning(_head.number, _head.hash)
_ADD = insert(audit_log)
_KEEP = _HERE.values(hash=bindparam("new_hash"))
_KEPT = select(_log.number, _log.subject, _log.entry, _log.hash)
_OF_SUBJECT = _KEPT.where(
    _log.chain == bindparam("of_chain"), _log.subject == bindparam("of_subject")
).order_by(_log.number)
_NUMBERED = _KEPT.where(
    _log.chain == bindparam("of_chain"), _log.number.in_(bindparam("of_numbers", expanding=True))
)
_IN_ONE_QUERY = 500
"""Values in one IN list."""


def append(tx: Connection, entry: Entry, *, site: str = INSTALLATION) -> None:
    """Append to a site's chain, or the installation's. It is locked until the transaction ends."""
    head = tx.execute(_TAKE, {"of_chain": site}).first()
    if head is None:
        _begin(tx, site)
        head = tx.execute(_TAKE, {"of_chain": site}).one()
    text = text_of(entry, chain=site, number=head.number, before=head.hash)
    hash = hash_of(text)
    row = {"chain": site, "number": head.number, "subject": entry.subject}
    tx.execute(_ADD, row | {"entry": text, "hash": hash})
    tx.execute(_KEEP, {"of_chain": site, "new_hash": hash})


def _begin(tx: Connection, chain: str) -> None:
    """Begin a chain, unless another transaction does at this moment."""
    try:
        with tx.begin_nested():
            tx.execute(insert(audit_heads).values(chain=chain, number=0, hash=BEGINNING))
    except IntegrityError:
        pass


def entries(tx: Connection, subject: str, *, site: str = INSTALLATION) -> list[Entry]:
    """All that was done to a subject, the oldest first."""
    found = tx.execute(_OF_SUBJECT, {"of_chain": site, "of_subject": subject})
    return [read(row.entry) for row in found]


def witnessed(tx: Connection, subject: str, *, site: str) -> tuple[Head, list[Witnessed]]:
    """The head of a site's chain, and all that was done to a subject, the oldest first, each entry
    looked at with the two beside it: as quick in a long chain as in a short one.
    """
    head = tx.execute(select(_head.number, _head.hash).where(_head.chain == site)).first()
    last = Head() if head is None else Head(*head)
    found = tx.execute(_OF_SUBJECT, {"of_chain": site, "of_subject": subject})
    own = [Kept(*row) for row in found]
    wanted = sorted({number for kept in own for number in (kept.number - 1, kept.number + 1)})
    beside: dict[int, Kept] = {}
    for start in range(0, len(wanted), _IN_ONE_QUERY):
        some = wanted[start : start + _IN_ONE_QUERY]
        rows = tx.execute(_NUMBERED, {"of_chain": site, "of_numbers": some})
        beside |= {row.number: Kept(*row) for row in rows}
    return last, [
        witness(
            site, kept, before=beside.get(kept.number - 1), after=beside.get(kept.number + 1),
            head=last,
        )
        for kept in own
    ]  # fmt: skip


def heads(tx: Connection) -> dict[str, Head]:
    """The last entry of every chain."""
    found = tx.execute(select(audit_heads).order_by(_head.chain))
    return {row.chain: Head(row.number, row.hash) for row in found}


def page(
    tx: Connection,
    *,
    chains: Collection[str],
    subject: str | None,
    after: tuple[str, int] | None,
    limit: int,
) -> list[tuple[str, Kept]]:
    """Up to `limit` entries of these chains, by chain and number, after a position."""
    query = select(audit_log).where(_log.chain.in_(chains)).order_by(_log.chain, _log.number)
    if subject is not None:
        query = query.where(_log.subject == subject)
    if after is not None:
        chain, number = after
        query = query.where(
            or_(_log.chain > chain, and_(_log.chain == chain, _log.number > number))
        )
    return [
        (row.chain, Kept(row.number, row.subject, row.entry, row.hash))
        for row in tx.execute(query.limit(limit))
    ]


def latest(
    tx: Connection, *, chain: str, subject: str | None, before: int | None, limit: int
) -> list[Kept]:
    """Up to `limit` entries of a chain, the newest first, from before a number."""
    query = select(audit_log).where(_log.chain == chain).order_by(_log.number.desc())
    if subject is not None:
        query = query.where(_log.subject == subject)
    if before is not None:
        query = query.where(_log.number < before)
    return [
        Kept(row.number, row.subject, row.entry, row.hash) for row in tx.execute(query.limit(limit))
    ]


def verify(tx: Connection, *, noted: Mapping[str, Collection[Head]] | None = None) -> list[Proof]:
    """Walk every chain, entry by entry; `noted` are heads written down earlier, by chain."""
    last, noted = heads(tx), noted or {}
    chains = {*last, *noted, *tx.execute(select(_log.chain).distinct()).scalars()}
    return [
        prove(chain, _kept(tx, chain), head=last.get(chain), noted=noted.get(chain, ()))
        for chain in sorted(chains)
    ]


def _kept(tx: Connection, chain: str) -> Iterator[Kept]:
    query = _KEPT.where(_log.chain == chain).order_by(_log.number).execution_options(yield_per=1000)
    with tx.execute(query) as found:
        for row in found:
            yield Kept(*row)
