"""Patrols as they are now: devices and what is wrong with them, shifts, where they were last; and
what is done with a device: enrolled, looked at, revoked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import segno
from fastapi import APIRouter, Depends, Request
from markupsafe import Markup
from sqlalchemy import Connection
from starlette.responses import Response

from enforcement_api.console import charts, maps
from enforcement_api.console.charts import Column, Series
from enforcement_api.console.forms import shaped, wrong
from enforcement_api.console.showing import Showing
from enforcement_api.console.web import ROOT, Visitor, Web, address
from enforcement_api.devices import numbers
from enforcement_api.devices.core import CODE_LENGTH
from enforcement_api.devices.fleet import Fleet, Invitation, Standing
from enforcement_api.devices.routes import NewDevice
from enforcement_api.devices.troubles import Trouble, troubles
from enforcement_api.figures.core import local
from enforcement_api.infractions import patrolling
from enforcement_api.infractions.patrolling import Asked, OpenShift, Whereabouts
from enforcement_api.problems import N_, NotFound, Problem
from enforcement_api.sites import sign_ins
from enforcement_api.sites import store as sites
from enforcement_api.sites.core import Patroller, SitePlan
from sync import codec

State = Literal["enrolled", "waiting", "revoked"]

STATES: Mapping[str, str] = {
    "enrolled": N_("Enrolled"),
    "waiting": N_("Waits for its code"),
    "revoked": N_("Revoked"),
}
TROUBLES: Mapping[str, str] = {
    "stale": N_("Data too old"),
    "unseen": N_("Not seen for long"),
    "unsent": N_("Much is unsent"),
    "battery": N_("Battery low"),
    "clock": N_("Clock off"),
    "numbers": N_("Few numbers left"),
    "mismatched": N_("Data was fetched anew"),
}
EVENTS: Mapping[str, str] = {
    "check": N_("Plate checked"),
    "shift_started": N_("Shift begun"),
    "shift_ended": N_("Shift ended"),
    "alert_acknowledged": N_("Alert acknowledged"),
    "infraction_voided": N_("Own infraction voided"),
    "answer": N_("Question answered"),
    "message_read": N_("Message read"),
    "number_spoiled": N_("Number spoiled"),
}
DONE: Mapping[str, str] = {
    "revoked": N_("The device is revoked: its token opens nothing any more.")
}
LAST = 20
"""Events and infractions that a device's page shows."""
BLOCKS = 20
AROUND_M = 120.0
"""How much ground a device's page shows around its last position."""
QR_BORDER = 4
"""Modules of quiet around a QR code, as its standard wants."""


@dataclass(frozen=True, slots=True)
class Row:
    """A device of a site as the page shows it. `age`: of its copy of this site's data."""

    standing: Standing
    state: State
    age: timedelta | None
    troubles: Sequence[Trouble]
    last: Whereabouts | None
    shift: OpenShift | None
    may_be_changed: bool

    @property
    def tone(self) -> str:
        """How it is, in the colours of the page."""
        if any(trouble.is_grave for trouble in self.troubles):
            return "bad"
        return "wait" if self.troubles else "good" if self.state == "enrolled" else "none"

    def has(self, what: str) -> str:
        """How bad one thing is: `bad`, `wait` or nothing."""
        found = [trouble for trouble in self.troubles if trouble.what == what]
        return "" if not found else "bad" if found[0].is_grave else "wait"


@dataclass(frozen=True, slots=True)
class Live:
    """A site's patrols at an instant. `names`: of patrollers, by id and by badge."""

    plan: SitePlan
    rows: Sequence[Row]
    shifts: Sequence[OpenShift]
    hours: Sequence[tuple[datetime, int]]
    positions: Mapping[str, Whereabouts]
    names: Mapping[str, str]
    at: datetime

    @property
    def devices(self) -> Mapping[str, str]:
        """What devices are called, by id."""
        return {row.standing.device.id: row.standing.device.name for row in self.rows}

    def who(self, told: str | None) -> str:
        """What a patroller is called who was told by id or badge."""
        return self.names.get(told or "", told or "—")

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "at": codec.instant(self.at),
            "devices": [row_json(row) for row in self.rows],
            "shifts": [
                {
                    "id": shift.id,
                    "device": shift.device,
                    "patroller": shift.patroller,
                    "zone": shift.zone,
                    "began_at": codec.instant(shift.began_at),
                }
                for shift in self.shifts
            ],
            "checks": [{"from": codec.instant(at), "count": n} for at, n in self.hours],
        }


