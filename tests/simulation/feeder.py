"""The subscription system: it says what it has to say until it is heard, in order."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sync.codec import instant
from sync.exchange import Request
from sync.plates import Plate
from tests.simulation.network import GOOD, Agenda, Network
from tests.simulation.service import SITE, Reply, SimulatedService
from tests.simulation.world import World

PERMITS = 16
_PATIENCE = 30.0


class Feeder:
    """It knows what is true of each permit, and pushes it; after a restore it reconciles."""

    def __init__(self, world: World, agenda: Agenda, network: Network, key: str) -> None:
        self.world = world
        self.agenda = agenda
        self.network = network
        self.link = GOOD
        self._key = key
        self._truth: dict[str, dict[str, Any]] = {}
        self._waiting: list[list[dict[str, Any]] | None] = []
        """Batches to push; None: the list of all permits, as it is when it is sent."""
        self._asked = 0
        self._epoch = ""

    @property
    def is_busy(self) -> bool:
        return bool(self._waiting)

    def push(self, plates: Sequence[Plate], zones: Sequence[str]) -> None:
        """Some permits change, or what was said already is said again, or just "I live"."""
        dice, now = self.world.dice, self.world.now()
        batch: list[dict[str, Any]] = []
        for _ in range(dice.choice((0, 1, 1, 2, 5, 9))):
            id = f"p{dice.randrange(PERMITS)}"
            known = self._truth.get(id)
            if known is not None and dice.random() < 0.2:
                batch.append(dict(known))
                continue
            confirmed = now - timedelta(hours=dice.randrange(0, 60))
            update = {
                "id": id,
                "version": 1 if known is None else known["version"] + dice.choice((1, 1, 3)),
                "plate": dice.choice(plates).text,
                "site": SITE,
                "zones": [dice.choice(zones)],
                "permit_number": "100014764",
                "valid_from": "2026-01-01",
                "valid_until": dice.choice((None, None, "2026-12-01", "2026-06-01")),
                "confirmed_at": dice.choice((None, instant(confirmed))),
                "status": dice.choice(("active", "active", "active", "suspended")),
            }
            self._truth[id] = update
            batch.append(dict(update))
        self._add(batch)

    def live(self) -> None:
        """Say no more than that it lives, as one does now and then: so it hears of a restore."""
        self._add([])

    def _add(self, batch: list[dict[str, Any]]) -> None:
        """While one is on its way, all that comes next makes one batch."""
        last = self._waiting[-1] if len(self._waiting) > 1 else None
        if last is not None:
            last += batch
            return
        self._waiting.append(batch)
        if len(self._waiting) == 1:
            self._say()

    def _say(self) -> None:
        self._asked += 1
        number = self._asked
        batch = self._waiting[0]
        request = self._list_of_all() if batch is None else _push(batch)

        def answered(reply: Reply, cut: bool) -> None:
            if number != self._asked or not self._waiting or cut:
                return
            if reply.status != 200:
                self.world.tell("feeder hears", reply.status)
                return  # it is said again when its patience ends
            told = reply.json()
            assert not told["rejected"], told
            del self._waiting[0]
            self._asked += 1
            if self._epoch not in ("", told["epoch"]):
                self.world.tell("feeder sees a new epoch")
                self._waiting.insert(0, None)
            self._epoch = told["epoch"]
            if self._waiting:
                self._say()

        def gave_up() -> None:
            if number == self._asked and self._waiting:
                self._say()

        self.network.send(request, token=self._key, link=self.link, answered=answered)
        self.agenda.put(_PATIENCE, gave_up)

    def _list_of_all(self) -> Request:
        lines = [json.dumps(update) for update in self._truth.values()]
        drawn_up = {"as_of": instant(self.world.now()), "count": str(len(lines))}
        return Request(
            "POST",
            f"/v1/sites/{SITE}/reconciliation",
            drawn_up,
            "\n".join(lines).encode(),
            {"content-type": "application/x-ndjson"},
        )

    def compare(self, service: SimulatedService) -> None:
        """The record has what is true."""
        if not self._epoch:
            return
        found = dict(
            service.rows(
                "SELECT id, version FROM permit_versions WHERE superseded_at IS NULL AND site = ?",
                SITE,
            )
        )
        for id, update in self._truth.items():
            assert found.get(id) == update["version"], (
                f"the permit {id} is of version {found.get(id)}, not {update['version']}"
            )


def _push(batch: list[dict[str, Any]]) -> Request:
    body = json.dumps({"updates": batch}).encode()
    return Request("POST", "/v1/plate-updates", {}, body, {"content-type": "application/json"})
