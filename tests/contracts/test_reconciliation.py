"""A source's list of all its permits (CONTRACT, "Plate updates"), on both engines."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from enforcement_api.database.engine import Record
from enforcement_api.feed import store as feed
from enforcement_api.infractions.store import recheck_open
from enforcement_api.permits import reconciling
from enforcement_api.permits.reconciling import Reconciled
from enforcement_api.permits.updates import Line
from enforcement_api.security import Principal
from sync.codec import instant, optional_instant
from tests.service import NOW, Service, infraction, ndjson, new_id

NDJSON = {"content-type": "application/x-ndjson"}


@pytest.fixture
def site(service: Service) -> Service:
    service.site(zones=["G1", "G2"])
    return service


def permits(service: Service, numbers: Iterable[int], **facts: Any) -> list[dict[str, Any]]:
    return [service.update(f"AAA{n:03}", id=f"p{n}", **facts) for n in numbers]


def reconcile(
    service: Service, lines: list[Any], *, client: httpx.Client | None = None, **asked: Any
) -> httpx.Response:
    parameters = {"as_of": instant(service.clock()), "count": len(lines)} | asked
    return (client or service.feeder).post(
        "/v1/sites/1085/reconciliation", params=parameters, content=ndjson(*lines), headers=NDJSON
    )


def counts(answer: httpx.Response) -> dict[str, int]:
    assert answer.status_code == 200, answer.text
    names = ("applied", "unchanged", "stale", "cancelled", "held_back")
    return {name: answer.json()[name] for name in names if answer.json()[name]}


def problem(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"]


def verdict(service: Service, number: int, **asked: Any) -> str:
    return str(service.check(f"AAA{number:03}", **asked)["verdict"])


def test_what_the_list_lacks_is_cancelled_and_the_rest_lives(site: Service) -> None:
    all_ = permits(site, range(40))
    site.push(*all_)
    site.clock.advance(hours=1)
    answer = reconcile(site, all_[1:])
    assert counts(answer) == {"unchanged": 39, "cancelled": 1}
    assert answer.json()["epoch"]
    assert answer.json()["sequence"] == {"1085": site.check("AAA000")["sequence"]}
    assert verdict(site, 0) == "cancelled"
    assert verdict(site, 1) == "valid"
    assert verdict(site, 0, at=instant(NOW)) == "valid"


def test_what_is_listed_is_applied_in_any_version_from_the_stored_one_on(site: Service) -> None:
    all_ = permits(site, range(3), version=5)
    site.push(*all_)
    site.clock.advance(hours=1)
    same_version = all_[0] | {"zones": ["G2"]}
    newer = all_[1] | {"version": 6, "status": "suspended"}
    older = all_[2] | {"version": 4, "zones": ["G2"]}
    fresh = site.update("NEW001", id="fresh")
    answer = reconcile(site, [same_version, newer, older, fresh])
    assert counts(answer) == {"applied": 3, "stale": 1}
    assert [verdict(site, n) for n in range(3)] == ["wrong_zone", "suspended", "valid"]
    assert site.check("NEW001")["verdict"] == "valid"


def test_a_permit_that_was_recorded_since_the_list_was_drawn_up_lives(site: Service) -> None:
    old = permits(site, range(30))
    site.push(*old)
    site.clock.advance(hours=1)
    drawn_up = instant(site.clock())
    site.push(*permits(site, [90]))
    site.clock.advance(hours=1)
    assert counts(reconcile(site, old, as_of=drawn_up)) == {"unchanged": 30}
    assert verdict(site, 90) == "valid"


def test_another_sources_permits_are_not_touched(site: Service) -> None:
    site.push(*permits(site, range(30)))
    other = site.client(site.key("feeder", name="another"))
    site.clock.advance(hours=1)
    mine = [site.update("BBB001", id="b1")]
    answer = reconcile(site, mine, client=other)
    assert counts(answer) == {"applied": 1}
    (rejected,) = reconcile(site, permits(site, [3]), client=other, max_cancel=1).json()["rejected"]
    assert rejected["problem"]["type"] == "/problems/not-your-permit"
    assert verdict(site, 3) == "valid"


def test_a_rejected_line_protects_its_id(site: Service) -> None:
    all_ = permits(site, range(30))
    site.push(*all_)
    site.clock.advance(hours=1)
    bad = [all_[0] | {"zones": ["nowhere"]}, all_[1] | {"plate": "?"}, all_[2] | {"site": "9999"}]
    answer = reconcile(site, bad + all_[3:])
    assert counts(answer) == {"unchanged": 27}
    assert [one["id"] for one in answer.json()["rejected"]] == ["p0", "p1", "p2"]
    assert [verdict(site, n) for n in range(3)] == ["valid"] * 3


@pytest.mark.parametrize("line", ["{", "[]", '{"plate": "AAA000"}'])
def test_a_line_without_an_id_that_can_be_read_lets_nothing_go(site: Service, line: str) -> None:
    all_ = permits(site, range(30))
    site.push(*all_)
    site.clock.advance(hours=1)
    answer = reconcile(site, [line, *all_[1:]])
    assert counts(answer) == {"unchanged": 29, "held_back": 1}
    assert verdict(site, 0) == "valid"


@pytest.mark.parametrize("said", [28, 30])
def test_a_list_of_another_length_does_nothing(site: Service, said: int) -> None:
    all_ = permits(site, range(30))
    site.push(*all_)
    site.clock.advance(hours=1)
    answer = reconcile(site, [all_[0] | {"version": 2, "zones": ["G2"]}, *all_[1:29]], count=said)
    assert problem(answer) == (422, "/problems/another-count")
    assert verdict(site, 0) == "valid"


def test_more_than_a_twentieth_goes_only_when_it_was_said(site: Service) -> None:
    all_ = permits(site, range(40))
    site.push(*all_)
    site.clock.advance(hours=1)
    assert counts(reconcile(site, all_[2:])) == {"unchanged": 38, "cancelled": 2}
    answer = reconcile(site, all_[4:])
    assert problem(answer) == (409, "/problems/reconciliation-too-large")
    assert answer.json()["cancelled"] == 2
    assert verdict(site, 3) == "valid"
    assert problem(reconcile(site, all_[4:], max_cancel=1))[0] == 409
    assert counts(reconcile(site, all_[4:], max_cancel=2)) == {"unchanged": 36, "cancelled": 2}


def test_an_empty_list_lets_everything_go_only_when_it_was_said(site: Service) -> None:
    site.push(*permits(site, range(3)))
    site.clock.advance(hours=1)
    assert problem(reconcile(site, []))[0] == 409
    assert counts(reconcile(site, [], max_cancel=3)) == {"cancelled": 3}


def test_the_same_version_reinstates_what_a_list_lacked(site: Service) -> None:
    all_ = permits(site, range(30))
    site.push(*all_)
    site.clock.advance(hours=1)
    reconcile(site, all_[1:])
    assert verdict(site, 0) == "cancelled"
    site.clock.advance(hours=1)
    assert site.push(all_[0])["applied"] == 1
    assert verdict(site, 0) == "valid"
    assert site.push(all_[0])["unchanged"] == 1


def test_a_later_list_reinstates_too(site: Service) -> None:
    all_ = permits(site, range(30))
    site.push(*all_)
    site.clock.advance(hours=1)
    reconcile(site, all_[1:])
    site.clock.advance(hours=1)
    assert counts(reconcile(site, all_)) == {"applied": 1, "unchanged": 29}
    assert verdict(site, 0) == "valid"


def test_a_cancellation_of_the_feeders_own_still_needs_a_greater_version(site: Service) -> None:
    (permit,) = permits(site, [1])
    site.push(permit | {"version": 2, "status": "cancelled"})
    answer = site.push(permit | {"version": 2})
    assert answer["rejected"][0]["problem"]["type"] == "/problems/version-conflict"


def test_what_has_ended_stays_expired(site: Service) -> None:
    ended = permits(site, [0], valid_until="2026-11-01")
    all_ = permits(site, range(1, 30))
    site.push(*ended, *all_)
    site.clock.advance(hours=1)
    assert counts(reconcile(site, all_)) == {"unchanged": 29}
    assert verdict(site, 0) == "expired"


def test_the_plate_before_goes_with_its_permit(site: Service) -> None:
    all_ = permits(site, range(30))
    site.push(*all_)
    confirmed = instant(site.clock())
    changed = all_[0] | {"version": 2, "plate": "NEW001", "confirmed_at": confirmed}
    site.push(changed)
    site.clock.advance(hours=1)
    assert verdict(site, 0) == "valid"
    assert counts(reconcile(site, all_[1:])) == {"unchanged": 29, "cancelled": 1}
    assert (verdict(site, 0), site.check("NEW001")["verdict"]) == ("expired", "cancelled")


def test_a_permit_that_was_to_end_later_ends_now(site: Service) -> None:
    all_ = permits(site, range(30), ends_at="2026-12-24T00:00:00Z")
    site.push(*all_)
    site.clock.advance(hours=1)
    reconcile(site, all_[1:])
    assert verdict(site, 0) == "cancelled"


def test_open_infractions_are_judged_again(site: Service) -> None:
    all_ = permits(site, range(30))
    site.push(*all_)
    site.clock.advance(hours=1)
    device = site.device_client()
    id = new_id()
    body = infraction("AAA000", at=site.clock() + timedelta(minutes=1), verdict="valid")
    device.put(f"/v1/infractions/{id}", json=body).raise_for_status()
    reconcile(site, all_[1:])
    assert site.reader.get(f"/v1/infractions/{id}").json()["recheck"]["verdict"] == "cancelled"


def test_a_list_is_a_contact_of_the_feeder(site: Service) -> None:
    all_ = permits(site, range(3))
    site.push(*all_)
    site.clock.advance(hours=5)
    reconcile(site, all_)
    assert site.check("AAA001")["fed_at"] == instant(site.clock())


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"as_of": "soon"}, 422),
        ({"as_of": "2026-11-23T16:15:00Z"}, 422),
        ({"count": "many"}, 422),
        ({"count": -1}, 422),
        ({"max_cancel": -1}, 422),
    ],
)
def test_what_is_asked_must_make_sense(site: Service, asked: dict[str, Any], status: int) -> None:
    assert reconcile(site, [], **asked).status_code == status


def test_another_kind_of_body_is_refused(site: Service) -> None:
    parameters: dict[str, Any] = {"as_of": instant(NOW), "count": 0}
    path = "/v1/sites/1085/reconciliation"
    assert site.feeder.post(path, params=parameters, json=[]).status_code == 415
    assert reconcile(site, [], client=site.reader).status_code == 403


def test_lists_and_updates_in_any_mixture_leave_what_a_model_says(site: Service) -> None:
    """The model: a source's permits are those of its last list, and what it told since."""
    dice = random.Random(7)
    versions: dict[int, int] = {}
    told: dict[int, dict[str, Any]] = {}
    for _ in range(25):
        site.clock.advance(minutes=10)
        for number in dice.sample(range(30), dice.randrange(6)):
            versions[number] = versions.get(number, 0) + 1
            told[number] = site.update(
                f"AAA{number:03}",
                id=f"p{number}",
                version=versions[number],
                zones=[dice.choice(["G1", "G2"])],
            )
            site.push(told[number])
        if dice.random() < 0.5:
            site.clock.advance(minutes=1)
            for number in dice.sample(sorted(told), min(len(told), dice.randrange(4))):
                del told[number]
            lines = list(told.values())
            dice.shuffle(lines)
            assert reconcile(site, lines, max_cancel=30).status_code == 200
        for number in range(30):
            expected = {None: ("unknown", "cancelled"), "G1": ("valid",), "G2": ("wrong_zone",)}
            zone = told[number]["zones"][0] if number in told else None
            assert verdict(site, number) in expected[zone], number
    site.assert_consistent()


