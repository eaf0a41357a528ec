"""Every page that the console has, as its routes tell: all can read it and use it, with everything
on it unfolded. A page that is new is looked at like the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page

from enforcement_api.console.web import COOKIE, ROOT
from tests.console.browsing import DESK, PHONE, Browser, Look, browsable
from tests.console.seeing import accessible, fits, keep
from tests.enforcement_api.console.doors import HERE, Door, House, doors
from tests.enforcement_api.console.visiting import visiting
from tests.service import new_id, running

SITE = f"{ROOT}/sites/{HERE}"
LOOKS = (Look("fr", PHONE), Look("en", DESK))
UNFOLD = "() => document.querySelectorAll('main details').forEach(each => { each.open = true; })"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with running(tmp_path_factory.mktemp("house")) as service:
        yield House(service)


@pytest.fixture
def address(house: House, browser: Browser) -> Iterator[str]:
    with browsable(house.service) as address:
        yield address
        browser.leave()


def seen_by(house: House, browser: Browser, address: str, look: Look, **facts: Any) -> Page:
    """A page of somebody who is signed in, in the look's language."""
    page = browser.open(address, look)
    who = visiting(house.service, f"lea{id(page)}@example.org", language=look.language, **facts)
    page.context.add_cookies(
        [{"name": COOKIE, "value": who.secret, "url": f"{address}{ROOT}", "httpOnly": True}]
    )
    return page


def wrong_with(page: Page, path: str, name: str) -> list[str]:
    """What somebody could not read or use of a page."""
    page.goto(path)
    page.evaluate(UNFOLD)
    wrong = []
    for looks_right in (accessible, fits):
        try:
            looks_right(page)
        except AssertionError as found:
            wrong.append(str(found))
    keep(page, f"every-{name}")
    return wrong


def is_page(house: House, door: Door) -> bool:
    """Whether it leads to a page by itself: not to a part of one, a picture or a file."""
    answer = house.administrator.get(house.path(door))
    return answer.is_success and answer.text[:20].lower().startswith("<!doctype html")


@pytest.mark.parametrize("look", LOOKS, ids=str)
def test_every_page_can_be_read_and_used(
    house: House, browser: Browser, address: str, look: Look
) -> None:
    page = seen_by(house, browser, address, look, role="administrator")
    shown = [door for door in doors() if door.method == "GET" and is_page(house, door)]
    assert len(shown) >= 40
    wrong = []
    for door in shown:
        name = door.path.removeprefix(ROOT).strip("/").replace("/", "-") or "home"
        wrong += wrong_with(page, house.path(door), name)
    assert not wrong, "\n\n".join(wrong)


@pytest.mark.parametrize("look", LOOKS, ids=str)
def test_what_cannot_be_shown_is_said_on_a_page_that_can_be_read(
    house: House, browser: Browser, address: str, look: Look
) -> None:
    browser.tolerate("status of 403")
    browser.tolerate("status of 404")
    browser.tolerate("status of 410")
    browser.tolerate("status of 422")
    page = seen_by(house, browser, address, look, sites=[HERE])
    problems = {
        "gone": f"{SITE}/infractions/{new_id()}",
        "no-such-page": f"{ROOT}/nowhere",
        "not-for-supervisors": f"{ROOT}/staff",
        "other-site": f"{ROOT}/sites/2000/review",
        "link-used": f"{ROOT}/password/{new_id()}",
        "what-was-asked": f"{SITE}/infractions?state=odd",
    }
    wrong = []
    for name, path in problems.items():
        wrong += wrong_with(page, path, f"problem-{name}")
    assert not wrong, "\n\n".join(wrong)
