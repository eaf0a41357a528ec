"""The log's SQL: entries are appended and read; the database itself refuses anything else."""

from __future__ import annotations

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from enforcement_api.audit.core import BEGINNING, INSTALLATION, Entry, hash_of, read, text_of
from enforcement_api.database.tables import audit_heads, audit_log

_head, _log = audit_heads.c, audit_log.c


def append(tx: Connection, entry: Entry, *, site: str = INSTALLATION) -> None:
    """Append to a site's chain, or the installation's. It is locked until the transaction ends."""
    here = update(audit_heads).where(_head.chain == site)
    take = here.values(number=_head.number + 1).returning(_head.number, _head.hash)
    head = tx.execute(take).first()
    if head is None:
        _begin(tx, site)
        head = tx.execute(take).one()
    text = text_of(entry, chain=site, number=head.number, before=head.hash)
    hash = hash_of(text)
    tx.execute(
        insert(audit_log).values(
            chain=site, number=head.number, subject=entry.subject, entry=text, hash=hash
        )
    )
    tx.execute(here.values(hash=hash))


def _begin(tx: Connection, chain: str) -> None:
    """Begin a chain, unless another transaction does at this moment."""
    try:
        with tx.begin_nested():
            tx.execute(insert(audit_heads).values(chain=chain, number=0, hash=BEGINNING))
    except IntegrityError:
        pass


def entries(tx: Connection, subject: str, *, site: str = INSTALLATION) -> list[Entry]:
    """All that was done to a subject, the oldest first."""
    found = tx.execute(
        select(_log.entry).where(_log.chain == site, _log.subject == subject).order_by(_log.number)
    )
    return [read(text) for text in found.scalars()]


def heads(tx: Connection) -> dict[str, tuple[int, str]]:
    """The last entry's number and hash of every chain."""
    found = tx.execute(select(audit_heads).order_by(_head.chain))
    return {row.chain: (row.number, row.hash) for row in found}


def count(tx: Connection) -> int:
    """How many entries there are."""
    return int(tx.execute(select(func.count()).select_from(audit_log)).scalar_one())