def test_of_very_many_rejected_lines_only_so_many_are_told_one_by_one(
    site: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciling, "AT_ONCE", 4)
    monkeypatch.setattr(reconciling, "MOST_REJECTED", 6)
    answer = reconcile(site, [1] * 9 + permits(site, [1])).json()
    assert [one["index"] for one in answer["rejected"]] == list(range(6))
    assert (answer["more_rejected"], answer["applied"]) == (3, 1)


# While a list is taken


def take_a_list(
    site: Service,
    lines: list[dict[str, Any]],
    *,
    ahead: timedelta = timedelta(0),
    meanwhile: Callable[[int], object],
) -> Reconciled:
    """Take a list that comes line by line; `meanwhile` is told how many came, both times. `ahead`:
    of the service's clock, the one of who drew up the list.
    """
    came = 0

    def given() -> Iterator[Line]:
        nonlocal came
        for line in enumerate(lines):
            yield line
            came += 1
            meanwhile(came)

    parts, now = site.parts, site.clock()
    feeder = Principal(id="list", role="feeder", name="feeder", source="feeder", sites=None)
    taken = reconciling.reconcile(
        parts.record,
        "1085",
        given,
        by=feeder,
        as_of=now + ahead,
        count=len(lines),
        max_cancel=len(lines),
        now=now,
        at_once=reconciling.AT_ONCE,
        on_change=recheck_open,
    )
    parts.follower.follow("1085")
    return taken


