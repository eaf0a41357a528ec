"""The service's time on a device whose own clock may be wrong (DOMAIN 2.8)."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

from sync.clock import TrustedClock

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


class Device:
    """A device: a wall clock that somebody may set, and a boot clock that nobody does."""

    def __init__(self) -> None:
        self.wall = NOON
        self.boot = 1000.0
        self.clock = TrustedClock(lambda: self.wall, lambda: self.boot)

    def pass_time(self, by: timedelta) -> None:
        self.wall += by
        self.boot += by.total_seconds()

    def sync(self, service_time: datetime, round_trip: timedelta = 2 * SECOND) -> None:
        sent_at = self.wall
        self.pass_time(round_trip)
        self.clock.observe(service_time, sent_at=sent_at, received_at=self.wall)


def test_the_device_is_believed_until_it_has_been_compared() -> None:
    device = Device()
    reading = device.clock.read()
    assert reading.corrected == NOON
    assert reading.uncertainty is None
    assert not reading.jumped


def test_the_offset_is_measured_at_a_sync_and_its_uncertainty_is_known() -> None:
    device = Device()
    device.sync(NOON + HOUR)
    reading = device.clock.read()
    # Half the round trip, and half of the second that was truncated.
    assert reading.corrected == NOON + HOUR + 1.5 * SECOND
    assert reading.uncertainty == 1.5 * SECOND
    assert reading.offset == reading.corrected - reading.device_time


def test_the_service_time_goes_on_without_network() -> None:
    device = Device()
    device.sync(NOON + HOUR)
    device.pass_time(24 * HOUR)
    assert device.clock.now() == NOON + 25 * HOUR + 1.5 * SECOND


def test_a_jump_of_the_device_clock_is_noticed_and_changes_nothing() -> None:
    device = Device()
    device.sync(NOON)
    before = device.clock.now()
    for jump in (-24 * HOUR, 48 * HOUR):
        device.wall += jump
        reading = device.clock.read()
        assert reading.jumped
        assert reading.corrected == before
        assert reading.device_time == device.wall


def test_the_next_sync_settles_a_jump() -> None:
    device = Device()
    device.sync(NOON)
    device.wall += 24 * HOUR
    device.sync(NOON + HOUR)
    reading = device.clock.read()
    assert not reading.jumped
    assert reading.corrected == NOON + HOUR + 1.5 * SECOND


def test_an_answer_from_before_its_question_is_not_measured() -> None:
    device = Device()
    device.clock.observe(NOON + HOUR, sent_at=NOON, received_at=NOON - SECOND)
    assert device.clock.now() == NOON


def test_a_measured_offset_is_kept_for_the_next_start() -> None:
    kept: list[timedelta] = []
    first = TrustedClock(lambda: NOON, lambda: 0.0, keep=kept.append)
    first.observe(NOON + HOUR, sent_at=NOON, received_at=NOON)
    second = TrustedClock(lambda: NOON, lambda: 5.0, offset=kept[-1])
    assert second.read().corrected == NOON + HOUR + SECOND / 2
    assert second.read().uncertainty is None


def test_the_clock_is_read_while_its_offset_is_kept() -> None:
    read: list[datetime] = []

    def keep(offset: timedelta) -> None:
        reading = threading.Thread(target=lambda: read.append(clock.now()))
        reading.start()
        reading.join(timeout=10)

    clock = TrustedClock(lambda: NOON, lambda: 0.0, keep=keep)
    clock.observe(NOON + timedelta(hours=1), sent_at=NOON, received_at=NOON)
    assert read == [NOON + timedelta(hours=1, milliseconds=500)]
