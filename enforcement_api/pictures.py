"""Pictures as cameras and people make them: decoded whole, and made anew without what else their
files hold.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageOps

MEDIA_TYPES = {
    "JPEG": "image/jpeg",
    # A JPEG with a second picture behind it, as many telephones make them.
    "MPO": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
}
MOST_PIXELS = 89_000_000
"""Beyond this a small file would take a lot of memory to look at (Pillow's own limit, about)."""

_BEST = 90
_JPEGS = tuple({"format": "JPEG", "quality": quality} for quality in (_BEST, 80, 70))
_OF_JPEG = ("L", "RGB")
_OF_PNG = ("1", "L", "LA", "P", "RGB", "RGBA")
_SHADED = ("L", "LA", "RGB", "RGBA")
"""What a PNG may be made smaller in: between two colours there are others."""
_TRANSPARENCY = "transparency"
_ORIENTATION = 0x0112


class NotAPicture(ValueError):
    """No file of the kinds that are taken, or a damaged one."""


class TooManyPixels(ValueError):
    """A picture so large, once decoded, that looking at it would be dangerous.

    Its width and its height (None: beyond all measure).
    """

    def __init__(self, width: int | None = None, height: int | None = None) -> None:
        self.width, self.height = width, height
        super().__init__(width, height)


def load(content: bytes, kinds: tuple[str, ...], *, most_pixels: int = MOST_PIXELS) -> Image.Image:
    """The picture in a file of one of these kinds, by what is in it; the first, if it has several.

    The whole picture is decoded, so that a damaged one is found out while whoever sent it has it
    still. Raises NotAPicture, TooManyPixels.
    """
    try:
        picture = Image.open(io.BytesIO(content), formats=kinds)
        width, height = picture.size
        small_enough = width * height <= most_pixels
        if small_enough:
            picture.load()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooManyPixels from error
    except MemoryError:
        raise
    except Exception as error:  # Pillow raises many kinds for a file that is no picture
        raise NotAPicture from error
    if not small_enough:
        raise TooManyPixels(width, height)
    return picture


def preview(content: bytes, kinds: tuple[str, ...], *, longest_side: int) -> bytes:
    """A picture as a JPEG for a screen, upright, no side longer than this: for looking at, never as
    evidence. Raises NotAPicture, TooManyPixels.
    """
    small: Image.Image = Image.open(io.BytesIO(content), formats=kinds)
    if small.format in ("JPEG", "MPO"):
        # The decoder makes it smaller by itself, in a fraction of the time.
        small.draft("RGB", (longest_side, longest_side))
    else:
        small = load(content, kinds)
    try:
        small.thumbnail((longest_side, longest_side))
        upright = ImageOps.exif_transpose(small)
    except Exception as error:
        raise NotAPicture from error
    if upright.mode not in _OF_JPEG:
        ground = Image.new("RGB", upright.size, "white")
        with_alpha = upright.convert("RGBA")
        ground.paste(with_alpha, mask=with_alpha.getchannel("A"))
        upright = ground
    out = io.BytesIO()
    upright.save(out, "JPEG", quality=_BEST - 10)
    return out.getvalue()


def media_type(picture: Image.Image) -> str:
    """The media type of the file that a picture was loaded from."""
    return MEDIA_TYPES[picture.format or ""]


def renewed(picture: Image.Image, *, most_bytes: int) -> bytes:
    """A picture as a new file: a PNG of a PNG, else a JPEG. Nothing but what is seen of it goes in:
    no place, no time, no thumbnail, nothing behind its end. It stands as its file said it stands.

    It has `most_bytes` at most: a JPEG loses quality for that, and then both kinds lose size. The
    picture itself is used up: a copy of a large one takes much memory.
    """
    is_png = picture.format == "PNG"
    try:
        ImageOps.exif_transpose(picture, in_place=True)
    except MemoryError:
        raise
    except Exception:
        pass  # what it says of itself cannot be read: then it stands as it lies in its file
    shown = _bare(picture, _OF_PNG if is_png else _OF_JPEG)
    while True:
        for how in ({"format": "PNG"},) if is_png else _JPEGS:
            content = io.BytesIO()
            shown.save(content, **how)
            if content.tell() <= most_bytes:
                return content.getvalue()
        shown = _bare(shown, _SHADED if is_png else _OF_JPEG).reduce(2)


def _bare(picture: Image.Image, modes: Sequence[str]) -> Image.Image:
    """The picture in one of these modes, with nothing but its pixels and which are transparent."""
    told = _TRANSPARENCY in picture.info
    picture.info = {_TRANSPARENCY: picture.info[_TRANSPARENCY]} if told else {}
    if picture.mode in modes:
        return picture
    if picture.mode.startswith("I"):  # 16 bits a pixel, of which a screen shows 8
        return picture.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    has_alpha = told and "RGBA" in modes
    made = picture.convert("RGBA" if has_alpha else "L" if picture.mode == "1" else "RGB")
    made.info = {}
    return made


@dataclass(frozen=True, slots=True)
class Jpeg:
    """What is to be known of a JPEG to show it. `turn`: how it stands, as EXIF's orientation says;
    `is_original`: whether its bytes are those of the file that it was made of.
    """

    bytes: int
    width: int
    height: int
    is_grey: bool
    turn: int
    is_original: bool


def as_jpeg(content: bytes, kinds: tuple[str, ...]) -> tuple[Jpeg, bytes]:
    """The picture in a file of one of these kinds as a JPEG, and its bytes: those of the file where
    it is one, of which only the head is read, else new ones, the same each time.

    Raises NotAPicture, TooManyPixels.
    """
    try:
        picture = Image.open(io.BytesIO(content), formats=kinds)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooManyPixels from error
    except MemoryError:
        raise
    except Exception as error:  # Pillow raises many kinds for a file that is no picture
        raise NotAPicture from error
    if media_type(picture) == "image/jpeg" and picture.mode in _OF_JPEG:
        turn = _turn(picture)
        return Jpeg(len(content), *picture.size, picture.mode == "L", turn, True), content
    shown = load(content, kinds)
    turn = _turn(shown)
    if shown.mode == "P" or "A" in shown.mode:
        shown = shown.convert("RGBA")
        paper = Image.new("RGB", shown.size, "white")
        paper.paste(shown, mask=shown)
        shown = paper
    shown = _bare(shown, _OF_JPEG)
    file = io.BytesIO()
    shown.save(file, format="JPEG", quality=_BEST)
    made = file.getvalue()
    return Jpeg(len(made), *shown.size, shown.mode == "L", turn, False), made


def _turn(picture: Image.Image) -> int:
    """How a picture stands; upright, if what it says of itself cannot be read."""
    try:
        return int(picture.getexif().get(_ORIENTATION, 1))
    except MemoryError:
        raise
    except Exception:
        return 1
