"""Pictures come from files and cameras; one error says that there are none, and why."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from handheld_app.scanning.frames import (
    DesktopCamera,
    NoCamera,
    StillPictures,
    from_nv21,
    open_camera,
)


@pytest.fixture
def film(tmp_path: Path) -> str:
    """Five frames, each of one shade of blue."""
    path = str(tmp_path / "film.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    for shade in (50, 90, 130, 170, 210):
        writer.write(np.full((48, 64, 3), (shade, 0, 0), np.uint8))
    writer.release()
    return path


def test_still_pictures_come_one_after_the_other_and_the_last_stays(
    picture: Callable[..., Path],
) -> None:
    source = StillPictures([picture("a.jpg", (40, 30)), picture("b.jpg", (20, 10))])
    frames = [source.newest() for _ in range(3)]
    assert [frame.size for frame in frames] == [(40, 30), (20, 10), (20, 10)]
    assert {frame.mode for frame in frames} == {"RGB"}


def test_picture_that_was_taken_sideways_is_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (40, 30)).save(tmp_path / "car.jpg", exif=exif)
    frame = StillPictures([tmp_path / "car.jpg"]).newest()
    assert (frame.size, frame.mode) == ((30, 40), "RGB")


def test_no_picture_is_no_camera(tmp_path: Path) -> None:
    with pytest.raises(NoCamera) as caught:
        StillPictures([])
    assert caught.value.reason == "absent"
    for content in (b"", b"no picture", b"\xff\xd8\xff\xe0"):
        (tmp_path / "car.jpg").write_bytes(content)
        with pytest.raises(NoCamera) as caught:
            StillPictures([tmp_path / "car.jpg"]).newest()
        assert caught.value.reason == "absent"
    with pytest.raises(NoCamera):
        StillPictures([tmp_path / "missing.jpg"]).newest()


def test_closed_pictures_give_none(picture: Callable[..., Path]) -> None:
    source = StillPictures([picture()])
    source.close()
    source.close()
    with pytest.raises(NoCamera):
        source.newest()


class Camera:
    """A film that waits before its last frame until it is let go on: a camera that is unplugged."""

    def __init__(self, film: str) -> None:
        self.film = cv2.VideoCapture(film)
        self.left = 4
        self.go_on = threading.Event()

    def read(self) -> tuple[bool, object]:
        if not self.left:
            self.go_on.wait(30)
        self.left -= 1
        return self.film.read()

    def release(self) -> None:
        self.film.release()


def test_camera_gives_its_newest_frame_and_says_when_it_goes_away(film: str) -> None:
    camera = Camera(film)
    source = DesktopCamera.over(camera)
    until_waiting(lambda: camera.left == 0)
    frame = source.newest()
    assert (frame.size, frame.mode) == ((64, 48), "RGB")
    red, green, blue = frame.getpixel((32, 24))
    assert max(red, green) < 30
    assert blue > 140  # the fourth
    camera.go_on.set()
    until_waiting(lambda: not source._thread.is_alive())
    with pytest.raises(NoCamera) as caught:
        source.newest()
    assert caught.value.reason == "absent"
    source.close()
    source.close()


def until_waiting(done: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(3000):
        if done():
            return
        pause.wait(0.01)
    pytest.fail("it takes more than 30 s")


def test_closing_lets_the_camera_go(film: str) -> None:
    camera = Camera(film)
    camera.go_on.set()
    source = DesktopCamera.over(camera)
    source.close()
    assert not source._thread.is_alive()
    assert not camera.film.isOpened()
    with pytest.raises(NoCamera):
        source.newest()


def test_camera_without_a_picture_is_absent(tmp_path: Path) -> None:
    with pytest.raises(NoCamera) as caught:
        DesktopCamera.over(cv2.VideoCapture(str(tmp_path / "missing.avi")))
    assert caught.value.reason == "absent"


@pytest.mark.skipif(os.path.exists("/dev/video0"), reason="there is a camera here")
def test_desktop_without_a_camera_says_so() -> None:
    with pytest.raises(NoCamera) as caught:
        open_camera()
    assert caught.value.reason == "absent"


def test_desktop_without_opencv_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(NoCamera, match=r"pip install 'patrouille\[reader\]'") as caught:
        DesktopCamera()
    assert caught.value.reason == "absent"


def test_android_preview_becomes_a_picture_as_opencv_would_make_it() -> None:
    size = width, height = 64, 32
    down, across = np.mgrid[0:height, 0:width]
    brightness = (40 + 2 * across + down).astype(np.uint8)
    colours = np.empty((height // 2, width), np.uint8)
    colours[:, 0::2] = 200  # red's
    colours[:, 1::2] = 90  # blue's
    frame = np.concatenate([brightness, colours])
    expected = cv2.cvtColor(frame, cv2.COLOR_YUV2RGB_NV21).astype(int)
    picture = from_nv21(frame.tobytes(), size)
    assert (picture.mode, picture.size) == ("RGB", size)
    # OpenCV takes the brightness for that of television, from 16 to 235; cameras use all of it.
    wider = from_nv21(np.concatenate([_widened(brightness), colours]).tobytes(), size)
    assert np.abs(np.asarray(wider).astype(int) - expected).mean() < 12
    red, _, blue = np.asarray(picture).astype(int).transpose(2, 0, 1)
    assert (red - blue).min() > 80


def _widened(brightness: np.ndarray) -> np.ndarray:
    return np.clip((brightness.astype(float) - 16) * 255 / 219, 0, 255).astype(np.uint8)
