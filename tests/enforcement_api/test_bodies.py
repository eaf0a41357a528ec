"""Bodies over a real socket: without end, without a rest; and what is no JSON, in words."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
from fastapi import Request

from enforcement_api import shapes
from enforcement_api.permits import updates
from enforcement_api.problems import TooSlow
from tests.enforcement_api.program import DEADLINE, key, serving

CHUNK = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"


def answer_to_a_body_without_end(address: str, path: str, secret: str) -> tuple[bytes, int]:
    """What the service says, and how much it took before that. Sends 64 MiB at most."""
    host, _, port = address.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=DEADLINE) as connection:
        connection.sendall(
            f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {secret}\r\n"
            "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        connection.setblocking(False)
        sent, waiting = 0, b""
        answer = b""
        while b"\r\n\r\n" not in answer and sent < 64 * 1024 * 1024:
            try:
                answer += connection.recv(65536)
                continue
            except BlockingIOError:
                waiting = waiting or CHUNK
            try:
                taken = connection.send(waiting)
                sent, waiting = sent + taken, waiting[taken:]
            except BlockingIOError:
                continue
            except OSError:  # it hung up after its answer
                connection.setblocking(True)
                answer += connection.recv(65536)
        return answer, sent


@pytest.mark.parametrize(
    ("path", "limit"), [("/v1/enrolments", 4 << 20), ("/v1/plate-updates", 32 << 20)]
)
def test_body_without_end_or_length_is_refused_at_its_limit(
    tmp_path: Path, path: str, limit: int
) -> None:
    secret = key(tmp_path / "data")
    with serving(tmp_path / "data") as server:
        answer, sent = answer_to_a_body_without_end(server.address, path, secret)
        assert answer.startswith(b"HTTP/1.1 413")
        assert b"application/problem+json" in answer
        assert limit * 0.9 < sent < limit + (12 << 20)  # what lies in the socket's buffers besides
        with server.client("none") as client:
            assert client.get("/health/live").status_code == 200


def test_body_that_stops_arriving_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "BODY_SECONDS", 0.05)
    parts = [{"type": "http.request", "body": b"{", "more_body": True}]

    async def receive() -> Any:
        if parts:
            return parts.pop()
        await asyncio.Event().wait()

    async def read() -> bytes:
        request = Request({"type": "http", "method": "PUT", "headers": []}, receive)
        return await asyncio.wait_for(shapes.capped_body(request, 1000, "1000"), DEADLINE)

    with pytest.raises(TooSlow):
        asyncio.run(read())


def test_body_is_waited_for_while_it_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is of the pause between two parts, not of the whole."""
    monkeypatch.setattr(shapes, "BODY_SECONDS", 2)
    left = 8

    async def receive() -> Any:
        nonlocal left
        await asyncio.sleep(0.3)
        left -= 1
        return {"type": "http.request", "body": b"x", "more_body": left > 0}

    async def read() -> bytes:
        request = Request({"type": "http", "method": "PUT", "headers": []}, receive)
        return await shapes.capped_body(request, 1000, "1000")

    assert asyncio.run(read()) == b"x" * 8


def test_body_that_trickles_is_given_up_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause is long, but it never comes at the rate that every link has."""
    monkeypatch.setattr(shapes, "FIRST_SECONDS", 0.3)
    monkeypatch.setattr(shapes, "SLOWEST", 1000)
    parts = 0

    async def receive() -> Any:
        nonlocal parts
        await asyncio.sleep(0.02)
        parts += 1
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def read() -> bytes:
        request = Request({"type": "http", "method": "PUT", "headers": []}, receive)
        return await asyncio.wait_for(shapes.capped_body(request, 10**6, ""), DEADLINE)

    with pytest.raises(TooSlow):
        asyncio.run(read())
    assert parts > 1


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("[]", "c’est une liste"),
        ("7", "c’est un nombre"),
        ("null", "c’est null"),
        ('{"id": ', "à partir de la ligne 1, colonne 8"),
        ("[" * 5000, "profonde"),
        (b"\xff".decode("latin-1"), "JSON"),
    ],
)
def test_line_that_is_no_object_is_told_in_words(line: str, told: str) -> None:
    (item,) = updates.read_ndjson(line.encode("latin-1"))
    _, problem = updates.read_item(item)
    assert isinstance(problem, updates.UnreadableItem)
    assert told in problem.as_json("fr")["detail"]
