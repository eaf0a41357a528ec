"""What a handheld does when it can reach the service: decisions, and nothing else.

A **pass** is a generator. It yields what is to be done (an `Effect`: ask the service, write to the
index or the outbox, look at the clock), is sent what came of it, and has what went wrong thrown
into it. Whoever drives it owns network, disk, clock and dice: `sync.edges` with the real ones, a
simulation with its own. So every hand-over between two parts is a `yield`, and a crash there is a
pass that is never continued: the next one begins from what is on disk.

    run(pull("1085"), perform)        # `perform(effect)` gives the result, or raises

`pull` and `push` do what they can and end; `keep_level` and `keep_empty` go on for ever, as two
threads: pulling and pushing share nothing but the clock, so that no upload waits for a poll.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from sync import exchange
from sync.codec import MalformedMessage
from sync.exchange import Answer, Call, Request
from sync.messages import ChangePage, NumberBlock, SnapshotManifest
from sync.outbox import Item
from sync.replica import BadSnapshot, DamagedIndex, DigestMismatch, StaleSnapshot, State

T = TypeVar("T")

PAGE = 2_000
"""Changes that one page may have: read, it takes a few megabytes of a telephone's memory."""
FAR_BEHIND = 50_000
"""Changes beyond which a snapshot is quicker than pages."""
LONG_POLL = (20, 25)
"""Seconds that a request waits at the service for something new: between these, so that handhelds
that began together do not ask together for ever."""
FIRST_RETRY, LAST_RETRY = 1.0, 30.0
"""Seconds between attempts without an answer: doubled each time, then half to one and a half of
it, by the dice."""
EARLY = 0.5
"""A poll that comes back with nothing before this share of its wait was cut short by somebody in
between: the next one is not sent at once."""
IDLE_PUSH = 15.0
"""Seconds after which what waits is tried again without being asked."""
SNAPSHOTS_TRIED = 2
"""A snapshot that is superseded while it is fetched is asked for anew, so often in one pass."""


# Effects: what a pass wants done, and what it is sent


class Effect:
    """Something that a pass wants done."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Ask(Effect):
    """Send a request; the Answer. With `into`, a 200 or 206 is written to that part of a download
    from its byte `have` on, as far as it comes, but never beyond `size` bytes in all. Unreachable
    when nobody answers.
    """

    request: Request
    into: str | None = None
    have: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True)
class Observe(Effect):
    """Measure the clock by an answer that told the service's time."""

    page: ChangePage
    answer: Answer


@dataclass(frozen=True, slots=True)
class ReadState(Effect):
    """How far the index has come; None when it is empty. DamagedIndex."""


@dataclass(frozen=True, slots=True)
class Apply(Effect):
    """Apply a whole catch-up to the index in one transaction; its State. DigestMismatch, …"""

    pages: Iterable[ChangePage]
    after: str | None


@dataclass(frozen=True, slots=True)
class PartSize(Effect):
    """How many bytes of a download are here; every other download is deleted."""

    sha256: str


@dataclass(frozen=True, slots=True)
class Install(Effect):
    """Replace the index by what was downloaded; its State. BadSnapshot, StaleSnapshot."""

    manifest: SnapshotManifest
    distrust: bool


@dataclass(frozen=True, slots=True)
class DeleteParts(Effect):
    """Delete what was downloaded: it is installed, or of no use."""


@dataclass(frozen=True, slots=True)
class NoteMismatch(Effect):
    """The index differed from the service's: remember it, for the service to be told."""


@dataclass(frozen=True, slots=True)
class NoteEpoch(Effect):
    """The index is of this epoch. If what was sent before went to another one, the record was
    restored since and may lack it: put what was sent back in the queue.
    """

    epoch: str


@dataclass(frozen=True, slots=True)
class Waiting(Effect):
    """What is to be sent, in order."""


@dataclass(frozen=True, slots=True)
class ReadPhoto(Effect):
    """The bytes of a kept photo. OSError."""

    sha256: str


@dataclass(frozen=True, slots=True)
class OwnerOf(Effect):
    """The infraction that has this photo, as it was sent; None when there is none."""

    photo: Item


@dataclass(frozen=True, slots=True)
class Acknowledge(Effect):
    """The service has it durably; `missing`: which of an infraction's photos it has not."""

    item: Item
    answer: Mapping[str, Any]
    missing: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class SetAside(Effect):
    """The service will never take it: keep it where it blocks nothing."""

    item: Item
    problem: str


@dataclass(frozen=True, slots=True)
class Failed(Effect):
    """An attempt did not get through."""

    item: Item
    problem: str


