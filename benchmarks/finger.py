"""A finger in the real window, and what the window's process spends on it. Run by `window`.

`python -m benchmarks.finger start|type|scan DATA_DIR …`: opens the handheld as `python -m
handheld_app` does, in a folder that is enrolled, and writes what it found as JSON to stdout. Only
`scan` finds the plate reader installed.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

STILL = 1
"""Frames in which nothing is drawn, after which all is drawn that a touch brought about."""
DEADLINE = 300
WARM_UP = 20
"""Touches that do not count: pictures of letters are made, statements prepared."""

ABSENT = ("numpy", "rich")
"""What comes with the reader or with the tests' tools, and is imported by others where it is
there."""
SCANS = 3

Steps = Iterator[None]


def main(what: str, data_dir: str, *told: str) -> int:
    os.environ.setdefault("SDL_VIDEODRIVER", "offscreen")
    found: dict[str, Any] = {}
    steps: Callable[[Any], Steps] = {
        "start": lambda window: _start(window, found),
        "type": lambda window: _type(window, json.loads(Path(told[0]).read_text()), found),
        "scan": lambda window: _scan(window, found),
    }[what]
    options = ["--data-dir", data_dir, "--lang", "fr"]
    if what == "scan":
        options += ["--camera", told[0]]
    else:
        sys.modules.update(dict.fromkeys(ABSENT, cast(Any, None)))
    from handheld_app import __main__ as handheld

    _when_open(handheld, steps)
    handheld.main(options)
    print(json.dumps(found))
    return 0 if found else 1


def _when_open(handheld: Any, steps: Callable[[Any], Steps]) -> None:
    """Do a step in each frame, from the first on, and close the window after the last one."""
    configure = handheld.configure

    def then(data_dir: Path) -> None:
        configure(data_dir)
        from kivy.clock import Clock

        def begin(_: float) -> None:
            from kivy.app import App

            app = App.get_running_app()
            if app is None or app.root is None:
                Clock.schedule_once(begin, 0)
                return
            window = Window(app)
            doing = steps(window)

            def step(_: float) -> bool:
                try:
                    next(doing)
                except BaseException as ended:
                    app.stop()
                    if not isinstance(ended, StopIteration):
                        raise
                    return False
                return True

            Clock.schedule_interval(step, 0)

        Clock.schedule_once(begin, 0)

    handheld.configure = then


class Window:
    """The window, and when it last showed something new: both in this thread's CPU time."""

    def __init__(self, app: Any) -> None:
        from kivy.core.window import Window as window
        from kivy.graphics.opengl import glFinish

        self.app = app
        self.shown = 0
        """How often a new picture was shown."""
        self.spent = self.at = 0.0
        """This thread's CPU time, and the clock on the wall, when one last showed other words."""
        self._words: list[object] = []
        flip = window.flip

        def shown() -> None:
            flip()
            # As a screen makes one wait for each picture: without one, the software renderer takes
            # the next before it has done the last, and keeps room for as many as it ever had.
            glFinish()
            spent, at = time.thread_time(), time.perf_counter()
            self.shown += 1
            words = self._drawn_words()
            if words != self._words:
                self._words, self.spent, self.at = words, spent, at

        window.flip = shown

    def _drawn_words(self) -> list[object]:
        """What is drawn of words, and where: but for buttons that come up again."""
        from kivy.uix.label import Label

        return [
            (label.text, label.texture, *label.pos, *label.color)
            for label in self.screen.walk(restrict=True)
            if isinstance(label, Label)
        ]

    @property
    def screen(self) -> Any:
        return self.app.screens.current_screen

    def until(self, wanted: Callable[[], Any], what: str) -> Steps:
        ends = time.monotonic() + DEADLINE
        while not wanted():
            if time.monotonic() > ends:
                raise AssertionError(f"{what}: not within {DEADLINE} s; {self.app.status}")
            yield

    def still(self) -> Steps:
        """Until nothing more is drawn."""
        still, shown = 0, self.shown
        while still < STILL:
            yield
            still = still + 1 if self.shown == shown else 0
            shown = self.shown

    def touch(self, widget: Any) -> Steps:
        """A finger on it, and off again."""
        from kivy.tests.common import UnitTestTouch

        finger = UnitTestTouch(*widget.to_window(*widget.center))
        finger.touch_down()
        finger.touch_up()
        yield from self.still()


