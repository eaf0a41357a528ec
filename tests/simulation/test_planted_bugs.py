"""Known-bad variants of the real code, each of which the simulation or a power cut must catch.

A promise that no test can break is not tested. `pytest -s` shows what caught each.
"""

from __future__ import annotations

import contextlib
import dataclasses
import operator
import sqlite3
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial, reduce
from pathlib import Path
from typing import Any
from unittest import mock

from enforcement_api.feed import store as feed
from sync import engine, exchange, replica
from sync.clock import TrustedClock
from sync.messages import Digest
from sync.outbox import Outbox
from sync.replica import Replica
from tests.crashes.cuts import cut_everywhere
from tests.crashes.workloads import apply_in, apply_rows
from tests.postgres import fresh_database
from tests.simulation.seeds import live_through
from tests.simulation.writers import interleave

MOST_SEEDS = 12
"""Seeds within which each must be caught."""

Planted = Callable[[contextlib.ExitStack], None]
Hunt = Callable[[], str]
"""What caught a bug; empty: nothing did."""


def _instead(owner: Any, name: str, work: Any) -> Planted:
    return lambda stack: stack.enter_context(mock.patch.object(owner, name, work))


def _page_by_page(connection: Any, pages: Any) -> Iterator[Callable[[], None]]:
    for page in pages:
        yield partial(_page_with_its_cursor, connection, page)


def _page_with_its_cursor(connection: Any, page: Any) -> None:
    digest = apply_rows(connection, [page])
    replica._write_state(connection, page, digest)


def _catch_up_step_by_step(site: str, here: Any, wait: int, limit: int) -> engine.Pass[Any]:
    page, _ = yield from engine._page(site, here.cursor, wait, limit)
    while page.more:
        here = yield engine.Apply([page], here.cursor)
        page, _ = yield from engine._page(site, here.cursor, 0, limit)
    return (yield engine.Apply([page], here.cursor)), wait == 0


def _verdicts_between_pages(stack: contextlib.ExitStack) -> None:
    _instead(Replica, "apply", apply_in(_page_by_page))(stack)
    _instead(engine, "_catch_up_from", _catch_up_step_by_step)(stack)


def _unpack_what_there_is(file: Path, path: Path, manifest: Any) -> None:
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    with open(path, "wb") as target, contextlib.suppress(zlib.error):
        for byte in file.read_bytes():
            target.write(unpacker.decompress(bytes([byte])))


def _inspect_nothing(path: Path, manifest: Any) -> Any:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return replica._read_state(connection)


def _half_verified(stack: contextlib.ExitStack) -> None:
    _instead(replica, "_unpack", _unpack_what_there_is)(stack)
    _instead(replica, "_inspect", _inspect_nothing)(stack)


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


def _xor(digest: Digest, hashes: Iterable[int]) -> Digest:
    found = list(hashes)
    return Digest(digest.count + len(found), reduce(operator.xor, found, digest.sum))


def _unxor(digest: Digest, hashes: Iterable[int]) -> Digest:
    found = list(hashes)
    return Digest(digest.count - len(found), reduce(operator.xor, found, digest.sum))


def _digest_by_xor(stack: contextlib.ExitStack) -> None:
    _instead(Digest, "with_rows", _xor)(stack)
    _instead(Digest, "without_rows", _unxor)(stack)


_read = TrustedClock.read


def _read_with_the_wrong_sign(self: TrustedClock) -> Any:
    found = _read(self)
    return dataclasses.replace(
        found, corrected=found.device_time - found.offset, offset=-found.offset
    )


_install = Replica.install


def _install_any(self: Replica, file: Any, manifest: Any, *, distrust: bool = False) -> Any:
    return _install(self, file, manifest, distrust=True)


_lock = feed.lock


def _lock_let_go(tx: Any, site: str) -> Any:
    """As feed.lock; the lock ends with a part of the transaction."""
    with tx.begin_nested() as part:
        counter = _lock(tx, site)
        part.rollback()
    return counter


# Who catches them


def _simulated(plant: Planted, *signs: str, first: int = 0) -> Hunt:
    """Seeds, one after another, until one fails with one of the signs. `first`: a seed that is
    known to be quick to; any other may take its place.
    """

    def hunt() -> str:
        for seed in (first, *range(MOST_SEEDS)):
            with contextlib.ExitStack() as stack:
                plant(stack)
                _, _, wrong = live_through(seed)
            if wrong:
                told = wrong.splitlines()[-1]
                assert any(sign in told for sign in signs), f"{signs}: seed {seed}: {told}"
                return f"seed {seed}: {told}"
        return ""

    return hunt


def _power_cut(workload: str, flaw: str) -> Hunt:
    def hunt() -> str:
        found = cut_everywhere(workload, flaw, singly=1, samples=1, until_failed=True)
        return "".join(f"a power cut {str(cut).splitlines()[0]}" for cut in found.failed)

    return hunt


PLANTED: Mapping[str, Hunt] = {
    "the cursor before its rows": _power_cut("index", "cursor-before-its-rows"),
    "the cursor in another transaction": _power_cut("index", "cursor-in-another-transaction"),
    "verdicts in the middle of a catch-up": _simulated(
        _verdicts_between_pages, "than the service had", "at the service"
    ),
    "a half-verified snapshot is used": _simulated(
        _half_verified,
        *("cannot read what it has filled", "another digest", "never was", "no rest", "KeyError"),
        first=1,
    ),
    "an older snapshot is accepted": _simulated(
        _instead(Replica, "install", _install_any), "went back"
    ),
    "an item is done before it is acknowledged": _simulated(
        _instead(engine, "_send_infraction", _acknowledge_first),
        *("is not in the record", "are lost"),
    ),
    "a retry has a new id": _simulated(
        _instead(engine, "_send_infraction", _with_a_new_id),
        *("that nobody recorded", "is not in the record", "twice", "lost"),
    ),
    "the digest is an exclusive or": _simulated(_digest_by_xor, "another digest"),
    "the clock's offset has the wrong sign": _simulated(
        _instead(TrustedClock, "read", _read_with_the_wrong_sign), "time is wrong"
    ),
    "a restore is not noticed by the outbox": _simulated(
        _instead(Outbox, "note_epoch", lambda self, service, epoch, *, sent_since: 0),
        "are lost",
        first=3,
    ),
    "a revoked device keeps its index": _simulated(
        _instead(Replica, "wipe", lambda self: None),
        *("has not forgotten", "on a revoked device"),
        first=2,
    ),
    "the outbox at synchronous=NORMAL": _power_cut("outbox", "outbox-at-normal"),
    "a folder that is not fsynced": _power_cut("index", "no-folder-synced"),
}


def test_every_planted_bug_is_caught(postgres_url: str, tmp_path: Path) -> None:
    def two_writers() -> str:
        with mock.patch.object(feed, "lock", _lock_let_go):
            return interleave(fresh_database(postgres_url), tmp_path / "planted")

    hunts = dict(PLANTED) | {"the counter row is not locked until commit": two_writers}
    caught = {name: hunt() for name, hunt in hunts.items()}
    for name, what in caught.items():
        print(f"{name}: {what or 'NOT CAUGHT'}")
    assert all(caught.values()), [name for name, what in caught.items() if not what]


def test_two_writers_take_nothing_from_a_poller(postgres_database_url: str, tmp_path: Path) -> None:
    assert interleave(postgres_database_url, tmp_path) == ""
