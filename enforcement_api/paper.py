"""Documents as PDFs on Letter paper: what is typed is text, whatever is in it, and the same facts
are the same bytes, in any process at any time, as long as the libraries are the same.

A document with pictures is a stream: each picture's own file lies in it byte for byte, and is read
when its turn comes.
"""

from __future__ import annotations

import hashlib
import io
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import reportlab
from anyascii import anyascii
from reportlab.lib.colors import Color, HexColor
from reportlab.lib.pagesizes import letter
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.pdfdoc import PDFObject
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    CondPageBreak,
    Flowable,
    Frame,
    NextPageTemplate,
    PageTemplate,
    Paragraph,
    Spacer,
    Table,
)

from enforcement_api.pictures import Jpeg
from enforcement_api.problems import N_
from enforcement_api.wording import Words, line, lines

MEDIA_TYPE = "application/pdf"

NAVY, INK, MUTED = HexColor("#0C2D57"), HexColor("#111820"), HexColor("#3D4854")
RULE, STRIPE, WHITE = HexColor("#D6DDEB"), HexColor("#F4F6FA"), HexColor("#FFFFFF")
AMBER, AMBER_SOFT = HexColor("#FFB300"), HexColor("#FFF4D6")

_WIDTH, _HEIGHT = letter
_MARGIN, _BAND, _LATER_BAND, _FOOT = 18 * mm, 32 * mm, 12 * mm, 18 * mm
INNER = _WIDTH - 2 * _MARGIN
"""How wide the text is, in points."""
TALLEST = _HEIGHT - _BAND - _FOOT
"""How high what stays in one piece may be: it fits on the first page too."""

# Bitstream Vera comes with reportlab, which embeds what is used of it.
_FONTS = {"Patrouille": "Vera.ttf", "Patrouille-Bold": "VeraBd.ttf"}
_REGULAR, _BOLD = _FONTS
_fonts = [
    TTFont(name, str(Path(reportlab.__file__).parent / "fonts" / file))
    for name, file in _FONTS.items()
]
for _font in _fonts:
    pdfmetrics.registerFont(_font)
_LETTERS: frozenset[int] = frozenset.intersection(
    *(frozenset(font.face.charToGlyph) for font in _fonts)
)
"""The characters that all of them have."""

_alone = threading.Lock()
"""reportlab does not promise that threads may share its fonts."""


def style(name: str, size: float, colour: Color = INK, *, bold: bool = False) -> ParagraphStyle:
    """A size and a colour of text."""
    return ParagraphStyle(
        name,
        fontName=_BOLD if bold else _REGULAR,
        fontSize=size,
        leading=size * 1.35,
        textColor=colour,
        splitLongWords=1,
    )


TEXT = style("text", 9)
NAME = style("name", 9, MUTED)
HEAD = style("head", 8, MUTED, bold=True)
PLATE = style("plate", 10, INK, bold=True)
SMALL = style("small", 8, MUTED)
_NOTICE = style("notice", 9, INK, bold=True)
_SECTION = style("section", 12, NAVY, bold=True)


def printable(text: object) -> str:
    """A text on one line, in letters that the font has; others are written in Latin ones."""
    return "".join(
        letter if ord(letter) in _LETTERS else anyascii(letter).replace("\0", "")
        for letter in line(text).replace("\u202f", "\u00a0")
    )


def markup(text: object) -> str:
    """A text that is only text, in what a paragraph takes for markup."""
    return escape(printable(text))


def joined(between: str, *parts: object) -> str:
    """Those of the parts that there are."""
    return between.join(str(part) for part in parts if part)


# Documents


@dataclass(frozen=True, slots=True)
class Heading:
    """What stands around a document's text, and what its file says of it.

    `at` is the date of the file, and `facts` are what its id is made of: else both would be of the
    day and the environment.
    """

    title: str
    number: str
    beneath: tuple[str, str]
    foot: str
    file_title: str
    author: str
    subject: str
    at: datetime
    facts: bytes


