"""Verdicts worked out by hand elsewhere: the rule, the service and two handhelds agree with each.

The cases lie beside the repository, in ../shared/data/verdict-cases.json; without them these tests
fail. One handheld came by the snapshot, the other by pages.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from sync import codec
from sync.codec import instant, parse_instant, parse_optional_instant
from sync.entities import Permit
from sync.plates import Plate
from sync.replica import BeforeRetention
from sync.validity import judge
from tests.service import Handheld, Service, ndjson, running

CASES = Path(__file__).resolve().parents[3] / "shared" / "data" / "verdict-cases.json"


@cache
def scenarios() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(CASES.read_bytes())["scenarios"]
    return found


@dataclass(frozen=True)
class Case:
    site: str
    plate: Plate
    zone: str
    at: datetime
    verdict: str
    changes_at: datetime | None

    @classmethod
    def read(cls, site: str, line: dict[str, Any]) -> Case:
        return cls(
            site,
            Plate.parse(line["plate"], line["jurisdiction"]),
            line["zone"],
            parse_instant(line["at"]),
            line["verdict"],
            parse_optional_instant(line["changes_at"]),
        )

    @property
    def expected(self) -> tuple[str, datetime | None]:
        return self.verdict, self.changes_at


def cases(site: str | None = None) -> list[Case]:
    return [
        Case.read(scenario["site"]["code"], line)
        for scenario in scenarios()
        for line in scenario["checks"]
        if site in (None, scenario["site"]["code"])
    ]


SITES = ("S11", "S14", "S17")


class World:
    """The service with every scenario, what it feeds, and two handhelds a site."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.permits: dict[tuple[str, Plate], list[Permit]] = {}
        self.retention: dict[str, timedelta] = {}
        self.by_snapshot: dict[str, Handheld] = {}
        self.by_pages: dict[str, Handheld] = {}
        for scenario in scenarios():
            site = dict(scenario["site"])
            code = site.pop("code")
            self.retention[code] = timedelta(days=site["retention_days"])
            service.site(code, **site)
            answer = service.feeder.post(
                "/v1/plate-updates",
                content=ndjson(*scenario["updates"]),
                headers={"Content-Type": "application/x-ndjson"},
            )
            assert answer.json()["rejected"] == []
            self._read_permits(code)
            self.by_snapshot[code] = service.handheld(code)
            self.by_pages[code] = service.handheld(code)
            self.by_snapshot[code].pull()
            self.by_pages[code].pull_by_pages()
            self.pull(code)

    def pull(self, site: str) -> None:
        for handheld in self.handhelds(site):
            handheld.pull()
            handheld.assert_level_with(self.service)

    def handhelds(self, site: str) -> tuple[Handheld, Handheld]:
        return self.by_snapshot[site], self.by_pages[site]

    def _read_permits(self, site: str) -> None:
        for change in self.service.admin.get(f"/v1/sites/{site}/changes").json()["changes"]:
            if change["kind"] == "permit":
                permit = codec.permit(change["record"])
                self.permits.setdefault((site, permit.plate), []).append(permit)

    # three ways

    def rule(self, case: Case) -> tuple[str, datetime | None]:
        found = judge(
            self.permits.get((case.site, case.plate), []),
            zone=case.zone,
            at=case.at,
            retention=self.retention[case.site],
        )
        return found.verdict, found.changes_at

    def over_http(self, case: Case, at: str | None = None) -> tuple[str, datetime | None]:
        answer = self.service.check(
            case.plate.text,
            site=case.site,
            zone=case.zone,
            jurisdiction=case.plate.jurisdiction,
            **({"at": instant(case.at)} if at is None else {}),
        )
        return answer["verdict"], parse_optional_instant(answer["changes_at"])

    def on_handhelds(self, case: Case) -> set[tuple[str, datetime | None]]:
        found = set()
        for handheld in self.handhelds(case.site):
            with handheld.replica.reading() as view:
                judgement = view.judge(case.plate, zone=case.zone, at=case.at)
            found.add((judgement.verdict, judgement.changes_at))
        return found

    def assert_three_agree(self, case: Case) -> None:
        assert self.rule(case) == case.expected, case
        assert self.over_http(case) == case.expected, case
        assert self.on_handhelds(case) == {case.expected}, case


@pytest.fixture
def world(service: Service) -> World:
    return World(service)


def test_there_are_480_cases_of_every_verdict() -> None:
    found = cases()
    assert len(found) == 480
    assert {case.site for case in found} == set(SITES)
    assert len({case.verdict for case in found}) == 8


def test_rule_service_and_handhelds_agree_with_every_case(world: World) -> None:
    for case in cases():
        world.assert_three_agree(case)


def test_agreement_outlives_every_retention_run(world: World) -> None:
    """From P on all three agree; before it the service does still, and handhelds refuse.

    Of the earlier cases each run asks the service for every third, and another third each time.
    """
    for site in SITES:
        every = sorted(cases(site), key=lambda case: case.at)
        for run, p in enumerate(every[len(every) * eighths // 8].at for eighths in (3, 5, 7)):
            world.service.prune(p, site)
            world.pull(site)
            earlier = [case for case in every if case.at < p]
            assert earlier
            for case in earlier[run::3]:
                assert world.over_http(case) == case.expected, (p, case)
                for handheld in world.handhelds(site):
                    with handheld.replica.reading() as view, pytest.raises(BeforeRetention):
                        view.judge(case.plate, zone=case.zone, at=case.at)
            for case in every[len(earlier) :]:
                world.assert_three_agree(case)


def test_handheld_that_comes_after_the_retention_agrees_too(world: World) -> None:
    for site in SITES:
        every = sorted(cases(site), key=lambda case: case.at)
        p = every[len(every) * 7 // 8].at
        assert world.service.prune(p, site) > 0
        world.by_snapshot[site] = world.service.handheld(site)
        world.by_pages[site] = world.service.handheld(site)
        world.by_snapshot[site].pull()
        world.by_pages[site].pull_by_pages()
        for case in every:
            if case.at >= p:
                assert world.on_handhelds(case) == {case.expected}, case


def test_check_without_an_instant_is_judged_now(tmp_path: Path) -> None:
    """The clock goes through the instants of the cases; nobody says them."""
    with running(tmp_path, at=parse_instant("2026-11-23T15:15:00Z")) as service:
        world = World(service)
        for case in cases()[::5]:
            service.clock.at = case.at + timedelta(milliseconds=300)
            assert world.over_http(case, at="now") == case.expected, case
            for handheld in world.handhelds(case.site):
                now = handheld.clock.now()
                judged = handheld.judge(
                    case.plate.text, zone=case.zone, at=now, jurisdiction=case.plate.jurisdiction
                )
                assert (judged.verdict, judged.changes_at) == case.expected, case
