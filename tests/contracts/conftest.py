"""Both engines that the record runs on: a contract here is checked on each."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from enforcement_api.database.engine import Record
from tests.enforcement_api.infraction_log import InfractionLog, infraction_log
from tests.postgres import fresh_database, postgres_database_url, postgres_url
from tests.service import Service, migrated_record, running

__all__ = ["postgres_database_url", "postgres_url"]


@pytest.fixture(scope="session")
def migrated_postgres(postgres_url: str) -> str:
    """The name of a migrated database to copy: quicker than migrating for each test."""
    record = Record(fresh_database(postgres_url))
    record.migrate()
    record.close()
    assert record.url.database is not None
    return record.url.database


@pytest.fixture(params=["sqlite", "postgresql"])
def record(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Record]:
    """An empty record, once on each engine."""
    if request.param == "sqlite":
        shutil.copy(migrated_record(), tmp_path / "record.db")
        record = Record(f"sqlite:///{tmp_path / 'record.db'}")
    else:
        template = request.getfixturevalue("migrated_postgres")
        record = Record(fresh_database(request.getfixturevalue("postgres_url"), template=template))
    yield record
    record.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str | None:
    """The address of an empty record, once on each engine (None: SQLite in the data folder)."""
    if request.param == "sqlite":
        return None
    template = request.getfixturevalue("migrated_postgres")
    return fresh_database(request.getfixturevalue("postgres_url"), template=template)


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
