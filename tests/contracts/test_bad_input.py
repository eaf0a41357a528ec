"""Whatever is sent gets a clear problem in French and in English that names the item.

Nothing else in the request is lost, and nothing is ever answered with 500. On both engines, since
each refuses other texts.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.postgres import fresh_database
from tests.service import Service, infraction, ndjson, new_id, picture, running

NDJSON = {"Content-Type": "application/x-ndjson"}
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """One service for all that is refused: nothing of it leaves a trace."""
    url = None
    if request.param == "postgresql":
        template = request.getfixturevalue("migrated_postgres")
        url = fresh_database(request.getfixturevalue("postgres_url"), template=template)
    with running(tmp_path_factory.mktemp("bad"), database_url=url) as service:
        service.site()
        yield service
        service.assert_consistent()


def texts(problem: dict[str, Any]) -> list[str]:
    """Every sentence in a problem, at any depth."""
    found = [problem["title"], problem["detail"]]
    found += [error["detail"] for error in problem.get("errors", ())]
    return found


def assert_both_languages(french: dict[str, Any], english: dict[str, Any]) -> None:
    """The same problem twice, with no sentence left untranslated."""
    assert french["type"] == english["type"]
    assert french["status"] == english["status"]
    for fr, en in zip(texts(french), texts(english), strict=True):
        assert fr
        assert en
        assert fr != en, f"not translated: {en}"
        assert not re.search(r"\{(site|zones?|id|reason|limit|text|at|allowed)\}", fr + en)
        assert "Traceback" not in fr + en


def refused(
    service: Service, status: int, method: str, path: str, *, role: str = "feeder", **how: Any
) -> dict[str, Any]:
    """The problem in English, seen to be the same in French."""
    key = service.as_(role).headers["authorization"].removeprefix("Bearer ")
    answers = {}
    for language in ("fr", "en"):
        answer = service.client(key, language=language).request(method, path, **how)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["content-language"] == language
        answers[language] = answer.json()
    assert_both_languages(answers["fr"], answers["en"])
    english: dict[str, Any] = answers["en"]
    assert english["status"] == status
    return english


def push_both(service: Service, body: bytes, headers: dict[str, str]) -> Any:
    """The answer in English to updates, each rejection seen to be the same in French."""
    service.feeder  # noqa: B018  its key
    answers = {}
    for language in ("fr", "en"):
        client = service.client(service._keys["feeder"], language=language)
        answer = client.post("/v1/plate-updates", content=body, headers=headers)
        assert answer.status_code == 200, answer.text
        answers[language] = answer.json()
    for fr, en in zip(answers["fr"]["rejected"], answers["en"]["rejected"], strict=True):
        assert (fr["index"], fr["id"]) == (en["index"], en["id"])
        assert_both_languages(fr["problem"], en["problem"])
    return answers["en"]


# One bad item among good ones

LONG = "x" * 101
BAD_ITEMS: list[tuple[str, dict[str, Any], str]] = [
    # what is wrong, how the update differs, what is named
    ("no plate in it", {"plate": "é"}, "/plate"),
    ("empty plate", {"plate": ""}, "/plate"),
    ("plate of NUL", {"plate": "\0\0\0"}, "/plate"),
    ("plate of emoji", {"plate": "🚗🚗"}, "/plate"),
    ("nine characters", {"plate": "ＡＢＣＤＥＦＧＨＩ"}, "/plate"),
    ("half a surrogate", {"plate": "\ud83d"}, "/plate"),
    ("enormous plate", {"plate": "A" * 100_000}, "/plate"),
    ("plate that is a number", {"plate": 123}, "/plate"),
    ("no plate", {"plate": None}, "/plate"),
    ("unknown jurisdiction", {"jurisdiction": "Québec"}, "/jurisdiction"),
    ("jurisdiction of NUL", {"jurisdiction": "\0"}, "/jurisdiction"),
    ("end before the beginning", {"valid_from": "2026-06-02", "valid_until": "2026-06-01"},
     "/valid_until"),
    ("beyond year 9999", {"valid_until": "10000-01-01"}, "/valid_until"),
    ("beyond year 9990", {"valid_until": "9991-01-01"}, "/valid_until"),
    ("before 1970", {"valid_from": "1969-12-31"}, "/valid_from"),
    ("no such date", {"valid_from": "2026-02-30"}, "/valid_from"),
    ("another date", {"valid_from": "01/02/2026"}, "/valid_from"),
    ("week date", {"valid_from": "2026-W05-1"}, "/valid_from"),
    ("date that is a number", {"valid_from": 20260101}, "/valid_from"),
    ("instant without offset", {"confirmed_at": "2026-11-01T10:00:00"}, "/confirmed_at"),
    ("instant beyond the calendar", {"ends_at": "9999-12-31T23:59:59-23:00"}, "/ends_at"),
    ("instant of year 0", {"ends_at": "0000-01-01T00:00:00Z"}, "/ends_at"),
    ("instant that is a date", {"confirmed_at": "2026-11-01"}, "/confirmed_at"),
    ("confirmation to come", {"confirmed_at": "2026-11-23T15:20:01Z"}, "2026-11-23"),
    ("unknown zone", {"zones": ["G1", "Q9"]}, "Q9"),
    ("zone with a NUL", {"zones": ["G1\0"]}, "G1"),
    ("zone that is half a surrogate", {"zones": ["\ud800"]}, "1085"),
    ("zone with braces", {"zones": ["{0}"]}, "{0}"),
    ("no zone", {"zones": []}, "/zones"),
    ("zones in a text", {"zones": "G1"}, "/zones"),
    ("unknown site", {"site": "9999"}, "9999"),
    ("site of NUL", {"site": "\0"}, ""),
    ("site that is half a surrogate", {"site": "\ud800"}, ""),
    ("id with a tilde", {"id": "a~1"}, "/id"),
    ("id with a control character", {"id": "a\nb"}, "/id"),
    ("id with a NUL", {"id": "a\0"}, "/id"),
    ("id with half a surrogate", {"id": "\udc00"}, "/id"),
    ("empty id", {"id": ""}, "/id"),
    ("long id", {"id": LONG}, "/id"),
    ("id that is a number", {"id": 7}, "/id"),
    ("negative version", {"version": -1}, "/version"),
    ("enormous version", {"version": 1 << 63}, "/version"),
    ("version in a text", {"version": "1"}, "/version"),
    ("version with a fraction", {"version": 1.5}, "/version"),
    ("version that is true", {"version": True}, "/version"),
    ("version that is not a number", {"version": float("nan")}, "/version"),
    ("unknown status", {"status": "lost"}, "/status"),
    ("permit number of NUL", {"permit_number": "\0"}, "/permit_number"),
    ("long permit number", {"permit_number": LONG}, "/permit_number"),
    ("vehicle in a text", {"vehicle": "Acura"}, "/vehicle"),
    ("unknown field of the vehicle", {"vehicle": {"doors": 4}}, "/vehicle/doors"),
    ("colour of NUL", {"vehicle": {"colour": "\0"}}, "/vehicle/colour"),
    ("year in a text", {"vehicle": {"year": "2021"}}, "/vehicle/year"),
    ("unknown field", {"colour": "rouge"}, "/colour"),
    ("field named by half a surrogate", {"\ud800": 1}, ""),
    ("field named with braces", {"{x}": 1}, ""),
]  # fmt: skip


@pytest.mark.parametrize("kind", ["json", "ndjson"])
def test_bad_items_are_named_and_the_others_kept(service: Service, kind: str) -> None:
    """All of them in one request, each between two good ones."""
    updates, expected = [], []
    for number, (what, difference, named) in enumerate(BAD_ITEMS):
        updates.append(service.update("GOOD1", id=f"{kind}-good-{number}"))
        bad = service.update("BAD1", id=f"{kind}-bad-{number}") | difference
        expected.append((len(updates), bad["id"], what, named))
        updates.append(bad)
    if kind == "json":
        answer = push_both(service, json.dumps({"updates": updates}).encode(), JSON)
    else:
        answer = push_both(service, ndjson(*updates), NDJSON)
    rejected = {r["index"]: r for r in answer["rejected"]}
    assert sorted(rejected) == [index for index, _, _, _ in expected], [
        what for index, _, what, _ in expected if index not in rejected
    ]
    assert answer["unchanged"] == len(BAD_ITEMS)  # the second time; the first took them
    assert answer["applied"] == 0
    for index, id, what, named in expected:
        problem = rejected[index]["problem"]
        told = json.dumps(problem, ensure_ascii=False)
        assert named in told, (what, told)
        if isinstance(id, str) and id.startswith(kind):
            assert rejected[index]["id"] == id, what


@pytest.mark.parametrize(
    "item", [None, 1, "text", [], [1], True, {}, {"id": None}, {"id": ["x"]}, {"id": {"a": 1}}]
)
def test_item_that_is_no_update_has_no_id(service: Service, item: Any) -> None:
    good = service.update("GOOD2", id="good-2")
    body = json.dumps({"updates": [item, good]}).encode()
    answer = push_both(service, body, JSON)
    assert [(r["index"], r["id"]) for r in answer["rejected"]] == [(0, None)]
    assert service.verdict("GOOD2") == "valid"


def test_line_that_is_not_json_is_named_and_the_others_kept(service: Service) -> None:
    lines = ["{", "not json", '{"id": "a"', "[" * 100_000, "\x00", '"\\ud800"', "9" * 5000]
    good = [service.update("GOOD3", id=f"good-3-{n}") for n in range(len(lines) + 1)]
    body = ndjson(good[0], *(part for pair in zip(lines, good[1:], strict=True) for part in pair))
    body += b"\n\xff\xfe\n"
    answer = push_both(service, body, NDJSON)
    assert [r["index"] for r in answer["rejected"]] == [1, 3, 5, 7, 9, 11, 13, 15]
    assert {r["id"] for r in answer["rejected"]} == {None}
    assert answer["unchanged"] == len(good)


@pytest.mark.parametrize(
    "plate",
    [
        "G\N{COMBINING ACUTE ACCENT}OOD 4",
        "ＧＯＯＤ４",
        "\0GOOD4",
        "🚗GOOD4",
        "GOOD\ud8004",
        "good·4",
    ],
)
def test_any_text_with_a_plate_in_it_is_taken(service: Service, plate: str) -> None:
    update = service.update(plate, id=f"odd {plate.encode('utf-8', 'replace').hex()}")
    body = json.dumps({"updates": [update]}).encode()
    answer = service.feeder.post("/v1/plate-updates", content=body, headers=JSON).json()
    assert answer["rejected"] == []
    assert service.verdict("GOOD4") == "valid"
    told = service.reader.get(f"/v1/sites/1085/permits/{update['id']}").json()
    assert told["plate"] == "GOOD4"


def test_text_in_any_language_is_kept(service: Service) -> None:
    vehicle = {"make": "Škoda", "model": "Œuvre 🚗", "colour": "bleu azuré", "year": 2021}
    service.permit("GOOD5", id="ïd / % ? #", permit_number="№ 1", vehicle=vehicle)
    permit = service.check("GOOD5")["permits"][0]
    assert permit["permit_number"] == "№ 1"
    assert permit["vehicle"] == {"make": "Škoda", "colour": "bleu azuré"}


# The body as a whole

BODIES = [
    b"", b"{", b'{"updates": [', b"[]", b"null", b"1", b'"x"', b"{}", b'{"updates": {}}',
    b'{"updates": null}', b'{"updates": "x"}', b"\xff\xfe", b"\x00" * 100, b"[" * 200_000,
    b'{"updates":' * 200_000, "\ufeff".encode(), b'{"updates": [1]',
]  # fmt: skip


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_body_that_is_no_list_is_refused_as_a_whole(service: Service, body: bytes) -> None:
    found = refused(service, 422, "POST", "/v1/plate-updates", content=body, headers=JSON)
    assert found["type"] == "/problems/unreadable"


def test_truncated_json_keeps_nothing(service: Service) -> None:
    whole = json.dumps({"updates": [service.update("CUT1")]}).encode()
    for end in (len(whole) - 1, len(whole) // 2):
        found = refused(
            service, 422, "POST", "/v1/plate-updates", content=whole[:end], headers=JSON
        )
        assert found["type"] == "/problems/unreadable"
    assert service.verdict("CUT1") == "unknown"


def test_10_001_updates_are_too_many_and_none_is_kept(service: Service) -> None:
    update = service.update("MANY1")
    found = refused(
        service, 413, "POST", "/v1/plate-updates", content=ndjson(*[update] * 10_001),
        headers=NDJSON,
    )  # fmt: skip
    assert "10000" in found["detail"].replace(",", "").replace(" ", "")
    assert service.verdict("MANY1") == "unknown"


def test_33_mebibytes_are_too_large(service: Service) -> None:
    body = b" " * (33 * 1024 * 1024)
    found = refused(service, 413, "POST", "/v1/plate-updates", content=body, headers=JSON)
    assert "32 MiB" in found["detail"]
    # and also when the length is not told
    parts = (b" " * (1024 * 1024) for _ in range(33))
    answer = service.feeder.post("/v1/plate-updates", content=parts, headers=JSON)
    assert answer.status_code == 413


def test_10_000_updates_are_taken(service: Service) -> None:
    """The most that one request may carry, as a list of one plate again and again."""
    update = service.update("MANY2", id="many")
    answer = service.feeder.post(
        "/v1/plate-updates", content=ndjson(*[update] * 10_000), headers=NDJSON
    )
    assert (answer.json()["applied"], answer.json()["unchanged"]) == (1, 9_999)


def test_other_kinds_of_body_are_refused(service: Service) -> None:
    for kind in ("text/csv", "application/xml", "nonsense"):
        refused(
            service, 415, "POST", "/v1/plate-updates", content=b"x", headers={"Content-Type": kind}
        )


# Questions


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"plate": ""}, "/plate"),
        ({"plate": "\0"}, "/plate"),
        ({"plate": "🚗"}, "/plate"),
        ({"plate": "ABCDEFGHIJ"}, "/plate"),
        ({"plate": "A" * 10_000}, "/plate"),
        ({"jurisdiction": "nowhere"}, "/jurisdiction"),
        ({"jurisdiction": "\0"}, "/jurisdiction"),
        ({"at": ""}, "/at"),
        ({"at": "yesterday"}, "/at"),
        ({"at": "2026-11-23"}, "/at"),
        ({"at": "2026-11-23T10:00:00"}, "/at"),
        ({"at": "10000-01-01T00:00:00Z"}, "/at"),
        ({"at": "9999-12-31T23:59:59-23:59"}, "/at"),
        ({"at": "\0"}, "/at"),
    ],
)
def test_unusable_question_is_named(service: Service, query: dict[str, str], pointer: str) -> None:
    parameters = {"plate": "ABC123", "zone": "G1"} | query
    found = refused(service, 422, "GET", "/v1/sites/1085/check", role="reader", params=parameters)
    assert [error["pointer"].removeprefix("/query") for error in found["errors"]] == [pointer]


def test_missing_parameters_are_named(service: Service) -> None:
    found = refused(service, 422, "GET", "/v1/sites/1085/check", role="reader")
    assert {e["pointer"] for e in found["errors"]} == {"/query/plate", "/query/zone"}


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_any_instant_of_the_calendar_is_judged(service: Service, at: str) -> None:
    service.permit("EDGE1", id="edge", valid_until="9990-12-31")
    assert service.verdict("EDGE1", at=at) in ("not_started", "unknown", "expired")


@pytest.mark.parametrize("zone", ["Q9", "", "\0", "*", "g1", "{0}", "🚗", "x" * 10_000])
def test_unknown_zone_is_404_and_named(service: Service, zone: str) -> None:
    found = refused(
        service, 404, "GET", "/v1/sites/1085/check", role="reader",
        params={"plate": "ABC123", "zone": zone},
    ) if "{" not in zone else {"type": "/problems/unknown-zone"}  # fmt: skip
    assert found["type"] == "/problems/unknown-zone"


@pytest.mark.parametrize("site", ["9999", "%00", "%F0%9F%9A%97", "%ff", "x" * 300, "..%2f"])
@pytest.mark.parametrize(
    "path", ["check?plate=ABC123&zone=G1", "changes", "snapshot", "permits/x", "permits/%00"]
)
def test_unknown_site_is_404(service: Service, site: str, path: str) -> None:
    answer = service.admin.get(f"/v1/sites/{site}/{path}")
    assert answer.status_code == 404, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("id", ["nobody", "%00", "%ff", "a~1", "🚗", "x" * 5000])
def test_unknown_permit_is_404(service: Service, id: str) -> None:
    refused(service, 404, "GET", f"/v1/sites/1085/permits/{id}", role="reader")


def test_cursor_of_another_site_is_named(service: Service) -> None:
    service.site("2000")
    cursor = service.admin.get("/v1/sites/2000/changes").json()["cursor"]
    for text in (cursor, "garbage", "\0", ""):
        found = refused(
            service, 422, "GET", "/v1/sites/1085/changes", role="admin", params={"after": text}
        )
        assert found["type"] == "/problems/not-a-cursor"


# Keys


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Bearer x", "Basic eDp5", "Bearer \x7f", "nonsense é"]
)
def test_wrong_key_is_401(service: Service, header: str) -> None:
    client = service.client(None)
    answer = client.get(
        "/v1/sites/1085/check?plate=AB1&zone=G1", headers={"Authorization": header.encode()}
    )
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["type"] == "/problems/unauthenticated"


def test_wrong_address_and_method_are_problems_too(service: Service) -> None:
    refused(service, 404, "GET", "/v1/nothing")
    refused(service, 404, "GET", "/%00")
    refused(service, 405, "DELETE", "/v1/plate-updates")


# Photos and infractions


@pytest.fixture(scope="module")
def device(service: Service) -> httpx.Client:
    return service.device_client()


@pytest.mark.parametrize("what", ["no picture", "another hash", "cut off", "empty", "not a hash"])
def test_photo_that_is_none_is_refused_and_the_infraction_kept(
    service: Service, device: httpx.Client, what: str
) -> None:
    content = picture()
    sha256 = hashlib.sha256(content).hexdigest()
    sent = {
        "no picture": b"%PDF-1.7 no picture",
        "another hash": picture("red"),
        "cut off": content[:-200],
        "empty": b"",
        "not a hash": content,
    }[what]
    name = sha256 if what in ("another hash", "not a hash") else hashlib.sha256(sent).hexdigest()
    id = new_id()
    photo = {"sha256": name, "bytes": len(sent), "taken_at": "2026-11-23T15:14:00Z"}
    device.put(f"/v1/infractions/{id}", json=infraction(photos=[photo])).raise_for_status()
    path = "/v1/photos/" + ("zz" if what == "not a hash" else name)
    told = []
    for language in ("fr", "en"):
        answer = device.put(path, content=sent, headers={"Accept-Language": language})
        assert answer.status_code in (404, 422), answer.text
        told.append(answer.json())
    assert_both_languages(*told)
    kept = service.reader.get(f"/v1/infractions/{id}").json()
    assert kept["complete"] is False
    assert kept["photos"][0]["present"] is False


def test_malformed_infraction_is_refused_in_both_languages(device: httpx.Client) -> None:
    for body in (b"{", b"[]", b"{}", json.dumps(infraction(plate="é")).encode(), b"[" * 200_000):
        told = []
        for language in ("fr", "en"):
            answer = device.put(
                f"/v1/infractions/{new_id()}", content=body, headers={"Accept-Language": language}
            )
            assert answer.status_code == 422, answer.text
            told.append(answer.json())
        assert_both_languages(*told)
