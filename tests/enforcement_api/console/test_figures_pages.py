"""The page of figures, its JSON twin and its files."""

from __future__ import annotations

import csv
import io
import re
from datetime import timedelta
from typing import Any

import pytest

from enforcement_api.console import figures_pages
from sync.codec import instant
from tests.enforcement_api.console.visiting import Visiting, visiting, words
from tests.service import NOW, Service, infraction, new_id

HERE = "/console/sites/1085/figures"
HOSTILE = "<script>alert(1)</script>\u202e=1+1"


@pytest.fixture
def filled(service: Service) -> Service:
    """Two infractions of today, one of a month ago, and checks in one zone."""
    device = service.device_client()
    for at, facts in (
        (NOW, {"lot": "P3", "codes": ["P01", "S01"]}),
        (NOW, {"zone": HOSTILE, "outcome": "warning"}),
        (NOW - timedelta(days=30), {}),
    ):
        answer = device.put(f"/v1/infractions/{new_id()}", json=infraction(at=at, **facts))
        assert answer.status_code == 201, answer.text
    for verdict in ("valid", "valid", "unknown"):
        body = {"kind": "check", "site": "1085", "at": instant(NOW), "zone": "G1"}
        device.put(f"/v1/events/{new_id()}", json=body | {"verdict": verdict}).raise_for_status()
    return service


def test_page_tells_what_there_was(filled: Service, supervisor: Visiting) -> None:
    told = words(supervisor.page(HERE))
    assert "Infractions recorded 2" in told
    assert "+100% against 1 in the period before" in told
    assert "Plates checked 3" in told
    assert "not visited" in told


def test_page_is_there_before_anything_was(service: Service, supervisor: Visiting) -> None:
    told = words(supervisor.page(HERE))
    assert "Nothing in this period." in told
    assert "none in the period before" in told


@pytest.mark.parametrize("language", ["fr", "en"])
@pytest.mark.parametrize("by", ["zone", "lot", "code", "patroller", "nonsense"])
def test_every_dimension_has_a_page(filled: Service, by: str, language: str) -> None:
    somebody = visiting(filled, f"{language}@example.org", sites=["1085"], language=language)
    page = somebody.page(HERE, by=by)
    assert len(re.findall(r"<figure", page)) == 5
    assert "<script>alert" not in page
    assert "style=" not in page


@pytest.mark.parametrize(
    ("first", "last"), [("2026-01-01", "2026-11-23"), ("2024-01-01", "2026-11-23")]
)
def test_long_periods_are_told_by_weeks_and_months(
    filled: Service, supervisor: Visiting, first: str, last: str
) -> None:
    page = supervisor.page(HERE, **{"from": first, "to": last})
    assert "Infractions recorded 3" in words(page)
    assert page.count('class="chart-slot"') < 250


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"from": "2026-11-24", "to": "2026-11-23"}, "must not be before the first day"),
        ({"from": "yesterday"}, "must be a date"),
        ({"from": "1990-01-01"}, "at most"),
        ({"from": "2026-99-01"}, "must be a date"),
    ],
)
def test_period_that_is_none_is_told_and_the_last_weeks_shown(
    filled: Service, supervisor: Visiting, asked: dict[str, str], told: str
) -> None:
    answer = supervisor.get(HERE, **asked)
    assert answer.status_code == 422
    assert told in words(answer.text)
    assert "Infractions recorded 2" in words(answer.text)
    assert supervisor.get(f"{HERE}.json", **asked).status_code == 422


def test_twin_tells_the_same(filled: Service, supervisor: Visiting) -> None:
    twin = supervisor.twin(HERE, by="code")
    assert (twin["from"], twin["to"]) == ("2026-10-27", "2026-11-23")
    assert [(line["code"], line["recorded"]) for line in twin["code"]] == [("P01", 2), ("S01", 1)]
    assert twin["days"][-1]["notices"] == 1
    assert twin["checks"][-1]["valid"] == 2


@pytest.mark.parametrize(
    "name", ["days", "zone", "lot-voided", "patroller", "checks", "places", "handhelds"]
)
def test_every_figure_is_a_file(filled: Service, supervisor: Visiting, name: str) -> None:
    for asked in ({}, {"excel": "true"}):
        answer = supervisor.get(f"{HERE}/{name}.csv", **asked)
        assert answer.status_code == 200, answer.text
        assert f'"{name}-2026-10-27-2026-11-23.csv"' in answer.headers["content-disposition"]
        rows = list(
            csv.reader(io.StringIO(answer.text, newline=""), delimiter=";" if asked else ",")
        )
        assert len({len(row) for row in rows}) == 1


def test_long_table_shows_its_beginning_and_the_file_has_all(
    filled: Service, supervisor: Visiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures_pages, "MOST_ROWS", 1)
    page = supervisor.page(HERE, by="code")
    assert "The first 1 of 2. The file has all of them." in words(page)
    table = page[page.index('id="by-what"') : page.index('id="voided"')]
    assert len(re.findall('<th scope="row"', table)) == 1
    rows = list(csv.reader(io.StringIO(supervisor.get(f"{HERE}/code.csv").text, newline="")))
    assert {row[0] for row in rows[1:]} == {"P01", "S01"}


def test_file_that_is_none_is_not_found(filled: Service, supervisor: Visiting) -> None:
    assert supervisor.get(f"{HERE}/secrets.csv").status_code == 404


def test_links_of_the_page_lead_to_its_files(filled: Service, supervisor: Visiting) -> None:
    page = supervisor.page(HERE, by="lot")
    links = [link.replace("&amp;", "&") for link in re.findall(r'href="([^"]*\.csv[^"]*)"', page)]
    assert len(links) == 12
    for link in links:
        assert supervisor.get(link).status_code == 200, link


def test_nobody_sees_the_figures_of_another_site(service: Service) -> None:
    service.site("2001")
    stranger = visiting(service, "luc@example.org", sites=["2001"])
    paths: list[Any] = ["", ".json", "/days.csv"]
    assert {stranger.get(HERE + path).status_code for path in paths} == {403}
