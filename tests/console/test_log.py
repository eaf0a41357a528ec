"""A supervisor searches the log, narrows it down and takes it out, in a real browser."""

from __future__ import annotations

import csv
import re
from datetime import timedelta
from typing import Any

import httpx
from playwright.sync_api import Page, expect

from enforcement_api.audit import store as audit
from enforcement_api.audit.core import Entry
from enforcement_api.audit.core import read as read_entry
from enforcement_api.console.web import COOKIE, ROOT
from sync import codec
from tests.console.browsing import EVERY_LOOK, PHONE, Browser, Look
from tests.console.furnished import log, marie, service
from tests.console.seeing import accessible, fits, keep, tabbed
from tests.console.visiting import signed_in, with_photos
from tests.enforcement_api.console.visiting import Visiting, visiting
from tests.enforcement_api.infraction_log import InfractionLog
from tests.enforcement_api.test_infractions import many
from tests.enforcement_api.test_limits import until
from tests.service import Service

__all__ = ["log", "marie", "service"]

LOG = "/console/sites/1085/infractions"


def a_week(log: InfractionLog) -> None:
    """What a week leaves in the log."""
    outcomes = ("notice", "notice", "warning", "no_issue")
    for n in range(12):
        log.record(
            f"K{n:02}ABC",
            number=f"1085-{n + 100:06}",
            zone=("G1", "V1", "G1")[n % 3],
            lot=("P1", "P3", "P2")[n % 3],
            patroller=("42", "marie")[n % 2],
            codes=["P01"] if n % 4 else ["P01", "R12"],
            outcome=outcomes[n % 4],
            note="rangée C, près de la borne" if n % 5 == 0 else None,
            observed_at=codec.instant(log.now - timedelta(hours=9 * (12 - n))),
        )
        log.now += timedelta(minutes=1)
    with_photos(log, "H42XKP", number="1085-000123", missing=1, lot="P1")
    log.record(None, number="1085-000124", plate_missing_reason="covered")
    log.permit("K07ABC")


def narrowing(page: Page, look: Look) -> None:
    """The facets, which a phone shows when they are asked for."""
    if look.size == PHONE:
        page.locator(".facets > summary").click()
    expect(page.locator(".facets h3").first).to_be_visible()


@EVERY_LOOK
def test_log_is_searched_and_narrowed_down_by_all(
    marie: tuple[Page, Visiting], log: InfractionLog, look: Look
) -> None:
    page, _ = marie
    a_week(log)
    page.goto(LOG)
    rows = page.locator(".found tbody tr")
    expect(rows).to_have_count(14)
    if look.size != PHONE:
        narrowing(page, look)
    tabbed(page)
    if look.size == PHONE:
        narrowing(page, look)
    accessible(page)
    fits(page)
    keep(page, "log")
    page.locator(".facets button[value='lot:P1']").click()
    page.wait_for_url("**lot=P1")
    expect(rows).to_have_count(5)
    page.goto(f"{LOG}?patroller=marie&zone=V1&zone=X9&differs=true&period=30d")
    expect(page.locator(".held .chip")).to_have_count(5)
    narrowing(page, look)
    page.locator(".more > summary").click()
    accessible(page)
    fits(page)
    keep(page, "log-filters")
    page.goto(LOG)
    page.locator("#find").fill("k05 abc")
    page.keyboard.press("Enter")
    expect(page.locator(".exact .lines a")).to_have_count(1)
    narrowing(page, look)
    accessible(page)
    fits(page)
    keep(page, "log-exact")
    page.locator(".exact .lines a").click()
    page.locator(".trail a", has_text=re.compile("Back to|Retour au")).click()
    page.wait_for_url("**q=k05+abc")


def test_filters_are_chosen_in_the_form_and_taken_away(
    marie: tuple[Page, Visiting], log: InfractionLog
) -> None:
    page, _ = marie
    a_week(log)
    page.goto(LOG)
    page.locator(".more > summary").click()
    page.locator("[name=zone][value=G1]").check()
    page.locator("[name=outcome][value=warning]").check()
    page.locator("[name=columns][value=note]").check()
    page.locator("[name=columns][value=photos_missing]").uncheck()
    page.locator(".more button").click()
    page.wait_for_url("**outcome=warning&columns=*")
    expect(page.locator(".found thead th").last).to_have_text("Note")
    expect(page.locator(".held .chip")).to_have_count(2)
    page.locator(".held .chip").first.click()
    page.wait_for_url(lambda url: "zone=" not in url)
    expect(page.locator(".held .chip")).to_have_count(1)


