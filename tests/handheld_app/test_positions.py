"""Positions, and idle time: pure."""

from __future__ import annotations

from datetime import timedelta

import pytest

from handheld_app.__main__ import main
from handheld_app.idle import Idle
from handheld_app.positions import Fix, Fixed, Positions, receiver
from tests.handheld_app.conftest import NOW

SECOND = timedelta(seconds=1)


def test_position_is_given_in_degrees_and_metres() -> None:
    source = Fixed.parse("45.4,-71.9")
    source.start()
    assert source.last() == Fix(45.4, -71.9, 10.0)
    source = Fixed.parse("45.4,-71.9,6.5")
    source.start()
    assert source.last() == Fix(45.4, -71.9, 6.5)


@pytest.mark.parametrize(
    "text", ["", "45.4", "91,0", "0,181", "1,2,3,4", "a,b", "1,2,-1", "1,2,inf"]
)
def test_what_is_no_position_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([f"--position={text}"])
    assert ended.value.code == 2
    assert "LAT,LON" in capsys.readouterr().err


def test_receiver_runs_while_it_is_of_use() -> None:
    source = Fixed.parse("45.4,-71.9")
    positions = Positions(source)
    assert positions.at(NOW) is None
    positions.run(True)
    found = positions.at(NOW)
    assert found is not None
    assert (found.lat, found.lon, found.at) == (45.4, -71.9, NOW)
    positions.run(False)
    assert not source.running


def test_device_without_a_receiver_knows_no_position() -> None:
    assert receiver(lambda: 0.0) is None
    positions = Positions(None)
    positions.run(True)
    assert not positions.known_here
    assert positions.at(NOW) is None


def test_idle_time_is_that_of_a_clock_that_nobody_sets() -> None:
    boot = [1000.0]
    idle = Idle(lambda: boot[0])
    boot[0] += 599
    assert not idle.is_over(600 * SECOND)
    boot[0] += 1
    assert idle.is_over(600 * SECOND)
    assert not idle.is_over(0 * SECOND)
    idle.touched()
    assert not idle.is_over(600 * SECOND)
