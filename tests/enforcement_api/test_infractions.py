"""Infractions: what a patroller recorded is kept, flagged rather than refused, and judged again."""

from __future__ import annotations

import csv
import io
import json
import re
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, event

from enforcement_api.database.tables import infractions
from enforcement_api.infractions import core, exports, search, store
from enforcement_api.infractions.core import Infraction, Selection
from enforcement_api.problems import Invalid
from sync import codec
from sync.plates import Plate
from tests.enforcement_api.infraction_log import (
    NOON,
    InfractionLog,
    new_id,
    picture,
    sha256,
)
from tests.paging import turns
from tests.service import infraction


def problem(answer: Any, slug: str, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told: dict[str, Any] = answer.json()
    assert told["type"] == f"/problems/{slug}", told
    assert told["detail"]
    return told


def pointers(answer: Any) -> set[str]:
    return {error["pointer"] for error in problem(answer, "invalid", 422)["errors"]}


# Malformed bodies


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b"\xff\xfe{}",
        b'{"position": {"lat": NaN, "lon": Infinity}}',
        b'{"note": "a\x00b"}',
        b'{"clock_offset_ms": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"known": ' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"vehicle": ' + b'{"a":' * 900 + b"1" + b"}" * 901,
    ],
    ids=lambda body: repr(body[:24]),
)
def test_body_that_is_no_infraction_is_a_problem(quiet: InfractionLog, body: bytes) -> None:
    problem(quiet.put(body), "invalid", 422)
    assert quiet.ids() == []


@pytest.mark.parametrize(
    ("field", "value", "pointer"),
    [
        ("site", 1085, "/site"),
        ("zone", "", "/zone"),
        ("zone", "G" * 101, "/zone"),
        ("plate", "🚗", "/plate"),
        ("plate", "\u0000", "/plate"),
        ("plate", "ABCDEFGHI", "/plate"),
        ("plate", 123, "/plate"),
        ("jurisdiction", "Québec", "/jurisdiction"),
        ("plate_source", "guessed", "/plate_source"),
        ("plate_source", ["typed"], "/plate_source"),
        ("codes", "P01", "/codes"),
        ("codes", [["P01"]], "/codes/0"),
        ("outcome", "fine", "/outcome"),
        ("verdict", "VALIDE", "/verdict"),
        ("verdict", {}, "/verdict"),
        ("observed_at", "yesterday", "/observed_at"),
        ("observed_at", "2026-11-23T15:15:00", "/observed_at"),
        ("observed_at", "9999-12-31T23:59:59-12:00", "/observed_at"),
        ("observed_at", 1764000000, "/observed_at"),
        ("device_time", "\ud800", "/device_time"),
        ("clock_offset_ms", 2**63, "/clock_offset_ms"),
        ("clock_offset_ms", 1.5, "/clock_offset_ms"),
        ("clock_offset_ms", True, "/clock_offset_ms"),
        ("position", {"lat": 91, "lon": 0}, "/position/lat"),
        ("position", {"lat": 0, "lon": 10**400}, "/position/lon"),
        ("position", {"lat": 0, "lon": 0, "accuracy_m": -1}, "/position/accuracy_m"),
        ("position", "45,-71", "/position"),
        ("vehicle", "Acura", "/vehicle"),
        ("vehicle", {"make": {"of": "what"}}, "/vehicle"),
        ("note", "é" * 10_001, "/note"),
        ("photos", [{"sha256": "abc", "bytes": 1, "taken_at": "x"}], "/photos/0/sha256"),
        ("known", [{"id": "7"}], "/known/0/plate"),
        ("known", [{}] * 5001, "/known"),
    ],
)
def test_malformed_field_is_named_by_a_pointer(
    quiet: InfractionLog, field: str, value: object, pointer: str
) -> None:
    assert pointer in pointers(quiet.put(quiet.infraction() | {field: value}))


def test_every_field_that_the_contract_asks_for_is_missed(quiet: InfractionLog) -> None:
    asked = {"site", "zone", "plate", "plate_source", "codes", "outcome", "patroller"}
    asked |= {"observed_at", "device_time", "clock_offset_ms", "verdict", "epoch", "cursor"}
    asked |= {"known", "photos"}
    assert pointers(quiet.put({})) == {f"/{name}" for name in asked}