@EVERY_LOOK
def test_file_of_everything_tells_how_far_it_is(
    marie: tuple[Page, Visiting], log: InfractionLog, look: Look
) -> None:
    page, _ = marie
    many(log, 3000)
    page.goto(f"{LOG}?zone=G1")
    with page.expect_download() as downloading:
        page.locator("a[data-export]").first.click()
    expect(page.locator("#exports > *").first).to_be_visible()
    path = downloading.value.path()
    with path.open(encoding="utf-8", newline="") as file:
        lines = len(list(csv.reader(file)))
    assert lines >= 3001
    expect(page.locator("#exports .told.good")).to_be_visible()
    expect(page.locator("#exports-told")).not_to_be_empty()
    assert downloading.value.suggested_filename.endswith(".csv")
    accessible(page)
    fits(page)
    keep(page, "log-file")


def test_log_is_read_and_taken_out_without_script(
    browser: Browser, service: Service, address: str, log: InfractionLog
) -> None:
    look = Look("en")
    a_week(log)
    _, who = signed_in(browser, service, address, look)
    page = browser.open(address, look, script=False)
    page.context.add_cookies([{"name": COOKIE, "value": who.secret, "url": f"{address}{ROOT}"}])
    page.goto(LOG)
    page.locator("#q").fill("borne")
    page.locator(".asking .filters button").click()
    expect(page.locator(".found tbody tr")).to_have_count(3)
    page.locator(".facets > summary").click()
    page.locator(".facets a", has_text="Count what is found").click()
    expect(page.locator(".facets h3").first).to_be_visible()
    with page.expect_download() as downloading:
        page.locator("a[data-export]").first.click()
    assert "K00ABC" in downloading.value.path().read_text()


def test_file_that_nobody_waits_for_any_more_is_noted_as_given_up(
    service: Service, address: str, log: InfractionLog
) -> None:
    many(log, 15_000)
    who = visiting(service, "jean@example.org", sites=["1085"])
    cookies = {COOKIE: who.secret}
    url = f"{address}{LOG}/export.geojson?all=true"
    with httpx.Client(cookies=cookies) as client, client.stream("GET", url) as answer:
        assert answer.status_code == 200
        next(answer.iter_raw())

    def ended() -> list[Entry]:
        def look(tx: Any) -> list[Entry]:
            kept = audit.latest(tx, chain="1085", subject=None, before=None, limit=2)
            return [read_entry(one.text) for one in kept]

        found = service.parts.record.read(look)
        return [entry for entry in found if entry.action == "export-ended"]

    until(lambda: bool(ended()))
    (entry,) = ended()
    assert entry.facts["state"] == "cancelled"
    assert 0 < entry.facts["rows"] < 15_000


@EVERY_LOOK
def test_hostile_text_breaks_nothing(
    marie: tuple[Page, Visiting], log: InfractionLog, look: Look
) -> None:
    page, _ = marie
    for n, text in enumerate(
        ("<script>alert(1)</script>", "\u202egnp.exe", "W" * 100, "=cmd|' /C calc'!A0")
    ):
        log.record(
            f"X{n}",
            zone=text,
            lot=text,
            number=text,
            patroller=text,
            codes=[text, "P01"],
            note=text,
        )
    page.goto(f"{LOG}?zone={'W' * 100}&zone=%3Cscript%3E&q=%E2%80%AEexe")
    page.goto(LOG)
    narrowing(page, look)
    accessible(page)
    fits(page)
    keep(page, "log-hostile")
    page.goto(f"{LOG}?number={'W' * 100}&zone=%E2%80%AEgnp.exe&zone={'W' * 100}")
    narrowing(page, look)
    accessible(page)
    fits(page)
    keep(page, "log-hostile-filters")
