"""What became of the infractions of a record that console_record.py fills."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from datetime import datetime, timedelta
from importlib import import_module
from typing import Any

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, insert, select

from benchmarks.console_site import NOW, SITE, SUPERVISOR, Share
from enforcement_api.audit.core import BEGINNING, hash_of, text_of
from enforcement_api.database.bulk import add_rows
from enforcement_api.database.engine import Record
from enforcement_api.database.tables import (
    audit_heads,
    catch_up_tallies,
    check_tallies,
    infraction_tallies,
    infractions,
    visits,
)
from enforcement_api.figures.core import AGES
from enforcement_api.infractions import store
from enforcement_api.infractions.core import Event
from enforcement_api.infractions.lifecycle import Wanted

LONG = 60
"""Decisions of the infraction that was decided again and again."""
_HISTORIES = 100_000
"""The newest infractions that have a history in the log, of 1,000,000."""
_DAYS = 3 * 365
_BY = f"'{SUPERVISOR.actor}', '{SUPERVISOR.name}'"


def reviews(tx: Connection) -> None:
    """One decision of each that is decided, and the question of each that was asked about."""
    for decision, after, at, of in (
        ("'void'", "'voided'", "decided_at", "decided_at IS NOT NULL AND state = 'voided'"),
        ("'confirm'", "'confirmed'", "decided_at", "decided_at IS NOT NULL AND state <> 'voided'"),
        (
            "'request_information'",
            "'information_requested'",
            "received_at + 600",
            "state = 'information_requested'",
        ),
    ):
        tx.exec_driver_sql(
            f"INSERT INTO reviews SELECT site, id, 0, {at}, {_BY}, {decision}, decision_reason,"
            f" CASE WHEN {decision} = 'request_information' THEN 'Quelle place ?' END,"
            f" 'received', {after}, differs FROM infractions WHERE {of}"
        )


def audit(tx: Connection, share: Share) -> None:
    """The chain of the site: when the newest infractions came, and what was decided of them."""
    number, hash, rows = 0, BEGINNING, []
    for _, _, id, event in heapq.merge(*_events(tx, share.of(_HISTORIES)), key=lambda one: one[:2]):
        number += 1
        subject = f"infraction:{id}"
        text = text_of(event.entry(subject), chain=SITE, number=number, before=hash)
        hash = hash_of(text)
        rows.append((SITE, number, subject, text, hash))
    tx.exec_driver_sql("INSERT INTO audit_log VALUES (?, ?, ?, ?, ?)", rows)
    tx.execute(insert(audit_heads).values(chain=SITE, number=number, hash=hash))


def _events(tx: Connection, count: int) -> Iterator[list[tuple[datetime, int, str, Event]]]:
    c = infractions.c
    newest = select(c.id, c.received_at, c.device, c.state, c.decision_reason, c.decided_at)
    rows = tx.execute(newest.order_by(c.received_at.desc(), c.id).limit(count)).all()[::-1]
    recheck = {"verdict": "unknown", "differs": False}
    came, decided = [], []
    for n, row in enumerate(rows):
        facts: dict[str, Any] = {"recheck": recheck, "after_revocation": False}
        received = Event(row.received_at, "received", "received", f"device:{row.device}", facts)
        came.append((row.received_at, n, row.id, received))
        if row.state == "received":
            continue
        what = {"voided": "void", "information_requested": "request_information"}
        facts = {
            "decision": what.get(row.state, "confirm"),
            "reason": row.decision_reason,
            "note": None,
            "state_before": "received",
            "acknowledged_differs": False,
            "recheck": recheck,
        }
        at = row.decided_at or row.received_at + timedelta(minutes=10)
        state = row.state if row.state in what else "confirmed"
        reviewed = Event(at, "reviewed", state, SUPERVISOR.actor, facts)
        decided.append((at, n, row.id, reviewed))
    yield came
    yield sorted(decided, key=lambda one: one[:2])


def tallies(tx: Connection) -> None:
    """What is counted as it happens, counted once from what is there; and how devices caught up."""
    count_anew(tx)
    today = NOW.date()
    add_rows(
        tx,
        catch_up_tallies,
        (
            (SITE, today - timedelta(days=n), band, 400 >> band)
            for n in range(_DAYS)
            for band in range(len(AGES) + 1)
        ),
    )


def count_anew(tx: Connection) -> None:
    """What is counted as it happens, from what is there: as the migrations counted it once."""
    first, last = (
        import_module(f"enforcement_api.database.migrations.versions.{name}")
        for name in ("0010_tallies", "0013_tallies_by_value")
    )
    with Operations.context(MigrationContext.configure(tx)):
        for table in (infraction_tallies, check_tallies, visits, catch_up_tallies):
            table.drop(tx)
        first.make_tables()
        first.count(tx)
        last.upgrade()


def long_history(record: Record) -> None:
    """What waits first was decided and reopened again and again, by what decides."""
    c = infractions.c
    first = (
        select(c.id)
        .where(c.site == SITE, c.review_rank.is_not(None))
        .order_by(c.review_rank, c.received_at, c.id)
        .limit(1)
    )
    id = record.read(lambda tx: tx.execute(first).scalar_one())

    def decide(tx: Connection) -> None:
        for n in range(LONG // 2):
            at = NOW - timedelta(minutes=LONG - 2 * n)
            state = store.find(tx, id).state
            for decision, expected in (("confirm", state), ("reopen", "confirmed")):
                wanted = Wanted(decision, None, "Vu de nouveau.", expected, True)  # type: ignore[arg-type]
                store.review(tx, id, wanted, by=SUPERVISOR, at=at)

    record.write(decide)
