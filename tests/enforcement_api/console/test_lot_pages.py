"""A site's lots as pages: corners that are typed, and files of all of them."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from enforcement_api.console.lot_pages import area_of, corners_of
from enforcement_api.problems import Invalid
from enforcement_api.sites.core import SitePlan, area_text
from tests.enforcement_api.console.test_site_pages import HOSTILE, SETTINGS, expected, plan
from tests.enforcement_api.console.visiting import Visiting, fields, visiting, words
from tests.service import Service

RING = [[-71.901, 45.405], [-71.9, 45.405], [-71.9, 45.406], [-71.901, 45.405]]
POLYGON = {"type": "Polygon", "coordinates": [RING]}
CORNERS = "45.405, -71.901\n45.405, -71.9\n45.406, -71.9"


@pytest.fixture
def lots(service: Service) -> SitePlan:
    service.site(
        "1085",
        lots=[
            {"code": "P1", "name": "Argyll", "zone": "G1", "area": POLYGON},
            {"code": "P2", "name": "Bowen", "zone": "G2"},
        ],
    )
    return plan(service)


def lot_fields(visitor: Visiting, code: str = "P1", **typed: str) -> dict[str, str]:
    return {
        "expected": expected(visitor, f"{SETTINGS}/lot", code=code),
        "piece": code,
        "name": "Argyll",
        "zone": "G1",
        "corners": CORNERS,
    } | typed


# Corners


@pytest.mark.parametrize(
    "typed",
    [
        CORNERS,
        "45.405 -71.901\n45.405;-71.9\n45.406,-71.9\n45.405, -71.901",
        "45,405, -71,901\n45,405 -71,9\n  45,406 ; -71,9  \n",
    ],
)
def test_corners_are_read_however_people_type_them(typed: str) -> None:
    assert area_of(typed) == POLYGON


def test_empty_line_begins_another_part() -> None:
    area = area_of(f"{CORNERS}\n\n\n45, -71\n45, -72\n46, -72")
    assert area is not None
    assert area["type"] == "MultiPolygon"
    assert len(area["coordinates"]) == 2
    assert area_of("\n \n") is None


@pytest.mark.parametrize("area", [POLYGON, {"type": "MultiPolygon", "coordinates": [[RING]] * 2}])
def test_corners_come_back_as_they_were(area: dict[str, Any]) -> None:
    shown = corners_of(area_text(area))
    assert shown is not None
    assert area_of(shown) == area


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("45, -71\nhere\n46, -71", "line 2, “here”, is not a latitude and a longitude"),
        ("-71.9, 145\n45, -71\n46, -71", "line 1, “-71.9, 145”, is"),
        ("45, -71\n-100, 45\n46, -71", "lies nowhere on Earth"),
        ("45, -71\n45, -71\n46, -71", "fewer than three corners"),
        ("45, -71\n" * 3000, "fewer than three corners"),
    ],
)
def test_what_is_no_corner_is_told_by_its_line(typed: str, told: str) -> None:
    if "145" in typed:
        assert area_of(typed) is not None
        return
    with pytest.raises(Invalid) as refused:
        area_of(typed)
    assert told in refused.value.text("en")


# One lot


def test_lot_is_added_drawn_and_put_elsewhere(service: Service, administrator: Visiting) -> None:
    new = {"expected": expected(administrator, f"{SETTINGS}/lot"), "code": "P3"}
    administrator.sent(f"{SETTINGS}/lot", **new, name="", zone="", corners="")
    assert plan(service).lots[-1].area is None
    typed = lot_fields(administrator, "P3", name="Nouveau", zone="G2")
    leads = administrator.sent(f"{SETTINGS}/lot", **typed)
    page = administrator.page(leads)
    assert "The lot is saved" in words(page)
    assert "<svg" in page
    lot = plan(service).lots[-1]
    assert (lot.id, lot.name, lot.zone) == ("P3", "Nouveau", "G2")
    assert lot.area is not None
    assert json.loads(lot.area) == POLYGON
    service.assert_consistent()


def test_area_that_nobody_touched_keeps_its_numbers_as_they_are(
    service: Service, administrator: Visiting
) -> None:
    high = [[*place, 212] for place in RING]
    area = {"type": "Polygon", "coordinates": [high]}
    service.site("1085", lots=[{"code": "P1", "area": area}])
    before = plan(service).lots[0].area
    administrator.sent(f"{SETTINGS}/lot", **lot_fields(administrator, name="Autre"))
    assert (plan(service).lots[0].name, plan(service).lots[0].area) == ("Autre", before)


def test_lot_with_holes_keeps_its_area(service: Service, administrator: Visiting) -> None:
    area = {"type": "Polygon", "coordinates": [RING, RING]}
    service.site("1085", lots=[{"code": "P1", "area": area}])
    page = administrator.page(f"{SETTINGS}/lot", code="P1")
    assert "has holes" in words(page)
    assert 'name="corners"' not in page
    typed = lot_fields(administrator, name="Autre", corners="")
    administrator.sent(f"{SETTINGS}/lot", **typed)
    lot = plan(service).lots[0]
    assert lot.area is not None
    assert (lot.name, len(json.loads(lot.area)["coordinates"])) == ("Autre", 2)


def test_corners_that_are_none_are_refused_and_kept_as_typed(
    lots: SitePlan, service: Service, administrator: Visiting
) -> None:
    typed = lot_fields(administrator, corners="45.405, -71.901\nla guérite", name=HOSTILE)
    answer = administrator.send(f"{SETTINGS}/lot", **typed)
    assert answer.status_code == 422
    assert "Corners: line 2, “la guérite”" in words(answer.text)
    assert "la guérite</textarea>" in answer.text
    assert "<script>alert" not in answer.text
    assert plan(service) == lots


def test_stale_lot_is_told_what_somebody_else_changed(
    lots: SitePlan, service: Service, administrator: Visiting
) -> None:
    typed = lot_fields(administrator, name="Mine")
    other = visiting(service, "luc@example.org", role="administrator")
    other.sent(f"{SETTINGS}/lot", **lot_fields(other, name="Theirs", corners=""))
    answer = administrator.send(f"{SETTINGS}/lot", **typed)
    assert answer.status_code == 409
    told = words(answer.text)
    assert "Theirs" in told
    assert "removed" in told
    assert 'value="Mine"' in answer.text


def test_lot_is_removed(lots: SitePlan, service: Service, administrator: Visiting) -> None:
    typed = {"expected": expected(administrator, f"{SETTINGS}/lot", code="P2"), "piece": "P2"}
    administrator.sent(f"{SETTINGS}/lot/remove", **typed)
    assert [lot.id for lot in plan(service).lots] == ["P1"]


# The list


def test_lots_are_found_by_code_name_and_zone(lots: SitePlan, supervisor: Visiting) -> None:
    def shown(**query: str) -> str:
        return words(supervisor.page(f"{SETTINGS}/lots", **query))

    assert "1 lots" in shown(q="bow")
    assert "Argyll" not in shown(zone="G2")
    assert "No lot." in shown(q=HOSTILE)


def test_thousands_of_lots_are_paged(service: Service, supervisor: Visiting) -> None:
    service.site("1085", lots=[{"code": f"L{n}"} for n in range(250)])
    page = supervisor.page(f"{SETTINGS}/lots", page="3")
    assert "Page 3 of 3" in words(page)
    assert "L249" in page
    assert 'rel="next"' not in page
    assert supervisor.get(f"{SETTINGS}/lots", page="999").status_code == 200


# Files


def feature(code: str, **properties: Any) -> dict[str, Any]:
    known = {"code": code} | properties
    return {"type": "Feature", "id": code, "properties": known, "geometry": POLYGON}


def handed_in(visitor: Visiting, *features: Any) -> httpx.Response:
    text = json.dumps({"type": "FeatureCollection", "features": features})
    return visitor.send(
        f"{SETTINGS}/lots/import", files={"file": ("lots.geojson", text, "application/geo+json")}
    )


def test_downloaded_file_that_comes_back_changes_nothing(
    lots: SitePlan, administrator: Visiting, supervisor: Visiting
) -> None:
    answer = supervisor.get(f"{SETTINGS}/lots.geojson")
    assert answer.headers["content-type"] == "application/geo+json"
    assert "attachment" in answer.headers["content-disposition"]
    page = handed_in(administrator, *answer.json()["features"])
    assert page.status_code == 200
    assert "There is nothing to do" in words(page.text)


def test_file_is_shown_before_it_is_taken(
    lots: SitePlan, service: Service, administrator: Visiting
) -> None:
    features = [feature("P2"), feature("P3", name=HOSTILE), feature("P4", zone="NONE"), "x"]
    shown = handed_in(administrator, *features)
    assert shown.status_code == 200
    told = words(shown.text)
    assert "the site has no zone NONE" in told
    assert "Do it, without what is refused" in told
    assert "<script>alert" not in shown.text
    assert plan(service) == lots
    leads = administrator.sent(f"{SETTINGS}/lots/import/agree", **agreed(shown))
    assert "are taken" in words(administrator.page(leads))
    assert [lot.id for lot in plan(service).lots] == ["P1", "P2", "P3"]
    assert plan(service).lots[2].name == HOSTILE
    service.assert_consistent()


def agreed(shown: httpx.Response) -> dict[str, str]:
    return {name: fields(shown.text)[name] for name in ("packed", "agreement")}


def test_what_changed_since_it_was_shown_is_shown_again(
    lots: SitePlan, service: Service, administrator: Visiting
) -> None:
    shown = handed_in(administrator, feature("P2"))
    administrator.sent(f"{SETTINGS}/lot", **lot_fields(administrator, "P2", name="Autre"))
    answer = administrator.send(f"{SETTINGS}/lots/import/agree", **agreed(shown))
    assert answer.status_code == 409
    assert "The lots have changed since you looked" in words(answer.text)
    administrator.sent(
        f"{SETTINGS}/lots/import/agree", **agreed(handed_in(administrator, feature("P2")))
    )


@pytest.mark.parametrize("text", ["", "not JSON", "[]", '{"type": "FeatureCollection"}', "\0"])
def test_file_of_something_else_is_refused(
    lots: SitePlan, administrator: Visiting, text: str
) -> None:
    answer = administrator.send(f"{SETTINGS}/lots/import", files={"file": ("x.json", text)})
    assert answer.status_code == 422
    assert "This is no GeoJSON file of lots" in words(answer.text)


def test_form_that_is_too_large_is_answered_by_a_page(
    lots: SitePlan, service: Service, administrator: Visiting
) -> None:
    path, file = f"{SETTINGS}/lots/import", {"file": ("x.json", b" " * (4 << 20))}
    answer = administrator.send(path, files=file)
    assert answer.status_code == 413
    assert answer.headers["content-type"].startswith("text/html")
    told = "A form may have 4 MiB at most, with its files. Nothing was kept: go back"
    assert told in words(answer.text)
    assert "Anne Roy" in words(answer.text)
    assert plan(service) == lots


def test_form_that_is_too_large_is_answered_in_the_language_of_the_account(
    service: Service, administrator: Visiting
) -> None:
    path, file = f"{SETTINGS}/lots/import", {"file": ("x.json", b" " * (4 << 20))}
    administrator.sent("/console/language", language="fr")
    administrator.client.cookies.delete("patrouille_language")
    answer = administrator.client.post(path, files=file, headers={"Accept-Language": "en"})
    assert "Un formulaire peut avoir au plus 4 MiB" in words(answer.text)
    administrator.client.cookies.clear()
    answer = administrator.client.post(path, files=file, headers={"Accept-Language": "en"})
    assert answer.status_code == 413
    assert "A form may have 4 MiB at most" in words(answer.text)
    assert "Anne Roy" not in words(answer.text)


def test_program_whose_form_is_too_large_is_told_a_problem(administrator: Visiting) -> None:
    file = {"file": ("x.json", b" " * (4 << 20))}
    for path, accepts in ((f"{SETTINGS}/lots/import", "application/json"), ("/v1/sites", "*/*")):
        answer = administrator.client.post(path, files=file, headers={"Accept": accepts})
        assert answer.status_code == 413
        assert answer.json()["type"] == "/problems/too-large"


def test_no_file_is_told(administrator: Visiting) -> None:
    answer = administrator.send(f"{SETTINGS}/lots/import")
    assert answer.status_code == 422
    assert "File: is missing" in words(answer.text)


@pytest.mark.parametrize("packed", ["", "AAAA", "é", "eJwDAAAAAAE="])
def test_agreement_to_nothing_is_told(administrator: Visiting, packed: str) -> None:
    answer = administrator.send(f"{SETTINGS}/lots/import/agree", packed=packed, agreement="x")
    assert answer.status_code == 422
    assert "choose it again" in words(answer.text) or "no GeoJSON file" in words(answer.text)


def test_lot_typed_into_an_ended_session_is_kept(
    lots: SitePlan, service: Service, administrator: Visiting
) -> None:
    typed = lot_fields(administrator, name="Argyll, arrière")
    service.clock.advance(hours=13)
    answer = administrator.send(f"{SETTINGS}/lot", **typed)
    assert answer.status_code == 401
    kept = fields(answer.text)
    assert kept["kept_action"] == f"{SETTINGS}/lot"
    assert kept["kept-name"] == "Argyll, arrière"
    assert kept["kept-expected"] == typed["expected"]
    assert plan(service) == lots
