"""The soak: a real service, a real window, a plan, kills; then what is there is compared."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handheld_app.handheld import Handheld
from handheld_app.patrol import Patrol
from tests.handheld_app.conftest import BADGE, PIN
from tests.handheld_app.service import ServiceProcess

SITE, ZONE = "1085", "G1"
PLATES = 300
"""Plates with a permit; those of infractions have none."""
SHORTEST_S = 0.1
"""How long a process works at least, from its being at work to its being killed."""
QUICK = 12
"""Steps in a second that no machine makes: so no plan ends before its kills do."""
STARTED_WITHIN_S = 120.0
STEP_WITHIN_S = 60.0
"""Without a line in the ledger for so long, something hangs."""
FLAT_MB = 25.0
"""By how much the process that lives longest may grow from its first tenth to its last."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What was done, and what came of it."""

    checks: int
    infractions: int
    kills: int
    came_back: int
    photos: int
    growth_mb: float
    peak_mb: float
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.checks} checks, {self.infractions} infractions with {self.photos} photos,"
            f" {self.kills} kills: nothing lost, nothing doubled\n"
            f"{self.came_back} infractions were under way at a kill and came back\n"
            f"memory: {self.growth_mb:+.1f} MB over the longest life, at most"
            f" {self.peak_mb:.0f} MB\n{self.seconds:.0f} s"
        )


def plan(checks: int, infractions: int, dice: random.Random) -> list[dict[str, Any]]:
    """Each infraction is a check too, of a plate of its own that has no permit."""
    wanted = set(dice.sample(range(checks), infractions))
    steps = []
    for number in range(checks):
        if number in wanted:
            step = {"plate": f"N{number:05}", "verdict": "unknown"}
        else:
            step = {"plate": f"V{dice.randrange(PLATES):05}", "verdict": "valid"}
        steps.append({"number": number, **step, "infraction": number in wanted})
    return steps


