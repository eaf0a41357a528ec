"""The service's own index: level with what was acknowledged, made anew when it is not."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from enforcement_api.feed.follower import Follower
from enforcement_api.problems import StorageFailed
from sync.messages import EMPTY_DIGEST
from sync.replica import DigestMismatch, Replica
from tests.damage import DAMAGES, file_of
from tests.service import Service, running


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with running(tmp_path) as found:
        found.site()
        yield found


def disk_full(*arguments: object, **named: object) -> None:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    raise error


def test_what_was_committed_is_acknowledged_when_the_index_meets_a_full_disk(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[StorageFailed] = []
    service.parts.storage_failed = told.append
    with monkeypatch.context() as full:
        full.setattr(Replica, "apply", disk_full)
        update = service.update("ABC123")
        assert service.push(update)["applied"] == 1
        assert service.verdict("ABC123") == "valid"  # the record says so
    assert "database or disk is full" in str(told[0])
    service.parts.follower.catch_up("1085")
    assert service.verdict("ABC123") == "valid"


def test_what_was_committed_is_acknowledged_when_the_index_is_busy(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*arguments: object, **named: object) -> None:
        raise sqlite3.OperationalError("database is locked")

    with monkeypatch.context() as locked:
        locked.setattr(Replica, "apply", busy)
        assert service.push(service.update("ABC123"))["applied"] == 1
        assert service.verdict("ABC123") == "valid"
    service.parts.follower.look()
    assert not service.parts.follower.is_behind("1085")
    service.assert_consistent()


def test_what_another_process_recorded_is_told_while_the_index_meets_a_full_disk(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of a site that is looked at after the one whose index fails."""
    service.site("0900")
    service.permit("ABC123")
    service.permit("ABC123", site="0900")
    follower = service.parts.follower
    follower.stop()  # it looks when this test says so
    cursors = {
        site: service.admin.get(f"/v1/sites/{site}/changes").json()["cursor"]
        for site in ("0900", "1085")
    }
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(Follower, "follow", lambda *_: None)  # each has a follower of its own
        service.permit("XYZ999")
        service.permit("XYZ999", site="0900")
    with monkeypatch.context() as full:
        full.setattr(Replica, "apply", disk_full)
        with pytest.raises(StorageFailed):
            follower.look()
        for site, cursor in cursors.items():
            asked = {"after": cursor, "wait": 1}
            page = service.admin.get(f"/v1/sites/{site}/changes", params=asked).json()
            assert [change["record"]["plate"] for change in page["changes"]] == ["XYZ999"]
    follower.look()
    assert not any(map(follower.is_behind, cursors))


