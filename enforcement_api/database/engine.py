"""The record: an engine on SQLite or PostgreSQL, and transactions on it."""

from __future__ import annotations

import contextlib
import functools
import getpass
import os
import random
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from pg8000 import InterfaceError
from sqlalchemy import Connection, create_engine, event, select, text
from sqlalchemy.dialects import postgresql, registry, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.sql.schema import Table

from enforcement_api.database.postgresql import reason_of, sqlstate
from enforcement_api.database.tables import meta
from enforcement_api.problems import (
    N_,
    Problem,
    StorageFailed,
    is_storage_error,
    storage,
)
from sync.files import UNREADABLE, make_folder, sqlite_code

T = TypeVar("T")

_TRIES = 10
_MIGRATING = 1085
_SERIALIZATION_FAILURES = {"40001", "40P01"}
_DISK_FULL = "53100"
_TOO_LONG = ("55P03", "57014")
"""SQLSTATEs of a lock that is held, and of a statement that took longer than it may."""
_NOT_LET_IN = ("08", "28", "3D000", "42501", "53", "57P")
"""SQLSTATEs of a lost connection, a wrong password, no such database, no rights, a server that is
full or shutting down."""
LOCK_SECONDS = 20
"""How long a transaction waits for another's lock: a handheld is told to come again before it
gives up waiting for the answer."""
_CONNECTIONS, _MORE_CONNECTIONS = 20, 30
"""Kept open, and opened under load: more in all than there are threads that ask for one."""

# What every poll asks is put together once: that takes longer than asking it.
_EPOCH = select(meta.c.value).where(meta.c.name == "epoch")

registry.register("postgresql.patrouille", "enforcement_api.database.postgresql", "Dialect")


class RecordUnavailable(Problem):
    """The database does not answer."""

    status = 503
    slug = "record-unavailable"
    title = N_("The record cannot be reached")
    detail = N_(
        "Check that the database runs and that its address and password are right; then try"
        " again. The database said: {reason}"
    )


class RecordDamaged(Problem):
    """The record's file is no SQLite database, or is damaged."""

    status = 503
    slug = "record-damaged"
    title = N_("The record is damaged")
    detail = N_(
        "Leave {where} as it is, and put a copy of it from before the damage in its place."
        " SQLite said: {reason}"
    )


class RecordNotReady(Problem):
    """The record is of an older version than this program, or there is none."""

    status = 503
    slug = "record-not-ready"
    title = N_("The record has not been prepared for this version")
    detail = N_("Run `patrouille init`, then start again. The record: {where}")


class RecordOfANewerVersion(Problem):
    """The record was migrated by a newer program."""

    status = 503
    slug = "record-of-a-newer-version"
    title = N_("A newer version of Patrouille has migrated the record")
    detail = N_(
        "Install that version again, or put a copy of the record from before in the place of"
        " {where}. Nothing was changed."
    )


class WrongEncoding(Problem):
    """A PostgreSQL database that cannot keep every text."""

    status = 503
    slug = "wrong-encoding"
    title = N_("The database cannot keep every text")
    detail = N_(
        "Its encoding is {encoding}. Create one with UTF8 and give its address:"
        " CREATE DATABASE patrouille ENCODING 'UTF8' TEMPLATE template0;"
    )


class RecordBusy(Problem):
    """Others hold the record longer than anybody should wait."""

    status = 503
    slug = "record-busy"
    title = N_("The record is busy")
    detail = N_("Nothing of this request was kept. Send it again in {retry_after} seconds.")


class UnusableAddress(Problem):
    """`$PATROUILLE_DATABASE_URL` names no SQLite file and no PostgreSQL database."""

    status = 503
    slug = "unusable-address"
    title = N_("The address of the record cannot be used")
    detail = N_(
        "Set PATROUILLE_DATABASE_URL to postgresql://user:password@host:5432/database, or to"
        " sqlite:////folder/record.db, or unset it for a file in the data directory."
    )


def _address(url: str) -> URL:
    """The address, with our driver's name in it. Raises UnusableAddress."""
    try:
        address = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise UnusableAddress from error
    backend = address.drivername.partition("+")[0]
    if backend == "sqlite":
        return address.set(drivername="sqlite")
    if backend not in ("postgresql", "postgres") or not address.host:
        raise UnusableAddress
    # As PostgreSQL's own clients do, the user of the system stands in for one that is not named.
    return address.set(
        drivername="postgresql+patrouille", username=address.username or getpass.getuser()
    )