def test_problem_is_told_in_french_unless_english_is_asked_for(quiet: InfractionLog) -> None:
    english = quiet.put({}, headers={"accept-language": "en"}).json()
    assert english["errors"][0]["detail"] == "is missing"
    assert quiet.put({}).headers["content-language"] == "fr"


@pytest.mark.parametrize("id", ["1", "a" * 36, "../x", "%00", "01939a7e5c1b7c7e8f5e3a1d2b4c5d6e"])
def test_id_that_is_no_uuid_is_refused(quiet: InfractionLog, id: str) -> None:
    assert quiet.put(quiet.infraction(), id).status_code in (404, 422)


def test_body_beyond_the_limit_is_too_large(quiet: InfractionLog) -> None:
    problem(quiet.put(b" " * (quiet.settings.largest_json + 1)), "too-large", 413)


# Who may


def test_only_a_device_of_the_site_may_hand_over(log: InfractionLog) -> None:
    log.put_site("2000")
    problem(log.put(log.infraction(site="2000")), "forbidden-site", 403)
    problem(log.put(log.infraction(site="nowhere")), "unknown-site", 404)
    problem(log.put(log.infraction(site="\u0000")), "unknown-site", 404)
    problem(log.put(log.infraction(), key=log.admin), "forbidden", 403)
    problem(log.put(log.infraction(), key="nobody's"), "unauthenticated", 401)


def test_revoked_device_may_hand_over_what_it_holds_and_it_is_flagged(log: InfractionLog) -> None:
    before, after = log.record(), new_id()
    body = log.infraction()
    log.revoke()
    assert log.put(body, after).status_code == 201
    assert log.get(before)["after_revocation"] is False
    assert log.get(after)["after_revocation"] is True


def test_reader_of_another_site_sees_nothing(log: InfractionLog) -> None:
    log.put_site("2000")
    id = log.record()
    elsewhere, here = log.key("reader", "2000"), log.key("reader", "1085")
    problem(log.request("GET", f"/v1/infractions/{id}", elsewhere), "forbidden-site", 403)
    assert log.ids(key=elsewhere) == []
    problem(log.list(key=elsewhere, site="1085"), "forbidden-site", 403)
    assert log.ids(key=here) == [id]
    problem(log.list(key=log.key("feeder")), "forbidden", 403)


# What is flagged


@pytest.mark.parametrize(
    ("fields", "warning"),
    [
        ({"zone": "Z9"}, "unknown-zone"),
        ({"lot": "P99"}, "unknown-lot"),
        ({"codes": ["P01", "X99"]}, "unknown-code"),
        ({"codes": []}, "no-code"),
        ({"patroller": "99"}, "unknown-patroller"),
        ({"cursor": "from a dream"}, "unknown-cursor"),
        ({"epoch": "another"}, "unknown-cursor"),
        ({"number": "A-000001"}, "unknown-number"),
        ({"plate_source": "none"}, "plate-without-source"),
        ({"plate": None, "plate_source": "typed"}, "source-without-plate"),
        ({"plate": None, "plate_source": "none"}, "no-plate-reason"),
        ({"outcome": "no_issue"}, "no-issue-reason"),
        ({"observed_at": "2026-11-23T18:00:00Z"}, "observed-in-future"),
        ({"weather": "snow"}, "unknown-field"),
    ],
)
def test_what_is_strange_is_kept_and_flagged(
    log: InfractionLog, fields: dict[str, Any], warning: str
) -> None:
    id = new_id()
    answer = log.put(log.infraction(**fields), id)
    assert answer.status_code == 201, answer.text
    assert warning in answer.json()["warnings"]
    assert warning in log.get(id)["warnings"]


def test_nothing_is_flagged_about_an_ordinary_infraction(log: InfractionLog) -> None:
    assert log.put(log.infraction(lot="P3")).json()["warnings"] == []
    assert log.put(log.infraction(patroller="marie")).json()["warnings"] == []
    no_plate = log.infraction(None, plate_missing_reason="covered")
    assert log.put(no_plate).json()["warnings"] == []


