"""The log at the console: filters in the address, facets, paging, files, and hostile input."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from enforcement_api.audit import store as audit
from enforcement_api.audit.core import Entry
from enforcement_api.audit.core import read as read_entry
from enforcement_api.console import log_pages
from enforcement_api.console.log_filters import NAMES, Query
from enforcement_api.infractions import exports, search
from tests.contracts import test_search as built
from tests.enforcement_api.console.visiting import Visiting, visiting, words
from tests.enforcement_api.infraction_log import InfractionLog, infraction_log, picture, sha256
from tests.paging import turns

LOG = "/console/sites/1085/infractions"
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "\u202egnp.exe\u2066",
    '=HYPERLINK("http://evil.example";"x")',
    "'; DROP TABLE infractions; --",
    "{{ 7 * 7 }}",
    "x" * 199,
    "a\u0000b",
    "%00%ff",
    "&amp;lt;",
)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[InfractionLog]:
    with infraction_log(tmp_path) as made:
        yield made


@pytest.fixture
def marie(log: InfractionLog) -> Visiting:
    return visiting(log._service, "marie@example.org", sites=["1085"], name="Marie Côté")


def followed(visitor: Visiting, path: str, **query: Any) -> str:
    """A page, after what leads to its one address."""
    answer = visitor.get(path, **query)
    if answer.status_code == 303:
        answer = visitor.get(answer.headers["location"])
        assert answer.status_code != 303, "an address has one form"
    assert answer.status_code == 200, words(answer.text)
    return answer.text


def listed(page: str) -> list[str]:
    """The infractions of a page's list, in its order."""
    return re.findall(r'<th scope="row"><a href="[^"]*/infractions/([0-9a-f-]{36})', page)


def links(page: str, pattern: str) -> list[str]:
    found = re.findall(r'href="([^"]*)"', page)
    return [path for one in found if re.search(pattern, path := html.unescape(one))]


def pressed(who: Visiting, page: str, what: str) -> str:
    """Where the button leads, with all that its form carries."""
    forms = re.findall(r'<form[^>]*method="get".*?</form>', page, re.DOTALL)
    (form, *_) = (one for one in forms if f'name="press" value="{what}"' in html.unescape(one))
    (action,) = re.findall(r'action="([^"]*)"', form)
    carried = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', form)
    asked = [(html.unescape(name), html.unescape(value)) for name, value in carried]
    answer = who.client.get(f"{action}?{urlencode([*asked, ('press', what)])}")
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


def onward(page: str) -> str | None:
    found = re.search(r'rel="next" href="([^"]*)"', page)
    return found and html.unescape(found[1])


def noted(log: InfractionLog, action: str) -> list[Entry]:
    def look(tx: Any) -> list[Entry]:
        kept = audit.latest(tx, chain="1085", subject=None, before=None, limit=100)
        return [read_entry(one.text) for one in kept]

    return [entry for entry in log.service.record.read(look) if entry.action == action]


# The list


def test_log_without_filters_has_everything_the_last_received_first(
    log: InfractionLog, marie: Visiting
) -> None:
    ids = []
    for n in range(3):
        ids.append(log.record(f"AAA11{n}", number=f"A-{n}"))
        log.now += timedelta(minutes=1)
    page = marie.page(LOG)
    assert listed(page) == ids[::-1]
    told = words(page)
    assert "AAA112" in told
    assert "A-2" in told
    assert "Notice of claim" in told
    assert "Marie" in told  # the patroller's name, not the badge


def test_empty_log_says_so(marie: Visiting) -> None:
    assert "The log is empty" in words(marie.page(LOG))
    assert "Nothing is as you ask" in words(marie.page(LOG, zone="G1"))


def test_address_has_one_form(marie: Visiting) -> None:
    raw = [("zone", "V1"), ("zone", "G1"), ("zone", "G1"), ("q", ""), ("sort", "-received_at")]
    raw += [("plate", "abc 123, xyz999"), ("state", ""), ("to", "")]
    answer = marie.client.get(f"{LOG}?{urlencode(raw)}")
    assert answer.status_code == 303
    onward = answer.headers["location"]
    assert parse_qsl(urlsplit(onward).query) == [
        ("plate", "ABC123"),
        ("plate", "XYZ999"),
        ("zone", "G1"),
        ("zone", "V1"),
    ]
    assert marie.get(onward).status_code == 200


