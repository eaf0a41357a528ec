"""Pictures: which are offered, which are refused, and how they look small."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from handheld_app.evidence import (
    LARGEST_PIXELS,
    PhotoRefused,
    picture_files,
    read_picture,
    thumbnail,
)

Make = Callable[..., Path]


def taken(path: Path, at: int) -> Path:
    os.utime(path, (at, at))
    return path


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pipe.jpg"
    os.mkfifo(path)
    return path


@pytest.fixture
def vast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small file of more pixels than any service takes."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    path = tmp_path / "vast.png"
    Image.new("1", (LARGEST_PIXELS // 4000 + 1, 4000)).save(path)
    assert path.stat().st_size < 1_000_000
    return path


def test_the_newest_picture_comes_first(tmp_path: Path, picture: Make) -> None:
    old = taken(picture("z.jpg"), 1_000)
    new = taken(picture("a.jpg"), 3_000)
    middle = taken(picture("m.PNG"), 2_000)
    assert picture_files(tmp_path) == ([], [new, middle, old])


def test_folders_are_listed_by_name(tmp_path: Path) -> None:
    for name in ("b", "A", "c"):
        (tmp_path / name).mkdir()
    assert [path.name for path in picture_files(tmp_path)[0]] == ["A", "b", "c"]


def test_hidden_files_and_other_kinds_are_left_out(tmp_path: Path, picture: Make) -> None:
    picture(".hidden.jpg")
    (tmp_path / ".thumbnails").mkdir()
    (tmp_path / "notes.txt").write_text("no picture")
    assert picture_files(tmp_path) == ([], [])


def test_what_cannot_be_read_hides_nothing_else(tmp_path: Path, picture: Make) -> None:
    seen = picture()
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "gone.jpg").symlink_to("nowhere.jpg")
    assert picture_files(tmp_path) == ([], [seen])
    assert picture_files(tmp_path / "nowhere") == ([], [])


def test_only_files_are_pictures(tmp_path: Path, pipe: Path) -> None:
    assert picture_files(tmp_path) == ([], [])


def test_nobody_waits_for_a_pipe(pipe: Path) -> None:
    with pytest.raises(PhotoRefused, match="unreadable"):
        read_picture(pipe)
    with pytest.raises(PhotoRefused, match="unreadable"):
        thumbnail(pipe, 160)


def test_too_many_pixels_are_refused_before_they_are_decoded(vast: Path) -> None:
    for refused in (lambda: read_picture(vast), lambda: thumbnail(vast, 160)):
        with pytest.raises(PhotoRefused, match="too_many_pixels"):
            refused()


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1"])
def test_a_picture_of_any_mode_has_a_thumbnail(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("car.jpg" if mode == "CMYK" else "car.png")
    Image.new(mode, (400, 300)).save(path)
    with Image.open(io.BytesIO(thumbnail(path, 160))) as small:
        assert (small.size, small.mode, small.format) == ((160, 120), "RGB", "PNG")


def test_a_thumbnail_stands_upright(tmp_path: Path) -> None:
    path = tmp_path / "turned.jpg"
    lying = Image.new("RGB", (400, 300), "blue")
    lying.paste("red", (0, 0, 100, 300))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it by 90° clockwise
    lying.save(path, exif=exif)
    with Image.open(io.BytesIO(thumbnail(path, 160))) as small:
        assert small.size == (120, 160)
        top, bottom = small.getpixel((60, 10)), small.getpixel((60, 150))
    assert top[0] > 200 > bottom[0]  # type: ignore[index,operator]
