"""The service's own replicas: index files that follow the record's feed.

Each machine follows into files of its own. After a crash, or a change made by another process,
the next look catches up.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from enforcement_api.database.engine import Record
from enforcement_api.feed import store
from enforcement_api.feed.core import Cursor, CursorExpired
from enforcement_api.problems import Problem, StorageFailed, storage
from enforcement_api.sites.core import UnknownSite
from sync.replica import DamagedIndex, DigestMismatch, Overtaken, Replica, ReplicaError, State

_PAGE = 10_000
_TRIES = 20

_log = logging.getLogger(__name__)


class Follower:
    """Keeps the index of every site level with the record, and wakes who waits for news."""

    def __init__(
        self,
        record: Record,
        folder: Path,
        *,
        now: Callable[[], datetime],
        seconds: float,
        storage_failed: Callable[[StorageFailed], None] = lambda problem: None,
    ) -> None:
        self._record = record
        self._folder = folder
        self._now = now
        self._seconds = seconds
        self._storage_failed = storage_failed
        self._replicas: dict[str, Replica] = {}
        self._levels: dict[str, store.Level] = {}
        self._behind: set[str] = set()
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()
        self.failure: BaseException | None = None

    def start(self) -> None:
        """Catch up, then look for what other processes change, until stopped."""
        for folder in self._folder.iterdir():
            with storage(folder):
                self._replica(folder.name).sweep()
        self.look()
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; whoever waits for news is answered."""
        self.release()
        if self._thread is not None:
            self._thread.join()

    def release(self) -> None:
        """Answer whoever waits for news: the service is about to end."""
        self._stopping.set()
        self._wake()

    def _run(self) -> None:
        while not self._stopping.wait(self._seconds):
            try:
                self.look()
                self.failure = None
            except Exception as error:
                if isinstance(error, StorageFailed):
                    self._storage_failed(error)
                if self.failure is None:
                    _log.error("the index cannot follow the record: %s", error)
                self.failure = error

    def look(self) -> None:
        """Catch up with every site that has changed.

        Raises what kept an index from it, once all were looked at: StorageFailed, ReplicaError,
        sqlite3.Error. Until such an index is level again, the record answers.
        """
        failed: Exception | None = None
        for level in self._record.read(store.levels):
            try:
                self._look_at(level)
            except (StorageFailed, ReplicaError, sqlite3.Error) as error:
                self._behind.add(level.site)
                failed = failed or error
        if failed is not None:
            raise failed

    def _look_at(self, level: store.Level) -> None:
        known = self._levels.get(level.site)
        is_level = known is not None and _place(known) == _place(level)
        if not is_level or self.is_behind(level.site) or not self._is_whole(level.site):
            self.catch_up(level.site)
        elif known != level:  # a contact, or something forgotten, takes no number
            self._levels[level.site] = level

    def follow(self, site: str) -> None:
        """Bring the index level with what was just committed. Raises UnknownSite.

        An index that fails now does not undo the commit: whoever runs the service is told, and not
        who asked. Until it is level again, the record answers.
        """
        try:
            self.catch_up(site)
        except StorageFailed as problem:
            self._behind.add(site)
            self._storage_failed(problem)
        except (ReplicaError, sqlite3.Error) as error:
            self._behind.add(site)
            _log.error("the index of site %s is behind, the record answers: %s", site, error)

    def is_behind(self, site: str) -> bool:
        """Whether something was acknowledged that the index does not know."""
        return site in self._behind

    def _is_whole(self, site: str) -> bool:
        try:
            return self._replica(site).state() is not None
        except DamagedIndex:
            return False

    def catch_up(self, site: str) -> None:
        """Bring the index of a site level with the record.

        Raises UnknownSite, StorageFailed, and DigestMismatch if an index made anew differs too.
        """
        with self._site_lock(site), storage(self._folder):
            replica = self._replica(site)
            level = self._record.read(lambda tx: store.level(tx, site))
            try:
                if not _is_level(replica.state(), level):
                    self._apply(site, replica)
            except (CursorExpired, DigestMismatch, DamagedIndex) as error:
                _log.warning("the index of site %s is made anew: %s", site, error)
                replica.wipe()
                self._apply(site, replica)
            self._replicas[site] = replica
            self._levels[site] = level
            self._behind.discard(site)
        self._wake()

    def _apply(self, site: str, replica: Replica) -> None:
        for _ in range(_TRIES):
            state = replica.state()
            after = None if state is None else Cursor.parse(state.cursor, site=site)
            pages = store.pages(self._record, site=site, after=after, limit=_PAGE, now=self._now())
            # Another process that fills the same files may be quicker: then look again.
            with contextlib.suppress(Overtaken), contextlib.closing(pages):
                replica.apply(pages, after=None if state is None else state.cursor)
                return
        raise Overtaken(f"the index of site {site} moves on by itself")

    def _replica(self, site: str) -> Replica:
        return self._replicas.get(site) or Replica(self._folder / site)

    def _site_lock(self, site: str) -> threading.Lock:
        with self._lock:
            return self._locks.setdefault(site, threading.Lock())

    def replica(self, site: str) -> Replica:
        """The index of a site. Raises UnknownSite."""
        try:
            return self._replicas[site]
        except KeyError:
            raise UnknownSite(site=site) from None

    @property
    def levels(self) -> Mapping[str, store.Level]:
        """How far the index of each site has come."""
        return self._levels

    def level(self, site: str) -> store.Level:
        """How far the index of a site has come. Raises UnknownSite."""
        try:
            return self._levels[site]
        except KeyError:
            raise UnknownSite(site=site) from None

    def fed(self, site: str) -> None:
        """A feeder has been in touch, and changed nothing: look at the record for when."""
        with contextlib.suppress(Problem):
            level = self._record.read(lambda tx: store.level(tx, site))
            known = self._levels.get(site)
            if known is not None and _place(known) == _place(level):
                self._levels[site] = level
            else:
                self.follow(site)

    async def wait(self, site: str, *, beyond: int, seconds: float) -> None:
        """Return when the site's feed is beyond a sequence number, or the seconds are over."""
        event = asyncio.Event()
        entry = (asyncio.get_running_loop(), event)
        self._waiting.add(entry)
        try:
            async with asyncio.timeout(seconds):
                while not self._stopping.is_set() and self.level(site).sequence <= beyond:
                    await event.wait()
                    event.clear()
        except TimeoutError:
            pass
        finally:
            self._waiting.discard(entry)

    def _wake(self) -> None:
        for loop, event in list(self._waiting):
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(event.set)


def _place(level: store.Level) -> tuple[str, int]:
    return level.epoch, level.sequence


def _is_level(state: State | None, level: store.Level) -> bool:
    """Whether an index has nothing to learn: then it is left as it is."""
    return state is not None and (state.epoch, state.sequence, state.digest, state.fed_at) == (
        level.epoch,
        level.sequence,
        level.digest,
        level.fed_at,
    )
