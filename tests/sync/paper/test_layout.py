"""The sheet as a picture: legible, whole, scannable, the same on paper and on screen."""

from __future__ import annotations

import io
import re
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import zxingcpp
from PIL import Image, ImageChops, ImageDraw, ImageFont

from sync.paper import layout
from sync.paper.layout import (
    QUIET_ZONE,
    SMALLEST_MODULE,
    WIDTHS,
    Width,
    as_png,
    as_svg_path,
    draw,
    qr_code,
    wrap,
)
from sync.paper.notice import Block, Line, Pair, Priced, QrCode, Sheet
from tests.sync.paper.sheets import PAY, infraction, sheet, three, warning

NASTY = {
    "a long word": "Anticonstitutionnellement" * 8,
    "a long address": "https://parking.example/" + "stationnement/" * 30 + "?zone=G1&lot=3",
    "arabic": "موقف السيارات رقم ٣ بجانب المدخل الرئيسي",
    "emoji": "🚗💨 près du 🏥 👩🏽‍⚕️ 🇨🇦",
    "many marks": "Z" + "\u0301\u0323\u0489" * 30 + "algo",
    "controls": "a\0b\x1b@c\u202e d\ufeff\u200b\r\ne\tf",
    "no letters at all": "\u200b\u200d",
    "spaces": "   x    y   ",
    "chinese": "停车场三号入口附近" * 10,
    "lines": "\n\na\n\nb\n",
    "unknown": "\ue000\U000e0001\uffff",
}


def only(*blocks: Block) -> Sheet:
    return Sheet("avis", "1", tuple(blocks))


def ink(picture: Image.Image) -> int:
    return picture.convert("1").histogram()[0]


def is_white(picture: Image.Image, box: tuple[int, int, int, int]) -> bool:
    return ink(picture.crop(box)) == 0


def has_white_margins(picture: Image.Image) -> bool:
    width, height = picture.size
    sides = (0, 0, 6, height), (width - 6, 0, width, height)
    ends = (0, 0, width, 8), (0, height - 8, width, height)
    return all(is_white(picture, box) for box in (*sides, *ends))


def drawn_freely(words: str, dots: int, *, bold: bool = False) -> int:
    """The ink that words take on paper without edges, drawn by Pillow alone."""
    kivy = find_spec("kivy")
    assert kivy is not None
    assert kivy.submodule_search_locations is not None
    name = "Roboto-Bold.ttf" if bold else "Roboto-Regular.ttf"
    path = Path(kivy.submodule_search_locations[0]) / "data" / "fonts" / name
    font = ImageFont.truetype(str(path), dots, layout_engine=ImageFont.Layout.BASIC)
    canvas = Image.new("1", (dots * len(words) + 100, 4 * dots), 255)
    ImageDraw.Draw(canvas).text((50, 3 * dots), words, fill=0, font=font, anchor="ls")
    return ink(canvas)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("form", ["avis", "constat", "warning"])
def test_a_notice_is_black_and_white_as_wide_as_the_paper(form: str, width: Width) -> None:
    picture = draw(three()[form], width)
    assert (picture.mode, picture.width) == ("1", width)
    assert picture.height < 2500  # a hand and a half of paper
    assert picture.convert("L").getcolors() is not None
    assert {colour for _, colour in picture.convert("L").getcolors() or ()} == {0, 255}
    assert has_white_margins(picture)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("instrument", ["avis", "constat"])
def test_the_code_scans_to_the_payment_address(instrument: Any, width: Width) -> None:
    found = zxingcpp.read_barcodes(draw(sheet(instrument=instrument), width).convert("L"))
    assert [code.text for code in found] == [f"{PAY}?{instrument}=1085-1042"]


@pytest.mark.parametrize("width", WIDTHS)
def test_the_code_scans_to_the_number_without_an_address(width: Width) -> None:
    found = zxingcpp.read_barcodes(draw(sheet(texts={}), width).convert("L"))
    assert [code.text for code in found] == ["1085-1042"]


def test_a_warning_has_nothing_to_scan() -> None:
    assert zxingcpp.read_barcodes(draw(sheet(warning()), 576).convert("L")) == []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("length", [1, 60, 200, 400])
def test_a_code_is_large_enough_and_stands_in_white(length: int, width: Width) -> None:
    code = qr_code("x" * length, width)
    assert code is not None
    assert code.width <= width
    left, top, right, bottom = ImageChops.invert(code.convert("L")).getbbox() or (0, 0, 0, 0)
    # The corner square is seven modules wide and one thick.
    thick = next(n for n in range(1, 99) if code.getpixel((left + n, top + n)) == 255)
    assert thick >= SMALLEST_MODULE
    assert left == top == code.width - right == code.height - bottom == QUIET_ZONE * thick


@pytest.mark.parametrize("width", WIDTHS)
def test_an_address_too_long_for_a_code_leaves_the_number_in_it(width: Width) -> None:
    texts = {"payment_url": "https://parking.example/" + "a" * 1900}
    picture = draw(sheet(texts=texts), width)
    assert [code.text for code in zxingcpp.read_barcodes(picture.convert("L"))] == ["1085-1042"]
    assert has_white_margins(picture)


def test_a_number_too_long_for_any_code_is_told_in_words() -> None:
    endless = QrCode("x" * 5000, "9" * 8000, "N° 1", "parking.example")
    picture = draw(only(endless), 384)
    words = draw(only(Line("N° 1", bold=True), Line("parking.example", "small")), 384)
    assert ink(picture) == ink(words)


