"""The two threads: what they tell, and what they never lose."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import httpx
import pytest

from handheld_app.handheld import Handheld
from handheld_app.syncing import Syncing, SyncStatus
from sync.client import ServiceClient
from tests.handheld_app.conftest import NOW, World, fill

DEADLINE = 10


class Service:
    """Answers as it is told to; remembers what it was asked."""

    def __init__(self) -> None:
        self.answer: Callable[[httpx.Request], httpx.Response] = self.unreachable
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(f"{request.method} {request.url.path}")
        return self.answer(request)

    def unreachable(self, request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no route", request=request)

    def revoked(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(401, json={"type": "/problems/device-revoked", "title": "Revoked"})

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

    def until(self, wanted: Callable[[SyncStatus], bool]) -> SyncStatus:
        def seen() -> SyncStatus | None:
            return next((status for status in self._seen if wanted(status)), None)

        with self._changed:
            assert self._changed.wait_for(seen, DEADLINE), self._seen
            status = seen()
            assert status is not None
            return status


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
        new_client=lambda: ServiceClient(
            "https://parking.example", token="t", transport=httpx.MockTransport(service)
        ),
        site="1085",
        replica=handheld.replica_of("1085"),
        outbox=handheld.outbox,
        clock=handheld.clock,
        forget=handheld.forget_sites,
        changed=watcher,
    )
    yield syncing
    syncing.stop()


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
    id = patrol.record(patrol.draft(patrol.check("ZZZ999", "CA-QC")))
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
    deadline = time.monotonic() + 30
    while [item.state for item in patrol.log()] != ["sent"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_sending_hears_of_a_revocation_too(
    handheld: Handheld, syncing: Syncing, service: Service, watcher: Watcher
) -> None:
    patrol = handheld.patrol
    patrol.record(patrol.draft(patrol.check("ZZZ999", "CA-QC")))

    def revokes_the_sender(request: httpx.Request) -> httpx.Response:
        return service.revoked(request) if request.method == "PUT" else service.unreachable(request)

    service.answer = revokes_the_sender
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


def test_stopping_is_quick(syncing: Syncing, handheld: Handheld, watcher: Watcher) -> None:
    syncing.start()
    watcher.until(lambda status: status.connection == "offline")
    began = threading.Event()
    stopper = threading.Thread(target=lambda: (began.set(), syncing.stop()))
    stopper.start()
    stopper.join(DEADLINE)
    assert not stopper.is_alive()


def test_the_age_of_what_is_known_goes_on_growing_without_network(
    handheld: Handheld, syncing: Syncing, world: World, watcher: Watcher
) -> None:
    syncing.start()
    watcher.until(lambda status: status.connection == "offline")
    world.now = NOW + timedelta(days=2)
    assert handheld.patrol.is_stale()
