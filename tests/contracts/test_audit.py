"""The append-only log on both engines: one unbroken chain, and whatever is done to it is found."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from enforcement_api.audit import store as audit
from enforcement_api.audit.core import (
    INSTALLATION,
    Entry,
    Head,
    Kept,
    Proof,
    hash_of,
    text_of,
)
from enforcement_api.database.engine import Record
from enforcement_api.database.tables import audit_heads, audit_log
from tests.contracts.composed import START

SITE = "1085"


def entry(number: int) -> Entry:
    return Entry(START, "command", "told", f"thing:{number}", {"number": number})


def fill(record: Record, *, site: str = SITE, count: int = 5) -> Head:
    """Append entries; the head after them."""

    def write(tx: sa.Connection) -> Head:
        for number in range(1, count + 1):
            audit.append(tx, entry(number), site=site)
        return audit.heads(tx)[site]

    return record.write(write)


def tamper(record: Record, *statements: sa.Executable | str) -> None:
    """Do what the triggers forbid, as somebody with the database's password could."""
    drop = (
        ["DROP TRIGGER audit_log_no_update", "DROP TRIGGER audit_log_no_delete"]
        if record.is_sqlite
        else ["DROP TRIGGER audit_log_append_only ON audit_log"]
    )

    def write(tx: sa.Connection) -> None:
        for statement in [*drop, *statements]:
            tx.execute(sa.text(statement) if isinstance(statement, str) else statement)

    record.write(write)


def proof(record: Record, site: str = SITE, **noted: Any) -> Proof:
    return {found.chain: found for found in record.read(lambda tx: audit.verify(tx, **noted))}[site]


def test_chain_that_nobody_touched_is_whole(record: Record) -> None:
    head = fill(record)
    fill(record, site=INSTALLATION, count=3)
    assert proof(record) == Proof(SITE, head)
    assert head.number == 5
    assert proof(record, INSTALLATION).whole.number == 3
    assert proof(record, noted={SITE: [head]}).reason is None


def test_many_threads_append_one_unbroken_chain(record: Record) -> None:
    threads, each = 8, 50
    failures: list[BaseException] = []

    def work(thread: int) -> None:
        try:
            for number in range(each):
                one = entry(thread * each + number)
                record.write(lambda tx, one=one: audit.append(tx, one, site=SITE))  # type: ignore[misc]
        except BaseException as failure:
            failures.append(failure)

    workers = [threading.Thread(target=work, args=(n,)) for n in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert failures == []
    found = proof(record)
    assert (found.whole.number, found.broken_at) == (threads * each, None)
    subjects = record.read(lambda tx: set(tx.execute(sa.select(audit_log.c.subject)).scalars()))
    assert subjects == {f"thing:{n}" for n in range(threads * each)}


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_log SET subject = 'x'", "DELETE FROM audit_log"]
)
def test_database_itself_refuses_to_change_an_entry(statement: str, record: Record) -> None:
    fill(record)
    with pytest.raises(DBAPIError, match="append-only"):
        record.write(lambda tx: tx.execute(sa.text(statement)))
    assert proof(record).reason is None


def _where(number: int) -> sa.ColumnElement[bool]:
    return sa.and_(audit_log.c.chain == SITE, audit_log.c.number == number)


def forged(number: int, before: str) -> Kept:
    """An entry with other facts, that its hash agrees with."""
    made = replace(entry(number), facts={"number": 33})
    text = text_of(made, chain=SITE, number=number, before=before)
    return Kept(number, made.subject, text, hash_of(text))


def changed_byte(record: Record) -> list[Any]:
    text = sa.func.replace(audit_log.c.entry, '"number":3}', '"number":4}')
    return [sa.update(audit_log).where(_where(3)).values(entry=text)]


def changed_subject(record: Record) -> list[Any]:
    return [sa.update(audit_log).where(_where(3)).values(subject="thing:9")]


def deleted_row(record: Record) -> list[Any]:
    return [sa.delete(audit_log).where(_where(3))]


def swapped(record: Record) -> list[Any]:
    return [
        sa.update(audit_log).where(_where(old)).values(number=new)
        for old, new in ((3, 99), (4, 3), (99, 4))
    ]


def replaced(record: Record) -> list[Any]:
    """Entry 3 written anew with its hash, so that only the link of entry 4 tells."""
    before = record.read(
        lambda tx: tx.execute(sa.select(audit_log.c.hash).where(_where(2))).scalar_one()
    )
    made = forged(3, before)
    return [sa.update(audit_log).where(_where(3)).values(entry=made.text, hash=made.hash)]


def not_even_json(record: Record) -> list[Any]:
    return [sa.update(audit_log).where(_where(3)).values(entry="[", hash=hash_of("["))]


def cut_tail(record: Record) -> list[Any]:
    return [sa.delete(audit_log).where(_where(5))]


def cut_tail_and_head(record: Record) -> list[Any]:
    hash = record.read(
        lambda tx: tx.execute(sa.select(audit_log.c.hash).where(_where(4))).scalar_one()
    )
    here = audit_heads.c.chain == SITE
    return [*cut_tail(record), sa.update(audit_heads).where(here).values(number=4, hash=hash)]