def test_inactive_code_is_flagged(log: InfractionLog) -> None:
    title = {"fr": "Ancien", "en": "Old"}
    log.put_site("1085", codes=[{"code": "X01", "title": title, "active": False}])
    assert log.put(log.infraction(codes=["X01"])).json()["warnings"] == ["inactive-code"]


def test_number_given_twice_is_flagged(log: InfractionLog) -> None:
    log.record(number="A-000001")
    warnings = log.put(log.infraction(number="A-000001")).json()["warnings"]
    assert "number-used-twice" in warnings


# What handhelds are told


def notices(log: InfractionLog) -> dict[str, dict[str, Any] | None]:
    changes = log.page_of_changes()["changes"]
    return {change["id"]: change["record"] for change in changes if change["kind"] == "notice"}


def test_handhelds_are_told_at_once_and_for_thirty_days(log: InfractionLog) -> None:
    id = log.record(number="A-000001")
    assert notices(log)[id] == {
        "id": id,
        "plate": "ABC123",
        "jurisdiction": "CA-QC",
        "codes": ["P01"],
        "zone": "G1",
        "observed_at": "2026-11-23T17:00:00Z",
        "outcome": "notice",
        "number": "A-000001",
        "patroller": "42",
        "state": "received",
        "decision_reason": None,
    }
    log.now += timedelta(days=30)
    log.service.run_retention("1085", at=log.now)
    assert notices(log)[id] is not None
    log.now += timedelta(seconds=1)
    log.service.run_retention("1085", at=log.now)
    assert notices(log)[id] is None
    assert log.get(id)["state"] == "received"


def test_what_arrives_too_late_is_logged_but_not_told(log: InfractionLog) -> None:
    id = log.record(observed_at=codec.instant(NOON - timedelta(days=31)))
    assert id not in notices(log)
    assert log.ids() == [id]


def test_index_follows_before_the_answer(log: InfractionLog) -> None:
    id = log.record()
    with log.service.follower.replica("1085").reading() as view:
        assert [notice.id for notice in view.notices(Plate("ABC123", "CA-QC"))] == [id]


# The list


def test_newest_received_comes_first_unless_asked_otherwise(log: InfractionLog) -> None:
    older = log.record(observed_at="2026-11-23T16:00:00Z")
    log.now += timedelta(minutes=1)
    newer = log.record(observed_at="2026-11-23T15:00:00Z")
    assert log.ids() == log.ids(sort="-received_at") == [newer, older]
    assert log.ids(sort="received_at") == [older, newer]
    assert log.ids(sort="observed_at") == [newer, older]
    assert log.ids(sort="-observed_at") == [older, newer]
    assert "/query/sort" in pointers(log.list(sort="plate"))


@pytest.mark.parametrize("sort", core.ORDERS)
@pytest.mark.parametrize("sites", [1, 2])
def test_pages_show_each_infraction_once_while_new_ones_arrive(
    log: InfractionLog, sort: str, sites: int
) -> None:
    log.put_site("2000")
    _, other = log.enrol("1085", "2000")
    recorded = set()
    for i in range(12):
        id = new_id()
        body = log.infraction(site="2000" if i % 2 and sites == 2 else "1085")
        assert log.put(body, id, key=other).status_code == 201
        recorded.add(id)
        log.now += timedelta(seconds=i % 3)
    seen: list[str] = []
    cursor: dict[str, str] = {}
    for _ in turns():
        page = log.list(sort=sort, limit=5, **cursor).json()
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
        log.now += timedelta(seconds=1)
        log.record()
    assert len(seen) == len(set(seen))
    assert recorded <= set(seen)
    if sort.startswith("-"):
        assert recorded == set(seen)


@pytest.mark.parametrize("cursor", ["", "x", "é", "AAAA", "bnVsbA", "WzEsMiwzXQ", "\u0000"])
def test_cursor_of_something_else_is_a_problem(quiet: InfractionLog, cursor: str) -> None:
    problem(quiet.list(cursor=cursor), "not-a-page-cursor", 422)


def test_cursor_of_another_order_is_a_problem(log: InfractionLog) -> None:
    log.record()
    log.record()
    cursor = log.list(limit=1).json()["next_cursor"]
    problem(log.list(limit=1, cursor=cursor, sort="observed_at"), "not-a-page-cursor", 422)