def test_nobody_waits_for_the_whole_of_a_list(
    site: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciling, "AT_ONCE", 5)
    site.push(*permits(site, range(40)))
    site.clock.advance(hours=1)
    url = site.parts.record.url.render_as_string(hide_password=False)
    hasty = Record(url, lock_seconds=0.1)

    def lock(came: int) -> None:
        hasty.write(lambda tx: feed.lock(tx, "1085"))

    try:
        changed = permits(site, range(30), version=2, zones=["G2"])
        taken = take_a_list(site, changed, meanwhile=lock)
    finally:
        hasty.close()
    assert (taken.applied, taken.cancelled) == (30, 10)
    assert [verdict(site, number) for number in (29, 30)] == ["wrong_zone", "cancelled"]
    site.assert_consistent()


@pytest.mark.parametrize("ahead", [0, 4])
def test_a_permit_that_is_told_anew_while_a_list_is_taken_lives(site: Service, ahead: int) -> None:
    all_ = permits(site, range(30))
    site.push(*all_)
    site.clock.advance(hours=1)

    def push(came: int) -> None:
        if came == 50:
            site.push(all_[29] | {"version": 2, "zones": ["G2"]})

    taken = take_a_list(site, all_[:28], ahead=timedelta(minutes=ahead), meanwhile=push)
    assert taken.cancelled == 1
    assert [verdict(site, number) for number in (28, 29)] == ["cancelled", "wrong_zone"]


