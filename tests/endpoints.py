"""Every endpoint of the service, with a valid request for it and who may make it.

`World` is a service with something of everything, and with a payment provider; a row is asked of it
as `request(world)` says.
An endpoint without a row fails `tests/enforcement_api/test_roles.py`, and so does a row without an
endpoint.
"""

from __future__ import annotations

import functools
import hashlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from enforcement_api.app import create_app
from enforcement_api.security import signature
from enforcement_api.settings import Settings
from enforcement_api.staff import keys
from enforcement_api.subscriptions.core import PaymentMethod
from enforcement_api.subscriptions.store import Action
from tests.local_provider import give_card
from tests.service import Service, infraction, new_id, picture
from tests.subscribing import Office

HERE, ELSEWHERE = "1085", "2000"
PLATE = "ABC123"

ROLES = (
    "no key",
    "wrong key",
    "revoked key",
    "reader",
    "reader elsewhere",
    "feeder",
    "feeder elsewhere",
    "admin",
    "admin elsewhere",
    "device",
    "device elsewhere",
    "revoked device",
    # Staff have no accounts yet: a supervisor looks into the log with a reader's key of the site.
    "supervisor",
)
"""Of the site, or of another one (`elsewhere`); an `admin` and the plain roles of `HERE` alone."""


@dataclass
class Ask:
    """What is sent: parts of the path, and what httpx calls the rest."""

    path: dict[str, str] = field(default_factory=dict)
    how: dict[str, Any] = field(default_factory=dict)


def ask(_how: dict[str, Any] | None = None, **path: str) -> Ask:
    return Ask({"site": HERE} | path, _how or {})


