"""Sites, patrollers and the hotlist, on both engines."""

from typing import Any
from urllib.parse import quote

import pytest

from enforcement_api.database.engine import Record
from enforcement_api.sites import store as sites
from enforcement_api.sites.core import STANDARD_CODES, UnknownSite
from tests.contracts.composed import START, Composed, on_one_engine, pointers, problem

pytestmark = pytest.mark.asyncio

G1 = {"code": "G1", "name": {"fr": "Général 1", "en": "General 1"}}
G2 = {"code": "G2", "name": {"fr": "Général 2", "en": "General 2"}}
SQUARE = [[-71.9, 45.4], [-71.8, 45.4], [-71.8, 45.5], [-71.9, 45.4]]
WHOLE: dict[str, Any] = {
    "name": "CIUSSS de l'Estrie - CHUS",
    "address": "375 rue Argyll, J1J 3H5, Sherbrooke, QC",
    "time_zone": "America/Montreal",
    "jurisdiction": "CA-ON",
    "instrument": "constat",
    "activation_hours": 0,
    "retention_days": 0,
    "stale_after_hours": 1,
    "zones": [G1 | {"note": {"fr": "La nuit.", "en": "At night."}}, G2],
    "lots": [
        {
            "code": "ARGYLL",
            "name": "Argyll 🅿",
            "zone": "G1",
            "area": {"type": "Polygon", "coordinates": [SQUARE]},
        },
        {"code": "L2", "name": "Two", "zone": None, "area": None},
    ],
    "codes": [
        {
            "code": "Z9",
            "title": {"fr": "Neuf", "en": "Nine"},
            "instruments": ["constat"],
            "article": "12.3",
            "amounts": [{"from": "2026-01-01", "amount_cents": 6250}],
            "photos_required": True,
            "active": False,
        },
        {
            "code": "A1",
            "title": {"fr": "Un", "en": "One"},
            "instruments": ["avis", "constat"],
            "article": None,
            "amounts": [],
            "photos_required": 1,
            "active": True,
        },
    ],
    "no_notice": [
        {
            "from": "2026-12-24T05:00:00Z",
            "until": "2026-12-26T05:00:00Z",
            "zones": ["G2"],
            "reason": "Neige",
        },
        {
            "from": "2026-12-31T05:00:00Z",
            "until": "2027-01-01T05:00:00Z",
            "zones": ["*"],
            "reason": {"fr": "Fête", "en": "Holiday"},
        },
    ],
}


@pytest.fixture
def service(record: Record) -> Composed:
    return Composed(record)


async def test_site_needs_only_a_name(service: Composed) -> None:
    response = await service.put_site(name="CHUS")
    assert response.status_code == 201
    site = response.json()
    assert site["codes"][0]["title"] == {"fr": "Sans permis valide", "en": "No valid permit"}
    assert [code["code"] for code in site.pop("codes")] == [code.id for code in STANDARD_CODES]
    assert site == {
        "name": "CHUS",
        "address": "",
        "time_zone": "America/Toronto",
        "jurisdiction": "CA-QC",
        "instrument": "avis",
        "activation_hours": 24,
        "retention_days": 90,
        "stale_after_hours": None,
        "zones": [],
        "lots": [],
        "no_notice": [],
    }


async def test_site_reads_as_it_was_written_and_can_be_written_back(service: Composed) -> None:
    assert (await service.put_site(**WHOLE)).json() == WHOLE
    read = await service.ask("GET", "/v1/sites/1085")
    assert read.json() == WHOLE
    sequence = service.page().sequence
    again = await service.ask("PUT", "/v1/sites/1085", read.json())
    assert (again.status_code, again.json()) == (200, WHOLE)
    assert service.page().sequence == sequence


async def test_site_is_replaced_whole(service: Composed) -> None:
    await service.put_site(**WHOLE)
    response = await service.put_site(name="Other", zones=[G2])
    assert response.status_code == 200
    assert response.json()["address"] == ""
    assert set(service.fed("zone")) == {"G2"}
    assert service.fed("lot") == {}
    assert set(service.fed("code")) == {code.id for code in STANDARD_CODES}