def row_json(row: Row) -> dict[str, Any]:
    """A device for programs."""
    device = row.standing.device
    last = row.last
    return {
        "id": device.id,
        "name": device.name,
        "sites": list(device.sites),
        "state": row.state,
        "troubles": [{"what": each.what, "grave": each.is_grave} for each in row.troubles],
        "created_at": codec.instant(device.created_at),
        "enrolled_at": codec.optional_instant(device.enrolled_at),
        "revoked_at": codec.optional_instant(device.revoked_at),
        "last_seen_at": codec.optional_instant(device.last_seen_at),
        "age_seconds": None if row.age is None else int(row.age.total_seconds()),
        "stale": row.standing.is_stale,
        "unsent": device.unsent,
        "battery_percent": device.battery_percent,
        "clock_offset_ms": device.clock_offset_ms,
        "app_version": device.app_version,
        "numbers_left": device.numbers_left,
        "mismatches": device.mismatches,
        "held_at_contact": row.standing.held_at_contact,
        "shift": None if row.shift is None else row.shift.id,
        "last": None
        if last is None
        else {
            "what": last.what,
            "at": codec.instant(last.at),
            "patroller": last.patroller,
            "zone": last.zone,
            "lot": last.lot,
            "place": last.place,
            "infraction": last.id,
            "lat": last.lat,
            "lon": last.lon,
            "accuracy_m": last.accuracy_m,
        },
    }


class Patrols:
    """What the record knows of a site's patrols, put together."""

    def __init__(self, web: Web, fleet: Fleet) -> None:
        self.web = web
        self.fleet = fleet

    def live(self, visitor: Visitor) -> Live:
        """All of them, what is wrong first."""
        at, site = self.web.at(), visitor.at_site

        def look(tx: Connection) -> Live:
            plan = sites.plan(tx, site.id)
            found = [
                each
                for each in self.fleet.page(tx, by=visitor.principal, at=at)
                if site.id in each.device.sites
            ]
            ids = [each.device.id for each in found if each.device.enrolled_at is not None]
            shifts = patrolling.open_shifts(tx, site.id, at)
            last = patrolling.last_told(tx, site.id, ids)
            edges = hours_of(at, site.time_zone)
            rows = [self.row(each, visitor, at, last, shifts) for each in found]
            return Live(
                plan=plan,
                rows=sorted(rows, key=_rank),
                shifts=shifts,
                hours=list(zip(edges, patrolling.checks_between(tx, site.id, edges), strict=False)),
                positions=patrolling.last_positions(tx, site.id, ids),
                names=names(tx, site.id),
                at=at,
            )

        return self.web.record.read(look)

    def row(
        self,
        standing: Standing,
        visitor: Visitor,
        at: datetime,
        last: Mapping[str, Whereabouts],
        shifts: Sequence[OpenShift],
    ) -> Row:
        """A device as the page shows it."""
        device, site = standing.device, visitor.at_site.id
        shift = next((each for each in shifts if each.device == device.id), None)
        level = [cursor.at for cursor in standing.cursors if cursor.site == site]
        state: State = "enrolled"
        if device.revoked_at is not None:
            state = "revoked"
        elif device.enrolled_at is None:
            state = "waiting"
        return Row(
            standing,
            state,
            age=at - level[0] if level and state == "enrolled" else None,
            troubles=troubles(standing, at, is_on_shift=shift is not None),
            last=last.get(device.id),
            shift=shift,
            may_be_changed=all(map(visitor.principal.may_touch, device.sites)),
        )


def names(tx: Connection, site: str) -> dict[str, str]:
    """What a site's patrollers are called, by id and by badge."""
    found = sites.all_patrollers(tx, site)
    return {each.badge: each.name for each in found} | {each.id: each.name for each in found}


def hours_of(at: datetime, time_zone: str) -> list[datetime]:
    """The full hours from the site's midnight on, up to the one after an instant."""
    begin = local(at, time_zone).replace(hour=0, minute=0, second=0, microsecond=0)
    edges = [begin.astimezone(at.tzinfo)]
    while edges[-1] <= at:
        edges.append(edges[-1] + timedelta(hours=1))
    return edges


def _rank(row: Row) -> tuple[int, int, str, str]:
    states = {"enrolled": 0, "waiting": 1, "revoked": 2}
    tones = {"bad": 0, "wait": 1}
    device = row.standing.device
    return (states[row.state], tones.get(row.tone, 2), device.name.casefold(), device.id)


def points(found: Live, show: Showing) -> list[maps.Point]:
    """Where devices were last."""
    rows = {row.standing.device.id: row for row in found.rows}
    return [
        maps.Point(
            rows[id].standing.device.name,
            seen.lat or 0.0,
            seen.lon or 0.0,
            seen.accuracy_m,
            rows[id].tone,
            f"{show.ago(seen.at)}, {found.who(seen.patroller)}",
        )
        for id, seen in found.positions.items()
        if id in rows
    ]


def qr_code(link: str) -> Markup:
    """A link as a QR code: an SVG on white ground, whatever the page's colours are."""
    code = segno.make(link, micro=False, error="m")
    drawing = code.svg_inline(
        border=QR_BORDER, dark="#000", light="#fff", omitsize=True, svgclass="qr", lineclass=None
    )
    return Markup(drawing)


