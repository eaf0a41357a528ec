"""What a patroller recorded and the service has not yet acknowledged (DESIGN, "Outbox").

A file of its own, `synchronous=FULL`: nothing that rebuilds the index can touch it, and what
`put` has returned from survives a power cut. Photos lie beside it, named by their SHA-256.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import json
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from sqlite_utils import Database, Migrations

from sync import codec
from sync.files import UNREADABLE, sqlite_code, sweep_parts, write_durably

RESERVE = 16 * 1024 * 1024
"""Bytes that photos leave free, so that an infraction can always be recorded."""

KEPT = timedelta(days=30)
"""How long what was sent is kept, to be sent again when the service was restored since."""

ItemKind = Literal["infraction", "photo", "event"]

migrations = Migrations("outbox")


@migrations()
def one_row_an_item(db: Database) -> None:
    """`state` is waiting, sent or set_aside; `body` is the JSON to send, null for a photo."""
    db.execute(
        """
        CREATE TABLE item (
            number INTEGER PRIMARY KEY,
            kind TEXT NOT NULL,
            id TEXT NOT NULL,
            body TEXT,
            put_at TEXT NOT NULL,
            state TEXT NOT NULL DEFAULT 'waiting',
            attempts INTEGER NOT NULL DEFAULT 0,
            problem TEXT,
            answer TEXT,
            answered_at TEXT,
            UNIQUE (kind, id)
        ) STRICT
        """
    )
    db.execute("CREATE INDEX item_waiting ON item (number) WHERE state = 'waiting'")


@migrations()
def what_is_not_sent_is_counted_without_the_rest(db: Database) -> None:
    """What was sent stays for the log, and grows."""
    db.execute("CREATE INDEX item_unsent ON item (state) WHERE state != 'sent'")


@migrations()
def what_is_known_of_the_service(db: Database) -> None:
    """`epoch`: which one last had what was sent."""
    db.execute("CREATE TABLE fact (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT")


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to send, sent, or refused by the service and set aside with its reason."""

    number: int
    kind: ItemKind
    id: str
    body: Mapping[str, Any] | None
    put_at: datetime
    state: Literal["waiting", "sent", "set_aside"]
    attempts: int
    problem: str | None
    answer: Mapping[str, Any] | None
    answered_at: datetime | None


_COLUMNS = "number, kind, id, body, put_at, state, attempts, problem, answer, answered_at"


def _item(row: tuple[Any, ...]) -> Item:
    number, kind, id, body, put_at, state, attempts, problem, answer, answered_at = row
    return Item(
        number=number,
        kind=kind,
        id=id,
        body=None if body is None else json.loads(body),
        put_at=codec.parse_instant(put_at),
        state=state,
        attempts=attempts,
        problem=problem,
        answer=None if answer is None else json.loads(answer),
        answered_at=codec.parse_optional_instant(answered_at),
    )


class NoRoom(OSError):
    """Too little storage is left for a photo; there is enough for an infraction."""

    def __init__(self, free: int) -> None:
        super().__init__(errno.ENOSPC, f"only {free} bytes are free")


class AlreadyPut(Exception):
    """The id was put before, with other content: an infraction is immutable."""


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free


_FILE = "outbox.db"


def _damaged(number: int | str) -> str:
    return f"outbox.damaged-{number}.db"


