"""One seeded history: a service, five handhelds, a feeder and a supervisor, while everything fails.

The real service, engine, outbox, index and clock; one seed decides all that happens to them. What
a handheld says is compared with what the service knew all along, what was acknowledged is looked
for when it is, and in the end, with all faults over, everything has come together.

    Simulation(seed, folder).run()      # raises Failed, which names the seed
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

from enforcement_api import hashed_files
from enforcement_api.feed import snapshots
from enforcement_api.feed import store as feed
from enforcement_api.problems import Problem
from sync import engine
from sync.exchange import Request
from sync.plates import Plate
from sync.replica import ReplicaError
from tests.simulation.disk import Crash, Disk, at_work, faulty_storage
from tests.simulation.feeder import Feeder
from tests.simulation.handheld import FILLING, Defect, SimulatedHandheld
from tests.simulation.knowledge import Knowledge
from tests.simulation.network import GOOD, LINKS, Agenda, Network
from tests.simulation.service import SITE, Reply, SimulatedService
from tests.simulation.world import World, one_thread_and_seeded

HANDHELDS = 5
STEPS = 200
"""Things that happen to somebody; what the passes do between two of them is not counted."""
SETTLING = 150
"""Turns before anything happens, in half of the seeds: who has worked has more to lose."""
TURNS = (0, 6)
"""How many things the passes do between two of them."""
FAR_BEHIND = 12
"""Few enough that some handhelds fetch a snapshot though they have an index; and snapshots are made
anew so seldom that some are older than what such a handheld has."""
TURNS_BETWEEN_LOOKS = 5
"""How many things are done between two looks at whether everything has come together."""
WITHOUT_REST = 1000
"""Things that a handheld's passes do one after the other before they wait for something."""
REST = 3600.0
"""Seconds after the faults within which everything has come together."""
ZONES = ("G1", "G2")
CODES = [{"code": "P01", "title": {"fr": "Sans permis", "en": "No permit"}}]
"""Few, and what else a site has is long in coming: more of the same finds nothing new."""
RARE = (engine.NoteEpoch, engine.KeepBlock, engine.KeepToken)
WRITES = (*FILLING, *RARE, engine.Acknowledge)
PLATES = tuple(Plate.parse(f"{letter}{n}2 BCD", "CA-QC") for letter in "ABC" for n in range(4))
_WHAT_A_REVOKED_DEVICE_MAY_SEND = ("/v1/infractions/", "/v1/photos/", "/v1/events/")


KEPT_LINES = 80
"""Of the history, told when a seed fails."""


class Failed(AssertionError):
    """A promise was broken."""

    def __init__(self, seed: int, told: list[str], error: BaseException) -> None:
        self.seed, self.error = seed, error
        history = "\n".join(told[-KEPT_LINES:])
        super().__init__(f"seed {seed}, after:\n{history}\n\n{type(error).__name__}: {error}")


