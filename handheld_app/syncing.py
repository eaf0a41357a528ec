"""Keeps the handheld level with the service: pulling and pushing, a thread each (DESIGN).

What is done, and when it is tried again, is `sync.engine`'s; here are the threads, and who is told.
"""

from __future__ import annotations

import contextlib
import logging
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Literal

from sync import engine
from sync.client import ServiceClient
from sync.codec import MalformedMessage
from sync.edges import Edges
from sync.engine import Effect, Pass
from sync.exchange import Refused, Revoked, ServiceError, Unauthorized, Untrusted
from sync.outbox import Outbox
from sync.replica import Replica, ReplicaError

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
    """What the header shows. `trouble` is the service's or the network's own words.

    unsent     everything that the service does not have, events and refused items too
    recorded   the infractions and photos among it that are still to be sent
    """

    connection: Connection = "starting"
    synced_at: datetime | None = None
    unsent: int = 0
    recorded: int = 0
    set_aside: int = 0
    trouble: str = ""


class Syncing:
    """The two threads of one device at one site. `changed` is called on either of them."""

    def __init__(
        self,
        *,
        new_edges: Callable[[], Edges],
        site: str,
        replica: Replica,
        outbox: Outbox,
        forget: Callable[[], None],
        changed: Callable[[SyncStatus], None],
        dice: engine.Dice = random.random,
    ) -> None:
        """`new_edges` gives each thread edges of its own; `forget` removes every plate from this
        device, once it is no longer trusted.
        """
        self._forget = forget
        self._outbox = outbox
        self._replica = replica
        self._changed = changed
        self._dice = dice
        self._lock = threading.Lock()
        self._stopping, self._revoked = threading.Event(), threading.Event()
        self._asked = {"pull": threading.Event(), "push": threading.Event()}
        self._new_edges = new_edges
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
        self._go_on("pull", lambda: engine.keep_level(self._site, dice=self._dice))
        self._replica.close()

    def _push_on(self) -> None:
        self._go_on("push", lambda: engine.keep_empty(self._site, dice=self._dice))

    def _go_on(self, which: str, steps: Callable[[], Pass[None]]) -> None:
        """With a client of the thread's own: to make one, many certificates are read."""
        while not self._stopping.is_set():
            try:
                edges = self._new_edges()
            except Exception as error:
                self._trouble(error)
                self._rest(which, engine.LAST_RETRY)
                continue
            with edges.client, contextlib.suppress(_Stopped):
                with self._lock:
                    self._clients.append(edges.client)
                engine.run(steps(), partial(self._perform, which, edges))
            return

    def _perform(self, which: str, edges: Edges, effect: Effect) -> Any:
        if self._stopping.is_set():
            raise _Stopped
        match effect:
            case engine.Rest(seconds):
                self._rest(which, seconds)
            case engine.Level(state):
                if self.status.connection != "online":
                    self._asked["push"].set()  # the network is back: what waits goes at once
                self._tell(connection="online", synced_at=state.server_time, trouble="")
            case engine.Pushed():
                self._count()
            case engine.Trouble(error):
                # Of what is in the network's way, pulling tells.
                if which == "pull" or not isinstance(error, _LATER):
                    self._trouble(error)
                with contextlib.suppress(Exception):
                    self._count()
            case engine.KeepBriefing(briefed):
                edges.perform(effect)
                if briefed is not None:
                    self._tell()
            case engine.EndTrust(error):
                self._end_trust(error)
            case engine.Install() | engine.Apply():
                try:
                    return edges.perform(effect)
                finally:
                    # The other thread may have heard of it meanwhile, and deleted too early.
                    if self._revoked.is_set():
                        self._forget()
            case _:
                return edges.perform(effect)
        return None

    def _rest(self, which: str, seconds: float) -> None:
        if self._stopping.is_set():
            return
        self._asked[which].wait(seconds)
        self._asked[which].clear()

    def _end_trust(self, error: Revoked) -> None:
        """The plates go; what was recorded stays, and is still sent."""
        if self._stopping.is_set():
            return  # another enrolment may have taken the place of this one
        with self._lock:
            if self._revoked.is_set():
                return  # the other thread has heard of it
            self._revoked.set()
        try:
            self._forget()
        except BaseException:
            self._revoked.clear()  # the plates may be there still: it is tried again
            raise
        self._tell(connection="revoked", synced_at=None, trouble=str(error))

    def _trouble(self, error: Exception) -> None:
        if self._stopping.is_set():
            return
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
        box = self._outbox
        self._tell(unsent=box.unsent(), recorded=box.recorded_waiting(), set_aside=box.refused())

    def _tell(self, **changes: object) -> None:
        with self._lock:
            if self.status.connection == "revoked":
                changes.pop("connection", None)  # for good, whatever the other thread hears
            self.status = replace(self.status, **changes)  # type: ignore[arg-type]
            status = self.status
        if not self._stopping.is_set():
            self._changed(status)


class _Stopped(BaseException):
    """The sync was told to end: no pass may take it for a failure."""
