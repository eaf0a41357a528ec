"""What holds for every history, not only for the tables: DOMAIN 2.6, DESIGN "Feed" and "Digest".

The oracle below is DOMAIN 2.6 read again, written without a look at `sync.validity`.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enforcement_api.feed import store as feed
from enforcement_api.permits import intake
from enforcement_api.permits.updates import read_item
from enforcement_api.security import Principal
from sync import codec
from sync.entities import Permit
from sync.plates import Plate
from sync.replica import BeforeRetention
from sync.validity import judge
from tests.builders import DAY, HOUR, NOON, SECOND, permit
from tests.service import Handheld, Service, running

SLOW = settings(
    max_examples=25,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
QUICK = settings(max_examples=300, deadline=None, database=None)

ZONES = ("G1", "G2", "V")
RETENTION = 10 * DAY

# Few instants, so that boundaries often meet.
instants = st.sampled_from([NOON + n * 6 * HOUR for n in range(-60, 61, 4)])


@st.composite
def permits(draw: st.DrawFn) -> list[Permit]:
    """Up to five permits of one plate, in any state."""
    found = []
    for number in range(draw(st.integers(0, 5))):
        status = draw(st.sampled_from(["active", "active", "suspended", "cancelled"]))
        ends = draw(instants) if status == "cancelled" else draw(st.none() | instants)
        found.append(
            permit(
                id=f"p{number}",
                zone=draw(st.sampled_from(["G1", "G2", "G1 G2", "*"])),
                starts_at=draw(instants),
                active_from=draw(instants),
                ends_at=ends,
                status=status,  # type: ignore[arg-type]
            )
        )
    return found


# The oracle: DOMAIN 2.6 in words of its own.


def outcome(p: Permit, zone: str, at: datetime, retention: timedelta) -> int:
    """The rank of the first test that holds: 0 valid … 6 cancelled, 7 does not count."""
    has_ended = p.ends_at is not None and p.ends_at <= at
    if has_ended and p.ends_at is not None and not at < p.ends_at + retention:
        return 7
    if has_ended:
        return 6 if p.status == "cancelled" else 5
    if p.status == "suspended":
        return 4
    if p.starts_at > at:
        return 3
    if not {zone, "*"} & set(p.zones):
        return 2
    return 1 if p.active_from > at else 0


WORDS = "valid pending_activation wrong_zone not_started suspended expired cancelled unknown"


def oracle(found: Sequence[Permit], zone: str, at: datetime, retention: timedelta) -> str:
    return WORDS.split()[min([7, *(outcome(p, zone, at, retention) for p in found)])]


def boundaries(found: Sequence[Permit], retention: timedelta) -> list[datetime]:
    """Every instant named by a permit, and the seconds around it."""
    named = set()
    for p in found:
        named |= {p.starts_at, p.active_from}
        if p.ends_at is not None:
            named |= {p.ends_at, p.ends_at + retention}
    return sorted({i + s * SECOND for i in named for s in (-1, 0, 1)})


@QUICK
@given(found=permits(), zone=st.sampled_from(ZONES), at=instants)
def test_verdict_is_what_the_domain_says(found: list[Permit], zone: str, at: datetime) -> None:
    for instant in [at, *boundaries(found, RETENTION)]:
        judgement = judge(found, zone=zone, at=instant, retention=RETENTION)
        assert judgement.verdict == oracle(found, zone, instant, RETENTION)
        counting = {p.id for p in found if outcome(p, zone, instant, RETENTION) < 7}
        assert {p.id for p in judgement.permits} == counting


@QUICK
@given(found=permits(), zone=st.sampled_from(ZONES), at=instants, shuffle=st.randoms())
def test_verdict_is_a_function_of_permits_zone_and_instant(
    found: list[Permit], zone: str, at: datetime, shuffle: random.Random
) -> None:
    first = judge(found, zone=zone, at=at, retention=RETENTION)
    shuffled = list(found)
    shuffle.shuffle(shuffled)
    assert judge(tuple(shuffled), zone=zone, at=at, retention=RETENTION) == first
    elsewhere = at.astimezone(datetime.now(UTC).astimezone().tzinfo)
    assert judge(found, zone=zone, at=elsewhere, retention=RETENTION) == first


def test_verdict_is_the_same_in_another_process() -> None:
    """Whatever the order of its sets, its time zone and its day."""
    program = "from tests.rules.test_properties import some_verdicts; print(some_verdicts())"
    told = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "TZ": zone, "PYTHONPATH": str(Path(__file__).parents[2])},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed, zone in (("1", "America/Toronto"), ("2", "Asia/Tokyo"))
    }
    assert told == {f"{some_verdicts()}\n"}


def some_verdicts() -> list[str]:
    """Verdicts on permits that a seeded generator makes."""
    dice = random.Random(5)
    told = []
    for _ in range(200):
        found = [
            permit(
                id=f"p{n}",
                zone=dice.choice(ZONES),
                starts_at=NOON + dice.randrange(-9, 9) * DAY,
                active_from=NOON + dice.randrange(-9, 9) * DAY,
                ends_at=dice.choice([None, NOON + dice.randrange(-20, 9) * DAY]),
                status=dice.choice(["active", "suspended"]),  # type: ignore[arg-type]
            )
            for n in range(dice.randrange(5))
        ]
        judgement = judge(found, zone="G1", at=NOON, retention=RETENTION)
        told.append(f"{judgement.verdict} {[p.id for p in judgement.permits]}")
    return told


@QUICK
@given(found=permits(), zone=st.sampled_from(ZONES), pruned_at=instants)
def test_pruning_changes_no_verdict_from_then_on(
    found: list[Permit], zone: str, pruned_at: datetime
) -> None:
    kept = [p for p in found if p.ends_at is None or pruned_at < p.ends_at + RETENTION]
    for at in [pruned_at, *(i for i in boundaries(found, RETENTION) if i >= pruned_at)]:
        before = judge(found, zone=zone, at=at, retention=RETENTION)
        after = judge(kept, zone=zone, at=at, retention=RETENTION)
        assert after == before


@QUICK
@given(found=permits(), zone=st.sampled_from(ZONES), at=instants)
def test_changes_at_is_the_first_instant_at_which_the_verdict_changes(
    found: list[Permit], zone: str, at: datetime
) -> None:
    here = oracle(found, zone, at, RETENTION)
    changed = (
        i
        for i in boundaries(found, RETENTION)
        if i > at and oracle(found, zone, i, RETENTION) != here
    )
    judgement = judge(found, zone=zone, at=at, retention=RETENTION)
    assert judgement.changes_at == next(changed, None)


# Histories: through the real intake, on a real record

MONDAY = date(2026, 6, 1)
days = st.integers(0, 40).map(lambda n: MONDAY + n * DAY)


@st.composite
def contents(draw: st.DrawFn) -> dict[str, Any]:
    """What one version of a permit says; its end is explicit when it is cancelled."""
    first = draw(days)
    status = draw(st.sampled_from(["active", "active", "suspended", "cancelled"]))
    ends = st.integers(0, 60).map(lambda n: f"{MONDAY + n * DAY}T10:00:00Z")
    until = draw(st.none() | st.integers(0, 30))
    return {
        "site": "1085",
        "zones": draw(st.sampled_from([["G1"], ["G2"], ["G1", "G2"], ["*"]])),
        "permit_number": draw(st.sampled_from(["1", "2"])),
        "valid_from": str(first),
        "valid_until": None if until is None else str(first + until * DAY),
        "confirmed_at": draw(st.none() | st.integers(0, 40).map(lambda n: f"{MONDAY + n * DAY}")),
        "ends_at": draw(ends if status == "cancelled" else st.none() | ends),
        "status": status,
        "vehicle": draw(st.none() | st.just({"make": "Acura", "colour": "rouge"})),
    }


PLATES = ["AAA111", "BBB222", "BB8222", "CCC333"]


@st.composite
def histories(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Versions of some permits: one content a version, one plate an id."""
    updates = []
    for number in range(draw(st.integers(1, 5))):
        plate = draw(st.sampled_from(PLATES))
        versions = sorted(draw(st.sets(st.integers(0, 9), min_size=1, max_size=3)))
        for version in versions:
            said = draw(contents()) | {"id": f"p{number}", "version": version, "plate": plate}
            if said["confirmed_at"] is not None:
                said["confirmed_at"] += "T14:00:00Z"
            updates.append(said)
    return updates


