"""docs/plate-updates.md: its list, sent by its own command to a real service."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from tests.enforcement_api.program import key, open_site, serving

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "plate-updates.md"


def block(kind: str, containing: str) -> str:
    blocks = re.findall(rf"```{kind}\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    (found,) = [text for text in blocks if containing in text]
    return str(found)


def arguments(command: str, folder: Path, **variables: str) -> list[str]:
    """What the shell makes of the command: what curl is given after `-X`."""
    told = subprocess.run(
        ["bash", "-c", "curl() { printf '%s\\0' \"$@\"; }\n" + command],
        cwd=folder,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return told.stdout.split("\0")[1:-1]


def test_the_list_of_the_documentation_is_reconciled(tmp_path: Path) -> None:
    data = tmp_path / "data"
    line = block("json", "KTM 418")
    (tmp_path / "permits.ndjson").write_text(line, encoding="utf-8")
    admin = key(data)
    with serving(data) as service, service.client(admin) as client:
        open_site(client)
        method, url, *rest = arguments(
            block("sh", "reconciliation"), tmp_path, SERVICE=service.address, KEY=admin
        )
        headers = dict(rest[i + 1].split(": ") for i, word in enumerate(rest) if word == "-H")
        file = rest[rest.index("--data-binary") + 1].removeprefix("@")
        content = (tmp_path / file).read_bytes()
        answer = client.request(method, url, headers=headers, content=content).json()
        assert (answer["applied"], answer["cancelled"]) == (1, 0), answer
        asked = {"plate": "KTM 418", "zone": "G1", "at": "2026-12-01T00:00:00Z"}
        assert client.get("/v1/sites/1085/check", params=asked).json()["verdict"] == "valid"
