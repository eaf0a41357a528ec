"""What a site is made of, what may become of it, and the codes it begins with."""

from __future__ import annotations

import json
import re
import secrets
import zoneinfo
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from enforcement_api.problems import N_, Problem
from enforcement_api.shapes import of_no_card
from sync import codec, plates
from sync.entities import ALL_ZONES, Entity, InfractionCode, Instrument, Lot, Site, Zone
from sync.messages import Change

MOST_ZONES = 1000
MOST_LOTS = 5000
MOST_CODES = 1000
MOST_WINDOWS = 1000
MOST_AMOUNTS = 100

_SITE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
PIN_DIGITS = 6
PIN_RESET = "pin-reset"
"""The deed by which a patroller gets another PIN, as the log names it."""
_PIN = re.compile(rf"[0-9]{{{PIN_DIGITS}}}")


class UnknownSite(Problem):
    """No such site."""

    status = 404
    slug = "unknown-site"
    title = N_("There is no such site")
    detail = N_("Check the site code {site}, or create it with PUT /v1/sites/{site}.")


class SiteThere(Problem):
    """A site that was to be new is there."""

    status = 409
    slug = "site-there"
    title = N_("There is a site with this code already")
    detail = N_("Choose another code than {site}.")


class ZoneInUse(Problem):
    """A zone would go that permits name."""

    status = 409
    slug = "zone-in-use"
    title = N_("Permits name a zone that would be removed")
    detail = N_("Keep {zones} in `zones`, or move the permits to other zones first.")


class SiteHasPermits(Problem):
    """The time zone or the jurisdiction would change under permits that were read with it."""

    status = 409
    slug = "site-has-permits"
    title = N_("This cannot change once the site has permits")
    detail = N_("Keep `{field}` at {value}, or create another site.")


class BadgeTaken(Problem):
    """Two patrollers of one site cannot have one badge."""

    status = 409
    slug = "badge-taken"
    title = N_("Another patroller of this site has this badge")
    detail = N_("Give {name} another badge than {badge}, or change that of {other} first.")


class UnknownPatroller(Problem):
    """No such patroller."""

    status = 404
    slug = "unknown-patroller"
    title = N_("There is no such patroller at this site")
    detail = N_("Check the id {id}; the patroller may have been removed already.")


class UnknownHotlistEntry(Problem):
    """No such entry."""

    status = 404
    slug = "unknown-hotlist-entry"
    title = N_("There is no such entry on the hotlist of this site")
    detail = N_("Check the id {id}; the entry may have been removed already.")


@dataclass(frozen=True, slots=True)
class Patroller:
    """Who walks; the badge is typed at sign-in, the PIN is kept as an Argon2 hash."""

    id: str
    badge: str
    name: str
    pin_hash: str