def document(words: Words, heading: Heading, story: Callable[[], Iterable[Flowable]]) -> bytes:
    """The PDF of a text. It is laid out twice: the foot of each page says how many there are."""
    with _alone:
        pages = _laid_out(words, heading, story(), pages=None)[1]
        return _laid_out(words, heading, story(), pages=pages)[0]


def _laid_out(
    words: Words, heading: Heading, story: Iterable[Flowable], *, pages: int | None
) -> tuple[bytes, int]:
    """The file, and how many pages it has; `pages` is what its foot says of that."""
    file = io.BytesIO()
    document = BaseDocTemplate(
        file,
        pagesize=letter,
        title=printable(heading.file_title),
        author=printable(heading.author),
        subject=printable(heading.subject),
        creator="Patrouille",
        lang=f"{words.language}-CA",
        displayDocTitle=1,
        invariant=1,
        pageCompression=1,
        initialFontName=_REGULAR,
    )

    def first(canvas: Canvas, _: BaseDocTemplate) -> None:
        # Else the file was made in 2000, or whenever the environment says.
        canvas.setDateFormatter(lambda *_: f"D:{heading.at:%Y%m%d%H%M%S}+00'00'")
        # Else its id would be of $SOURCE_DATE_EPOCH as well.
        canvas._doc.signature = hashlib.sha256(heading.facts)  # type: ignore[attr-defined]
        _first_head(canvas, heading)
        _foot(canvas, words, heading, pages)

    def later(canvas: Canvas, _: BaseDocTemplate) -> None:
        _later_head(canvas)
        _foot(canvas, words, heading, pages)

    document.addPageTemplates(
        [
            PageTemplate("first", [_frame(_BAND)], onPage=first),
            PageTemplate("later", [_frame(_LATER_BAND)], onPage=later),
        ]
    )
    document.build([NextPageTemplate("later"), *story])
    return file.getvalue(), document.page


def _first_head(canvas: Canvas, heading: Heading) -> None:
    canvas.saveState()
    canvas.setFillColor(NAVY)
    canvas.rect(0, _HEIGHT - _BAND, _WIDTH, _BAND, stroke=0, fill=1)
    canvas.setFillColor(WHITE)
    top = _HEIGHT - 13 * mm
    _fit(canvas, _MARGIN, top, printable(heading.title), 18, _BOLD, 115 * mm)
    number, size = printable(heading.number), 14.0
    room = INNER - 118 * mm
    if canvas.stringWidth(number, _BOLD, size) > room:
        _fit(canvas, _WIDTH - _MARGIN - room, top, number, size, _BOLD, room)
    else:
        canvas.setFont(_BOLD, size)
        canvas.drawRightString(_WIDTH - _MARGIN, top, number)
    above, below = heading.beneath
    _fit(canvas, _MARGIN, top - 8 * mm, printable(above), 10, _REGULAR, INNER)
    if below:
        _fit(canvas, _MARGIN, top - 13 * mm, printable(below), 8, _REGULAR, INNER)
    canvas.restoreState()


def _later_head(canvas: Canvas) -> None:
    canvas.saveState()
    canvas.setFillColor(NAVY)
    canvas.rect(0, _HEIGHT - 3 * mm, _WIDTH, 3 * mm, stroke=0, fill=1)
    canvas.restoreState()


def _foot(canvas: Canvas, words: Words, heading: Heading, pages: int | None) -> None:
    canvas.saveState()
    canvas.setStrokeColor(RULE)
    canvas.line(_MARGIN, 14 * mm, _WIDTH - _MARGIN, 14 * mm)
    canvas.setFillColor(MUTED)
    _fit(canvas, _MARGIN, 9.5 * mm, printable(heading.foot), 7.5, _REGULAR, INNER - 30 * mm)
    canvas.setFont(_REGULAR, 7.5)
    page = words.say(N_("Page {page} of {pages}"), page=canvas.getPageNumber(), pages=pages)
    canvas.drawRightString(_WIDTH - _MARGIN, 9.5 * mm, page)
    canvas.restoreState()


def _frame(head: float) -> Frame:
    return Frame(
        _MARGIN,
        _FOOT,
        INNER,
        _HEIGHT - head - _FOOT,
        leftPadding=0,
        rightPadding=0,
        topPadding=0,
        bottomPadding=0,
    )


