"""A site's lots as pages: on maps and in a list, each drawn by its corners, and all of them out and
in as GeoJSON. What a file would do is shown before it is done.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Depends
from starlette.responses import Response

from enforcement_api.console import maps
from enforcement_api.console.forms import shaped
from enforcement_api.console.site_forms import FINE, Desk, Refused
from enforcement_api.console.web import Visitor, address
from enforcement_api.problems import N_, Invalid, Problem
from enforcement_api.sites import geojson, pieces
from enforcement_api.sites.core import SitePlan
from enforcement_api.sites.geojson import Import, NotGeoJson
from enforcement_api.sites.shapes import LotShape
from sync.entities import Lot

_A_PAGE = 100
_MOST_DRAWN = 1000
"""Lots on the maps of a page; of more, those that are listed beside."""
_MOST_SHOWN = 200
"""Of what a file does, in each of its tables."""
_LARGEST_FILE = 4 * 1024 * 1024

_DONE: Mapping[str, str] = {
    "saved": N_("The lot is saved. Handhelds hear of it with their next synchronization."),
    "removed": N_("The lot is removed. What was recorded there stays."),
    "imported": N_(
        "The file’s lots are taken. Handhelds hear of them with their next synchronization."
    ),
}
_NUMBER = r"([-+]?[0-9]{1,3}(?:[.,][0-9]{1,20})?)"
_CORNER = re.compile(rf"{_NUMBER}\s*[;,\s]\s*{_NUMBER}")
Typed = Mapping[str, str]


def router(desk: Desk) -> APIRouter:
    """The pages of lots."""
    routes = APIRouter(prefix="/sites/{site}/settings", include_in_schema=False)
    web = desk.web
    visiting, acting = Depends(web.visitor), Depends(web.actor)

    # All of them

    def listed(
        visitor: Visitor,
        plan: SitePlan,
        *,
        sought: str = "",
        zone: str = "",
        page: int = 1,
        done: str = "",
        refused: Refused = FINE,
    ) -> Response:
        found = [lot for lot in plan.lots if _is_sought(lot, sought, zone)]
        pages = max(1, -(-len(found) // _A_PAGE))
        page = min(max(page, 1), pages)
        shown = found[(page - 1) * _A_PAGE : page * _A_PAGE]
        drawn = found if len(found) <= _MOST_DRAWN else shown
        return desk.page(
            "settings-lots.html",
            visitor,
            plan,
            refused=refused,
            lots=shown,
            count=len(found),
            page=page,
            pages=pages,
            sought=sought,
            zone=zone,
            sheets=_sheets(web.words(N_("Lots"), visitor.language), drawn),
            done=web.words(_DONE.get(done, ""), visitor.language),
        )

    @routes.get("/lots")
    def show_lots(
        site: str,
        visitor: Visitor = visiting,
        q: str = "",
        zone: str = "",
        page: int = 1,
        done: str = "",
    ) -> Response:
        plan = desk.plan(site)
        return listed(visitor, plan, sought=q.strip(), zone=zone, page=page, done=done)

    @routes.get("/lots.geojson")
    def download(site: str, visitor: Visitor = visiting) -> Response:
        """All lots as a file, which may come back changed."""
        return Response(
            geojson.collection(desk.plan(site).lots),
            media_type=geojson.MEDIA_TYPE,
            headers={
                "Content-Disposition": f'attachment; filename="{site}-lots.geojson"',
                "Cache-Control": "no-store",
            },
        )

    # One

    def form(
        visitor: Visitor,
        plan: SitePlan,
        code: str,
        typed: Typed | None = None,
        refused: Refused = FINE,
    ) -> Response:
        """Of a lot that is there, or, without a code, of a new one."""
        found = pieces.find(plan, "lot", code) if code else None
        lot = found if isinstance(found, Lot) else None
        if code and lot is None and typed is None:
            raise pieces.UnknownPart(id=code)
        corners = None if lot is None else corners_of(lot.area)
        drawn = plan.lots if len(plan.lots) <= _MOST_DRAWN else ([] if lot is None else [lot])
        if typed is None:
            typed = {
                "code": code,
                "name": lot.name if lot else "",
                "zone": (lot.zone or "") if lot else "",
                "corners": corners or "",
            }
        return desk.page(
            "settings-lot.html",
            visitor,
            plan,
            *([f"lot:{code}"] if lot is not None else []),
            refused=refused,
            lot=lot,
            typed=typed,
            is_drawable=lot is None or corners is not None,
            sheets=_sheets(web.words(N_("Lots"), visitor.language), drawn, {code: "here"}),
            tiles=web.settings.map_tiles,
            attribution=web.settings.map_attribution,
        )

    @routes.get("/lot")
    def show_lot(site: str, visitor: Visitor = visiting, code: str = "") -> Response:
        visitor.check_administrator()
        return form(visitor, desk.plan(site), code)

    @routes.post("/lot")
    def change_lot(site: str, visitor: Visitor = acting) -> Response:
        visitor.check_administrator()
        code = visitor.text("piece")
        typed = {name: visitor.text(name) for name in ("name", "zone", "corners")}
        typed["code"] = code or visitor.text("code")
        try:
            before = pieces.find(desk.plan(site), "lot", code) if code else None
            given = {"code": typed["code"], "name": typed["name"] or None}
            given["zone"] = typed["zone"] or None
            area = _area(typed["corners"], before if isinstance(before, Lot) else None)
            lot = shaped(LotShape, given | {"area": area}).entity()
            if isinstance(before, Lot) and _same(before.area, area):
                lot = Lot(lot.id, lot.name, lot.zone, before.area)
            desk.change(visitor, pieces.put(lot) if code else pieces.add(lot))
        except Problem as problem:
            return form(visitor, desk.plan(site), code, typed, desk.refused(problem, visitor))
        return web.go(address("sites", site, "settings", "lots", done="saved"))

    @routes.post("/lot/remove")
    def remove_lot(site: str, visitor: Visitor = acting) -> Response:
        visitor.check_administrator()
        code = visitor.text("piece")
        try:
            desk.change(visitor, pieces.remove("lot", code))
        except pieces.SiteChanged as problem:
            plan = desk.plan(site)
            if pieces.find(plan, "lot", code) is None:
                raise
            return form(visitor, plan, code, refused=desk.refused(problem, visitor))
        return web.go(address("sites", site, "settings", "lots", done="removed"))

    # From a file

    def shown_plan(
        visitor: Visitor, plan: SitePlan, text: bytes, refused: Refused = FINE
    ) -> Response:
        found = geojson.compared(geojson.read(text), plan)
        after = [c.after for c in found.changes]
        if len(after) > _MOST_DRAWN:
            after = [c.after for c in found.changes if c.what in _TONES][:_MOST_DRAWN]
        tones = {c.after.id: _TONES[c.what] for c in found.changes if c.what in _TONES}
        return desk.page(
            "settings-import.html",
            visitor,
            plan,
            refused=refused,
            found=found,
            most=_MOST_SHOWN,
            packed=_packed(text),
            reasons=_in_words(found, visitor.language),
            sheets=_sheets(web.words(N_("Lots"), visitor.language), after, tones),
        )

    @routes.post("/lots/import")
    def look_at_file(site: str, visitor: Visitor = acting) -> Response:
        visitor.check_administrator()
        file, plan = visitor.file("file"), desk.plan(site)
        try:
            if file is None:
                told = N_("is missing: choose one")
                raise Invalid(errors=[Problem.Error("/file", told)])
            return shown_plan(visitor, plan, file.file.read(_LARGEST_FILE))
        except (Invalid, NotGeoJson) as problem:
            return listed(visitor, plan, refused=desk.refused(problem, visitor))

    @routes.post("/lots/import/agree")
    def take_file(site: str, visitor: Visitor = acting) -> Response:
        visitor.check_administrator()
        plan = desk.plan(site)
        try:
            text = _unpacked(visitor.text("packed"))
            features = geojson.read(text)
        except (Invalid, NotGeoJson) as problem:
            return listed(visitor, plan, refused=desk.refused(problem, visitor))
        try:
            desk.administration.change_site(
                site,
                geojson.agreed(features, visitor.text("agreement")),
                seen=None,
                by=visitor.principal,
                at=web.at(),
            )
        except Problem as problem:
            return shown_plan(visitor, desk.plan(site), text, desk.refused(problem, visitor))
        return web.go(address("sites", site, "settings", "lots", done="imported"))

    return routes


_TONES: Mapping[str, str] = {"added": "good", "changed": "wait"}


def _is_sought(lot: Lot, sought: str, zone: str) -> bool:
    words = f"{lot.id} {lot.name}".casefold()
    return (not zone or lot.zone == zone) and sought.casefold() in words


def _sheets(
    title: str, lots: Sequence[Lot], tones: Mapping[str, str] | None = None
) -> list[maps.Map]:
    return maps.sheets(lots, id="lots", title=title, tones=tones)[0]


def _in_words(found: Import, language: str) -> dict[str, list[Any]]:
    """Why features are refused, and what was mended of others, by code."""
    return {
        "refused": [(one.index + 1, one.code, one.reason.text(language)) for one in found.refused],
        "remarks": [
            (one.after.id, [remark.text(language) for remark in one.remarks])
            for one in found.changes
            if one.remarks
        ],
    }


# Corners


def corners_of(area: str | None) -> str | None:
    """An area as people type it: a corner a line, latitude first, an empty line between its parts.
    None: it has holes, which this cannot say.
    """
    if area is None:
        return ""
    shape = json.loads(area)
    polygons = [shape["coordinates"]] if shape["type"] == "Polygon" else shape["coordinates"]
    if any(len(rings) > 1 for rings in polygons):
        return None
    parts = (
        "\n".join(f"{position[1]}, {position[0]}" for position in rings[0][:-1])
        for rings in polygons
    )
    return "\n\n".join(parts)


def area_of(corners: str) -> dict[str, Any] | None:
    """The area that was typed; None: nothing was. Raises Invalid, which names the line."""
    parts: list[list[list[float]]] = [[]]
    errors: list[Problem.Error] = []
    for number, line in enumerate(corners.split("\n"), 1):
        if not line.strip():
            if parts[-1]:
                parts.append([])
            continue
        try:
            parts[-1].append(_position(line.strip()))
        except ValueError as error:
            errors.append(Problem.Error("/area", str(error), line=number, text=line.strip()[:40]))
    found = [part for part in parts if part]
    if not errors and any(len({(x, y) for x, y in part}) < 3 for part in found):
        errors.append(Problem.Error("/area", N_("has fewer than three corners")))
    if not errors and sum(map(len, found)) > geojson.MOST_POSITIONS:
        told = N_("has more than {most} corners: draw it more simply")
        errors.append(Problem.Error("/area", told, most=geojson.MOST_POSITIONS))
    if errors:
        raise Invalid(errors=errors[:5])
    rings = [[[*part, part[0]] if part[0] != part[-1] else part] for part in found]
    if not rings:
        return None
    if len(rings) == 1:
        return {"type": "Polygon", "coordinates": rings[0]}
    return {"type": "MultiPolygon", "coordinates": rings}


def _position(line: str) -> list[float]:
    found = _CORNER.fullmatch(line)
    if found is None:
        raise ValueError(
            N_("line {line}, “{text}”, is not a latitude and a longitude: 45.4035, -71.8929")
        )
    latitude, longitude = (float(part.replace(",", ".")) for part in found.groups())
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        raise ValueError(N_("line {line}, “{text}”, lies nowhere on Earth: the latitude is first"))
    return [longitude, latitude]


def _area(corners: str, before: Lot | None) -> Any:
    """What was typed; what was there, if nobody changed a word of it, or nobody could."""
    if before is not None and before.area is not None:
        known = corners_of(before.area)
        if known is None or known == corners:
            return json.loads(before.area)
    return area_of(corners)


def _same(area: str | None, wanted: Any) -> bool:
    return area is not None and bool(json.loads(area) == wanted)


# A file between the page that shows what it does and the agreement


def _packed(text: bytes) -> str:
    return base64.b64encode(zlib.compress(text)).decode()


def _unpacked(packed: str) -> bytes:
    """Raises Invalid."""
    try:
        unpacking = zlib.decompressobj()
        text = unpacking.decompress(base64.b64decode(packed, validate=True), _LARGEST_FILE)
        if not unpacking.eof:
            raise ValueError(packed[:40])
    except (ValueError, binascii.Error, zlib.error) as error:
        told = N_("was not kept: choose it again")
        raise Invalid(errors=[Problem.Error("/file", told)]) from error
    return text