class Record:
    """The system of record. Threads share it."""

    def __init__(self, url: str, *, lock_seconds: float = LOCK_SECONDS) -> None:
        self.url = _address(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = create_engine(
            self.url,
            connect_args={"timeout": lock_seconds}
            if self.is_sqlite
            else {
                "startup_params": {
                    "lock_timeout": f"{lock_seconds * 1000:.0f}",
                    # The counter row is all that a writer needs; stricter ones only fail more.
                    "default_transaction_isolation": "read committed",
                }
            },
            pool_size=_CONNECTIONS,
            max_overflow=_MORE_CONNECTIONS,
            # The one that was used last: SQLite has a cache for each, which so is warm, and the
            # others stay as small as they are.
            pool_use_lifo=True,
            pool_pre_ping=not self.is_sqlite,
            hide_parameters=True,
        )
        self.where = (
            self.url.database
            if self.is_sqlite
            else self.url.set(drivername="postgresql").render_as_string()
        )
        if self.is_sqlite:
            event.listen(self.engine, "do_connect", _read_as_it_lies)
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
        Raises StorageFailed, RecordUnavailable, RecordBusy.
        """
        for attempt in range(_TRIES):
            try:
                with self.problems(), self.engine.connect() as connection:
                    self._begin(connection, "BEGIN IMMEDIATE")
                    result = work(connection)
                    connection.commit()
                    return result
            except DBAPIError as error:
                if not _is_serialization_failure(error):
                    raise
                time.sleep(random.uniform(0, 0.01 * 2**attempt))
        raise RecordBusy(retry_after=5)

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` on the record as it is at one moment."""
        with self.reading() as connection:
            return work(connection)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """The record as it is at one moment, for as long as the block lasts (exports)."""
        with self.problems(), self.engine.connect() as connection:
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
    def problems(self) -> Iterator[None]:
        """Turn what the disk or the network did into a sentence."""
        try:
            yield
        except PoolTimeout as error:
            raise RecordBusy(retry_after=5) from error
        except DBAPIError as error:
            if _is_serialization_failure(error):
                raise
            raise self._problem_of(error) from error

    def _problem_of(self, error: DBAPIError) -> Exception:
        cause = error.orig
        if is_storage_error(cause):
            return StorageFailed(where=self.where, reason=cause)
        if sqlite_code(cause) in UNREADABLE:
            return RecordDamaged(where=self.where, reason=cause)
        state = sqlstate(cause)
        if sqlite_code(cause) == sqlite3.SQLITE_BUSY or state in _TOO_LONG:
            return RecordBusy(retry_after=5)
        if state == _DISK_FULL:
            return StorageFailed(where=self.where, reason=reason_of(cause))
        if (
            error.connection_invalidated
            or state.startswith(_NOT_LET_IN)
            or isinstance(cause, sqlite3.OperationalError | InterfaceError | ConnectionError)
        ):
            return RecordUnavailable(reason=reason_of(cause))
        return error

    # versions

    def migrate(self) -> tuple[str | None, str]:
        """Create or migrate the tables; the revision before (None: there was none) and after.

        Raises RecordOfANewerVersion, WrongEncoding, StorageFailed, RecordUnavailable.
        """
        with self.problems(), storage(self.where):
            if self.is_sqlite and self.url.database:
                make_folder(Path(self.url.database).parent)
            before = self.revision()
            if before is not None:
                self._check_known(before)
            self._check_encoding()
            with self.engine.connect() as connection:
                self._begin(connection, "BEGIN IMMEDIATE")
                self.upgrade(connection)
                if connection.execute(select(meta.c.value)).first() is None:
                    connection.execute(meta.insert().values(name="epoch", value=new_epoch()))
                connection.commit()
            after = self.revision()
            assert after is not None
            return before, after

    def upgrade(self, tx: Connection) -> None:
        """Bring the tables to the newest revision, as a part of a transaction."""
        if not self.is_sqlite:
            # One process at a time; SQLite's write lock does the same.
            tx.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATING})")
        config = _alembic()
        config.attributes["connection"] = tx
        command.upgrade(config, "head")

    def revision(self) -> str | None:
        """The revision of the tables; None when there are none."""
        with self.problems(), self.engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()

    def check_ready(self) -> None:
        """Raises RecordNotReady, RecordOfANewerVersion, WrongEncoding, RecordUnavailable."""
        found = self.revision()
        if found is None or self._check_known(found) != found:
            raise RecordNotReady(where=self.where)
        self._check_encoding()

    def _check_known(self, revision: str) -> str | None:
        """The newest revision that there is. Raises RecordOfANewerVersion."""
        if not is_known(revision):
            raise RecordOfANewerVersion(where=self.where)
        return _revisions()[0]

    def _check_encoding(self) -> None:
        if self.is_sqlite:
            return
        show = text("SHOW server_encoding")
        encoding = self.read(lambda tx: tx.execute(show).scalar_one())
        if encoding != "UTF8":
            raise WrongEncoding(encoding=encoding)

    def epoch(self, tx: Connection) -> str:
        """The epoch of the record: another after each restore."""
        return str(tx.execute(_EPOCH).scalar_one())


def is_known(revision: str) -> bool:
    """Whether this program can migrate a record of this revision."""
    return revision in _revisions()


@functools.cache
def _revisions() -> tuple[str, ...]:
    """All that this program knows, the newest first. Alembic compiles every script to tell."""
    scripts = ScriptDirectory.from_config(_alembic())
    return tuple(script.revision for script in scripts.walk_revisions())


def new_epoch() -> str:
    """A name that no epoch had."""
    return uuid.uuid4().hex[:12]


def _alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def _read_as_it_lies(_: Any, __: Any, arguments: list[Any], options: dict[str, Any]) -> None:
    """On a disk that nobody can write to, do without the files that SQLite makes to read a WAL."""
    path = Path(arguments[0])
    with contextlib.suppress(OSError):
        read_only = os.statvfs(path.parent).f_flag & os.ST_RDONLY
        if read_only and path.exists() and not path.with_name(path.name + "-wal").exists():
            arguments[0] = f"{path.absolute().as_uri()}?immutable=1"
            options["uri"] = True


def _prepare_sqlite(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    # The driver must not begin transactions by itself: ours begin IMMEDIATE when they write.
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA cache_size = -4096")


def _is_serialization_failure(error: DBAPIError) -> bool:
    return sqlstate(error.orig) in _SERIALIZATION_FAILURES


def check_writable(folder: Path) -> None:
    """Prove that a folder can be written to. Raises StorageFailed."""
    probe = folder / f".probe-{os.getpid()}"
    with storage(folder):
        try:
            make_folder(folder)
            with open(probe, "wb") as file:
                file.write(b"\0" * 65536)
                file.flush()
                os.fsync(file.fileno())
        finally:
            with contextlib.suppress(OSError):
                probe.unlink(missing_ok=True)
