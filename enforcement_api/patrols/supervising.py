"""What is told to the patrols of a site, whoever does it: each in one transaction
with its entry in the log. `by` raises ForbiddenSite where the site is none of theirs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from enforcement_api.audit import store as audit
from enforcement_api.audit.core import Entry
from enforcement_api.database.engine import Record
from enforcement_api.devices import events
from enforcement_api.devices import store as devices
from enforcement_api.devices.core import UnknownDevice
from enforcement_api.devices.events import Event
from enforcement_api.patrols import core, store
from enforcement_api.patrols.core import (
    Message,
    MessageShape,
    UnknownMessage,
)
from enforcement_api.problems import N_, Invalid, Problem
from enforcement_api.security import Principal
from enforcement_api.shapes import is_uuid
from enforcement_api.sites import store as sites
from sync import codec

# Messages


@dataclass(frozen=True, slots=True)
class Told:
    """A message, and the devices' first words that somebody there has seen it."""

    message: Message
    read: tuple[Event, ...]


def send(
    record: Record, site: str, id: str, wanted: MessageShape, *, by: Principal, at: datetime
) -> tuple[Message, bool]:
    """Tell the patrols of a site something; whether that is new. `id`: a UUID in lower case.

    Raises UnknownSite, Invalid for whom there is not, MessageConflict.
    """
    by.check_site(site)
    at = at.replace(microsecond=0)
    content = codec.canonical(wanted.model_dump(mode="json"))
    hash = hashlib.sha256(content.encode()).hexdigest()

    def write(tx: Connection) -> tuple[Message, bool]:
        sites.site(tx, site)
        kept = store.message(tx, site, id)
        if kept is not None:
            return kept.same_as(hash), False
        message = Message(
            site=site,
            id=id,
            content_hash=hash,
            at=at,
            by=by.actor,
            by_name=by.name,
            text=wanted.text,
            device=_device(tx, site, wanted.to_device),
            patroller=_patroller(tx, site, wanted.to_patroller),
            expires_at=wanted.expires_at or at + core.MESSAGE_LASTS,
        )
        message, is_new = store.add_message(record, tx, message)
        if is_new:
            facts = {name: value for name, value in message.as_json().items() if name != "id"}
            _tell(tx, site, by, at, "sent", f"message:{id}", facts)
        return message, is_new

    return record.write(write)


def messages(
    tx: Connection, site: str, *, after: tuple[int, str] | None = None, limit: int
) -> Sequence[Told]:
    """Up to `limit` messages of a site, the newest first, those that have expired too, after a
    position (at in seconds, id). Raises UnknownSite.
    """
    sites.site(tx, site)
    found = store.messages(tx, site, after=after, limit=limit)
    read_by = events.read_by(tx, site, [message.id for message in found])
    return [Told(message, tuple(read_by[message.id])) for message in found]


def withdraw(record: Record, site: str, id: str, *, by: Principal, at: datetime) -> None:
    """Handhelds show a message no more after their next briefing.

    Raises UnknownSite, UnknownMessage.
    """
    by.check_site(site)
    if not is_uuid(id):
        raise UnknownMessage(id=id)

    def write(tx: Connection) -> None:
        sites.site(tx, site)
        store.delete_message(tx, site, id.lower())
        _tell(tx, site, by, at, "deleted", f"message:{id.lower()}")

    record.write(write)


def _tell(
    tx: Connection,
    site: str,
    by: Principal,
    at: datetime,
    action: str,
    subject: str,
    facts: Mapping[str, Any] | None = None,
) -> None:
    audit.append(tx, Entry(at, by.actor, action, subject, facts or {}), site=site)


def _device(tx: Connection, site: str, id: str | None) -> str | None:
    """The device of this id at the site. Raises Invalid."""
    if id is None:
        return None
    try:
        device = devices.device(tx, id)
    except UnknownDevice:
        device = None
    if device is None or site not in device.sites:
        raise Invalid(errors=[Problem.Error("/to_device", N_("is no device of this site"))])
    return device.id


def _patroller(tx: Connection, site: str, name: str | None) -> str | None:
    """The id of a patroller of the site who is named by id or badge. Raises Invalid."""
    if name is None:
        return None
    found = sites.patroller_named(tx, site, name)
    if found is None:
        raise Invalid(errors=[Problem.Error("/to_patroller", N_("is no patroller of this site"))])
    return found.id
