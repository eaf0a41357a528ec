"""What a monitoring system reads at /metrics, in Prometheus' text format (CONTRACT, "Operations").

Numbers about the service, its sites and its devices; no plate, no person. Asked for every few
seconds, so nothing here reads a table that grows with permits or with decided infractions.
"""

from __future__ import annotations

import bisect
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from sqlalchemy import Connection, Select, case, func, literal_column, select
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from enforcement_api.database.engine import Record
from enforcement_api.database.tables import (
    audit_heads,
    counters,
    device_cursors,
    devices,
    infractions,
    letters,
    meta,
    number_blocks,
    number_series,
)
from enforcement_api.feed.follower import Follower
from enforcement_api.operations.backup import BACKED_UP_AT
from sync import codec

CONTENT_TYPE = "text/plain; version=1.0.0; charset=utf-8"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0)
"""Upper bounds of the histogram of answers; a long poll may take 30 seconds."""


# What was asked


@dataclass(slots=True)
class _Answers:
    count: int = 0
    seconds: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(SECONDS) + 1))


class Requests:
    """Counts answers by method, route and status. One event loop fills it, a scrape reads it."""

    def __init__(self) -> None:
        self._answers: defaultdict[tuple[str, str, int], _Answers] = defaultdict(_Answers)

    def note(self, method: str, route: str, status: int, seconds: float) -> None:
        """One answer."""
        answers = self._answers[method, route, status]
        answers.count += 1
        answers.seconds += seconds
        answers.buckets[bisect.bisect_left(SECONDS, seconds)] += 1

    def collect(self) -> Iterator[Metric]:
        """The histogram."""
        family = HistogramMetricFamily(
            "patrouille_request_seconds",
            "Time until an answer ended, by route; a long poll's wait included.",
            labels=("method", "route", "status"),
        )
        for (method, route, status), answers in list(self._answers.items()):
            buckets, total = [], 0
            for bound, here in zip((*map(str, SECONDS), "+Inf"), answers.buckets, strict=True):
                total += here
                buckets.append((bound, total))
            family.add_metric((method, route, str(status)), buckets, answers.seconds)
        yield family


class Counted:
    """Lets every request through and notes its answer."""

    def __init__(self, app: ASGIApp, *, requests: Requests) -> None:
        self._app = app
        self._requests = requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            # Of what no route answers nothing is told: anybody may ask for anything.
            route = getattr(scope.get("route"), "path", "")
            self._requests.note(scope["method"], route, status, time.perf_counter() - began)


# What there is


