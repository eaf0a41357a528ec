"""The handheld's window, real and headless: a touched key, a cold start, memory."""

from __future__ import annotations

import contextlib
import json
import random
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from benchmarks import finger, installing, material, news
from benchmarks.measuring import Line
from handheld_app.handheld import Handheld
from sync.entities import Permit
from sync.plates import normalise
from sync.replica import Replica, State

CATCH_UP = 20_000
"""Rows that come at once and are applied in one transaction."""
PENDING = 300
"""Of them, those that are not active yet."""
BUSY = 0.001
"""CPU seconds of the sync's thread from which a touch counts as one while news were applied."""

_FRAME, _START, _MEMORY, _WITH_READER = 0.016, 2.0, 250, 450
_DEADLINE = 600


def run(
    replica: Replica,
    known: Sequence[str],
    folder: Path,
    *,
    touches: int,
    seconds: int,
    repetitions: int,
) -> Iterable[Line]:
    """A handheld that holds what `replica` does, `known` being its plates. So many touches, or as
    many as can be made in so many seconds.
    """
    folder.mkdir()
    fresh = _fresh(CATCH_UP)
    state = replica.state()
    assert state is not None
    data_dir = folder / "data"
    with news.served(state, (), flowing=False) as address:
        _enrol(data_dir, replica, address, folder)
        yield from _starts(data_dir, state, repetitions)
        yield _scanned(data_dir, folder, repetitions)
    catch_ups = news.of(fresh, state.digest)
    with news.served(state, catch_ups, flowing=True) as address:
        with contextlib.closing(Handheld(data_dir)) as handheld:
            _point_to(handheld, address)
        plates = _wanted(known, fresh)
        yield from _touched(data_dir, plates, state, touches, seconds, folder)


def _fresh(count: int) -> list[Permit]:
    """Permits whose ids no other material has; the first are not active yet."""
    chance = random.Random(7)
    made = material.plates(chance)
    found = [next(material.permits(next(made), 600_000_000 + n, chance)) for n in range(count)]
    return [*news.pending(found[:PENDING], datetime.now(UTC)), *found[PENDING:]]


def _wanted(known: Sequence[str], fresh: Sequence[Permit]) -> list[str]:
    """Plates to type: half of them with a permit, of every verdict."""
    chance = random.Random(8)
    here = {normalise(plate) for plate in known}
    strangers = (p for p in map(normalise, material.plates(chance)) if p not in here)
    wanted = [normalise(plate) for plate in chance.sample(known, 2_000)]
    wanted += [permit.plate.text for permit in fresh[:PENDING]]
    wanted += islice(strangers, len(wanted))
    chance.shuffle(wanted)
    return wanted


def _enrol(data_dir: Path, replica: Replica, address: str, folder: Path) -> None:
    """As if enrolled, and the snapshot installed."""
    snapshot = replica.export(folder / "snapshots")
    with contextlib.closing(Handheld(data_dir)) as handheld:
        handheld.device_file.change(
            device="d1", token="secret", sites=(material.SITE.id,), site=material.SITE.id,
            zone=material.ZONE, server=address,
        )  # fmt: skip
        index = handheld.replica_of(material.SITE.id)
        index.install(snapshot.path, installing.manifest_of(snapshot))


def _point_to(handheld: Handheld, address: str) -> None:
    """The same service at another port; the index goes along."""
    site = material.SITE.id
    before = handheld.replica_of(site)
    before.close()
    handheld.device_file.change(server=address)
    before.folder.rename(handheld.folder / "sites" / handheld._folder_of(site))


def _starts(data_dir: Path, state: State, repetitions: int) -> Iterable[Line]:
    """The first one compiles what was never run, and does not count."""
    _finger("start", data_dir)
    found = [_finger("start", data_dir) for _ in range(repetitions)]
    for name, seen, goal in (
        ("start", "check screen", 1.0),
        ("start (first picture)", "first picture", None),
    ):
        yield _line(
            name,
            f"a fresh process of the handheld until its {seen} was drawn; all its threads",
            [each[seen] for each in found],
            (_START, "2 s"),
            "s",
            goal,
        )
    yield _memory_line(
        "memory", f"then, level with {state.digest.count:,} rows", [f["memory"] for f in found]
    )


