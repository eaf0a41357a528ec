"""Files that are on the disk, whole, once they are there at all."""

from __future__ import annotations

import os
import sqlite3
import uuid
from pathlib import Path

PART = ".part"
"""How the name of a file that is being written ends; one that is left over is of no use."""


def write_durably(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Make `content` the file `path`, in one step that survives a power cut.

    Raises OSError; the file is then what it was, and nothing is left beside it.
    """
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}{PART}")
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    fsync_folder(path.parent)


def sweep_parts(folder: Path) -> None:
    """Delete what a crash left half written."""
    for part in folder.glob(f"*{PART}"):
        part.unlink(missing_ok=True)


def fsync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


UNREADABLE = {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}
"""What SQLite says of a file that is no database of its own, or a damaged one."""


def sqlite_code(error: BaseException | None) -> int:
    """SQLite's primary result code of an error; 0 for any other error."""
    return int(getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
