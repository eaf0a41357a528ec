"""Figures: what is counted as it happens equals what is there, and each tells what it says."""

from __future__ import annotations

import csv
import io
import itertools
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from alembic import command

from benchmarks.console_history import count_anew
from enforcement_api.database import engine, tables
from enforcement_api.database.engine import Record
from enforcement_api.devices import store as devices
from enforcement_api.figures import exports, store
from enforcement_api.figures.core import (
    AGES,
    NOTHING,
    OTHER,
    PARTS,
    UNDECIDED,
    Period,
    Tally,
    Visited,
    age_band,
    total,
)
from enforcement_api.infractions.core import STATES
from enforcement_api.infractions.lifecycle import DECIDED, VOID_REASONS
from enforcement_api.problems import Invalid
from sync.codec import instant
from sync.validity import VERDICTS
from tests.contracts.test_reviews import review
from tests.enforcement_api.infraction_log import NOON, InfractionLog, new_id

MONTREAL = ZoneInfo("America/Toronto")
TODAY = date(2026, 11, 23)
WEEK = Period.until(TODAY, days=7)
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
DIMENSIONS = ("all", "zone", "lot", "code", "patroller")


def told(log: InfractionLog, figure: Any, *asked: Any) -> Any:
    return log.service.record.read(lambda tx: figure(tx, "1085", *asked))


def send(log: InfractionLog, kind: str, **facts: Any) -> None:
    body = {"kind": kind, "site": "1085", "at": instant(log.now)} | facts
    answer = log.request("PUT", f"/v1/events/{new_id()}", log.device, json=body)
    assert answer.status_code == 201, answer.text


# What is counted is what is there


Tables = dict[str, Counter[tuple[Any, ...]]]


def counted(tx: sa.Connection) -> Tables:
    """What the record has counted, without what came to nothing."""
    found: Tables = {}
    for table in (
        tables.infraction_tallies,
        tables.check_tallies,
        tables.visits,
    ):
        numbers = [c.name for c in table.c if not c.primary_key and c.name != "last_at"]
        keys = [c.name for c in table.primary_key]
        here = found[table.name] = Counter()
        for row in tx.execute(sa.select(table)).mappings():
            key = tuple(row[name] for name in keys)
            for name in numbers:
                here[(*key, name)] = row[name]
            if "last_at" in row:
                here[(*key, "last_at")] = int(row["last_at"].timestamp())
        assert all(number >= 0 for number in here.values())
    return {name: +counter for name, counter in found.items()}


