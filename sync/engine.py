"""Push and pull: what a handheld does when it can reach the service.

Each pass does what it can and returns; who calls it again, and when, is the caller's affair.
Pulling and pushing share nothing but the clock, so that each can have a thread of its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sync import client as service
from sync.client import ServiceClient
from sync.clock import TrustedClock
from sync.codec import MalformedMessage
from sync.messages import ChangePage
from sync.outbox import Item, Outbox
from sync.replica import DamagedIndex, DigestMismatch, Replica, StaleSnapshot, State

PAGE = 10_000
"""Changes that one page may have."""
FAR_BEHIND = 50_000
"""Changes beyond which a snapshot is quicker than pages."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """What one pass of sending came to."""

    sent: int
    set_aside: int
    waiting: int


class Puller:
    """Keeps one site's replica level with the service."""

    def __init__(
        self,
        client: ServiceClient,
        site: str,
        replica: Replica,
        clock: TrustedClock,
        *,
        page: int = PAGE,
    ) -> None:
        self._client = client
        self._site = site
        self._replica = replica
        self._clock = clock
        self._most = page
        self._measured = False
        self.mismatches = 0

    def pull(self, *, wait: int = 0) -> State:
        """Get level: by pages, or by a snapshot when new, far behind, expired or damaged.

        `wait` seconds for something new when already level. Raises ServiceError, BadSnapshot,
        MalformedMessage, Overtaken, what SQLite and the disk refuse, and DigestMismatch when even a
        fresh snapshot does not lead to what the service has.
        """
        self._measured = False
        state = self._get_level(wait)
        if not self._measured:
            # What is here is level, whatever becomes of this; the next pull tells of it.
            with contextlib.suppress(service.ServiceError, MalformedMessage):
                self._page(state.cursor, 0, limit=1)
        return state

    def _get_level(self, wait: int) -> State:
        try:
            here = self._replica.state()
            fetched = here is None
            if here is None:
                here = self._bootstrap()
            return self._catch_up_from(here, wait=0 if fetched else wait)
        except (service.CursorExpired, DamagedIndex):
            # The record may have been rolled back within its epoch: what is here is no measure.
            pass
        except DigestMismatch:
            self.mismatches += 1
            if fetched:
                raise
        return self._catch_up_from(self._bootstrap(distrust=True), wait=0)

    def _catch_up_from(self, here: State, *, wait: int) -> State:
        first = self._page(here.cursor, wait)
        if first.sequence - here.sequence > FAR_BEHIND:
            # The newest snapshot may be older than what is here: then pages are the way after all.
            with contextlib.suppress(StaleSnapshot):
                here = self._bootstrap()
                first = self._page(here.cursor, 0)
        return self._replica.apply(self._catch_up(first), after=here.cursor)

    def pull_by_pages(self) -> State:
        """Fill an empty replica from the beginning of the feed, without a snapshot."""
        return self._replica.apply(self._catch_up(self._page(None, 0)), after=None)

    def _page(self, after: str | None, wait: int, *, limit: int | None = None) -> ChangePage:
        """One page. Only one that was not waited for measures the clock: the service tells the
        time when it answers, and how much of a wait was the way back nobody knows.
        """
        sent_at = self._clock.device_now()
        page = self._client.changes(self._site, after=after, limit=limit or self._most, wait=wait)
        if wait == 0:
            self._measured = True
            self._clock.observe(
                page.server_time, sent_at=sent_at, received_at=self._clock.device_now()
            )
        return page

    def _catch_up(self, first: ChangePage) -> Iterator[ChangePage]:
        page = first
        yield page
        while page.more:
            page = self._page(page.cursor, 0)
            yield page

    def _bootstrap(self, *, distrust: bool = False) -> State:
        manifest = self._client.snapshot(self._site)
        folder = self._replica.folder / "downloads"
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f"{manifest.sha256}.gz"
        for other in folder.iterdir():
            if other != part:
                other.unlink()
        self._client.download(manifest.url, part)
        try:
            return self._replica.install(part, manifest, distrust=distrust)
        finally:
            part.unlink(missing_ok=True)


class Pusher:
    """Empties the outbox. Nothing leaves it before the service has it durably."""

    def __init__(self, client: ServiceClient, outbox: Outbox, clock: TrustedClock) -> None:
        self._client = client
        self._outbox = outbox
        self._clock = clock

    def push(self) -> Pushed:
        """Send what waits, the oldest first. What is refused or cannot be read is set aside, what
        gets an answer that settles nothing goes on waiting; neither keeps the next one back.

        Raises Unreachable and Unauthorized, with the rest still waiting.
        """
        sent = refused = 0
        for item in self._outbox.waiting():
            try:
                answer = self._send(item)
            except service.NotNow as error:
                self._outbox.failed(item, str(error))
                continue
            except service.Unreachable as error:
                self._outbox.failed(item, str(error))
                raise
            except service.Unauthorized:
                raise
            except service.Refused as error:
                self._outbox.refuse(item, str(error), at=self._clock.now())
                refused += 1
                continue
            except OSError as error:
                # The photo's file: every answer that did not come is Unreachable.
                self._outbox.refuse(item, str(error), at=self._clock.now())
                refused += 1
                continue
            self._outbox.acknowledge(item, answer, at=self._clock.now())
            for sha256 in answer.get("photos_missing", ()):
                self._outbox.send_again("photo", sha256)
            sent += 1
        return Pushed(sent, refused, len(self._outbox.waiting()))

    def _send(self, item: Item) -> dict[str, Any]:
        if item.kind == "photo":
            return self._client.put_photo(item.id, self._outbox.photo(item.id).read_bytes())
        assert item.body is not None
        return self._client.put_infraction(item.id, item.body)
