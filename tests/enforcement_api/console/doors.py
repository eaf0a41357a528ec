"""Every door of the console, found in the application itself, and a house with something behind
each of them.

    for door in doors():
        answer = visitor.client.request(door.method, house.path(door))

A route that is new is a door like the others. Where its path has a part that is not known yet,
`STANDS_FOR` says what of the house it is.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from fastapi.routing import iter_route_contexts
from sqlalchemy import select

from enforcement_api.app import create_app
from enforcement_api.console.static import PREFIX
from enforcement_api.console.web import ROOT
from enforcement_api.database.tables import metadata
from enforcement_api.settings import Settings
from enforcement_api.staff import store
from tests.enforcement_api.console.patrolling import Patrol
from tests.enforcement_api.console.visiting import visiting
from tests.service import Service, new_id, picture
from tests.subscribing import Office

HERE, ELSEWHERE = "1085", "2000"
SUBSCRIBER = "Hermine"
SECRET = re.compile(f"zibeline|{SUBSCRIBER}|zbl ?[0-9]{{3}}", re.IGNORECASE)
"""What is told of anything that is HERE, and of nothing else."""

METHODS = ("GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE")
FOR_EVERYBODY = {
    ("GET", f"{ROOT}/sign-in"),
    ("POST", f"{ROOT}/sign-in"),
    ("POST", f"{ROOT}/language"),
    ("GET", f"{ROOT}/password/{{secret}}"),
    ("POST", f"{ROOT}/password/{{secret}}"),
}
"""Doors that need no key. There is no other."""
_OF_ADMINISTRATORS = re.compile(rf"{ROOT}/(staff|audit|sites/new)\b")
_SETTINGS = f"{ROOT}/sites/{{site}}/settings"
_OF_SUBSCRIBERS = f"{ROOT}/sites/{{site}}/requests"


@dataclass(frozen=True)
class Door:
    """A method of an address of the console. `query`: the names that it reads from the address."""

    method: str
    path: str
    query: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.method} {self.path.removeprefix(ROOT)}"

    @property
    def is_open(self) -> bool:
        return (self.method, self.path) in FOR_EVERYBODY

    @property
    def is_of_a_site(self) -> bool:
        return "{site}" in self.path

    @property
    def needs(self) -> Literal["", "administrator", "subscribers"]:
        """What somebody needs to be besides a supervisor of the site."""
        changes_settings = self.method == "POST" and self.path.startswith(_SETTINGS)
        if _OF_ADMINISTRATORS.match(self.path) or changes_settings:
            return "administrator"
        return "subscribers" if self.path.startswith(_OF_SUBSCRIBERS) else ""

    @property
    def parts(self) -> list[tuple[str, str]]:
        """The parts of the path that vary: each with the word before it, `devices/{id}`."""
        words = self.path.split("/")
        found = [
            (name, f"{before}/{{{name}}}")
            for before, word in itertools.pairwise(words)
            for name in re.findall(r"\{(\w+)\}", word)
        ]
        return [(name, told) for name, told in found if name != "site"]

    @property
    def leads_to_a_thing(self) -> bool:
        """Whether it leads to something that belongs to a site, by its id."""
        return self.is_of_a_site and any(told in OF_A_SITE for _, told in self.parts)


@functools.cache
def doors() -> tuple[Door, ...]:
    """All of them, but for the files that pages name."""
    app = create_app(Settings.load(environment={}))
    found = [
        Door(method, str(route.path), tuple(sorted(_query(route))))
        for route in iter_route_contexts(app.routes)
        for method in sorted(getattr(route, "methods", None) or ())
        if str(route.path).split("/")[1:2] == [ROOT.strip("/")]
        and not str(route.path).startswith(PREFIX)
    ]
    assert len(found) > 100, "the routes are not found any more"
    return tuple(found)


def _query(route: Any) -> Iterator[str]:
    waiting = [route.dependant]
    while waiting:
        dependant = waiting.pop()
        yield from (one.alias for one in dependant.query_params)
        waiting += dependant.dependencies


def ids(found: Iterator[Door] | list[Door]) -> dict[str, Any]:
    """For pytest: each door by its name."""
    listed = list(found)
    return {"argvalues": listed, "ids": list(map(str, listed))}


class House:
    """A service with something of everything at one site, and nothing at another."""

    def __init__(self, service: Service) -> None:
        self.service = service
        zones = [{"code": zone, "name": {"fr": "Zibeline", "en": "Zibeline"}} for zone in "AB"]
        area = {"type": "Polygon", "coordinates": [[[-71, 45], [-71, 46], [-70, 46], [-71, 45]]]}
        service.site(
            HERE,
            name="Zibeline",
            zones=zones,
            lots=[{"code": "P3", "name": "Zibeline", "zone": "A", "area": area}],
            codes=[
                {"code": "P01", "title": {"fr": "Zibeline", "en": "Zibeline"}}
                | {"instruments": ["avis"], "photos_required": 0}
                | {"amounts": [{"from": "2026-01-01", "amount_cents": 6000}]}
            ],
            no_notice=[
                {"from": "2026-12-24T05:00:00Z", "until": "2026-12-27T05:00:00Z", "zones": ["A"]}
                | {"reason": {"fr": "Zibeline", "en": "Zibeline"}}
            ],
        )
        service.site(ELSEWHERE, zones=["A"])
        admin = service.admin
        patrol = Patrol(service, "Zibeline")
        here = f"/v1/sites/{HERE}"
        body = {"badge": "4217", "name": "Zibeline", "pin": "204816"}
        admin.put(f"{here}/patrollers/marie", json=body).raise_for_status()
        self.plate = "ZBL123"
        service.permit(self.plate, zone="A", vehicle={"make": "Zibeline"})
        content = picture("red")
        self.photo = hashlib.sha256(content).hexdigest()
        photo = {"sha256": self.photo, "bytes": len(content), "taken_at": "2026-11-23T15:15:00Z"}
        facts = {"notes": "Zibeline", "zone": "A", "lot": "P3"}
        at = {"position": {"lat": 45.4, "lon": -70.6, "accuracy_m": 8.0}}
        self.infraction = patrol.record(plate=self.plate, photos=[photo], **facts, **at)
        self.other = patrol.record(plate=self.plate, **facts)
        self.asked = patrol.record(plate=self.plate, **facts)
        patrol.ask(self.asked, "Zibeline ?")
        patrol.client.put(f"/v1/photos/{self.photo}", content=content).raise_for_status()
        patrol.client.put(f"{here}/number-blocks/{new_id()}").raise_for_status()
        self.device = patrol.id
        self.message, self.entry = new_id(), new_id()
        told = {"text": "Zibeline"}
        admin.put(f"{here}/messages/{self.message}", json=told).raise_for_status()
        wanted = {"plate": self.plate, "reason": "Zibeline", "priority": "high"}
        admin.put(f"{here}/hotlist/{self.entry}", json=wanted).raise_for_status()
        office = Office(service, site=HERE)
        office.product("5569", zones=["A"])
        holder = office.holder(last_name=SUBSCRIBER)
        self.request = office.subscribe("ZBL 124", holder=holder)
        self.subscription = office.subscribed("ZBL 125", holder=holder)
        self.file = new_id()
        admin.put(
            f"/v1/attachments/{self.file}",
            params={"site": HERE, "purpose": "proof", "name": "zibeline.jpg"},
            content=content,
        ).raise_for_status()
        self.courtesy = new_id()
        lent = {"site": HERE, "plate": "ZBL 126", "zones": ["A"], "reason": "Zibeline"}
        until = {"expires_at": "2026-11-26T15:15:00Z"}
        office.does("PUT", f"courtesy-permits/{self.courtesy}", json=lent | until)

        # Whoever may all of it, and those who may not.
        self.administrator = visiting(service, "anne@example.org", role="administrator")
        rights = {"sites": [HERE], "sees_subscribers": True}
        self.supervisor = visiting(service, "lea@example.org", **rights)  # type: ignore[arg-type]
        self.plain = visiting(service, "marie@example.org", sites=[HERE])
        there = {"sites": [ELSEWHERE], "sees_subscribers": True}
        self.elsewhere = visiting(service, "zoe@example.org", **there)  # type: ignore[arg-type]
        self.link = service.parts.record.write(
            lambda tx: store.give_link(
                tx, self.plain.account, "reset", by="command", at=service.clock()
            )
        )

    def stands_for(self) -> Mapping[str, str]:
        """What of the house a part of a path leads to."""
        return {
            "password/{secret}": self.link,
            "sessions/{id}": new_id(),
            "staff/{id}": self.plain.account.id,
            "{id}/{action}": "link",
            "sessions/{session}": new_id(),
            "infractions/{id}": self.infraction,
            "exports/{id}": new_id(),
            "photos/{sha256}": self.photo,
            "devices/{id}": self.device,
            "messages/{id}": self.message,
            "hotlist/{id}": self.entry,
            "patrollers/{id}": "marie",
            "courtesy/{id}": self.courtesy,
            "plates/{jurisdiction}": "CA-QC",
            "{jurisdiction}/{plate}": self.plate,
            "figures/{name}": "days",
            "files/{id}": self.file,
            "subscriptions/{id}": self.subscription,
            "contracts/{position}": "1",
            "requests/{id}": self.request,
            "settings/{kind}": "lot",
        }

    def path(self, door: Door, *, site: str = HERE, **other: str) -> str:
        """Where a door is; `other`: something else for parts of its path."""
        known, path = self.stands_for(), door.path.replace("{site}", site)
        for name, told in door.parts:
            assert told in known, f"say in `House.stands_for` what {told} of {door} leads to"
            path = path.replace(f"{{{name}}}", other.get(name, known[told]))
        return path

    def form(self, site: str = HERE) -> dict[str, Any]:
        """Fields of all forms at once, about what is HERE."""
        return {
            "decision": "confirm",
            "infraction": [f"{self.infraction}:received:0", f"{self.other}:received:0"],
            "expected_state": "received",
            "expected_reviews": "0",
            "acknowledge_differs": "on",
            "correction": self.other,
            "note": "Vu",
            "reason": "duplicate",
            "to": f"device:{self.device}",
            "text": "Bonjour",
            "sites": [HERE],
            "site": HERE,
            "name": "Nom",
            "badge": "77",
            "email": "nouveau@example.org",
            "role": "administrator",
            "all_sites": "on",
            "plate": self.plate,
            "jurisdiction": "CA-QC",
            "purpose": "review",
            "priority": "high",
            "zones": ["A"],
            "once": new_id(),
            "until": "2026-11-25T10:00",
            "action": "suspend",
            "piece": "A",
            "way": "down",
            "code": "Z9",
        }

    def everything(self, about: str = "") -> dict[str, list[str]]:
        """All that the record has, or what of it tells of something."""

        def look(tx: Any) -> dict[str, list[str]]:
            return {
                table.name: sorted(
                    row for row in map(repr, tx.execute(select(table))) if about in row
                )
                for table in metadata.sorted_tables
            }

        return self.service.parts.record.read(look)


OF_A_SITE = {
    *("infractions/{id}", "photos/{sha256}", "devices/{id}", "messages/{id}", "hotlist/{id}"),
    *("patrollers/{id}", "courtesy/{id}", "files/{id}", "subscriptions/{id}", "requests/{id}"),
}

__all__ = [
    *("ELSEWHERE", "HERE", "METHODS", "SECRET", "SUBSCRIBER"),
    *("Door", "House", "Visiting", "doors", "ids"),
]
