"""Entities and messages to and from JSON, and the hash of a record (CONTRACT, "Sync").

Reading is strict: what does not have the agreed shape raises MalformedMessage.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, TypeVar

from sync.entities import (
    Entity,
    HotlistEntry,
    InfractionCode,
    Lot,
    NoNotice,
    Notice,
    Permit,
    Site,
    Vehicle,
    Zone,
)
from sync.messages import (
    LARGEST_SNAPSHOT,
    PROTOCOL_VERSION,
    Change,
    ChangePage,
    Digest,
    Enrolment,
    NumberBlock,
    Receipt,
    Record,
    SignIn,
    SnapshotManifest,
)
from sync.plates import Plate

T = TypeVar("T")


class MalformedMessage(ValueError):
    """What the other side sent does not have the agreed shape."""


class UnknownProtocol(MalformedMessage):
    """The service speaks a newer protocol: this program must be updated."""

    def __init__(self, protocol: object) -> None:
        super().__init__(f"protocol {protocol!r} is newer than {PROTOCOL_VERSION}")


# Instants


def instant(at: datetime) -> str:
    """RFC 3339 in UTC with Z, truncated to whole seconds. `at` is aware."""
    if at.tzinfo is not UTC:
        at = at.astimezone(UTC)
    # Others, isoformat among them, take twice as long.
    parts = (at.year, at.month, at.day, at.hour, at.minute, at.second)
    return "%04d-%02d-%02dT%02d:%02d:%02dZ" % parts  # noqa: UP031


def optional_instant(at: datetime | None) -> str | None:
    """The instant as text, or None."""
    return None if at is None else instant(at)


_RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII
)


def parse_instant(text: str) -> datetime:
    """Aware, UTC, whole seconds. Raises ValueError for what is no RFC 3339 instant."""
    if not _RFC_3339.fullmatch(text):
        raise ValueError(f"{text!r} is no instant with its offset from UTC")
    at = datetime.fromisoformat(text.upper())
    if at.tzinfo is not UTC:
        try:
            at = at.astimezone(UTC)
        except OverflowError as error:
            raise ValueError(f"{text!r} is outside the calendar") from error
    return at.replace(microsecond=0) if at.microsecond else at


def parse_optional_instant(text: str | None) -> datetime | None:
    """As parse_instant; None stays None."""
    return None if text is None else parse_instant(text)


# Records


def _vehicle_record(vehicle: Vehicle | None) -> dict[str, Any] | None:
    return None if vehicle is None else {"make": vehicle.make, "colour": vehicle.colour}


def no_notice_record(window: NoNotice) -> dict[str, Any]:
    """A window as the site record carries it."""
    return {
        "from": instant(window.begins),
        "until": instant(window.ends),
        "zones": list(window.zones),
        "reason": window.reason,
    }


def _site_record(site: Site) -> dict[str, Any]:
    return {
        "id": site.id,
        "name": site.name,
        "address": site.address,
        "time_zone": site.time_zone,
        "jurisdiction": site.jurisdiction,
        "instrument": site.instrument,
        "activation_hours": site.activation_hours,
        "retention_days": site.retention_days,
        "stale_after_hours": site.stale_after_hours,
        "no_notice": [no_notice_record(window) for window in site.no_notice],
        "pruned_at": optional_instant(site.pruned_at),
    }


def _zone_record(zone: Zone) -> dict[str, Any]:
    return {"id": zone.id, "name": dict(zone.name), "note": zone.note and dict(zone.note)}


def _lot_record(lot: Lot) -> dict[str, Any]:
    return {"id": lot.id, "name": lot.name, "zone": lot.zone, "area": lot.area}


def _code_record(code: InfractionCode) -> dict[str, Any]:
    return {
        "id": code.id,
        "title": dict(code.title),
        "instruments": list(code.instruments),
        "article": code.article,
        "amounts": [dict(amount) for amount in code.amounts],
        "photos_required": code.photos_required,
        "active": code.active,
    }


def permit_record(permit: Permit) -> dict[str, Any]:
    """A permit as the feed and the check answer carry it."""
    return {
        "id": permit.id,
        "plate": permit.plate.text,
        "jurisdiction": permit.plate.jurisdiction,
        "zones": list(permit.zones),
        "permit_number": permit.permit_number,
        "starts_at": instant(permit.starts_at),
        "ends_at": optional_instant(permit.ends_at),
        "active_from": instant(permit.active_from),
        "status": permit.status,
        "vehicle": _vehicle_record(permit.vehicle),
    }


def _hotlist_record(entry: HotlistEntry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "plate": entry.plate.text,
        "jurisdiction": entry.plate.jurisdiction,
        "reason": entry.reason,
        "priority": entry.priority,
        "instructions": entry.instructions,
        "expires_at": optional_instant(entry.expires_at),
    }


def _notice_record(notice: Notice) -> dict[str, Any]:
    return {
        "id": notice.id,
        "plate": notice.plate and notice.plate.text,
        "jurisdiction": notice.plate and notice.plate.jurisdiction,
        "codes": list(notice.codes),
        "zone": notice.zone,
        "observed_at": instant(notice.observed_at),
        "outcome": notice.outcome,
        "number": notice.number,
        "patroller": notice.patroller,
        "state": notice.state,
        "decision_reason": notice.decision_reason,
    }


_KINDS: dict[type[Any], tuple[str, Callable[[Any], dict[str, Any]]]] = {
    Site: ("site", _site_record),
    Zone: ("zone", _zone_record),
    Lot: ("lot", _lot_record),
    InfractionCode: ("code", _code_record),
    Permit: ("permit", permit_record),
    HotlistEntry: ("hotlist", _hotlist_record),
    Notice: ("notice", _notice_record),
}


def change_of(entity: Entity) -> Change:
    """The entity as one change of the feed."""
    kind, encode = _KINDS[type(entity)]
    return Change(kind, entity.id, encode(entity))


def _site(r: Record) -> Site:
    return Site(
        id=r["id"],
        name=r["name"],
        address=r["address"],
        time_zone=r["time_zone"],
        jurisdiction=r["jurisdiction"],
        instrument=r["instrument"],
        activation_hours=r["activation_hours"],
        retention_days=r["retention_days"],
        stale_after_hours=r["stale_after_hours"],
        no_notice=tuple(
            NoNotice(
                begins=parse_instant(w["from"]),
                ends=parse_instant(w["until"]),
                zones=tuple(w["zones"]),
                reason=w["reason"],
            )
            for w in r["no_notice"]
        ),
        pruned_at=parse_optional_instant(r["pruned_at"]),
    )


def permit(r: Record) -> Permit:
    """A permit from its record."""
    vehicle = r["vehicle"]
    return Permit(
        id=r["id"],
        plate=Plate(r["plate"], r["jurisdiction"]),
        zones=tuple(r["zones"]),
        permit_number=r["permit_number"],
        starts_at=parse_instant(r["starts_at"]),
        ends_at=parse_optional_instant(r["ends_at"]),
        active_from=parse_instant(r["active_from"]),
        status=r["status"],
        vehicle=vehicle and Vehicle(vehicle["make"], vehicle["colour"]),
    )


def _hotlist(r: Record) -> HotlistEntry:
    return HotlistEntry(
        id=r["id"],
        plate=Plate(r["plate"], r["jurisdiction"]),
        reason=r["reason"],
        priority=r["priority"],
        instructions=r["instructions"],
        expires_at=parse_optional_instant(r["expires_at"]),
    )


def _notice(r: Record) -> Notice:
    return Notice(
        id=r["id"],
        plate=None if r["plate"] is None else Plate(r["plate"], r["jurisdiction"]),
        codes=tuple(r["codes"]),
        zone=r["zone"],
        observed_at=parse_instant(r["observed_at"]),
        outcome=r["outcome"],
        number=r["number"],
        patroller=r["patroller"],
        state=r["state"],
        decision_reason=r["decision_reason"],
    )


def _code(r: Record) -> InfractionCode:
    return InfractionCode(
        id=r["id"],
        title=r["title"],
        instruments=tuple(r["instruments"]),
        article=r["article"],
        amounts=tuple(r["amounts"]),
        photos_required=r["photos_required"],
        active=r["active"],
    )


_DECODERS: dict[str, Callable[[Record], Entity]] = {
    "site": _site,
    "zone": lambda r: Zone(id=r["id"], name=r["name"], note=r["note"]),
    "lot": lambda r: Lot(id=r["id"], name=r["name"], zone=r["zone"], area=r["area"]),
    "code": _code,
    "permit": permit,
    "hotlist": _hotlist,
    "notice": _notice,
}


def entity(kind: str, record: Record) -> Entity:
    """The entity of a record. Raises MalformedMessage."""
    try:
        return _DECODERS[kind](record)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MalformedMessage(f"a {kind} record cannot be read: {error!r}") from error


# Digest


def _encoder(*, sort_keys: bool) -> Callable[[Any], str]:
    """JSON without spaces and without ASCII escaping."""
    encoder = json.JSONEncoder(sort_keys=sort_keys, separators=(",", ":"), ensure_ascii=False)
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return encoder.encode
    # JSONEncoder makes the C encoder below anew for each text, which costs more than the text.
    chunks = make(
        None,
        encoder.default,
        json.encoder.encode_basestring,
        None,
        ":",
        ",",
        sort_keys,
        False,
        True,
    )
    return lambda value: "".join(chunks(value, 0))


json_text = _encoder(sort_keys=False)
"""A value as it travels."""

_CANONICAL = _encoder(sort_keys=True)


def canonical(record: Record) -> str:
    """The one JSON text of a record: sorted keys, no spaces, no ASCII escaping."""
    return _CANONICAL(record)


def record_hash(kind: str, id: str, canonical_record: str) -> int:
    """BLAKE2b of 8 bytes, read big-endian, of kind NUL id NUL canonical record."""
    row = f"{kind}\0{id}\0{canonical_record}".encode()
    return int.from_bytes(blake2b(row, digest_size=8).digest(), "big")


_quoted = json.encoder.encode_basestring
_NEXT = '","'


def permit_hash(
    id: str,
    plate: str,
    jurisdiction: str,
    zones: str,
    permit_number: str,
    starts_at: str,
    ends_at: str | None,
    active_from: str,
    status: str,
    make: str | None,
    colour: str | None,
) -> int:
    """The hash of a permit's record, whose canonical text is written by hand: that takes a third of
    the time. Zones are separated by spaces; instants are as they travel.
    """
    vehicle = "null"
    if make is not None or colour is not None:
        make = "null" if make is None else _quoted(make)
        vehicle = f'{{"colour":{"null" if colour is None else _quoted(colour)},"make":{make}}}'
    text = (
        f'{{"active_from":"{active_from}"'
        f',"ends_at":{"null" if ends_at is None else _quoted(ends_at)}'
        f',"id":{_quoted(id)}'
        f',"jurisdiction":{_quoted(jurisdiction)}'
        f',"permit_number":{_quoted(permit_number)}'
        f',"plate":{_quoted(plate)}'
        f',"starts_at":"{starts_at}"'
        f',"status":{_quoted(status)}'
        f',"vehicle":{vehicle}'
        f',"zones":[{_quoted(zones).replace(" ", _NEXT)}]}}'
    )
    return record_hash("permit", id, text)


def digest_json(digest: Digest | None) -> dict[str, Any] | None:
    """A digest as it travels."""
    return None if digest is None else {"count": digest.count, "sum": digest.hex}


# Messages


def _digest(value: Mapping[str, Any]) -> Digest:
    return Digest(int(value["count"]), int(value["sum"], 16))


def _protocol(message: Mapping[str, Any]) -> int:
    protocol = message["protocol"]
    if not isinstance(protocol, int) or protocol > PROTOCOL_VERSION:
        raise UnknownProtocol(protocol)
    return protocol


def _read(what: str, read: Callable[[Any], T], message: Any) -> T:
    try:
        return read(message)
    except UnknownProtocol:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MalformedMessage(f"{what} cannot be read: {error!r}") from error


def change_page_json(page: ChangePage) -> dict[str, Any]:
    """The answer of `changes`, as `change_page` reads it."""
    return {
        "protocol": page.protocol,
        "epoch": page.epoch,
        "cursor": page.cursor,
        "sequence": page.sequence,
        "more": page.more,
        "changes": [
            {"kind": change.kind, "id": change.id, "record": change.record}
            for change in page.changes
        ],
        "digest": digest_json(page.digest),
        "server_time": instant(page.server_time),
        "fed_at": optional_instant(page.fed_at),
    }


def change_page(message: Any) -> ChangePage:
    """The answer of `changes`. Raises MalformedMessage, UnknownProtocol."""

    def read(m: Any) -> ChangePage:
        return ChangePage(
            protocol=_protocol(m),
            epoch=m["epoch"],
            cursor=m["cursor"],
            sequence=m["sequence"],
            more=m["more"],
            changes=tuple(Change(c["kind"], c["id"], c["record"]) for c in m["changes"]),
            digest=None if m["digest"] is None else _digest(m["digest"]),
            server_time=parse_instant(m["server_time"]),
            fed_at=parse_optional_instant(m["fed_at"]),
        )

    return _read("a page of changes", read, message)


def snapshot_manifest_json(manifest: SnapshotManifest) -> dict[str, Any]:
    """The answer of `snapshot`, as `snapshot_manifest` reads it."""
    return {
        "protocol": manifest.protocol,
        "epoch": manifest.epoch,
        "cursor": manifest.cursor,
        "sequence": manifest.sequence,
        "url": manifest.url,
        "sha256": manifest.sha256,
        "bytes": manifest.bytes,
        "encoding": manifest.encoding,
        "digest": digest_json(manifest.digest),
        "server_time": instant(manifest.server_time),
        "fed_at": optional_instant(manifest.fed_at),
    }


def snapshot_manifest(message: Any) -> SnapshotManifest:
    """The answer of `snapshot`. Raises MalformedMessage, UnknownProtocol."""

    def read(m: Any) -> SnapshotManifest:
        if not m["url"].startswith("/") or m["url"].startswith("//"):
            raise ValueError(f"{m['url']!r} is no path of this service")
        if not re.fullmatch("[0-9a-f]{64}", m["sha256"]):
            raise ValueError(f"{m['sha256']!r} is no SHA-256")
        if not isinstance(m["bytes"], int) or not 0 <= m["bytes"] <= LARGEST_SNAPSHOT:
            raise ValueError(f"{m['bytes']!r} bytes are no snapshot's")
        return SnapshotManifest(
            protocol=_protocol(m),
            epoch=m["epoch"],
            cursor=m["cursor"],
            sequence=m["sequence"],
            url=m["url"],
            sha256=m["sha256"],
            bytes=m["bytes"],
            encoding=m["encoding"],
            digest=_digest(m["digest"]),
            server_time=parse_instant(m["server_time"]),
            fed_at=parse_optional_instant(m["fed_at"]),
        )

    return _read("a snapshot manifest", read, message)


def receipt_json(receipt: Receipt) -> dict[str, Any]:
    """An acknowledgement, as `receipt` reads it."""
    return {
        "id": receipt.id,
        "received_at": instant(receipt.received_at),
        "state": receipt.state,
        "recheck": {"verdict": receipt.recheck_verdict, "differs": receipt.recheck_differs},
        "photos_missing": list(receipt.photos_missing),
        "warnings": list(receipt.warnings),
        "epoch": receipt.epoch,
    }


def receipt(message: Any) -> Receipt:
    """The service's acknowledgement of an infraction. Raises MalformedMessage."""

    def read(m: Any) -> Receipt:
        return Receipt(
            id=m["id"],
            received_at=parse_instant(m["received_at"]),
            state=m["state"],
            recheck_verdict=m["recheck"]["verdict"],
            recheck_differs=m["recheck"]["differs"],
            photos_missing=tuple(m["photos_missing"]),
            warnings=tuple(m["warnings"]),
            epoch=m.get("epoch"),
        )

    return _read("a receipt", read, message)