def _touched(
    data_dir: Path, plates: list[str], state: State, touches: int, seconds: int, folder: Path
) -> Iterable[Line]:
    plan = folder / "plan.json"
    told = {"plates": plates, "touches": touches, "seconds": seconds, "busy": BUSY}
    plan.write_text(json.dumps(told))
    found = _finger("type", data_dir, str(plan))
    during = [touch for touch in found["touches"] if touch["news"] > BUSY]
    brought = sum(1 for touch in during if touch["verdict"])
    verdicts = ", ".join(f"{n} {verdict}" for verdict, n in sorted(found["verdicts"].items()))
    about = (
        f"of {len(during):,} touches of keys and of Check, of which {brought} brought a verdict"
        f" (plates: {verdicts}), while at least {found['catch-ups']} catch-ups of {CATCH_UP:,} rows"
        f" were applied to an index of {state.digest.count:,}; {found['renderer']}"
    )
    for name, what, share, goal in (
        ("key p99", "cpu", 0.99, 1.0),
        ("key p50", "cpu", 0.5, None),
        ("key p99 (wall)", "wall", 0.99, None),
    ):
        clock = {"cpu": "CPU of the thread that draws", "wall": "seconds on the wall"}[what]
        cost = _percentile([touch[what] for touch in during], share)
        ours = f"{clock} from a touch until what it says is drawn, {about}"
        yield _line(name, ours, [cost * 1e3], (_FRAME * 1e3, "16 ms"), "ms", goal)
    yield _memory_line("memory (catching up)", "after that", [found["memory"]])


def _percentile(costs: Sequence[float], share: float) -> float:
    """So many of the costs are no higher."""
    return sorted(costs)[min(len(costs) - 1, int(len(costs) * share))]


def _scanned(data_dir: Path, folder: Path, repetitions: int) -> Line:
    """With the reader installed, and in use."""
    car = folder / "car.jpg"
    _plate_of_a_car("ABC 123").save(car, quality=92)
    found = [_finger("scan", data_dir, str(car)) for _ in range(repetitions)]
    read = {text for each in found for text in each["read"]}
    return _memory_line(
        "memory (reader)",
        f"after a plate was scanned and read {finger.SCANS} times (as {', '.join(sorted(read))})",
        [each["memory"] for each in found],
        _WITH_READER,
    )


def _plate_of_a_car(text: str) -> Image.Image:
    """As a camera of 1280 by 720 sees it, more or less."""
    picture = Image.new("RGB", (1280, 720), "#3d4653")
    draw = ImageDraw.Draw(picture)
    draw.rounded_rectangle((400, 280, 880, 440), 16, fill="#f3f3ee")
    draw.text((640, 360), text, "#17305f", ImageFont.load_default(110), anchor="mm")
    return picture


def _memory_line(
    name: str, when: str, found: Sequence[dict[str, int]], goal_mb: int = _MEMORY
) -> Line:
    resident, alone = (
        statistics.median(each[kind] for each in found) / 1e6 for kind in ("rss", "anonymous")
    )
    return _line(
        name,
        f"the process's share of what is in memory (PSS) {when}; resident: {resident:.0f} MB, of"
        f" which {alone:.0f} MB are no file's",
        [each["pss"] / 1e6 for each in found],
        (goal_mb, f"{goal_mb} MB"),
        "MB",
        1.0,
    )


def _finger(what: str, data_dir: Path, *told: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.finger", what, str(data_dir), *told],
        capture_output=True, text=True, timeout=_DEADLINE, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"the window ended:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _line(
    name: str, ours: str, costs: list[float], limit: tuple[float, str], unit: str,
    goal: float | None,
) -> Line:  # fmt: skip
    return Line(
        name=name,
        ours=ours,
        limit=f"what the handheld is to keep to: {limit[1]}",
        unit=unit,
        goal=goal,
        ratios=[cost / limit[0] for cost in costs],
        our_cost=statistics.median(costs),
        limit_cost=limit[0],
    )
