"""The notebook: what a handheld remembers of a patrol besides what goes to the service.

Drafts, the shift under way, checks made, chalk marks, what the service's briefing said. One SQLite
file, `synchronous=FULL`: a draft that `keep` has returned from survives a power cut. Each page has
a kind, an id and a JSON body; `key` finds pages of a kind by something else than their id.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlite_utils import Database, Migrations

from sync import codec
from sync.files import SQLITE_ERRORS, UNREADABLE, make_folder, sqlite_code

_FILE = "notebook.db"

migrations = Migrations("notebook")


@migrations()
def one_row_a_page(db: Database) -> None:
    """`at` is an RFC 3339 instant in UTC, so that text sorts as time does."""
    db.execute(
        """
        CREATE TABLE page (
            kind TEXT NOT NULL,
            id TEXT NOT NULL,
            key TEXT NOT NULL,
            at TEXT NOT NULL,
            body TEXT NOT NULL,
            PRIMARY KEY (kind, id)
        ) STRICT
        """
    )
    db.execute("CREATE INDEX page_at ON page (kind, at)")
    db.execute("CREATE INDEX page_key ON page (kind, key, at)")


@dataclass(frozen=True, slots=True)
class Page:
    """One thing remembered: when, and what."""

    id: str
    key: str
    at: datetime
    body: Mapping[str, Any]


class Notebook:
    """The notebook in its folder. Threads share it; one writes at a time, readers wait for none.

    A file that cannot be read is deleted and begun anew: what must not be lost is in the outbox,
    and a patrol goes on without its notebook.
    """

    def __init__(self, folder: Path) -> None:
        make_folder(folder)
        self._path = folder / _FILE
        self._lock, self._reading = threading.Lock(), threading.Lock()
        try:
            self._connection = self._open()
        except SQLITE_ERRORS as error:
            if sqlite_code(error) not in UNREADABLE:
                raise
            for end in ("-wal", "-shm", ""):
                Path(f"{self._path}{end}").unlink(missing_ok=True)
            self._connection = self._open()
        self._reader = self._connect()
        self._reader.execute("PRAGMA query_only = ON")

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(
            self._path, isolation_level=None, timeout=30, check_same_thread=False
        )

    def _open(self) -> sqlite3.Connection:
        connection = self._connect()
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA secure_delete = ON")
            migrations.apply(Database(connection, execute_plugins=False))
        except BaseException:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        """Close the file."""
        with self._lock, self._reading:
            self._reader.close()
            self._connection.close()

    def keep(
        self, kind: str, id: str, body: Mapping[str, Any], *, at: datetime, key: str = ""
    ) -> None:
        """Remember this page, in the place of one of the same kind and id. Durable on return."""
        row = (kind, id, key, codec.instant(at), json.dumps(body, ensure_ascii=False))
        with self._lock:
            self._connection.execute(
                "INSERT INTO page VALUES (?, ?, ?, ?, ?) ON CONFLICT (kind, id) DO UPDATE SET"
                " key = excluded.key, at = excluded.at, body = excluded.body",
                row,
            )

    def page(self, kind: str, id: str) -> Page | None:
        """The page of this id; None if there is none."""
        found = self._pages("kind = ? AND id = ?", (kind, id), 1)
        return found[0] if found else None

    def latest(self, kind: str, *, most: int = 100) -> list[Page]:
        """Pages of a kind, the latest first."""
        return self._pages("kind = ? ORDER BY at DESC, rowid DESC", (kind,), most)

    def since(self, kind: str, begins: datetime, *, most: int = 500) -> list[Page]:
        """Pages of a kind from an instant on, the latest first."""
        condition = "kind = ? AND at >= ? ORDER BY at DESC, rowid DESC"
        return self._pages(condition, (kind, codec.instant(begins)), most)

    def keyed(self, kind: str, key: str, begins: datetime | None = None) -> list[Page]:
        """Pages of a kind with this key, from an instant on, the latest first."""
        since = "" if begins is None else codec.instant(begins)
        condition = "kind = ? AND key = ? AND at >= ? ORDER BY at DESC, rowid DESC"
        return self._pages(condition, (kind, key, since), 100)

    def count(self, kind: str, begins: datetime | None = None) -> int:
        """How many pages of a kind there are, from an instant on."""
        since = "" if begins is None else codec.instant(begins)
        with self._reading:
            found = self._reader.execute(
                "SELECT count(*) FROM page WHERE kind = ? AND at >= ?", (kind, since)
            )
            return int(found.fetchone()[0])

    def _pages(self, condition: str, values: tuple[str, ...], most: int) -> list[Page]:
        select = f"SELECT id, key, at, body FROM page WHERE {condition} LIMIT ?"
        with self._reading:
            rows = self._reader.execute(select, (*values, most)).fetchall()
        return [
            Page(id, key, codec.parse_instant(at), json.loads(body)) for id, key, at, body in rows
        ]

    def forget(self, kind: str, id: str) -> None:
        """Remember this page no longer."""
        with self._lock:
            self._connection.execute("DELETE FROM page WHERE kind = ? AND id = ?", (kind, id))

    def forget_before(self, kind: str, before: datetime) -> None:
        """Remember nothing of a kind that is older."""
        with self._lock:
            self._connection.execute(
                "DELETE FROM page WHERE kind = ? AND at < ?", (kind, codec.instant(before))
            )

    def wipe(self, *, but: Collection[str] = ()) -> None:
        """Forget every page, but those of some kinds, and leave no trace of them in the file."""
        marks = ", ".join("?" * len(but))
        with self._lock:
            self._connection.execute(f"DELETE FROM page WHERE kind NOT IN ({marks})", tuple(but))
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
