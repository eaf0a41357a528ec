"""Handhelds that wait for news of one site: what an answer costs, and how soon all have it."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection

from benchmarks import constant, material
from benchmarks.measuring import Line
from benchmarks.service import Server, patrouille
from benchmarks.service import constant as serve_constant
from enforcement_api.database.engine import Record
from enforcement_api.devices import store as devices
from enforcement_api.security import new_secret
from enforcement_api.settings import Settings

HANDHELDS = 500
_DEADLINE = 60
_QUIET = 0.25
"""Seconds without CPU time after which a process has nothing left to do."""

_SITE = f"/v1/sites/{material.SITE.id}"


def run(folder: Path, *, repetitions: int) -> list[Line]:
    """One change wakes all handhelds, each with a device's token and a poll of its own; the
    service's limits are those that it has by itself.
    """
    with patrouille(folder, settings={}) as server:
        tokens = _enrol(folder)
        with serve_constant(_size_of_a_page(server, tokens[0])) as limit:
            return asyncio.run(_measure(server, limit, tokens, repetitions))


def _enrol(folder: Path) -> list[str]:
    now = datetime.now(UTC)
    tokens = [new_secret("device") for _ in range(HANDHELDS)]

    def enrol(tx: Connection) -> None:
        for n, token in enumerate(tokens):
            _, code = devices.add(
                tx,
                name=f"handheld {n}",
                sites=[material.SITE.id],
                by="command",
                at=now,
                code_expires_at=now + timedelta(minutes=10),
            )
            devices.enrol(tx, code=code, install_id=None, token=token, at=now)

    record = Record(Settings.load(folder, {}).database_url)
    record.write(enrol)
    record.close()
    return tokens


class _Handheld:
    """A connection, and the cursor that it has come to."""

    def __init__(self, server: Server, token: str) -> None:
        self._server = server
        self._token = token
        self.cursor = ""
        self.answered_at = 0.0

    async def connect(self) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._server.port)

    def close(self) -> None:
        self._writer.close()

    async def ask(self, path: str) -> bytes:
        self._writer.write(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._server.port}\r\n"
            f"Accept: application/json\r\nUser-Agent: bench\r\n"
            f"Authorization: Bearer {self._token}\r\n\r\n".encode()
        )
        head = await self._reader.readuntil(b"\r\n\r\n")
        body = await self._reader.readexactly(_length(head))
        self.answered_at = time.perf_counter()
        assert head.startswith(b"HTTP/1.1 200"), head + body
        return body

    async def catch_up(self) -> None:
        self.cursor = json.loads(await self.ask(f"{_SITE}/changes"))["cursor"]

    async def poll(self) -> None:
        page = json.loads(await self.ask(f"{_SITE}/changes?after={self.cursor}&wait=30"))
        assert len(page["changes"]) == 1, page
        self.cursor = page["cursor"]

    async def wait(self) -> None:
        await self.ask(constant.WAIT)


def _length(head: bytes) -> int:
    return int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])


def _change(server: Server, number: int) -> None:
    entry = {"plate": "ABC 123", "reason": f"change {number:09}", "priority": "low"}
    server.send("PUT", f"{_SITE}/hotlist/h1", json.dumps(entry).encode())


def _size_of_a_page(server: Server, token: str) -> int:
    async def size() -> int:
        handheld = _Handheld(server, token)
        await handheld.connect()
        await handheld.catch_up()
        await asyncio.to_thread(_change, server, 0)
        page = await handheld.ask(f"{_SITE}/changes?after={handheld.cursor}")
        handheld.close()
        return len(page)

    return asyncio.run(size())


async def _quiet(server: Server) -> None:
    """Return when the process has nothing left to do: all polls wait, all is written down."""
    async with asyncio.timeout(_DEADLINE):
        before = server.cpu_seconds()
        while True:
            await asyncio.sleep(_QUIET)
            now = server.cpu_seconds()
            if now - before < _QUIET / 25:
                return
            before = now


async def _round(
    server: Server,
    handhelds: Sequence[_Handheld],
    poll: Callable[[_Handheld], asyncio.Future[None]],
    change: Callable[[], object],
) -> tuple[float, list[float]]:
    """CPU seconds of the process, from the polls to the last of what they leave to do; and the
    seconds on the wall from the sending of the change to each answer, in order.
    """
    for handheld in handhelds:
        await handheld.connect()
    before = server.cpu_seconds()
    polls = [poll(handheld) for handheld in handhelds]
    await _quiet(server)
    sent_at = time.perf_counter()
    async with asyncio.timeout(_DEADLINE):
        await asyncio.to_thread(change)
        await asyncio.gather(*polls)
    await _quiet(server)
    spent = server.cpu_seconds() - before
    for handheld in handhelds:
        handheld.close()
    return spent, sorted(handheld.answered_at - sent_at for handheld in handhelds)


async def _measure(
    server: Server, limit: Server, tokens: Sequence[str], repetitions: int
) -> list[Line]:
    ours = [_Handheld(server, token) for token in tokens]
    theirs = [_Handheld(limit, token) for token in tokens]
    await ours[0].connect()
    await ours[0].catch_up()
    ours[0].close()
    for handheld in ours:
        handheld.cursor = ours[0].cursor
    rounds = []
    for n in range(repetitions + 1):
        rounds.append(
            (
                await _round(
                    server,
                    ours,
                    lambda h: asyncio.ensure_future(h.poll()),
                    lambda: _change(server, n + 1),  # noqa: B023 - called within this round
                ),
                await _round(
                    limit,
                    theirs,
                    lambda h: asyncio.ensure_future(h.wait()),
                    lambda: limit.send("PUT", constant.CHANGE, b""),
                ),
            )
        )
    del rounds[0]  # it does not count
    told = f"{HANDHELDS} handhelds wait at their cursors, one change wakes all"
    lines = [
        _line(
            "polls",
            f"{told}: CPU of the service's process a poll, what devices are remembered by included",
            "bare Starlette under uvicorn: ready bytes, one event wakes all",
            "µs",
            [(a[0] / HANDHELDS * 1e6, b[0] / HANDHELDS * 1e6) for a, b in rounds],
        )
    ]
    for name, share in (("polls p50", 0.5), ("polls p99", 0.99)):
        place = int(HANDHELDS * share)
        lines.append(
            _line(
                name,
                f"{told}: from sending the change to the answer, on the wall",
                "the same of bare Starlette",
                "ms",
                [(a[1][place] * 1e3, b[1][place] * 1e3) for a, b in rounds],
            )
        )
    return lines


def _line(
    name: str, ours: str, limit: str, unit: str, rounds: Sequence[tuple[float, float]]
) -> Line:
    return Line(
        name=name,
        ours=ours,
        limit=limit,
        unit=unit,
        goal=None,
        ratios=[a / b for a, b in rounds],
        our_cost=statistics.median(a for a, _ in rounds),
        limit_cost=statistics.median(b for _, b in rounds),
    )