class _Facts(Collector):
    """What the record and the index say, of the sites that the asker may see."""

    def __init__(
        self, tx: Connection, follower: Follower, now: datetime, may_see: Callable[[str], bool]
    ) -> None:
        self._tx = tx
        self._follower = follower
        self._now = now
        self._may_see = may_see

    def collect(self) -> Iterator[Metric]:
        yield from self._feeds()
        yield from self._open_infractions()
        yield from self._devices()
        yield from self._numbers()
        yield from self._letters()
        yield from self._evidence()

    def _gauge(self, name: str, help: str, query: Select[Any]) -> GaugeMetricFamily:
        family = GaugeMetricFamily(f"patrouille_{name}", help, labels=("site",))
        for site, value in self._tx.execute(query):
            if self._may_see(site):
                family.add_metric((site,), value)
        return family

    def _feeds(self) -> Iterator[Metric]:
        c = counters.c
        yield self._gauge("feed_sequence", "How far the feed has come.", select(c.site, c.sequence))
        rows = select(c.site, c.digest_count)
        yield self._gauge("feed_rows", "Live rows of the feed, of all kinds.", rows)
        age = GaugeMetricFamily(
            "patrouille_feed_age_seconds",
            "Since the subscription system was last heard of.",
            labels=("site",),
        )
        behind = GaugeMetricFamily(
            "patrouille_index_behind",
            "Sequence numbers that the service's own index has not followed yet.",
            labels=("site",),
        )
        for row in self._tx.execute(select(c.site, c.sequence, c.fed_at)):
            if not self._may_see(row.site):
                continue
            if row.fed_at is not None:
                age.add_metric((row.site,), (self._now - row.fed_at).total_seconds())
            level = self._follower.levels.get(row.site)
            reached = 0 if level is None else level.sequence
            behind.add_metric((row.site,), max(0, row.sequence - reached))
        yield age
        yield behind

    def _open_infractions(self) -> Iterator[Metric]:
        c = infractions.c
        undecided = select(c.site, func.count()).where(c.decided_at.is_(None)).group_by(c.site)
        yield self._gauge("infractions_undecided", "Infractions to be decided.", undecided)
        differing = (
            select(c.site, func.count())
            .where(c.decided_at.is_(None), c.differs.is_(True))
            .group_by(c.site)
        )
        told = "Undecided infractions whose verdict is not the one known now."
        yield self._gauge("infractions_differing", told, differing)

    def _devices(self) -> Iterator[Metric]:
        d, at = devices.c, device_cursors.c
        of_site = device_cursors.join(devices, d.id == at.device)

        def summed(value: object, *conditions: object) -> Select[Any]:
            query = select(at.site, func.coalesce(func.sum(value), 0)).select_from(of_site)
            return query.where(*conditions).group_by(at.site)  # type: ignore[arg-type]

        trusted = d.revoked_at.is_(None)
        yield self._gauge("devices", "Devices in use.", summed(1, trusted))
        hour = int(self._now.timestamp()) - 3600
        silent = case((d.last_seen_at < datetime.fromtimestamp(hour, self._now.tzinfo), 1), else_=0)
        told = "Devices in use that were not heard of for an hour."
        yield self._gauge("devices_silent", told, summed(silent, trusted))
        told = "What devices said that they still have to send."
        yield self._gauge("devices_unsent", told, summed(d.unsent))
        told = "Times that a device's copy differed from the record and was fetched anew."
        yield self._gauge("devices_mismatches", told, summed(d.mismatches))
        c = counters.c
        is_behind = case((at.sequence < c.sequence, 1), else_=0)
        stale = (
            select(at.site, func.sum(is_behind))
            .select_from(of_site.join(counters, c.site == at.site))
            .where(trusted)
            .group_by(at.site)
        )
        yield self._gauge("devices_behind", "Devices in use whose copy is not level.", stale)
        told = "Plates that revoked devices held when they were last heard of."
        held = summed(at.plates_held, d.revoked_at.is_not(None))
        yield self._gauge("plates_held_by_revoked_devices", told, held)

    def _numbers(self) -> Iterator[Metric]:
        series = select(number_series.c.site, number_series.c.next)
        yield self._gauge("numbers_next", "The next number of notices to be given out.", series)
        c = number_blocks.c
        given = select(c.site, func.sum(c.last - c.first + 1)).group_by(c.site)
        yield self._gauge("numbers_given", "Numbers of notices given to devices.", given)

    def _letters(self) -> Iterator[Metric]:
        c = letters.c
        # As it is in the indexes: a database cannot tell that a parameter says the same.
        is_queued = c.state == literal_column("'queued'")
        is_failed = c.state == literal_column("'failed'")
        queued = GaugeMetricFamily(
            "patrouille_letters_queued",
            "Letters on their way to a mail server.",
            labels=("site",),
        )
        oldest = GaugeMetricFamily(
            "patrouille_letters_oldest_seconds",
            "Since the oldest letter on its way was written.",
            labels=("site",),
        )
        waiting = select(c.site, func.count(), func.min(c.queued_at)).where(is_queued)
        for site, number, at in self._tx.execute(waiting.group_by(c.site)):
            if self._may_see(site):
                queued.add_metric((site,), number)
                oldest.add_metric((site,), (self._now - at).total_seconds())
        yield queued
        yield oldest
        failed = select(c.site, func.count()).where(is_failed).group_by(c.site)
        yield self._gauge("letters_failed", "Letters that a mail server refused.", failed)

    def _evidence(self) -> Iterator[Metric]:
        entries = GaugeMetricFamily(
            "patrouille_audit_entries", "Entries of the log, by chain.", labels=("chain",)
        )
        for chain, number in self._tx.execute(select(audit_heads.c.chain, audit_heads.c.number)):
            if self._may_see(chain):
                entries.add_metric((chain,), number)
        yield entries
        backed_up = select(meta.c.value).where(meta.c.name == BACKED_UP_AT)
        at = self._tx.execute(backed_up).scalar()
        if at is not None:
            age = (self._now - codec.parse_instant(at)).total_seconds()
            yield GaugeMetricFamily("patrouille_backup_age_seconds", "Since the last backup.", age)


class _Requests(Collector):
    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    def collect(self) -> Iterator[Metric]:
        yield from self._requests.collect()
        yield CounterMetricFamily("patrouille_up", "Answers as long as the service runs.", 1)


def scrape(
    record: Record,
    follower: Follower,
    requests: Requests,
    *,
    now: datetime,
    may_see: Callable[[str], bool],
) -> bytes:
    """All of it as text. Raises RecordUnavailable, RecordBusy."""

    def read(tx: Connection) -> bytes:
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        registry.register(_Requests(requests))
        registry.register(_Facts(tx, follower, now, may_see))
        return generate_latest(registry)

    return record.read(read)