@dataclass(frozen=True, slots=True)
class Facts(Effect):
    """How this device is doing, if the service should be told now; else None."""


@dataclass(frozen=True, slots=True)
class Told(Effect):
    """The service was told."""

    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BlockWanted(Effect):
    """The id of a block of numbers to ask for, the same until it came; None: enough are left."""


@dataclass(frozen=True, slots=True)
class KeepBlock(Effect):
    """Keep a block of numbers."""

    id: str
    block: NumberBlock


@dataclass(frozen=True, slots=True)
class IsTokenOld(Effect):
    """Whether the token is to be renewed."""


@dataclass(frozen=True, slots=True)
class KeepToken(Effect):
    """Keep a new token, durably, and use it from now on."""

    token: str


@dataclass(frozen=True, slots=True)
class BriefingWanted(Effect):
    """The ETag of the briefing that is here, empty for none; None: it was asked for just now."""


@dataclass(frozen=True, slots=True)
class KeepBriefing(Effect):
    """Keep what the service tells besides the feed; None: nothing new."""

    briefed: exchange.Briefed | None


@dataclass(frozen=True, slots=True)
class Tidy(Effect):
    """Delete what was sent so long ago that no restored record can lack it."""


@dataclass(frozen=True, slots=True)
class BootClock(Effect):
    """The seconds of the device's clock that nobody sets."""


@dataclass(frozen=True, slots=True)
class Level(Effect):
    """The index is level; whoever looks is told."""

    state: State


@dataclass(frozen=True, slots=True)
class Pushed(Effect):
    """What one pass of sending came to; whoever looks is told."""

    sent: int
    set_aside: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Trouble(Effect):
    """It did not work; whoever looks is told."""

    error: Exception


@dataclass(frozen=True, slots=True)
class EndTrust(Effect):
    """The device was revoked: its plates are deleted, what was recorded stays."""

    error: exchange.Revoked


@dataclass(frozen=True, slots=True)
class Rest(Effect):
    """Wait so many seconds, or until somebody asks for haste."""

    seconds: float


Pass = Generator[Effect, Any, T]
Dice = Callable[[], float]
"""A number from 0 up to 1, at random."""


def run(steps: Pass[T], perform: Callable[[Effect], Any]) -> T:
    """Drive a pass to its end. Raises what it raises."""
    try:
        effect = next(steps)
        while True:
            try:
                result = perform(effect)
            except Exception as error:
                effect = steps.throw(error)
            else:
                effect = steps.send(result)
    except StopIteration as end:
        value: T = end.value
        return value
    finally:
        steps.close()


def _ask(call: Call[T]) -> Pass[T]:
    answer = yield Ask(call.request)
    return call.read(answer)


# Pulling


def pull(site: str, *, wait: int = 0, limit: int = PAGE) -> Pass[State]:
    """Get level: by pages, or by a snapshot when new, far behind, expired or damaged.

    `wait` seconds for something new when already level. Raises ServiceError, BadSnapshot,
    MalformedMessage, Overtaken, what SQLite and the disk refuse, and DigestMismatch when even a
    fresh snapshot does not lead to what the service has.
    """
    state, measured = yield from _get_level(site, wait, limit)
    yield NoteEpoch(state.epoch)
    if not measured:
        # What is here is level, whatever becomes of this; the next pull tells of it.
        with contextlib.suppress(exchange.ServiceError, MalformedMessage):
            yield from _page(site, state.cursor, 0, 1)
    return state


def _get_level(site: str, wait: int, limit: int) -> Pass[tuple[State, bool]]:
    """The state, and whether the clock was measured on the way."""
    fetched = False
    try:
        here: State | None = yield ReadState()
        if here is None:
            fetched = True
            here = yield from _bootstrap(site)
        return (yield from _catch_up_from(site, here, 0 if fetched else wait, limit))
    except (exchange.CursorExpired, DamagedIndex):
        # The record may have been rolled back within its epoch: what is here is no measure.
        pass
    except DigestMismatch:
        yield NoteMismatch()
        if fetched:
            raise
    here = yield from _bootstrap(site, distrust=True)
    return (yield from _catch_up_from(site, here, 0, limit))


def _catch_up_from(site: str, here: State, wait: int, limit: int) -> Pass[tuple[State, bool]]:
    first, read = yield from _page(site, here.cursor, wait, limit)
    measured = wait == 0
    if first.sequence - here.sequence > FAR_BEHIND:
        # The newest snapshot may be older than what is here, or be damaged on its way: then pages
        # are the way after all.
        with contextlib.suppress(StaleSnapshot, BadSnapshot):
            here = yield from _bootstrap(site)
            first, read = yield from _page(site, here.cursor, 0, limit)
            measured = True
    pages = yield from _rest_of(site, first, read, limit)
    return (yield Apply(pages, here.cursor)), measured or first.more


