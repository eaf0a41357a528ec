from __future__ import annotations

import json
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from handheld_app.device import DeviceFile
from handheld_app.handheld import Handheld

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "handheld" / "device.json"
    DeviceFile(path, new_install_id="i1").change(token="secret")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_folder_is_for_its_owner_only(handheld: Handheld) -> None:
    assert stat.S_IMODE(handheld.folder.stat().st_mode) == 0o700


def test_what_was_remembered_is_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "device.json"
    DeviceFile(path, new_install_id="i1").change(token="t", sites=("1085",), site="1085")
    device = DeviceFile(path, new_install_id="i2").device
    assert (device.install_id, device.token, device.sites) == ("i1", "t", ("1085",))
    assert device.enrolled


def test_the_token_is_in_no_message(tmp_path: Path) -> None:
    file = DeviceFile(tmp_path / "device.json", new_install_id="i1")
    assert "secret" not in repr(file.change(token="secret"))


def test_a_damaged_file_means_enrolling_again(tmp_path: Path) -> None:
    path = tmp_path / "device.json"
    for text in ("", "{", "[]", '{"sites": 3}', "null"):
        path.write_text(text)
        assert not DeviceFile(path, new_install_id="i1").device.enrolled


def test_a_later_versions_fields_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "device.json"
    path.write_text('{"install_id": "i1", "token": "t", "shift": "s1"}')
    assert DeviceFile(path, new_install_id="i2").device.token == "t"


def test_a_later_versions_fields_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "device.json"
    path.write_text('{"install_id": "i1", "token": "t", "shift": {"of": "marie"}}')
    DeviceFile(path, new_install_id="i2").change(palette="night")
    DeviceFile(path, new_install_id="i3").change(text_scale=130)
    written = json.loads(path.read_text())
    assert written["shift"] == {"of": "marie"}
    assert (written["palette"], written["text_scale"]) == ("night", 130)
    assert "others" not in written


def test_the_offset_of_the_clock_is_known_after_a_restart(tmp_path: Path) -> None:
    noon = datetime(2026, 11, 23, 12, tzinfo=UTC)
    before = Handheld(tmp_path, now=lambda: noon, boot=lambda: 0.0)
    stamp = before.clock.stamp()
    before.clock.observe(noon + timedelta(hours=1), sent=stamp, received=stamp)
    before.close()
    after = Handheld(tmp_path, now=lambda: noon, boot=lambda: 0.0)
    assert after.clock.now() == noon + timedelta(hours=1, milliseconds=500)
    after.close()


def test_the_install_id_is_on_disk_before_anything_is_sent(tmp_path: Path) -> None:
    path = tmp_path / "device.json"
    DeviceFile(path, new_install_id="i1")
    assert DeviceFile(path, new_install_id="i2").device.install_id == "i1"


def test_what_could_not_be_written_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "device.json"
    file = DeviceFile(path, new_install_id="i1")
    file.change(badge="4217")
    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="full"):
            file.change(badge="99")
    assert file.device.badge == "4217"
    assert DeviceFile(path, new_install_id="i2").device.badge == "4217"
    assert [left.name for left in tmp_path.iterdir()] == ["device.json"]


def full(descriptor: int) -> None:
    raise OSError("the disk is full")


def test_a_change_reaches_the_disk_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = DeviceFile(tmp_path / "device.json", new_install_id="i1")
    synced: list[str] = []

    def fsync(descriptor: int) -> None:
        mode = os.fstat(descriptor).st_mode
        named = (tmp_path / "device.json").exists() and "b2" in (
            tmp_path / "device.json"
        ).read_text()
        synced.append("folder" if stat.S_ISDIR(mode) and named else "content")

    monkeypatch.setattr(os, "fsync", fsync)
    file.change(badge="b2")
    assert synced == ["content", "folder"]


def test_a_full_disk_does_not_stop_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noon = datetime(2026, 11, 23, 12, tzinfo=UTC)
    handheld = Handheld(tmp_path, now=lambda: noon, boot=lambda: 0.0)
    monkeypatch.setattr(os, "fsync", full)
    stamp = handheld.clock.stamp()
    handheld.clock.observe(noon + timedelta(hours=1), sent=stamp, received=stamp)
    assert handheld.clock.now() == noon + timedelta(hours=1, milliseconds=500)
    handheld.close()


# the token


def test_a_new_token_is_on_disk_beside_the_old_one_before_it_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "device.json"
    file = DeviceFile(path, new_install_id="i1")
    file.change(token="old", token_at="2026-10-01T00:00:00Z")
    assert file.is_token_old(NOON)
    file.keep_next_token("new")
    device = DeviceFile(path, new_install_id="i2").device
    assert (device.token, device.secret) == ("old", "new")
    assert not file.is_token_old(NOON)


def test_a_token_that_worked_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    file = DeviceFile(tmp_path / "device.json", new_install_id="i1")
    file.change(token="old")
    file.keep_next_token("new")
    file.token_worked("old", at=NOON)
    assert file.device.token == "old"
    file.token_worked("new", at=NOON)
    device = DeviceFile(tmp_path / "device.json", new_install_id="i2").device
    assert (device.token, device.next_token) == ("new", "")
    assert not file.is_token_old(NOON + timedelta(days=29))
    assert file.is_token_old(NOON + timedelta(days=30))


def test_a_restored_service_that_knows_the_old_token_alone_locks_nobody_out(
    tmp_path: Path,
) -> None:
    file = DeviceFile(tmp_path / "device.json", new_install_id="i1")
    file.change(token="old")
    file.keep_next_token("new")
    assert file.token_refused("new")
    assert file.device.secret == "old"
    assert not file.token_refused("old")
    assert file.device.secret == "old"


def test_no_token_is_in_a_message(tmp_path: Path) -> None:
    file = DeviceFile(tmp_path / "device.json", new_install_id="i1")
    file.keep_next_token("secret")
    assert "secret" not in repr(file.device)
