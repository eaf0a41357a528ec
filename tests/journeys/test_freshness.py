"""A handheld in coverage knows a change within two seconds of its commit; no upload waits for it.

The real service in a process of its own, over TCP, and real handhelds with their threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from handheld_app.handheld import Handheld
from sync.messages import SignIn
from tests.handheld_app.service import ServiceProcess

WITHIN = 2.0
DEADLINE = 30


def until(happened: Callable[[], bool]) -> float:
    """Wait for it; the seconds that it took."""
    began = time.monotonic()
    while not happened():
        assert time.monotonic() - began < DEADLINE
        time.sleep(0.005)
    return time.monotonic() - began


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    service = ServiceProcess(tmp_path_factory.mktemp("service"))
    service.start()
    service.open_site()
    yield service
    service.close()


@pytest.fixture
def handheld(tmp_path: Path, service: ServiceProcess) -> Iterator[Handheld]:
    """Enrolled, level, and waiting at the service for news."""
    handheld = Handheld(tmp_path)
    patrol = handheld.patrol
    patrol.enrol(service.address, service.enrolment_code())
    now = handheld.clock.now()
    handheld.staff.remember("4217", "806213", SignIn("marie", now + timedelta(days=30)), at=now)
    patrol.sign_in("4217", "806213")
    handheld.sync()
    until(lambda: bool(patrol.zones()))
    patrol.choose_zone("G1")
    until(lambda: handheld.status.connection == "online")
    yield handheld
    handheld.close()


def permit(number: int) -> dict[str, Any]:
    return {
        "id": f"new{number}", "version": 1, "plate": f"NEW{number:03}", "site": "1085",
        "zones": ["G1"], "permit_number": "1", "valid_from": "2026-01-01", "status": "active",
    }  # fmt: skip


def test_a_handheld_in_coverage_knows_a_change_within_two_seconds_of_its_commit(
    service: ServiceProcess, handheld: Handheld
) -> None:
    took = []
    for number in range(10):
        service.ask("POST", "/v1/plate-updates", json={"updates": [permit(number)]})
        plate = f"NEW{number:03}"
        took.append(until(lambda p=plate: handheld.patrol.check(p, "CA-QC").verdict == "valid"))
    print(f"known after {sorted(took)[5] * 1000:.0f} ms (median), {max(took) * 1000:.0f} (most)")
    assert sorted(took)[5] < WITHIN


def test_what_is_recorded_arrives_while_a_poll_waits(
    service: ServiceProcess, handheld: Handheld
) -> None:
    patrol = handheld.patrol
    draft = patrol.draft(patrol.check("ZZZ999", "CA-QC"))
    draft.decide("no_issue")
    draft.no_issue_reason = "driver_returned"
    id = patrol.record(draft).id
    handheld.sync()
    took = until(lambda: patrol.unsent() == 0)
    assert service.ask("GET", f"/v1/infractions/{id}")["state"] == "received"
    assert took < WITHIN


def test_after_the_service_was_away_a_handheld_finds_it_again(
    service: ServiceProcess, handheld: Handheld
) -> None:
    service.stop()
    until(lambda: handheld.status.connection == "offline")
    service.start()
    service.ask("POST", "/v1/plate-updates", json={"updates": [permit(10)]})
    until(lambda: handheld.patrol.check("NEW010", "CA-QC").verdict == "valid")
    until(lambda: handheld.status.connection == "online")  # told once the pass has ended
