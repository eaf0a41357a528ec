"""What a site is, as pages: its settings, its zones, when nothing is issued, and what is set for
its patrols. Supervisors see all of it; administrators change it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from zoneinfo import available_timezones

from fastapi import APIRouter, Depends
from starlette.responses import Response

from enforcement_api.console import code_pages, lot_pages, notice_pages
from enforcement_api.console.forms import instant, shaped, typed_moment
from enforcement_api.console.site_forms import FINE, INSTRUMENTS, Desk, Refused, both, number
from enforcement_api.console.web import ROOT, Visitor, Web, address
from enforcement_api.patrols import setting
from enforcement_api.patrols import store as patrols
from enforcement_api.patrols.core import PatrolSettings
from enforcement_api.patrols.core import SettingsShape as PatrolShape
from enforcement_api.problems import N_, Invalid, Problem
from enforcement_api.sites import core, pieces
from enforcement_api.sites.administration import Administration
from enforcement_api.sites.core import SitePlan
from enforcement_api.sites.pieces import NO_NOTICE, SETTINGS, Seen
from enforcement_api.sites.shapes import SettingsShape, SiteShape, WindowShape, ZoneShape, site_json
from sync.entities import ALL_ZONES, NoNotice, Site, Zone

_DONE: Mapping[str, str] = {
    "created": N_("The site is there. Give it zones, then lots and codes."),
    "saved": N_("Saved. Handhelds hear of it with their next synchronization."),
    "removed": N_("Removed. Handhelds hear of it with their next synchronization."),
}
_NUMBERS = ("activation_hours", "retention_days", "stale_after_hours")
_MINUTES = ("repeat_days", "two_vehicles_minutes", "void_minutes", "idle_lock_minutes")
Typed = Mapping[str, Any]


def router(web: Web, administration: Administration) -> APIRouter:
    """The pages of a site's settings, with those of its lots, codes and printed texts."""
    routes = APIRouter(prefix=ROOT, include_in_schema=False)
    desk = Desk(web, administration)
    visiting, acting = Depends(web.visitor), Depends(web.actor)

    def of_patrols(site: str) -> PatrolSettings:
        return web.record.read(lambda tx: patrols.settings(tx, site))

    # All of it

    @routes.get("/sites/{site}/settings")
    def overview(site: str, visitor: Visitor = visiting, done: str = "") -> Response:
        plan, set_for_patrols = desk.plan(site), of_patrols(site)
        at = web.at()
        return desk.page(
            "settings.html",
            visitor,
            plan,
            done=web.words(_DONE.get(done, ""), visitor.language),
            windows=[window for window in plan.site.no_notice if window.ends > at],
            past=sum(window.ends <= at for window in plan.site.no_notice),
            today=desk.today(plan),
            settings=set_for_patrols.settings,
            texts=set_for_patrols.texts.model_dump(mode="json"),
        )

    @routes.get("/sites/{site}/settings.json")
    def overview_as_json(site: str, visitor: Visitor = visiting) -> Response:
        facts = site_json(desk.plan(site)) | of_patrols(site).model_dump(mode="json")
        return web.twin(visitor, facts)

    # What the site is

    def site_form(
        visitor: Visitor, plan: SitePlan, typed: Typed, refused: Refused = FINE
    ) -> Response:
        return desk.page(
            "settings-site.html",
            visitor,
            plan,
            SETTINGS,
            refused=refused,
            typed=typed,
            is_new=False,
            instruments=INSTRUMENTS,
            time_zones=_time_zones(),
        )

    @routes.get("/sites/{site}/settings/site")
    def show_site(site: str, visitor: Visitor = visiting) -> Response:
        visitor.check_administrator()
        plan = desk.plan(site)
        return site_form(visitor, plan, _site_as_typed(plan.site))

    @routes.post("/sites/{site}/settings/site")
    def change_site(site: str, visitor: Visitor = acting) -> Response:
        visitor.check_administrator()
        typed = _typed_site(visitor)
        try:
            wanted = shaped(SettingsShape, _site_given(typed))
            desk.change(visitor, pieces.settings(wanted.settings(site)))
        except Problem as problem:
            return site_form(visitor, desk.plan(site), typed, desk.refused(problem, visitor))
        return web.go(address("sites", site, "settings", done="saved"))

    def new_form(visitor: Visitor, typed: Typed, refused: Refused = FINE) -> Response:
        return web.page(
            "settings-site.html",
            visitor,
            status=refused.status,
            refused=refused,
            typed=typed,
            is_new=True,
            expected="",
            instruments=INSTRUMENTS,
            time_zones=_time_zones(),
        )

    @routes.get("/sites/new")
    def show_new(visitor: Visitor = visiting) -> Response:
        visitor.check_administrator()
        site = SettingsShape(name="-").settings("")
        return new_form(visitor, _site_as_typed(site) | {"name": "", "code": ""})

    @routes.post("/sites/new")
    def create_site(visitor: Visitor = acting) -> Response:
        visitor.check_administrator()
        typed = _typed_site(visitor)
        code = str(typed["code"])
        try:
            try:
                core.check_site_id(code)
            except ValueError as error:
                raise Invalid(errors=[Problem.Error("/code", str(error))]) from error
            wanted = shaped(SiteShape, _site_given(typed))
            administration.create_site(wanted.plan(code), by=visitor.principal, at=web.at())
        except Problem as problem:
            return new_form(visitor, typed, desk.refused(problem, visitor))
        return web.go(address("sites", code, "settings", done="created"))

    # Zones

    def zone_form(
        visitor: Visitor,
        plan: SitePlan,
        code: str,
        typed: Typed | None = None,
        refused: Refused = FINE,
    ) -> Response:
        """Of a zone that is there, or, without a code, of a new one."""
        zone = pieces.find(plan, "zone", code) if code else None
        if code and zone is None and typed is None:
            raise pieces.UnknownPart(id=code)
        if typed is None:
            typed = _zone_as_typed(zone if isinstance(zone, Zone) else None)
        code = code or str(typed["code"])
        return desk.page(
            "settings-zone.html",
            visitor,
            plan,
            *([f"zone:{code}"] if zone is not None else []),
            refused=refused,
            zone=zone,
            typed=typed,
        )

    @routes.get("/sites/{site}/settings/zone")
    def show_zone(site: str, visitor: Visitor = visiting, code: str = "") -> Response:
        visitor.check_administrator()
        return zone_form(visitor, desk.plan(site), code)

    @routes.post("/sites/{site}/settings/zone")
    def change_zone(site: str, visitor: Visitor = acting) -> Response:
        visitor.check_administrator()
        code = visitor.text("piece")
        typed = {"code": code or visitor.text("code")} | {
            f"{name}_{language}": visitor.text(f"{name}_{language}")
            for name in ("name", "note")
            for language in ("fr", "en")
        }
        try:
            given = {"code": typed["code"], "name": both(visitor, "name")}
            zone = shaped(ZoneShape, given | {"note": both(visitor, "note")}).entity()
            desk.change(visitor, pieces.put(zone) if code else pieces.add(zone))
        except Problem as problem:
            refused = desk.refused(problem, visitor)
            return zone_form(visitor, desk.plan(site), code, typed, refused)
        return web.go(address("sites", site, "settings", done="saved") + "#zones")

    @routes.post("/sites/{site}/settings/zone/remove")
    def remove_zone(site: str, visitor: Visitor = acting) -> Response:
        visitor.check_administrator()
        code = visitor.text("piece")
        try:
            desk.change(visitor, pieces.remove("zone", code))
        except Problem as problem:
            refused = desk.refused(problem, visitor)
            plan = desk.plan(site)
            if pieces.find(plan, "zone", code) is None:
                raise
            return zone_form(visitor, plan, code, refused=refused)
        return web.go(address("sites", site, "settings", done="removed") + "#zones")

    @routes.post("/sites/{site}/settings/{kind}/move")
    def move(
        site: str, kind: Literal["zone", "lot", "code"], visitor: Visitor = acting
    ) -> Response:
        """One place up or down the list, as it is by now."""
        visitor.check_administrator()
        administration.change_site(
            site,
            pieces.move(kind, visitor.text("piece"), -1 if visitor.text("way") == "up" else 1),
            seen=None,
            by=visitor.principal,
            at=web.at(),
        )
        page = {"zone": ("settings",), "lot": ("settings", "lots"), "code": ("settings", "codes")}
        return web.go(address("sites", site, *page[kind]) + f"#{kind}s")

    # When no notice is issued

    def windows_page(
        visitor: Visitor,
        plan: SitePlan,
        *,
        typed: Typed | None = None,
        chosen: int | None = None,
        refused: Refused = FINE,
        done: str = "",
    ) -> Response:
        windows = plan.site.no_notice
        if typed is None:
            known = windows[chosen] if chosen is not None and chosen < len(windows) else None
            typed = _window_as_typed(known, plan.site.time_zone)
        return desk.page(
            "settings-times.html",
            visitor,
            plan,
            NO_NOTICE,
            refused=refused,
            windows=list(enumerate(windows))[::-1],
            chosen=chosen,
            typed=typed,
            done=web.words(_DONE.get(done, ""), visitor.language),
            at=web.at(),
        )

    @routes.get("/sites/{site}/settings/times")
    def show_windows(
        site: str, visitor: Visitor = visiting, change: int | None = None, done: str = ""
    ) -> Response:
        chosen = change if change is not None and change >= 0 else None
        return windows_page(visitor, desk.plan(site), chosen=chosen, done=done)

    @routes.post("/sites/{site}/settings/times")
    def change_windows(site: str, visitor: Visitor = acting) -> Response:
        """One more, or another in place of the one that was chosen."""
        visitor.check_administrator()
        chosen = _place(visitor.text("window"))
        typed = {
            name: visitor.text(name) for name in ("from", "until", "reason_fr", "reason_en")
        } | {"zones": [ALL_ZONES] if visitor.ticked("all_zones") else visitor.texts("zones")}
        plan = desk.plan(site)
        try:
            window = _window(typed, plan.site, both(visitor, "reason"))
            desk.change(visitor, pieces.no_notice_with(window, at=chosen))
        except Problem as problem:
            refused = desk.refused(problem, visitor)
            return windows_page(
                visitor, desk.plan(site), typed=typed, chosen=chosen, refused=refused
            )
        return web.go(address("sites", site, "settings", "times", done="saved"))

    @routes.post("/sites/{site}/settings/times/remove")
    def remove_window(site: str, visitor: Visitor = acting) -> Response:
        visitor.check_administrator()
        chosen = _place(visitor.text("window"))
        try:
            desk.change(visitor, pieces.no_notice_with(None, at=chosen))
        except Problem as problem:
            refused = desk.refused(problem, visitor)
            return windows_page(visitor, desk.plan(site), refused=refused)
        return web.go(address("sites", site, "settings", "times", done="removed"))

    # What is set for patrols

    def patrols_form(
        visitor: Visitor,
        site: str,
        typed: Typed | None = None,
        refused: Refused = FINE,
        done: str = "",
    ) -> Response:
        known = of_patrols(site)
        shown = known.settings.model_dump(mode="json")
        seen = Seen.of_records({"settings": setting.pieces(known)["settings"]})
        return web.page(
            "settings-patrols.html",
            visitor,
            status=refused.status,
            refused=refused,
            typed=typed or shown | {"chalk_minutes": " ".join(map(str, shown["chalk_minutes"]))},
            numbers=_MINUTES,
            bounds=PatrolShape.model_json_schema()["properties"],
            expected=str(seen),
            done=web.words(_DONE.get(done, ""), visitor.language),
        )

    @routes.get("/sites/{site}/settings/patrols")
    def show_patrols(site: str, visitor: Visitor = visiting, done: str = "") -> Response:
        return patrols_form(visitor, site, done=done)

    @routes.post("/sites/{site}/settings/patrols")
    def change_patrols(site: str, visitor: Visitor = acting) -> Response:
        visitor.check_administrator()
        typed = {name: visitor.text(name) for name in (*_MINUTES, "chalk_minutes")} | {
            "ask_about_faces": visitor.ticked("ask_about_faces")
        }
        chalk = str(typed["chalk_minutes"]).replace(",", " ").split()
        given = {name: number(str(typed[name])) for name in _MINUTES} | {
            "ask_about_faces": typed["ask_about_faces"],
            "chalk_minutes": [number(each) for each in chalk],
        }
        try:
            wanted = shaped(PatrolShape, given)
            setting.change(
                web.record,
                site,
                lambda before: before.model_copy(update={"settings": wanted}),
                seen=Seen.read(visitor.text("expected")),
                by=visitor.principal,
                at=web.at(),
            )
        except Problem as problem:
            return patrols_form(visitor, site, typed, desk.refused(problem, visitor))
        return web.go(address("sites", site, "settings", "patrols", done="saved"))

    for part in (lot_pages, code_pages, notice_pages):
        routes.include_router(part.router(desk))
    return routes


