"""A few seeds in each test run; `make simulate SEEDS=1000` lives through more."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.seeds import live_through

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("seed", range(8))
def test_faults_lose_nothing_double_nothing_and_change_no_verdict(seed: int) -> None:
    _, _, wrong = live_through(seed)
    assert not wrong, wrong


def test_a_seed_replays_the_same_history_in_another_process() -> None:
    _, trace, wrong = live_through(3)
    assert not wrong, wrong
    command = [sys.executable, "-m", "tests.simulation", "--seeds", "1", "--first", "3"]
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    again = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert again.returncode == 0, again.stderr
    assert f"seed 3: trace {trace}" in again.stdout
