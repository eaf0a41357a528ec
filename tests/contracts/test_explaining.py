"""Why a plate gets its verdict, by the record: now, at any instant, by what was known before."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection

from enforcement_api.permits import explaining, showing
from enforcement_api.permits.checking import Forgotten
from enforcement_api.permits.core import UnknownZone
from enforcement_api.permits.explaining import Explanation
from enforcement_api.problems import Invalid
from enforcement_api.sites.core import UnknownSite
from sync.codec import instant
from sync.plates import Plate
from tests.service import NOW, Service

T = TypeVar("T")
PLATE = Plate("ABC123", "CA-QC")


def read(service: Service, work: Callable[[Connection], T]) -> T:
    return service.parts.record.read(work)


def explained(service: Service, *, at: datetime = NOW, zone: str = "G1", **how: Any) -> Explanation:
    return read(service, lambda tx: explaining.explained(tx, "1085", zone, PLATE, at=at, **how))


@pytest.fixture(autouse=True)
def site(service: Service) -> None:
    service.site()


def test_explanation_is_the_check_with_its_reasons_and_its_timeline(service: Service) -> None:
    service.permit("ABC 123", confirmed_at=instant(NOW), valid_until="2026-12-31")
    found = explained(service)
    assert found.answer.check.judgement.verdict == "pending_activation"
    assert [(r.outcome, r.test, r.instant) for r in found.reasons] == [
        ("pending_activation", 6, NOW + timedelta(days=1))
    ]
    verdicts = [turn.verdict for turn in found.timeline.turns]
    assert verdicts == ["not_started", "pending_activation", "valid", "expired", "unknown"]
    assert (
        found.answer.as_json()
        == service.reader.get("/v1/sites/1085/check", params={"plate": "ABC123", "zone": "G1"}).text
    )


def test_every_zone_has_its_own_verdict(service: Service) -> None:
    service.permit("ABC123", zone="G2")
    found = read(service, lambda tx: explaining.in_every_zone(tx, "1085", PLATE, at=NOW))
    assert [(zone.id, each.verdict) for zone, each in found] == [
        ("G1", "wrong_zone"),
        ("G2", "valid"),
    ]


def test_what_was_known_before_explains_what_was_said_before(service: Service) -> None:
    before = service.check("ABC123")["sequence"]
    service.permit("ABC123")
    assert explained(service).answer.check.judgement.verdict == "valid"
    then = explained(service, as_known_at=before)
    assert (then.answer.check.judgement.verdict, then.reasons) == ("unknown", ())
    assert then.answer.sequence == before
    zones = read(
        service,
        lambda tx: explaining.in_every_zone(tx, "1085", PLATE, at=NOW, as_known_at=before),
    )
    assert {each.verdict for _, each in zones} == {"unknown"}


def test_what_no_longer_counts_is_explained_too(service: Service) -> None:
    service.permit("ABC123", valid_until="2026-01-31")
    service.prune(NOW)
    (reason,) = explained(service).reasons
    assert (reason.outcome, reason.test) == ("unknown", 1)


def test_what_cannot_be_asked_is_refused(service: Service) -> None:
    service.permit("ABC123")
    with pytest.raises(UnknownZone):
        explained(service, zone="G9")
    for sequence in (-1, 10_000):
        with pytest.raises(Invalid):
            explained(service, as_known_at=sequence)
    with pytest.raises(UnknownSite):
        read(service, lambda tx: explaining.in_every_zone(tx, "2000", PLATE, at=NOW))


def test_what_was_forgotten_is_said_to_be(service: Service) -> None:
    for version in (1, 2, 3):
        service.permit("ABC123", id="p", version=version, zone=["G1", "G2"][version % 2])
        service.clock.advance(days=10)
    object.__setattr__(service.parts.settings, "version_days", 1)
    service.parts.run_retention("1085", at=service.clock())
    with pytest.raises(Forgotten):
        explained(service, as_known_at=0)


def test_permits_that_once_had_the_plate_are_found(service: Service) -> None:
    service.permit("ABC123", id="p", version=1)
    service.permit("XYZ789", id="p", version=2, confirmed_at=instant(NOW))
    service.permit("ABC123", id="q", jurisdiction="CA-ON")
    found = read(service, lambda tx: explaining.permits_ever_of(tx, "1085", PLATE))
    assert [(permit.id, permit.plate.text) for permit in found] == [
        ("p", "XYZ789"),
        ("p~1", "ABC123"),
    ]
    whole = read(service, lambda tx: showing.whole(tx, "1085", "p"))
    assert [version["plate"] for version in whole["versions"]] == ["ABC123", "XYZ789"]
    assert whole == service.reader.get("/v1/sites/1085/permits/p").json()
