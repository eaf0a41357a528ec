"""Sign-ins: a badge and its PIN, guessed slowly, and no PIN written down anywhere."""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from enforcement_api.audit import store as audit
from tests.service import Service

PIN, WRONG = "806213", "111111"


@pytest.fixture
def patrolled(service: Service) -> Service:
    """A site with one patroller."""
    service.site()
    patroller(service)
    return service


def patroller(service: Service, site: str = "1085", **facts: Any) -> None:
    body = {"badge": "4217", "name": "Marie Tremblay", "pin": PIN} | facts
    id = body.pop("id", "marie")
    service.admin.put(f"/v1/sites/{site}/patrollers/{id}", json=body).raise_for_status()


def sign_in(device: httpx.Client, badge: str = "4217", pin: str = PIN) -> httpx.Response:
    return device.post("/v1/sign-ins", json={"badge": badge, "pin": pin})


def refused(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    return str(answer.json()["type"])


def test_badge_and_pin_let_a_patroller_in_for_a_month(patrolled: Service) -> None:
    answer = sign_in(patrolled.device_client())
    assert answer.status_code == 200
    assert answer.json() == {
        "patroller": "marie",
        "name": "Marie Tremblay",
        "badge": "4217",
        "site": "1085",
        "offline_until": "2026-12-23T15:15:00Z",
    }


def test_wrong_pin_and_unknown_badge_are_told_alike(patrolled: Service) -> None:
    device = patrolled.device_client()
    wrong, unknown = sign_in(device, pin=WRONG), sign_in(device, badge="9999")
    assert refused(wrong, 403) == refused(unknown, 403) == "/problems/sign-in-refused"
    assert wrong.json() == unknown.json()


def test_unknown_badge_takes_as_long_as_a_wrong_pin(patrolled: Service) -> None:
    """In CPU time of this process, which does all the work; the medians of five each."""
    took: dict[str, list[float]] = {"4217": [], "9999": []}
    for _ in range(5):
        for badge, times in took.items():
            device = patrolled.device_client()
            patrolled.clock.advance(days=1)
            began = time.process_time()
            assert sign_in(device, badge, WRONG).status_code == 403
            times.append(time.process_time() - began)
    known, unknown = (statistics.median(times) for times in took.values())
    assert 0.5 < known / unknown < 2


def test_patroller_of_another_site_is_unknown(patrolled: Service) -> None:
    patrolled.site("2000")
    assert sign_in(patrolled.device_client("2000")).status_code == 403
    patroller(patrolled, "2000", id="paul", name="Paul Roy", pin="700700")
    code = patrolled.device("1085", "2000")["enrolment_code"]
    token = patrolled.client(None).post("/v1/enrolments", json={"code": code}).json()["token"]
    both = patrolled.client(token)
    assert sign_in(both).json()["site"] == "1085"
    assert sign_in(both, pin="700700").json()["patroller"] == "paul"


def test_removed_patroller_and_old_pin_are_refused(patrolled: Service) -> None:
    device = patrolled.device_client()
    patroller(patrolled, pin="700700")
    assert sign_in(device).status_code == 403
    assert sign_in(device, pin="700700").status_code == 200
    patrolled.admin.delete("/v1/sites/1085/patrollers/marie")
    assert sign_in(device, pin="700700").status_code == 403


def test_failures_with_one_badge_make_waits_that_grow(patrolled: Service) -> None:
    """From whatever device; the right PIN has to wait as well."""
    waits = []
    for _ in range(25):
        answer = sign_in(patrolled.device_client(), pin=WRONG)
        if answer.status_code == 429:
            assert answer.json()["type"] == "/problems/too-many-sign-ins"
            waits.append(int(answer.headers["retry-after"]))
            assert sign_in(patrolled.device_client()).status_code == 429
            patrolled.clock.advance(seconds=waits[-1])
    assert waits == [60, 840, 60, 85_440]
    assert sign_in(patrolled.device_client()).status_code == 200


def test_a_new_pin_lets_in_a_patroller_who_guessed_at_the_old_one(patrolled: Service) -> None:
    for _ in range(5):
        assert sign_in(patrolled.device_client(), pin=WRONG).status_code == 403
    device = patrolled.device_client()
    assert sign_in(device).status_code == 429
    patroller(patrolled, pin="731846")
    assert sign_in(device, pin="731846").status_code == 200
    for _ in range(5):
        assert sign_in(device, pin=PIN).status_code == 403
    assert sign_in(device, pin="731846").status_code == 429


def test_failures_of_one_device_are_counted_over_all_badges(patrolled: Service) -> None:
    device = patrolled.device_client()
    statuses = [sign_in(device, badge=f"{n}", pin=WRONG).status_code for n in range(11)]
    assert statuses == [403] * 10 + [429]
    assert sign_in(device).status_code == 429
    assert sign_in(patrolled.device_client()).status_code == 200


def test_success_does_not_count_and_forgives_nothing(patrolled: Service) -> None:
    device = patrolled.device_client()
    for _ in range(12):
        assert sign_in(device).status_code == 200
    for _ in range(4):
        assert sign_in(device, pin=WRONG).status_code == 403
    assert sign_in(device).status_code == 200
    assert sign_in(device, pin=WRONG).status_code == 403
    assert sign_in(device).status_code == 429


def test_guesses_made_at_once_are_limited_too(patrolled: Service) -> None:
    device = patrolled.device_client()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: sign_in(device, pin=WRONG).status_code, range(8)))
    assert sorted(answers) == [403] * 5 + [429] * 3


def test_log_tells_who_came_in_who_failed_and_who_was_locked_out(patrolled: Service) -> None:
    handheld = patrolled.handheld()
    device = patrolled.client(handheld.token)
    sign_in(device)
    for _ in range(7):
        sign_in(device, pin=WRONG)
    sign_in(device, badge=WRONG)  # a PIN typed where the badge goes

    def log(subject: str) -> list[Any]:
        return patrolled.parts.record.read(lambda tx: audit.entries(tx, subject, site="1085"))

    created, *entries = log("patroller:marie")
    assert created.action == "created"
    assert {entry.by for entry in entries} == {f"device:{handheld.id}"}
    actions = [entry.action for entry in entries]
    assert actions == ["signed-in", *["sign-in-refused"] * 5, "sign-in-locked"]
    assert entries[-1].facts == {"seconds": 60}
    unknown = log(f"device:{handheld.id}")
    assert [entry.action for entry in unknown] == ["sign-in-refused"]
    assert not [pin for pin in (PIN, WRONG) if pin in repr([created, *entries, *unknown])]


@pytest.mark.parametrize(
    ("badge", "pin", "pointer"),
    [
        ("", PIN, "/badge"),
        ("a b", PIN, "/badge"),
        ("\0", PIN, "/badge"),
        ("4217", "", "/pin"),
        ("4217", "12345", "/pin"),
        ("4217", "１２３４５６", "/pin"),
    ],
)
def test_unusable_sign_in_is_refused_named_and_not_repeated(
    patrolled: Service, badge: str, pin: str, pointer: str
) -> None:
    answer = sign_in(patrolled.device_client(), badge, pin)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert not pin or pin not in answer.text


def test_only_a_device_signs_anybody_in(patrolled: Service) -> None:
    assert sign_in(patrolled.client(None)).status_code == 401
    assert sign_in(patrolled.admin).status_code == 403
    handheld = patrolled.handheld()
    patrolled.admin.delete(f"/v1/devices/{handheld.id}")
    answer = sign_in(patrolled.client(handheld.token))
    assert refused(answer, 401) == "/problems/device-revoked"
