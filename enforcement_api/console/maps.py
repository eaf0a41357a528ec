"""Small maps of a site's lots, drawn as SVG: no script, no other server, no colour of their own.

Pure. Shapes carry classes (`map.css` paints them), so that a map follows light, dark and print.
Lots are labelled with their codes; whatever has no room for a label has its name as a tooltip, and
stands in the table beside the map. Two sizes of text are laid out at once: on a narrow screen,
where the drawing is scaled down, `.wide` labels go and the others are twice as large. A site whose
lots lie far apart is several maps: on one, no lot could be made out.
"""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from statistics import median

from markupsafe import Markup, escape

from sync.entities import Lot

WIDTH = 600.0
"""Units from left to right; about as many pixels beside a table on a wide screen."""
LOWEST, HIGHEST = 240.0, 480.0
"""Units from top to bottom."""
TEXT, NARROW_TEXT = 14.0, 28.0
"""Units of the labels' text, as `map.css` has them: on a wide screen, on a narrow one."""
LONGEST_LABEL = 16
MARGIN = 24.0
SMALLEST_M = 60.0
"""No map shows less than this from side to side."""
APART_M = 800.0
"""Lots with so much ground between them lie on different maps; a position so far beyond the lots
lies on none, which it would make too small to be read."""
FINEST = 0.6
"""Corners of a lot that are closer than this in units are one."""

_METRES_PER_DEGREE = 111_320.0
_MARKER = 7.0
_SCANLINES = 9

XY = tuple[float, float]
Ring = tuple[XY, ...]
_Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Point:
    """Something seen somewhere. `tone`: `good`, `wait`, `bad` or nothing; what is `bad` or `wait`
    has another shape too. `told`: what its tooltip says besides the name.
    """

    name: str
    lat: float
    lon: float
    accuracy_m: float | None = None
    tone: str = ""
    told: str = ""


@dataclass(frozen=True, slots=True)
class Map:
    """A drawing. `outside`: the points that it does not reach, which a page tells in words."""

    svg: Markup
    outside: tuple[Point, ...]


def draw(
    lots: Iterable[Lot],
    points: Iterable[Point] = (),
    *,
    id: str,
    title: str,
    description: str = "",
    tones: Mapping[str, str] | None = None,
    around_m: float | None = None,
) -> Map | None:
    """A map of the lots that have an area, and of points; None: there is nothing to draw.

    `id` makes its parts' ids unique in a page. `tones`: classes of lots, by code. `around_m`: so
    many metres around the points are shown; None: all lots.
    """
    places = [
        (lot, rings) for lot in lots if lot.area for rings in [_rings(lot.area)] if any(rings)
    ]
    given = [point for point in points if math.isfinite(point.lat) and math.isfinite(point.lon)]
    origin = _origin([p for _, rings in places for ring in rings for p in ring], given)
    if origin is None:
        return None
    ground = [(lot, [[_metres(p, origin) for p in r] for r in rings]) for lot, rings in places]
    seen = [(point, _metres((point.lon, point.lat), origin)) for point in given]
    frame = _frame([p for _, rings in ground for r in rings for p in r], seen, around_m)
    drawing = _Drawing(frame)
    for point, at in seen:
        drawing.add_point(point, at)
    for lot, shape in ground:
        drawing.add_lot(lot, shape, (tones or {}).get(lot.id, ""))
    return Map(drawing.svg(id, title, description), tuple(drawing.outside))


def sheets(
    lots: Iterable[Lot],
    points: Iterable[Point] = (),
    *,
    id: str,
    title: str,
    tones: Mapping[str, str] | None = None,
) -> tuple[list[Map], tuple[Point, ...]]:
    """The maps of a site, one for lots that lie together, those with most lots first; and the
    points that are on none. Of a site without areas: one of the points, if there are any.

    `title` is what all of them are called; each is described by its lots.
    """
    placed = [lot for lot in lots if lot.area]
    groups = _groups(tuple(lot.area or "" for lot in placed))
    left, maps = list(points), list[Map]()
    for n, group in enumerate(groups or ((),)):
        here = [placed[i] for i in group]
        told = ", ".join(lot.id for lot in here)
        made = draw(here, left, id=f"{id}-{n}", title=title, description=told, tones=tones)
        if made is not None:
            maps.append(made)
            left = list(made.outside)
    return maps, tuple(left)


# From degrees to metres


@lru_cache(maxsize=1024)
def _rings(area: str) -> tuple[Ring, ...]:
    """All rings of a Polygon or MultiPolygon, as longitude and latitude."""
    shape = json.loads(area)
    polygons = shape["coordinates"] if shape["type"] == "MultiPolygon" else [shape["coordinates"]]
    return tuple(
        tuple((float(lon), float(lat)) for lon, lat, *_ in ring)
        for polygon in polygons
        for ring in polygon
    )


