"""The real program, `patrouille`, as a process: commands and the serving one."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from enforcement_api.cli import utc_now
from enforcement_api.database.engine import Record
from enforcement_api.staff import keys
from tests.service import migrated_record

DEADLINE = 60
NO_SETTINGS: dict[str, str] = {}


def environment(data_dir: Path, language: str = "en") -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if "PATROUILLE" not in name}
    return kept | {"PATROUILLE_DATA_DIR": str(data_dir), "PATROUILLE_LANG": language}


def patrouille(
    data_dir: Path, *arguments: str | Path, language: str = "en"
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "enforcement_api", *map(str, arguments)],
        env=environment(data_dir, language),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def key(data_dir: Path, role: str = "admin") -> str:
    """A new key, without a process; makes the record if there is none."""
    data_dir.mkdir(parents=True, exist_ok=True)
    file = data_dir / "record.db"
    if not file.exists():
        shutil.copy(migrated_record(), file)
    record = Record(f"sqlite:///{file}")
    try:
        return record.write(lambda tx: keys.create(tx, role=role, name=role, at=utc_now()))
    finally:
        record.close()


class Serving:
    """`patrouille serve`, once it listens."""

    def __init__(
        self,
        data_dir: Path,
        *,
        largest_file: int | None = None,
        options: Sequence[str | Path] = (),
        settings: dict[str, str] = NO_SETTINGS,
    ) -> None:
        def limit() -> None:
            if largest_file is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

        self._log = data_dir.parent / "serve.log"
        with open(self._log, "wb") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "enforcement_api",
                    "serve",
                    "--port",
                    "0",
                    *map(str, options),
                ],
                env=environment(data_dir) | settings,
                stdout=log,
                stderr=log,
                preexec_fn=limit,
            )
        deadline = time.monotonic() + DEADLINE
        while "listening on" not in self.log():
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.02)
        self.address = self.log().partition("listening on ")[2].split()[0]

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def client(self, key: str) -> httpx.Client:
        return httpx.Client(
            base_url=self.address,
            headers={"Authorization": f"Bearer {key}", "Accept-Language": "en"},
            timeout=DEADLINE,
            trust_env=False,
        )

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal; the exit code that follows."""
        self.process.send_signal(number)
        return self.process.wait(DEADLINE)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(DEADLINE)


@contextmanager
def serving(
    data_dir: Path,
    *,
    largest_file: int | None = None,
    options: Sequence[str | Path] = (),
    settings: dict[str, str] = NO_SETTINGS,
) -> Iterator[Serving]:
    """`settings`: variables of the environment, such as {"PATROUILLE_NOTICE_DAYS": "7"}."""
    server = Serving(data_dir, largest_file=largest_file, options=options, settings=settings)
    try:
        yield server
    finally:
        server.close()


def open_site(client: httpx.Client) -> None:
    site = {"name": "CHUS", "zones": [{"code": "G1"}], "codes": []}
    client.put("/v1/sites/1085", json=site).raise_for_status()


def updates(numbers: Sequence[int]) -> list[dict[str, object]]:
    """Updates of permits that are valid in G1, of the plates P0000, P0001, …"""
    return [
        {
            "id": f"p{n}",
            "version": 1,
            "plate": plate(n),
            "site": "1085",
            "zones": ["G1"],
            "permit_number": f"{n}",
            "valid_from": "2020-01-01",
            "status": "active",
            "vehicle": {"make": "Acura", "model": "NSX", "colour": "rouge"},
        }
        for n in numbers
    ]


def plate(number: int) -> str:
    return f"P{number:06}"
