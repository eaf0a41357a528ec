"""The two threads: what they tell, and what they never lose."""

from __future__ import annotations

import contextlib
import socket
import sqlite3
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from handheld_app.edges import DeviceEdges
from handheld_app.handheld import Handheld
from handheld_app.syncing import Syncing, SyncStatus
from sync import codec, engine
from sync.client import ServiceClient
from sync.edges import Edges
from tests.handheld_app.conftest import NOW, World, fill

DEADLINE = 10


class Service:
    """Answers as it is told to; remembers what it was asked."""

    def __init__(self) -> None:
        self.answer: Callable[[httpx.Request], httpx.Response] = self.unreachable
        self.asked: list[str] = []
        self.held = threading.Event()
        self.page: dict[str, object] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(f"{request.method} {request.url.path}")
        return self.answer(request)

    def unreachable(self, request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no route", request=request)

    def level(self, request: httpx.Request) -> httpx.Response:
        """Nothing new, as long as one asks (`held` ends the wait)."""
        if request.method == "PUT":
            return httpx.Response(201, json=receipt(request.url.path.rpartition("/")[2]))
        if request.url.params["wait"] != "0":
            self.held.wait(DEADLINE)
            raise httpx.ReadError("held no longer", request=request)
        return httpx.Response(200, json=self.page)

    def revoked(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(401, json={"type": "/problems/device-revoked", "title": "Revoked"})

    def revokes_the_sender(self, request: httpx.Request) -> httpx.Response:
        return self.revoked(request) if request.method == "PUT" else self.unreachable(request)

    def forbids(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(403, json={"type": "/problems/forbidden", "title": "Forbidden"})


def receipt(id: str) -> dict[str, object]:
    return {
        "id": id,
        "received_at": "2026-11-23T20:05:00Z",
        "state": "received",
        "recheck": {"verdict": "unknown", "differs": False},
        "photos_missing": [],
        "warnings": [],
    }


class Watcher:
    """Waits for a state of the sync, with a deadline."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._seen: list[SyncStatus] = []

    def __call__(self, status: SyncStatus) -> None:
        with self._changed:
            self._seen.append(status)
            self._changed.notify_all()

    def seen(self) -> list[SyncStatus]:
        with self._changed:
            return list(self._seen)

    def until(self, wanted: Callable[[SyncStatus], bool]) -> SyncStatus:
        def seen() -> SyncStatus | None:
            return next((status for status in self._seen if wanted(status)), None)

        with self._changed:
            assert self._changed.wait_for(seen, DEADLINE), self._seen
            status = seen()
            assert status is not None
            return status


MANIFEST = {"url": "/file", "sha256": "0" * 64, "bytes": 1, "encoding": "gzip"}


def until(happened: Callable[[], bool]) -> None:
    ends = time.monotonic() + DEADLINE
    while not happened():
        assert time.monotonic() < ends
        time.sleep(0.01)


def client_of(service: Service, address: str = "https://parking.example") -> ServiceClient:
    return ServiceClient(address, token="t", transport=httpx.MockTransport(service))


def edges(handheld: Handheld, client: Callable[[], ServiceClient]) -> Callable[[], Edges]:
    replica = handheld.replica_of("1085")
    return lambda: DeviceEdges(
        client(), replica, handheld.outbox, handheld.clock, handheld.device_file, handheld.briefings
    )


def parts(handheld: Handheld, watcher: Watcher) -> dict[str, Any]:
    return {
        "site": "1085",
        "replica": handheld.replica_of("1085"),
        "outbox": handheld.outbox,
        "forget": handheld.forget_sites,
        "changed": watcher,
        "dice": lambda: 0.5,
    }


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


@pytest.fixture
def syncing(
    handheld: Handheld, world: World, service: Service, watcher: Watcher
) -> Iterator[Syncing]:
    world.permit("ABC123")
    fill(handheld, world)
    syncing = Syncing(
        new_edges=edges(handheld, lambda: client_of(service)),
        **parts(handheld, watcher),
    )
    state = handheld.patrol.state()
    assert state is not None
    service.page = {
        "protocol": 1, "epoch": state.epoch, "cursor": state.cursor, "sequence": state.sequence,
        "more": False, "changes": [], "digest": codec.digest_json(state.digest),
        "server_time": codec.instant(NOW), "fed_at": codec.instant(NOW),
    }  # fmt: skip
    yield syncing
    service.held.set()
    syncing.stop()
    assert syncing.join(DEADLINE)


def test_without_network_it_is_offline_and_still_judges(
    handheld: Handheld, syncing: Syncing, watcher: Watcher
) -> None:
    syncing.start()
    status = watcher.until(lambda status: status.connection == "offline")
    assert status.synced_at == NOW
    assert handheld.patrol.check("ABC123", "CA-QC").verdict == "valid"


def test_what_is_recorded_without_network_waits_and_is_counted(
    handheld: Handheld, syncing: Syncing, watcher: Watcher
) -> None:
    patrol = handheld.patrol
    patrol.record(patrol.draft(patrol.check("ZZZ999", "CA-QC")))
    syncing.start()
    status = watcher.until(lambda status: status.connection == "offline" and status.unsent == 1)
    assert status.set_aside == 0
    assert [item.state for item in patrol.log()] == ["waiting"]


def test_a_revoked_device_forgets_its_permits_but_not_what_it_recorded(
    handheld: Handheld, syncing: Syncing, service: Service, watcher: Watcher
) -> None:
    patrol = handheld.patrol
    patrol.record(patrol.draft(patrol.check("ZZZ999", "CA-QC")))
    service.answer = service.revoked
    syncing.start()
    watcher.until(lambda status: status.connection == "revoked")
    assert patrol.site() is None
    assert patrol.unsent() == 1


def test_plates_that_a_disk_does_not_let_go_of_go_at_the_next_turn(
    handheld: Handheld, syncing: Syncing, service: Service, watcher: Watcher
) -> None:
    patrol = handheld.patrol
    patrol.record(patrol.draft(patrol.check("ZZZ999", "CA-QC")))
    fails = iter([True])

    def forget() -> None:
        if next(fails, False):
            raise OSError("the disk does not answer")
        handheld.forget_sites()

    syncing._forget = forget
    service.answer = service.revoked
    syncing.start()
    watcher.until(lambda status: status.connection == "revoked")
    assert patrol.site() is None
    service.answer = service.level
    syncing.hurry()
    until(lambda: patrol.unsent() == 0)


def test_a_revoked_device_keeps_no_plate_of_any_site(
    handheld: Handheld, syncing: Syncing, service: Service, watcher: Watcher
) -> None:
    sites = handheld.folder / "sites"
    for folder in ("opened-last-week", next(sites.iterdir()).name):
        (sites / folder / "downloads").mkdir(parents=True)
        (sites / folder / "downloads" / "half.gz").write_bytes(b"plates")
        (sites / folder / "left.db").write_bytes(b"plates")
    service.answer = service.revoked
    syncing.start()
    watcher.until(lambda status: status.connection == "revoked")
    assert not sites.exists()
    assert handheld.patrol.site() is None


def test_what_a_revoked_device_recorded_is_still_sent(
    handheld: Handheld, syncing: Syncing, service: Service, watcher: Watcher
) -> None:
    patrol = handheld.patrol
    id = patrol.record(patrol.draft(patrol.check("ZZZ999", "CA-QC"))).id
    revoked = threading.Event()

    def takes_only_what_was_recorded(request: httpx.Request) -> httpx.Response:
        if request.method != "PUT":
            return service.revoked(request)
        if not revoked.is_set():
            raise httpx.ConnectError("no route", request=request)
        return httpx.Response(201, json=receipt(id))

    service.answer = takes_only_what_was_recorded
    syncing.start()
    watcher.until(lambda status: status.connection == "revoked")
    revoked.set()
    syncing.hurry()
    # The count of a status may be older than the record above, so wait for the log itself.
    until(lambda: [item.state for item in patrol.log()] == ["sent"])


def test_sending_hears_of_a_revocation_too(
    handheld: Handheld, syncing: Syncing, service: Service, watcher: Watcher
) -> None:
    patrol = handheld.patrol
    patrol.record(patrol.draft(patrol.check("ZZZ999", "CA-QC")))
    service.answer = service.revokes_the_sender
    syncing.start()
    watcher.until(lambda status: status.connection == "revoked")
    assert patrol.site() is None
    assert patrol.unsent() == 1


def test_an_answer_of_another_shape_ends_no_thread(
    handheld: Handheld, syncing: Syncing, service: Service, watcher: Watcher
) -> None:
    patrol = handheld.patrol
    patrol.record(patrol.draft(patrol.check("ZZZ999", "CA-QC")))
    service.answer = lambda request: httpx.Response(200, text="<html>Sign in</html>")
    syncing.start()
    status = watcher.until(lambda status: status.connection == "offline" and status.unsent == 1)
    assert status.set_aside == 0
    service.answer = service.forbids
    syncing.hurry()
    watcher.until(lambda status: status.connection == "refused" and status.set_aside == 1)


def test_a_certificate_that_is_not_trusted_is_told_apart_from_no_network(
    syncing: Syncing, service: Service, watcher: Watcher
) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        reason = ssl.SSLCertVerificationError(1, "certificate verify failed")
        reason.verify_message = "self-signed certificate"
        raise httpx.ConnectError("TLS", request=request) from reason

    service.answer = refuse
    syncing.start()
    status = watcher.until(lambda status: status.connection == "untrusted")
    assert status.trouble == "self-signed certificate"


def test_an_error_that_nobody_foresaw_ends_no_thread_and_is_told(
    handheld: Handheld, syncing: Syncing, service: Service, watcher: Watcher
) -> None:
    def breaks(request: httpx.Request) -> httpx.Response:
        raise LookupError("a defect")

    patrol = handheld.patrol
    patrol.record(patrol.draft(patrol.check("ZZZ999", "CA-QC")))
    service.answer = breaks
    syncing.start()
    status = watcher.until(lambda status: status.connection == "failing")
    assert "a defect" in status.trouble
    service.answer = service.forbids
    syncing.hurry()
    watcher.until(lambda status: status.connection == "refused")
    watcher.until(lambda status: status.set_aside == 1)


def test_a_refusal_is_told_apart_from_no_network(
    syncing: Syncing, service: Service, watcher: Watcher
) -> None:
    service.answer = service.forbids
    syncing.start()
    status = watcher.until(lambda status: status.connection == "refused")
    assert "Forbidden" in status.trouble


def test_a_key_that_the_service_does_not_know_is_told_apart_from_other_refusals(
    syncing: Syncing, service: Service, watcher: Watcher
) -> None:
    service.answer = lambda request: httpx.Response(
        401, json={"type": "/problems/unauthorized", "title": "Unknown key"}
    )
    syncing.start()
    watcher.until(lambda status: status.connection == "unauthorized")


def test_what_the_service_refuses_is_set_aside_with_its_reason(
    handheld: Handheld, syncing: Syncing, service: Service, watcher: Watcher
) -> None:
    patrol = handheld.patrol
    patrol.record(patrol.draft(patrol.check("ZZZ999", "CA-QC")))
    service.answer = service.forbids
    syncing.start()
    watcher.until(lambda status: status.set_aside == 1)
    (item,) = patrol.set_aside()
    assert item.problem is not None
    assert "Forbidden" in item.problem


def test_hurrying_does_not_wait_for_the_next_turn(
    syncing: Syncing, service: Service, watcher: Watcher
) -> None:
    syncing.start()
    watcher.until(lambda status: status.connection == "offline")
    service.answer = service.forbids
    syncing.hurry()
    watcher.until(lambda status: status.connection == "refused")


def test_stopping_waits_for_no_answer(
    handheld: Handheld, syncing: Syncing, watcher: Watcher
) -> None:
    """Both threads hang in a request to a service that takes it and never answers."""
    patrol = handheld.patrol
    patrol.record(patrol.draft(patrol.check("ZZZ999", "CA-QC")))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        hanging = Syncing(
            new_edges=edges(handheld, lambda: ServiceClient(address, token="t")),
            **parts(handheld, watcher),
        )
        hanging.start()
        listener.settimeout(DEADLINE)
        asked = [listener.accept()[0] for _ in range(2)]
        for connection in asked:
            connection.settimeout(DEADLINE)
            assert connection.recv(4)
        began = time.monotonic()
        hanging.stop()
        assert time.monotonic() - began < 0.5
        assert hanging.join(3)  # a request waits for 15 seconds and more
        for connection in asked:
            connection.close()
    assert patrol.unsent() == 1


def test_stopping_ends_every_rest(syncing: Syncing, watcher: Watcher) -> None:
    syncing.start()
    watcher.until(lambda status: status.connection == "offline")
    syncing.stop()
    assert syncing.join(DEADLINE)


def test_a_sync_that_was_stopped_tells_and_forgets_nothing_more(
    handheld: Handheld, syncing: Syncing, service: Service, watcher: Watcher
) -> None:
    answering = threading.Event()

    def revokes_late(request: httpx.Request) -> httpx.Response:
        answering.set()
        service.held.wait(DEADLINE)
        return service.revoked(request)

    service.answer = revokes_late
    syncing.start()
    assert answering.wait(DEADLINE)
    syncing.stop()
    service.held.set()
    assert syncing.join(DEADLINE)
    assert handheld.patrol.site() is not None
    assert "revoked" not in {status.connection for status in watcher.seen()}


def test_with_the_network_back_what_waits_goes_at_once(
    handheld: Handheld,
    syncing: Syncing,
    service: Service,
    watcher: Watcher,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for pause in ("FIRST_RETRY", "LAST_RETRY", "IDLE_PUSH"):
        monkeypatch.setattr(engine, pause, 3600.0)
    patrol = handheld.patrol
    patrol.record(patrol.draft(patrol.check("ZZZ999", "CA-QC")))
    syncing.start()
    watcher.until(lambda status: status.connection == "offline" and status.unsent == 1)
    until(lambda: handheld.outbox.waiting()[0].attempts == 1)
    service.answer = service.level
    syncing._asked["pull"].set()
    watcher.until(lambda status: status.connection == "online" and status.unsent == 0)


def test_an_address_that_cannot_be_used_is_told_and_ends_no_thread(
    handheld: Handheld, service: Service, watcher: Watcher, world: World
) -> None:
    fill(handheld, world)
    addresses = ["http://parking.example", "https://parking.example"]
    syncing = Syncing(
        new_edges=edges(handheld, lambda: client_of(service, addresses[0])),
        **parts(handheld, watcher),
    )
    syncing.start()
    watcher.until(lambda status: "https is needed" in status.trouble)
    del addresses[0]
    service.answer = service.forbids
    syncing.hurry()
    watcher.until(lambda status: status.connection == "refused")
    syncing.stop()
    assert syncing.join(DEADLINE)


def test_attempts_that_fail_come_ever_later(
    handheld: Handheld, syncing: Syncing, monkeypatch: pytest.MonkeyPatch
) -> None:
    patrol = handheld.patrol
    patrol.record(patrol.draft(patrol.check("ZZZ999", "CA-QC")))
    pauses: dict[str, list[float]] = {"push": [], "pull": []}

    def rest(which: str, seconds: float) -> None:
        pauses[which].append(seconds)
        if all(len(seen) > 7 for seen in pauses.values()):
            syncing.stop()

    monkeypatch.setattr(syncing, "_rest", rest)
    syncing.start()
    assert syncing.join(DEADLINE)
    assert pauses["pull"][:7] == [1, 2, 4, 8, 16, 30, 30]
    assert pauses["push"][:6] == [2, 4, 8, 16, 30, 30]


def test_a_disk_that_fails_ends_no_thread(
    handheld: Handheld, syncing: Syncing, service: Service, watcher: Watcher
) -> None:
    patrol = handheld.patrol
    id = patrol.record(patrol.draft(patrol.check("ZZZ999", "CA-QC"))).id
    with contextlib.closing(sqlite3.connect(handheld.folder / "outbox.db")) as outbox:
        outbox.execute("ALTER TABLE item RENAME TO away")
        replica = handheld.replica_of("1085")
        replica.wipe()
        replica.folder.joinpath("downloads").write_text("no folder")
        service.answer = lambda request: httpx.Response(200, json=service.page | MANIFEST)
        syncing.start()
        watcher.until(lambda status: "exists" in status.trouble)
        outbox.execute("ALTER TABLE away RENAME TO item")
    service.answer = lambda request: (
        service.level(request) if request.method == "PUT" else service.forbids(request)
    )
    syncing.hurry()
    watcher.until(lambda status: status.connection == "refused")
    until(lambda: patrol.unsent() == 0)
    assert f"PUT /v1/infractions/{id}" in service.asked


def test_who_was_revoked_is_not_merely_offline(
    handheld: Handheld, syncing: Syncing, service: Service, watcher: Watcher
) -> None:
    patrol = handheld.patrol
    patrol.record(patrol.draft(patrol.check("ZZZ999", "CA-QC")))
    service.answer = service.revokes_the_sender
    syncing.start()
    watcher.until(lambda status: status.connection == "revoked")
    for times in (2, 3):  # the first was over before anybody heard of the revocation, or is now
        syncing.hurry()
        until(lambda times=times: service.asked.count("GET /v1/sites/1085/snapshot") >= times)
    told = [status.connection for status in watcher.seen()]
    assert set(told[told.index("revoked") :]) == {"revoked"}


def test_the_age_of_what_is_known_goes_on_growing_without_network(
    handheld: Handheld, syncing: Syncing, world: World, watcher: Watcher
) -> None:
    syncing.start()
    watcher.until(lambda status: status.connection == "offline")
    world.now = NOW + timedelta(days=2)
    assert handheld.patrol.is_stale()
