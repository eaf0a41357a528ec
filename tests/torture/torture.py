"""The service and its handhelds as real processes, killed with SIGKILL at random under load.

Supervisors, a thread each, start a process, wait a while that the dice say, kill it by its id and
start it again; a feeder pushes plate updates all the while. When every process was killed as often
as was asked, they go on in peace until nothing waits any more. Then what is there is compared with
what was promised: to the feeder by an answer, to a patroller by `record` having returned.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import random
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from sync import codec, engine
from tests.enforcement_api.program import updates
from tests.handheld_app.service import ServiceProcess
from tests.torture.judging import wrong_in_log, wrong_in_record
from tests.torture.patrolling import (
    BADGE,
    DRAINED_WITHIN_S,
    PIN,
    PLATES,
    SITE,
    ZONE,
    Promise,
    ledger,
    opened,
    promises,
    started,
)

ALIVE_S = (0.02, 0.6)
"""How long a process works between its being ready and its being killed."""
STARTING_S = (0.02, 2.0)
"""How long after its start a process is killed that is not waited for: while it recovers."""
STARTING = 0.2
"""The share of those."""
STARTED_WITHIN_S = 60.0
SHOWN_EVERY_S = 10.0
HANDHELDS = 2


@dataclass(frozen=True, slots=True)
class Figures:
    """What was done, and what came of it. `promised` infractions are among the `recorded`."""

    service_kills: int
    service_kills_at_start: int
    handheld_kills: int
    handheld_kills_at_start: int
    promised: int
    recorded: int
    numbered: int
    photos: int
    updates: int
    answers_lost: int
    lost_and_done: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"killed: the service {self.service_kills} times ({self.service_kills_at_start} at its"
            f" start), handhelds {self.handheld_kills} times ({self.handheld_kills_at_start})\n"
            f"infractions: {self.promised} promised, {self.recorded} recorded, {self.numbered} with"
            f" a number, {self.photos} photos; none lost, none doubled\n"
            f"plate updates: {self.updates} acknowledged, all on record; {self.answers_lost}"
            f" answers lost, {self.lost_and_done} of them of what was done\n"
            f"digests equal, audit log whole; {self.seconds:.0f} s"
        )


class Wrong(AssertionError):
    """Something was lost or doubled, or a process ended by itself."""


class Killings:
    """How often something was killed, and how often of that before it was ready."""

    def __init__(
        self, wanted: int, dice: random.Random, stop: threading.Event, ends: float
    ) -> None:
        self.wanted, self.done, self.at_start = wanted, 0, 0
        self._dice, self._stop, self._ends = dice, stop, ends

    def _is_over(self) -> bool:
        late = time.monotonic() > self._ends
        return self.done >= self.wanted or late or self._stop.is_set()

    def carry_out(
        self,
        launch: Callable[[], None],
        wait_until_ready: Callable[[], None],
        kill: Callable[[], None],
    ) -> None:
        """Leaves it running, and ready."""
        while not self._is_over():
            launch()
            if self._dice.random() < STARTING:
                self.at_start += 1
                self._stop.wait(self._dice.uniform(*STARTING_S))
            else:
                wait_until_ready()
                self._stop.wait(self._dice.uniform(*ALIVE_S))
            kill()
            self.done += 1
        launch()
        wait_until_ready()


class Patroller:
    """A handheld's folder, and the process that works in it."""

    def __init__(self, service: ServiceProcess, folder: Path, dice: random.Random) -> None:
        """Enrolled, signed in and filled, so that it can work without network from now on."""
        self.folder = folder
        self._dice = dice
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir()
        ledger(folder).touch()
        with self._opened() as handheld:
            handheld.patrol.enrol(service.address, service.enrolment_code())
            handheld.patrol.sign_in(BADGE, PIN)
            self._run(handheld, lambda: engine.pull(SITE), lambda: engine.tend(SITE))
            handheld.patrol.choose_zone(ZONE)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Any]:
        handheld = opened(self.folder)
        try:
            yield handheld
        finally:
            handheld.close()

    def _run(self, handheld: Any, *passes: Callable[[], engine.Pass[Any]]) -> None:
        edges = handheld.new_edges()
        with edges.client:
            for steps in passes:
                edges.run(steps())

    def launch(self) -> None:
        with open(self._log, "ab") as log:
            seed = str(self._dice.randrange(2**32))
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.torture.patrolling", str(self.folder), seed],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def wait_until_ready(self) -> None:
        assert self._process is not None
        ends = time.monotonic() + STARTED_WITHIN_S
        while not started(self.folder).exists() or started(self.folder).read_text() != str(
            self._process.pid
        ):
            if self._process.poll() is not None or time.monotonic() > ends:
                raise Wrong(f"{self.folder.name} does not start: {self.log()[-3000:]}")
            time.sleep(0.02)

    def kill(self) -> None:
        assert self._process is not None
        if self._process.poll() is not None:
            raise Wrong(f"{self.folder.name} ended by itself: {self.log()[-3000:]}")
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """Until the service has all that was recorded."""
        assert self._process is not None
        self._process.terminate()
        if self._process.wait(DRAINED_WITHIN_S + STARTED_WITHIN_S) != 0:
            raise Wrong(f"{self.folder.name} did not end well: {self.log()[-3000:]}")

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    @property
    def _log(self) -> Path:
        return self.folder / "handheld.log"

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def promises(self) -> list[Promise]:
        return promises(self.folder)

    def examine(self) -> tuple[list[str], dict[str, Any], list[str]]:
        """What it recorded, the digest that it comes to when level, and what is wrong with it."""
        with self._opened() as handheld:
            self._run(handheld, lambda: engine.pull(SITE))
            outbox, name = handheld.outbox, self.folder.name
            with handheld.replica_of(SITE).reading() as view:
                kept, counted = view.state.digest, view.recount()
            wrong = [f"{name}: {path.name} was put aside" for path in outbox.damaged_files()]
            if kept != counted:
                wrong.append(f"{name}: the digest is {kept}, and of its rows {counted}")
            if differed := handheld.device_file.device.mismatches:
                wrong.append(f"{name}: its index differed {differed} times")
            said = self.log()
            if "Traceback" in said:
                wrong.append(f"{name}: {said[said.index('Traceback') :][:3000]}")
            ids = [item.id for item in outbox.infractions()]
            return ids, codec.digest_json(counted), wrong