@pytest.mark.parametrize("limit", ["0", "501", "-1", "many", "9" * 30])
def test_limit_outside_1_to_500_is_a_problem(quiet: InfractionLog, limit: str) -> None:
    assert "/query/limit" in pointers(quiet.list(limit=limit))


def test_dates_are_the_sites_and_the_last_one_is_included(log: InfractionLog) -> None:
    late = log.record(observed_at="2026-11-23T04:59:59Z")  # 23:59:59 the day before
    early = log.record(observed_at="2026-11-23T05:00:00Z")
    night = log.record(observed_at="2026-11-24T04:59:59Z")
    of_the_day = {"from": "2026-11-23", "to": "2026-11-23"}
    assert set(log.ids(site="1085", **of_the_day)) == {early, night}
    assert set(log.ids(**of_the_day)) == {late, early}
    instants = {"from": "2026-11-23T00:00:00-05:00", "to": "2026-11-24T04:59:59Z"}
    assert set(log.ids(**instants)) == {early}
    assert "/query/from" in pointers(log.list(**{"from": "2026-02-30"}))
    assert "/query/to" in pointers(log.list(to="9990-12-31T00:00:00"))
    assert log.list(to="9990-12-31").status_code == 200


def test_filters_hold_together(log: InfractionLog) -> None:
    permit = log.record("AAA111", codes=["P02", "T01"], zone="V1", outcome="warning")
    scanned = log.record("BBB222", plate_source="scanned", verdict="valid", patroller="7")
    assert log.ids(plate="aaa-111") == [permit]
    assert log.ids(plate=["AAA111", "BBB222"], code="P01") == [scanned]
    assert log.ids(code="T01") == [permit]
    assert log.ids(zone="V1", outcome="warning") == [permit]
    assert log.ids(zone="V1", outcome="notice") == []
    assert log.ids(patroller="7") == [scanned]
    assert len(log.ids(device=log.device_id)) == 2
    assert log.ids(device="another") == []
    assert len(log.ids(state=["received", "confirmed"])) == 2
    assert log.ids(state="confirmed") == []
    assert log.ids(differs=True) == [scanned]
    assert log.ids(differs=False) == [permit]
    problem(log.list(site="nowhere"), "unknown-site", 404)
    for name, value in {"state": "lost", "outcome": "x", "differs": "x", "plate": "🚗"}.items():
        assert pointers(log.list(**{name: value})), name
    assert log.ids(zone="\u0000", patroller="\u0000") == []


def test_words_are_found_as_they_are_written(log: InfractionLog) -> None:
    note = log.record(note="devant la Borne 100%_ [rouge]")
    place = log.record(place="rangée C")
    typed = log.record(plate_raw="abc-123")
    assert log.ids(q="borne") == [note]
    assert log.ids(q="100%_") == [note]
    assert log.ids(q="100__") == []
    assert log.ids(q="%") == [note]
    assert log.ids(q="rangée") == [place]
    assert log.ids(q="C-1") == [typed]
    assert log.ids(q="'; DROP TABLE infractions; --") == []
    assert log.ids(q="\u0000") == []
    assert "/query/q" in pointers(log.list(q="x" * 201))


def test_unknown_infraction_is_not_found(quiet: InfractionLog) -> None:
    for id in (new_id(), "x", "%00", "%F0%9F%9A%97"):
        problem(
            quiet.request("GET", f"/v1/infractions/{id}", quiet.admin), "unknown-infraction", 404
        )


# Exports


def rows(text: str, delimiter: str = ",") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))


def test_csv_is_rfc_4180_and_runs_no_formula(log: InfractionLog) -> None:
    id = log.record(
        note='=HYPERLINK("http://x")',
        place='deux\nlignes, "guillemets"',
        plate_raw="+ABC 123",
        position={"lat": 45.4, "lon": -71.9},
        lot="@SUM(A1)",
        shift="\tx",
        vehicle={"make": "-2+3", "colour": "rouge"},
    )
    answer = log.list(headers={"accept": "text/csv"})
    assert answer.headers["content-type"].startswith("text/csv; charset=utf-8")
    assert "attachment" in answer.headers["content-disposition"]
    assert answer.content.endswith(b"\r\n")
    (row,) = rows(answer.text)
    assert row["id"] == id
    assert row["note"] == '\'=HYPERLINK("http://x")'
    assert row["place"] == 'deux\nlignes, "guillemets"'
    assert (row["plate_raw"], row["lot"], row["shift"]) == ("'+ABC 123", "'@SUM(A1)", "'\tx")
    assert (row["vehicle_make"], row["vehicle_colour"]) == ("'-2+3", "rouge")
    assert row["lon"] == "-71.9"


