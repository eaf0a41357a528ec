"""`patrouille serve` as a process: how it begins, how it ends, and what a bad disk does to it."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from tests.enforcement_api.program import (
    DEADLINE,
    Serving,
    key,
    open_site,
    patrouille,
    plate,
    serving,
    updates,
)
from tests.service import picture

BATCH = 200


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


def push(client: httpx.Client, batch: int) -> httpx.Response:
    """A batch of permits; the numbers tell which."""
    numbers = range(batch * BATCH, (batch + 1) * BATCH)
    return client.post("/v1/plate-updates", json={"updates": updates(numbers)})


def recorded(data_dir: Path) -> int:
    """How many permits the record has, once SQLite has found it whole."""
    with contextlib.closing(sqlite3.connect(data_dir / "record.db")) as record:
        assert record.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        found: int = record.execute("SELECT count(*) FROM permit_versions").fetchone()[0]
        return found


def assert_digests_agree(data_dir: Path) -> None:
    done = patrouille(data_dir, "digest", "--site", "1085")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["agree"] is True


def verdict(client: httpx.Client, number: int) -> str:
    query = {"plate": plate(number), "zone": "G1"}
    return str(client.get("/v1/sites/1085/check", params=query).json()["verdict"])


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it_with_0_and_whoever_waits_is_answered(
    data_dir: Path, number: signal.Signals
) -> None:
    admin = key(data_dir)
    with serving(data_dir) as server, server.client(admin) as client:
        open_site(client)
        assert push(client, 0).status_code == 200
        cursor = client.get("/v1/sites/1085/changes").json()["cursor"]
        waited: list[httpx.Response] = []
        poll = threading.Thread(
            target=lambda: waited.append(
                client.get("/v1/sites/1085/changes", params={"after": cursor, "wait": 30})
            )
        )
        poll.start()
        until(lambda: "ESTAB" in established(server))
        began = time.monotonic()
        assert server.end(number) == 0, server.log()
        assert time.monotonic() - began < 15
        poll.join(DEADLINE)
        assert waited[0].status_code == 200
    assert recorded(data_dir) == BATCH
    assert_digests_agree(data_dir)


def established(server: Serving) -> str:
    """ESTAB once somebody is connected: from the kernel's table of connections."""
    port = int(server.address.rpartition(":")[2])
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    here = [line.split() for line in lines if line.split()[1].endswith(f":{port:04X}")]
    return "ESTAB" if any(fields[3] == "01" for fields in here) else ""


def test_killed_service_loses_nothing_acknowledged_and_catches_up(data_dir: Path) -> None:
    admin = key(data_dir)
    acknowledged = 0
    with serving(data_dir) as server, server.client(admin) as client:
        open_site(client)
        assert push(client, acknowledged).status_code == 200
        acknowledged += 1
        killer = threading.Timer(0.3, server.process.kill)
        killer.start()
        with contextlib.suppress(httpx.TransportError):
            while True:
                assert push(client, acknowledged).status_code == 200
                acknowledged += 1
        killer.join()
        assert server.process.wait(DEADLINE) == -signal.SIGKILL
    with serving(data_dir) as server, server.client(admin) as client:
        assert client.get("/health/ready").status_code == 200
        for batch in range(acknowledged):
            assert verdict(client, batch * BATCH) == "valid"
            assert verdict(client, (batch + 1) * BATCH - 1) == "valid"
        assert server.end() == 0
    assert recorded(data_dir) in (acknowledged * BATCH, (acknowledged + 1) * BATCH)
    assert_digests_agree(data_dir)


def test_index_that_was_lost_is_made_anew_from_the_record(data_dir: Path) -> None:
    admin = key(data_dir)
    with serving(data_dir) as server, server.client(admin) as client:
        open_site(client)
        push(client, 0)
        assert server.end() == 0
    for path in (data_dir / "index" / "1085").glob("*.db*"):
        path.write_bytes(b"no database any more" * 100)
    with serving(data_dir) as server, server.client(admin) as client:
        assert verdict(client, 7) == "valid"
        assert server.end() == 0
    assert_digests_agree(data_dir)


# A disk that is full


def fill(server: Serving, client: httpx.Client) -> tuple[int, str]:
    """Push until the disk is full; batches acknowledged, and what was said then."""
    for batch in range(1000):
        try:
            answer = push(client, batch)
        except httpx.TransportError:
            return batch, ""
        if answer.status_code != 200:
            assert answer.status_code == 507, answer.text
            problem = answer.json()
            assert problem["type"] == "/problems/storage-failed"
            return batch, problem["detail"]
    raise AssertionError("the disk was never full")


def assert_full_disk_stops_it(data_dir: Path, server: Serving, client: httpx.Client) -> int:
    acknowledged, told = fill(server, client)
    assert acknowledged
    assert server.process.wait(DEADLINE) == 1, server.log()
    assert "cannot write to its disk" in server.log()
    assert "Traceback" not in server.log()
    assert not told or "start the service again" in told
    return acknowledged


def assert_whole(data_dir: Path, admin: str, acknowledged: int) -> None:
    """What was acknowledged is there; of the batch that failed all or nothing."""
    found = recorded(data_dir)
    assert found % BATCH == 0
    assert found in (acknowledged * BATCH, (acknowledged + 1) * BATCH)
    assert_digests_agree(data_dir)
    with serving(data_dir) as server, server.client(admin) as client:
        assert verdict(client, acknowledged * BATCH - 1) == "valid"
        again = push(client, acknowledged).json()
        assert again["applied"] + again["unchanged"] == BATCH
        assert verdict(client, (acknowledged + 1) * BATCH - 1) == "valid"
        assert server.end() == 0
    assert_digests_agree(data_dir)