NOW = datetime(2026, 8, 1, 12, tzinfo=UTC)
FEEDER = Principal(id="f", role="feeder", name="f", source="f", sites=None)


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """One service for all histories; each gets a site of its own."""
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), at=NOW) as service:
        yield service


def new_site(service: Service) -> str:
    number = next(service._numbers)
    return service.site(f"S{number}", zones=ZONES, retention_days=RETENTION.days, codes=[])


def take(service: Service, site: str, updates: Sequence[dict[str, Any]]) -> None:
    """One request through the real intake."""
    items = [read_item(update | {"site": site}) for update in updates]
    taken = intake.take(service.parts.record, items, by=FEEDER, now=NOW, on_change=lambda *_: None)
    assert [r.problem.text("en") for r in taken.rejected] == []


def permits_digest(service: Service, site: str) -> tuple[int, int]:
    """The digest of the permits alone: the site's own record names the site."""
    with service.parts.record.reading() as tx:
        kept, counted = feed.level(tx, site).digest, feed.recount(tx, site)
        assert kept == counted
        others = [
            (change.kind, change.id, change.record)
            for _, change in feed._entry_changes(tx, site, 0, None)
        ]
    for kind, id, record in others:
        assert record is not None
        kept -= codec.record_hash(kind, id, codec.canonical(record))
    return kept.count, kept.sum


