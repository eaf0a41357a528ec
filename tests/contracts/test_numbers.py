"""Notice numbers: given to devices in blocks, never twice, every one accounted for."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from enforcement_api.database.engine import Record
from enforcement_api.database.tables import number_series
from enforcement_api.devices import numbers
from tests.paging import turns
from tests.service import NOW, Service, infraction, new_id, running

BLOCKS = "/v1/sites/1085/number-blocks"


@pytest.fixture
def service(tmp_path: Path, database_url: str | None) -> Iterator[Service]:
    with running(tmp_path, database_url=database_url, numbers_in_a_block=5) as service:
        service.site()
        yield service


def ask(device: httpx.Client, id: str | None = None, *, site: str = "1085") -> dict[str, Any]:
    answer = device.put(f"/v1/sites/{site}/number-blocks/{id or new_id()}")
    assert answer.status_code == 200, answer.text
    block: dict[str, Any] = answer.json()
    return block


def issue(device: httpx.Client, number: str) -> list[str]:
    """Hand over a notice with this number; the warnings."""
    answer = device.put(f"/v1/infractions/{new_id()}", json=infraction(number=number))
    assert answer.status_code == 201, answer.text
    warnings: list[str] = answer.json()["warnings"]
    return [warning for warning in warnings if "number" in warning]


def spoil(device: httpx.Client, number: Any, *, kind: str = "number_spoiled") -> None:
    event = {"kind": kind, "site": "1085", "at": "2026-11-23T15:15:00Z", "number": number}
    assert device.put(f"/v1/events/{new_id()}", json=event).status_code == 201


def test_blocks_follow_each_other_and_tell_the_site(service: Service) -> None:
    service.site("2000")
    one, other = service.device_client(), service.device_client()
    assert ask(one) == {"prefix": "1085-", "first": 1, "last": 5}
    assert ask(other) == {"prefix": "1085-", "first": 6, "last": 10}
    assert ask(one) == {"prefix": "1085-", "first": 11, "last": 15}
    elsewhere = service.device_client("2000")
    assert ask(elsewhere, site="2000") == {"prefix": "2000-", "first": 1, "last": 5}


def test_same_id_gets_the_same_block_again(service: Service) -> None:
    device, id = service.device_client(), new_id()
    first = ask(device, id)
    ask(device)
    assert ask(device, id) == ask(device, id.upper()) == first


def test_block_of_another_device_is_refused(service: Service) -> None:
    id = new_id()
    ask(service.device_client(), id)
    answer = service.device_client().put(f"{BLOCKS}/{id}")
    assert answer.status_code == 409
    assert answer.json()["type"] == "/problems/block-of-another-device"


def test_revoked_device_gets_no_numbers(service: Service) -> None:
    handheld = service.handheld()
    device = service.client(handheld.token)
    ask(device)
    service.admin.delete(f"/v1/devices/{handheld.id}")
    answer = device.put(f"{BLOCKS}/{new_id()}")
    assert answer.json()["type"] == "/problems/device-revoked"


def test_device_with_many_unused_numbers_gets_no_more_for_now(service: Service) -> None:
    device, other = service.device_client(), service.device_client()
    for _ in range(10):
        block = ask(device)
    answer = device.put(f"{BLOCKS}/{new_id()}")
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/enough-numbers")
    assert ask(other)["first"] == block["last"] + 1
    issue(device, f"1085-{block['last']}")
    assert ask(device)["last"] == block["last"] + 10
    assert device.put(f"{BLOCKS}/{new_id()}").status_code == 409
    service.clock.advance(days=1)
    ask(device)


@pytest.mark.parametrize("id", ["7", "x" * 36, "0" * 32, "{" + "0" * 34 + "}"])
def test_id_that_is_no_uuid_is_refused(service: Service, id: str) -> None:
    answer = service.device_client().put(f"{BLOCKS}/{id}")
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/path/id")


def test_blocks_asked_for_at_once_never_overlap(record: Record) -> None:
    """Eight threads, each block asked for twice, a series that nobody has begun."""
    ids = [new_id() for _ in range(40)]

    def give(id: str) -> tuple[int, int]:
        block = record.write(lambda tx: numbers.give(tx, "1085", id, device=id[:4], size=7, at=NOW))
        return block.first, block.last

    with ThreadPoolExecutor(8) as pool:
        given = list(pool.map(give, ids + ids[::-1]))
    assert given[: len(ids)] == given[len(ids) :][::-1]
    every = sorted(n for first, last in given[: len(ids)] for n in range(first, last + 1))
    assert every == list(range(1, 7 * len(ids) + 1))


def test_every_number_is_issued_spoiled_or_unused(service: Service) -> None:
    device, other, id = service.device_client(), service.device_client(), new_id()
    ask(device, id)
    ask(other)
    assert issue(device, "1085-1") == []
    assert issue(device, "1085-2") == []
    spoil(device, "1085-2")  # printed badly: issued, then told
    spoil(device, "1085-3")
    spoil(other, "1085-4")  # not its number
    spoil(device, "1085-5", kind="number_seen")
    for no_number in (None, 5, {"a": 1}, "1085-999"):
        spoil(device, no_number)
    whole = service.reader.get(f"{BLOCKS}/{id}").json()
    assert whole["issued"] == ["1085-1"]
    assert whole["spoiled"] == ["1085-2", "1085-3"]
    assert whole["unused"] == ["1085-4", "1085-5"]
    items = service.reader.get(BLOCKS).json()["items"]
    assert [(b["first"], b["issued"], b["spoiled"], b["unused"]) for b in items] == [
        (6, 0, 0, 5),
        (1, 1, 2, 2),
    ]
    assert items[1] == whole | {"issued": 1, "spoiled": 2, "unused": 2}


def test_list_comes_in_pages_and_by_device(service: Service) -> None:
    device, other = service.handheld(), service.device_client()
    for i in range(3):
        ask(service.client(device.token))
        ask(other)
        service.clock.advance(seconds=i)
    seen, cursor = [], None
    for _ in turns():
        page = service.reader.get(
            BLOCKS, params={"limit": 2} | ({"cursor": cursor} if cursor else {})
        )
        seen += [item["first"] for item in page.json()["items"]]
        cursor = page.json()["next_cursor"]
        if cursor is None:
            break
    assert seen == [26, 21, 16, 11, 6, 1]
    theirs = service.reader.get(BLOCKS, params={"device": device.id}).json()["items"]
    assert [item["first"] for item in theirs] == [21, 11, 1]
    assert service.reader.get(BLOCKS, params={"device": "\0"}).json()["items"] == []


def test_what_is_not_there_is_told(service: Service) -> None:
    for path, slug in (
        (f"{BLOCKS}/{new_id()}", "unknown-number-block"),
        ("/v1/sites/9999/number-blocks", "unknown-site"),
        (f"/v1/sites/9999/number-blocks/{new_id()}", "unknown-site"),
    ):
        answer = service.reader.get(path)
        assert (answer.status_code, answer.json()["type"]) == (404, f"/problems/{slug}")


def test_infraction_is_flagged_for_a_number_that_is_not_its_devices(service: Service) -> None:
    device, other = service.device_client(), service.device_client()
    ask(device)
    assert issue(device, "1085-5") == []
    assert issue(device, "1085-6") == ["unknown-number"]
    assert issue(other, "1085-4") == ["number-of-another-device"]
    assert issue(other, "1085-4") == ["number-of-another-device", "number-used-twice"]
    for no_number in ("1085-0", "1085-01", "1085-+1", "1", "2000-1", "-1", "1085-" + "9" * 60, "é"):
        assert issue(device, no_number) == ["unknown-number"]


# After a restore: numbers that a lost record may have given


@pytest.fixture
def forgetful(service: Service) -> Service:
    """A service whose record gave the numbers 1 to 5, and was moved ahead to 101 by a restore."""
    ask(service.device_client())
    series = number_series.c
    ahead = sa.update(number_series).where(series.site == "1085").values(next=101)
    service.parts.record.write(lambda tx: tx.execute(ahead))
    return service


def accounts(service: Service, device: str) -> list[tuple[int, int, int, int, int]]:
    """The blocks of a device: first, last, how many numbers are issued, spoiled, unused."""
    items = service.reader.get(BLOCKS, params={"device": device}).json()["items"]
    return sorted((b["first"], b["last"], b["issued"], b["spoiled"], b["unused"]) for b in items)


def test_number_that_a_restore_left_out_is_its_who_shows_it_first(forgetful: Service) -> None:
    handheld, other = forgetful.handheld(), forgetful.device_client()
    device = forgetful.client(handheld.token)
    assert issue(device, "1085-6") == []
    assert issue(device, "1085-100") == []
    assert accounts(forgetful, handheld.id) == [(6, 6, 1, 0, 0), (100, 100, 1, 0, 0)]
    assert issue(other, "1085-6") == ["number-of-another-device", "number-used-twice"]
    assert issue(device, "1085-100") == ["number-used-twice"]
    assert ask(device)["first"] == 101


def test_number_that_a_restore_left_out_may_be_told_spoiled(forgetful: Service) -> None:
    handheld = forgetful.handheld()
    device = forgetful.client(handheld.token)
    spoil(device, "1085-7")
    assert issue(device, "1085-8") == []
    spoil(device, "1085-8")
    spoil(device, "1085-9", kind="number_seen")
    assert accounts(forgetful, handheld.id) == [(7, 7, 0, 1, 0), (8, 8, 0, 1, 0)]


def test_number_that_was_never_given_is_nobodys_after_a_restore_either(forgetful: Service) -> None:
    device = forgetful.device_client()
    for number in ("1085-0", "1085-101", "1085-007", "2000-7", "7"):
        assert issue(device, number) == ["unknown-number"]


def test_number_shown_by_many_at_once_is_one_devices(record: Record) -> None:
    record.write(lambda tx: numbers.give(tx, "1085", new_id(), device="first", size=5, at=NOW))
    record.write(lambda tx: tx.execute(sa.update(number_series).values(next=101)))

    def claim(device: str) -> str:
        found = record.write(lambda tx: numbers.claim(tx, "1085", "1085-50", device=device, at=NOW))
        assert found is not None
        return found.device

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(claim, map(str, range(40))))) == 1


def test_block_is_in_the_log_of_its_site(service: Service) -> None:
    from enforcement_api.audit import store as audit

    handheld, id = service.handheld(), new_id()
    for _ in range(2):
        ask(service.client(handheld.token), id)
    (entry,) = service.parts.record.read(
        lambda tx: audit.entries(tx, f"device:{handheld.id}", site="1085")
    )
    assert (entry.action, entry.facts["first"], entry.facts["last"]) == ("numbers-given", 1, 5)
