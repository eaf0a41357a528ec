"""Before any test: the translations are compiled, so that a bare `pytest` speaks French too.

The files that take longest come first, so that no worker is left alone with one of them.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LONGEST = (
    "contracts/test_subscriptions.py",
    "contracts/test_cashier.py",
    "contracts/test_backup.py",
    "enforcement_api/test_serving.py",
    "contracts/test_staff.py",
    "contracts/test_payment_pages.py",
    "console/test_places.py",
    "fuzz/test_openapi.py",
    "contracts/test_sign_ins.py",
    "contracts/test_reconciliation.py",
    "enforcement_api/test_subscription_histories.py",
    "contracts/test_card_numbers.py",
    "console/test_live.py",
    "crashes/test_power_loss.py",
    "console/test_log.py",
    "handheld_app/test_window.py",
    "contracts/test_attachments.py",
    "console/test_plates.py",
    "enforcement_api/test_infractions.py",
    "journeys/test_demo.py",
    "handheld_app/test_infraction_window.py",
    "enforcement_api/console/test_log_pages.py",
    "contracts/test_plate_updates.py",
    "handheld_app/test_screens.py",
    "contracts/test_queue.py",
    "contracts/test_patrols.py",
    "enforcement_api/console/test_account_pages.py",
    "enforcement_api/console/test_odd_values.py",
    "handheld_app/test_settings.py",
    "contracts/test_figures.py",
    "enforcement_api/test_device_commands.py",
    "contracts/test_privacy.py",
    "contracts/test_case_files.py",
    "handheld_app/test_duty_window.py",
    "contracts/test_feed.py",
    "contracts/test_events.py",
    "contracts/test_verdict_cases.py",
    "contracts/test_infractions.py",
    "contracts/test_subscription_edges.py",
    "soak/test_soak.py",
    "torture/test_torture.py",
    "enforcement_api/console/test_figures_pages.py",
    "contracts/test_search.py",
    "enforcement_api/test_import.py",
    "journeys/test_first_day.py",
    "enforcement_api/console/test_doors.py",
    "console/test_review.py",
    "contracts/test_charging_crashes.py",
    "console/test_browsing.py",
)
"""By about the processor's time that each takes."""

# Before anything imports Kivy, which otherwise makes all that is logged its own. No test is heard.
os.environ.setdefault("KIVY_LOG_MODE", "PYTHON")
os.environ.setdefault("SDL_AUDIODRIVER", "dummy")


def pytest_sessionstart() -> None:
    command = [sys.executable, "setup.py", "--quiet", "compile_translations"]
    subprocess.run(command, cwd=ROOT, check=True)


def pytest_collection_finish() -> None:
    # What has been imported by now stays: the collector need not go through it again and again.
    gc.collect()
    gc.freeze()
    # An application makes a hundred thousand objects; the collector would look after every 700.
    gc.set_threshold(20_000, 10, 10)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {ROOT / "tests" / file: place for place, file in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(LONGEST)))
