"""The service's time on a device whose own clock may be wrong (DOMAIN 2.8)."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.clock import DRIFT, KEEP_EVERY, Measurement, Stamp, TrustedClock

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
SLACK = timedelta(microseconds=50)
"""Timedeltas are whole microseconds, and a history rounds many."""


class Device:
    """A device in the true time: a wall clock that somebody may set, a boot clock that nobody
    does and that goes wrong by `drift`, and a program on it that starts again with what it kept.
    """

    def __init__(self, *, drift: float = 0.0, boot_ids: bool = True) -> None:
        self.true = NOON
        self.wall = NOON
        self.boot = 1000.0
        self.drift = drift
        self.boot_ids = boot_ids
        self.starts = 1
        self.kept: list[dict[str, Any]] = []
        self.start_program()

    def start_program(self) -> None:
        self.clock = TrustedClock(
            lambda: self.wall,
            lambda: self.boot,
            boot_id=f"start {self.starts}" if self.boot_ids else "",
            kept=Measurement.from_json(
                json.loads(json.dumps(self.kept[-1] if self.kept else None))
            ),
            keep=lambda measurement: self.kept.append(measurement.as_json()),
        )

    def start_again(self, off: timedelta = SECOND) -> None:
        """The device itself starts again."""
        self.true += off
        self.wall += off
        self.boot, self.starts = 3.0, self.starts + 1
        self.start_program()

    def pass_time(self, by: timedelta) -> None:
        self.true += by
        self.wall += by
        self.boot += by.total_seconds() * (1 + self.drift)

    def sync(
        self, there: timedelta = SECOND, back: timedelta = SECOND, *, ahead: timedelta = 0 * SECOND
    ) -> None:
        """Ask the service, whose clock is `ahead` of the true time."""
        sent = self.clock.stamp()
        self.pass_time(there)
        told = (self.true + ahead).replace(microsecond=0)
        self.pass_time(back)
        self.clock.observe(told, sent=sent, received=self.clock.stamp())

    def error(self) -> timedelta:
        return abs(self.clock.read().corrected - self.true)


def test_the_device_is_believed_until_it_has_been_compared() -> None:
    device = Device()
    device.pass_time(HOUR)
    reading = device.clock.read()
    assert reading.corrected == NOON + HOUR
    assert reading.uncertainty is None
    assert not reading.jumped


def test_the_offset_is_measured_at_a_sync_and_its_uncertainty_is_known() -> None:
    device = Device()
    device.wall -= HOUR
    device.sync()
    reading = device.clock.read()
    # Half the round trip, and half of the second that was truncated; a little for the drift.
    assert reading.corrected == NOON + 2 * SECOND + SECOND / 2
    assert reading.uncertainty == 1.5 * SECOND + 2 * SECOND * DRIFT
    assert reading.offset == reading.corrected - reading.device_time == HOUR + SECOND / 2


def test_uncertainty_grows_without_network() -> None:
    device = Device()
    device.sync()
    before = device.clock.read()
    device.pass_time(24 * HOUR)
    after = device.clock.read()
    assert after.corrected == before.corrected + 24 * HOUR
    assert before.uncertainty is not None
    assert after.uncertainty == before.uncertainty + 24 * HOUR * DRIFT
    assert not after.jumped


def test_a_jump_of_the_device_clock_is_noticed_and_changes_nothing() -> None:
    device = Device()
    device.sync()
    before = device.clock.read()
    for jump in (-24 * HOUR, 48 * HOUR):
        device.wall += jump
        reading = device.clock.read()
        assert reading.jumped
        assert (reading.corrected, reading.uncertainty) == (before.corrected, before.uncertainty)
        assert reading.device_time == device.wall


def test_a_jump_before_the_first_sync_is_noticed_and_changes_nothing() -> None:
    device = Device()
    device.wall += 24 * HOUR
    reading = device.clock.read()
    assert reading.jumped
    assert (reading.corrected, reading.uncertainty) == (NOON, None)


def test_a_jump_while_the_program_was_closed_is_noticed() -> None:
    device = Device()
    device.sync()
    before = device.clock.now()
    device.pass_time(HOUR)
    device.wall -= 24 * HOUR
    device.start_program()
    reading = device.clock.read()
    assert reading.jumped
    assert reading.corrected == before + HOUR
    assert reading.uncertainty is not None


def test_a_jump_during_a_request_measures_nothing_wrong() -> None:
    device = Device()
    sent = device.clock.stamp()
    device.pass_time(2 * SECOND)
    device.wall -= 24 * HOUR
    device.clock.observe(NOON, sent=sent, received=device.clock.stamp())
    assert device.error() <= 1.5 * SECOND
    assert not device.clock.read().jumped


@pytest.mark.parametrize("back", [SECOND, 10 * SECOND], ids=["a quick one", "a slow one"])
def test_the_next_sync_settles_a_jump(back: timedelta) -> None:
    device = Device()
    device.sync()
    device.wall += 24 * HOUR
    device.sync(back=back)
    reading = device.clock.read()
    assert not reading.jumped
    assert device.error() <= 1.5 * SECOND


def test_a_slow_measurement_does_not_replace_a_good_one() -> None:
    device = Device()
    device.sync(there=0 * SECOND, back=0 * SECOND)
    good = device.clock.read().uncertainty
    device.sync(back=10 * SECOND)
    now = device.clock.read().uncertainty
    assert good is not None
    assert now is not None
    assert now - good < timedelta(milliseconds=1)
    # Until the good one is so old that it is the worse one.
    device.pass_time(timedelta(seconds=5 / DRIFT))
    device.sync(back=8 * SECOND)
    now = device.clock.read().uncertainty
    assert now is not None
    assert now < 5.1 * SECOND


def test_the_services_clock_counts_when_it_was_put_right() -> None:
    device = Device()
    device.sync(there=0 * SECOND, back=0 * SECOND)
    device.sync(back=4 * SECOND, ahead=HOUR)
    assert abs(device.clock.now() - (device.true + HOUR)) <= 3 * SECOND


def test_an_answer_from_before_its_question_is_not_measured() -> None:
    device = Device()
    device.clock.observe(NOON + HOUR, sent=Stamp(NOON, 10.0), received=Stamp(NOON, 9.0))
    assert device.clock.now() == NOON


def test_a_measurement_is_good_after_a_restart_of_the_program() -> None:
    device = Device()
    device.sync()
    before = device.clock.read()
    device.start_program()
    assert device.clock.read() == before


@pytest.mark.parametrize("boot_ids", [True, False], ids=["a named start", "no names of starts"])
def test_after_a_restart_of_the_device_the_offset_is_believed_and_nobody_knows_how_sure(
    boot_ids: bool,
) -> None:
    device = Device(boot_ids=boot_ids)
    device.wall -= HOUR
    device.sync()
    device.start_again()
    reading = device.clock.read()
    assert device.error() <= 1.5 * SECOND
    assert reading.uncertainty is None
    assert not reading.jumped


def test_without_names_of_starts_every_start_of_the_program_may_be_one_of_the_device() -> None:
    device = Device(boot_ids=False)
    device.sync()
    device.start_program()
    assert device.clock.read().uncertainty is None


def test_a_clock_that_starts_again_in_the_past_is_noticed_and_time_goes_on() -> None:
    device = Device()
    device.sync()
    last = device.clock.now()
    device.wall = datetime(1970, 1, 1, tzinfo=UTC)
    device.start_again()
    reading = device.clock.read()
    assert reading.jumped
    assert reading.uncertainty is None
    assert reading.corrected == last
    device.pass_time(HOUR)
    assert device.clock.now() == last + HOUR


def test_a_boot_clock_that_went_back_is_that_of_another_start() -> None:
    device = Device()
    device.sync()
    device.boot = 5.0
    device.start_program()
    assert device.clock.read().uncertainty is None


def test_what_brings_nothing_new_is_kept_now_and_then() -> None:
    device = Device()
    device.sync()
    for _ in range(5):
        device.sync()
    assert len(device.kept) == 1
    device.pass_time(timedelta(seconds=KEEP_EVERY))
    device.sync()
    assert len(device.kept) == 2
    device.wall += HOUR
    device.sync()
    assert len(device.kept) == 3


@pytest.mark.parametrize(
    "kept",
    [
        None,
        {},
        {"at": 5, "boot_id": "a", "boot": 1, "offset": 0, "uncertainty": 1},
        {"at": "2026-11-23T12:00:00", "boot_id": "a", "boot": 1, "offset": 0, "uncertainty": 1},
        {"at": "2026-11-23T12:00:00Z", "boot_id": "a", "boot": "x", "offset": 0, "uncertainty": 1},
        {"at": "2026-11-23T12:00:00Z", "boot_id": "a", "boot": 1, "offset": 1e99, "uncertainty": 1},
    ],
)
def test_what_cannot_be_read_is_measured_again(kept: dict[str, Any] | None) -> None:
    assert Measurement.from_json(kept) is None


def test_the_clock_is_read_while_its_measurement_is_kept() -> None:
    read: list[datetime] = []

    def keep(measurement: Measurement) -> None:
        reading = threading.Thread(target=lambda: read.append(clock.now()))
        reading.start()
        reading.join(timeout=10)

    clock = TrustedClock(lambda: NOON, lambda: 0.0, keep=keep)
    clock.observe(NOON + HOUR, sent=Stamp(NOON, 0.0), received=Stamp(NOON, 0.0))
    assert read == [NOON + HOUR + SECOND / 2]


moments = st.timedeltas(timedelta(0), timedelta(days=4))
delays = st.timedeltas(timedelta(0), timedelta(seconds=40))
happenings = st.one_of(
    st.tuples(st.just("time"), moments),
    st.tuples(st.just("jump"), st.timedeltas(-timedelta(days=400), timedelta(days=400))),
    st.tuples(st.just("sync"), st.tuples(delays, delays)),
    st.tuples(st.just("program"), st.none()),
    st.tuples(st.just("device"), moments),
)


@given(st.lists(happenings, max_size=25), st.floats(-DRIFT, DRIFT))
def test_the_true_time_is_never_outside_what_is_claimed(
    history: list[tuple[str, Any]], drift: float
) -> None:
    device = Device(drift=drift)
    measured, jumped = False, False
    for what, how in history:
        if what == "time":
            device.pass_time(how)
        elif what == "jump":
            device.wall += how
            jumped = jumped or abs(how) > timedelta(hours=1)
        elif what == "sync":
            device.sync(*how)
            measured, jumped = True, False
        elif what == "program":
            device.start_program()
        else:
            device.start_again(how)
            measured = False
        reading = device.clock.read()
        assert reading.corrected == reading.device_time + reading.offset
        if measured:
            assert reading.uncertainty is not None
            assert device.error() <= reading.uncertainty + SLACK
        else:
            assert reading.uncertainty is None
        if not jumped and all(name != "jump" for name, _ in history):
            assert not reading.jumped


@given(moments, st.timedeltas(timedelta(minutes=2), timedelta(days=400)), st.booleans())
def test_no_jump_goes_unnoticed(elapsed: timedelta, by: timedelta, is_back: bool) -> None:
    device = Device()
    device.sync()
    device.pass_time(elapsed)
    device.wall += -by if is_back else by
    assert device.clock.read().jumped
    device.start_program()
    assert device.clock.read().jumped