def test_csv_for_excel_in_quebec_has_semicolons_and_a_mark(log: InfractionLog) -> None:
    log.record(note="dégagé")
    answer = log.list(excel="true", headers={"accept": "text/csv, */*;q=0.1"})
    assert answer.content.startswith(b"\xef\xbb\xbfid;site;zone;")
    (row,) = rows(answer.content.decode("utf-8-sig"), ";")
    assert row["note"] == "dégagé"


FORMULAS = [
    "=1+1",
    "  =1+1",
    "\t=1+1",
    "+ABC",
    "-2+3",
    "@SUM(A1)",
    "\uff1d1+1",
    "\u200b=1+1",
    "\u202e+1",
    "\ufeff@SUM(A1)",
    "a;=1+1",
    'a",=1+1',
    'a";=1+1;"',
    "a\t@SUM(A1)",
    "a\n=1+1",
    "a\r\n+1",
    "\r=1+1",
]


def test_no_program_finds_a_formula_in_csv_wherever_it_cuts(log: InfractionLog) -> None:
    """A spreadsheet that is set to another separator cuts cells elsewhere, quotes or none."""
    for formula in FORMULAS:
        log.record(note=formula, place=f"rangée C{formula}", vehicle={"make": formula})
    for excel in (False, True):
        text = log.list(excel=str(excel).lower(), headers={"accept": "text/csv"}).text
        cells = {
            cell.strip(' "')
            for line in re.split("[\r\n]+", text)
            for delimiter in ",;|\t"
            for cell in line.split(delimiter)
        }
        assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\uff1d"))]


def test_csv_keeps_what_is_no_formula_as_it_is(log: InfractionLog) -> None:
    note = "quai nord, -5 °C; a@b.c, 1-2 = 3, Élise 👩\u200d🔧 ‫".removesuffix("‫")
    log.record(note=note, position={"lat": 45.4, "lon": -71.9})
    (row,) = rows(log.list(headers={"accept": "text/csv"}).text)
    assert row["note"] == note
    assert row["lon"] == "-71.9"


def test_marks_that_nobody_sees_are_left_out_of_csv_and_stay_in_geojson(
    log: InfractionLog,
) -> None:
    note = "\u202eABC\u2066 \u200f123\ufeff " + "W" * 9000
    log.record(note=note)
    (row,) = rows(log.list(headers={"accept": "text/csv"}).text)
    assert row["note"] == "ABC 123 " + "W" * 9000
    (feature,) = log.list(headers={"accept": "application/geo+json"}).json()["features"]
    assert feature["properties"]["note"] == note


def test_columns_come_in_the_order_asked_for_with_a_header_for_people(log: InfractionLog) -> None:
    log.record(note="dégagé")
    found = list(search.whole_log(log.service.record, Selection(sites=("1085",))))
    columns = exports.columns_of(["plate", "note", "differs"])
    text = "".join(exports.as_csv(found, columns=columns))
    assert text == "plate,note,differs\r\nABC123,dégagé,false\r\n"
    english = "".join(exports.as_csv(found, columns=columns, language="en"))
    assert english.splitlines()[0] == "Plate,Note,Differs"
    french = "".join(exports.as_csv(found, language="fr", excel=True))
    assert french.startswith("\ufeffIdentifiant;Site;Zone;")
    assert len(french.splitlines()[0].split(";")) == len(exports.COLUMNS)
    (feature,) = json.loads("".join(exports.as_geojson(found, columns=columns)))["features"]
    assert feature["properties"] == {"plate": "ABC123", "note": "dégagé", "differs": False}
    assert exports.columns_of([]) == tuple(exports.COLUMNS)


