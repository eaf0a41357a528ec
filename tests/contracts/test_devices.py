"""Devices, on both engines."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import Connection

from enforcement_api.database.engine import Record
from enforcement_api.devices import store as devices
from enforcement_api.devices.core import (
    ALPHABET,
    EnrolmentRefused,
    FailureLimit,
    TooManyFailures,
    who_guesses,
)
from enforcement_api.security import secret_hash
from sync import codec
from tests.contracts.composed import START, Composed, on_one_engine, pointers, problem

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def service(record: Record) -> Composed:
    composed = Composed(record)
    for site in ("1085", "2000"):
        await composed.put_site(site)
    return composed


async def make(service: Composed, name: str = "Handheld 7", *sites: str) -> dict[str, Any]:
    body = {"name": name, "sites": sites or ["1085"]}
    response = await service.ask("POST", "/v1/devices", body)
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    return made


async def enrol(service: Composed, code: str, **fields: Any) -> httpx.Response:
    address = fields.pop("address", "192.0.2.1")
    body = {"code": code, **fields}
    return await service.ask("POST", "/v1/enrolments", body, key="", address=address)


async def enrolled(service: Composed, *sites: str) -> tuple[str, str]:
    """The id and the token of a new device."""
    made = await make(service, "Handheld 7", *sites)
    response = await enrol(service, made["enrolment_code"])
    return response.json()["device"], response.json()["token"]


async def listed(service: Composed, id: str) -> dict[str, Any]:
    items = (await service.ask("GET", "/v1/devices?limit=500")).json()["items"]
    found: dict[str, Any] = next(item for item in items if item["id"] == id)
    return found


STATE = {"app_version": "0.1.0", "unsent": 3, "clock_offset_ms": -120, "battery_percent": 83}


async def test_code_is_eight_characters_that_look_like_no_other(service: Composed) -> None:
    made = await make(service)
    assert len(made["enrolment_code"]) == 8
    assert set(made["enrolment_code"]) <= set(ALPHABET)
    assert not set(ALPHABET) & set("0ODQ1IL8B5S2Z6GUVMW")
    assert made["expires_at"] == "2026-11-23T15:25:00Z"


async def test_device_is_enrolled_by_its_code(service: Composed) -> None:
    made = await make(service, "Handheld 7", "2000", "1085", "2000")
    response = await enrol(service, made["enrolment_code"], install_id="one")
    assert response.status_code == 201
    answer = codec.enrolment(response.json())
    assert (answer.device, answer.sites) == (made["id"], ("2000", "1085"))
    principal = service.record.read(lambda tx: devices.find(tx, secret_hash(answer.token)))
    assert principal is not None
    assert (principal.id, principal.role) == (made["id"], "device")
    assert principal.sites == frozenset({"1085", "2000"})
    assert not principal.revoked


async def test_code_is_taken_as_gloves_type_it(service: Composed) -> None:
    made = await make(service)
    code = made["enrolment_code"].lower()
    assert (await enrol(service, f" {code[:4]} - {code[4:]} ")).status_code == 201


async def test_code_is_good_once(service: Composed) -> None:
    code = (await make(service))["enrolment_code"]
    assert (await enrol(service, code)).status_code == 201
    for again in ({}, {"install_id": None}, {"install_id": "other"}):
        refused = problem(await enrol(service, code, **again), 403)
        assert refused["type"] == "/problems/enrolment-refused"


async def test_same_installation_gets_the_same_device_again_while_the_code_lives(
    service: Composed,
) -> None:
    code = (await make(service))["enrolment_code"]
    first = (await enrol(service, code, install_id="one")).json()
    assert (await service.ask("PUT", "/v1/devices/self", STATE, key=first["token"])).is_success
    service.pass_time(minutes=9)
    second = (await enrol(service, code, install_id="one")).json()
    assert second["device"] == first["device"]
    assert second["token"] != first["token"]
    problem(await service.ask("PUT", "/v1/devices/self", STATE, key=first["token"]), 401)
    assert (await service.ask("PUT", "/v1/devices/self", STATE, key=second["token"])).is_success
    problem(await enrol(service, code, install_id="two"), 403)
    service.pass_time(minutes=1)
    problem(await enrol(service, code, install_id="one"), 403)


async def test_old_code_is_refused(service: Composed) -> None:
    code = (await make(service))["enrolment_code"]
    service.pass_time(minutes=10)
    problem(await enrol(service, code), 403)


async def test_code_of_a_revoked_device_is_refused(service: Composed) -> None:
    made = await make(service)
    await service.ask("DELETE", f"/v1/devices/{made['id']}")
    problem(await enrol(service, made["enrolment_code"]), 403)


@pytest.mark.parametrize("code", ["", "ABCDEFGH", "\0", "\ud83d", "é" * 64, "'; DROP TABLE"])
async def test_wrong_code_is_refused(code: str, service: Composed) -> None:
    response = await enrol(service, code)
    problem(response, 422 if code in ("\ud83d",) else 403)


async def test_guesses_are_limited_by_address_and_success_does_not_count(
    service: Composed,
) -> None:
    for _ in range(12):
        code = (await make(service))["enrolment_code"]
        assert (await enrol(service, code)).status_code == 201
    good = (await make(service))["enrolment_code"]
    for _ in range(10):
        problem(await enrol(service, "AAAAAAAA"), 403)
        service.pass_time(seconds=2)
    refused = await enrol(service, good)
    assert problem(refused, 429)["type"] == "/problems/too-many-failures"
    assert refused.headers["retry-after"] == "40"
    assert "40" in refused.json()["detail"]
    assert (await enrol(service, good, address="192.0.2.2")).status_code == 201
    service.pass_time(seconds=40)
    another = (await make(service))["enrolment_code"]
    assert (await enrol(service, another)).status_code == 201


async def test_guesses_made_at_once_are_limited_too(service: Composed) -> None:
    answers = await asyncio.gather(*(enrol(service, "AAAAAAAA") for _ in range(15)))
    assert sorted(answer.status_code for answer in answers) == [403] * 10 + [429] * 5


async def test_guesses_from_many_addresses_are_limited_in_total() -> None:
    limit = FailureLimit(3)
    for i in range(30):
        with pytest.raises(EnrolmentRefused), limit.attempt(f"a{i}", START):
            raise EnrolmentRefused(minutes=10)
    with pytest.raises(TooManyFailures), limit.attempt("b", START + timedelta(seconds=59)):
        pass
    with limit.attempt("b", START + timedelta(seconds=60)):
        pass


async def test_clock_set_back_does_not_lock_everyone_out() -> None:
    limit = FailureLimit(1)
    with pytest.raises(EnrolmentRefused), limit.attempt("a", START):
        raise EnrolmentRefused(minutes=10)
    with limit.attempt("a", START - timedelta(days=1)):
        pass


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("testclient", "testclient"),
        (None, ""),
    ],
)
async def test_one_host_counts_as_one_address(address: str | None, counted: str) -> None:
    assert who_guesses(address) == counted


async def test_list_tells_how_devices_are_doing(service: Composed) -> None:
    id, token = await enrolled(service, "1085", "2000")
    told = await service.ask("PUT", "/v1/devices/self", STATE, key=token)
    assert (told.status_code, told.content) == (204, b"")
    later = START + timedelta(minutes=5)

    def come(tx: Connection) -> None:
        for site, cursor, sequence in (("1085", "c4", 4), ("1085", "c7", 7), ("2000", "d1", 1)):
            devices.seen(tx, id, site, cursor, sequence, later)

    service.record.write(come)
    assert await listed(service, id) == {
        "id": id,
        "name": "Handheld 7",
        "sites": ["1085", "2000"],
        "created_at": "2026-11-23T15:15:00Z",
        "enrolled_at": "2026-11-23T15:15:00Z",
        "revoked_at": None,
        "last_seen_at": "2026-11-23T15:20:00Z",
        "app_version": "0.1.0",
        "unsent": 3,
        "clock_offset_ms": -120,
        "battery_percent": 83,
        "plates_held": 800,
        "cursors": [
            {
                "site": "1085",
                "cursor": "c7",
                "sequence": 7,
                "at": "2026-11-23T15:20:00Z",
                "plates_held": 700,
            },
            {
                "site": "2000",
                "cursor": "d1",
                "sequence": 1,
                "at": "2026-11-23T15:20:00Z",
                "plates_held": 100,
            },
        ],
    }


async def test_device_that_was_never_enrolled_is_listed_as_such(service: Composed) -> None:
    device = await listed(service, (await make(service))["id"])
    assert device["enrolled_at"] is None
    assert device["last_seen_at"] is None
    assert (device["plates_held"], device["cursors"]) == (0, [])


async def test_list_comes_in_pages(service: Composed) -> None:
    names = []
    for i in range(5):
        names.append(f"Handheld {i}")
        await make(service, names[-1])
        service.pass_time(seconds=i // 2)  # some are made in the same second
    seen, cursor = [], ""
    while True:
        page = (await service.ask("GET", f"/v1/devices?limit=2{cursor}")).json()
        assert len(page["items"]) <= 2
        seen += [item["name"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert sorted(seen) == names


@on_one_engine
@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=501", "limit=x", "cursor=x", "cursor=é", "cursor=W10", "cursor=WzEsMl0"],
)
async def test_unusable_page_is_refused(query: str, service: Composed) -> None:
    problem(await service.ask("GET", f"/v1/devices?{query}"), 422)


async def test_revoked_device_is_told_so_at_once(service: Composed) -> None:
    id, token = await enrolled(service)
    assert (await service.ask("PUT", "/v1/devices/self", STATE, key=token)).status_code == 204
    assert (await service.ask("DELETE", f"/v1/devices/{id}")).status_code == 204
    refused = await service.ask("PUT", "/v1/devices/self", STATE, key=token)
    assert problem(refused, 401)["type"] == "/problems/device-revoked"
    assert (await listed(service, id))["revoked_at"] == "2026-11-23T15:15:00Z"
    service.pass_time(hours=1)
    assert (await service.ask("DELETE", f"/v1/devices/{id}")).status_code == 204
    assert (await listed(service, id))["revoked_at"] == "2026-11-23T15:15:00Z"


@pytest.mark.parametrize("id", ["nothing", "a\0", "é"])
async def test_revoking_no_device_is_refused(id: str, service: Composed) -> None:
    problem(await service.ask("DELETE", f"/v1/devices/{quote(id)}"), 404)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"sites": ["1085"]}, "/name"),
        ({"name": "", "sites": ["1085"]}, "/name"),
        ({"name": "a\0", "sites": ["1085"]}, "/name"),
        ({"name": "a", "sites": []}, "/sites"),
        ({"name": "a", "sites": ["1085", "9999"]}, "/sites/1"),
        ({"name": "a", "sites": ["\0"]}, "/sites/0"),
        ({"name": "a", "sites": "1085"}, "/sites"),
        ({"name": "a", "sites": ["1085"], "colour": "red"}, "/colour"),
    ],
)
async def test_unusable_device_is_refused_and_named(
    body: dict[str, Any], pointer: str, service: Composed
) -> None:
    assert pointers(await service.ask("POST", "/v1/devices", body)) == [pointer]


@on_one_engine
@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"app_version": "a\0"}, "/app_version"),
        ({"unsent": -1}, "/unsent"),
        ({"unsent": 10**30}, "/unsent"),
        ({"clock_offset_ms": 0.5}, "/clock_offset_ms"),
        ({"battery_percent": 101}, "/battery_percent"),
    ],
)
async def test_unusable_state_is_refused_and_named(
    change: dict[str, Any], pointer: str, service: Composed
) -> None:
    _, token = await enrolled(service)
    response = await service.ask("PUT", "/v1/devices/self", STATE | change, key=token)
    assert pointers(response) == [pointer]


async def test_each_role_does_its_own(service: Composed) -> None:
    _, token = await enrolled(service)
    reader = service.key("reader")
    for method, path in [("POST", ""), ("GET", ""), ("DELETE", "/x")]:
        problem(await service.ask(method, f"/v1/devices{path}", key=""), 401)
        problem(await service.ask(method, f"/v1/devices{path}", key=reader), 403)
        problem(await service.ask(method, f"/v1/devices{path}", key=token), 403)
    problem(await service.ask("PUT", "/v1/devices/self", STATE), 403)


async def test_administrator_of_a_site_sees_and_touches_its_devices_only(
    service: Composed,
) -> None:
    here, elsewhere = await make(service, "here", "1085"), await make(service, "there", "2000")
    key = service.key("admin", sites=["1085"])
    items = (await service.ask("GET", "/v1/devices", key=key)).json()["items"]
    assert [item["id"] for item in items] == [here["id"]]
    body = {"name": "a", "sites": ["1085", "2000"]}
    problem(await service.ask("POST", "/v1/devices", body, key=key), 403)
    problem(await service.ask("DELETE", f"/v1/devices/{elsewhere['id']}", key=key), 403)
    response = await service.ask("DELETE", f"/v1/devices/{here['id']}", key=key)
    assert response.status_code == 204


async def test_instants_far_away_are_kept(service: Composed) -> None:
    id, _ = await enrolled(service)
    far = datetime(9990, 12, 31, tzinfo=UTC)
    service.record.write(lambda tx: devices.seen(tx, id, "1085", "c", 1, far))
    assert (await listed(service, id))["last_seen_at"] == "9990-12-31T00:00:00Z"
