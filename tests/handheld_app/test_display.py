"""What a window needs of the machine, and the handheld's command where something of it lacks."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from handheld_app import display
from handheld_app.display import Lack, lack, screen_is_there

DEADLINE = 60
OFFSCREEN = {"SDL_VIDEODRIVER": "offscreen"}


def test_a_screen_is_one_that_answers(tmp_path: Path) -> None:
    assert not screen_is_there({})
    assert not screen_is_there({"DISPLAY": "nonsense"})
    assert screen_is_there({"SDL_VIDEODRIVER": "offscreen"})
    wayland = {"WAYLAND_DISPLAY": "wayland-7", "XDG_RUNTIME_DIR": str(tmp_path)}
    assert not screen_is_there(wayland)
    with socket.socket(socket.AF_UNIX) as compositor:
        compositor.bind(str(tmp_path / "wayland-7"))
        compositor.listen()
        assert screen_is_there(wayland)


def test_what_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lack(OFFSCREEN) is None
    assert lack({}) == Lack("screen")
    monkeypatch.setattr(display, "LIBRARIES", {"libno-such-thing.so.7": "libno7"})
    assert lack(OFFSCREEN) == Lack("libraries", ("libno7", "libgl1-mesa-dri"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert lack(OFFSCREEN) == Lack("kivy")


def environment(more: Mapping[str, str]) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER", "KIVY_HOME")
        and not name.startswith(("PATROUILLE", "KIVY"))
    }
    return kept | {"PATROUILLE_LANG": "en", "PYTHONUNBUFFERED": "1"} | more


def start(*arguments: object, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "enforcement_api", "handheld", *map(str, arguments)],
        env=environment(more),
        stderr=subprocess.PIPE,
        text=True,
    )


def said(*arguments: object, **more: str) -> str:
    """What the command says, which does not succeed."""
    with start(*arguments, **more) as process:
        told = process.communicate(timeout=DEADLINE)[1]
    assert process.returncode == 1, told
    assert "Traceback" not in told
    return told


def test_without_a_screen_it_says_so_and_makes_nothing(tmp_path: Path) -> None:
    assert "no screen" in said("--data-dir", tmp_path / "d")
    assert "aucun écran" in said("--data-dir", tmp_path / "d", PATROUILLE_LANG="fr")
    assert not (tmp_path / "d").exists()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert str(tmp_path / "file") in said("--data-dir", tmp_path / "file" / "d", **OFFSCREEN)


def opened(process: subprocess.Popen[str]) -> str:
    """Wait until the window is there; what was said by then."""
    assert process.stderr is not None
    told = ""
    late = threading.Timer(DEADLINE, process.kill)
    late.start()
    while "Start application main loop" not in told:
        line = process.stderr.readline()
        assert line, told
        told += line
    late.cancel()
    return told


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_closes_the_window(tmp_path: Path, number: signal.Signals) -> None:
    with start("--data-dir", tmp_path / "d", **OFFSCREEN) as process:
        opened(process)
        process.send_signal(number)
        # A window left behind would hold its end of the pipe.
        told = process.communicate(timeout=DEADLINE)[1]
    assert process.returncode == 0, told
    assert "Traceback" not in told


def test_what_it_makes_is_for_its_owner_alone(tmp_path: Path) -> None:
    with start("--data-dir", tmp_path / "d", **OFFSCREEN) as process:
        opened(process)
        process.terminate()
        process.communicate(timeout=DEADLINE)
    made = [tmp_path / "d", *(tmp_path / "d").rglob("*")]
    ours = [path for path in made if "icon" not in path.parts]  # copies of Kivy's own
    assert len(ours) > 3
    assert not [path for path in ours if path.stat().st_mode & 0o077]


def test_a_damaged_outbox_is_told_and_kept(tmp_path: Path) -> None:
    (tmp_path / "handheld").mkdir()
    (tmp_path / "handheld" / "outbox.db").write_bytes(b"no database" * 100)
    with start("--data-dir", tmp_path, **OFFSCREEN) as process:
        told = opened(process)
        process.terminate()
        process.communicate(timeout=DEADLINE)
    kept = tmp_path / "handheld" / "outbox.damaged-1.db"
    assert f"untouched. Give it to whoever looks after this device: {kept}" in told
    assert kept.read_bytes() == b"no database" * 100