def router(web: Web, *, fleet: Fleet) -> APIRouter:
    """The pages of patrols and their devices."""
    routes = APIRouter(prefix=f"{ROOT}/sites/{{site}}/live", include_in_schema=False)
    visiting, acting = Depends(web.visitor), Depends(web.actor)
    watching = Depends(web.watcher)
    patrols, record = Patrols(web, fleet), web.record

    def here(visitor: Visitor, *parts: str, **query: object) -> str:
        return address("sites", visitor.at_site.id, "live", *parts, **query)

    # All of them

    def overview(template: str, visitor: Visitor) -> Response:
        found, show = patrols.live(visitor), web.showing(visitor)
        present = replace(found, rows=[row for row in found.rows if row.state != "revoked"])
        sheets, outside = maps.sheets(
            found.plan.lots,
            points(present, show),
            id="patrols-map",
            title=show.text(N_("Where devices were last")),
        )
        total = sum(n for _, n in found.hours)
        hours = charts.columns(
            "checks-by-hour",
            show.text(N_("Checks today, by the hour")),
            [Series(show.text(N_("Checks")))],
            [Column(show.clock(at), show.clock(at), [n]) for at, n in found.hours],
            description=show.text(N_("Checks since midnight: {count}."), count=show.number(total)),
            language=visitor.language,
            empty=show.text(N_("No plate was checked today.")),
        )
        return web.page(
            template,
            visitor,
            live=found,
            maps=sheets,
            outside=[point.name for point in outside],
            checks=total,
            chart=hours,
            states=STATES,
            troubles=TROUBLES,
        )

    @routes.get("")
    def show_live(visitor: Visitor = visiting) -> Response:
        return overview("live.html", visitor)

    @routes.get(".json")
    def live_twin(visitor: Visitor = visiting) -> Response:
        return web.twin(visitor, patrols.live(visitor).as_json())

    @routes.get("/part")
    def live_part(visitor: Visitor = watching) -> Response:
        return overview("live-part.html", visitor)

    # Enrolling

    def enrol_form(
        visitor: Visitor,
        *,
        name: str = "",
        chosen: Sequence[str] | None = None,
        problem: Problem | None = None,
    ) -> Response:
        return web.page(
            "live-enrol.html",
            visitor,
            status=200 if problem is None else problem.status,
            name=name,
            chosen=[visitor.at_site.id] if chosen is None else chosen,
            errors=[] if problem is None else wrong(problem, visitor.language),
        )

    def code_page(visitor: Visitor, made: Invitation, name: str, *, is_new: bool) -> Response:
        half = CODE_LENGTH // 2
        return web.page(
            "live-code.html",
            visitor,
            name=name,
            id=made.id,
            code=f"{made.code[:half]}-{made.code[half:]}",
            expires_at=made.expires_at,
            lasts=fleet.code_lasts,
            server=parse_qs(urlsplit(made.link).query)["server"][0],
            qr=qr_code(made.link),
            since=codec.instant(web.at()),
            until=codec.instant(made.expires_at),
            is_new=is_new,
        )

    @routes.get("/devices/new")
    def show_enrol_form(visitor: Visitor = visiting) -> Response:
        return enrol_form(visitor)

    @routes.post("/devices")
    def enrol(request: Request, visitor: Visitor = acting) -> Response:
        name, chosen = visitor.text("name"), visitor.texts("sites")
        try:
            wanted = shaped(NewDevice, {"name": name, "sites": chosen})
            made = fleet.create(
                wanted.name,
                wanted.sites,
                asked_at=str(request.base_url),
                by=visitor.principal,
                at=web.at(),
            )
        except Problem as problem:
            if problem.status == 403:
                raise
            return enrol_form(visitor, name=name, chosen=chosen, problem=problem)
        return code_page(visitor, made, wanted.name, is_new=True)

    @routes.post("/devices/{id}/code")
    def renew_code(request: Request, id: str, visitor: Visitor = acting) -> Response:
        name = device_here(visitor, id).device.name
        made = fleet.renew_code(
            id, asked_at=str(request.base_url), by=visitor.principal, at=web.at()
        )
        return code_page(visitor, made, name, is_new=False)

    @routes.get("/devices/{id}/enrolled")
    def enrolled_part(id: str, since: str, until: str, visitor: Visitor = watching) -> Response:
        """Whether a device has traded the code that it was given after one instant and before
        another.
        """
        device = device_here(visitor, id).device
        begun, ends = _instant(since), _instant(until)
        return web.page(
            "live-enrolled.html",
            visitor,
            id=id,
            since=since,
            until=until,
            enrolled=device.enrolled_at is not None and device.enrolled_at >= begun,
            is_over=web.at() >= ends,
            device=device,
        )

    # One of them

    def device_here(visitor: Visitor, id: str) -> Standing:
        """A device of the site. Raises UnknownDevice, ForbiddenSite, NotFound."""
        at = web.at()
        found = record.read(lambda tx: fleet.one(tx, id, by=visitor.principal, at=at))
        if visitor.at_site.id not in found.device.sites:
            raise NotFound
        return found

    def holding(tx: Connection, visitor: Visitor, id: str) -> list[Patroller]:
        """The patrollers whose PIN could be tried out on a device that is in other hands."""
        site, lasts = visitor.at_site.id, timedelta(days=web.settings.sign_in_days)
        people = {each.id: each for each in sites.all_patrollers(tx, site)}
        found = sign_ins.known_on(tx, site, id, people, lasts=lasts, at=web.at())
        return [people[each] for each in found]

    def known(visitor: Visitor, id: str) -> dict[str, Any]:
        standing, at, site = device_here(visitor, id), web.at(), visitor.at_site.id

        def look(tx: Connection) -> dict[str, Any]:
            shifts = patrolling.open_shifts(tx, site, at)
            last = patrolling.last_told(tx, site, [id])
            blocks = numbers.page(tx, site, after=None, device=id, limit=BLOCKS)
            row = patrols.row(standing, visitor, at, last, shifts)
            return {
                "live": Live(
                    plan=sites.plan(tx, site),
                    rows=[row],
                    shifts=shifts,
                    hours=[],
                    positions=patrolling.last_positions(tx, site, [id]),
                    names=names(tx, site),
                    at=at,
                ),
                "row": row,
                "pins": holding(tx, visitor, id) if row.state == "revoked" else [],
                "blocks": numbers.account(tx, site, blocks),
                "events": patrolling.latest_of(tx, site, id, at, most=LAST),
                "infractions": patrolling.infractions_of(tx, site, id, most=LAST),
                "questions": [
                    each for each in patrolling.unanswered(tx, site) if each.device == id
                ],
            }

        return record.read(look)

    @routes.get("/devices/{id}.json")
    def device_twin(id: str, visitor: Visitor = visiting) -> Response:
        found = known(visitor, id)
        return web.twin(
            visitor,
            row_json(found["row"])
            | {
                "number_blocks": [
                    {
                        "prefix": each.block.prefix,
                        "first": each.block.first,
                        "last": each.block.last,
                        "given_at": codec.instant(each.block.given_at),
                        "issued": len(each.issued),
                        "spoiled": len(each.spoiled),
                        "unused": len(each.unused),
                    }
                    for each in found["blocks"]
                ],
                "events": [
                    {"kind": each.kind, "at": codec.instant(each.at)} for each in found["events"]
                ],
                "infractions": [each.id for each in found["infractions"]],
                "questions": [asked_json(each) for each in found["questions"]],
            },
        )

    @routes.get("/devices/{id}")
    def show_device(id: str, visitor: Visitor = visiting, done: str = "") -> Response:
        found = known(visitor, id)
        live, show = found["live"], web.showing(visitor)
        seen = points(live, show)
        map = maps.draw(
            live.plan.lots,
            seen,
            id="device-map",
            title=show.text(N_("Where it was last")),
            around_m=AROUND_M,
        )
        return web.page(
            "live-device.html",
            visitor,
            **found,
            map=map if seen else None,
            states=STATES,
            troubles=TROUBLES,
            kinds=EVENTS,
            done=web.words(DONE.get(done, ""), visitor.language),
        )

    # Revoking

    @routes.get("/devices/{id}/revoke")
    def ask_to_revoke(id: str, visitor: Visitor = visiting) -> Response:
        found = device_here(visitor, id)
        if found.device.revoked_at is not None:
            return web.go(here(visitor, "devices", id))
        pins = record.read(lambda tx: holding(tx, visitor, id))
        return web.page("live-revoke.html", visitor, standing=found, device=found.device, pins=pins)

    @routes.post("/devices/{id}/revoke")
    def revoke(id: str, visitor: Visitor = acting) -> Response:
        device_here(visitor, id)
        fleet.revoke(id, by=visitor.principal, at=web.at())
        return web.go(here(visitor, "devices", id, done="revoked"))

    return routes


def asked_json(asked: Asked) -> dict[str, Any]:
    """A question for programs."""
    return {
        "infraction": asked.infraction,
        "number": asked.number,
        "plate": asked.plate,
        "device": asked.device,
        "patroller": asked.patroller,
        "asked_at": codec.instant(asked.asked_at),
        "text": asked.text,
    }


def _instant(text: str) -> datetime:
    """An instant of an address of ours. Raises NotFound."""
    try:
        return codec.parse_instant(text)
    except ValueError as error:
        raise NotFound from error
