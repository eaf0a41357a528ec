"""Who looked a plate up, and what for (DOMAIN 6)."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from alembic import command

from enforcement_api.database import engine
from enforcement_api.database.engine import Record
from enforcement_api.devices import events
from enforcement_api.permits import lookups
from enforcement_api.permits.lookups import LookUp
from enforcement_api.security import ForbiddenSite, Principal
from enforcement_api.subscriptions import privacy
from sync.codec import instant
from sync.plates import Plate
from sync.validity import Verdict
from tests.service import NOW, Service, new_id, running

ANN = Principal(id="ann", role="admin", name="Ann", source="ann", sites=frozenset({"1085"}))
PLATE = Plate("ABC123", "CA-QC")
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def site(service: Service) -> None:
    service.site()


def keep(
    service: Service,
    plate: Plate = PLATE,
    *,
    at: datetime = NOW,
    verdict: Verdict | None = "valid",
    purpose: str = "Appel du titulaire",
    site: str = "1085",
) -> None:
    service.parts.record.write(
        lambda tx: lookups.keep(
            tx, site, new_id(), plate, zone="G1", verdict=verdict, purpose=purpose, by=ANN, at=at
        )
    )


def check(device: httpx.Client, *, at: datetime = NOW, **facts: Any) -> None:
    body = {
        "kind": "check",
        "site": "1085",
        "at": instant(at),
        "plate": "ABC123",
        "jurisdiction": "CA-QC",
        "zone": "G1",
        "verdict": "valid",
        "patroller": None,
        "purpose": "patrol",
    }
    device.put(f"/v1/events/{new_id()}", json=body | facts).raise_for_status()


def found(service: Service, plate: Plate = PLATE, most: int = 50) -> list[LookUp]:
    return service.parts.record.read(lambda tx: lookups.of_plate(tx, "1085", plate, most=most))


def test_look_ups_of_staff_and_patrollers_are_told_together_the_newest_first(
    service: Service,
) -> None:
    body = {"badge": "417", "name": "Marie Tremblay", "pin": "204816"}
    service.admin.put("/v1/sites/1085/patrollers/marie", json=body).raise_for_status()
    device = service.device_client()
    check(device, at=NOW, patroller="marie")
    keep(service, at=NOW + MINUTE)
    check(device, at=NOW + 2 * MINUTE, verdict="unknown")
    last, staff, first = found(service)
    assert (staff.who, staff.by, staff.by_name) == ("staff", ANN.actor, "Ann")
    assert (staff.zone, staff.verdict, staff.purpose) == ("G1", "valid", "Appel du titulaire")
    assert (first.who, first.by, first.by_name) == ("patrol", "patroller:marie", "Marie Tremblay")
    assert (first.purpose, first.verdict, first.at) == ("patrol", "valid", NOW)
    assert last.by == f"device:{last.device}"
    assert (last.by_name, last.verdict) == ("Handheld 7", "unknown")


def test_only_look_ups_of_that_plate_at_that_site_are_told(service: Service) -> None:
    service.site("2000")
    device = service.device_client()
    keep(service, Plate("XYZ789", "CA-QC"))
    keep(service, Plate("ABC123", "CA-ON"))
    check(device, plate="XYZ789")
    check(device, jurisdiction="CA-ON")
    assert found(service) == []
    check(device, plate="abc-123", jurisdiction=None)
    check(device, plate=None)
    check(device, plate="x" * 5000)
    assert [each.plate for each in found(service)] == ["ABC123"]
    assert len(found(service, Plate("ABC123", "CA-ON"))) == 3


def test_no_more_are_told_than_asked_for(service: Service) -> None:
    device = service.device_client()
    for minutes in range(4):
        keep(service, at=NOW + minutes * MINUTE)
        check(device, at=NOW + minutes * MINUTE)
    told = found(service, most=3)
    assert [each.at for each in told] == [NOW + m * MINUTE for m in (3, 3, 2)]


@pytest.mark.parametrize("purpose", ["", "  ", "a\x00b", "a\nb", "x" * 201, "4111 1111 1111 1111"])
def test_purpose_says_something_and_can_be_kept(service: Service, purpose: str) -> None:
    with pytest.raises(ValueError, match=r"must|cannot be kept|card number"):
        keep(service, purpose=purpose)


def test_nobody_looks_up_at_a_site_that_is_not_theirs(service: Service) -> None:
    with pytest.raises(ForbiddenSite):
        keep(service, site="2000")


def test_look_ups_of_valid_plates_are_let_go_and_the_others_stay(service: Service) -> None:
    device = service.device_client()
    for verdict in ("valid", "unknown", None):
        keep(service, verdict=verdict)  # type: ignore[arg-type]
    check(device)
    parts, settings = service.parts, service.settings

    def purge(days: int, *, does: bool = True) -> int:
        at = NOW + timedelta(days=days)
        return privacy.purge(parts.record, settings, at=at, does=does).lookups

    assert purge(29) == 0
    assert purge(30, does=False) == 3
    assert purge(30) == 3
    assert [each.verdict for each in found(service)] == ["unknown"]


def test_last_check_of_each_device_is_found(service: Service) -> None:
    one, other, none = service.handheld(), service.handheld(), service.handheld()
    first, second = service.client(one.token), service.client(other.token)
    check(first, zone="G1")
    check(first, zone="G2", at=NOW + MINUTE)
    check(second, lot="P1")
    shift = {"kind": "shift_end", "site": "1085", "at": instant(NOW + 2 * MINUTE)}
    first.put(f"/v1/events/{new_id()}", json=shift).raise_for_status()
    last = service.parts.record.read(
        lambda tx: events.last_checks(tx, "1085", [one.id, other.id, none.id])
    )
    assert {id: (check.at, check.text("zone")) for id, check in last.items()} == {
        one.id: (NOW + MINUTE, "G2"),
        other.id: (NOW, "G1"),
    }


def test_look_ups_are_found_by_an_index_on_sqlite(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        plans = [
            service.parts.record.read(
                lambda tx, query=query: str(  # type: ignore[misc]
                    tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}").all()
                )
            )
            for query in (
                "SELECT * FROM lookups WHERE site = 'x' AND plate = 'A' AND jurisdiction = 'B'"
                " ORDER BY at DESC, id DESC LIMIT 5",
                "SELECT * FROM events WHERE site = 'x' AND device = 'd' AND kind = 'check'"
                " ORDER BY at DESC LIMIT 1",
            )
        ]
    for plan, index in zip(plans, ("ix_lookups_plate", "ix_events_checks"), strict=True):
        assert index in plan
        assert "SCAN" not in plan
        assert "TEMP B-TREE" not in plan


def test_checks_of_an_older_record_are_found_by_their_plates(
    tmp_path: Path, postgres_database_url: str
) -> None:
    for url in (f"sqlite:///{tmp_path / 'old.db'}", postgres_database_url):
        record = Record(url)
        with record.engine.connect() as connection:
            config = engine._alembic()
            config.attributes["connection"] = connection
            command.upgrade(config, "0007")
            for id, facts in (
                ("a", '{"plate": "abc 123", "verdict": "valid"}'),
                ("b", '{"plate": null}'),
                ("c", '{"plate": "é"}'),
            ):
                row = {"id": id, "facts": facts}
                statement = sa.text(
                    "INSERT INTO events (site, id, kind, at, device, after_revocation,"
                    " received_at, facts, content_hash)"
                    " VALUES ('1085', :id, 'check', 1, 'd', false, 1, :facts, '')"
                )
                connection.execute(statement, row)
            connection.commit()
        record.migrate()
        with record.reading() as tx:
            told = lookups.of_plate(tx, "1085", PLATE, most=5)
        assert [(each.id, each.verdict) for each in told] == [("a", "valid")]
        record.close()
