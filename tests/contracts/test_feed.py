"""The change feed and snapshots over HTTP, on both engines (CONTRACT, "Sync"; DESIGN, "Feed")."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from enforcement_api.database.tables import counters, meta, permit_versions
from enforcement_api.feed import store as feed
from sync import codec, exchange
from sync.engine import FAR_BEHIND
from sync.messages import EMPTY_DIGEST, ChangePage
from sync.replica import Replica
from tests.paging import turns
from tests.service import NOW, Service

CHANGES = "/v1/sites/1085/changes"


@pytest.fixture(autouse=True)
def _site(service: Service) -> None:
    service.site()


@pytest.fixture
def device(service: Service) -> httpx.Client:
    return service.device_client()


def pages(
    device: httpx.Client, *, after: str | None = None, limit: int = 10_000
) -> Iterator[dict[str, Any]]:
    """A whole catch-up."""
    for _ in turns():
        query = {"limit": limit} | ({"after": after} if after else {})
        answer = device.get(CHANGES, params=query)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        yield page
        if not page["more"]:
            return
        after = page["cursor"]


def rows(found: list[dict[str, Any]]) -> dict[tuple[str, str], Any]:
    """What a replica would hold after these pages."""
    held: dict[tuple[str, str], Any] = {}
    for page in found:
        for change in page["changes"]:
            held[change["kind"], change["id"]] = change["record"]
    return {key: record for key, record in held.items() if record is not None}


def digest_of(held: dict[tuple[str, str], Any]) -> dict[str, Any]:
    """The digest, as CONTRACT describes it, by other means than the project's code."""
    total = 0
    for (kind, id), record in held.items():
        text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        row = f"{kind}\0{id}\0{text}".encode()
        total += int.from_bytes(hashlib.blake2b(row, digest_size=8).digest(), "big")
    return {"count": len(held), "sum": f"{total % 2**64:016x}"}


