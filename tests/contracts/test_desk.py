"""What staff do with subscriptions, as whoever of them: with the same checks as over HTTP."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from enforcement_api.audit import store as audit
from enforcement_api.problems import Invalid
from enforcement_api.security import ForbiddenSite, Principal
from enforcement_api.subscriptions import store
from enforcement_api.subscriptions.core import Subscription
from enforcement_api.subscriptions.courtesy import CourtesyPermit, UnknownCourtesyPermit
from enforcement_api.subscriptions.desk import Desk
from enforcement_api.subscriptions.office import AlreadyDecided
from enforcement_api.subscriptions.shapes import (
    ActionShape,
    CourtesyShape,
    DecisionShape,
    VehicleShape,
)
from enforcement_api.subscriptions.store import LostUpdate, UnknownRequest
from tests.service import NOW, Service, new_id, picture
from tests.subscribing import Office

ANN = Principal(id="ann", role="admin", name="Ann", source="ann", sites=frozenset({"1085"}))
BOB = Principal(id="bob", role="admin", name="Bob", source="bob", sites=frozenset({"2000"}))
HOW: dict[str, Any] = {"by": ANN, "at": NOW}


@pytest.fixture
def office(service: Service) -> Office:
    service.site()
    return Office(service)


@pytest.fixture
def desk(service: Service) -> Desk:
    return service.parts.desk


def decision(decision: str = "approve", **more: Any) -> DecisionShape:
    return DecisionShape.model_validate({"id": new_id(), "decision": decision} | more)


def action(action: str, **more: Any) -> ActionShape:
    return ActionShape.model_validate({"id": new_id(), "action": action} | more)


def loan_car(**more: Any) -> CourtesyShape:
    shape = {
        "site": "1085",
        "plate": "LOC 123",
        "zones": ["G1"],
        "reason": "Voiture de courtoisie",
        "expires_at": NOW + timedelta(days=2),
    }
    return CourtesyShape.model_validate(shape | more)


def test_request_is_decided_once_by_whom_the_log_names(office: Office, desk: Desk) -> None:
    id, wanted = office.subscribe("ABC 123"), decision()
    decided = desk.decide(id, wanted, expected=1, **HOW)
    assert (decided.state, decided.decided_by) == ("approved", ANN.actor)
    assert office.service.verdict("ABC 123") == "pending_activation"  # the index is level
    assert desk.decide(id, wanted, expected=1, **HOW) == decided
    with pytest.raises(AlreadyDecided):
        desk.decide(id, decision("refuse", reason="Non"), expected=None, **HOW)
    whole = office.service.parts.record.read(lambda tx: desk.request(tx, id, by=ANN))
    assert [event["by"] for event in whole["history"]][-1] == ANN.actor
    assert whole == office.does("GET", f"requests/{id}")


def test_refusal_needs_a_reason_and_a_look_at_what_there_is(office: Office, desk: Desk) -> None:
    id = office.subscribe("ABC 123")
    with pytest.raises(Invalid):
        desk.decide(id, decision("refuse"), expected=1, **HOW)
    with pytest.raises(LostUpdate):
        desk.decide(id, decision("refuse", reason="Non"), expected=7, **HOW)
    assert desk.decide(id, decision("refuse", reason="Non"), expected=1, **HOW).reason == "Non"
    with pytest.raises(UnknownRequest):
        desk.decide(new_id(), decision(), expected=None, **HOW)


def test_subscription_is_suspended_and_shown_as_over_http(office: Office, desk: Desk) -> None:
    id = office.subscribed("ABC 123")
    done = desk.act(id, action("suspend", reason="Impayé"), expected=None, **HOW)
    assert done["status"] == "suspended"
    assert office.service.verdict("ABC 123") == "suspended"
    with pytest.raises(LostUpdate):
        desk.act(id, action("resume"), expected=done["version"] - 1, **HOW)
    whole = office.service.parts.record.read(lambda tx: desk.subscription(tx, id, by=ANN, at=NOW))
    assert whole == office.get(id)
    with pytest.raises(Invalid):
        desk.act(id, action("change_product"), expected=None, **HOW)


def test_vehicles_are_put_and_deleted(office: Office, desk: Desk) -> None:
    id, vehicle = office.subscribed("ABC 123"), new_id()
    shape = VehicleShape(plate="XYZ 789", colour="bleu")
    done = desk.put_vehicle(id, vehicle, shape, expected=None, **HOW)
    assert [each["plate"] for each in done["vehicles"]] == ["ABC123", "XYZ789"]
    assert office.service.verdict("XYZ 789") == "pending_activation"
    desk.delete_vehicle(id, vehicle, expected=None, **HOW)
    assert office.service.verdict("XYZ 789") == "cancelled"


def test_plate_is_let_in_at_once_and_no_more_when_that_ends(office: Office, desk: Desk) -> None:
    id = new_id()
    granted, is_new = desk.grant_courtesy(id, loan_car(), **HOW)
    assert (is_new, granted.granted_by) == (True, ANN.actor)
    assert not desk.grant_courtesy(id, loan_car(), **HOW)[1]
    assert office.service.verdict("LOC 123") == "valid"
    assert desk.end_courtesy(id, **HOW).ended_at == NOW
    assert office.service.verdict("LOC 123") == "cancelled"
    with pytest.raises(UnknownCourtesyPermit):
        desk.end_courtesy(new_id(), **HOW)
    with pytest.raises(Invalid):
        desk.grant_courtesy(new_id(), loan_car(expires_at=NOW + timedelta(days=8)), **HOW)


def test_what_is_behind_a_permit_is_found_from_its_id(office: Office, desk: Desk) -> None:
    subscription, lent = office.subscribed("ABC 123"), new_id()
    desk.grant_courtesy(lent, loan_car(), **HOW)
    (vehicle,) = office.get(subscription)["vehicles"]
    office.service.permit("XYZ789", id="subscription-1-1")

    def behind(permit: str, by: Principal = ANN) -> Subscription | CourtesyPermit | None:
        record = office.service.parts.record
        return record.read(lambda tx: desk.behind(tx, "1085", permit, by=by))

    for id in (vehicle["permit"], vehicle["permit"] + "~1"):
        found = behind(id)
        assert isinstance(found, Subscription)
        assert found.id == subscription
    lent_out = behind(f"courtesy-{lent}")
    assert isinstance(lent_out, CourtesyPermit)
    assert lent_out.id == lent
    for id in ("subscription-1-1", "subscription-", "courtesy-", "permit-7", ""):
        assert behind(id) is None
    with pytest.raises(ForbiddenSite):
        behind(vehicle["permit"], by=BOB)


def attached(office: Office, purpose: str) -> str:
    id = new_id()
    query = {"site": "1085", "purpose": purpose, "name": "photo.jpg"}
    office.client.put(f"/v1/attachments/{id}", params=query, content=picture()).raise_for_status()
    return id


def test_reading_a_void_cheque_is_written_down_and_a_proof_is_not(
    office: Office, desk: Desk
) -> None:
    cheque, proof = attached(office, "cheque"), attached(office, "proof")
    for id in (cheque, proof):
        file, content = desk.read_file(id, **HOW)
        assert file.bytes == len(content)

    def read_by(id: str) -> list[str]:
        subject = f"attachment:{id}"
        log = office.service.parts.record.read(lambda tx: audit.entries(tx, subject, site="1085"))
        return [entry.by for entry in log if entry.action == "attachment-read"]

    assert (read_by(cheque), read_by(proof)) == ([ANN.actor], [])
    desk.remove_file(proof, **HOW)
    assert office.ask("GET", f"attachments/{proof}").status_code == 404


def test_nothing_is_done_at_a_site_that_is_another_s(office: Office, desk: Desk) -> None:
    request, subscription = office.subscribe("ABC 123"), office.subscribed("XYZ 789")
    lent, file = new_id(), attached(office, "proof")
    desk.grant_courtesy(lent, loan_car(), **HOW)
    how: dict[str, Any] = {"by": BOB, "at": NOW}
    free: dict[str, Any] = how | {"expected": None}
    record = office.service.parts.record
    attempts = [
        lambda: desk.decide(request, decision(), **free),
        lambda: record.read(lambda tx: desk.request(tx, request, by=BOB)),
        lambda: record.read(lambda tx: desk.subscription(tx, subscription, **how)),
        lambda: desk.act(subscription, action("suspend"), **free),
        lambda: desk.put_vehicle(subscription, new_id(), VehicleShape(plate="A 1"), **free),
        lambda: desk.delete_vehicle(subscription, new_id(), **free),
        lambda: desk.grant_courtesy(new_id(), loan_car(), **how),
        lambda: desk.end_courtesy(lent, **how),
        lambda: desk.read_file(file, **how),
        lambda: desk.remove_file(file, **how),
    ]
    for attempt in attempts:
        with pytest.raises(ForbiddenSite):
            attempt()
    found = record.read(lambda tx: store.request(tx, request))
    assert found.state == "submitted"