def _fit(
    canvas: Canvas, x: float, y: float, text: str, size: float, font: str, width: float
) -> None:
    """One line, smaller where it is too long, and cut where it would be too small to read."""
    smallest = size * 0.6
    size = max(smallest, min(size, size * width / max(1, canvas.stringWidth(text, font, size))))
    while text and canvas.stringWidth(text, font, size) > width:
        text = text[:-2] + "…"
    canvas.setFont(font, size)
    canvas.drawString(x, y, text)


# Parts of a text


def section(words: Words, title: str, *, room: float | None = None) -> Iterator[Flowable]:
    """A heading, which stays with what follows it: all of that, where it fits on a page, or what of
    it has `room` points.
    """
    if room is not None:
        yield CondPageBreak(room)
    yield Spacer(1, 5 * mm)
    heading = Paragraph(markup(words.say(title)), _SECTION)
    gap = Spacer(1, 1.5 * mm)
    heading.keepWithNext = gap.keepWithNext = room is None
    yield heading
    yield gap


def rows(rows: Sequence[tuple[str, Sequence[str]]]) -> Table:
    """Names and values, a line for each part of a value."""
    cells = [
        [
            Paragraph(markup(name), NAME),
            Paragraph("<br/>".join(markup(value) for value in values if value), TEXT),
        ]
        for name, values in rows
    ]
    return table(cells, [46 * mm, INNER - 46 * mm])


def notice(text: str) -> Table:
    """What nobody should overlook."""
    cell = Paragraph("<br/>".join(markup(part) for part in lines(text)), _NOTICE)
    return Table(
        [[cell]],
        colWidths=[INNER],
        splitInRow=1,
        style=[
            ("FONTNAME", (0, 0), (-1, -1), _REGULAR),
            ("BACKGROUND", (0, 0), (-1, -1), AMBER_SOFT),
            ("LINEBEFORE", (0, 0), (0, -1), 4, AMBER, "butt"),
            ("LEFTPADDING", (0, 0), (-1, -1), 12),
            ("TOPPADDING", (0, 0), (-1, -1), 6),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 8),
        ],
    )


def table(
    cells: Sequence[list[Paragraph]], widths: Sequence[float], *, has_head: bool = False
) -> Table:
    """Cells in columns of these widths; a head is repeated on each page."""
    style: list[Any] = [
        ("FONTNAME", (0, 0), (-1, -1), _REGULAR),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LINEBELOW", (0, 0), (-1, -1), 0.5, RULE),
        ("LEFTPADDING", (0, 0), (-1, -1), 4),
        ("RIGHTPADDING", (0, 0), (-1, -1), 6),
        ("TOPPADDING", (0, 0), (-1, -1), 3),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 4),
    ]
    if has_head:
        style.append(("BACKGROUND", (0, 0), (-1, 0), STRIPE))
    return _Rows(cells, colWidths=widths, repeatRows=int(has_head), splitInRow=1, style=style)


class _Rows(Table):
    """A table that breaks within a row only where no page has room for that row."""

    def split(self, availWidth: float, availHeight: float) -> list[Flowable]:
        laid_out: Any = self
        laid_out._calc(availWidth, availHeight)
        first = sum(laid_out._rowHeights[: laid_out.repeatRows + 1])
        self.splitInRow = int(first > TALLEST)
        return super().split(availWidth, availHeight)


# Pictures

_TURNS: Mapping[int, tuple[int, int, int, int, int, int]] = {
    2: (-1, 0, 0, 1, 1, 0),
    3: (-1, 0, 0, -1, 1, 1),
    4: (1, 0, 0, -1, 0, 1),
    5: (0, -1, -1, 0, 1, 1),
    6: (0, -1, 1, 0, 0, 1),
    7: (0, 1, 1, 0, 0, 0),
    8: (0, 1, -1, 0, 1, 0),
}
"""How the unit square is turned so that a picture stands as its file says (EXIF's orientation)."""
_PLACE = re.compile(b"\0picture ([0-9a-f]{64})\0")
_XREF_LINE = re.compile(rb"(\d{10}) (\d{5}) n ")
_STARTXREF = re.compile(rb"startxref\s+(\d+)\s+%%EOF\s*\Z")


