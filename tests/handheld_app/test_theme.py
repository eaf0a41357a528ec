"""Every palette is legible; which is measured on the screens too, in `test_window`."""

from __future__ import annotations

from pathlib import Path

import pytest

from handheld_app import theme
from handheld_app.theme import PALETTES, TONES, WRITTEN_ON, Look, Palette

SCREENS = sorted(Path(theme.__file__).parent.rglob("*.kv"))


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2) of an opaque #RRGGBB."""
    assert len(colour) == 7
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def pairs(palette: Palette) -> list[tuple[str, str, str]]:
    written = [
        (f"{ink} on {ground}", getattr(palette, ink), getattr(palette, ground))
        for ink, grounds in WRITTEN_ON
        for ground in grounds.split()
    ]
    tones = [(tone, *getattr(palette, tone)) for tone in TONES]
    return written + tones


@pytest.mark.parametrize("name", PALETTES)
def test_what_is_written_stands_out_seven_to_one(name: str) -> None:
    weak = {
        what: round(contrast(ink, ground), 2)
        for what, ink, ground in pairs(PALETTES[name])
        if contrast(ink, ground) < 7
    }
    assert weak == {}


@pytest.mark.parametrize("name", PALETTES)
def test_the_ring_of_the_keyboard_is_seen(name: str) -> None:
    palette = PALETTES[name]
    for ground in (palette.ground, palette.surface, palette.bar):
        assert contrast(palette.focus, ground) >= 3


def test_another_palette_is_told_to_what_is_bound() -> None:
    look = Look()
    heard: list[list[float]] = []
    look.bind(INK=lambda _, ink: heard.append(list(ink)))
    day = list(look.INK)
    look.palette = "night"
    assert heard == [look.INK]
    assert heard != [day]
    assert look.TONES["bad"][0] != Look().TONES["bad"][0]


def test_letters_grow_with_the_scale() -> None:
    look = Look()
    small = look.sp(16)
    look.scale = 130
    assert look.sp(16) == pytest.approx(small * 1.3)


@pytest.mark.parametrize("path", SCREENS, ids=lambda path: path.name)
def test_a_screen_has_its_colours_and_sizes_from_the_theme(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert " sp(" not in text.replace("theme.sp(", "")
    assert "rgba: ." not in text
    assert "#" not in text.replace("#:import", "").replace("# ", "")