texts = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=30), st.just("true"), st.just("G1, "))
asked = st.lists(st.tuples(st.one_of(st.sampled_from(NAMES), texts), texts), max_size=12)


@given(asked)
@settings(deadline=None)
def test_form_of_an_address_is_final(pairs: list[tuple[str, str]]) -> None:
    query = Query.of(pairs)
    assert Query.of(query.pairs) == query
    assert Query.of(parse_qsl(str(query))) == query


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("zones=G1", "zones"),
        ("state=lost", "State: must be one of"),
        ("outcome=fine", "Outcome: must be one of"),
        ("reason=boredom", "Why look: must be one of"),
        ("differs=maybe", "Verdict known now: must be one of"),
        ("sort=plate", "Order: must be one of"),
        ("columns=plate,pin", "Columns: must be columns"),
        ("from=2026-13-45", "From: must be a date"),
        ("to=yesterday", "To and including: must be a date"),
        ("from=2026-11-24&to=2026-11-23", "must not be before the first day"),
        ("from=9999-12-31", "must lie between"),
        ("period=decade", "Period: must be one of"),
        ("plate=%21", "Plate: is no plate"),
        ("after=nonsense", "Place in the list"),
        ("zone=" + "x" * 300, "Zone: is too long"),
        ("q=" + "x" * 300, "Words: is too long"),
        (urlencode([("zone", f"Z{n:03}") for n in range(101)]), "Zone: has too many items"),
    ],
)
def test_what_is_not_understood_is_told_and_the_rest_holds(
    log: InfractionLog, marie: Visiting, query: str, told: str
) -> None:
    answer = marie.client.get(f"{LOG}?{query}", follow_redirects=True)
    assert answer.status_code == 422
    assert told in words(answer.text)
    for path in (
        f"{LOG}.json?{query}",
        f"{LOG}/export.csv?{query}",
        f"{LOG}/export.geojson?{query}",
    ):
        if query.startswith("after") and "export" in path:
            continue  # a file begins at the beginning
        assert marie.client.get(path).status_code == 422, path
    assert marie.client.get(f"{LOG}/facets?{query}").status_code == 200


def test_what_is_filtered_by_is_shown_and_each_taken_away_by_a_press(
    log: InfractionLog, marie: Visiting
) -> None:
    page = marie.page(f"{LOG}?zone=G1&zone=X9&patroller=marie&differs=true")
    told = words(page)
    assert "Patroller: Marie" in told
    assert "Zone: X9" in told
    assert "unknown at this site" in told
    assert "contradicts the handheld" in told
    assert pressed(marie, page, "zone:G1") == f"{LOG}?zone=X9&patroller=marie&differs=true"
    assert "bookmark" in told


def test_patroller_is_found_under_badge_and_id(log: InfractionLog, marie: Visiting) -> None:
    by_badge = log.record("AAA111", patroller="42")
    by_id = log.record("BBB222", patroller="marie")
    log.record("CCC333", patroller="77")
    for name in ("42", "marie"):
        found = marie.twin(LOG, patroller=name)["items"]
        assert {one["id"] for one in found} == {by_badge, by_id}


def test_period_is_in_the_sites_own_dates(log: InfractionLog, marie: Visiting) -> None:
    late = log.now.replace(hour=4, minute=30)  # 23:30 of the day before in Sherbrooke
    before = log.record("AAA111", observed_at=late.isoformat())
    today = log.record("BBB222")
    assert listed(marie.page(LOG, period="today")) == [today]
    assert listed(marie.page(f"{LOG}?from=2026-11-22&to=2026-11-22")) == [before]
    assert set(listed(marie.page(LOG, period="7d"))) == {before, today}


def test_look_alikes_are_found_when_asked_for(log: InfractionLog, marie: Visiting) -> None:
    here, alike = log.record("ABC123"), log.record("A8C123")
    assert listed(marie.page(LOG, plate="ABC123")) == [here]
    page = marie.page(f"{LOG}?plate=ABC123&alike=true")
    assert set(listed(page)) == {here, alike}
    assert "Plate, or what looks alike: ABC123" in words(page)


