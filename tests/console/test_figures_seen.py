"""The figures in a browser: read by eye, by ear and by keyboard, on a desk and on a phone."""

from __future__ import annotations

import random
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import Connection

from enforcement_api.console.web import COOKIE
from enforcement_api.database.bulk import add_rows
from enforcement_api.database.tables import catch_up_tallies
from enforcement_api.figures import counting
from enforcement_api.figures.core import Counted, Standing
from enforcement_api.infractions.lifecycle import VOID_REASONS
from sync.validity import VERDICTS
from tests.console.browsing import EVERY_LOOK, Browser, Look
from tests.console.seeing import accessible, fits, keep
from tests.console.visiting import signed_in
from tests.enforcement_api.console.visiting import visiting
from tests.service import NOW, Service

HERE = "/console/sites/1085/figures"
MONTREAL = ZoneInfo("America/Toronto")
LOTS = {
    "P1": "Stationnement des visiteurs, hôpital Fleurimont",
    "P2": "Étagé",
    "P3": "Argyll, entrée principale",
    "P7": "Centre de recherche",
    "P9": "<script>alert(1)</script> \u202e" + "long" * 12,
}
OVERLAPS = """() => {
  const shown = element => element.getClientRects().length > 0
  const found = []
  for (const svg of document.querySelectorAll('.chart-drawing')) {
    const card = svg.closest('.card').getBoundingClientRect()
    const texts = [...svg.querySelectorAll('text')].filter(shown)
    const boxes = texts.map(text => text.getBoundingClientRect())
    boxes.forEach((a, i) => {
      if (a.left < card.left || a.right > card.right) found.push('out: ' + texts[i].textContent)
      boxes.slice(i + 1).forEach((b, j) => {
        if (a.left < b.right && b.left < a.right && a.top + 1 < b.bottom && b.top + 1 < a.bottom)
          found.push(texts[i].textContent + ' / ' + texts[i + j + 1].textContent)
      })
    })
  }
  return found
}"""
"""Texts of charts that lie upon one another, or outside of their cards."""


@pytest.fixture
def counted(service: Service) -> Service:
    """Two months of a site."""
    zones = [
        {"code": c, "name": {"fr": f"Zone {c}", "en": f"Zone {c}"}} for c in ("G1", "V1", "N1")
    ]
    lots = [{"code": code, "name": name, "zone": "G1"} for code, name in LOTS.items()]
    service.site("1085", name="CIUSSS de l'Estrie - CHUS", zones=zones, lots=lots)
    chance = random.Random(7)

    def fill(tx: Connection) -> None:
        for ago in range(56):
            at = NOW - timedelta(days=ago)
            day = at.astimezone(MONTREAL).date()
            for _ in range(chance.randrange(4, 14)):
                one = Counted(
                    site="1085",
                    day=day,
                    zone=chance.choice(["G1", "G1", "V1"]),
                    lot=chance.choice(["P1", "P1", "P2", "P3", "P9", None]),
                    codes=[chance.choice(["P01", "P01", "P03", "R01", "S01"])],
                    patroller=chance.choice(["Marie", "Luc", "Zoé"]),
                    outcome=chance.choice(["notice", "notice", "warning", "no_issue"]),
                )
                states = ["confirmed"] * 6 + ["voided"] + ["received"] * (ago < 3) * 4
                standing = Standing(chance.choice(states), chance.choice(list(VOID_REASONS)))
                counting.infraction_came(tx, one, standing, observed_at=at)
            bands = [(band, chance.randrange(200 >> 2 * band)) for band in range(4)]
            add_rows(tx, catch_up_tallies, [("1085", day, band, n) for band, n in bands])
            for _ in range(chance.randrange(20, 60)):
                verdict = chance.choice([*["valid"] * 20, *VERDICTS])
                lot = chance.choice(["P1", "P2", "P3"])
                hour = timedelta(hours=chance.randrange(-9, 5))
                counting.check_came(tx, "1085", at=at + hour, zone="G1", lot=lot, verdict=verdict)

    service.parts.record.write(fill)
    return service


@pytest.fixture
def figures(browser: Browser, address: str, counted: Service, look: Look) -> Page:
    """The page, of a supervisor who is signed in."""
    page, _ = signed_in(browser, counted, address, look)
    page.goto(HERE)
    return page


@EVERY_LOOK
def test_figures_can_be_read_by_all(figures: Page) -> None:
    for by in ("zone", "lot"):
        figures.goto(f"{HERE}?by={by}")
        accessible(figures)
        fits(figures)
        assert figures.evaluate(OVERLAPS) == []
    keep(figures, "figures")


def test_tables_of_charts_open_by_keyboard(figures: Page) -> None:
    closed = figures.locator("main details:not([open])").first
    closed.locator("summary").focus()
    figures.keyboard.press("Enter")
    expect(figures.get_by_role("region", name="Infractions au fil du temps")).to_be_visible()


def test_texts_of_charts_never_meet(figures: Page) -> None:
    for begins in ("2026-11-23", "2026-11-17", "2026-10-27", "2025-11-24", "2024-01-01"):
        figures.goto(f"{HERE}?from={begins}&to=2026-11-23&by=lot")
        for width in (320, 480, 640, 820, 1300):
            figures.set_viewport_size({"width": width, "height": 800})
            assert figures.evaluate(OVERLAPS) == [], (begins, width)
            fits(figures)


def test_page_is_whole_without_script(browser: Browser, address: str, counted: Service) -> None:
    somebody = visiting(counted, "luc@example.org", sites=["1085"], language="fr")
    page = browser.open(address, script=False)
    page.context.add_cookies([{"name": COOKIE, "value": somebody.secret, "url": address}])
    page.goto(HERE)
    expect(page.locator(".chart-drawing")).to_have_count(5)
