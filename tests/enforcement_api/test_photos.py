"""Photos: evidence, named by their hash, unaltered, and truly pictures."""

from __future__ import annotations

import io
import random
import struct
import zlib
from datetime import timedelta
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import event, select, update

from enforcement_api import hashed_files
from enforcement_api.database import tables
from enforcement_api.infractions import photos
from enforcement_api.security import Principal
from tests.enforcement_api.infraction_log import (
    InfractionLog,
    new_id,
    picture,
    sha256,
)


def told(content: bytes) -> list[dict[str, object]]:
    return [{"sha256": sha256(content), "bytes": len(content), "taken_at": "2026-11-23T16:59:00Z"}]


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is huge."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        sum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", sum)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    lines = zlib.compress(b"\0" * 100_000)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", lines) + chunk(b"IEND", b"")
    )


def noise() -> Image.Image:
    """A picture that does not compress to next to nothing."""
    return Image.frombytes("RGB", (200, 150), random.Random(7).randbytes(200 * 150 * 3))


@pytest.mark.parametrize(
    ("kind", "media_type"),
    [("JPEG", "image/jpeg"), ("PNG", "image/png"), ("WEBP", "image/webp"), ("MPO", "image/jpeg")],
)
def test_picture_comes_back_byte_for_byte_with_its_type(
    log: InfractionLog, kind: str, media_type: str
) -> None:
    out = io.BytesIO()
    if kind == "MPO":
        noise().save(out, "MPO", save_all=True, append_images=[noise()])
    else:
        noise().save(out, kind)
    content = out.getvalue()
    stored = log.put_photo(content)
    assert stored.status_code == 201
    assert stored.json() == {
        "sha256": sha256(content),
        "media_type": media_type,
        "bytes": len(content),
        "received_at": "2026-11-23T17:00:00Z",
    }
    again = log.put_photo(content, sha256(content).upper())
    assert (again.status_code, again.json()) == (200, stored.json())
    answer = log.request("GET", f"/v1/photos/{sha256(content)}", log.admin)
    assert answer.content == content
    assert answer.headers["content-type"] == media_type
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["etag"] == f'"{sha256(content)}"'
    assert "private" in answer.headers["cache-control"]


def test_picture_that_the_reader_has_is_not_sent_again(log: InfractionLog) -> None:
    content = picture()
    log.put_photo(content)
    path = f"/v1/photos/{sha256(content)}"
    answer = log.request("GET", path, log.admin, headers={"if-none-match": f'"{sha256(content)}"'})
    assert (answer.status_code, answer.content) == (304, b"")


def test_stored_file_is_the_original_and_nothing_else_is_left(log: InfractionLog) -> None:
    content = picture()
    log.put_photo(content)
    name = sha256(content)
    files = [path for path in log.settings.photo_dir.rglob("*") if path.is_file()]
    assert files == [log.settings.photo_dir / name[:2] / name]
    assert files[0].read_bytes() == content


def test_lost_file_is_written_again(log: InfractionLog) -> None:
    content = picture()
    log.put_photo(content)
    path = hashed_files.path_of(log.settings.photo_dir, sha256(content))
    path.unlink()
    assert log.request("GET", f"/v1/photos/{sha256(content)}", log.admin).status_code == 404
    assert log.put_photo(content).status_code == 200
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("content", "slug"),
    [
        (b"", "not-a-picture"),
        (b"GIF89a" + b"\0" * 100, "not-a-picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>", "not-a-picture"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 1000, "not-a-picture"),
        (b"RIFF\xff\xff\xff\xffWEBPVP8 ", "not-a-picture"),
        (b"%PDF-1.7", "not-a-picture"),
        (bomb(30_000, 30_000), "too-many-pixels"),
        (bomb(2_000_000_000, 2_000_000_000), "too-many-pixels"),
        (bomb(0, 0), "not-a-picture"),
        (bomb(2000, 2000), "not-a-picture"),
    ],
    ids=["empty", "gif", "svg", "jpeg", "webp", "pdf", "bomb", "bigger-bomb", "nothing", "short"],
)
def test_what_is_no_picture_is_refused(quiet: InfractionLog, content: bytes, slug: str) -> None:
    answer = quiet.put_photo(content)
    assert answer.status_code == 422
    assert answer.json()["type"] == f"/problems/{slug}"
    assert not list(quiet.settings.photo_dir.rglob("*.*"))


