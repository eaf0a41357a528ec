"""The contract as a PDF: what was agreed, with whom, and what was accepted when (DOMAIN 4).

Pure: the same bytes for the same facts, in any process at any time, as long as the libraries are
the same. Its own dates, within the file too, are those of the contract.

Facts, all JSON (instants `2026-11-23T15:15:00Z`, days ISO dates, money cents): `number`,
`position` (of the contracts of a subscription, from 1), `language`, `time_zone`,
`site` {name, address}, `product` {code, name}, `price_cents`,
`billing_period` (once, week, month, term, year), `zones` [{code, name}], `notice` or null,
`holder` {name, email, line1, apartment, line2, city, province, postal_code, mobile, home,
home_extension, work, work_extension}, `vehicles` [{plate, jurisdiction, make, model, year, colour,
usable_from}], `starts_on`, `ends_on` or null, `payment_method` (card, cheque or null),
`card_last4` or null, `requested_at`, `approved_at`, `answers` [{question, answer}],
`consents` [{code, text, accepted_at}], `activation_hours`. What the holder or a vehicle lacks is
null or left out.
"""

from __future__ import annotations

import hashlib
import io
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
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
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    Flowable,
    Frame,
    KeepTogether,
    NextPageTemplate,
    PageTemplate,
    Paragraph,
    Spacer,
    Table,
)

from enforcement_api.problems import N_
from enforcement_api.subscriptions.wording import Words, line, lines
from sync import codec

NAVY, INK, MUTED = HexColor("#0C2D57"), HexColor("#111820"), HexColor("#3D4854")
RULE, STRIPE, WHITE = HexColor("#D6DDEB"), HexColor("#F4F6FA"), HexColor("#FFFFFF")
AMBER, AMBER_SOFT = HexColor("#FFB300"), HexColor("#FFF4D6")

_WIDTH, _HEIGHT = letter
_MARGIN, _BAND, _LATER_BAND, _FOOT = 18 * mm, 32 * mm, 12 * mm, 18 * mm
_INNER = _WIDTH - 2 * _MARGIN

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


MEDIA_TYPE = "application/pdf"


def _style(name: str, size: float, colour: Color = INK, font: str = _REGULAR) -> ParagraphStyle:
    return ParagraphStyle(
        name, fontName=font, fontSize=size, leading=size * 1.35, textColor=colour, splitLongWords=1
    )


_TEXT = _style("text", 9)
_NAME = _style("name", 9, MUTED)
_HEAD = _style("head", 8, MUTED, _BOLD)
_PLATE = _style("plate", 10, INK, _BOLD)
_NOTICE = _style("notice", 9, INK, _BOLD)
_SECTION = _style("section", 12, NAVY, _BOLD)
_SMALL = _style("small", 8, MUTED)

_PERIODS = {
    "once": N_("{price}, once, taxes included"),
    "week": N_("{price} a week, taxes included"),
    "month": N_("{price} a month, taxes included"),
    "term": N_("{price} a term, taxes included"),
    "year": N_("{price} a year, taxes included"),
}
_METHODS = {"card": N_("Credit card"), "cheque": N_("Void cheque")}


def pdf(facts: Mapping[str, Any]) -> bytes:
    """The contract in the holder's language, on Letter paper."""
    with _alone:
        pages = _Contract(facts).build(pages=None)[1]
        return _Contract(facts).build(pages=pages)[0]


def printable(text: object) -> str:
    """A text on one line, in letters that the font has; others are written in Latin ones."""
    return "".join(
        letter if ord(letter) in _LETTERS else anyascii(letter).replace("\0", "")
        for letter in line(text).replace("\u202f", "\u00a0")
    )


