"""A site's settings, zones, times without notices and what is set for patrols, as pages."""

from __future__ import annotations

from typing import Any

import pytest

from enforcement_api.audit import store as audit
from enforcement_api.patrols import store as patrols
from enforcement_api.sites import store
from enforcement_api.sites.core import SitePlan
from tests.enforcement_api.console.visiting import Visiting, fields, visiting, words
from tests.service import Service

SETTINGS = "/console/sites/1085/settings"
HOSTILE = "<script>alert(1)</script>\u202e'; DROP TABLE zones; --"


def plan(service: Service, site: str = "1085") -> SitePlan:
    return service.parts.record.read(lambda tx: store.plan(tx, site))


def expected(visitor: Visiting, path: str, **query: Any) -> str:
    """What a page's form says that it showed."""
    return fields(visitor.page(path, **query))["expected"]


def site_fields(visitor: Visiting, **typed: str) -> dict[str, str]:
    return {
        "expected": expected(visitor, f"{SETTINGS}/site"),
        "name": "CHUS",
        "address": "375, rue Argyll",
        "time_zone": "America/Toronto",
        "jurisdiction": "CA-QC",
        "instrument": "avis",
        "activation_hours": "24",
        "retention_days": "90",
        "stale_after_hours": "",
    } | typed


def zone_fields(visitor: Visiting, code: str, **typed: str) -> dict[str, str]:
    return {
        "expected": expected(visitor, f"{SETTINGS}/zone", code=code),
        "piece": code,
        "name_fr": "Général",
        "name_en": "General",
    } | typed


# Who sees what

FOR_ADMINISTRATORS = ["site", "zone", "lot"]


@pytest.mark.parametrize("page", ["", "/times", "/patrols", "/lots", "/codes", "/code?code=P01"])
def test_supervisor_sees_all_and_finds_no_button_that_changes(
    supervisor: Visiting, administrator: Visiting, page: str
) -> None:
    seen, may = supervisor.page(SETTINGS + page), administrator.page(SETTINGS + page)
    assert "expected" not in fields(seen)
    assert f'action="{SETTINGS}' not in seen
    assert "expected" in fields(may) or not page or "Add" in words(may)


@pytest.mark.parametrize("page", FOR_ADMINISTRATORS)
def test_forms_are_the_administrators_alone(supervisor: Visiting, page: str) -> None:
    assert supervisor.get(f"{SETTINGS}/{page}").status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "/site",
        "/zone",
        "/zone/remove",
        "/zone/move",
        "/times",
        "/times/remove",
        "/patrols",
        "/lot",
        "/lot/remove",
        "/lots/import",
        "/lots/import/agree",
        "/code",
        "/code/amount",
        "/code/amount/drop",
    ],
)
def test_supervisor_changes_nothing(service: Service, supervisor: Visiting, path: str) -> None:
    before = plan(service)
    answer = supervisor.send(f"{SETTINGS}{path}", piece="G2", name="x")
    assert answer.status_code == 403
    assert plan(service) == before


def test_site_that_is_none_of_theirs_is_not_shown(service: Service) -> None:
    service.site("2000")
    stranger = visiting(service, "jean@example.org", sites=["2000"])
    assert stranger.get(SETTINGS).status_code == 403


def test_overview_has_a_twin_with_what_is_set(service: Service, supervisor: Visiting) -> None:
    told = supervisor.twin(SETTINGS)
    assert told["name"] == "Site 1085"
    assert [zone["code"] for zone in told["zones"]] == ["G1", "G2"]
    assert told["settings"]["void_minutes"] == 10
    assert f'href="{SETTINGS}.json"' in supervisor.page(SETTINGS)


# What the site is


def test_settings_are_changed_and_the_rest_stays(service: Service, administrator: Visiting) -> None:
    leads = administrator.sent(
        f"{SETTINGS}/site", **site_fields(administrator, name="CHUS – Fleurimont")
    )
    assert "Saved" in words(administrator.page(leads))
    assert plan(service).site.name == "CHUS – Fleurimont"
    assert len(plan(service).zones) == 2
    found = service.parts.record.read(lambda tx: audit.entries(tx, "site:1085", site="1085"))
    assert found[-1].by == administrator.account.principal.actor