def _time_zones() -> list[str]:
    """Those that somebody may look for; others are taken too."""
    return sorted(name for name in available_timezones() if name.startswith("America/"))


def _place(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 6 else None


# As it is, or as it was typed


def _site_as_typed(site: Site) -> dict[str, Any]:
    fields = ("name", "address", "time_zone", "jurisdiction", "instrument", *_NUMBERS)
    shown = {name: getattr(site, name) for name in fields}
    return {name: "" if value is None else value for name, value in shown.items()}


def _typed_site(visitor: Visitor) -> dict[str, Any]:
    fields = ("code", "name", "address", "time_zone", "jurisdiction", "instrument", *_NUMBERS)
    return {name: visitor.text(name) for name in fields}


def _site_given(typed: Typed) -> dict[str, Any]:
    given = {name: value for name, value in typed.items() if name != "code"}
    given["jurisdiction"] = str(given["jurisdiction"]).upper()
    for name in _NUMBERS:
        given[name] = number(str(typed[name]))
    if not typed["stale_after_hours"]:
        given["stale_after_hours"] = None
    return given


def _zone_as_typed(zone: Zone | None) -> dict[str, str]:
    name, note = ({}, {}) if zone is None else (zone.name, zone.note or {})
    return {
        "code": "" if zone is None else zone.id,
        **{f"name_{language}": name.get(language, "") for language in ("fr", "en")},
        **{f"note_{language}": note.get(language, "") for language in ("fr", "en")},
    }


def _window_as_typed(window: NoNotice | None, time_zone: str) -> dict[str, Any]:
    if window is None:
        empty = dict.fromkeys(("from", "until", "reason_fr", "reason_en"), "")
        return {**empty, "zones": [ALL_ZONES]}
    reason = window.reason
    said = {"fr": reason, "en": reason} if isinstance(reason, str) else reason
    return {
        "from": typed_moment(window.begins, time_zone),
        "until": typed_moment(window.ends, time_zone),
        "zones": list(window.zones),
        "reason_fr": said.get("fr", ""),
        "reason_en": said.get("en", ""),
    }


def _window(typed: Typed, site: Site, reason: Mapping[str, str] | None) -> NoNotice:
    """Raises Invalid."""
    begins = instant(typed["from"], site.time_zone, "/from")
    ends = instant(typed["until"], site.time_zone, "/until")
    if ends <= begins:
        raise Invalid(errors=[Problem.Error("/until", N_("must be later than it begins"))])
    if not reason or not all(reason.values()):
        told = N_("is missing: patrollers read it in their own language")
        missing = [each for each in ("fr", "en") if not (reason or {}).get(each)]
        raise Invalid(errors=[Problem.Error(f"/reason/{each}", told) for each in missing])
    given = {"from": begins, "until": ends, "zones": typed["zones"], "reason": reason}
    return shaped(WindowShape, given).entity()
