"""Figures as rows of a spreadsheet: a header, and a row of each line (see spreadsheets.py)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from enforcement_api.figures.core import (
    AGES,
    PARTS,
    DayCatchUps,
    DayChecks,
    DayTally,
    Dimension,
    Line,
    Tally,
    Visited,
)
from enforcement_api.spreadsheets import Cell, as_csv
from sync import codec
from sync.entities import Localized
from sync.validity import VERDICTS

_TALLIED = ("recorded", "notices", "warnings", "no_issues", "undecided", "voided", "share_voided")
_BANDS = (*(f"within_{age.total_seconds():.0f}_s" for age in AGES), "later")


@dataclass(frozen=True, slots=True)
class Rows:
    """A figure as a spreadsheet has it."""

    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    def as_csv(self, *, excel: bool = False) -> Iterator[str]:
        """As text, a few lines at a time."""
        return as_csv(self.header, self.rows, excel=excel)

    def as_json(self) -> list[dict[str, Cell]]:
        """As objects, by the names of the header."""
        return [dict(zip(self.header, row, strict=True)) for row in self.rows]


def of_days(days: Iterable[DayTally]) -> Rows:
    """Infractions by day."""
    rows = [(one.day.isoformat(), *_tallied(one.tally)) for one in days]
    return Rows(("day", *_TALLIED), rows)


def of_lines(dimension: Dimension, lines: Iterable[Line], language: str) -> Rows:
    """Infractions by zone, lot, code or patroller, and how many there were in the period before."""
    header = (dimension, "name", *_TALLIED, "recorded_before", "share_voided_before")
    rows = [
        (
            line.value,
            _name(line.name, language),
            *_tallied(line.tally),
            line.before.total,
            _share(line.before),
        )
        for line in lines
    ]
    return Rows(header, rows)


def of_reasons(dimension: Dimension, lines: Iterable[Line], language: str) -> Rows:
    """Why what is voided is: a row of each zone, lot, code or patroller, and reason."""
    rows = [
        (line.value, _name(line.name, language), reason, n)
        for line in lines
        for reason, n in sorted(line.tally.reasons.items())
    ]
    return Rows((dimension, "name", "reason", "voided"), rows)


def of_checks(days: Iterable[DayChecks]) -> Rows:
    """Checks by day and verdict."""
    rows: list[Sequence[Cell]] = [
        (one.day.isoformat(), one.total, *[one.verdicts.get(each, 0) for each in (*VERDICTS, "")])
        for one in days
    ]
    return Rows(("day", "checks", *VERDICTS, "no_verdict"), rows)


def of_visits(places: Iterable[Visited], language: str) -> Rows:
    """Where patrols were, and where not."""
    header = ("kind", "code", "name", "zone", "checks", *PARTS, "infractions", "days", "last_at")
    rows = [
        (
            place.kind,
            place.code,
            _name(place.name, language),
            place.zone,
            sum(place.checks.values()),
            *(place.checks[part] for part in PARTS),
            place.infractions,
            place.days,
            codec.optional_instant(place.last_at),
        )
        for place in places
    ]
    return Rows(header, rows)


def of_catch_ups(days: Iterable[DayCatchUps]) -> Rows:
    """How long changes were on their way to handhelds, by day."""
    return Rows(("day", *_BANDS), [(one.day.isoformat(), *one.bands) for one in days])


def _tallied(tally: Tally) -> tuple[Cell, ...]:
    return (
        tally.total,
        tally.notices,
        tally.warnings,
        tally.no_issues,
        tally.undecided,
        tally.voided,
        _share(tally),
    )


def _share(tally: Tally) -> float | None:
    return None if tally.share_voided is None else round(tally.share_voided, 4)


def _name(name: str | Localized | None, language: str) -> str | None:
    return name if name is None or isinstance(name, str) else name[language]