@SLOW
@given(history=histories(), dice=st.randoms())
def test_any_order_and_repetition_ends_in_the_same_digest(
    service: Service, history: list[dict[str, Any]], dice: random.Random
) -> None:
    in_order, shuffled = new_site(service), new_site(service)
    take(service, in_order, history)
    again = history + [dice.choice(history) for _ in range(dice.randrange(6))]
    dice.shuffle(again)
    while again:
        size = dice.randrange(1, len(again) + 1)
        take(service, shuffled, again[:size])
        again = again[size:]
    assert permits_digest(service, in_order) == permits_digest(service, shuffled)


def agree(service: Service, handheld: Handheld, *, since: datetime | None) -> None:
    """The service and a handheld say the same of every plate, everywhere, at every boundary."""
    for plate in (Plate.parse(text, "CA-QC") for text in PLATES):
        with handheld.replica.reading() as view:
            known = view.permits_for(plate)
            for zone in ZONES:
                for at in [NOW, *boundaries(known, RETENTION)[::5]]:
                    if since is not None and at < since:
                        with pytest.raises(BeforeRetention):
                            view.judge(plate, zone=zone, at=at)
                        continue
                    here = view.check(plate, zone=zone, at=at)
                    there = service.check(
                        plate.text, zone=zone, site=handheld.site, at=f"{at:%Y-%m-%dT%H:%M:%SZ}"
                    )
                    assert there["verdict"] == here.judgement.verdict
                    assert [p["id"] for p in there["permits"]] == [
                        p.id for p in here.judgement.permits
                    ]
                    assert [s["plate"] for s in there["suggestions"]] == [
                        p.text for p in here.suggestions
                    ]


@settings(SLOW, max_examples=12)
@given(
    parts=st.lists(histories(), min_size=1, max_size=3),
    pruned=st.none() | st.integers(0, 60).map(lambda n: NOW - 60 * DAY + n * DAY),
)
def test_service_and_handhelds_agree_whatever_happened(
    service: Service, parts: list[list[dict[str, Any]]], pruned: datetime | None
) -> None:
    site = new_site(service)
    followers: list[Handheld] = []
    for number, history in enumerate(parts):
        take(service, site, [u | {"id": f"{u['id']}-{number}"} for u in history])
        service.parts.follower.follow(site)
        by_snapshot, by_pages = service.handheld(site), service.handheld(site)
        by_snapshot.pull()
        by_pages.pull_by_pages()
        followers += [by_snapshot, by_pages]
        if pruned is not None and number == 0:
            service.prune(pruned, site)
        for handheld in followers:
            handheld.pull()
            handheld.assert_level_with(service)
            assert handheld.edges.mismatches == 0
    for handheld in followers[-2:]:
        agree(service, handheld, since=pruned)
    agree(service, followers[0], since=pruned)
    for handheld in followers:
        handheld.close()
        service._handhelds.remove(handheld)
