"""Devices as whoever looks after them does: the same as over HTTP, with the same checks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from enforcement_api.audit import store as audit
from enforcement_api.database.engine import Record
from enforcement_api.devices import store
from enforcement_api.devices.core import DeviceIsRevoked, UnknownDevice
from enforcement_api.devices.fleet import Invitation, Standing
from enforcement_api.problems import Invalid
from enforcement_api.security import ForbiddenSite, Principal
from enforcement_api.sites.shapes import SiteShape
from tests.contracts.composed import START, Composed

ANN = Principal(id="ann", role="admin", name="Ann", source="ann", sites=frozenset({"1085"}))
BOB = Principal(id="bob", role="admin", name="Bob", source="bob", sites=frozenset({"2000"}))
ALL = Principal(id="all", role="admin", name="All", source="all", sites=None)


@pytest.fixture
def two(record: Record) -> Composed:
    """Two sites."""
    composed = Composed(record)
    for site in ("1085", "2000"):
        plan = SiteShape(name="CHUS").plan(site)
        composed.administration.put_site(plan, by=ALL, at=composed.at)
    return composed


def made(two: Composed, *sites: str, by: Principal = ALL) -> Invitation:
    wanted = sites or ("1085",)
    return two.fleet.create("Handheld 7", wanted, asked_at="http://s/", by=by, at=two.at)


def standing(two: Composed, id: str) -> Standing:
    return two.record.read(lambda tx: two.fleet.one(tx, id, by=ALL, at=two.at))


async def enrolled(two: Composed, invitation: Invitation) -> dict[str, Any]:
    answer = await two.ask("POST", "/v1/enrolments", {"code": invitation.code}, key="")
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.asyncio
async def test_invitation_has_a_code_and_the_link_of_a_qr_code(two: Composed) -> None:
    invitation = made(two)
    assert invitation.expires_at == START + timedelta(minutes=10)
    assert invitation.link == f"patrouille://enrol?server=http://s&code={invitation.code}"
    assert (await enrolled(two, invitation))["device"] == invitation.id


def test_device_of_sites_that_are_not_there_or_not_theirs_is_not_made(two: Composed) -> None:
    with pytest.raises(Invalid) as refused:
        made(two, "1085", "3000")
    assert [error.pointer for error in refused.value.errors] == ["/sites/1"]
    with pytest.raises(ForbiddenSite):
        made(two, "1085", "2000", by=ANN)


def test_everything_done_is_logged_with_who_did_it(two: Composed) -> None:
    id = made(two, by=ANN).id
    two.fleet.renew_code(id, asked_at="http://s/", by=ANN, at=two.at)
    two.fleet.revoke(id, by=ANN, at=two.at)
    log = two.record.read(lambda tx: audit.entries(tx, f"device:{id}"))
    assert [(entry.by, entry.action) for entry in log] == [
        (ANN.actor, "device-created"),
        (ANN.actor, "device-code-renewed"),
        (ANN.actor, "device-revoked"),
    ]


def test_nothing_is_done_to_a_device_of_another_s_site(two: Composed) -> None:
    id = made(two, "1085", "2000").id
    with pytest.raises(ForbiddenSite):
        two.fleet.revoke(id, by=ANN, at=two.at)
    with pytest.raises(ForbiddenSite):
        two.fleet.renew_code(id, asked_at="", by=ANN, at=two.at)
    with pytest.raises(ForbiddenSite):
        two.record.read(lambda tx: two.fleet.one(tx, id, by=BOB, at=two.at))
    with pytest.raises(UnknownDevice):
        two.fleet.revoke("nobody", by=ALL, at=two.at)


@pytest.mark.asyncio
async def test_revoked_device_s_token_opens_nothing_at_once(two: Composed) -> None:
    invitation = made(two)
    token = (await enrolled(two, invitation))["token"]
    state = {"app_version": "1", "unsent": 0, "clock_offset_ms": 0}
    assert (await two.ask("PUT", "/v1/devices/self", state, key=token)).status_code == 204
    two.fleet.revoke(invitation.id, by=ANN, at=two.at)
    assert (await two.ask("PUT", "/v1/devices/self", state, key=token)).status_code == 401
    with pytest.raises(DeviceIsRevoked):
        two.fleet.renew_code(invitation.id, asked_at="", by=ANN, at=two.at)


def test_plates_held_are_counted_where_they_were_not_and_the_oldest_copy_tells_the_age(
    two: Composed,
) -> None:
    id = made(two, "1085", "2000").id
    assert standing(two, id).age_at(two.at) is None
    for site, sequence, held in (("1085", 7, None), ("2000", 9, 40)):
        two.record.write(
            lambda tx, site=site, sequence=sequence, held=held: store.seen(  # type: ignore[misc]
                tx, id, site, "cursor", sequence, two.at, plates_held=held
            )
        )
        two.pass_time(hours=1)
    found = standing(two, id)
    assert found.held_at_contact == 700 + 40
    assert found.age_at(two.at) == timedelta(hours=2)


def test_list_has_devices_of_one_s_sites_alone(two: Composed) -> None:
    here, there = made(two, "1085").id, made(two, "2000").id

    def listed(by: Principal, **wanted: Any) -> set[str]:
        found = two.record.read(lambda tx: two.fleet.page(tx, by=by, at=two.at, **wanted))
        return {each.device.id for each in found}

    assert (listed(ANN), listed(BOB), listed(ALL)) == ({here}, {there}, {here, there})
    assert listed(ALL, stale=True) == set()
