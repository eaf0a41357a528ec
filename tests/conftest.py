"""Before any test: the translations are compiled, so that a bare `pytest` speaks French too.

The files that take longest come first, so that no worker is left alone with one of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LONGEST = (
    "contracts/test_backup.py",
    "handheld_app/test_window.py",
    "contracts/test_feed.py",
    "fuzz/test_openapi.py",
    "enforcement_api/test_serving.py",
    "contracts/test_card_numbers.py",
    "contracts/test_attachments.py",
    "contracts/test_plate_updates.py",
    "journeys/test_demo.py",
    "contracts/test_reconciliation.py",
    "crashes/test_power_loss.py",
    "enforcement_api/test_infractions.py",
    "contracts/test_cashier.py",
    "contracts/test_payment_pages.py",
    "contracts/test_sites.py",
    "torture/test_torture.py",
    "contracts/test_devices.py",
    "simulation/test_planted_bugs.py",
    "simulation/test_seeds.py",
    "enforcement_api/test_roles.py",
    "journeys/test_first_day.py",
    "journeys/test_freshness.py",
)
"""By about the processor's time that each takes."""

# Before anything imports Kivy, which otherwise makes all that is logged its own. No test is heard.
os.environ.setdefault("KIVY_LOG_MODE", "PYTHON")
os.environ.setdefault("SDL_AUDIODRIVER", "dummy")


def pytest_sessionstart() -> None:
    command = [sys.executable, "setup.py", "--quiet", "compile_translations"]
    subprocess.run(command, cwd=ROOT, check=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {ROOT / "tests" / file: place for place, file in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(LONGEST)))
