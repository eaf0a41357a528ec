"""What no engine can keep, in requests about subscriptions: a sentence, and never a 500; on both
engines.
"""

from __future__ import annotations

import pytest

from enforcement_api.shapes import page_cursor
from tests.service import Service
from tests.subscribing import Office, new_id


@pytest.fixture
def office(service: Service) -> Office:
    service.site(zones=["G1", "G2"])
    return Office(service)


FILTERS = {
    "subscriptions": "site status product category holder number plate cursor",
    "requests": "site state kind subscription cursor",
    "holders": "site email q cursor",
    "products": "site category cursor",
    "categories": "site cursor",
    "courtesy-permits": "site plate cursor",
}


def test_filter_with_what_cannot_be_kept_is_answered(office: Office) -> None:
    for path, names in FILTERS.items():
        for name in names.split():
            for value in ("a\0b", "9" * 300):
                answer = office.ask("GET", path, params={name: value})
                assert answer.status_code < 500, (path, name, value)


def test_address_with_what_no_address_has_is_refused(office: Office) -> None:
    for end in "\0", "\x01", "\x7f", '"', ",", ";", "_":
        person = office.person(email=f"a@b.c{end}d")
        answer = office.ask("PUT", f"holders/{new_id()}", json=person)
        assert [error["pointer"] for error in answer.json()["errors"]] == ["/email"]


def test_path_with_what_cannot_be_kept_is_answered(office: Office) -> None:
    for path in ("products/10%0085/5569", "products/1085/55%0069"):
        assert office.ask("GET", path).status_code in (404, 422)


def test_place_in_a_list_beyond_all_numbers_is_answered(office: Office) -> None:
    path = f"subscriptions/{office.subscribe()}/payments"
    answer = office.ask("GET", path, params={"cursor": page_cursor(2**61)})
    assert answer.json()["items"] == []