@pytest.mark.parametrize("pixels", [photos.MOST_PIXELS + 1, 100_000_000])
def test_bomb_just_beyond_the_limit_is_refused(quiet: InfractionLog, pixels: int) -> None:
    answer = quiet.put_photo(bomb(pixels // 1000 + 1, 1000))
    assert answer.status_code == 422


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("part", [0.2, 0.5, 0.9])
def test_truncated_picture_is_refused(quiet: InfractionLog, kind: str, part: float) -> None:
    out = io.BytesIO()
    noise().save(out, kind)
    content = out.getvalue()
    answer = quiet.put_photo(content[: int(len(content) * part)])
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/not-a-picture")


def test_picture_under_another_name_is_refused_and_says_its_own(quiet: InfractionLog) -> None:
    answer = quiet.put_photo(picture(), "0" * 64)
    assert answer.json()["type"] == "/problems/photo-hash"
    assert sha256(picture()) in answer.json()["detail"]


@pytest.mark.parametrize(
    "name", ["x", "0" * 63, "0" * 65, "g" * 64, "..%2F..%2Fetc%2Fpasswd", "%00"]
)
def test_name_that_is_no_hash_is_refused(quiet: InfractionLog, name: str) -> None:
    assert quiet.put_photo(picture(), name).status_code in (404, 422)
    assert quiet.request("GET", f"/v1/photos/{name}", quiet.admin).status_code in (404, 422)


def test_photo_beyond_the_limit_is_too_large(quiet: InfractionLog) -> None:
    answer = quiet.put_photo(b"\0" * (quiet.settings.largest_photo + 1))
    assert (answer.status_code, answer.json()["type"]) == (413, "/problems/too-large")
    assert str(quiet.settings.largest_photo) in answer.json()["detail"]


def test_disk_that_cannot_be_written_keeps_nothing_and_says_so(log: InfractionLog) -> None:
    content = picture()
    blocked = log.settings.photo_dir / sha256(content)[:2]
    blocked.write_text("a file where a folder must be")
    answer = log.put_photo(content)
    assert (answer.status_code, answer.json()["type"]) == (507, "/problems/storage-failed")
    blocked.unlink()
    assert log.put_photo(content).status_code == 201


def test_revoked_device_hands_over_its_photos(log: InfractionLog) -> None:
    log.revoke()
    assert log.put_photo(picture()).status_code == 201


def refused(log: InfractionLog, content: bytes, problem: tuple[int, str]) -> bool:
    answer = log.put_photo(content)
    if answer.status_code in (200, 201):
        return False
    assert (answer.status_code, answer.json()["type"]) == problem
    return True


FIRST_THE_INFRACTION = (507, "/problems/infraction-first")
NO_ROOM = (409, "/problems/no-room-for-photo")


def test_photos_that_no_infraction_names_are_few(
    log: InfractionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = picture(shade=10), picture(shade=90)
    monkeypatch.setattr(photos, "MOST_UNNAMED", len(first))
    assert not refused(log, first, FIRST_THE_INFRACTION)
    assert refused(log, second, FIRST_THE_INFRACTION)
    assert log.put(log.infraction(photos=told(second)), new_id()).status_code == 201
    assert not refused(log, second, FIRST_THE_INFRACTION)
    assert not refused(log, second, FIRST_THE_INFRACTION)
    assert refused(log, picture(shade=170), FIRST_THE_INFRACTION)


def test_a_revoked_device_hands_over_so_many_bytes_of_photos_in_all(
    log: InfractionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, first, second = (picture(shade=shade) for shade in (10, 90, 170))
    for content in (before, first, second):
        log.put(log.infraction(photos=told(content)), new_id())
    monkeypatch.setattr(photos, "MOST_AFTER_REVOCATION", len(first) + 1)
    assert not refused(log, before, NO_ROOM)
    log.now += timedelta(hours=1)
    log.revoke()
    assert not refused(log, first, NO_ROOM)
    assert refused(log, second, NO_ROOM)
    assert not refused(log, first, NO_ROOM)


def test_what_no_infraction_would_change_is_told_first(
    log: InfractionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "MOST_UNNAMED", 0)
    assert refused(log, picture(), FIRST_THE_INFRACTION)
    monkeypatch.setattr(photos, "MOST_AFTER_REVOCATION", 0)
    log.revoke()
    assert refused(log, picture(), NO_ROOM)


def test_what_a_device_left_is_summed_without_a_look_at_the_photos_of_others(
    quiet: InfractionLog,
) -> None:
    asked: list[tuple[str, Any]] = []

    def note(_c: Any, _cur: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "sum(" in statement:
            asked.append((statement, parameters))

    record = quiet.service.record
    revoked = Principal(quiet.device_id, "device", "", "", frozenset(), revoked=True)
    event.listen(record.engine, "before_cursor_execute", note)
    try:
        record.read(lambda tx: photos.check_room(tx, "0" * 64, 1, by=revoked))
    finally:
        event.remove(record.engine, "before_cursor_execute", note)
    indexes = ("ix_photos_device", "ix_photos_unnamed")
    for (statement, parameters), index in zip(asked, indexes, strict=True):
        with record.reading() as tx:
            plan = tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
        assert "SCAN" not in str(plan)
        assert f"INDEX {index}" in str(plan)


def test_photos_that_an_infraction_names_are_not_gone_through_for_those_of_none(
    log: InfractionLog,
) -> None:
    early, late, loose = (picture(shade=shade) for shade in (10, 90, 170))
    log.put_photo(early)
    log.record(photos=told(early) + told(late))
    log.put_photo(late)
    log.put_photo(loose)
    with log.service.record.reading() as tx:
        unnamed = select(tables.photos.c.sha256).where(tables.photos.c.is_named.is_(False))
        assert tx.execute(unnamed).scalars().all() == [sha256(loose)]


def test_photo_that_came_at_the_moment_of_its_infraction_takes_no_room_of_those_of_none(
    log: InfractionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither transaction sees the other's row."""
    content = picture()
    monkeypatch.setattr(photos, "MOST_UNNAMED", len(content))
    log.record(photos=told(content))
    log.put_photo(content)
    log.service.record.write(lambda tx: tx.execute(update(tables.photos).values(is_named=False)))
    assert not refused(log, picture(shade=10), FIRST_THE_INFRACTION)


def test_only_devices_put_and_only_readers_get(log: InfractionLog) -> None:
    content = picture()
    path = f"/v1/photos/{sha256(content)}"
    assert log.request("PUT", path, log.admin, content=content).status_code == 403
    assert log.request("GET", path, log.device).status_code == 403
    assert log.request("GET", path, None).status_code == 401


def test_reader_of_a_site_sees_the_photos_of_its_infractions_only(log: InfractionLog) -> None:
    log.put_site("2000")
    content, loose = picture(shade=1), picture(shade=2)
    log.put_photo(content)
    log.put_photo(loose)
    here, elsewhere = log.key("reader", "1085"), log.key("reader", "2000")
    path = f"/v1/photos/{sha256(content)}"
    assert log.request("GET", path, here).status_code == 404
    assert log.put(log.infraction(photos=told(content)), new_id()).status_code == 201
    assert log.request("GET", path, here).status_code == 200
    assert log.request("GET", path, elsewhere).status_code == 403
    assert log.request("GET", f"/v1/photos/{sha256(loose)}", here).status_code == 404
    assert log.request("GET", f"/v1/photos/{sha256(loose)}", log.admin).status_code == 200


def test_unknown_photo_is_not_found(quiet: InfractionLog) -> None:
    answer = quiet.request("GET", f"/v1/photos/{'0' * 64}", quiet.admin)
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/unknown-photo")