def recounted(tx: sa.Connection) -> Tables:
    """The same from the infractions and events themselves, one by one."""
    zone_of = {row.id: ZoneInfo(row.time_zone) for row in tx.execute(sa.select(tables.sites))}
    codes: dict[tuple[str, str], set[str]] = {}
    for row in tx.execute(sa.select(tables.infraction_codes)):
        codes.setdefault((row.site, row.infraction), set()).add(row.code)
    found: Tables = {name: Counter() for name in ("infraction_tallies", "check_tallies", "visits")}
    for row in tx.execute(sa.select(tables.infractions)):
        day = row.observed_at.astimezone(zone_of[row.site]).date()
        values = [("all", ""), ("zone", row.zone), ("lot", row.lot or "")]
        values += [("patroller", row.patroller)]
        values += [("code", code) for code in codes.get((row.site, row.id), {""})]
        for dimension, value in values:
            key = (row.site, dimension, value, day)
            tallies = found["infraction_tallies"]
            tallies[(*key, f"{row.outcome}s")] += 1
            tallies[(*key, "undecided")] += row.state in UNDECIDED
            if row.state == "voided":
                reason = row.decision_reason
                tallies[(*key, f"voided_{reason if reason in VOID_REASONS else OTHER}")] += 1
        visit(found, row.site, day, row.zone, row.lot or "", "infractions", row.observed_at)
    for row in tx.execute(sa.select(tables.events).where(tables.events.c.kind == "check")):
        there = row.at.astimezone(zone_of[row.site])
        verdict = row.facts.get("verdict")
        verdict = verdict if verdict in VERDICTS else ""
        found["check_tallies"][(row.site, there.date(), verdict, "count")] += 1
        zone, lot = (said(row.facts.get(name)) for name in ("zone", "lot"))
        visit(found, row.site, there.date(), zone, lot, PARTS[there.hour // 6], row.at)
    return {name: +counter for name, counter in found.items()}


def visit(
    found: Tables, site: str, day: date, zone: str, lot: str, what: str, at: datetime
) -> None:
    visits = found["visits"]
    for kind, place in (("zone", zone), ("lot", lot)):
        visits[site, kind, place, day, what] += 1
        last = (site, kind, place, day, "last_at")
        visits[last] = max(visits[last], int(at.timestamp()))


def said(fact: Any) -> str:
    return fact[:100] if isinstance(fact, str) and fact.strip() else ""


def check_counts(log: InfractionLog) -> Tables:
    with log.service.record.reading() as tx:
        kept = counted(tx)
        assert kept == recounted(tx)
    return kept


@pytest.mark.parametrize("seed", range(3))
def test_tallies_equal_a_recount_after_any_history(log: InfractionLog, seed: int) -> None:
    chance = random.Random(seed)
    log.now = datetime(2026, 10, 31, 22, 0, tzinfo=MONTREAL)  # the clocks go back in the night
    ids: list[str] = []

    def record() -> None:
        body = log.infraction(
            chance.choice(["ABC123", "DEF456"]),
            zone=chance.choice(["G1", "V1", "=nowhere"]),
            lot=chance.choice(["P3", None]),
            codes=chance.choice([["P01"], ["P01", "S01", "P01"], []]),
            outcome=chance.choice(["notice", "warning", "no_issue"]),
            no_issue_reason="urgence",
            patroller=chance.choice(["42", "marie", "é\u202e"]),
            observed_at=instant(log.now - chance.choice([0, 1, 30]) * HOUR),
        )
        id = new_id()
        for _ in range(chance.choice([1, 1, 2])):  # the answer may have been lost
            assert log.put(body, id).status_code in (200, 201)
        log.put(body | {"note": "other content"}, id)
        ids.append(id)

    def decide() -> None:
        id = chance.choice(ids)
        state = log.get(id)["state"]
        reason = chance.choice(list(VOID_REASONS))
        wanted = chance.choice(["confirm", "void", "void", "request_information", "reopen"])
        review(log, id, wanted, reason=reason, expected_state=state, acknowledge_differs=True)

    def tell() -> None:
        id = chance.choice([*ids, new_id()])
        reason = chance.choice(["duplicate", "my own", None])
        kind = chance.choice(["answer", "infraction_voided"])
        send(log, kind, infraction=id, reason=reason, text="vu", patroller="42")

    def look() -> None:
        send(
            log,
            "check",
            plate="ABC123",
            zone=chance.choice(["G1", "V1", None, 7, "x" * 200]),
            lot=chance.choice(["P3", None, " "]),
            verdict=chance.choice([*VERDICTS, None, ["valid"], "fine"]),
        )

    def wait() -> None:
        log.now += chance.choice([MINUTE, HOUR, 7 * HOUR])

    for step in range(90):
        chance.choice([record, record, look, wait, *([decide, decide, tell] * bool(ids))])()
        if step % 30 == 0:
            check_counts(log)
    kept = check_counts(log)
    assert all(kept.values())

    # And an older record, that has counted nothing, comes to the same.
    def anew(tx: sa.Connection) -> None:
        tx.execute(sa.update(tables.infractions).values(day=date(1970, 1, 1)))
        count_anew(tx)

    days = sa.select(tables.infractions.c.id, tables.infractions.c.day)
    before = log.service.record.read(lambda tx: set(tx.execute(days)))
    log.service.record.write(anew)
    assert log.service.record.read(lambda tx: set(tx.execute(days))) == before
    assert check_counts(log) == kept


def test_what_counts_stays_where_it_counts_when_the_time_zone_changes(log: InfractionLog) -> None:
    log.now = datetime(2026, 11, 23, 23, 0, tzinfo=MONTREAL)
    id = log.record()
    log.put_site("1085", time_zone="Asia/Tokyo")
    assert review(log, id, "void", reason="duplicate").status_code == 201
    (there,) = [day for day in told(log, store.by_day, WEEK) if day.tally.total]
    assert there.day == TODAY
    assert there.tally == Tally(notices=1, reasons={"duplicate": 1})


def test_an_older_record_is_counted_when_it_is_migrated(
    tmp_path: Path, postgres_database_url: str
) -> None:
    for url in (f"sqlite:///{tmp_path / 'record.db'}", postgres_database_url):
        record = Record(url)
        with record.engine.connect() as connection:
            config = engine._alembic()
            config.attributes["connection"] = connection
            command.upgrade(config, "0009")
            site = {
                "id": "1085", "name": "CHUS", "address": "", "time_zone": "America/Toronto",
                "jurisdiction": "CA-QC", "instrument": "avis", "activation_hours": 24,
                "retention_days": 90, "no_notice": [], "created_at": NOON,
            }  # fmt: skip
            connection.execute(sa.insert(tables.sites), site)
            known = sa.inspect(connection).get_columns("infractions")
            old = sa.table("infractions", *(sa.column(column["name"]) for column in known))
            row = {
                "site": "1085", "id": "a", "received_at": 2, "device": "d",
                "after_revocation": False, "patroller": "42", "zone": "G1", "lot": "P3",
                "plate_raw": "", "plate_source": "none", "outcome": "warning", "state": "voided",
                "observed_at": int(NOON.timestamp()), "device_time": 1, "clock_offset_ms": 0,
                "epoch": "e", "cursor": "c", "known": "[]", "content_hash": "h", "warnings": "[]",
                "differs": False, "decision_reason": "duplicate",
            }  # fmt: skip
            connection.execute(sa.insert(old), row)
            connection.commit()
        record.migrate()
        with record.reading() as tx:
            (there,) = [day for day in store.by_day(tx, "1085", WEEK) if day.tally.total]
            assert (there.day, there.tally.reasons) == (TODAY, {"duplicate": 1})
            assert counted(tx) == recounted(tx)
        record.close()


# Each figure


def test_days_tell_what_was_recorded_and_what_became_of_it(log: InfractionLog) -> None:
    voided, confirmed = log.record(), log.record()
    log.record(outcome="warning", observed_at=instant(log.now - DAY))
    review(log, voided, "void", reason="misread_plate")
    review(log, confirmed, "confirm")
    days = told(log, store.by_day, WEEK)
    assert [day.day for day in days] == WEEK.days
    assert days[-1].tally == Tally(notices=2, reasons={"misread_plate": 1})
    assert days[-2].tally == Tally(warnings=1, undecided=1)
    assert [day.tally for day in days[:-2]] == [NOTHING] * 5
    whole = total(day.tally for day in days)
    assert (whole.total, whole.decided, whole.share_voided) == (3, 2, 0.5)


def test_share_voided_is_of_those_that_are_decided() -> None:
    assert Tally(notices=10, undecided=8, reasons={OTHER: 1}).share_voided == 0.5
    assert Tally(notices=10, undecided=10).share_voided is None


def test_lines_compare_with_the_period_before(log: InfractionLog) -> None:
    for _ in range(3):
        log.record(zone="G1", lot="P3")
    log.record(zone="V1", lot=None)
    log.record(zone="gone", observed_at=instant(log.now - 8 * DAY))
    zones = told(log, store.by, "zone", WEEK)
    assert [(z.value, z.tally.total, z.before.total) for z in zones] == [
        ("G1", 3, 0), ("V1", 1, 0), ("gone", 0, 1),
    ]  # fmt: skip
    assert zones[2].name is None
    lots = told(log, store.by, "lot", WEEK)
    assert [(lot.value, lot.tally.total) for lot in lots] == [("P3", 3), ("", 1)]


def test_a_patroller_is_one_line_by_badge_and_by_id(log: InfractionLog) -> None:
    log.record(patroller="42")
    log.record(patroller="marie")
    (line,) = told(log, store.by, "patroller", WEEK)
    assert (line.value, line.name, line.tally.total) == ("marie", "Marie", 2)


def test_an_infraction_counts_under_each_of_its_codes(log: InfractionLog) -> None:
    log.record(codes=["P01", "S01"])
    lines = told(log, store.by, "code", WEEK)
    assert [(line.value, line.tally.total) for line in lines] == [("P01", 1), ("S01", 1)]
    assert lines[0].name["fr"]
    assert told(log, store.by_day, WEEK)[-1].tally.total == 1


def test_checks_are_told_by_verdict_after_they_are_forgotten(log: InfractionLog) -> None:
    for verdict in ("valid", "valid", "unknown", None):
        send(log, "check", plate="ABC123", zone="G1", verdict=verdict)
    log.service.record.write(lambda tx: tx.execute(sa.delete(tables.events)))
    today = told(log, store.checks, WEEK)[-1]
    assert (today.verdicts, today.total) == ({"valid": 2, "unknown": 1, "": 1}, 4)


def test_a_check_that_is_sent_again_counts_once(log: InfractionLog) -> None:
    body = {"kind": "check", "site": "1085", "at": instant(log.now), "zone": "G1"}
    path = f"/v1/events/{new_id()}"
    for _ in range(2):
        log.request("PUT", path, log.device, json=body)
    assert told(log, store.checks, WEEK)[-1].total == 1


def test_places_without_a_patrol_come_first(log: InfractionLog) -> None:
    log.now -= 10 * DAY
    send(log, "check", plate="ABC123", zone="V1", lot=None, verdict="valid")
    last = log.now
    log.now += 10 * DAY
    send(log, "check", plate="ABC123", zone="G1", lot="P3", verdict="valid")
    log.record(zone="G1", lot="P3", observed_at=instant(log.now + MINUTE))
    zones: list[Visited] = told(log, store.visited, "zone", WEEK)
    assert [(z.code, z.is_visited, z.last_at) for z in zones] == [
        ("V1", False, last),
        ("G1", True, log.now + MINUTE),
    ]
    assert zones[1].checks == {"night": 0, "morning": 0, "afternoon": 1, "evening": 0}
    assert (zones[1].infractions, zones[1].days) == (1, 1)
    (lot,) = told(log, store.visited, "lot", WEEK)
    assert (lot.code, lot.zone, lot.is_visited) == ("P3", "G1", True)


def test_a_place_nobody_ever_saw_says_so(log: InfractionLog) -> None:
    (lot,) = told(log, store.visited, "lot", WEEK)
    assert (lot.is_visited, lot.last_at) == (False, None)


def test_the_hour_at_the_site_decides_the_part_of_the_day(log: InfractionLog) -> None:
    for hour in (0, 5, 6, 11, 12, 17, 18, 23):
        log.now = datetime(2026, 11, 23, hour, 59, tzinfo=MONTREAL)
        send(log, "check", plate="ABC123", zone="G1", verdict="valid")
    zones = told(log, store.visited, "zone", WEEK)
    assert zones[1].checks == dict.fromkeys(PARTS, 2)


# From a change to handhelds


def seen(log: InfractionLog, sequence: int) -> None:
    at, device = log.now, log.device_id
    log.service.record.write(
        lambda tx: devices.seen(tx, device, "1085", f"c{sequence}", sequence, at)
    )


def level(log: InfractionLog) -> int:
    counters = sa.select(tables.counters.c.sequence)
    return int(log.service.record.read(lambda tx: tx.execute(counters).scalar_one()))


def bands(log: InfractionLog) -> tuple[int, ...]:
    found: tuple[int, ...] = told(log, store.catch_ups, WEEK)[-1].bands
    return found


def test_a_catch_up_counts_by_the_oldest_change_that_it_brought(log: InfractionLog) -> None:
    seen(log, level(log))
    log.permit("ABC123")
    log.now += timedelta(seconds=50)
    log.permit("DEF456")
    log.now += timedelta(seconds=10)
    seen(log, level(log))
    assert bands(log) == (0, 1, 0, 0, 0, 0)
    seen(log, level(log))  # nothing new
    assert bands(log) == (0, 1, 0, 0, 0, 0)
    log.permit("GHI789")
    log.now += timedelta(seconds=1)
    seen(log, level(log))
    assert bands(log) == (1, 1, 0, 0, 0, 0)


def test_a_first_copy_and_news_without_a_permit_are_no_catch_up(log: InfractionLog) -> None:
    log.permit("ABC123")
    log.now += HOUR
    seen(log, level(log))
    log.record()
    log.now += HOUR
    seen(log, level(log))
    assert not any(bands(log))


def test_a_handheld_that_follows_the_feed_is_counted(log: InfractionLog) -> None:
    log.page_of_changes()
    log.permit("ABC123")
    log.now += 3 * MINUTE
    log.page_of_changes()
    assert bands(log) == (0, 0, 1, 0, 0, 0)


def test_ages_fall_into_the_band_that_they_do_not_exceed() -> None:
    assert [age_band(age) for age in AGES] == [0, 1, 2, 3, 4]
    assert age_band(AGES[-1] + timedelta(seconds=1)) == 5
    assert age_band(timedelta(0)) == age_band(timedelta(seconds=-3)) == 0


# Periods and exports


def test_a_period_has_a_bound_and_one_before() -> None:
    assert WEEK.before == Period(date(2026, 11, 10), date(2026, 11, 16))
    for first, last in ((TODAY, TODAY - DAY), (date(2020, 1, 1), TODAY)):
        with pytest.raises(Invalid) as problem:
            Period(first, last)
        assert problem.value.errors[0].pointer == "/query/to"


def test_a_voiding_counts_under_a_reason_of_the_list_or_as_another() -> None:
    assert (*VOID_REASONS, OTHER) == tables.VOIDED_FOR


def test_undecided_are_those_that_wait_for_a_supervisor() -> None:
    assert set(STATES) - DECIDED - {"contested"} == UNDECIDED


def test_every_figure_is_exported_and_runs_nothing(log: InfractionLog) -> None:
    voided = log.record(zone="=cmd|' /C calc'!A0", patroller="+1;2", lot="@x")
    review(log, voided, "void", reason="duplicate")
    send(log, "check", plate="ABC123", zone="G1", lot="P3", verdict="valid")
    zones = told(log, store.by, "zone", WEEK)
    exported = [
        exports.of_days(told(log, store.by_day, WEEK)),
        exports.of_lines("zone", zones, "fr"),
        exports.of_lines("patroller", told(log, store.by, "patroller", WEEK), "fr"),
        exports.of_reasons("zone", zones, "fr"),
        exports.of_checks(told(log, store.checks, WEEK)),
        exports.of_visits(told(log, store.visited, "lot", WEEK), "fr"),
        exports.of_catch_ups(told(log, store.catch_ups, WEEK)),
    ]
    for figure in exported:
        plain = list(csv.reader(io.StringIO("".join(figure.as_csv()), newline="")))
        assert len(plain) > 1
        assert {len(row) for row in plain} == {len(figure.header)}
        assert not [cell for row in plain for cell in row if cell.startswith(("=", "+", "@", "-"))]
    text = "".join(exported[0].as_csv(excel=True)).removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")
    days = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=";"))
    assert days[-1] == {
        "day": "2026-11-23", "recorded": "1", "notices": "1", "warnings": "0", "no_issues": "0",
        "undecided": "0", "voided": "1", "share_voided": "1.0",
    }  # fmt: skip


