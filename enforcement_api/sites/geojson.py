"""A site's lots as a GeoJSON FeatureCollection (RFC 7946), out and in. Pure.

What comes in is matched by code, and becomes a plan that somebody looks at before it is done. A lot
that the file lacks is left alone; a feature that cannot be taken is told by its place in the file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from enforcement_api.problems import N_, Problem, Sentence
from enforcement_api.shapes import line, word
from enforcement_api.sites import core
from enforcement_api.sites.core import SitePlan
from enforcement_api.sites.pieces import Edit
from sync import codec
from sync.entities import Lot

MEDIA_TYPE = "application/geo+json"
MOST_POSITIONS = 2000
"""Positions of one lot: every handheld carries them."""

_WORLD = ("urn:ogc:def:crs:OGC:1.3:CRS84", "urn:ogc:def:crs:OGC::CRS84", "EPSG:4326", "CRS84")


class NotGeoJson(Problem):
    """A file that is no collection of features."""

    status = 422
    slug = "not-geojson"
    title = N_("This is no GeoJSON file of lots")
    detail = N_("Give a FeatureCollection in longitude and latitude (WGS 84): {reason}")


class ImportChanged(Problem):
    """What the file would change is not any more what somebody agreed to."""

    status = 409
    slug = "import-changed"
    title = N_("The lots have changed since you looked at what the file would do")
    detail = N_("Look at it again: {added} lots would be added, {changed} changed.")


# Out


def collection(lots: Iterable[Lot]) -> str:
    """All lots as the text of a FeatureCollection; one without an area has no geometry.

    `id` and `code` are the lot's code. Areas are written as they are kept: no number is re-rounded.
    """
    return '{"type":"FeatureCollection","features":[' + ",".join(map(_feature, lots)) + "]}"


def _feature(lot: Lot) -> str:
    facts = {"code": lot.id, "name": lot.name, "zone": lot.zone}
    id, properties = json.dumps(lot.id, ensure_ascii=False), json.dumps(facts, ensure_ascii=False)
    return (
        f'{{"type":"Feature","id":{id},"properties":{properties},"geometry":{lot.area or "null"}}}'
    )


# In

What = Literal["added", "changed", "unchanged", "missing"]


@dataclass(frozen=True, slots=True)
class LotChange:
    """What becomes of one lot. `index`: of its feature, from 0 (None: the file lacks it); `fields`:
    those that change; `remarks`: what of the feature was mended, or may not be meant.
    """

    what: What
    index: int | None
    before: Lot | None
    after: Lot
    fields: tuple[str, ...] = ()
    remarks: tuple[Sentence, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """A feature that cannot be taken, and why."""

    index: int
    code: str | None
    reason: Sentence


@dataclass(frozen=True, slots=True)
class Import:
    """What a file does to the lots of a site, once somebody agrees."""

    changes: tuple[LotChange, ...]
    refused: tuple[Refused, ...]

    def of(self, what: What) -> list[LotChange]:
        """Those that are added, say."""
        return [change for change in self.changes if change.what == what]

    @property
    def agreement(self) -> str:
        """What somebody agrees to, as a short text: another one, if anything else would be done."""
        done = [
            codec.canonical(
                {
                    "before": None
                    if change.before is None
                    else codec.change_of(change.before).record,
                    "after": codec.change_of(change.after).record,
                }
            )
            for change in self.changes
            if change.what in ("added", "changed")
        ]
        return hashlib.sha256("\n".join(done).encode()).hexdigest()[:32]


def read(text: str | bytes) -> list[Any]:
    """The features of a file. Raises NotGeoJson."""
    try:
        whole = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise NotGeoJson(reason=Sentence(N_("it is not JSON"))) from error
    if isinstance(whole, Mapping) and whole.get("type") == "Feature":
        whole = {"type": "FeatureCollection", "features": [whole]}
    if not isinstance(whole, Mapping) or whole.get("type") != "FeatureCollection":
        raise NotGeoJson(reason=Sentence(N_("it has no features")))
    if not isinstance(whole.get("features"), list):
        raise NotGeoJson(reason=Sentence(N_("it has no features")))
    named = _crs(whole.get("crs"))
    if named is not None and named not in _WORLD:
        told = N_("it is in {crs}; export it from your map program in WGS 84")
        raise NotGeoJson(reason=Sentence(told, crs=named[:100]))
    features: list[Any] = whole["features"]
    if len(features) > core.MOST_LOTS:
        told = N_("it has more than {most} features")
        raise NotGeoJson(reason=Sentence(told, most=core.MOST_LOTS))
    return features


def _no_number(text: str) -> float:
    raise ValueError(text)


def _crs(crs: Any) -> str | None:
    properties = crs.get("properties") if isinstance(crs, Mapping) else None
    name = properties.get("name") if isinstance(properties, Mapping) else None
    return name if isinstance(name, str) else None


def compared(features: Sequence[Any], plan: SitePlan) -> Import:
    """What the features of a file would do to the lots of a site: the features in their order, then
    the lots that the file lacks.

    `properties.code`, or else the feature's `id`, is the lot's code; `name` and `zone` stay as they
    are where they are left out.
    """
    known = {lot.id: lot for lot in plan.lots}
    zones = {zone.id for zone in plan.zones}
    changes: list[LotChange] = []
    refused: list[Refused] = []
    taken: set[str] = set()
    for index, feature in enumerate(features):
        code = _code(feature)
        try:
            lot, remarks = _lot(feature, code, known, zones)
            if lot.id in taken:
                raise _Unusable(N_("the file has a lot of this code before"))
        except _Unusable as unusable:
            refused.append(Refused(index, code, unusable.reason))
            # What is refused is not missing: its lot is in the file.
            taken |= set() if code is None else {code}
            continue
        taken.add(lot.id)
        changes.append(_change(index, known.get(lot.id), lot, remarks))
    changes += [LotChange("missing", None, lot, lot) for lot in plan.lots if lot.id not in taken]
    return Import(tuple(changes), tuple(refused))


def agreed(features: Sequence[Any], agreement: str) -> Edit:
    """The edit that does what somebody agreed to. Raises ImportChanged, if it is another by now."""

    def edit(plan: SitePlan) -> SitePlan:
        found = compared(features, plan)
        if found.agreement != agreement:
            raise ImportChanged(added=len(found.of("added")), changed=len(found.of("changed")))
        new = {change.after.id: change.after for change in found.changes}
        kept = [new.pop(lot.id, lot) for lot in plan.lots]
        return replace(plan, lots=(*kept, *new.values()))

    return edit


class _Unusable(Exception):
    def __init__(self, text: str, **facts: object) -> None:
        self.reason = Sentence(text, **facts)
        super().__init__(text)


def _code(feature: Any) -> str | None:
    if not isinstance(feature, Mapping):
        return None
    properties = feature.get("properties")
    given = properties.get("code") if isinstance(properties, Mapping) else None
    given = feature.get("id") if given is None else given
    is_whole = isinstance(given, int) and not isinstance(given, bool)
    return str(given)[:100] if isinstance(given, str) or is_whole else None


def _lot(
    feature: Any, code: str | None, known: Mapping[str, Lot], zones: set[str]
) -> tuple[Lot, list[Sentence]]:
    if not isinstance(feature, Mapping) or feature.get("type") != "Feature":
        raise _Unusable(N_("it is no feature"))
    if code is None:
        raise _Unusable(N_("it has no code: give it one in its properties"))
    try:
        word(code)
    except ValueError as error:
        raise _Unusable(N_("its code cannot be used: {why}"), why=Sentence(str(error))) from error
    before = known.get(code)
    given = feature.get("properties")
    properties: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
    name = properties.get("name")
    if name is None:
        name = code if before is None else before.name
    zone = properties.get("zone", None if before is None else before.zone)
    if not isinstance(name, str):
        raise _Unusable(N_("its name is no text"))
    try:
        line(name)
    except ValueError as error:
        raise _Unusable(N_("its name cannot be used: {why}"), why=Sentence(str(error))) from error
    if zone is not None and not (isinstance(zone, str) and zone in zones):
        raise _Unusable(N_("the site has no zone {zone}"), zone=str(zone)[:100])
    remarks: list[Sentence] = []
    area = _area(feature.get("geometry"), remarks)
    return Lot(code, name, zone, area), remarks


def _change(index: int, before: Lot | None, after: Lot, remarks: Iterable[Sentence]) -> LotChange:
    if before is None:
        return LotChange("added", index, None, after, (), tuple(remarks))
    fields = [f for f in ("name", "zone") if getattr(before, f) != getattr(after, f)]
    if not _same_area(before.area, after.area):
        fields.append("area")
    elif before.area != after.area:  # the same numbers, written in another way
        after = Lot(after.id, after.name, after.zone, before.area)
    what: What = "changed" if fields else "unchanged"
    return LotChange(what, index, before, after, tuple(fields), tuple(remarks))


def _same_area(one: str | None, other: str | None) -> bool:
    if one is None or other is None:
        return one == other
    return one == other or bool(json.loads(one) == json.loads(other))


def _area(geometry: Any, remarks: list[Sentence]) -> str | None:
    if geometry is None:
        return None
    kind = geometry.get("type") if isinstance(geometry, Mapping) else None
    if kind not in ("Polygon", "MultiPolygon"):
        told = N_("it is not a polygon but {kind}")
        raise _Unusable(told, kind=str(kind)[:40])
    given = geometry.get("coordinates")
    polygons = [given] if kind == "Polygon" else given
    mended = [_polygon(rings, remarks) for rings in _listed(polygons)]
    size = sum(len(ring) for rings in mended for ring in rings)
    if size > MOST_POSITIONS:
        told = N_("it has {size} positions, more than {most}: draw it more simply")
        raise _Unusable(told, size=size, most=MOST_POSITIONS)
    holes = sum(len(rings) - 1 for rings in mended)
    if len(mended) > 1:
        remarks.append(Sentence(N_("it has {count} parts"), count=len(mended)))
    if holes:
        remarks.append(Sentence(N_("holes in it are no part of it: {count}"), count=holes))
    coordinates: Any = mended[0] if kind == "Polygon" else mended
    return core.area_text({"type": kind, "coordinates": coordinates})


def _polygon(rings: Any, remarks: list[Sentence]) -> list[list[list[float]]]:
    return [_ring(ring, remarks) for ring in _listed(rings)]


def _ring(ring: Any, remarks: list[Sentence]) -> list[list[float]]:
    positions = list(_positions(_listed(ring), remarks))
    if positions[0] != positions[-1]:
        positions.append(positions[0])
        _remark(remarks, N_("a ring of it was not closed: it is now"))
    if len({(position[0], position[1]) for position in positions}) < 3:
        raise _Unusable(N_("a ring of it has fewer than three corners"))
    return positions


def _positions(ring: Sequence[Any], remarks: list[Sentence]) -> Iterator[list[float]]:
    for position in ring:
        if (
            not isinstance(position, list)
            or len(position) < 2
            or any(isinstance(n, bool) or not isinstance(n, int | float) for n in position)
        ):
            raise _Unusable(N_("a position of it is not [longitude, latitude]"))
        longitude, latitude = position[:2]
        if not (-180 <= longitude <= 180 and -90 <= latitude <= 90):
            told = N_("a position of it, {position}, is not in degrees of longitude and latitude")
            if -90 <= longitude <= 90 and -180 <= latitude <= 180:
                told = N_("a position of it, {position}, seems to have the latitude first")
            raise _Unusable(told, position=f"[{str(longitude)[:20]}, {str(latitude)[:20]}]")
        if len(position) > 2:
            _remark(remarks, N_("altitudes are left out"))
        yield [longitude, latitude]


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise _Unusable(N_("its coordinates are not those of a polygon"))
    return value


def _remark(remarks: list[Sentence], text: str) -> None:
    if text not in remarks:
        remarks.append(Sentence(text))
