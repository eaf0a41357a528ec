"""What a pass decides, told by feeding it: no network, no disk, no clock, no dice but these."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import pytest

from sync import codec, engine
from sync.clock import Stamp
from sync.engine import Ask, Effect, Pass
from sync.exchange import Answer, Refused, Revoked, Unauthorized, Unreachable
from sync.messages import EMPTY_DIGEST, ChangePage, NumberBlock, SnapshotManifest
from sync.outbox import Item
from sync.replica import BadSnapshot, DigestMismatch, StaleSnapshot, State

NOW = datetime(2026, 11, 23, 15, 15, tzinfo=UTC)
STAMP = Stamp(NOW, 1.0)
SHA = "ab" * 32


def answer(status: int, message: Any = None, **headers: str) -> Answer:
    body = b"" if message is None else json.dumps(message).encode()
    return Answer(status, headers, body, STAMP, STAMP)


def problem(status: int, slug: str) -> Answer:
    return answer(status, {"type": f"/problems/{slug}", "title": "T", "detail": "D"})


def page(cursor: str, sequence: int, *, more: bool = False, epoch: str = "e") -> Answer:
    digest = None if more else EMPTY_DIGEST
    found = ChangePage(1, epoch, cursor, sequence, more, (), digest, NOW, NOW)
    return answer(200, codec.change_page_json(found))


def state(cursor: str = "c1", sequence: int = 1, *, epoch: str = "e") -> State:
    return State(epoch, cursor, sequence, EMPTY_DIGEST, NOW, NOW)


def manifest(sha256: str = SHA, *, size: int = 100) -> Answer:
    found = SnapshotManifest(
        1, "e", "c9", 9, f"/file/{sha256}", sha256, size, "gzip", EMPTY_DIGEST, NOW, NOW
    )
    return answer(200, codec.snapshot_manifest_json(found))


class World:
    """Does what a pass wants as the test says, and remembers it."""

    def __init__(self, **does: Any) -> None:
        self.does = {"BootClock": lambda effect: self.boot} | does
        self.boot = 0.0
        self.done: list[Effect] = []

    def __call__(self, effect: Effect) -> Any:
        self.done.append(effect)
        result = self.does.get(type(effect).__name__)
        if callable(result):
            result = result(effect)
        if isinstance(result, Iterator):
            result = next(result)
        if isinstance(result, Exception):
            raise result
        return result

    def names(self) -> list[str]:
        return [type(effect).__name__ for effect in self.done]

    def asked(self) -> list[str]:
        return [
            f"{effect.request.method} {effect.request.path}"
            for effect in self.done
            if isinstance(effect, Ask)
        ]


def run(steps: Pass[Any], world: World, *, most: int = 200) -> Any:
    def perform(effect: Effect) -> Any:
        assert len(world.done) < most, world.names()
        return world(effect)

    return engine.run(steps, perform)


def answers(*found: Answer | Exception) -> Callable[[Ask], Answer | Exception]:
    left = iter(found)
    return lambda effect: next(left)


# Pulling


def test_a_level_replica_asks_once_and_measures_the_clock() -> None:
    world = World(ReadState=state(), Ask=answers(page("c1", 1)), Apply=state())
    assert run(engine.pull("1085"), world) == state()
    assert world.names() == ["ReadState", "Ask", "Observe", "Apply", "NoteEpoch"]


def test_pages_are_applied_only_when_the_last_one_is_here() -> None:
    pages = answers(page("c2", 9, more=True), page("c3", 9, more=True), page("c4", 9))
    world = World(ReadState=state(), Ask=pages, Apply=state("c4", 9))
    run(engine.pull("1085"), world)
    (applied,) = [effect for effect in world.done if isinstance(effect, engine.Apply)]
    assert [page.cursor for page in applied.pages] == ["c2", "c3", "c4"]
    assert applied.after == "c1"


def test_a_catch_up_that_is_cut_applies_nothing() -> None:
    cut = answers(page("c2", 9, more=True), Unreachable("cut"))
    world = World(ReadState=state(), Ask=cut)
    with pytest.raises(Unreachable):
        run(engine.pull("1085"), world)
    assert "Apply" not in world.names()


def test_a_pull_that_waited_measures_the_clock_by_another_request() -> None:
    world = World(
        ReadState=state(), Ask=answers(page("c2", 2), page("c2", 2)), Apply=state("c2", 2)
    )
    run(engine.pull("1085", wait=25), world)
    waits = [effect.request.parameters["wait"] for effect in world.done if isinstance(effect, Ask)]
    assert waits == [25, 0]
    assert world.names().count("Observe") == 1


@pytest.mark.parametrize("have", [0, 1, 99])
def test_a_download_goes_on_from_what_is_here(have: int) -> None:
    world = World(
        ReadState=None,
        PartSize=have,
        Ask=answers(manifest(), answer(206 if have else 200), page("c9", 9)),
        Install=state("c9", 9),
        Apply=state("c9", 9),
    )
    run(engine.pull("1085"), world)
    asked = [effect for effect in world.done if isinstance(effect, Ask)][1]
    assert (asked.into, asked.have, asked.size) == (SHA, have, 100)
    expected = {"range": f"bytes={have}-", "if-range": f'"{SHA}"'} if have else {}
    assert asked.request.headers == expected


@pytest.mark.parametrize(("have", "asked"), [(100, 0), (101, 1)])
def test_a_download_that_is_whole_is_not_asked_for_and_one_too_long_is_begun_anew(
    have: int, asked: int
) -> None:
    world = World(
        ReadState=None,
        PartSize=have,
        Ask=answers(manifest(), *[answer(200)] * asked, page("c9", 9)),
        Install=state("c9", 9),
        Apply=state("c9", 9),
    )
    run(engine.pull("1085"), world)
    assert world.asked().count(f"GET /file/{SHA}") == asked


def test_a_cut_download_is_kept_for_the_next_pass() -> None:
    world = World(ReadState=None, PartSize=0, Ask=answers(manifest(), Unreachable("cut")))
    with pytest.raises(Unreachable):
        run(engine.pull("1085"), world)
    assert "DeleteParts" not in world.names()


def test_a_snapshot_that_was_superseded_meanwhile_is_asked_for_anew() -> None:
    newer = "cd" * 32
    world = World(
        ReadState=None,
        PartSize=0,
        Ask=answers(
            manifest(),
            problem(404, "unknown-snapshot"),
            manifest(newer),
            answer(200),
            page("c9", 9),
        ),
        Install=state("c9", 9),
        Apply=state("c9", 9),
    )
    run(engine.pull("1085"), world)
    (installed,) = [effect for effect in world.done if isinstance(effect, engine.Install)]
    assert installed.manifest.sha256 == newer


def test_a_snapshot_that_is_gone_again_and_again_ends_the_pass() -> None:
    gone = problem(404, "unknown-snapshot")
    world = World(ReadState=None, PartSize=0, Ask=answers(manifest(), gone, manifest(), gone))
    with pytest.raises(Refused):
        run(engine.pull("1085"), world)


def test_a_bad_download_is_deleted() -> None:
    world = World(
        ReadState=None,
        PartSize=100,
        Ask=answers(manifest()),
        Install=BadSnapshot("the SHA-256 is not the one promised"),
    )
    with pytest.raises(BadSnapshot):
        run(engine.pull("1085"), world)
    assert world.names()[-1] == "DeleteParts"


def test_a_replica_that_differs_notes_it_and_installs_without_asking_the_old_one() -> None:
    world = World(
        ReadState=state(),
        PartSize=100,
        Ask=answers(page("c2", 2), manifest(), page("c9", 9)),
        Install=state("c9", 9),
        Apply=iter([DigestMismatch(EMPTY_DIGEST, EMPTY_DIGEST), state("c9", 9)]),
    )
    run(engine.pull("1085"), world)
    assert world.names().count("NoteMismatch") == 1
    assert [e.distrust for e in world.done if isinstance(e, engine.Install)] == [True]


@pytest.mark.parametrize("refused", [StaleSnapshot("older"), BadSnapshot("damaged")])
def test_far_behind_without_a_good_snapshot_goes_by_pages_after_all(refused: Exception) -> None:
    far = engine.FAR_BEHIND + 2
    world = World(
        ReadState=state(),
        PartSize=100,
        Ask=answers(page("c2", far), manifest()),
        Install=refused,
        Apply=state("c2", far),
    )
    run(engine.pull("1085"), world)
    assert [e.after for e in world.done if isinstance(e, engine.Apply)] == ["c1"]


def test_every_pull_says_of_which_epoch_the_index_is_now() -> None:
    world = World(
        ReadState=state(),
        PartSize=100,
        Ask=answers(problem(410, "cursor-expired"), manifest(), page("c9", 9)),
        Install=state("c9", 9),
        Apply=state("c9", 9, epoch="another"),
    )
    run(engine.pull("1085"), world)
    assert [e.epoch for e in world.done if isinstance(e, engine.NoteEpoch)] == ["another"]


# Pushing


def item(kind: str, id: str, number: int = 1) -> Item:
    body = None if kind == "photo" else {"photos": []}
    return Item(number, kind, id, body, NOW, "waiting", 0, None, None, None)  # type: ignore[arg-type]


def receipt(id: str, *missing: str) -> Answer:
    return answer(
        201,
        {
            "id": id, "received_at": "2026-11-23T20:05:00Z", "state": "received",
            "recheck": {"verdict": None, "differs": False}, "photos_missing": list(missing),
            "warnings": [],
        },
    )  # fmt: skip


class Queue(World):
    """An outbox as a list; what is acknowledged or set aside leaves it."""

    def __init__(self, *items: Item, **does: Any) -> None:
        super().__init__(ReadPhoto=b"x", **does)
        self.items = list(items)

    def __call__(self, effect: Effect) -> Any:
        result = super().__call__(effect)
        if isinstance(effect, engine.Waiting):
            return list(self.items)
        if isinstance(effect, engine.Acknowledge | engine.SetAside):
            self.items.remove(effect.item)
        return result


def takes(effect: Ask) -> Answer:
    _, _, kind, id = effect.request.path.split("/")
    if kind == "infractions":
        return receipt(id)
    return answer(201, {"sha256": id} if kind == "photos" else {"id": id})


def test_what_is_small_goes_before_photos() -> None:
    world = Queue(item("photo", "p1"), item("infraction", "i1"), item("event", "e1"), Ask=takes)
    assert run(engine.push(), world) == engine.Pushed(sent=3, set_aside=0, waiting=0)
    assert world.asked() == ["PUT /v1/infractions/i1", "PUT /v1/events/e1", "PUT /v1/photos/p1"]


def test_what_is_recorded_while_photos_go_up_goes_before_the_next_photo() -> None:
    world = Queue(item("photo", "p1"), item("photo", "p2"))

    def takes_and_records(effect: Ask) -> Answer:
        if effect.request.path.endswith("p1"):
            world.items.append(item("infraction", "i9"))
        return takes(effect)

    world.does["Ask"] = takes_and_records
    run(engine.push(), world)
    assert [path.rpartition("/")[2] for path in world.asked()] == ["p1", "i9", "p2"]


def test_the_photos_that_the_service_lacks_are_named_with_the_acknowledgement() -> None:
    world = Queue(item("infraction", "i1"), Ask=answers(receipt("i1", "p1", "p2")))
    run(engine.push(), world)
    (acknowledged,) = [e for e in world.done if isinstance(e, engine.Acknowledge)]
    assert acknowledged.missing == ("p1", "p2")


@pytest.mark.parametrize("arrived", [True, False])
def test_a_photo_whose_answer_was_lost_is_sent_again_only_if_the_service_lacks_it(
    arrived: bool,
) -> None:
    photo, owner = replace(item("photo", "p1"), attempts=1), item("infraction", "i1")
    world = World(
        Waiting=iter([[photo], []]),
        OwnerOf=owner,
        ReadPhoto=b"x",
        Ask=answers(receipt("i1", *([] if arrived else ["p1"])), answer(200, {"sha256": "p1"})),
    )
    run(engine.push(), world)
    assert world.asked() == ["PUT /v1/infractions/i1"] + ["PUT /v1/photos/p1"] * (not arrived)
    acknowledged = [e.item.id for e in world.done if isinstance(e, engine.Acknowledge)]
    assert acknowledged == ["i1"] + ["p1"] * (not arrived)


def test_a_refused_item_keeps_nothing_back_and_is_tried_once() -> None:
    world = Queue(
        item("infraction", "i1"),
        item("infraction", "i2"),
        Ask=answers(problem(409, "infraction-conflict"), receipt("i2")),
    )
    assert run(engine.push(), world) == engine.Pushed(sent=1, set_aside=1, waiting=0)


def test_an_item_without_a_settling_answer_waits_and_keeps_nothing_back() -> None:
    world = Queue(
        item("infraction", "i1"),
        item("infraction", "i2"),
        Ask=answers(problem(507, "storage-failed"), receipt("i2")),
    )
    assert run(engine.push(), world) == engine.Pushed(sent=1, set_aside=0, waiting=1)


def test_a_photo_that_waits_for_its_infraction_keeps_nothing_back() -> None:
    world = Queue(item("photo", "p1"), item("photo", "p2", 2))

    def takes_what_it_knows(effect: Ask) -> Answer:
        if effect.request.path.endswith("p1"):
            world.items.append(item("infraction", "i9", 3))
            return problem(507, "infraction-first")
        return takes(effect)

    world.does["Ask"] = takes_what_it_knows
    assert run(engine.push(), world) == engine.Pushed(sent=2, set_aside=0, waiting=1)
    assert [path.rpartition("/")[2] for path in world.asked()] == ["p1", "i9", "p2"]


def test_a_receipt_of_another_epoch_is_word_of_a_restore() -> None:
    told = receipt("i1")
    message = json.loads(told.body) | {"epoch": "another"}
    world = Queue(item("infraction", "i1"), Ask=answers(answer(201, message)))
    run(engine.push(), world)
    assert engine.NoteEpoch("another") in world.done


@pytest.mark.parametrize("error", [Unreachable("no"), Unauthorized(401, {}), Revoked(401, {})])
def test_what_holds_for_everything_ends_the_pass(error: Exception) -> None:
    world = Queue(item("infraction", "i1"), item("infraction", "i2"), Ask=answers(error))
    with pytest.raises(type(error)):
        run(engine.push(), world)
    assert len(world.items) == 2


# What they owe one another besides


def test_the_service_hears_how_the_device_is_and_gives_numbers_and_a_token() -> None:
    block = {"prefix": "1085-", "first": 1, "last": 50}
    world = World(
        Facts={"unsent": 0},
        BlockWanted="b1",
        IsTokenOld=True,
        Ask=answers(answer(204), answer(200, block), answer(200, {"token": "new"})),
    )
    run(engine.tend("1085"), world)
    assert world.asked() == [
        "PUT /v1/devices/self",
        "PUT /v1/sites/1085/number-blocks/b1",
        "POST /v1/devices/self/token",
    ]
    assert engine.Told({"unsent": 0}) in world.done
    assert engine.KeepBlock("b1", NumberBlock("1085-", 1, 50)) in world.done
    assert engine.KeepToken("new") in world.done


def test_a_service_that_wants_none_of_it_keeps_nothing_else_back() -> None:
    world = World(
        Facts={"unsent": 0},
        BlockWanted="b1",
        IsTokenOld=True,
        Ask=answers(problem(404, "not-found"), problem(403, "forbidden"), answer(200, {})),
    )
    run(engine.tend("1085"), world)
    kept = (engine.Told, engine.KeepBlock, engine.KeepToken)
    assert not [effect for effect in world.done if isinstance(effect, kept)]


# For ever


def rests(steps: Pass[None], world: World, count: int) -> list[float]:
    """The first rests of a pass that never ends."""

    def walk() -> Iterator[float]:
        effect = next(steps)
        while True:
            if isinstance(effect, engine.Rest):
                yield effect.seconds
            try:
                effect = steps.send(world(effect))
            except StopIteration:
                return
            except Exception as error:
                effect = steps.throw(error)

    return list(islice(walk(), count))


def test_attempts_that_fail_come_ever_later_and_not_all_together() -> None:
    def dead() -> World:
        return World(ReadState=state(), Ask=lambda effect: Unreachable("no network"))

    middle = rests(engine.keep_level("1085", dice=lambda: 0.5), dead(), 7)
    assert middle == [1, 2, 4, 8, 16, 30, 30]
    early = rests(engine.keep_level("1085", dice=lambda: 0.0), dead(), 3)
    late = rests(engine.keep_level("1085", dice=lambda: 0.999), dead(), 3)
    assert early == [0.5, 1, 2]
    assert all(0 < b - a <= 1.0 * a * 2 for a, b in zip(early, late, strict=True))


def test_a_dead_network_costs_one_request_an_attempt() -> None:
    world = World(ReadState=state(), Ask=lambda effect: Unreachable("no network"))
    rests(engine.keep_level("1085", dice=lambda: 0.5), world, 5)
    assert len(world.asked()) == 5


def test_once_level_every_pull_waits_at_the_service_for_a_time_of_its_own() -> None:
    thrown = iter([0.0, 0.5, 0.999, 0.2])
    waits: list[int | str] = []

    def level(effect: Ask) -> Answer:
        wait = int(effect.request.parameters["wait"])
        waits.append(wait)
        world.boot += wait
        return page("c1", 1)

    steps = engine.keep_level("1085", dice=lambda: next(thrown))
    world = World(ReadState=state(), Ask=level, Apply=state())
    effect = next(steps)
    while len(waits) < 6:
        effect = steps.send(world(effect))
    assert [wait for wait in waits if wait] == [20, 23, 25][: len([w for w in waits if w])]


def test_a_poll_that_somebody_cuts_short_is_not_repeated_at_once() -> None:
    """As a proxy may, that answers what is held with an old answer that it kept."""
    polls = 0

    def cut_short(effect: Ask) -> Answer | Exception:
        nonlocal polls
        polls += bool(effect.request.parameters["wait"])
        return page("c1", 1) if polls < 10 else Unreachable("enough")

    world = World(ReadState=state(), Ask=cut_short, Apply=state())
    assert rests(engine.keep_level("1085", dice=lambda: 0.5), world, 3) == [1, 1, 1]
    assert polls == 3


def test_a_photo_that_no_link_lets_through_keeps_no_numbers_away() -> None:
    def lets_small_ones_through(effect: Ask) -> Answer | Exception:
        if "photos" in effect.request.path:
            return Unreachable("timed out")
        return answer(200, {"prefix": "1085-", "first": 1, "last": 50})

    world = World(
        Waiting=lambda effect: [item("photo", "p1")],
        ReadPhoto=b"x",
        BlockWanted=lambda effect: "b1",
        Ask=lets_small_ones_through,
    )
    rests(engine.keep_empty("1085", dice=lambda: 0.5), world, 3)
    assert "KeepBlock" in world.names()
    assert world.asked()[0] == "PUT /v1/photos/p1"


def test_a_revoked_device_hears_of_a_restore_all_the_same() -> None:
    refused = problem(401, "device-revoked")
    told = answer(401, json.loads(refused.body) | {"epoch": "another"})
    pulling = World(ReadState=state(), Ask=lambda effect: told)
    run(engine.keep_level("1085", dice=lambda: 0.5), pulling)
    assert pulling.names()[-2:] == ["EndTrust", "NoteEpoch"]
    assert pulling.done[-1] == engine.NoteEpoch("another")


def test_a_revoked_device_pulls_no_more_but_goes_on_sending() -> None:
    revoked = lambda effect: Revoked(401, {})  # noqa: E731
    pulling = World(ReadState=state(), Ask=revoked)
    run(engine.keep_level("1085", dice=lambda: 0.5), pulling)
    assert pulling.names()[-1] == "EndTrust"
    pushing = World(Waiting=lambda effect: [], Facts={"unsent": 0}, Ask=revoked)
    assert len(rests(engine.keep_empty("1085", dice=lambda: 0.5), pushing, 3)) == 3
    assert pushing.names().count("EndTrust") == 3


def test_plates_that_cannot_be_deleted_at_once_are_when_it_is_tried_again() -> None:
    full = iter([OSError("no space left"), None])
    pulling = World(
        ReadState=state(), Ask=lambda effect: Revoked(401, {}), EndTrust=lambda effect: next(full)
    )
    run(engine.keep_level("1085", dice=lambda: 0.5), pulling)
    told = [name for name in pulling.names() if name in ("EndTrust", "Trouble", "Rest")]
    assert told == ["EndTrust", "Trouble", "Rest", "EndTrust"]


def test_a_revoked_device_goes_on_sending_though_its_disk_is_full() -> None:
    refused = problem(401, "device-revoked")
    told = answer(401, json.loads(refused.body) | {"epoch": "another"})
    pushing = World(
        Waiting=lambda effect: [],
        Facts={"unsent": 0},
        Ask=lambda effect: told,
        NoteEpoch=lambda effect: sqlite3.OperationalError("database or disk is full"),
    )
    assert len(rests(engine.keep_empty("1085", dice=lambda: 0.5), pushing, 3)) == 3
    assert pushing.names().count("Trouble") == 3
