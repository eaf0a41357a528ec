"""A restore: what arrived after the backup comes back from the handheld that sent it, once."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

import pytest

from enforcement_api.database.engine import Record
from enforcement_api.infractions import photos
from enforcement_api.operations.backup import backup
from enforcement_api.operations.core import number_floor
from enforcement_api.operations.restore import Restored, restore
from handheld_app.briefing import Briefings
from handheld_app.device import TOKEN_LIFE, DeviceFile
from handheld_app.edges import DeviceEdges
from handheld_app.notebook import Notebook
from sync import engine
from sync.client import ServiceClient
from sync.codec import instant
from tests.service import ADDRESS, Service, infraction, new_id, picture, running

BLOCKS = "/v1/sites/1085/number-blocks"


def restored(service: Service, file: Path, *, is_lost: bool = False) -> Restored:
    """Stop the service, restore, and start it again. `is_lost`: the record's file is gone."""

    def work() -> Restored:
        with contextlib.closing(Record(service.settings.database_url)) as record:
            if is_lost:
                Path(record.where).unlink()
            return restore(record, service.settings, file, at=service.clock())

    return service.restart(work)


def test_what_arrived_after_the_backup_comes_back_from_the_handheld(tmp_path: Path) -> None:
    file = tmp_path / "backup"
    with running(tmp_path) as service:
        service.site()
        service.permit("ABC123")
        handheld = service.handheld()
        knew = handheld.pull()
        assert service.verdict("ABC123") == "valid"
        backup(service.parts.record, service.settings, file, at=service.clock())

        # After the backup: a permit, an infraction with a photo, numbers.
        service.permit("XYZ789")
        photo, id = picture(), new_id()
        sha256 = hashlib.sha256(photo).hexdigest()
        named = {"sha256": sha256, "bytes": len(photo), "taken_at": "2026-11-23T15:15:00Z"}
        numbers = service.client(handheld.token).put(f"{BLOCKS}/{new_id()}").json()
        body = infraction(
            number=f"{numbers['prefix']}{numbers['first']}",
            verdict="valid",
            epoch=knew.epoch,
            cursor=knew.cursor,
            photos=[named],
        )
        assert handheld.outbox.keep_photo(photo) == sha256
        handheld.outbox.put_infraction(id, body, [sha256], at=service.clock(), service=ADDRESS)
        handheld.push()
        handheld.pull()
        assert service.reader.get(f"/v1/infractions/{id}").status_code == 200
        assert handheld.verdict("XYZ789", at=service.clock()) == "valid"

        epoch = restored(service, file).epoch
        assert service.reader.get(f"/v1/infractions/{id}").status_code == 404
        handheld.pull()
        handheld.push()
        handheld.pull()
        assert handheld.verdict("XYZ789", at=service.clock()) == "unknown"
        handheld.assert_level_with(service)
        with handheld.replica.reading() as view:
            assert view.state.epoch == epoch
        found = service.reader.get(f"/v1/infractions/{id}").json()
        assert [photo["sha256"] for photo in found["photos"]] == [sha256]
        assert found["verdicts"]["cursor"] == "valid"  # it knew what the backup has too
        assert service.reader.get(f"/v1/photos/{sha256}").content == photo
        assert service.reader.get("/v1/infractions").json()["items"][1:] == []
        assert [warning for warning in found["warnings"] if "number" in warning] == []
        theirs = service.reader.get(BLOCKS, params={"device": handheld.id}).json()["items"]
        assert sum(block["issued"] for block in theirs) == 1
        block = service.client(handheld.token).put(f"{BLOCKS}/{new_id()}").json()
        assert block["first"] >= number_floor(service.clock())


class SwitchedOff(BaseException):
    """The handheld, in the middle of what it does."""


def test_photos_that_a_restored_record_knows_no_infraction_of_wait_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They come before the handheld has heard of the restore, and are more than there is room for
    without their infraction.
    """
    file = tmp_path / "backup"
    with running(tmp_path) as service:
        service.site()
        assert service.reader  # its key is in the backup
        handheld = service.handheld()
        handheld.pull()
        backup(service.parts.record, service.settings, file, at=service.clock())
        pictures = [picture(colour) for colour in ("navy", "red", "green")]
        sha256s = [handheld.outbox.keep_photo(photo) for photo in pictures]
        named = [
            {"sha256": sha256, "bytes": len(photo), "taken_at": "2026-11-23T15:15:00Z"}
            for sha256, photo in zip(sha256s, pictures, strict=True)
        ]
        id, at = new_id(), service.clock()
        body = infraction(photos=named)
        handheld.outbox.put_infraction(id, body, sha256s, at=at, service=ADDRESS)

        def until_the_first_photo(effect: engine.Effect) -> object:
            if isinstance(effect, engine.ReadPhoto):
                raise SwitchedOff
            return handheld.edges.perform(effect)

        with pytest.raises(SwitchedOff):
            engine.run(engine.push(), until_the_first_photo)
        assert service.reader.get(f"/v1/infractions/{id}").status_code == 200

        restored(service, file)
        monkeypatch.setattr(photos, "MOST_UNNAMED", len(pictures[0]))
        pushed = handheld.push()
        assert (pushed.sent, pushed.set_aside, pushed.waiting) == (1, 0, 2)
        handheld.push()
        assert handheld.outbox.unsent() == 0
        assert service.reader.get(f"/v1/infractions/{id}").json()["complete"] is True


def test_handheld_whose_token_was_renewed_since_the_backup_gets_back_in_by_itself(
    tmp_path: Path,
) -> None:
    """The record is lost; the restored one knows the token before."""
    file = tmp_path / "backup"
    with running(tmp_path) as service:
        service.site()
        assert service.reader  # its key is in the backup
        handheld = service.handheld()
        device_file = DeviceFile(tmp_path / "device.json", new_install_id="i1")
        device_file.change(
            server=ADDRESS, device=handheld.id, sites=("1085",), site="1085",
            token=handheld.token, token_at=instant(service.clock()),
        )  # fmt: skip

        def secret() -> str:
            return device_file.device.secret

        notebook = Notebook(tmp_path)
        with ServiceClient(ADDRESS, token=secret, transport=handheld.bridge) as client:
            edges = DeviceEdges(
                client,
                handheld.replica,
                handheld.outbox,
                handheld.clock,
                device_file,
                Briefings(notebook),
            )

            def sync() -> None:
                edges.run(engine.pull("1085"))
                edges.run(engine.push())
                edges.run(engine.tend("1085"))

            sync()
            backup(service.parts.record, service.settings, file, at=service.clock())
            service.clock.advance(seconds=TOKEN_LIFE.total_seconds())
            sync()
            sync()
            assert device_file.device.token != handheld.token
            id, at = new_id(), service.clock()
            handheld.outbox.put_infraction(id, infraction(), [], at=at, service=ADDRESS)
            sync()

            restored(service, file, is_lost=True)
            assert service.reader.get(f"/v1/infractions/{id}").status_code == 404
            sync()
            sync()
            assert device_file.device.token == handheld.token
            assert service.reader.get(f"/v1/infractions/{id}").status_code == 200
            service.clock.advance(seconds=TOKEN_LIFE.total_seconds())
            sync()
            sync()
            assert device_file.device.token != handheld.token
        notebook.close()
