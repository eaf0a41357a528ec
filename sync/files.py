"""Files that are on the disk, whole, once they are there at all."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

PART = ".part"
"""How the name of a file that is being written ends; one that is left over is of no use."""


@contextlib.contextmanager
def writing_durably(path: Path, *, mode: int = 0o644) -> Iterator[BinaryIO]:
    """Make what is written in the block the file `path`, in one step that survives a power cut.

    Raises OSError; the file is then what it was, and nothing is left beside it.
    """
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}{PART}")
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    fsync_folder(path.parent)


def write_durably(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Make `content` the file `path`, as writing_durably does."""
    with writing_durably(path, mode=mode) as file:
        file.write(content)


def make_folder(folder: Path, *, mode: int = 0o777) -> None:
    """Make a folder and those that it lies in, so that a power cut does not take the name of one
    from over what is durable in it. One that is there stays as it is.
    """
    if not folder.is_dir():
        make_folder(folder.parent, mode=mode)
        folder.mkdir(exist_ok=True, mode=mode)
        fsync_folder(folder.parent)


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

SQLITE_ERRORS = (sqlite3.DatabaseError, UnicodeDecodeError)
"""What SQLite's refusals come as: of a damaged file its message may quote what is no text."""


def sqlite_code(error: BaseException | None) -> int:
    """SQLite's primary result code of an error; 0 for any other error."""
    if isinstance(error, UnicodeDecodeError):
        return sqlite3.SQLITE_CORRUPT
    return int(getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
