"""What is told to patrols, as whoever does it: settings that are not overwritten, messages."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from enforcement_api.audit import store as audit
from enforcement_api.patrols import store, supervising
from enforcement_api.patrols.core import (
    MessageConflict,
    MessageShape,
    PatrolSettings,
    SettingsChanged,
    SettingsShape,
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


def lasting(minutes: int) -> PatrolSettings:
    return PatrolSettings(settings=SettingsShape(void_minutes=minutes))


def put(
    service: Service, wanted: PatrolSettings, expected: str | None = None, by: Principal = ANN
) -> PatrolSettings:
    record, at = service.parts.record, service.clock.at
    return supervising.put_settings(record, "1085", wanted, by=by, at=at, expected=expected)


def settings(service: Service) -> PatrolSettings:
    return service.parts.record.read(lambda tx: store.settings(tx, "1085"))


def logged(service: Service, subject: str) -> list[tuple[str, str]]:
    found = service.parts.record.read(lambda tx: audit.entries(tx, subject, site="1085"))
    return [(entry.by, entry.action) for entry in found]


def test_settings_that_somebody_changed_meanwhile_are_not_overwritten(service: Service) -> None:
    seen = settings(service).version
    put(service, lasting(5), seen)
    with pytest.raises(SettingsChanged) as refused:
        put(service, lasting(7), seen)
    assert refused.value.extra["now"]["settings"]["void_minutes"] == 5
    assert settings(service) == lasting(5)
    put(service, lasting(7), settings(service).version)
    assert settings(service) == lasting(7)
    assert logged(service, "patrol-settings:1085") == [(ANN.actor, "replaced")] * 2


def test_of_two_at_once_one_is_told(service: Service) -> None:
    seen = settings(service).version

    def change(minutes: int) -> bool:
        try:
            put(service, lasting(minutes), seen)
        except SettingsChanged:
            return False
        return True

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(change, range(1, 5))) == 1


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
        put(service, lasting(1), by=BOB)
    with pytest.raises(ForbiddenSite):
        supervising.send(record, "1085", new_id(), MessageShape(text="x"), by=BOB, at=at)
    with pytest.raises(ForbiddenSite):
        supervising.withdraw(record, "1085", new_id(), by=BOB, at=at)
    with pytest.raises(UnknownSite):
        supervising.send(record, "2000", new_id(), MessageShape(text="x"), by=BOB, at=at)
