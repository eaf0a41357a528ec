"""Pictures in documents: upright, whole, and never two in memory at once."""

from __future__ import annotations

import io
import tracemalloc
from datetime import UTC, datetime
from typing import Any

import pytest
from PIL import Image, ImageOps
from pypdf import PdfReader

from enforcement_api import paper, pictures
from enforcement_api.paper import Heading, Picture, document, streamed
from enforcement_api.pictures import Jpeg, as_jpeg
from enforcement_api.wording import Words
from tests.enforcement_api.infraction_log import picture, sha256

KINDS = ("JPEG", "PNG", "WEBP")
MIB = 1024 * 1024
HEADING = Heading("T", "1", ("a", "b"), "f", "t", "a", "s", datetime(2026, 1, 1, tzinfo=UTC), b"x")


def heavy(shade: int, size: int) -> bytes:
    """A photo of so many bytes."""
    small = picture(shade=shade)
    return small + b"\0" * (size - len(small))


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_picture_stands_as_its_file_says(turn: int) -> None:
    """Where each corner comes to stand on the page is where Pillow shows it."""
    raw = Image.new("L", (3, 2))
    raw.putdata(range(1, 7))
    exif = Image.Exif()
    exif[0x0112] = turn
    raw.info["exif"] = exif.tobytes()
    file = io.BytesIO()
    raw.save(file, "PNG", exif=exif)
    shown = ImageOps.exif_transpose(Image.open(file))
    a, b, c, d, e, f = paper._TURNS.get(turn, (1, 0, 0, 1, 0, 0))
    for x in range(3):
        for y in range(2):
            across, up = (x + 0.5) / 3, 1 - (y + 0.5) / 2
            to_x, to_y = a * across + c * up + e, b * across + d * up + f
            there = int(to_x * shown.width), int((1 - to_y) * shown.height)
            assert shown.getpixel(there) == raw.getpixel((x, y))


def test_a_turned_picture_takes_the_room_of_what_is_seen() -> None:
    flat = Picture("a", Jpeg(1, 4000, 3000, False, 1, True), width=400, height=400)
    turned = Picture("a", Jpeg(1, 4000, 3000, False, 6, True), width=400, height=400)
    small = Picture("a", Jpeg(1, 40, 30, False, 1, True), width=400, height=400)
    assert (flat.width, flat.height) == (400, 300)
    assert (turned.width, turned.height) == (300, 400)
    assert (small.width, small.height) == (40, 30)


def test_a_jpeg_stays_as_it_is_and_others_are_made_one_on_white() -> None:
    photo = picture()
    jpeg, content = as_jpeg(photo, KINDS)
    assert (content, jpeg.is_original, jpeg.bytes) == (photo, True, len(photo))
    clear = io.BytesIO()
    Image.new("RGBA", (20, 10), (0, 0, 0, 0)).save(clear, "PNG")
    jpeg, content = as_jpeg(clear.getvalue(), KINDS)
    assert not jpeg.is_original
    with Image.open(io.BytesIO(content)) as made:
        assert made.getpixel((5, 5)) == (255, 255, 255)
    assert as_jpeg(clear.getvalue(), KINDS)[1] == content
    with pytest.raises(pictures.NotAPicture):
        as_jpeg(b"no picture", KINDS)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "I;16", "CMYK"])
def test_every_kind_of_picture_becomes_one_that_a_pdf_can_hold(mode: str) -> None:
    file = io.BytesIO()
    kind = {"CMYK": "JPEG", "PA": "WEBP"}.get(mode, "PNG")
    made = Image.new("RGBA" if mode == "PA" else mode, (8, 8))
    made.save(file, kind)
    jpeg, content = as_jpeg(file.getvalue(), KINDS)
    with Image.open(io.BytesIO(content)) as shown:
        assert shown.mode == ("L" if jpeg.is_grey else "RGB")


def test_a_document_is_streamed_and_holds_one_picture_at_a_time() -> None:
    size, count = 4 * MIB, 12
    photos = {sha256(content): i for i in range(count) if (content := heavy(20 * i, size))}
    assert len(photos) == count
    words = Words("en", "America/Toronto")

    def content(name: str) -> bytes:
        return heavy(20 * photos[name], size)

    tracemalloc.start()
    jpegs = {name: as_jpeg(content(name), KINDS)[0] for name in photos}
    skeleton = document(
        words,
        HEADING,
        lambda: [Picture(name, jpeg, width=300, height=300) for name, jpeg in jpegs.items()],
    )
    total, pieces = streamed(skeleton, dict.fromkeys(photos, size), content)
    sent = sum(len(piece) for piece in pieces)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sent == total > count * size
    assert peak < 3 * size


def test_every_object_is_where_the_table_says() -> None:
    photos = [picture(shade=10), picture(shade=210)]
    by_name = {sha256(photo): photo for photo in photos}
    jpegs = {name: as_jpeg(photo, KINDS)[0] for name, photo in by_name.items()}
    skeleton = document(
        Words("fr", "America/Toronto"),
        HEADING,
        lambda: [Picture(name, jpeg, width=90, height=90) for name, jpeg in jpegs.items()] * 2,
    )
    sizes = {name: len(photo) for name, photo in by_name.items()}
    total, pieces = streamed(skeleton, sizes, by_name.__getitem__)
    content = b"".join(pieces)
    assert len(content) == total
    reader = PdfReader(io.BytesIO(content), strict=True)
    table = content[int(content.split(b"startxref")[1].split()[0]) :].split(b"trailer")[0]
    places = [int(line.split()[0]) for line in table.splitlines() if line.endswith(b" n ")]
    assert [content[at:].split(None, 3)[1:3] for at in places] == [[b"0", b"obj"]] * len(places)
    resources: Any = reader.pages[0]["/Resources"]
    held = {placed.get_object()._data for placed in resources["/XObject"].values()}
    assert held == set(photos)


def test_a_document_without_pictures_is_as_it_was() -> None:
    plain = document(Words("fr", "America/Toronto"), HEADING, lambda: [])
    total, pieces = streamed(plain, {}, lambda name: b"")
    assert b"".join(pieces) == plain
    assert total == len(plain)
