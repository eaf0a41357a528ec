"""Snapshots: the index, packed for handhelds that are new, far behind or damaged."""

from __future__ import annotations

import os
import re
import threading
import time
from pathlib import Path

from enforcement_api.feed.follower import Follower
from enforcement_api.problems import N_, Problem, storage
from sync.replica import SnapshotFile

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


class Snapshots:
    """The newest snapshot of each site, made when it is asked for."""

    def __init__(self, follower: Follower, folder: Path) -> None:
        self._follower = follower
        self._folder = folder
        self._newest: dict[str, SnapshotFile] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def newest(self, site: str) -> SnapshotFile:
        """A snapshot that is level, or nearly; catching up from it is quick. Raises UnknownSite."""
        replica = self._follower.replica(site)
        with self._lock:
            making = self._locks.setdefault(site, threading.Lock())
        with making:
            found = self._newest.get(site)
            state = replica.state()
            assert state is not None
            fresh = (
                found is not None
                and found.path.exists()
                and found.state.epoch == state.epoch
                and (state.sequence - found.state.sequence) * _SHARE <= state.digest.count
            )
            if found is None or not fresh:
                folder = self._folder / site
                with storage(folder):
                    superseded = self._latest(folder)
                    found = replica.export(folder)
                    if superseded is not None:
                        os.utime(superseded)
                    self._sweep(folder, found.path)
                self._newest[site] = found
            return found

    def path(self, site: str, sha256: str) -> Path:
        """Where a snapshot lies. Raises UnknownSnapshot."""
        path = self._folder / site / f"{sha256}.gz"
        if not _NAME.fullmatch(sha256) or not path.is_file():
            raise UnknownSnapshot(site=site)
        return path

    def _latest(self, folder: Path) -> Path | None:
        """The newest file, whichever process made it; one that others took away is not it."""
        found = [(path.stat().st_mtime, path) for path in folder.glob("*.gz")]
        return max(found)[1] if found else None

    def _sweep(self, folder: Path, newest: Path) -> None:
        oldest = time.time() - KEPT_SECONDS
        for path in folder.iterdir():
            if path != newest and path.stat().st_mtime < oldest:
                path.unlink(missing_ok=True)