@pytest.mark.parametrize("name", NASTY)
def test_nothing_that_is_typed_breaks_a_notice(name: str) -> None:
    words = NASTY[name]
    texts = {
        "payment_url": PAY,
        "avis": {
            "fr": {
                "operator": words, "how_to_pay": words, "how_to_contest": words, "footer": words,
            }
        },
    }  # fmt: skip
    vehicle = {"make": words, "model": words, "colour": words}
    body = infraction(codes=["P01", "S02", words], place=words, vehicle=vehicle)
    picture = draw(sheet(body, texts=texts, badge=words), 384)
    assert has_white_margins(picture)
    assert [code.text for code in zxingcpp.read_barcodes(picture.convert("L"))] != []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("size", ["title", "large", "text", "small"])
@pytest.mark.parametrize("name", ["a long word", "a long address", "spaces", "plain"])
def test_no_dot_of_a_letter_is_lost_where_lines_break(name: str, size: Any, width: Width) -> None:
    words = NASTY.get(
        name, "Écrivez à l’exploitant, donnez le numéro de cet avis et dites pourquoi. J"
    )
    dots = {
        384: {"title": 34, "large": 31, "text": 23, "small": 19},
        576: {"title": 46, "large": 38, "text": 26, "small": 21},
    }[width][size]
    broken = list(wrap(words, width - 16, dots, False))
    assert "".join(broken).replace(" ", "") == words.replace(" ", "")
    assert ink(draw(only(Line(words, size)), width)) == sum(
        drawn_freely(line, dots) for line in broken
    )


@pytest.mark.parametrize("width", WIDTHS)
def test_labels_and_amounts_never_meet_what_they_stand_beside(width: Width) -> None:
    words, dots = (
        "Entrave à la circulation des véhicules d’urgence du site",
        {384: 23, 576: 26}[width],
    )
    for block, parts in (
        (Priced(words, "12 345 678,00 $"), "12 345 678,00 $"),
        (Pair("Observé le", words), "Observé le"),
    ):
        picture = draw(only(block), width)
        # Spaces hold no ink, so that it does not matter where the words were wrapped.
        assert ink(picture) == pytest.approx(
            drawn_freely(words, dots) + drawn_freely(parts, dots), rel=0.01
        )


def test_letters_that_roboto_lacks_are_drawn_all_the_same() -> None:
    boxes = draw(only(Line("\ue000" * 8)), 576)
    arabic = draw(only(Line("موقف السيارات")), 576)
    assert ink(arabic) > 100
    assert ink(boxes) == 0  # of nobody's alphabet


def test_a_narrow_space_is_as_good_as_a_plain_one() -> None:
    assert as_png(draw(only(Line("15\u202fh")), 384)) == as_png(draw(only(Line("15\u00a0h")), 384))


def test_a_postal_code_stays_in_one_piece() -> None:
    line = "375, rue Argyll, Sherbrooke (Québec) J1J 3H5"
    apart = line.replace("J1J 3H5", "J1J\u00a03H5")
    for width in WIDTHS:
        assert as_png(draw(only(Line(line)), width)) == as_png(draw(only(Line(apart)), width))


@pytest.mark.parametrize("width", WIDTHS)
def test_the_preview_is_the_print_dot_for_dot(width: Width) -> None:
    picture = draw(sheet(), width)
    with Image.open(io.BytesIO(as_png(picture)), formats=["PNG"]) as preview:
        assert (preview.mode, preview.size) == ("1", picture.size)
        assert preview.tobytes() == picture.tobytes()


def test_the_same_infraction_gives_the_same_picture() -> None:
    assert as_png(draw(sheet(), 384)) == as_png(draw(sheet(), 384))


@pytest.mark.parametrize("width", WIDTHS)
def test_a_notice_is_laid_out_within_100_ms_of_cpu(width: Width) -> None:
    took = []
    for n in range(4):
        began = time.process_time()
        draw(sheet(infraction(codes=["P01", "S02"], number=f"1085-{n}")), width)
        took.append(time.process_time() - began)
    assert min(took) < 0.1


def test_paper_is_drawn_in_other_letters_where_there_is_no_kivy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    printed = draw(sheet(), 384)
    assert layout.has_the_handhelds_letters()
    known = layout._package
    monkeypatch.setattr(layout, "_package", lambda name: None if name == "kivy" else known(name))
    cached = (layout._font_files, layout._font, layout._is_ours, layout._length, layout._rises)
    for each in cached:
        each.cache_clear()
    try:
        shown = draw(sheet(), 384)
        assert not layout.has_the_handhelds_letters()
    finally:
        for each in cached:
            each.cache_clear()
    assert shown.width == printed.width
    assert shown.tobytes() != printed.tobytes()


@pytest.mark.parametrize("width", WIDTHS)
def test_paper_drawn_as_lines_has_the_same_dots(width: Width) -> None:
    printed = draw(sheet(), width)
    again = Image.new("1", printed.size, 255)
    pen = ImageDraw.Draw(again)
    x = y = 0
    for across, down, long in re.findall(r"m(-?\d+) (-?\d+)h(\d+)v1h-\3z", as_svg_path(printed)):
        x, y = x + int(across), y + int(down)
        pen.rectangle((x, y, x + int(long) - 1, y), fill=0)
    assert again.tobytes() == printed.tobytes()
