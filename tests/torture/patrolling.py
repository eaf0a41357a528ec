"""A handheld at work in a process of its own, to be killed at any moment.

    python -m tests.torture.patrolling FOLDER SEED

Patrols without a screen: checks plates, takes photos, records, and syncs as the app does. What was
recorded is in FOLDER/ledger.ndjson, a line each, from after `record` has returned on: so a line
there is a promise that was made. On SIGTERM it records no more, and ends with 0 once the service
has all of it.
"""

from __future__ import annotations

import io
import json
import logging
import os
import random
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from handheld_app.handheld import Handheld
from handheld_app.patrol import NeedsService
from handheld_app.signing_in import Cost

SITE, ZONE = "1085", "G1"
BADGE, PIN = "4217", "839204"
PIN_COST = Cost(n=2, r=1, p=1)
"""Next to nothing: signing in at every start is no part of what is tried here."""

PLATES = 200
"""Permits that the feeder changes all the time; as many plates have none."""
MOST_WAITING = 100
"""No more is recorded while so much waits, as there would be no end to sending it."""
PAUSE_S = (0.02, 0.2)
DRAINED_WITHIN_S = 120.0


def plate(number: int) -> str:
    return f"P{number:06}"


@dataclass(frozen=True, slots=True)
class Promise:
    """An infraction of which the patroller was told that it is recorded."""

    id: str
    number: str | None
    photos: tuple[str, ...]


def opened(folder: Path) -> Handheld:
    return Handheld(folder, pin_cost=PIN_COST)


def ledger(folder: Path) -> Path:
    return folder / "ledger.ndjson"


def promises(folder: Path) -> list[Promise]:
    """What a handheld has promised. A line that a kill has torn was no promise yet."""
    whole, _, _ = ledger(folder).read_bytes().rpartition(b"\n")
    lines = [json.loads(line) for line in whole.splitlines()]
    return [Promise(line["id"], line["number"], tuple(line["photos"])) for line in lines]


def started(folder: Path) -> Path:
    """Names the process that has begun to patrol."""
    return folder / "patrolling.pid"


class Patrolling:
    def __init__(self, handheld: Handheld, dice: random.Random, ledger: BinaryIO) -> None:
        self._handheld, self._dice, self._ledger = handheld, dice, ledger
        self._picture = handheld.folder.parent / "taken.png"
        self._has_taken = False

    def sign_in(self) -> None:
        """Without network, unless this was killed in the middle of it ten times in a row."""
        while self._handheld.patrol.signed_in() is None:
            try:
                self._handheld.patrol.sign_in(BADGE, PIN)
            except NeedsService:
                time.sleep(0.05)

    def record(self) -> None:
        """Check a plate, take photos, one perhaps again, and record what the verdict suggests."""
        patrol, dice = self._handheld.patrol, self._dice
        draft = patrol.draft(patrol.check(plate(dice.randrange(2 * PLATES)), "CA-QC"))
        draft.codes = draft.codes or ["P01"]
        wanted = max(patrol.photos_required(draft), dice.choice((1, 2, 3)))
        while len(draft.photos) < wanted:
            if not self._has_taken or dice.random() < 0.8:  # else the same picture again
                self._picture.write_bytes(self._take_picture())
                self._has_taken = True
            draft.expect_photo()
            draft.keep_photo(patrol.take_photo(self._picture))
        recorded = patrol.record(draft)
        photos = [photo.sha256 for photo in draft.photos]
        line = {"id": recorded.id, "number": recorded.number, "photos": photos}
        self._ledger.write(json.dumps(line).encode() + b"\n")
        self._ledger.flush()
        os.fsync(self._ledger.fileno())

    def _take_picture(self) -> bytes:
        size = self._dice.choice(((8, 8), (40, 30), (120, 90)))
        content = io.BytesIO()
        Image.frombytes("L", size, self._dice.randbytes(size[0] * size[1])).save(content, "PNG")
        return content.getvalue()


def cut_torn_line(path: Path) -> None:
    """What a kill has torn would spoil the line that comes after it."""
    with open(path, "a+b") as file:
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)


def main() -> int:
    folder, seed = Path(sys.argv[1]), int(sys.argv[2])
    logging.basicConfig()
    told_to_end: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: told_to_end.append(number))
    cut_torn_line(ledger(folder))
    handheld = opened(folder)
    dice = random.Random(seed)
    with open(ledger(folder), "ab") as promised:
        patrolling = Patrolling(handheld, dice, promised)
        handheld.sync()
        patrolling.sign_in()
        started(folder).write_text(str(os.getpid()))
        while not told_to_end:
            time.sleep(dice.uniform(*PAUSE_S))
            if handheld.patrol.unsent() < MOST_WAITING:
                patrolling.record()
            handheld.sync()  # also when nothing is recorded: the service is there for moments only
    ends = time.monotonic() + DRAINED_WITHIN_S
    while handheld.patrol.unsent():
        if time.monotonic() > ends:
            stuck = [(item.kind, item.state, item.problem) for item in handheld.outbox.waiting()]
            stuck += [(item.kind, item.state, item.problem) for item in handheld.outbox.set_aside()]
            print(f"not sent: {stuck}, {handheld.status}", file=sys.stderr)
            return 1
        handheld.sync()
        time.sleep(0.1)
    handheld.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
