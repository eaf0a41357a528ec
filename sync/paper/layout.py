"""A sheet as a picture of black and white dots: what the printer gets, and the preview on screen.

Drawn in Roboto, which comes with Kivy on every platform, so that the paper is the same whichever
device and printer made it; a service without Kivy shows it in other letters. What Roboto has no
letters for is drawn in Kivy's DejaVu Sans. Each block becomes a strip as wide as the paper; the
strips are pasted below one another.
"""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from itertools import groupby
from math import ceil
from pathlib import Path
from typing import Literal

import segno
from PIL import Image, ImageChops, ImageDraw, ImageFont, features

from sync.paper.notice import Block, Frame, Line, Pair, Priced, QrCode, Rule, Sheet, Size

Width = Literal[384, 576]
"""Dots across, at 8 a millimetre: paper of 58 mm takes 384, of 80 mm 576."""

WIDTHS: tuple[Width, ...] = (384, 576)

SMALLEST_MODULE = 4
"""Dots of the side of one square of a QR code: half a millimetre, which any phone scans."""

LARGEST_MODULE = 6

QUIET_ZONE = 4
"""Squares that stay white around a QR code, as its standard wants."""

_DOTS: dict[Width, dict[Size, int]] = {
    384: {"title": 34, "large": 31, "text": 23, "small": 19},
    576: {"title": 46, "large": 38, "text": 26, "small": 21},
}
_MARGIN = 8
_GAP = 12
_ENDS = 16
"""White above and below everything."""
_MOST_LABEL = 0.36
"""The part of the width that the labels' column takes at most."""
_LEAST_WORDS = 0.4
"""The part of the width under which words go below what they would stand beside."""

_FONTS = ("Roboto-Regular.ttf", "Roboto-Bold.ttf", "DejaVuSans.ttf")
_WHITE, _BLACK = 255, 0
_RUN = re.compile(rb"\x00+")
_BREAKS = re.compile(r"(?<=[/?&=@_-])")
_POSTAL_CODE = re.compile(r"\b([A-Z]\d[A-Z]) (\d[A-Z]\d)\b")
_NO_LETTER = "\uffff"
_SPACES = {"\u202f": "\u00a0", "\u2007": "\u00a0", "\t": " "}


def draw(sheet: Sheet, width: Width) -> Image.Image:
    """The sheet as a picture of mode "1": `width` dots wide, as high as it needs; nothing cut."""
    label = _label_column(sheet, width)
    strips = [_strip(block, width, label) for block in sheet.blocks]
    paper = Image.new("1", (width, 2 * _ENDS + sum(strip.height for strip in strips)), _WHITE)
    top = _ENDS
    for strip in strips:
        paper.paste(strip, (0, top))
        top += strip.height
    return paper


def as_png(picture: Image.Image) -> bytes:
    """The picture as a PNG file, for the screen: dot for dot what is printed."""
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def as_svg_path(picture: Image.Image) -> str:
    """The dots as the `d` of an SVG path, each run of black an area one dot high: for a page that
    may show no picture of its own making.
    """
    width, height = picture.size
    rows = picture.convert("L").tobytes()
    drawn: list[str] = []
    x = y = 0
    for row in range(height):
        for run in _RUN.finditer(rows, row * width, (row + 1) * width):
            left, long = run.start() - row * width, run.end() - run.start()
            drawn.append(f"m{left - x} {row - y}h{long}v1h-{long}z")
            x, y = left, row  # where `z` goes back to
    return "M0 0" + "".join(drawn)


def _strip(block: Block, width: Width, label: int) -> Image.Image:
    dots = _DOTS[width]
    match block:
        case Line():
            return _line(block, width, dots[block.size])
        case Pair():
            return _pair(block, width, dots[block.size], label)
        case Priced():
            return _priced(block, width, dots[block.size])
        case QrCode():
            return _code(block, width, dots)
        case Rule():
            return _rule(block, width)


