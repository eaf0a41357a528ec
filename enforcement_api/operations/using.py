"""Who uses a record now: many at once, or a restore alone.

A restore puts another record in the place of one; nobody may have it open meanwhile. Folders are
locked with flock, which ends with the process, however that ends; a PostgreSQL database, which
several machines may serve from, with an advisory lock of its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from enforcement_api.database.engine import Record
from enforcement_api.problems import N_, Problem
from enforcement_api.settings import Settings

_SERVING = 1086
_SECONDS = 5.0
"""How often a service makes sure that the database still knows that it serves."""

_log = logging.getLogger(__name__)


class InUse(Problem):
    """Somebody serves from the record, or a command is at it."""

    status = 409
    slug = "record-in-use"
    title = N_("The record is in use")
    detail = N_("Stop the service and every command that uses {where}, then try again.")


class BeingRestored(Problem):
    """A restore is under way."""

    status = 503
    slug = "being-restored"
    title = N_("The record is being restored")
    detail = N_("Wait until `patrouille restore` has ended, then try again: {where}")


@contextlib.contextmanager
def serving(record: Record, settings: Settings) -> Iterator[None]:
    """Within the block the record is served from. Raises BeingRestored, RecordUnavailable."""
    with using(record, settings), contextlib.ExitStack() as stack:
        if not record.is_sqlite:
            stack.enter_context(_announced(record))
        yield


@contextlib.contextmanager
def using(record: Record, settings: Settings) -> Iterator[None]:
    """Within the block a process has the record open. Raises BeingRestored."""
    with contextlib.ExitStack() as stack:
        for folder in _folders(record, settings):
            if not stack.enter_context(_folder_lock(folder, fcntl.LOCK_SH)):
                raise BeingRestored(where=record.where)
        yield


@contextlib.contextmanager
def alone(record: Record, settings: Settings) -> Iterator[None]:
    """Within the block nobody else serves from the record or has its file open. Raises InUse."""
    with contextlib.ExitStack() as stack:
        for folder in _folders(record, settings):
            if not stack.enter_context(_folder_lock(folder, fcntl.LOCK_EX)):
                raise InUse(where=record.where)
        if not record.is_sqlite:
            connection = stack.enter_context(_session(record))
            if not _lock(connection, "pg_try_advisory_lock"):
                raise InUse(where=record.where)
        yield


def _folders(record: Record, settings: Settings) -> list[Path]:
    found = {settings.data_dir.resolve()}
    if record.is_sqlite and record.url.database:
        found.add(Path(record.url.database).resolve().parent)
    return sorted(folder for folder in found if folder.is_dir())


@contextlib.contextmanager
def _folder_lock(folder: Path, kind: int) -> Iterator[bool]:
    """Whether the lock was got. The folder itself is locked, so that no disk need be written."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _session(record: Record) -> Iterator[Connection]:
    """A connection of its own, outside of those that requests share."""
    with record.problems(), record.engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        connection.detach()
        driver = connection.connection.dbapi_connection
        try:
            yield connection
        finally:
            # Here, and not when the database gets to notice that the connection is gone: whoever
            # is next asks at once.
            if not connection.invalidated:
                with contextlib.suppress(DBAPIError):
                    connection.exec_driver_sql("SELECT pg_advisory_unlock_all()")
            # Nobody else closes one that was detached and then lost.
            record.engine.dialect.do_close(driver)  # type: ignore[arg-type]


def _lock(connection: Connection, function: str) -> bool:
    return bool(connection.exec_driver_sql(f"SELECT {function}({_SERVING})").scalar())


@contextlib.contextmanager
def _announced(record: Record) -> Iterator[None]:
    """Tell the database that this process serves; again when it was restarted meanwhile."""
    begun, stopping = threading.Event(), threading.Event()
    failures: list[BaseException] = []

    def announce() -> None:
        with _session(record) as connection:
            if not _lock(connection, "pg_try_advisory_lock_shared"):
                raise BeingRestored(where=record.where)
            begun.set()
            while not stopping.wait(_SECONDS):
                connection.exec_driver_sql("SELECT 1")

    def keep() -> None:
        while not stopping.is_set():
            try:
                announce()
            except Exception as error:
                if not begun.is_set():
                    failures.append(error)
                    begun.set()
                    return
                _log.warning("the database does not know that this service serves: %s", error)
                stopping.wait(_SECONDS)

    keeper = threading.Thread(target=keep, name="serving", daemon=True)
    keeper.start()
    begun.wait()
    try:
        if failures:
            raise failures[0]
        yield
    finally:
        stopping.set()
        keeper.join()
