"""docs/external-systems.md: its client, and its commands, against a real service.

The page exists twice, in English and in French: what is code in it is the same.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from enforcement_api.permits import core, intake, reconciling, updates
from enforcement_api.problems import Problem
from enforcement_api.security import ForbiddenSite
from enforcement_api.sites.core import UnknownSite
from tests.curling import shell
from tests.documents import blocks, text_of
from tests.enforcement_api.program import (
    DEADLINE,
    Serving,
    environment,
    key,
    open_site,
    patrouille,
    serving,
)
from tests.service import running

PAGES = {name: text_of(name) for name in ("external-systems.md", "systemes-externes.md")}
PERMITS = 40


def block(kind: str, containing: str) -> str:
    (found,) = [
        text
        for named, text in blocks("external-systems.md")
        if named == kind and containing in text
    ]
    return found


# The pages


def test_both_pages_have_the_same_code() -> None:
    english, french = (blocks(page) for page in PAGES)
    assert english == french
    assert len(english) >= 5


@pytest.mark.parametrize("page", PAGES)
def test_every_reason_to_reject_an_update_is_told(page: str) -> None:
    reasons: list[type[Problem]] = [
        core.VersionConflict,
        core.NotYourPermit,
        core.UnknownZone,
        core.ConfirmedInTheFuture,
        updates.Invalid,
        updates.UnreadableItem,
        reconciling.OtherSite,
        reconciling.AnotherCount,
        reconciling.ReconciliationTooLarge,
        intake.Rejected,
        UnknownSite,
        ForbiddenSite,
    ]
    told = set(re.findall("`/problems/(.+?)`", PAGES[page]))
    assert {reason.slug for reason in reasons} <= told
    assert told <= _slugs(Problem)


def _slugs(problem: type[Problem]) -> set[str]:
    return {problem.slug}.union(*map(_slugs, problem.__subclasses__()))


@pytest.mark.parametrize("page", PAGES)
def test_links_within_a_page_lead_somewhere(page: str) -> None:
    """As GitHub makes them of headings."""
    headings = re.findall("^## (.+)$", PAGES[page], re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in headings}
    assert set(re.findall(r"\]\(#(.+?)\)", PAGES[page])) <= anchors


# Its commands


def test_the_commands_of_the_page_do_what_it_says(tmp_path: Path) -> None:
    data = tmp_path / "data"
    admin = key(data)
    with serving(data) as service, service.client(admin) as client:
        open_site(client)
        arguments = block("sh", "keys create").split('"')
        words = [*arguments[0].split()[1:], arguments[1], *arguments[2].split()]
        made = patrouille(data, *words)
        assert made.returncode == 0, made.stderr
        where = {"SERVICE": service.address, "KEY": made.stdout.strip()}

        def send(command: str) -> Any:
            return json.loads(shell(command, tmp_path, **where))

        command = block("sh", "plate-updates")
        assert send(command)["applied"] == 1
        (update,) = json.loads(command.split("'")[1])["updates"]
        (tmp_path / "permits.ndjson").write_text(json.dumps(update) + "\n", encoding="utf-8")
        answer = send(block("sh", "reconciliation"))
        assert (answer["unchanged"], answer["cancelled"]) == (1, 0), answer
        asked = {"plate": "KTM 418", "zone": "G1", "at": "2026-12-01T00:00:00Z"}
        assert client.get("/v1/sites/1085/check", params=asked).json()["verdict"] == "valid"

        header = [name for name in update if name != "zones"]
        cells = [str(update[name]) for name in header]
        export = "\n".join((",".join([*header, "zones"]), ",".join([*cells, "G1"])))
        (tmp_path / "permits.csv").write_text(export, encoding="utf-8")
        words = block("sh", "--full").replace("4210", "1").split()[1:]
        words[words.index("permits.csv")] = str(tmp_path / "permits.csv")
        done = patrouille(data, *words)
        assert json.loads(done.stdout)["unchanged"] == 1, done.stderr


# Its client


class System:
    """A subscription system: its permits, as the page's client finds them, and the client."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._db = sqlite3.connect(folder / "subscriptions.db")
        client = block("python", "Feeds Patrouille")
        (folder / "feeder.py").write_text(client, encoding="utf-8")
        (table,) = re.findall("CREATE TABLE .+", client)
        self._db.execute(table)

    def put(self, id: str, plate: str, **facts: Any) -> None:
        """Add a permit, or change it: its version grows."""
        told = {
            "plate": plate,
            "zones": ["G1"],
            "permit_number": id,
            "valid_from": "2020-01-01",
            "status": "active",
        } | facts
        with self._db:
            self._db.execute(
                "INSERT INTO permits (id, version, facts) VALUES (?, 1, ?) ON CONFLICT (id)"
                " DO UPDATE SET version = version + 1, facts = excluded.facts",
                (id, json.dumps(told)),
            )

    def lose(self, id: str) -> None:
        """Delete a permit without telling anybody."""
        with self._db:
            self._db.execute("DELETE FROM permits WHERE id = ?", (id,))

    @contextlib.contextmanager
    def feeding(self, address: str, secret: str, **settings: str) -> Iterator[Callable[[], str]]:
        """Its client, running; what it says."""
        log = self.folder / "feeder.log"
        variables = {
            "SERVICE": address,
            "KEY": secret,
            "SITE": "1085",
            "PERMITS": str(self.folder / "subscriptions.db"),
            "EVERY_SECONDS": "0.05",
            "NO_PROXY": "127.0.0.1",
        }
        with open(log, "ab") as told:
            process = subprocess.Popen(
                [sys.executable, str(self.folder / "feeder.py")],
                env=environment(self.folder) | variables | settings,
                stderr=told,
            )
        try:
            yield lambda: log.read_text(errors="replace")
            assert process.poll() is None, log.read_text(errors="replace")
        finally:
            process.kill()
            process.wait(DEADLINE)


