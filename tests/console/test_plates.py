"""Plates, requests and courtesy permits, in a real browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from enforcement_api.console.web import COOKIE, ROOT
from tests.console.browsing import EVERY_LOOK, Browser, Look
from tests.console.seeing import shown, tabbed
from tests.console.visiting import signed_in
from tests.enforcement_api.console.test_request_pages import HOSTILE, attach, pdf
from tests.enforcement_api.console.visiting import Visiting, visiting
from tests.service import Service, infraction, new_id, picture
from tests.subscribing import Office

HERE = "/console/sites/1085"


@pytest.fixture
def service(service: Service) -> Service:
    zones = [
        {"code": "G1", "name": {"fr": "Zone 1", "en": "Zone 1"}},
        {
            "code": "P2",
            "name": {"fr": "Médecins", "en": "Doctors"},
            "note": {
                "fr": "Ouverte au personnel de nuit jusqu’à 08 h 30.",
                "en": "Open to night staff until 08:30.",
            },
        },
    ]
    service.site("1085", name="CIUSSS de l’Estrie – CHUS", zones=zones)
    return service


@pytest.fixture
def lea(browser: Browser, service: Service, address: str, look: Look) -> tuple[Page, Visiting]:
    return signed_in(browser, service, address, look, name="Léa Roy", sees_subscribers=True)


@EVERY_LOOK
def test_requests_can_be_read_and_decided_by_all(
    lea: tuple[Page, Visiting], browser: Browser, service: Service, look: Look
) -> None:
    page, _ = lea
    browser.tolerate("status of 422")
    office = Office(service)
    question = {
        "code": "school",
        "text": {"fr": "Établissement d’enseignement", "en": "School"},
        "required": True,
    }
    office.product("5569", price_cents=2308, questions=[question], zones=["G1"])
    id = office.subscribe(
        *("ABC 123", "XYZ 789"),
        starts_on="2026-12-01",
        answers={"school": "Université de Sherbrooke"},
        attachments=[
            attach(service, picture("teal", size=(640, 800)), name="lettre de stage.jpg"),
            attach(service, pdf(), name="preuve.pdf"),
        ],
        payment={"method": "cheque", "cheque": attach(service, pdf(), "cheque")},
        message="Bonjour, je commence le 1er décembre. " + HOSTILE + " long" * 60,
    )
    service.clock.advance(minutes=2)
    second = office.subscribe(
        "DEF 456",
        answers={"school": "x" * 90},
        payment={"method": "card"},
    )
    page.goto(f"{HERE}/requests")
    shown(page, "requests")
    tabbed(page)
    page.locator(f"a[href*='{id}']").first.click()
    page.wait_for_load_state("networkidle")
    expect(page.locator(".file img")).to_be_visible()
    assert page.evaluate("() => document.querySelector('.file img').naturalWidth") == 640
    shown(page, "request")
    tabbed(page)
    reason = page.locator("#reason")
    reason.fill("Bienvenue")
    page.locator("button[value=approve]").click()
    page.wait_for_url(f"**/requests/{second}?*")
    shown(page, "request-next")
    page.locator("#reason").fill("")
    page.locator("button[value=refuse]").click()
    expect(page.get_by_role("alert")).to_be_visible()
    shown(page, "request-refused-without-reason")
    page.goto(f"{HERE}/requests/subscriptions/{id}")
    shown(page, "subscription")
    tabbed(page)
    page.goto(f"{HERE}/requests/subscriptions?q=john")
    shown(page, "subscriptions")


@EVERY_LOOK
def test_plates_can_be_looked_up_and_let_in_by_all(
    lea: tuple[Page, Visiting], service: Service, look: Look
) -> None:
    page, _ = lea
    id = Office(service).subscribed("ABC 123")
    device = service.device_client()
    device.put(f"/v1/infractions/{new_id()}", json=infraction("ABC123")).raise_for_status()
    entry = {"plate": "ABC 123", "reason": "Récidiviste, à surveiller", "priority": "high"}
    service.admin.put("/v1/sites/1085/hotlist/a", json=entry).raise_for_status()
    service.clock.advance(minutes=5)
    Office(service).act(id, "suspend")
    service.permit("ABC128", zone="G1")
    page.goto(f"{HERE}/plates")
    shown(page, "plates")
    tabbed(page)
    page.locator("#plate").fill("abc 123-4")
    page.locator("#purpose").select_option("contested")
    page.locator("#purpose_told").fill("Avis 1085-000123")
    page.locator("#purpose_told").press("Enter")
    expect(page.get_by_role("alert")).to_be_visible()
    shown(page, "plates-certificate")
    page.locator("button[value=plate]").press("Enter")
    page.wait_for_url("**/plates/CA-QC/ABC123")
    expect(page.locator(".verdict-now")).to_be_visible()
    shown(page, "plate")
    tabbed(page)
    page.locator("#zone").select_option("P2")
    page.locator("form.filters button").click()
    shown(page, "plate-elsewhere")
    page.goto(f"{HERE}/plates/CA-QC/ABC12B?for=review")
    expect(page.locator("mark").first).to_be_visible()
    shown(page, "plate-look-alike")
    page.locator("a[href*='courtesy/new']").click()
    page.locator("input[value=G1]").check()
    page.locator("#reason").fill("Voiture de prêt")
    shown(page, "courtesy-new")
    page.locator("form.card button.main").click()
    expect(page.get_by_role("status")).to_be_visible()
    shown(page, "courtesy")
    tabbed(page)
    page.locator("td.do button").click()
    page.goto(f"{HERE}/plates/feed?count=true")
    shown(page, "feed")


def test_request_is_decided_without_script_and_by_keys_alone(
    browser: Browser, service: Service, address: str
) -> None:
    who = visiting(service, sites=["1085"], sees_subscribers=True)
    page = browser.open(address, Look("en"), script=False)
    page.context.add_cookies([{"name": COOKIE, "value": who.secret, "url": f"{address}{ROOT}"}])
    office = Office(service)
    id = office.subscribe("ABC 123")
    page.goto(f"{HERE}/requests/{id}")
    page.locator("#reason").fill("Welcome")
    page.locator("button[value=approve]").press("Enter")
    page.wait_for_url(f"**/requests?done=approve&last={id}")
    expect(page.get_by_role("status")).to_contain_text("Approved")
    assert office.status(id) == "waiting"