class _Contract(Words):
    def __init__(self, facts: Mapping[str, Any]) -> None:
        super().__init__(facts["language"], facts["time_zone"])
        self._facts = facts
        self._approved = codec.parse_instant(facts["approved_at"])

    def build(self, *, pages: int | None) -> tuple[bytes, int]:
        """The file, and how many pages it has; `pages` is what its foot says of that."""
        file = io.BytesIO()
        title = self.say(N_("Subscription contract {number}"), number=self._facts["number"])
        document = BaseDocTemplate(
            file,
            pagesize=letter,
            title=printable(title),
            author=printable(self._facts["site"]["name"]),
            subject=printable(self._facts["product"]["name"]),
            creator="Patrouille",
            lang=f"{self.language}-CA",
            displayDocTitle=1,
            invariant=1,
            pageCompression=1,
            initialFontName=_REGULAR,
        )

        def first(canvas: Canvas, _: BaseDocTemplate) -> None:
            # Else the file was made in 2000, or whenever the environment says.
            canvas.setDateFormatter(lambda *_: f"D:{self._approved:%Y%m%d%H%M%S}+00'00'")
            # Else its id would be of $SOURCE_DATE_EPOCH as well.
            facts = json.dumps(self._facts, sort_keys=True).encode()
            canvas._doc.signature = hashlib.sha256(facts)  # type: ignore[attr-defined]
            self._first_head(canvas)
            self._foot(canvas, pages)

        def later(canvas: Canvas, _: BaseDocTemplate) -> None:
            self._later_head(canvas)
            self._foot(canvas, pages)

        document.addPageTemplates(
            [
                PageTemplate("first", [_frame(_BAND)], onPage=first),
                PageTemplate("later", [_frame(_LATER_BAND)], onPage=later),
            ]
        )
        document.build([NextPageTemplate("later"), *self._story()])
        return file.getvalue(), document.page

    # Around the text

    def _first_head(self, canvas: Canvas) -> None:
        canvas.saveState()
        canvas.setFillColor(NAVY)
        canvas.rect(0, _HEIGHT - _BAND, _WIDTH, _BAND, stroke=0, fill=1)
        canvas.setFillColor(WHITE)
        top = _HEIGHT - 13 * mm
        number = printable(self._facts["number"])
        _fit(canvas, _MARGIN, top, self.say(N_("Subscription contract")), 18, _BOLD, 115 * mm)
        canvas.setFont(_BOLD, 14)
        canvas.drawRightString(_WIDTH - _MARGIN, top, number)
        site = self._facts["site"]
        _fit(canvas, _MARGIN, top - 8 * mm, printable(site["name"]), 10, _REGULAR, _INNER)
        if site.get("address"):
            _fit(canvas, _MARGIN, top - 13 * mm, printable(site["address"]), 8, _REGULAR, _INNER)
        canvas.restoreState()

    def _later_head(self, canvas: Canvas) -> None:
        canvas.saveState()
        canvas.setFillColor(NAVY)
        canvas.rect(0, _HEIGHT - 3 * mm, _WIDTH, 3 * mm, stroke=0, fill=1)
        canvas.restoreState()

    def _foot(self, canvas: Canvas, pages: int | None) -> None:
        canvas.saveState()
        canvas.setStrokeColor(RULE)
        canvas.line(_MARGIN, 14 * mm, _WIDTH - _MARGIN, 14 * mm)
        canvas.setFillColor(MUTED)
        told = self.say(
            N_("Contract {number}, version {position}, approved on {at}"),
            number=self._facts["number"],
            position=self._facts["position"],
            at=self.moment(self._approved),
        )
        _fit(canvas, _MARGIN, 9.5 * mm, printable(told), 7.5, _REGULAR, _INNER - 30 * mm)
        canvas.setFont(_REGULAR, 7.5)
        page = self.say(N_("Page {page} of {pages}"), page=canvas.getPageNumber(), pages=pages)
        canvas.drawRightString(_WIDTH - _MARGIN, 9.5 * mm, page)
        canvas.restoreState()

    # The text

    def _story(self) -> Iterator[Flowable]:
        facts = self._facts
        zones = [_joined(" - ", zone["code"], zone["name"]) for zone in facts["zones"]]
        product = facts["product"]
        yield from self._section(N_("Subscription"))
        ends = self.day(facts["ends_on"]) if facts["ends_on"] else self.say(N_("No end date"))
        yield _rows(
            [
                (self.say(N_("Permit")), [_joined(" - ", product["code"], product["name"])]),
                (self.say(N_("Zones")), zones),
                (self.say(N_("Starts on")), [self.day(facts["starts_on"])]),
                (self.say(N_("Ends on")), [ends]),
                (self.say(N_("Requested on")), [self.moment(facts["requested_at"])]),
                (self.say(N_("Approved on")), [self.moment(self._approved)]),
            ]
        )
        if facts["notice"]:
            yield Spacer(1, 3 * mm)
            yield _notice(facts["notice"])
        yield from self._section(N_("Holder"))
        yield _rows(self._holder(facts["holder"]))
        yield from self._section(N_("Vehicles"))
        yield from self._vehicles(facts["vehicles"])
        yield from self._section(N_("Payment"))
        yield _rows(self._payment())
        if facts["answers"]:
            yield from self._section(N_("Information given"))
            yield _rows([(a["question"], lines(a["answer"])) for a in facts["answers"]])
        yield from self._section(N_("Accepted by the holder"))
        yield from self._consents(facts["consents"])

    def _section(self, title: str) -> Iterator[Flowable]:
        yield Spacer(1, 5 * mm)
        heading = Paragraph(_markup(self.say(title)), _SECTION)
        heading.keepWithNext = True
        yield heading
        gap = Spacer(1, 1.5 * mm)
        gap.keepWithNext = True
        yield gap

    def _holder(self, holder: Mapping[str, Any]) -> list[tuple[str, Sequence[str]]]:
        def telephone(which: str) -> str:
            number, extension = holder.get(which), holder.get(f"{which}_extension")
            if number and extension:
                return self.say(
                    N_("{number}, extension {extension}"), number=number, extension=extension
                )
            return number or ""

        apartment = holder.get("apartment")
        address = [
            holder.get("line1"),
            apartment and self.say(N_("Apartment {apartment}"), apartment=apartment),
            holder.get("line2"),
            _joined(" ", holder.get("city"), _in_brackets(holder.get("province"))),
            holder.get("postal_code"),
        ]
        rows = [
            (self.say(N_("Name")), [holder["name"]]),
            (self.say(N_("Address")), [part for part in address if part]),
            (self.say(N_("E-mail")), [holder["email"]]),
            (self.say(N_("Mobile telephone")), [telephone("mobile")]),
            (self.say(N_("Home telephone")), [telephone("home")]),
            (self.say(N_("Work telephone")), [telephone("work")]),
        ]
        return [(name, values) for name, values in rows if any(values)]

    def _vehicles(self, vehicles: Sequence[Mapping[str, Any]]) -> Iterator[Flowable]:
        heads = (N_("Plate"), N_("Issued in"), N_("Vehicle"), N_("Valid from"))
        rows = [[Paragraph(_markup(self.say(head)), _HEAD) for head in heads]]
        for vehicle in vehicles:
            described = _joined(" ", *(vehicle.get(part) for part in ("year", "make", "model")))
            described = _joined(", ", described, vehicle.get("colour"))
            rows.append(
                [
                    Paragraph(_markup(vehicle["plate"]), _PLATE),
                    Paragraph(_markup(vehicle["jurisdiction"]), _TEXT),
                    Paragraph(_markup(described), _TEXT),
                    Paragraph(_markup(self.moment(vehicle["usable_from"])), _TEXT),
                ]
            )
        yield _table(rows, [28 * mm, 22 * mm, 62 * mm, _INNER - 112 * mm], has_head=True)
        hours = self._facts["activation_hours"]
        if hours:
            yield Spacer(1, 2 * mm)
            told = self.ngettext(
                "A plate that is added or changed is known to patrollers {n} hour later. A vehicle"
                " that is parked earlier is treated as one without a permit.",
                "A plate that is added or changed is known to patrollers {n} hours later. A vehicle"
                " that is parked earlier is treated as one without a permit.",
                hours,
            )
            yield Paragraph(_markup(told), _SMALL)

    def _payment(self) -> list[tuple[str, Sequence[str]]]:
        facts = self._facts
        price = self.say(N_("Free of charge"))
        if facts["price_cents"]:
            price = self.say(
                _PERIODS[facts["billing_period"]], price=self.money(facts["price_cents"])
            )
        rows: list[tuple[str, Sequence[str]]] = [(self.say(N_("Price")), [price])]
        if facts["payment_method"]:
            method = self.say(_METHODS[facts["payment_method"]])
            if facts["card_last4"]:
                ending = self.say(N_("ending in {last4}"), last4=facts["card_last4"])
                method = f"{method}, {ending}"
            rows.append((self.say(N_("Payment method")), [method]))
        return rows

    def _consents(self, consents: Sequence[Mapping[str, Any]]) -> Iterator[Flowable]:
        rows = [
            [
                Paragraph(_markup(self.say(head)), _HEAD)
                for head in (N_("What was accepted"), N_("Accepted on"))
            ]
        ]
        for consent in consents:
            accepted = self.moment(consent["accepted_at"])
            rows.append(
                [
                    Paragraph(_markup(consent["text"]), _TEXT),
                    Paragraph(_markup(accepted), _TEXT),
                ]
            )
        table = _table(rows, [_INNER - 68 * mm, 68 * mm], has_head=True)
        yield KeepTogether([table])