@pytest.mark.parametrize("named", [["plate", "plate"], ["plate", "=1"], [""]])
def test_columns_that_are_none_are_a_problem(named: list[str]) -> None:
    with pytest.raises(Invalid) as caught:
        exports.columns_of(named)
    assert caught.value.errors[0].pointer == "/query/columns"


def test_geojson_places_what_has_a_position(log: InfractionLog) -> None:
    placed = log.record(position={"lat": 45.4, "lon": -71.9, "accuracy_m": 5})
    elsewhere = log.record()
    answer = log.list(headers={"accept": "application/geo+json"})
    assert answer.headers["content-type"] == "application/geo+json"
    features = {feature["id"]: feature for feature in answer.json()["features"]}
    assert features[placed]["geometry"] == {"type": "Point", "coordinates": [-71.9, 45.4]}
    assert features[elsewhere]["geometry"] is None
    assert features[placed]["properties"]["plate"] == "ABC123"


def test_export_of_nothing_is_well_formed(quiet: InfractionLog) -> None:
    assert rows(quiet.list(headers={"accept": "text/csv"}).text) == []
    assert quiet.list(headers={"accept": "application/geo+json"}).json()["features"] == []


def test_export_takes_the_filters_and_answers_problems(log: InfractionLog) -> None:
    log.record("AAA111")
    log.record("BBB222")
    asked = {"accept": "text/csv"}
    assert [row["plate"] for row in rows(log.list(plate="AAA111", headers=asked).text)] == [
        "AAA111"
    ]
    problem(log.list(site="nowhere", headers=asked), "unknown-site", 404)


def many(log: InfractionLog, number: int) -> None:
    """Copies of one infraction, made where the real ones are."""
    first = log.record(note="x" * 200)
    others = [column.name for column in infractions.c if column.name not in ("id", "number")]
    copied = ", ".join(f'"{name}"' for name in others)
    id = "lower(hex(randomblob(4))) || printf('-0000-7000-8000-%012x', n)"
    numbers = (
        "WITH RECURSIVE numbers(n) AS"
        f" (SELECT 1 UNION ALL SELECT n + 1 FROM numbers LIMIT {number})"
    )

    def copy(tx: Connection) -> None:
        tx.exec_driver_sql(
            f"{numbers} INSERT INTO infractions (id, {copied})"
            f" SELECT {id}, {copied} FROM infractions, numbers WHERE infractions.id = ?",
            (first,),
        )
        tx.exec_driver_sql(
            "INSERT INTO infraction_codes (site, infraction, position, code)"
            " SELECT site, id, 0, 'P01' FROM infractions WHERE id <> ?",
            (first,),
        )

    log.service.record.write(copy)


@pytest.mark.parametrize(
    ("form", "number"), [(exports.as_csv, 60_000), (exports.as_geojson, 10_000)]
)
def test_export_takes_no_more_memory_the_more_there_are(
    log: InfractionLog,
    form: Callable[[Iterable[Infraction]], Iterator[str]],
    number: int,
) -> None:
    many(log, number - 1)
    record, window, read = log.service.record, 1000, 0

    def counted() -> Iterator[Infraction]:
        nonlocal read
        for each in search.whole_log(record, Selection(sites=("1085",))):
            read += 1
            yield each

    pieces = form(counted())

    def peak_until(last: int) -> int:
        tracemalloc.start()
        while read < last and next(pieces, None) is not None:
            pass
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    few = peak_until(window)
    while read < number - window:  # in between, at full speed
        next(pieces)
    much = peak_until(number + 1)
    assert read == number
    assert much < few * 1.2


def test_export_holds_the_record_for_no_longer_than_it_reads(log: InfractionLog) -> None:
    """Whoever reads it slowly, or not to the end, keeps nobody from writing."""
    many(log, 1000)
    record = log.service.record
    found = search.whole_log(record, Selection(sites=("1085",)))
    read = [next(found).id for _ in range(600)]
    assert record.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    log.record("NEW111")
    read += [infraction.id for infraction in found]
    assert len(read) == len(set(read)) == 1001


# Judging again costs next to nothing


