"""A handheld on the simulation's network, disk and clocks: the real engine, index and outbox."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from handheld_app.briefing import Briefings
from handheld_app.device import DeviceFile
from handheld_app.edges import DeviceEdges
from handheld_app.notebook import Notebook
from sync import client, codec, engine, exchange
from sync.clock import Measurement, Stamp, TrustedClock
from sync.codec import MalformedMessage, instant
from sync.engine import Effect
from sync.exchange import Answer, Request, ServiceError, Unreachable
from sync.outbox import Outbox
from sync.plates import Plate
from sync.replica import Replica, ReplicaError, State
from tests.service import ADDRESS, infraction, picture
from tests.simulation.disk import Crash, Disk, at_work
from tests.simulation.knowledge import Knowledge
from tests.simulation.network import GOOD, Agenda, Network, shortened
from tests.simulation.service import SITE, Reply
from tests.simulation.world import World

PAGES = (3, 6, 20, 50)
"""Changes of a page: a catch-up has several with some, so that it can be cut between two."""
SPOILED = 0.15
"""Of the downloads, how many come with a wrong bit: over a good network too, there are so few."""
FILLING = (engine.Apply, engine.Install)
FRAIL = 0.15
"""Of the times that an index is filled, how many a crash comes into."""
ROOM = 1 << 40
EXPECTED = (ServiceError, ReplicaError, MalformedMessage, sqlite3.Error, OSError)
"""What a pass may meet; anything else is a defect."""
_MILLISECOND = timedelta(milliseconds=1)


class Defect(BaseException):
    """A promise was broken inside a pass, which would catch an Exception and go on."""


class _Pass:
    """One of the two endless passes of a handheld: what it wants done, or what it waits for."""

    def __init__(self, name: str, steps: engine.Pass[None]) -> None:
        self.name = name
        self.steps = steps
        self.wanted: Effect | None = None
        self.waits_for = 0
        """The number of what it waits for: an answer, or the end of a rest; what comes for another
        number comes too late."""
        self.life = 0
        """Of the service, when it gave the last answer that came."""
        self.status = 0


class SimulatedHandheld:
    """It may crash, be rebooted, have its clock set, lose its network or its trust."""

    def __init__(
        self, world: World, agenda: Agenda, network: Network, knowledge: Knowledge, folder: Path
    ) -> None:
        self.world = world
        self.agenda = agenda
        self.network = network
        self.knowledge = knowledge
        self.folder = folder
        self.name = folder.name
        self.disk = Disk()
        self.link = GOOD
        self.recorded: dict[str, dict[str, Any]] = {}
        """What a patroller was told is kept."""
        self.perhaps: dict[str, dict[str, Any]] = {}
        """What was being recorded when the handheld crashed: it may be there, or not."""
        self.noted: set[str] = set()
        """The events that are kept."""
        self.acknowledged: Callable[[engine.Acknowledge, int], None] = lambda effect, life: None
        self._wall_error = timedelta(seconds=world.dice.uniform(-200, 200))
        self._drift = world.dice.uniform(-40e-6, 40e-6)
        self._booted = world.seconds - world.dice.uniform(0, 1e6)
        self._boots = 0
        self._page = world.dice.choice(PAGES)
        self._asked = 0
        self.is_up = False
        self.crash_in: tuple[tuple[type[Effect], ...], int] | None = None
        """At which hand-over to the disk, from the next effect of these kinds on, it crashes."""
        self.is_frail = True
        """Whether it crashes now and then while it fills its index, which is seldom."""
        self._filled: tuple[str, int] | None = None
        self._seen: tuple[int, bool] | None = None
        self.level_at = -1.0
        """When a pull last came to its end."""
        self.passes: dict[str, _Pass] = {}
        self.start()

    # its clocks

    def _elapsed(self) -> float:
        return (self.world.seconds - self._booted) * (1 + self._drift)

    def _wall(self) -> datetime:
        return self.world.now() + self._wall_error + timedelta(seconds=self._elapsed() * 1e-9)

    def set_clock(self, error: timedelta) -> None:
        self._wall_error += error

    def reboot(self) -> None:
        """The battery was empty: as after a crash, and the boot clock begins anew."""
        self.crash()
        self._booted, self._boots = self.world.seconds, self._boots + 1

    # its life

    def start(self) -> None:
        """Open what is on disk, and begin."""
        self.disk.restart()
        try:
            with at_work(self.disk):
                self._open()
        except (OSError, sqlite3.Error) as error:
            self.world.tell(self.name, "does not start:", type(error).__name__)
            return
        self.is_up, self.revoked = True, False
        self.look(recount=True)
        self.begin()

    def _open(self) -> None:
        file = DeviceFile(self.folder / "device.json", new_install_id=str(self._id()))
        self.device_file = file
        kept = Measurement.from_json(file.device.clock)
        boot_id = f"{self.name} {self._boots}"
        self.clock = TrustedClock(
            self._wall, self._elapsed, boot_id=boot_id, kept=kept, keep=self._keep_measurement
        )
        self.outbox = Outbox(self.folder, free=lambda _: 0 if self.disk.is_full else ROOM)
        self.replica = Replica(self.folder / "index")
        self.notebook = Notebook(self.folder)
        self._edges = DeviceEdges(
            _NoClient(),
            self.replica,
            self.outbox,
            self.clock,
            self.device_file,
            Briefings(self.notebook),
        )

    def _id(self) -> str:
        bits = f"{self.world.dice.getrandbits(128):032x}"
        bits = f"{bits[:12]}4{bits[13:16]}8{bits[17:]}"
        return f"{bits[:8]}-{bits[8:12]}-{bits[12:16]}-{bits[16:20]}-{bits[20:]}"

    def _keep_measurement(self, measurement: Measurement) -> None:
        with contextlib.suppress(OSError):
            self.device_file.change(clock=measurement.as_json())

    def enrolled(self, device: str, token: str) -> None:
        """It is this device from now on; on disk before it is used."""
        self.device_file.change(
            server=ADDRESS,
            device=device,
            token=token,
            next_token="",
            old_token="",
            sites=(SITE,),
            site=SITE,
        )
        self.revoked = False
        self.begin()

    def begin(self) -> None:
        """Let both passes begin, if it is enrolled."""
        self.passes = {}
        if not self.device_file.device.token:
            return
        dice = self.world.dice.random
        for name, steps in (
            ("pull", engine.keep_level(SITE, dice=dice, limit=self._page)),
            ("push", engine.keep_empty(SITE, dice=dice)),
        ):
            self.passes[name] = _Pass(name, steps)
            self._go_on(self.passes[name], lambda steps=steps: next(steps))

    def crash(self) -> None:
        """It is gone, in the middle of whatever it did."""
        self.world.tell(self.name, "crashes")
        self.is_up = False
        with at_work(self.disk):
            self.disk.is_dead = True
            for running in self.passes.values():
                with contextlib.suppress(Crash):
                    running.steps.close()
        self.passes = {}
        self.replica.close()
        self.outbox.close()
        self.notebook.close()

    def close(self) -> None:
        if self.is_up:
            self.crash()

    # its passes

    def ready(self) -> list[_Pass]:
        """Those that want something done, and wait for nothing."""
        return [running for running in self.passes.values() if running.wanted is not None]

    def step(self, running: _Pass) -> None:
        """Do the one thing that a pass wants done."""
        effect, running.wanted = running.wanted, None
        assert effect is not None
        if self.crash_in is not None and _writes(effect, self.crash_in[0]):
            self.disk.crash_in, self.crash_in = self.crash_in[1], None
        elif self.is_frail and _writes(effect, FILLING) and self.world.chance(FRAIL):
            self.disk.crash_in = self.world.dice.choice((0, 1, 1, 2, 5))
        try:
            with at_work(self.disk):
                result = self._perform(running, effect)
        except Crash:
            self.crash()
        except AssertionError:
            raise  # ours: it is no affair of the pass
        except Exception as error:
            self.world.tell(self.name, running.name, type(effect).__name__, type(error).__name__)
            failure = error
            self._go_on(running, lambda: running.steps.throw(failure))
        else:
            if running.waits_for == 0:
                self._go_on(running, lambda: running.steps.send(result))

    def _go_on(self, running: _Pass, turn: Callable[[], Effect]) -> None:
        running.waits_for = 0
        try:
            with at_work(self.disk):
                running.wanted = turn()
        except StopIteration:
            running.wanted = None
        except Crash:
            self.crash()

    def _perform(self, running: _Pass, effect: Effect) -> Any:
        match effect:
            case engine.Ask():
                self._ask(running, effect)
                return None
            case engine.Rest(seconds):
                number = self._wait(running)
                self.agenda.put(seconds, lambda: self._rested(running, number))
                return None
            case engine.Level():
                self.level_at = self.world.seconds
                self.look(recount=True)
            case engine.Trouble(error):
                if not isinstance(error, EXPECTED):
                    raise Defect(f"{type(error).__name__}: {error}") from error
                self.world.tell(self.name, running.name, "trouble:", type(error).__name__)
            case engine.Pushed(sent, set_aside, waiting):
                if sent or set_aside:
                    self.world.tell(self.name, "sent", sent, set_aside, waiting)
            case engine.EndTrust():
                self.revoked = True
                self.replica.wipe()
                self._filled = None
                assert self.replica.state() is None, f"{self.name} has not forgotten its plates"
                self.world.tell(self.name, "is revoked")
            case engine.Install() | engine.Apply():
                try:
                    state = self._edges.perform(effect)
                    self.world.tell(self.name, type(effect).__name__, state.sequence)
                    self._check_filled(effect, state)
                    return state
                finally:
                    if self.revoked:
                        self.replica.wipe()
            case engine.Observe():
                self._edges.perform(effect)
                self.check_clock()
            case engine.Acknowledge(item):
                self._edges.perform(effect)
                self.world.tell(self.name, "acknowledged", item.kind)
                self.acknowledged(effect, running.life)
            case _:
                return self._edges.perform(effect)
        return None

    def _wait(self, running: _Pass) -> int:
        self._asked += 1
        running.waits_for = self._asked
        return self._asked

    def _still_waits(self, running: _Pass, number: int) -> bool:
        return running is self.passes.get(running.name) and running.waits_for == number

    def _rested(self, running: _Pass, number: int) -> None:
        if self._still_waits(running, number):
            self._go_on(running, lambda: running.steps.send(None))

    def _ask(self, running: _Pass, ask: engine.Ask) -> None:
        number, sent = self._wait(running), self.clock.stamp()
        shown = self.device_file.device.secret

        def answered(reply: Reply, cut: bool) -> None:
            if not self._still_waits(running, number):
                return  # it has given up, asks something else by now, or has crashed since
            running.life = reply.life
            turn = partial(self._take, ask, reply, cut, sent)
            try:
                with at_work(self.disk):
                    answer = turn()
                    if self._has_another_token(answer, shown):
                        self._ask(running, ask)
                        return
            except Crash:
                self.crash()
            except Exception as error:
                failure = error
                self._go_on(running, lambda: running.steps.throw(failure))
            else:
                self._go_on(running, lambda: running.steps.send(answer))

        def gave_up() -> None:
            if self._still_waits(running, number):
                error = Unreachable("no answer")
                self._go_on(running, lambda: running.steps.throw(error))

        self._send(ask.request, answered)
        self.agenda.put(ask.request.patience, gave_up)

    def _has_another_token(self, answer: Answer, shown: str) -> bool:
        """As DeviceEdges: whether to ask again, with another token."""
        file = self.device_file
        if exchange.is_unknown_token(answer):
            return file.device.secret != shown or file.token_refused(shown)
        if answer.status < 400:
            file.token_worked(shown, at=self.clock.now())
        return False

    def _send(self, request: Request, answered: Callable[[Reply, bool], None]) -> None:
        token = self.device_file.device.secret
        self.network.send(request, token=token, link=self.link, answered=answered)

    def _take(self, ask: engine.Ask, reply: Reply, cut: bool, sent: Stamp) -> Answer:
        received, body = self.clock.stamp(), reply.body
        if ask.into is not None and reply.status in (200, 206):
            part = client.Part(self._edges._part(ask.into), ask.have, ask.size)
            content = shortened(self.world, body) if cut else body
            if self.world.chance(SPOILED):
                content = flipped(self.world, content)
            stream = _Stream(content, cut=cut)
            response = httpx.Response(reply.status, headers=reply.headers, stream=stream)
            try:
                client._write(response, part)
            except httpx.HTTPError as error:
                raise Unreachable(str(error)) from error
            body = b""
        elif cut:
            raise Unreachable("the connection broke")
        return Answer(reply.status, reply.headers, body, sent, received)

    # its patroller

    def check(self, plate: Plate, zone: str) -> None:
        """Ask for a verdict: it is the one that the service knew at a level that there was."""
        self.look(recount=False)
        at = self.clock.now()
        try:
            with self.replica.reading() as view:
                state, found = view.state, view.judge(plate, zone=zone, at=at)
        except ReplicaError as error:
            self.world.tell(self.name, "no verdict:", type(error).__name__)
            return
        assert not self.revoked, "a verdict on a revoked device"
        known = self.knowledge.at(state.epoch, state.sequence)
        assert known is not None
        wanted = known.verdict(plate, zone, at)
        assert (found.verdict, found.changes_at) == wanted, (
            f"{plate.text} in {zone} is {found.verdict} on {self.name}, {wanted[0]} at the service"
        )
        self.world.tell(self.name, "judges", plate.text, found.verdict)

    def _check_filled(self, effect: Effect, state: State) -> None:
        """What was installed or applied is whole, and no step back unless it was distrusted."""
        distrusted = isinstance(effect, engine.Install) and effect.distrust
        if self._filled is not None and not distrusted and self._filled[0] == state.epoch:
            assert state.sequence >= self._filled[1], (
                f"{self.name} went back from {self._filled[1]} to {state.sequence}"
            )
        self._filled = (state.epoch, state.sequence)
        if self.revoked:
            return
        try:
            self.look(recount=True, strictly=True)
        except ReplicaError as error:
            raise AssertionError(f"{self.name} cannot read what it has filled: {error}") from error

    def look(self, *, recount: bool, strictly: bool = False) -> None:
        """What the index says of itself is true of one moment of the service.

        Until something is handed over to the disk it says the same.
        """
        seen = (self.disk.handed_over, recount)
        if seen == self._seen and not strictly:
            return
        try:
            with self.replica.reading() as view:
                state = view.state
                counted = view.recount() if recount else state.digest
        except ReplicaError:
            if strictly:
                raise
            return
        known = self.knowledge.at(state.epoch, state.sequence)
        assert known is not None, f"{self.name} is at a level that never was: {state.sequence}"
        assert (state.digest.count, state.digest.sum) == known.digest, (
            f"{self.name} at {state.sequence} has another digest than the service had"
        )
        assert counted == state.digest, f"{self.name} keeps another digest than its rows have"
        self._seen = seen

    def check_clock(self) -> None:
        reading = self.clock.read()
        if reading.uncertainty is not None:
            error = abs(reading.corrected - self.world.now())
            assert error <= reading.uncertainty + _MILLISECOND, (
                f"{self.name}'s time is wrong by {error}, not within {reading.uncertainty}"
            )

    def record(self, plate: Plate, zone: str) -> None:
        """A patroller records an infraction, and is told that it is kept, or that it is not."""
        dice = self.world.dice
        pictures = [
            picture(f"#{dice.getrandbits(24):06x}", size=(8, 8))
            for _ in range(dice.choice((0, 1, 1, 2)))
        ]
        id, at = self._id(), self.clock.now()
        with at_work(self.disk):
            try:
                photos = {self.outbox.keep_photo(content): len(content) for content in pictures}
                body = infraction(
                    plate.text,
                    at=at,
                    zone=zone,
                    device_time=instant(self.clock.device_now()),
                    photos=[
                        {"sha256": sha256, "bytes": size, "taken_at": instant(at)}
                        for sha256, size in photos.items()
                    ],
                    **self._what_is_known(plate, zone, at),
                )
                self.perhaps[id] = body
                number = self.outbox.put_infraction(
                    id, body, list(photos), at=at, service=ADDRESS, number_of_site=SITE
                )
            except Crash:
                self.crash()
                return
            except (OSError, sqlite3.Error) as error:
                self.perhaps.pop(id, None)
                self.world.tell(self.name, "cannot record:", type(error).__name__)
                return
        self.recorded[id] = self.perhaps.pop(id) | {"number": number}
        self.world.tell(self.name, "records", id, len(photos), number)

    def note(self) -> None:
        """Something else happens, of which an event is kept, or not."""
        id, at = self._id(), self.clock.now()
        body = {"kind": "simulated", "site": SITE, "at": instant(at)}
        try:
            with at_work(self.disk):
                self.outbox.put_event(id, body, at=at, service=ADDRESS)
        except Crash:
            self.crash()
        except (OSError, sqlite3.Error) as error:
            self.world.tell(self.name, "cannot note:", type(error).__name__)
        else:
            self.noted.add(id)
            self.world.tell(self.name, "notes", id)

    def _what_is_known(self, plate: Plate, zone: str, at: datetime) -> dict[str, Any]:
        try:
            with self.replica.reading() as view:
                found, state = view.judge(plate, zone=zone, at=at), view.state
        except ReplicaError:
            return {"verdict": None, "known": []}
        return {
            "verdict": found.verdict,
            "epoch": state.epoch,
            "cursor": state.cursor,
            "known": [codec.permit_record(permit) for permit in found.permits],
        }


def _writes(effect: Effect, kinds: tuple[type[Effect], ...]) -> bool:
    """Whether it is of one of the kinds, and has something to write."""
    if isinstance(effect, engine.Apply) and not any(page.changes for page in effect.pages):
        return False
    return isinstance(effect, kinds)


def flipped(world: World, content: bytes) -> bytes:
    """The content with a bit of it turned over."""
    spoiled = bytearray(content)
    if spoiled:
        spoiled[world.dice.randrange(len(spoiled))] ^= 1 << world.dice.randrange(8)
    return bytes(spoiled)


class _NoClient(client.ServiceClient):
    """The edges ask nobody: the simulation does."""

    address = ADDRESS

    def __init__(self) -> None:
        pass


class _Stream(httpx.SyncByteStream):
    """A body that comes as far as the network lets it."""

    def __init__(self, content: bytes, *, cut: bool) -> None:
        self._content, self._cut = content, cut

    def __iter__(self) -> Iterator[bytes]:
        yield self._content
        if self._cut:
            raise httpx.ReadError("the connection broke")
