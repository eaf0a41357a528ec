"""Devices, on both engines."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import Connection

from enforcement_api.audit import store as audit
from enforcement_api.database.engine import Record
from enforcement_api.devices import store as devices
from enforcement_api.devices.core import (
    ALPHABET,
    EnrolmentRefused,
    FailureLimit,
    TooManyFailures,
)
from enforcement_api.security import secret_hash
from sync import codec
from tests.contracts.composed import START, Composed, on_one_engine, pointers, problem
from tests.paging import turns
from tests.service import Clock

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
    clock = Clock(START)
    limit = FailureLimit(3, now=clock)
    for i in range(30):
        with pytest.raises(EnrolmentRefused), limit.attempt(f"a{i}"):
            raise EnrolmentRefused(minutes=10)
    clock.advance(seconds=59)
    with pytest.raises(TooManyFailures), limit.attempt("b"):
        pass
    clock.advance(seconds=1)
    with limit.attempt("b"):
        pass


async def test_clock_set_back_does_not_lock_everyone_out() -> None:
    clock = Clock(START)
    limit = FailureLimit(1, now=clock)
    with pytest.raises(EnrolmentRefused), limit.attempt("a"):
        raise EnrolmentRefused(minutes=10)
    clock.advance(days=-1)
    with limit.attempt("a"):
        pass


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
        "mismatches": 0,
        "mismatched_at": None,
        "numbers_left": None,
        "plates_held": None,
        "held_at_contact": 800,
        "stale": False,
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


async def test_what_a_device_says_and_what_was_counted_stay_when_it_is_revoked(
    service: Composed,
) -> None:
    id, token = await enrolled(service)
    service.record.write(lambda tx: devices.seen(tx, id, "1085", "c4", 4, START, plates_held=396))
    told = STATE | {"plates_held": 395, "numbers_left": 12, "mismatches": 2}
    await service.ask("PUT", "/v1/devices/self", told, key=token)
    service.pass_time(minutes=1)
    await service.ask("PUT", "/v1/devices/self", STATE, key=token)
    device = await listed(service, id)
    assert (device["plates_held"], device["held_at_contact"]) == (395, 396)
    assert (device["numbers_left"], device["mismatches"]) == (12, 2)
    assert device["mismatched_at"] == "2026-11-23T15:15:00Z"
    await service.ask("DELETE", f"/v1/devices/{id}")
    whole = (await service.ask("GET", f"/v1/devices/{id}")).json()
    assert whole == await listed(service, id)
    assert (whole["plates_held"], whole["held_at_contact"]) == (395, 396)
    assert [cursor["plates_held"] for cursor in whole["cursors"]] == [396]


async def test_device_is_stale_when_a_copy_is_older_than_its_site_allows(
    service: Composed,
) -> None:
    await service.put_site("2000", stale_after_hours=2)
    quick, _ = await enrolled(service, "2000")
    slow, _ = await enrolled(service, "1085")
    never, _ = await enrolled(service, "1085")
    await make(service, "never enrolled")
    for id, site in ((quick, "2000"), (slow, "1085")):
        service.record.write(lambda tx, id=id, site=site: devices.seen(tx, id, site, "c", 1, START))
    service.pass_time(hours=3)

    async def stale(wanted: str) -> set[str]:
        items = (await service.ask("GET", f"/v1/devices?stale={wanted}")).json()["items"]
        assert {item["stale"] for item in items} <= {wanted == "true"}
        return {item["id"] for item in items}

    assert await stale("true") == {quick, never}
    assert slow in await stale("false")
    await service.ask("DELETE", f"/v1/devices/{quick}")
    assert await stale("true") == {never}


@pytest.mark.parametrize("id", ["nothing", "self", "a\0", "é"])
async def test_there_is_no_such_device(id: str, service: Composed) -> None:
    problem(await service.ask("GET", f"/v1/devices/{quote(id)}"), 404)
    problem(await service.ask("POST", f"/v1/devices/{quote(id)}/enrolment-code"), 404)


# Tokens


async def renewed(service: Composed, token: str) -> str:
    answer = await service.ask("POST", "/v1/devices/self/token", key=token)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["token"])


async def lives(service: Composed, token: str) -> bool:
    answer = await service.ask("PUT", "/v1/devices/self", STATE, key=token)
    if answer.status_code != 204:
        assert problem(answer, 401)["type"] == "/problems/unauthenticated"
    return answer.status_code == 204


async def test_old_token_is_good_until_the_new_one_was_used(service: Composed) -> None:
    _, old = await enrolled(service)
    new = await renewed(service, old)
    assert new != old
    assert await lives(service, old)
    assert await lives(service, new)
    assert not await lives(service, old)
    assert await lives(service, new)


async def test_token_whose_answer_was_lost_locks_nobody_out(service: Composed) -> None:
    _, old = await enrolled(service)
    lost = await renewed(service, old)
    new = await renewed(service, old)
    assert not await lives(service, lost)
    assert await lives(service, old)
    assert await lives(service, new)
    assert not await lives(service, old)


async def test_token_that_is_replaced_ends_with_a_revocation_too(service: Composed) -> None:
    id, old = await enrolled(service)
    new = await renewed(service, old)
    await service.ask("DELETE", f"/v1/devices/{id}")
    for token in (old, new):
        refused = await service.ask("PUT", "/v1/devices/self", STATE, key=token)
        assert refused.status_code == 401
    problem(await service.ask("POST", "/v1/devices/self/token", key=new), 401)


async def test_two_first_uses_at_once_both_succeed(service: Composed) -> None:
    _, old = await enrolled(service)
    new = await renewed(service, old)
    assert all(await asyncio.gather(*(lives(service, new) for _ in range(8))))
    assert not await lives(service, old)


# Enrolling again


async def test_fresh_code_enrols_the_same_device_again(service: Composed) -> None:
    id, old = await enrolled(service)
    answer = await service.ask("POST", f"/v1/devices/{id}/enrolment-code")
    assert answer.status_code == 201, answer.text
    fresh = answer.json()
    assert (fresh["id"], fresh["expires_at"]) == (id, "2026-11-23T15:25:00Z")
    assert await lives(service, old)
    again = await enrol(service, fresh["enrolment_code"], install_id="two")
    assert again.json()["device"] == id
    assert not await lives(service, old)
    assert await lives(service, again.json()["token"])
    problem(await enrol(service, fresh["enrolment_code"], install_id="three"), 403)


async def test_fresh_code_takes_the_place_of_the_one_before(service: Composed) -> None:
    made = await make(service)
    fresh = (await service.ask("POST", f"/v1/devices/{made['id']}/enrolment-code")).json()
    problem(await enrol(service, made["enrolment_code"]), 403)
    assert (await enrol(service, fresh["enrolment_code"])).status_code == 201
    problem(await enrol(service, fresh["enrolment_code"]), 403)


async def test_revoked_device_gets_no_fresh_code(service: Composed) -> None:
    id, _ = await enrolled(service)
    await service.ask("DELETE", f"/v1/devices/{id}")
    refused = problem(await service.ask("POST", f"/v1/devices/{id}/enrolment-code"), 409)
    assert refused["type"] == "/problems/device-is-revoked"


async def test_link_tells_where_to_enrol_and_with_what(service: Composed) -> None:
    made = await make(service)
    code = made["enrolment_code"]
    assert made["enrolment_link"] == f"patrouille://enrol?server=http://service&code={code}"


async def test_log_tells_what_became_of_a_device_and_no_secret(service: Composed) -> None:
    made = await make(service)
    token = (await enrol(service, made["enrolment_code"], install_id="one")).json()["token"]
    new = await renewed(service, token)
    assert await lives(service, new)
    fresh = (await service.ask("POST", f"/v1/devices/{made['id']}/enrolment-code")).json()
    await service.ask("DELETE", f"/v1/devices/{made['id']}")
    entries = service.record.read(lambda tx: audit.entries(tx, f"device:{made['id']}"))
    assert [entry.action for entry in entries] == [
        "device-created",
        "device-enrolled",
        "device-token-offered",
        "device-token-replaced",
        "device-code-renewed",
        "device-revoked",
    ]
    assert [entry.by.partition(":")[0] for entry in entries] == [
        "key", "device", "device", "device", "key", "key",
    ]  # fmt: skip
    told = repr(entries)
    secrets = (made["enrolment_code"], fresh["enrolment_code"], token, new)
    assert not [secret for secret in secrets if secret in told]


async def test_device_that_was_never_enrolled_is_listed_as_such(service: Composed) -> None:
    device = await listed(service, (await make(service))["id"])
    assert device["enrolled_at"] is None
    assert device["last_seen_at"] is None
    assert (device["held_at_contact"], device["cursors"]) == (0, [])
    assert not device["stale"]


async def test_list_comes_in_pages(service: Composed) -> None:
    names = []
    for i in range(5):
        names.append(f"Handheld {i}")
        await make(service, names[-1])
        service.pass_time(seconds=i // 2)  # some are made in the same second
    seen, cursor = [], ""
    for _ in turns():
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
    for method, path in [
        ("POST", ""),
        ("GET", ""),
        ("GET", "/x"),
        ("DELETE", "/x"),
        ("POST", "/x/enrolment-code"),
    ]:
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
    problem(await service.ask("GET", f"/v1/devices/{elsewhere['id']}", key=key), 403)
    code = f"/v1/devices/{elsewhere['id']}/enrolment-code"
    problem(await service.ask("POST", code, key=key), 403)
    response = await service.ask("DELETE", f"/v1/devices/{here['id']}", key=key)
    assert response.status_code == 204


async def test_instants_far_away_are_kept(service: Composed) -> None:
    id, _ = await enrolled(service)
    far = datetime(9990, 12, 31, tzinfo=UTC)
    service.record.write(lambda tx: devices.seen(tx, id, "1085", "c", 1, far))
    assert (await listed(service, id))["last_seen_at"] == "9990-12-31T00:00:00Z"
