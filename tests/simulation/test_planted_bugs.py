"""Known-bad variants of the real code, each of which the simulation must catch.

A promise that no test can break is not tested. What only a power cut shows (a folder that is not
fsynced, an outbox at synchronous=NORMAL) is planted and caught in tests/crashes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from sync import engine, exchange, replica
from sync.clock import TrustedClock
from sync.messages import Digest
from sync.outbox import Outbox
from sync.replica import Replica
from tests.simulation.seeds import live_through

MOST_SEEDS = 12
"""Seeds within which each must be caught."""

Planted = Callable[[contextlib.ExitStack], None]


def _instead(owner: Any, name: str, work: Any) -> Planted:
    return lambda stack: stack.enter_context(mock.patch.object(owner, name, work))


def _apply_in(parts: Callable[..., Iterator[Callable[[], None]]]) -> Any:
    """Replica.apply in several transactions."""

    def apply(self: Replica, pages: Any, *, after: str | None) -> Any:
        with self._alone(), contextlib.closing(self._writer()) as connection:
            for part in parts(connection, list(pages)):
                with replica._immediate(connection):
                    part()
            return replica._read_state(connection)

    return apply


def _kept(connection: sqlite3.Connection) -> Digest:
    try:
        return replica._read_state(connection).digest
    except replica.NotFilled:
        return replica.EMPTY_DIGEST


def _rows(connection: sqlite3.Connection, pages: Any, digest: Digest) -> None:
    applier = replica._Applier(connection, digest)
    for page in pages:
        applier.apply(page)


def _cursor_first(connection: Any, pages: Any) -> Iterator[Callable[[], None]]:
    kept, last = _kept(connection), pages[-1]
    yield lambda: replica._write_state(connection, last, last.digest)
    yield lambda: _rows(connection, pages, kept)


def _acknowledge_first(item: Any) -> engine.Pass[Any]:
    yield engine.Acknowledge(item, {}, ())
    answer = yield engine.Ask(exchange.put_infraction(item.id, item.body).request)
    return exchange.put_infraction(item.id, item.body).read(answer).photos_missing


_send_infraction = engine._send_infraction


def _with_a_new_id(item: Any) -> engine.Pass[Any]:
    if not item.attempts:
        return (yield from _send_infraction(item))
    call = exchange.put_infraction(str(uuid.uuid4()), item.body)
    answer = yield engine.Ask(call.request)
    receipt = call.read(answer)
    yield engine.Acknowledge(item, exchange.message_of(answer), receipt.photos_missing)
    return receipt.photos_missing


def _xor(digest: Digest, row_hash: int) -> Digest:
    return Digest(digest.count + 1, digest.sum ^ row_hash)


def _unxor(digest: Digest, row_hash: int) -> Digest:
    return Digest(digest.count - 1, digest.sum ^ row_hash)


def _digest_by_xor(stack: contextlib.ExitStack) -> None:
    _instead(Digest, "__add__", _xor)(stack)
    _instead(Digest, "__sub__", _unxor)(stack)


_read = TrustedClock.read


def _read_with_the_wrong_sign(self: TrustedClock) -> Any:
    found = _read(self)
    return dataclasses.replace(
        found, corrected=found.device_time - found.offset, offset=-found.offset
    )


_install = Replica.install


def _install_any(self: Replica, file: Any, manifest: Any, *, distrust: bool = False) -> Any:
    return _install(self, file, manifest, distrust=True)


PLANTED: dict[str, tuple[Planted, tuple[str, ...]]] = {
    "the cursor before its rows": (
        _instead(Replica, "apply", _apply_in(_cursor_first)),
        ("another digest", "at the service", "keeps another digest"),
    ),
    "an item is done before it is acknowledged": (
        _instead(engine, "_send_infraction", _acknowledge_first),
        ("is not in the record", "are lost"),
    ),
    "a retry has a new id": (
        _instead(engine, "_send_infraction", _with_a_new_id),
        ("that nobody recorded", "is not in the record", "twice", "lost"),
    ),
    "the digest is an exclusive or": (_digest_by_xor, ("another digest",)),
    "the clock's offset has the wrong sign": (
        _instead(TrustedClock, "read", _read_with_the_wrong_sign),
        ("time is wrong",),
    ),
    "an older snapshot is accepted": (_instead(Replica, "install", _install_any), ("went back",)),
    "a restore is not noticed by the outbox": (
        _instead(Outbox, "note_epoch", lambda self, service, epoch, *, sent_since: 0),
        ("are lost",),
    ),
    "a revoked device keeps its index": (
        _instead(Replica, "wipe", lambda self: None),
        ("has not forgotten", "on a revoked device"),
    ),
}


def test_every_planted_bug_is_caught() -> None:
    caught: dict[str, tuple[int, str]] = {}
    for name, (plant, signs) in PLANTED.items():
        for seed in range(MOST_SEEDS):
            with contextlib.ExitStack() as stack:
                plant(stack)
                _, _, wrong = live_through(seed)
            if wrong:
                told = wrong.splitlines()[-1]
                assert any(sign in told for sign in signs), (name, told)
                caught[name] = (seed, told)
                break
    for name, (seed, told) in caught.items():
        print(f"{name}: seed {seed}: {told}")
    assert caught.keys() == PLANTED.keys(), PLANTED.keys() - caught.keys()
