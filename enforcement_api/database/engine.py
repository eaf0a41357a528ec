"""The record: an engine on SQLite or PostgreSQL, and transactions on it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, event, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.sql.schema import Table

from enforcement_api.database.tables import meta
from enforcement_api.problems import (
    N_,
    Problem,
    StorageFailed,
    is_storage_error,
    sqlite_code,
    storage,
)

T = TypeVar("T")

_TRIES = 10
_MIGRATING = 1085
_SERIALIZATION_FAILURES = {"40001", "40P01"}
_SQLITE_DAMAGE = {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}


class RecordUnavailable(Problem):
    """The database does not answer."""

    status = 503
    slug = "record-unavailable"
    title = N_("The record cannot be reached")
    detail = N_(
        "Check that the database runs and that its address and password are right; then try"
        " again. The database said: {reason}"
    )


class RecordNotReady(Problem):
    """The record is of another version than this program."""

    status = 503
    slug = "record-not-ready"
    title = N_("The record has not been prepared for this version")
    detail = N_("Run `patrouille init`, then start again.")


def _address(url: str) -> URL:
    """The address with the driver that this project installs, when none is named."""
    address = make_url(url)
    if address.drivername in ("postgresql", "postgres"):
        address = address.set(drivername="postgresql+pg8000")
    return address


class Record:
    """The system of record. Threads share it."""

    def __init__(self, url: str) -> None:
        self.url = _address(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            self.engine = create_engine(
                self.url, connect_args={"timeout": 60}, pool_size=20, hide_parameters=True
            )
        else:
            self.engine = create_engine(
                self.url, pool_size=20, pool_pre_ping=True, hide_parameters=True
            )
        self.where = self.url.database if self.is_sqlite else self.url.render_as_string()
        if self.is_sqlite:
            event.listen(self.engine, "connect", _prepare_sqlite)

    @property
    def is_missing(self) -> bool:
        """Whether there is no record at the address yet; looking makes none."""
        if self.is_sqlite and self.url.database and not Path(self.url.database).exists():
            return True
        return self.revision() is None

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    # transactions

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in one transaction and commit it; all of it or nothing.

        It is run again after a serialization failure, so it must do nothing but database work.
        Raises StorageFailed, RecordUnavailable.
        """
        for attempt in range(_TRIES):
            try:
                with self._problems(), self.engine.connect() as connection:
                    self._begin(connection, "BEGIN IMMEDIATE")
                    result = work(connection)
                    connection.commit()
                    return result
            except DBAPIError as error:
                if attempt == _TRIES - 1 or not _is_serialization_failure(error):
                    raise
        raise AssertionError("unreachable")

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` on the record as it is at one moment."""
        with self.reading() as connection:
            return work(connection)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """The record as it is at one moment, for as long as the block lasts (exports)."""
        with self._problems(), self.engine.connect() as connection:
            if not self.is_sqlite:
                connection = connection.execution_options(
                    isolation_level="REPEATABLE READ", postgresql_readonly=True
                )
            self._begin(connection, "BEGIN")
            yield connection

    def _begin(self, connection: Connection, statement: str) -> None:
        if self.is_sqlite:
            connection.exec_driver_sql(statement)

    def insert(self, table: Table) -> Any:
        """An INSERT that knows ON CONFLICT, in the engine's own dialect."""
        return sqlite.insert(table) if self.is_sqlite else postgresql.insert(table)

    @contextlib.contextmanager
    def _problems(self) -> Iterator[None]:
        """Turn what the disk or the network did into a sentence."""
        try:
            yield
        except DBAPIError as error:
            if _is_serialization_failure(error):
                raise
            raise self._problem_of(error) from error

    def _problem_of(self, error: DBAPIError) -> Exception:
        cause = error.orig
        if is_storage_error(cause):
            return StorageFailed(where=self.where, reason=cause)
        if isinstance(cause, sqlite3.OperationalError) or sqlite_code(cause) in _SQLITE_DAMAGE:
            return RecordUnavailable(reason=cause)
        if error.connection_invalidated or _is_connection_failure(cause):
            return RecordUnavailable(reason=cause)
        if _sqlstate(error).startswith("53"):
            return StorageFailed(where=self.where, reason=cause)
        return error

    # versions

    def migrate(self) -> tuple[str | None, str]:
        """Create or migrate the tables; the revision before (None: there was none) and after."""
        with self._problems(), storage(self.where):
            if self.is_sqlite and self.url.database:
                Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
            before = self.revision()
            config = _alembic()
            with self.engine.connect() as connection:
                self._begin(connection, "BEGIN IMMEDIATE")
                if not self.is_sqlite:
                    # One process at a time; SQLite's write lock does the same.
                    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATING})")
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
                if connection.execute(select(meta.c.value)).first() is None:
                    connection.execute(meta.insert().values(name="epoch", value=new_epoch()))
                connection.commit()
            after = self.revision()
            assert after is not None
            return before, after

    def revision(self) -> str | None:
        """The revision of the tables; None when there are none."""
        with self._problems(), self.engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()

    def check_ready(self) -> None:
        """Raises RecordNotReady, RecordUnavailable."""
        if self.revision() != ScriptDirectory.from_config(_alembic()).get_current_head():
            raise RecordNotReady

    def epoch(self, tx: Connection) -> str:
        """The epoch of the record: another after each restore."""
        found = tx.execute(select(meta.c.value).where(meta.c.name == "epoch"))
        return str(found.scalar_one())


def new_epoch() -> str:
    """A name that no epoch had."""
    return uuid.uuid4().hex[:12]


def _alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def _prepare_sqlite(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    # The driver must not begin transactions by itself: ours begin IMMEDIATE when they write.
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA cache_size = -65536")


def _sqlstate(error: DBAPIError) -> str:
    cause: Any = error.orig
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    if state is None and cause is not None and cause.args and isinstance(cause.args[0], dict):
        state = cause.args[0].get("C")
    return state or ""


def _is_serialization_failure(error: DBAPIError) -> bool:
    return _sqlstate(error) in _SERIALIZATION_FAILURES


def _is_connection_failure(cause: BaseException | None) -> bool:
    return type(cause).__name__ in ("InterfaceError", "OperationalError") or isinstance(
        cause, ConnectionError
    )


def check_writable(folder: Path) -> None:
    """Prove that a folder can be written to. Raises StorageFailed."""
    probe = folder / f".probe-{os.getpid()}"
    with storage(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with open(probe, "wb") as file:
                file.write(b"\0" * 65536)
                file.flush()
                os.fsync(file.fileno())
        finally:
            with contextlib.suppress(OSError):
                probe.unlink(missing_ok=True)