async def test_feed_carries_the_site(service: Composed) -> None:
    await service.put_site(**WHOLE)
    assert service.followed == ["1085"]
    assert service.fed("site")["1085"]["pruned_at"] is None
    assert service.fed("zone")["G2"] == {"id": "G2", "name": G2["name"], "note": None}
    assert service.fed("lot")["ARGYLL"]["area"] == (
        '{"type":"Polygon","coordinates":[[[-71.9,45.4],[-71.8,45.4],[-71.8,45.5],[-71.9,45.4]]]}'
    )
    assert service.fed("code")["Z9"] == {
        "id": "Z9",
        **{key: value for key, value in WHOLE["codes"][0].items() if key != "code"},
    }


async def test_lots_and_zones_without_a_name_are_called_by_their_code(service: Composed) -> None:
    response = await service.put_site(zones=[{"code": "G1"}], lots=[{"code": "P1", "zone": "G1"}])
    assert response.json()["zones"] == [{"code": "G1", "name": {"fr": "G1", "en": "G1"}}]
    assert response.json()["lots"] == [{"code": "P1", "name": "P1", "zone": "G1", "area": None}]


async def test_instants_with_any_offset_are_answered_in_utc(service: Composed) -> None:
    window = {
        "from": "2026-12-24T00:00:00-05:00",
        "until": "2026-12-24T12:00:00.9+01:00",
        "reason": "Neige",
    }
    response = await service.put_site(no_notice=[window])
    assert response.json()["no_notice"] == [
        {
            "from": "2026-12-24T05:00:00Z",
            "until": "2026-12-24T11:00:00Z",
            "zones": ["*"],
            "reason": "Neige",
        }
    ]


def lot(area: Any) -> dict[str, Any]:
    return {"zones": [G1], "lots": [{"code": "L1", "name": "One", "zone": "G1", "area": area}]}


def code(**fields: Any) -> dict[str, Any]:
    return {"codes": [{"code": "P01", "title": {"fr": "Un", "en": "One"}} | fields]}


def window(**fields: Any) -> dict[str, Any]:
    times = {"from": "2026-12-24T05:00:00Z", "until": "2026-12-25T05:00:00Z"}
    return {"zones": [G1], "no_notice": [times | {"reason": "Neige"} | fields]}


