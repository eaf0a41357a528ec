"""What supervisors tell patrols and whom they send: messages, the hotlist, patrollers with their
PINs, and the questions that wait for an answer of theirs.
"""

from __future__ import annotations

import re
import secrets
import unicodedata
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from fastapi import APIRouter, Depends
from sqlalchemy import Connection
from starlette.responses import Response

from enforcement_api.console.forms import instant, shaped, typed_moment, wrong
from enforcement_api.console.live_pages import asked_json, names
from enforcement_api.console.web import ROOT, Visitor, Web, address
from enforcement_api.devices import store as devices
from enforcement_api.devices.core import Device
from enforcement_api.infractions import patrolling
from enforcement_api.infractions.patrolling import Activity, Asked
from enforcement_api.patrols import supervising
from enforcement_api.patrols.core import MESSAGE_LASTS, MessageShape
from enforcement_api.patrols.supervising import Told
from enforcement_api.problems import N_, Invalid, NotFound, Problem
from enforcement_api.security import ForbiddenSite
from enforcement_api.shapes import is_uuid, page_cursor, page_position
from enforcement_api.sites import core, sign_ins
from enforcement_api.sites import store as sites
from enforcement_api.sites.administration import Administration
from enforcement_api.sites.core import Patroller, UnknownHotlistEntry
from enforcement_api.sites.shapes import HotlistEntryShape, NamesShape, PatrollerShape
from sync import codec
from sync.entities import HotlistEntry
from sync.plates import normalise

MESSAGES = 50
"""Messages on a page."""
MOST_ENTRIES = 500
"""Entries of the hotlist on a page; more are found by their plate."""
UNHEARD = timedelta(hours=1)
"""A question that its device has not asked for so long after it was put may reach nobody."""

