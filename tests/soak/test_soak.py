"""A short shift in each test run; `make soak` lives through a long one."""

from __future__ import annotations

from pathlib import Path

from tests.soak.soak import soak


def test_shift_with_kills_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    figures = soak(tmp_path, checks=70, infractions=12, kills=3, seed=2)
    assert (figures.checks, figures.infractions, figures.kills) == (70, 12, 3)
    assert figures.photos >= 12
    print(figures)
