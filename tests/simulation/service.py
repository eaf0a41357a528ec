"""The real service on the simulation's loop, disk and clock: an ASGI application, asked by hand."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
import json
import shutil
import sqlite3
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from enforcement_api.app import Service as Parts
from enforcement_api.app import create_app
from enforcement_api.database.engine import new_epoch
from enforcement_api.problems import Problem
from enforcement_api.settings import Settings
from enforcement_api.staff import keys
from sync.exchange import Request
from tests.service import migrated_record
from tests.simulation.disk import Crash, Disk, at_work
from tests.simulation.world import Loop, World

SITE = "1085"
_NEVER = 1e7
MOVED_AHEAD = 10_000
"""Numbers that a restore leaves out, since they may have been given."""


@dataclass
class Reply:
    """What the service said."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    life: int = 0
    """How many restores there were when it was said."""

    def json(self) -> Any:
        return json.loads(self.body)


class Program:
    """The application, put together once for a folder: to do so takes longer than half a history.

    Started anew, it remembers nothing: each part is as it was when it was put together.
    """

    def __init__(self, settings: Settings) -> None:
        self.world: World | None = None
        self.app = create_app(settings, now=self._now)
        self.parts: Parts = self.app.state.service
        remembering = [
            part
            for part in (self.parts, self.parts.guard.ring, *vars(self.parts).values())
            if type(part).__module__.startswith("enforcement_api.") and hasattr(part, "__dict__")
        ]
        self._at_first = [
            (part, {name: _anew(value) for name, value in vars(part).items()})
            for part in remembering
            if not isinstance(part, Settings)
        ]

    def _now(self) -> datetime:
        assert self.world is not None
        return self.world.now()

    def forget(self) -> None:
        for part, at_first in self._at_first:
            vars(part).clear()
            vars(part).update({name: _anew(value) for name, value in at_first.items()})


def _anew(value: Any) -> Any:
    if isinstance(value, threading.Event):
        return threading.Event()
    return copy.copy(value) if isinstance(value, dict | set | list) else value


@functools.cache
def _program(folder: Path) -> Program:
    settings = Settings(data_dir=folder, database_url=f"sqlite:///{folder / 'record.db'}")
    return Program(
        replace(
            settings,
            follow_seconds=_NEVER,
            key_cache_seconds=_NEVER,
            requests_by_key=0,
            requests_by_address=0,
        )
    )