def test_what_is_wrong_is_told_by_the_fields_names_and_what_was_typed_stays(
    administrator: Visiting,
) -> None:
    typed = site_fields(administrator, name=HOSTILE, time_zone="Montreal", activation_hours="soon")
    answer = administrator.send(f"{SETTINGS}/site", **typed)
    assert answer.status_code == 422
    told = words(answer.text)
    assert "Time zone: must be the name of an IANA time zone" in told
    assert "Activation delay, in hours: must be a whole number" in told
    assert "<script>alert" not in answer.text
    assert 'value="soon"' in answer.text


def test_time_zone_of_a_site_with_permits_stays(service: Service, administrator: Visiting) -> None:
    service.permit("ABC123")
    typed = site_fields(administrator, time_zone="America/Vancouver")
    answer = administrator.send(f"{SETTINGS}/site", **typed)
    assert answer.status_code == 409
    assert "cannot change once the site has permits" in words(answer.text)
    assert 'value="America/Vancouver"' in answer.text


def test_stale_settings_are_told_what_somebody_else_changed(
    service: Service, administrator: Visiting
) -> None:
    other = visiting(service, "luc@example.org", role="administrator")
    typed = site_fields(administrator, name="Mine")
    other.sent(f"{SETTINGS}/site", **site_fields(other, name="Theirs", retention_days="30"))
    answer = administrator.send(f"{SETTINGS}/site", **typed)
    assert answer.status_code == 409
    told = words(answer.text)
    assert "Somebody else has changed this meanwhile" in told
    assert "Theirs" in told
    assert "30" in told
    assert 'value="Mine"' in answer.text
    assert plan(service).site.name == "Theirs"
    again = typed | {"expected": fields(answer.text)["expected"]}
    administrator.sent(f"{SETTINGS}/site", **again)
    assert plan(service).site.name == "Mine"


def test_administrator_creates_a_site(service: Service, administrator: Visiting) -> None:
    typed = site_fields(administrator, name="Lennoxville", instrument="constat")
    leads = administrator.sent("/console/sites/new", code="2040", **typed)
    assert "The site is there" in words(administrator.page(leads))
    made = plan(service, "2040")
    assert (made.site.name, made.site.instrument) == ("Lennoxville", "constat")
    assert "P01" in {code.id for code in made.codes}
    service.assert_consistent("2040")


@pytest.mark.parametrize(
    ("code", "told"),
    [("1085", "There is a site with this code already"), ("a/b", "Code: must be 1 to 32 letters")],
)
def test_code_of_a_site_that_cannot_be_is_refused(
    service: Service, administrator: Visiting, code: str, told: str
) -> None:
    before = plan(service)
    typed = site_fields(administrator, name="Another")
    answer = administrator.send("/console/sites/new", code=code, **typed)
    assert answer.status_code in (409, 422)
    assert told in words(answer.text)
    assert plan(service) == before


def test_supervisor_creates_no_site(supervisor: Visiting) -> None:
    assert supervisor.get("/console/sites/new").status_code == 403
    assert supervisor.send("/console/sites/new", code="2040", name="x").status_code == 403


# Zones


def test_zone_is_added_renamed_and_told_to_all(service: Service, administrator: Visiting) -> None:
    new = {
        "expected": expected(administrator, f"{SETTINGS}/zone"),
        "code": "VIS",
        "name_fr": "Visiteurs",
        "name_en": "Visitors",
        "note_fr": "La nuit, le personnel aussi.",
        "note_en": "At night, staff too.",
    }
    administrator.sent(f"{SETTINGS}/zone", **new)
    changed = zone_fields(administrator, "VIS", name_fr="Visite", name_en="Visit", note_fr="")
    administrator.sent(f"{SETTINGS}/zone", **changed)
    zone = plan(service).zones[-1]
    assert (zone.id, zone.name["fr"], zone.note) == ("VIS", "Visite", None)
    service.assert_consistent()


