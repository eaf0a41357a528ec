"""Who asks too often, too slowly, from too many connections, or with what could become too much."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import logging
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from enforcement_api import serving as serving_module
from enforcement_api.app import create_app
from enforcement_api.database.engine import Record
from enforcement_api.settings import Settings
from tests.enforcement_api.program import DEADLINE, key
from tests.service import Service, infraction, new_id, picture, running


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with running(tmp_path) as service:
        service.site()
        yield service


# Rates


def test_key_that_asks_too_often_is_told_to_wait_and_others_are_not(tmp_path: Path) -> None:
    with running(tmp_path, requests_by_key=5) as service:
        busy, other = (service.client(service.key("reader", name=name)) for name in "ab")
        statuses = [busy.get("/v1/infractions").status_code for _ in range(6)]
        assert statuses == [200] * 5 + [429]
        answer = busy.get("/v1/infractions")
        assert answer.json()["type"] == "/problems/too-many-requests"
        assert 1 <= int(answer.headers["retry-after"]) <= 10
        assert other.get("/v1/infractions").status_code == 200


def test_address_that_asks_too_often_is_told_to_wait_and_health_is_always_answered(
    tmp_path: Path,
) -> None:
    with running(tmp_path, requests_by_address=5) as service:
        stranger = service.client(None)
        statuses = [stranger.get("/v1/devices").status_code for _ in range(6)]
        assert statuses == [401] * 5 + [429]
        answer = stranger.get("/openapi.json")
        assert (answer.status_code, answer.json()["type"]) == (429, "/problems/too-many-requests")
        for _ in range(10):
            assert stranger.get("/health/live").status_code == 200


def test_zero_is_no_limit(tmp_path: Path) -> None:
    with running(tmp_path, requests_by_address=0, requests_by_key=0) as service:
        assert {service.reader.get("/v1/events").status_code for _ in range(50)} == {200}


# Bodies


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/plate-updates"),
        ("POST", "/v1/enrolments"),
        ("PUT", "/v1/sites/1085"),
        ("PUT", "/v1/photos/" + "0" * 64),
        ("PUT", "/v1/infractions/x"),
        ("PUT", "/v1/events/x"),
    ],
)
def test_compressed_body_is_refused_unread(service: Service, method: str, path: str) -> None:
    bomb = gzip.compress(b"0" * 1_000_000)
    for encoding in ("gzip", "deflate", "br", "zstd", "identity, gzip"):
        answer = service.admin.request(
            method, path, content=bomb, headers={"Content-Encoding": encoding}
        )
        assert (answer.status_code, answer.json()["type"]) == (415, "/problems/encoded-body")
    plain = service.admin.request(method, path, headers={"Content-Encoding": "identity"})
    assert plain.status_code != 415


# Slow and many


@contextmanager
def served(folder: Path, *, in_all: int = 0, tls: Any = None, **wanted: Any) -> Iterator[str]:
    """The service behind real sockets, in this process; its address."""
    settings = replace(
        Settings(data_dir=folder, database_url=f"sqlite:///{folder / 'record.db'}"), **wanted
    )
    record = Record(settings.database_url)
    record.migrate()
    record.close()
    app = create_app(settings)
    app.state.service.start()
    listening = serving_module.listen("127.0.0.1", 0)
    config = serving_module.Config(
        app,
        by_address=settings.connections_by_address,
        in_all=in_all,
        host="127.0.0.1",
        http=serving_module.Protocol,
        lifespan="off",
        log_config=None,
        timeout_graceful_shutdown=1,
        **(tls or {}),
    )
    server = serving_module.Server(config, app.state.service)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        until(lambda: server.started)
        scheme = "https" if tls else "http"
        yield f"{scheme}://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(DEADLINE)
        app.state.service.stop()
        listening.close()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def connect(address: str) -> socket.socket:
    host, _, port = address.partition("://")[2].partition(":")
    return socket.create_connection((host, int(port)), timeout=DEADLINE)


def everything(connection: socket.socket) -> bytes:
    """Until the other side hangs up."""
    answer = b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            answer += part
    return answer


def lives(address: str) -> int:
    return httpx.get(f"{address}/health/live", trust_env=False, timeout=DEADLINE).status_code


BUNDLE = b"GET /docs/static/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n"
"""Asks for more than a megabyte."""
ASK = b"GET /health/live HTTP/1.1\r\nHost: x\r\n"


def test_headers_that_trickle_are_given_up_and_the_service_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow loris sends a little now and then; that wins it no time."""
    monkeypatch.setattr(serving_module, "HEADER_SECONDS", 0.5)
    with served(tmp_path) as address, connect(address) as connection:
        connection.sendall(ASK)
        connection.settimeout(0.1)
        answer, began = b"", time.monotonic()
        while not answer and time.monotonic() - began < DEADLINE:
            try:
                answer = connection.recv(65536)
            except TimeoutError:
                assert lives(address) == 200
                with contextlib.suppress(ConnectionError):  # it may hang up at this moment
                    connection.sendall(b"X-More: y\r\n")
        connection.settimeout(DEADLINE)
        answer += everything(connection)
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"/problems/slow-request" in answer


