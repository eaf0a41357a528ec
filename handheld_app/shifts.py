"""A shift: one patroller's work at one site, from its start to its end. It outlives a restart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from handheld_app.notebook import Notebook, Page
from sync import codec

_KIND = "shift"


@dataclass(frozen=True, slots=True)
class Shift:
    """`ended_at` None: it is under way."""

    id: str
    site: str
    zone: str
    patroller: str
    name: str
    started_at: datetime
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """What a shift came to. `verdicts`: checks by verdict; `outcomes`: infractions by outcome."""

    shift: Shift
    verdicts: Mapping[str, int] = field(default_factory=dict)
    outcomes: Mapping[str, int] = field(default_factory=dict)
    voided: int = 0
    chalked: int = 0
    photos: int = 0
    unsent: int = 0

    @property
    def checks(self) -> int:
        """How many plates were checked."""
        return sum(self.verdicts.values())

    @property
    def infractions(self) -> int:
        """How many infractions were recorded, whatever their outcome."""
        return sum(self.outcomes.values())


class Shifts:
    """The shifts of this handheld, in its notebook."""

    def __init__(self, notebook: Notebook) -> None:
        self._notebook = notebook
        self._current = self._find()

    def _find(self) -> Shift | None:
        for page in self._notebook.latest(_KIND, most=1):
            shift = _shift(page)
            if shift.ended_at is None:
                return shift
        return None

    @property
    def current(self) -> Shift | None:
        """The shift under way."""
        return self._current

    def start(self, shift: Shift) -> None:
        """Begin a shift. Writes to disk."""
        self._keep(shift)
        self._current = shift

    def end(self, shift: Shift) -> None:
        """The shift is over: `ended_at` is given. Writes to disk."""
        self._keep(shift)
        self._current = None

    def forget_current(self) -> None:
        """The notebook was wiped."""
        self._current = self._find()

    def _keep(self, shift: Shift) -> None:
        body = {
            "site": shift.site,
            "zone": shift.zone,
            "patroller": shift.patroller,
            "name": shift.name,
            "ended_at": codec.optional_instant(shift.ended_at),
        }
        self._notebook.keep(_KIND, shift.id, body, at=shift.started_at)


def _shift(page: Page) -> Shift:
    body = page.body
    return Shift(
        id=page.id,
        site=str(body.get("site", "")),
        zone=str(body.get("zone", "")),
        patroller=str(body.get("patroller", "")),
        name=str(body.get("name", "")),
        started_at=page.at,
        ended_at=codec.parse_optional_instant(body.get("ended_at")),
    )