def eventually(holds: Callable[[], bool], told: Callable[[], str]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < deadline, told()
        time.sleep(0.05)


def free_port() -> int:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listening:
        return int(listening.getsockname()[1])


def check(service: Serving, secret: str, plate: str) -> Any:
    with service.client(secret) as client:
        asked = {"plate": plate, "zone": "G1"}
        return client.get("/v1/sites/1085/check", params=asked).raise_for_status().json()


def test_the_client_of_the_page_keeps_a_service_level_with_its_system(tmp_path: Path) -> None:
    with running(tmp_path) as made:
        made.site(zones=["G1"])
        admin, feeder = made.key("admin"), made.key("feeder")
    data, system, port = made.settings.data_dir, System(tmp_path), free_port()
    for n in range(PERMITS):
        system.put(f"p{n}", f"AAA{n:03}")

    def verdict(plate: str) -> str:
        return str(check(service, admin, plate)["verdict"])

    with contextlib.ExitStack() as serves:
        with system.feeding(f"http://127.0.0.1:{port}", feeder) as told:
            eventually(lambda: "no answer" in told(), told)
            service = serves.enter_context(serving(data, options=["--port", str(port)]))
            eventually(lambda: verdict("AAA039") == "valid", told)
            since = check(service, admin, "AAA001")["fed_at"]
            eventually(lambda: bool(check(service, admin, "AAA001")["fed_at"] > since), told)

            system.put("p0", "BBB000", confirmed_at="2999-01-01T00:00:00Z")
            eventually(lambda: "check the sender's clock" in told(), told)
            assert "rejected p0 " in told()
            system.put("p0", "BBB000", confirmed_at=check(service, admin, "AAA000")["at"])
            eventually(lambda: verdict("BBB000") == "pending_activation", told)
            assert verdict("AAA000") == "valid"

        for n in range(2, 8):
            system.lose(f"p{n}")
        with system.feeding(service.address, feeder) as told:
            eventually(lambda: "reconciliation-too-large" in told(), told)
            assert verdict("AAA002") == "valid"
        with system.feeding(service.address, feeder, MAX_CANCEL="6") as told:
            eventually(lambda: verdict("AAA002") == "cancelled", told)
            assert verdict("AAA008") == "valid"
        system.put("p9", "AAA009", zones=["Q9"])
        with system.feeding(service.address, feeder, RECONCILE_HOURS="0.00001") as told:
            eventually(lambda: "rejected p9 " in told(), told)
            system.lose("p8")
            eventually(lambda: verdict("AAA008") == "cancelled", told)
            assert verdict("AAA009") == "valid"
