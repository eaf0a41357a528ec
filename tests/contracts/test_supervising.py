"""What is told to patrols, as whoever does it: messages."""

from __future__ import annotations

import pytest

from enforcement_api.audit import store as audit
from enforcement_api.patrols import supervising
from enforcement_api.patrols.core import (
    MessageConflict,
    MessageShape,
    UnknownMessage,
)
from enforcement_api.problems import Invalid
from enforcement_api.security import ForbiddenSite, Principal
from enforcement_api.sites.core import UnknownSite
from tests.service import Service, new_id

ANN = Principal(id="ann", role="admin", name="Ann", source="ann", sites=frozenset({"1085"}))
BOB = Principal(id="bob", role="admin", name="Bob", source="bob", sites=frozenset({"2000"}))


@pytest.fixture(autouse=True)
def site(service: Service) -> None:
    service.site()


def logged(service: Service, subject: str) -> list[tuple[str, str]]:
    found = service.parts.record.read(lambda tx: audit.entries(tx, subject, site="1085"))
    return [(entry.by, entry.action) for entry in found]


def test_message_is_sent_once_listed_with_who_read_it_and_withdrawn(service: Service) -> None:
    record, at, id = service.parts.record, service.clock.at, new_id()
    wanted = MessageShape(text="Le P3 est fermé.")
    assert supervising.send(record, "1085", id, wanted, by=ANN, at=at)[1]
    assert not supervising.send(record, "1085", id, wanted, by=ANN, at=at)[1]
    with pytest.raises(MessageConflict):
        supervising.send(record, "1085", id, MessageShape(text="Autre"), by=ANN, at=at)
    device = service.device_client()
    event = {"kind": "message_read", "site": "1085", "at": "2026-11-23T15:15:00Z", "message": id}
    device.put(f"/v1/events/{new_id()}", json=event).raise_for_status()
    (told,) = record.read(lambda tx: supervising.messages(tx, "1085", limit=50))
    assert (told.message.by, told.message.by_name) == (ANN.actor, "Ann")
    assert len(told.read) == 1
    supervising.withdraw(record, "1085", id, by=ANN, at=at)
    with pytest.raises(UnknownMessage):
        supervising.withdraw(record, "1085", id, by=ANN, at=at)
    assert logged(service, f"message:{id}") == [(ANN.actor, "sent"), (ANN.actor, "deleted")]


def test_message_to_nobody_of_the_site_is_refused(service: Service) -> None:
    record, at = service.parts.record, service.clock.at
    for whom in ({"to_device": "x"}, {"to_patroller": "paul"}):
        wanted = MessageShape.model_validate({"text": "x"} | whom)
        with pytest.raises(Invalid):
            supervising.send(record, "1085", new_id(), wanted, by=ANN, at=at)


def test_nothing_is_told_at_a_site_that_is_another_s_or_not_there(service: Service) -> None:
    record, at = service.parts.record, service.clock.at
    with pytest.raises(ForbiddenSite):
        supervising.send(record, "1085", new_id(), MessageShape(text="x"), by=BOB, at=at)
    with pytest.raises(ForbiddenSite):
        supervising.withdraw(record, "1085", new_id(), by=BOB, at=at)
    with pytest.raises(UnknownSite):
        supervising.send(record, "2000", new_id(), MessageShape(text="x"), by=BOB, at=at)
