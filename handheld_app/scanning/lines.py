"""Lines of text in a picture: which boxes belong together, and which line is the plate's number."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

_NEAREST_HEIGHT = 0.65
"""Two boxes are of one line when the lower is at least this part of the higher…"""
_FARTHEST_OFF = 0.3
"""…their middles are this part of its height apart, up and down…"""
_WIDEST_GAP = 1.5
"""…and the gap between them is at most so many heights: an emblem stands there."""
_WIDE = 3.0
"""A plate's number is about so many times as wide as high, or wider."""


@dataclass(frozen=True, slots=True)
class Line:
    """A box around text, turned with it: middle, width along the text, height, angle in radians."""

    x: float
    y: float
    width: float
    height: float
    angle: float
    score: float
    """How sure the detector is that this is text: 0 to 1."""

    def seen_from(self, other: Line) -> tuple[float, float]:
        """Where its middle lies along and across another line."""
        cos, sin = math.cos(other.angle), math.sin(other.angle)
        x, y = self.x - other.x, self.y - other.y
        return x * cos + y * sin, y * cos - x * sin

    def corners(self) -> tuple[tuple[float, float], ...]:
        """Top left, top right, bottom right, bottom left, as the text is read."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        along = (cos * self.width / 2, sin * self.width / 2)
        down = (-sin * self.height / 2, cos * self.height / 2)
        return tuple(
            (self.x + a * along[0] + d * down[0], self.y + a * along[1] + d * down[1])
            for a, d in ((-1, -1), (1, -1), (1, 1), (-1, 1))
        )

    def grown(self, sideways: float, upright: float) -> Line:
        """Wider and higher at each side by these parts of its height; less where negative."""
        return replace(
            self,
            width=max(self.width + 2 * sideways * self.height, 1.0),
            height=max(self.height * (1 + 2 * upright), 1.0),
        )

    def shifted(self, down: float) -> Line:
        """Across the text, by a part of its height."""
        return replace(
            self,
            x=self.x - math.sin(self.angle) * down * self.height,
            y=self.y + math.cos(self.angle) * down * self.height,
        )

    def turned(self, by: float) -> Line:
        return replace(self, angle=self.angle + by)

    @property
    def prominence(self) -> float:
        """How much it looks like a plate's number from afar: its height, less if it is narrow.

        The number is the tallest line of a plate; names, slogans and stickers are smaller.
        """
        return self.height * min(1.0, self.width / (_WIDE * self.height))


def join(boxes: Iterable[Line]) -> list[Line]:
    """Boxes that stand in one line become one; the most prominent first.

    A number is often found in pieces: its groups stand apart, with an emblem between them.
    """
    groups: list[list[Line]] = []
    for box in sorted(boxes, key=lambda box: -box.width * box.height):
        for group in groups:
            if _belong_together(group[0], box):
                group.append(box)
                break
        else:
            groups.append([box])
    return sorted((_around(group) for group in groups), key=lambda line: -line.prominence)


def _belong_together(large: Line, box: Line) -> bool:
    along, across = box.seen_from(large)
    lower, higher = sorted((large.height, box.height))
    return (
        lower >= _NEAREST_HEIGHT * higher
        and abs(across) <= _FARTHEST_OFF * large.height
        and abs(along) - (large.width + box.width) / 2 <= _WIDEST_GAP * large.height
    )


def _around(group: Sequence[Line]) -> Line:
    first = group[0]
    if len(group) == 1:
        return first
    sides: list[float] = []
    edges: list[float] = []
    for box in group:
        along, across = box.seen_from(first)
        sides += (along - box.width / 2, along + box.width / 2)
        edges += (across - box.height / 2, across + box.height / 2)
    along, across = (min(sides) + max(sides)) / 2, (min(edges) + max(edges)) / 2
    cos, sin = math.cos(first.angle), math.sin(first.angle)
    return Line(
        first.x + along * cos - across * sin,
        first.y + along * sin + across * cos,
        max(sides) - min(sides),
        max(edges) - min(edges),
        first.angle,
        max(box.score for box in group),
    )