class Picture(Flowable):
    """A JPEG, whole and upright, as large as fits. `name`: a SHA-256. A mark stands in the place of
    its bytes until `streamed` puts them there.
    """

    def __init__(self, name: str, jpeg: Jpeg, *, width: float, height: float) -> None:
        super().__init__()
        self._name, self._jpeg = name, jpeg
        wide, high = (jpeg.height, jpeg.width) if jpeg.turn >= 5 else (jpeg.width, jpeg.height)
        scale = min(width / wide, height / high, 1)
        self.width, self.height = wide * scale, high * scale

    def wrap(self, *_: float) -> tuple[float, float]:
        """How much room it takes."""
        return self.width, self.height

    def draw(self) -> None:
        """Put its place on the page."""
        canvas: Any = self.canv
        known = canvas._doc.getXObjectName(self._name)
        if known not in canvas._doc.idToObject:
            placed = _Placed(self._name, self._jpeg)
            canvas._setXObjects(placed)
            canvas._doc.Reference(placed, known)
            canvas._doc.addForm(self._name, placed)
        canvas._currentPageHasImages = 1
        canvas.saveState()
        canvas.transform(self.width, 0, 0, self.height, 0, 0)
        if self._jpeg.turn in _TURNS:
            canvas.transform(*_TURNS[self._jpeg.turn])
        canvas._code.append(f"/{known} Do")
        canvas.restoreState()
        canvas._formsinuse.append(self._name)


class _Placed(PDFObject):
    """A picture's object in the file."""

    def __init__(self, name: str, jpeg: Jpeg) -> None:
        self._name, self._jpeg = name, jpeg

    def format(self, _: object) -> bytes:
        jpeg = self._jpeg
        colours = "DeviceGray" if jpeg.is_grey else "DeviceRGB"
        told = (
            f"<< /Type /XObject /Subtype /Image /Width {jpeg.width} /Height {jpeg.height}"
            f" /BitsPerComponent 8 /ColorSpace /{colours} /Filter /DCTDecode"
            f" /Length {jpeg.bytes} >>"
        )
        return f"{told}\nstream\n\0picture {self._name}\0\nendstream".encode("ascii")


def streamed(
    document: bytes, sizes: Mapping[str, int], content: Callable[[str], bytes]
) -> tuple[int, Iterator[bytes]]:
    """A document with its pictures in their places: how many bytes, and the bytes in pieces.

    `sizes`: bytes of each picture, by name; `content` is asked for one when its turn comes.
    """
    texts = _PLACE.split(document)[::2]
    names = [name.decode() for name in _PLACE.findall(document)]
    # Where each mark ends, and by how much all that lies behind it is moved.
    moved, ends = 0, []
    for mark, name in zip(_PLACE.finditer(document), names, strict=True):
        moved += sizes[name] - len(mark.group())
        ends.append((mark.end(), moved))
    texts[-1] = _moved(document, texts[-1], ends)

    def pieces() -> Iterator[bytes]:
        for text, name in zip(texts, [*names, None], strict=True):
            yield text
            if name is not None:
                yield content(name)

    return sum(map(len, texts)) + sum(sizes[name] for name in names), pieces()


def _moved(document: bytes, last: bytes, ends: Sequence[tuple[int, int]]) -> bytes:
    """The last text, its table of where the objects lie brought up to the pictures."""
    end = _STARTXREF.search(document)
    assert end is not None, "every PDF says where its table is"
    at = int(end.group(1))

    def place(offset: int) -> int:
        return offset + next((by for to, by in reversed(ends) if to <= offset), 0)

    table = _XREF_LINE.sub(
        lambda found: b"%010d %s n " % (place(int(found.group(1))), found.group(2)),
        document[at : end.start()],
    )
    before = last[: len(last) - (len(document) - at)]
    return b"%sstartxref\n%d\n%%%%EOF\n" % (before + table, place(at))
