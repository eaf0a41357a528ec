"""A supervisor looks after patrols, in a real browser: devices, messages, the hotlist, PINs."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.console.browsing import EVERY_LOOK, Browser, Look
from tests.console.seeing import accessible, fits, keep, tabbed
from tests.console.visiting import area, signed_in
from tests.enforcement_api.console.patrolling import Patrol
from tests.enforcement_api.console.visiting import Visiting
from tests.service import Service

LIVE = "/console/sites/1085/live"
PLACES = [
    ("ARGYLL-P1", "G1", (45.3957, -71.9056)),
    ("ARGYLL-P2", "G2", (45.3949, -71.9048)),
    ("HOTEL-DIEU", "G1", (45.4471, -71.8672)),
]


@pytest.fixture
def site(service: Service) -> Service:
    lots = [
        {"code": code, "name": f"Stationnement {code}", "zone": zone, "area": area(*at)}
        for code, zone, at in PLACES
    ]
    service.site("1085", lots=lots, name="CIUSSS de l’Estrie – CHUS")
    people = (("marie", "4217", "Marie Tremblay"), ("luc", "5102", "Luc Ouellet"))
    for id, badge, name in people:
        body = {"badge": badge, "name": name, "pin": "204816"}
        service.admin.put(f"/v1/sites/1085/patrollers/{id}", json=body).raise_for_status()
    return service


@pytest.fixture
def marie(browser: Browser, site: Service, address: str, look: Look) -> tuple[Page, Visiting]:
    return signed_in(browser, site, address, look)


def a_morning(service: Service) -> dict[str, Patrol]:
    """Four devices: two at work, one of them badly off, one that was lost, one in its cradle."""
    found = {name: Patrol(service, name) for name in ("Terminal 7", "Terminal 8", "Terminal 9")}
    seven, eight, lost = found.values()
    service.device(name="Terminal 10")
    for patrol in found.values():
        patrol.catch_up()
        patrol.is_like(battery_percent=84, numbers_left=41)
    seven.tell("shift_started", shift="a", patroller="marie", zone="G1")
    eight.tell("shift_started", shift="b", patroller="luc", zone="G2")
    asked = lost.record(patroller="luc", lot="ARGYLL-P2", number="1085-77", plate="H42XKP")
    service.clock.advance(minutes=1)
    lost.ask(asked, "Dans quelle rangée était-ce ?")
    for n in range(6):
        seven.tell("check", patroller="marie", lot="ARGYLL-P1", zone="G1", place="rangée C")
        service.clock.advance(minutes=2 + n)
    seven.record(patroller="marie", position={"lat": 45.3959, "lon": -71.9053, "accuracy_m": 9})
    eight.record(patroller="luc", position={"lat": 45.4472, "lon": -71.867, "accuracy_m": 30})
    seven.is_like(battery_percent=78, numbers_left=39)
    eight.is_like(unsent=62, battery_percent=8, clock_offset_ms=-95_000, numbers_left=4)
    lost.client.close()
    return found


@EVERY_LOOK
def test_patrols_can_be_looked_after_by_all(
    marie: tuple[Page, Visiting], site: Service, look: Look
) -> None:
    page, who = marie
    patrols = a_morning(site)
    page.goto(LIVE)
    expect(page.locator("#devices tbody tr")).to_have_count(4)
    expect(page.locator("#devices tbody th").first).to_have_text("Terminal 8")
    seen(page, "live")
    page.goto(f"{LIVE}/devices/{patrols['Terminal 8'].id}")
    seen(page, "live-device")
    page.goto(f"{LIVE}/devices/{patrols['Terminal 9'].id}/revoke")
    seen(page, "live-revoke")
    page.locator("button.danger").click()
    expect(page.locator(".told.good")).to_be_visible()
    seen(page, "live-revoked")
    page.goto(f"{LIVE}/patrollers")
    expect(page.locator(".state.bad")).to_be_visible()
    seen(page, "live-patrollers")
    page.goto(f"{LIVE}/patrollers/marie")
    page.locator("form[action$=pin] button").click()
    expect(page.locator(".pin")).to_have_text(re.compile(r"^\d{3} \d{3}$"))
    seen(page, "live-pin")
    page.reload()
    expect(page.locator(".pin")).to_have_count(0)
    who.sent(f"{LIVE}/messages", to="", text="Le P3 est fermé jusqu’à 14 h.\nPassez par Argyll.")
    page.goto(f"{LIVE}/messages")
    seen(page, "live-messages")
    who.sent(
        f"{LIVE}/hotlist", plate="ABC 123", reason="Volé", priority="high", instructions="Appeler."
    )
    page.goto(f"{LIVE}/hotlist?plate=ABC123")
    seen(page, "live-hotlist")
    page.locator("td.do a").click()
    seen(page, "live-hotlist-one")


def seen(page: Page, name: str) -> None:
    accessible(page)
    fits(page)
    keep(page, name)
    # Within a field for a date, Tab goes from part to part: it comes to the same element again.
    if not page.locator("input[type=datetime-local]").count():
        tabbed(page)


@EVERY_LOOK
def test_handheld_is_enrolled_from_the_screen(
    marie: tuple[Page, Visiting], site: Service, look: Look
) -> None:
    page, _ = marie
    page.goto(f"{LIVE}/devices/new")
    seen(page, "live-enrol")
    page.locator("#name").fill("Terminal 11")
    page.locator("button.main").click()
    code = page.locator("#code")
    expect(code).to_be_visible()
    seen(page, "live-code")
    assert re.search(r"/live/devices/[0-9a-f-]{36}$", page.url), "loading it again sends nothing"
    answer = site.client(None).post("/v1/enrolments", json={"code": code.inner_text()})
    assert answer.status_code == 201
    expect(page.locator("#enrolled .told.good")).to_be_visible()
    seen(page, "live-enrolled")


def test_table_renews_itself_and_keeps_focus_and_place(
    marie: tuple[Page, Visiting], site: Service
) -> None:
    page, _ = marie
    patrols = a_morning(site)
    page.goto(LIVE)
    seven = page.locator(f"#device-{patrols['Terminal 7'].id}")
    seven.focus()
    patrols["Terminal 7"].is_like(battery_percent=5)
    with page.expect_response(lambda answer: answer.url.endswith("/live/part"), timeout=15_000):
        pass
    expect(page.locator("#devices tbody tr", has_text="Terminal 7")).to_contain_text("5")
    expect(seven).to_be_focused()


def test_patrols_fit_the_narrowest_screen_in_the_dark(
    browser: Browser, site: Service, address: str
) -> None:
    page, who = signed_in(browser, site, address, Look("fr", (320, 640)), scheme="dark")
    a_morning(site)
    for path in ("", "/devices/new", "/patrollers", "/messages", "/hotlist"):
        page.goto(f"{LIVE}{path}")
        fits(page)
        accessible(page)
        if not path:
            keep(page, "live")
    page.goto(f"{LIVE}/devices/new")
    page.locator("#name").fill("Terminal 12")
    page.locator("button.main").click()
    expect(page.locator(".qr")).to_be_visible()
    fits(page)
    keep(page, "live-code")
    assert who.twin(LIVE)["devices"]


def test_patrols_are_read_without_script(
    browser: Browser, site: Service, address: str, look: Look
) -> None:
    page, _ = signed_in(browser, site, address, look)
    a_morning(site)
    plain = browser.open(address, look, script=False)
    plain.context.add_cookies(page.context.cookies())
    plain.goto(LIVE)
    expect(plain.locator("#devices tbody tr")).to_have_count(4)
    expect(plain.locator("svg.map").first).to_be_visible()
    plain.locator("#renew").click()
    expect(plain.locator("#devices tbody tr")).to_have_count(4)