@on_one_engine
@pytest.mark.parametrize(
    ("wanted", "pointer"),
    [
        ({"name": ""}, "/name"),
        ({"name": "  "}, "/name"),
        ({"name": 7}, "/name"),
        ({"name": "a\0b"}, "/name"),
        ({"name": "a\ud800"}, "/name"),
        ({"address": "a\0b"}, "/address"),
        ({"colour": "red"}, "/colour"),
        ({"time_zone": "Mars/Olympus"}, "/time_zone"),
        ({"time_zone": "../../etc/passwd"}, "/time_zone"),
        ({"time_zone": "America"}, "/time_zone"),
        ({"jurisdiction": "Québec"}, "/jurisdiction"),
        ({"instrument": "amende"}, "/instrument"),
        ({"activation_hours": -1}, "/activation_hours"),
        ({"activation_hours": 8761}, "/activation_hours"),
        ({"activation_hours": 1.5}, "/activation_hours"),
        ({"activation_hours": True}, "/activation_hours"),
        ({"retention_days": 3001}, "/retention_days"),
        ({"stale_after_hours": 0}, "/stale_after_hours"),
        ({"zones": None}, "/zones"),
        ({"zones": [{"code": "*"}]}, "/zones/0/code"),
        ({"zones": [{"code": "G 1"}]}, "/zones/0/code"),
        ({"zones": [{"code": ""}]}, "/zones/0/code"),
        ({"zones": [{"code": "x" * 33}]}, "/zones/0/code"),
        ({"zones": [G1, G1]}, "/zones/1/code"),
        ({"zones": [{"code": "G1", "name": {"fr": "Un"}}]}, "/zones/0/name/en"),
        ({"lots": [{"code": "L1", "zone": "G9"}]}, "/lots/0/zone"),
        ({"lots": [{"code": "L1"}, {"code": "L1"}]}, "/lots/1/code"),
        (lot("POLYGON"), "/lots/0/area"),
        (lot({"type": "Point", "coordinates": [1, 2]}), "/lots/0/area"),
        (lot({"type": "Polygon", "coordinates": []}), "/lots/0/area"),
        (lot({"type": "Polygon", "coordinates": [[]]}), "/lots/0/area"),
        (lot({"type": "Polygon", "coordinates": [SQUARE[:3]]}), "/lots/0/area"),
        (lot({"type": "Polygon", "coordinates": [[*SQUARE[:3], [0, 0]]]}), "/lots/0/area"),
        (lot({"type": "Polygon", "coordinates": [[[190, 0]] * 4]}), "/lots/0/area"),
        (lot({"type": "Polygon", "coordinates": [[["1", "2"]] * 4]}), "/lots/0/area"),
        (lot({"type": "Polygon", "coordinates": [[[10**400, 0]] * 4]}), "/lots/0/area"),
        (lot({"type": "MultiPolygon", "coordinates": [SQUARE]}), "/lots/0/area"),
        (code(photos_required=11), "/codes/0/photos_required"),
        (code(photos_required=1.0), "/codes/0/photos_required"),
        (code(instruments=[]), "/codes/0/instruments"),
        (code(instruments=["amende"]), "/codes/0/instruments/0"),
        (code(active=1), "/codes/0/active"),
        (
            code(amounts=[{"from": "2026-01-01", "amount_cents": -1}]),
            "/codes/0/amounts/0/amount_cents",
        ),
        (
            code(amounts=[{"from": "2026-01-01", "amount_cents": 10.5}]),
            "/codes/0/amounts/0/amount_cents",
        ),
        (code(amounts=[{"from": "2026-02-30", "amount_cents": 1}]), "/codes/0/amounts/0/from"),
        (code(amounts=[{"from": "9991-01-01", "amount_cents": 1}]), "/codes/0/amounts/0/from"),
        (code(amounts=[{"from": 20260101, "amount_cents": 1}]), "/codes/0/amounts/0/from"),
        (
            code(amounts=[{"from": "2026-01-01", "amount_cents": 1}] * 2),
            "/codes/0/amounts/1/from",
        ),
        (window(until="2026-12-24T05:00:00Z"), "/no_notice/0/until"),
        (window(until="2026-12-24T05:00:00"), "/no_notice/0/until"),
        (window(until="10000-01-01T00:00:00Z"), "/no_notice/0/until"),
        (window(**{"from": "0001-01-01T00:00:00+14:00"}), "/no_notice/0/from"),
        (window(zones=["G9"]), "/no_notice/0/zones/0"),
        (window(zones=[]), "/no_notice/0/zones"),
        (window(reason={"fr": "Neige"}), "/no_notice/0/reason"),
        (window(reason=3), "/no_notice/0/reason"),
    ],
)
async def test_unusable_site_is_refused_and_named(
    wanted: dict[str, Any], pointer: str, service: Composed
) -> None:
    assert pointers(await service.put_site(**wanted)) == [pointer]
    problem(await service.ask("GET", "/v1/sites/1085"), 404)


@on_one_engine
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"CHUS"',
        b'{"name": "CH',
        b'{"name": "CH\xffUS"}',
        b'{"name": NaN}',
        b'{"\\ud800": 1, "name": "CHUS"}',
        b'{"name": "CHUS", "activation_hours": 1e999}',
        b'{"name": "CHUS", "activation_hours": 1' + b"0" * 5000 + b"}",
        b'{"name": "CHUS", "activation_hours": 1' + b"0" * 400 + b"}",
        b'{"name": "CHUS", "lots": [{"code": "L1", "area": '
        b'{"type": "Polygon", "coordinates": [[[NaN, 1], [Infinity, 2], [3, 3], [4, 4]]]}}]}',
        b'{"name": ' + b"[" * 100_000,
        b'{"name": ' + b"[" * 3000 + b"]" * 3000 + b"}",
    ],
    ids=lambda body: repr(body[:24]),
)
async def test_any_body_gets_an_answer(body: bytes, service: Composed) -> None:
    response = await service.ask(
        "PUT", "/v1/sites/1085", content=body, headers={"Content-Type": "application/json"}
    )
    assert response.status_code in (400, 422)
    problem(response, response.status_code)


@pytest.mark.parametrize("site", ["-1", "1085 ", "a/b", "é", "x" * 33, "1\0", "\N{PILE OF POO}"])
async def test_unusable_site_code_is_no_site(site: str, service: Composed) -> None:
    path = f"/v1/sites/{quote(site)}"
    if "/" not in site:
        assert pointers(await service.ask("PUT", path, {"name": "CHUS"})) == ["/path/site"]
    problem(await service.ask("GET", path), 404)
    patroller = {"badge": "1", "name": "M", "pin": "123456"}
    problem(await service.ask("PUT", f"{path}/patrollers/m", patroller), 404)
    problem(await service.ask("DELETE", f"{path}/patrollers/m"), 404)
    entry = {"plate": "ABC123", "reason": "Volé", "priority": "low"}
    problem(await service.ask("PUT", f"{path}/hotlist/h", entry), 404)
    problem(await service.ask("DELETE", f"{path}/hotlist/h"), 404)


