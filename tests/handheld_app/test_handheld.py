"""A handheld put together: its clocks, and what an enrolment leaves of the one before."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from handheld_app.handheld import Handheld, seconds_since_boot
from sync.exchange import Unreachable
from tests.damage import DAMAGES
from tests.handheld_app.conftest import NOW, World, enrol, fill

DEADLINE = 10


def test_hours_asleep_are_no_jump_of_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, boot = NOW, 1000.0
    monkeypatch.setattr(time, "CLOCK_BOOTTIME", 7, raising=False)
    monkeypatch.setattr(time, "clock_gettime", lambda clock: boot if clock == 7 else 0.0)
    handheld = Handheld(tmp_path, now=lambda: now)
    try:
        stamp = handheld.clock.stamp()
        handheld.clock.observe(NOW, sent=stamp, received=stamp)
        now, boot = NOW + timedelta(hours=3), boot + 3 * 3600
        reading = handheld.clock.read()
    finally:
        handheld.close()
    assert not reading.jumped
    assert reading.corrected - NOW >= timedelta(hours=3)


def test_without_a_clock_that_counts_sleep_there_is_the_other_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(time, "CLOCK_BOOTTIME", raising=False)
    monkeypatch.setattr(time, "monotonic", lambda: 42.0)
    assert seconds_since_boot() == 42.0


def test_a_data_folder_named_from_here_stays_the_same_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    handheld = Handheld(Path("var"))
    handheld.close()
    assert handheld.folder == tmp_path / "var" / "handheld"


class Service:
    """Enrols whoever asks, and cannot be reached for anything else."""

    def __init__(self) -> None:
        self.sites = ["1085"]
        self.device = "d2"
        self.enrolments = 0
        self.asked: list[dict[str, Any]] = []
        self.tokens: list[str] = []
        self.when_asked: Callable[[], None] = lambda: None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path != "/v1/enrolments":
            self.tokens.append(request.headers["Authorization"])
            raise httpx.ConnectError("no route", request=request)
        self.asked.append(json.loads(request.content))
        self.when_asked()
        self.enrolments += 1
        enrolment = {"device": self.device, "token": f"t{self.enrolments}", "sites": self.sites}
        return httpx.Response(201, json=enrolment)


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def enrolled(tmp_path: Path, world: World, service: Service) -> Iterator[Handheld]:
    """At work at a site that it has fetched, with one infraction that is not sent yet."""
    handheld = Handheld(
        tmp_path,
        now=lambda: world.now,
        boot=lambda: world.now.timestamp(),
        transport=httpx.MockTransport(service),
    )
    enrol(handheld)
    fill(handheld, world)
    patrol = handheld.patrol
    patrol.record(patrol.draft(patrol.check("ZZZ999", "CA-QC")))
    yield handheld
    handheld.close()


def indexes(handheld: Handheld) -> list[Path]:
    return list((handheld.folder / "sites").rglob("*.db"))


def test_another_service_is_offered_no_zone_of_the_one_before(enrolled: Handheld) -> None:
    enrolled.patrol.enrol("https://other.example", "CODE")
    assert enrolled.patrol.zones() == {}
    assert indexes(enrolled) == []
    assert enrolled.patrol.device.zone == ""
    assert enrolled.patrol.unsent() == 1


def test_a_site_that_the_device_lost_is_forgotten(enrolled: Handheld, service: Service) -> None:
    service.sites = ["2000", "3000"]
    enrolled.patrol.enrol("https://parking.example", "CODE")
    assert indexes(enrolled) == []
    assert (enrolled.patrol.device.site, enrolled.patrol.device.zone) == ("", "")


def test_a_new_token_for_the_same_site_fetches_nothing_anew(enrolled: Handheld) -> None:
    enrolled.patrol.enrol("https://parking.example", "CODE")
    assert set(enrolled.patrol.zones()) == {"G1", "G2", "M1"}
    assert enrolled.patrol.device.zone == ""


def test_numbers_stay_with_the_device_that_they_were_given_to(
    enrolled: Handheld, service: Service
) -> None:
    here = enrolled.patrol.device.server

    def numbers_left_after_enrolling_as(device: str) -> int:
        service.device = device
        enrolled.outbox.put_block(here, "1085", f"before {device}", f"{device}-", 1, 50)
        enrolled.patrol.enrol(here, "CODE")
        return enrolled.patrol.numbers_left()

    assert numbers_left_after_enrolling_as("d2") == 0
    assert numbers_left_after_enrolling_as("d2") == 50
    assert numbers_left_after_enrolling_as("d3") == 0


def test_a_secret_of_the_enrolment_before_is_shown_to_nobody(enrolled: Handheld) -> None:
    enrolled.device_file.keep_next_token("newer")
    enrolled.device_file.token_worked("newer", at=NOW)
    assert enrolled.device_file.device.old_token
    enrolled.patrol.enrol("https://other.example", "CODE")
    assert not enrolled.device_file.token_refused("t1")
    assert enrolled.device_file.device.secret == "t1"


def test_an_index_that_was_left_is_swept_at_the_next_start(
    tmp_path: Path, enrolled: Handheld
) -> None:
    left = enrolled.folder / "sites" / "0123456789abcdef"
    left.mkdir()
    (left / "left.db").write_bytes(b"plates")
    again = Handheld(tmp_path)
    assert not left.exists()
    assert set(again.patrol.zones()) == {"G1", "G2", "M1"}
    again.close()


def test_the_install_id_that_is_sent_is_on_disk_already(
    tmp_path: Path, enrolled: Handheld, service: Service
) -> None:
    kept: list[str] = []
    file = enrolled.folder / "device.json"
    service.when_asked = lambda: kept.append(json.loads(file.read_text())["install_id"])
    enrolled.patrol.enrol("https://parking.example", "CODE")
    assert [body["install_id"] for body in service.asked] == kept


def test_an_enrolment_that_fails_changes_nothing(enrolled: Handheld, service: Service) -> None:
    before = enrolled.patrol.device

    def lost() -> None:
        raise httpx.ReadError("lost")

    service.when_asked = lost
    with pytest.raises(Unreachable):
        enrolled.patrol.enrol("https://other.example", "CODE")
    assert enrolled.patrol.device == before
    assert enrolled.patrol.zone() is not None


def test_another_enrolment_starts_the_sync_anew_and_ends_the_old_one(
    enrolled: Handheld, service: Service
) -> None:
    enrolled.sync()
    old = enrolled._syncing
    enrolled.sync()
    assert enrolled._syncing is old
    enrolled.patrol.enrol("https://parking.example", "CODE")
    enrolled.sync()
    assert old is not None
    assert old.join(DEADLINE)
    assert enrolled._syncing is not old
    ends = time.monotonic() + DEADLINE
    while "Bearer t1" not in service.tokens:
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_another_site_is_synced_instead(enrolled: Handheld, service: Service) -> None:
    service.sites = ["1085", "2000"]
    enrolled.patrol.enrol("https://parking.example", "CODE")
    enrolled.patrol.choose_site("1085")
    enrolled.sync()
    old = enrolled._syncing
    enrolled.patrol.choose_site("2000")
    enrolled.sync()
    assert old is not None
    assert old.join(DEADLINE)
    assert enrolled._syncing is not old
    assert enrolled.patrol.zones() == {}


@pytest.mark.parametrize("damage", sorted(DAMAGES))
def test_a_damaged_index_does_not_stop_the_sync_from_starting(
    enrolled: Handheld, service: Service, damage: str
) -> None:
    replica = enrolled.replica_of("1085")
    DAMAGES[damage](replica)
    replica.close()
    enrolled.sync()
    assert enrolled.status.synced_at is None
    assert enrolled.status.unsent == 1
    ends = time.monotonic() + DEADLINE
    while not service.tokens:
        assert time.monotonic() < ends
        time.sleep(0.01)