def test_a_full_disk_is_told_to_who_looks_for_himself(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.parts.follower.replica("1085").wipe()
    monkeypatch.setattr(Replica, "apply", disk_full)
    with pytest.raises(StorageFailed):
        service.parts.follower.catch_up("1085")


def test_an_index_that_has_nothing_to_learn_is_not_written_to(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.permit("ABC123")
    with monkeypatch.context() as full:
        full.setattr(Replica, "apply", disk_full)
        service.parts.follower.catch_up("1085")
    assert not service.parts.follower.is_behind("1085")
    service.assert_consistent()


def test_an_index_that_is_damaged_is_made_anew(service: Service) -> None:
    service.permit("ABC123")
    folder = service.settings.index_dir / "1085"
    path = folder / (folder / "current").read_text()
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE permit")
    connection.close()
    service.permit("XYZ999")
    assert service.verdict("ABC123") == service.verdict("XYZ999") == "valid"
    service.assert_consistent()


def test_an_index_that_differs_is_made_anew(service: Service) -> None:
    update = service.permit("ABC123")
    folder = service.settings.index_dir / "1085"
    path = folder / (folder / "current").read_text()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE permit SET zones = 'G2'")
    connection.close()
    service.push(update | {"version": 2, "permit_number": "2"})
    assert service.verdict("ABC123") == "valid"
    service.assert_consistent()


def test_an_index_made_anew_that_differs_too_is_an_error(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def differ(*arguments: object, **named: object) -> None:
        raise DigestMismatch(EMPTY_DIGEST, EMPTY_DIGEST)

    service.parts.follower.replica("1085").wipe()
    monkeypatch.setattr(Replica, "apply", differ)
    with pytest.raises(DigestMismatch):
        service.parts.follower.catch_up("1085")


def test_an_index_that_another_process_made_anew_is_read_from_then_on(service: Service) -> None:
    service.permit("ABC123")
    assert service.verdict("ABC123") == "valid"
    other = Follower(service.parts.record, service.settings.index_dir, now=service.clock, seconds=1)
    Replica(service.settings.index_dir / "1085").wipe()
    other.catch_up("1085")
    service.permit("XYZ999")
    assert service.verdict("ABC123") == service.verdict("XYZ999") == "valid"
    service.assert_consistent()


def test_a_check_is_answered_from_the_record_while_the_index_is_made_anew(
    service: Service,
) -> None:
    service.permit("ABC123")
    service.parts.follower.replica("1085").wipe()
    assert service.verdict("ABC123") == "valid"


@pytest.mark.parametrize("damage", sorted(DAMAGES))
def test_an_index_that_is_damaged_while_all_is_quiet_is_made_anew(
    service: Service, damage: str
) -> None:
    """Checks go on meanwhile, from the record; whoever asks for readiness finds it mended."""
    service.permit("ABC123")
    replica = service.parts.follower.replica("1085")
    DAMAGES[damage](replica)
    assert service.verdict("ABC123") == "valid"
    assert service.client(None).get("/health/ready").status_code == 200
    with Replica(replica.folder).reading() as view:
        assert view.recount() == view.state.digest
    service.assert_consistent()


def test_followers_that_make_one_index_anew_at_once_do_not_hurt_each_other(
    service: Service,
) -> None:
    service.permit("ABC123")
    told: list[StorageFailed] = []
    followers = [
        Follower(
            service.parts.record,
            service.settings.index_dir,
            now=service.clock,
            seconds=60,
            storage_failed=told.append,
        )
        for _ in range(2)
    ]
    for follower in followers:
        follower.catch_up("1085")
    for _ in range(10):
        DAMAGES["gone"](followers[0].replica("1085"))
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda follower: follower.catch_up("1085"), followers))
        service.permit()
        for follower in followers:
            follower.follow("1085")
            with follower.replica("1085").reading() as view:
                assert view.recount() == view.state.digest
    assert told == []


def test_what_a_crash_left_of_an_index_goes_at_the_next_start(service: Service) -> None:
    folder = service.settings.index_dir / "1085"
    left = folder / "left.db"
    left.write_bytes(b"")
    service.parts.follower.stop()
    service.parts.follower.start()
    assert not left.exists()
    assert service.check("ABC123")["verdict"] == "unknown"


@pytest.mark.parametrize("damage", sorted(DAMAGES))
def test_a_snapshot_of_a_damaged_index_is_one_of_the_index_made_anew(
    service: Service, damage: str
) -> None:
    service.permit("ABC123")
    DAMAGES[damage](service.parts.follower.replica("1085"))
    handheld = service.handheld()
    handheld.pull()
    handheld.assert_level_with(service)


def test_bad_pages_that_only_a_copy_meets_are_made_anew_too(service: Service) -> None:
    service.push(*(service.update(f"A{n:05}") for n in range(3000)))
    replica = service.parts.follower.replica("1085")
    path = file_of(replica)
    with open(path, "r+b") as file:
        file.seek(path.stat().st_size // 2 // 4096 * 4096)
        file.write(b"\xa5" * 40 * 4096)
    handheld = service.handheld()
    handheld.pull()
    handheld.assert_level_with(service)


def test_no_snapshot_while_the_index_cannot_be_made_is_told(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*arguments: object, **named: object) -> None:
        raise sqlite3.OperationalError("database is locked")

    device = service.device_client()
    DAMAGES["gone"](service.parts.follower.replica("1085"))
    with monkeypatch.context() as locked:
        locked.setattr(Replica, "apply", busy)
        answer = device.get("/v1/sites/1085/snapshot")
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/no-snapshot-now")
    assert answer.headers["Retry-After"] == "5"


def test_an_index_that_was_behind_is_used_again_once_it_is_level(service: Service) -> None:
    follower = service.parts.follower
    service.permit("ABC123")
    follower._behind.add("1085")  # another thread caught up before this one could say so
    follower.look()
    assert not follower.is_behind("1085")
