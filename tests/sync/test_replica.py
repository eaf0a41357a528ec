"""The index file: filled whole or not at all, installed under a new name, read while it changes."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import sqlite3
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sync import codec
from sync.entities import Entity, Site, Zone
from sync.messages import EMPTY_DIGEST, Change, ChangePage, Digest, SnapshotManifest
from sync.plates import Plate
from sync.replica import (
    BadSnapshot,
    BeforeRetention,
    DamagedIndex,
    DigestMismatch,
    NotFilled,
    Overtaken,
    Replica,
    SnapshotFile,
    StaleSnapshot,
    UnknownZone,
)
from tests.builders import NOON, permit
from tests.damage import file_of, unreadable_name

SITE = Site("1085", "CHUS", "", "America/Toronto", "CA-QC", "avis", 24, 90, None, (), None)
ZONE = Zone("G1", {"fr": "Zone 1", "en": "Zone 1"}, None)
PLATE = Plate("ABC123", "CA-QC")


def digest_of(*changes: Change) -> Digest:
    digest = EMPTY_DIGEST
    for kind, id, record in changes:
        if record is not None:
            digest += codec.record_hash(kind, id, codec.canonical(record))
    return digest


def page(
    *changes: Change,
    cursor: str = "c1",
    sequence: int = 1,
    digest: Digest | None = None,
    more: bool = False,
) -> ChangePage:
    return ChangePage(1, "e", cursor, sequence, more, changes, None if more else digest, NOON, None)


def changes(*entities: Entity) -> list[Change]:
    return [codec.change_of(entity) for entity in entities]


BASE = changes(SITE, ZONE)


def filled(folder: Path, *entities: Entity) -> Replica:
    found = Replica(folder)
    all_changes = [*BASE, *changes(*entities)]
    found.apply([page(*all_changes, digest=digest_of(*all_changes))], after=None)
    return found


def verdict(replica: Replica, at: datetime = NOON) -> str:
    with replica.reading() as view:
        return view.judge(PLATE, zone="G1", at=at).verdict


def manifest_of(file: SnapshotFile) -> SnapshotManifest:
    state = file.state
    return SnapshotManifest(
        1, state.epoch, state.cursor, state.sequence, "/", file.sha256, file.bytes, "gzip",
        state.digest, NOON, None,
    )  # fmt: skip


# Filling


def test_an_empty_replica_says_that_it_is(tmp_path: Path) -> None:
    with pytest.raises(NotFilled), Replica(tmp_path).reading():
        pass
    assert Replica(tmp_path).state() is None


def test_a_catch_up_of_several_pages_is_one_step(tmp_path: Path) -> None:
    replica = Replica(tmp_path)
    (one,) = changes(permit())
    pages = [
        page(*BASE, cursor="c1", more=True),
        page(one, cursor="c2", sequence=3, digest=digest_of(*BASE, one)),
    ]
    state = replica.apply(pages, after=None)
    assert (state.cursor, state.sequence, state.digest.count) == ("c2", 3, 3)
    assert verdict(replica) == "valid"


def test_a_catch_up_is_read_by_the_thread_that_applied_it(tmp_path: Path) -> None:
    replica = filled(tmp_path, permit())
    assert verdict(replica) == "valid"
    (moved,) = changes(permit(zone="G9"))
    replica.apply([page(moved, cursor="c2", digest=digest_of(*BASE, moved))], after="c1")
    assert verdict(replica) == "wrong_zone"
    assert replica.state().cursor == "c2"


def test_a_catch_up_into_a_file_that_is_gone_is_none(tmp_path: Path) -> None:
    replica = filled(tmp_path)
    digest = replica.state().digest
    file_of(replica).unlink()
    with pytest.raises(DamagedIndex):
        replica.apply([page(cursor="c2", digest=digest)], after="c1")


def test_a_permit_of_which_a_newer_service_says_more_counts_as_it_was_sent(
    tmp_path: Path,
) -> None:
    kind, id, record = codec.change_of(permit())
    vehicle = {"make": "Acura", "colour": "rouge", "model": "x"}
    newer = Change(kind, id, record | {"vehicle": vehicle})
    newest = Change(kind, "p2", record | {"id": "p2", "added_later": "x"})
    more = [*BASE, newer, newest]
    Replica(tmp_path).apply([page(*more, digest=digest_of(*more))], after=None)
    assert verdict(Replica(tmp_path)) == "valid"


def test_a_permit_whose_text_is_none_is_refused(tmp_path: Path) -> None:
    replica = filled(tmp_path)
    kind, id, record = codec.change_of(permit())
    for wrong in ({"permit_number": 5}, {"status": None}, {"zones": 5}, {"starts_at": True}):
        change = Change(kind, id, record | wrong)
        with pytest.raises(codec.MalformedMessage):
            replica.apply([page(change, cursor="c2", digest=digest_of(*BASE, change))], after="c1")


def test_a_catch_up_that_ends_in_another_digest_is_not_kept(tmp_path: Path) -> None:
    replica = filled(tmp_path, permit())
    before = replica.state()
    (other,) = changes(permit(zone="G9"))
    with pytest.raises(DigestMismatch):
        replica.apply([page(other, cursor="c2", digest=digest_of(other))], after="c1")
    assert replica.state() == before
    assert verdict(replica) == "valid"


def test_a_catch_up_that_breaks_off_is_not_kept(tmp_path: Path) -> None:
    replica = filled(tmp_path, permit())
    before = replica.state()

    def cut() -> object:
        yield page(*changes(permit(zone="G9")), cursor="c2", more=True)
        raise ConnectionError

    with pytest.raises(ConnectionError):
        replica.apply(cut(), after="c1")
    assert replica.state() == before
    assert verdict(replica) == "valid"


def test_pages_of_another_cursor_are_not_applied(tmp_path: Path) -> None:
    replica = filled(tmp_path)
    with pytest.raises(Overtaken):
        replica.apply([page(cursor="c9", digest=digest_of(*BASE))], after="c0")


def test_replay_is_harmless(tmp_path: Path) -> None:
    replica = filled(tmp_path, permit())
    again = changes(permit())
    digest = replica.state().digest
    replica.apply([page(*again, *again, cursor="c2", digest=digest)], after="c1")
    with replica.reading() as view:
        assert view.recount() == view.state.digest == digest


def test_a_removal_takes_the_row_and_its_hash(tmp_path: Path) -> None:
    replica = filled(tmp_path, permit())
    gone = Change("permit", "p1", None)
    replica.apply([page(gone, gone, cursor="c2", digest=digest_of(*BASE))], after="c1")
    assert verdict(replica) == "unknown"


def test_a_kind_that_is_not_known_yet_counts_in_the_digest(tmp_path: Path) -> None:
    new = Change("charger", "x", {"id": "x", "volts": 240})
    replica = Replica(tmp_path)
    replica.apply([page(*BASE, new, digest=digest_of(*BASE, new))], after=None)
    with replica.reading() as view:
        assert view.recount() == view.state.digest


def test_a_plate_that_moves_to_another_permit_is_found_once(tmp_path: Path) -> None:
    replica = filled(tmp_path, permit())
    moved = changes(permit("XYZ999"))
    replica.apply([page(*moved, cursor="c2", digest=digest_of(*BASE, *moved))], after="c1")
    assert verdict(replica) == "unknown"


# Reading


def test_what_is_read_holds_still_while_others_write(tmp_path: Path) -> None:
    replica = filled(tmp_path, permit())
    gone = Change("permit", "p1", None)
    with replica.reading() as view:
        writer = threading.Thread(
            target=replica.apply,
            args=([page(gone, cursor="c2", digest=digest_of(*BASE))],),
            kwargs={"after": "c1"},
        )
        writer.start()
        writer.join(timeout=30)
        assert view.judge(PLATE, zone="G1", at=NOON).verdict == "valid"
    assert verdict(replica) == "unknown"


def test_an_instant_before_the_last_retention_run_is_not_judged(tmp_path: Path) -> None:
    replica = Replica(tmp_path)
    pruned = changes(replace(SITE, pruned_at=NOON), ZONE)
    replica.apply([page(*pruned, digest=digest_of(*pruned))], after=None)
    assert verdict(replica, NOON) == "unknown"
    with pytest.raises(BeforeRetention):
        verdict(replica, NOON - timedelta(seconds=1))


def test_a_zone_that_the_site_lacks_is_an_error_and_no_verdict(tmp_path: Path) -> None:
    with pytest.raises(UnknownZone), filled(tmp_path).reading() as view:
        view.judge(PLATE, zone="nowhere", at=NOON)


def test_the_search_for_look_alikes_scans_nothing(tmp_path: Path) -> None:
    replica = filled(tmp_path, permit())
    path = tmp_path / (tmp_path / "current").read_text()
    connection = sqlite3.connect(path)
    plans = [
        connection.execute(f"EXPLAIN QUERY PLAN {query}").fetchall()
        for query in (
            "SELECT * FROM permit WHERE fold = ''",
            "SELECT * FROM permit WHERE fold = '' AND plate = '' AND jurisdiction = ''",
            "SELECT * FROM permit WHERE id = ''",
            "SELECT * FROM entry WHERE kind = 'notice' AND plate = ''",
        )
    ]
    connection.close()
    assert all("SEARCH" in step[3] for plan in plans for step in plan)
    with replica.reading() as view:
        check = view.check(Plate("A8C1Z3", "CA-QC"), zone="G1", at=NOON)
    assert check.suggestions == (PLATE,)


# Snapshots


def test_an_installed_snapshot_is_the_same_index(tmp_path: Path) -> None:
    source = filled(tmp_path / "a", permit())
    file = source.export(tmp_path / "out")
    assert file.path.name == f"{file.sha256}.gz"
    assert hashlib.sha256(file.path.read_bytes()).hexdigest() == file.sha256
    target = Replica(tmp_path / "b")
    assert target.install(file.path, manifest_of(file)) == source.state()
    assert verdict(target) == "valid"
    with target.reading() as view:
        assert view.recount() == file.state.digest


def test_a_snapshot_is_installed_in_a_folder_named_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = filled(tmp_path / "a", permit())
    file = source.export(tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    assert Replica(Path("var")).install(file.path, manifest_of(file)) == source.state()


def test_the_old_index_answers_until_the_new_one_does(tmp_path: Path) -> None:
    newer = filled(tmp_path / "a", permit())
    file = newer.export(tmp_path / "out")
    target = filled(tmp_path / "b", permit(zone="G9"))
    with target.reading() as view:
        installer = threading.Thread(target=target.install, args=(file.path, manifest_of(file)))
        installer.start()
        installer.join(timeout=30)
        assert view.judge(PLATE, zone="G1", at=NOON).verdict == "wrong_zone"
    assert verdict(target) == "valid"
    assert len(list((tmp_path / "b").glob("*.db"))) == 1


@pytest.mark.parametrize(
    "damage", ["flipped", "cut", "longer", "another", "no index", "name", "plain"]
)
def test_a_snapshot_that_is_not_what_was_promised_changes_nothing(
    tmp_path: Path, damage: str
) -> None:
    file = filled(tmp_path / "a", permit()).export(tmp_path / "out")
    manifest = manifest_of(file)
    content = file.path.read_bytes()
    if damage == "flipped":
        content = content[:50] + bytes([content[50] ^ 1]) + content[51:]
    elif damage == "cut":
        content = content[:-10]
    elif damage == "longer":
        content += b"\0"
    elif damage == "another":
        manifest = replace(manifest, cursor="c2")
    elif damage == "no index":
        content = gzip.compress(b"not a database" * 500)
    elif damage == "name":
        content = gzip.compress(unreadable_name(gzip.decompress(content)))
    elif damage == "plain":
        content = b"not gzipped either"
    if damage in ("no index", "name", "plain"):
        sha256 = hashlib.sha256(content).hexdigest()
        manifest = replace(manifest, sha256=sha256, bytes=len(content))
    file.path.write_bytes(content)
    target = filled(tmp_path / "b")
    before = target.state()
    with pytest.raises(BadSnapshot):
        target.install(file.path, manifest)
    assert target.state() == before
    assert len(list((tmp_path / "b").glob("*.db"))) == 1


def test_a_torn_database_inside_a_good_file_is_found(tmp_path: Path) -> None:
    many = [permit(f"A{n:04}", id=f"p{n}") for n in range(3000)]
    file = filled(tmp_path / "a", *many).export(tmp_path / "out")
    plain = bytearray(gzip.decompress(file.path.read_bytes()))
    plain[len(plain) // 2 : len(plain) // 2 + 4096] = bytes(4096)
    content = gzip.compress(bytes(plain))
    file.path.write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    manifest = replace(manifest_of(file), sha256=sha256, bytes=len(content))
    with pytest.raises(BadSnapshot):
        Replica(tmp_path / "b").install(file.path, manifest)


def test_a_snapshot_that_would_fill_the_disk_is_refused(tmp_path: Path) -> None:
    file = filled(tmp_path / "a", permit()).export(tmp_path / "out")
    bomb = tmp_path / "bomb.db"
    bomb.write_bytes(gzip.decompress(file.path.read_bytes()))
    with contextlib.closing(sqlite3.connect(bomb)) as connection:
        connection.execute("CREATE TABLE much AS SELECT zeroblob(20000000)")
        connection.commit()
    content = gzip.compress(bomb.read_bytes())
    file.path.write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    manifest = replace(manifest_of(file), sha256=sha256, bytes=len(content))
    target = filled(tmp_path / "b")
    before = target.state()
    with pytest.raises(BadSnapshot, match="larger than any index"):
        target.install(file.path, manifest)
    assert target.state() == before
    assert len(list((tmp_path / "b").glob("*.db"))) == 1


def test_a_snapshot_larger_than_any_index_is_refused_however_well_it_was_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = filled(tmp_path / "a", permit()).export(tmp_path / "out")
    size = len(gzip.decompress(file.path.read_bytes()))
    monkeypatch.setattr("sync.replica._LARGEST", size - 1)
    with pytest.raises(BadSnapshot, match="larger than any index"):
        Replica(tmp_path / "b").install(file.path, manifest_of(file))
    monkeypatch.setattr("sync.replica._LARGEST", size)
    Replica(tmp_path / "b").install(file.path, manifest_of(file))


def test_an_older_snapshot_of_the_same_epoch_does_not_replace_a_newer_index(
    tmp_path: Path,
) -> None:
    target = filled(tmp_path / "a", permit())
    file = target.export(tmp_path / "out")
    digest = target.state().digest
    target.apply([page(cursor="c2", sequence=2, digest=digest)], after="c1")
    with pytest.raises(StaleSnapshot):
        target.install(file.path, manifest_of(file))
    assert target.install(file.path, manifest_of(file), distrust=True).cursor == "c1"


def test_an_index_just_installed_is_read_while_it_is_written(tmp_path: Path) -> None:
    file = filled(tmp_path / "a", permit()).export(tmp_path / "snapshots")
    target = Replica(tmp_path / "b")
    target.install(file.path, manifest_of(file))
    (path,) = target.folder.glob("*.db")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE state SET value = 'c2' WHERE name = 'cursor'")
        assert verdict(target) == "valid"


def test_an_index_that_is_replaced_again_and_again_always_answers(tmp_path: Path) -> None:
    file = filled(tmp_path / "a", permit()).export(tmp_path / "snapshots")
    target = Replica(tmp_path / "b")
    target.install(file.path, manifest_of(file))
    done = threading.Event()

    def install() -> None:
        for _ in range(30):
            target.install(file.path, manifest_of(file))
        done.set()

    installing = threading.Thread(target=install)
    installing.start()
    while not done.is_set():
        assert verdict(target) == "valid"
    installing.join(timeout=60)


def test_a_wiped_replica_is_empty_and_leaves_no_file(tmp_path: Path) -> None:
    replica = filled(tmp_path, permit())
    assert verdict(replica) == "valid"
    replica.wipe()
    assert replica.state() is None
    assert list(tmp_path.glob("*.db*")) == []


def test_files_that_a_crash_left_are_swept(tmp_path: Path) -> None:
    replica = filled(tmp_path, permit())
    (tmp_path / "left-by-a-crash.db").write_bytes(b"x")
    (tmp_path / "left-by-a-crash.db-wal").write_bytes(b"x")
    replica.sweep()
    assert verdict(replica) == "valid"
    assert len(list(tmp_path.glob("*.db"))) == 1


def test_instants_keep_their_seconds_through_the_file(tmp_path: Path) -> None:
    far = permit(
        starts_at=datetime(1970, 1, 1, tzinfo=UTC) - timedelta(hours=14),
        ends_at=datetime(9990, 12, 31, 23, 59, 59, tzinfo=UTC),
    )
    with filled(tmp_path, far).reading() as view:
        assert view.permits_for(PLATE) == [far]
