"""What staff do with subscriptions, whoever of them: each in one transaction, after a look whether
the site is theirs, and with the service's index level when it is done.

What becomes of a subscription is `office.py`'s; here is who may ask for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from enforcement_api.database.engine import Record
from enforcement_api.problems import N_, Invalid, Problem
from enforcement_api.security import Principal
from enforcement_api.settings import Settings
from enforcement_api.sites import store as sites
from enforcement_api.subscriptions import attachments, core, courtesy, post, store
from enforcement_api.subscriptions.attachments import Attachment
from enforcement_api.subscriptions.core import Request, Subscription
from enforcement_api.subscriptions.courtesy import CourtesyPermit
from enforcement_api.subscriptions.office import Office
from enforcement_api.subscriptions.shapes import (
    ActionShape,
    CourtesyShape,
    DecisionShape,
    VehicleShape,
    content_hash,
    message_json,
    of_key,
    request_json,
    subscriptions_json,
)
from enforcement_api.subscriptions.store import Action
from sync import codec
from sync.entities import ALL_ZONES


@dataclass(frozen=True, slots=True)
class Desk:
    """What staff do. `by` does it at `at`; ForbiddenSite where the site is none of theirs.

    `expected`: the version that they looked at (None: whatever there is), else LostUpdate. What has
    an `id` of its own is safe to do again. `follow` brings the service's own index level.
    """

    record: Record
    settings: Settings
    office: Office
    follow: Callable[[str], None]

    # Requests

    def request(self, tx: Connection, id: str, *, by: Principal) -> dict[str, Any]:
        """What was asked for, and what was done with it, the oldest first.

        Raises UnknownRequest.
        """
        request = store.request(tx, id)
        by.check_site(request.site)
        history = store.events_of(tx, request.site, f"request:{id}")
        return request_json(request) | {"history": [event.as_json() for event in history]}

    def decide(
        self, id: str, wanted: DecisionShape, *, expected: int | None, by: Principal, at: datetime
    ) -> Request:
        """Approve, refuse or withdraw a request. Raises UnknownRequest, and what `Office.decide`
        does.
        """
        action = Action(by.actor, _seconds(at), wanted.id, content_hash(wanted), wanted.reason)

        def write(tx: Connection) -> Request:
            by.check_site(store.request(tx, id).site)
            return self.office.decide(
                tx,
                id,
                wanted.decision,
                product=wanted.product,
                on=wanted.on,
                expected=expected,
                action=action,
            )

        decided = self.record.write(write)
        self.follow(decided.site)
        return decided

    # Subscriptions

    def subscription(
        self, tx: Connection, id: str, *, by: Principal, at: datetime
    ) -> dict[str, Any]:
        """A subscription with its vehicles, requests, messages, letters and contracts, and what was
        done to it, the oldest first. Raises UnknownSubscription.
        """
        found = of_key(tx, id, by)
        site = found.site
        history = store.events_of(tx, site, f"subscription:{id}")
        return _shown(tx, found, at) | {
            "requests": [request_json(r) for r in store.requests_of(tx, site, id)],
            "messages": [message_json(m) for m in store.messages_of(tx, site, id)],
            "letters": [one.as_json() for one in post.listed(tx, site, subscription=id)],
            "contracts": [
                {"position": position, "made_at": codec.instant(made_at)}
                for position, made_at in store.contract_positions(tx, site, id)
            ],
            "history": [event.as_json() for event in history],
        }

    def behind(
        self, tx: Connection, site: str, permit: str, *, by: Principal
    ) -> Subscription | CourtesyPermit | None:
        """What a permit of this id comes of, if it comes of here."""
        by.check_site(site)
        permit = permit.partition("~")[0]  # a plate that it had before
        if permit.startswith(courtesy.PERMIT):
            lent = courtesy.find(tx, permit.removeprefix(courtesy.PERMIT))
            return lent if lent is not None and lent.site == site else None
        number = core.number_of(permit)
        found = None if number is None else store.numbered(tx, site, number)
        if found is None or permit not in map(found.permit_id, found.vehicles):
            return None
        return found

    def act(
        self, id: str, wanted: ActionShape, *, expected: int | None, by: Principal, at: datetime
    ) -> dict[str, Any]:
        """Suspend, resume, cancel, keep, renew, or change the product; the subscription as it is
        then. Raises UnknownSubscription, Invalid, and what the method of `Office` does.
        """
        at, office = _seconds(at), self.office
        action = Action(by.actor, at, wanted.id, content_hash(wanted, id), wanted.reason)

        def work(tx: Connection) -> Subscription:
            if wanted.action == "suspend":
                return office.suspend(tx, id, why="staff", expected=expected, action=action)
            if wanted.action == "resume":
                return office.resume(tx, id, expected=expected, action=action)
            if wanted.action == "cancel":
                return office.cancel(tx, id, last_day=wanted.on, expected=expected, action=action)
            if wanted.action == "keep":
                return office.keep(tx, id, expected=expected, action=action)
            if wanted.action == "renew":
                return office.renew(
                    tx, id, ends_on=wanted.ends_on, expected=expected, action=action
                )
            if wanted.product is None:
                raise Invalid(errors=[Problem.Error("/product", N_("is missing"))])
            return office.change_product(
                tx, id, product=wanted.product, expected=expected, action=action
            )

        return self._change(id, work, by=by, at=at)

    def put_vehicle(
        self,
        id: str,
        vehicle: str,
        wanted: VehicleShape,
        *,
        expected: int | None,
        by: Principal,
        at: datetime,
    ) -> dict[str, Any]:
        """Add a vehicle, or describe it anew; the subscription as it is then."""
        action = Action(by.actor, _seconds(at))

        def work(tx: Connection) -> Subscription:
            described = wanted.described(sites.site(tx, of_key(tx, id, by).site))
            return self.office.put_vehicle(
                tx, id, vehicle, described, expected=expected, action=action
            )

        return self._change(id, work, by=by, at=action.at)

    def delete_vehicle(
        self, id: str, vehicle: str, *, expected: int | None, by: Principal, at: datetime
    ) -> dict[str, Any]:
        """End a vehicle's plate at once; the subscription as it is then."""
        action = Action(by.actor, _seconds(at))

        def work(tx: Connection) -> Subscription:
            return self.office.delete_vehicle(tx, id, vehicle, expected=expected, action=action)

        return self._change(id, work, by=by, at=action.at)

    def _change(
        self, id: str, work: Callable[[Connection], Subscription], *, by: Principal, at: datetime
    ) -> dict[str, Any]:
        def write(tx: Connection) -> dict[str, Any]:
            of_key(tx, id, by)
            return _shown(tx, work(tx), at)

        answer = self.record.write(write)
        self.follow(answer["site"])
        return answer

    # Courtesy permits

    def grant_courtesy(
        self, id: str, wanted: CourtesyShape, *, by: Principal, at: datetime
    ) -> tuple[CourtesyPermit, bool]:
        """Let a plate in at once, for a few days; whether that is new.

        Raises what `courtesy.grant` does, CertificateNumber.
        """
        by.check_site(wanted.site)
        action = Action(by.actor, _seconds(at))  # the reason lies with the permit, to be forgotten
        most = timedelta(days=self.settings.courtesy_days)

        def write(tx: Connection) -> tuple[CourtesyPermit, bool]:
            described = wanted.described(sites.site(tx, wanted.site))
            zones = [ALL_ZONES] if ALL_ZONES in wanted.zones else dict.fromkeys(wanted.zones)
            asked = CourtesyPermit(
                site=wanted.site,
                id=id,
                number="",
                content_hash=content_hash(wanted),
                subscription=wanted.subscription,
                plate=described.plate,
                plate_raw=described.plate_raw,
                zones=tuple(zones),
                reason=wanted.reason,
                granted_at=action.at,
                granted_by=action.by,
                expires_at=wanted.expires_at.replace(microsecond=0),
            )
            return courtesy.grant(self.office, tx, asked, most=most, action=action)

        granted, is_new = self.record.write(write)
        self.follow(granted.site)
        return granted, is_new

    def end_courtesy(self, id: str, *, by: Principal, at: datetime) -> CourtesyPermit:
        """End it now; one that has ended stays so. Raises UnknownCourtesyPermit."""
        action = Action(by.actor, _seconds(at))

        def write(tx: Connection) -> CourtesyPermit:
            self.courtesy(tx, id, by=by)
            return courtesy.end(self.office, tx, id, action=action)

        ended = self.record.write(write)
        self.follow(ended.site)
        return ended

    def courtesy(self, tx: Connection, id: str, *, by: Principal) -> CourtesyPermit:
        """One of them. Raises UnknownCourtesyPermit."""
        found = courtesy.find(tx, id)
        if found is None:
            raise courtesy.UnknownCourtesyPermit(id=id)
        by.check_site(found.site)
        return found

    # Files

    def read_file(self, id: str, *, by: Principal, at: datetime) -> tuple[Attachment, bytes]:
        """A file that was handed in, and its content. That somebody read a void cheque is written
        down. Raises UnknownAttachment, AttachmentRemoved, AttachmentLost.
        """
        found = self.record.read(lambda tx: _file(tx, id, by))
        content = attachments.content_of(self.record, self.settings, found)
        if found.purpose in attachments.SEALED:
            self.record.write(lambda tx: attachments.note_reading(tx, found, by=by.actor, at=at))
        return found, content

    def remove_file(self, id: str, *, by: Principal, at: datetime) -> None:
        """Take a file away that should never have been sent. Raises UnknownAttachment,
        AttachmentRemoved.
        """

        def write(tx: Connection) -> Attachment:
            found = _file(tx, id, by)
            attachments.remove(tx, [found], by=by.actor, at=at)
            return found

        gone = self.record.write(write)
        attachments.delete_unnamed(self.record, self.settings, [gone.sha256], at=at)


def _file(tx: Connection, id: str, by: Principal) -> Attachment:
    found = attachments.find(tx, id)
    by.check_site(found.site)
    return found


def _shown(tx: Connection, subscription: Subscription, at: datetime) -> dict[str, Any]:
    return subscriptions_json(tx, [subscription], at=_seconds(at))[0]


def _seconds(at: datetime) -> datetime:
    return at.replace(microsecond=0)
