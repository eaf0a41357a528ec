"""Migrated PostgreSQL databases that one test after the other has to itself, each time empty."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from enforcement_api.database.engine import Record
from enforcement_api.database.tables import metadata
from tests.postgres import fresh_database

LEFT_WITHIN_S = 1
"""How long those who used a database have to leave it."""
_OTHERS = sa.text(
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
_LOOKS = sa.text(
    "SELECT relname::text AS name, relkind::text AS kind, relnatts::int FROM pg_class"
    " WHERE relnamespace = 'public'::regnamespace"
    " UNION ALL SELECT tgname::text, tgenabled::text, 0 FROM pg_trigger WHERE NOT tgisinternal"
    " UNION ALL SELECT conname::text, contype::text, 0 FROM pg_constraint"
    " WHERE connamespace = 'public'::regnamespace"
    " ORDER BY name, kind"
)
_VERSION = sa.text("SELECT version_num FROM alembic_version")
_RESTART = sa.text("SELECT setval(oid::regclass, 1, false) FROM pg_class WHERE relkind = 'S'")


class EmptiedDatabases:
    """The databases of one server.

    To make one takes twenty times as long as to empty one. One that cannot be emptied, since
    somebody is in it still, or its tables and triggers are not what they were, is given to nobody
    again.
    """

    def __init__(self, server_url: str) -> None:
        self._server_url = server_url
        self._free: list[str] = []
        record = Record(fresh_database(server_url))
        record.migrate()
        with record.reading() as tx:
            self._looks = _looks(tx)
            self._rows = {table: _rows(tx, table) for table in metadata.sorted_tables}
        record.close()
        assert record.url.database is not None
        self.template = record.url.database
        """The name of a migrated database that nobody is in."""

    @contextlib.contextmanager
    def one(self) -> Iterator[str]:
        """The address of a database that nobody else uses, as migration made it."""
        url = self._free.pop() if self._free else self._made()
        yield url
        if self._emptied(url):
            self._free.append(url)

    def _made(self) -> str:
        return fresh_database(self._server_url, template=self.template)

    def _emptied(self, url: str) -> bool:
        with sa.create_engine(url, poolclass=sa.NullPool).begin() as tx:
            if not _is_left(tx) or _looks(tx) != self._looks:
                return False
            # No trigger: that of the audit log lets nobody delete.
            tx.exec_driver_sql("SET LOCAL session_replication_role = replica")
            for table, rows in self._rows.items():
                tx.execute(sa.delete(table))
                if rows:
                    tx.execute(sa.insert(table), rows)
            tx.execute(_RESTART)
            return True


def _looks(tx: sa.Connection) -> object:
    """What it is made of, and by which migration."""
    made_of = tx.execute(_LOOKS).all()
    is_migrated = any(row.name == "alembic_version" for row in made_of)
    return made_of, tx.execute(_VERSION).all() if is_migrated else None


def _is_left(tx: sa.Connection) -> bool:
    deadline = time.monotonic() + LEFT_WITHIN_S
    while tx.execute(_OTHERS).scalar_one():
        if time.monotonic() > deadline:
            return False
        tx.exec_driver_sql("SELECT pg_sleep(0.01), pg_stat_clear_snapshot()")
    return True


def _rows(tx: sa.Connection, table: sa.Table) -> list[dict[str, Any]]:
    return [dict(row) for row in tx.execute(sa.select(table)).mappings()]
