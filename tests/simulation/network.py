"""Messages on their way: lost, late, twice, in another order, cut in the middle."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from sync.exchange import Request
from tests.simulation.service import Exchange, Reply, SimulatedService
from tests.simulation.world import World


@dataclass
class Link:
    """How good somebody's network is just now."""

    lost: float = 0.0
    twice: float = 0.0
    late: float = 0.0
    cut: float = 0.0


GOOD = Link()
LINKS = (
    GOOD,
    Link(lost=0.1, twice=0.1, late=0.1, cut=0.2),
    Link(lost=0.4, twice=0.3, late=0.3, cut=0.6),
    Link(lost=1.0),
)

Answered = Callable[[Reply, bool], None]
"""Told of an answer that arrives, and whether it was cut in the middle."""


class Agenda:
    """What is due, and when."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def put(self, seconds: float, work: Callable[[], None]) -> None:
        """Do this so many seconds from now."""
        heapq.heappush(self._due, (self._world.seconds + seconds, next(self._numbers), work))

    def next(self) -> float | None:
        return self._due[0][0] if self._due else None

    def do_next(self) -> None:
        when, _, work = heapq.heappop(self._due)
        self._world.seconds = max(self._world.seconds, when)
        work()


@dataclass
class _Awaited:
    exchange: Exchange
    request: Request
    token: str | None
    link: Link
    answered: Answered


class Network:
    """Between everybody and the service."""

    def __init__(self, world: World, agenda: Agenda, service: SimulatedService) -> None:
        self._world = world
        self._agenda = agenda
        self._service = service
        self._answers: list[_Awaited] = []
        self.watch: Callable[[Request, str | None, Reply], None] = lambda *_: None
        """Told of each answer that the service gave, whether or not it arrives."""

    def _delay(self, link: Link) -> float:
        if self._world.chance(link.late):
            return self._world.dice.choice([2.0, 20.0, 45.0, 400.0]) * self._world.dice.random()
        return 0.02 + 0.2 * self._world.dice.random()

    def send(self, request: Request, *, token: str | None, link: Link, answered: Answered) -> None:
        """Send a request; `answered` may be called once, twice or never."""
        copies = 2 if self._world.chance(link.twice) else 1
        for _ in range(copies):
            if not self._world.chance(link.lost):
                self._agenda.put(
                    self._delay(link), lambda: self._arrive(request, token, link, answered)
                )

    def _arrive(self, request: Request, token: str | None, link: Link, answered: Answered) -> None:
        if not self._service.is_up:
            return
        exchange = self._service.ask(request, token=token)
        self._answers.append(_Awaited(exchange, request, token, link, answered))
        self.collect()

    def collect(self) -> None:
        """Send back what the service has answered since."""
        waiting = []
        for awaited in self._answers:
            exchange, link = awaited.exchange, awaited.link
            if not exchange.is_answered:
                if not exchange.task.done():
                    waiting.append(awaited)
                continue
            self.watch(awaited.request, awaited.token, exchange.reply)
            if not self._world.chance(link.lost):
                cut = self._world.chance(link.cut)
                arrive = partial(awaited.answered, exchange.reply, cut)
                self._agenda.put(self._delay(link), arrive)
        self._answers = waiting


def shortened(world: World, body: bytes) -> bytes:
    """What came of a body before the connection broke."""
    return body[: int(len(body) * world.dice.random())]
