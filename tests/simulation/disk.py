"""Storage that may fail: full, or the last thing that a machine ever wrote to.

Real files and real SQLite. Where the code hands something over to the disk (a transaction begins
or commits, a file is flushed, renamed or deleted), the disk of the machine that is at work may be
full, or the machine may crash before it or after it. Once crashed it touches nothing any more,
whatever its clean-up would have done; it must be started anew.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from unittest import mock


class Crash(BaseException):
    """The machine ends here; nothing of ours may catch it."""


class Disk:
    """The storage of one machine."""

    def __init__(self) -> None:
        self.is_full = False
        self.is_dead = False
        self.handed_over = 0
        """How often something was handed over: what is kept is the same until then."""
        self.crash_in: int | None = None
        """How many hand-overs from now the machine crashes; each has a before and an after."""

    def hand_over(self) -> None:
        """Raises Crash, when this is where it comes."""
        if self.is_dead:
            raise Crash
        self.handed_over += 1
        if self.crash_in is not None:
            self.crash_in -= 1
            if self.crash_in < 0:
                self.crash_in, self.is_dead = None, True
                raise Crash

    def restart(self) -> None:
        self.is_dead, self.crash_in = False, None


_at_work: Disk | None = None


@contextlib.contextmanager
def at_work(disk: Disk) -> Iterator[None]:
    """Within the block, what is written is written by this machine."""
    global _at_work
    before, _at_work = _at_work, disk
    try:
        yield
    finally:
        _at_work = before


def _on_disk(work: Callable[..., Any], *arguments: Any, full: Callable[[], Exception]) -> Any:
    disk = _at_work
    if disk is None:
        return work(*arguments)
    disk.hand_over()
    if disk.is_full:
        raise full()
    result = work(*arguments)
    disk.hand_over()
    return result


def _no_space() -> Exception:
    return OSError(errno.ENOSPC, "No space left on device")


def _sqlite_full() -> Exception:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode, error.sqlite_errorname = sqlite3.SQLITE_FULL, "SQLITE_FULL"
    return error


class _Connection(sqlite3.Connection):
    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if sql == "COMMIT" and self.in_transaction and self.total_changes != self._before:
            return _on_disk(super().execute, sql, full=_sqlite_full)
        if sql.startswith("BEGIN"):
            self._before = self.total_changes
        return super().execute(sql, *parameters)

    def commit(self) -> None:
        if self.in_transaction:
            _on_disk(super().commit, full=_sqlite_full)

    _before = 0


def _unlink(work: Callable[..., None], *arguments: Any, **options: Any) -> None:
    """A full disk deletes all the same."""
    if _at_work is not None:
        _at_work.hand_over()
    work(*arguments, **options)


@contextlib.contextmanager
def faulty_storage() -> Iterator[None]:
    """Within the block, storage is what the Disk at work makes of it."""
    connect = partial(sqlite3.connect, factory=_Connection)
    with (
        mock.patch("sqlite3.connect", connect),
        mock.patch("sqlite3.dbapi2.connect", connect),
        mock.patch("os.fsync", partial(_on_disk, os.fsync, full=_no_space)),
        mock.patch("os.replace", partial(_on_disk, os.replace, full=_no_space)),
        mock.patch("os.unlink", partial(_unlink, os.unlink)),
    ):
        yield