def _frame(head: float) -> Frame:
    return Frame(
        _MARGIN,
        _FOOT,
        _INNER,
        _HEIGHT - head - _FOOT,
        leftPadding=0,
        rightPadding=0,
        topPadding=0,
        bottomPadding=0,
    )


def _markup(text: object) -> str:
    """A text that is only text, in what a paragraph takes for markup."""
    return escape(printable(text))


def _joined(between: str, *parts: object) -> str:
    return between.join(str(part) for part in parts if part)


def _in_brackets(part: object) -> str:
    return f"({part})" if part else ""


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


def _rows(rows: Sequence[tuple[str, Sequence[str]]]) -> Table:
    """Names and values, a line for each part of a value."""
    cells = [
        [
            Paragraph(_markup(name), _NAME),
            Paragraph("<br/>".join(_markup(value) for value in values if value), _TEXT),
        ]
        for name, values in rows
    ]
    return _table(cells, [46 * mm, _INNER - 46 * mm])


def _notice(text: str) -> Table:
    cell = Paragraph("<br/>".join(_markup(part) for part in lines(text)), _NOTICE)
    return Table(
        [[cell]],
        colWidths=[_INNER],
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


def _table(
    cells: Sequence[list[Paragraph]], widths: Sequence[float], *, has_head: bool = False
) -> Table:
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
    return Table(cells, colWidths=widths, repeatRows=int(has_head), splitInRow=1, style=style)