def test_exact_number_and_plate_come_first(log: InfractionLog, marie: Visiting) -> None:
    numbered = log.record("AAA111", number="1085-000123")
    log.now += timedelta(minutes=1)
    noting = log.record("BBB222", note="see 1085-000123")
    page = followed(marie, LOG, q="1085-000123")
    assert "Exactly what you typed" in words(page)
    assert page.index(numbered) < page.index(noting)
    assert listed(page) == [noting, numbered]
    page = followed(marie, LOG, q="aaa-111")
    assert "All of this plate" in words(page)
    assert f"{LOG}?plate=AAA111" in links(page, "plate=AAA111")
    assert "Exactly" not in words(followed(marie, LOG, q="see"))


def test_columns_are_chosen_in_the_address(log: InfractionLog, marie: Visiting) -> None:
    log.record("AAA111", note="beside the gate")
    assert "beside the gate" not in words(marie.page(LOG))
    page = marie.page(f"{LOG}?columns=note%2Cplate")
    assert re.findall(r'<th scope="col">([^<]*)', page) == ["Note", "Plate"]
    assert "beside the gate" in words(page)
    whole = ",".join(exports.COLUMNS)
    assert listed(marie.page(f"{LOG}?{urlencode({'columns': whole})}"))


def test_row_leads_to_the_infraction_and_back(log: InfractionLog, marie: Visiting) -> None:
    id = log.record("AAA111", zone="G1")
    (path,) = links(marie.page(LOG, zone="G1"), rf"/infractions/{id}")
    page = marie.page(path)
    assert f"{LOG}?zone=G1" in links(page, "zone=G1")
    assert "Back to the log" in words(page)
    hostile = marie.page(f"{LOG}/{id}", back='"><script>alert(1)</script>')
    assert "<script>alert" not in hostile


def test_pages_stay_as_they_are_while_new_ones_come(
    log: InfractionLog, marie: Visiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_pages, "A_PAGE", 2)
    before = []
    for n in range(5):
        before.append(log.record(f"AAA11{n}"))
        log.now += timedelta(minutes=1)
    seen: list[str] = []
    path = LOG
    for _ in turns():
        page = marie.page(path)
        seen += listed(page)
        path = onward(page) or ""
        if not path:
            break
        log.record("NEW111")
        log.now += timedelta(minutes=1)
    assert seen == before[::-1]


def test_search_that_ends_before_the_page_is_full_says_how_far_it_looked(
    log: InfractionLog, marie: Visiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"FEW": 2, "FIRST_WINDOW": 2, "MOST_WORDED": 2}.items():
        monkeypatch.setattr(search, name, value)
    wanted = log.record("AAA111", note="needle")
    for n in range(9):
        log.now += timedelta(minutes=1)
        log.record(f"BBB11{n}")
    page = marie.page(LOG, q="needle")
    assert "Nothing found yet. Looked at until" in words(page)
    assert "Nothing is as you ask" not in words(page)
    assert marie.twin(LOG, q="needle")["examined_until"] is not None
    for _ in range(10):
        if listed(page):
            break
        page = marie.page(onward(page) or "")
    assert listed(page) == [wanted]


def test_log_of_another_site_is_not_shown(log: InfractionLog, marie: Visiting) -> None:
    log._service.site("2000", zones=["G1"])
    for path in ("", ".json", "/facets", "/export.csv", "/export.geojson"):
        assert marie.get(f"/console/sites/2000/infractions{path}").status_code == 403
    assert marie.get("/console/sites/2000/infractions/exports/" + "0" * 32).status_code == 403


def test_page_asks_the_record_no_more_for_many_rows_than_for_few(
    log: InfractionLog, marie: Visiting
) -> None:
    def asked() -> int:
        count = 0

        def note(*_: Any) -> None:
            nonlocal count
            count += 1

        engine = log.service.record.engine
        event.listen(engine, "before_cursor_execute", note)
        try:
            marie.page(LOG)
        finally:
            event.remove(engine, "before_cursor_execute", note)
        return count

    log.record("AAA111")
    asked()
    few = asked()
    for n in range(12):
        log.record(f"BBB1{n:02}", patroller=f"p{n}")
    assert asked() <= few + 1


# Facets


