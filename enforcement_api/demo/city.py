"""The demo's data: site 1085 and its permits, the same at every run except for what day it is."""

from __future__ import annotations

import csv
import json
import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from enforcement_api.problems import N_
from sync import codec
from sync.plates import fold, normalise
from sync.validity import Verdict

SITE = "1085"
TIME_ZONE = ZoneInfo("America/Toronto")
ZONE = "G1"
"""Where the demo patrols."""
SOURCE = "abonnements"
"""The subscription system's name, whichever way its updates come."""
PERMITS = 5000

Update = Mapping[str, Any]
"""One plate update (CONTRACT)."""


@dataclass(frozen=True, slots=True)
class Car:
    """A car that the patrol meets: what is typed, and what must come of it."""

    plate: str
    verdict: Verdict
    story: str
    jurisdiction: str = "CA-QC"
    compare: tuple[str, ...] = ()
    zone: str = ZONE


@dataclass(frozen=True, slots=True)
class City:
    """All that there is at the site. `changes` come after `subscriptions`, `late` too late."""

    site: Mapping[str, Any]
    patrollers: Mapping[str, Mapping[str, str]]
    hotlist: Mapping[str, Mapping[str, Any]]
    subscriptions: Sequence[Update]
    changes: Sequence[Update]
    late: Sequence[Update]


# The cars that the patrol meets, every verdict of DOMAIN 2.6 among them

OLD_PLATE, NEW_PLATE = "482 XGK", "G51 LHB"
EXPIRED_PLATE, LATE_PLATE = "BCK 73N", "WNF 906"
SUPERVISOR_PLATE, COURTESY_PLATE = "ABC 123", "Y63 KLD"
"""Which the subscription office lets in, not the subscription system."""
OFFICE_PLATES = ("TGR 284", "N48 VKC", "903 LDX", "RHB 517")
"""Of its other subscribers, whom the patrol does not meet."""

CARS = (
    Car("KTM 418", "valid", N_("a contract with two vehicles, the first")),
    Car("E38 NVR", "valid", N_("the second vehicle, under the same permit number")),
    Car(OLD_PLATE, "valid", N_("a vehicle replaced an hour ago: the plate before")),
    Car(NEW_PLATE, "pending_activation", N_("the same vehicle's new plate")),
    Car("M07 TRP", "wrong_zone", N_("a doctor in the general zone")),
    Car("M07 TRP", "valid", N_("the same doctor where doctors park"), zone="MED"),
    Car("FLH 3527", "not_started", N_("a delivery company whose permit begins next week")),
    Car("24W JSD", "suspended", N_("a subscription that is not paid")),
    Car(EXPIRED_PLATE, "expired", N_("an internship that is over")),
    Car("512 PDG", "cancelled", N_("a subscription that its holder gave up")),
    Car(
        "HXD 5O8", "unknown", N_("a letter O typed for a zero"), compare=("HXD508 (CA-QC)",)
    ),
    Car(
        "CMRT 581",
        "unknown",
        N_("an Ontario plate typed as one of Québec"),
        compare=("CMRT581 (CA-ON)",),
    ),
    Car("CMRT 581", "valid", N_("the same with the right jurisdiction"), jurisdiction="CA-ON"),
    Car(SUPERVISOR_PLATE, "pending_activation", N_("a supervisor who was approved just now")),
    Car(COURTESY_PLATE, "valid", N_("a loan car with a courtesy permit, good at once")),
    Car(LATE_PLATE, "unknown", N_("a plate that nobody has heard of yet")),
)  # fmt: skip


def invent(now: datetime) -> City:
    """The city as of an instant."""
    return City(
        site=_site(),
        patrollers={
            "marie": {"badge": "417", "name": "Marie Tremblay", "pin": "204816"},
            "luc": {"badge": "302", "name": "Luc Gagnon", "pin": "135790"},
            "amina": {"badge": "288", "name": "Amina Diallo", "pin": "864209"},
        },
        hotlist=_hotlist(now),
        subscriptions=[*_crowd(now), *_cast(now)],
        changes=_changes(now),
        late=_late(now),
    )


def write_csv(path: Path, updates: Iterable[Update]) -> None:
    """Updates as a subscription system exports them, one a line (CONTRACT, `patrouille import`)."""
    columns = (
        "id", "version", "plate", "jurisdiction", "site", "zones", "permit_number", "valid_from",
        "valid_until", "confirmed_at", "ends_at", "status", "make", "model", "year", "colour",
    )  # fmt: skip
    with open(path, "w", encoding="utf-8", newline="") as file:
        lines = csv.DictWriter(file, columns, extrasaction="ignore", restval="")
        lines.writeheader()
        for update in updates:
            zones = " ".join(update["zones"])
            lines.writerow({**update, **(update["vehicle"] or {}), "zones": zones})


