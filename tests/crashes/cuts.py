"""Cuts the power everywhere, and has the real code open what is left.

python -m tests.crashes.cuts [--seed N] [--samples N] [--singly N] [WORKLOAD [FLAW]]
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from enforcement_api import hashed_files
from enforcement_api.database.engine import Record
from enforcement_api.feed import store as feed
from enforcement_api.infractions import photos
from enforcement_api.infractions import store as infractions
from enforcement_api.permits import store as permits
from sync.outbox import Outbox
from sync.replica import Replica
from tests.crashes.disk import Disk, digest_of, lay_out
from tests.crashes.tracing import trace
from tests.crashes.workloads import PAGES, SERVICE, SETTLED, SITE, WORKLOADS

Told = Sequence[Mapping[str, Any]]


class Lost(AssertionError):
    """A power cut took something that was promised, or left what must never be."""


def _must(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Lost(otherwise)


def _told(told: Told, what: str) -> list[Any]:
    return [fact[what] for fact in told if what in fact]


def check_outbox(folder: Path, told: Told) -> None:
    """Everything kept is there, whole; no number comes twice; nothing was put aside as damaged."""
    outbox = Outbox(folder / "handheld")
    try:
        _must(not outbox.damaged_files(), "the outbox could not be read")
        items = outbox.infractions()
        by_id = {item.id: item for item in items}
        waiting = {(item.kind, item.id): item for item in outbox.waiting()}
        for fact in told:
            if "infraction" in fact:
                item = by_id.get(fact["infraction"])
                _must(item is not None, f"the infraction {fact['infraction']} is gone")
                assert item is not None
                assert item.body is not None
                _must(item.body.get("number") == fact["number"], "it has another number")
                _must(len(item.body["note"]) % 900 == 0, "it has another note")
        for sha256 in _told(told, "photo"):
            _must(outbox.photo(sha256).exists(), f"the photo {sha256} is gone")
        for id in _told(told, "event"):
            _must(("event", id) in waiting, f"the event {id} is gone")
        for id in _told(told, "sent"):
            _must(by_id[id].state == "sent", f"{id} would be sent once more")
        taken = [item.body["number"] for item in items if item.body]
        _must(len(taken) == len(set(taken)), "a number was given twice")
        _must(outbox.next_number(SERVICE, SITE) not in taken, "a number would be given twice")
        if _told(told, "block"):
            left = outbox.numbers_left(SERVICE, SITE)
            _must(left == 9 - len(taken), "numbers are gone")
        for kind, id in waiting:
            _must(kind != "photo" or outbox.photo(id).exists(), "a photo of an infraction is gone")
        for path in outbox.photos.iterdir():
            content = path.read_bytes()
            _must(content == content[:1] * 3000, f"the photo {path.name} is not whole")
    finally:
        outbox.close()


def check_index(folder: Path, told: Told) -> None:
    """It is the index of one of the three moments, whole, and none from before what was told."""
    replica = Replica(folder / "index")
    try:
        state = replica.state()
        _must(state is not None, "there is no index")
        assert state is not None
        page = PAGES[state.sequence - 1]
        _must((state.cursor, state.digest) == (page.cursor, page.digest), "its state is a mixture")
        with replica.reading() as view:
            _must(view.recount() == page.digest, "its rows are not those that it says")
        installed = _told(told, "installed")
        _must(not installed or state.sequence >= installed[-1], "the index from before is back")
        replica.sweep()
    finally:
        replica.close()


@functools.lru_cache(1)
def _record(path: Path) -> Record:
    """One for all states that are laid out there: what it asks is compiled once."""
    return Record(f"sqlite:///{path}")


def check_record(folder: Path, told: Told) -> None:
    """What the service answered for is in the record, and the digest is that of its rows."""
    data = folder / "service"
    record = _record(data / "record.db")
    try:
        with record.reading() as tx:
            sound = tx.exec_driver_sql("PRAGMA quick_check").scalar_one()
            _must(sound == "ok", f"the record is damaged: {sound}")
            _must(feed.level(tx, SITE).digest == feed.recount(tx, SITE), "its digest is another's")
            for id in _told(told, "permit"):
                _must(bool(permits.history(tx, SITE, id)), f"the permit {id} is gone")
            for id in _told(told, "infraction"):
                infractions.find(tx, id)
            for sha256 in _told(told, "photo"):
                kept = photos.stored(tx, sha256)
                _must(kept is not None, f"the photo {sha256} is gone")
            for row in tx.exec_driver_sql("SELECT sha256, bytes FROM photos").all():
                path = hashed_files.path_of(data / "photos", row.sha256)
                _must(path.exists() and path.stat().st_size == row.bytes, "a photo has no file")
    finally:
        record.close()


CHECKS: Mapping[str, Callable[[Path, Told], None]] = {
    "outbox": check_outbox,
    "outbox-after-a-kill": check_outbox,
    "index": check_index,
    "record": check_record,
}
_OF_NO_MATTER = ("service/index", "service/tmp")
"""Of the service's files, those that are made anew from the record."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A state that failed: where, what the real code said, and what lay there."""

    after: int
    told: Told
    reason: str
    files: Mapping[str, int | None]

    def __str__(self) -> str:
        lines = [f"after call {self.after}: {self.reason}"]
        lines += [f"  told: {json.dumps(fact)}" for fact in self.told]
        lines += [
            f"  {path}: {size} bytes" for path, size in self.files.items() if size is not None
        ]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one workload: calls that changed the folder, states opened, and what failed."""

    calls: int
    states: int
    failed: Sequence[Cut]


@contextlib.contextmanager
def _workplace() -> Iterator[Path]:
    """A folder in memory, where there is one: syncing it costs nothing, and proves nothing here."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