async def test_zone_that_permits_name_stays(service: Composed) -> None:
    await service.put_site(zones=[G1, G2])
    service.named_by_permits = {"*", "G1"}
    refused = problem(await service.put_site(zones=[G2]), 409)
    assert refused["type"] == "/problems/zone-in-use"
    assert refused["zones"] == ["G1"]
    assert set(service.fed("zone")) == {"G1", "G2"}
    assert (await service.put_site(zones=[G1])).status_code == 200


@pytest.mark.parametrize(
    "change", [{"time_zone": "America/Vancouver"}, {"jurisdiction": "US-VT"}], ids=str
)
async def test_clock_and_jurisdiction_stay_once_there_are_permits(
    change: dict[str, str], service: Composed
) -> None:
    await service.put_site()
    assert (await service.put_site(**change)).status_code == 200
    await service.put_site()
    service.has_permits = True
    refused = problem(await service.put_site(**change), 409)
    assert refused["type"] == "/problems/site-has-permits"
    assert (await service.put_site(name="Renamed", activation_hours=48)).status_code == 200


async def test_replacing_a_site_keeps_its_last_retention_run(service: Composed) -> None:
    await service.put_site()
    service.record.write(lambda tx: sites.set_pruned_at(tx, "1085", START))
    await service.put_site(name="Renamed")
    assert service.fed("site")["1085"]["pruned_at"] == "2026-11-23T15:15:00Z"
    assert service.record.read(lambda tx: sites.site(tx, "1085")).pruned_at == START


async def test_problems_speak_the_language_of_the_request(service: Composed) -> None:
    for language in ("fr", "en"):
        response = await service.ask("GET", "/v1/sites/nowhere", language=language)
        assert "nowhere" in problem(response, 404)["detail"]
        assert response.headers["content-language"] == language


async def test_only_an_administrator_of_the_site_writes_it(service: Composed) -> None:
    await service.put_site()
    feeder, elsewhere = service.key("feeder"), service.key("admin", sites=["1085"])
    for method, path in [
        ("PUT", "/v1/sites/1085"),
        ("GET", "/v1/sites/1085"),
        ("PUT", "/v1/sites/1085/patrollers/m"),
        ("DELETE", "/v1/sites/1085/patrollers/m"),
        ("PUT", "/v1/sites/1085/hotlist/h"),
        ("DELETE", "/v1/sites/1085/hotlist/h"),
    ]:
        problem(await service.ask(method, path, key=""), 401)
        problem(await service.ask(method, path, key="nonsense"), 401)
        problem(await service.ask(method, path, key=feeder), 403)
        problem(await service.ask(method, path.replace("1085", "2000"), key=elsewhere), 403)


async def test_sites_are_listed_by_code(service: Composed) -> None:
    for site in ("b", "a"):
        await service.put_site(site, zones=[G1])

    def look(tx: Any) -> tuple[list[str], set[str], set[str]]:
        ids = [site.id for site in sites.all_sites(tx)]
        return ids, sites.zone_codes(tx, "a"), sites.zone_codes(tx, "nowhere")

    assert service.record.read(look) == (["a", "b"], {"G1"}, set())
    with pytest.raises(UnknownSite):
        service.record.read(lambda tx: sites.site(tx, "a\0"))


MARIE = {"badge": "417", "name": "Marie Tremblay", "pin": "204816"}


async def test_patroller_is_written_and_removed(service: Composed) -> None:
    await service.put_site()
    path = "/v1/sites/1085/patrollers/marie"
    added = await service.ask("PUT", path, MARIE)
    assert added.status_code == 201
    assert added.json() == {"id": "marie", "badge": "417", "name": "Marie Tremblay"}
    assert (await service.ask("PUT", path, MARIE | {"name": "Marie T."})).status_code == 200
    stored = service.record.read(lambda tx: sites.patroller_of_badge(tx, "1085", "417"))
    assert stored is not None
    assert stored.name == "Marie T."
    assert stored.pin_hash.startswith("$argon2id$")
    assert (await service.ask("DELETE", path)).status_code == 204
    assert problem(await service.ask("DELETE", path), 404)["type"] == "/problems/unknown-patroller"