def ndjson(updates: Iterable[Update]) -> str:
    """Updates as a subscription system pushes them."""
    return "".join(json.dumps(update, ensure_ascii=False) + "\n" for update in updates)


# The site

_AMOUNTS = {"P05": 7500, "R01": 15000, "R02": 7500, "S01": 15000, "S02": 9500}
_USUAL_AMOUNT = 5500


def with_amounts(site: dict[str, Any]) -> dict[str, Any]:
    """The site with what each code costs, and the clause that says so."""
    codes = [
        code
        | {
            "article": f"Conditions d’utilisation, clause {number}",
            "amounts": [
                {
                    "from": "2020-01-01",
                    "amount_cents": _AMOUNTS.get(code["code"], _USUAL_AMOUNT),
                }
            ],
        }
        for number, code in enumerate(site["codes"], 1)
    ]
    return site | {"codes": codes}


PATROL_SETTINGS: dict[str, Any] = {
    "texts": {
        "avis": {
            "fr": {
                "operator": "Société Parc-Auto du Québec",
                "how_to_pay": "Dans les 30 jours\u00a0: en balayant le code, ou au guichet du P3.",
                "how_to_contest": "Dans les 30 jours, par écrit\u00a0:"
                " avis@parc-auto.example.org, ou au 375, rue Argyll, Sherbrooke (Québec) J1J 3H5."
                " Donnez le numéro et la raison.",
                "footer": "Service à la clientèle\u00a0: 819 555-0142, de 8\u00a0h à 16\u00a0h.",
            },
            "en": {
                "operator": "Société Parc-Auto du Québec",
                "how_to_pay": "Within 30 days: scan the code, or come to the counter of P3.",
                "how_to_contest": "Within 30 days, in writing: avis@parc-auto.example.org, or"
                " 375, rue Argyll, Sherbrooke (Québec) J1J 3H5. Give the number and the reason.",
                "footer": "Customer service: 819 555-0142, 8:00 to 16:00.",
            },
        },
        "warning": {
            "fr": {
                "operator": "Société Parc-Auto du Québec",
                "footer": "Besoin d’un permis\u00a0? 819 555-0142, de 8\u00a0h à 16\u00a0h.",
            },
            "en": {
                "operator": "Société Parc-Auto du Québec",
                "footer": "Do you need a permit? 819 555-0142, 8:00 to 16:00.",
            },
        },
        "payment_url": "https://payer.parc-auto.example.org/",
    },
}
"""What its notices say of its own."""

MESSAGE = "Déneigement du P3 cette nuit\u00a0: ses véhicules vont au P5, sans avis là-bas."
"""What patrols are told before their day begins."""


def _site() -> dict[str, Any]:
    return {
        "name": "CIUSSS de l'Estrie - CHUS",
        "address": "375 rue Argyll, J1J 3H5, Sherbrooke, QC",
        "time_zone": TIME_ZONE.key,
        "jurisdiction": "CA-QC",
        "instrument": "avis",
        "zones": [
            {
                "code": "G1",
                "name": {"fr": "Général, zone 1", "en": "General, zone 1"},
                "note": {
                    "fr": "La nuit, le personnel peut occuper les places de visiteurs"
                    " jusqu'à 8\u00a0h\u00a030.",
                    "en": "At night, staff may use the visitors' spaces until 08:30.",
                },
            },
            {"code": "G2", "name": {"fr": "Général, zone 2", "en": "General, zone 2"}},
            {"code": "G3", "name": {"fr": "Général, zone 3", "en": "General, zone 3"}},
            {
                "code": "MED",
                "name": {"fr": "Médecins", "en": "Doctors"},
                "note": {
                    "fr": "Vérifier aussi la vignette de garde.",
                    "en": "Look for the on-call sticker too.",
                },
            },
            {"code": "SER", "name": {"fr": "Services", "en": "Services"}},
            {"code": "VIS", "name": {"fr": "Visiteurs", "en": "Visitors"}},
        ],
        "lots": [
            _lot("ARGYLL", "375, rue Argyll", "G1", 45.3957, -71.9056, 90, 60, 12),
            _lot("BELVEDERE", "Belvédère, arrière", "G1", 45.3943, -71.9071, 70, 45, 12),
            _lot("FLEURIMONT-P3", "Hôpital Fleurimont, P3", "G1", 45.4471, -71.8672, 160, 90, -20),
            _lot("FLEURIMONT-P5", "Hôpital Fleurimont, P5", "G2", 45.4482, -71.8703, 140, 80, -20),
            _lot("HOTEL-DIEU-P1", "Hôtel-Dieu, P1", "G2", 45.3986, -71.8797, 80, 60, 35),
            _lot("MURRAY", "Rue Murray", "G3", 45.4008, -71.8871, 60, 40, 5),
            _lot("ARGYLL-MED", "Argyll, médecins", "MED", 45.3962, -71.9049, 35, 20, 12),
            _lot("FLEURIMONT-SER", "Fleurimont, quai", "SER", 45.4464, -71.8689, 40, 25, -20),
            _lot("ARGYLL-VIS", "Argyll, visiteurs", "VIS", 45.3951, -71.9063, 50, 30, 12),
            _lot("HOTEL-DIEU-VIS", "Hôtel-Dieu, visiteurs", "VIS", 45.3979, -71.8785, 60, 35, 35),
        ],
    }


