"""A patroller at the real window, in a process of its own, to be killed at any moment.

    python -m tests.soak.patroller FOLDER

Does what FOLDER/plan.ndjson says, a line each, from where FOLDER/ledger.ndjson ends: a line there
is what the patroller was shown. Ends with 0 when all of the plan is done and the service has it.
"""

from __future__ import annotations

import asyncio
import faulthandler
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

DRAINED_WITHIN_S = 240.0


def rss_mb() -> float:
    """What of this process is in memory now, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


class Ledger:
    """What was done, on disk before the next thing is begun; notes beside it."""

    def __init__(self, folder: Path) -> None:
        path = folder / "ledger.ndjson"
        path.touch()
        whole, _, torn = path.read_bytes().rpartition(b"\n")
        if torn:
            path.write_bytes(whole + b"\n" if whole else b"")
        self.done = len(whole.splitlines())
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND)
        self._notes = folder / "notes.ndjson"

    def write(self, **line: Any) -> None:
        """One step is done."""
        told = {**line, "rss": round(rss_mb(), 1), "pid": os.getpid()}
        os.write(self._file, json.dumps(told).encode() + b"\n")
        os.fsync(self._file)
        self.done += 1

    def note(self, what: str, plate: str, photos: int, note: str) -> None:
        """Something that a kill led to."""
        with open(self._notes, "a") as file:
            file.write(json.dumps([what, plate, photos, note]) + "\n")


async def patrol(folder: Path) -> None:
    """The whole plan, from where it was left."""
    os.environ.setdefault("SDL_VIDEODRIVER", "offscreen")
    os.environ.setdefault("KIVY_METRICS_DENSITY", "1")
    os.environ.setdefault("KIVY_NO_ARGS", "1")
    os.environ.setdefault("KIVY_LOG_MODE", "PYTHON")
    os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
    from handheld_app.__main__ import configure

    configure(folder)
    from kivy.config import Config

    Config.set("graphics", "multisamples", 0)
    Config.set("graphics", "maxfps", 0)
    from kivy.core.window import Window
    from kivy.graphics.opengl import glFinish

    # As a screen makes one wait for each picture: without one, the software renderer takes the next
    # before it has done the last, and keeps room for as many as it ever had.
    Window.bind(on_flip=lambda _: glFinish())
    from handheld_app.app import HandheldApp
    from tests.handheld_app.test_window import SIZES, Hand
    from tests.soak.steps import Camera, Steps

    ledger = Ledger(folder)
    plan = [json.loads(line) for line in (folder / "plan.ndjson").read_text().splitlines()]
    seen = ledger.done * 1000 + os.getpid() % 1000
    app = HandheldApp(folder, lang="fr", pictures=folder, open_camera=lambda: Camera(seen))
    running = asyncio.create_task(app.async_run("asyncio"))
    hand = Hand(app, running)
    await hand.until(lambda: app.root is not None, "the window")
    await hand.resize(SIZES[0])
    steps = Steps(hand, ledger, plan)
    await steps.begin()
    (folder / "at-work.pid").write_text(str(os.getpid()))
    while ledger.done < len(plan):
        await steps.take(plan[ledger.done])
    ends = time.monotonic() + DRAINED_WITHIN_S
    while app.handheld.outbox.waiting():
        assert time.monotonic() < ends, f"not sent within {DRAINED_WITHIN_S} s"
        app.sync_now()
        await asyncio.sleep(0.2)
    app.stop()
    await running


def main() -> None:
    faulthandler.enable()
    folder = Path(sys.argv[1])
    # Kivy reads the command line unless it is told not to.
    sys.argv[1:] = []
    asyncio.run(patrol(folder))


if __name__ == "__main__":
    main()