@dataclass(frozen=True, slots=True)
class SitePlan:
    """A site whole, as it is written and read: its settings, zones, lots and codes in order."""

    site: Site
    zones: tuple[Zone, ...]
    lots: tuple[Lot, ...]
    codes: tuple[InfractionCode, ...]

    def changes(self, before: SitePlan | None) -> list[Change]:
        """What the feed is to hear when this takes the place of `before`."""
        entities: tuple[Entity, ...] = (self.site, *self.zones, *self.lots, *self.codes)
        wanted = [codec.change_of(entity) for entity in entities]
        kept = {(change.kind, change.id) for change in wanted}
        gone = () if before is None else before.changes(None)
        removals = [Change(c.kind, c.id, None) for c in gone if (c.kind, c.id) not in kept]
        return [*removals, *wanted]

    def after(
        self,
        before: SitePlan,
        *,
        zones_named: Callable[[], set[str]],
        has_permits: Callable[[], bool],
    ) -> SitePlan:
        """The plan as it may take the place of `before`.

        `zones_named` are the zones that permits name; both questions are asked only when it
        matters. Raises SiteHasPermits, ZoneInUse.
        """
        for field in ("time_zone", "jurisdiction"):
            value = getattr(before.site, field)
            if getattr(self.site, field) != value and has_permits():
                raise SiteHasPermits(field=field, value=value)
        removed = {zone.id for zone in before.zones} - {zone.id for zone in self.zones}
        if removed:
            in_use = sorted(removed & zones_named())
            if in_use:
                raise ZoneInUse(zones=", ".join(in_use), extra={"zones": in_use})
        return replace(self, site=replace(self.site, pruned_at=before.site.pruned_at))

    def errors(self) -> Iterator[Problem.Error]:
        """Where its parts contradict each other."""
        yield from _too_many("/zones", self.zones, MOST_ZONES)
        yield from _too_many("/lots", self.lots, MOST_LOTS)
        yield from _too_many("/codes", self.codes, MOST_CODES)
        yield from _too_many("/no_notice", self.site.no_notice, MOST_WINDOWS)
        yield from _repeated("zones", [zone.id for zone in self.zones])
        yield from _repeated("lots", [lot.id for lot in self.lots])
        yield from _repeated("codes", [code.id for code in self.codes])
        zones = {zone.id for zone in self.zones}
        for i, lot in enumerate(self.lots):
            if lot.zone is not None and lot.zone not in zones:
                yield Problem.Error(f"/lots/{i}/zone", _NO_ZONE, zone=lot.zone)
        for i, window in enumerate(self.site.no_notice):
            for j, zone in enumerate(window.zones):
                if zone != ALL_ZONES and zone not in zones:
                    yield Problem.Error(f"/no_notice/{i}/zones/{j}", _NO_ZONE, zone=zone)
            if window.begins >= window.ends:
                yield Problem.Error(f"/no_notice/{i}/until", N_("must be later than `from`"))
        for i, code in enumerate(self.codes):
            yield from _too_many(f"/codes/{i}/amounts", code.amounts, MOST_AMOUNTS)
            days = [str(amount["from"]) for amount in code.amounts]
            yield from _repeated(f"codes/{i}/amounts", days, "from")


_NO_ZONE = N_("{zone} is none of the zones of this site")


def _too_many(pointer: str, parts: Sequence[object], most: int) -> Iterator[Problem.Error]:
    if len(parts) > most:
        yield Problem.Error(pointer, N_("has more than {most} entries"), most=most)


def _repeated(where: str, ids: Sequence[str], field: str = "code") -> Iterator[Problem.Error]:
    seen: set[str] = set()
    for i, id in enumerate(ids):
        if id in seen:
            yield Problem.Error(f"/{where}/{i}/{field}", N_("{id} is there twice"), id=id)
        seen.add(id)


def is_site_id(text: str) -> bool:
    """Whether there can be a site with this code."""
    return _SITE_ID.fullmatch(text) is not None


def check_site_id(text: str) -> str:
    """The code itself. Raises ValueError."""
    if not is_site_id(text):
        raise ValueError(
            N_("must be 1 to 32 letters, digits, - or _, beginning with a letter or a digit")
        )
    return of_no_card(text)


@cache
def _time_zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


def check_time_zone(text: str) -> str:
    """The name itself, if it is one of the IANA's. Raises ValueError."""
    if text not in _time_zones():
        raise ValueError(N_("must be the name of an IANA time zone, such as America/Toronto"))
    return text


def check_jurisdiction(text: str) -> str:
    """The code itself. Raises ValueError."""
    try:
        return plates.check_jurisdiction(text)
    except plates.UnusableJurisdiction as error:
        raise ValueError(N_("must be a jurisdiction code, such as CA-QC, US-VT or FR")) from error


# Areas

_NOT_AN_AREA = N_("must be a GeoJSON Polygon or MultiPolygon, with `type` and `coordinates` alone")
_NOT_A_RING = N_(
    "has a ring that is not closed: at least 4 positions, the last one equal to the first"
)
_NOT_A_POSITION = N_("has a position that is not [longitude, latitude] in degrees")


