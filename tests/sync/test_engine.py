"""Push and pull against the real service: what gets through, and what happens when it does not."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from enforcement_api.database.tables import meta
from sync import engine
from sync.exchange import Unauthorized, Unreachable
from sync.replica import BadSnapshot, DigestMismatch
from tests.damage import DAMAGES
from tests.service import NOW, Handheld, Service, infraction, new_id, picture, running


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with running(tmp_path) as found:
        found.site()
        yield found


@pytest.fixture
def handheld(service: Service) -> Handheld:
    return service.handheld()


def asked(handheld: Handheld, word: str) -> int:
    return sum(word in path for _, path in handheld.bridge.requests)


def spoil(handheld: Handheld) -> None:
    """Change a row behind the replica's back, as a bad disk would."""
    path = handheld.replica.folder / (handheld.replica.folder / "current").read_text()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE permit SET zones = 'G2'")
    connection.close()


# Pulling


def test_a_new_handheld_installs_the_snapshot(service: Service, handheld: Handheld) -> None:
    service.permit("ABC123")
    handheld.pull()
    assert asked(handheld, "/snapshots/") == 1
    assert handheld.verdict("ABC123", at=NOW) == "valid"
    handheld.assert_level_with(service)


def test_a_level_handheld_asks_for_changes_alone(service: Service, handheld: Handheld) -> None:
    handheld.pull()
    service.permit("ABC123")
    handheld.pull()
    assert asked(handheld, "/snapshots/") == 1
    handheld.assert_level_with(service)


def test_a_handheld_that_was_waiting_hears_of_a_change(
    service: Service, handheld: Handheld
) -> None:
    handheld.pull()
    service.permit("ABC123")
    state = handheld.pull(wait=30)
    assert state.sequence == service.check("ABC123")["sequence"]


def test_a_handheld_far_behind_installs_a_snapshot(
    service: Service, handheld: Handheld, monkeypatch: pytest.MonkeyPatch
) -> None:
    handheld.pull()
    monkeypatch.setattr(engine, "FAR_BEHIND", 3)
    for number in range(5):
        service.permit(f"ABC{number}00")
    handheld.pull()
    assert asked(handheld, "/snapshots/") == 2
    handheld.assert_level_with(service)


def test_a_cut_catch_up_is_never_half_applied(service: Service, handheld: Handheld) -> None:
    handheld.pull()
    before = handheld.replica.state()
    for number in range(6):
        service.permit(f"ABC{number}00")
    answers = iter([False, True])
    handheld.bridge.lose = lambda request: next(answers, False)
    with pytest.raises(Unreachable):
        handheld.pull(limit=2)
    assert handheld.replica.state() == before
    assert handheld.verdict("ABC000", at=NOW) == "unknown"
    handheld.pull()
    handheld.assert_level_with(service)


def test_a_replica_that_differs_says_so_and_fetches_itself_anew(
    service: Service, handheld: Handheld
) -> None:
    update = service.permit("ABC123")
    handheld.pull()
    spoil(handheld)
    assert handheld.verdict("ABC123", at=NOW) == "wrong_zone"
    service.push(update | {"version": 2, "zones": ["G1", "G2"]})
    handheld.pull()
    assert handheld.edges.mismatches == 1
    assert handheld.verdict("ABC123", at=NOW) == "valid"
    handheld.assert_level_with(service)


@pytest.mark.parametrize("damage", sorted(DAMAGES))
def test_a_damaged_index_is_fetched_anew(service: Service, handheld: Handheld, damage: str) -> None:
    service.permit("ABC123")
    handheld.pull()
    DAMAGES[damage](handheld.replica)
    handheld.replica.close()  # the damage is found when the file is opened next
    handheld.pull()
    handheld.assert_level_with(service)
    assert handheld.verdict("ABC123", at=NOW) == "valid"


def test_a_handheld_ahead_of_a_record_that_was_rolled_back_takes_what_there_is(
    service: Service, handheld: Handheld
) -> None:
    service.permit("ABC123")
    handheld.pull()
    path = handheld.replica.folder / (handheld.replica.folder / "current").read_text()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE state SET value = '1000000' WHERE name = 'sequence'")
    expired = httpx.Response(410, json={"type": "/problems/cursor-expired", "title": "Expired"})
    answers = iter([expired])
    answering(
        handheld,
        lambda request: next(answers, None) if request.url.path.endswith("/changes") else None,
    )
    handheld.pull()
    handheld.assert_level_with(service)