def _start(window: Window, found: dict[str, Any]) -> Steps:
    """The CPU time of the whole process, its start included, until each screen could be used."""
    yield from window.until(lambda: window.shown, "the first picture")
    found["first screen"] = window.app.screens.current
    found["first picture"] = time.process_time()
    window.app.go("check")
    yield from window.until(lambda: window.screen.name == "check", "the check screen")
    shown = window.shown
    yield from window.until(lambda: window.shown > shown and window.screen.ready, "it drawn")
    found["check screen"] = time.process_time()
    yield from window.until(lambda: window.app.status.connection == "online", "the sync")
    yield from window.still()
    found["memory"] = _memory()


def _type(window: Window, plan: dict[str, Any], found: dict[str, Any]) -> Steps:
    """Type plates, and look at what each touch costs, until enough touches were made while news
    were being applied.
    """
    from kivy.tests.common import UnitTestTouch

    window.app.go("check")
    yield from window.until(lambda: window.screen.name == "check", "the check screen")
    yield from window.until(lambda: window.app.status.connection == "online", "the sync")
    yield from window.still()
    check = window.screen
    (pull,) = (thread for thread in threading.enumerate() if thread.name == "pull")
    pulling = time.pthread_getcpuclockid(pull.ident)  # type: ignore[arg-type]
    touches: list[dict[str, Any]] = []
    verdicts: dict[str, int] = {}
    levels = {window.app.status.synced_at}

    def touch(widget: Any, *, acts_when_let_go: bool = False) -> Steps:
        finger = UnitTestTouch(*widget.to_window(*widget.center))
        news, spent, at = time.clock_gettime(pulling), time.thread_time(), time.perf_counter()
        finger.touch_down()
        if acts_when_let_go:
            finger.touch_up()
        yield from window.still()
        assert window.spent > spent, "nothing was said"
        touches.append(
            {
                "cpu": window.spent - spent,
                "wall": window.at - at,
                "news": time.clock_gettime(pulling) - news,
                "verdict": check.sighting.verdict if check.sighting else None,
            }
        )
        if not acts_when_let_go:
            finger.touch_up()

    def enough() -> bool:
        during = [touch for touch in touches[WARM_UP:] if touch["news"] > plan["busy"]]
        return len(during) >= plan["touches"]

    ends = time.monotonic() + plan["seconds"]
    for plate in plan["plates"]:
        yield from window.touch(check.ids.wipe)
        if check._sheet is not None:  # an alert: two vehicles have one permit here
            yield from window.touch(check._sheet.ids.seen)
            yield from window.until(lambda: check._sheet is None, "the alert seen")
            yield from window.still()
        for glyph in plate:
            yield from touch(check.ids.keypad.keys[glyph])
        if check.sighting is None:
            yield from touch(check.ids.check, acts_when_let_go=True)
        verdict = check.sighting.verdict
        verdicts[verdict] = verdicts.get(verdict, 0) + 1
        levels.add(window.app.status.synced_at)
        if enough() or time.monotonic() > ends:
            break
    found |= {
        "touches": touches[WARM_UP:],
        "verdicts": verdicts,
        "catch-ups": len(levels) - 1,
        "memory": _memory(),
        "renderer": _renderer(),
    }


def _scan(window: Window, found: dict[str, Any]) -> Steps:
    """Read a plate a few times, and look at the memory that is left taken."""
    yield from window.until(lambda: window.app.status.connection == "online", "the sync")
    window.app.go("check")
    yield from window.until(lambda: window.screen.name == "check", "the check screen")
    read = []
    for _ in range(SCANS):
        window.app.go("scan")
        yield from window.until(lambda: window.screen.name == "scan", "the scan screen")
        yield from window.until(lambda: window.screen.stage == "choosing", "what was read")
        read.append(window.screen.scan.raw)
        yield from window.still()
        window.app.go("check")
        yield from window.until(lambda: window.screen.name == "check", "the check screen")
    found |= {"memory": _memory(), "read": read}


def _memory() -> dict[str, int]:
    """Bytes of this process: resident, its share of what others have too, and its own alone."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]
    told = dict(line.split(":") for line in lines)
    return {
        name: int(told[key].split()[0]) * 1024
        for name, key in (("rss", "Rss"), ("pss", "Pss"), ("anonymous", "Anonymous"))
    }


def _renderer() -> str:
    from kivy.graphics.opengl import GL_RENDERER, glGetString

    return str(glGetString(GL_RENDERER).decode())


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