class Feeder:
    """Pushes new versions of permits; what got no answer it pushes again, until it gets one."""

    def __init__(self, http: httpx.Client, dice: random.Random) -> None:
        self._http, self._dice = http, dice
        self.acknowledged: dict[str, list[int]] = defaultdict(list)
        self.answers_lost = self.lost_and_done = 0

    def push(self, numbers: list[int], give_up: threading.Event) -> None:
        batch = []
        for update in updates(numbers):
            version = len(self.acknowledged[str(update["id"])]) + 1
            batch.append(update | {"version": version, "permit_number": f"{version}"})
        was_lost = False
        while not give_up.is_set():
            try:
                answer = self._http.post("/v1/plate-updates", json={"updates": batch})
            except httpx.ConnectError:
                give_up.wait(0.02)
                continue
            except httpx.TransportError:
                self.answers_lost, was_lost = self.answers_lost + 1, True
                continue
            said = answer.json()
            if answer.status_code != 200 or said["applied"] + said["unchanged"] != len(batch):
                raise Wrong(f"updates were not taken: {answer.text}")
            if was_lost and said["unchanged"]:
                self.lost_and_done += 1
            for update in batch:
                self.acknowledged[str(update["id"])].append(int(update["version"]))
            return

    def push_on(self, enough: threading.Event, give_up: threading.Event) -> None:
        while not enough.wait(self._dice.uniform(0, 0.02)):
            self.push(self._dice.sample(range(PLATES), self._dice.randint(1, 30)), give_up)


def torture(
    folder: Path, *, service: int, handheld: int, seed: int, seconds: float = math.inf
) -> Figures:
    """Kill the service and handhelds so often, or as often as goes within so many seconds, and
    then judge. Raises Wrong.
    """
    began = time.monotonic()
    ends = began + seconds
    with contextlib.ExitStack() as stack:
        data_dir = folder / "service"
        data_dir.mkdir()
        program = ServiceProcess(data_dir)
        stack.callback(program.close)
        program.start()
        program.open_site()
        program.hire(BADGE, PIN)
        give_up, enough = threading.Event(), threading.Event()
        feeder = Feeder(program.http, random.Random(f"{seed} feeder"))
        feeder.push(list(range(PLATES)), give_up)
        patrollers = []
        for number in range(HANDHELDS):
            dice = random.Random(f"{seed} patroller {number}")
            patrollers.append(Patroller(program, folder / f"handheld-{number}", dice))
            stack.callback(patrollers[-1].close)
        program.stop()

        of_service = Killings(service, random.Random(f"{seed} service"), give_up, ends)
        of_handhelds = [
            Killings(
                len(range(n, handheld, HANDHELDS)),
                random.Random(f"{seed} handheld {n}"),
                give_up,
                ends,
            )
            for n in range(HANDHELDS)
        ]
        with ThreadPoolExecutor(HANDHELDS + 2) as pool:
            killing = [
                pool.submit(k.carry_out, p.launch, p.wait_until_ready, p.kill)
                for k, p in zip([of_service, *of_handhelds], [program, *patrollers], strict=True)
            ]
            feeding = pool.submit(feeder.push_on, enough, give_up)
            try:
                _watch({*killing}, feeding, enough, [of_service, *of_handhelds])
            finally:
                enough.set()
                give_up.set()
        for patroller in patrollers:
            patroller.end()
        return _compare(
            program, data_dir, patrollers, feeder, of_service, of_handhelds, began=began
        )