def _rule(block: Rule, width: int) -> Image.Image:
    tops = (14, 19) if block.double else (10,) if block.inked else ()
    strip = _blank(width, 12 + sum(tops))
    for top in tops:
        box = (_MARGIN, top, width - _MARGIN - 1, top + 1)
        ImageDraw.Draw(strip).rectangle(box, fill=_BLACK)
    return strip


def _line(block: Line, width: int, dots: int) -> Image.Image:
    inside = width - 2 * _MARGIN - (2 * _GAP if block.frame != "none" else 0)
    words = _words(block.words, inside, dots, bold=block.bold, centred=block.centred)
    if block.frame == "none":
        return _pad(words, width, _MARGIN)
    return _framed(words, width, block.frame)


def _framed(words: Image.Image, width: int, frame: Frame) -> Image.Image:
    """The words in a frame, or white on a black bar, with room below."""
    box = _blank(width - 2 * _MARGIN, words.height + 2 * _GAP)
    box.paste(words, ((box.width - words.width) // 2, _GAP))
    if frame == "bar":
        box = ImageChops.invert(box)
    else:
        ImageDraw.Draw(box).rectangle(
            (0, 0, box.width - 1, box.height - 1), outline=_BLACK, width=3
        )
    strip = _blank(width, box.height + _GAP)
    strip.paste(box, (_MARGIN, 0))
    return strip


def _label_column(sheet: Sheet, width: Width) -> int:
    """How wide the labels' column is: what the widest one takes that is not too wide for it."""
    dots = _DOTS[width]
    widths = [
        ceil(_length(block.label, dots[_label_size(block)], bold=False))
        for block in sheet.blocks
        if isinstance(block, Pair)
    ]
    return max((each for each in widths if each <= width * _MOST_LABEL), default=0)


def _label_size(block: Pair) -> Size:
    return "small" if block.size == "small" else "text"


def _pair(block: Pair, width: Width, dots: int, column: int) -> Image.Image:
    label_dots = _DOTS[width][_label_size(block)]
    if _length(block.label, label_dots, bold=False) > column:
        both = f"{block.label}\N{NO-BREAK SPACE}: {block.words}"
        return _pad(_words(both, width - 2 * _MARGIN, dots, bold=block.bold), width, _MARGIN)
    label = _words(block.label, column, label_dots)
    left = _MARGIN + column + _GAP
    words = _words(block.words, width - _MARGIN - left, dots, bold=block.bold)
    # Both stand on one baseline, however large the words are.
    lower = max(0, _rises(dots, bold=block.bold) - _rises(label_dots, bold=False))
    strip = _blank(width, max(words.height, label.height + lower) + dots // 6)
    strip.paste(words, (left, 0))
    strip.paste(label, (_MARGIN, lower))
    return strip


def _priced(block: Priced, width: int, dots: int) -> Image.Image:
    inside = width - 2 * _MARGIN
    amount = ceil(_length(block.amount, dots, bold=block.bold))
    beside = inside - amount - _GAP
    if beside < inside * _LEAST_WORDS:
        beside = inside
    words = _words(block.words, beside, dots, bold=block.bold)
    price = _words(block.amount, min(amount, inside), dots, bold=block.bold)
    top = words.height if beside == inside else words.height - price.height
    strip = _blank(width, max(words.height, top + price.height))
    strip.paste(words, (_MARGIN, 0))
    strip.paste(price, (width - _MARGIN - price.width, max(0, top)))
    return strip


def _code(block: QrCode, width: int, dots: dict[Size, int]) -> Image.Image:
    """The QR code with its words: beside it where there is room, else below."""
    code = qr_code(block.payload, width) or qr_code(block.number, width)
    beside = width - 2 * _MARGIN - (code.width if code else 0)
    is_beside = code is not None and beside >= width * _LEAST_WORDS
    room = beside if is_beside else width - 2 * _MARGIN
    texts = [_words(block.caption, room, dots["text"], bold=True, centred=not is_beside)]
    if block.address:
        texts.append(_words(block.address, room, dots["small"], centred=not is_beside))
    height = sum(text.height for text in texts)
    if code is None:
        strip, left, top = _blank(width, height), _MARGIN, 0
    elif is_beside:
        strip = _blank(width, max(code.height, height))
        strip.paste(code, (0, (strip.height - code.height) // 2))
        left, top = _MARGIN + code.width, (strip.height - height) // 2
    else:
        strip = _blank(width, code.height + height)
        strip.paste(code, ((width - code.width) // 2, 0))
        left, top = _MARGIN, code.height
    for text in texts:
        strip.paste(text, (left, top))
        top += text.height
    return strip


def qr_code(payload: str, width: int) -> Image.Image | None:
    """A QR code with its quiet zone, as large as is handy; None if it does not fit the paper."""
    for correction in ("m", "l"):
        try:
            code = segno.make_qr(payload, error=correction, boost_error=False)
        except ValueError:  # more than any code holds, or nothing
            continue
        rows = [bytes(row) for row in code.matrix]
        side = len(rows) + 2 * QUIET_ZONE
        module = min(LARGEST_MODULE, width // side)
        if module >= SMALLEST_MODULE:
            break
    else:
        return None
    squares = Image.new("1", (side, side), _WHITE)
    dark = Image.frombytes("L", (len(rows), len(rows)), b"".join(rows))
    squares.paste(
        dark.point(lambda square: _BLACK if square else _WHITE, "1"), (QUIET_ZONE, QUIET_ZONE)
    )
    return squares.resize((side * module, side * module), Image.Resampling.NEAREST)


# Words


def _words(
    words: str, width: int, dots: int, *, bold: bool = False, centred: bool = False
) -> Image.Image:
    """Words as a strip of this width, wrapped."""
    lines = [_line_of(line, dots, bold) for line in wrap(_plain(words), width, dots, bold)]
    widest = max(line.width for line in lines)
    strip = _blank(max(width, widest), sum(line.height for line in lines))
    top = 0
    for line in lines:
        left = max(0, (width - line.width) // 2) if centred else 0
        strip.paste(line, (left, top))
        top += line.height
    return strip


def _line_of(words: str, dots: int, bold: bool) -> Image.Image:
    """One line, as wide as its words, as high as its letters: those with most above them too."""
    runs = [(text, _font(font, dots)) for font, text in _runs(words, bold)]
    rises, falls, left, length = _rises(dots, bold=bold), dots // 4, 0.0, 0.0
    for text, font in runs:
        box = font.getbbox(text, mode="1", anchor="ls")
        rises, falls = max(rises, -int(box[1])), max(falls, int(box[3]))
        if not length:
            length = max(0.0, -box[0])  # a letter that reaches out to the left
            left = length
        length += font.getlength(text, mode="1")
    strip = _blank(ceil(length) + 1, rises + falls)
    pen = ImageDraw.Draw(strip)
    for text, font in runs:
        pen.text((round(left), rises), text, fill=_BLACK, font=font, anchor="ls")
        left += font.getlength(text, mode="1")
    return strip


def wrap(words: str, width: int, dots: int, bold: bool) -> Iterator[str]:
    """Lines no longer than the width: broken at spaces, a word that is too long where it may be."""
    space = _length(" ", dots, bold=bold)
    for paragraph in words.split("\n"):
        line, length = "", 0.0
        for word in paragraph.split(" "):
            added = _length(word, dots, bold=bold)
            if not line or length + space + added <= width:
                line, length = (f"{line} {word}", length + space + added) if line else (word, added)
            else:
                yield line
                line, length = word, added
            if length > width:
                *whole, line = _broken(line, width, dots, bold)
                yield from whole
                length = _length(line, dots, bold=bold)
        yield line


def _broken(word: str, width: int, dots: int, bold: bool) -> list[str]:
    """A word in parts that fit: an address after its slashes, anything else anywhere."""
    parts = [""]
    for part in _BREAKS.split(word):
        if _length(parts[-1] + part, dots, bold=bold) <= width:
            parts[-1] += part
            continue
        if _length(part, dots, bold=bold) <= width:
            parts.append(part)
            continue
        for letter in part:
            if parts[-1] and _length(parts[-1] + letter, dots, bold=bold) > width:
                parts.append("")
            parts[-1] += letter
    return [part for part in parts if part] or [""]


@lru_cache(maxsize=4096)
def _length(words: str, dots: int, *, bold: bool) -> float:
    """Dots that words on one line take."""
    return sum(_font(font, dots).getlength(text, mode="1") for font, text in _runs(words, bold))


def _runs(words: str, bold: bool) -> list[tuple[str, str]]:
    """Pairs (font file, text): what Roboto has letters for, and what it has not."""
    ours, others = _FONTS[bool(bold)], _FONTS[2]
    if words.isascii():
        return [(ours, words)]
    return [
        (font, "".join(letters))
        for font, letters in groupby(words, key=lambda letter: ours if _is_ours(letter) else others)
    ]


def _plain(words: str) -> str:
    """Only what takes part in printing: no controls, no marks without a shape of their own."""
    kept = (
        _SPACES.get(letter, letter)
        for letter in unicodedata.normalize("NFC", words).replace("\r\n", "\n")
        if letter in "\n\t" or unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Co", "Cn")
    )
    plain = "".join("" if 0xFE00 <= ord(letter) <= 0xFE0F else letter for letter in kept)
    return _POSTAL_CODE.sub("\\1\N{NO-BREAK SPACE}\\2", plain)


@lru_cache(maxsize=4096)
def _is_ours(letter: str) -> bool:
    """Whether Roboto has the letter: what it has not it draws like any other that it has not."""
    font = _font(_FONTS[0], 23)
    return bytes(font.getmask(letter)) != bytes(font.getmask(_NO_LETTER))


@lru_cache
def _rises(dots: int, *, bold: bool) -> int:
    """How far a line's letters rise above its baseline."""
    return _font(_FONTS[bool(bold)], dots).getmetrics()[0]


@lru_cache
def _font(name: str, dots: int) -> ImageFont.FreeTypeFont:
    # Letters that join, and run from the right, need more than one being set beside the other.
    joins = name == _FONTS[2] and features.check_feature("raqm")
    engine = ImageFont.Layout.RAQM if joins else ImageFont.Layout.BASIC
    return ImageFont.truetype(str(_font_files()[name]), dots, layout_engine=engine)


@lru_cache
def _font_files() -> dict[str, Path]:
    """Where the letters lie: Kivy's, found without starting Kivy; where there is no Kivy, those
    that come with reportlab.
    """
    kivy = _package("kivy")
    if kivy is not None:
        return {name: kivy / "data" / "fonts" / name for name in _FONTS}
    others = _package("reportlab")
    if others is None:
        raise RuntimeError("the notices' letters come with Kivy, which is not installed")
    instead = ("Vera.ttf", "VeraBd.ttf", "Vera.ttf")
    return {name: others / "fonts" / other for name, other in zip(_FONTS, instead, strict=True)}


def has_the_handhelds_letters() -> bool:
    """Whether what is drawn here is dot for dot what a handheld prints."""
    return _package("kivy") is not None


def _package(name: str) -> Path | None:
    found = find_spec(name)
    if found is None or not found.submodule_search_locations:
        return None
    return Path(found.submodule_search_locations[0])


def _blank(width: int, height: int) -> Image.Image:
    return Image.new("1", (width, height), _WHITE)


def _pad(strip: Image.Image, width: int, left: int) -> Image.Image:
    padded = _blank(width, strip.height)
    padded.paste(strip, (left, 0))
    return padded
