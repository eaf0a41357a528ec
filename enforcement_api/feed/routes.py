"""The sync protocol over HTTP (CONTRACT, "Sync")."""

import asyncio
import re
from collections.abc import Callable, Hashable
from datetime import datetime
from functools import partial
from typing import Annotated, Any

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse
from pydantic import BaseModel
from pydantic.config import JsonDict
from sqlalchemy import Connection
from starlette.background import BackgroundTask

from enforcement_api.database.engine import Record
from enforcement_api.feed import store
from enforcement_api.feed.core import Cursor
from enforcement_api.feed.follower import Follower
from enforcement_api.feed.snapshots import Snapshots
from enforcement_api.problems import N_, Problem
from enforcement_api.security import Guard, Principal
from enforcement_api.shapes import shown_as
from sync import codec
from sync.messages import PROTOCOL_VERSION, ChangePage, SnapshotManifest

_NOTED_AT_ONCE = 2

Seen = Callable[..., None]
"""Told, in a transaction of its own, how far a device has come."""


class DigestOut(BaseModel):
    """Number of live rows, and the sum of their hashes modulo 2^64 in 16 hexadecimal digits."""

    count: int
    sum: str


class ChangeOut(BaseModel):
    """One whole record, or its removal (null)."""

    kind: str
    id: str
    record: dict[str, Any] | None


_ZONE_EXAMPLE: JsonDict = {"id": "G1", "name": {"fr": "Zone 1", "en": "Zone 1"}, "note": None}


class ChangesOut(BaseModel):
    """A page of the feed. `digest` is the site's at `cursor`, null while there is more."""

    model_config = shown_as(
        {
            "protocol": 1,
            "epoch": "5b0c3f0e9a1d",
            "cursor": "MSA1YjBjM2YwZTlhMWQgMTIzNCAxMDg1",
            "sequence": 1234,
            "more": False,
            "changes": [{"kind": "zone", "id": "G1", "record": _ZONE_EXAMPLE}],
            "digest": {"count": 1200, "sum": "9f2c81d07a4be310"},
            "server_time": "2026-11-23T15:15:00Z",
            "fed_at": "2026-11-23T15:14:02Z",
        }
    )

    protocol: int
    epoch: str
    cursor: str
    sequence: int
    more: bool
    changes: list[ChangeOut]
    digest: DigestOut | None
    server_time: str
    fed_at: str | None


class SnapshotOut(BaseModel):
    """Where to fetch the index as a file, and what it must turn out to be."""

    model_config = shown_as(
        {
            "protocol": 1,
            "epoch": "5b0c3f0e9a1d",
            "cursor": "MSA1YjBjM2YwZTlhMWQgMTIzNCAxMDg1",
            "sequence": 1234,
            "url": "/v1/sites/1085/snapshots/9f86d08188" + "0" * 54 + ".gz",
            "sha256": "9f86d08188" + "0" * 54,
            "bytes": 812345,
            "encoding": "gzip",
            "digest": {"count": 1200, "sum": "9f2c81d07a4be310"},
            "server_time": "2026-11-23T15:15:00Z",
            "fed_at": "2026-11-23T15:14:02Z",
        }
    )

    protocol: int
    epoch: str
    cursor: str
    sequence: int
    url: str
    sha256: str
    bytes: int
    encoding: str
    digest: DigestOut
    server_time: str
    fed_at: str | None


class RangeNotSatisfiable(Problem):
    """A range that begins behind the end."""

    status = 416
    slug = "range-not-satisfiable"
    title = N_("The file ends before this range")
    detail = N_("It has {size} bytes: if you have them all, check their SHA-256.")


_RANGE = re.compile(r"bytes=(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))")


def check_range(request: Request, size: int, tag: str) -> None:
    """Forget a Range that cannot be read, or is of another file by its If-Range, as HTTP has it
    (RFC 9110). Raises RangeNotSatisfiable.
    """
    wanted = request.headers.get("range")
    if wanted is None:
        return
    match = _RANGE.fullmatch(wanted.strip())
    first, last, suffix = match.groups() if match else (None, None, None)
    is_of_another = request.headers.get("if-range", tag).strip() != tag
    if match is None or is_of_another or (first and last and int(last) < int(first)):
        kept = [(name, value) for name, value in request.scope["headers"] if name != b"range"]
        request.scope["headers"] = kept
    elif (first and int(first) >= size) or (suffix and int(suffix) == 0):
        raise RangeNotSatisfiable(size=size, headers={"Content-Range": f"bytes */{size}"})


_Answer = tuple[ChangePage, bytes]


def _encoded(page: ChangePage) -> _Answer:
    return page, codec.json_text(codec.change_page_json(page)).encode()


