"""What notices print of a site's own, as pages, with the paper as a handheld's printer makes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from fastapi import APIRouter, Depends
from starlette.responses import Response

from enforcement_api.console.forms import shaped
from enforcement_api.console.site_forms import FINE, Desk, Refused, refuse_penal_words
from enforcement_api.console.web import Visitor, address
from enforcement_api.patrols import setting
from enforcement_api.patrols import store as patrols
from enforcement_api.patrols.core import PatrolSettings, PrintedShape, TextsShape
from enforcement_api.problems import LANGUAGES, N_, Problem
from enforcement_api.sites.core import SitePlan
from enforcement_api.sites.pieces import Seen
from sync import codec
from sync.entities import Zone
from sync.paper.layout import as_svg_path, draw, has_the_handhelds_letters
from sync.paper.notice import Form, Sheet, compose

Outcome = Literal["notice", "warning"]
PARTS = tuple(PrintedShape.model_fields)
PAPERS: Mapping[str, Literal[384, 576]] = {"58": 384, "80": 576}
"""Dots across, by the millimetres that the roll is called by."""

_DONE: Mapping[str, str] = {
    "saved": N_("Saved. Handhelds print it so from their next briefing on, within a minute."),
}
Texts = dict[str, Any]
"""As TextsShape writes them."""


@dataclass(frozen=True, slots=True)
class Preview:
    """A sheet as it would be printed: its dots as the path of an SVG, and its words."""

    width: int
    height: int
    path: str
    words: str


def router(desk: Desk) -> APIRouter:
    """The page of printed texts."""
    routes = APIRouter(prefix="/sites/{site}/settings/texts", include_in_schema=False)
    web = desk.web
    visiting, acting = Depends(web.visitor), Depends(web.actor)

    def known(site: str) -> PatrolSettings:
        return web.record.read(lambda tx: patrols.settings(tx, site))

    def form(
        visitor: Visitor,
        outcome: Outcome,
        paper: str,
        *,
        typed: Texts | None = None,
        shown: TextsShape | None = None,
        refused: Refused = FINE,
        done: str = "",
    ) -> Response:
        """`typed`: what is in the fields; `shown`: what stands on the sheet (None: what is set)."""
        plan, of_site = desk.plan(visitor.at_site.id), known(visitor.at_site.id)
        seen = Seen.of_records({"texts": setting.pieces(of_site)["texts"]})
        texts = (shown or of_site.texts).model_dump(mode="json")
        return web.page(
            "settings-texts.html",
            visitor,
            status=refused.status,
            refused=refused,
            typed=typed or of_site.texts.model_dump(mode="json"),
            forms=_forms(plan),
            parts=PARTS,
            languages=LANGUAGES,
            expected=str(seen),
            outcome=outcome,
            paper=paper if paper in PAPERS else "58",
            papers=PAPERS,
            preview=preview(plan, texts, outcome, paper, at=web.at()),
            is_exact=has_the_handhelds_letters(),
            done=web.words(_DONE.get(done, ""), visitor.language),
        )

    @routes.get("")
    def show_texts(
        site: str,
        visitor: Visitor = visiting,
        outcome: str = "notice",
        paper: str = "58",
        done: str = "",
    ) -> Response:
        return form(visitor, _outcome(outcome), paper, done=done)

    @routes.post("")
    def change_texts(site: str, visitor: Visitor = acting) -> Response:
        """Save what was typed, or only show how it would be printed."""
        visitor.check_administrator()
        outcome, paper = _outcome(visitor.text("outcome")), visitor.text("paper")
        of_site = known(site)
        forms = _forms(desk.plan(site))
        typed = _typed(visitor, of_site.texts.model_dump(mode="json"), forms)
        try:
            wanted = shaped(TextsShape, _given(typed))
            if "avis" in forms:
                refuse_penal_words(_said(typed, forms))
            if visitor.text("do") == "preview":
                return form(visitor, outcome, paper, typed=typed, shown=wanted)
            seen = Seen.read(visitor.text("expected"))
            setting.change(
                web.record,
                site,
                lambda before: before.model_copy(update={"texts": wanted}),
                seen=seen,
                by=visitor.principal,
                at=web.at(),
            )
        except Problem as problem:
            refused = desk.refused(problem, visitor)
            return form(visitor, outcome, paper, typed=typed, refused=refused)
        done = {"outcome": outcome, "paper": paper, "done": "saved"}
        return web.go(address("sites", site, "settings", "texts", **done))

    return routes


def _outcome(text: str) -> Outcome:
    return "warning" if text == "warning" else "notice"


def _forms(plan: SitePlan) -> Sequence[Form]:
    """The papers that a site prints."""
    return (plan.site.instrument, "warning")


# What was typed


def _typed(visitor: Visitor, texts: Texts, forms: Sequence[Form]) -> Texts:
    """The texts with what was typed in the place of what was; other forms' stay."""
    given = {
        paper: {
            language: {part: visitor.text(f"{paper}_{language}_{part}") for part in PARTS}
            for language in LANGUAGES
        }
        for paper in forms
    }
    return texts | given | {"payment_url": visitor.text("payment_url")}


def _given(typed: Texts) -> Texts:
    """Nothing typed is nothing printed."""
    return {
        name: _given(value) if isinstance(value, dict) else value or None
        for name, value in typed.items()
    }


def _said(typed: Texts, forms: Sequence[Form]) -> Iterator[tuple[str, str, str]]:
    for paper in forms:
        for language in LANGUAGES:
            for part in PARTS:
                yield f"/{paper}/{language}/{part}", language, typed[paper][language][part]


# The sheet


def preview(plan: SitePlan, texts: Texts, outcome: Outcome, paper: str, *, at: datetime) -> Preview:
    """How an infraction of a test would be printed at a site with these texts."""
    sheet = sample(plan, texts, outcome, at=at)
    picture = draw(sheet, PAPERS.get(paper, 384))
    return Preview(picture.width, picture.height, as_svg_path(picture), sheet.words)


def sample(plan: SitePlan, texts: Texts, outcome: Outcome, *, at: datetime) -> Sheet:
    """An infraction of a test: the first code of the site's instrument that has an amount today, or
    else the first; its first lot that lies in a zone; a plate that nobody has.
    """
    site = plan.site
    codes = [code for code in plan.codes if code.active and site.instrument in code.instruments]
    day = codec.instant(at)[:10]
    priced = [code for code in codes if any(str(a["from"]) <= day for a in code.amounts)]
    chosen = (priced or codes or list(plan.codes))[:1]
    lot = next((lot for lot in plan.lots if lot.zone), None)
    zones: dict[str, Zone] = {zone.id: zone for zone in plan.zones}
    zone = zones.get(lot.zone or "") if lot else next(iter(plan.zones), None)
    body = {
        "zone": zone.id if zone else None,
        "lot": lot.id if lot else None,
        "plate": "ABC123",
        "jurisdiction": site.jurisdiction,
        "vehicle": {"make": "Honda", "model": "Civic", "colour": "gris"},
        "codes": [code.id for code in chosen],
        "outcome": outcome,
        "number": f"{site.id}-1042" if outcome == "notice" else None,
        "observed_at": codec.instant(at),
    }
    return compose(body, site=site, codes=plan.codes, zone=zone, lot=lot, texts=texts, badge="417")
