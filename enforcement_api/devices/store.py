"""The SQL of devices."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import (
    Connection,
    and_,
    bindparam,
    exists,
    insert,
    or_,
    select,
    update,
)

from enforcement_api.audit import store as audit
from enforcement_api.audit.core import Entry
from enforcement_api.database.engine import Record
from enforcement_api.database.tables import device_cursors, devices, sites
from enforcement_api.devices.core import (
    Device,
    DeviceCursor,
    DeviceIsRevoked,
    UnknownDevice,
    new_code,
)
from enforcement_api.figures import counting
from enforcement_api.security import Principal, secret_hash
from enforcement_api.shapes import page_instant

_AT_ONCE = 500

# Statements of every poll are put together once: that takes longer than executing them.
_BY_TOKEN = select(devices).where(devices.c.token_hash == bindparam("hash"))
_SEEN = update(devices).where(devices.c.id == bindparam("of_device"))
_MISMATCHED = _SEEN.where(devices.c.mismatches < bindparam("told"))
_HERE = (
    device_cursors.c.device == bindparam("of_device"),
    device_cursors.c.site == bindparam("of_site"),
)
_COME = update(device_cursors).where(*_HERE)
_STAYED = _COME.where(device_cursors.c.sequence == bindparam("of_sequence"))
_WAS_AT = select(device_cursors.c.sequence).where(*_HERE)


def known_sites(tx: Connection) -> set[str]:
    """The codes of all sites."""
    return set(tx.execute(select(sites.c.id)).scalars())


def add(
    tx: Connection,
    *,
    name: str,
    sites: Iterable[str],
    by: str,
    at: datetime,
    code_expires_at: datetime,
) -> tuple[str, str]:
    """Make a device that waits for its enrolment; its id, and the code, which is not kept.

    `by` makes it: an actor as the log names them, or `command`.
    """
    code = _unused_code(tx)
    id = str(uuid.uuid4())
    sites = list(sites)
    tx.execute(
        insert(devices).values(
            id=id,
            name=name,
            sites=sites,
            created_at=at,
            enrolment_hash=secret_hash(code),
            enrolment_expires_at=code_expires_at,
        )
    )
    _remember(tx, id, "device-created", by=by, at=at, name=name, sites=sites)
    return id, code


def renew_code(tx: Connection, id: str, *, by: str, at: datetime, code_expires_at: datetime) -> str:
    """A fresh code for a device that is known; its token stays good until the code is used.

    Raises UnknownDevice, DeviceIsRevoked.
    """
    if device(tx, id).revoked_at is not None:
        raise DeviceIsRevoked
    code = _unused_code(tx)
    tx.execute(
        update(devices)
        .where(devices.c.id == id)
        .values(
            enrolment_hash=secret_hash(code),
            enrolment_expires_at=code_expires_at,
            install_id=None,
        )
    )
    _remember(tx, id, "device-code-renewed", by=by, at=at)
    return code


def _unused_code(tx: Connection) -> str:
    code = new_code()
    while tx.execute(
        select(devices.c.id).where(devices.c.enrolment_hash == secret_hash(code))
    ).first():
        code = new_code()
    return code


def _remember(
    tx: Connection, id: str, action: str, *, by: str | None = None, at: datetime, **facts: Any
) -> None:
    """Append to the log; the device itself did it unless said otherwise."""
    subject = f"device:{id}"
    audit.append(tx, Entry(at, by or subject, action, subject, facts))


def enrol(
    tx: Connection, *, code: str, install_id: str | None, token: str, at: datetime
) -> tuple[str, tuple[str, ...]] | None:
    """Trade a code for a token; the device's id and sites. None: the code is not good.

    A code is good once, and again for the same installation while it lives. Tokens from before
    are dead.
    """
    good = and_(
        devices.c.enrolment_hash == secret_hash(code),
        devices.c.enrolment_expires_at > at,
        devices.c.revoked_at.is_(None),
        devices.c.install_id.is_(None)
        if install_id is None
        else or_(devices.c.install_id.is_(None), devices.c.install_id == install_id),
    )
    used: dict[str, Any] = {"enrolment_hash": None} if install_id is None else {}
    row = tx.execute(
        update(devices)
        .where(good)
        .values(
            install_id=install_id,
            enrolled_at=at,
            token_hash=secret_hash(token),
            next_token_hash=None,
            last_seen_at=at,
            **used,
        )
        .returning(devices.c.id, devices.c.sites)
    ).first()
    if row is None:
        return None
    _remember(tx, row.id, "device-enrolled", at=at)
    return row.id, tuple(row.sites)


# Tokens


def offer_token(tx: Connection, id: str, token: str, *, at: datetime) -> None:
    """Give a device another token; the one it has is good until the new one is used.

    One that was offered before and never used is dead.
    """
    tx.execute(update(devices).where(devices.c.id == id).values(next_token_hash=secret_hash(token)))
    _remember(tx, id, "device-token-offered", at=at)


def holder(
    record: Record, token_hash: str, *, at: datetime, on_change: Callable[[str], None]
) -> Principal | None:
    """The device with this token; an offered one takes the place of the old by being used.

    `on_change` is told of the device when that happens: whoever believed the old token should not
    any more.
    """

    def look(tx: Connection) -> tuple[Principal | None, bool]:
        offered = exists().where(devices.c.next_token_hash == token_hash)
        found = find(tx, token_hash)
        return found, found is None and bool(tx.execute(select(offered)).scalar_one())

    found, is_offered = record.read(look)
    if not is_offered:
        return found

    def take(tx: Connection) -> Principal | None:
        taken = tx.execute(
            update(devices)
            .where(devices.c.next_token_hash == token_hash)
            .values(token_hash=token_hash, next_token_hash=None)
            .returning(devices.c.id)
        ).scalar()
        if taken is not None:
            _remember(tx, taken, "device-token-replaced", at=at)
        return find(tx, token_hash)

    found = record.write(take)
    if found is not None:
        on_change(found.id)
    return found


def find(tx: Connection, token_hash: str) -> Principal | None:
    """The device with this token, also when it was revoked."""
    row = tx.execute(_BY_TOKEN, {"hash": token_hash}).first()
    if row is None:
        return None
    return Principal(
        id=row.id,
        role="device",
        name=row.name,
        source=row.name,
        sites=frozenset(row.sites),
        revoked=row.revoked_at is not None,
    )


def tell(
    tx: Connection,
    device: str,
    *,
    app_version: str,
    unsent: int,
    clock_offset_ms: int,
    battery_percent: int | None,
    mismatches: int | None = None,
    numbers_left: int | None = None,
    plates_held: int | None = None,
    at: datetime,
) -> None:
    """Remember how a device says it is doing. What it leaves out is kept as it was."""
    values: dict[str, Any] = {
        "app_version": app_version,
        "unsent": unsent,
        "clock_offset_ms": clock_offset_ms,
        "battery_percent": battery_percent,
        "last_seen_at": at,
    }
    if mismatches is not None:
        values["mismatches"] = mismatches
    if numbers_left is not None:
        values["numbers_left"] = numbers_left
    if plates_held is not None:
        values["plates_held"] = plates_held
    here = {"of_device": device}
    if mismatches:
        tx.execute(_MISMATCHED, here | {"told": mismatches, "mismatched_at": at})
    tx.execute(_SEEN, here | values)


def seen(
    tx: Connection,
    device: str,
    site: str,
    cursor: str,
    sequence: int,
    at: datetime,
    *,
    plates_held: int | None = None,
) -> None:
    """Remember how far a device has come at a site, and how many plates it holds there.

    None: they were not counted; whoever asks for them counts them.
    """
    # The device's row comes first: it keeps two polls of one device apart.
    tx.execute(_SEEN, {"of_device": device, "last_seen_at": at})
    values = {"cursor": cursor, "sequence": sequence, "at": at, "plates_held": plates_held}
    here = {"of_device": device, "of_site": site}
    if tx.execute(_STAYED, here | {"of_sequence": sequence} | values).rowcount:
        return
    was_at = tx.execute(_WAS_AT, here).scalar()
    if was_at is None:
        tx.execute(insert(device_cursors), {"device": device, "site": site, **values})
        return
    tx.execute(_COME, here | values)
    counting.caught_up(tx, site, after=was_at, up_to=sequence, at=at)


def device(tx: Connection, id: str) -> Device:
    """A device. Raises UnknownDevice."""
    row = None
    if id.isascii() and id.isprintable():
        row = tx.execute(select(devices).where(devices.c.id == id)).first()
    if row is None:
        raise UnknownDevice(id=id)
    return _device_of(row, _cursors(tx, [id]))


def names(tx: Connection, ids: Collection[str]) -> dict[str, str]:
    """What the devices of these ids are called."""
    found = tx.execute(select(devices.c.id, devices.c.name).where(devices.c.id.in_(ids)))
    return {row.id: row.name for row in found}


def page(
    tx: Connection,
    *,
    among: Collection[str] | None,
    after: tuple[int, str] | None,
    limit: int | None,
    wanted: Callable[[Device], bool] | None = None,
) -> list[Device]:
    """Up to `limit` (None: all) devices of these sites, the oldest first, after a position.

    `wanted`: only those of which it is true.
    """
    made = devices.c.created_at
    query = select(devices).order_by(made, devices.c.id)
    if after is not None:
        at = page_instant(after[0])
        query = query.where(or_(made > at, and_(made == at, devices.c.id > after[1])))
    if among is None and wanted is None:
        query = query.limit(limit)
    found = (
        device
        for rows in tx.execute(query).partitions(_AT_ONCE)
        for device in _devices_of(tx, [row for row in rows if _is_among(row.sites, among)])
        if wanted is None or wanted(device)
    )
    return list(islice(found, limit))


def _is_among(sites: Collection[str], among: Collection[str] | None) -> bool:
    return among is None or not set(among).isdisjoint(sites)


def _devices_of(tx: Connection, rows: Collection[Any]) -> list[Device]:
    cursors = _cursors(tx, [row.id for row in rows])
    return [_device_of(row, cursors) for row in rows]


def revoke(tx: Connection, id: str, *, by: str, at: datetime) -> None:
    """Trust a device no more; one that was revoked stays so."""
    revoked = tx.execute(
        update(devices)
        .where(devices.c.id == id, devices.c.revoked_at.is_(None))
        .values(revoked_at=at)
    )
    if revoked.rowcount:
        _remember(tx, id, "device-revoked", by=by, at=at)


def _cursors(tx: Connection, ids: Collection[str]) -> dict[str, list[DeviceCursor]]:
    found: dict[str, list[DeviceCursor]] = {id: [] for id in ids}
    table = device_cursors.c
    for row in tx.execute(
        select(device_cursors).where(table.device.in_(ids)).order_by(table.device, table.site)
    ):
        found[row.device].append(
            DeviceCursor(row.site, row.cursor, row.sequence, row.at, row.plates_held)
        )
    return found


def _device_of(row: Any, cursors: dict[str, list[DeviceCursor]]) -> Device:
    return Device(
        id=row.id,
        name=row.name,
        sites=tuple(row.sites),
        created_at=row.created_at,
        enrolled_at=row.enrolled_at,
        revoked_at=row.revoked_at,
        last_seen_at=row.last_seen_at,
        app_version=row.app_version,
        unsent=row.unsent,
        clock_offset_ms=row.clock_offset_ms,
        battery_percent=row.battery_percent,
        mismatches=row.mismatches,
        mismatched_at=row.mismatched_at,
        numbers_left=row.numbers_left,
        plates_held=row.plates_held,
        cursors=tuple(cursors[row.id]),
    )
