"""What a verdict sounds and feels like: `cues.play("bad")`, which never waits and never fails.

The sounds are made here, of sines, and written once into the app's own folder. A thread of its own
plays them; where there is no loudspeaker or nothing that shakes, there is silence.
"""

from __future__ import annotations

import importlib
import logging
import math
import queue
import struct
import threading
import wave
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

Mode = Literal["sound", "vibration", "silent"]
MODES: tuple[Mode, ...] = ("sound", "vibration", "silent")
"""`sound` is with vibration."""

RATE = 22_050
_FADE = 0.006
"""Seconds in which a tone comes and goes, so that it does not click."""
_LOUD = 0.6
_EFFECTS_SINCE = 26
"""The version of Android that takes effects instead of bare times."""


@dataclass(frozen=True, slots=True)
class Cue:
    """`tones`: pairs of hertz (0: silence) and milliseconds, one after another; none: no sound.
    `shakes`: milliseconds of stillness, of shaking, of stillness, of shaking…
    """

    tones: tuple[tuple[int, int], ...] = ()
    shakes: tuple[int, ...] = ()


CUES = {
    # Told apart without looking: up, level, down; and an alert like nothing else.
    "good": Cue(((880, 70), (1320, 110)), (0, 40)),
    "wait": Cue(((700, 110), (0, 60), (700, 110)), (0, 60, 80, 60)),
    "bad": Cue(((520, 130), (350, 260)), (0, 250)),
    "alert": Cue(((1500, 110), (1000, 110)) * 4, (0, 300, 120, 300, 120, 300)),
    "error": Cue(((220, 240),), (0, 120)),
    "key": Cue((), (0, 12)),
}
"""`good`, `wait` and `bad` are tones of a verdict; `alert`: a plate of the hotlist; `error`: it
did not work; `key`: a key was touched."""

Player = Callable[[Path], None]
Shaker = Callable[[Sequence[int]], None]


def samples(tones: Sequence[tuple[int, int]]) -> bytes:
    """The tones as 16-bit mono samples."""
    heard: list[int] = []
    for hertz, milliseconds in tones:
        count = RATE * milliseconds // 1000
        for n in range(count):
            fade = min(1.0, n / (RATE * _FADE), (count - n) / (RATE * _FADE))
            heard.append(round(32767 * _LOUD * fade * math.sin(math.tau * hertz * n / RATE)))
    return struct.pack(f"<{len(heard)}h", *heard)


def write_wav(path: Path, tones: Sequence[tuple[int, int]]) -> None:
    """A sound file of these tones. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    with wave.open(str(unfinished), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples(tones))
    unfinished.replace(path)


class Loudspeaker:
    """Plays sound files through whatever Kivy finds here."""

    def __init__(self) -> None:
        self._sounds: dict[Path, Any] = {}

    def __call__(self, path: Path) -> None:
        """Begin to play it. Raises OSError where nothing can."""
        if path not in self._sounds:
            from kivy.core.audio import SoundLoader

            self._sounds[path] = SoundLoader.load(str(path))
        sound = self._sounds[path]
        if sound is None:
            raise OSError("nothing here plays sounds")
        sound.stop()
        sound.play()


def shaker() -> Shaker | None:
    """What shakes an Android device; None elsewhere. On the main thread: its classes are found
    from there only.
    """
    try:
        jnius = importlib.import_module("jnius")
    except ImportError:
        return None
    activity = jnius.autoclass("org.kivy.android.PythonActivity").mActivity
    context = jnius.autoclass("android.content.Context")
    vibrator = activity.getSystemService(context.VIBRATOR_SERVICE)
    if jnius.autoclass("android.os.Build$VERSION").SDK_INT < _EFFECTS_SINCE:
        return lambda pattern: vibrator.vibrate(list(pattern), -1)
    effect = jnius.autoclass("android.os.VibrationEffect")

    def shake(pattern: Sequence[int]) -> None:
        vibrator.vibrate(effect.createWaveform(list(pattern), -1))

    return shake


class Cues:
    """`play` hands over to a thread of its own. Only the latest cue counts: one that was not begun
    when the next came is left out.
    """

    def __init__(
        self,
        folder: Path,
        *,
        mode: Mode = "sound",
        player: Player | None = None,
        shaker: Shaker | None = None,
    ) -> None:
        self.folder, self.mode = folder, mode
        self._player = player or Loudspeaker()
        self._shaker = shaker
        self._wanted: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._broken: set[str] = set()

    def play(self, name: str) -> None:
        """Let this cue of CUES be heard and felt, as far as the mode and the device allow."""
        cue = CUES[name]
        silent = self.mode == "silent" or (not cue.tones and self._shaker is None)
        if silent or (self.mode == "vibration" and self._shaker is None):
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="cues", daemon=True)
            self._thread.start()
        self._wanted.put(name)

    def close(self) -> None:
        """Nothing is played any more."""
        self.mode = "silent"
        if self._thread is not None:
            self._wanted.put(None)
            self._thread.join(timeout=2)
            self._thread = None

    def _run(self) -> None:
        while True:
            name = self._wanted.get()
            while name is not None and not self._wanted.empty():
                later = self._wanted.get()
                if name != "alert" or later is None:  # an alert is not talked over
                    name = later
            if name is None:
                return
            cue = CUES[name]
            if self._shaker is not None:
                self._try("shaking", partial(self._shaker, cue.shakes))
            if cue.tones and self.mode == "sound":
                self._try("sound", partial(self._sound, name))

    def _sound(self, name: str) -> None:
        self._player(self.sound(name))

    def sound(self, name: str) -> Path:
        """The file of this cue, which is written at its first use. Raises OSError."""
        path = self.folder / f"{name}.wav"
        if not path.exists():
            write_wav(path, CUES[name].tones)
        return path

    def _try(self, what: str, do: Callable[[], None]) -> None:
        """Whatever a device's drivers raise, a verdict is shown all the same."""
        if what in self._broken:
            return
        try:
            do()
        except Exception:
            self._broken.add(what)
            logging.getLogger(__name__).info("no %s here", what, exc_info=True)