def pull_by_pages(site: str, *, limit: int = PAGE) -> Pass[State]:
    """Fill an empty replica from the beginning of the feed, without a snapshot."""
    first, read = yield from _page(site, None, 0, limit)
    pages = yield from _rest_of(site, first, read, limit)
    state: State = yield Apply(pages, None)
    return state


def _page(
    site: str, after: str | None, wait: int, limit: int
) -> Pass[tuple[ChangePage, Callable[[], ChangePage]]]:
    """One page, and a way to read it again. Only one that was not waited for measures the clock:
    the service tells the time when it answers, and how much of a wait was the way back nobody
    knows.
    """
    call = exchange.changes(site, after=after, limit=limit, wait=wait)
    answer = yield Ask(call.request)
    page = call.read(answer)
    if wait == 0:
        yield Observe(page, answer)
    return page, partial(call.read, answer)


@dataclass(frozen=True, slots=True)
class _ReadAgain:
    """The pages of a catch-up, each read again when its turn comes: at hand are the answers, which
    take a fraction of the memory of what they say.
    """

    reads: Sequence[Callable[[], ChangePage]]

    def __iter__(self) -> Iterator[ChangePage]:
        return (read() for read in self.reads)


def _rest_of(
    site: str, page: ChangePage, read: Callable[[], ChangePage], limit: int
) -> Pass[Iterable[ChangePage]]:
    """All pages of a catch-up: nothing is applied before the last one is here."""
    if not page.more:
        return [page]
    reads = [read]
    while page.more:
        page, read = yield from _page(site, page.cursor, 0, limit)
        reads.append(read)
    return _ReadAgain(reads)


def _bootstrap(site: str, *, distrust: bool = False) -> Pass[State]:
    for tries_left in reversed(range(SNAPSHOTS_TRIED)):
        manifest = yield from _ask(exchange.snapshot(site))
        try:
            yield from _download(manifest)
            break
        except exchange.Refused:
            # A newer one took its place, or its hour was over.
            if not tries_left:
                raise
    try:
        state: State = yield Install(manifest, distrust)
    except (BadSnapshot, StaleSnapshot):
        yield DeleteParts()
        raise
    yield DeleteParts()
    return state


def _download(manifest: SnapshotManifest) -> Pass[None]:
    """Fetch what of the file is not here yet. What is cut goes on from there the next time."""
    have: int = yield PartSize(manifest.sha256)
    if have > manifest.bytes:
        yield DeleteParts()
        have = 0
    if have < manifest.bytes:
        call = exchange.snapshot_file(manifest, have=have)
        call.read((yield Ask(call.request, manifest.sha256, have, manifest.bytes)))


# Pushing


class PhotoHeldUp(exchange.Unreachable):
    """A photo did not get through; what is smaller may."""


def push() -> Pass[Pushed]:
    """Send what waits: infractions and events first, the oldest first, then photos; what is
    recorded while photos go up goes between two of them.

    What is refused or cannot be read is set aside, what gets an answer that settles nothing goes
    on waiting; neither keeps the next one back. Raises Unreachable and Unauthorized, with the rest
    still waiting.
    """
    sent = refused = 0
    tried: set[tuple[str, str]] = set()
    while True:
        items: list[Item] = yield Waiting()
        untried = [item for item in items if (item.kind, item.id) not in tried]
        small = [item for item in untried if item.kind != "photo"]
        if not untried:
            return Pushed(sent, refused, len(items))
        for item in small or untried[:1]:
            tried.add((item.kind, item.id))
            try:
                yield from _send(item)
            except exchange.NotNow as error:
                yield Failed(item, str(error))
            except exchange.Unreachable as error:
                yield Failed(item, str(error))
                if item.kind == "photo":
                    raise PhotoHeldUp(str(error)) from error
                raise
            except exchange.Unauthorized:
                raise
            except exchange.Refused as error:
                yield SetAside(item, str(error))
                refused += 1
            except OSError as error:
                # The photo's file: every answer that did not come is Unreachable.
                yield SetAside(item, str(error))
                refused += 1
            else:
                sent += 1


def _send(item: Item) -> Pass[None]:
    if item.kind == "infraction":
        yield from _send_infraction(item)
    elif item.kind == "event":
        assert item.body is not None
        yield from _ask(exchange.put_event(item.id, item.body))
        yield Acknowledge(item, {})
    elif not item.attempts or (yield from _is_missing(item)):
        picture = yield ReadPhoto(item.id)
        yield from _ask(exchange.put_photo(item.id, picture))
        yield Acknowledge(item, {})


