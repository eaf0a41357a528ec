"""What is wrong with what a window shows: measured, on any screen.

`flaws` tells words that are cut or lie over others, targets that are small or close together, and
words that do not stand out from what is behind them, which is read from the picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from PIL import Image

TARGET, GAP = 48, 8
"""Of what a gloved finger touches, in dp (issue 5); a window here has one pixel a dp."""
CONTRAST, CONTRAST_OF_ICONS = 7.0, 4.5
SLACK = 1.01
"""Pixels by which a layout may be off for its rounding."""

Box = tuple[float, float, float, float]
"""Left, bottom, right, top; in pixels of the window."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A widget with the part of it that is to be seen."""

    widget: Any
    whole: Box
    seen: Box
    above: tuple[Any, ...]
    """What it lies in, outermost first."""

    @property
    def clipped(self) -> bool:
        return any(abs(a - b) > SLACK for a, b in zip(self.whole, self.seen, strict=True))


def seen_widgets(root: Any) -> Iterator[Seen]:
    """Everything of a screen or sheet that is drawn, clipped by the lists that it scrolls in."""
    from kivy.uix.scrollview import ScrollView

    everything = (0.0, 0.0, *map(float, root.get_parent_window().size))
    pending: list[tuple[Any, Box, tuple[Any, ...]]] = [(root, everything, ())]
    while pending:
        widget, clip, above = pending.pop()
        if not widget.opacity:
            continue
        x, y = widget.to_window(*widget.pos)
        whole = (x, y, x + widget.width, y + widget.height)
        seen = (
            max(clip[0], whole[0]),
            max(clip[1], whole[1]),
            min(clip[2], whole[2]),
            min(clip[3], whole[3]),
        )
        if seen[2] - seen[0] > 0.5 and seen[3] - seen[1] > 0.5:
            yield Seen(widget, whole, seen, above)
        inside = seen if isinstance(widget, ScrollView) else clip
        pending += [(child, inside, (*above, widget)) for child in widget.children]


def apart(one: Box, other: Box) -> float:
    """Pixels between two boxes, horizontally or vertically; negative where they overlap."""
    aside = max(other[0] - one[2], one[0] - other[2])
    above = max(other[1] - one[3], one[1] - other[3])
    return max(aside, above)


def flaws(window: Any, picture: Image.Image | None = None, *, may_be_cut: Any = ()) -> list[str]:
    """Everything that is wrong, in words; an empty list where nothing is.

    `picture` is what is shown, upright; without it no contrast is measured. Of the widgets in
    `may_be_cut`, not all of the text needs to be seen.
    """
    from kivy.uix.behaviors import ButtonBehavior
    from kivy.uix.label import Label
    from kivy.uix.textinput import TextInput

    found: list[str] = []
    # The uppermost alone can be touched; of what is under a sheet, words are looked at alone.
    for depth, root in enumerate(window.children):
        widgets = list(seen_widgets(root))
        words = [s for s in widgets if isinstance(s.widget, Label) and s.widget.text]
        found += [f"cut: {told(s)}" for s in words if is_cut(s.widget, may_be_cut)]
        found += overlapping(words)
        if depth:
            continue
        targets = [
            s
            for s in widgets
            if isinstance(s.widget, ButtonBehavior | TextInput) and not s.widget.disabled
        ]
        found += [f"small: {told(s)}" for s in targets if min(s.widget.size) < TARGET - 0.01]
        found += crowded(targets)
        if picture is not None:
            found += faint(words, picture)
    return found


def told(seen: Seen) -> str:
    widget = seen.widget
    text = getattr(widget, "text", "") or getattr(widget, "title", "")
    box = ", ".join(f"{edge:.0f}" for edge in seen.whole)
    return f"{type(widget).__name__} {text!r} ({box})"


def is_cut(label: Any, may_be_cut: Any) -> bool:
    width, height = label.texture_size
    if width > label.width + 1 or height > label.height + 1:
        return True
    return not getattr(label, "complete", True) and label not in may_be_cut


def overlapping(words: list[Seen]) -> list[str]:
    return [
        f"overlap: {told(one)} and {told(other)}"
        for n, one in enumerate(words)
        for other in words[:n]
        if apart(one.seen, other.seen) < -SLACK
    ]


def crowded(targets: list[Seen]) -> list[str]:
    return [
        f"crowded: {told(one)} and {told(other)}"
        for n, one in enumerate(targets)
        for other in targets[:n]
        if one.widget not in other.above
        and other.widget not in one.above
        and apart(one.seen, other.seen) < GAP - 0.01
    ]


def faint(words: list[Seen], picture: Image.Image) -> list[str]:
    """Words whose colour is too near that of most of what is around them."""
    from handheld_app.controls import Icon

    found = []
    for seen in words:
        if seen.clipped or any(widget.disabled for widget in (seen.widget, *seen.above)):
            continue
        left, bottom, right, top = map(round, seen.seen)
        around = picture.crop((left, picture.height - top, right, picture.height - bottom))
        colours = around.getcolors(around.width * around.height) or [(0, (0, 0, 0))]
        ground = max(colours)[1]
        ink = [round(255 * part) for part in seen.widget.color[:3]]
        if list(ground) == ink:  # bold letters that fill their box
            ground = sorted(colours)[-2][1] if len(colours) > 1 else ground
        least = CONTRAST_OF_ICONS if isinstance(seen.widget, Icon) else CONTRAST
        if (measured := contrast(ink, ground)) < least:
            found.append(f"faint, {measured:.1f}: {told(seen)}")
    return found


def luminance(colour: Any) -> float:
    """Relative luminance (WCAG 2.2) of red, green and blue, 0 to 255."""
    parts = [part / 255 for part in colour]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: Any, other: Any) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)
