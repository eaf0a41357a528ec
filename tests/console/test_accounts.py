"""Accounts of the staff in a real browser: let in, signed in, changed, ended; and what was typed
as a session ended.
"""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from enforcement_api.console.web import ROOT
from tests.console.browsing import EVERY_LOOK, Browser, Look
from tests.console.furnished import log, service
from tests.console.seeing import shown
from tests.console.visiting import signed_in, with_photos
from tests.enforcement_api.console.test_account_pages import PASSWORD, with_password
from tests.enforcement_api.console.visiting import Visiting
from tests.enforcement_api.infraction_log import InfractionLog
from tests.service import Service

__all__ = ["log", "service"]


@pytest.fixture
def anne(browser: Browser, service: Service, address: str, look: Look) -> tuple[Page, Visiting]:
    facts = {"name": "Anne Roy", "role": "administrator", "sites": None}
    return signed_in(browser, service, address, look, **facts)


@EVERY_LOOK
def test_somebody_is_invited_signs_in_and_is_let_out(
    anne: tuple[Page, Visiting], browser: Browser, address: str, look: Look
) -> None:
    page, _ = anne
    page.goto(f"{ROOT}/staff")
    page.locator("#name").fill("Léa Roy")
    page.locator("#email").fill("lea@example.org")
    page.locator("[name=site][value='1085']").check()
    page.locator("main form button.main").first.click()
    link = page.locator("#link").input_value()
    shown(page, "staff")

    hers = browser.open(address, look)
    hers.goto(link)
    for field in ("password", "password_again"):
        hers.locator(f"[name={field}]").fill(PASSWORD)
    shown(hers, "password")
    hers.locator("main button").first.click()
    hers.wait_for_url("**/sign-in*")
    hers.locator("[name=email]").fill("lea@example.org")
    hers.locator("[name=password]").fill(PASSWORD)
    shown(hers, "sign-in")
    hers.locator("main form button").first.click()
    hers.wait_for_url(re.compile(f"{ROOT}(/sites.*)?$"))
    shown(hers, "home")
    hers.goto(f"{ROOT}/account")
    shown(hers, "account")

    page.goto(f"{ROOT}/staff")
    page.get_by_role("link", name="Léa Roy").click()
    shown(page, "staff-one")
    page.locator("form[action*='/sessions/'] button").first.click()
    hers.goto(f"{ROOT}/account")
    expect(hers.locator("[name=password]")).to_be_visible()
    page.goto(f"{ROOT}/audit")
    shown(page, "audit")


@EVERY_LOOK
def test_decision_that_is_typed_as_the_session_ends_comes_back(
    browser: Browser, service: Service, log: InfractionLog, address: str, look: Look
) -> None:
    browser.tolerate("status of 401")
    id = with_photos(log, "H42XKP")
    email = with_password(service, language=look.language)
    page = browser.open(address, look)

    def sign_in() -> None:
        page.locator("[name=email]").fill(email)
        page.locator("[name=password]").fill(PASSWORD)
        page.locator("main form button").first.click()

    page.goto(f"{ROOT}/sites/1085/infractions/{id}")
    sign_in()
    page.wait_for_url(f"**/infractions/{id}*")
    page.locator("details[data-key=v] > summary").click()
    page.locator("[name=reason][value=misread_plate]").check()
    page.locator("#void-note").fill("Vu : un 0, pas un O")
    service.clock.advance(hours=13)
    page.locator("details[data-key=v] button.danger").click()
    expect(page.locator("[name=password]")).to_be_visible()
    shown(page, "sign-in-again")
    sign_in()
    expect(page.locator("main")).to_contain_text("Vu : un 0, pas un O")
    shown(page, "resume")
    page.locator("main form button.main").first.click()
    page.goto(f"{ROOT}/sites/1085/infractions/{id}")
    expect(page.locator("main .state").first).to_have_text(
        "Invalidée" if look.language == "fr" else "Voided"
    )


@EVERY_LOOK
def test_infraction_that_another_site_leads_to_is_opened_by_hand(
    browser: Browser, service: Service, log: InfractionLog, address: str, look: Look
) -> None:
    id = log.record("H42XKP")
    page, _ = signed_in(browser, service, address, look)
    page.set_content(f'<a href="{address}{ROOT}/sites/1085/infractions/{id}">see</a>')
    page.locator("a").click()
    page.wait_for_url(f"**/{id}")
    shown(page, "infraction-from-afar")
    page.locator("main a.button").click()
    expect(page.locator("main .plate").first).to_contain_text("H42XKP")
