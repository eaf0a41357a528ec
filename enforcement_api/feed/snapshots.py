"""Snapshots: the index, packed for handhelds that are new, far behind or damaged."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from enforcement_api.feed.follower import Follower
from enforcement_api.problems import N_, Problem, storage
from sync.replica import DamagedIndex, NotFilled, Replica, SnapshotFile

KEPT_SECONDS = 3600
"""How long a superseded snapshot can still be fetched."""

_SHARE = 50
"""A snapshot is made anew when more than one row in this many has changed since."""

_NAME = re.compile(r"[0-9a-f]{64}")


class UnknownSnapshot(Problem):
    """No such snapshot, or no longer."""

    status = 404
    slug = "unknown-snapshot"
    title = N_("There is no such snapshot any more")
    detail = N_("Ask /v1/sites/{site}/snapshot for the newest one.")


class NoSnapshotNow(Problem):
    """The index is being made anew, and there is nothing to hand out yet."""

    status = 503
    slug = "no-snapshot-now"
    title = N_("The snapshot is not ready")
    detail = N_("The index is being made anew. Ask again in {retry_after} seconds.")


class Snapshots:
    """The newest snapshot of each site, made when it is asked for."""

    def __init__(self, follower: Follower, folder: Path) -> None:
        self._follower = follower
        self._folder = folder
        self._newest: dict[str, SnapshotFile] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def newest(self, site: str) -> SnapshotFile:
        """A snapshot that is level, or nearly; catching up from it is quick.

        Raises UnknownSite, NoSnapshotNow, StorageFailed.
        """
        with self._lock:
            making = self._locks.setdefault(site, threading.Lock())
        with making:
            try:
                return self._fresh(site)
            except DamagedIndex:
                self._follower.follow(site)  # makes it anew
            try:
                return self._fresh(site)
            except (DamagedIndex, NotFilled) as error:
                raise NoSnapshotNow(retry_after=5) from error

    def made(self, site: str) -> SnapshotFile | None:
        """The one that was made last, if this process made one; none is made for it."""
        return self._newest.get(site)

    def _fresh(self, site: str) -> SnapshotFile:
        replica = self._follower.replica(site)
        state = replica.state()
        if state is None:
            raise DamagedIndex("the index is being made anew")
        found = self._newest.get(site)
        if (
            found is None
            or not found.path.exists()
            or found.state.epoch != state.epoch
            or found.state.sequence < self._follower.level(site).horizon  # its cursor has expired
            or (state.sequence - found.state.sequence) * _SHARE > state.digest.count
        ):
            found = self._newest[site] = self._make(site, replica)
        return found

    def _make(self, site: str, replica: Replica) -> SnapshotFile:
        folder = self._folder / site
        with storage(folder):
            superseded = _latest(folder)
            made = replica.export(folder)
            if superseded is not None:
                with contextlib.suppress(FileNotFoundError):
                    os.utime(superseded)
            _sweep(folder, made.path)
            return made

    def path(self, site: str, sha256: str) -> Path:
        """Where a snapshot lies. Raises UnknownSnapshot."""
        path = self._folder / site / f"{sha256}.gz"
        if not _NAME.fullmatch(sha256) or not path.is_file():
            raise UnknownSnapshot(site=site)
        return path


def _files(folder: Path) -> Iterator[tuple[float, Path]]:
    """When each file was made or superseded; other processes make and take away, too."""
    for path in folder.glob("*"):
        with contextlib.suppress(FileNotFoundError):
            yield path.stat().st_mtime, path


def _latest(folder: Path) -> Path | None:
    """The newest snapshot, whichever process made it."""
    found = [file for file in _files(folder) if file[1].suffix == ".gz"]
    return max(found)[1] if found else None


def _sweep(folder: Path, newest: Path) -> None:
    oldest = time.time() - KEPT_SECONDS
    for made, path in _files(folder):
        if path != newest and made < oldest:
            path.unlink(missing_ok=True)
