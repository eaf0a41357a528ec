"""The log as CSV and GeoJSON, a few lines at a time (CONTRACT, "Infractions")."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from enforcement_api import spreadsheets
from enforcement_api.infractions.core import Infraction
from enforcement_api.spreadsheets import AT_ONCE, Cell
from sync import codec

GEOJSON_TYPE = "application/geo+json"

_COLUMNS: dict[str, Callable[[Infraction], Cell]] = {
    "id": lambda i: i.id,
    "site": lambda i: i.sent.site,
    "zone": lambda i: i.sent.zone,
    "lot": lambda i: i.sent.lot,
    "place": lambda i: i.sent.place,
    "lat": lambda i: i.sent.position.lat if i.sent.position else None,
    "lon": lambda i: i.sent.position.lon if i.sent.position else None,
    "accuracy_m": lambda i: i.sent.position.accuracy_m if i.sent.position else None,
    "plate": lambda i: i.plate.text if i.plate else None,
    "jurisdiction": lambda i: i.plate.jurisdiction if i.plate else None,
    "plate_raw": lambda i: i.sent.plate_raw,
    "plate_source": lambda i: i.sent.plate_source,
    "plate_missing_reason": lambda i: i.sent.plate_missing_reason,
    "vehicle_make": lambda i: (i.sent.vehicle or {}).get("make"),
    "vehicle_model": lambda i: (i.sent.vehicle or {}).get("model"),
    "vehicle_colour": lambda i: (i.sent.vehicle or {}).get("colour"),
    "codes": lambda i: " ".join(i.sent.codes),
    "outcome": lambda i: i.sent.outcome,
    "no_issue_reason": lambda i: i.sent.no_issue_reason,
    "number": lambda i: i.sent.number,
    "patroller": lambda i: i.sent.patroller,
    "shift": lambda i: i.sent.shift,
    "device": lambda i: i.device,
    "observed_at": lambda i: codec.instant(i.sent.observed_at),
    "device_time": lambda i: codec.instant(i.sent.device_time),
    "clock_offset_ms": lambda i: i.sent.clock_offset_ms,
    "clock_uncertainty_ms": lambda i: i.sent.clock_uncertainty_ms,
    "clock_jumped": lambda i: i.sent.clock_jumped,
    "received_at": lambda i: codec.instant(i.received_at),
    "after_revocation": lambda i: i.after_revocation,
    "verdict": lambda i: i.sent.verdict,
    "cursor_verdict": lambda i: i.cursor_verdict,
    "recheck_verdict": lambda i: i.recheck_verdict,
    "differs": lambda i: i.differs,
    "state": lambda i: i.state,
    "decision_reason": lambda i: i.decision_reason,
    "warnings": lambda i: " ".join(i.warnings),
    "photos": lambda i: " ".join(photo.sha256 for photo in i.sent.photos),
    "photos_missing": lambda i: len(i.photos_missing),
    "epoch": lambda i: i.sent.epoch,
    "cursor": lambda i: i.sent.cursor,
    "note": lambda i: i.sent.note,
}


def _some(infractions: Iterable[Infraction]) -> Iterator[list[Infraction]]:
    rest = iter(infractions)
    while some := list(islice(rest, AT_ONCE)):
        yield some


def as_csv(infractions: Iterable[Infraction], *, excel: bool = False) -> Iterator[str]:
    """A header and a line for each. Text that a spreadsheet would run begins with an apostrophe."""
    rows = ([of(infraction) for of in _COLUMNS.values()] for infraction in infractions)
    return spreadsheets.as_csv(_COLUMNS, rows, excel=excel)


def _feature(infraction: Infraction) -> dict[str, Any]:
    position = infraction.sent.position
    return {
        "type": "Feature",
        "id": infraction.id,
        "geometry": position and {"type": "Point", "coordinates": [position.lon, position.lat]},
        "properties": infraction.as_json(),
    }


def as_geojson(infractions: Iterable[Infraction]) -> Iterator[str]:
    """A FeatureCollection (RFC 7946); what has no position has no geometry."""
    before = '{"type":"FeatureCollection","features":[\n'
    for some in _some(infractions):
        features = (json.dumps(_feature(one), ensure_ascii=False) for one in some)
        yield before + ",\n".join(features)
        before = ",\n"
    yield (before if before.startswith("{") else "") + "\n]}\n"