def _lot(
    code: str,
    name: str,
    zone: str,
    lat: float,
    lon: float,
    width: float,
    depth: float,
    turned: float,
) -> dict[str, Any]:
    """A rectangle of metres around a place, turned by degrees, as a GeoJSON polygon."""
    east, north = 111_320 * math.cos(math.radians(lat)), 111_320
    turn = math.radians(turned)
    ring = []
    for across, along in ((-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)):
        x, y = across * width / 2, along * depth / 2
        ring.append(
            [
                round(lon + (x * math.cos(turn) - y * math.sin(turn)) / east, 6),
                round(lat + (x * math.sin(turn) + y * math.cos(turn)) / north, 6),
            ]
        )
    area = {"type": "Polygon", "coordinates": [ring]}
    return {"code": code, "name": name, "zone": zone, "area": area}


def _hotlist(now: datetime) -> dict[str, dict[str, Any]]:
    return {
        "vol-17": {
            "plate": "R44 KCB",
            "reason": "Véhicule volé",
            "priority": "high",
            "instructions": "Ne pas approcher. Appeler le superviseur.",
            "expires_at": codec.instant(now + timedelta(days=60)),
        },
        "recidive-3": {
            "plate": EXPIRED_PLATE,
            "reason": "Récidive : trois avis en un mois",
            "priority": "low",
        },
        "vip-1": {
            "plate": "CD 1867",
            "reason": "Visite officielle",
            "priority": "low",
            "instructions": "Tolérer dans toutes les zones.",
            "expires_at": codec.instant(now + timedelta(days=2)),
        },
    }


# Permits of the cars that the patrol meets


def _permit(id: str, plate: str, zones: str, **facts: Any) -> dict[str, Any]:
    return {
        "id": id,
        "version": 1,
        "plate": plate,
        "jurisdiction": "CA-QC",
        "site": SITE,
        "zones": zones.split(),
        "permit_number": id.partition("-")[0],
        "valid_until": None,
        "confirmed_at": None,
        "status": "active",
        "vehicle": None,
        **facts,
    }


def _vehicle(make: str, model: str, year: int, colour: str) -> dict[str, Any]:
    return {"make": make, "model": model, "year": year, "colour": colour}


def _cast(now: datetime) -> list[Update]:
    day = _days_from(now)
    begun = {"valid_from": day(-200)}
    acura = _vehicle("Acura", "Integra", 2024, "rouge")
    return [
        _permit("100014764-1", "KTM 418", "G1", **begun, valid_until=day(219), vehicle=acura),
        _permit("100014764-2", "E38 NVR", "G1", **begun, valid_until=day(219),
                vehicle=_vehicle("Toyota", "RAV4", 2021, "gris")),
        _permit("100014802-1", OLD_PLATE, "G1 G2", **begun,
                vehicle=_vehicle("Mazda", "3", 2016, "bleu")),
        _permit("100014833-1", "M07 TRP", "MED", **begun,
                vehicle=_vehicle("Subaru", "Outback", 2022, "vert")),
        _permit("100014840-1", "FLH 3527", "G1 SER", valid_from=day(8), valid_until=day(190),
                confirmed_at=codec.instant(now - timedelta(days=3)),
                vehicle=_vehicle("Ford", "Transit", 2020, "blanc")),
        _permit("100014851-1", "24W JSD", "G1", **begun, status="suspended",
                vehicle=_vehicle("Kia", "Soul", 2018, "noir")),
        _permit("100014866-1", EXPIRED_PLATE, "G1", **begun, valid_until=day(-12),
                vehicle=_vehicle("Honda", "Civic", 2015, "argent")),
        _permit("100014872-1", "512 PDG", "G1", **begun, status="cancelled",
                ends_at=codec.instant(now - timedelta(days=3, hours=2)),
                vehicle=_vehicle("Hyundai", "Kona", 2023, "orange")),
        _permit("100014890-1", "HXD 508", "G1", **begun,
                vehicle=_vehicle("Volkswagen", "Golf", 2019, "blanc")),
        _permit("100014901-1", "CMRT 581", "G1", **begun, jurisdiction="CA-ON",
                vehicle=_vehicle("Nissan", "Leaf", 2021, "bleu")),
    ]  # fmt: skip