def test_note_in_one_language_alone_is_refused(administrator: Visiting) -> None:
    typed = zone_fields(administrator, "G1", note_fr="Seulement en français")
    answer = administrator.send(f"{SETTINGS}/zone", **typed)
    assert answer.status_code == 422
    assert "Note in English" in words(answer.text)
    assert "Seulement en français" in answer.text


def test_hostile_zone_is_shown_as_text(administrator: Visiting) -> None:
    typed = zone_fields(administrator, "G1", name_fr=HOSTILE, name_en=HOSTILE)
    administrator.sent(f"{SETTINGS}/zone", **typed)
    page = administrator.page(SETTINGS)
    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page


def test_zone_that_permits_name_stays_and_that_is_told(
    service: Service, administrator: Visiting
) -> None:
    service.permit("ABC123", zone="G1")
    typed = {"expected": expected(administrator, f"{SETTINGS}/zone", code="G1"), "piece": "G1"}
    answer = administrator.send(f"{SETTINGS}/zone/remove", **typed)
    assert answer.status_code == 409
    assert "Permits name a zone that would be removed" in words(answer.text)
    assert len(plan(service).zones) == 2


def test_zone_that_nothing_names_is_removed(service: Service, administrator: Visiting) -> None:
    typed = {"expected": expected(administrator, f"{SETTINGS}/zone", code="G2"), "piece": "G2"}
    leads = administrator.sent(f"{SETTINGS}/zone/remove", **typed)
    assert "Removed" in words(administrator.page(leads))
    assert [zone.id for zone in plan(service).zones] == ["G1"]


def test_order_of_zones_is_changed(service: Service, administrator: Visiting) -> None:
    administrator.sent(f"{SETTINGS}/zone/move", piece="G2", way="up")
    assert [zone.id for zone in plan(service).zones] == ["G2", "G1"]
    administrator.sent(f"{SETTINGS}/zone/move", piece="G2", way="up")
    assert [zone.id for zone in plan(service).zones] == ["G2", "G1"]
    administrator.sent(f"{SETTINGS}/zone/move", piece="G2", way="down")
    assert [zone.id for zone in plan(service).zones] == ["G1", "G2"]


def test_zone_with_a_slash_has_a_page(service: Service, administrator: Visiting) -> None:
    service.site("1085", zones=["G1", "N/S"])
    assert "N/S" in words(administrator.page(f"{SETTINGS}/zone", code="N/S"))
    assert administrator.get(f"{SETTINGS}/zone", code="none").status_code == 404


# Times without notices


def time_fields(visitor: Visiting, **typed: Any) -> dict[str, Any]:
    return {
        "expected": expected(visitor, f"{SETTINGS}/times"),
        "from": "2026-12-24T00:00",
        "until": "2026-12-26T00:00",
        "reason_fr": "Tempête",
        "reason_en": "Storm",
        "zones": ["G1"],
    } | typed


def test_time_is_on_the_sites_clock(service: Service, administrator: Visiting) -> None:
    administrator.sent(f"{SETTINGS}/times", **time_fields(administrator))
    (window,) = plan(service).site.no_notice
    assert window.begins.isoformat() == "2026-12-24T05:00:00+00:00"
    assert window.zones == ("G1",)
    assert "Storm" in words(administrator.page(SETTINGS))