def test_second_request_of_a_connection_has_to_arrive_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving_module, "HEADER_SECONDS", 0.5)
    with served(tmp_path) as address, connect(address) as connection:
        connection.sendall(ASK + b"\r\n")
        answer = b""
        while b"live" not in answer:
            answer += connection.recv(65536)
        connection.sendall(ASK)
        assert everything(connection).startswith(b"HTTP/1.1 408")


def test_connection_that_says_nothing_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving_module, "HEADER_SECONDS", 0.2)
    with served(tmp_path) as address, connect(address) as connection:
        assert everything(connection) == b""


def test_answer_that_takes_longer_than_headers_may_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long poll: the request is there, so nothing is waited for any more."""
    monkeypatch.setattr(serving_module, "HEADER_SECONDS", 0.2)
    with served(tmp_path) as address:
        admin = key(tmp_path)
        with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {admin}"}) as client:
            client.put("/v1/sites/1085", json={"name": "CHUS"}).raise_for_status()
            cursor = client.get("/v1/sites/1085/changes").json()["cursor"]
            polled = client.get("/v1/sites/1085/changes", params={"after": cursor, "wait": 1})
            assert (polled.status_code, polled.json()["changes"]) == (200, [])


def test_answer_that_nobody_reads_is_not_held_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving_module, "READING_SECONDS", 0.5)
    with served(tmp_path, connections_by_address=1) as address, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(DEADLINE)
        host, _, port = address.partition("://")[2].partition(":")
        connection.connect((host, int(port)))
        # More than the buffers between the two take, however they grow.
        connection.sendall(20 * BUNDLE)
        until(lambda: lives(address) == 429)
        until(lambda: lives(address) == 200)


def test_answer_that_is_read_slowly_but_read_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving_module, "READING_SECONDS", 1)
    with served(tmp_path) as address, connect(address) as connection:
        connection.sendall(BUNDLE)
        answer, began, size = b"", time.monotonic(), 1 << 20
        while len(answer) < size:
            answer += connection.recv(65536)
            headers, _, _ = answer.partition(b"\r\n\r\n")
            (told,) = re.findall(rb"content-length: (\d+)", headers)
            size = len(headers) + 4 + int(told)
            time.sleep(0.1)  # a slow link
        assert time.monotonic() - began > 1
        assert len(answer) == size


def test_address_with_too_many_connections_is_told_so_until_it_closes_one(tmp_path: Path) -> None:
    with served(tmp_path, connections_by_address=3) as address:
        with contextlib.ExitStack() as held:
            for _ in range(3):
                connection = held.enter_context(connect(address))
                connection.sendall(ASK + b"\r\n")
                assert connection.recv(65536).startswith(b"HTTP/1.1 200")
            answer = everything(held.enter_context(connect(address)))
            assert answer.startswith(b"HTTP/1.1 429")
            assert b"/problems/too-many-connections" in answer
        until(lambda: lives(address) == 200)


def test_crowded_service_still_tells_how_it_is(tmp_path: Path) -> None:
    with served(tmp_path, in_all=2) as address, contextlib.ExitStack() as held:
        for _ in range(2):
            connection = held.enter_context(connect(address))
            connection.sendall(ASK + b"\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        assert lives(address) == 200
        answer = httpx.get(f"{address}/v1/devices", trust_env=False)
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/crowded")
        assert answer.headers["retry-after"] == "10"
        assert answer.headers["connection"] == "close"


# Headers


def test_every_answer_tells_browsers_and_caches_to_do_nothing_with_it(service: Service) -> None:
    answers = [
        service.client(None).get("/health/live"),
        service.client(None).get("/v1/devices"),
        service.admin.get("/v1/devices"),
        service.admin.post("/v1/devices", json={"name": "a", "sites": ["1085"]}),
        service.admin.get("/nowhere"),
    ]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        policy = answer.headers["content-security-policy"]
        assert policy == "default-src 'none'; frame-ancestors 'none'"
        assert "strict-transport-security" not in answer.headers


def test_photos_keep_the_headers_of_their_own(service: Service) -> None:
    device, content = service.device_client(), picture()
    sha256 = hashlib.sha256(content).hexdigest()
    taken = [{"sha256": sha256, "bytes": len(content), "taken_at": "2026-11-23T15:15:00Z"}]
    device.put(f"/v1/infractions/{new_id()}", json=infraction(photos=taken))
    device.put(f"/v1/photos/{sha256}", content=content).raise_for_status()
    answer = service.reader.get(f"/v1/photos/{sha256}")
    assert "immutable" in answer.headers["cache-control"]
    assert "sandbox" in answer.headers["content-security-policy"]


def test_documentation_may_run_its_own_scripts_and_no_others(service: Service) -> None:
    page = service.client(None).get("/docs")
    policy = page.headers["content-security-policy"]
    (script,) = re.findall("<script>(.*?)</script>", page.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'self' 'sha256-{digest}'" in policy
    assert "'unsafe-inline'" not in policy.partition("style-src")[0]
    assert "frame-ancestors 'none'" in policy


def test_tls_is_asked_for_again_once_it_was_there(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    pair = tmp_path / "pair.pem"
    certificate.private_key_and_cert_chain_pem.write_to_path(pair)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    data = tmp_path / "data"
    data.mkdir()
    with served(data, tls={"ssl_certfile": pair, "ssl_keyfile": pair}) as address:
        answer = httpx.get(f"{address}/health/live", verify=trust, trust_env=False)
    assert answer.headers["strict-transport-security"] == "max-age=31536000"


# Secrets


def test_no_secret_is_logged_or_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A session with everything secret in it, with every logger at its most talkative."""
    caplog.set_level(logging.DEBUG)
    for talkative in ("sqlalchemy", "sqlalchemy.engine", "uvicorn", "asyncio", "alembic"):
        caplog.set_level(logging.DEBUG, logger=talkative)
    with running(tmp_path) as service:
        service.site()
        live_with_secrets(service, caplog)


