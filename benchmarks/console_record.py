"""A record of three years in a city, quickly: for whatever must stay quick on it.

    fill(record, infractions=1_000_000, photos=100_000)

Of ten infractions in eleven, years ago, everything was decided; the newest wait. Lots, devices and
patrollers come and go, so that some have nothing in some of the years. What became of infractions
is console_history.py's, what else there is at the site console_site.py's; of most of that there is
in proportion to the infractions.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import Connection, select

from benchmarks import console_history, console_site, material
from benchmarks.console_site import (
    CODES,
    DEVICES,
    FURTHER_LOTS,
    LOTS,
    NOW,
    PATROLLERS,
    SITE,
    YEARS,
    ZONES,
    Share,
    zone_of,
)
from enforcement_api.database.engine import Record
from enforcement_api.database.tables import infractions
from enforcement_api.feed.core import Cursor
from enforcement_api.infractions import weighing
from enforcement_api.infractions.lifecycle import VOID_REASONS
from sync.plates import fold

__all__ = ["CODES", "DEVICES", "LOTS", "NOW", "PATROLLERS", "SITE", "ZONES", "fill", "zone_of"]

UNDECIDED = 3_000
"""The newest, which nobody has decided, of 1,000,000; a share of fewer, but some."""

_AT_ONCE = 20_000
_PLACES = ("rangée A", "rangée C, près de la borne", "entrée sud", "devant l'urgence", "niveau 2")
_WORDS = (
    "pare-brise déneigé, aucun permis affiché", "conducteur averti", "véhicule sur deux cases",
    "permis d'un autre lot", "bloque la sortie", "moteur en marche", "vu deux fois cette semaine",
)  # fmt: skip
_STATES = (("confirmed", 78), ("voided", 12), ("paid", 7), ("upheld", 2), ("cancelled", 1))
_OUTCOMES = (("notice", 60), ("warning", 33), ("no_issue", 7))
_CODES = tuple((code, 40 if n == 0 else 15 // n + 1) for n, code in enumerate(CODES))
_COLUMNS = (
    "site", "id", "received_at", "state", "device", "after_revocation", "patroller", "zone", "lot",
    "place", "lat", "lon", "accuracy_m", "plate", "jurisdiction", "plate_raw", "plate_source",
    "vehicle", "outcome", "no_issue_reason", "number", "observed_at", "device_time",
    "clock_offset_ms", "clock_jumped", "verdict", "epoch", "cursor", "known", "note",
    "content_hash", "warnings", "cursor_verdict", "recheck_verdict", "differs", "rechecked_at",
    "decision_reason", "decided_at", "fold", "attention", "review_rank",
)  # fmt: skip


def fill(record: Record, *, infractions: int, photos: int, seed: int = 1) -> list[str]:
    """Fill an empty SQLite record, which is migrated; the plates that it knows, the ones that
    have most infractions first. The newest infractions have the photos, two each.
    """
    chance = random.Random(seed)
    vehicles = min(200_000, max(2_000, infractions))
    plates = [plate.replace(" ", "") for plate in islice(material.plates(chance), vehicles)]
    share = Share(infractions / 1_000_000)

    def write(tx: Connection) -> None:
        console_site.plan(tx, record)
        # Each index is made once, of sorted entries.
        filled = (
            "infractions", "infraction_codes", "infraction_photos", "photos", "reviews", "events",
            "audit_log",
        )  # fmt: skip
        kept = tx.exec_driver_sql(
            f"SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
            f" AND tbl_name IN {filled} ORDER BY rowid"
        ).all()
        for name, _ in kept:
            tx.exec_driver_sql(f"DROP INDEX {name}")
        rows = _infractions(infractions, plates, chance, epoch=record.epoch(tx))
        _insert(tx, rows, first_photo=infractions - photos // 2, chance=chance)
        console_history.reviews(tx)
        console_site.events(tx, plates, share, chance)
        console_history.audit(tx, share)
        for _, sql in kept:
            tx.exec_driver_sql(sql)
        console_history.tallies(tx)

    record.write(write)
    console_site.permits(record, plates, share, chance)
    record.write(lambda tx: console_site.people(tx, record, plates, share, chance))
    record.write(lambda tx: console_site.subscriptions(tx, record, plates, share))
    record.write(_weigh)
    console_history.long_history(record)
    return plates


def _infractions(
    count: int, plates: Sequence[str], chance: random.Random, *, epoch: str
) -> Iterator[dict[str, Any]]:
    first = int((NOW - YEARS).timestamp())
    step = YEARS.total_seconds() / count
    undecided = count - max(min(count, 100), count * UNDECIDED // 1_000_000)
    cursor = str(Cursor(SITE, epoch, 0))
    states, outcomes, codes = (_weighted(chance, each) for each in (_STATES, _OUTCOMES, _CODES))
    for n in range(count):
        received = first + int(n * step)
        # Most are sent at once; some wait for a network, and few for weeks.
        wait = chance.choice((5, 20, 60, 300)) if chance.random() < 0.97 else 40_000
        observed = received - (wait if chance.random() < 0.999 else 20 * 86_400)
        year = n * len(DEVICES) // count
        device = DEVICES[(year + chance.randrange(len(DEVICES) // 2)) % len(DEVICES)]
        patroller = PATROLLERS[(n * 30 // count + chance.randrange(18)) % len(PATROLLERS)]
        lot = chance.choice(LOTS if chance.random() < 0.95 else FURTHER_LOTS)
        outcome = next(outcomes)
        is_open = n >= undecided
        state = next(states)
        if is_open:
            state = "information_requested" if n % 30 == 5 else "received"
        plate = plates[int(chance.random() ** 2 * len(plates))]
        if chance.random() < 0.5:
            plate = chance.choice(plates)
        if n % 700 == 0:
            plate = plates[0]
        code = next(codes)
        named = [code] if chance.random() < 0.9 else [code, next(codes)]
        differs = chance.random() < (0.02 if is_open else 0.003)
        yield {
            "site": SITE,
            "id": _id(received, chance),
            "received_at": received,
            "state": state,
            "device": device,
            "after_revocation": False,
            "patroller": patroller,
            "zone": zone_of(lot),
            "lot": lot,
            "place": chance.choice(_PLACES) if chance.random() < 0.5 else None,
            "lat": 45.40 + chance.random() / 50,
            "lon": -71.90 + chance.random() / 50,
            "accuracy_m": 6.5,
            "plate": plate,
            "jurisdiction": "CA-QC",
            "plate_raw": f"{plate[:3]} {plate[3:]}",
            "plate_source": "typed",
            "vehicle": '{"make": "Acura", "colour": "rouge"}',
            "outcome": outcome,
            "no_issue_reason": "conducteur revenu" if outcome == "no_issue" else None,
            "number": f"{SITE}-{n}" if outcome == "notice" else None,
            "observed_at": observed,
            "device_time": observed - 2,
            "clock_offset_ms": 2000,
            "clock_jumped": chance.random() < 0.002,
            "verdict": "unknown",
            "epoch": epoch,
            "cursor": cursor,
            "known": "[]",
            "note": chance.choice(_WORDS) if chance.random() < 0.4 else None,
            "content_hash": f"{chance.getrandbits(256):064x}",
            "warnings": json.dumps(["verdict-not-as-known"] if chance.random() < 0.002 else []),
            "cursor_verdict": "unknown",
            "recheck_verdict": "valid" if differs else "unknown",
            "differs": differs,
            "rechecked_at": received,
            "decision_reason": chance.choice(list(VOID_REASONS)) if state == "voided" else None,
            "decided_at": None if is_open else received + 86_400,
            "fold": fold(plate),
            "attention": "[]",
            "review_rank": None,
            "codes": named,
        }


def _weighted(chance: random.Random, values: Sequence[tuple[str, int]]) -> Iterator[str]:
    names, weights = zip(*values, strict=True)
    while True:
        yield from chance.choices(names, weights, k=1000)


def _id(at: int, chance: random.Random) -> str:
    """A UUIDv7."""
    number = at * 1000 << 80 | 7 << 76 | chance.getrandbits(76)
    return str(uuid.UUID(int=number & ~(0xC << 60) | 8 << 60))


def _insert(
    tx: Connection,
    rows: Iterator[dict[str, Any]],
    *,
    first_photo: int,
    chance: random.Random,
) -> None:
    whole = _statement("infractions", _COLUMNS)
    of_code = _statement(
        "infraction_codes", ("site", "infraction", "position", "code", "received_at")
    )
    named = _statement(
        "infraction_photos",
        ("site", "infraction", "position", "sha256", "bytes", "taken_at", "shows"),
    )
    come = _statement(
        "photos", ("sha256", "media_type", "bytes", "received_at", "device", "is_named")
    )
    n = 0
    while part := list(islice(rows, _AT_ONCE)):
        tx.exec_driver_sql(whole, [tuple(row[name] for name in _COLUMNS) for row in part])
        tx.exec_driver_sql(
            of_code,
            [
                (SITE, row["id"], i, code, row["received_at"])
                for row in part
                for i, code in enumerate(row["codes"])
            ],
        )
        shown = [
            (row, i, f"{chance.getrandbits(256):064x}")
            for row in part[max(0, first_photo - n) :]
            for i in range(2)
        ]
        if shown:
            photos = [
                (SITE, row["id"], i, sha256, 812_345, row["observed_at"], ("plate", "context")[i])
                for row, i, sha256 in shown
            ]
            tx.exec_driver_sql(named, photos)
            there = [
                (sha256, "image/jpeg", 812_345, row["received_at"], row["device"], True)
                for row, _, sha256 in shown
                if chance.random() < 0.99
            ]
            tx.exec_driver_sql(come, there)
        n += len(part)


def _statement(table: str, columns: Sequence[str]) -> str:
    holes = ", ".join("?" * len(columns))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({holes})"


def _weigh(tx: Connection) -> None:
    open_ones = select(infractions.c.id).where(
        infractions.c.site == SITE, infractions.c.decided_at.is_(None)
    )
    weighing.weigh(tx, SITE, list(tx.execute(open_ones).scalars()))
