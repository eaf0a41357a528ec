"""The real service in one process with the test, and real handhelds that talk to it.

    with running(tmp_path) as service:
        service.site("1085", zones=["G1", "G2"])
        service.permit("ABC123", zone="G1")
        assert service.check("ABC 123", zone="G1")["verdict"] == "valid"
        handheld = service.handheld()
        handheld.pull()

Nothing of ours is replaced: requests go through the whole ASGI application, the record is a real
file or a real PostgreSQL database, and the clock is the one that composition roots are given.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import io
import itertools
import json
import shutil
import tempfile
import threading
import uuid
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
from PIL import Image

from enforcement_api.app import Service as Parts
from enforcement_api.app import create_app
from enforcement_api.database.engine import Record
from enforcement_api.feed import store as feed
from enforcement_api.settings import Settings
from enforcement_api.staff import keys
from sync import engine, exchange
from sync.client import ServiceClient
from sync.clock import TrustedClock
from sync.codec import instant
from sync.edges import Edges
from sync.engine import Pushed
from sync.outbox import Outbox
from sync.plates import Plate
from sync.replica import Replica, State
from sync.validity import Judgement
from tests import quick_routes

T = TypeVar("T")

NOW = datetime(2026, 11, 23, 15, 15, tzinfo=UTC)
ADDRESS = "http://localhost"
ENDS_WITHIN_S = 60


class Clock:
    """A clock that the test sets."""

    def __init__(self, at: datetime = NOW) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def advance(self, **by: float) -> None:
        self.at += timedelta(**by)


class Loop:
    """An event loop in a thread of its own: where an application lives."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="app", daemon=True)
        self._thread.start()

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.start(work).result(ENDS_WITHIN_S)

    def close(self) -> None:
        self.run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Bridge(httpx.BaseTransport):
    """An ASGI application to a client that waits: any number of threads may use it.

    `is_down`: nobody answers, as when the network is lost. `lose`: told of each answer that the
    service gave; where it says yes, the answer never arrives.
    """

    def __init__(self, loop: Loop, app: Any) -> None:
        self._loop = loop
        self.transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self.is_down = False
        self.lose: Callable[[httpx.Request], bool] = lambda request: False
        self.requests: list[tuple[str, str]] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append((request.method, request.url.path))
        if self.is_down:
            raise httpx.ConnectError("the network is lost", request=request)
        answer = self._loop.run(self._ask(request))
        if self.lose(request):
            raise httpx.ReadError("the network was lost", request=request)
        return answer

    async def _ask(self, request: httpx.Request) -> httpx.Response:
        request.read()
        answer = await self.transport.handle_async_request(
            httpx.Request(
                request.method, request.url, headers=request.headers, content=request.content
            )
        )
        body = b"".join([part async for part in answer.stream])  # type: ignore[union-attr]
        return httpx.Response(answer.status_code, headers=answer.headers, stream=_Whole(body))


class _Whole(httpx.SyncByteStream):
    def __init__(self, body: bytes) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        yield self._body


@functools.cache
def migrated_record() -> Path:
    """A migrated SQLite record, to be copied: migrating takes longer than a test."""
    folder = Path(tempfile.mkdtemp(prefix="patrouille-template-"))
    record = Record(f"sqlite:///{folder / 'record.db'}")
    record.migrate()
    record.close()
    return folder / "record.db"


quick_routes.install()


@contextlib.contextmanager
def running(
    folder: Path, *, database_url: str | None = None, at: datetime = NOW, **settings: Any
) -> Iterator[Service]:
    """The service, started in an empty folder and ended with the block."""
    service = Service(folder, database_url=database_url, at=at, **settings)
    service.start()
    try:
        yield service
    finally:
        service.close()


