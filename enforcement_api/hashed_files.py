"""Files that are named by the SHA-256 of what is in them: written durably, once for all who have
the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from enforcement_api.problems import storage
from sync.files import PART, fsync_folder, make_folder, write_durably

_A_DAY = 24 * 3600
_NAME = re.compile(r"[0-9a-f]{64}")


def is_name(text: str) -> bool:
    """Whether a file here could have this name."""
    return _NAME.fullmatch(text) is not None


def path_of(folder: Path, sha256: str) -> Path:
    """Where a file lies."""
    return folder / sha256[:2] / sha256


def keep(folder: Path, sha256: str, content: bytes, *, mode: int = 0o644) -> None:
    """Write a file durably, or not at all. Raises StorageFailed."""
    path = path_of(folder, sha256)
    with storage(folder):
        make_folder(path.parent)
        if path.exists() and path.stat().st_size == len(content):
            fsync_folder(path.parent)  # whoever wrote it may not have come so far
        else:
            write_durably(path, content, mode=mode)
        fsync_folder(folder)


def whole(folder: Path, sha256: str) -> bytes | None:
    """A file's content; None if it is not there, or not what its name promises."""
    try:
        content = path_of(folder, sha256).read_bytes()
    except FileNotFoundError:
        return None
    return content if hashlib.sha256(content).hexdigest() == sha256 else None


@dataclass(frozen=True, slots=True)
class Found:
    """What a file is, whatever its name promises."""

    bytes: int
    sha256: str


def found(folder: Path, sha256: str) -> Found | None:
    """What lies where a file should, read a little at a time; None: nothing."""
    try:
        with path_of(folder, sha256).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
            return Found(file.tell(), digest.hexdigest())
    except FileNotFoundError:
        return None


def names(folder: Path) -> Iterator[str]:
    """The names of all files, in their order."""
    for path in sorted(folder.glob("[0-9a-f][0-9a-f]/*")):
        if is_name(path.name):
            yield path.name


def delete(folder: Path, sha256: str) -> None:
    """Take a file away durably; none of that name is as well. Raises StorageFailed."""
    path = path_of(folder, sha256)
    with storage(folder):
        if path.exists():
            path.unlink(missing_ok=True)
            fsync_folder(path.parent)


def sweep_parts(folder: Path) -> None:
    """Delete what crashes left half written: what nobody has written to for a day, by the clock of
    the disk that it lies on. Raises StorageFailed.
    """
    parts = list(folder.glob(f"[0-9a-f][0-9a-f]/*{PART}"))
    if not parts:
        return
    with storage(folder), tempfile.NamedTemporaryFile(dir=folder) as newest:
        now = os.stat(newest.name).st_mtime
        for part in parts:
            with contextlib.suppress(FileNotFoundError):
                if part.stat().st_mtime < now - _A_DAY:
                    part.unlink()
