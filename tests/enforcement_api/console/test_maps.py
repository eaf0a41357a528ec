"""Maps of lots: what is drawn, where, and that nothing of it is anything but a drawing."""

from __future__ import annotations

import json
import math
import re
import time
from xml.etree import ElementTree

import pytest

from enforcement_api.console import maps
from enforcement_api.console.maps import Map, Point
from sync.entities import Lot

LAT, LON = 45.4, -71.9
NORTH = 111_320.0
EAST = NORTH * math.cos(math.radians(LAT))
SVG = "{http://www.w3.org/2000/svg}"


def place(x: float, y: float) -> tuple[float, float]:
    """Longitude and latitude so many metres east and north of a corner of the town."""
    return LON + x / EAST, LAT + y / NORTH


def lot(code: str, x: float, y: float, width: float = 80, depth: float = 50, name: str = "") -> Lot:
    corners = ((0, 0), (width, 0), (width, depth), (0, depth), (0, 0))
    ring = [list(place(x + east, y + north)) for east, north in corners]
    return Lot(code, name or code, None, json.dumps({"type": "Polygon", "coordinates": [ring]}))


def point(name: str, x: float, y: float, accuracy: float | None = None, tone: str = "") -> Point:
    lon, lat = place(x, y)
    return Point(name, lat, lon, accuracy, tone)


def drawn(made: Map | None) -> ElementTree.Element:
    assert made is not None
    text = str(made.svg).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    return ElementTree.fromstring(text)


