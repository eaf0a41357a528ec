"""A handheld put together: its clocks."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

import pytest

from handheld_app.handheld import Handheld, seconds_since_boot
from tests.handheld_app.conftest import NOW


def test_hours_asleep_are_no_jump_of_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, boot = NOW, 1000.0
    monkeypatch.setattr(time, "CLOCK_BOOTTIME", 7, raising=False)
    monkeypatch.setattr(time, "clock_gettime", lambda clock: boot if clock == 7 else 0.0)
    handheld = Handheld(tmp_path, now=lambda: now)
    try:
        handheld.clock.observe(NOW, sent_at=NOW, received_at=NOW)
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