def test_facets_count_what_is_found_and_lead_on(log: InfractionLog, marie: Visiting) -> None:
    log.record("AAA111", patroller="42", zone="G1")
    log.record("BBB222", patroller="marie", zone="G1")
    log.record("CCC333", zone="V1", lot="P3")
    page = marie.page(f"{LOG}/facets")
    told = words(page)
    assert "Found: 3" in told
    assert "Marie 3" in told  # by badge and by id
    assert "<html" not in page
    assert pressed(marie, page, "zone:G1") == f"{LOG}?zone=G1"
    narrowed = marie.page(f"{LOG}/facets?zone=G1")
    assert pressed(marie, narrowed, "zone:G1") == LOG  # takes it away
    assert pressed(marie, narrowed, "zone:V1") == f"{LOG}?zone=G1&zone=V1"  # and one more


def test_whoever_is_chosen_by_badge_is_taken_away_by_name(
    log: InfractionLog, marie: Visiting
) -> None:
    log.record("AAA111", patroller="42")
    page = marie.page(LOG, patroller="42", facets="1")
    assert pressed(marie, page, "patroller:marie") == f"{LOG}?facets=1"
    assert pressed(marie, page, "patroller:42") == f"{LOG}?facets=1"


def test_press_of_what_is_no_filter_changes_nothing(marie: Visiting) -> None:
    for press in ("sort:plate", "x:y", "", ":", "q", "\x00", "columns:plate"):
        answer = marie.client.get(LOG, params={"zone": "G1", "press": press})
        assert (answer.status_code, answer.headers["location"]) == (303, f"{LOG}?zone=G1")


def test_page_grows_with_what_is_chosen_and_not_with_its_square(
    log: InfractionLog, marie: Visiting
) -> None:
    def size(chosen: int) -> int:
        query = [("lot", f"a-long-name-of-a-lot-{n:03}") for n in range(chosen)]
        return len(marie.page(f"{LOG}?{urlencode([*query, ('facets', 1)])}"))

    few, some, many = map(size, (1, 50, 99))
    assert many - some < 1.1 * (some - few)


def test_facets_are_there_without_script(log: InfractionLog, marie: Visiting) -> None:
    log.record("AAA111")
    page = marie.page(LOG)
    assert "Found: 1" not in words(page)
    (path,) = links(page, "facets=1")
    assert "Found: 1" in words(marie.page(path))
    assert marie.twin(LOG, facets="1")["facets"]["counts"]["zone"] == [{"value": "G1", "count": 1}]
    assert "facets" not in marie.twin(LOG)


