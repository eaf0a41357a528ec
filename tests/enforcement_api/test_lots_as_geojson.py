"""Lots as GeoJSON: what goes out comes in again, and what cannot be taken is told by its place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from enforcement_api.sites import geojson
from enforcement_api.sites.core import SitePlan
from enforcement_api.sites.geojson import Import, ImportChanged, NotGeoJson
from sync.entities import Lot, Site, Zone

SQUARE = [[-71.9, 45.4], [-71.8, 45.4], [-71.8, 45.5], [-71.9, 45.5], [-71.9, 45.4]]
HOLE = [[-71.87, 45.42], [-71.85, 45.42], [-71.85, 45.44], [-71.87, 45.42]]
AREA = json.dumps({"type": "Polygon", "coordinates": [SQUARE]}, separators=(",", ":"))
P1, P2 = Lot("P1", "375, rue Argyll", "G1", AREA), Lot("P2", "Étage 2", None, None)


def plan(*lots: Lot) -> SitePlan:
    site = Site("1085", "CHUS", "", "America/Toronto", "CA-QC", "avis", 24, 90, None, (), None)
    names = {"fr": "x", "en": "x"}
    return SitePlan(site, (Zone("G1", names, None), Zone("G2", names, None)), lots, ())


def feature(
    code: Any = "P9", coordinates: Any = None, kind: str = "Polygon", **more: Any
) -> dict[str, Any]:
    given = [SQUARE] if coordinates is None else coordinates
    geometry = {"type": kind, "coordinates": given}
    return {"type": "Feature", "properties": {"code": code}, "geometry": geometry} | more


def compared(*features: Any, here: SitePlan | None = None) -> Import:
    return geojson.compared(list(features), here or plan(P1, P2))


def reason(given: Any, language: str = "en") -> str:
    found = compared(given)
    (refused,) = found.refused
    assert refused.index == 0
    return refused.reason.text(language)


def remarks(given: Any) -> list[str]:
    found = compared(given)
    assert found.refused == ()
    return [remark.text("en") for remark in found.changes[0].remarks]


def test_what_goes_out_changes_nothing_when_it_comes_in() -> None:
    text = geojson.collection([P1, P2])
    found = compared(*geojson.read(text))
    assert [change.what for change in found.changes] == ["unchanged", "unchanged"]
    assert found.refused == ()


def test_every_lot_goes_out_with_its_names_and_its_area_as_it_is_kept() -> None:
    corners = "[-71.90,45.40],[-71.8,45.4],[-71.8,45.5],[-71.90,45.40]"
    area = f'{{"type":"Polygon","coordinates":[[{corners}]]}}'
    text = geojson.collection([Lot("P1", "A", "G1", area), P2])
    assert area in text
    first, second = json.loads(text)["features"]
    assert first["id"] == "P1"
    assert first["properties"] == {"code": "P1", "name": "A", "zone": "G1"}
    assert second["geometry"] is None
    assert second["properties"]["name"] == "Étage 2"


def test_no_lots_are_a_collection_too() -> None:
    assert geojson.read(geojson.collection([])) == []


def test_plan_tells_added_changed_unchanged_and_missing() -> None:
    moved = feature("P1", [HOLE])
    found = compared(moved, feature("P3"))
    assert [(c.what, c.after.id, c.fields) for c in found.changes] == [
        ("changed", "P1", ("area",)),
        ("added", "P3", ()),
        ("missing", "P2", ()),
    ]
    assert found.changes[0].before == P1
    assert (found.changes[0].after.name, found.changes[0].after.zone) == (P1.name, "G1")


def test_name_and_zone_come_in() -> None:
    given = feature("P2", properties={"code": "P2", "name": "Toit", "zone": "G2"}, geometry=None)
    (change,) = compared(given, here=plan(P2)).changes
    assert (change.fields, change.after) == (("name", "zone"), Lot("P2", "Toit", "G2", None))


def test_numbers_written_in_another_way_are_no_change() -> None:
    given = feature("P1", [[[lon * 1.0, lat] for lon, lat in SQUARE]])
    assert compared(given).changes[0].what == "unchanged"


def test_code_is_the_feature_s_id_where_its_properties_have_none() -> None:
    given = feature(id=12, properties=None)
    assert compared(given, here=plan()).changes[0].after.id == "12"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (7, "it is no feature"),
        (feature(None), "it has no code"),
        (feature("two words"), "its code cannot be used: must be 1 to 32 characters"),
        (feature(kind="LineString", coordinates=SQUARE), "it is not a polygon but LineString"),
        (feature(kind="Point", coordinates=SQUARE[0]), "it is not a polygon but Point"),
        (feature(geometry={"type": "GeometryCollection"}), "but GeometryCollection"),
        (feature(geometry=5), "it is not a polygon but None"),
        (feature(coordinates=[]), "its coordinates are not those of a polygon"),
        (feature(coordinates=[[]]), "its coordinates are not those of a polygon"),
        (feature(coordinates=[[SQUARE[0], SQUARE[1]]]), "fewer than three corners"),
        (feature(coordinates=[[[1, "2"], [3, 4]]]), "is not [longitude, latitude]"),
        (feature(coordinates=[[[True, 2], [3, 4]]]), "is not [longitude, latitude]"),
        (feature(coordinates=[[[289000.5, 5030000]]]), "[289000.5, 5030000], is not in degrees"),
        (feature(coordinates=[[[45.4, -171.9]]]), "seems to have the latitude first"),
        (feature(coordinates=[[[10**400, 0]]]), "is not in degrees"),
        (feature(coordinates=[[[i / 1000, 1] for i in range(2001)]]), "2002 positions, more than"),
        (feature(properties={"code": "P9", "zone": "G9"}), "the site has no zone G9"),
        (feature(properties={"code": "P9", "zone": {}}), "the site has no zone {}"),
        (
            feature(properties={"code": "P9", "name": "a\nb"}),
            "its name cannot be used: must be one",
        ),
        (feature(properties=[], id="P9", geometry=[]), "it is not a polygon"),
        (feature(properties={"code": "P9", "name": 3}), "its name is no text"),
    ],
)
def test_what_cannot_be_taken_is_told_by_its_place(given: Any, told: str) -> None:
    assert told in reason(given)
    assert reason(given, "fr")


def test_one_that_is_refused_leaves_the_others_and_its_own_lot_alone() -> None:
    found = compared(feature("P1", kind="Point"), feature("P3"))
    assert [(refused.index, refused.code) for refused in found.refused] == [(0, "P1")]
    assert [(c.what, c.after.id) for c in found.changes] == [("added", "P3"), ("missing", "P2")]


def test_second_of_a_code_is_refused() -> None:
    found = compared(feature("P3"), feature("P3", [HOLE]))
    assert [refused.index for refused in found.refused] == [1]


def test_what_is_mended_or_may_not_be_meant_is_said() -> None:
    assert remarks(feature(coordinates=[SQUARE[:-1]])) == ["a ring of it was not closed: it is now"]
    assert remarks(feature(coordinates=[SQUARE, HOLE])) == ["holes in it are no part of it: 1"]
    both = feature(kind="MultiPolygon", coordinates=[[SQUARE], [HOLE]])
    assert remarks(both) == ["it has 2 parts"]
    high = feature(coordinates=[[[*position, 190.5] for position in SQUARE]])
    assert remarks(high) == ["altitudes are left out"]


def test_ring_that_was_closed_here_is_kept_closed() -> None:
    (change,) = compared(feature("P3", [SQUARE[:-1]]), here=plan()).changes
    assert change.after.area == AREA


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "it is not JSON"),
        ("[" * 100_000, "it is not JSON"),
        ('{"type":"FeatureCollection","features":[NaN]}', "it is not JSON"),
        (b"\xff\xfe\x00", "it is not JSON"),
        ("[]", "it has no features"),
        ('{"type":"FeatureCollection","features":{}}', "it has no features"),
        (
            '{"type":"FeatureCollection","features":[],'
            '"crs":{"properties":{"name":"urn:ogc:def:crs:EPSG::32187"}}}',
            "it is in urn:ogc:def:crs:EPSG::32187",
        ),
        (json.dumps({"type": "FeatureCollection", "features": [0] * 5001}), "more than 5000"),
    ],
)
def test_file_that_is_none_is_refused_whole(text: str | bytes, told: str) -> None:
    with pytest.raises(NotGeoJson) as refused:
        geojson.read(text)
    assert told in refused.value.text("en")


def test_one_feature_by_itself_is_a_file_too() -> None:
    assert geojson.read(json.dumps(feature())) == [feature()]


def test_what_was_agreed_to_is_done_in_place() -> None:
    features = [feature("P3"), feature("P1", [HOLE])]
    found = compared(*features)
    after = geojson.agreed(features, found.agreement)(plan(P1, P2))
    assert [lot.id for lot in after.lots] == ["P1", "P2", "P3"]
    assert after.lots[1] is P2
    assert after.lots[0].area != AREA


def test_what_is_another_by_now_is_not_done() -> None:
    features = [feature("P1", [HOLE])]
    agreement = compared(*features).agreement
    renamed = plan(Lot("P1", "Autre nom", "G1", AREA), P2)
    with pytest.raises(ImportChanged):
        geojson.agreed(features, agreement)(renamed)
    elsewhere = plan(P1, Lot("P2", "Autre nom", None, None))
    assert geojson.agreed(features, agreement)(elsewhere).lots[1].name == "Autre nom"
