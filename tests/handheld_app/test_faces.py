"""Faces are found by what the device has for that; without it, nobody looked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFilter

from handheld_app.evidence import PhotoRefused, encode
from handheld_app.faces import count_faces
from handheld_app.handheld import Handheld
from sync.exchange import Briefed
from tests.handheld_app.conftest import NOW, World, fill


def drawing(faces: int, side: int = 300) -> Image.Image:
    """A grey wall with so many drawn faces side by side."""
    picture = Image.new("L", (2 * side * max(1, faces), 2 * side), 110)
    pen = ImageDraw.Draw(picture)
    for n in range(faces):
        x, y, w, h = side * (2 * n + 1), side, side * 0.36, side * 0.48

        def oval(
            left: float, top: float, right: float, bottom: float, shade: int,
            x: int = x, y: int = y, w: float = w, h: float = h,
        ) -> None:  # fmt: skip
            pen.ellipse((x + left * w, y + top * h, x + right * w, y + bottom * h), fill=shade)

        oval(-1.15, -1.25, 1.15, 0.8, 40)  # hair
        oval(-1, -1, 1, 1, 205)
        pen.rectangle((x - w * 0.72, y - h * 0.33, x + w * 0.72, y - h * 0.03), fill=120)
        for eye in (-0.42, 0.42):
            oval(eye - 0.24, -0.22, eye + 0.24, -0.02, 70)
            oval(eye - 0.1, -0.2, eye + 0.1, -0.04, 15)
        pen.line((x - w * 0.2, y + h * 0.22, x + w * 0.2, y + h * 0.22), fill=110, width=7)
        oval(-0.4, 0.42, 0.4, 0.6, 95)
    return picture.filter(ImageFilter.GaussianBlur(side / 50))


@pytest.mark.parametrize("faces", [0, 1, 2])
def test_faces_are_counted(faces: int) -> None:
    assert count_faces(encode(drawing(faces))) == faces


def test_what_is_no_picture_shows_no_known_number_of_faces() -> None:
    assert count_faces(b"nothing") is None


@pytest.fixture
def looked(handheld: Handheld, world: World) -> list[bytes]:
    """The pictures in which faces were looked for; one was found in each."""
    fill(handheld, world)
    pictures: list[bytes] = []

    def count(picture: bytes) -> int:
        pictures.append(picture)
        return 1

    handheld.patrol._count_faces = count
    return pictures


def test_faces_are_looked_for_when_a_photo_is_kept_in_the_bytes_that_are_kept(
    handheld: Handheld, looked: list[bytes], picture: Callable[..., Path]
) -> None:
    patrol = handheld.patrol
    chosen = patrol.take_photo(picture(), "sign")
    taken = patrol.keep_frame(drawing(0), NOW, "plate")
    assert [photo.path.read_bytes() for photo in (chosen, taken)] == looked
    assert [(photo.faces, photo.shows) for photo in (chosen, taken)] == [(1, "sign"), (1, "plate")]


def test_nobody_looks_where_the_site_does_not_ask(
    handheld: Handheld, looked: list[bytes], picture: Callable[..., Path]
) -> None:
    device = handheld.device_file.device
    told = Briefed({"settings": {"ask_about_faces": False}}, '"1"')
    handheld.briefings.keep(device.server, device.site, told, at=NOW)
    patrol = handheld.patrol
    draft = patrol.draft(patrol.check("QQQ111", "CA-QC"))
    draft.expect_photo()
    draft.keep_photo(patrol.take_photo(picture()))
    assert (looked, draft.photos[0].faces) == ([], None)
    assert "faces" not in patrol.lacks(draft)


def test_a_face_is_asked_about_until_it_is_needed_and_again_for_another_one(
    handheld: Handheld, looked: list[bytes], picture: Callable[..., Path]
) -> None:
    patrol = handheld.patrol
    draft = patrol.draft(patrol.check("QQQ111", "CA-QC"))
    draft.expect_photo()
    draft.keep_photo(patrol.take_photo(picture("one.jpg")))
    assert patrol.lacks(draft) == ["faces"]
    draft.faces_accepted = True
    assert patrol.lacks(draft) == []
    draft.expect_photo()
    draft.keep_photo(patrol.take_photo(picture("two.jpg", (320, 240))))
    assert patrol.lacks(draft) == ["faces"]


# What the camera saw


def test_what_the_camera_saw_is_encoded_once_and_is_the_original(handheld: Handheld) -> None:
    at = datetime(2026, 11, 23, 20, 4, 59, tzinfo=UTC)
    photo = handheld.patrol.keep_frame(drawing(0), at)
    with Image.open(photo.path) as kept:
        assert (kept.format, kept.size) == ("JPEG", (600, 600))
    assert photo.taken_at == at
    assert photo.path.read_bytes() == encode(drawing(0))


def test_a_picture_that_no_jpeg_can_be_is_refused() -> None:
    with pytest.raises(PhotoRefused, match="not_a_picture"):
        encode(Image.new("RGB", (70_000, 1)))


def test_the_next_photo_shows_what_none_shows_yet(
    handheld: Handheld, world: World, picture: Callable[..., Path]
) -> None:
    fill(handheld, world)
    patrol = handheld.patrol
    draft = patrol.draft(patrol.check("QQQ111", "CA-QC"))
    asked = []
    for n in range(4):
        asked.append(draft.next_shows())
        draft.expect_photo(asked[-1])
        if n:  # the first is still on its way
            draft.keep_photo(patrol.take_photo(picture(f"{n}.jpg", (64 + n, 64)), asked[-1]))
    assert asked == ["plate", "context", "sign", "other"]
    assert (draft.photos_pending, patrol.lacks(draft)) == (1, ["photo_pending"])
    draft.miss_photo("no_room", "plate")
    assert (draft.photos_pending, draft.next_shows()) == (0, "plate")
    draft.remove_photo(draft.photos[1])
    draft.label_photo(draft.photos[0], "plate")
    assert draft.next_shows() == "context"
