"""Both engines that the record runs on: a contract here is checked on each."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from enforcement_api.database.engine import Record
from tests.emptied import EmptiedDatabases
from tests.enforcement_api.infraction_log import InfractionLog, infraction_log
from tests.postgres import postgres_database_url, postgres_url
from tests.service import Service, migrated_record, running

__all__ = ["postgres_database_url", "postgres_url"]


@pytest.fixture(scope="session")
def emptied_databases(postgres_url: str) -> EmptiedDatabases:
    """Where tests that need a migrated PostgreSQL database get one."""
    return EmptiedDatabases(postgres_url)


@pytest.fixture(scope="session")
def migrated_postgres(emptied_databases: EmptiedDatabases) -> str:
    """The name of a migrated database, to copy where a test changes more than rows."""
    return emptied_databases.template


@pytest.fixture(params=["sqlite", "postgresql"])
def record(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Record]:
    """An empty record, once on each engine."""
    with _database(request) as url:
        if url is None:
            shutil.copy(migrated_record(), tmp_path / "record.db")
            url = f"sqlite:///{tmp_path / 'record.db'}"
        record = Record(url)
        yield record
        record.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """The address of an empty record, once on each engine (None: SQLite in the data folder)."""
    with _database(request) as url:
        yield url


@contextlib.contextmanager
def _database(request: pytest.FixtureRequest) -> Iterator[str | None]:
    if request.param == "sqlite":
        yield None
        return
    databases: EmptiedDatabases = request.getfixturevalue("emptied_databases")
    with databases.one() as url:
        yield url


@pytest.fixture
def service(tmp_path: Path, database_url: str | None) -> Iterator[Service]:
    """The whole service in this process, once on each engine."""
    with running(tmp_path, database_url=database_url) as service:
        yield service


@pytest.fixture
def log(tmp_path: Path, database_url: str | None) -> Iterator[InfractionLog]:
    """The infraction log with a device of its site, once on each engine."""
    with infraction_log(tmp_path, database_url) as made:
        yield made
