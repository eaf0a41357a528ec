"""Ratios of CPU time, measured in turn so that both sides meet the same machine."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

Seconds = Callable[[], float]
"""Does some work; the CPU seconds it cost."""


@dataclass(frozen=True)
class Line:
    """One line of the table: ours over the limit, each repetition a ratio of its own.

    Without a goal it is there to be known.
    """

    name: str
    ours: str
    limit: str
    unit: str
    goal: float | None
    ratios: list[float]
    our_cost: float
    limit_cost: float
    repetitions: int = field(init=False)
    ratio: float = field(init=False)
    reached: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "repetitions", len(self.ratios))
        object.__setattr__(self, "ratio", statistics.median(self.ratios))
        object.__setattr__(self, "reached", self.goal is None or self.ratio <= self.goal)

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"lowest": min(self.ratios), "highest": max(self.ratios)}


def cpu(work: Callable[[], object]) -> float:
    """The CPU seconds that this process spends on the work: its own and the kernel's for it."""
    gc.collect()
    started = time.process_time()
    work()
    return time.process_time() - started


def measure(
    name: str,
    *,
    ours: Seconds,
    limit: Seconds,
    told: tuple[str, str],
    unit: str,
    per: int,
    goal: float,
    repetitions: int,
) -> Line:
    """Measure both sides in turn, after one round that does not count.

    `told` says in words what both sides do; costs are medians, in `unit` for each of `per`.
    """
    scale = {"µs": 1e6, "ms": 1e3, "s": 1.0}[unit] / per
    ours(), limit()
    rounds = [(ours(), limit()) for _ in range(repetitions)]
    return Line(
        name=name,
        ours=told[0],
        limit=told[1],
        unit=unit,
        goal=goal,
        ratios=[a / b for a, b in rounds],
        our_cost=statistics.median(a for a, _ in rounds) * scale,
        limit_cost=statistics.median(b for _, b in rounds) * scale,
    )
