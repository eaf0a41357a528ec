"""The whole log as a file, from a service in a process of its own: its memory, and its cost."""

from __future__ import annotations

import contextlib
import csv
import io
import sqlite3
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import service
from benchmarks.console_pages import HERE, entered
from benchmarks.console_site import NOW, SITE, YEARS
from benchmarks.measuring import Line, cpu
from benchmarks.service import Server
from enforcement_api.console.web import COOKIE
from enforcement_api.database.engine import Record
from enforcement_api.settings import Settings

_FORMS = ("CSV", "GeoJSON")
_READ = 1 << 20


def run(folder: Path, *, infractions: int) -> Iterator[Line]:
    """Two lines of each form, on a record that `fill` made in the folder; as the console's log
    gives it, with every column.
    """
    bare = _bare(folder / "record.db", infractions)
    record = Record(Settings.load(folder, {}).database_url)
    cookie = record.write(lambda tx: entered(tx, email="export@example.org", at=datetime.now(UTC)))
    record.close()
    for form in _FORMS:
        page = f"{HERE}/infractions/export.{form.lower()}?all=true"
        with service.serving(folder) as server:
            begins = (NOW - YEARS / 10).date().isoformat()
            few = _Stream(server, f"{page}&from={begins}", cookie)
            whole = _Stream(server, page, cookie)
        yield Line(
            name=f"export {form} memory",
            ours=f"the most that the service has resident while {whole.bytes / 1e6:,.0f} MB of"
            f" {infractions:,} infractions are streamed",
            limit=f"the same, of the last tenth of them ({few.bytes / 1e6:,.0f} MB)",
            unit="MB",
            goal=1.1,
            ratios=[whole.most / few.most],
            our_cost=whole.most / 1e6,
            limit_cost=few.most / 1e6,
        )
        yield Line(
            name=f"export {form}",
            ours=f"the same: {infractions / whole.cpu_seconds:,.0f} infractions per CPU second",
            limit="SELECT of the same rows and `csv.writer`",
            unit="µs",
            goal=None,
            ratios=[whole.cpu_seconds / bare],
            our_cost=whole.cpu_seconds / infractions * 1e6,
            limit_cost=bare / infractions * 1e6,
        )


class _Stream:
    """A file as it was read: its bytes, and what it cost the service."""

    def __init__(self, server: Server, page: str, cookie: str) -> None:
        url = f"http://127.0.0.1:{server.port}{page}"
        asked = urllib.request.Request(url, headers={"Cookie": f"{COOKIE}={cookie}"})
        began = server.cpu_seconds()
        self.bytes, self.most = 0, server.resident()
        with urllib.request.urlopen(asked, timeout=600) as answer:
            while part := answer.read(_READ):
                self.bytes += len(part)
                self.most = max(self.most, server.resident())
        self.cpu_seconds = server.cpu_seconds() - began


def _bare(record: Path, infractions: int) -> float:
    """CPU seconds."""

    def work() -> None:
        with contextlib.closing(sqlite3.connect(record)) as connection:
            rows = connection.execute(
                "SELECT * FROM infractions WHERE site = ? ORDER BY received_at DESC, id DESC",
                (SITE,),
            )
            count = 0
            while part := rows.fetchmany(1000):
                csv.writer(io.StringIO()).writerows(part)
                count += len(part)
            assert count == infractions

    return cpu(work)