def _changes(now: datetime) -> list[Update]:
    """What the subscription system pushed in the last hour."""
    day = _days_from(now)
    return [
        _permit("100014802-1", NEW_PLATE, "G1 G2", version=2, valid_from=day(-200),
                confirmed_at=codec.instant(now - timedelta(hours=1)),
                vehicle=_vehicle("Mazda", "CX-30", 2025, "blanc")),
        _permit("100014958-1", "LSB 640", "G1", valid_from=day(0),
                confirmed_at=codec.instant(now - timedelta(minutes=20)),
                vehicle=_vehicle("Chevrolet", "Bolt", 2022, "gris")),
    ]  # fmt: skip


def _late(now: datetime) -> list[Update]:
    """An approval of two days ago that reaches the service only after the patrol has passed."""
    return [
        _permit("100014977-1", LATE_PLATE, "G1", valid_from=_days_from(now)(-2),
                confirmed_at=codec.instant(now - timedelta(hours=49)),
                vehicle=_vehicle("Dodge", "Grand Caravan", 2017, "beige")),
    ]  # fmt: skip


def _days_from(now: datetime) -> Callable[[int], str]:
    today = now.astimezone(TIME_ZONE).date()
    return lambda days: (today + timedelta(days=days)).isoformat()


# Everybody else's permits

_LETTERS = "ABCDEFGHJKLMNPQRSTVWXYZ"
"""Three-letter series leave out I, O and U (DOMAIN 3.4)."""

_SERIES = (
    ("CA-QC", "@@@ ###", 34),
    ("CA-QC", "### @@@", 16),
    ("CA-QC", "@## @@@", 22),
    ("CA-QC", "##@ @@@", 9),
    ("CA-QC", "@@@ ##@", 6),
    ("CA-QC", "F@@ ####", 3),
    ("CA-QC", "L@@ ####", 1),
    ("CA-QC", "V@# ###", 1),
    ("CA-ON", "@@@@ ###", 4),
    ("CA-NB", "@@@ ###", 1),
    ("CA-AB", "@@@ ####", 1),
    ("US-VT", "@@@ ###", 1),
    ("US-NH", "### ####", 1),
)
"""Jurisdiction, how a plate looks there (@ a letter, # a digit), and how many of a hundred."""

_PERSONALISED = (
    "MAMAN2", "BR1SE", "CHALET7", "0RIGNAL", "NEIGE", "KAYAK11", "ZEN", "PL0GGE", "ERABLE", "VIV0",
    "T0UT0U", "PATIN", "LUNE8", "SUGAR", "ULYSSE", "IRIS", "DRAVE", "0URS0N", "GARE1", "VEL0",
)  # fmt: skip
"""Seven characters at most; a letter O is issued as 0 (DOMAIN 3.4)."""

_MODELS = (
    ("Toyota", ("Corolla", "RAV4", "Yaris", "Prius")),
    ("Honda", ("Civic", "CR-V", "Fit")),
    ("Hyundai", ("Elantra", "Kona", "Ioniq 5", "Tucson")),
    ("Mazda", ("3", "CX-5", "CX-30")),
    ("Nissan", ("Rogue", "Leaf", "Kicks")),
    ("Kia", ("Soul", "Niro", "Forte")),
    ("Ford", ("Escape", "F-150", "Focus")),
    ("Chevrolet", ("Bolt", "Cruze", "Equinox")),
    ("Volkswagen", ("Golf", "Jetta", "Tiguan")),
    ("Subaru", ("Impreza", "Outback", "Forester")),
    ("Tesla", ("Model 3", "Model Y")),
    ("Dodge", ("Grand Caravan", "Journey")),
    ("Mitsubishi", ("Outlander", "RVR")),
)
_COLOURS = ("blanc", "noir", "gris", "argent", "bleu", "rouge", "vert", "beige", "brun", "orange")