def area_text(area: Any) -> str:
    """A lot's GeoJSON area as the compact text that travels. Raises ValueError.

    Rings are closed and positions lie on the Earth; whether a ring crosses itself is not judged.
    """
    if not isinstance(area, Mapping) or set(area) != {"type", "coordinates"}:
        raise ValueError(_NOT_AN_AREA)
    polygons = area["coordinates"]
    if area["type"] == "Polygon":
        polygons = [polygons]
    elif area["type"] != "MultiPolygon":
        raise ValueError(_NOT_AN_AREA)
    for rings in _listed(polygons, _NOT_AN_AREA):
        for ring in _listed(rings, _NOT_AN_AREA):
            for position in _listed(ring, _NOT_A_RING):
                _check_position(position)
            if len(ring) < 4 or ring[0] != ring[-1]:
                raise ValueError(_NOT_A_RING)
    kept = {"type": area["type"], "coordinates": area["coordinates"]}
    return json.dumps(kept, separators=(",", ":"), allow_nan=False)


def _listed(value: Any, otherwise: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise ValueError(otherwise)
    return value


def _check_position(position: Any) -> None:
    if (
        not isinstance(position, list)
        or not 2 <= len(position) <= 3
        or not all(_is_number(part) for part in position)
        or not (-180 <= position[0] <= 180 and -90 <= position[1] <= 90)
    ):
        raise ValueError(_NOT_A_POSITION)


def _is_number(value: Any) -> bool:
    # The bounds also leave out NaN and the infinities.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e6


# Words of law

NO_WORD_OF_A_CLAIM = N_(
    "has “{word}”, which a notice of claim never says: it is a civil claim, and no offence"
)
_PENAL = {
    "fr": re.compile(r"\b(amendes?|constats? d['’]infraction)\b", re.IGNORECASE),
    "en": re.compile(r"\b(amendes?|fines?|statements? of offences?)\b", re.IGNORECASE),
}


def penal_word(text: str, language: str) -> str | None:
    """The word that a civil claim never says, if a text has one (DOMAIN 5)."""
    found = _PENAL[language].search(text)
    return None if found is None else found.group()


# PINs


def check_pin(text: str) -> str:
    """The PIN itself. Raises ValueError."""
    if not _PIN.fullmatch(text):
        raise ValueError(N_("must be 6 digits"))
    return text


def new_pin() -> str:
    """A PIN that nobody chose, and nobody would guess first."""
    while True:
        pin = f"{secrets.randbelow(10**PIN_DIGITS):0{PIN_DIGITS}}"
        if len(set(pin)) > 2 and pin not in "01234567890" and pin not in "09876543210":
            return pin


# Codes

_BOTH: tuple[Instrument, ...] = ("avis", "constat")


def _code(id: str, fr: str, en: str, *, photos: int) -> InfractionCode:
    return InfractionCode(id, {"fr": fr, "en": en}, _BOTH, None, (), photos, True)


STANDARD_CODES = (
    _code("P01", "Sans permis valide", "No valid permit", photos=2),
    _code("P02", "Permis non valide dans cette zone", "Permit not valid in this zone", photos=2),
    _code("P03", "Permis expiré", "Permit expired", photos=2),
    _code("P04", "Permis pas encore actif (24 h)", "Permit not yet active (24 h)", photos=2),
    _code(
        "P05",
        "Un seul permis pour deux véhicules en même temps",
        "One permit, two vehicles at once",
        photos=2,
    ),
    _code("T01", "Stationnement non payé", "Parking not paid", photos=1),
    _code("T02", "Durée permise dépassée", "Time limit exceeded", photos=2),
    _code(
        "R01",
        "Place réservée aux personnes handicapées",
        "Space reserved for disabled people",
        photos=2,
    ),
    _code(
        "R02",
        "Place réservée (médecins, services)",
        "Reserved space (doctors, services)",
        photos=2,
    ),
    _code(
        "R03",
        "Place pour véhicule électrique, sans recharge en cours",
        "Electric vehicle space, not charging",
        photos=2,
    ),
    _code("S01", "Voie réservée aux véhicules d’urgence", "Fire lane", photos=2),
    _code("S02", "Entrave à la circulation", "Obstruction", photos=2),
    _code("S03", "Zone de livraison", "Loading zone", photos=2),
    _code("M01", "Hors d’une place marquée", "Outside a marked space", photos=1),
    _code("M02", "À cheval sur deux places", "Straddling spaces", photos=1),
)
"""The codes of a site that names none (DOMAIN 5)."""
