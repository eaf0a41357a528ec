"""The real edges of `sync.engine`: HTTP, the index and the outbox on disk, the clock.

    edges = Edges(client, replica, outbox, clock)
    state = edges.run(engine.pull("1085"))

What belongs to an application (who is told, where a token is kept) is left to one that extends
`Edges.perform`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from sync import engine
from sync.client import Part, ServiceClient
from sync.clock import TrustedClock
from sync.engine import Effect, Pass
from sync.exchange import Answer
from sync.outbox import KEPT, Outbox
from sync.replica import Replica

T = TypeVar("T")


class Edges:
    """Performs what a pass wants done. Belongs to one thread, as its client does."""

    def __init__(
        self,
        client: ServiceClient,
        replica: Replica,
        outbox: Outbox,
        clock: TrustedClock,
    ) -> None:
        self.client = client
        self.replica = replica
        self.outbox = outbox
        self.clock = clock
        self.mismatches = 0

    def run(self, steps: Pass[T]) -> T:
        """Drive a pass to its end. Raises what it raises."""
        return engine.run(steps, self.perform)

    def perform(self, effect: Effect) -> Any:
        """Do one thing; what came of it. Raises what went wrong."""
        match effect:
            case engine.Ask():
                return self._ask(effect)
            case engine.Observe(page, answer):
                return self.clock.observe(
                    page.server_time, sent=answer.sent, received=answer.received
                )
            case engine.BootClock():
                return self.clock.stamp().boot
            case (
                engine.ReadState()
                | engine.Apply()
                | engine.PartSize()
                | engine.Install()
                | engine.DeleteParts()
                | engine.NoteMismatch()
            ):
                return self._fill(effect)
            case _:
                return self._send(effect)

    def _ask(self, effect: engine.Ask) -> Answer:
        into = None
        if effect.into is not None:
            into = Part(self._part(effect.into), effect.have, effect.size)
        return self.client.send(effect.request, into=into, stamp=self.clock.stamp)

    # the index

    def _fill(self, effect: Effect) -> Any:
        match effect:
            case engine.ReadState():
                return self.replica.state()
            case engine.Apply(pages, after):
                return self.replica.apply(pages, after=after)
            case engine.PartSize(sha256):
                return self._part_size(sha256)
            case engine.Install(manifest, distrust):
                part = self._part(manifest.sha256)
                return self.replica.install(part, manifest, distrust=distrust)
            case engine.DeleteParts():
                self._delete_parts(but=None)
            case engine.NoteMismatch():
                self.mismatches += 1
        return None

    @property
    def _downloads(self) -> Path:
        return self.replica.folder / "downloads"

    def _part(self, sha256: str) -> Path:
        return self._downloads / f"{sha256}.gz"

    def _part_size(self, sha256: str) -> int:
        self._downloads.mkdir(parents=True, exist_ok=True)
        part = self._part(sha256)
        self._delete_parts(but=part)
        return part.stat().st_size if part.exists() else 0

    def _delete_parts(self, *, but: Path | None) -> None:
        for part in self._downloads.glob("*"):
            if part != but:
                part.unlink(missing_ok=True)

    # the outbox

    def _send(self, effect: Effect) -> Any:
        outbox, now = self.outbox, self.clock.now
        match effect:
            case engine.Waiting():
                return outbox.sendable(self.client.address)
            case engine.OwnerOf(photo):
                return outbox.owner_of(photo)
            case engine.ReadPhoto(sha256):
                return outbox.photo(sha256).read_bytes()
            case engine.Acknowledge(item, answer, missing):
                return outbox.acknowledge(item, answer, missing=missing, at=now())
            case engine.SetAside(item, problem):
                return outbox.refuse(item, problem, at=now())
            case engine.Failed(item, problem):
                return outbox.failed(item, problem)
            case engine.NoteEpoch(epoch):
                return outbox.note_epoch(self.client.address, epoch, sent_since=now() - KEPT)
        raise NotImplementedError(f"nothing here performs {effect}")