def wrong_head(record: Record) -> list[Any]:
    return [sa.update(audit_heads).where(audit_heads.c.chain == SITE).values(hash="f" * 64)]


def all_gone(record: Record) -> list[Any]:
    return [sa.delete(audit_log), sa.delete(audit_heads)]


@pytest.mark.parametrize(
    ("deed", "at", "told"),
    [
        (changed_byte, 3, "the hash differs"),
        (changed_subject, 3, "for another place: 1085/3 thing:3"),
        (deleted_row, 3, "it is missing"),
        (swapped, 3, "for another place: 1085/4 thing:4"),
        (replaced, 4, "does not follow the entry before it"),
        (not_even_json, 3, "not what was written"),
        (cut_tail, 5, "it is missing: the chain was 5 entries long"),
        (wrong_head, 5, "not the one that the record calls the last"),
    ],
)
def test_what_was_done_to_an_entry_is_found_and_named(
    deed: Callable[[Record], list[Any]], at: int, told: str, record: Record
) -> None:
    fill(record)
    tamper(record, *deed(record))
    found = proof(record)
    assert found.broken_at == at
    assert found.reason is not None
    assert told in found.reason.format(**found.reason.facts)


@pytest.mark.parametrize("deed", [cut_tail_and_head, all_gone])
def test_chain_shortened_with_its_head_is_found_by_a_head_noted_earlier(
    deed: Callable[[Record], list[Any]], record: Record
) -> None:
    noted = fill(record)
    tamper(record, *deed(record))
    assert all(found.reason is None for found in record.read(audit.verify))
    found = proof(record, noted={SITE: [noted]})
    assert found.broken_at == found.whole.number + 1
    assert found.reason is not None
    assert found.reason.facts == {"number": 5}


def test_chain_written_anew_is_found_by_a_head_noted_earlier(record: Record) -> None:
    noted = fill(record)
    tamper(record, *all_gone(record))
    record.write(lambda tx: [audit.append(tx, entry(n), site=SITE) for n in range(10)])
    assert proof(record).reason is None
    found = proof(record, noted={SITE: [noted]})
    assert found.broken_at == 5
    assert found.reason is not None
    assert "noted" in found.reason


# Some entries by themselves


def looked_at(record: Record, *subjects: str) -> list[str | None]:
    """What is wrong with the entries of these things, in order."""

    def look(tx: sa.Connection) -> list[str | None]:
        found = [one for subject in subjects for one in audit.witnessed(tx, subject, site=SITE)[1]]
        return [one.reason and one.reason.format(**one.reason.facts) for one in found]

    return record.read(look)


ALL = [f"thing:{number}" for number in range(1, 6)]


def test_entries_of_one_thing_are_proved_without_the_rest_of_the_chain(record: Record) -> None:
    head = fill(record)
    assert looked_at(record, *ALL) == [None] * 5
    last, (found,) = record.read(lambda tx: audit.witnessed(tx, "thing:3", site=SITE))
    assert (last, found.kept.number, found.entry) == (head, 3, entry(3))
    assert record.read(lambda tx: audit.witnessed(tx, "thing:3", site="none")) == (Head(), [])


_BEFORE = "the entry before it is missing, or is not what was written"
_AFTER = "the entry after it is missing, or does not follow it"
_CHANGED = "its text is not what was written: the hash differs"
_UNLINKED = "it does not follow the entry before it: one of the two was replaced"


@pytest.mark.parametrize(
    ("deed", "told"),
    [
        (changed_byte, [None, _AFTER, _CHANGED, _BEFORE, None]),
        (deleted_row, [None, _AFTER, _BEFORE, None]),
        (replaced, [None, None, _AFTER, _UNLINKED, None]),
        (cut_tail, [None, None, None, _AFTER]),
        (wrong_head, [None] * 4 + ["it is not the one that the record calls the last"]),
        (cut_tail_and_head, [None] * 4),
    ],
)
def test_what_was_done_to_an_entry_or_beside_it_is_told_of_it(
    deed: Callable[[Record], list[Any]], told: list[str | None], record: Record
) -> None:
    """Only what lies further away, and a chain cut with its head, needs more than a look."""
    fill(record)
    tamper(record, *deed(record))
    assert looked_at(record, *ALL) == told


def test_entry_that_is_no_entry_is_told_and_not_read(record: Record) -> None:
    fill(record)
    tamper(record, *not_even_json(record))
    _, (found,) = record.read(lambda tx: audit.witnessed(tx, "thing:3", site=SITE))
    assert found.entry is None
    assert found.reason == _CHANGED


def test_a_long_chain_costs_no_more_than_a_short_one(record: Record) -> None:
    asked: list[Any] = []
    fill(record, count=300)
    with record.reading() as tx:

        def note(*told: Any) -> None:
            asked.append(told[2])

        sa.event.listen(record.engine, "before_cursor_execute", note)
        try:
            audit.witnessed(tx, "thing:150", site=SITE)
        finally:
            sa.event.remove(record.engine, "before_cursor_execute", note)
    assert len(asked) == 3
