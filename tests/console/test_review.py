"""A supervisor reviews what patrollers recorded, in a real browser."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.console.browsing import EVERY_LOOK, PHONE, Browser, Look
from tests.console.furnished import log, marie, service
from tests.console.seeing import accessible, fits, keep, tabbed
from tests.console.visiting import signed_in, with_photos
from tests.enforcement_api.console.visiting import Visiting
from tests.enforcement_api.infraction_log import InfractionLog
from tests.service import Service

__all__ = ["log", "marie", "service"]

HERE = {"lat": 45.37905, "lon": -71.92855, "accuracy_m": 9.0}


def a_day(log: InfractionLog) -> dict[str, str]:
    """What a day leaves to look at, by what is the matter with it."""
    made = {
        "differs": with_photos(
            log,
            "H42XKP",
            number="1085-000123",
            lot="P1",
            position=HERE,
            place="rangée C, près de la borne",
            vehicle={"make": "Toyota", "colour": "rouge"},
            note="Pare-brise déneigé.\nAucun permis affiché.",
        ),
        "clock": with_photos(log, "B17QRD", number="1085-000124", clock_jumped=True),
        "photos": with_photos(log, "C88NWT", number="1085-000125", missing=1, lot="P2"),
    }
    log.permit("H42XKP", permit_number="100014764")
    return made


@EVERY_LOOK
def test_queue_and_infraction_can_be_read_and_decided_by_all(
    marie: tuple[Page, Visiting], log: InfractionLog, look: Look
) -> None:
    page, _ = marie
    day = a_day(log)
    page.goto("/console/sites/1085/review")
    expect(page.locator("[data-row]")).to_have_count(3)
    accessible(page)
    fits(page)
    keep(page, "queue")
    tabbed(page)
    page.goto(f"/console/sites/1085/infractions/{day['differs']}")
    expect(page.locator(".photos img").first).to_be_visible()
    page.wait_for_load_state("networkidle")
    accessible(page)
    fits(page)
    keep(page, "infraction")
    tabbed(page)
    page.locator(".decide details[data-key=v] > summary").click()
    accessible(page)
    fits(page)
    keep(page, "infraction-void")
    if look.size != PHONE:
        page.keyboard.press("Escape")
    page.locator("[name=acknowledge_differs]").check()
    page.locator(".decide [data-key=c] button").click()
    expect(page.locator("#undo")).to_be_visible()
    accessible(page)
    fits(page)
    keep(page, "infraction-next")
    page.locator("#undo button").click()
    accessible(page)
    keep(page, "infraction-undone")


def gone_on_from(id: str) -> Callable[[str], bool]:
    """The page after the one on which an infraction was decided."""
    return lambda url: f"done={id}" in url and f"/infractions/{id}" not in url


def test_twenty_are_reviewed_from_the_keyboard_alone(
    marie: tuple[Page, Visiting], log: InfractionLog
) -> None:
    page, who = marie
    ids = [log.record(f"K{n:02}ABC", clock_jumped=True) for n in range(18)]
    ids.append(differing := log.record("H42XKP"))
    log.permit("H42XKP")
    ids.append(asked := log.record("Z99ZZZ", clock_jumped=True))
    page.goto("/console/sites/1085/review")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.locator(".case")).to_be_visible()
    slipped = False
    for n in range(20):
        here = page.url.partition("?")[0].rpartition("/")[2]
        assert here in ids
        if here == differing:
            page.keyboard.press("c")
            expect(page.locator("[name=acknowledge_differs]")).to_be_focused()
            page.keyboard.press("Space")
            page.keyboard.press("c")
        elif here == asked:
            page.keyboard.press("a")
            page.keyboard.type("Dans quelle rangée?")
            page.keyboard.press("Tab")
            page.keyboard.press("Enter")
        elif n % 3 == 0:
            page.keyboard.press("v")
            page.keyboard.press("3")
            page.keyboard.press("Enter")
        else:
            page.keyboard.press("c")
        page.wait_for_url(gone_on_from(here))
        if n >= 5 and not slipped and here not in (differing, asked):  # of the finger
            slipped = True
            page.keyboard.press("u")
            page.wait_for_url(f"**/infractions/{here}?*")
            expect(page.locator(".decide [data-key=c]")).to_be_visible()
            page.keyboard.press("c")
            page.wait_for_url(gone_on_from(here))
    expect(page.locator(".empty")).to_be_visible()
    assert slipped
    states = [who.twin(f"/console/sites/1085/infractions/{id}")["state"] for id in ids]
    assert states.count("information_requested") == 1
    assert "received" not in states
    page.keyboard.press("?")
    expect(page.locator("#keys dl")).to_be_visible()
    page.keyboard.press("/")
    expect(page.locator("#find")).to_be_focused()


def test_two_browsers_on_one_infraction_never_overwrite_each_other(
    browser: Browser, service: Service, address: str, log: InfractionLog
) -> None:
    look = Look("en")
    id = log.record("K01ABC", clock_jumped=True)
    first, who = signed_in(browser, service, address, look, email="a@example.org", name="Anne Roy")
    second, _ = signed_in(browser, service, address, look, email="b@example.org", name="Bob Lee")
    for page in (first, second):
        page.goto(f"/console/sites/1085/infractions/{id}")
    first.keyboard.press("c")
    first.wait_for_url("**done=*")
    second.keyboard.press("v")
    second.locator("#void-note").fill("The plate was O, not 0.")
    second.locator("[name=reason][value=misread_plate]").check()
    browser.tolerate("status of 409")
    second.locator("details[data-key=v] form button").click()
    expect(second.get_by_role("alert")).to_contain_text("Anne Roy has decided meanwhile")
    expect(second.locator("#void-note")).to_have_value("The plate was O, not 0.")
    accessible(second)
    keep(second, "infraction-moved-on")
    assert who.twin(f"/console/sites/1085/infractions/{id}")["state"] == "confirmed"


def test_everything_is_read_and_decided_without_script(
    browser: Browser, service: Service, address: str, log: InfractionLog
) -> None:
    from enforcement_api.console.web import COOKIE, ROOT

    look = Look("en")
    id = with_photos(log, "K01ABC", clock_jumped=True)
    _, who = signed_in(browser, service, address, look)
    page = browser.open(address, look, script=False)
    page.context.add_cookies([{"name": COOKIE, "value": who.secret, "url": f"{address}{ROOT}"}])
    page.goto("/console/sites/1085/review")
    page.locator("[data-open]").first.click()
    page.locator("details[data-key=v] > summary").click()
    page.locator("[name=reason][value=duplicate]").check()
    page.locator("details[data-key=v] form button").click()
    expect(page.locator("#undo")).to_be_visible()
    assert who.twin(f"/console/sites/1085/infractions/{id}")["state"] == "voided"
