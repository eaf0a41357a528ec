"""Every palette is legible; which is measured on the screens too, in `test_window`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import ImageColor

import handheld_app
from tests.handheld_app import seeing
from tests.handheld_app.test_window import window_of_tests

SCREENS = sorted(Path(handheld_app.__file__).parent.rglob("*.kv"))
NAMES = ("day", "night", "contrast")


@pytest.fixture
def theme(tmp_path: Path) -> Any:
    """Imported late: it makes the window."""
    window_of_tests(tmp_path)
    from handheld_app import theme

    return theme


def contrast(one: str, other: str) -> float:
    return seeing.contrast(ImageColor.getrgb(one), ImageColor.getrgb(other))


def pairs(theme: Any, name: str) -> list[tuple[str, str, str]]:
    palette = theme.PALETTES[name]
    written = [
        (f"{ink} on {ground}", getattr(palette, ink), getattr(palette, ground))
        for ink, grounds in theme.WRITTEN_ON
        for ground in grounds.split()
    ]
    tones = [(tone, *getattr(palette, tone)) for tone in theme.TONES]
    return written + tones


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_stands_out_seven_to_one(theme: Any, name: str) -> None:
    weak = {
        what: round(contrast(ink, ground), 2)
        for what, ink, ground in pairs(theme, name)
        if contrast(ink, ground) < 7
    }
    assert weak == {}


@pytest.mark.parametrize("name", NAMES)
def test_the_ring_of_the_keyboard_is_seen(theme: Any, name: str) -> None:
    palette = theme.PALETTES[name]
    for ground in (palette.ground, palette.surface, palette.bar):
        assert contrast(palette.focus, ground) >= 3


def test_another_palette_is_told_to_what_is_bound(theme: Any) -> None:
    look = theme.Look()
    heard: list[list[float]] = []
    look.bind(INK=lambda _, ink: heard.append(list(ink)))
    day = list(look.INK)
    look.palette = "night"
    assert heard == [look.INK]
    assert heard != [day]
    assert look.TONES["bad"][0] != theme.Look().TONES["bad"][0]


def test_letters_grow_with_the_scale(theme: Any) -> None:
    look = theme.Look()
    small = look.sp(16)
    look.scale = 130
    assert look.sp(16) == pytest.approx(small * 1.3)


@pytest.mark.parametrize("path", SCREENS, ids=lambda path: path.name)
def test_a_screen_has_its_colours_and_sizes_from_the_theme(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "rgba: ." not in text
    assert "#" not in text.replace("#:import", "").replace("# ", "")
