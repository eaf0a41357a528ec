"""The least that SQLite needs for the same rows: the same tables with nothing around them."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def copy_of(
    source: Path, path: Path, table: str, synchronous: str, cache: int
) -> sqlite3.Connection:
    """An empty file with a table of another and its indexes."""
    bare = sqlite3.connect(path, isolation_level=None)
    bare.execute("PRAGMA journal_mode = WAL")
    bare.execute(f"PRAGMA synchronous = {synchronous}")
    bare.execute(f"PRAGMA cache_size = -{cache}")
    found = rows(
        source,
        "SELECT sql FROM sqlite_schema WHERE tbl_name = ? AND sql IS NOT NULL ORDER BY type DESC",
        table,
    )
    for (sql,) in found:
        bare.execute(sql)
    return bare


def rows(path: Path, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """What a query finds in a file."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(query, parameters).fetchall()


def insert(bare: sqlite3.Connection, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert whole rows in one transaction."""
    statement = f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})"
    bare.execute("BEGIN IMMEDIATE")
    bare.executemany(statement, rows)
    bare.execute("COMMIT")