class World:
    """A service with something of everything at one site, and somebody of every role."""

    def __init__(self, service: Service) -> None:
        self.service = service
        # From another machine: the service's own may read its metrics without a key.
        service.bridge.transport.client = ("203.0.113.9", 50000)
        service.site(HERE)
        service.site(ELSEWHERE)
        self.permit = service.permit(PLATE, id="p-1")
        self.clients: dict[str, httpx.Client] = {
            "no key": service.client(None),
            "wrong key": service.client("patrouille_admin_guessed"),
            "revoked key": service.client(self._revoked_key()),
            "supervisor": service.client(self._key("reader", HERE, "supervisor")),
        }
        for role in ("reader", "feeder", "admin"):
            self.clients[role] = service.client(self._key(role, HERE, role))
            self.clients[f"{role} elsewhere"] = service.client(self._key(role, ELSEWHERE, "other"))
        self.clients["device"] = service.device_client(HERE)
        self.clients["device elsewhere"] = service.device_client(ELSEWHERE)
        self.clients["revoked device"] = self._revoked_device()
        self.infraction = self._received()
        self.photo = hashlib.sha256(picture("red")).hexdigest()
        self.block = self._given()

    def _given(self) -> str:
        id = new_id()
        answer = self.clients["device"].put(f"/v1/sites/{HERE}/number-blocks/{id}")
        assert answer.status_code == 200, answer.text
        return id

    def _key(self, role: str, site: str, name: str) -> str:
        return self.service.key(role, sites=[site], name=f"{name}-{site}")

    def _revoked_key(self) -> str:
        service = self.service
        secret = self._key("admin", HERE, "revoked")
        with service.parts.record.reading() as tx:
            found = next(key for key in keys.all_keys(tx) if key.name == f"revoked-{HERE}")
        service.parts.record.write(lambda tx: keys.revoke(tx, found.id, at=service.clock()))
        return secret

    def _revoked_device(self) -> httpx.Client:
        made = self.service.device(HERE)
        code = {"code": made["enrolment_code"]}
        token = self.service.client(None).post("/v1/enrolments", json=code).json()["token"]
        assert self.service.admin.delete(f"/v1/devices/{made['id']}").status_code == 204
        return self.service.client(token)

    def _received(self) -> str:
        """An infraction of the site with its photo."""
        red = picture("red")
        photo = {
            "sha256": hashlib.sha256(red).hexdigest(),
            "bytes": len(red),
            "taken_at": "2026-11-23T15:15:00Z",
        }
        id, device = new_id(), self.clients["device"]
        answer = device.put(f"/v1/infractions/{id}", json=infraction(PLATE, photos=[photo]))
        assert answer.status_code == 201, answer.text
        answer = device.put(f"/v1/photos/{photo['sha256']}", content=red)
        assert answer.status_code == 201, answer.text
        return id

    # What rows ask for: each time something of its own, so that no request meets another's traces.

    def a_device(self) -> str:
        return str(self.service.device(HERE)["id"])

    def an_entry(self) -> str:
        id = new_id()
        body = {"plate": PLATE, "reason": "Volé", "priority": "low"}
        answer = self.service.admin.put(f"/v1/sites/{HERE}/hotlist/{id}", json=body)
        assert answer.status_code == 201, answer.text
        return id

    def a_patrol_message(self) -> str:
        id = new_id()
        answer = self.service.admin.put(f"/v1/sites/{HERE}/messages/{id}", json=TOLD)
        assert answer.status_code == 201, answer.text
        return id

    def a_patroller(self) -> str:
        id = new_id()
        answer = self.service.admin.put(f"/v1/sites/{HERE}/patrollers/{id}", json=patroller(id))
        assert answer.status_code == 201, answer.text
        return id

    def a_sign_in(self) -> dict[str, Any]:
        known = patroller(self.a_patroller())
        return {"badge": known["badge"], "pin": known["pin"]}

    def a_snapshot(self) -> str:
        url = self.service.admin.get(f"/v1/sites/{HERE}/snapshot").json()["url"]
        return str(url.rpartition("/")[2].removesuffix(".gz"))

    def an_infraction(self) -> str:
        id = new_id()
        answer = self.clients["device"].put(f"/v1/infractions/{id}", json=infraction(PLATE))
        assert answer.status_code == 201, answer.text
        return id

    def an_attachment(self) -> str:
        id = new_id()
        how = {"params": {"site": HERE, "purpose": "proof"}, "content": a_picture()[1]}
        answer = self.service.admin.put(f"/v1/attachments/{id}", **how)
        assert answer.status_code == 201, answer.text
        return id

    def a_code(self) -> str:
        return str(self.service.device(HERE)["enrolment_code"])

    # Subscriptions: free of charge, unless they are of payments.

    def a_product(self) -> dict[str, Any]:
        assert self.office  # there is its category
        return PRODUCT

    def a_product_code(self) -> str:
        return self.office.product("free")

    def a_holder(self) -> str:
        return self.office.holder()

    def a_failed_letter(self) -> dict[str, str]:
        holder = self.a_holder()
        letters = self.office.does("GET", f"holders/{holder}")["letters"]
        return {"id": holder, "letter": letters[0]["id"]}

    def a_request(self) -> str:
        return self.office.subscribe("REQ 123", product="free")

    def a_subscription(self) -> str:
        subscription = self.a_request()
        self.office.approve(subscription)
        return subscription

    def a_vehicle(self) -> dict[str, str]:
        subscription = self.a_subscription()
        (vehicle,) = self.office.vehicles(subscription).values()
        return {"id": subscription, "vehicle": vehicle}

    def a_courtesy_permit(self) -> str:
        id = new_id()
        self.office.does("PUT", f"courtesy-permits/{id}", json=COURTESY)
        return id

    # Payments: of one subscription by card, and one by cheque.

    @functools.cached_property
    def office(self) -> Office:
        office = Office(self.service, site=HERE)
        office.product("free")
        office.product("paid", price_cents=2308)
        return office

    @functools.cached_property
    def by_card(self) -> str:
        """A subscription that was paid by card."""
        payment = {"method": "card"}
        subscription = self.office.subscribe("CRD 123", product="paid", payment=payment)
        page = self.a_page(subscription)
        self.give_card(subscription, page)
        self.office.approve(subscription)
        assert self.service.parts.cashier.charge_due() == 1
        return subscription

    @functools.cached_property
    def by_cheque(self) -> str:
        """A subscription that owes by cheque."""
        subscription = self.office.subscribe("CHQ 123", product="paid")
        parts, method = self.service.parts, PaymentMethod("cheque", cheque=new_id())
        action = Action("command", self.service.clock())
        parts.record.write(
            lambda tx: parts.office.set_payment(tx, subscription, method, action=action)
        )
        self.office.approve(subscription)
        return subscription

    def a_page(self, subscription: str) -> str:
        page = new_id()
        path = f"subscriptions/{subscription}/payment-pages/{page}"
        self.office.does("PUT", path, json={})
        return page

    def give_card(self, subscription: str, page: str) -> None:
        path = f"subscriptions/{subscription}/payment-pages/{page}"
        give_card(self.office.does("GET", path)["url"])
        assert self.office.does("GET", path)["state"] == "completed"

    def the_payment(self, subscription: str) -> dict[str, str]:
        found = self.office.does("GET", f"subscriptions/{subscription}/payments")["items"]
        return {"id": subscription, "payment": found[0]["id"]}


