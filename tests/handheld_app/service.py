"""The real service in a process of its own, with a site like the real one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from tests.enforcement_api.program import key

DEADLINE = 60
NOTE = {
    "fr": "Personnel de nuit : places de visiteurs permises jusqu’à 8 h 30.",
    "en": "Night staff: visitor spaces allowed until 08:30.",
}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class ServiceProcess:
    """`patrouille serve` on a free port of this machine. May be stopped and started again."""

    def __init__(self, data_dir: Path) -> None:
        self.address = f"http://127.0.0.1:{free_port()}"
        self._data_dir = data_dir
        self._process: subprocess.Popen[bytes] | None = None
        self.http = httpx.Client(
            base_url=self.address,
            headers={"Authorization": f"Bearer {key(data_dir)}"},
            timeout=DEADLINE,
            trust_env=False,
        )

    def run(self, *arguments: str) -> str:
        """What a command prints, over the same data folder; it must succeed."""
        done = subprocess.run(
            [sys.executable, "-m", "enforcement_api", *arguments],
            env=self._environment(),
            capture_output=True,
            timeout=DEADLINE,
            check=False,
        )
        assert done.returncode == 0, (done.stdout + done.stderr).decode()
        return done.stdout.decode().strip()

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if "DATABASE_URL" not in name}
        return kept | {"PATROUILLE_DATA_DIR": str(self._data_dir)}

    def start(self) -> None:
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Start it, and wait for nothing."""
        port = self.address.rpartition(":")[2]
        with open(self._data_dir / "service.log", "ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "enforcement_api", "serve", "--port", port],
                env=self._environment(),
                stdout=log,
                stderr=log,
            )

    def wait_until_ready(self) -> None:
        assert self._process is not None
        ends = time.monotonic() + DEADLINE
        while time.monotonic() < ends:
            assert self._process.poll() is None, self.log()
            try:
                if self.http.get("/health/ready").is_success:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"not ready after {DEADLINE} s: {self.log()}")

    def kill(self) -> None:
        """End it in the middle of whatever it does. It must not have ended by itself."""
        assert self._process is not None
        assert self._process.poll() is None, self.log()
        self._process.kill()
        self._process.wait(DEADLINE)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                assert self._process.wait(DEADLINE) == 0, self.log()
            finally:
                self._process.kill()

    def close(self) -> None:
        self.stop()
        self.http.close()

    def log(self) -> str:
        return (self._data_dir / "service.log").read_text(errors="replace")[-4000:]

    def ask(self, method: str, path: str, **options: Any) -> Any:
        response = self.http.request(method, path, **options)
        assert response.is_success, response.text
        return response.json() if response.content else None

    def open_site(self) -> None:
        """Site 1085, two zones, and a plate for each verdict."""
        self.ask(
            "PUT",
            "/v1/sites/1085",
            json={
                "name": "CIUSSS de l’Estrie - CHUS",
                "address": "375 rue Argyll, J1J 3H5, Sherbrooke, QC",
                "time_zone": "America/Toronto",
                "jurisdiction": "CA-QC",
                "instrument": "avis",
                "zones": [
                    {
                        "code": "G1",
                        "name": {"fr": "Zone G1 · Hôtel-Dieu", "en": "Zone G1 · Hôtel-Dieu"},
                        "note": NOTE,
                    },
                    {
                        "code": "G2",
                        "name": {"fr": "Zone G2 · Fleurimont", "en": "Zone G2 · Fleurimont"},
                    },
                ],
            },
        )
        now = datetime.now(UTC).replace(microsecond=0)
        today = now.date()
        day = timedelta(days=1)
        vehicle = {"make": "Toyota", "model": "RAV4", "year": 2021, "colour": "gris"}
        plates: dict[str, dict[str, Any]] = {
            "H4K7M2": {"vehicle": vehicle, "valid_until": str(today + 200 * day)},
            "B8Z5S2": {},
            "LTN456": {
                "permit_number": "COURTOISIE-100000001",
                "ends_at": (now + timedelta(days=3)).isoformat(),
            },
            "ABC123": {"confirmed_at": (now - timedelta(hours=5)).isoformat()},
            "XYZ789": {"zones": ["G2"]},
            "E12ABC": {"valid_from": str(today + 10 * day)},
            "K22XYZ": {"valid_until": str(today - 20 * day)},
            "SUS111": {"status": "suspended"},
            "CAN001": {
                "status": "cancelled",
                "ends_at": (now - timedelta(hours=3)).isoformat(),
            },
        }
        base = {"site": "1085", "zones": ["G1"], "valid_from": "2026-01-01", "status": "active"}
        updates = [
            {**base, "id": f"s{n}", "version": 1, "plate": plate, "permit_number": f"1000147{n}"}
            | changes
            for n, (plate, changes) in enumerate(plates.items())
        ]
        answer = self.ask("POST", "/v1/plate-updates", json={"updates": updates})
        assert answer["applied"] == len(plates), answer

    def hire(self, badge: str, pin: str) -> None:
        """Marie works at the site, with that badge and PIN."""
        marie = {"badge": badge, "name": "Marie Tremblay", "pin": pin}
        self.ask("PUT", "/v1/sites/1085/patrollers/marie", json=marie)

    def enrolment_code(self) -> str:
        device = self.ask("POST", "/v1/devices", json={"name": "test", "sites": ["1085"]})
        code: str = device["enrolment_code"]
        return code
