"""The office is the feeder of sites that no other system feeds (DOMAIN 2.7), on both engines."""

from datetime import timedelta

import pytest

from sync.codec import instant
from tests.service import NOW, Service
from tests.subscribing import Office


@pytest.fixture
def office(service: Service) -> Office:
    service.site()
    return Office(service)


def fed_at(office: Office) -> str | None:
    office.service.parts.clerk.do_all()
    found: str | None = office.service.check("ABC123")["fed_at"]
    return found


def test_site_of_the_office_is_fresh_while_the_service_runs(office: Office) -> None:
    assert fed_at(office) is None
    office.product()
    assert fed_at(office) == instant(NOW)
    office.service.clock.advance(minutes=2)
    assert fed_at(office) == instant(NOW)  # not written more often than anybody needs
    office.service.clock.advance(days=30)
    assert fed_at(office) == instant(NOW + timedelta(days=30, minutes=2))
    handheld = office.service.handheld()
    handheld.pull()
    with handheld.replica.reading() as view:
        assert view.state.fed_at == office.service.clock.at


def test_site_of_another_feeder_is_as_fresh_as_that_one(office: Office) -> None:
    office.product()
    office.service.site("2000")
    feeder = office.service.key("feeder", sites=["1085"], name="outside")
    assert fed_at(office) is None
    subscription = office.subscribe()
    office.approve(subscription)
    assert fed_at(office) is None  # its own permits are no news of the other system
    client = office.service.client(feeder)
    assert client.post("/v1/plate-updates", json={"updates": []}).status_code == 200
    assert fed_at(office) == instant(NOW)