class _Shared:
    """One reading of the record for all who ask for the same page within the same second."""

    def __init__(self) -> None:
        self._readings: dict[Hashable, asyncio.Task[_Answer]] = {}

    async def read(self, what: Hashable, answer: Callable[[], _Answer]) -> _Answer:
        """`what` holds all that the answer depends on. Raises what the reading raises."""
        loop = asyncio.get_running_loop()
        key = (loop, what)
        reading = self._readings.get(key)
        if reading is None:
            reading = self._readings[key] = loop.create_task(run_in_threadpool(answer))
            loop.call_later(1, self._readings.pop, key, None)
        # Who hangs up does not end the reading of the others.
        return await asyncio.shield(reading)


def router(
    *,
    record: Record,
    follower: Follower,
    snapshots: Snapshots,
    guard: Guard,
    now: Callable[[], datetime],
    seen: Seen,
) -> APIRouter:
    """The routes that handhelds follow a site by."""
    routes = APIRouter(prefix="/v1/sites/{site}", tags=["sync"])
    # Threads of their own: they wait to write, and nobody who reads should wait with them.
    noting = CapacityLimiter(_NOTED_AT_ONCE)

    async def note(*what: Any) -> None:
        await to_thread.run_sync(partial(seen, *what), limiter=noting)

    lets_in = guard.allow("device", "admin")
    shared = _Shared()
    reads = Depends(lets_in)

    @routes.get(
        "/snapshot", operation_id="getSnapshot", response_model=SnapshotOut, summary="Snapshot"
    )
    def snapshot(site: str, principal: Annotated[Principal, reads]) -> dict[str, Any]:
        """Describe the newest snapshot; fetch it at `url`, then go on from `cursor`."""
        follower.follow(site)
        file = snapshots.newest(site)
        state = file.state
        manifest = SnapshotManifest(
            protocol=PROTOCOL_VERSION,
            epoch=state.epoch,
            cursor=state.cursor,
            sequence=state.sequence,
            url=f"/v1/sites/{site}/snapshots/{file.sha256}.gz",
            sha256=file.sha256,
            bytes=file.bytes,
            encoding="gzip",
            digest=state.digest,
            server_time=now(),
            fed_at=state.fed_at,
        )
        return codec.snapshot_manifest_json(manifest)

    @routes.get(
        "/snapshots/{sha256}.gz",
        operation_id="getSnapshotFile",
        response_class=FileResponse,
        responses={
            200: {"content": {"application/gzip": {}}, "description": "The whole file"},
            206: {"content": {"application/gzip": {}}, "description": "The range asked for"},
            304: {"description": "It is the one you have"},
        },
        summary="Snapshot file",
    )
    def snapshot_file(
        site: str, sha256: str, request: Request, principal: Annotated[Principal, reads]
    ) -> Response:
        """Fetch a snapshot: a gzipped SQLite file, immutable; Range, If-Range, If-None-Match."""
        path = snapshots.path(site, sha256)
        tag = f'"{sha256}"'
        headers = {"ETag": tag, "Cache-Control": "private, max-age=31536000, immutable"}
        known = request.headers.get("if-none-match", "")
        if sha256 in known or known.strip() == "*":
            return Response(status_code=304, headers=headers)
        check_range(request, path.stat().st_size, tag)
        return FileResponse(path, media_type="application/gzip", headers=headers)

    @routes.get("/changes", operation_id="getChanges", response_model=ChangesOut, summary="Changes")
    async def changes(
        site: str,
        request: Request,
        principal: Annotated[Principal, reads],
        after: Annotated[str | None, Query(description="The cursor of the page before")] = None,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
        wait: Annotated[int, Query(ge=0, le=30, description="Seconds to wait for news")] = 0,
    ) -> Response:
        """Give what changed after a cursor; from the beginning without one."""
        cursor = None if after is None else Cursor.parse(after, site=site)

        def read(tx: Connection) -> ChangePage:
            return store.page(tx, site=site, after=cursor, limit=limit, now=now())

        def answer() -> _Answer:
            return _encoded(record.read(read))

        async def ask() -> _Answer:
            level = follower.levels.get(site)
            if not wait or level is None or follower.is_behind(site):
                return await run_in_threadpool(answer)
            # What is newer than this level, of another process, ends the wait that follows.
            if (nothing := store.nothing_new(level, cursor, now=now())) is not None:
                return _encoded(nothing)
            return await shared.read((site, after, limit, level, codec.instant(now())), answer)

        page, body = await ask()
        if wait and not page.changes and not page.more:
            await follower.wait(site, beyond=page.sequence, seconds=wait)
            await lets_in(request)  # who was let in may have been revoked meanwhile
            page, body = await ask()
        then = None
        if principal.role == "device" and not page.more:
            then = BackgroundTask(note, principal.id, site, page.cursor, page.sequence, now())
        return Response(body, media_type="application/json", background=then)

    return routes
