"""Real processes to measure: the service, and a FastAPI application that answers a constant."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import material
from enforcement_api.database.engine import Record
from enforcement_api.settings import Settings
from enforcement_api.staff import keys

# What is measured asks as fast as it can; that requests are counted is part of what they cost.
_UNLIMITED = {
    f"PATROUILLE_{limit}": "1000000000"
    for limit in ("REQUESTS_BY_KEY", "REQUESTS_BY_ADDRESS", "CONNECTIONS_BY_ADDRESS")
}


@dataclass(frozen=True)
class Server:
    """A process that listens on a loopback address."""

    pid: int
    port: int
    key: str

    def cpu_seconds(self) -> float:
        """What the process has spent so far, all its threads and the kernel for it."""
        # Linux: the CPU clock of another process, to the nanosecond (clock_getcpuclockid(3)).
        return time.clock_gettime((~self.pid << 3) | 2)

    def resident(self) -> int:
        """Bytes of the process that are in memory now."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return 1024 * int(line.split()[1])
        raise RuntimeError("the process has ended")

    def send(
        self, method: str, path: str, body: bytes, kind: str = "application/json"
    ) -> dict[str, Any]:
        """One request; the answer, which must be a success."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            body,
            {"Authorization": f"Bearer {self.key}", "Content-Type": kind},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            found: dict[str, Any] = json.loads(answer.read())
            return found


@contextlib.contextmanager
def _process(
    *arguments: str, key: str, settings: Mapping[str, str] = _UNLIMITED
) -> Iterator[Server]:
    """A Python process that says `listening on http://…:port` on stderr."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | settings,
    )
    assert process.stderr is not None
    try:
        told = ""
        for line in process.stderr:
            told += line
            if line.startswith("listening on"):
                break
        else:
            raise RuntimeError(f"it did not start:\n{told}")
        yield Server(process.pid, int(line.rsplit(":", 1)[1]), key)
    finally:
        process.terminate()
        process.communicate(timeout=30)


@contextlib.contextmanager
def patrouille(folder: Path, *, settings: Mapping[str, str] = _UNLIMITED) -> Iterator[Server]:
    """`patrouille serve` with an SQLite record of its own, and one site in it."""
    with serving(folder, settings=settings) as server:
        zones = [{"code": zone, "name": {"fr": zone, "en": zone}} for zone in material.ZONES]
        site = {
            "name": material.SITE.name,
            "address": material.SITE.address,
            "time_zone": material.SITE.time_zone,
            "zones": zones,
        }
        server.send("PUT", f"/v1/sites/{material.SITE.id}", json.dumps(site).encode())
        yield server


@contextlib.contextmanager
def serving(folder: Path, *, settings: Mapping[str, str] = _UNLIMITED) -> Iterator[Server]:
    """`patrouille serve` with the SQLite record that lies in a folder; if none does, a new one."""
    record = Record(Settings.load(folder, {}).database_url)
    record.migrate()
    key = record.write(lambda tx: keys.create(tx, role="admin", name="bench", at=datetime.now(UTC)))
    record.close()
    arguments = ["-m", "enforcement_api", "serve", "--data-dir", str(folder), "--port", "0"]
    with _process(*arguments, key=key, settings=settings) as server:
        yield server


@contextlib.contextmanager
def constant(size: int) -> Iterator[Server]:
    """The least that FastAPI can do: an endpoint with a ready answer of `size` bytes."""
    with _process("-m", "benchmarks.constant", str(size), key="none") as server:
        yield server
