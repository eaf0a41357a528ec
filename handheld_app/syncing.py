"""Keeps the handheld level with the service: pulling and pushing, a thread each (DESIGN)."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from sync.client import Refused, Revoked, ServiceClient, ServiceError, Unauthorized, Untrusted
from sync.clock import TrustedClock
from sync.codec import MalformedMessage
from sync.engine import Puller, Pusher
from sync.outbox import Outbox
from sync.replica import Replica, ReplicaError

LONG_POLL = 25
"""Seconds that a request waits at the service for something new."""
FIRST_RETRY, LAST_RETRY = 1.0, 30.0
"""Seconds between attempts without an answer: doubled each time."""
IDLE_PUSH = 15.0
"""Seconds after which what waits is tried again without being asked."""

_LATER = (ServiceError, ReplicaError, MalformedMessage, sqlite3.Error, OSError)
"""What may be over at the next attempt: no network, a full disk, a service that is updated.

Anything else is a defect of ours: it is logged, shown as `failing`, and tried again all the same,
for a handheld whose sync has ended looks like one that is level.
"""

_log = logging.getLogger(__name__)

Connection = Literal[
    "starting", "online", "offline", "untrusted", "refused", "unauthorized", "revoked", "failing"
]

SAID_NO: tuple[Connection, ...] = ("refused", "unauthorized", "revoked")
"""The service answers, and not with what was asked for."""


@dataclass(frozen=True, slots=True)
class SyncStatus:
    """What the header shows. `trouble` is the service's or the network's own words."""

    connection: Connection = "starting"
    synced_at: datetime | None = None
    unsent: int = 0
    set_aside: int = 0
    trouble: str = ""


class Syncing:
    """The two threads of one device at one site. `changed` is called on either of them."""

    def __init__(
        self,
        *,
        new_client: Callable[[], ServiceClient],
        site: str,
        replica: Replica,
        outbox: Outbox,
        clock: TrustedClock,
        forget: Callable[[], None],
        changed: Callable[[SyncStatus], None],
    ) -> None:
        """`forget` removes every plate from this device, once it is no longer trusted."""
        self._forget = forget
        self._clock = clock
        self._outbox = outbox
        self._replica = replica
        self._changed = changed
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._asked = {"pull": threading.Event(), "push": threading.Event()}
        self._new_client = new_client
        self._clients: list[ServiceClient] = []
        self._site = site
        state = None
        with contextlib.suppress(ReplicaError):  # a damaged index: the first pull fetches it anew
            state = replica.state()
        self.status = SyncStatus(synced_at=state.server_time if state else None)
        self._count()
        self._threads = [
            threading.Thread(target=self._pull_on, name="pull", daemon=True),
            threading.Thread(target=self._push_on, name="push", daemon=True),
        ]

    def start(self) -> None:
        """Begin; returns at once."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End both threads; returns at once. What is under way is given up and loses nothing, and
        nothing more is told or forgotten.
        """
        self._stopping.set()
        self.hurry()
        with self._lock:
            for client in self._clients:
                client.give_up()

    def join(self, seconds: float) -> bool:
        """Wait until both threads have ended, so long at most; whether they have."""
        ends = time.monotonic() + seconds
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, ends - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def hurry(self) -> None:
        """Try now rather than at the next turn: something was recorded, or a person asked."""
        for asked in self._asked.values():
            asked.set()

    # the threads

    def _pull_on(self) -> None:
        self._talk("pull", self._keep_level)
        self._replica.close()

    def _push_on(self) -> None:
        self._talk("push", self._keep_empty)

    def _talk(self, which: str, go_on: Callable[[ServiceClient], None]) -> None:
        """With a client of the thread's own: to make one, many certificates are read."""
        while not self._stopping.is_set():
            try:
                client = self._new_client()
            except Exception as error:
                self._trouble(error)
                self._rest(which, LAST_RETRY)
                continue
            with client:
                with self._lock:
                    self._clients.append(client)
                if not self._stopping.is_set():
                    go_on(client)
            return

    def _keep_level(self, client: ServiceClient) -> None:
        puller = Puller(client, self._site, self._replica, self._clock)
        pause, wait = FIRST_RETRY, 0
        while not self._stopping.is_set():
            try:
                try:
                    state = puller.pull(wait=wait)
                except Revoked as error:
                    self._end_trust(error)
                    break
            except Exception as error:
                if self._stopping.is_set():
                    break
                self._trouble(error)
                self._rest("pull", pause)
                pause, wait = min(pause * 2, LAST_RETRY), 0
                continue
            pause, wait = FIRST_RETRY, LONG_POLL
            if self.status.connection != "online":
                self._asked["push"].set()  # the network is back: what waits goes at once
            self._tell(connection="online", synced_at=state.server_time, trouble="")

    def _keep_empty(self, client: ServiceClient) -> None:
        pusher = Pusher(client, self._outbox, self._clock)
        pause = FIRST_RETRY
        while not self._stopping.is_set():
            try:
                try:
                    pushed = pusher.push()
                except Revoked as error:
                    self._end_trust(error)
                    raise
                held_up = pushed.waiting and not pushed.sent
                pause = min(pause * 2, LAST_RETRY) if held_up else FIRST_RETRY
            except _LATER:
                pause = min(pause * 2, LAST_RETRY)  # pulling tells of it
            except Exception as error:
                pause = min(pause * 2, LAST_RETRY)
                if not self._stopping.is_set():
                    self._trouble(error)
            with contextlib.suppress(Exception):
                self._count()
            waiting = self.status.unsent > self.status.set_aside
            self._rest("push", pause if waiting else IDLE_PUSH)

    def _rest(self, which: str, seconds: float) -> None:
        if self._stopping.is_set():
            return
        self._asked[which].wait(seconds)
        self._asked[which].clear()

    def _end_trust(self, error: Revoked) -> None:
        """The plates go; what was recorded stays, and is still sent."""
        if self._stopping.is_set():
            return  # another enrolment may have taken the place of this one
        self._forget()
        self._tell(connection="revoked", synced_at=None, trouble=str(error))

    def _trouble(self, error: Exception) -> None:
        connection: Connection = "offline"
        if isinstance(error, Untrusted):
            connection = "untrusted"
        elif isinstance(error, Unauthorized):
            connection = "unauthorized"
        elif isinstance(error, Refused):
            connection = "refused"
        trouble = str(error)
        if not isinstance(error, _LATER):
            _log.error("the sync failed", exc_info=error)
            connection, trouble = "failing", f"{type(error).__name__}: {error}"
        self._tell(connection=connection, trouble=trouble)

    def _count(self) -> None:
        self._tell(unsent=self._outbox.unsent(), set_aside=self._outbox.refused())

    def _tell(self, **changes: object) -> None:
        with self._lock:
            if self.status.connection == "revoked":
                changes.pop("connection", None)  # for good, whatever the other thread hears
            self.status = replace(self.status, **changes)  # type: ignore[arg-type]
            status = self.status
        if not self._stopping.is_set():
            self._changed(status)