_PRODUCTS = (
    ("G1", 42),
    ("G1 G2", 12),
    ("G2", 16),
    ("G3", 11),
    ("MED", 7),
    ("MED G1", 3),
    ("SER", 4),
    ("VIS", 3),
    ("*", 2),
)
"""Zones of what can be subscribed to, and how many of a hundred subscribe."""


def _crowd(now: datetime) -> Iterator[Update]:
    chance = random.Random(1085)
    day = _days_from(now)
    plates = _plates(chance)
    number, made = 100_004_000, 0
    while made < PERMITS - len(_cast(now)):
        number += chance.randint(1, 3)
        terms = _terms(chance, now, day)
        zones = chance.choices([z for z, _ in _PRODUCTS], [w for _, w in _PRODUCTS])[0]
        for vehicle in range(1, 3 if chance.random() < 0.22 else 2):
            jurisdiction, plate = next(plates)
            make, models = chance.choice(_MODELS)
            yield _permit(
                f"{number}-{vehicle}",
                plate,
                zones,
                jurisdiction=jurisdiction,
                version=chance.randint(1, 4),
                vehicle=_vehicle(
                    make,
                    chance.choice(models),
                    chance.randint(2008, now.year),
                    chance.choice(_COLOURS),
                ),
                **terms,
            )
            made += 1


def _plates(chance: random.Random) -> Iterator[tuple[str, str]]:
    """Plates, each once, none that looks like one of the patrol's."""
    taken = {fold(normalise(car.plate)) for car in CARS}
    taken |= {fold(normalise(update["plate"])) for update in _changes(_ANY_TIME)}
    taken |= {fold(normalise(plate)) for plate in OFFICE_PLATES}
    for plate in _PERSONALISED:
        taken.add(fold(plate))
        yield "CA-QC", plate
    while True:
        jurisdiction, series, _ = chance.choices(_SERIES, [weight for *_, weight in _SERIES])[0]
        plate = "".join(_drawn(chance, place) for place in series)
        if fold(normalise(plate)) not in taken:
            taken.add(fold(normalise(plate)))
            yield jurisdiction, plate


_ANY_TIME = datetime(2026, 1, 1, tzinfo=TIME_ZONE)


def _drawn(chance: random.Random, place: str) -> str:
    if place == "@":
        return chance.choice(_LETTERS)
    return chance.choice("0123456789") if place == "#" else place


def _terms(chance: random.Random, now: datetime, day: Callable[[int], str]) -> dict[str, Any]:
    """When a subscription runs and how it stands: most are in order, some of everything."""
    begun = chance.randint(30, 900)
    terms: dict[str, Any] = {"valid_from": day(-begun)}
    if chance.random() < 0.4:
        terms["valid_until"] = day(chance.randint(5, 400))
    if chance.random() < 0.3:
        confirmed = timedelta(days=begun, minutes=chance.randint(60, 3000))
        terms["confirmed_at"] = codec.instant(now - confirmed)
    kind = chance.choices(
        ("in order", "pending", "to come", "suspended", "over", "long over", "cancelled"),
        (76, 3, 3, 3, 8, 3, 4),
    )[0]
    if kind == "pending":
        minutes = chance.randint(5, 23 * 60)
        confirmed_at = codec.instant(now - timedelta(minutes=minutes))
        return {"valid_from": day(0), "confirmed_at": confirmed_at}
    if kind == "to come":
        confirmed_at = codec.instant(now - timedelta(days=2))
        return {"valid_from": day(chance.randint(2, 60)), "confirmed_at": confirmed_at}
    if kind == "suspended":
        terms["status"] = "suspended"
    elif kind == "over":
        terms["valid_until"] = day(-chance.randint(2, min(begun, 85)))
    elif kind == "long over":
        terms |= {"valid_from": day(-900), "valid_until": day(-chance.randint(95, 400))}
    elif kind == "cancelled":
        ended = timedelta(days=chance.randint(1, min(begun, 80)), minutes=chance.randint(0, 1200))
        terms |= {"status": "cancelled", "ends_at": codec.instant(now - ended)}
    return terms
