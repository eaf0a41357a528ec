"""Proof that an index holds what the record holds: both digests, recounted from their rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from enforcement_api.database.engine import Record
from enforcement_api.feed import store
from enforcement_api.feed.follower import Follower
from enforcement_api.settings import Settings
from sync import codec
from sync.messages import Digest


@dataclass(frozen=True, slots=True)
class Comparison:
    """The digests of an index and of the record at one sequence number."""

    site: str
    sequence: int
    index: Digest
    record: Digest
    kept: Digest

    @property
    def agree(self) -> bool:
        """Whether the rows here, the rows there, and what was kept along the way are the same."""
        return self.index == self.record == self.kept

    def as_json(self) -> dict[str, Any]:
        """For a script."""
        return {
            "site": self.site,
            "sequence": self.sequence,
            "index": codec.digest_json(self.index),
            "record": codec.digest_json(self.record),
            "agree": self.agree,
        }


def compare(
    record: Record, settings: Settings, *, site: str, now: Callable[[], datetime]
) -> Comparison:
    """Catch the index up, then recount both at the same sequence. Raises UnknownSite."""
    follower = Follower(record, settings.index_dir, now=now, seconds=settings.follow_seconds)
    while True:
        follower.catch_up(site)
        with record.reading() as tx, follower.replica(site).reading() as view:
            level = store.level(tx, site)
            if level.sequence == view.state.sequence:
                return Comparison(
                    site, level.sequence, view.recount(), store.recount(tx, site), level.digest
                )