@lru_cache(maxsize=64)
def _groups(areas: tuple[str, ...]) -> tuple[tuple[int, ...], ...]:
    """Which of these areas lie together, by their places; the largest groups first."""
    corners = [[place for ring in _rings(area) for place in ring] for area in areas]
    origin = _origin([place for area in corners for place in area], [])
    groups: list[tuple[list[int], _Box]] = []
    for i, area in enumerate(corners):
        if origin is None or not area:
            continue
        members, box = [i], _box([_metres(place, origin) for place in area])
        apart = []
        for others, there in groups:
            if _gap(box, there) < APART_M:
                members = others + members
                box = _box([box[:2], box[2:], there[:2], there[2:]])
            else:
                apart.append((others, there))
        groups = [*apart, (members, box)]
    found = sorted((sorted(members) for members, _ in groups), key=lambda g: (-len(g), g))
    return tuple(map(tuple, found))


def _gap(one: _Box, other: _Box) -> float:
    """Metres of ground between two boxes."""
    x = max(one[0] - other[2], other[0] - one[2], 0.0)
    y = max(one[1] - other[3], other[1] - one[3], 0.0)
    return math.hypot(x, y)


def _origin(corners: Sequence[XY], points: Sequence[Point]) -> XY | None:
    """The middle of the lots, or of the points where there are none."""
    found = corners or [(point.lon, point.lat) for point in points]
    if not found:
        return None
    return median(lon for lon, _ in found), median(lat for _, lat in found)


def _metres(place: XY, origin: XY) -> XY:
    """East and south of the origin: as flat as the ground is over a few kilometres."""
    east = (place[0] - origin[0] + 180) % 360 - 180
    scale = math.cos(math.radians(origin[1]))
    return east * scale * _METRES_PER_DEGREE, (origin[1] - place[1]) * _METRES_PER_DEGREE


@dataclass(frozen=True, slots=True)
class _Frame:
    """The part of the ground that is shown, in metres, and how many units a metre is."""

    left: float
    top: float
    scale: float
    height: float

    def units(self, at: XY) -> XY:
        return (at[0] - self.left) * self.scale, (at[1] - self.top) * self.scale

    def shows(self, at: XY) -> bool:
        return 0 <= at[0] <= WIDTH and 0 <= at[1] <= self.height


def _frame(
    corners: Sequence[XY], seen: Sequence[tuple[Point, XY]], around_m: float | None
) -> _Frame:
    places = [at for _, at in seen]
    if around_m is not None and places:
        left, top, right, bottom = _box([places[0]] if corners or len(places) == 1 else places)
        left, top, right, bottom = (
            left - around_m,
            top - around_m,
            right + around_m,
            bottom + around_m,
        )
    else:
        left, top, right, bottom = _box(corners or [(0.0, 0.0)])
        near = [
            (x, y)
            for x, y in places
            if left - APART_M <= x <= right + APART_M and top - APART_M <= y <= bottom + APART_M
        ]
        left, top, right, bottom = _box([(left, top), (right, bottom), *near])
    wide, high = max(right - left, SMALLEST_M), max(bottom - top, SMALLEST_M / 2)
    scale = min((WIDTH - 2 * MARGIN) / wide, (HIGHEST - 2 * MARGIN) / high)
    height = max(high * scale + 2 * MARGIN, LOWEST)
    return _Frame(
        (left + right) / 2 - WIDTH / scale / 2,
        (top + bottom) / 2 - height / scale / 2,
        scale,
        height,
    )


def _box(places: Sequence[XY]) -> tuple[float, float, float, float]:
    xs, ys = [x for x, _ in places], [y for _, y in places]
    return min(xs), min(ys), max(xs), max(ys)


# Drawing


