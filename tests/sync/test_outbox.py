"""The outbox: what was put survives, leaves once acknowledged, and blocks nothing."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import sqlite3
import threading
import time
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlite_utils import Database

from sync.codec import instant
from sync.outbox import LOW_NUMBERS, RESERVE, AlreadyPut, Item, NoRoom, Outbox, migrations
from tests.damage import unreadable_name

AT = datetime(2026, 11, 23, 15, 15, tzinfo=UTC)
HOUR = timedelta(hours=1)
HERE, THERE = "https://one.example", "https://two.example"


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    found = Outbox(tmp_path)
    yield found
    found.close()


def waiting(outbox: Outbox) -> list[tuple[str, str]]:
    return [(item.kind, item.id) for item in outbox.waiting()]


def test_an_infraction_waits_before_its_photos(outbox: Outbox) -> None:
    outbox.put_infraction("i1", {"note": "é"}, ["a" * 64, "b" * 64], at=AT)
    assert waiting(outbox) == [("infraction", "i1"), ("photo", "a" * 64), ("photo", "b" * 64)]
    assert outbox.waiting()[0].body == {"note": "é"}


def test_what_was_put_is_there_after_a_restart(tmp_path: Path) -> None:
    first = Outbox(tmp_path)
    first.put_infraction("i1", {}, [], at=AT)
    first.close()
    second = Outbox(tmp_path)
    assert waiting(second) == [("infraction", "i1")]
    second.close()


def test_every_commit_reaches_the_disk(tmp_path: Path, outbox: Outbox) -> None:
    assert outbox._connection.execute("PRAGMA synchronous").fetchone() == (2,)
    with sqlite3.connect(tmp_path / "outbox.db") as other:
        assert other.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    other.close()


def test_the_same_infraction_put_twice_waits_once(outbox: Outbox) -> None:
    outbox.put_infraction("i1", {"n": 1}, [], at=AT)
    outbox.put_infraction("i1", {"n": 1}, [], at=AT)
    assert waiting(outbox) == [("infraction", "i1")]


def test_an_acknowledged_item_leaves_and_is_remembered(outbox: Outbox) -> None:
    outbox.put_infraction("i1", {}, [], at=AT)
    outbox.acknowledge(outbox.waiting()[0], {"state": "received"}, at=AT)
    assert outbox.waiting() == []
    assert outbox.unsent() == 0
    (item,) = outbox.infractions()
    assert (item.state, item.answer) == ("sent", {"state": "received"})


def test_a_refused_item_is_set_aside_with_its_reason(outbox: Outbox) -> None:
    outbox.put_infraction("i1", {}, [], at=AT)
    outbox.put_infraction("i2", {}, [], at=AT)
    outbox.refuse(outbox.waiting()[0], "other content", at=AT)
    assert waiting(outbox) == [("infraction", "i2")]
    assert [(item.id, item.problem) for item in outbox.set_aside()] == [("i1", "other content")]
    assert outbox.unsent() == 2


def test_a_failed_attempt_is_counted_and_the_item_waits(outbox: Outbox) -> None:
    outbox.put_infraction("i1", {}, [], at=AT)
    outbox.failed(outbox.waiting()[0], "no network")
    (item,) = outbox.waiting()
    assert (item.attempts, item.problem) == (1, "no network")


def test_what_the_service_lacks_is_sent_again(outbox: Outbox) -> None:
    outbox.put_infraction("i1", {}, ["a" * 64], at=AT)
    for item in outbox.waiting():
        outbox.acknowledge(item, {}, at=AT)
    outbox.send_again("photo", "a" * 64)
    assert waiting(outbox) == [("photo", "a" * 64)]


def test_a_photo_is_kept_unaltered_under_its_hash(outbox: Outbox) -> None:
    picture = bytes(range(256)) * 100
    sha256 = outbox.keep_photo(picture)
    assert sha256 == hashlib.sha256(picture).hexdigest()
    assert outbox.photo(sha256).read_bytes() == picture
    assert outbox.keep_photo(picture) == sha256
    assert [path.name for path in outbox.photos.iterdir()] == [sha256]


def test_threads_put_and_read_at_once(outbox: Outbox) -> None:
    def put(thread: int) -> None:
        for number in range(20):
            outbox.put_infraction(f"{thread}-{number}", {}, [], at=AT)
            outbox.waiting()

    threads = [threading.Thread(target=put, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(outbox.waiting()) == 80


def test_another_infraction_of_the_same_id_is_not_lost_in_silence(outbox: Outbox) -> None:
    outbox.put_infraction("i1", {"n": 1}, [], at=AT)
    with pytest.raises(AlreadyPut):
        outbox.put_infraction("i1", {"n": 2}, ["a" * 64], at=AT)
    assert waiting(outbox) == [("infraction", "i1")]


def test_a_photo_never_takes_the_room_that_an_infraction_needs(tmp_path: Path) -> None:
    free = RESERVE + 10
    outbox = Outbox(tmp_path, free=lambda folder: free)
    assert outbox.keep_photo(b"0123456789")
    with pytest.raises(NoRoom):
        outbox.keep_photo(b"0123456789a")
    outbox.put_infraction("i1", {}, [], at=AT)
    outbox.close()


def test_a_photo_that_could_not_be_kept_leaves_nothing(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="No space"):
        outbox.keep_photo(b"picture")
    assert list(outbox.photos.iterdir()) == []


def test_what_a_crash_left_half_written_is_swept(tmp_path: Path) -> None:
    first = Outbox(tmp_path)
    kept = first.keep_photo(b"picture")
    first.close()
    (first.photos / f"{'a' * 64}.1234.part").write_bytes(b"half")
    second = Outbox(tmp_path)
    assert [path.name for path in second.photos.iterdir()] == [kept]
    second.close()


def test_who_reads_does_not_wait_for_who_writes(outbox: Outbox) -> None:
    outbox.put_infraction("i1", {}, [], at=AT)
    with outbox._writing() as connection:
        connection.execute("UPDATE item SET state = 'sent'")
        assert outbox.unsent() == 1
        assert [item.state for item in outbox.infractions()] == ["waiting"]
    assert outbox.unsent() == 0


def test_only_the_newest_are_read_when_that_is_enough(outbox: Outbox) -> None:
    for number in range(5):
        outbox.put_infraction(f"i{number}", {}, [], at=AT)
    assert [item.id for item in outbox.infractions(most=2)] == ["i4", "i3"]
    for item in outbox.waiting()[:3]:
        outbox.refuse(item, "no", at=AT)
    assert [item.id for item in outbox.set_aside(most=2)] == ["i0", "i1"]
    assert outbox.refused() == 3


def test_a_damaged_file_is_put_aside_whole_and_a_new_one_begun(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / "outbox.db").write_bytes(f"no database, the {number}.".encode() * 500)
        outbox = Outbox(tmp_path)
        assert waiting(outbox) == []
        outbox.put_infraction("i1", {}, [], at=AT)
        aside = tmp_path / f"outbox.damaged-{number}.db"
        assert outbox.damaged_files()[-1] == aside
        assert aside.read_bytes().startswith(f"no database, the {number}.".encode())
        outbox.close()
    again = Outbox(tmp_path)
    assert waiting(again) == [("infraction", "i1")]
    assert len(again.damaged_files()) == 2
    again.close()


def test_a_file_with_a_name_that_is_no_text_is_put_aside_too(tmp_path: Path) -> None:
    Outbox(tmp_path).close()
    file = tmp_path / "outbox.db"
    damaged = unreadable_name(file.read_bytes())
    file.write_bytes(damaged)

    outbox = Outbox(tmp_path)

    assert waiting(outbox) == []
    assert [aside.read_bytes() for aside in outbox.damaged_files()] == [damaged]
    outbox.close()


def test_looking_at_what_is_not_sent_does_not_read_what_was(outbox: Outbox) -> None:
    asked: list[str] = []
    outbox._reader.set_trace_callback(asked.append)
    looks = (
        outbox.waiting,
        lambda: outbox.sendable("https://a.example"),
        outbox.set_aside,
        outbox.unsent,
        outbox.recorded_waiting,
        outbox.refused,
    )
    for look in looks:
        look()
    outbox._reader.set_trace_callback(None)
    assert len(asked) == len(looks)
    for query in asked:
        plan = outbox._reader.execute(f"EXPLAIN QUERY PLAN {query}").fetchall()
        assert "item USING INDEX item_unsent" in str(plan).replace("COVERING ", ""), query


def test_checks_are_not_counted_among_what_was_recorded(outbox: Outbox) -> None:
    for n in range(3):
        outbox.put_event(f"e{n}", {"kind": "check"}, at=AT)
    outbox.put_infraction("i1", {}, [outbox.keep_photo(b"a car")], at=AT)
    assert (outbox.unsent(), outbox.recorded_waiting()) == (5, 2)
    asked: list[str] = []
    outbox._reader.set_trace_callback(asked.append)
    outbox.recorded_waiting()
    outbox._reader.set_trace_callback(None)
    plan = outbox._reader.execute(f"EXPLAIN QUERY PLAN {asked[0]}").fetchall()
    assert "item USING COVERING INDEX item_unsent (state=? AND kind=?)" in str(plan)
    outbox.refuse(outbox.waiting()[3], "other content", at=AT)
    assert outbox.recorded_waiting() == 1


# kinds, services, order


def of_item(outbox: Outbox, id: str) -> Item:
    return next(item for item in outbox.waiting() if item.id == id)


def acknowledge(outbox: Outbox, *ids: str, at: datetime = AT) -> None:
    """The service takes them; of photos it has those that it was told to take before."""
    for id in ids:
        item = of_item(outbox, id)
        missing = [
            other.id
            for other in outbox.waiting()
            if other.kind == "photo" and other.service == item.service
        ]
        outbox.acknowledge(item, {}, missing=missing, at=at)


def sendable(outbox: Outbox, service: str = HERE) -> list[str]:
    return [item.id for item in outbox.sendable(service)]


def test_an_event_is_sent_as_it_was_put(outbox: Outbox) -> None:
    for _ in range(2):
        outbox.put_event("e1", {"kind": "number_spoiled"}, at=AT)
    with pytest.raises(AlreadyPut):
        outbox.put_event("e1", {"kind": "other"}, at=AT)
    (item,) = outbox.waiting()
    assert (item.kind, item.id, item.body) == ("event", "e1", {"kind": "number_spoiled"})


def test_photos_go_after_their_infraction_and_keep_nothing_back(outbox: Outbox) -> None:
    outbox.put_infraction("i1", {}, ["a", "b"], at=AT, service=HERE)
    outbox.put_infraction("i2", {}, ["c"], at=AT, service=HERE)
    outbox.put_event("e1", {}, at=AT, service=HERE)
    assert sendable(outbox) == ["i1", "i2", "e1"]
    acknowledge(outbox, "i2")
    assert sendable(outbox) == ["i1", "e1", "c"]
    acknowledge(outbox, "i1")
    outbox.refuse(of_item(outbox, "a"), "not a picture", at=AT)
    assert sendable(outbox) == ["e1", "b", "c"]


def test_the_photos_of_a_refused_infraction_stay_with_it(outbox: Outbox) -> None:
    outbox.put_infraction("i1", {}, ["a", "b"], at=AT, service=HERE)
    outbox.refuse(of_item(outbox, "i1"), "no", at=AT)
    assert sendable(outbox) == []
    assert outbox.unsent() == 3
    # Unless another one has the same photo.
    outbox.put_infraction("i2", {}, ["b"], at=AT, service=HERE)
    acknowledge(outbox, "i2")
    assert sendable(outbox) == ["b"]


def test_what_was_recorded_for_one_service_goes_to_no_other(outbox: Outbox) -> None:
    outbox.put_infraction("i1", {}, ["a"], at=AT, service=HERE)
    outbox.put_infraction("i2", {}, ["a"], at=AT, service=THERE)
    outbox.put_infraction("i3", {}, [], at=AT)
    assert sendable(outbox) == ["i1", "i3"]
    assert sendable(outbox, THERE) == ["i2", "i3"]
    acknowledge(outbox, "i1", "a")
    assert outbox.sendable(HERE)[0].id == "i3"
    acknowledge(outbox, "i2")
    # The other service has not got the photo by that.
    assert sendable(outbox, THERE) == ["i3", "a"]


def test_what_an_acknowledgement_misses_goes_back_with_it(outbox: Outbox) -> None:
    outbox.put_infraction("i1", {}, ["a", "b"], at=AT, service=HERE)
    acknowledge(outbox, "a", "b")
    outbox.acknowledge(of_item(outbox, "i1"), {}, missing=["b", "c"], at=AT)
    assert sendable(outbox) == ["b", "c"]


def test_a_photo_that_the_service_turns_out_to_have_waits_no_longer(outbox: Outbox) -> None:
    outbox.put_infraction("i1", {}, ["a", "b"], at=AT, service=HERE)
    acknowledge(outbox, "i1")
    photo = of_item(outbox, "a")
    owner = outbox.owner_of(photo)
    assert owner is not None
    assert owner.id == "i1"
    outbox.acknowledge(owner, {}, missing=["b"], at=AT)
    assert sendable(outbox) == ["b"]


def test_nobody_owns_a_photo_whose_infraction_the_service_has_not(outbox: Outbox) -> None:
    outbox.put_infraction("i1", {}, ["a"], at=AT, service=HERE)
    assert outbox.owner_of(of_item(outbox, "a")) is None


def test_an_outbox_of_the_first_version_is_taken_over(tmp_path: Path) -> None:
    before = Database(tmp_path / "outbox.db")
    migrations.apply(before, stop_before="an_item_is_of_a_service")
    body = json.dumps({"photos": [{"sha256": "a"}, {"sha256": "b"}]})
    for number, (kind, id, state) in enumerate(
        [
            ("infraction", "i1", "sent"),
            ("photo", "a", "sent"),
            ("photo", "b", "waiting"),
            ("infraction", "i2", "waiting"),
        ]
    ):
        before["item"].insert(
            {
                "number": number,
                "kind": kind,
                "id": id,
                "body": body if kind == "infraction" else None,
                "put_at": instant(AT),
                "state": state,
                "answered_at": instant(AT) if state == "sent" else None,
            }
        )
    before.close()
    outbox = Outbox(tmp_path)
    assert sendable(outbox) == ["i2", "b"]
    assert outbox.forget_sent(AT + HOUR) == 0
    outbox.close()


# what was sent


def test_a_restored_record_gets_what_was_sent_lately_once_more(outbox: Outbox) -> None:
    outbox.note_epoch(HERE, "e1", sent_since=AT)
    for number in (1, 2):
        outbox.put_infraction(f"i{number}", {}, [f"p{number}"], at=AT, service=HERE)
    outbox.put_infraction("i3", {}, [], at=AT, service=THERE)
    acknowledge(outbox, "i1", "p1", at=AT - HOUR)
    acknowledge(outbox, "i2", "p2", "i3")
    assert outbox.note_epoch(HERE, "e1", sent_since=AT) == 0
    assert outbox.note_epoch(HERE, "e2", sent_since=AT) == 2
    assert [item.id for item in outbox.waiting()] == ["i2", "p2"]
    assert sendable(outbox) == ["i2"]
    assert outbox.note_epoch(HERE, "e2", sent_since=AT) == 0


def test_a_late_answer_of_the_record_before_a_restore_sends_nothing_again(
    outbox: Outbox,
) -> None:
    outbox.note_epoch(HERE, "e1", sent_since=AT)
    outbox.put_infraction("i1", {}, [], at=AT, service=HERE)
    acknowledge(outbox, "i1")
    assert outbox.note_epoch(HERE, "e2", sent_since=AT) == 1
    acknowledge(outbox, "i1")
    for epoch in ("e1", "e2"):
        assert outbox.note_epoch(HERE, epoch, sent_since=AT) == 0
    assert outbox.note_epoch(HERE, "e3", sent_since=AT) == 1


def test_what_was_sent_before_an_epoch_was_noted_is_sent_again(outbox: Outbox) -> None:
    outbox.put_infraction("i1", {}, [], at=AT, service=HERE)
    acknowledge(outbox, "i1")
    assert outbox.note_epoch(HERE, "e1", sent_since=AT) == 1


@pytest.mark.parametrize("settle", ["acknowledge", "refuse"])
def test_an_answer_of_the_record_before_settles_nothing(outbox: Outbox, settle: str) -> None:
    outbox.note_epoch(HERE, "e1", sent_since=AT)
    outbox.put_infraction("i1", {}, ["a"], at=AT, service=HERE)
    under_way = of_item(outbox, "i1")
    outbox.note_epoch(HERE, "e2", sent_since=AT)
    if settle == "acknowledge":
        outbox.acknowledge(under_way, {}, missing=["b"], at=AT)
    else:
        outbox.refuse(under_way, "no", at=AT)
    assert sendable(outbox) == ["i1"]
    assert outbox.unsent() == 2
    acknowledge(outbox, "i1")
    assert sendable(outbox) == ["a"]


def test_all_that_was_sent_can_be_sent_again(outbox: Outbox) -> None:
    outbox.put_infraction("i1", {}, ["a"], at=AT)
    outbox.put_event("e1", {}, at=AT)
    acknowledge(outbox, "i1", "a", "e1")
    assert outbox.send_all_again(AT) == 3
    assert outbox.send_all_again(AT) == 0
    assert sendable(outbox) == ["i1", "e1"]
    acknowledge(outbox, "i1", "a", "e1")
    assert outbox.send_all_again(AT + HOUR) == 0


def old(outbox: Outbox, *pictures: bytes) -> list[str]:
    """Photos that were kept three days ago, by a program that has ended since."""
    kept = [outbox.keep_photo(picture) for picture in pictures]
    outbox._in_hand.clear()
    long_ago = time.time() - 3 * 86400
    for sha256 in kept:
        os.utime(outbox.photo(sha256), (long_ago, long_ago))
    return kept


def photos(outbox: Outbox) -> set[str]:
    return {path.name for path in outbox.photos.iterdir()}


def test_what_was_sent_long_ago_is_forgotten_whole(outbox: Outbox) -> None:
    a, b, c = old(outbox, b"a", b"b", b"c")
    outbox.put_infraction("i1", {}, [a, b], at=AT)
    outbox.put_infraction("i2", {}, [b, c], at=AT)
    outbox.put_event("e1", {}, at=AT)
    acknowledge(outbox, "i1", "e1", a, b)
    # Photos that were sent are kept as long as an infraction that they are of.
    assert outbox.forget_sent(AT) == 0
    assert photos(outbox) == {a, b, c}
    assert outbox.forget_sent(AT + HOUR) == 3
    assert photos(outbox) == {b, c}
    assert [item.id for item in outbox.infractions()] == ["i2"]
    acknowledge(outbox, "i2")
    assert outbox.forget_sent(AT + HOUR) == 0
    acknowledge(outbox, c)
    assert outbox.forget_sent(AT + HOUR) == 3
    assert photos(outbox) == set()


@pytest.mark.parametrize("state", ["waiting", "set_aside", "sent lately"])
def test_an_infraction_and_its_photos_are_kept_until_the_last_photo_was_sent(
    outbox: Outbox, state: str
) -> None:
    a, b = old(outbox, b"a", b"b")
    outbox.put_infraction("i1", {}, [a, b], at=AT)
    acknowledge(outbox, "i1", a)
    if state == "set_aside":
        outbox.refuse(of_item(outbox, b), "no", at=AT)
    elif state == "sent lately":
        acknowledge(outbox, b, at=AT + 2 * HOUR)
    assert outbox.forget_sent(AT + HOUR) == 0
    assert photos(outbox) == {a, b}


def test_a_photo_that_no_infraction_took_is_deleted_once_no_draft_can_have_it(
    tmp_path: Path,
) -> None:
    first = Outbox(tmp_path)
    (left,) = old(first, b"left")
    fresh = first.keep_photo(b"fresh")
    # It is old and in an open draft: the clock may have been set, or the draft left open.
    (in_draft,) = old(first, b"in a draft")
    assert first.keep_photo(b"in a draft") == in_draft
    first.forget_sent(AT)
    assert photos(first) == {fresh, in_draft}
    first.close()
    second = Outbox(tmp_path)
    second.forget_sent(AT)
    assert photos(second) == {fresh}
    second.close()
    assert left != fresh


def test_a_photo_that_is_recorded_is_no_longer_in_hand(outbox: Outbox) -> None:
    outbox.put_infraction("i1", {}, [outbox.keep_photo(b"a")], at=AT)
    assert outbox._in_hand == set()


def test_no_photo_is_deleted_while_an_outbox_that_cannot_be_read_may_need_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "outbox.db").write_bytes(b"no database" * 500)
    outbox = Outbox(tmp_path)
    (needed,) = old(outbox, b"a")
    outbox.forget_sent(AT)
    assert photos(outbox) == {needed}
    outbox.close()


@pytest.mark.parametrize("deleted", [0, 1, 2])
def test_a_crash_while_forgetting_leaves_nothing_needed_out(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch, deleted: int
) -> None:
    a, b, c = old(outbox, b"a", b"b", b"c")
    outbox.put_infraction("i1", {}, [a, b], at=AT)
    outbox.put_infraction("i2", {}, [c], at=AT)
    acknowledge(outbox, "i1", a, b, "i2")
    unlink = Path.unlink
    left = deleted

    def crash(path: Path, missing_ok: bool = False) -> None:
        nonlocal left
        if not left:
            raise KeyboardInterrupt
        left -= 1
        unlink(path)

    with monkeypatch.context() as power:
        power.setattr(Path, "unlink", crash)
        with contextlib.suppress(KeyboardInterrupt):
            outbox.forget_sent(AT + HOUR)
    # Whatever may be sent again has its photos.
    outbox.send_all_again(AT - HOUR)
    needed = {item.id for item in outbox.waiting() if item.kind == "photo"}
    assert needed == {c}
    assert c in photos(outbox)
    outbox.forget_sent(AT + HOUR)
    assert photos(outbox) == {c}


# numbers


def numbered(outbox: Outbox, id: str, *, service: str = HERE, site: str = "1085") -> str | None:
    return outbox.put_infraction(
        id, {"site": site}, [], at=AT, service=service, number_of_site=site
    )


def test_an_infraction_takes_the_next_number_of_its_site(outbox: Outbox) -> None:
    assert outbox.next_number(HERE, "1085") is None
    outbox.put_block(HERE, "1085", "b1", "P-", 98, 99)
    outbox.put_block(HERE, "1085", "b2", "P-", 200, 201)
    assert outbox.next_number(HERE, "1085") == "P-98"
    taken = [numbered(outbox, f"i{n}") for n in range(5)]
    assert taken == ["P-98", "P-99", "P-200", "P-201", None]
    assert [(i.body or {}).get("number") for i in reversed(outbox.infractions())] == taken
    assert outbox.numbers_left(HERE, "1085") == 0


def test_the_same_infraction_again_has_the_same_number(outbox: Outbox) -> None:
    assert numbered(outbox, "without") is None
    outbox.put_block(HERE, "1085", "b1", "P-", 1, 5)
    assert [numbered(outbox, "i1") for _ in range(3)] == ["P-1"] * 3
    assert numbered(outbox, "without") is None
    with pytest.raises(AlreadyPut):
        outbox.put_infraction("i1", {"site": "x"}, [], at=AT, number_of_site="1085")
    assert outbox.numbers_left(HERE, "1085") == 4


def test_a_number_that_was_not_recorded_is_not_taken(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox.put_block(HERE, "1085", "b1", "P-", 1, 5)
    outbox._connection.execute(
        "CREATE TRIGGER full BEFORE INSERT ON item BEGIN SELECT RAISE"
        " (ABORT, 'the disk is full'); END"
    )
    with pytest.raises(sqlite3.IntegrityError, match="full"):
        numbered(outbox, "i1")
    outbox._connection.execute("DROP TRIGGER full")
    assert numbered(outbox, "i2") == "P-1"


def test_numbers_are_of_one_service_and_one_site(outbox: Outbox) -> None:
    outbox.put_block(HERE, "1085", "b1", "P-", 1, 2)
    outbox.put_block(THERE, "1085", "b2", "P-", 1, 2)
    assert outbox.numbers_left(HERE, "2000") == 0
    assert numbered(outbox, "i1", site="2000") is None
    assert numbered(outbox, "i2") == "P-1"
    assert numbered(outbox, "i3", service=THERE) == "P-1"


def test_a_block_given_twice_gives_no_number_twice(outbox: Outbox) -> None:
    outbox.put_block(HERE, "1085", "b1", "P-", 1, 3)
    numbered(outbox, "i1")
    outbox.put_block(HERE, "1085", "b1", "P-", 1, 3)
    assert outbox.next_number(HERE, "1085") == "P-2"
    with pytest.raises(AlreadyPut):
        outbox.put_block(HERE, "1085", "b1", "P-", 1, 9)
    # Nor does one that a service gave wrongly.
    outbox.put_block(HERE, "1085", "b2", "P-", 1, 4)
    taken = [numbered(outbox, f"again {n}") for n in range(5)]
    assert taken == ["P-2", "P-3", "P-4", None, None]


def test_a_block_is_asked_for_early_and_under_one_id_until_it_comes(tmp_path: Path) -> None:
    first = Outbox(tmp_path)
    assert first.block_wanted(HERE, "1085", new_id="b1") == "b1"
    first.close()
    outbox = Outbox(tmp_path)
    assert outbox.block_wanted(HERE, "1085", new_id="b2") == "b1"
    outbox.put_block(HERE, "1085", "b1", "P-", 1, LOW_NUMBERS)
    assert outbox.block_wanted(HERE, "1085", new_id="b2") is None
    numbered(outbox, "i1")
    assert outbox.block_wanted(HERE, "1085", new_id="b2") == "b2"
    assert outbox.block_wanted(THERE, "1085", new_id="b3") == "b3"
    outbox.close()


def test_a_forgotten_block_gives_no_number_and_is_not_asked_for_again(outbox: Outbox) -> None:
    outbox.put_block(HERE, "1085", "b1", "P-", 1, 50)
    assert numbered(outbox, "i1") == "P-1"
    assert outbox.block_wanted(HERE, "2000", new_id="b2") == "b2"
    outbox.forget_blocks()
    assert outbox.numbers_left(HERE, "1085") == 0
    assert numbered(outbox, "i2") is None
    assert outbox.block_wanted(HERE, "2000", new_id="b3") == "b3"
    outbox.spoil("i1", "paper_torn", at=AT, event_id="e1")
    assert outbox.spoiled() == {"i1"}


def test_a_spoiled_number_is_told_and_never_taken_again(outbox: Outbox) -> None:
    outbox.put_block(HERE, "1085", "b1", "P-", 1, 3)
    numbered(outbox, "i1")
    outbox.spoil("i1", "the paper tore", at=AT, event_id="e1")
    outbox.spoil("i1", "once more", at=AT, event_id="e2")
    (event,) = [item for item in outbox.waiting() if item.kind == "event"]
    assert (event.id, event.service) == ("e1", HERE)
    assert event.body == {
        "kind": "number_spoiled",
        "site": "1085",
        "at": instant(AT),
        "number": "P-1",
        "infraction": "i1",
        "reason": "the paper tore",
    }
    assert outbox.spoiled() == {"i1"}
    assert numbered(outbox, "i2") == "P-2"
    with pytest.raises(LookupError):
        outbox.spoil("i3", "none", at=AT, event_id="e3")


def test_threads_never_take_the_same_number(outbox: Outbox) -> None:
    outbox.put_block(HERE, "1085", "b1", "P-", 1, 60)
    taken: list[str | None] = []

    def record(thread: int) -> None:
        taken.extend(numbered(outbox, f"{thread}-{n}") for n in range(15))

    threads = [threading.Thread(target=record, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(taken, key=str) == sorted((f"P-{n}" for n in range(1, 61)), key=str)


# handing in


def test_a_photo_that_is_kept_again_is_sent_again_whatever_became_of_it(outbox: Outbox) -> None:
    photo = outbox.keep_photo(b"a picture")
    outbox.put_infraction("i1", {}, [photo], at=AT, service=HERE)
    infraction, item = outbox.waiting()
    outbox.acknowledge(infraction, {}, at=AT, missing=[photo])
    outbox.refuse(item, "no such file", at=AT)
    outbox.photo(photo).unlink()
    assert outbox.keep_photo(b"a picture") == photo
    outbox.put_infraction("i2", {}, [photo], at=AT, service=HERE)
    assert waiting(outbox) == [("photo", photo), ("infraction", "i2")]
    assert outbox.set_aside() == []


def test_what_is_set_aside_can_be_handed_in_whole(outbox: Outbox, tmp_path: Path) -> None:
    of_refused, refused, sent = (outbox.keep_photo(bytes([n]) * 100) for n in range(3))
    outbox.put_infraction("i1", {"note": "é"}, [of_refused], at=AT, service=HERE)
    outbox.put_infraction("i2", {}, [refused, sent], at=AT, service=HERE)
    outbox.put_event("e1", {"kind": "x"}, at=AT, service=HERE)
    acknowledge(outbox, "i2", sent)
    for id, problem in (("i1", "other content"), (refused, "no picture"), ("e1", "unknown")):
        outbox.refuse(of_item(outbox, id), problem, at=AT)
    path = outbox.export_set_aside(tmp_path, at=AT)
    assert path == tmp_path / "patrouille-20261123T151500Z.zip"
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        items = json.loads(archive.read("items.json"))
        assert set(archive.namelist()) == {
            "items.json",
            f"photos/{of_refused}",
            f"photos/{refused}",
        }
        assert archive.read(f"photos/{of_refused}") == outbox.photo(of_refused).read_bytes()
    assert [(i["kind"], i["id"], i["problem"], i["service"], i["body"]) for i in items] == [
        ("infraction", "i1", "other content", HERE, {"note": "é"}),
        ("photo", refused, "no picture", HERE, None),
        ("event", "e1", "unknown", HERE, {"kind": "x"}),
    ]
    assert outbox.refused() == 3


def test_an_outbox_that_cannot_be_read_is_handed_in_with_every_photo(tmp_path: Path) -> None:
    content = b"no database" * 500
    (tmp_path / "outbox.db").write_bytes(content)
    outbox = Outbox(tmp_path)
    (tmp_path / "outbox.damaged-1.db-wal").write_bytes(b"its log")
    sha256 = outbox.keep_photo(b"a")
    with zipfile.ZipFile(outbox.export_set_aside(tmp_path, at=AT)) as archive:
        assert archive.read("damaged/outbox.damaged-1.db") == content
        assert archive.read("damaged/outbox.damaged-1.db-wal") == b"its log"
        assert archive.read(f"photos/{sha256}") == b"a"
    outbox.close()


def test_nothing_is_left_of_what_could_not_be_handed_in(outbox: Outbox, tmp_path: Path) -> None:
    folder = tmp_path / "card"
    folder.mkdir()
    (folder / "patrouille-20261123T151500Z.zip").mkdir()
    with pytest.raises(OSError, match="directory"):
        outbox.export_set_aside(folder, at=AT)
    assert [path.name for path in folder.iterdir()] == ["patrouille-20261123T151500Z.zip"]
