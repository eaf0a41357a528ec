"""What waits for a supervisor is told in the order of what needs eyes first, on both engines; and
whatever happens to an infraction moves it in the same transaction.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command

from enforcement_api.database import engine
from enforcement_api.database.engine import Record
from enforcement_api.database.tables import infraction_codes, infractions, metadata
from enforcement_api.infractions import attention, queue, store
from enforcement_api.infractions.attention import REST
from enforcement_api.infractions.queue import QueuePlace
from enforcement_api.shapes import NotAPageCursor
from sync import codec
from sync.plates import fold
from tests.contracts.test_reviews import review
from tests.enforcement_api.infraction_log import NOON, InfractionLog, new_id, picture, sha256
from tests.paging import turns
from tests.postgres import fresh_database

UNKNOWN_CURSOR = {"cursor": "MSBub3doZXJlIDEyIDEwODU"}
CODE = {"code": "P01", "title": {"fr": "Sans permis", "en": "No permit"}}


@pytest.fixture
def log(log: InfractionLog) -> InfractionLog:
    """A site whose codes ask for no photos."""
    log.put_site("1085", codes=[CODE | {"photos_required": False}])
    return log


def plain_id() -> str:
    return next(id for _ in range(1000) if not attention.is_sampled(id := new_id()))


def sampled_id() -> str:
    return next(id for _ in range(1000) if attention.is_sampled(id := new_id()))


def record(log: InfractionLog, plate: str | None = "ABC123", **fields: Any) -> str:
    """Hand over an infraction that is not one of the share; its id."""
    id = plain_id()
    answer = log.put(log.infraction(plate, **fields), id)
    assert answer.status_code == 201, answer.text
    return id


def stands(log: InfractionLog, id: str) -> tuple[list[str], int | None]:
    """Why an infraction should be seen, and its rank, as the record has them."""
    with log.service.record.reading() as tx:
        found = store.find(tx, id)
    return list(found.attention), found.review_rank


def photo(content: bytes) -> list[dict[str, Any]]:
    taken = {"taken_at": codec.instant(NOON)}
    return [{"sha256": sha256(content), "bytes": len(content)} | taken]


def asked(log: InfractionLog, ask: Callable[..., Any], *args: Any, **options: Any) -> Any:
    with log.service.record.reading() as tx:
        return ask(tx, *args, **options)


def ids(log: InfractionLog, **options: Any) -> list[str]:
    found = asked(log, queue.waiting, "1085", **{"limit": 50} | options)
    return [infraction.id for infraction in found]


# Each event moves it


def test_infraction_of_which_nothing_is_to_be_said_waits_behind_all_others(
    log: InfractionLog,
) -> None:
    assert stands(log, record(log)) == ([], REST)


def test_share_of_the_others_waits_before_the_rest(log: InfractionLog) -> None:
    id = sampled_id()
    log.put(log.infraction(), id)
    assert stands(log, id) == (["sample"], 5)


def test_permit_that_comes_late_makes_its_infraction_the_first(log: InfractionLog) -> None:
    id = record(log)
    log.permit("ABC123")
    assert stands(log, id) == (["differs"], 0)
    log.permit("ABC123", status="cancelled", ends_at="2026-11-01T00:00:00Z")
    assert stands(log, id) == (["differs"], 0)  # unknown, and cancelled by now
    log.permit("DEF456")
    known = record(log, "DEF456", verdict="unknown")
    assert stands(log, known)[0] == ["differs", "stale"]


@pytest.mark.parametrize(
    "fields", [UNKNOWN_CURSOR, {"verdict": "valid"}], ids=["unknown cursor", "verdict not as known"]
)
def test_replica_that_knew_otherwise_is_stale(log: InfractionLog, fields: dict[str, str]) -> None:
    assert "stale" in stands(log, record(log, **fields))[0]


def test_replica_is_stale_past_the_limit_of_its_site(log: InfractionLog) -> None:
    body = log.infraction()
    log.permit("ZZZ999")  # which the device never hears of
    for hours, expected in ((24, []), (25, ["stale"])):
        log.now = NOON + timedelta(hours=hours)
        at = {"observed_at": codec.instant(log.now), "plate": f"AAA{hours}"}
        id = plain_id()
        assert log.put(body | at, id).json()["warnings"] == []
        assert stands(log, id)[0] == expected


def test_replica_that_knew_all_there_is_was_never_stale(log: InfractionLog) -> None:
    log.permit("ZZZ999")
    body = log.infraction()
    log.now += timedelta(days=30)
    id = plain_id()
    log.put(body | {"observed_at": codec.instant(log.now)}, id)
    assert stands(log, id) == ([], REST)


def test_clock_that_jumped_is_told(log: InfractionLog) -> None:
    assert stands(log, record(log, clock_jumped=True)) == (["clock"], 2)
    ahead = codec.instant(log.now + timedelta(hours=1))
    assert stands(log, record(log, "DEF456", observed_at=ahead)) == (["clock"], 2)


def test_second_infraction_of_a_plate_within_a_month_is_a_repeated_one(log: InfractionLog) -> None:
    first = record(log)
    log.now += timedelta(days=30)
    second = record(log)
    elsewhere = record(log, jurisdiction="CA-ON")
    log.now += timedelta(days=30, seconds=1)
    third = record(log)
    assert stands(log, first) == ([], REST)
    assert stands(log, second) == (["repeated"], 3)
    assert stands(log, elsewhere) == ([], REST)
    assert stands(log, third) == ([], REST)


def test_infraction_that_comes_late_makes_a_repeated_one_of_the_later(log: InfractionLog) -> None:
    later = record(log)
    decided = record(log)
    assert review(log, decided, "confirm").status_code == 201
    record(log, observed_at=codec.instant(NOON - timedelta(days=3)))
    assert stands(log, later) == (["repeated"], 3)
    assert stands(log, decided) == ([], None)


def test_voiding_the_first_takes_the_reason_from_the_second_and_reopening_gives_it_back(
    log: InfractionLog,
) -> None:
    first = record(log)
    log.now += timedelta(days=1)
    second = record(log)
    review(log, first, "void", reason="duplicate")
    assert (stands(log, first), stands(log, second)) == (([], None), ([], REST))
    review(log, first, "reopen", expected_state="voided")
    assert (stands(log, first), stands(log, second)) == (([], REST), (["repeated"], 3))


def test_photo_that_has_not_come_is_missed_until_it_comes(log: InfractionLog) -> None:
    one, other = picture(shade=10), picture(shade=20)
    id = record(log, photos=photo(one) + photo(other))
    assert stands(log, id) == (["photos"], 4)
    log.put_photo(one)
    assert stands(log, id) == (["photos"], 4)
    log.put_photo(other)
    assert stands(log, id) == ([], REST)


def test_fewer_photos_than_the_code_asks_for_are_told(log: InfractionLog) -> None:
    log.put_site("1085", codes=[CODE | {"photos_required": 2}])
    content = picture()
    log.put_photo(content)
    assert stands(log, record(log, photos=photo(content))) == (["photos"], 4)
    let_off = {"outcome": "no_issue", "no_issue_reason": "emergency"}
    assert stands(log, record(log, "DEF456", **let_off)) == ([], REST)


def test_photos_that_come_at_the_same_moment_do_not_overlook_each_other(
    log: InfractionLog,
) -> None:
    pictures = [picture(shade=shade) for shade in range(10, 18)]
    id = record(log, photos=[told for each in pictures for told in photo(each)])
    threads = [threading.Thread(target=log.put_photo, args=(each,)) for each in pictures]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stands(log, id) == ([], REST)


def test_photo_that_comes_for_what_was_decided_changes_nothing(log: InfractionLog) -> None:
    content = picture()
    id = record(log, photos=photo(content))
    review(log, id, "confirm")
    assert stands(log, id) == ([], None)
    log.put_photo(content)
    assert stands(log, id) == ([], None)


@pytest.mark.parametrize(
    ("decision", "wanted"), [("confirm", {}), ("void", {"reason": "emergency"})]
)
def test_what_is_decided_waits_no_more_and_waits_again_once_reopened(
    log: InfractionLog, decision: str, wanted: dict[str, str]
) -> None:
    id = record(log, clock_jumped=True)
    review(log, id, decision, **wanted)
    assert stands(log, id) == ([], None)
    assert ids(log) == []
    state = log.get(id)["state"]
    review(log, id, "reopen", expected_state=state)
    assert stands(log, id) == (["clock"], 2)


def test_what_a_patroller_was_asked_about_waits_for_the_answer(log: InfractionLog) -> None:
    id = record(log)
    review(log, id, "request_information", note="Où?")
    assert stands(log, id) == ([], None)
    told = {"kind": "answer", "site": "1085", "at": codec.instant(log.now)}
    told |= {"infraction": id, "text": "Rangée C.", "patroller": "42"}
    assert log.request("PUT", f"/v1/events/{new_id()}", log.device, json=told).status_code == 201
    assert stands(log, id) == ([], REST)


def test_what_a_patroller_voids_waits_no_more(log: InfractionLog) -> None:
    id = record(log)
    told = {"kind": "infraction_voided", "site": "1085", "at": codec.instant(log.now)}
    told |= {"infraction": id, "reason": "duplicate", "patroller": "42"}
    assert log.request("PUT", f"/v1/events/{new_id()}", log.device, json=told).status_code == 201
    assert stands(log, id) == ([], None)


# The queue


def mixed(log: InfractionLog) -> list[str]:
    """Infractions of several ranks, as they stand in the queue."""
    rest = record(log, "AAA001")
    repeated = record(log, "AAA001")
    log.now += timedelta(seconds=1)
    clock = record(log, "AAA003", clock_jumped=True)
    both = record(log, "AAA003", clock_jumped=True)
    log.now += timedelta(seconds=1)
    stale = record(log, "AAA004", **UNKNOWN_CURSOR)
    differs = record(log, "AAA005")
    log.permit("AAA005")
    log.now += timedelta(seconds=1)
    newer = record(log, "AAA006", clock_jumped=True)
    # The first of two at the same instant is as repeated as the second.
    same = sorted([rest, repeated])
    return [differs, stale, *sorted([clock, both]), newer, *same]


def test_queue_is_read_page_by_page_the_weightiest_and_then_the_oldest_first(
    log: InfractionLog,
) -> None:
    expected = mixed(log)
    assert ids(log) == expected
    read: list[str] = []
    place = None
    for _ in turns():
        page = asked(log, queue.waiting, "1085", after=place, limit=2)
        if not page:
            break
        read += [infraction.id for infraction in page]
        place = QueuePlace.of(page[-1])
        assert place == QueuePlace.parse(str(place))
    assert read == expected
    assert ids(log, limit=3) == expected[:3]


def test_queue_of_a_reason_has_all_that_have_it(log: InfractionLog) -> None:
    everything = mixed(log)
    assert ids(log, reasons=("repeated",)) == [*everything[2:4], *everything[5:]]
    assert ids(log, reasons=("differs", "clock")) == [everything[0], *everything[2:5]]
    assert ids(log, reasons=("photos",)) == []


def test_next_one_follows_though_the_one_before_waits_no_more(log: InfractionLog) -> None:
    everything = mixed(log)
    with log.service.record.reading() as tx:
        place = QueuePlace.of(store.find(tx, everything[1]))
    assert place is not None
    review(log, everything[1], "confirm")
    assert asked(log, queue.next_after, "1085", place).id == everything[2]
    skipped = asked(log, queue.next_after, "1085", place, skipping=everything[2:4])
    assert skipped.id == everything[4]
    assert asked(log, queue.next_after, "1085", None).id == everything[0]
    assert asked(log, queue.before, "1085", place).id == everything[0]
    assert asked(log, queue.position, "1085", place) == 1
    with log.service.record.reading() as tx:
        last = QueuePlace.of(store.find(tx, everything[-1]))
    assert asked(log, queue.next_after, "1085", last) is None
    assert asked(log, queue.position, "1085", last) == len(everything) - 2
    assert asked(log, queue.position, "1085", last, reasons=("clock",)) == 3


def test_what_waits_is_counted_by_rank(log: InfractionLog) -> None:
    mixed(log)
    assert asked(log, queue.counts, "1085") == {0: 1, 1: 1, 2: 3, 3: 2, 4: 0, 5: 0, 6: 0}
    assert asked(log, queue.counts, "2000") == dict.fromkeys(range(7), 0)


@pytest.mark.parametrize("text", ["", "x", "WzFd", "Wzk5LDEsIngiXQ", "Wy0xLDEsIngiXQ"])
def test_place_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(NotAPageCursor):
        QueuePlace.parse(text)


def test_earlier_infractions_of_a_plate_are_told_the_latest_first(log: InfractionLog) -> None:
    made = []
    for _ in range(4):
        made.append(record(log))
        log.now += timedelta(days=1)
    record(log, jurisdiction="CA-ON")
    record(log, "ABC124")
    without = record(log, None, plate_missing_reason="neige")
    with log.service.record.reading() as tx:
        here = store.find(tx, made[3])
        assert [one.id for one in queue.earlier(tx, here, limit=2)] == [made[2], made[1]]
        assert [one.id for one in queue.earlier(tx, here, limit=9)] == made[2::-1]
        assert queue.earlier(tx, store.find(tx, without), limit=9) == []


# What was recorded before


def copy_what_is_known(source: sa.Connection, target: sa.Connection, table: sa.Table) -> None:
    """The rows of a table, as far as an older record has it."""
    if not sa.inspect(target).has_table(table.name):
        return
    names = {column["name"] for column in sa.inspect(target).get_columns(table.name)}
    columns = [column for column in table.columns if column.name in names]
    rows = [dict(row) for row in source.execute(sa.select(*columns)).mappings()]
    if rows:
        there = sa.table(table.name, *(sa.column(each.name, each.type) for each in columns))
        target.execute(sa.insert(there), rows)


def test_older_record_is_weighed_as_if_it_had_always_been(
    log: InfractionLog, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    body = log.infraction()
    log.permit("ZZZ999")
    log.now += timedelta(days=2)
    old = plain_id()
    log.put(body | {"observed_at": codec.instant(log.now), "plate": "OIUWQ8"}, old)
    everything = mixed(log)
    record(log, "AAA007", photos=photo(picture()))
    record(log, None, plate_missing_reason="neige", codes=[])
    log.put(log.infraction("AAA009"), sampled_id())
    review(log, everything[4], "confirm")
    url = f"sqlite:///{tmp_path / 'older.db'}"
    if not log.service.record.is_sqlite:
        url = fresh_database(request.getfixturevalue("postgres_url"))
    older = Record(url)
    config = engine._alembic()
    with older.engine.connect() as target, log.service.record.reading() as source:
        config.attributes["connection"] = target
        command.upgrade(config, "0007")
        for table in metadata.sorted_tables:
            copy_what_is_known(source, target, table)
        target.commit()
    older.migrate()
    c, of = infractions.c, infraction_codes.c
    for query in (
        sa.select(c.id, c.fold, c.attention, c.review_rank).order_by(c.id),
        sa.select(of.infraction, of.position, of.received_at).order_by(*of[:3]),
    ):
        with older.reading() as tx, log.service.record.reading() as now:
            assert tx.execute(query).all() == now.execute(query).all()
    with older.reading() as tx:
        found = store.find(tx, old)
        assert (list(found.attention), found.review_rank) == (["stale"], 1)
        assert tx.execute(sa.select(c.fold).where(c.id == old)).scalar() == fold("OIUWQ8")
    older.close()