def of_class(root: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [each for each in root.iter() if name in each.get("class", "").split()]


def box(shape: ElementTree.Element) -> tuple[float, float, float, float]:
    path = next(shape.iter(f"{SVG}path")).get("d", "")
    numbers = [float(each) for each in re.findall(r"-?[\d.]+", path)]
    return min(numbers[::2]), min(numbers[1::2]), max(numbers[::2]), max(numbers[1::2])


def test_lots_keep_their_proportions_and_lie_as_the_compass_has_them() -> None:
    root = drawn(maps.draw([lot("A", 0, 0), lot("B", 200, 120, 40, 100)], id="m", title="Lots"))

    a, b = (box(shape) for shape in of_class(root, "lot"))

    assert (a[2] - a[0]) / (a[3] - a[1]) == pytest.approx(80 / 50, rel=0.01)
    assert (b[2] - b[0]) / (b[3] - b[1]) == pytest.approx(40 / 100, rel=0.01)
    assert b[0] > a[2], "B lies east of A"
    assert b[3] < a[1], "B lies north of A"


def test_an_accuracy_is_a_circle_of_as_many_metres() -> None:
    root = drawn(maps.draw([lot("A", 0, 0)], [point("H7", 40, 25, 20)], id="m", title="Lots"))

    (shape,), (circle,) = of_class(root, "lot"), of_class(root, "accuracy")

    left, _, right, _ = box(shape)
    assert float(circle.get("r", "")) / (right - left) == pytest.approx(20 / 80, rel=0.02)


def test_what_is_wrong_has_another_shape_and_not_only_another_colour() -> None:
    points = [point("H7", 10, 10), point("H8", 60, 40, tone="bad")]
    root = drawn(maps.draw([lot("A", 0, 0)], points, id="m", title="Lots"))

    kinds = {marker.tag for marker in of_class(root, "marker")}

    assert kinds == {f"{SVG}circle", f"{SVG}path"}


def test_markers_at_one_place_are_all_seen() -> None:
    points = [point(f"H{n}", 40, 25) for n in range(12)]
    root = drawn(maps.draw([lot("A", 0, 0)], points, id="m", title="Lots"))

    centres = [
        (float(each.get("cx", "")), float(each.get("cy", ""))) for each in of_class(root, "marker")
    ]

    assert len(centres) == 12
    assert min(math.dist(a, b) for a in centres for b in centres if a != b) >= 13.9


def test_no_label_hides_another() -> None:
    lots = [lot(f"LOT-{n}", 22 * (n % 10), 22 * (n // 10), 20, 20) for n in range(60)]
    points = [point(f"Handheld {n}", 7 * n, 5 * n) for n in range(25)]
    root = drawn(maps.draw(lots, points, id="m", title="Lots"))

    labels = [each for each in root.iter(f"{SVG}text") if each.get("class")]
    boxes = [
        maps._box_of(
            each.text or "",
            (float(each.get("x", "")), float(each.get("y", ""))),
            each.get("text-anchor", ""),
            maps.TEXT,
        )
        for each in labels
    ]

    assert len(boxes) > 20
    assert not [(a, b) for i, a in enumerate(boxes) for b in boxes[i + 1 :] if maps._meet(a, b)]
    assert of_class(root, "wide"), "some labels are for wide screens alone"


def test_lots_far_apart_are_maps_of_their_own_and_points_go_to_the_one_they_are_on() -> None:
    lots = [lot("A1", 0, 0), lot("A2", 150, 0), lot("B1", 5_000, 5_000)]
    points = [point("near B", 5_040, 5_020), point("nowhere", 90_000, 0)]

    found, beyond = maps.sheets(lots, points, id="m", title="Lots")

    assert [len(of_class(drawn(made), "lot")) for made in found] == [2, 1]
    assert [len(of_class(drawn(made), "point")) for made in found] == [0, 1]
    assert [each.name for each in beyond] == ["nowhere"]


def test_one_wild_position_does_not_shrink_the_lots() -> None:
    alone = drawn(maps.draw([lot("A", 0, 0)], id="m", title="Lots"))
    wild = maps.draw([lot("A", 0, 0)], [Point("H7", 0.0, 0.0)], id="m", title="Lots")

    assert [box(each) for each in of_class(alone, "lot")] == [
        box(each) for each in of_class(drawn(wild), "lot")
    ]
    assert wild is not None
    assert [each.name for each in wild.outside] == ["H7"]


def test_around_a_point_only_what_is_near_is_drawn() -> None:
    lots = [lot("A", 0, 0), lot("B", 3_000, 0)]
    root = drawn(maps.draw(lots, [point("here", 40, 25)], id="m", title="x", around_m=100))

    assert len(of_class(root, "lot")) == 1


def test_a_lot_with_a_hole_is_labelled_beside_the_hole() -> None:
    outer = [list(place(x, y)) for x, y in ((0, 0), (300, 0), (300, 300), (0, 300), (0, 0))]
    inner = [list(place(x, y)) for x, y in ((60, 60), (240, 60), (240, 240), (60, 240), (60, 60))]
    area = json.dumps({"type": "MultiPolygon", "coordinates": [[outer, inner]]})
    root = drawn(maps.draw([Lot("P1", "P1", None, area)], id="m", title="Lots"))

    (label,) = of_class(root, "lot-name")
    left, top, right, bottom = box(of_class(root, "lot")[0])
    inside = (float(label.get("y", "")) - top) / (bottom - top)

    assert inside < 0.2 or inside > 0.8
    assert right - left > 0


def test_hostile_names_are_text() -> None:
    hostile = '"><script>alert(1)</script>'
    made = maps.draw(
        [lot(hostile, 0, 0, name="\N{RIGHT-TO-LEFT OVERRIDE}</svg>")],
        [Point(hostile * 40, *reversed(place(10, 10)), tone='x" onload="y', told="&<b>")],
        id='m" onload="x',
        title=hostile,
        description=hostile,
    )
    root = drawn(made)

    assert not [each for each in root.iter() if each.tag.endswith("script")]
    assert not [name for each in root.iter() for name in each.attrib if name.startswith("on")]
    assert not [each for each in root.iter() if each.get("style")]


def test_it_is_a_picture_with_a_name_and_a_description() -> None:
    root = drawn(maps.draw([lot("A", 0, 0)], id="m", title="Lots", description="A"))

    told = {each.get("id"): each.text for each in root if each.get("id")}

    assert root.get("role") == "img"
    assert root.get("aria-labelledby", "").split() == ["m-title", "m-desc"]
    assert told == {"m-title": "Lots", "m-desc": "A"}


@pytest.mark.parametrize(
    ("lots", "points"),
    [([], []), ([Lot("A", "A", None, None)], []), ([], [Point("H", math.nan, 0.0)])],
)
def test_of_nothing_there_is_no_map(lots: list[Lot], points: list[Point]) -> None:
    assert maps.draw(lots, points, id="m", title="Lots") is None
    assert maps.sheets(lots, points, id="m", title="Lots")[0] == []


def test_a_site_without_areas_shows_where_its_devices_are() -> None:
    found, beyond = maps.sheets([], [point("H7", 0, 0, 15)], id="m", title="Lots")

    assert len(of_class(drawn(found[0]), "point")) == 1
    assert beyond == ()


def test_lots_of_many_corners_are_drawn_small_and_quickly() -> None:
    ring = [
        list(place(80 * math.cos(n * math.tau / 2000), 80 * math.sin(n * math.tau / 2000)))
        for n in range(2000)
    ]
    area = json.dumps({"type": "Polygon", "coordinates": [[*ring, ring[0]]]})
    lots = [Lot("A", "A", None, area), *(lot(f"L{n}", 100 * n, 0) for n in range(1, 100))]
    maps.sheets(lots, [], id="m", title="Lots")

    began = time.process_time()
    found, _ = maps.sheets(lots, [point("H", 10, 10)], id="m", title="Lots")

    assert time.process_time() - began < 0.1
    assert len(found[0].svg) < 60_000