def statements(log: InfractionLog, plates: set[Plate]) -> list[str]:
    found: list[str] = []

    def note(_c: Any, _cur: Any, statement: str, *_: Any) -> None:
        if not statement.startswith("BEGIN"):
            found.append(statement)

    engine = log.service.record.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        log.service.record.write(
            lambda tx: store.recheck_open(tx, "1085", plates, NOON + timedelta(hours=1))
        )
    finally:
        event.remove(engine, "before_cursor_execute", note)
    return found


def test_change_of_ten_thousand_plates_asks_once_where_nothing_is_undecided(
    log: InfractionLog,
) -> None:
    plates = {Plate(f"T{i:05}", "CA-QC") for i in range(10_000)}
    assert len(statements(log, plates)) == 1
    log.record("ABC123")
    assert len(statements(log, plates)) == 1
    assert len(statements(log, {*plates, Plate("ABC123", "CA-QC")})) <= 5


def plan_of(log: InfractionLog, query: str) -> str:
    with log.service.record.reading() as tx:
        return str(tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}").all())


@pytest.mark.parametrize(
    ("index", "wanted"),
    [
        ("ix_infractions_undecided", "decided_at IS NULL AND plate IS NOT NULL"),
        ("ix_infractions_undecided", "decided_at IS NULL AND plate IN ('A', 'B')"),
        ("ix_infractions_told", "told_at IS NOT NULL AND observed_at < 5"),
        ("ix_infractions_number", "number = 'A-1'"),
    ],
)
def test_what_is_looked_for_often_has_an_index(
    quiet: InfractionLog, index: str, wanted: str
) -> None:
    plan = plan_of(quiet, f"SELECT plate FROM infractions WHERE site = 'x' AND {wanted}")
    assert "SCAN" not in plan
    assert index in plan


# Pure


def test_same_content_has_the_same_hash_however_it_is_written(quiet: InfractionLog) -> None:
    body = quiet.infraction(note=None)
    turned = dict(reversed(body.items()))
    del turned["note"]
    turned["observed_at"] = "2026-11-23T12:00:00.9-05:00"
    turned["plate"] = "abc 123"
    hashes = {core.read(json.dumps(one).encode()).sent.hash() for one in (body, turned)}
    assert len(hashes) == 1
    other = core.read(json.dumps(body | {"note": "x"}).encode()).sent.hash()
    assert other not in hashes


def test_what_photos_show_leaves_the_hash_of_what_came_before_as_it_was() -> None:
    photo = {"sha256": "ab" * 32, "bytes": 812345, "taken_at": "2026-11-23T16:59:40Z"}
    body = infraction(at=datetime.fromisoformat("2026-11-23T17:00:00Z"), photos=[photo])
    before = "8531eb205c6516a4c9e5565fba26aecd82141a5f96a77ec343f67a0bd7da132f"

    def hash_with(**shows: str | None) -> str:
        told = body | {"photos": [photo | shows]}
        return core.read(json.dumps(told).encode()).sent.hash()

    assert hash_with() == hash_with(shows=None) == before
    assert len({before, *(hash_with(shows=each) for each in ("plate", "context", "sign"))}) == 4


@pytest.mark.parametrize(
    ("given", "now", "differs"),
    [
        ("unknown", "valid", True),
        ("valid", "valid", False),
        (None, "valid", False),
        ("valid", None, False),
    ],
)
def test_verdicts_differ_only_if_both_are_known(
    given: str | None, now: str | None, differs: bool
) -> None:
    assert core.differs(given, now) is differs


def test_place_in_the_log_survives_its_text() -> None:
    place = core.Place("-observed_at", datetime.fromisoformat("2026-11-23T15:15:00Z"), new_id())
    assert core.Place.parse(str(place), order="-observed_at") == place


def test_described_vehicle_and_photo_come_back_as_sent(log: InfractionLog) -> None:
    photo = {"sha256": sha256(picture()), "bytes": 1234, "taken_at": "2026-11-23T16:59:00Z"}
    vehicle = {"make": "Acura", "year": 2021, "towed": False, "colour": None}
    found = log.get(log.record(vehicle=vehicle, photos=[photo]))
    assert found["vehicle"] == vehicle
    url = f"/v1/photos/{photo['sha256']}"
    assert found["photos"] == [{**photo, "shows": None, "present": False, "url": url}]
    assert found["complete"] is False
