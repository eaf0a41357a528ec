"""A few seeds; `make simulate SEEDS=1000` runs as many as wanted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.simulation.faults import Simulation


@pytest.mark.parametrize("seed", range(8))
def test_nothing_is_lost_and_all_agree_in_the_end(tmp_path: Path, seed: int) -> None:
    Simulation(seed, tmp_path).run()