def _watch(
    killing: set[Future[None]],
    feeding: Future[None],
    enough: threading.Event,
    killings: Sequence[Killings],
) -> None:
    """Until all are done. Raises what one of them raised."""
    shown = time.monotonic()
    working = killing | {feeding}
    while working:
        done, working = wait(working, timeout=SHOWN_EVERY_S, return_when=FIRST_COMPLETED)
        for one in done:
            one.result()
        if not working & killing:
            enough.set()
        if time.monotonic() - shown > SHOWN_EVERY_S:
            shown = time.monotonic()
            print(
                *(f"{k.done}/{k.wanted}" for k in killings), "killed", file=sys.stderr, flush=True
            )


def _compare(
    program: ServiceProcess,
    data_dir: Path,
    patrollers: list[Patroller],
    feeder: Feeder,
    of_service: Killings,
    of_handhelds: list[Killings],
    *,
    began: float,
) -> Figures:
    wrong: list[str] = []
    recorded: list[str] = []
    digests: dict[str, Any] = {}
    for patroller in patrollers:
        ids, digests[patroller.folder.name], of_it = patroller.examine()
        recorded += ids
        wrong += of_it
    promised = [promise for patroller in patrollers for promise in patroller.promises()]
    log = list(_log_of(program))
    wrong += wrong_in_log(promised, recorded, log)
    wrong += wrong_in_record(feeder.acknowledged, _versions_of(program, feeder.acknowledged))
    photos = {photo["sha256"] for item in log for photo in item["photos"]}
    wrong += [
        f"the photo {sha256} is another one" for sha256 in photos if not _has(program, sha256)
    ]
    said = (data_dir / "service.log").read_text(errors="replace")
    if "Traceback" in said:
        wrong.append(f"the service: {said[said.index('Traceback') :][:3000]}")
    program.stop()
    found = json.loads(
        program.run("digest", "--site", SITE)
    )  # raises unless index and record agree
    wrong += [
        f"{name}: the digest is {digest}; the service's: {found}"
        for name, digest in digests.items()
        if digest != found["record"]
    ]
    program.run("audit", "verify")
    if wrong:
        raise Wrong("\n".join(wrong[:50]))
    return Figures(
        service_kills=of_service.done,
        service_kills_at_start=of_service.at_start,
        handheld_kills=sum(killings.done for killings in of_handhelds),
        handheld_kills_at_start=sum(killings.at_start for killings in of_handhelds),
        promised=len(promised),
        recorded=len(log),
        numbered=sum(item["number"] is not None for item in log),
        photos=len(photos),
        updates=sum(len(versions) for versions in feeder.acknowledged.values()),
        answers_lost=feeder.answers_lost,
        lost_and_done=feeder.lost_and_done,
        seconds=time.monotonic() - began,
    )


def _log_of(program: ServiceProcess) -> Iterator[dict[str, Any]]:
    wanted: dict[str, Any] = {"site": SITE, "limit": 500}
    while True:
        page = program.ask("GET", "/v1/infractions", params=wanted)
        yield from page["items"]
        if page["next_cursor"] is None:
            return
        wanted["cursor"] = page["next_cursor"]


def _versions_of(program: ServiceProcess, ids: Iterable[str]) -> dict[str, list[int]]:
    """By permit, of those whose content is what was sent with it."""
    return {
        id: [
            version["version"]
            for version in program.ask("GET", f"/v1/sites/{SITE}/permits/{id}")["versions"]
            if version["permit_number"] == f"{version['version']}"
        ]
        for id in ids
    }


def _has(program: ServiceProcess, sha256: str) -> bool:
    answer = program.http.get(f"/v1/photos/{sha256}")
    return answer.is_success and hashlib.sha256(answer.content).hexdigest() == sha256
