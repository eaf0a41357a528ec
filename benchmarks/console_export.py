"""The whole log as a file, from a service in a process of its own: its memory, and its cost."""

from __future__ import annotations

import contextlib
import csv
import io
import sqlite3
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from benchmarks import service
from benchmarks.console_site import NOW, SITE, YEARS
from benchmarks.measuring import Line, cpu
from benchmarks.service import Server

_FORMS = {"CSV": "text/csv", "GeoJSON": "application/geo+json"}
_READ = 1 << 20


def run(folder: Path, *, infractions: int) -> Iterator[Line]:
    """Two lines of each form, on a record that `fill` made in the folder."""
    bare = _bare(folder / "record.db", infractions)
    for form, accept in _FORMS.items():
        with service.serving(folder) as server:
            few = _Stream(server, accept, f"&from={(NOW - YEARS / 10).date().isoformat()}")
            whole = _Stream(server, accept, "")
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

    def __init__(self, server: Server, accept: str, query: str) -> None:
        url = f"http://127.0.0.1:{server.port}/v1/infractions?site={SITE}{query}"
        asked = urllib.request.Request(
            url, headers={"Authorization": f"Bearer {server.key}", "Accept": accept}
        )
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
