"""The handheld's HTTP calls: where it may call, and what each answer means to it."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from sync.client import (
    CursorExpired,
    InsecureAddress,
    Refused,
    Revoked,
    ServiceClient,
    Unauthorized,
    Unreachable,
    check_address,
)
from sync.codec import MalformedMessage


def client(answer: httpx.Response | Exception) -> ServiceClient:
    """A client of a service that always answers the same."""

    def handle(request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return ServiceClient("http://localhost", transport=httpx.MockTransport(handle))


def problem(status: int, slug: str) -> httpx.Response:
    return httpx.Response(status, json={"type": f"/problems/{slug}", "title": "T", "detail": "D"})


@pytest.mark.parametrize(
    "address",
    ["https://example.org", "http://127.0.0.1:8000", "http://localhost", "http://[::1]:80"],
)
def test_https_and_loopback_are_called(address: str) -> None:
    assert check_address(address + "/") == address


def test_an_address_without_a_scheme_is_called_over_https() -> None:
    assert check_address("example.org") == "https://example.org"


@pytest.mark.parametrize(
    "address",
    [
        "http://example.org",
        "http://192.168.1.4:8000",
        "http://127.0.0.1.example.org",
        "ftp://x",
        "",
    ],
)
def test_nothing_else_is_called(address: str) -> None:
    with pytest.raises(InsecureAddress):
        check_address(address)


@pytest.mark.parametrize(
    ("answer", "meaning"),
    [
        (problem(410, "cursor-expired"), CursorExpired),
        (problem(401, "device-revoked"), Revoked),
        (problem(401, "unauthenticated"), Unauthorized),
        (problem(422, "invalid"), Refused),
        (problem(429, "too-many"), Unreachable),
        (problem(507, "storage-failed"), Unreachable),
        (httpx.Response(502, text="<html>Bad gateway</html>"), Unreachable),
        (httpx.ConnectError("no network"), Unreachable),
        (httpx.ReadTimeout("slow"), Unreachable),
    ],
)
def test_answers_have_meanings(answer: httpx.Response | Exception, meaning: type) -> None:
    with client(answer) as service, pytest.raises(meaning) as raised:
        service.changes("1085", after=None)
    assert type(raised.value) is meaning


def test_a_refusal_says_why() -> None:
    with client(problem(422, "invalid")) as service, pytest.raises(Refused, match="T: D"):
        service.put_infraction("1", {})


@pytest.mark.parametrize("body", [{}, [], {"protocol": 1, "changes": 3}, {"protocol": 2}, "x"])
def test_an_answer_of_another_shape_is_not_believed(body: object) -> None:
    answer = httpx.Response(200, json=body)
    with client(answer) as service, pytest.raises(MalformedMessage):
        service.changes("1085", after=None)


def test_a_cut_download_goes_on_where_it_stopped(tmp_path: Path) -> None:
    whole = bytes(range(256)) * 8
    asked: list[str | None] = []

    def handle(request: httpx.Request) -> httpx.Response:
        wanted = request.headers.get("range")
        asked.append(wanted)
        if wanted is None:
            return httpx.Response(200, stream=httpx.ByteStream(whole))
        first = int(wanted.removeprefix("bytes=").rstrip("-"))
        if first >= len(whole):
            return httpx.Response(416)
        return httpx.Response(206, stream=httpx.ByteStream(whole[first:]))

    part = tmp_path / "part"
    part.write_bytes(whole[:700])
    with ServiceClient("http://localhost", transport=httpx.MockTransport(handle)) as service:
        service.download("/file", part)
        assert part.read_bytes() == whole
        service.download("/file", part)
    assert part.read_bytes() == whole
    assert asked == ["bytes=700-", f"bytes={len(whole)}-"]
