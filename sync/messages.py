"""What crosses the network between the service and a handheld (CONTRACT, "Sync")."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

PROTOCOL_VERSION = 1
"""2026-11: the first protocol. A reader refuses a higher number than it knows."""

LARGEST_SNAPSHOT = 256 * 1024 * 1024
"""Bytes of a snapshot as it travels: seven million permits. What promises more is not believed."""

Kind = Literal["site", "zone", "lot", "code", "permit", "hotlist", "notice"]
Record = Mapping[str, Any]
"""One entity as the feed carries it: JSON, every field present, no floating-point numbers."""

_MODULUS = 1 << 64


@dataclass(frozen=True, slots=True)
class Digest:
    """How many rows there are and the sum of their hashes modulo 2^64: order does not matter."""

    count: int
    sum: int

    def __add__(self, row_hash: int) -> Digest:
        """The digest with one row more."""
        return self.with_rows((row_hash,))

    def __sub__(self, row_hash: int) -> Digest:
        """The digest with one row less."""
        return self.without_rows((row_hash,))

    def with_rows(self, hashes: Iterable[int]) -> Digest:
        """The digest with as many rows more."""
        count, total = self.count, self.sum
        for row_hash in hashes:
            count += 1
            total += row_hash
        return Digest(count, total % _MODULUS)

    def without_rows(self, hashes: Iterable[int]) -> Digest:
        """The digest with as many rows less."""
        gone = EMPTY_DIGEST.with_rows(hashes)
        return Digest(self.count - gone.count, (self.sum - gone.sum) % _MODULUS)

    @property
    def hex(self) -> str:
        """The sum as it travels: 16 hexadecimal digits."""
        return f"{self.sum:016x}"


EMPTY_DIGEST = Digest(0, 0)


class Change(NamedTuple):
    """One whole record, or its removal (record None)."""

    kind: str
    id: str
    record: Record | None


@dataclass(frozen=True, slots=True)
class ChangePage:
    """A part of the feed. Only the last page of a catch-up has a digest."""

    protocol: int
    epoch: str
    cursor: str
    sequence: int
    more: bool
    changes: tuple[Change, ...]
    digest: Digest | None
    server_time: datetime
    fed_at: datetime | None


@dataclass(frozen=True, slots=True)
class SnapshotManifest:
    """Where a whole index can be fetched, and what it must turn out to be."""

    protocol: int
    epoch: str
    cursor: str
    sequence: int
    url: str
    sha256: str
    bytes: int
    encoding: str
    digest: Digest
    server_time: datetime
    fed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Receipt:
    """The service's durable acknowledgement of an infraction."""

    id: str
    received_at: datetime
    state: str
    recheck_verdict: str | None
    recheck_differs: bool
    photos_missing: tuple[str, ...]
    warnings: tuple[str, ...]
    epoch: str | None = None
    """The record's that has it; an older service does not say."""


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What a handheld gets for its code: who it is, its secret, where it works."""

    device: str
    token: str
    sites: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SignIn:
    """Who a badge and a PIN belong to, and until when the device may say so by itself."""

    patroller: str
    offline_until: datetime
    name: str = ""


@dataclass(frozen=True, slots=True)
class NumberBlock:
    """Numbers of notices for one device alone: the prefix and the integers `first` to `last`."""

    prefix: str
    first: int
    last: int