def enrolment(message: Any) -> Enrolment:
    """What a handheld gets for its code. Raises MalformedMessage."""

    def read(m: Any) -> Enrolment:
        return Enrolment(device=m["device"], token=m["token"], sites=tuple(m["sites"]))

    return _read("an enrolment", read, message)


def sign_in(message: Any) -> SignIn:
    """Who signed in. Raises MalformedMessage."""

    def read(m: Any) -> SignIn:
        return SignIn(
            patroller=m["patroller"],
            offline_until=parse_instant(m["offline_until"]),
            name=m.get("name", ""),
        )

    return _read("a sign-in", read, message)


def number_block(message: Any) -> NumberBlock:
    """A block of numbers. Raises MalformedMessage."""

    def read(m: Any) -> NumberBlock:
        if not 0 <= m["first"] <= m["last"]:
            raise ValueError(f"{m['first']} to {m['last']} are no numbers")
        return NumberBlock(prefix=m["prefix"], first=m["first"], last=m["last"])

    return _read("a block of numbers", read, message)


def new_token(message: Any) -> str:
    """A device's new token. Raises MalformedMessage."""

    def read(m: Any) -> str:
        if not isinstance(m["token"], str) or not m["token"]:
            raise ValueError("it has no token")
        return m["token"]

    return _read("a new token", read, message)
