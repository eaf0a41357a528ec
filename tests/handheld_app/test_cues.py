"""Cues are heard and felt where they can be, and never in the way."""

from __future__ import annotations

import sys
import threading
import wave
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from handheld_app.cues import CUES, RATE, Cues, samples, shaker, write_wav
from tests.handheld_app.test_window import window_of_tests

SOON = 10
"""Seconds that a test waits at the most."""


class Room:
    """Hears and feels what is played in it."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.felt: list[tuple[int, ...]] = []
        self._changed = threading.Condition()

    def player(self, path: Path) -> None:
        assert threading.current_thread().name == "cues"
        with self._changed:
            self.heard.append(path.stem)
            self._changed.notify_all()

    def shaker(self, pattern: Sequence[int]) -> None:
        with self._changed:
            self.felt.append(tuple(pattern))
            self._changed.notify_all()

    def wait(self, wanted: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(wanted, SOON)


@pytest.fixture
def room() -> Room:
    return Room()


def test_a_verdict_is_heard_and_felt(room: Room, tmp_path: Path) -> None:
    cues = Cues(tmp_path, player=room.player, shaker=room.shaker)
    for name in ("good", "bad"):
        cues.play(name)
        room.wait(lambda name=name: room.heard[-1:] == [name])
    cues.close()
    assert room.felt == [CUES["good"].shakes, CUES["bad"].shakes]


def test_a_key_is_felt_only(room: Room, tmp_path: Path) -> None:
    cues = Cues(tmp_path, player=room.player, shaker=room.shaker)
    cues.play("key")
    room.wait(lambda: room.felt == [CUES["key"].shakes])
    cues.close()
    assert room.heard == []


def test_without_sound_it_is_felt_and_silent_is_neither(room: Room, tmp_path: Path) -> None:
    cues = Cues(tmp_path, mode="silent", player=room.player, shaker=room.shaker)
    cues.play("alert")
    cues.mode = "vibration"
    cues.play("wait")
    room.wait(lambda: bool(room.felt))
    cues.close()
    assert (room.heard, room.felt) == ([], [CUES["wait"].shakes])


def test_whoever_plays_waits_for_nothing_and_an_alert_is_not_talked_over(tmp_path: Path) -> None:
    begun, go_on, heard = threading.Event(), threading.Event(), []

    def slow(path: Path) -> None:
        heard.append(path.stem)
        begun.set()
        assert go_on.wait(SOON)

    cues = Cues(tmp_path, player=slow)
    cues.play("good")
    assert begun.wait(SOON)
    for name in ("bad", "alert", "good", "wait"):
        cues.play(name)  # returns although nothing is played yet
    go_on.set()
    cues._wanted.put(None)
    assert cues._thread is not None
    cues._thread.join(SOON)
    assert heard[0] == "good"
    assert "wait" not in heard


def test_no_loudspeaker_is_tried_once_and_disturbs_nobody(room: Room, tmp_path: Path) -> None:
    tried: list[Path] = []

    def nothing(path: Path) -> None:
        tried.append(path)
        raise OSError("no loudspeaker")

    cues = Cues(tmp_path, player=nothing, shaker=room.shaker)
    for times in (1, 2, 3):
        cues.play("bad")
        room.wait(lambda times=times: len(room.felt) == times)
    cues.close()
    assert len(tried) == 1


def test_a_full_disk_is_silent(tmp_path: Path, room: Room) -> None:
    (tmp_path / "sounds").write_text("not a folder")
    cues = Cues(tmp_path / "sounds", player=room.player)
    cues.play("bad")
    cues.close()
    assert room.heard == []


@pytest.mark.parametrize("name", [name for name, cue in CUES.items() if cue.tones])
def test_a_sound_is_as_long_as_its_tones_and_does_not_click(name: str, tmp_path: Path) -> None:
    tones = CUES[name].tones
    write_wav(tmp_path / "a.wav", tones)
    with wave.open(str(tmp_path / "a.wav")) as file:
        seconds = file.getnframes() / file.getframerate()
        heard = memoryview(file.readframes(file.getnframes())).cast("h")
    assert seconds == pytest.approx(sum(ms for _, ms in tones) / 1000, abs=0.001 * len(tones))
    assert abs(heard[0]) < 300
    assert abs(heard[-1]) < 3000
    assert max(heard) > 15_000


def test_silence_between_tones_is_silent() -> None:
    assert set(samples(((0, 50),))) == {0}
    assert len(samples(((440, 1000),))) == 2 * RATE


@pytest.mark.parametrize(("version", "felt"), [(24, ([0, 12], -1)), (26, ("wave", [0, 12], -1))])
def test_any_android_shakes(
    monkeypatch: pytest.MonkeyPatch, version: int, felt: tuple[object, ...]
) -> None:
    shaken: list[tuple[Any, ...]] = []
    vibrator = SimpleNamespace(
        vibrate=lambda *told: shaken.append(told if len(told) == 2 else told[0])
    )
    activity = SimpleNamespace(getSystemService=lambda name: vibrator)
    effects = SimpleNamespace(createWaveform=lambda *pattern: ("wave", *pattern))
    classes = {
        "org.kivy.android.PythonActivity": SimpleNamespace(mActivity=activity),
        "android.content.Context": SimpleNamespace(VIBRATOR_SERVICE="vibrator"),
        "android.os.Build$VERSION": SimpleNamespace(SDK_INT=version),
    }
    if version >= 26:
        classes["android.os.VibrationEffect"] = effects
    monkeypatch.setitem(sys.modules, "jnius", SimpleNamespace(autoclass=classes.__getitem__))
    shake = shaker()
    assert shake is not None
    shake((0, 12))
    assert shaken == [felt]


def test_kivy_loads_the_sounds(tmp_path: Path) -> None:
    window_of_tests(tmp_path)
    from kivy.core.audio import SoundLoader

    path = Cues(tmp_path / "sounds").sound("alert")
    sound: Any = SoundLoader.load(str(path))
    assert sound is not None
    assert sound.length == pytest.approx(0.88, abs=0.05)
    sound.unload()
