"""An administrator looks after a site in a real browser: zones, lots on the map, codes, texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from enforcement_api.sites import store
from sync.entities import Lot
from tests.console.browsing import EVERY_LOOK, Browser, Look, browsable
from tests.console.seeing import accessible, fits, keep, tabbed
from tests.console.visiting import PLACES, area, signed_in
from tests.enforcement_api.console.visiting import Visiting
from tests.service import Service, picture, running

SETTINGS = "/console/sites/1085/settings"


@pytest.fixture(autouse=True)
def furnished(service: Service) -> None:
    furnish(service)


def furnish(service: Service) -> None:
    """A site with two zones, four lots, two codes, and a storm to come."""
    zones = [
        {
            "code": "G1",
            "name": {"fr": "Général, zone 1", "en": "General, zone 1"},
            "note": {
                "fr": "La nuit, le personnel peut utiliser les places de visiteurs jusqu’à 8 h 30.",
                "en": "At night, staff may use the visitors’ spaces until 8:30.",
            },
        },
        {"code": "V1", "name": {"fr": "Visiteurs", "en": "Visitors"}},
    ]
    lots = [
        {"code": code, "name": f"Stationnement {code}", "zone": zone, "area": area(*at)}
        for code, zone, at in PLACES
    ]
    window = {
        "from": "2026-12-24T05:00:00Z",
        "until": "2026-12-26T05:00:00Z",
        "zones": ["G1"],
        "reason": {"fr": "Tempête de neige", "en": "Snow storm"},
    }
    amounts = [
        {"from": "2026-01-01", "amount_cents": 5200},
        {"from": "2027-01-01", "amount_cents": 5700},
    ]
    codes = [
        {
            "code": "P01",
            "title": {"fr": "Sans permis valide", "en": "No valid permit"},
            "instruments": ["avis"],
            "article": "Conditions d’utilisation, clause 4",
            "amounts": amounts,
            "photos_required": 2,
        },
        {"code": "S01", "title": {"fr": "Voie réservée", "en": "Fire lane"}, "active": False},
    ]
    service.site(
        "1085",
        name="CIUSSS de l’Estrie – CHUS",
        address="375, rue Argyll, Sherbrooke",
        zones=zones,
        lots=[*lots, {"code": "P9", "name": "À dessiner"}],
        codes=codes,
        no_notice=[window],
    )
    texts = {"avis": {"fr": {"how_to_pay": "En ligne ou au guichet du P3."}}}
    service.admin.put("/v1/sites/1085/patrol-settings", json={"texts": texts})


@pytest.fixture
def anne(browser: Browser, service: Service, address: str, look: Look) -> tuple[Page, Visiting]:
    facts: dict[str, Any] = {"name": "Anne Roy", "role": "administrator", "sites": None}
    return signed_in(browser, service, address, look, **facts)


def lot(service: Service, code: str) -> Lot:
    plan = service.parts.record.read(lambda tx: store.plan(tx, "1085"))
    return next(lot for lot in plan.lots if lot.id == code)


def ring(service: Service, code: str) -> list[list[float]]:
    found: list[list[float]] = json.loads(lot(service, code).area or "null")["coordinates"][0]
    return found


@EVERY_LOOK
def test_pages_of_a_site_can_be_read_and_used_by_all(
    anne: tuple[Page, Visiting], look: Look
) -> None:
    page, _ = anne
    for name, path in {
        "settings": "",
        "settings-site": "/site",
        "settings-zone": "/zone?code=G1",
        "settings-times": "/times",
        "settings-patrols": "/patrols",
        "settings-lots": "/lots",
        "settings-lot": "/lot?code=P1",
        "settings-codes": "/codes",
        "settings-code": "/code?code=P01",
        "settings-texts": "/texts?paper=80",
    }.items():
        page.goto(SETTINGS + path)
        page.wait_for_load_state("networkidle")
        accessible(page)
        fits(page)
        keep(page, name)
    page.goto("/console/sites/new")
    accessible(page)
    fits(page)


def test_forms_and_maps_are_used_by_the_keyboard_alone(anne: tuple[Page, Visiting]) -> None:
    page, _ = anne
    for path in ("", "/zone?code=G1", "/lots", "/lot?code=P1", "/code?code=P01", "/texts"):
        page.goto(SETTINGS + path)
        page.wait_for_load_state("networkidle")
        tabbed(page)


def test_lot_is_drawn_by_clicks_and_saved(anne: tuple[Page, Visiting], service: Service) -> None:
    page, _ = anne
    page.goto(f"{SETTINGS}/lot?code=P9")
    ground = page.locator("#drawing-map")
    expect(page.locator("path.other-lot")).to_have_count(3)
    expect(page.locator("[data-do=draw]")).to_be_hidden()
    expect(page.locator("#still")).to_be_hidden()
    box = ground.bounding_box()
    assert box is not None
    for x, y in ((200, 100), (300, 100), (300, 180), (200, 180)):
        ground.click(position={"x": x, "y": y})
    expect(page.locator(".corner")).to_have_count(4)
    page.locator(".corner").first.click()
    expect(page.locator("#drawing-told")).to_contain_text("4 coins")
    expect(page.locator(".between")).to_have_count(4)
    expect(page.locator("[data-do=finish]")).to_be_hidden()
    # A click after it was closed draws nothing by mistake.
    ground.click(position={"x": 400, "y": 250})
    expect(page.locator(".corner")).to_have_count(4)
    page.locator(".between").nth(1).click()
    expect(page.locator(".corner")).to_have_count(5)
    page.locator("[data-do=undo]").click()
    expect(page.locator(".corner")).to_have_count(4)
    keep(page, "settings-drawn")
    page.locator("button.main").click()
    expect(page.locator("h1")).to_have_text("Stationnements")
    assert len(ring(service, "P9")) == 5


def test_corner_is_dragged(anne: tuple[Page, Visiting], service: Service) -> None:
    page, _ = anne
    page.goto(f"{SETTINGS}/lot?code=P1")
    before = page.locator("#corners").input_value()
    corner = page.locator(".corner").nth(2)
    corner.hover()
    page.mouse.down()
    box = corner.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 40, box["y"] + 30, steps=5)
    page.mouse.up()
    after = page.locator("#corners").input_value()
    changed = [a != b for a, b in zip(before.split("\n"), after.split("\n"), strict=True)]
    assert changed == [False, False, True, False]
    page.locator("button.main").click()
    expect(page.locator("h1")).to_have_text("Stationnements")
    shown = ", ".join(str(number) for number in reversed(ring(service, "P1")[2]))
    assert shown == after.split("\n")[2]


def test_corner_is_moved_added_deleted_and_taken_back_by_keys(
    anne: tuple[Page, Visiting], service: Service
) -> None:
    page, _ = anne
    page.goto(f"{SETTINGS}/lot?code=P1")
    field = page.locator("#corners")
    before = field.input_value()
    page.locator(".corner").nth(1).focus()
    for key in ("ArrowUp", "ArrowUp", "Shift+ArrowLeft"):
        page.keyboard.press(key)
    moved = field.input_value()
    assert moved.split("\n")[1] != before.split("\n")[1]
    expect(page.locator(".corner").nth(1)).to_be_focused()
    page.keyboard.press("Control+z")
    assert field.input_value() == before
    page.locator(".corner").nth(1).focus()
    page.keyboard.press("+")
    expect(page.locator(".corner")).to_have_count(5)
    expect(page.locator(".corner").nth(2)).to_be_focused()
    page.keyboard.press("Delete")
    expect(page.locator(".corner")).to_have_count(4)
    assert field.input_value() == before
    page.keyboard.press("ArrowDown")
    page.locator("button.main").press("Enter")
    expect(page.locator("h1")).to_have_text("Stationnements")
    assert lot(service, "P1").area is not None


def test_corners_that_are_typed_are_drawn(anne: tuple[Page, Visiting]) -> None:
    page, _ = anne
    page.goto(f"{SETTINGS}/lot?code=P9")
    field = page.locator("#corners")
    field.fill("45.3785, -71.9285\n45.3785, -71.9280\n45.3790, -71.9280")
    expect(page.locator(".corner")).to_have_count(3)
    field.fill("45.3785, -71.9285\nla guérite")
    expect(page.locator("#drawing-told")).to_contain_text("ligne 2")


def test_hostile_names_on_the_map_are_text(anne: tuple[Page, Visiting], service: Service) -> None:
    page, _ = anne
    name = "<img src=x onerror=alert(1)>"
    service.site("1085", lots=[{"code": "P1", "name": name, "area": area(*PLACES[0][2])}])
    page.goto(f"{SETTINGS}/lot")
    page.locator("path.other-lot").hover()
    expect(page.locator(".leaflet-tooltip")).to_have_text(f"P1 – {name}")


def test_site_is_looked_after_without_script(
    browser: Browser, service: Service, address: str
) -> None:
    facts: dict[str, Any] = {"role": "administrator", "sites": None}
    known, who = signed_in(browser, service, address, Look("en"), **facts)
    page = browser.open(address, Look("en"), script=False)
    page.context.add_cookies(known.context.cookies())
    page.goto(f"{SETTINGS}/lot?code=P9")
    expect(page.locator("svg.map")).to_be_visible()
    expect(page.locator("#drawing")).to_be_hidden()
    page.fill("#corners", "45.3785, -71.9285\n45.3785, -71.9280\n45.3790, -71.9280")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("h1")).to_have_text("Lots")
    text = who.get(f"{SETTINGS}/lots.geojson").text.replace("Stationnement P1", "Argyll")
    file = {"name": "lots.geojson", "mimeType": "application/geo+json", "buffer": text.encode()}
    page.set_input_files("#file", [file])
    page.get_by_role("button", name="Show what it would change").click()
    expect(page.locator("main")).to_contain_text("Argyll")
    page.get_by_role("button", name="Do it").click()
    expect(page.locator("main")).to_contain_text("are taken")
    assert lot(service, "P1").name == "Argyll"


@EVERY_LOOK
def test_what_a_file_would_change_can_be_read_by_all(
    anne: tuple[Page, Visiting], look: Look
) -> None:
    page, who = anne
    features = json.loads(who.get(f"{SETTINGS}/lots.geojson").text)["features"]
    features[0]["properties"]["name"] = "Argyll"
    features.append({"type": "Feature", "properties": {"code": "P7", "zone": "G9"}})
    features.append(
        {"type": "Feature", "id": "P8", "geometry": area(45.3801, -71.9289), "properties": {}}
    )
    text = json.dumps({"type": "FeatureCollection", "features": features})
    page.goto(f"{SETTINGS}/lots")
    file = {"name": "x.geojson", "mimeType": "application/geo+json", "buffer": text.encode()}
    page.set_input_files("#file", [file])
    page.locator("form[action$=import] button").click()
    expect(page.locator("#refused")).to_be_visible()
    accessible(page)
    fits(page)
    keep(page, "settings-import")


@pytest.mark.parametrize("mebibytes", [5, 40])
def test_file_that_is_too_large_is_answered_by_a_page(
    anne: tuple[Page, Visiting], browser: Browser, tmp_path: Path, mebibytes: int
) -> None:
    page, _ = anne
    (tmp_path / "lots.geojson").write_bytes(b" " * (mebibytes << 20))
    page.goto(f"{SETTINGS}/lots")
    browser.tolerate("status of 413")
    page.set_input_files("#file", [tmp_path / "lots.geojson"])
    page.locator("form[action$=import] button").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("C’est trop volumineux")
    expect(page.locator("main")).to_contain_text("4 MiB")
    accessible(page)
    fits(page)


def test_texts_are_previewed_then_saved(anne: tuple[Page, Visiting], service: Service) -> None:
    page, _ = anne
    page.goto(f"{SETTINGS}/texts")
    page.fill("#avis_fr_footer", "Merci de votre collaboration.")
    page.select_option("#paper", "80")
    page.get_by_role("button", name="Aperçu").click()
    expect(page.locator("svg.sheet.mm80")).to_be_visible()
    page.locator("summary", has_text="mots").click()
    expect(page.locator(".words")).to_contain_text("Merci de votre collaboration.")
    page.get_by_role("button", name="Enregistrer").click()
    expect(page.locator("[role=status]")).to_be_visible()
    told = service.admin.get("/v1/sites/1085/patrol-settings").json()
    assert told["texts"]["avis"]["fr"]["footer"] == "Merci de votre collaboration."


def test_ground_comes_from_the_tiles_that_are_set(browser: Browser, tmp_path: Path) -> None:
    tiles = "https://tiles.example.org"
    browser.tolerate(f"elsewhere: GET {tiles}")
    settings = {"map_tiles": f"{tiles}/{{z}}/{{x}}/{{y}}.png", "map_attribution": "© <Cartes>"}
    with running(tmp_path / "tiled", **settings) as service, browsable(service) as address:
        furnish(service)
        facts: dict[str, Any] = {"role": "administrator", "sites": None}
        page, _ = signed_in(browser, service, address, Look("fr"), **facts)
        ground = picture("darkseagreen", kind="PNG", size=(256, 256))
        page.route(
            f"{tiles}/**", lambda route: route.fulfill(body=ground, content_type="image/png")
        )
        page.goto(f"{SETTINGS}/lot?code=P1")
        expect(page.locator(".leaflet-tile-loaded").first).to_be_visible()
        expect(page.locator(".leaflet-control-attribution")).to_contain_text("© <Cartes>")
        for button in (".leaflet-control-zoom-out", ".leaflet-control-zoom-in") * 2:
            page.locator(button).click()
        page.wait_for_load_state("networkidle")
        accessible(page)
        keep(page, "settings-tiles")
