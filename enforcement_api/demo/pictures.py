"""Pictures for the demo, drawn by code: the back of a car with its plate, the plate from near, and
a letter that proves an internship.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

_PAINTS = ("#7a1f24", "#1f3f7a", "#2f5d43", "#5b5f66", "#b9bcc2", "#23262b")
_ASPHALT, _LINE, _PLATE, _INK = "#4a4d52", "#e8e4c9", "#fbfcff", "#1d3f8f"


def draw(folder: Path, plate: str) -> list[Path]:
    """Two JPEG files of a car, named after its plate."""
    folder.mkdir(parents=True, exist_ok=True)
    paint = _PAINTS[sum(plate.encode()) % len(_PAINTS)]
    drawn = []
    for view, picture in (("1", _car(plate, paint)), ("2", _near(plate, paint))):
        path = folder / f"{plate.replace(' ', '')}-{view}.jpg"
        picture.save(path, "JPEG", quality=88)
        drawn.append(path)
    return drawn


def letter(lines: Sequence[str]) -> bytes:
    """A photographed letter, as a JPEG."""
    picture = Image.new("RGB", (850, 1100), "#f6f3ea")
    pen = ImageDraw.Draw(picture)
    for at, line in enumerate(lines):
        font = ImageFont.load_default(34 if at == 0 else 24)
        pen.text((90, 120 + 60 * at), line, fill="#20242a", font=font)
    jpeg = io.BytesIO()
    picture.save(jpeg, "JPEG", quality=85)
    return jpeg.getvalue()


def _car(plate: str, paint: str) -> Image.Image:
    picture = Image.new("RGB", (1280, 960), "#c8d4de")
    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, 430, 1280, 960), fill=_ASPHALT)
    for x in (120, 1130):
        pen.polygon([(x, 960), (x + 30, 960), (640 + (x - 640) // 2, 430)], fill=_LINE)
    pen.ellipse((300, 780, 420, 880), fill="#17181a")
    pen.ellipse((860, 780, 980, 880), fill="#17181a")
    pen.rounded_rectangle((340, 250, 940, 560), 90, fill=paint)
    pen.rounded_rectangle((400, 290, 880, 450), 50, fill="#2b3640")
    pen.rounded_rectangle((260, 450, 1020, 820), 60, fill=paint)
    for x in (285, 905):
        pen.rounded_rectangle((x, 500, x + 90, 570), 18, fill="#c62828")
    pen.rectangle((260, 745, 1020, 775), fill="#2a2c2f")
    _plate(pen, plate, (490, 590, 790, 720))
    return picture


def _near(plate: str, paint: str) -> Image.Image:
    picture = Image.new("RGB", (1280, 960), paint)
    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, 800, 1280, 960), fill="#2a2c2f")
    _plate(pen, plate, (170, 250, 1110, 700))
    return picture


def _plate(pen: ImageDraw.ImageDraw, plate: str, box: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = box
    height = bottom - top
    pen.rounded_rectangle(box, height // 10, fill=_PLATE, outline=_INK, width=height // 40 + 2)
    middle = (left + right) // 2
    pen.text(
        (middle, top + height * 0.42),
        plate,
        fill=_INK,
        font=ImageFont.load_default(min(height * 0.55, (right - left) / len(plate) * 1.5)),
        anchor="mm",
    )
    pen.text(
        (middle, top + height * 0.86),
        "Je me souviens",
        fill=_INK,
        font=ImageFont.load_default(height * 0.14),
        anchor="mm",
    )