async def test_badge_is_one_patrollers_in_a_site(service: Composed) -> None:
    await service.put_site("1085")
    await service.put_site("2000")
    await service.ask("PUT", "/v1/sites/1085/patrollers/marie", MARIE)
    luc = MARIE | {"name": "Luc"}
    refused = await service.ask("PUT", "/v1/sites/1085/patrollers/luc", luc)
    assert problem(refused, 409)["type"] == "/problems/badge-taken"
    assert "Marie Tremblay" in refused.json()["detail"]
    elsewhere = await service.ask("PUT", "/v1/sites/2000/patrollers/luc", luc)
    assert elsewhere.status_code == 201


@on_one_engine
@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"pin": "12345"}, "/pin"),
        ({"pin": "1234567"}, "/pin"),
        ({"pin": "12345a"}, "/pin"),
        ({"pin": "١٢٣٤٥٦"}, "/pin"),
        ({"pin": 123456}, "/pin"),
        ({"badge": ""}, "/badge"),
        ({"badge": "4 17"}, "/badge"),
        ({"name": "a\0"}, "/name"),
        ({"age": 33}, "/age"),
    ],
)
async def test_unusable_patroller_is_refused_and_named(
    change: dict[str, Any], pointer: str, service: Composed
) -> None:
    await service.put_site()
    response = await service.ask("PUT", "/v1/sites/1085/patrollers/marie", MARIE | change)
    assert pointers(response) == [pointer]
    assert "204816" not in response.text


STOLEN = {"plate": "abc-123", "reason": "Volé", "priority": "high"}


async def test_hotlist_reaches_the_feed_and_leaves_it(service: Composed) -> None:
    await service.put_site(jurisdiction="US-VT")
    path = "/v1/sites/1085/hotlist/stolen-17"
    added = await service.ask("PUT", path, STOLEN)
    assert added.status_code == 201
    assert added.json() == {
        "id": "stolen-17",
        "plate": "ABC123",
        "jurisdiction": "US-VT",
        "reason": "Volé",
        "priority": "high",
        "instructions": None,
        "expires_at": None,
    }
    assert service.fed("hotlist") == {"stolen-17": added.json()}
    changed = STOLEN | {
        "jurisdiction": "CA-ON",
        "instructions": "Appeler.\nAttendre.",
        "expires_at": "2027-01-31T00:00:00-05:00",
    }
    replaced = await service.ask("PUT", path, changed)
    assert replaced.status_code == 200
    assert replaced.json()["expires_at"] == "2027-01-31T05:00:00Z"
    assert service.fed("hotlist") == {"stolen-17": replaced.json()}
    assert (await service.ask("DELETE", path)).status_code == 204
    assert service.fed("hotlist") == {}
    assert service.followed == ["1085"] * 4
    problem(await service.ask("DELETE", path), 404)


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"plate": "?"}, "/plate"),
        ({"plate": "\0\ud83d"}, "/plate"),
        ({"plate": "A" * 5000}, "/plate"),
        ({"jurisdiction": "quebec"}, "/jurisdiction"),
        ({"priority": "urgent"}, "/priority"),
        ({"expires_at": "tomorrow"}, "/expires_at"),
        ({"reason": "a\0"}, "/reason"),
    ],
)
async def test_unusable_hotlist_entry_is_refused_and_named(
    change: dict[str, Any], pointer: str, service: Composed
) -> None:
    await service.put_site()
    response = await service.ask("PUT", "/v1/sites/1085/hotlist/h", STOLEN | change)
    assert pointers(response) == [pointer]


@pytest.mark.parametrize("id", ["a\0", " a", "x" * 101])
async def test_unusable_id_is_refused(id: str, service: Composed) -> None:
    await service.put_site()
    for path, body in (("patrollers", MARIE), ("hotlist", STOLEN)):
        there = f"/v1/sites/1085/{path}/{quote(id)}"
        assert pointers(await service.ask("PUT", there, body)) == ["/path/id"]
        problem(await service.ask("DELETE", there), 404)


async def test_openapi_describes_every_route(service: Composed) -> None:
    described = (await service.ask("GET", "/openapi.json")).json()
    assert described["openapi"].startswith("3.1")
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            assert operation["operationId"].isalpha(), (path, method)
            assert operation["tags"], (path, method)
            assert operation["summary"], (path, method)