def test_a_service_that_contradicts_itself_is_not_asked_for_ever(
    service: Service, handheld: Handheld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def contradict(*arguments: object, **named: object) -> None:
        raise DigestMismatch(handheld.replica.state().digest, handheld.replica.state().digest)

    service.permit("ABC123")
    handheld.pull()
    monkeypatch.setattr(handheld.replica, "apply", contradict)
    with pytest.raises(DigestMismatch):
        handheld.pull()
    assert asked(handheld, "/snapshots/") == 2


def test_a_damaged_snapshot_is_not_installed_and_the_old_index_still_answers(
    service: Service, handheld: Handheld
) -> None:
    service.permit("ABC123")
    handheld.pull()
    another = meta.update().where(meta.c.name == "epoch").values(value="another")
    service.parts.record.write(lambda tx: tx.execute(another))

    def damage(effect: engine.Effect) -> object:
        if isinstance(effect, engine.Install):
            (part,) = (handheld.replica.folder / "downloads").iterdir()
            content = bytearray(part.read_bytes())
            content[len(content) // 2] ^= 1
            part.write_bytes(content)
        return handheld.edges.perform(effect)

    service.permit("XYZ999")
    with pytest.raises(BadSnapshot):
        engine.run(engine.pull("1085"), damage)
    assert handheld.verdict("ABC123", at=NOW) == "valid"
    assert list((handheld.replica.folder / "downloads").iterdir()) == []
    handheld.pull()
    assert handheld.verdict("XYZ999", at=NOW) == "valid"


def test_a_replica_by_pages_equals_one_by_snapshot(service: Service) -> None:
    for number in range(30):
        service.permit(f"ABC{number:03}")
    by_pages, by_snapshot = service.handheld(), service.handheld()
    by_pages.pull_by_pages()
    by_snapshot.pull()
    assert asked(by_pages, "/snapshot") == 0
    assert by_pages.replica.state().digest == by_snapshot.replica.state().digest
    by_pages.assert_level_with(service)


def test_the_clock_is_measured_at_a_pull(service: Service, handheld: Handheld) -> None:
    handheld.pull()
    assert handheld.clock.read().uncertainty is not None


@pytest.mark.parametrize("is_new", [True, False])
def test_the_clock_is_measured_at_a_pull_that_waited_but_not_by_the_wait(
    service: Service, handheld: Handheld, is_new: bool
) -> None:
    handheld.pull()
    if is_new:
        service.permit("ABC123")
    waits: list[int | str] = []
    measured: list[int | str] = []

    def perform(effect: engine.Effect) -> object:
        if isinstance(effect, engine.Ask):
            waits.append(effect.request.parameters["wait"])
            request = replace(effect.request, parameters=effect.request.parameters | {"wait": 0})
            effect = replace(effect, request=request)
        elif isinstance(effect, engine.Observe):
            measured.append(waits[-1])
        return handheld.edges.perform(effect)

    engine.run(engine.pull("1085", wait=25), perform)
    assert waits == [25, 0]
    assert measured == [0]
    handheld.assert_level_with(service)


def test_what_was_waited_for_is_kept_when_the_clock_cannot_be_measured(
    service: Service, handheld: Handheld
) -> None:
    handheld.pull()
    service.permit("ABC123")
    answers = iter([False, True])
    handheld.bridge.lose = lambda request: next(answers, False)
    handheld.pull(wait=25)
    handheld.assert_level_with(service)


# Pushing


def test_an_infraction_and_its_photo_arrive_once_whatever_is_lost(
    service: Service, handheld: Handheld
) -> None:
    handheld.pull()
    photo = picture()
    sha256 = handheld.outbox.keep_photo(photo)
    id = new_id()
    body = infraction(
        photos=[{"sha256": sha256, "bytes": len(photo), "taken_at": "2026-11-23T15:15:00Z"}]
    )
    handheld.outbox.put_infraction(id, body, [sha256], at=NOW)
    losing = iter([True, False, True, False, False])
    handheld.bridge.lose = lambda request: next(losing, False)
    for _ in range(2):
        with pytest.raises(Unreachable):
            handheld.push()
    assert handheld.outbox.unsent() > 0
    handheld.push()
    assert handheld.outbox.unsent() == 0
    items = service.reader.get("/v1/infractions").json()["items"]
    assert [item["id"] for item in items] == [id]
    assert service.reader.get(f"/v1/photos/{sha256}").content == photo


def test_a_refused_item_is_set_aside_and_the_next_one_arrives(
    service: Service, handheld: Handheld
) -> None:
    handheld.pull()
    first, second = new_id(), new_id()
    handheld.outbox.put_infraction(first, {"site": "1085"}, [], at=NOW)
    handheld.outbox.put_infraction(second, infraction(), [], at=NOW)
    pushed = handheld.push()
    assert (pushed.sent, pushed.set_aside, pushed.waiting) == (1, 1, 0)
    (item,) = handheld.outbox.set_aside()
    assert item.id == first
    assert item.problem
    items = service.reader.get("/v1/infractions").json()["items"]
    assert [found["id"] for found in items] == [second]


def test_a_token_that_is_not_known_sets_nothing_aside(handheld: Handheld) -> None:
    handheld.pull()
    handheld.outbox.put_infraction(new_id(), infraction(), [], at=NOW)
    handheld.client._token = lambda: "nothing"
    with pytest.raises(Unauthorized):
        handheld.push()
    assert len(handheld.outbox.waiting()) == 1


def with_photo(handheld: Handheld, colour: str) -> tuple[str, str]:
    """Put an infraction and its photo into the outbox; their names."""
    photo, id = picture(colour), new_id()
    sha256 = handheld.outbox.keep_photo(photo)
    body = infraction(
        photos=[{"sha256": sha256, "bytes": len(photo), "taken_at": "2026-11-23T15:15:00Z"}]
    )
    handheld.outbox.put_infraction(id, body, [sha256], at=NOW)
    return id, sha256


def answering(
    handheld: Handheld, answer: Callable[[httpx.Request], httpx.Response | None]
) -> list[str]:
    """Put somebody between the handheld and the service; the paths that were asked for."""
    paths: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.path)
        return answer(request) or handheld.bridge.handle_request(request)

    handheld.client._http._transport = httpx.MockTransport(handle)
    return paths


def test_a_photo_whose_file_is_gone_is_set_aside_and_the_next_ones_arrive(
    service: Service, handheld: Handheld
) -> None:
    handheld.pull()
    _, gone = with_photo(handheld, "navy")
    _, kept = with_photo(handheld, "red")
    handheld.outbox.photo(gone).unlink()
    pushed = handheld.push()
    assert (pushed.sent, pushed.set_aside, pushed.waiting) == (3, 1, 0)
    (item,) = handheld.outbox.set_aside()
    assert item.id == gone
    assert item.problem
    assert service.reader.get(f"/v1/photos/{kept}").status_code == httpx.codes.OK


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(500, text="a defect"),
        httpx.Response(413, text="<html>too large for this proxy</html>"),
        httpx.Response(200, json={"of": "another shape"}),
    ],
)
def test_an_item_that_gets_no_settling_answer_waits_and_keeps_nothing_back(
    service: Service, handheld: Handheld, answer: httpx.Response
) -> None:
    handheld.pull()
    bad, _ = with_photo(handheld, "navy")
    with_photo(handheld, "red")
    answering(handheld, lambda request: answer if bad in request.url.path else None)
    pushed = handheld.push()
    assert (pushed.sent, pushed.set_aside, pushed.waiting) == (2, 0, 1)
    item, photo = handheld.outbox.waiting()
    assert (item.id, item.attempts) == (bad, 1)
    assert (photo.kind, photo.attempts) == ("photo", 0)
    assert item.problem
    assert service.reader.get("/v1/infractions").json()["items"][0]["id"] != bad
    answering(handheld, lambda request: None)
    assert handheld.push().waiting == 0


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(302, headers={"Location": "https://portal.example"}),
        httpx.Response(200, text="<html>Sign in to this network</html>"),
        httpx.Response(429, json={"type": "/problems/too-many", "title": "T"}),
        httpx.Response(503, headers={"Retry-After": "60"}),
    ],
)
def test_an_answer_that_holds_for_everything_ends_the_pass_and_loses_nothing(
    handheld: Handheld, answer: httpx.Response
) -> None:
    with_photo(handheld, "navy")
    paths = answering(handheld, lambda request: answer)
    with pytest.raises(Unreachable):
        handheld.push()
    assert len(paths) == 1
    assert len(handheld.outbox.waiting()) == 2


def test_a_photo_that_the_service_lacks_is_sent_again(service: Service, handheld: Handheld) -> None:
    handheld.pull()
    photo = picture()
    sha256 = handheld.outbox.keep_photo(photo)
    body = infraction(
        photos=[{"sha256": sha256, "bytes": len(photo), "taken_at": "2026-11-23T15:15:00Z"}]
    )
    handheld.outbox.put_infraction(new_id(), body, [sha256], at=NOW)
    photo_item = handheld.outbox.waiting()[1]
    handheld.outbox.acknowledge(photo_item, {}, at=NOW)
    handheld.push()
    handheld.push()
    assert handheld.outbox.unsent() == 0
    assert service.reader.get(f"/v1/photos/{sha256}").status_code == httpx.codes.OK
