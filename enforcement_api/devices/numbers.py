"""Notice numbers: blocks of a site's series, each one device's for good, and what became of them.

A number is the block's prefix and an integer of the block. A device asks for a block under a
UUID of its own making, so that an answer that was lost can be asked for again. Numbers that a
restore left out become blocks as devices show that they have them.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from enforcement_api.audit import store as audit
from enforcement_api.audit.core import Entry
from enforcement_api.database.tables import (
    events,
    infractions,
    meta,
    number_blocks,
    number_series,
)
from enforcement_api.problems import N_, Problem
from enforcement_api.shapes import page_instant

SPOILED = "number_spoiled"
"""The kind of event that says that a number was printed badly, or not at all: `{"number"}`."""

SERIES_BEGIN_AT = "series_begin_at"
"""The name in `meta` of the number that new series begin at, since the last restore."""

MOST_UNUSED_BLOCKS = 10
"""A device with so many blocks' worth of unused numbers that it was given LATELY gets no more for
now. A handheld asks when it has fewer than half a block's left."""
LATELY = timedelta(days=1)

_IN_ONE_QUERY = 500
_NUMBER = re.compile(r"(.*-)(0|[1-9][0-9]{0,17})", re.DOTALL)


class BlockOfAnotherDevice(Problem):
    """The UUID was used by another device."""

    status = 409
    slug = "block-of-another-device"
    title = N_("Another device was given the block of this id")
    detail = N_("Ask for a block under a new UUID.")


class EnoughNumbers(Problem):
    """The device was given many numbers lately that it has not used."""

    status = 409
    slug = "enough-numbers"
    title = N_("The device has enough numbers")
    detail = N_(
        "{unused} numbers that it was given since yesterday are unused. Hand over what was"
        " recorded with them, or ask again tomorrow."
    )


class UnknownBlock(Problem):
    """No such block."""

    status = 404
    slug = "unknown-number-block"
    title = N_("There is no such block of numbers at this site")
    detail = N_("Take the id {id} from the list of blocks.")


@dataclass(frozen=True, slots=True)
class Block:
    """The numbers `first` to `last`, both included, given to a device."""

    site: str
    id: str
    device: str
    prefix: str
    first: int
    last: int
    given_at: datetime

    @property
    def numbers(self) -> list[str]:
        """Its numbers as they are printed."""
        return [f"{self.prefix}{n}" for n in range(self.first, self.last + 1)]


@dataclass(frozen=True, slots=True)
class Account:
    """What became of a block's numbers; each is in one of the three."""

    block: Block
    issued: tuple[str, ...]
    spoiled: tuple[str, ...]
    unused: tuple[str, ...]


def prefix_of(site: str) -> str:
    """What a site's numbers begin with. No integer has a dash, so no two sites share a number."""
    return f"{site}-"


# Giving


def give(tx: Connection, site: str, id: str, *, device: str, size: int, at: datetime) -> Block:
    """The block of this id; the next `size` numbers of the series, the first time.

    The series is locked until the transaction ends. Raises BlockOfAnotherDevice, EnoughNumbers.
    """
    first = _lock(tx, site)
    given = _find(tx, site, id)
    if given is not None:
        if given.device != device:
            raise BlockOfAnotherDevice
        return given
    unused = _unused(tx, site, device, since=at - LATELY)
    if unused >= MOST_UNUSED_BLOCKS * size:
        raise EnoughNumbers(unused=unused)
    block = Block(site, id, device, prefix_of(site), first, first + size - 1, at)
    tx.execute(
        update(number_series).where(number_series.c.site == site).values(next=block.last + 1)
    )
    _keep(tx, block, "numbers-given")
    return block


def claim(tx: Connection, site: str, number: str, *, device: str, at: datetime) -> Block | None:
    """The block that a number of the site belongs to; None: it was never given.

    A number below the series' next one that is in no block was left out by a restore: a record that
    is lost may have given it, and nobody else can have it. It is a block by itself from now on, of
    the device that shows it first.
    """
    found = block_of(tx, site, number)
    read = _NUMBER.fullmatch(number)
    if found is not None or read is None or read[1] != prefix_of(site):
        return found
    if not 0 < int(read[2]) < _next(tx, site):
        return None
    _lock(tx, site)
    found = block_of(tx, site, number)  # another device may have shown it at this moment
    if found is None:
        n = int(read[2])
        found = Block(site, str(uuid.uuid4()), device, prefix_of(site), n, n, at)
        _keep(tx, found, "number-claimed")
    return found


def _keep(tx: Connection, block: Block, action: str) -> None:
    tx.execute(insert(number_blocks).values(**asdict(block)))
    facts = {"block": block.id, "prefix": block.prefix, "first": block.first, "last": block.last}
    by = f"device:{block.device}"
    audit.append(tx, Entry(block.given_at, by, action, by, facts), site=block.site)