def problem(answer: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert found["type"] == f"/problems/{slug}"
    return found


# Pages


@pytest.mark.parametrize("limit", [1, 2, 7, 10_000])
def test_pages_of_any_size_come_to_the_same(
    service: Service, device: httpx.Client, limit: int
) -> None:
    service.push(*(service.update(f"AAA{n}11", permit_number="né 1") for n in range(9)))
    found = list(pages(device, limit=limit))
    assert all(len(page["changes"]) <= limit for page in found)
    assert all(page["digest"] is None for page in found[:-1])
    assert found[-1]["digest"] == digest_of(rows(found))
    assert {page["epoch"] for page in found} == {found[0]["epoch"]}
    whole = [change for page in found for change in page["changes"]]
    assert whole == next(pages(device))["changes"]


def test_records_have_every_field_and_no_floating_point_number(
    service: Service, device: httpx.Client
) -> None:
    area = {"type": "Polygon", "coordinates": [[[-71.9, 45.4], [-71.8, 45.4], [-71.9, 45.5]]]}
    area["coordinates"][0].append(area["coordinates"][0][0])  # type: ignore[index]
    service.site(lots=[{"code": "P1", "zone": "G1", "area": area}])
    service.permit("ABC123", vehicle={"make": "Acura", "model": "NSX", "year": 2021})
    service.admin.put(
        "/v1/sites/1085/hotlist/h1", json={"plate": "ABC123", "reason": "volé", "priority": "high"}
    ).raise_for_status()

    fields = {
        "site": "id name address time_zone jurisdiction instrument activation_hours"
        " retention_days stale_after_hours no_notice pruned_at",
        "zone": "id name note",
        "lot": "id name zone area",
        "code": "id title instruments article amounts photos_required active",
        "permit": "id plate jurisdiction zones permit_number starts_at ends_at active_from"
        " status vehicle",
        "hotlist": "id plate jurisdiction reason priority instructions expires_at",
    }
    held = rows(list(pages(device)))
    assert {kind for kind, _ in held} == set(fields)
    for (kind, id), record in held.items():
        assert set(record) == set(fields[kind].split())
        assert record["id"] == id
        assert not list(floats(record))
    assert held["permit", "permit-1"]["vehicle"] == {"make": "Acura", "colour": None}
    assert isinstance(held["lot", "P1"]["area"], str)


def floats(value: Any) -> Iterator[float]:
    if isinstance(value, float):
        yield value
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from floats(part)


def test_record_appears_once_at_its_latest_change(service: Service, device: httpx.Client) -> None:
    update = service.permit("ABC123")
    first = next(pages(device))
    service.permit("DDD444", id="other")
    service.push(update | {"version": 2, "zones": ["G2"]})
    since = next(pages(device, after=first["cursor"]))
    assert [change["id"] for change in since["changes"]] == ["other", update["id"]]
    whole = next(pages(device))["changes"]
    assert [c["id"] for c in whole if c["kind"] == "permit"] == ["other", update["id"]]


def test_level_replica_gets_no_changes_and_the_same_digest(
    service: Service, device: httpx.Client
) -> None:
    service.permit("ABC123")
    first = next(pages(device))
    again = next(pages(device, after=first["cursor"]))
    assert again["changes"] == []
    assert (again["cursor"], again["digest"]) == (first["cursor"], first["digest"])
    assert again["more"] is False


def test_removed_records_come_as_null(service: Service, device: httpx.Client) -> None:
    service.permit("ABC123", id="old", valid_until="2026-02-01")
    service.site(zones=["G1", "G2", "G3"])
    first = next(pages(device))
    service.site(zones=["G1", "G2"])
    assert service.prune(NOW) == 1
    since = next(pages(device, after=first["cursor"]))
    removed = {(c["kind"], c["id"]) for c in since["changes"] if c["record"] is None}
    assert removed == {("zone", "G3"), ("permit", "old")}
    pruned = {c["id"]: c["record"]["pruned_at"] for c in since["changes"] if c["kind"] == "site"}
    assert pruned == {"1085": "2026-11-23T15:15:00Z"}


def test_feed_of_a_site_tells_nothing_of_another(service: Service, device: httpx.Client) -> None:
    service.site("2000")
    service.permit("ABC123", site="2000")
    assert ("permit", "permit-1") not in rows(list(pages(device)))
    problem(device.get("/v1/sites/2000/changes"), 403, "forbidden-site")
    problem(device.get("/v1/sites/2000/snapshot"), 403, "forbidden-site")


def test_that_a_device_is_still_where_it_was_is_kept_once_in_a_minute(
    service: Service, device: httpx.Client
) -> None:
    def seen_at(cursor: str | None) -> tuple[str, str]:
        cursor = device.get(CHANGES, params={"after": cursor} if cursor else {}).json()["cursor"]
        (known,) = [d for d in service.admin.get("/v1/devices").json()["items"] if d["cursors"]]
        assert known["cursors"][0]["cursor"] == cursor
        return cursor, known["cursors"][0]["at"]

    cursor, at = seen_at(None)
    assert at == codec.instant(service.clock())
    service.clock.advance(seconds=59)
    assert seen_at(cursor) == (cursor, at)
    service.clock.advance(seconds=1)
    assert seen_at(cursor) == (cursor, codec.instant(service.clock()))
    service.clock.advance(seconds=1)
    service.permit("XYZ999")
    moved, at = seen_at(cursor)
    assert moved != cursor
    assert at == codec.instant(service.clock())


def test_unusable_limit_or_wait_is_refused(device: httpx.Client) -> None:
    for query in ("limit=0", "limit=10001", "limit=x", "wait=31", "wait=-1"):
        found = problem(device.get(f"{CHANGES}?{query}"), 422, "invalid")
        assert found["errors"][0]["pointer"] == f"/query/{query.split('=')[0]}"


# Waiting


def test_wait_ends_when_something_changes(service: Service, device: httpx.Client) -> None:
    cursor = next(pages(device))["cursor"]
    with ThreadPoolExecutor(1) as pool:
        asked = time.monotonic()
        waiting = pool.submit(device.get, CHANGES, params={"after": cursor, "wait": 30})
        until(lambda: service.parts.follower._waiting)
        assert not waiting.done()
        service.permit("ABC123")
        page = waiting.result(20).json()
    assert time.monotonic() - asked < 20
    assert [change["id"] for change in page["changes"]] == ["permit-1"]
    assert page["digest"] is not None


def test_all_who_wait_at_once_are_told_what_each_lacks(
    service: Service, device: httpx.Client
) -> None:
    first = next(pages(device))["cursor"]
    service.permit("ABC123", id="early")
    second = next(pages(device))["cursor"]
    with ThreadPoolExecutor(5) as pool:

        def poll(after: str) -> Any:
            return device.get(CHANGES, params={"after": after, "wait": 30}).json()

        # Those who lack the early one have nothing to wait for.
        for told in [pool.submit(poll, first) for _ in range(5)]:
            assert [change["id"] for change in told.result(20)["changes"]] == ["early"]
        waiting = [pool.submit(poll, second) for _ in range(5)]
        until(lambda: len(service.parts.follower._waiting) >= len(waiting))
        service.permit("DEF456", id="late")
        found = [future.result(20) for future in waiting]
    late = next(pages(device, after=second))
    assert found == [late] * len(waiting)
    assert [change["id"] for change in late["changes"]] == ["late"]


def test_wait_ends_without_changes_after_its_seconds(device: httpx.Client) -> None:
    cursor = next(pages(device))["cursor"]
    asked = time.monotonic()
    page = device.get(CHANGES, params={"after": cursor, "wait": 1}).json()
    assert time.monotonic() - asked >= 1
    assert page["changes"] == []
    assert page["cursor"] == cursor


def test_who_is_level_is_told_what_the_record_says_without_a_look_at_it(
    service: Service, device: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.permit()
    *_, last = pages(device)
    (level,) = pages(device, after=last["cursor"])
    looks = 0

    def page(*arguments: Any, **named: Any) -> ChangePage:
        nonlocal looks
        looks += 1
        return found(*arguments, **named)

    found = feed.page
    monkeypatch.setattr(feed, "page", page)
    waited = {"after": last["cursor"], "wait": 1}
    assert device.get(CHANGES, params=waited).json() == level
    assert looks == 0
    assert [one["changes"] for one in pages(device, after=last["cursor"])] == [[]]
    assert looks == 1


def test_wait_ends_when_the_service_does(service: Service, device: httpx.Client) -> None:
    cursor = next(pages(device))["cursor"]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(device.get, CHANGES, params={"after": cursor, "wait": 30})
        until(lambda: service.parts.follower._waiting)
        service.parts.follower.release()
        assert waiting.result(10).json()["changes"] == []


def until(condition: Any, *, within: float = 20) -> None:
    """Return as soon as the condition holds."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it never held"
        time.sleep(0.005)


# Cursors


def cursor_of(plain: str) -> str:
    return base64.urlsafe_b64encode(plain.encode()).decode().rstrip("=")


def test_cursor_of_another_epoch_has_expired_and_says_where_to_go(
    service: Service, device: httpx.Client
) -> None:
    cursor = next(pages(device))["cursor"]
    service.parts.record.write(
        lambda tx: tx.execute(meta.update().where(meta.c.name == "epoch").values(value="another"))
    )
    found = problem(device.get(CHANGES, params={"after": cursor}), 410, "cursor-expired")
    assert found["snapshot"] == "/v1/sites/1085/snapshot"
    assert device.get(found["snapshot"]).status_code == 200


def test_cursor_beyond_the_feed_has_expired(device: httpx.Client) -> None:
    epoch = next(pages(device))["epoch"]
    ahead = cursor_of(f"1 {epoch} {10**30} 1085")
    problem(device.get(CHANGES, params={"after": ahead}), 410, "cursor-expired")


def test_cursor_of_another_site_is_none(service: Service, device: httpx.Client) -> None:
    service.site("2000")
    other = service.admin.get("/v1/sites/2000/changes").json()["cursor"]
    found = problem(device.get(CHANGES, params={"after": other}), 422, "not-a-cursor")
    assert "1085" in found["detail"]


def test_garbage_is_no_cursor(device: httpx.Client) -> None:
    forged = ("1 e -1 1085", "1 e x 1085", "2 e 1 1085", "1 e 1", f"1 e {'9' * 5000} 1085")
    garbage = ("", "x", "é", "\0", "🚗", "AAAA", "=", "====", "a" * 5000, "../..")
    for text in (*garbage, *map(cursor_of, forged), cursor_of("1 e ² 1085")):
        problem(device.get(CHANGES, params={"after": text}), 422, "not-a-cursor")


# Snapshots


def test_snapshot_is_the_file_that_its_manifest_promises(
    service: Service, device: httpx.Client, tmp_path: Path
) -> None:
    service.push(*(service.update(f"AAA{n}11") for n in range(20)))
    manifest = device.get("/v1/sites/1085/snapshot").json()
    answer = device.get(manifest["url"])
    assert answer.headers["content-type"] == "application/gzip"
    assert len(answer.content) == manifest["bytes"]
    assert hashlib.sha256(answer.content).hexdigest() == manifest["sha256"]
    plain = tmp_path / "snapshot.db"
    plain.write_bytes(gzip.decompress(answer.content))
    connection = sqlite3.connect(plain)
    held = connection.execute("SELECT count(*) FROM permit").fetchone()[0]
    connection.close()
    assert held == 20
    page = next(pages(device, after=manifest["cursor"]))
    assert page["changes"] == []
    assert page["digest"] == manifest["digest"]
    assert (manifest["protocol"], manifest["encoding"]) == (1, "gzip")
    assert manifest["server_time"] == manifest["fed_at"] == "2026-11-23T15:15:00Z"


def test_snapshot_is_as_old_as_what_is_in_it(service: Service, device: httpx.Client) -> None:
    """It is handed out again while little has changed: of that it knows nothing."""
    service.push(*(service.update(f"AAA{n:03}") for n in range(100)))
    made = device.get("/v1/sites/1085/snapshot").json()
    service.clock.advance(hours=1)
    service.permit("XYZ999")
    again = device.get("/v1/sites/1085/snapshot").json()
    assert again["sha256"] == made["sha256"]
    assert again["fed_at"] == made["fed_at"] == "2026-11-23T15:15:00Z"
    assert again["server_time"] == "2026-11-23T16:15:00Z"
    assert next(pages(device, after=again["cursor"]))["fed_at"] == "2026-11-23T16:15:00Z"


def test_snapshot_is_resumable_and_cacheable(service: Service, device: httpx.Client) -> None:
    manifest = device.get("/v1/sites/1085/snapshot").json()
    url, whole = manifest["url"], device.get(manifest["url"])
    tag = whole.headers["etag"]
    rest = device.get(url, headers={"Range": "bytes=100-"})
    assert rest.status_code == 206
    assert rest.content == whole.content[100:]
    assert (
        rest.headers["content-range"] == f"bytes 100-{len(whole.content) - 1}/{manifest['bytes']}"
    )
    beyond = device.get(url, headers={"Range": f"bytes={manifest['bytes']}-"})
    assert beyond.status_code == 416
    same = device.get(url, headers={"If-None-Match": tag})
    assert (same.status_code, same.content) == (304, b"")
    other = device.get(url, headers={"If-None-Match": '"other"'})
    assert (other.status_code, other.content) == (200, whole.content)
    assert "immutable" in whole.headers["cache-control"]


def test_snapshot_of_before_can_still_be_fetched_and_caught_up_from(
    service: Service, device: httpx.Client
) -> None:
    before = device.get("/v1/sites/1085/snapshot").json()
    content = device.get(before["url"]).content
    service.push(*(service.update(f"A{n:03}") for n in range(60)))
    after = device.get("/v1/sites/1085/snapshot").json()
    assert after["url"] != before["url"]
    assert device.get(before["url"]).content == content
    since = next(pages(device, after=before["cursor"]))
    assert len(since["changes"]) == 60


def test_snapshot_that_was_the_newest_for_long_can_be_fetched_for_an_hour_more(
    service: Service, device: httpx.Client
) -> None:
    before = device.get("/v1/sites/1085/snapshot").json()
    file = service.settings.snapshot_dir / "1085" / f"{before['sha256']}.gz"
    long_ago = time.time() - 5 * 3600
    os.utime(file, (long_ago, long_ago))
    for n in range(60):
        service.permit(f"AAA{n:03}")
    after = device.get("/v1/sites/1085/snapshot").json()
    assert after["sha256"] != before["sha256"]
    assert device.get(before["url"]).status_code == 200
    os.utime(file, (long_ago, long_ago))  # five hours later
    for n in range(60):
        service.permit(f"BBB{n:03}")
    device.get("/v1/sites/1085/snapshot")
    assert device.get(before["url"]).status_code == 404


def test_every_manifest_tells_the_digest_of_its_file(
    service: Service, device: httpx.Client, tmp_path: Path
) -> None:
    """Also of those made while permits change and the retention job runs."""
    done = threading.Event()

    def change() -> None:
        try:
            for version in range(1, 16):
                service.push(
                    *(service.update(f"A{n:03}", id=f"p{n}", version=version) for n in range(30)),
                    service.update(f"B{version:03}", id=f"b{version}", valid_until="2026-11-01"),
                )
                if version % 5 == 0:
                    service.prune(NOW)
        finally:
            done.set()

    found: dict[str, dict[str, Any]] = {}
    with ThreadPoolExecutor(1) as pool:
        changing = pool.submit(change)
        while not done.is_set():
            manifest = device.get("/v1/sites/1085/snapshot").json()
            found[manifest["sha256"]] = manifest
        changing.result()
    assert len(found) > 1
    for number, manifest in enumerate(found.values()):
        file = tmp_path / f"{number}.gz"
        file.write_bytes(device.get(manifest["url"]).content)
        assert hashlib.sha256(file.read_bytes()).hexdigest() == manifest["sha256"]
        replica = Replica(tmp_path / str(number))
        state = replica.install(file, codec.snapshot_manifest(manifest))
        with replica.reading() as view:
            assert codec.digest_json(view.recount()) == manifest["digest"]
        assert (state.cursor, state.sequence) == (manifest["cursor"], manifest["sequence"])
        replica.close()


def replace_snapshot(service: Service, device: httpx.Client, letter: str) -> None:
    """So much changes that another snapshot is made, and the one before is swept away."""
    for path in (service.settings.snapshot_dir / "1085").iterdir():
        path.unlink()
    service.push(*(service.update(f"{letter}{n:03}") for n in range(60)))
    device.get("/v1/sites/1085/snapshot").raise_for_status()


def test_a_range_is_of_the_very_file_or_the_whole_of_it(
    service: Service, device: httpx.Client
) -> None:
    manifest = device.get("/v1/sites/1085/snapshot").json()
    url, whole = manifest["url"], device.get(manifest["url"])
    for wanted in ("bytes=100-", f"bytes={manifest['bytes']}-"):
        other = device.get(url, headers={"Range": wanted, "If-Range": '"another"'})
        assert (other.status_code, other.content) == (200, whole.content)
    same = {"If-Range": whole.headers["etag"]}
    rest = device.get(url, headers=same | {"Range": "bytes=100-"})
    assert (rest.status_code, rest.content) == (206, whole.content[100:])
    beyond = device.get(url, headers=same | {"Range": f"bytes={manifest['bytes']}-"})
    problem(beyond, 416, "range-not-satisfiable")


def test_a_download_that_was_cut_begins_anew_when_the_snapshot_was_replaced(
    service: Service, device: httpx.Client
) -> None:
    service.push(*(service.update(f"A{n:03}") for n in range(50)))
    handheld = service.handheld()
    manifest = handheld.client.call(exchange.snapshot("1085"))
    part = handheld.replica.folder / "downloads" / f"{manifest.sha256}.gz"
    part.parent.mkdir(parents=True)
    part.write_bytes(service.admin.get(manifest.url).content[:1000])
    replace_snapshot(service, device, "B")
    problem(device.get(manifest.url, headers={"Range": "bytes=1000-"}), 404, "unknown-snapshot")
    handheld.pull()
    handheld.assert_level_with(service)
    assert not part.exists()


def test_a_snapshot_that_is_replaced_before_it_is_fetched_is_asked_for_anew(
    service: Service, device: httpx.Client
) -> None:
    service.push(*(service.update(f"A{n:03}") for n in range(50)))
    handheld = service.handheld()
    letters = iter("B")

    def replaced(request: httpx.Request) -> bool:
        if request.url.path.endswith("/snapshot"):
            for letter in letters:
                replace_snapshot(service, device, letter)
        return False

    handheld.bridge.lose = replaced
    handheld.pull()
    files = [path for _, path in handheld.bridge.requests if "/snapshots/" in path]
    assert len(set(files)) == 2
    handheld.assert_level_with(service)


def test_other_name_is_no_snapshot(device: httpx.Client) -> None:
    for name in ("0" * 64, "x", "..%2f..%2frecord.db", "A" * 64, "current"):
        answer = device.get(f"/v1/sites/1085/snapshots/{name}.gz")
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"


def test_interrupted_download_goes_on_where_it_stopped(service: Service) -> None:
    service.push(*(service.update(f"A{n:03}") for n in range(50)))
    handheld = service.handheld()
    manifest = handheld.client.call(exchange.snapshot("1085"))
    whole = service.admin.get(manifest.url).content
    part = handheld.replica.folder / "downloads" / f"{manifest.sha256}.gz"
    part.parent.mkdir(parents=True)
    part.write_bytes(whole[:1000])
    handheld.pull()
    handheld.assert_level_with(service)
    assert not part.exists()


# Replicas


def test_replica_installs_a_snapshot_after_a_restore_of_the_service(service: Service) -> None:
    service.permit("ABC123")
    handheld = service.handheld()
    handheld.pull()
    service.parts.record.write(
        lambda tx: tx.execute(meta.update().where(meta.c.name == "epoch").values(value="another"))
    )
    service.permit("DDD444")
    state = handheld.pull()
    assert state.epoch == "another"
    handheld.assert_level_with(service)
    assert handheld.verdict("DDD444", at=NOW) == "valid"


def test_damaged_replica_heals_itself(service: Service) -> None:
    service.push(*(service.update(f"A{n:03}") for n in range(10)))
    handheld = service.handheld()
    handheld.pull()
    path = handheld.replica._current()
    assert path is not None
    damaged = sqlite3.connect(path)
    damaged.execute("UPDATE permit SET zones = 'G2' WHERE plate = 'A003'")
    damaged.commit()
    damaged.close()
    service.push(service.update("A003", id="permit-4", version=2))
    handheld.pull()
    assert handheld.edges.mismatches == 1
    handheld.assert_level_with(service)


def test_far_behind_is_a_snapshot(service: Service) -> None:
    """Far behind is more changes than pages are quick for."""
    service.permit("ABC123")
    handheld = service.handheld()
    handheld.pull()
    state = handheld.replica.state()
    assert state is not None
    # as if so much had happened meanwhile: numbers were taken, none is left without a row
    service.parts.record.write(
        lambda tx: tx.execute(
            counters.update().values(sequence=counters.c.sequence + FAR_BEHIND + 1)
        )
    )
    service.permit("DDD444")
    handheld.bridge.requests.clear()
    handheld.pull()
    assert any("/snapshots/" in path for _, path in handheld.bridge.requests)
    handheld.assert_level_with(service)


# Sequence


def test_sequence_has_no_gaps_and_pollers_miss_nothing(service: Service) -> None:
    """Many writers at once, in many sizes; replicas poll meanwhile."""
    writers, requests, most = 4, 6, 12
    pollers = [service.handheld() for _ in range(2)]
    first = service.check("ABC123")["sequence"]
    polls = [0 for _ in pollers]
    done = threading.Event()

    def write(writer: int) -> int:
        client = service.client(service.key("feeder", name=f"writer {writer}"))
        pushed = 0
        for request in range(requests):
            if request == requests // 2:  # nobody is done before everybody polls
                until(lambda: min(polls) > 1, within=60)
            size = 1 + (writer + request * 5) % most
            updates = [
                service.update(f"{writer}{request}{n:02}A", id=f"w{writer}-{request}-{n}")
                for n in range(size)
            ]
            assert service.push(*updates, by=client)["applied"] == size
            pushed += size
        return pushed

    def poll(number: int) -> None:
        handheld = pollers[number]
        while not done.is_set():
            handheld.pull(wait=1)
            polls[number] += 1
        handheld.pull()
        handheld.assert_level_with(service)
        handheld.replica.close()

    with ThreadPoolExecutor(writers + len(pollers)) as pool:
        polling = [pool.submit(poll, number) for number in range(len(pollers))]
        try:
            pushed = sum(pool.map(write, range(writers)))
        finally:
            done.set()
        for future in polling:
            future.result(60)
    assert [handheld.edges.mismatches for handheld in pollers] == [0, 0]

    with service.parts.record.reading() as tx:
        numbers = tx.execute(
            select(permit_versions.c.sequence).order_by(permit_versions.c.sequence)
        ).scalars()
        assert list(numbers) == list(range(first + 1, first + 1 + pushed))
        level = tx.execute(select(counters.c.sequence)).scalar_one()
    assert level == first + pushed
    service.assert_consistent()


def test_changes_that_are_refused_take_no_number(service: Service) -> None:
    before = service.check("ABC123")["sequence"]
    refused = service.feeder.post(
        "/v1/plate-updates",
        params={"atomic": "true"},
        json={"updates": [service.update("AAA111"), service.update("!")]},
    )
    assert refused.status_code == 422
    service.permit("BBB222")
    assert service.check("ABC123")["sequence"] == before + 1


def test_empty_digest_is_zero() -> None:
    assert codec.digest_json(EMPTY_DIGEST) == {"count": 0, "sum": "0" * 16}


def test_a_device_revoked_while_it_waits_learns_nothing_more(service: Service) -> None:
    service.site()
    code = service.device()
    answer = service.client(None).post("/v1/enrolments", json={"code": code["enrolment_code"]})
    device = service.client(answer.json()["token"])
    first = device.get("/v1/sites/1085/changes").json()
    answers: list[httpx.Response] = []
    waiting = threading.Thread(
        target=lambda: answers.append(
            device.get("/v1/sites/1085/changes", params={"after": first["cursor"], "wait": 30})
        )
    )
    waiting.start()
    assert service.admin.delete(f"/v1/devices/{code['id']}").status_code == 204
    service.permit("ABC123")
    waiting.join(timeout=60)
    assert answers[0].status_code == 401
    assert answers[0].json()["type"] == "/problems/device-revoked"


@pytest.mark.parametrize(
    ("wanted", "status"),
    [
        ("bytes=0-", 206),
        ("bytes=-5", 206),
        ("bytes=5-2", 200),
        ("bytes=x", 200),
        ("lines=1-2", 200),
        ("bytes=0-" + "9" * 5000, 200),
        ("bytes=99999999-", 416),
        ("bytes=-0", 416),
    ],
)
def test_a_range_is_given_or_forgotten_or_refused_with_a_problem(
    service: Service, wanted: str, status: int
) -> None:
    service.site()
    manifest = service.admin.get("/v1/sites/1085/snapshot").json()
    answer = service.admin.get(manifest["url"], headers={"Range": wanted})
    assert answer.status_code == status
    if status == 416:
        assert answer.json()["type"] == "/problems/range-not-satisfiable"
        assert str(manifest["bytes"]) in answer.json()["detail"]
    if status == 200:
        assert len(answer.content) == manifest["bytes"]