def patroller(id: str) -> dict[str, Any]:
    return {"badge": id[:8], "name": "Marie Tremblay", "pin": "204816"}


def a_picture() -> tuple[str, bytes]:
    """Another one each time."""
    content = picture("#" + uuid.uuid4().hex[:6])
    return hashlib.sha256(content).hexdigest(), content


def photo(world: World) -> Ask:
    sha256, content = a_picture()
    return ask({"content": content, "headers": {"Content-Type": "image/jpeg"}}, sha256=sha256)


def attachment(world: World) -> Ask:
    how = {"params": {"site": HERE, "purpose": "proof"}, "content": a_picture()[1]}
    return ask(how, id=new_id())


def payment_event(world: World, body: bytes = b'{"ticket": "of nobody"}') -> Ask:
    """As the provider signs it."""
    settings = world.service.settings
    timestamp = str(int(world.service.clock().timestamp()))
    signed = signature(settings.payment_webhook_secret, timestamp, body)
    headers = {"Payment-Timestamp": timestamp, "Payment-Signature": signed}
    return ask({"content": body, "headers": headers | {"Content-Type": "application/json"}})


SITE = {"name": "CHUS", "zones": [{"code": "G1"}, {"code": "G2"}]}
STATE = {"app_version": "0.1.0", "unsent": 0, "clock_offset_ms": -120}
EVENT = {"kind": "shift_start", "site": HERE, "at": "2026-11-23T15:15:00Z"}
REVIEW = {"decision": "request_information", "note": "Quelle place ?", "expected_state": "received"}
NOTHING_LISTED = {"as_of": "2026-11-23T15:15:00Z", "count": 0}
REFUND = {"id": "01979dd0-7c1c-7c43-9d14-6f2f2ddbb8a7", "reason": "Payé en double"}
RECEIVED = {"id": "01979dd0-7c1c-7c43-9d14-6f2f2ddbb8a8", "reference": "Chèque 0042"}
PRODUCT = {
    "name": {"fr": "Permis G", "en": "Permit G"},
    "category": "supervisor",
    "price_cents": 0,
    "zones": ["G1"],
}
CATEGORY = {"name": {"fr": "Superviseur de stage", "en": "Internship supervisor"}}
COURTESY = {
    "site": HERE,
    "plate": "LOC 123",
    "zones": ["G1"],
    "reason": "Voiture de courtoisie du garage",
    "expires_at": "2026-11-26T15:15:00Z",
}
APPROVE = {"id": "01979dd0-7c1c-7c43-9d14-6f2f2ddbb8a5", "decision": "approve"}
SUSPEND = {"id": "01979dd0-7c1c-7c43-9d14-6f2f2ddbb8a6", "action": "suspend"}
MESSAGE = {"body": "Je change de voiture."}
TOLD = {"text": "Le P3 est fermé."}
SEEN = {"If-Match": "*"}
HOT = {"plate": PLATE, "reason": "Volé", "priority": "low"}

