"""Events: what a patrol leaves behind, kept once, as it was sent, and found again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.paging import turns
from tests.service import Service, new_id

EVENT = {"kind": "shift_start", "site": "1085", "at": "2026-11-23T15:15:00Z"}


def put(device: httpx.Client, id: str | None = None, **facts: Any) -> httpx.Response:
    return device.put(f"/v1/events/{id or new_id()}", json=EVENT | facts)


def found(service: Service, **query: Any) -> list[dict[str, Any]]:
    answer = service.reader.get("/v1/events", params=query)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def test_event_is_kept_as_it_was_sent(service: Service) -> None:
    service.site()
    handheld, id = service.handheld(), new_id()
    facts = {"zone": "G1", "position": {"lat": 45.41, "lon": -71.88}, "é": ["\u202f", None, True]}
    answer = put(service.client(handheld.token), id, **facts)
    assert answer.status_code == 201
    assert answer.json() == {"id": id, "received_at": "2026-11-23T15:15:00Z"}
    assert found(service) == [
        {
            "id": id,
            **EVENT,
            "device": handheld.id,
            "after_revocation": False,
            "received_at": "2026-11-23T15:15:00Z",
            "facts": facts,
        }
    ]


def test_event_sent_again_is_kept_once(service: Service) -> None:
    service.site()
    device, id = service.device_client(), new_id()
    first = put(device, id, note="x")
    service.clock.advance(hours=1)
    again = put(device, id.upper(), note="x", at="2026-11-23T10:15:00-05:00")
    assert (again.status_code, again.json()) == (200, first.json())
    assert len(found(service)) == 1


@pytest.mark.parametrize("change", [{"note": "y"}, {"kind": "shift_end"}, {"site": "2000"}])
def test_other_content_under_the_same_id_is_refused(
    service: Service, change: dict[str, Any]
) -> None:
    for site in ("1085", "2000"):
        service.site(site)
    code = service.device("1085", "2000")["enrolment_code"]
    token = service.client(None).post("/v1/enrolments", json={"code": code}).json()["token"]
    device, id = service.client(token), new_id()
    assert put(device, id, note="x").status_code == 201
    answer = put(device, id, **({"note": "x"} | change))
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/event-conflict")


def test_events_sent_twice_at_once_are_kept_once(service: Service) -> None:
    service.site()
    device, ids = service.device_client(), [new_id() for _ in range(10)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda id: put(device, id).status_code, ids * 2))
    assert sorted(answers) == [200] * 10 + [201] * 10
    assert len(found(service)) == 10


def test_revoked_device_hands_over_what_it_holds_and_it_is_flagged(service: Service) -> None:
    service.site()
    handheld = service.handheld()
    device = service.client(handheld.token)
    service.admin.delete(f"/v1/devices/{handheld.id}")
    assert put(device).status_code == 201
    assert [event["after_revocation"] for event in found(service)] == [True]


def test_event_of_another_site_is_refused(service: Service) -> None:
    service.site()
    answer = put(service.device_client(), site="9999")
    assert (answer.status_code, answer.json()["type"]) == (403, "/problems/forbidden-site")


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"kind": ""}, "/kind"),
        ({"kind": "Shift"}, "/kind"),
        ({"kind": "a\n"}, "/kind"),
        ({"kind": "a" * 41}, "/kind"),
        ({"kind": 7}, "/kind"),
        ({"site": None}, "/site"),
        ({"at": "yesterday"}, "/at"),
        ({"at": 0}, "/at"),
    ],
)
def test_unusable_event_is_refused_and_named(
    service: Service, change: dict[str, Any], pointer: str
) -> None:
    service.site()
    answer = put(service.device_client(), **change)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"7",
        b"\xff",
        b"{",
        b'{"kind":"a","site":"1085","at":"2026-11-23T15:15:00Z","n":NaN}',
        b'{"kind":"a","site":"1085","at":"2026-11-23T15:15:00Z","n":1e999}',
        b'{"kind":"a","site":"1085","at":"2026-11-23T15:15:00Z","n":' + b"9" * 5000 + b"}",
        b'{"kind":"a","site":"1085","at":"2026-11-23T15:15:00Z","n":' + b"[" * 20_000,
    ],
)
def test_body_that_is_no_event_is_refused(service: Service, body: bytes) -> None:
    service.site()
    device = service.device_client()
    answer = device.put(f"/v1/events/{new_id()}", content=body)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid")


def test_text_that_no_database_stores_is_mended(service: Service) -> None:
    service.site()
    body = (
        b'{"kind":"a","site":"1085","at":"2026-11-23T15:15:00Z","t":"\\u0000\\ud83d","\\u0000":1}'
    )
    assert service.device_client().put(f"/v1/events/{new_id()}", content=body).status_code == 201
    (event,) = found(service)
    assert event["facts"] == {"t": "\ufffd\ufffd", "\ufffd": 1}


@pytest.mark.parametrize("pair", ["[]", "{}"])
def test_event_has_a_depth_so_that_none_hides_a_page_of_others(service: Service, pair: str) -> None:
    service.site()
    device = service.device_client()

    def nested(deep: int) -> Any:
        value: Any = "x"
        for _ in range(deep):
            value = [value] if pair == "[]" else {"a": value}
        return value

    assert put(device, deep=nested(31)).status_code == 201
    for deep in (32, 240, 400):
        refused = put(device, deep=nested(deep))
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["detail"].startswith("has lists or objects more than 32")
    assert [event["facts"] for event in found(service)] == [{"deep": nested(31)}]


def test_event_has_a_size(service: Service) -> None:
    service.site()
    device = service.device_client()
    assert put(device, note="x" * 60_000).status_code == 201
    answer = put(device, note="x" * 66_000)
    assert (answer.status_code, answer.json()["type"]) == (413, "/problems/too-large")


def test_supervisor_finds_events_by_site_kind_device_and_time(service: Service) -> None:
    for site in ("1085", "2000"):
        service.site(site)
    one, other = service.handheld(), service.handheld("2000")
    mine, theirs = service.client(one.token), service.client(other.token)
    put(mine, note=1)
    put(mine, kind="chalk", at="2026-11-23T16:00:00Z", note=2)
    put(theirs, site="2000", at="2026-11-23T17:00:00Z", note=3)

    def notes(**query: Any) -> list[int]:
        return [event["facts"]["note"] for event in found(service, **query)]

    assert notes() == [3, 2, 1]
    assert notes(site="1085") == [2, 1]
    assert notes(site=["1085", "2000"], kind=["chalk", "\0"]) == [2]
    assert notes(device=other.id) == [3]
    assert notes(**{"from": "2026-11-23T16:00:00Z", "to": "2026-11-23T17:00:00Z"}) == [2]
    reader = service.client(service.key("reader", name="one", sites=["2000"]))
    assert [event["facts"]["note"] for event in reader.get("/v1/events").json()["items"]] == [3]
    for not_theirs in ("1085", "nowhere"):
        assert reader.get("/v1/events", params={"site": not_theirs}).status_code == 403
    assert service.reader.get("/v1/events", params={"site": "x"}).status_code == 404
    assert service.reader.get("/v1/events", params={"from": "soon"}).status_code == 422
    assert service.reader.get("/v1/events", params={"cursor": "soon"}).status_code == 422
    assert mine.get("/v1/events").status_code == 403


def test_list_comes_in_pages(service: Service) -> None:
    service.site()
    device = service.device_client()
    for i in range(5):
        put(device, at=f"2026-11-23T15:15:0{i // 2}Z", note=i)
    seen, query = [], {"limit": 2}
    for _ in turns():
        page = service.reader.get("/v1/events", params=query).json()
        assert len(page["items"]) <= 2
        seen += [event["facts"]["note"] for event in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert sorted(seen) == [0, 1, 2, 3, 4]
    assert seen[0] == 4