def _next(tx: Connection, site: str) -> int:
    """The next number of the site's series."""
    found = tx.execute(select(number_series.c.next).where(number_series.c.site == site)).scalar()
    return first_of_a_series(tx) if found is None else int(found)


def _unused(tx: Connection, site: str, device: str, *, since: datetime) -> int:
    """How many numbers a device was given since then and has not used, as far as is known."""
    table = number_blocks.c
    query = select(number_blocks).where(
        table.site == site, table.device == device, table.given_at > since
    )
    blocks = [Block(**row._mapping) for row in tx.execute(query)]
    return sum(len(found.unused) for found in account(tx, site, blocks))


def _lock(tx: Connection, site: str) -> int:
    """Lock the site's series; its next number."""
    series = number_series.c
    take = (
        update(number_series)
        .where(series.site == site)
        .values(next=series.next)
        .returning(series.next)
    )
    found = tx.execute(take).scalar()
    if found is None:
        try:
            with tx.begin_nested():
                tx.execute(insert(number_series).values(site=site, next=first_of_a_series(tx)))
        except IntegrityError:
            pass  # another transaction began it at this moment
        found = tx.execute(take).scalar_one()
    return int(found)


def first_of_a_series(tx: Connection) -> int:
    """Where a series begins: at 1, unless a restore may have forgotten the site. Of contracts too,
    whose numbers lie beyond another.
    """
    told = tx.execute(select(meta.c.value).where(meta.c.name == SERIES_BEGIN_AT)).scalar()
    return 1 if told is None else int(told)


# Looking


def block_of(tx: Connection, site: str, number: str) -> Block | None:
    """The block that a number of the site belongs to."""
    read = _NUMBER.fullmatch(number)
    if read is None:
        return None
    table = number_blocks.c
    row = tx.execute(
        select(number_blocks)
        .where(table.site == site, table.first <= int(read[2]))
        .order_by(table.first.desc())
        .limit(1)
    ).first()
    if row is None or row.last < int(read[2]) or row.prefix != read[1]:
        return None
    return Block(**row._mapping)


def block(tx: Connection, site: str, id: str) -> Block:
    """A block. Raises UnknownBlock."""
    found = _find(tx, site, id)
    if found is None:
        raise UnknownBlock(id=id)
    return found


def page(
    tx: Connection, site: str, *, after: tuple[int, int] | None, device: str | None, limit: int
) -> list[Block]:
    """Up to `limit` blocks of a site, the newest first, after a position (given_at, first)."""
    table = number_blocks.c
    query = select(number_blocks).where(table.site == site)
    if device is not None:
        query = query.where(table.device == device)
    if after is not None:
        at = page_instant(after[0])
        query = query.where(
            or_(table.given_at < at, and_(table.given_at == at, table.first < after[1]))
        )
    query = query.order_by(table.given_at.desc(), table.first.desc()).limit(limit)
    return [Block(**row._mapping) for row in tx.execute(query)]


def account(tx: Connection, site: str, blocks: Sequence[Block]) -> list[Account]:
    """What became of the numbers of these blocks of one site.

    A number that was issued and then told spoiled is spoiled: the notice was not handed over.
    Only the device that has a number can spoil it.
    """
    told = _spoiled(tx, site, {block.device for block in blocks})
    wanted = [number for block in blocks for number in block.numbers]
    used = set(_issued(tx, site, wanted))
    accounts = []
    for block in blocks:
        spoiled = told.get(block.device, set())
        numbers = block.numbers
        accounts.append(
            Account(
                block,
                issued=tuple(n for n in numbers if n in used and n not in spoiled),
                spoiled=tuple(n for n in numbers if n in spoiled),
                unused=tuple(n for n in numbers if n not in used and n not in spoiled),
            )
        )
    return accounts


def _find(tx: Connection, site: str, id: str) -> Block | None:
    here = (number_blocks.c.site == site, number_blocks.c.id == id)
    row = tx.execute(select(number_blocks).where(*here)).first()
    return None if row is None else Block(**row._mapping)


def _issued(tx: Connection, site: str, numbers: Sequence[str]) -> Iterator[str]:
    for start in range(0, len(numbers), _IN_ONE_QUERY):
        among = infractions.c.number.in_(numbers[start : start + _IN_ONE_QUERY])
        query = select(infractions.c.number).where(infractions.c.site == site, among)
        yield from tx.execute(query).scalars()


def _spoiled(tx: Connection, site: str, devices: Collection[str]) -> dict[str, set[str]]:
    table = events.c
    rows: Iterable[Any] = tx.execute(
        select(table.device, table.facts).where(
            table.site == site, table.kind == SPOILED, table.device.in_(devices)
        )
    )
    found: dict[str, set[str]] = {}
    for device, facts in rows:
        number = facts.get("number")
        if isinstance(number, str):
            found.setdefault(device, set()).add(number)
    return found