def _send_infraction(item: Item) -> Pass[Sequence[str]]:
    """The photos that the service lacks."""
    assert item.body is not None
    call = exchange.put_infraction(item.id, item.body)
    answer = yield Ask(call.request)
    receipt = call.read(answer)
    yield Acknowledge(item, exchange.message_of(answer), receipt.photos_missing)
    if receipt.epoch is not None:
        yield NoteEpoch(receipt.epoch)
    return receipt.photos_missing


def _is_missing(photo: Item) -> Pass[bool]:
    """Whether a photo must be sent again. It may have arrived, and only the answer was lost: on a
    weak link, asking costs a thousandth of the photo. Its infraction's receipt tells.
    """
    owner: Item | None = yield OwnerOf(photo)
    return owner is None or photo.id in (yield from _send_infraction(owner))


def tend(site: str) -> Pass[None]:
    """What device and service owe one another besides: news of the device, numbers, a token, the
    briefing.

    A service that knows nothing of one of them keeps nothing else back.
    """
    facts: Mapping[str, Any] | None = yield Facts()
    if facts is not None and (yield from _settled(exchange.tell(facts))) is not _UNSETTLED:
        yield Told(facts)
    block_id: str | None = yield BlockWanted()
    if block_id is not None:
        block = yield from _settled(exchange.number_block(site, block_id))
        if isinstance(block, NumberBlock):
            yield KeepBlock(block_id, block)
    if (yield IsTokenOld()):
        token = yield from _settled(exchange.rotate_token())
        if isinstance(token, str):
            yield KeepToken(token)
    etag: str | None = yield BriefingWanted()
    if etag is not None:
        briefed = yield from _settled(exchange.briefing(site, etag=etag))
        if briefed is not _UNSETTLED:
            yield KeepBriefing(briefed)
    yield Tidy()


_UNSETTLED = object()


def _settled(call: Call[Any]) -> Pass[Any]:
    """What the service says; _UNSETTLED if it does not want to. Raises Unreachable, Revoked."""
    try:
        return (yield from _ask(call))
    except exchange.Unauthorized:
        raise
    except (exchange.NotNow, exchange.Refused, MalformedMessage):
        return _UNSETTLED


# For ever


def keep_level(site: str, *, dice: Dice, limit: int = PAGE) -> Pass[None]:
    """Pull as long as this device is trusted."""
    pause, wait = FIRST_RETRY, 0
    sequence = None
    while True:
        try:
            try:
                began: float = yield BootClock()
                state = yield from pull(site, wait=wait, limit=limit)
                took: float = (yield BootClock()) - began
            except exchange.Revoked as error:
                yield from _end_trust(error)
                return
        except Exception as error:
            yield Trouble(error)
            yield Rest(_about(pause, dice))
            pause, wait = min(pause * 2, LAST_RETRY), 0
            continue
        cut_short = state.sequence == sequence and took < EARLY * wait
        sequence = state.sequence
        shortest, longest = LONG_POLL
        pause, wait = FIRST_RETRY, shortest + int((longest - shortest + 1) * dice())
        yield Level(state)
        if cut_short:
            yield Rest(_about(FIRST_RETRY, dice))


def keep_empty(site: str, *, dice: Dice) -> Pass[None]:
    """Push, for ever: what a revoked device recorded is still taken."""
    pause = FIRST_RETRY
    while True:
        held_up = True
        try:
            try:
                pushed = yield from push()
                yield pushed
                held_up = bool(pushed.waiting and not pushed.sent)
                yield from tend(site)
            except PhotoHeldUp:
                yield from tend(site)
                raise
            except exchange.Revoked as error:
                yield from _end_trust(error)
        except Exception as error:
            yield Trouble(error)
        pause = min(pause * 2, LAST_RETRY) if held_up else FIRST_RETRY
        is_empty = False
        with contextlib.suppress(Exception):  # it was told of above, or will be
            is_empty = not (yield Waiting())
        yield Rest(IDLE_PUSH if is_empty else _about(pause, dice))


def _end_trust(error: exchange.Revoked) -> Pass[None]:
    """A device that is not trusted pulls no more: it hears here that the record was restored.

    Raises what the disk refuses: then it is to be tried again.
    """
    yield EndTrust(error)
    epoch = error.problem.get("epoch")
    if isinstance(epoch, str) and epoch:
        yield NoteEpoch(epoch)


def _about(seconds: float, dice: Dice) -> float:
    return seconds * (0.5 + dice())