def cut_everywhere(
    workload: str,
    flaw: str | None = None,
    *,
    seed: int = 1,
    singly: int = 4,
    samples: int = 2,
    until_failed: bool = False,
) -> Outcome:
    """Trace a workload, rebuild what a cut after each of its calls can leave, check each state.

    `singly`, `samples`: of Disk.after_a_cut. States that are alike are checked once for what was
    told by then.
    """
    dice = random.Random(seed)
    with _workplace() as place:
        traced, rebuilt = place / "traced", place / "rebuilt"
        traced.mkdir()
        arguments = ["tests.crashes.workloads", workload, str(traced)]
        calls = trace(arguments + ([flaw] if flaw else []), place / "log")
        disk = Disk(traced)
        told: list[Any] = []
        seen: set[tuple[bytes, int]] = set()
        failed: list[Cut] = []
        done = 0
        is_old = any(call.fact == SETTLED for call in calls)
        for call in calls:
            fact = call.fact
            if fact == SETTLED:
                disk.settle()
                is_old = False
            elif fact is not None:
                told.append(fact)
            elif not disk.do(call):
                continue
            done += 1
            if is_old:
                continue
            for state in disk.after_a_cut(dice, singly=singly, samples=samples):
                state = {
                    path: content
                    for path, content in state.items()
                    if not path.startswith(_OF_NO_MATTER)
                }
                key = digest_of(state), len(told)
                if key in seen:
                    continue
                seen.add(key)
                lay_out(state, rebuilt)
                try:
                    CHECKS[workload](rebuilt, told)
                except Exception as error:
                    sizes = {p: None if c is None else len(c) for p, c in state.items()}
                    reason = f"{type(error).__name__}: {error}"
                    failed.append(Cut(call.ended, list(told), reason, sizes))
                    if until_failed:
                        return Outcome(done, len(seen), failed)
        return Outcome(done, len(seen), failed)


def main() -> int:
    """Cut the power of every workload, or of one; how it went."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--singly", type=int, default=1000, help="writes with fates of their own")
    parser.add_argument("--samples", type=int, default=40, help="combinations at each call")
    parser.add_argument("workload", nargs="?", choices=sorted(WORKLOADS))
    parser.add_argument("flaw", nargs="?")
    given = parser.parse_args()
    ends = 0
    for workload in [given.workload] if given.workload else sorted(WORKLOADS):
        began = time.monotonic()
        found = cut_everywhere(
            workload, given.flaw, seed=given.seed, singly=given.singly, samples=given.samples
        )
        took = time.monotonic() - began
        print(
            f"{workload}: {found.calls} calls, {found.states} states rebuilt and opened,"
            f" {len(found.failed)} failed, {took:.0f} s (seed {given.seed})"
        )
        for cut in found.failed[:3]:
            print(cut)
        ends |= bool(found.failed)
    return ends


if __name__ == "__main__":
    sys.exit(main())
