"""Where a patroller stands, as far as the device knows, and which lots that is in. Pure.

A position suggests a zone and goes with an infraction; it is never required (issue: gloves, roofs,
underground car parks). Sources of positions are the application's.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sync.entities import Lot

FRESH = timedelta(minutes=2)
"""Age up to which a position says where somebody is who walks."""
LARGEST_DOUBT = 100.0
"""Metres of accuracy beyond which a position suggests no lot."""
_METRES_A_DEGREE = 111_320.0

Ring = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Position:
    """Degrees of WGS 84, and metres within which that is right two times of three."""

    lat: float
    lon: float
    accuracy_m: float
    at: datetime

    def is_fresh(self, now: datetime) -> bool:
        """Whether it still tells where the device is."""
        return abs(now - self.at) <= FRESH

    def as_json(self) -> dict[str, float]:
        """As an infraction has it (CONTRACT)."""
        return {
            "lat": round(self.lat, 7),
            "lon": round(self.lon, 7),
            "accuracy_m": round(self.accuracy_m, 1),
        }


def lots_at(lots: Iterable[Lot], position: Position) -> list[Lot]:
    """The lots whose area holds the position, or is as near as the position is in doubt; the
    nearest first. None when the position is in too much doubt.
    """
    if position.accuracy_m > LARGEST_DOUBT:
        return []
    found = []
    for lot in lots:
        away = distance(lot, position)
        if away is not None and away <= position.accuracy_m:
            found.append((away, lot.id, lot))
    return [lot for _, _, lot in sorted(found, key=lambda one: one[:2])]


def distance(lot: Lot, position: Position) -> float | None:
    """Metres from the position to the lot; 0 within it, None when its area is not known."""
    polygons = _polygons(lot.area)
    if not polygons:
        return None
    return min(_distance(polygon, position) for polygon in polygons)


def _polygons(area: str | None) -> list[list[Ring]]:
    """The rings of a GeoJSON Polygon or MultiPolygon; none of anything else."""
    try:
        shape: Any = json.loads(area) if area else None
        if isinstance(shape, dict) and shape.get("type") == "Feature":
            shape = shape["geometry"]
        kind, coordinates = shape["type"], shape["coordinates"]
        polygons = {"Polygon": [coordinates], "MultiPolygon": coordinates}[kind]
        return [
            [[(float(x), float(y)) for x, y, *_ in ring] for ring in polygon]
            for polygon in polygons
        ]
    except (KeyError, TypeError, ValueError):
        return []


def _distance(polygon: list[Ring], position: Position) -> float:
    east = _METRES_A_DEGREE * math.cos(math.radians(position.lat))

    def metres(point: tuple[float, float]) -> tuple[float, float]:
        lon, lat = point
        return (lon - position.lon) * east, (lat - position.lat) * _METRES_A_DEGREE

    rings = [[metres(point) for point in ring] for ring in polygon]
    if rings and _holds(rings[0]) and not any(_holds(hole) for hole in rings[1:]):
        return 0.0
    edges = ((a, b) for ring in rings for a, b in itertools.pairwise(ring))
    return min((_to_edge(a, b) for a, b in edges), default=math.inf)


def _holds(ring: Ring) -> bool:
    """Whether the ring goes around the origin: a ray from there crosses it oddly often."""
    inside = False
    for (ax, ay), (bx, by) in zip(ring, [*ring[1:], ring[0]], strict=True):
        if (ay > 0) != (by > 0) and ax + (bx - ax) * (-ay) / (by - ay) > 0:
            inside = not inside
    return inside


def _to_edge(a: tuple[float, float], b: tuple[float, float]) -> float:
    """From the origin to the nearest point of an edge."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    length = dx * dx + dy * dy
    along = 0.0 if length == 0 else max(0.0, min(1.0, -(a[0] * dx + a[1] * dy) / length))
    return math.hypot(a[0] + along * dx, a[1] + along * dy)
