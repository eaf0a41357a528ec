"""The outbox: what was put survives, leaves once acknowledged, and blocks nothing."""

from __future__ import annotations

import errno
import hashlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sync.outbox import RESERVE, AlreadyPut, NoRoom, Outbox

AT = datetime(2026, 11, 23, 15, 15, tzinfo=UTC)


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


def test_counting_what_is_not_sent_does_not_read_what_was(outbox: Outbox) -> None:
    for condition in ("state != 'sent'", "state != 'sent' AND state = 'set_aside'"):
        plan = outbox._reader.execute(
            f"EXPLAIN QUERY PLAN SELECT count(*) FROM item WHERE {condition}"
        ).fetchall()
        assert "item_unsent" in str(plan)
