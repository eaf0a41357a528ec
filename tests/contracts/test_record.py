"""The record when its database is away, busy, or not what it should be; on both engines."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from sqlalchemy.dialects.postgresql import JSONB

from enforcement_api.database import engine
from enforcement_api.database.bulk import insert_rows
from enforcement_api.database.engine import (
    Record,
    RecordBusy,
    RecordNotReady,
    RecordOfANewerVersion,
    RecordUnavailable,
    UnusableAddress,
    WrongEncoding,
)
from enforcement_api.database.tables import photos
from tests.postgres import administrate, fresh_database
from tests.service import Service, running


def one(tx: sa.Connection) -> Any:
    return tx.execute(sa.text("SELECT 1")).scalar_one()


@pytest.fixture
def on_postgres(postgres_url: str, migrated_postgres: str) -> Iterator[Record]:
    record = Record(fresh_database(postgres_url, template=migrated_postgres))
    yield record
    record.close()


def end_sessions(postgres_url: str, record: Record) -> None:
    """As a restart of the database server does."""
    administrate(
        postgres_url,
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
        f" WHERE datname = '{record.url.database}'",
    )


def test_sessions_that_ended_while_idle_are_opened_anew(
    on_postgres: Record, postgres_url: str
) -> None:
    for _ in range(10):
        held = [on_postgres.engine.connect() for _ in range(3)]
        for connection in held:
            one(connection)
            connection.close()
        end_sessions(postgres_url, on_postgres)
        assert on_postgres.read(one) == 1
        assert on_postgres.write(one) == 1


def test_session_that_ends_in_a_transaction_is_told_as_such(
    on_postgres: Record, postgres_url: str
) -> None:
    def work(tx: sa.Connection) -> Any:
        one(tx)
        end_sessions(postgres_url, on_postgres)
        return one(tx)

    for run in (on_postgres.read, on_postgres.write):
        with pytest.raises(RecordUnavailable):
            run(work)
        assert run(one) == 1


def test_lost_database_stops_no_service(
    tmp_path: Path, postgres_url: str, migrated_postgres: str
) -> None:
    """Each request while it is away gets a 503, and the next one after that its answer."""
    url = fresh_database(postgres_url, template=migrated_postgres)
    with running(tmp_path, database_url=url) as service:
        service.site()
        failures: list[object] = []
        service.parts.storage_failed = failures.append
        statuses = set()
        for n in range(60):
            if n % 3 == 0:
                end_sessions(postgres_url, service.parts.record)
            update = service.update(f"AAA{n:03}")
            answer = service.feeder.post("/v1/plate-updates", json={"updates": [update]})
            statuses.add(answer.status_code)
            if answer.status_code == 200:
                assert service.verdict(update["plate"]) == "valid"
        assert statuses <= {200, 503}
        assert failures == []
        service.assert_consistent()


def test_lock_that_is_held_too_long_is_told(record: Record) -> None:
    impatient = Record(record.url.render_as_string(hide_password=False), lock_seconds=0.2)
    locked, enough = threading.Event(), threading.Event()

    def hold(tx: sa.Connection) -> None:
        tx.execute(sa.text("UPDATE meta SET value = value"))
        locked.set()
        assert enough.wait(30)

    holder = threading.Thread(target=lambda: record.write(hold))
    holder.start()
    try:
        assert locked.wait(30)
        with pytest.raises(RecordBusy):
            impatient.write(lambda tx: tx.execute(sa.text("UPDATE meta SET value = value")))
    finally:
        enough.set()
        holder.join(30)
        impatient.close()


def test_connections_that_are_all_taken_are_told(service: Service) -> None:
    """A request gets a 503 that says when to try again, and no 500."""
    service.site()
    feeder = service.feeder
    pool: Any = service.parts.record.engine.pool
    taken = [service.parts.record.engine.connect() for _ in range(pool.size() + pool._max_overflow)]
    pool._timeout = 0.1  # only now: the service's own threads may have held some of them
    try:
        answer = feeder.post("/v1/plate-updates", json={"updates": []})
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/record-busy")
        assert answer.headers["Retry-After"] == "5"
    finally:
        for connection in taken:
            connection.close()
    assert service.push()["applied"] == 0


def test_record_of_a_newer_version_is_left_alone(record: Record) -> None:
    record.write(lambda tx: tx.execute(sa.text("UPDATE alembic_version SET version_num = '9999'")))
    with pytest.raises(RecordOfANewerVersion):
        record.check_ready()
    with pytest.raises(RecordOfANewerVersion):
        record.migrate()
    assert record.revision() == "9999"


def test_photos_of_an_older_record_are_told_apart_by_their_infractions(
    tmp_path: Path, postgres_database_url: str
) -> None:
    for url in (f"sqlite:///{tmp_path / 'record.db'}", postgres_database_url):
        record = Record(url)
        with record.engine.connect() as connection:
            config = engine._alembic()
            config.attributes["connection"] = connection
            command.upgrade(config, "0003")
            for statement in (
                "INSERT INTO photos VALUES ('a', 'image/png', 1, 2, 'd')",
                "INSERT INTO photos VALUES ('b', 'image/png', 1, 2, 'd')",
                "INSERT INTO infraction_photos VALUES ('1085', 'i', 0, 'a', 1, 2)",
            ):
                connection.exec_driver_sql(statement)
            connection.commit()
        record.migrate()
        with record.reading() as tx:
            named = sa.select(photos.c.sha256, photos.c.is_named).order_by(photos.c.sha256)
            found = tx.execute(named).all()
        assert [tuple(row) for row in found] == [("a", True), ("b", False)]
        record.close()


def test_record_that_is_not_there_is_told(tmp_path: Path, postgres_database_url: str) -> None:
    for url in (f"sqlite:///{tmp_path / 'record.db'}", postgres_database_url):
        record = Record(url)
        with pytest.raises(RecordNotReady):
            record.check_ready()
        record.close()


@pytest.mark.parametrize(
    "url",
    ["", "nonsense", "mysql://host/database", "postgresql://", "postgresql:///only", "http://x/y"],
)
def test_address_that_is_none_is_told(url: str) -> None:
    with pytest.raises(UnusableAddress):
        Record(url)


def test_database_or_account_that_is_not_there_is_told(postgres_url: str) -> None:
    server = sa.make_url(postgres_url)
    for wrong in (server.set(database="nosuch"), server.set(username="nobody"), server.set(port=1)):
        record = Record(wrong.render_as_string(hide_password=False))
        with pytest.raises(RecordUnavailable):
            record.migrate()
        record.close()


def test_server_that_takes_no_more_connections_is_no_full_disk(postgres_url: str) -> None:
    administrate(postgres_url, "CREATE ROLE alone LOGIN SUPERUSER CONNECTION LIMIT 1")
    administrate(postgres_url, "ALTER ROLE alone NOSUPERUSER")
    url = sa.make_url(postgres_url).set(username="alone").render_as_string(hide_password=False)
    first, second = Record(url), Record(url)
    with first.reading(), pytest.raises(RecordUnavailable, match="too many connections"):
        second.read(one)
    first.close()
    second.close()


def test_user_of_the_system_stands_in_for_one_that_is_not_named() -> None:
    record = Record("postgresql://localhost/patrouille")
    assert record.url.username


def test_database_that_cannot_keep_every_text_is_refused(postgres_url: str) -> None:
    administrate(
        postgres_url, "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'"
    )
    record = Record(sa.make_url(postgres_url).set(database="latin").render_as_string())
    with pytest.raises(WrongEncoding, match="LATIN1"):
        record.migrate()
    assert record.revision() is None
    record.close()


@pytest.mark.parametrize("kind", [sa.JSON, JSONB, sa.DateTime])
def test_table_whose_rows_would_arrive_otherwise_is_not_filled_in_bulk(
    record: Record, kind: type[sa.types.TypeEngine[Any]]
) -> None:
    table = sa.Table("somewhere", sa.MetaData(), sa.Column("other", kind))
    with record.reading() as tx, pytest.raises(AssertionError, match=r"somewhere\.other"):
        insert_rows(tx, table, [(None,)])


def test_serialization_failure_is_tried_again(record: Record) -> None:
    tries = []

    def work(tx: sa.Connection) -> int:
        tries.append(one(tx))
        if len(tries) < 3 and not record.is_sqlite:
            tx.execute(sa.text("DO $$ BEGIN RAISE EXCEPTION SQLSTATE '40001'; END $$"))
        return len(tries)

    assert record.write(work) == (1 if record.is_sqlite else 3)