class Outbox:
    """The outbox in its folder. Threads share it; one writes at a time, and who reads does not
    wait for the disk that a writer waits for.

    A file that cannot be read is put aside, never overwritten, and a new one begun.
    """

    def __init__(self, folder: Path, *, free: Callable[[Path], int] = _free) -> None:
        """`free` tells how many bytes may still be written in a folder."""
        self._free = free
        self.photos = folder / "photos"
        self.photos.mkdir(parents=True, exist_ok=True)
        sweep_parts(self.photos)
        self._lock, self._reading = threading.Lock(), threading.Lock()
        self._folder = folder
        try:
            self._connection = self._open()
        except sqlite3.DatabaseError as error:
            if sqlite_code(error) not in UNREADABLE:
                raise
            self._put_damaged_file_aside()
            self._connection = self._open()
        self._reader = self._connect()
        self._reader.execute("PRAGMA query_only = ON")

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(
            self._folder / _FILE, isolation_level=None, timeout=30, check_same_thread=False
        )

    def _open(self) -> sqlite3.Connection:
        connection = self._connect()
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            migrations.apply(Database(connection, execute_plugins=False))
        except BaseException:
            connection.close()
            raise
        return connection

    def _put_damaged_file_aside(self) -> None:
        number = next(n for n in itertools.count(1) if not (self._folder / _damaged(n)).exists())
        for end in ("-wal", "-shm", ""):
            with contextlib.suppress(FileNotFoundError):
                (self._folder / (_FILE + end)).rename(self._folder / (_damaged(number) + end))

    def damaged_files(self) -> list[Path]:
        """Outboxes that could not be read and were put aside here, whole, for someone to rescue."""
        return sorted(self._folder.glob(_damaged("*")))

    def close(self) -> None:
        """Close the file. What was put stays."""
        with self._lock, self._reading:
            self._reader.close()
            self._connection.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def keep_photo(self, picture: bytes) -> str:
        """Keep a photo's bytes unaltered, durably; its SHA-256 in hexadecimal. Raises NoRoom."""
        sha256 = hashlib.sha256(picture).hexdigest()
        path = self.photos / sha256
        if not path.exists():
            free = self._free(self.photos)
            if free - len(picture) < RESERVE:
                raise NoRoom(free)
            write_durably(path, picture)
        return sha256

    def photo(self, sha256: str) -> Path:
        """Where a kept photo lies."""
        return self.photos / sha256

    def put_infraction(
        self, id: str, body: Mapping[str, Any], photos: Sequence[str], *, at: datetime
    ) -> None:
        """Keep an infraction and then its photos for sending. Durable when this returns.

        `photos` are the SHA-256 that keep_photo gave. The same infraction again changes nothing;
        another one of the same id raises AlreadyPut.
        """
        text = json.dumps(body, ensure_ascii=False)
        rows: list[tuple[str, str, str | None, str]] = [("infraction", id, text, codec.instant(at))]
        rows += [("photo", sha256, None, codec.instant(at)) for sha256 in photos]
        with self._writing() as connection:
            connection.executemany(
                "INSERT INTO item (kind, id, body, put_at) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (kind, id) DO NOTHING",
                rows,
            )
            found = connection.execute(
                "SELECT body FROM item WHERE kind = 'infraction' AND id = ?", (id,)
            )
            if found.fetchone()[0] != text:
                raise AlreadyPut(id)

    def put_event(self, id: str, body: Mapping[str, Any], *, at: datetime) -> None:
        """Keep an event for sending. Durable when this returns; once each."""
        text = json.dumps(body, ensure_ascii=False)
        with self._writing() as connection:
            connection.execute(
                "INSERT INTO item (kind, id, body, put_at) VALUES ('event', ?, ?, ?)"
                " ON CONFLICT (kind, id) DO NOTHING",
                (id, text, codec.instant(at)),
            )

    def waiting(self) -> list[Item]:
        """What is still to be sent, the oldest first."""
        return self._items("state = 'waiting' ORDER BY number")

    def set_aside(self, *, most: int | None = None) -> list[Item]:
        """What the service refused, with its reason in `problem`; the oldest `most` of it."""
        return self._items("state = 'set_aside' ORDER BY number", most)

    def infractions(self, *, most: int | None = None) -> list[Item]:
        """The infractions recorded here, the newest first, whatever became of them."""
        return self._items("kind = 'infraction' ORDER BY number DESC", most)

    def unsent(self) -> int:
        """How many items the service has not acknowledged, set-aside ones included."""
        return self._count("state != 'sent'")

    def refused(self) -> int:
        """How many items are set aside."""
        return self._count("state != 'sent' AND state = 'set_aside'")

    def _count(self, condition: str) -> int:
        with self._reading:
            found = self._reader.execute(f"SELECT count(*) FROM item WHERE {condition}")
            return int(found.fetchone()[0])

    def _items(self, condition: str, most: int | None = None) -> list[Item]:
        select = f"SELECT {_COLUMNS} FROM item WHERE {condition} LIMIT ?"
        with self._reading:
            rows = self._reader.execute(select, (-1 if most is None else most,)).fetchall()
        return [_item(row) for row in rows]

    def acknowledge(
        self, item: Item, answer: Mapping[str, Any], *, missing: Sequence[str] = (), at: datetime
    ) -> None:
        """The service has the item durably: it leaves the queue. Of an infraction's photos those
        that are `missing` there wait from now on, and the others do no longer.
        """
        photos = [photo["sha256"] for photo in (item.body or {}).get("photos", ())]
        with self._writing() as connection:
            self._settle(connection, item, "sent", None, answer, at)
            if item.kind == "infraction":
                connection.executemany(
                    "UPDATE item SET state = ? WHERE kind = 'photo' AND id = ?"
                    " AND state != 'set_aside'",
                    [("waiting" if sha in missing else "sent", sha) for sha in photos],
                )

    def refuse(self, item: Item, problem: str, *, at: datetime) -> None:
        """The service will never take the item: set it aside, so that it blocks nothing."""
        with self._writing() as connection:
            self._settle(connection, item, "set_aside", problem, None, at)

    def send_again(self, kind: ItemKind, id: str) -> None:
        """Put an item back in the queue."""
        with self._writing() as connection:
            connection.execute(
                "UPDATE item SET state = 'waiting' WHERE kind = ? AND id = ?", (kind, id)
            )

    def note_epoch(self, epoch: str, *, sent_since: datetime) -> None:
        """The service's record is of this epoch. If what was sent went to another one, the record
        was restored since: all that was sent since that instant waits again.
        """
        with self._reading:
            found = self._reader.execute("SELECT value FROM fact WHERE name = 'epoch'").fetchone()
        if found == (epoch,):
            return
        with self._writing() as connection:
            connection.execute(
                "UPDATE item SET state = 'waiting' WHERE state = 'sent' AND kind != 'photo'"
                " AND answered_at >= ?",
                (codec.instant(sent_since),),
            )
            connection.execute(
                "INSERT INTO fact VALUES ('epoch', ?)"
                " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (epoch,),
            )

    def failed(self, item: Item, problem: str) -> None:
        """An attempt did not get through; the item stays where it is."""
        with self._writing() as connection:
            connection.execute(
                "UPDATE item SET attempts = attempts + 1, problem = ? WHERE number = ?",
                (problem, item.number),
            )

    def _settle(
        self,
        connection: sqlite3.Connection,
        item: Item,
        state: str,
        problem: str | None,
        answer: Mapping[str, Any] | None,
        at: datetime,
    ) -> None:
        connection.execute(
            "UPDATE item SET state = ?, problem = ?, answer = ?, answered_at = ?,"
            " attempts = attempts + 1 WHERE number = ?",
            (
                state,
                problem,
                None if answer is None else json.dumps(answer, ensure_ascii=False),
                codec.instant(at),
                item.number,
            ),
        )