def soak(folder: Path, *, checks: int, infractions: int, kills: int, seed: int) -> Figures:
    """Live through it; AssertionError if anything is lost, doubled or grows."""
    began, dice = time.monotonic(), random.Random(seed)
    (folder / "service").mkdir()
    service = ServiceProcess(folder / "service")
    try:
        service.start()
        handheld = folder / "handheld"
        handheld.mkdir()
        _make_ready(service, handheld, infractions)
        steps = plan(checks, infractions, dice)
        lines = "".join(json.dumps(step) + "\n" for step in steps)
        (handheld / "plan.ndjson").write_text(lines)
        # The first half in one life, whose memory tells; kills all along the second.
        _live(handheld, until=checks // 2)
        longest = (checks - checks // 2) / kills / QUICK * 2
        for number in range(kills):
            _live(handheld, until=checks, alive=dice.uniform(SHORTEST_S, longest))
            assert len(_ledger(handheld)) < checks, f"the plan ended at the kill {number + 1}"
        _live(handheld, until=checks, to_the_end=True)
        figures = _compare(service, handheld, steps, kills, time.monotonic() - began)
    finally:
        service.close()
    return figures


def _make_ready(service: ServiceProcess, folder: Path, infractions: int) -> None:
    service.open_site()
    service.hire(BADGE, PIN)
    base = {"site": SITE, "zones": [ZONE], "valid_from": "2026-01-01", "status": "active"}
    updates = [
        {**base, "id": f"v{n}", "version": 1, "plate": f"V{n:05}", "permit_number": str(n)}
        for n in range(PLATES)
    ]
    assert service.ask("POST", "/v1/plate-updates", json={"updates": updates})["applied"] == PLATES
    handheld = Handheld(folder)
    try:
        patrol: Patrol = handheld.patrol
        patrol.enrol(service.address, service.enrolment_code())
        handheld.sync()
        _until(lambda: patrol.zones(), "the site fetched")
        patrol.choose_zone(ZONE)
        patrol.sign_in(BADGE, PIN)
        patrol.start_shift()
        _until(lambda: patrol.numbers_left() > 0, "numbers")
    finally:
        handheld.close()


def _until(wanted: Any, what: str) -> None:
    ends = time.monotonic() + STARTED_WITHIN_S
    while not wanted():
        assert time.monotonic() < ends, what
        time.sleep(0.02)


def _ledger(folder: Path) -> list[dict[str, Any]]:
    path = folder / "ledger.ndjson"
    if not path.exists():
        return []
    whole, _, _ = path.read_bytes().rpartition(b"\n")
    return [json.loads(line) for line in whole.splitlines()]


def _live(
    folder: Path, *, until: int, alive: float | None = None, to_the_end: bool = False
) -> None:
    """One life of the app: until so many steps are done, or killed after `alive` seconds at work,
    or to its own end.
    """
    at_work = folder / "at-work.pid"
    at_work.unlink(missing_ok=True)
    with open(folder / "app.log", "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.soak.patroller", str(folder)], stdout=log, stderr=log
        )
    try:
        _wait(folder, process, at_work.exists, "at work")
        if alive is not None:
            ends = time.monotonic() + alive
            _wait(folder, process, lambda: time.monotonic() >= ends, "killed", may_end=True)
        elif to_the_end:
            _wait(folder, process, lambda: process.poll() is not None, "the end", may_end=True)
            assert process.wait() == 0, _log(folder)
            return
        else:
            _wait(folder, process, lambda: len(_ledger(folder)) >= until, "half of the plan")
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def _wait(folder: Path, process: Any, wanted: Any, what: str, *, may_end: bool = False) -> None:
    done, ends = -1, time.monotonic() + STARTED_WITHIN_S
    while not wanted():
        if process.poll() is not None:
            assert may_end, (what, _log(folder))
            assert process.returncode == 0, (what, _log(folder))
            return
        if done != (done := len(_ledger(folder))):
            ends = time.monotonic() + STEP_WITHIN_S + STARTED_WITHIN_S
        if time.monotonic() > ends:
            process.send_signal(signal.SIGABRT)  # it says where each of its threads is
            process.wait(STARTED_WITHIN_S)
            raise AssertionError(f"{what}: nothing happens; {_log(folder)}")
        time.sleep(0.02)


def _log(folder: Path) -> str:
    return (folder / "app.log").read_text(errors="replace")[-4000:]


def _compare(
    service: ServiceProcess, folder: Path, steps: list[dict[str, Any]], kills: int, seconds: float
) -> Figures:
    ledger = _ledger(folder)
    assert len(ledger) == len(steps)
    promised = {line["plate"]: line["id"] for line in ledger if line["infraction"]}
    recorded: dict[str, Any] = {}
    cursor = ""
    while cursor is not None:
        page = service.ask("GET", f"/v1/infractions?limit=500&cursor={cursor}" if cursor else
                           "/v1/infractions?limit=500")  # fmt: skip
        for item in page["items"]:
            assert item["plate"] not in recorded, f"{item['plate']} is there twice"
            recorded[item["plate"]] = item
        cursor = page["next_cursor"]
    assert {plate: item["id"] for plate, item in recorded.items()} == promised
    numbers = Counter(item["number"] for item in recorded.values())
    assert None not in numbers
    assert max(numbers.values()) == 1, numbers.most_common(3)
    photos = 0
    for line in ledger:
        if not line["infraction"]:
            continue
        whole = service.ask("GET", f"/v1/infractions/{line['id']}")
        assert whole["photos"], line
        assert all(photo["present"] for photo in whole["photos"]), whole["photos"]
        assert whole["note"] == f"Rangée {line['number']}", whole["note"]
        photos += len(whole["photos"])
    notes = folder / "notes.ndjson"
    came_back = notes.read_text().count('"came back"') if notes.exists() else 0
    growth, peak = _memory(ledger)
    assert growth <= FLAT_MB, f"the longest life grew by {growth:.1f} MB"
    return Figures(len(steps), len(promised), kills, came_back, photos, growth, peak, seconds)


def _memory(ledger: list[dict[str, Any]]) -> tuple[float, float]:
    """By how much the longest life grew from its second tenth to its last, and the peak, in MB."""
    lives = Counter(line["pid"] for line in ledger)
    pid, _ = lives.most_common(1)[0]
    life = [line["rss"] for line in ledger if line["pid"] == pid]
    tenth = max(1, len(life) // 10)
    first = sorted(life[tenth : 2 * tenth])[tenth // 2 - 1 if tenth > 1 else 0]
    last = sorted(life[-tenth:])[tenth // 2]
    return last - first, max(line["rss"] for line in ledger)