def test_files_that_may_not_grow_stop_it_with_a_sentence(data_dir: Path) -> None:
    admin = key(data_dir)
    with serving(data_dir, largest_file=1_200_000) as server, server.client(admin) as client:
        open_site(client)
        acknowledged = assert_full_disk_stops_it(data_dir, server, client)
    assert_whole(data_dir, admin, acknowledged)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", disk]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here; files that may not grow stand for it")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_full_disk_stops_it_with_a_sentence(small_disk: Path) -> None:
    data_dir = small_disk / "data"
    admin = key(data_dir)
    with serving(data_dir) as server, server.client(admin) as client:
        open_site(client)
        acknowledged = assert_full_disk_stops_it(data_dir, server, client)
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    assert_whole(data_dir, admin, acknowledged)


# A disk that is read-only


def assert_refuses_to_start(data_dir: Path) -> None:
    for language, sentence in (
        ("en", "The data folder cannot be written to"),
        ("fr", str(data_dir)),
    ):
        done = patrouille(data_dir, "serve", "--port", "0", language=language)
        assert done.returncode == 1
        assert sentence in done.stderr
        assert str(data_dir) in done.stderr
        assert "Traceback" not in done.stderr
        assert "listening" not in done.stderr


def test_file_in_place_of_the_data_directory_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    done = patrouille(tmp_path, "serve", "--port", "0", "--data-dir", tmp_path / "data")
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert_refuses_to_start(tmp_path / "data" / "below")


def test_file_in_place_of_a_folder_in_it_is_told(data_dir: Path) -> None:
    key(data_dir)
    (data_dir / "photos").write_text("a file")
    assert_refuses_to_start(data_dir)
    assert recorded(data_dir) == 0


@pytest.fixture
def read_only(data_dir: Path) -> Iterator[Callable[[], None]]:
    """Makes the data directory read-only, for root too."""

    def make() -> None:
        for command in (
            ["mount", "--bind", data_dir, data_dir],
            ["mount", "-o", "remount,bind,ro", data_dir],
        ):
            if subprocess.run(command, capture_output=True, check=False).returncode:
                pytest.skip("mounting is not allowed here; files in the way stand for it")

    yield make
    subprocess.run(["umount", "-l", data_dir], check=False, capture_output=True)


def test_read_only_data_directory_is_told_and_nothing_starts(
    data_dir: Path, read_only: Callable[[], None]
) -> None:
    key(data_dir)
    read_only()
    assert_refuses_to_start(data_dir)


def test_data_directory_that_becomes_read_only_stops_it(
    data_dir: Path, read_only: Callable[[], None]
) -> None:
    admin = key(data_dir)
    with serving(data_dir) as server, server.client(admin) as client:
        open_site(client)
        assert push(client, 0).status_code == 200
        read_only()
        # files that are open stay writable on a bind mount: the photo is a new one
        code = client.post("/v1/devices", json={"name": "h", "sites": ["1085"]}).json()
        token = client.post("/v1/enrolments", json={"code": code["enrolment_code"]}).json()["token"]
        with server.client(token) as device:
            photo = picture()
            answer = device.put(f"/v1/photos/{sha256(photo).hexdigest()}", content=photo)
        assert answer.status_code == 507, answer.text
        assert "Read-only" in answer.json()["detail"]
        assert server.process.wait(DEADLINE) == 1, server.log()
        assert "cannot write to its disk" in server.log()
    assert recorded(data_dir) == BATCH


# Starting


def test_record_of_another_version_is_told(data_dir: Path) -> None:
    key(data_dir)
    with contextlib.closing(sqlite3.connect(data_dir / "record.db")) as record:
        record.execute("UPDATE alembic_version SET version_num = 'from the future'")
        record.commit()
    for command in (("serve", "--port", "0"), ("init",), ("keys", "list")):
        done = patrouille(data_dir, *command)
        assert done.returncode == 1
        assert "newer version" in done.stderr
        assert "Traceback" not in done.stderr


def test_file_that_is_no_record_is_told(data_dir: Path) -> None:
    data_dir.mkdir()
    (data_dir / "record.db").write_bytes(b"this is no database" * 1000)
    done = patrouille(data_dir, "serve", "--port", "0")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "damaged" in done.stderr
    assert str(data_dir / "record.db") in done.stderr


# What is no HTTP


@pytest.mark.parametrize(
    "request_line",
    ["GET /v1/sites/1085/check?plate=ÀBC123&zone=G1 HTTP/1.1", "nonsense", "GET / HTTP/1.1\r\nX"],
)
def test_what_is_no_http_is_answered_with_a_problem(data_dir: Path, request_line: str) -> None:
    key(data_dir)
    with serving(data_dir) as server:
        port = int(server.address.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), DEADLINE) as connection:
            connection.sendall(f"{request_line}\r\nHost: x\r\n\r\n".encode())
            answer = b"".join(iter(lambda: connection.recv(4096), b""))
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 ")
        assert b"content-type: application/problem+json" in head.lower()
        problem = json.loads(body)
        assert (problem["type"], problem["status"]) == ("/problems/malformed-request", 400)
        assert "HTTP" in problem["title"]
        assert server.end() == 0