# As known


def test_a_check_is_judged_with_what_was_known_at_a_sequence(site: Service) -> None:
    """As a replica at that cursor judged: compared with real ones along a history."""
    dice = random.Random(3)
    handheld = site.handheld()
    known: dict[int, dict[str, tuple[str, str, str | None, list[str]]]] = {}
    plates = [f"AAA{n:03}" for n in range(8)]
    at = instant(site.clock())
    for version in range(1, 12):
        site.clock.advance(minutes=30)
        for number in dice.sample(range(8), 3):
            confirmed = instant(site.clock() - timedelta(hours=dice.randrange(50)))
            site.push(
                site.update(
                    dice.choice(plates),
                    id=f"p{number}",
                    version=version,
                    zones=[dice.choice(["G1", "G2"])],
                    status=dice.choice(["active", "suspended", "cancelled"]),
                    confirmed_at=dice.choice([None, confirmed]),
                )
            )
        if dice.random() < 0.2:
            site.prune(site.clock() - timedelta(days=30))
        sequence = handheld.pull().sequence
        known[sequence] = {}
        for plate in plates:
            judged = handheld.judge(plate, at=site.clock())
            known[sequence][plate] = (
                instant(site.clock()),
                judged.verdict,
                optional_instant(judged.changes_at),
                [p.id for p in judged.permits],
            )
    for sequence, judgements in known.items():
        for plate, (at, *expected) in judgements.items():
            answer = site.check(plate, at=at, as_known_at=sequence)
            ids = [permit["id"] for permit in answer["permits"]]
            assert [answer["verdict"], answer["changes_at"], ids] == expected
            assert answer["sequence"] == sequence


@pytest.mark.parametrize("sequence", ["-1", "x", "1.5", "999999", "9" * 40, "", "٣"])
def test_a_sequence_that_never_was_is_refused(site: Service, sequence: str) -> None:
    answer = site.reader.get(
        "/v1/sites/1085/check",
        params={"plate": "ABC123", "zone": "G1", "as_known_at": sequence},
    )
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/query/as_known_at"
