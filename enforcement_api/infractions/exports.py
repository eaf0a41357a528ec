"""The log as CSV and GeoJSON, a few lines at a time (CONTRACT, "Infractions").

CSV is made safe for spreadsheets (see spreadsheets.py); GeoJSON has every text as it was sent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from enforcement_api import spreadsheets
from enforcement_api.infractions.core import Infraction
from enforcement_api.problems import N_, Invalid, Problem, translation
from enforcement_api.spreadsheets import AT_ONCE, Cell
from sync import codec

GEOJSON_TYPE = "application/geo+json"


@dataclass(frozen=True, slots=True)
class Column:
    """A column: what it is called in a table for people, and what stands in it."""

    heading: str
    of: Callable[[Infraction], Cell]


COLUMNS: Mapping[str, Column] = {
    "id": Column(N_("Id"), lambda i: i.id),
    "site": Column(N_("Site"), lambda i: i.sent.site),
    "zone": Column(N_("Zone"), lambda i: i.sent.zone),
    "lot": Column(N_("Lot"), lambda i: i.sent.lot),
    "place": Column(N_("Place"), lambda i: i.sent.place),
    "lat": Column(N_("Latitude"), lambda i: i.sent.position.lat if i.sent.position else None),
    "lon": Column(N_("Longitude"), lambda i: i.sent.position.lon if i.sent.position else None),
    "accuracy_m": Column(
        N_("Accuracy (m)"), lambda i: i.sent.position.accuracy_m if i.sent.position else None
    ),
    "plate": Column(N_("Plate"), lambda i: i.plate.text if i.plate else None),
    "jurisdiction": Column(N_("Jurisdiction"), lambda i: i.plate.jurisdiction if i.plate else None),
    "plate_raw": Column(N_("Plate as it was read"), lambda i: i.sent.plate_raw),
    "plate_source": Column(N_("How it was read"), lambda i: i.sent.plate_source),
    "plate_missing_reason": Column(
        N_("Why there is no plate"), lambda i: i.sent.plate_missing_reason
    ),
    "vehicle_make": Column(N_("Make"), lambda i: (i.sent.vehicle or {}).get("make")),
    "vehicle_model": Column(N_("Model"), lambda i: (i.sent.vehicle or {}).get("model")),
    "vehicle_colour": Column(N_("Colour"), lambda i: (i.sent.vehicle or {}).get("colour")),
    "codes": Column(N_("Codes"), lambda i: " ".join(i.sent.codes)),
    "outcome": Column(N_("Outcome"), lambda i: i.sent.outcome),
    "no_issue_reason": Column(N_("Why nothing was issued"), lambda i: i.sent.no_issue_reason),
    "number": Column(N_("Number"), lambda i: i.sent.number),
    "patroller": Column(N_("Patroller"), lambda i: i.sent.patroller),
    "shift": Column(N_("Shift"), lambda i: i.sent.shift),
    "device": Column(N_("Handheld"), lambda i: i.device),
    "observed_at": Column(N_("Observed on (UTC)"), lambda i: codec.instant(i.sent.observed_at)),
    "device_time": Column(
        N_("By the handheld's clock (UTC)"), lambda i: codec.instant(i.sent.device_time)
    ),
    "clock_offset_ms": Column(N_("Clock offset (ms)"), lambda i: i.sent.clock_offset_ms),
    "clock_uncertainty_ms": Column(
        N_("Clock uncertainty (ms)"), lambda i: i.sent.clock_uncertainty_ms
    ),
    "clock_jumped": Column(N_("Clock jumped"), lambda i: i.sent.clock_jumped),
    "received_at": Column(N_("Received on (UTC)"), lambda i: codec.instant(i.received_at)),
    "after_revocation": Column(N_("After revocation"), lambda i: i.after_revocation),
    "verdict": Column(N_("Verdict of the handheld"), lambda i: i.sent.verdict),
    "cursor_verdict": Column(N_("Verdict of a copy at its cursor"), lambda i: i.cursor_verdict),
    "recheck_verdict": Column(N_("Verdict known now"), lambda i: i.recheck_verdict),
    "differs": Column(N_("Differs"), lambda i: i.differs),
    "state": Column(N_("State"), lambda i: i.state),
    "decision_reason": Column(N_("Reason of the decision"), lambda i: i.decision_reason),
    "warnings": Column(N_("Flagged"), lambda i: " ".join(i.warnings)),
    "photos": Column(
        N_("Photos (SHA-256)"), lambda i: " ".join(photo.sha256 for photo in i.sent.photos)
    ),
    "photos_missing": Column(N_("Photos missing"), lambda i: len(i.photos_missing)),
    "epoch": Column(N_("Epoch"), lambda i: i.sent.epoch),
    "cursor": Column(N_("Cursor"), lambda i: i.sent.cursor),
    "note": Column(N_("Note"), lambda i: i.sent.note),
}
"""Every column, by an id that stays the same."""


def columns_of(named: Sequence[str]) -> tuple[str, ...]:
    """The columns that somebody wants, in their order; none named: all. Raises Invalid."""
    if len(set(named)) < len(named) or not set(named) <= set(COLUMNS):
        told = N_("must be columns, each once, of: {allowed}")
        error = Problem.Error("/query/columns", told, allowed=", ".join(COLUMNS))
        raise Invalid(errors=[error])
    return tuple(named) or tuple(COLUMNS)


def _some(infractions: Iterable[Infraction]) -> Iterator[list[Infraction]]:
    rest = iter(infractions)
    while some := list(islice(rest, AT_ONCE)):
        yield some


def as_csv(
    infractions: Iterable[Infraction],
    *,
    columns: Sequence[str] = tuple(COLUMNS),
    language: str | None = None,
    excel: bool = False,
) -> Iterator[str]:
    """A header and a line for each infraction, with these columns in this order.

    `language`: that of the header (None: the ids of the columns, for programs).
    """
    header: Sequence[str] = columns
    if language is not None:
        show = translation(language).gettext
        header = [show(COLUMNS[column].heading) for column in columns]
    wanted = [COLUMNS[column].of for column in columns]
    rows = ([of(infraction) for of in wanted] for infraction in infractions)
    return spreadsheets.as_csv(header, rows, excel=excel)


def _feature(infraction: Infraction, columns: Sequence[str] | None) -> dict[str, Any]:
    position = infraction.sent.position
    return {
        "type": "Feature",
        "id": infraction.id,
        "geometry": position and {"type": "Point", "coordinates": [position.lon, position.lat]},
        "properties": infraction.as_json()
        if columns is None
        else {column: COLUMNS[column].of(infraction) for column in columns},
    }


def as_geojson(
    infractions: Iterable[Infraction], *, columns: Sequence[str] | None = None
) -> Iterator[str]:
    """A FeatureCollection (RFC 7946); what has no position has no geometry.

    `columns`: the properties of each (None: all that the log shows of it).
    """
    before = '{"type":"FeatureCollection","features":[\n'
    for some in _some(infractions):
        features = (json.dumps(_feature(one, columns), ensure_ascii=False) for one in some)
        yield before + ",\n".join(features)
        before = ",\n"
    yield (before if before.startswith("{") else "") + "\n]}\n"
