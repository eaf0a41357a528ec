"""A site changed by pieces: what others changed elsewhere stays, what they changed here is told."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any

import pytest

from enforcement_api.audit import store as audit
from enforcement_api.database.engine import Record
from enforcement_api.problems import Invalid
from enforcement_api.security import ForbiddenSite, Principal, is_secret_of
from enforcement_api.sites import core, pieces, sign_ins, store
from enforcement_api.sites.core import (
    BadgeTaken,
    SiteHasPermits,
    SitePlan,
    UnknownPatroller,
    UnknownSite,
    ZoneInUse,
)
from enforcement_api.sites.pieces import (
    AmountInForce,
    Edit,
    PartThere,
    Seen,
    SiteChanged,
    UnknownPart,
    ZoneHasParts,
)
from enforcement_api.sites.shapes import (
    CodeShape,
    HotlistEntryShape,
    LotShape,
    NamesShape,
    PatrollerShape,
    SettingsShape,
    SiteShape,
    WindowShape,
    ZoneShape,
)
from sync.codec import instant
from sync.entities import InfractionCode, Lot, Zone
from tests.contracts.composed import START, Composed
from tests.service import Service

OFFICE = Principal(id="ann", role="admin", name="Ann", source="ann", sites=frozenset({"1085"}))
TODAY = date(2026, 11, 23)


class Site(Composed):
    def __init__(self, record: Record) -> None:
        super().__init__(record)
        wanted = SiteShape.model_validate(
            {
                "name": "CHUS",
                "zones": [{"code": "G1"}, {"code": "G2"}, {"code": "G3"}],
                "lots": [{"code": "P1", "zone": "G1"}, {"code": "P2"}],
                "codes": [{"code": "P01", "title": {"fr": "Sans permis", "en": "No permit"}}],
            }
        )
        self.administration.put_site(wanted.plan("1085"), by=OFFICE, at=self.at)
        self.followed.clear()

    @property
    def plan(self) -> SitePlan:
        return self.record.read(lambda tx: store.plan(tx, "1085"))

    def seen(self, *names: str) -> Seen:
        """What a page carries, as it comes back."""
        return Seen.read(str(Seen.of(self.plan, *names)))

    def change(self, edit: Edit, seen: Seen | None = None, *, by: Principal = OFFICE) -> SitePlan:
        return self.administration.change_site("1085", edit, seen=seen, by=by, at=self.at)

    def log(self, subject: str = "site:1085") -> list[tuple[str, str, dict[str, Any]]]:
        found = self.record.read(lambda tx: audit.entries(tx, subject, site="1085"))
        return [(entry.by, entry.action, dict(entry.facts)) for entry in found]


@pytest.fixture
def site(record: Record) -> Site:
    return Site(record)


def zone(code: str = "G1", fr: str = "Zone", en: str = "Zone", **more: Any) -> Zone:
    shape = {"code": code, "name": {"fr": fr, "en": en}} | more
    return ZoneShape.model_validate(shape).entity()


def lot(code: str = "P1", **more: Any) -> Lot:
    return LotShape.model_validate({"code": code} | more).entity()


def code(id: str = "P01", fr: str = "Sans permis", **more: Any) -> InfractionCode:
    shape = {"code": id, "title": {"fr": fr, "en": "No permit"}} | more
    return CodeShape.model_validate(shape).entity()


def ids(parts: Sequence[Zone | Lot | InfractionCode]) -> list[str]:
    return [part.id for part in parts]


def test_piece_is_changed_and_the_rest_stays(site: Site) -> None:
    before = site.plan
    note = {"fr": "La nuit", "en": "At night"}
    after = site.change(pieces.put(zone(fr="Général", note=note)), site.seen("zone:G1"))
    assert after == site.plan
    assert (after.zones[0].name["fr"], after.zones[0].note) == ("Général", note)
    assert (after.zones[1:], after.lots, after.codes) == (
        before.zones[1:],
        before.lots,
        before.codes,
    )
    assert site.fed("zone")["G1"]["name"]["fr"] == "Général"
    assert site.followed == ["1085"]


def test_change_is_logged_with_who_and_what(site: Site) -> None:
    site.change(pieces.put(zone(fr="Général")))
    by, action, facts = site.log()[-1]
    assert (by, action) == (OFFICE.actor, "changed")
    assert facts["pieces"] == {
        "zone:G1": {"name": [{"fr": "G1", "en": "G1"}, {"fr": "Général", "en": "Zone"}]}
    }


def test_change_of_nothing_leaves_no_trace(site: Site) -> None:
    sequence, log = site.page().sequence, site.log()
    site.change(pieces.put(site.plan.zones[0]))
    assert (site.page().sequence, site.log()) == (sequence, log)


def test_feed_hears_of_what_changed_alone(site: Site) -> None:
    sequence = site.page().sequence
    site.change(pieces.put(lot(name="Argyll")))
    assert site.page().sequence == sequence + 1


def test_two_who_change_different_pieces_keep_both(site: Site) -> None:
    ann, bob = site.seen("zone:G1"), site.seen("zone:G2")
    site.change(pieces.put(zone("G1", fr="Un")), ann)
    site.change(pieces.put(zone("G2", fr="Deux")), bob)
    assert [each.name["fr"] for each in site.plan.zones] == ["Un", "Deux", "G3"]


def test_two_at_once_keep_both(site: Site) -> None:
    def rename(code: str) -> None:
        site.change(pieces.put(zone(code, fr=f"Zone {code}")), site.seen(f"zone:{code}"))

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(rename, ["G1", "G2", "G3"]))
    names = [each.name["fr"] for each in site.plan.zones]
    assert names == ["Zone G1", "Zone G2", "Zone G3"]


def test_stale_edit_is_refused_and_says_what_changed(site: Site) -> None:
    seen = site.seen("zone:G1")
    site.change(pieces.put(zone(fr="Un", en="G1")), seen)
    with pytest.raises(SiteChanged) as refused:
        site.change(pieces.put(zone(fr="Autre")), seen)
    assert refused.value.status == 409
    assert refused.value.extra["changed"] == ["zone:G1/name"]
    assert (refused.value.extra["by"], refused.value.extra["at"]) == (OFFICE.actor, instant(START))
    assert refused.value.extra["now"]["zone:G1"]["name"] == {"fr": "Un", "en": "G1"}
    assert "zone:G1/name" in refused.value.text("en")
    assert site.plan.zones[0].name["fr"] == "Un"


def test_edit_of_what_came_or_went_meanwhile_is_refused(site: Site) -> None:
    there, absent = site.seen("lot:P2"), site.seen("lot:P3")
    site.change(pieces.each([pieces.remove("lot", "P2"), pieces.add(lot("P3"))]))
    for seen, name in ((there, "lot:P2"), (absent, "lot:P3")):
        with pytest.raises(SiteChanged) as refused:
            site.change(pieces.put(lot(name)), seen)
        assert refused.value.extra["changed"] == [name]


@pytest.mark.parametrize("text", ["", "é", "AAAA", "W10", "eyJ6b25lOkcxIjo1fQ"])
def test_what_says_nothing_of_what_was_seen_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        Seen.read(text)


def test_what_was_seen_of_something_else_is_refused(site: Site) -> None:
    with pytest.raises(Invalid):
        site.change(pieces.remove("lot", "P2"), Seen.of_records({"weather": {"sky": "grey"}}))


def test_zones_are_added_ordered_and_removed(site: Site) -> None:
    site.change(pieces.add(zone("G4")))
    assert ids(site.plan.zones) == ["G1", "G2", "G3", "G4"]
    site.change(pieces.order("zone", ["G4", "G2"]), site.seen("zones"))
    assert ids(site.plan.zones) == ["G4", "G2", "G1", "G3"]
    site.change(pieces.remove("zone", "G3"), site.seen("zone:G3"))
    assert ids(site.plan.zones) == ["G4", "G2", "G1"]
    assert "G3" not in site.fed("zone")


def test_order_that_somebody_changed_meanwhile_is_told(site: Site) -> None:
    seen = site.seen("zones")
    site.change(pieces.add(zone("G4")))
    with pytest.raises(SiteChanged, match="zones/order"):
        site.change(pieces.order("zone", ["G3"]), seen)


def test_what_is_there_is_not_added_and_what_is_not_is_not_changed(site: Site) -> None:
    with pytest.raises(PartThere):
        site.change(pieces.add(zone("G1")))
    nothing: list[Edit] = [
        pieces.put(zone("G9")),
        pieces.remove("lot", "P9"),
        pieces.order("code", ["P99"]),
        pieces.amount("P99", day=TODAY, cents=1, today=TODAY),
    ]
    for edit in nothing:
        with pytest.raises(UnknownPart):
            site.change(edit)


def test_zone_that_lots_windows_or_permits_name_stays(site: Site) -> None:
    with pytest.raises(ZoneHasParts, match="P1"):
        site.change(pieces.remove("zone", "G1"))
    site.named_by_permits = {"G2"}
    with pytest.raises(ZoneInUse):
        site.change(pieces.remove("zone", "G2"))
    assert ids(site.plan.zones) == ["G1", "G2", "G3"]


def test_lot_in_no_zone_of_the_site_is_refused(site: Site) -> None:
    with pytest.raises(Invalid) as refused:
        site.change(pieces.put(lot(zone="G9")))
    assert [error.pointer for error in refused.value.errors] == ["/lots/0/zone"]


def test_more_lots_than_a_site_may_have_are_refused(site: Site) -> None:
    many = pieces.each([pieces.add(code(f"X{i}")) for i in range(core.MOST_CODES)])
    with pytest.raises(Invalid) as refused:
        site.change(many)
    assert [error.pointer for error in refused.value.errors] == ["/codes"]


def test_code_keeps_its_amounts_when_it_is_described_anew(site: Site) -> None:
    site.change(pieces.amount("P01", day=TODAY, cents=6000, today=TODAY))
    site.change(pieces.put(code(fr="Aucun permis", article="12", photos_required=2)))
    (found,) = site.plan.codes
    assert (found.title["fr"], found.article, found.photos_required) == ("Aucun permis", "12", 2)
    assert found.amounts == ({"from": "2026-11-23", "amount_cents": 6000},)


def test_amounts_are_added_and_past_ones_stay(site: Site) -> None:
    later, latest = TODAY + timedelta(days=1), TODAY + timedelta(days=30)
    for day, cents in ((TODAY, 6000), (latest, 8000), (later, 7000), (latest, 8500)):
        site.change(pieces.amount("P01", day=day, cents=cents, today=TODAY))
    assert site.plan.codes[0].amounts == (
        {"from": "2026-11-23", "amount_cents": 6000},
        {"from": "2026-11-24", "amount_cents": 7000},
        {"from": "2026-12-23", "amount_cents": 8500},
    )
    for day in (TODAY, TODAY - timedelta(days=1)):
        with pytest.raises(AmountInForce):
            site.change(pieces.amount("P01", day=day, cents=1, today=TODAY))
    with pytest.raises(AmountInForce):
        site.change(pieces.no_amount("P01", day=TODAY, today=TODAY))
    site.change(pieces.no_amount("P01", day=latest, today=TODAY))
    assert len(site.plan.codes[0].amounts) == 2


def test_settings_and_windows_are_pieces_apart(site: Site) -> None:
    settings, windows = site.seen("settings"), site.seen("no_notice")
    shape = SettingsShape.model_validate({"name": "CHUS", "retention_days": 30})
    window = WindowShape.model_validate(
        {"from": instant(START), "until": "2026-12-24T05:00:00Z", "reason": "Tempête"}
    ).entity()
    site.change(pieces.settings(shape.settings("1085")), settings)
    site.change(pieces.no_notice([window]), windows)
    assert site.plan.site.retention_days == 30
    assert site.plan.site.no_notice == (window,)
    site.has_permits = True
    elsewhere = SettingsShape.model_validate({"name": "CHUS", "time_zone": "America/Halifax"})
    with pytest.raises(SiteHasPermits):
        site.change(pieces.settings(elsewhere.settings("1085")))


def test_nobody_changes_a_site_that_is_not_theirs(site: Site) -> None:
    other = Principal(id="bob", role="admin", name="Bob", source="bob", sites=frozenset({"2000"}))
    with pytest.raises(ForbiddenSite):
        site.change(pieces.remove("lot", "P2"), by=other)
    with pytest.raises(UnknownSite):
        site.administration.change_site(
            "2000", pieces.remove("lot", "P2"), seen=None, by=other, at=site.at
        )


# Patrollers


@pytest.fixture
def marie(site: Site) -> Site:
    wanted = PatrollerShape(badge="417", name="Marie Tremblay", pin="204816")
    site.administration.put_patroller("1085", "marie", wanted, by=OFFICE, at=site.at)
    return site


def test_patrollers_are_listed_by_name(marie: Site) -> None:
    wanted = PatrollerShape(badge="418", name="ahmed", pin="204816")
    marie.administration.put_patroller("1085", "a", wanted, by=OFFICE, at=marie.at)
    found = marie.record.read(lambda tx: store.all_patrollers(tx, "1085"))
    assert [(one.id, one.badge) for one in found] == [("a", "418"), ("marie", "417")]


def test_patroller_is_renamed_and_keeps_the_pin(marie: Site) -> None:
    wanted = NamesShape(badge="500", name="Marie T.")
    marie.administration.rename_patroller("1085", "marie", wanted, by=OFFICE, at=marie.at)
    (found,) = marie.record.read(lambda tx: store.all_patrollers(tx, "1085"))
    assert (found.badge, found.name) == ("500", "Marie T.")
    assert is_secret_of("204816", found.pin_hash)
    assert marie.log("patroller:marie")[-1][:2] == (OFFICE.actor, "renamed")
    taken = PatrollerShape(badge="418", name="Ahmed", pin="204816")
    marie.administration.put_patroller("1085", "a", taken, by=OFFICE, at=marie.at)
    with pytest.raises(BadgeTaken):
        marie.administration.rename_patroller(
            "1085", "a", NamesShape(badge="500", name="Ahmed"), by=OFFICE, at=marie.at
        )


def test_pin_is_reset_to_a_new_one_which_is_written_nowhere(marie: Site) -> None:
    pin = marie.administration.reset_pin("1085", "marie", by=OFFICE, at=marie.at)
    (found,) = marie.record.read(lambda tx: store.all_patrollers(tx, "1085"))
    assert core.check_pin(pin) == pin
    assert is_secret_of(pin, found.pin_hash)
    assert not is_secret_of("204816", found.pin_hash)
    assert marie.log("patroller:marie")[-1] == (OFFICE.actor, "pin-reset", {})


def test_pin_that_is_none_and_patroller_who_is_none_are_refused(marie: Site) -> None:
    reset = marie.administration.reset_pin
    with pytest.raises(Invalid):
        reset("1085", "marie", "12345", by=OFFICE, at=marie.at)
    for id in ("paul", "\0", ""):
        with pytest.raises(UnknownPatroller):
            reset("1085", id, "204817", by=OFFICE, at=marie.at)


def test_new_pins_are_none_that_people_guess_first() -> None:
    for _ in range(50):
        pin = core.new_pin()
        assert core.check_pin(pin) == pin
        assert pin not in ("123456", "654321", "000000")


def test_devices_that_may_still_let_in_by_the_old_pin_are_told(service: Service) -> None:
    service.site()
    body = {"badge": "417", "name": "Marie", "pin": "204816"}
    service.admin.put("/v1/sites/1085/patrollers/marie", json=body).raise_for_status()
    first, second = service.handheld(), service.handheld()
    clients = [service.client(handheld.token) for handheld in (first, second)]
    for client in clients:
        client.post("/v1/sign-ins", json={"badge": "417", "pin": "204816"}).raise_for_status()

    def known() -> dict[str, Any]:
        return service.parts.record.read(
            lambda tx: sign_ins.verifiers(
                tx, "1085", "marie", lasts=timedelta(days=30), at=service.clock.at
            )
        )

    assert known() == {}
    parts, at = service.parts, service.clock.at
    pin = parts.administration.reset_pin("1085", "marie", by=OFFICE, at=at)
    assert known() == {handheld.id: at + timedelta(days=30) for handheld in (first, second)}
    refused = clients[0].post("/v1/sign-ins", json={"badge": "417", "pin": "204816"})
    assert refused.status_code == 403
    clients[0].post("/v1/sign-ins", json={"badge": "417", "pin": pin}).raise_for_status()
    assert list(known()) == [second.id]
    service.clock.advance(days=30)
    assert known() == {}


def test_hotlist_is_listed_by_plate(site: Site) -> None:
    for id, plate in (("b", "XYZ 789"), ("a", "ABC 123")):
        wanted = HotlistEntryShape(plate=plate, reason="Volé", priority="high")
        site.administration.put_hotlist_entry("1085", id, wanted, by=OFFICE, at=site.at)
    found = site.record.read(lambda tx: store.all_hotlist(tx, "1085"))
    assert [(entry.id, entry.plate.text) for entry in found] == [("a", "ABC123"), ("b", "XYZ789")]