PRIORITIES: Mapping[str, str] = {"high": N_("High: an alert"), "low": N_("Low: a hint")}
DONE: Mapping[str, str] = {
    "sent": N_("The message is sent: handhelds show it within half a minute."),
    "withdrawn": N_("The message is withdrawn."),
    "listed": N_("The plate is on the hotlist: handhelds know it within seconds."),
    "saved": N_("Saved."),
    "removed": N_("Removed."),
}
CHANGED = N_(
    "Somebody else has changed this entry meanwhile: look at how it is now, and do it once more."
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A question without an answer. `lost`: why it reaches nobody; empty: it may be answered."""

    asked: Asked
    device: Device | None
    who: str
    lost: str

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return asked_json(self.asked) | {"lost": self.lost or None}


LOST: Mapping[str, str] = {
    "revoked": N_("Its device is revoked: nobody hears the question."),
    "unheard": N_("Its device was not heard of since it was asked."),
    "unknown": N_("Its device is not there any more."),
}


def lost(device: Device | None, asked: Asked, at: datetime) -> str:
    """Why a question reaches nobody, as LOST has it; empty: it does."""
    if device is None:
        return "unknown"
    if device.revoked_at is not None:
        return "revoked"
    seen = device.last_seen_at
    is_unheard = seen is None or seen < asked.asked_at
    return "unheard" if is_unheard and at - asked.asked_at > UNHEARD else ""


@dataclass(frozen=True, slots=True)
class _Entry:
    """The fields of an entry of the hotlist, as they were typed."""

    plate: str = ""
    jurisdiction: str = ""
    reason: str = ""
    priority: str = "high"
    instructions: str = ""
    expires_at: str = ""

    @classmethod
    def by(cls, visitor: Visitor) -> _Entry:
        return cls(**{name: visitor.text(name) for name in cls.__dataclass_fields__})

    @classmethod
    def of(cls, entry: HotlistEntry, time_zone: str) -> _Entry:
        return cls(
            entry.plate.text,
            entry.plate.jurisdiction,
            entry.reason,
            entry.priority,
            entry.instructions or "",
            typed_moment(entry.expires_at, time_zone),
        )

    def shape(self, time_zone: str) -> HotlistEntryShape:
        """Raises Invalid."""
        until = instant(self.expires_at, time_zone, "/expires_at") if self.expires_at else None
        return shaped(
            HotlistEntryShape,
            {
                "plate": self.plate,
                "jurisdiction": self.jurisdiction or None,
                "reason": self.reason,
                "priority": self.priority,
                "instructions": self.instructions or None,
                "expires_at": None if until is None else until.isoformat(),
            },
        )


def router(web: Web, *, administration: Administration) -> APIRouter:
    """The pages of messages, the hotlist and patrollers."""
    routes = APIRouter(prefix=f"{ROOT}/sites/{{site}}/live", include_in_schema=False)
    visiting, acting = Depends(web.visitor), Depends(web.actor)
    record = web.record

    def here(visitor: Visitor, *parts: str, **query: object) -> str:
        return address("sites", visitor.at_site.id, "live", *parts, **query)

    def refused(problem: Problem | None, visitor: Visitor) -> dict[str, Any]:
        if isinstance(problem, ForbiddenSite):
            raise problem
        return {
            "status": 200 if problem is None else problem.status,
            "errors": [] if problem is None else wrong(problem, visitor.language),
        }

    def told(done: str, visitor: Visitor) -> str:
        return web.words(DONE.get(done, ""), visitor.language)

    def devices_of(tx: Connection, site: str) -> list[Device]:
        return devices.page(tx, among={site}, after=None, limit=None)

    # Messages

    def messages_page(
        visitor: Visitor,
        *,
        after: str = "",
        to: str = "",
        text: str = "",
        until: str = "",
        id: str = "",
        problem: Problem | None = None,
        done: str = "",
    ) -> Response:
        site, at = visitor.at_site, web.at()
        found, onward, of_site, people = record.read(
            lambda tx: (
                *told_page(tx, site.id, after),
                devices_of(tx, site.id),
                sites.all_patrollers(tx, site.id),
            )
        )
        hearing = [each for each in of_site if each.enrolled_at and not each.revoked_at]
        return web.page(
            "live-messages.html",
            visitor,
            current=[each for each in found if each.message.expires_at > at],
            past=[each for each in found if each.message.expires_at <= at],
            older=here(visitor, "messages", after=onward) if onward else "",
            devices={each.id: each.name for each in of_site},
            hearing=hearing,
            people={each.id: each for each in people},
            to=to,
            text=text,
            until=until or typed_moment(at + MESSAGE_LASTS, site.time_zone),
            id=id if is_uuid(id) else str(uuid.uuid4()),
            done=told(done, visitor),
            **refused(problem, visitor),
        )

    def told_page(tx: Connection, site: str, after: str) -> tuple[Sequence[Told], str]:
        """A page of messages, and the cursor of the next one; empty: it was the last."""
        place = None
        if after:
            at, id = page_position(after, int, str)
            place = (at, id)
        found = supervising.messages(tx, site, after=place, limit=MESSAGES + 1)
        if len(found) <= MESSAGES:
            return found, ""
        last = found[MESSAGES - 1].message
        return found[:MESSAGES], page_cursor(int(last.at.timestamp()), last.id)

    @routes.get("/messages")
    def show_messages(
        visitor: Visitor = visiting,
        after: str = "",
        device: str = "",
        patroller: str = "",
        done: str = "",
    ) -> Response:
        to = f"device:{device}" if device else f"patroller:{patroller}" if patroller else ""
        return messages_page(visitor, after=after, to=to, done=done)

    @routes.get("/messages.json")
    def messages_twin(visitor: Visitor = visiting, after: str = "") -> Response:
        found, onward = record.read(lambda tx: told_page(tx, visitor.at_site.id, after))
        items = [
            each.message.as_json()
            | {
                "read": [
                    {"device": event.device, "at": codec.instant(event.at)} for event in each.read
                ]
            }
            for each in found
        ]
        return web.twin(visitor, {"items": items, "after": onward or None})

    @routes.post("/messages")
    def send_message(visitor: Visitor = acting) -> Response:
        site = visitor.at_site
        to, text, until = (visitor.text(name) for name in ("to", "text", "until"))
        id = visitor.text("id").lower()
        kind, _, whom = to.partition(":")
        try:
            ends = instant(until, site.time_zone, "/expires_at") if until else None
            _check_ahead(ends, web.at())
            wanted = shaped(
                MessageShape,
                {
                    "text": text,
                    "to_device": whom if kind == "device" else None,
                    "to_patroller": whom if kind == "patroller" else None,
                    "expires_at": None if ends is None else ends.isoformat(),
                },
            )
            id = id if is_uuid(id) else str(uuid.uuid4())
            supervising.send(record, site.id, id, wanted, by=visitor.principal, at=web.at())
        except Problem as problem:
            return messages_page(visitor, to=to, text=text, until=until, id="", problem=problem)
        return web.go(here(visitor, "messages", done="sent"))

    @routes.post("/messages/{id}/withdraw")
    def withdraw(id: str, visitor: Visitor = acting) -> Response:
        supervising.withdraw(record, visitor.at_site.id, id, by=visitor.principal, at=web.at())
        return web.go(here(visitor, "messages", done="withdrawn"))

    # Hotlist

    def hotlist_page(
        visitor: Visitor,
        *,
        typed: _Entry,
        find: str = "",
        problem: Problem | None = None,
        done: str = "",
    ) -> Response:
        entries = record.read(lambda tx: sites.all_hotlist(tx, visitor.at_site.id))
        shown = listed(entries, find)
        plate = normalise(typed.plate)
        return web.page(
            "live-hotlist.html",
            visitor,
            entries=shown[:MOST_ENTRIES],
            more=len(shown) - MOST_ENTRIES,
            already=[each for each in entries if plate and each.plate.text == plate],
            find=find,
            typed=typed,
            priorities=PRIORITIES,
            done=told(done, visitor),
            **refused(problem, visitor),
        )

    def listed(entries: Sequence[HotlistEntry], find: str) -> list[HotlistEntry]:
        """Those with a plate that holds what is looked for: the urgent first, the expired last."""
        at, wanted = web.at(), normalise(find)

        def rank(entry: HotlistEntry) -> tuple[bool, bool, str]:
            is_over = entry.expires_at is not None and entry.expires_at <= at
            return is_over, entry.priority != "high", entry.plate.text

        return sorted((each for each in entries if wanted in each.plate.text), key=rank)

    def entry(tx: Connection, site: str, id: str) -> HotlistEntry:
        """Raises UnknownHotlistEntry."""
        for each in sites.all_hotlist(tx, site):
            if each.id == id:
                return each
        raise UnknownHotlistEntry(id=id)

    @routes.get("/hotlist")
    def show_hotlist(
        visitor: Visitor = visiting,
        plate: str = "",
        jurisdiction: str = "",
        find: str = "",
        done: str = "",
    ) -> Response:
        typed = _Entry(plate, jurisdiction or visitor.at_site.jurisdiction)
        return hotlist_page(visitor, typed=typed, find=find, done=done)

    @routes.get("/hotlist.json")
    def hotlist_twin(visitor: Visitor = visiting, find: str = "") -> Response:
        entries = record.read(lambda tx: sites.all_hotlist(tx, visitor.at_site.id))
        return web.twin(
            visitor,
            {"items": [codec.change_of(each).record for each in listed(entries, find)]},
        )

    @routes.post("/hotlist")
    def add_entry(visitor: Visitor = acting) -> Response:
        site, typed = visitor.at_site, _Entry.by(visitor)
        try:
            wanted = typed.shape(site.time_zone)
            _check_ahead(wanted.expires_at, web.at())
            administration.put_hotlist_entry(
                site.id,
                str(uuid.uuid4()),
                wanted,
                by=visitor.principal,
                at=web.at(),
            )
        except Problem as problem:
            return hotlist_page(visitor, typed=typed, problem=problem)
        return web.go(here(visitor, "hotlist", done="listed"))

    def entry_page(
        visitor: Visitor,
        found: HotlistEntry,
        *,
        typed: _Entry | None = None,
        problem: Problem | None = None,
        has_changed: bool = False,
    ) -> Response:
        how = refused(problem, visitor)
        if has_changed:
            how = {"status": 409, "errors": [web.words(CHANGED, visitor.language)]}
        return web.page(
            "live-hotlist-one.html",
            visitor,
            entry=found,
            typed=typed or _Entry.of(found, visitor.at_site.time_zone),
            seen=codec.canonical(codec.change_of(found).record or {}),
            priorities=PRIORITIES,
            **how,
        )

    @routes.get("/hotlist/{id}")
    def show_entry(id: str, visitor: Visitor = visiting) -> Response:
        site = visitor.at_site.id
        return entry_page(visitor, record.read(lambda tx: entry(tx, site, id)))

    @routes.post("/hotlist/{id}")
    def change_entry(id: str, visitor: Visitor = acting) -> Response:
        site, typed = visitor.at_site, _Entry.by(visitor)
        found = record.read(lambda tx: entry(tx, site.id, id))
        if visitor.text("seen") != codec.canonical(codec.change_of(found).record or {}):
            return entry_page(visitor, found, has_changed=True)
        try:
            administration.put_hotlist_entry(
                site.id, id, typed.shape(site.time_zone), by=visitor.principal, at=web.at()
            )
        except Problem as problem:
            return entry_page(visitor, found, typed=typed, problem=problem)
        return web.go(here(visitor, "hotlist", done="saved"))

    @routes.post("/hotlist/{id}/remove")
    def remove_entry(id: str, visitor: Visitor = acting) -> Response:
        administration.delete_hotlist_entry(
            visitor.at_site.id, id, by=visitor.principal, at=web.at()
        )
        return web.go(here(visitor, "hotlist", done="removed"))

    # Patrollers

    def questions(tx: Connection, site: str) -> list[Waiting]:
        at, called = web.at(), names(tx, site)
        of_site = {each.id: each for each in devices_of(tx, site)}
        return [
            Waiting(
                each,
                of_site.get(each.device),
                called.get(each.patroller, each.patroller),
                lost(of_site.get(each.device), each, at),
            )
            for each in patrolling.unanswered(tx, site)
        ]

    def patrollers_page(
        visitor: Visitor,
        *,
        name: str = "",
        badge: str = "",
        problem: Problem | None = None,
        done: str = "",
    ) -> Response:
        site = visitor.at_site.id

        def look(tx: Connection) -> tuple[list[Patroller], Mapping[str, Activity], list[Waiting]]:
            return (
                sites.all_patrollers(tx, site),
                patrolling.activities(tx, site),
                questions(tx, site),
            )

        people, activities, waiting = record.read(look)
        called = {each.id for each in people} | {each.badge for each in people}
        return web.page(
            "live-patrollers.html",
            visitor,
            people=people,
            activities=activities,
            unanswered=sorted(waiting, key=lambda each: not each.lost),
            asked={
                each.id: sum(w.asked.patroller in (each.id, each.badge) for w in waiting)
                for each in people
            },
            gone={w.asked.infraction for w in waiting if w.asked.patroller not in called},
            lost=LOST,
            name=name,
            badge=badge,
            done=told(done, visitor),
            **refused(problem, visitor),
        )

    @routes.get("/patrollers")
    def show_patrollers(visitor: Visitor = visiting, done: str = "") -> Response:
        return patrollers_page(visitor, done=done)

    @routes.get("/patrollers.json")
    def patrollers_twin(visitor: Visitor = visiting) -> Response:
        site = visitor.at_site.id

        def look(tx: Connection) -> dict[str, Any]:
            seen = patrolling.activities(tx, site)
            return {
                "patrollers": [
                    {
                        "id": each.id,
                        "badge": each.badge,
                        "name": each.name,
                        "last_shift_at": codec.optional_instant(seen[each.id].shift_at),
                        "last_activity_at": codec.optional_instant(seen[each.id].last_at),
                    }
                    for each in sites.all_patrollers(tx, site)
                ],
                "questions": [each.as_json() for each in questions(tx, site)],
            }

        return web.twin(visitor, record.read(look))

    @routes.post("/patrollers")
    def add_patroller(visitor: Visitor = acting) -> Response:
        site = visitor.at_site.id
        name, badge, pin = visitor.text("name"), visitor.text("badge"), core.new_pin()
        id = _id_of(name)
        try:
            wanted = shaped(PatrollerShape, {"name": name, "badge": badge, "pin": pin})
            administration.put_patroller(site, id, wanted, by=visitor.principal, at=web.at())
        except Problem as problem:
            return patrollers_page(visitor, name=name, badge=badge, problem=problem)
        return patroller_page(visitor, id, pin=pin)

    def patroller_page(
        visitor: Visitor,
        id: str,
        *,
        pin: str = "",
        typed: Mapping[str, str] | None = None,
        problem: Problem | None = None,
        done: str = "",
    ) -> Response:
        site, at = visitor.at_site.id, web.at()
        lasts = timedelta(days=web.settings.sign_in_days)

        def look(tx: Connection) -> dict[str, Any]:
            person = next((p for p in sites.all_patrollers(tx, site) if p.id == id), None)
            if person is None:
                raise NotFound
            old = sign_ins.verifiers(tx, site, id, lasts=lasts, at=at)
            called = devices.names(tx, old)
            mine = (person.id, person.badge)
            return {
                "person": person,
                "activity": patrolling.activities(tx, site).get(id, Activity()),
                "old": [(called.get(device, device), until) for device, until in old.items()],
                "unanswered": [w for w in questions(tx, site) if w.asked.patroller in mine],
            }

        found = record.read(look)
        person = found["person"]
        return web.page(
            "live-patroller.html",
            visitor,
            **found,
            pin=f"{pin[:3]} {pin[3:]}" if pin else "",
            typed=typed or {"name": person.name, "badge": person.badge},
            lost=LOST,
            done=told(done, visitor),
            **refused(problem, visitor),
        )

    @routes.get("/patrollers/{id}")
    def show_patroller(id: str, visitor: Visitor = visiting, done: str = "") -> Response:
        return patroller_page(visitor, id, done=done)

    @routes.post("/patrollers/{id}")
    def rename(id: str, visitor: Visitor = acting) -> Response:
        typed = {name: visitor.text(name) for name in ("name", "badge")}
        try:
            wanted = shaped(NamesShape, typed)
            administration.rename_patroller(
                visitor.at_site.id, id, wanted, by=visitor.principal, at=web.at()
            )
        except Problem as problem:
            return patroller_page(visitor, id, typed=typed, problem=problem)
        return web.go(here(visitor, "patrollers", id, done="saved"))

    @routes.post("/patrollers/{id}/pin")
    def reset_pin(id: str, visitor: Visitor = acting) -> Response:
        pin = administration.reset_pin(visitor.at_site.id, id, by=visitor.principal, at=web.at())
        return patroller_page(visitor, id, pin=pin)

    @routes.post("/patrollers/{id}/remove")
    def remove_patroller(id: str, visitor: Visitor = acting) -> Response:
        administration.delete_patroller(visitor.at_site.id, id, by=visitor.principal, at=web.at())
        return web.go(here(visitor, "patrollers", done="removed"))

    return routes


def _check_ahead(ends: datetime | None, at: datetime) -> None:
    """Raises Invalid for an end that has passed."""
    if ends is not None and ends <= at:
        raise Invalid(errors=[Problem.Error("/expires_at", N_("has passed already"))])


def _id_of(name: str) -> str:
    """An id for somebody new: their name in plain letters, and something that nobody else has,
    also none who left: what those recorded stays theirs.
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40].strip("-")
    return f"{words or 'patroller'}-{secrets.token_hex(3)}"