@dataclass(slots=True)
class _Drawing:
    """What is drawn so far. Points come first: their labels have the first choice of room."""

    frame: _Frame
    outside: list[Point] = field(default_factory=list)
    _ground: list[str] = field(default_factory=list)
    _above: list[str] = field(default_factory=list)
    _labels: list[str] = field(default_factory=list)
    _markers: list[XY] = field(default_factory=list)
    _waiting: list[tuple[Point, XY]] = field(default_factory=list)
    _narrow: list[_Box] = field(default_factory=list)
    _wide: list[_Box] = field(default_factory=list)

    def add_point(self, point: Point, at: XY) -> None:
        true = self.frame.units(at)
        if not self.frame.shows(true):
            self.outside.append(point)
            return
        place = self._free(true)
        self._markers.append(place)
        self._take(_around(place, _MARKER + 1, _MARKER + 1))
        told = f"{point.name} – {point.told}" if point.told else point.name
        parts = [f"<title>{escape(told)}</title>"]
        if point.accuracy_m and math.isfinite(point.accuracy_m):
            reach = min(max(point.accuracy_m, 0.0) * self.frame.scale, 2 * WIDTH)
            parts.append(f'<circle class="accuracy" {_centre(true)} r="{_number(reach)}"/>')
        if place != true:
            parts.append(f'<path class="leader" d="M{_pair(true)}L{_pair(place)}"/>')
        parts.append(_marker(point.tone, place))
        self._above.append(f'<g class="{_classes("point", point.tone)}">{"".join(parts)}</g>')
        self._waiting.append((point, place))

    def add_lot(self, lot: Lot, shape: Sequence[Sequence[XY]], tone: str) -> None:
        self._place_points()
        rings = [
            kept
            for ring in shape
            for kept in [_thinned(_clipped([self.frame.units(p) for p in ring], self.frame.height))]
            if len(kept) > 2
        ]
        if not rings:
            return
        path = "".join(f"M{'L'.join(map(_pair, ring))}Z" for ring in rings)
        told = lot.id if lot.name in ("", lot.id) else f"{lot.id} – {lot.name}"
        self._ground.append(
            f'<g class="{_classes("lot", tone)}"><title>{escape(told)}</title>'
            f'<path fill-rule="evenodd" d="{path}"/></g>'
        )
        left, top, right, bottom = _box([place for ring in rings for place in ring])
        middles = _middles(rings)
        name = _box_of(_shown(lot.id), (0, 0), "middle", TEXT)
        if name[2] - name[0] > right - left:  # it lies better beside so small a shape
            away = 0.6 * NARROW_TEXT + 2
            x = (left + right) / 2
            middles = [(x, bottom + away), (x, top - away), *middles]
        self._label(lot.id, "lot-name", [(middle, "middle") for middle in middles])

    def _place_points(self) -> None:
        for point, (x, y) in self._waiting:
            away = _MARKER + 5
            beside = [((x + away, y), "start"), ((x - away, y), "end")]
            beside += [((x, y + away + 8), "middle"), ((x, y - away - 8), "middle")]
            self._label(point.name, "point-name", beside)
        self._waiting.clear()

    def _free(self, at: XY) -> XY:
        """The place nearest to a point where its marker hides no other."""
        for turn in range(60):
            far = 0.0 if turn == 0 else 2.2 * _MARKER * (1 + (turn - 1) // 10)
            angle = turn * math.tau / 10
            place = at[0] + far * math.cos(angle), at[1] + far * math.sin(angle)
            if all(math.dist(place, other) >= 2 * _MARKER for other in self._markers):
                return place
        return at

    def _label(self, text: str, kind: str, places: Sequence[tuple[XY, str]]) -> None:
        """Write a label at the first of some places where it hides nothing, if there is one."""
        shown = _shown(text)
        for size, taken, only in ((NARROW_TEXT, self._narrow, ""), (TEXT, self._wide, "wide")):
            for at, anchor in places:
                box = _box_of(shown, at, anchor, size)
                if not self._is_inside(box) or any(_meet(box, other) for other in taken):
                    continue
                normal = _box_of(shown, at, anchor, TEXT)
                if not only:
                    if any(_meet(normal, other) for other in self._wide):
                        continue
                    self._narrow.append(box)
                self._wide.append(normal)
                self._labels.append(
                    f'<text class="{_classes(kind, only)}" text-anchor="{anchor}"'
                    f' dominant-baseline="central" {_corner(at)}>{escape(shown)}</text>'
                )
                return

    def _is_inside(self, box: _Box) -> bool:
        return box[0] >= 0 and box[1] >= 0 and box[2] <= WIDTH and box[3] <= self.frame.height

    def _take(self, box: _Box) -> None:
        self._narrow.append(box)
        self._wide.append(box)

    def svg(self, id: str, title: str, description: str) -> Markup:
        self._place_points()
        height = _number(self.frame.height)
        names = [f"{id}-title"] + ([f"{id}-desc"] if description else [])
        told = f'<title id="{escape(names[0])}">{escape(title)}</title>'
        if description:
            told += f'<desc id="{escape(names[1])}">{escape(description)}</desc>'
        return Markup(
            f'<svg class="map" viewBox="0 0 {_number(WIDTH)} {height}" role="img"'
            f' aria-labelledby="{escape(" ".join(names))}">{told}'
            f'<rect class="ground" width="{_number(WIDTH)}" height="{height}"/>'
            + "".join(self._ground + self._above + self._labels + list(self._scale_bar()))
            + "</svg>"
        )

    def _scale_bar(self) -> Iterator[str]:
        """How long some round number of metres is, in the corner below."""
        longest = WIDTH / 4 / self.frame.scale
        step = 10.0 ** math.floor(math.log10(longest))
        metres = max(step * n for n in (1, 2, 5) if step * n <= longest)
        told = (
            f"{metres / 1000:g}\N{NO-BREAK SPACE}km"
            if metres >= 1000
            else f"{metres:g}\N{NO-BREAK SPACE}m"
        )
        left, low = 10.0, self.frame.height - 10
        right = left + metres * self.frame.scale
        yield (
            f'<g class="scale"><path d="M{_pair((left, low - 5))}L{_pair((left, low))}'
            f'L{_pair((right, low))}L{_pair((right, low - 5))}"/>'
            f"<text {_corner((left + 4, low - 5))}>{told}</text></g>"
        )


def _marker(tone: str, at: XY) -> str:
    x, y = at
    if tone not in ("bad", "wait"):
        return f'<circle class="marker" {_centre(at)} r="{_number(_MARKER)}"/>'
    top, side, low = (x, y - _MARKER - 2), _MARKER + 1, y + _MARKER - 1
    corners = "L".join(map(_pair, (top, (x + side, low), (x - side, low))))
    return f'<path class="marker" d="M{corners}Z"/>'


def _clipped(ring: Sequence[XY], height: float) -> list[XY]:
    """The part of a ring that lies on the map, or at its very edge (Sutherland and Hodgman)."""
    found = list(ring)
    sides = (
        (0, -1.0, MARGIN),
        (0, 1.0, WIDTH + MARGIN),
        (1, -1.0, MARGIN),
        (1, 1.0, height + MARGIN),
    )
    for axis, sign, limit in sides:
        kept: list[XY] = []
        for a, b in zip([*found[-1:], *found[:-1]], found, strict=True):
            is_in, was_in = sign * b[axis] <= limit, sign * a[axis] <= limit
            if is_in != was_in:
                part = (sign * limit - a[axis]) / (b[axis] - a[axis])
                kept.append((a[0] + part * (b[0] - a[0]), a[1] + part * (b[1] - a[1])))
            if is_in:
                kept.append(b)
        found = kept
    return found


def _thinned(ring: Sequence[XY]) -> list[XY]:
    """A ring without the corners that nobody could tell apart."""
    kept: list[XY] = []
    for place in ring:
        if not kept or math.dist(place, kept[-1]) >= FINEST:
            kept.append(place)
    if len(kept) > 1 and math.dist(kept[0], kept[-1]) < FINEST:
        kept.pop()
    return kept


def _middles(rings: Sequence[Sequence[XY]]) -> list[XY]:
    """Where a shape has most room from side to side, the best first; never outside of it."""
    _, top, _, bottom = _box([place for ring in rings for place in ring])
    found: list[tuple[float, XY]] = []
    for i in range(_SCANLINES):
        part = (i + 0.5) / _SCANLINES
        y = top + part * (bottom - top)
        crossings = sorted(
            a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0])
            for ring in rings
            for a, b in zip([*ring[-1:], *ring[:-1]], ring, strict=True)
            if (a[1] <= y) != (b[1] <= y)
        )
        for left, right in zip(crossings[::2], crossings[1::2], strict=False):
            # Of places with as much room, the one in the middle.
            worth = (right - left) * (1 - abs(part - 0.5))
            found.append((worth, ((left + right) / 2, y)))
    return [place for _, place in sorted(found, key=lambda each: -each[0])[:4]]


def _shown(text: str) -> str:
    return text if len(text) <= LONGEST_LABEL else f"{text[: LONGEST_LABEL - 1]}…"


def _box_of(text: str, at: XY, anchor: str, size: float) -> _Box:
    """About where a text lies: fonts differ."""
    wide = sum(
        1.0 if unicodedata.east_asian_width(character) in "WF" else 0.62 for character in text
    )
    long, (x, y) = wide * size, at
    left = x - {"start": 0.0, "middle": long / 2, "end": long}[anchor]
    return left, y - size * 0.6, left + long, y + size * 0.6


def _around(at: XY, x: float, y: float) -> _Box:
    return at[0] - x, at[1] - y, at[0] + x, at[1] + y


def _meet(one: _Box, other: _Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _classes(*names: str) -> str:
    return " ".join(str(escape(name)) for name in names if name)


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _pair(at: XY) -> str:
    return f"{_number(at[0])} {_number(at[1])}"


def _centre(at: XY) -> str:
    return f'cx="{_number(at[0])}" cy="{_number(at[1])}"'


def _corner(at: XY) -> str:
    return f'x="{_number(at[0])}" y="{_number(at[1])}"'
