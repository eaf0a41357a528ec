"""What vehicles can be noticed for, as pages: codes with their titles, and what each costs from
what day on. An amount that has begun stays: what was issued with it keeps it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from fastapi import APIRouter, Depends
from starlette.responses import Response

from enforcement_api.console.forms import shaped
from enforcement_api.console.site_forms import (
    FINE,
    INSTRUMENTS,
    Desk,
    Refused,
    both,
    cents,
    number,
    refuse_penal_words,
)
from enforcement_api.console.web import Visitor, address
from enforcement_api.problems import LANGUAGES, N_, Problem
from enforcement_api.shapes import day as read_day
from enforcement_api.sites import pieces
from enforcement_api.sites.core import SitePlan
from enforcement_api.sites.shapes import MOST_PHOTOS, AmountShape, CodeShape
from sync.entities import InfractionCode

_DONE: Mapping[str, str] = {
    "saved": N_("The code is saved. Handhelds hear of it with their next synchronization."),
    "amount": N_("The amount is planned. What is issued before that day keeps the one before."),
    "dropped": N_("The amount is dropped."),
}
Typed = Mapping[str, Any]


def router(desk: Desk) -> APIRouter:
    """The pages of codes."""
    routes = APIRouter(prefix="/sites/{site}/settings", include_in_schema=False)
    web = desk.web
    visiting, acting = Depends(web.visitor), Depends(web.actor)

    @routes.get("/codes")
    def show_codes(site: str, visitor: Visitor = visiting, done: str = "") -> Response:
        plan = desk.plan(site)
        return desk.page(
            "settings-codes.html",
            visitor,
            plan,
            today=desk.today(plan),
            ahead={code.id: _ahead(code, desk.today(plan).isoformat()) for code in plan.codes},
            done=web.words(_DONE.get(done, ""), visitor.language),
        )

    def form(
        visitor: Visitor,
        plan: SitePlan,
        id: str,
        typed: Typed | None = None,
        *,
        refused: Refused = FINE,
        amount_refused: Refused = FINE,
        done: str = "",
    ) -> Response:
        """Of a code that is there, or, without an id, of a new one."""
        found = pieces.find(plan, "code", id) if id else None
        code = found if isinstance(found, InfractionCode) else None
        if id and code is None and typed is None:
            raise pieces.UnknownPart(id=id)
        today = desk.today(plan)
        amounts = [] if code is None else _amounts(code, today.isoformat())
        return desk.page(
            "settings-code.html",
            visitor,
            plan,
            *([f"code:{id}"] if code is not None else []),
            refused=refused or amount_refused,
            for_amount=bool(amount_refused),
            code=code,
            typed=_as_typed(code) | dict(typed or {}),
            amounts=amounts,
            today=today,
            instruments=INSTRUMENTS,
            most_photos=MOST_PHOTOS,
            done=web.words(_DONE.get(done, ""), visitor.language),
        )

    @routes.get("/code")
    def show_code(
        site: str, visitor: Visitor = visiting, code: str = "", done: str = ""
    ) -> Response:
        if not code:
            visitor.check_administrator()
        return form(visitor, desk.plan(site), code, done=done)

    @routes.post("/code")
    def change_code(site: str, visitor: Visitor = acting) -> Response:
        visitor.check_administrator()
        id = visitor.text("piece")
        typed = {
            "code": id or visitor.text("code"),
            "title_fr": visitor.text("title_fr"),
            "title_en": visitor.text("title_en"),
            "article": visitor.text("article"),
            "instruments": visitor.texts("instruments"),
            "photos_required": visitor.text("photos_required"),
            "active": visitor.ticked("active"),
        }
        try:
            given = {
                "code": typed["code"],
                "title": both(visitor, "title") or {"fr": "", "en": ""},
                "instruments": typed["instruments"],
                "article": typed["article"] or None,
                "photos_required": number(visitor.text("photos_required")),
                "active": typed["active"],
            }
            code = shaped(CodeShape, given).entity()
            if "avis" in code.instruments:
                refuse_penal_words(_said(code))
            desk.change(visitor, pieces.put(code) if id else pieces.add(code))
        except Problem as problem:
            return form(visitor, desk.plan(site), id, typed, refused=desk.refused(problem, visitor))
        return web.go(
            address("sites", site, "settings", "code", code=str(typed["code"]), done="saved")
        )

    @routes.post("/code/amount")
    def plan_amount(site: str, visitor: Visitor = acting) -> Response:
        visitor.check_administrator()
        id, plan = visitor.text("piece"), desk.plan(site)
        typed = {"from": visitor.text("from"), "amount": visitor.text("amount")}
        try:
            wanted = shaped(
                AmountShape, {"from": typed["from"], "amount_cents": cents(typed["amount"])}
            )
            today = desk.today(plan)
            edit = pieces.amount(id, day=wanted.from_, cents=wanted.amount_cents, today=today)
            desk.change(visitor, edit)
        except Problem as problem:
            refused = desk.refused(problem, visitor)
            return form(visitor, desk.plan(site), id, typed, amount_refused=refused)
        return web.go(address("sites", site, "settings", "code", code=id, done="amount"))

    @routes.post("/code/amount/drop")
    def drop_amount(site: str, visitor: Visitor = acting) -> Response:
        """One that has not begun."""
        visitor.check_administrator()
        id, plan = visitor.text("piece"), desk.plan(site)
        try:
            day = read_day(visitor.text("from"))
            desk.change(visitor, pieces.no_amount(id, day=day, today=desk.today(plan)))
        except ValueError as error:
            raise pieces.UnknownPart(id=visitor.text("from")) from error
        except Problem as problem:
            refused = desk.refused(problem, visitor)
            return form(visitor, desk.plan(site), id, amount_refused=refused)
        return web.go(address("sites", site, "settings", "code", code=id, done="dropped"))

    return routes


def _said(code: InfractionCode) -> Iterator[tuple[str, str, str]]:
    for language in LANGUAGES:
        yield f"/title/{language}", language, code.title[language]
    for language in LANGUAGES if code.article else ():
        yield "/article", language, code.article or ""


def _amounts(code: InfractionCode, today: str) -> list[dict[str, Any]]:
    """What it costs from what day on, the latest first, each with when it holds."""
    begun = [str(each["from"]) for each in code.amounts if str(each["from"]) <= today]
    latest = max(begun, default="")
    told = [
        {
            "day": date.fromisoformat(str(each["from"])),
            "cents": each["amount_cents"],
            "when": "now"
            if each["from"] == latest
            else "past"
            if str(each["from"]) <= today
            else "ahead",
        }
        for each in code.amounts
    ]
    return sorted(told, key=lambda each: each["day"], reverse=True)


def _ahead(code: InfractionCode, today: str) -> dict[str, Any] | None:
    """The next amount, if there is one."""
    ahead = [each for each in _amounts(code, today) if each["when"] == "ahead"]
    return ahead[-1] if ahead else None


def _as_typed(code: InfractionCode | None) -> dict[str, Any]:
    empty = {"from": "", "amount": ""}
    if code is None:
        return empty | {
            "code": "",
            "title_fr": "",
            "title_en": "",
            "article": "",
            "instruments": [],
            "photos_required": 1,
            "active": True,
        }
    return empty | {
        "code": code.id,
        "title_fr": code.title.get("fr", ""),
        "title_en": code.title.get("en", ""),
        "article": code.article or "",
        "instruments": list(code.instruments),
        "photos_required": int(code.photos_required),
        "active": code.active,
    }
