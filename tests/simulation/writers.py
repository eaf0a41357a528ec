"""Two writers of one site on PostgreSQL, and a poller that looks while the first is at work.

SQLite lets one writer in at a time, whatever our code does; PostgreSQL relies on the counter row.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

from enforcement_api.database.engine import Record
from enforcement_api.feed import store as feed
from enforcement_api.feed.core import Cursor
from sync.replica import Replica, ReplicaError
from tests.service import NOW, Service, running

SITE = "1085"
_PATIENCE = 20.0
"""Seconds for what takes a moment."""
_WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


def interleave(database_url: str, folder: Path) -> str:
    """What a poller lost, or was told wrongly; empty: nothing.

    The first writer takes its counter and is held up there; the second comes, and ends or waits
    for the first; the poller looks; the first ends; the poller looks again.
    """
    replica = Replica(folder / "poller")
    with running(folder, database_url=database_url, follow_seconds=3600.0) as service:
        service.site()
        record = service.parts.record
        try:
            _write_together(service, lambda: _poll(record, replica))
            _poll(record, replica)
            with replica.reading() as view, record.reading() as tx:
                assert view.recount() == feed.recount(tx, SITE), "the poller's rows are others"
        except (ReplicaError, AssertionError) as error:
            return f"{type(error).__name__}: {error}"
        finally:
            replica.close()
    return ""


def _write_together(service: Service, look: Callable[[], None]) -> None:
    has_counter, may_go_on = threading.Event(), threading.Event()
    lock = feed.lock

    def first_held_up(*arguments: Any) -> feed.Counter:
        counter = lock(*arguments)
        if not has_counter.is_set():
            has_counter.set()
            assert may_go_on.wait(_PATIENCE)
        return counter

    with mock.patch.object(feed, "lock", first_held_up), ThreadPoolExecutor(2) as threads:
        entry = {"plate": "ABC123", "reason": "volé", "priority": "high"}
        first = threads.submit(
            lambda: service.admin.put(f"/v1/sites/{SITE}/hotlist/h1", json=entry).raise_for_status()
        )
        try:
            assert has_counter.wait(_PATIENCE)
            second = threads.submit(lambda: service.permit("ABC123"))
            _until_done_or_waiting(service.parts.record, second)
            look()
        finally:
            may_go_on.set()
        first.result(_PATIENCE)
        second.result(_PATIENCE)


def _until_done_or_waiting(record: Record, writer: Future[Any]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not writer.done():
        if record.read(lambda tx: tx.exec_driver_sql(_WAITING).scalar_one()):
            return
        assert time.monotonic() < deadline, "the second writer neither ends nor waits"
        time.sleep(0.005)


def _poll(record: Record, replica: Replica) -> None:
    state = replica.state()
    cursor = None if state is None else state.cursor
    after = None if cursor is None else Cursor.parse(cursor, site=SITE)
    replica.apply(feed.pages(record, site=SITE, after=after, limit=10, now=NOW), after=cursor)
