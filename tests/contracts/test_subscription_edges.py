"""Subscriptions where it is narrow, on both engines."""

from __future__ import annotations

from typing import Any

import pytest

from tests.service import Service
from tests.subscribing import Office, new_id


@pytest.fixture
def office(service: Service) -> Office:
    service.site(zones=["G1", "G2"])
    return Office(service)


def letters(office: Office, subscription: str) -> list[str]:
    return [letter["kind"] for letter in office.get(subscription)["letters"]]


# Refusals


@pytest.mark.parametrize("kind", ["subscription", "category_change", "cancellation"])
def test_holder_is_told_why_a_request_was_refused(office: Office, kind: str) -> None:
    if kind == "subscription":
        request = subscription = office.subscribe()
    else:
        subscription, request = office.subscribed(), new_id()
        wanted: dict[str, Any] = {"kind": kind, "subscription": subscription, "message": "Svp"}
        office.does("PUT", f"requests/{request}", json=wanted)
    office.decide(request, "refuse", reason="La preuve est illisible.")
    expected = {"subscription": "refused", "category_change": "change_refused"}
    told = expected.get(kind, "cancellation_refused")
    assert letters(office, subscription).count(told) == 1
