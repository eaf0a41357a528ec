"""The console on a record of three years: queue and log, all pages, and the log as a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks import console_export, console_pages, searching
from benchmarks.console_record import fill
from benchmarks.measuring import Line
from enforcement_api.database.engine import Record
from enforcement_api.settings import Settings


def run(folder: Path, *, infractions: int, repetitions: int) -> Iterator[Line]:
    """Measure on a record that is made for it."""
    folder.mkdir()
    settings = replace(
        Settings.load(folder, {}), requests_by_address=0, requests_by_key=0, clerk_seconds=0
    )
    record = Record(settings.database_url)
    record.migrate()
    plates = fill(record, infractions=infractions, photos=infractions // 10)
    yield from searching.measure(record, plates, repetitions=repetitions)
    record.close()
    yield from console_pages.measure(settings, plates, repetitions=repetitions)
    yield from console_export.run(folder, infractions=infractions)
