"""schemathesis over the OpenAPI document of the real program, as somebody of every role."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.enforcement_api.program import Serving, key, open_site, serving, updates

ROLES = ("device", "reader", "feeder", "nobody", "admin")
"""The administrator last: it may revoke the device."""
REPLACED = "positive_data_acceptance,negative_data_rejection,use_after_free,missing_required_header"
"""Checks that schemathesis_checks.py has in its own form."""
HOOKS = Path(__file__).with_name("schemathesis_checks.py")
SITE = "1085"
WITHOUT_LIMITS = {
    "PATROUILLE_REQUESTS_BY_KEY": "0",
    "PATROUILLE_REQUESTS_BY_ADDRESS": "0",
    "PATROUILLE_CONNECTIONS_BY_ADDRESS": "0",
}
_CASES = re.compile(r"(\d[\d,]*) generated")


@dataclass(frozen=True)
class Found:
    """What came of a run: how many requests, and what schemathesis says if one was wrong."""

    role: str
    requests: int
    passed: bool
    told: str


class Prey:
    """A real service with a site, a permit and a device in it, and a key of each role."""

    def __init__(self, server: Serving, folder: Path, keys: Mapping[str, str]) -> None:
        self.server, self.folder = server, folder
        with server.client(keys["admin"]) as client:
            open_site(client)
            client.post("/v1/plate-updates", json={"updates": updates([1, 2])}).raise_for_status()
            made = client.post("/v1/devices", json={"name": "fuzz", "sites": [SITE]}).json()
            code = {"code": made["enrolment_code"]}
            device = client.post("/v1/enrolments", json=code).json()["token"]
        self.keys: dict[str, str | None] = {**keys, "device": device, "nobody": None}

    def hunt(
        self,
        role: str,
        *,
        phases: str,
        examples: int = 10,
        seed: int | None = None,
        seconds: int | None = None,
        options: Sequence[str] = (),
    ) -> Found:
        """All checks on all endpoints. Without a seed the requests are the same each time.

        `examples`: for each endpoint; with `seconds`, so many again and again until they are over.
        `options`: of schemathesis, such as one that leaves endpoints out.
        """
        secret = self.keys[role]
        given = ["-H", "Accept-Language: en"]
        if secret is not None:
            given += ["-H", f"Authorization: Bearer {secret}"]
        chance = ["--generation-deterministic"] if seed is None else ["--seed", str(seed)]
        time = [] if seconds is None else ["--max-time", str(seconds)]
        done = subprocess.run(
            [
                *(Path(sys.executable).with_name("schemathesis"), "--no-color", "run"),
                *(f"{self.server.address}/openapi.json", *given, *chance, *time, *options),
                *("-c", "all", "--exclude-checks", REPLACED, "--phases", phases),
                *("-n", str(examples), "--continue-on-failure", "--max-failures", "20"),
            ],
            cwd=self.folder,
            env=dict(os.environ) | {"SCHEMATHESIS_HOOKS": str(HOOKS)},
            capture_output=True,
            text=True,
            timeout=3600,
            check=False,
        )
        cases = _CASES.search(done.stdout)
        requests = int(cases[1].replace(",", "")) if cases else 0
        return Found(role, requests, done.returncode == 0, done.stdout + done.stderr)


@contextlib.contextmanager
def prey(folder: Path) -> Iterator[Prey]:
    """The service to be hunted, in an empty folder."""
    data_dir = folder / "data"
    keys = {role: key(data_dir, role) for role in ("admin", "reader", "feeder")}
    with serving(data_dir, settings=WITHOUT_LIMITS) as server:
        yield Prey(server, folder, keys)
        assert "Traceback" not in server.log(), server.log()