class Service:
    """The service under test: real application, real record, a clock that the test sets."""

    def __init__(
        self, folder: Path, *, database_url: str | None = None, at: datetime = NOW, **settings: Any
    ) -> None:
        self.folder = folder
        self.clock = Clock(at)
        data = folder / "service"
        data.mkdir(parents=True, exist_ok=True)
        url = database_url or f"sqlite:///{data / 'record.db'}"
        # A test asks as fast as it can; those of the limits say which.
        # What a clerk does, a test asks for.
        usual = {"requests_by_key": 0, "requests_by_address": 0, "clerk_seconds": 0}
        self.settings = replace(Settings(data_dir=data, database_url=url), **(usual | settings))
        if database_url is None and not (data / "record.db").exists():
            shutil.copy(migrated_record(), data / "record.db")
        elif database_url is not None:
            record = Record(database_url)
            if record.revision() is None:
                record.migrate()
            record.close()
        self._numbers = itertools.count(1)
        self._clients: list[httpx.Client] = []
        self._handhelds: list[Handheld] = []
        self._keys: dict[str, str] = {}

    # starting and ending

    def start(self) -> None:
        self.loop = Loop()
        app = create_app(self.settings, now=self.clock)
        self.parts: Parts = app.state.service
        self.bridge = Bridge(self.loop, app)
        self._lifespan = app.router.lifespan_context(app)
        self.loop.run(self._lifespan.__aenter__())

    def stop(self) -> None:
        self.loop.run(self._lifespan.__aexit__(None, None, None))
        self.loop.run(self.bridge.transport.aclose())
        self.loop.close()

    def restart(self, meanwhile: Callable[[], T] = lambda: None) -> T:  # type: ignore[assignment,return-value]
        """End it and start it again; who talked to it talks to the new one."""
        self.stop()
        try:
            return meanwhile()
        finally:
            self._start_again()

    def _start_again(self) -> None:
        old, handhelds = self.bridge, [h.bridge for h in self._handhelds]
        self.start()
        for bridge in (old, *handhelds):
            bridge._loop, bridge.transport = self.loop, self.bridge.transport
        self.bridge = old

    def close(self) -> None:
        for handheld in self._handhelds:
            handheld.close()
        for client in self._clients:
            client.close()
        self.stop()

    # asking

    def key(
        self, role: str, *, name: str | None = None, source: str | None = None, sites: Any = None
    ) -> str:
        """A new key."""
        return self.parts.record.write(
            lambda tx: keys.create(
                tx, role=role, name=name or role, source=source, sites=sites, at=self.clock()
            )
        )

    def client(self, key: str | None, *, language: str = "en") -> httpx.Client:
        """A client with this key."""
        headers = {"Accept-Language": language}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        client = httpx.Client(
            base_url=ADDRESS, transport=self.bridge, headers=headers, timeout=ENDS_WITHIN_S
        )
        self._clients.append(client)
        return client

    def as_(self, role: str) -> httpx.Client:
        """A client with a key of a role, good at every site."""
        if role not in self._keys:
            self._keys[role] = self.key(role)
        return self.client(self._keys[role])

    @functools.cached_property
    def admin(self) -> httpx.Client:
        return self.as_("admin")

    @functools.cached_property
    def feeder(self) -> httpx.Client:
        return self.as_("feeder")

    @functools.cached_property
    def reader(self) -> httpx.Client:
        return self.as_("reader")

    # filling

    def site(self, code: str = "1085", *, zones: Sequence[Any] = ("G1", "G2"), **facts: Any) -> str:
        """A site with these zones (codes, or whole ones); its code."""
        whole = [zone if isinstance(zone, dict) else {"code": zone} for zone in zones]
        shape = {"name": f"Site {code}", "zones": whole} | facts
        answer = self.admin.put(f"/v1/sites/{code}", json=shape)
        assert answer.status_code in (200, 201), answer.text
        return code

    def update(self, plate: str = "ABC123", *, zone: str = "G1", **facts: Any) -> dict[str, Any]:
        """A plate update as a feeder sends it; by itself, of a permit that is valid now."""
        return {
            "id": f"permit-{next(self._numbers)}",
            "version": 1,
            "plate": plate,
            "site": "1085",
            "zones": zone.split(),
            "permit_number": "100014764",
            "valid_from": "2026-01-01",
            "status": "active",
        } | facts

    def permit(self, plate: str = "ABC123", *, zone: str = "G1", **facts: Any) -> dict[str, Any]:
        """A permit, pushed and taken; the update that made it."""
        update = self.update(plate, zone=zone, **facts)
        answer = self.push(update)
        assert answer["rejected"] == [], answer
        return update

    def push(self, *updates: Mapping[str, Any], by: httpx.Client | None = None) -> dict[str, Any]:
        """Push updates; what became of them."""
        answer = (by or self.feeder).post("/v1/plate-updates", json={"updates": updates})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    # looking

    def check(self, plate: str, *, zone: str = "G1", site: str = "1085", **query: Any) -> Any:
        """The answer to a check."""
        parameters = {"plate": plate, "zone": zone} | query
        answer = self.reader.get(f"/v1/sites/{site}/check", params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def verdict(self, plate: str, **query: Any) -> str:
        """The verdict alone."""
        return str(self.check(plate, **query)["verdict"])

    def digests(self, site: str = "1085") -> tuple[Any, Any, Any]:
        """Kept by the record, recounted from the record, recounted from the index."""
        self.parts.follower.follow(site)
        with self.parts.record.reading() as tx:
            kept, counted = feed.level(tx, site).digest, feed.recount(tx, site)
        with self.parts.follower.replica(site).reading() as view:
            return kept, counted, view.recount()

    def assert_consistent(self, site: str = "1085") -> None:
        """The index holds what the record holds, and both know it."""
        kept, counted, index = self.digests(site)
        assert kept == counted == index

    def prune(self, at: datetime, site: str = "1085") -> int:
        """Run the retention job."""
        return self.parts.run_retention(site, at=at)

    # handhelds

    def device(self, *sites: str, name: str = "Handheld 7") -> dict[str, Any]:
        """A device that is not enrolled yet: its id and code."""
        answer = self.admin.post(
            "/v1/devices", json={"name": name, "sites": list(sites) or ["1085"]}
        )
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def handheld(self, site: str = "1085") -> Handheld:
        """An enrolled handheld with an empty index and an empty outbox."""
        number = next(self._numbers)
        handheld = Handheld(
            self, self.folder / f"handheld-{number}", site, self.device(site)["enrolment_code"]
        )
        self._handhelds.append(handheld)
        return handheld

    def device_client(self, site: str = "1085") -> httpx.Client:
        """A client with the token of a newly enrolled device."""
        code = self.device(site)["enrolment_code"]
        answer = self.client(None).post("/v1/enrolments", json={"code": code})
        assert answer.status_code == 201, answer.text
        return self.client(answer.json()["token"])


class Handheld:
    """A handheld without a screen: its index, its outbox, and what fills and empties them."""

    def __init__(self, service: Service, folder: Path, site: str, code: str) -> None:
        self.site = site
        self.bridge = Bridge(service.loop, None)
        self.bridge.transport = service.bridge.transport
        with ServiceClient(ADDRESS, transport=self.bridge) as stranger:
            enrolment = stranger.call(exchange.enrol(code, install_id=str(uuid.uuid4())))
        self.id, self.token = enrolment.device, enrolment.token
        self.client = ServiceClient(ADDRESS, token=self.token, transport=self.bridge)
        self.clock = TrustedClock(service.clock, lambda: service.clock().timestamp())
        self.replica = Replica(folder / "index")
        folder.mkdir(parents=True, exist_ok=True)
        self.outbox = Outbox(folder)
        self.edges = Edges(self.client, self.replica, self.outbox, self.clock)

    def pull(self, *, wait: int = 0, limit: int = engine.PAGE) -> State:
        return self.edges.run(engine.pull(self.site, wait=wait, limit=limit))

    def pull_by_pages(self) -> State:
        return self.edges.run(engine.pull_by_pages(self.site))

    def push(self) -> Pushed:
        return self.edges.run(engine.push())

    def close(self) -> None:
        self.replica.close()
        self.outbox.close()
        self.client.close()

    def lose_network(self) -> None:
        self.bridge.is_down = True

    def find_network(self) -> None:
        self.bridge.is_down = False

    def judge(
        self, plate: str, *, zone: str = "G1", at: datetime, jurisdiction: str = "CA-QC"
    ) -> Judgement:
        with self.replica.reading() as view:
            return view.judge(Plate.parse(plate, jurisdiction), zone=zone, at=at)

    def verdict(self, plate: str, *, at: datetime, **where: str) -> str:
        return self.judge(plate, at=at, **where).verdict

    def assert_level_with(self, service: Service) -> None:
        """The handheld holds what the record holds: by what it kept, and by its rows."""
        with self.replica.reading() as view:
            kept, _, _ = service.digests(self.site)
            assert view.state.digest == view.recount() == kept


# What patrollers record


def picture(colour: str = "navy", *, kind: str = "JPEG", size: tuple[int, int] = (64, 48)) -> bytes:
    """A small picture."""
    content = io.BytesIO()
    Image.new("RGB", size, colour).save(content, kind)
    return content.getvalue()


def infraction(plate: str | None = "ABC123", *, at: datetime = NOW, **facts: Any) -> dict[str, Any]:
    """The body of an infraction as a handheld sends it."""
    return {
        "site": "1085",
        "zone": "G1",
        "plate": plate,
        "jurisdiction": "CA-QC",
        "plate_raw": plate or "",
        "plate_source": "typed",
        "codes": ["P01"],
        "outcome": "notice",
        "patroller": "4217",
        "observed_at": instant(at),
        "device_time": instant(at),
        "clock_offset_ms": 0,
        "verdict": "unknown",
        "epoch": "e",
        "cursor": "c",
        "known": [],
        "photos": [],
    } | facts


def new_id() -> str:
    """An id as a device makes it (its order in time does not matter here)."""
    return str(uuid.uuid4())


def ndjson(*lines: Any) -> bytes:
    """One JSON text a line; text is taken as it is."""
    return b"\n".join(
        line.encode() if isinstance(line, str) else json.dumps(line).encode() for line in lines
    )