def test_facets_of_more_than_are_counted_say_so(
    log: InfractionLog, marie: Visiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(4):
        log.record(f"AAA11{n}")
    few = search.facets

    def counted(tx: Any, wanted: Any) -> search.Facets:
        return few(tx, wanted, limit=2)

    monkeypatch.setattr(search, "facets", counted)
    assert "Counted among the first 2" in words(marie.page(f"{LOG}/facets"))


# All of it, against a plain look


@pytest.fixture
def rows(log: InfractionLog, monkeypatch: pytest.MonkeyPatch) -> list[built.Row]:
    """Infractions of two sites, and limits so small that they count among so few."""
    for name, value in {"FEW": 6, "FIRST_WINDOW": 4, "MOST_MERGED": 2, "_PART": 7}.items():
        monkeypatch.setattr(search, name, value)
    monkeypatch.setattr(search, "MOST_EXAMINED", 30)
    monkeypatch.setattr(search, "MOST_WORDED", 20)
    monkeypatch.setattr(log_pages, "A_PAGE", 9)
    log._service.site("2000", zones=["G1"])
    return built.filled(log.service.record)


def some(values: Sequence[Any]) -> st.SearchStrategy[list[Any]]:
    chosen = st.lists(st.sampled_from(values), max_size=2, unique=True)
    return st.one_of(st.just([]), st.just([]), chosen)


filters = st.fixed_dictionaries(
    {
        "zone": some((*built.ZONES, "X")),
        "lot": some(built.LOTS[:2]),
        "device": some(built.DEVICES),
        "code": some(built.CODES),
        "state": some(built.STATES),
        "outcome": some(built.OUTCOMES),
        "patroller": some(built.PATROLLERS),
        "plate": some(built.PLATES[:5]),
        "alike": some(("true",)),
        "number": some(("A-1", "A-2", "B")),
        "reason": some(("differs", "stale", "photos")),
        "differs": st.lists(st.sampled_from(("true", "false")), max_size=1),
        "q": some(("a-1", "100 %", "brise dé", "nothing")).map(lambda each: each[:1]),
        "sort": st.lists(st.sampled_from(built.ORDERS), max_size=1),
        "from": some(("2026-11-20", "2026-11-23")).map(lambda each: each[:1]),
        "to": some(("2026-11-23", "2026-11-24")).map(lambda each: each[:1]),
    }
)


def test_pages_followed_to_the_end_are_what_a_plain_look_at_everything_finds(
    log: InfractionLog, marie: Visiting, rows: list[built.Row]
) -> None:
    from enforcement_api.console.log_filters import Known, read

    def known(tx: Any) -> Known:
        return Known.read(tx, "1085", today=log.now.date())

    names = log.service.record.read(known)

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(filters)
    def check(wanted: dict[str, list[str]]) -> None:
        query = Query.of([(name, value) for name, values in wanted.items() for value in values])
        expected = built.naive(read(query, names).selection, rows)
        found: list[str] = []
        path = f"{LOG}?{query}" if query.pairs else LOG
        for _ in turns():
            page = marie.page(path)
            found += listed(page)
            path = onward(page) or ""
            if not path:
                break
        assert found == expected
        twin, cursor = [], ""
        for _ in turns():
            told = marie.client.get(f"{LOG}.json?{query}&{urlencode({'after': cursor})}").json()
            twin += [one["id"] for one in told["items"]]
            cursor = told["next_cursor"]
            if cursor is None:
                break
        assert twin == expected
        told = marie.client.get(f"{LOG}/export.geojson?{query}").json()
        assert [feature["id"] for feature in told["features"]] == expected

    check()


# Files


def test_whole_selection_is_taken_out_with_the_chosen_columns_and_noted(
    log: InfractionLog, marie: Visiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_pages, "A_PAGE", 1)
    for n in range(3):
        log.record(f"AAA11{n}", note="a, b")
    log.record("BBB222", zone="V1")
    answer = marie.get(f"{LOG}/export.csv", zone="G1", columns="plate,note")
    assert answer.headers["content-type"].startswith("text/csv")
    assert "attachment" in answer.headers["content-disposition"]
    table = list(csv.reader(io.StringIO(answer.text)))
    assert table[0] == ["Plate", "Note"]
    assert sorted(table[1:]) == [[f"AAA11{n}", "a, b"] for n in range(3)]
    (begun,), (ended,) = noted(log, "export-begun"), noted(log, "export-ended")
    assert begun.by == f"staff:{marie.account.id}"
    assert begun.facts == {
        "form": "csv",
        "filters": {"zone": ["G1"]},
        "columns": ["plate", "note"],
    }
    assert ended.subject == begun.subject
    assert ended.facts == {"rows": 3, "state": "done"}


def test_files_are_as_excel_and_maps_read_them(log: InfractionLog, marie: Visiting) -> None:
    log.record("AAA111", position={"lat": 45.4, "lon": -71.9})
    excel = marie.get(f"{LOG}/export.csv", excel="true").content.decode()
    assert excel.startswith("\ufeffPlate;Number;")
    whole = marie.get(f"{LOG}/export.csv", all="true").text
    assert len(next(csv.reader(io.StringIO(whole)))) == len(exports.COLUMNS)
    answer = marie.get(f"{LOG}/export.geojson", columns="plate")
    assert answer.headers["content-type"] == exports.GEOJSON_TYPE
    (feature,) = answer.json()["features"]
    assert feature["geometry"]["coordinates"] == [-71.9, 45.4]
    assert feature["properties"] == {"plate": "AAA111"}


def test_progress_of_a_file_is_told_to_who_asked_for_it(
    log: InfractionLog, marie: Visiting
) -> None:
    log.record("AAA111")
    id = "0123456789abcdef" * 2
    before = marie.page(f"{LOG}/exports/{id}")
    assert "The file begins" in words(before)
    assert f"{LOG}/exports/{id}?look=1" in before
    assert marie.get(f"{LOG}/export.csv", export=id).status_code == 200
    after = marie.page(f"{LOG}/exports/{id}")
    assert "The file is whole. Infractions in it: 1" in words(after)
    assert "hx-get" not in after
    other = visiting(log._service, "jean@example.org", sites=["1085"])
    assert "The file begins" in words(other.page(f"{LOG}/exports/{id}"))
    assert "Nothing is known" in words(other.page(f"{LOG}/exports/{id}", look=99))


def test_file_under_way_tells_rows_of_how_many(log: InfractionLog, marie: Visiting) -> None:
    underway = log._service.parts.exports
    export = underway.begin("a" * 32, by=marie.account.principal.actor, expected=200)
    for _ in underway.counted(range(50), export):
        pass
    page = marie.page(f"{LOG}/exports/{'a' * 32}")
    assert "50 of about 200" in words(page)
    assert 'value="25"' in page
    assert "hx-get" in page


def test_more_files_at_once_than_are_made_is_told(log: InfractionLog, marie: Visiting) -> None:
    log.record("AAA111")
    underway = log._service.parts.exports
    for n in range(3):
        underway.begin(f"{n}", by=marie.account.principal.actor, expected=None)
    answer = marie.get(f"{LOG}/export.csv")
    assert answer.status_code == 429
    assert noted(log, "export-begun") == []


def test_case_file_is_made_in_the_visitors_language_and_noted(
    log: InfractionLog, marie: Visiting
) -> None:
    photo = picture()
    taken = {"sha256": sha256(photo), "bytes": len(photo), "taken_at": "2026-11-23T16:58:40Z"}
    id = log.record("AAA111", number="1085-000123", photos=[taken])
    log.put_photo(photo)
    answer = marie.get(f"{LOG}/{id}/case-file.pdf")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/pdf"
    assert 'filename="case-file-1085-000123.pdf"' in answer.headers["content-disposition"]
    assert answer.content.startswith(b"%PDF")
    assert photo in answer.content
    assert int(answer.headers["content-length"]) == len(answer.content)
    (entry,) = noted(log, "case-file-made")
    assert (entry.subject, entry.by) == (f"case-file:{id}", f"staff:{marie.account.id}")
    assert marie.get(f"{LOG}/{'0' * 8}-0000-0000-0000-{'0' * 12}/case-file.pdf").status_code == 404
    assert marie.get(f"{LOG}/nonsense/case-file.pdf").status_code == 404
    # What is noted of the file is nothing that happened to the infraction.
    assert words(marie.page(f"{LOG}/{id}"))


# What wants to be more than text


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_filters_are_shown_as_text(log: InfractionLog, marie: Visiting, text: str) -> None:
    log.record("AAA111")
    for name in (*NAMES, text):
        answer = marie.client.get(f"{LOG}?{urlencode({name: text})}", follow_redirects=True)
        assert answer.status_code in (200, 422)
        assert "<script>alert" not in answer.text
        assert "<img src=x" not in answer.text
        assert "49" not in words(answer.text).split()
        facets = marie.client.get(f"{LOG}/facets?{urlencode({name: text})}")
        assert facets.status_code == 200
        assert "<script>alert" not in facets.text
        twin = marie.client.get(f"{LOG}.json?{urlencode({name: text})}")
        assert twin.status_code in (200, 422)
    assert marie.client.get(f"{LOG}/exports/{quote(text, safe='')}").status_code in (200, 404)


def test_hostile_infractions_are_shown_as_text_and_taken_out_safely(
    log: InfractionLog, marie: Visiting
) -> None:
    for n, text in enumerate(HOSTILE):
        short = text[:90]
        log.record(
            f"AAA1{n:02}",
            zone=short,
            lot=short,
            number=short,
            patroller=short,
            codes=[short],
            note=text,
            place=text,
            plate_raw=text,
        )
    columns = ",".join(exports.COLUMNS)
    for path in (f"{LOG}?{urlencode({'columns': columns})}", f"{LOG}/facets", LOG):
        page = marie.page(path)
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        in_attributes = len(re.findall('value="[^"]*\u202e', page))
        assert page.count("\u202e") == page.count("<bdi>\u202e") + in_attributes
    text = marie.get(f"{LOG}/export.csv", all="true").text
    for row in csv.reader(io.StringIO(text)):
        assert not any(re.match(r"\s*[=+@]", cell) for cell in row)
    told = marie.get(f"{LOG}/export.geojson", all="true").json()
    notes = {feature["properties"]["note"] for feature in told["features"]}
    assert HOSTILE[0] in notes