Row = tuple[str, Callable[[World], Ask]]
# Columns: no key (or a wrong or revoked one), reader, reader elsewhere, feeder, feeder elsewhere,
# admin, admin elsewhere, device, device elsewhere, revoked device, supervisor.
ROWS: dict[str, Row] = {
    # permits and checks
    "checkPlate":          ("401 200 403 200 403 200 403 200 403 401 200",
                            lambda w: ask({"params": {"plate": PLATE, "zone": "G1"}})),
    "pushPlateUpdates":    ("401 403 403 200 403 200 403 403 403 401 403",
                            lambda w: ask({"json": {"updates": [w.permit]}})),
    "reconcilePermits":    ("401 403 403 200 403 200 403 403 403 401 403",
                            lambda w: ask({"params": NOTHING_LISTED,
                                           "headers": {"Content-Type": "application/x-ndjson"}})),
    "getPermit":           ("401 200 403 200 403 200 403 403 403 401 200",
                            lambda w: ask(id="p-1")),
    # sites
    "putSite":             ("401 403 403 403 403 200 403 403 403 401 403",
                            lambda w: ask({"json": SITE})),
    "getSite":             ("401 403 403 403 403 200 403 403 403 401 403",
                            lambda w: ask()),
    "putPatroller":        ("401 403 403 403 403 201 403 403 403 401 403",
                            lambda w: ask({"json": patroller(id := new_id())}, id=id)),
    "deletePatroller":     ("401 403 403 403 403 204 403 403 403 401 403",
                            lambda w: ask(id=w.a_patroller())),
    "putHotlistEntry":     ("401 403 403 403 403 201 403 403 403 401 403",
                            lambda w: ask({"json": HOT}, id=new_id())),
    "deleteHotlistEntry":  ("401 403 403 403 403 204 403 403 403 401 403",
                            lambda w: ask(id=w.an_entry())),
    # sync
    "getSnapshot":         ("401 403 403 403 403 200 403 200 403 401 403",
                            lambda w: ask()),
    "getSnapshotFile":     ("401 403 403 403 403 200 403 200 403 401 403",
                            lambda w: ask(sha256=w.a_snapshot())),
    "getChanges":          ("401 403 403 403 403 200 403 200 403 401 403",
                            lambda w: ask()),
    # devices
    "createDevice":        ("401 403 403 403 403 201 403 403 403 401 403",
                            lambda w: ask({"json": {"name": "Handheld", "sites": [HERE]}})),
    "listDevices":         ("401 403 403 403 403 200 200 403 403 401 403",
                            lambda w: ask()),
    "getDevice":           ("401 403 403 403 403 200 403 403 403 401 403",
                            lambda w: ask(id=w.a_device())),
    "renewEnrolmentCode":  ("401 403 403 403 403 201 403 403 403 401 403",
                            lambda w: ask(id=w.a_device())),
    "revokeDevice":        ("401 403 403 403 403 204 403 403 403 401 403",
                            lambda w: ask(id=w.a_device())),
    "putDeviceState":      ("401 403 403 403 403 403 403 204 204 401 403",
                            lambda w: ask({"json": STATE})),
    "renewToken":          ("401 403 403 403 403 403 403 201 201 401 403",
                            lambda w: ask()),
    "signIn":              ("401 403 403 403 403 403 403 200 403 401 403",
                            lambda w: ask({"json": w.a_sign_in()})),
    "getAuthority":        ("200 200 200 200 200 200 200 200 200 200 200",
                            lambda w: ask()),
    "enrolDevice":         ("201 201 201 201 201 201 201 201 201 201 201",
                            lambda w: ask({"json": {"code": w.a_code()}})),
    # numbers and events
    "putNumberBlock":      ("401 403 403 403 403 403 403 200 403 401 403",
                            lambda w: ask(id=new_id())),
    "listNumberBlocks":    ("401 200 403 403 403 200 403 403 403 401 200",
                            lambda w: ask()),
    "getNumberBlock":      ("401 200 403 403 403 200 403 403 403 401 200",
                            lambda w: ask(id=w.block)),
    "putEvent":            ("401 403 403 403 403 403 403 201 403 201 403",
                            lambda w: ask({"json": EVENT}, id=new_id())),
    "listEvents":          ("401 200 403 403 403 200 403 403 403 401 200",
                            lambda w: ask({"params": {"site": HERE}})),
    # patrols
    "getBriefing":         ("401 403 403 403 403 403 403 200 403 401 403",
                            lambda w: ask()),
    "putPatrolSettings":   ("401 403 403 403 403 200 403 403 403 401 403",
                            lambda w: ask({"json": {}})),
    "getPatrolSettings":   ("401 403 403 403 403 200 403 403 403 401 403",
                            lambda w: ask()),
    "putPatrolMessage":    ("401 403 403 403 403 201 403 403 403 401 403",
                            lambda w: ask({"json": TOLD}, id=new_id())),
    "listPatrolMessages":  ("401 403 403 403 403 200 403 403 403 401 403",
                            lambda w: ask()),
    "deletePatrolMessage": ("401 403 403 403 403 204 403 403 403 401 403",
                            lambda w: ask(id=w.a_patrol_message())),
    # infractions: what a revoked device holds is still taken
    "putInfraction":       ("401 403 403 403 403 403 403 201 403 201 403",
                            lambda w: ask({"json": infraction(PLATE)}, id=new_id())),
    "listInfractions":     ("401 200 403 403 403 200 403 403 403 401 200",
                            lambda w: ask({"params": {"site": HERE}})),
    "getInfraction":       ("401 200 403 403 403 200 403 403 403 401 200",
                            lambda w: ask(id=w.infraction)),
    "reviewInfraction":    ("401 403 403 403 403 201 403 403 403 401 403",
                            lambda w: ask({"json": REVIEW}, id=w.an_infraction())),
    "putPhoto":            ("401 403 403 403 403 403 403 201 201 201 403", photo),
    "getPhoto":            ("401 200 403 403 403 200 403 403 403 401 200",
                            lambda w: ask(sha256=w.photo)),
    # attachments
    "putAttachment":       ("401 403 403 403 403 201 403 403 403 401 403", attachment),
    "getAttachment":       ("401 403 403 403 403 200 403 403 403 401 403",
                            lambda w: ask(id=w.an_attachment())),
    "deleteAttachment":    ("401 403 403 403 403 204 403 403 403 401 403",
                            lambda w: ask(id=w.an_attachment())),
    # products, holders, requests, subscriptions, courtesy permits
    "putCategory":        ("401 403 403 403 403 201 403 403 403 401 403",
                            lambda w: ask({"json": CATEGORY}, code=new_id()[:8])),
    "listCategories":     ("401 403 403 403 403 200 403 403 403 401 403",
                            lambda w: ask({"params": {"site": HERE}})),
    "putProduct":         ("401 403 403 403 403 201 403 403 403 401 403",
                            lambda w: ask({"json": w.a_product()}, code=new_id()[:8])),
    "getProduct":         ("401 403 403 403 403 200 403 403 403 401 403",
                            lambda w: ask(code=w.a_product_code())),
    "listProducts":       ("401 403 403 403 403 200 403 403 403 401 403",
                            lambda w: ask({"params": {"site": HERE}})),
    "putHolder":          ("401 403 403 403 403 201 403 403 403 401 403",
                            lambda w: ask({"json": w.office.person()}, id=new_id())),
    "listHolders":        ("401 403 403 403 403 200 403 403 403 401 403",
                            lambda w: ask({"params": {"site": HERE}})),
    "getHolder":          ("401 403 403 403 403 200 403 403 403 401 403",
                            lambda w: ask(id=w.a_holder())),
    "askToConfirm":       ("401 403 403 403 403 200 403 403 403 401 403",
                            lambda w: ask(id=w.a_holder())),
    "retryLetter":        ("401 403 403 403 403 204 403 403 403 401 403",
                            lambda w: ask(**w.a_failed_letter())),
    "exportHolder":       ("401 403 403 403 403 200 403 403 403 401 403",
                            lambda w: ask(id=w.a_holder())),
    "eraseHolder":        ("401 403 403 403 403 204 403 403 403 401 403",
                            lambda w: ask(id=w.a_holder())),
    "putRequest":         ("401 403 403 403 403 201 403 403 403 401 403",
                            lambda w: ask({"json": w.office.wanted("REQ 123")}, id=new_id())),
    "listRequests":       ("401 403 403 403 403 200 403 403 403 401 403",
                            lambda w: ask({"params": {"site": HERE}})),
    "getRequest":         ("401 403 403 403 403 200 403 403 403 401 403",
                            lambda w: ask(id=w.a_request())),
    "decideRequest":      ("401 403 403 403 403 200 403 403 403 401 403",
                            lambda w: ask({"json": APPROVE, "headers": SEEN}, id=w.a_request())),
    "listSubscriptions":  ("401 403 403 403 403 200 403 403 403 401 403",
                            lambda w: ask({"params": {"site": HERE}})),
    "getSubscription":    ("401 403 403 403 403 200 403 403 403 401 403",
                            lambda w: ask(id=w.a_subscription())),
    "getContract":        ("401 403 403 403 403 200 403 403 403 401 403",
                            lambda w: ask(id=w.a_subscription())),
    "changeSubscription": ("401 403 403 403 403 200 403 403 403 401 403",
                            lambda w: ask({"json": SUSPEND, "headers": SEEN},
                                          id=w.a_subscription())),
    "putVehicle":         ("401 403 403 403 403 200 403 403 403 401 403",
                            lambda w: ask({"json": {"plate": "NEW 123"}, "headers": SEEN},
                                          **w.a_vehicle())),
    "deleteVehicle":      ("401 403 403 403 403 200 403 403 403 401 403",
                            lambda w: ask({"headers": SEEN}, **w.a_vehicle())),
    "putMessage":         ("401 403 403 403 403 201 403 403 403 401 403",
                            lambda w: ask({"json": MESSAGE}, id=w.a_subscription(),
                                          message=new_id())),
    "grantCourtesyPermit": ("401 403 403 403 403 201 403 403 403 401 403",
                            lambda w: ask({"json": COURTESY}, id=new_id())),
    "listCourtesyPermits": ("401 403 403 403 403 200 403 403 403 401 403",
                            lambda w: ask({"params": {"site": HERE}})),
    "getCourtesyPermit":  ("401 403 403 403 403 200 403 403 403 401 403",
                            lambda w: ask(id=w.a_courtesy_permit())),
    "endCourtesyPermit":  ("401 403 403 403 403 200 403 403 403 401 403",
                            lambda w: ask(id=w.a_courtesy_permit())),
    # payments
    "putPaymentPage":      ("401 403 403 403 403 201 403 403 403 401 403",
                            lambda w: ask({"json": {}}, id=w.by_card, page=new_id())),
    "getPaymentPage":      ("401 403 403 403 403 200 403 403 403 401 403",
                            lambda w: ask(id=w.by_card, page=w.a_page(w.by_card))),
    "listPayments":        ("401 403 403 403 403 200 403 403 403 401 403",
                            lambda w: ask(id=w.by_card)),
    "refundPayment":       ("401 403 403 403 403 200 403 403 403 401 403",
                            lambda w: ask({"json": REFUND}, **w.the_payment(w.by_card))),
    "receivePayment":      ("401 403 403 403 403 200 403 403 403 401 403",
                            lambda w: ask({"json": RECEIVED}, **w.the_payment(w.by_cheque))),
    "tellPaymentEvent":    ("204 204 204 204 204 204 204 204 204 204 204", payment_event),
    # operations
    "getMetrics":          ("401 200 200 403 403 200 200 403 403 401 200", lambda w: ask()),
    "listAuditEntries":    ("401 403 403 403 403 200 200 403 403 401 403", lambda w: ask()),
    "isLive":              ("200 200 200 200 200 200 200 200 200 200 200", lambda w: ask()),
    "isReady":             ("200 200 200 200 200 200 200 200 200 200 200", lambda w: ask()),
}  # fmt: skip


@functools.cache
def operations() -> dict[str, tuple[str, str]]:
    """Of each operation in the document: method and path."""
    document = create_app(Settings.load(environment={})).openapi()
    return {
        operation["operationId"]: (method.upper(), path)
        for path, of_path in document["paths"].items()
        for method, operation in of_path.items()
    }
