"""The handheld's HTTP calls: where it may call, and what each answer means to it."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import trustme

from sync import codec, exchange
from sync.client import Part, ServiceClient, check_address
from sync.codec import MalformedMessage
from sync.exchange import (
    CursorExpired,
    InsecureAddress,
    NotNow,
    Refused,
    Revoked,
    Unauthorized,
    Unreachable,
)
from sync.messages import EMPTY_DIGEST, SnapshotManifest

NOW = datetime(2026, 11, 23, 15, 15, tzinfo=UTC)


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


def test_an_address_has_one_spelling() -> None:
    assert check_address("HTTPS://Parking.Example:8443/") == "https://parking.example:8443"


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
        (httpx.Response(503, headers={"Retry-After": "60"}), Unreachable),
        (problem(503, "not-ready"), NotNow),
        (problem(507, "storage-failed"), NotNow),
        (httpx.Response(502, text="<html>Bad gateway</html>"), NotNow),
        (httpx.Response(413, text="<html>Too large for this proxy</html>"), NotNow),
        (httpx.Response(302, headers={"Location": "https://portal.example"}), Unreachable),
        (httpx.Response(200, text="<html>Sign in to this network</html>"), Unreachable),
        (httpx.Response(401, text="<html>Sign in to this network</html>"), Unreachable),
        (httpx.Response(204), Unreachable),
        (httpx.ConnectError("no network"), Unreachable),
        (httpx.ReadTimeout("slow"), Unreachable),
    ],
)
def test_answers_have_meanings(answer: httpx.Response | Exception, meaning: type) -> None:
    with client(answer) as service, pytest.raises(meaning) as raised:
        service.call(exchange.changes("1085", after=None))
    assert type(raised.value) is meaning


def test_a_defect_is_not_taken_for_no_network() -> None:
    with client(RecursionError("a defect")) as service, pytest.raises(RecursionError):
        service.call(exchange.snapshot("1085"))


def test_a_refusal_says_why() -> None:
    with client(problem(422, "invalid")) as service, pytest.raises(Refused, match=r"T\. D"):
        service.call(exchange.put_infraction("1", {}))


PHOTO = "ab" * 32
RECEIPT = {
    "id": "1",
    "received_at": "2026-11-23T20:05:00Z",
    "state": "received",
    "recheck": {"verdict": "valid", "differs": False},
    "photos_missing": [],
    "warnings": [],
    "epoch": "e",
}


@pytest.mark.parametrize("status", [200, 201])
def test_what_the_service_has_is_acknowledged(status: int) -> None:
    with client(httpx.Response(status, json={"sha256": PHOTO, "bytes": 1})) as service:
        service.call(exchange.put_photo(PHOTO, b"x"))
    with client(httpx.Response(status, json=RECEIPT)) as service:
        assert codec.receipt_json(service.call(exchange.put_infraction("1", {}))) == RECEIPT


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(302, headers={"Location": "https://portal.example"}),
        httpx.Response(200, text="<html>Sign in to this network</html>"),
        httpx.Response(202, json={"sha256": PHOTO, **RECEIPT}),
        httpx.Response(204),
        httpx.Response(403, text="<html>Sign in to this network</html>"),
        httpx.Response(200, json={}),
        httpx.Response(200, json=[]),
        httpx.Response(200, json=None),
        httpx.Response(200, json={"sha256": "cd" * 32, **RECEIPT, "id": "2"}),
    ],
)
def test_nothing_else_is_an_acknowledgement_or_a_refusal(answer: httpx.Response) -> None:
    with client(answer) as service:
        with pytest.raises(Unreachable):
            service.call(exchange.put_photo(PHOTO, b"x"))
        with pytest.raises(Unreachable):
            service.call(exchange.put_infraction("1", {}))


@pytest.mark.parametrize("status", [204, 302, 404, 500])
def test_a_download_that_is_none_leaves_no_file(status: int, tmp_path: Path) -> None:
    part = Part(tmp_path / "part", 0, 3)
    with client(httpx.Response(status, text="no")) as service:
        call = exchange.snapshot_file(manifest(3), have=0)
        answer = service.send(call.request, into=part)
        with pytest.raises(Unreachable):
            call.read(answer)
    assert not part.path.exists()


@pytest.mark.parametrize("body", [{}, [], {"protocol": 1, "changes": 3}, {"protocol": 2}, "x"])
def test_an_answer_of_another_shape_is_not_believed(body: object) -> None:
    answer = httpx.Response(200, json=body)
    with client(answer) as service, pytest.raises(MalformedMessage):
        service.call(exchange.changes("1085", after=None))


def manifest(size: int) -> SnapshotManifest:
    return SnapshotManifest(
        1, "e", "c", 1, "/file", "0" * 64, size, "gzip", EMPTY_DIGEST, NOW, None
    )


WHOLE = bytes(range(256)) * 8


def serves_ranges(request: httpx.Request) -> httpx.Response:
    wanted = request.headers.get("range")
    if wanted is None or request.headers.get("if-range") not in (None, f'"{"0" * 64}"'):
        return httpx.Response(200, stream=httpx.ByteStream(WHOLE))
    first = int(wanted.removeprefix("bytes=").rstrip("-"))
    headers = {"Content-Range": f"bytes {first}-{len(WHOLE) - 1}/{len(WHOLE)}"}
    return httpx.Response(206, stream=httpx.ByteStream(WHOLE[first:]), headers=headers)


def fetch(handle: Callable[[httpx.Request], httpx.Response], part: Path, *, have: int) -> None:
    with ServiceClient("http://localhost", transport=httpx.MockTransport(handle)) as service:
        call = exchange.snapshot_file(manifest(len(WHOLE)), have=have)
        call.read(service.send(call.request, into=Part(part, have, len(WHOLE))))


@pytest.mark.parametrize("have", [0, 1, 700, len(WHOLE) - 1])
def test_a_cut_download_goes_on_where_it_stopped(tmp_path: Path, have: int) -> None:
    part = tmp_path / "part"
    part.write_bytes(WHOLE[:have])
    fetch(serves_ranges, part, have=have)
    assert part.read_bytes() == WHOLE


def test_a_file_that_is_another_one_now_is_fetched_whole(tmp_path: Path) -> None:
    def whole(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=httpx.ByteStream(WHOLE))

    part = tmp_path / "part"
    part.write_bytes(b"of another file")
    fetch(whole, part, have=15)
    assert part.read_bytes() == WHOLE


def test_a_range_that_was_not_asked_for_is_not_kept(tmp_path: Path) -> None:
    def another(request: httpx.Request) -> httpx.Response:
        headers = {"Content-Range": f"bytes 3-9/{len(WHOLE)}"}
        return httpx.Response(206, stream=httpx.ByteStream(WHOLE[3:10]), headers=headers)

    part = tmp_path / "part"
    part.write_bytes(WHOLE[:700])
    with pytest.raises(Unreachable):
        fetch(another, part, have=700)
    assert part.read_bytes() == WHOLE[:700]


@pytest.mark.parametrize("have", [0, 700])
def test_a_service_that_goes_on_sending_fills_no_disk(tmp_path: Path, have: int) -> None:
    class Endless(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield WHOLE[have:]
            for _ in range(10):
                yield b"and more"
            raise AssertionError("it is listened to for ever")

    def handle(request: httpx.Request) -> httpx.Response:
        headers = {"Content-Range": f"bytes {have}-"} if have else {}
        return httpx.Response(206 if have else 200, stream=Endless(), headers=headers)

    part = tmp_path / "part"
    part.write_bytes(WHOLE[:have])
    fetch(handle, part, have=have)
    assert part.read_bytes() == WHOLE


def test_what_came_before_a_cut_is_kept(tmp_path: Path) -> None:
    class Cut(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield WHOLE[:500]
            raise httpx.ReadError("cut")

    part = tmp_path / "part"
    with pytest.raises(Unreachable):
        fetch(lambda request: httpx.Response(200, stream=Cut()), part, have=0)
    assert part.read_bytes() == WHOLE[:500]


def test_the_token_is_the_one_of_the_moment() -> None:
    shown: list[str] = []
    tokens = iter(["old", "new"])

    def handle(request: httpx.Request) -> httpx.Response:
        shown.append(request.headers["authorization"])
        return httpx.Response(204)

    with ServiceClient(
        "http://localhost", token=lambda: next(tokens), transport=httpx.MockTransport(handle)
    ) as service:
        for _ in range(2):
            service.call(exchange.tell({}))
    assert shown == ["Bearer old", "Bearer new"]


@pytest.mark.parametrize("url", ["https://example.org/x.gz", "//example.org/x.gz", "x.gz"])
def test_a_snapshot_of_another_host_is_not_fetched(url: str) -> None:
    message = {
        "protocol": 1, "epoch": "e", "cursor": "c", "sequence": 1, "url": url, "sha256": "0" * 64,
        "bytes": 1, "encoding": "gzip", "digest": {"count": 0, "sum": "0"},
        "server_time": "2026-11-23T15:15:00Z", "fed_at": None,
    }  # fmt: skip
    answer = httpx.Response(200, json=message)
    with client(answer) as service, pytest.raises(MalformedMessage):
        service.call(exchange.snapshot("1085"))


def test_giving_up_ends_a_request_that_waits_in_another_thread() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        service = ServiceClient(f"http://127.0.0.1:{silent.getsockname()[1]}")
        meanings: list[type] = []

        def wait() -> None:
            try:
                service.call(exchange.changes("1085", after=None, wait=30))
            except Unreachable as error:
                meanings.append(type(error))

        waiting = threading.Thread(target=wait, daemon=True)
        waiting.start()
        connection, _ = silent.accept()
        with connection:
            connection.recv(1000)
            asleep, ends = 0, time.monotonic() + 10
            while asleep < 5:  # times in a row: it waits for the answer
                assert time.monotonic() < ends
                time.sleep(0.01)
                state = Path(f"/proc/self/task/{waiting.native_id}/stat").read_text()
                asleep = asleep + 1 if state.rpartition(")")[2].split()[0] == "S" else 0
            service.give_up()
            waiting.join(10)
            service.close()
        assert meanings == [Unreachable]


def test_giving_up_ends_it_over_tls_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service takes the request and never answers; 30 seconds are allowed it."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    ended: list[BaseException] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        service = ServiceClient(f"https://localhost:{listener.getsockname()[1]}")

        def ask() -> None:
            try:
                service.call(exchange.enrol("CODE", install_id="1"))
            except Unreachable as error:
                ended.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        connection, _ = listener.accept()
        connection.settimeout(10)
        with context.wrap_socket(connection, server_side=True) as connection:
            assert connection.recv(4) == b"POST"
            service.give_up()
            asking.join(5)
            assert len(ended) == 1
    with pytest.raises(Unreachable):
        service.call(exchange.enrol("CODE", install_id="1"))
    service.close()
