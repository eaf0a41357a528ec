"""Charts as SVG, made on the server: stacked columns over time, and horizontal bars. Pure.

A chart is as wide as its place: across, everything is told in parts of the width, so that text and
lines keep their size from a phone to a wide screen, and no script measures anything. What would not
fit on a phone (more dates under an axis, longer names) is there too, and `charts.css` shows it
where there is room. Colours come from there as well, by class. Series are told apart by texture,
not by colour alone, and a thin gap parts what touches. A table with the same numbers belongs
beneath: the chart is for a glance, and of each column a pointer that rests on it is told.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from babel import Locale
from babel.numbers import format_compact_decimal, format_decimal
from markupsafe import Markup

from enforcement_api.wording import COLONS

Tone = Literal["action", "second", "good", "wait", "bad", "muted"]
Texture = Literal["solid", "stripes", "dots", "lines", "grid"]

_LOCALES = {"fr": Locale("fr", "CA"), "en": Locale("en", "CA")}
_HIGHEST_WHOLE = 100_000
"""Numbers from here on are told in thousands or millions, where there is little room."""

# In CSS pixels; charts.css has the same widths.
_NARROW, _MEDIUM, _WIDE, _WIDER = 244, 320, 640, 960
"""The least width that a chart has, on a phone; those from which on there is room for more."""
_LEFT, _RIGHT = 52, 24
"""Beside columns."""
_HIGH, _BELOW = 200, 28
_LETTERS = 13
_ROW, _ROW_BEFORE, _THICK, _THIN = 28, 8, 16, 5
_NAMES = (
    ("chart-narrow", _NARROW * 0.42 - 10),
    ("chart-medium", _MEDIUM * 0.42 - 10),
    ("chart-wide", _WIDE * 0.36 - 10),
    ("chart-wider", _WIDER * 0.36 - 10),
)
"""Room for the names of bars, and of which class they are there."""
_MANY = 62
"""Columns from which on they stand closer."""
_WIDEST = 8
"""Percent of the width that a column may take."""
_SPACE = 14
_MOST_TICKS = 5
_GAP = 2
_LEAST = 1.5
"""Height of the smallest number that is not zero."""

_NARROW_LETTERS = frozenset("iIjlftr.,:;'’|!()[]-·/ \N{NO-BREAK SPACE}")
_WIDE_LETTERS = frozenset("mwMW@%&—…")


@dataclass(frozen=True, slots=True)
class Series:
    """One of the kinds of numbers in a chart: its name, and how it looks."""

    name: str
    tone: Tone = "action"
    texture: Texture = "solid"


_BEFORE = Series("", "muted")


@dataclass(frozen=True, slots=True)
class Column:
    """What stands at one place of the axis: a number of each series. `tick`: the short label."""

    label: str
    tick: str
    values: Sequence[int]


@dataclass(frozen=True, slots=True)
class Bar:
    """One row: a number of each series. `before`: all of it in the period before, if known."""

    label: str
    values: Sequence[int]
    before: int | None = None


def columns(
    id: str,
    title: str,
    series: Sequence[Series],
    shown: Sequence[Column],
    *,
    description: str,
    language: str,
    empty: str,
) -> Markup:
    """Columns in a row, each a stack of the series from the ground up; numbers are not negative.

    `id` is the chart's own on the page. `description` says in a sentence or two what there is to
    see. `empty` stands in the chart's place if there is nothing.
    """
    most = max((sum(column.values) for column in shown), default=0)
    if not most:
        return _figure(id, title, [], Markup(), empty=empty)
    ticks = ticks_to(most)
    high = _HIGH / ticks[-1]
    parts = []
    for tick in ticks:
        y = round(_HIGH - tick * high, 1)
        parts.append(_text(-8, y, _short(tick, language), "chart-tick chart-end"))
        parts.append(
            Markup('<line class="chart-line{}" x1="0" x2="100%" y1="{y:g}" y2="{y:g}"/>').format(
                "" if tick else " chart-ground", y=y
            )
        )
    slot = 100 / len(shown)
    width = min(slot * (0.8 if len(shown) <= _MANY else 0.9), _WIDEST)
    for number, column in enumerate(shown):
        told = _told(column.label, series, column.values, language)
        hit = f'x="{number * slot:.3f}%" y="0" width="{slot:.3f}%" height="{_HIGH}"'
        parts.append(_slot(told, hit))
        top = float(_HIGH)
        for one, value in zip(series, column.values, strict=True):
            if value:
                tall = max(value * high, _LEAST)
                gap = _GAP if top < _HIGH and tall > 2 * _GAP else 0
                top -= tall
                x = (number + 0.5) * slot - width / 2
                parts.append(_rect(id, one, f"{x:.3f}%", top, f"{width:.3f}%", tall - gap))
        parts.append(Markup("</g>"))
    parts += _labels([column.tick for column in shown])
    drawing = _drawing(id, title, description, series, "chart-columns", _HIGH + _BELOW, parts)
    return _figure(id, title, series, drawing)


def bars(
    id: str,
    title: str,
    series: Sequence[Series],
    shown: Sequence[Bar],
    *,
    description: str,
    language: str,
    empty: str,
    before: str = "",
) -> Markup:
    """A row for each bar, with its name and its number; see `columns`.

    `before`: what the mark of the period before is called in the legend.
    """
    totals = [sum(bar.values) for bar in shown]
    most = max((*totals, *(bar.before or 0 for bar in shown)), default=0)
    if not most:
        return _figure(id, title, [], Markup(), empty=empty)
    has_before = any(bar.before is not None for bar in shown)
    row = _ROW + _ROW_BEFORE * has_before
    parts = []
    for number, (bar, total) in enumerate(zip(shown, totals, strict=True)):
        y = number * row + (_ROW - _THICK) / 2
        for kind, room in _NAMES:
            name = shortened(bar.label, room)
            parts.append(_text(-10, y + _THICK / 2, name, f"chart-end {kind}"))
        told = _told(bar.label, series, bar.values, language)
        if bar.before is not None:
            told += f"\n{clean(before)}{COLONS[language]}{_whole(bar.before, language)}"
        parts.append(_slot(told, f'x="0" y="{number * row}" width="100%" height="{row}"'))
        left = 0.0
        for one, value in zip(series, bar.values, strict=True):
            if value:
                wide = value / most * 100
                parts.append(_rect(id, one, f"{left:.3f}%", y, f"{wide:.3f}%", _THICK))
                if left:
                    parts.append(_upright("chart-gap", f"{left:.3f}%", y, _THICK))
                left += wide
        value_text = _short(total, language)
        parts.append(_text(f"{left:.3f}%", y + _THICK / 2, value_text, "chart-value", dx=8))
        if bar.before:
            wide = bar.before / most * 100
            parts.append(_rect(id, _BEFORE, "0", y + _THICK + 3, f"{wide:.3f}%", _THIN))
        parts.append(Markup("</g>"))
    height = len(shown) * row
    parts.append(_upright("chart-ground", "0", 0, height))
    drawing = _drawing(id, title, description, series, "chart-bars", height, parts)
    return _figure(id, title, series, drawing, before=before if has_before else "")


# Parts


_KEY = '<li><svg class="chart-key" width="20" height="14" aria-hidden="true">{}</svg>{}</li>'


def _figure(
    id: str,
    title: str,
    series: Sequence[Series],
    drawing: Markup,
    *,
    before: str = "",
    empty: str = "",
) -> Markup:
    shown = Markup('<p class="chart-empty">{}</p>').format(clean(empty)) if empty else drawing
    legend = Markup()
    if len(series) > 1 or before:
        keys = [
            Markup(_KEY).format(_rect(id, one, "0", 0, "20", 14), clean(one.name)) for one in series
        ]
        if before:
            thin = _rect(id, _BEFORE, "0", 5, "20", _THIN)
            keys.append(Markup(_KEY).format(thin, clean(before)))
        legend = Markup('<ul class="chart-legend">{}</ul>').format(Markup().join(keys))
    return Markup('<figure class="chart"><figcaption>{}</figcaption>{}{}</figure>').format(
        clean(title), legend, shown
    )


def _drawing(
    id: str,
    title: str,
    description: str,
    series: Sequence[Series],
    kind: str,
    height: int,
    parts: Iterable[Markup],
) -> Markup:
    looks = dict.fromkeys((one.tone, one.texture) for one in series)
    patterns = Markup().join(_pattern(id, tone, texture) for tone, texture in looks)
    return Markup(
        '<svg class="chart-drawing {kind}" role="img" aria-labelledby="{id}-title {id}-desc"'
        ' width="100%" height="{height}">'
        '<title id="{id}-title">{title}</title><desc id="{id}-desc">{description}</desc>'
        "<defs>{patterns}</defs>{parts}</svg>"
    ).format(
        id=id,
        kind=kind,
        height=height,
        title=clean(title),
        description=clean(description),
        patterns=patterns,
        parts=Markup().join(parts),
    )


_MARKS = {
    "stripes": '<path d="M-1,1 l2,-2 M0,7 l7,-7 M6,8 l2,-2"/>',
    "dots": '<circle cx="2" cy="2" r="1.3"/><circle cx="5.5" cy="5.5" r="1.3"/>',
    "lines": '<path d="M0,1.5 h7 M0,5 h7"/>',
    "grid": '<path d="M0,3.5 h7 M3.5,0 v7"/>',
}


def _pattern(id: str, tone: Tone, texture: Texture) -> Markup:
    if texture == "solid":
        return Markup()
    return Markup(
        '<pattern id="{id}-{tone}-{texture}" class="chart-{tone} chart-{texture}" width="7"'
        ' height="7" patternUnits="userSpaceOnUse"><rect width="7" height="7"/>{marks}</pattern>'
    ).format(id=id, tone=tone, texture=texture, marks=Markup(_MARKS[texture]))


def _rect(id: str, one: Series, x: str, y: float, width: str, height: float) -> Markup:
    place = Markup('x="{}" y="{:g}" width="{}" height="{:g}"').format(
        x, round(y, 1), width, round(height, 1)
    )
    if one.texture == "solid":
        return Markup('<rect class="chart-{} chart-solid" {}/>').format(one.tone, place)
    fill = Markup('fill="url(#{}-{}-{})"').format(id, one.tone, one.texture)
    return Markup('<rect class="chart-{} chart-textured" {} {}/>').format(one.tone, fill, place)


def _slot(told: str, place: str) -> Markup:
    """The beginning of a group that tells what it shows where a pointer rests on its place."""
    return Markup('<g class="chart-slot"><title>{}</title><rect class="chart-hit" {}/>').format(
        told, Markup(place)
    )


def _upright(kind: str, x: str, y: float, height: float) -> Markup:
    return Markup('<line class="{}" x1="{x}" x2="{x}" y1="{:g}" y2="{:g}"/>').format(
        kind, y, y + height, x=x
    )


def _text(x: float | str, y: float, text: str, kind: str, *, dx: int = 0) -> Markup:
    moved = Markup(' dx="{}"').format(dx) if dx else ""
    return Markup('<text class="{}" x="{}" y="{:g}"{} dy=".35em">{}</text>').format(
        kind, x, round(y, 1), moved, text
    )


def _labels(ticks: Sequence[str]) -> Iterator[Markup]:
    """As many labels under an axis as have room, evenly; on a phone every so many of them."""
    narrow_room, wide_room = _NARROW - _LEFT - _RIGHT, _WIDE - _LEFT - _RIGHT
    ticks = [shortened(tick, narrow_room / 2) for tick in ticks]
    widest = max(map(width_of, ticks)) + _SPACE
    wide = math.ceil(len(ticks) / max(1, wide_room // widest))
    narrow = wide * math.ceil(len(ticks) / max(1, narrow_room // widest) / wide)
    for number in range(0, len(ticks), wide):
        middle = (number + 0.5) / len(ticks)
        is_narrow = number % narrow == 0
        beside = (1 - middle) * (narrow_room if is_narrow else wide_room) + _RIGHT
        if beside >= width_of(ticks[number]) / 2:
            kind = "chart-tick chart-middle" + ("" if is_narrow else " chart-more")
            yield _text(f"{middle * 100:.3f}%", _HIGH + 16, ticks[number], kind)


# Numbers and texts


def ticks_to(most: int) -> list[int]:
    """Round numbers from zero up to one that is not less than `most`: few, evenly apart, whole."""
    step = 1
    while most > step * _MOST_TICKS:
        # 1, 2, 5, 10, 20, 50, …
        step = step * 5 // 2 if str(step).startswith("2") else step * 2
    return list(range(0, step * max(1, math.ceil(most / step)) + 1, step))


def _whole(number: int, language: str) -> str:
    return str(format_decimal(number, locale=_LOCALES[language]))


def _short(number: int, language: str) -> str:
    if number < _HIGHEST_WHOLE:
        return _whole(number, language)
    short = format_compact_decimal(
        number, format_type="short", locale=_LOCALES[language], fraction_digits=1
    )
    return str(short)


def _told(label: str, series: Sequence[Series], values: Sequence[int], language: str) -> str:
    lines = [
        f"{clean(one.name)}{COLONS[language]}{_whole(value, language)}"
        for one, value in zip(series, values, strict=True)
    ]
    return "\n".join([clean(label), *lines])


def clean(text: str) -> str:
    """A text in one line, without what nobody sees or what turns the direction of the rest."""
    seen = (
        " " if letter.isspace() and letter != "\N{NO-BREAK SPACE}" else letter
        for letter in text
        if letter.isspace() or unicodedata.category(letter) not in ("Cc", "Cf", "Cn", "Co", "Cs")
    )
    return " ".join("".join(seen).split(" ")).strip()


def width_of(text: str) -> float:
    """About how wide a text of a chart is, in pixels; rather more than less."""
    return sum(map(_width_of_letter, text)) * _LETTERS


def _width_of_letter(letter: str) -> float:
    if unicodedata.combining(letter):
        return 0
    if unicodedata.east_asian_width(letter) in ("W", "F"):
        return 1.1
    if letter in _NARROW_LETTERS:
        return 0.36
    if letter in _WIDE_LETTERS:
        return 0.95
    return 0.7 if letter.isupper() else 0.58


def shortened(text: str, room: float) -> str:
    """A text that is no wider than its room: its beginning, and an ellipsis, if it has to be."""
    text = clean(text)
    if width_of(text) <= room:
        return text
    room -= width_of("…")
    kept = ""
    for letter in text:
        room -= width_of(letter)
        if room < 0:
            break
        kept += letter
    return f"{kept.rstrip()}…"