def live_with_secrets(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    pins = ["806213", "911911", "700700"]
    body = {"badge": "4217", "name": "Marie", "pin": pins[0]}
    service.admin.put("/v1/sites/1085/patrollers/marie", json=body).raise_for_status()
    service.admin.put("/v1/sites/1085/patrollers/marie", json=body | {"pin": f"{pins[2]}x"})
    made = service.device()
    code = made["enrolment_code"]
    answer = service.client(None).post("/v1/enrolments", json={"code": code, "install_id": "i"})
    token = answer.json()["token"]
    device = service.client(token)
    device.post("/v1/sign-ins", json={"badge": "4217", "pin": pins[0]}).raise_for_status()
    device.post("/v1/sign-ins", json={"badge": "4217", "pin": pins[1]})
    device.post("/v1/sign-ins", json={"badge": pins[2], "pin": pins[2]})
    next_token = device.post("/v1/devices/self/token").json()["token"]
    state = {"app_version": "1", "unsent": 0, "clock_offset_ms": 0}
    service.client(next_token).put("/v1/devices/self", json=state).raise_for_status()
    fresh = service.admin.post(f"/v1/devices/{made['id']}/enrolment-code").json()
    wrong_key, wrong_code = "patrouille_admin_wrong", "AAAACCCC"
    service.client(wrong_key).get("/v1/devices")
    service.client(None).post("/v1/enrolments", json={"code": wrong_code})
    new_key = service.key("reader", name="new")
    service.client(new_key).get("/v1/events").raise_for_status()
    service.admin.get("/v1/devices").raise_for_status()
    used = [token, next_token, code, fresh["enrolment_code"], wrong_key, wrong_code, new_key, *pins]
    secrets = [*used, *service._keys.values()]

    def found(text: bytes) -> list[str]:
        """As words, since six digits are also part of many a hash."""
        return [s for s in secrets if re.search(rb"(?<!\w)" + s.encode() + rb"(?!\w)", text)]

    assert "UPDATE devices SET" in caplog.text  # the record's statements are among what is logged
    assert found(caplog.text.encode()) == []
    service.parts.record.engine.dispose()
    kept = b"".join(path.read_bytes() for path in service.folder.rglob("*") if path.is_file())
    assert b"marie" in kept  # the record is among the files
    assert found(kept) == []
