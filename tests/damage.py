"""What can happen to an index file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from sync.replica import Replica


def file_of(replica: Replica) -> Path:
    """The file in use, with all that was written in it and nothing beside it."""
    path = replica.folder / (replica.folder / "current").read_text()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return path


def _overwrite(replica: Replica, at: int, length: int) -> None:
    with open(file_of(replica), "r+b") as file:
        file.seek(at)
        file.write(b"\xa5" * length)


def _truncate(replica: Replica, keep: float) -> None:
    path = file_of(replica)
    with open(path, "r+b") as file:
        file.truncate(int(path.stat().st_size * keep))


def unreadable_name(database: bytes) -> bytes:
    """A database whose schema cannot be read, at a name that is no text either."""
    at = database.index(b"table_sqlite_migrations")
    start, end = database[:at], database[at:]
    return start + end.replace(b"_sqlite", b"\xa5sqlite", 2).replace(b"CREATE", b"\xa5REATE", 1)


def _misname(replica: Replica) -> None:
    path = file_of(replica)
    path.write_bytes(unreadable_name(path.read_bytes()))


def _garble(replica: Replica) -> None:
    with sqlite3.connect(file_of(replica)) as connection:
        connection.execute("UPDATE entry SET record = '{' WHERE kind = 'site'")
    connection.close()


DAMAGES: dict[str, Callable[[Replica], None]] = {
    "name": _misname,
    "header": lambda replica: _overwrite(replica, 0, 100),
    "pages": lambda replica: _overwrite(replica, 4096, 1 << 20),
    "emptied": lambda replica: _truncate(replica, 0),
    "halved": lambda replica: _truncate(replica, 0.5),
    "garbled": _garble,
    "gone": lambda replica: file_of(replica).unlink(),
}