class SimulatedService:
    """It may crash, be started anew, and be restored from a backup."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.folder = folder
        self.disk = Disk()
        self.loop = Loop(world)
        self.life = 0
        self.parts: Parts | None = None
        folder.mkdir(parents=True)
        self._record = folder / "record.db"
        shutil.copy(migrated_record(), self._record)
        self._program = _program(folder)
        self._program.world = world
        self._settings = self._program.parts.settings
        self._tasks: set[asyncio.Task[None]] = set()
        self.ending: Callable[[], None] = lambda: None
        """Told that the service ends, while its record can still be read."""
        self.start()
        self.keys = {role: self._key(role) for role in ("admin", "feeder", "reader")}

    def _key(self, role: str) -> str:
        assert self.parts is not None
        return self.parts.record.write(
            lambda tx: keys.create(
                tx, role=role, name=role, source=None, sites=None, at=self.world.now()
            )
        )

    # its life

    @property
    def is_up(self) -> bool:
        return self.parts is not None

    def start(self) -> bool:
        """Start it; whether that worked: its disk may be full, or it may crash on the way."""
        assert self.parts is None
        self.disk.restart()
        with at_work(self.disk):
            self._program.forget()
            parts = self._program.parts
            try:
                parts.start()
            except (Problem, OSError, sqlite3.Error) as error:
                self.world.tell("service does not start:", type(error).__name__)
                parts.stop()
                return False
        self.parts = parts
        self._reader = sqlite3.connect(self._record, isolation_level=None)
        return True

    def crash(self) -> None:
        """It is gone: nobody who waits gets an answer."""
        self.world.tell("service crashes")
        self.disk.is_dead = True
        self._end()

    def stop(self) -> None:
        """It ends as it is told to: who waits for news is answered."""
        assert self.parts is not None
        with at_work(self.disk):
            self.parts.follower.release()
            self.loop.settle()
        self._end()

    def _end(self) -> None:
        assert self.parts is not None
        self.ending()
        for task in self._tasks:
            task.cancel()
        with at_work(self.disk):
            self.loop.settle()
            with contextlib.suppress(Crash):
                self.parts.stop()
        self._tasks.clear()
        self._reader.close()
        self.parts = None

    def close(self) -> None:
        if self.parts is not None:
            self._end()
        self.loop.close()

    # asking

    def ask(self, request: Request, *, token: str | None) -> Exchange:
        """Hand a request to the application, which may answer at once, later, or never."""
        assert self.parts is not None
        exchange = Exchange(self, request, token)
        self._tasks.add(exchange.task)
        self.run()
        return exchange

    def run(self) -> None:
        """Let it do what it can do now."""
        if self.parts is None:
            return
        with at_work(self.disk):
            self.loop.settle()
        self._tasks = {task for task in self._tasks if not task.done()}
        if self.disk.is_dead:
            self.crash()

    def told(self, method: str, path: str, body: Any = None, *, role: str = "admin") -> Reply:
        """What it says to somebody whose network is good."""
        content = None if body is None else json.dumps(body).encode()
        headers = {} if body is None else {"content-type": "application/json"}
        request = Request(method, path, {}, content, headers)
        exchange = self.ask(request, token=self.keys[role])
        return exchange.reply if exchange.is_answered else Reply()

    def rows(self, sql: str, *parameters: Any) -> list[Any]:
        """What lies in the record now, past the service's own code."""
        return self._reader.execute(sql, parameters).fetchall()

    # backups

    def back_up(self) -> Path:
        """A consistent copy of the record."""
        backup = self.folder.parent / f"backup-{self.life}-{self.world.seconds:.3f}.db"
        backup.unlink(missing_ok=True)
        with contextlib.closing(sqlite3.connect(backup)) as copy:
            self._reader.backup(copy)
        return backup

    def restore(self, backup: Path) -> None:
        """The record as it was at a backup, in a new epoch."""
        assert self.parts is None
        for path in self.folder.glob("record.db*"):
            path.unlink()
        shutil.copy(backup, self._record)
        record = sqlite3.connect(self._record)
        with record:
            record.execute("UPDATE meta SET value = ? WHERE name = 'epoch'", (new_epoch(),))
            record.execute("UPDATE number_series SET next = next + ?", (MOVED_AHEAD,))
        record.close()
        shutil.rmtree(self._settings.index_dir, ignore_errors=True)
        shutil.rmtree(self._settings.snapshot_dir, ignore_errors=True)
        self.life += 1

    def drop_superseded(self) -> None:
        """Superseded snapshots go now, as the next sweep would have them."""
        assert self.parts is not None
        newest = {file.path for file in self.parts.snapshots._newest.values()}
        for path in self._settings.snapshot_dir.glob("*/*"):
            if path not in newest:
                path.unlink()


class Exchange:
    """One request inside the service."""

    def __init__(self, service: SimulatedService, request: Request, token: str | None) -> None:
        self.reply = Reply(life=service.life)
        self.is_answered = False
        headers = dict(request.headers) | {"accept-language": "en"}
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        self._body: bytes | None = request.body or b""
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "path": request.path,
            "raw_path": request.path.encode(),
            "query_string": urlencode(request.parameters).encode(),
            "root_path": "",
            "scheme": "http",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 1),
            "server": ("localhost", 80),
        }
        self.task = service.loop.create_task(self._run(service, scope))

    async def _run(self, service: SimulatedService, scope: Mapping[str, Any]) -> None:
        with contextlib.suppress(Exception, Crash, BaseExceptionGroup):
            await service._program.app(scope, self._receive, self._send)

    async def _receive(self) -> dict[str, Any]:
        body, self._body = self._body, None
        if body is None:
            await asyncio.Event().wait()  # nobody hangs up
        return {"type": "http.request", "body": body, "more_body": False}

    async def _send(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.reply.status = message["status"]
            self.reply.headers = {
                name.decode().lower(): value.decode() for name, value in message["headers"]
            }
        else:
            self.reply.body += message.get("body", b"")
            self.is_answered = not message.get("more_body", False)