class Simulation:
    """A service and its handhelds, as one seed treats them."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.world = World(seed)
        self._folder = folder
        self._dice = self.world.dice
        self._backups: list[tuple[Path, int]] = []
        self._revoked: set[str] = set()
        self._acknowledged: dict[tuple[str, str], int] = {}

    def run(self) -> str:
        """Live through it, and compare; the trace of what happened. Raises Failed."""
        with (
            one_thread_and_seeded(self.world),
            faulty_storage(),
            mock.patch.object(engine, "FAR_BEHIND", FAR_BEHIND),
            mock.patch.object(snapshots, "_SHARE", 1),
            contextlib.ExitStack() as stack,
        ):
            try:
                self._begin(stack)
                for _ in range(self._dice.choice((0, SETTLING))):
                    self._turn()
                for _ in range(STEPS):
                    self._happening()
                    for _ in range(self._dice.randint(*TURNS)):
                        self._turn()
                self._come_to_rest()
                self._compare()
            except (Exception, Defect) as error:
                raise Failed(self.world.seed, self.world.told, error) from error
        return self.world.trace

    def _begin(self, stack: contextlib.ExitStack) -> None:
        self.service = SimulatedService(self.world, self._folder / "service")
        stack.callback(self.service.close)
        self.agenda = Agenda(self.world)
        self.network = Network(self.world, self.agenda, self.service)
        self.network.watch = self._watch
        self.knowledge = Knowledge(self.service)
        self.service.ending = self.knowledge.look  # the last that it told, too
        self._put_site(0)
        self.feeder = Feeder(self.world, self.agenda, self.network, self.service.keys["feeder"])
        self.handhelds = []
        for number in range(HANDHELDS):
            folder = self._folder / f"handheld-{number}"
            handheld = SimulatedHandheld(
                self.world, self.agenda, self.network, self.knowledge, folder
            )
            stack.callback(handheld.close)
            handheld.acknowledged = self._acknowledge
            self.handhelds.append(handheld)
            self._enrol(handheld)

    # turns: what the passes, the network and the service do by themselves

    def _turn(self) -> None:
        """One thing of a pass that wants it done, or the next thing that is due."""
        ready = [(h, p) for h in self.handhelds if h.is_up for p in h.ready()]
        if ready and self.world.chance(0.9):
            handheld, running = self._dice.choice(ready)
            handheld.step(running)
        else:
            self._next_due()

    def _next_due(self) -> None:
        timer, due = self.service.loop.next_timer(), self.agenda.next()
        if timer is not None and (due is None or timer <= due):
            self.world.seconds = max(self.world.seconds, timer)
            self._after_service(self.service.run)
        elif due is not None:
            self._after_service(self.agenda.do_next)

    def _after_service(self, work: Callable[[], None]) -> None:
        """Do what may make the service do something, and look at what it did."""
        was_up = self.service.is_up
        work()
        self.service.run()
        self.network.collect()
        if self.service.is_up:
            self.knowledge.look()
        elif was_up:
            self.agenda.put(self._dice.choice((1.0, 10.0, 60.0)), self._start_service)

    def _start_service(self) -> None:
        if self.service.is_up:
            return
        if self.service.start():
            self.world.tell("service starts")
            self._check_acknowledged()
        else:
            self.agenda.put(300.0, self._start_service)

    def _acknowledge(self, effect: engine.Acknowledge, life: int) -> None:
        key = (effect.item.kind, effect.item.id)
        self._acknowledged[key] = life
        if self.service.is_up and life == self.service.life:
            self._check_present(*key)

    def _check_acknowledged(self) -> None:
        for key, life in self._acknowledged.items():
            if life == self.service.life:
                self._check_present(*key)

    def _check_present(self, kind: str, id: str) -> None:
        if kind == "infraction":
            found = self.service.rows("SELECT 1 FROM infractions WHERE id = ?", id)
            assert found, f"the {kind} {id} was acknowledged, and is not in the record"
        if kind == "event":
            found = self.service.rows("SELECT 1 FROM events WHERE id = ?", id)
            assert found, f"the {kind} {id} was acknowledged, and is not in the record"
        if kind == "photo":
            found = self.service.rows("SELECT 1 FROM photos WHERE sha256 = ?", id)
            assert found, f"the {kind} {id} was acknowledged, and is not in the record"

    def _watch(self, request: Request, token: str | None, reply: Reply) -> None:
        """Each answer that the service gave."""
        assert reply.status != 500, f"{request.method} {request.path}: {reply.body!r}"
        if token is not None:
            for handheld in self.handhelds:
                if token == handheld.device_file.device.secret:
                    self._check_trust(handheld, request, reply)

    def _check_trust(self, handheld: SimulatedHandheld, request: Request, reply: Reply) -> None:
        if handheld.device_file.device.device in self._revoked and reply.status < 300:
            is_kept = request.path.startswith(_WHAT_A_REVOKED_DEVICE_MAY_SEND)
            is_kept = is_kept and request.method == "PUT"
            assert is_kept, (
                f"a revoked device got {reply.status} for {request.method} {request.path}"
            )

    # happenings: what a seed does to them

    def _happening(self) -> None:
        happenings: tuple[tuple[float, Callable[[], None]], ...] = (
            (20, self._the_feeder_pushes),
            (31, self._a_patroller_checks),
            (10, self._a_patroller_records),
            (6, self._an_event_is_noted),
            (12, self._time_passes),
            (8, self._a_network_changes),
            (5, self._a_handheld_crashes),
            (3, self._a_handheld_is_rebooted),
            (4, self._a_handheld_starts),
            (3, self._a_clock_is_set),
            (4, self._a_disk_is_full),
            (5, self._the_service_crashes),
            (1.5, self._the_service_is_restarted),
            (3, self._the_retention_runs),
            (3, self._the_site_changes),
            (5, self._a_supervisor_reviews),
            (3, self._snapshots_are_superseded),
            (3, self._a_backup_is_made),
            (1.2, self._a_backup_is_restored),
            (1.5, self._a_device_is_revoked),
            (2, self._a_device_is_enrolled_again),
        )
        weights, steps = zip(*happenings, strict=True)
        step = self._dice.choices(steps, weights)[0]
        self.world.tell("--", step.__name__.strip("_"))
        self._after_service(step)

    def _up(self) -> list[SimulatedHandheld]:
        return [handheld for handheld in self.handhelds if handheld.is_up]

    def _with_one(self, work: Callable[[SimulatedHandheld], None]) -> None:
        if up := self._up():
            work(self._dice.choice(up))

    def _the_feeder_pushes(self) -> None:
        self.feeder.push(PLATES, ZONES)

    def _a_patroller_checks(self) -> None:
        self._with_one(lambda h: h.check(self._dice.choice(PLATES), self._dice.choice(ZONES)))

    def _a_patroller_records(self) -> None:
        self._with_one(lambda h: h.record(self._dice.choice(PLATES), self._dice.choice(ZONES)))

    def _an_event_is_noted(self) -> None:
        self._with_one(lambda h: h.note())

    def _time_passes(self) -> None:
        """Everything that is due meanwhile happens, or nothing of it does: the machines slept."""
        seconds = self._dice.choice((5.0, 60.0, 600.0, 3600.0 * self._dice.randrange(1, 40)))
        self.world.seconds += seconds

    def _a_network_changes(self) -> None:
        everybody = [*self.handhelds, self.feeder]
        somebody = self._dice.choice(everybody)
        somebody.link = self._dice.choice(LINKS)

    def _a_handheld_crashes(self) -> None:
        """Now, or in the middle of the next thing that it writes, or that it fills its index by."""

        def crash(handheld: SimulatedHandheld) -> None:
            if self.world.chance(0.3):
                handheld.crash()
            else:
                kinds = self._dice.choice((WRITES, FILLING, FILLING, RARE))
                handheld.crash_in = (kinds, self._dice.choice((0, 1, 1, 2, 5)))

        self._with_one(crash)

    def _a_handheld_is_rebooted(self) -> None:
        self._with_one(lambda handheld: handheld.reboot())

    def _a_handheld_starts(self) -> None:
        for handheld in self.handhelds:
            if not handheld.is_up:
                handheld.start()

    def _a_clock_is_set(self) -> None:
        hours = self._dice.choice((-24, -1, -0.02, 0.02, 1, 24))
        self._dice.choice(self.handhelds).set_clock(timedelta(hours=hours))

    def _disks(self) -> list[Disk]:
        return [self.service.disk, *(handheld.disk for handheld in self.handhelds)]

    def _a_disk_is_full(self) -> None:
        """Or has room again."""
        full = [disk for disk in self._disks() if disk.is_full]
        if full and self.world.chance(0.7):
            self._dice.choice(full).is_full = False
        else:
            self._dice.choice(self._disks()).is_full = True

    def _the_service_crashes(self) -> None:
        if not self.service.is_up:
            return
        if self.world.chance(0.3):
            self.service.crash()
        else:
            self.service.disk.crash_in = self._dice.randrange(0, 16)

    def _the_service_is_restarted(self) -> None:
        if self.service.is_up:
            self.service.stop()

    def _inside(self, work: Callable[[], object]) -> None:
        """Do something in the service's process; it may crash there, or its disk be full."""
        if not self.service.is_up:
            return
        try:
            with at_work(self.service.disk):
                work()
        except Crash:
            self.service.crash()
        except Problem as problem:
            self.world.tell("the service says", problem.slug)

    def _the_retention_runs(self) -> None:
        parts = self.service.parts
        if parts is not None:
            self._inside(lambda: parts.run_retention(SITE, at=self.world.now()))

    def _put_site(self, version: int) -> None:
        zones = [{"code": zone, "name": {"fr": zone, "en": f"{zone} {version}"}} for zone in ZONES]
        facts = {"name": f"Site {version}", "zones": zones, "codes": CODES}
        if self.service.is_up:
            self.service.told("PUT", f"/v1/sites/{SITE}", facts)
            self.knowledge.look()

    def _the_site_changes(self) -> None:
        self._put_site(self._dice.randrange(100))

    def _a_supervisor_reviews(self) -> None:
        if not self.service.is_up:
            return
        found = self.service.rows("SELECT id, state FROM infractions ORDER BY id")
        if not found:
            return
        id, state = self._dice.choice(found)
        review = {
            "decision": self._dice.choice(("confirm", "void", "request_information", "reopen")),
            "reason": "duplicate",
            "expected_state": state,
            "acknowledge_differs": True,
        }
        reply = self.service.told("POST", f"/v1/infractions/{id}/reviews", review)
        self.world.tell("a review of", state, reply.status)

    def _snapshots_are_superseded(self) -> None:
        """The hour of those that handhelds may be fetching is over."""
        if self.service.is_up:
            self.service.drop_superseded()

    def _a_backup_is_made(self) -> None:
        if self.service.is_up:
            self._backups.append((self.service.back_up(), self.service.life))

    def _a_backup_is_restored(self) -> None:
        """An hour of everybody's work is gone, and has to come again."""
        if not self._backups or self.service.disk.is_full:
            return
        if self.service.is_up:
            self.service.stop()
        copy, _ = self._dice.choice(self._backups[-3:])
        self.service.restore(copy)
        self._acknowledged = {}
        self._start_service()
        if self.service.is_up:
            # Who was revoked since the backup is trusted again, until a supervisor sees it.
            revoked = self.service.rows("SELECT id FROM devices WHERE revoked_at IS NOT NULL")
            self._revoked = {id for (id,) in revoked}

    def _a_device_is_revoked(self) -> None:
        handheld = self._dice.choice(self.handhelds)
        device = handheld.device_file.device
        if not self.service.is_up or not device.token:
            return
        reply = self.service.told("DELETE", f"/v1/devices/{device.device}")
        if reply.status == 204:
            self._revoked.add(device.device)

    def _a_device_is_enrolled_again(self) -> None:
        """One that was revoked, or is not known since a restore."""
        for handheld in self._up():
            revoked = handheld.device_file.device.device in self._revoked
            if self.service.is_up and (revoked or not self._is_known(handheld)):
                self._enrol(handheld)
                return

    def _is_known(self, handheld: SimulatedHandheld) -> bool:
        """Whether the record has the device with a token that it holds."""
        device = handheld.device_file.device
        hashes = [
            hashlib.sha256(token.encode()).hexdigest()
            for token in (device.token, device.next_token, device.old_token)
            if token
        ]
        found = self.service.rows(
            "SELECT token_hash, next_token_hash FROM devices WHERE id = ?", device.device
        )
        return any(hash in hashes for row in found for hash in row)

    def _enrol(self, handheld: SimulatedHandheld) -> None:
        made = self.service.told("POST", "/v1/devices", {"name": handheld.name, "sites": [SITE]})
        if made.status != 201:
            return
        body = {
            "code": made.json()["enrolment_code"],
            "install_id": handheld.device_file.device.install_id,
        }
        enrolled = self.service.told("POST", "/v1/enrolments", body)
        if enrolled.status != 201:
            return
        try:
            with at_work(handheld.disk):
                handheld.enrolled(enrolled.json()["device"], enrolled.json()["token"])
        except Crash:
            handheld.crash()
        except OSError as error:
            self.world.tell(handheld.name, "cannot be enrolled:", type(error).__name__)

    # what must be so in the end

    def _come_to_rest(self) -> None:
        self.world.tell("== the faults are over")
        for disk in self._disks():
            disk.is_full, disk.crash_in = False, None
        for handheld in self.handhelds:
            handheld.crash_in, handheld.is_frail = None, False
        for somebody in (*self.handhelds, self.feeder):
            somebody.link = GOOD
        if not self.service.is_up:
            self._start_service()
        for handheld in self.handhelds:
            if not handheld.is_up:
                handheld.start()
            if not self._is_known(handheld):
                self._enrol(handheld)
        self.feeder.live()
        self._rest()
        # They heard of a restore, but have no index: enrolled again, they can be compared.
        if revoked := [handheld for handheld in self.handhelds if handheld.revoked]:
            self.world.tell("== who was revoked is enrolled again")
            for handheld in revoked:
                self._enrol(handheld)
            self._rest()

    def _rest(self) -> None:
        began = self.world.seconds
        while unrest := self._unrest(began):
            assert self.world.seconds < began + REST, f"no rest after {REST:.0f} s: {unrest}"
            for _ in range(TURNS_BETWEEN_LOOKS):
                self._turn()
            self._finish_what_is_begun()

    def _finish_what_is_begun(self) -> None:
        """Nobody is looked at in the middle of what it does."""
        for handheld in self.handhelds:
            for _ in range(WITHOUT_REST):
                if not (ready := handheld.ready()):
                    break
                handheld.step(ready[0])
            else:
                raise AssertionError(f"{handheld.name} waits for nothing, and never rests")

    def _unrest(self, began: float) -> tuple[Any, ...]:
        """What is not as it should be in the end."""
        if self.feeder.is_busy:
            return ("the feeder",)
        newest = self.knowledge.newest()
        for handheld in self.handhelds:
            if handheld.outbox.waiting():
                return (handheld.name, "has not sent all")
            state = None
            with contextlib.suppress(ReplicaError):
                state = handheld.replica.state()
            if handheld.revoked or handheld.device_file.device.device in self._revoked:
                if not handheld.revoked or state is not None:
                    return (handheld.name, "has not forgotten")
            elif (
                handheld.level_at <= began
                or state is None
                or (state.digest.count, state.digest.sum) != newest.digest
            ):
                return (handheld.name, "is not level")
        return ()

    def _compare(self) -> None:
        self.knowledge.look()
        parts, newest = self.service.parts, self.knowledge.newest()
        assert parts is not None
        parts.follower.follow(SITE)
        with parts.record.reading() as tx:
            level, counted = feed.level(tx, SITE), feed.recount(tx, SITE)
        with parts.follower.replica(SITE).reading() as view:
            assert level.digest == counted == view.state.digest == view.recount()
        assert (counted.count, counted.sum) == newest.digest
        self._compare_handhelds()
        self._compare_infractions()
        self._compare_events()
        self.feeder.compare(self.service)

    def _compare_handhelds(self) -> None:
        now = self.world.now().replace(microsecond=0)
        for handheld in self.handhelds:
            assert handheld.outbox.set_aside() == [], "something was refused"
            assert handheld.outbox.unsent() == 0
            handheld.check_clock()
            if handheld.revoked:
                continue
            handheld.look(recount=True)
            for plate in self._dice.sample(PLATES, 6):
                for zone in ZONES:
                    handheld.check(plate, zone)
        for plate in self._dice.sample(PLATES, 4):
            path = f"/v1/sites/{SITE}/check"
            asked = {"plate": plate.text, "zone": "G1"}
            exchange = self.service.ask(
                Request("GET", path, asked), token=self.service.keys["reader"]
            )
            wanted, _ = self.knowledge.newest().verdict(plate, "G1", now)
            assert exchange.reply.json()["verdict"] == wanted

    def _compare_events(self) -> None:
        found = [id for (id,) in self.service.rows("SELECT id FROM events")]
        assert len(found) == len(set(found)), "an event is there twice"
        lost = {id for handheld in self.handhelds for id in handheld.noted} - set(found)
        assert not lost, f"{len(lost)} events are lost: {sorted(lost)}"

    def _compare_infractions(self) -> None:
        recorded = {id: body for h in self.handhelds for id, body in h.recorded.items()}
        perhaps = {id: body for h in self.handhelds for id, body in h.perhaps.items()}
        rows = self.service.rows("SELECT id, plate, number FROM infractions")
        found = {id: (plate, number) for id, plate, number in rows}
        numbers = [number for _, _, number in rows if number is not None]
        assert len(numbers) == len(set(numbers)), "a number is there twice"
        assert len(rows) == len(found), "an infraction is there twice"
        lost = recorded.keys() - found.keys()
        assert not lost, f"{len(lost)} infractions are lost: {sorted(lost)}"
        more = found.keys() - recorded.keys() - perhaps.keys()
        assert not more, f"{len(more)} infractions that nobody recorded"
        assert self.service.parts is not None
        folder = self.service.parts.settings.photo_dir
        for id in found:
            body = (recorded | perhaps)[id]
            plate, number = found[id]
            assert plate == body["plate"]
            assert id in perhaps or number == body["number"]
            for photo in body["photos"]:
                content = hashed_files.path_of(folder, photo["sha256"]).read_bytes()
                assert hashlib.sha256(content).hexdigest() == photo["sha256"]
                known = self.service.rows("SELECT 1 FROM photos WHERE sha256 = ?", photo["sha256"])
                assert known, f"the photo {photo['sha256']} of {id} is not in the record"
