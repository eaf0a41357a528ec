"""Electronic chalk: where a vehicle stood, and when its time is up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from handheld_app.notebook import Notebook, Page
from sync import codec
from sync.plates import Plate

_KIND = "chalk"

KEPT = timedelta(days=2)
"""For how long a mark is remembered after it was made."""

Found = Literal["moved", "not_moved", "gone"]
"""What came of a mark: the vehicle stands elsewhere, where it stood, or is not there."""

HOURS = tuple(range(1, 13))
"""Where a wheel's valve can stand, as on a clock."""


@dataclass(frozen=True, slots=True)
class Chalk:
    """A vehicle in its place. `valves`: the hours at which the front and the rear wheel's valve
    stand, 1 to 12, None where it was not looked at; `photos`: their SHA-256.
    """

    id: str
    site: str
    zone: str
    plate: Plate
    place: str
    lot: str | None
    at: datetime
    minutes: int
    valves: tuple[int | None, int | None] = (None, None)
    photos: tuple[str, ...] = ()
    found: Found | None = None
    found_at: datetime | None = None

    @property
    def due_at(self) -> datetime:
        """When its time is up."""
        return self.at + timedelta(minutes=self.minutes)

    def is_due(self, at: datetime) -> bool:
        """Whether its time is up, and nobody has looked since."""
        return self.found is None and at >= self.due_at

    def stands_as_before(self, valves: tuple[int | None, int | None]) -> bool | None:
        """Whether the wheels stand as they did; None when nothing was noted to compare."""
        pairs = [
            (then, now)
            for then, now in zip(self.valves, valves, strict=True)
            if then is not None and now is not None
        ]
        return all(then == now for then, now in pairs) if pairs else None

    def settle(self, found: Found, at: datetime) -> Chalk:
        """The mark, looked at again."""
        return replace(self, found=found, found_at=at)

    def facts(self) -> dict[str, Any]:
        """What the event `chalk` tells the service."""
        return {
            "chalk": self.id,
            "zone": self.zone,
            "lot": self.lot,
            "place": self.place,
            "plate": self.plate.text,
            "jurisdiction": self.plate.jurisdiction,
            "marked_at": codec.instant(self.at),
            "minutes": self.minutes,
            "valves": list(self.valves),
            "photos": list(self.photos),
            "found": self.found,
        }


class Chalks:
    """The marks of this handheld, in its notebook."""

    def __init__(self, notebook: Notebook) -> None:
        self._notebook = notebook

    def keep(self, chalk: Chalk) -> None:
        """Remember a mark, in the place of the one of its id. Writes to disk."""
        body = chalk.facts() | {
            "site": chalk.site,
            "found_at": codec.optional_instant(chalk.found_at),
        }
        self._notebook.keep(_KIND, chalk.id, body, at=chalk.at, key=_key(chalk.plate))
        self._notebook.forget_before(_KIND, chalk.at - KEPT)

    def marks(self, site: str) -> list[Chalk]:
        """Those that nobody looked at again, the one that is due first in front."""
        marks = [
            chalk for page in self._notebook.latest(_KIND, most=500) if (chalk := _chalk(page))
        ]
        running = [chalk for chalk in marks if chalk.found is None and chalk.site == site]
        return sorted(running, key=lambda chalk: (chalk.due_at, chalk.id))

    def of(self, plate: Plate, site: str) -> Chalk | None:
        """The latest mark of a plate that nobody looked at again."""
        for page in self._notebook.keyed(_KIND, _key(plate)):
            chalk = _chalk(page)
            if chalk is not None and chalk.found is None and chalk.site == site:
                return chalk
        return None

    def due(self, site: str, at: datetime) -> list[Chalk]:
        """Those whose time is up."""
        return [chalk for chalk in self.marks(site) if chalk.is_due(at)]


def _key(plate: Plate) -> str:
    return f"{plate.jurisdiction} {plate.text}"


def _chalk(page: Page) -> Chalk | None:
    """None of what another version of the program kept."""
    r: Mapping[str, Any] = page.body
    try:
        front, rear = r["valves"]
        return Chalk(
            id=page.id,
            site=r["site"],
            zone=r["zone"],
            plate=Plate(r["plate"], r["jurisdiction"]),
            place=r["place"],
            lot=r["lot"],
            at=page.at,
            minutes=int(r["minutes"]),
            valves=(front, rear),
            photos=tuple(r["photos"]),
            found=r["found"],
            found_at=codec.parse_optional_instant(r["found_at"]),
        )
    except (KeyError, TypeError, ValueError):
        return None
