"""News without end for one handheld: catch-ups of so many rows, ready, over HTTP on loopback."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from benchmarks import material
from sync import codec
from sync.engine import PAGE
from sync.entities import Permit
from sync.messages import PROTOCOL_VERSION, Change, ChangePage, Digest
from sync.replica import State

_LATER = datetime(2031, 9, 1, 4, tzinfo=UTC)


@dataclass(frozen=True)
class CatchUp:
    """The pages of one, of which only the digest at its end and the changes are told here."""

    pages: tuple[tuple[Change, ...], ...]
    digest: Digest


def of(permits: Sequence[Permit], before: Digest) -> tuple[CatchUp, CatchUp]:
    """The permits as they come in, and the same ones with other dates: in turn, without end, each
    changes every row.
    """
    versions = permits, [replace(permit, ends_at=_LATER) for permit in permits]
    found = []
    for version in versions:
        changes = [codec.change_of(permit) for permit in version]
        digest = before
        for kind, id, record in changes:
            assert record is not None
            digest += codec.record_hash(kind, id, codec.canonical(record))
        pages = tuple(tuple(changes[at : at + PAGE]) for at in range(0, len(changes), PAGE))
        found.append(CatchUp(pages, digest))
    return found[0], found[1]


@contextlib.contextmanager
def served(state: State, catch_ups: Sequence[CatchUp], *, flowing: bool) -> Iterator[str]:
    """The address of a service that has a site at `state`, and then, if it is `flowing`, one
    catch-up after another, as soon as it is asked; else none.
    """
    bodies = [
        [_ready(state, page, None if n + 1 < len(each.pages) else each.digest)
         for n, page in enumerate(each.pages)]
        for each in catch_ups
    ]  # fmt: skip
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            asked = parse_qs(urlsplit(self.path).query)
            if "after" not in asked:  # the briefing
                self._answer(b"{}", 404)
                return
            after = asked["after"][0]
            if not flowing:
                ended.wait(float(asked["wait"][0]))
                self.close_connection = ended.is_set()
                self._answer(_fill(_ready(state, (), state.digest), after, 0))
                return
            done, page = map(int, after.split("-")[1:]) if after.startswith("news-") else (0, 0)
            pages = bodies[done % len(bodies)]
            then = (done, page + 1) if page + 1 < len(pages) else (done + 1, 0)
            self._answer(_fill(pages[page], f"news-{then[0]}-{then[1]}", 1 + done))

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            self._answer(b"{}", 404)

        do_POST = do_PUT

        def _answer(self, body: bytes, status: int = 200) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # the window was closed
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    def _fill(body: bytes, cursor: str, more: int) -> bytes:
        now = codec.instant(datetime.now(UTC)).encode()
        sequence = str(state.sequence + more).encode()
        for name, value in ((b"CURSOR", cursor.encode()), (b"1970-01-01T00:00:00Z", now)):
            body = body.replace(name, value)
        return body.replace(b'"sequence":0', b'"sequence":' + sequence)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        ended.set()
        server.shutdown()
        server.server_close()
        serving.join()


def _ready(state: State, changes: tuple[Change, ...], digest: Digest | None) -> bytes:
    """A page as JSON, but for its cursor, its sequence and the time."""
    long_ago = datetime(1970, 1, 1, tzinfo=UTC)
    page = ChangePage(
        PROTOCOL_VERSION, state.epoch, "CURSOR", 0, digest is None, changes, digest,
        long_ago, long_ago,
    )  # fmt: skip
    return json.dumps(codec.change_page_json(page), separators=(",", ":")).encode()


def pending(permits: Sequence[Permit], now: datetime) -> list[Permit]:
    """As if all had been confirmed just now."""
    later = now + timedelta(hours=12)
    return [replace(p, status="active", ends_at=None, starts_at=now - timedelta(days=9),
                    active_from=later, zones=(material.ZONE,)) for p in permits]  # fmt: skip