def test_time_is_changed_and_removed(service: Service, administrator: Visiting) -> None:
    administrator.sent(f"{SETTINGS}/times", **time_fields(administrator))
    page = administrator.page(f"{SETTINGS}/times", change=0)
    assert 'value="2026-12-24T00:00"' in page
    later = time_fields(administrator, window="0", until="2026-12-25T12:30", all_zones="on")
    administrator.sent(f"{SETTINGS}/times", **later)
    (window,) = plan(service).site.no_notice
    assert window.ends.isoformat() == "2026-12-25T17:30:00+00:00"
    assert window.zones == ("*",)
    again = {"expected": expected(administrator, f"{SETTINGS}/times"), "window": "0"}
    administrator.sent(f"{SETTINGS}/times/remove", **again)
    assert plan(service).site.no_notice == ()


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ({"until": "2026-12-23T00:00"}, "Until: must be later than it begins"),
        ({"from": "tomorrow"}, "From: must be a date and a time"),
        ({"from": "0001-01-01T00:00"}, "From: must lie between the years 1970 and 9990"),
        ({"until": "9999-12-31T23:59"}, "Until: must lie between the years 1970 and 9990"),
        ({"reason_en": ""}, "Reason in English: is missing"),
        ({"zones": []}, "Zones: must have 1 entries at least"),
        ({"zones": ["G9"]}, "Zones (1): G9 is none of the zones of this site"),
    ],
)
def test_time_that_cannot_be_is_refused_by_the_fields_name(
    service: Service, administrator: Visiting, typed: dict[str, Any], told: str
) -> None:
    answer = administrator.send(f"{SETTINGS}/times", **time_fields(administrator, **typed))
    assert answer.status_code == 422
    assert told in words(answer.text)
    assert plan(service).site.no_notice == ()


def test_time_that_somebody_else_removed_is_not_removed_for_another(
    service: Service, administrator: Visiting
) -> None:
    administrator.sent(f"{SETTINGS}/times", **time_fields(administrator))
    second = time_fields(administrator, **{"from": "2027-01-01T00:00", "until": "2027-01-02T00:00"})
    administrator.sent(f"{SETTINGS}/times", **second)
    stale = {"expected": expected(administrator, f"{SETTINGS}/times"), "window": "0"}
    administrator.sent(f"{SETTINGS}/times/remove", **stale)
    answer = administrator.send(f"{SETTINGS}/times/remove", **stale)
    assert answer.status_code == 409
    assert "Somebody else has changed this meanwhile" in words(answer.text)
    assert len(plan(service).site.no_notice) == 1


# What is set for patrols


def patrol_fields(visitor: Visiting, **typed: str) -> dict[str, str]:
    return {
        "expected": expected(visitor, f"{SETTINGS}/patrols"),
        "repeat_days": "7",
        "two_vehicles_minutes": "120",
        "void_minutes": "20",
        "idle_lock_minutes": "10",
        "chalk_minutes": "15, 30 240",
        "ask_about_faces": "on",
    } | typed


def test_what_is_set_for_patrols_is_changed(service: Service, administrator: Visiting) -> None:
    leads = administrator.sent(f"{SETTINGS}/patrols", **patrol_fields(administrator))
    assert "Saved" in words(administrator.page(leads))
    kept = service.parts.record.read(lambda tx: patrols.settings(tx, "1085")).settings
    assert (kept.void_minutes, kept.chalk_minutes) == (20, [15, 30, 240])
    off = patrol_fields(administrator)
    del off["ask_about_faces"]
    administrator.sent(f"{SETTINGS}/patrols", **off)
    kept = service.parts.record.read(lambda tx: patrols.settings(tx, "1085")).settings
    assert not kept.ask_about_faces


def test_what_cannot_be_set_for_patrols_is_told(administrator: Visiting) -> None:
    typed = patrol_fields(administrator, void_minutes="5000", chalk_minutes="15 15")
    answer = administrator.send(f"{SETTINGS}/patrols", **typed)
    assert answer.status_code == 422
    told = words(answer.text)
    assert "Patrollers may void their own for, in minutes: must be at most 1440" in told
    assert "has the same time twice" in told
    assert 'value="5000"' in answer.text


def test_stale_patrol_settings_are_told(service: Service, administrator: Visiting) -> None:
    typed = patrol_fields(administrator, void_minutes="30")
    other = visiting(service, "luc@example.org", role="administrator")
    other.sent(f"{SETTINGS}/patrols", **patrol_fields(other, void_minutes="5"))
    answer = administrator.send(f"{SETTINGS}/patrols", **typed)
    assert answer.status_code == 409
    assert "Somebody else has changed this meanwhile" in words(answer.text)
    assert 'value="30"' in answer.text
