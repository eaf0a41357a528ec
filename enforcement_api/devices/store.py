"""The SQL of devices."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from sqlalchemy import Connection, and_, insert, or_, select, update

from enforcement_api.database.tables import device_cursors, devices, sites
from enforcement_api.devices.core import Device, DeviceCursor, UnknownDevice, new_code
from enforcement_api.security import Principal, secret_hash


def known_sites(tx: Connection) -> set[str]:
    """The codes of all sites."""
    return set(tx.execute(select(sites.c.id)).scalars())


def add(
    tx: Connection, *, name: str, sites: Iterable[str], at: datetime, code_expires_at: datetime
) -> tuple[str, str]:
    """Make a device that waits for its enrolment; its id, and the code, which is not kept."""
    code = new_code()
    while tx.execute(
        select(devices.c.id).where(devices.c.enrolment_hash == secret_hash(code))
    ).first():
        code = new_code()
    id = str(uuid.uuid4())
    tx.execute(
        insert(devices).values(
            id=id,
            name=name,
            sites=list(sites),
            created_at=at,
            enrolment_hash=secret_hash(code),
            enrolment_expires_at=code_expires_at,
        )
    )
    return id, code


def enrol(
    tx: Connection, *, code: str, install_id: str | None, token: str, at: datetime
) -> tuple[str, tuple[str, ...]] | None:
    """Trade a code for a token; the device's id and sites. None: the code is not good.

    A code is good once, and again for the same installation while it lives.
    """
    good = and_(
        devices.c.enrolment_hash == secret_hash(code),
        devices.c.enrolment_expires_at > at,
        devices.c.revoked_at.is_(None),
        devices.c.enrolled_at.is_(None)
        if install_id is None
        else or_(devices.c.enrolled_at.is_(None), devices.c.install_id == install_id),
    )
    row = tx.execute(
        update(devices)
        .where(good)
        .values(
            install_id=install_id, enrolled_at=at, token_hash=secret_hash(token), last_seen_at=at
        )
        .returning(devices.c.id, devices.c.sites)
    ).first()
    return None if row is None else (row.id, tuple(row.sites))


def find(tx: Connection, token_hash: str) -> Principal | None:
    """The device with this token, also when it was revoked."""
    row = tx.execute(select(devices).where(devices.c.token_hash == token_hash)).first()
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
    at: datetime,
) -> None:
    """Remember how a device says it is doing."""
    tx.execute(
        update(devices)
        .where(devices.c.id == device)
        .values(
            app_version=app_version,
            unsent=unsent,
            clock_offset_ms=clock_offset_ms,
            battery_percent=battery_percent,
            last_seen_at=at,
        )
    )


def seen(tx: Connection, device: str, site: str, cursor: str, sequence: int, at: datetime) -> None:
    """Remember how far a device has come at a site."""
    # The device's row comes first: it keeps two polls of one device apart.
    tx.execute(update(devices).where(devices.c.id == device).values(last_seen_at=at))
    values = {"cursor": cursor, "sequence": sequence, "at": at}
    here = (device_cursors.c.device == device, device_cursors.c.site == site)
    if not tx.execute(update(device_cursors).where(*here).values(**values)).rowcount:
        tx.execute(insert(device_cursors).values(device=device, site=site, **values))


def device(tx: Connection, id: str) -> Device:
    """A device. Raises UnknownDevice."""
    row = None
    if id.isascii() and id.isprintable():
        row = tx.execute(select(devices).where(devices.c.id == id)).first()
    if row is None:
        raise UnknownDevice(id=id)
    return _device_of(row, _cursors(tx, [id]))


def page(
    tx: Connection,
    *,
    among: Collection[str] | None,
    after: tuple[int, str] | None,
    limit: int,
) -> list[Device]:
    """Up to `limit` devices of these sites (None: all), the oldest first, after a position."""
    made = devices.c.created_at
    query = select(devices).order_by(made, devices.c.id)
    if after is not None:
        at = datetime.fromtimestamp(after[0], UTC)
        query = query.where(or_(made > at, and_(made == at, devices.c.id > after[1])))
    if among is None:
        rows: list[Any] = list(tx.execute(query.limit(limit)))
    else:
        here = (row for row in tx.execute(query) if not set(among).isdisjoint(row.sites))
        rows = list(islice(here, limit))
    cursors = _cursors(tx, [row.id for row in rows])
    return [_device_of(row, cursors) for row in rows]


def revoke(tx: Connection, id: str, *, at: datetime) -> None:
    """Trust a device no more; one that was revoked stays so."""
    tx.execute(
        update(devices)
        .where(devices.c.id == id, devices.c.revoked_at.is_(None))
        .values(revoked_at=at)
    )


def _cursors(tx: Connection, ids: Collection[str]) -> dict[str, list[DeviceCursor]]:
    found: dict[str, list[DeviceCursor]] = {id: [] for id in ids}
    table = device_cursors.c
    for row in tx.execute(
        select(device_cursors).where(table.device.in_(ids)).order_by(table.device, table.site)
    ):
        found[row.device].append(DeviceCursor(row.site, row.cursor, row.sequence, row.at))
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
        cursors=tuple(cursors[row.id]),
    )
