"""The handhelds of the sites: made, enrolled anew, revoked, and how they are doing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from enforcement_api.database.engine import Record
from enforcement_api.devices import core, store
from enforcement_api.devices.core import Authority, Device, DeviceCursor
from enforcement_api.problems import N_, Invalid, Problem
from enforcement_api.security import Principal

_NO_SITE = N_("there is no site {site}")


@dataclass(frozen=True, slots=True)
class Invitation:
    """What a person reads out to a handheld, or shows it as a QR code: once."""

    id: str
    code: str
    expires_at: datetime
    link: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How a device is doing. `cursors`: the device's, every copy's plates counted.

    `is_stale`: a copy is older than its site allows.
    """

    device: Device
    cursors: tuple[DeviceCursor, ...]
    is_stale: bool

    @property
    def held_at_contact(self) -> int:
        """How many plates its copies held at its last contact: of a lost device, what may be in
        other hands.
        """
        return sum(cursor.plates_held or 0 for cursor in self.cursors)

    def age_at(self, at: datetime) -> timedelta | None:
        """The age of the oldest of its copies; None: of a site it has none."""
        level = {cursor.site: cursor.at for cursor in self.cursors}
        if any(site not in level for site in self.device.sites):
            return None
        return max((at - level[site] for site in self.device.sites), default=None)


@dataclass(frozen=True, slots=True)
class Fleet:
    """What is done with devices. `by` may do it only if every site of the device is theirs:
    ForbiddenSite.

    `code_lasts`: how long an enrolment code does. `server`: where handhelds reach the service;
    empty: where the request for a link was sent. `forget`: believe a device's token no more.
    `plates_held` counts the plates of a site's index at a sequence; `stale_after` tells how old a
    copy of each site may become.
    """

    record: Record
    code_lasts: timedelta
    server: str
    authority: Authority | None
    forget: Callable[[str], None]
    plates_held: Callable[[Connection, str, int], int]
    stale_after: Callable[[Connection], Mapping[str, timedelta]]

    def create(
        self, name: str, sites: Sequence[str], *, asked_at: str, by: Principal, at: datetime
    ) -> Invitation:
        """Make a device and its enrolment code. `asked_at`: the address that the request was sent
        to. Raises Invalid for sites that there are not.
        """
        wanted = list(dict.fromkeys(sites))
        expires_at = at + self.code_lasts

        def write(tx: Connection) -> tuple[str, str]:
            known = store.known_sites(tx)
            errors = [
                Problem.Error(f"/sites/{i}", _NO_SITE, site=site)
                for i, site in enumerate(sites)
                if site not in known
            ]
            if errors:
                raise Invalid(errors=errors)
            for site in wanted:
                by.check_site(site)
            return store.add(
                tx, name=name, sites=wanted, by=by.actor, at=at, code_expires_at=expires_at
            )

        id, code = self.record.write(write)
        return self._invitation(id, code, expires_at, asked_at)

    def renew_code(self, id: str, *, asked_at: str, by: Principal, at: datetime) -> Invitation:
        """A fresh enrolment code for a device that is known.

        Raises UnknownDevice, DeviceIsRevoked.
        """
        expires_at = at + self.code_lasts

        def write(tx: Connection) -> str:
            theirs(tx, id, by)
            return store.renew_code(tx, id, by=by.actor, at=at, code_expires_at=expires_at)

        return self._invitation(id, self.record.write(write), expires_at, asked_at)

    def revoke(self, id: str, *, by: Principal, at: datetime) -> None:
        """Trust a device no more, from this instant on. Raises UnknownDevice."""

        def write(tx: Connection) -> None:
            theirs(tx, id, by)
            store.revoke(tx, id, by=by.actor, at=at)

        self.record.write(write)
        self.forget(id)

    def one(self, tx: Connection, id: str, *, by: Principal, at: datetime) -> Standing:
        """How one device is doing. Raises UnknownDevice."""
        return self._standing(tx, theirs(tx, id, by), self.stale_after(tx), at)

    def page(
        self,
        tx: Connection,
        *,
        by: Principal,
        at: datetime,
        stale: bool | None = None,
        after: tuple[int, str] | None = None,
        limit: int | None = None,
    ) -> list[Standing]:
        """Up to `limit` (None: all) devices that have a site of `by`'s, the oldest first, after a
        position (created_at in seconds, id). `stale`: only those whose copy is, or is not.
        """
        limits = self.stale_after(tx)
        found = store.page(
            tx,
            among=by.sites,
            after=after,
            limit=limit,
            wanted=None if stale is None else lambda each: each.is_stale(at, limits) == stale,
        )
        return [self._standing(tx, device, limits, at) for device in found]

    def _standing(
        self, tx: Connection, device: Device, limits: Mapping[str, timedelta], at: datetime
    ) -> Standing:
        cursors = tuple(
            replace(cursor, plates_held=self.plates_held(tx, cursor.site, cursor.sequence))
            if cursor.plates_held is None
            else cursor
            for cursor in device.cursors
        )
        return Standing(device, cursors, device.is_stale(at, limits))

    def _invitation(self, id: str, code: str, expires_at: datetime, asked_at: str) -> Invitation:
        pin = None if self.authority is None else self.authority.pin
        link = core.enrolment_link(self.server or asked_at, code, pin=pin)
        return Invitation(id, code, expires_at, link)


def theirs(tx: Connection, id: str, by: Principal) -> Device:
    """A device of which every site is the principal's. Raises UnknownDevice, ForbiddenSite."""
    device = store.device(tx, id)
    for site in device.sites:
        by.check_site(site)
    return device