def test_a_period_is_in_parts_that_one_can_tell_apart() -> None:
    assert len(Period.until(TODAY, days=92).spans) == 92
    weeks = Period.until(TODAY, days=366).spans
    assert len(weeks) <= 54
    assert {span.first.weekday() for span in weeks[1:]} == {0}
    months = Period.until(TODAY, days=1096).spans
    assert len(months) == 37
    for spans in (weeks, months):
        assert all(a.last + DAY == b.first for a, b in itertools.pairwise(spans))
        assert spans[-1].last == TODAY


def test_no_figure_reads_a_table_from_end_to_end(log: InfractionLog) -> None:
    asked: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        asked.append((statement, parameters))

    record = log.service.record
    sa.event.listen(record.engine, "before_cursor_execute", note)
    try:
        told(log, store.by_day, WEEK)
        for dimension in ("zone", "lot", "code", "patroller"):
            told(log, store.by, dimension, WEEK)
        told(log, store.checks, WEEK)
        for kind in ("zone", "lot"):
            told(log, store.visited, kind, WEEK)
        told(log, store.catch_ups, WEEK)
    finally:
        sa.event.remove(record.engine, "before_cursor_execute", note)
    asked = [
        (statement, given) for statement, given in asked if statement.startswith(("SELECT", "WITH"))
    ]
    assert len(asked) > 15
    explain = "EXPLAIN QUERY PLAN" if record.is_sqlite else "EXPLAIN"
    with record.reading() as tx:
        if not record.is_sqlite:  # it would rather read all of a table that is this small
            tx.exec_driver_sql("SET LOCAL enable_seqscan = off")
        for statement, given in asked:
            plan = str(tx.exec_driver_sql(f"{explain} {statement}", given).all())
            # `found` are the values themselves, one after another.
            assert "SCAN " not in plan.replace("SCAN CONSTANT ROW", "").replace("SCAN found", "")
            assert "Seq Scan" not in plan


def test_checks_and_infractions_that_come_at_once_are_all_counted(log: InfractionLog) -> None:
    bodies = [log.infraction(zone="G1", lot="P3") for _ in range(20)]

    def hand_over(body: dict[str, Any]) -> None:
        assert log.put(body).status_code == 201
        send(log, "check", plate="ABC123", zone="G1", lot="P3", verdict="valid")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(hand_over, bodies))
    kept = check_counts(log)
    assert kept["check_tallies"]["1085", TODAY, "valid", "count"] == 20
    assert kept["visits"]["1085", "lot", "P3", TODAY, "infractions"] == 20
