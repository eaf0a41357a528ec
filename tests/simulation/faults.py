"""One seeded history: feeders, handhelds and patrollers, while networks and processes fail.

The real service and the real engine, outbox and index, on real files; one seed decides everything
that happens to them. Whatever it was, at the end, with the network back: what was recorded has
arrived once and whole, and every handheld judges as the service does.

    Simulation(seed, folder).run()      # raises AssertionError, which names the seed
"""

from __future__ import annotations

import contextlib
import random
import sqlite3
import uuid
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from sync.edges import Edges
from sync.exchange import ServiceError
from sync.outbox import Outbox
from sync.replica import Replica, ReplicaError
from tests.damage import DAMAGES
from tests.service import NOW, Handheld, infraction, picture, running

ZONES = ("G1", "G2")
PLATES = tuple(f"{letter}{n}2 BCD" for letter in "ABC" for n in range(4))
STEPS = 60
PAGE = 3
"""Changes of a page: a catch-up has several, so that it can be cut between two."""


class Crash(BaseException):
    """The process ends here; nothing of ours may catch it."""


class Simulation:
    """A service and two handhelds, as one seed treats them."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.seed = seed
        self._dice = random.Random(seed)
        self._folder = folder
        self._versions: dict[str, int] = {}
        self._recorded: dict[str, tuple[str, dict[str, Any]]] = {}
        self._told: list[str] = []

    def run(self) -> None:
        """Live through it, and compare. Raises AssertionError."""
        try:
            with running(self._folder) as service:
                self._service = service
                service.site(zones=ZONES)
                self._handhelds = [service.handheld() for _ in range(2)]
                for handheld in self._handhelds:
                    self._start_anew(handheld)
                for _ in range(STEPS):
                    self._step()
                self._come_to_rest()
                self._compare()
        except Exception as error:
            history = "\n".join(self._told)
            raise AssertionError(f"seed {self.seed}: {error!r}, after:\n{history}") from error

    # what happens

    def _step(self) -> None:
        happenings: tuple[tuple[int, Callable[[], None]], ...] = (
            (8, self._a_feeder_pushes),
            (8, self._a_handheld_pulls),
            (5, self._a_handheld_pushes),
            (5, self._a_patroller_records),
            (3, self._time_passes),
            (3, self._the_network_changes),
            (2, self._a_handheld_crashes),
            (1, self._an_index_is_damaged),
            (1, self._the_service_restarts),
            (1, self._the_retention_runs),
        )
        weights, steps = zip(*happenings, strict=True)
        step = self._dice.choices(steps, weights)[0]
        self._told.append(step.__name__.strip("_"))
        step()

    def _handheld(self) -> Handheld:
        return self._dice.choice(self._handhelds)

    def _a_feeder_pushes(self) -> None:
        """Some permits, each in a later version; the answer may be lost, and then it asks again."""
        now = self._service.clock()
        updates = []
        for _ in range(self._dice.randrange(1, 9)):
            id = f"p{self._dice.randrange(20)}"
            self._versions[id] = self._versions.get(id, 0) + 1
            confirmed = now - timedelta(hours=self._dice.randrange(0, 60))
            updates.append(
                self._service.update(
                    self._dice.choice(PLATES),
                    zone=self._dice.choice(ZONES),
                    id=id,
                    version=self._versions[id],
                    confirmed_at=self._dice.choice([None, confirmed.isoformat()]),
                    valid_until=self._dice.choice([None, None, "2026-12-01", "2026-06-01"]),
                    status=self._dice.choice(["active", "active", "active", "suspended"]),
                )
            )
        if self._dice.random() < 0.3:
            self._service.bridge.lose = lambda request: True
            with contextlib.suppress(httpx.TransportError):
                self._service.push(*updates)
            self._service.bridge.lose = lambda request: False
        self._service.push(*updates)

    def _a_handheld_pulls(self) -> None:
        with contextlib.suppress(ServiceError, ReplicaError):
            self._handheld().pull(limit=PAGE)

    def _a_handheld_pushes(self) -> None:
        with contextlib.suppress(ServiceError):
            self._handheld().push()

    def _a_patroller_records(self) -> None:
        handheld = self._handheld()
        pictures = [picture(size=(self._dice.randrange(2, 40), 8)) for _ in range(2)]
        taken = [
            {
                "sha256": handheld.outbox.keep_photo(content),
                "bytes": len(content),
                "taken_at": NOW.isoformat(),
            }
            for content in pictures[: self._dice.randrange(3)]
        ]
        photos = list({photo["sha256"]: photo for photo in taken}.values())
        id = str(uuid.UUID(int=self._dice.getrandbits(128), version=4))
        body = infraction(
            self._dice.choice(PLATES).replace(" ", ""), at=handheld.clock.now(), photos=photos
        )
        handheld.outbox.put_infraction(
            id, body, photos=[photo["sha256"] for photo in photos], at=handheld.clock.now()
        )
        self._recorded[id] = (handheld.id, body)

    def _time_passes(self) -> None:
        self._service.clock.advance(hours=self._dice.randrange(1, 40))

    def _the_network_changes(self) -> None:
        """It is there, or gone, or loses some answers, or every one from some moment on."""
        bridge = self._handheld().bridge
        bridge.is_down = self._dice.random() < 0.3
        odds, left = self._dice.choice([0.0, 0.2, 0.5]), self._dice.randrange(1, 12)
        dice = random.Random(self._dice.random())

        def lose(_: httpx.Request) -> bool:
            nonlocal left
            left -= 1
            return dice.random() < odds or (odds > 0 and left < 0)

        bridge.lose = lose

    def _a_handheld_crashes(self) -> None:
        """In the middle of a pass: nothing is closed, nothing is said; it starts anew."""
        handheld = self._handheld()
        left = self._dice.randrange(0, 4)

        def crash(_: httpx.Request) -> bool:
            nonlocal left
            left -= 1
            if left < 0:
                raise Crash
            return False

        lose, handheld.bridge.lose = handheld.bridge.lose, crash
        action = self._dice.choice([partial(handheld.pull, limit=PAGE), handheld.push])
        with contextlib.suppress(Crash, ServiceError, ReplicaError):
            action()
        handheld.bridge.lose = lose
        self._start_anew(handheld)

    def _start_anew(self, handheld: Handheld) -> None:
        handheld.replica.close()
        handheld.outbox.close()
        folder = handheld.replica.folder
        handheld.replica, handheld.outbox = Replica(folder), Outbox(folder.parent)
        handheld.edges = Edges(handheld.client, handheld.replica, handheld.outbox, handheld.clock)

    def _an_index_is_damaged(self) -> None:
        handheld = self._handheld()
        damage = DAMAGES[self._dice.choice(sorted(DAMAGES))]
        with contextlib.suppress(OSError, sqlite3.Error):  # it is not there, or damaged already
            damage(handheld.replica)
        self._start_anew(handheld)

    def _the_service_restarts(self) -> None:
        self._service.restart()

    def _the_retention_runs(self) -> None:
        self._service.prune(self._service.clock())

    # what must be so in the end

    def _come_to_rest(self) -> None:
        for handheld in self._handhelds:
            handheld.find_network()
            handheld.bridge.lose = lambda request: False
            assert handheld.push().waiting == 0
        for handheld in self._handhelds:  # of what the other one has sent, too
            handheld.pull()
            # One that learns only now which record took what it sent sends it once more.
            assert handheld.push().waiting == 0

    def _compare(self) -> None:
        service = self._service
        service.assert_consistent()
        at = service.clock()
        for handheld in self._handhelds:
            handheld.assert_level_with(service)
            assert handheld.outbox.unsent() == 0
            assert handheld.outbox.set_aside() == []
            for plate in PLATES:
                for zone in ZONES:
                    here = handheld.judge(plate, zone=zone, at=at)
                    there = service.check(plate, zone=zone)
                    assert (here.verdict, here.changes_at is None) == (
                        there["verdict"],
                        there["changes_at"] is None,
                    ), (plate, zone)
        found = self._log()
        assert found.keys() == self._recorded.keys()
        for id, (device, body) in self._recorded.items():
            shown = found[id]
            assert (shown["device"], shown["plate"]) == (device, body["plate"])
            assert shown["complete"], id
            assert {p["sha256"] for p in shown["photos"]} == {p["sha256"] for p in body["photos"]}
        with sqlite3.connect(service.settings.data_dir / "record.db") as record:
            rows = record.execute("SELECT count(*) FROM infractions").fetchone()[0]
        record.close()
        assert rows == len(self._recorded)

    def _log(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        query: dict[str, Any] = {"limit": 7}
        while True:
            page = self._service.reader.get("/v1/infractions", params=query).json()
            for item in page["items"]:
                assert item["id"] not in found
                found[item["id"]] = item
            if page["next_cursor"] is None:
                return found
            query["cursor"] = page["next_cursor"]
