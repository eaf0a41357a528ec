"""Who may sign in on a handheld without the service (DOMAIN 6): histories, and what is kept."""

from __future__ import annotations

import json
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handheld_app import staff as staff_module
from handheld_app.signing_in import (
    MOST_FAILURES,
    SHIFT,
    Cost,
    Verifier,
    is_good,
    is_pin,
    matches,
    new_verifier,
    signed_in,
    tried,
    trying,
)
from handheld_app.staff import NotKnownHere, StaffFile, WrongPin
from sync.messages import SignIn

CHEAP = Cost(n=2, r=1, p=1)
NOW = datetime(2026, 11, 24, 15, tzinfo=UTC)
MONTH = timedelta(days=30)
RIGHT, WRONG = "204816", "204817"


def marie(*, until: datetime = NOW + MONTH) -> SignIn:
    return SignIn("marie", until, "Marie Tremblay")


def staff(path: Path, *, until: datetime = NOW + MONTH) -> StaffFile:
    """A device on which Marie, badge 417, has signed in on line."""
    file = StaffFile(path / "staff.json", cost=CHEAP)
    file.remember("417", RIGHT, marie(until=until), at=NOW)
    return file


# the rule


@given(st.lists(st.sampled_from(["right", "wrong", "killed"]), max_size=60))
def test_ten_failures_in_a_row_and_no_fewer_take_the_verifier_away(history: list[str]) -> None:
    verifier: Verifier | None = new_verifier("417", RIGHT, marie(), salt=b"s", cost=CHEAP)
    in_a_row = 0
    for attempt in history:
        if verifier is None or not is_good(verifier, at=NOW):
            break
        verifier = trying(verifier)
        if attempt == "killed":
            in_a_row += 1  # before the answer could be shown
            continue
        verifier = tried(verifier, right=attempt == "right")
        in_a_row = 0 if attempt == "right" else in_a_row + 1
    usable = verifier is not None and is_good(verifier, at=NOW)
    assert usable == (in_a_row < MOST_FAILURES)
    assert in_a_row <= MOST_FAILURES


@given(
    st.timedeltas(min_value=timedelta(days=-1), max_value=2 * MONTH),
    st.timedeltas(min_value=timedelta(0), max_value=2 * MONTH),
)
def test_nobody_is_signed_in_past_what_the_service_said(
    asked: timedelta, granted: timedelta
) -> None:
    until = (NOW + granted).replace(microsecond=0)
    verifier = new_verifier("417", RIGHT, marie(until=until), salt=b"s", cost=CHEAP)
    at = NOW + asked
    assert is_good(verifier, at=at) == (at < until)
    assert signed_in(verifier, at=at, unconfirmed=True).until <= min(until, at + SHIFT)


@settings(max_examples=50)
@given(st.from_regex(r"[0-9]{6}", fullmatch=True), st.from_regex(r"[0-9]{6}", fullmatch=True))
def test_only_the_pin_itself_matches(pin: str, other: str) -> None:
    verifier = new_verifier("417", pin, marie(), salt=b"s", cost=CHEAP)
    assert matches(verifier, pin)
    assert matches(verifier, other) == (pin == other)


@pytest.mark.parametrize(
    "text", ["", "12345", "1234567", "12345a", "１２３４５６", "12 456", "-12345"]
)
def test_a_pin_has_six_digits(text: str) -> None:
    assert not is_pin(text)
    assert is_pin("012345")


def test_what_a_try_takes_is_kept_with_the_verifier() -> None:
    verifier = new_verifier("417", RIGHT, marie(), salt=b"s", cost=Cost(n=4, r=2, p=3))
    kept = Verifier.from_json(json.loads(json.dumps(verifier.as_json())))
    assert kept == verifier
    assert matches(kept, RIGHT)


def test_a_new_verifier_takes_megabytes_to_try() -> None:
    cost = Cost()
    assert 128 * cost.n * cost.r >= 32 * 1024 * 1024
    assert matches(new_verifier("417", RIGHT, marie(), salt=b"s", cost=cost), RIGHT)


# the file


def test_who_signed_in_on_line_signs_in_again_without_the_service(tmp_path: Path) -> None:
    staff(tmp_path)
    again = StaffFile(tmp_path / "staff.json")
    who = again.sign_in("417", RIGHT, at=NOW + timedelta(days=29))
    assert (who.patroller, who.name, who.badge) == ("marie", "Marie Tremblay", "417")


def test_the_file_is_for_its_owner_only_and_tells_no_pin(tmp_path: Path) -> None:
    staff(tmp_path)
    path = tmp_path / "staff.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert RIGHT not in path.read_text()


def test_the_same_pin_looks_different_for_another_badge(tmp_path: Path) -> None:
    file = staff(tmp_path)
    file.remember("302", RIGHT, SignIn("luc", NOW + MONTH, "Luc Gagnon"), at=NOW)
    first, second = json.loads((tmp_path / "staff.json").read_text())
    assert first["salt"] != second["salt"]
    assert first["check"] != second["check"]


def test_the_service_is_needed_after_the_month(tmp_path: Path) -> None:
    file = staff(tmp_path)
    with pytest.raises(NotKnownHere):
        file.sign_in("417", RIGHT, at=NOW + MONTH)


def test_an_unknown_badge_needs_the_service(tmp_path: Path) -> None:
    with pytest.raises(NotKnownHere):
        staff(tmp_path).sign_in("999", RIGHT, at=NOW)


def test_after_ten_failures_even_the_right_pin_needs_the_service(tmp_path: Path) -> None:
    file = staff(tmp_path)
    left = []
    for _ in range(MOST_FAILURES):
        with pytest.raises(WrongPin) as error:
            file.sign_in("417", WRONG, at=NOW)
        left.append(error.value.left)
    assert left == list(range(MOST_FAILURES - 1, -1, -1))
    assert "417" not in (tmp_path / "staff.json").read_text()
    with pytest.raises(NotKnownHere):
        file.sign_in("417", RIGHT, at=NOW)
    file.remember("417", RIGHT, marie(), at=NOW)
    assert file.sign_in("417", RIGHT, at=NOW).patroller == "marie"


def test_failures_of_one_badge_are_not_those_of_another(tmp_path: Path) -> None:
    file = staff(tmp_path)
    file.remember("302", "135790", SignIn("luc", NOW + MONTH, "Luc Gagnon"), at=NOW)
    for _ in range(MOST_FAILURES):
        with pytest.raises(WrongPin):
            file.sign_in("417", WRONG, at=NOW)
    assert file.sign_in("302", "135790", at=NOW).patroller == "luc"


def test_a_restart_gives_no_tries_back(tmp_path: Path) -> None:
    staff(tmp_path)
    for _ in range(MOST_FAILURES):
        with pytest.raises(WrongPin):
            StaffFile(tmp_path / "staff.json", cost=CHEAP).sign_in("417", WRONG, at=NOW)
    with pytest.raises(NotKnownHere):
        StaffFile(tmp_path / "staff.json", cost=CHEAP).sign_in("417", RIGHT, at=NOW)


class Killed(BaseException):
    pass


def test_a_program_that_is_killed_at_the_answer_has_used_a_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    staff(tmp_path)

    def killed(verifier: Verifier, pin: str) -> bool:
        raise Killed

    with monkeypatch.context() as power:
        power.setattr(staff_module, "matches", killed)
        for _ in range(MOST_FAILURES):
            with pytest.raises(Killed):
                StaffFile(tmp_path / "staff.json").sign_in("417", RIGHT, at=NOW)
    with pytest.raises(NotKnownHere):
        StaffFile(tmp_path / "staff.json").sign_in("417", RIGHT, at=NOW)


def test_a_full_disk_gives_no_free_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = staff(tmp_path)

    def full(*_: object, **__: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(staff_module, "write_durably", full)
    monkeypatch.setattr(staff_module, "matches", lambda verifier, pin: pytest.fail("it was tried"))
    with pytest.raises(OSError, match="full"):
        file.sign_in("417", RIGHT, at=NOW)


def test_the_right_pin_forgives_the_failures_before(tmp_path: Path) -> None:
    file = staff(tmp_path)
    for _ in range(3):
        for _ in range(MOST_FAILURES - 1):
            with pytest.raises(WrongPin):
                file.sign_in("417", WRONG, at=NOW)
        file.sign_in("417", RIGHT, at=NOW)


def test_many_at_once_have_ten_tries_together(tmp_path: Path) -> None:
    file, wrong = staff(tmp_path), []

    def try_once() -> None:
        try:
            file.sign_in("417", WRONG, at=NOW)
        except WrongPin:
            wrong.append(1)
        except NotKnownHere:
            pass

    threads = [threading.Thread(target=try_once) for _ in range(2 * MOST_FAILURES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wrong) == MOST_FAILURES


@pytest.mark.parametrize("text", ["", "{", "[]", "[{}]", "null", '[{"badge": 1}]', "[3]", "7"])
def test_a_damaged_file_lets_nobody_in(tmp_path: Path, text: str) -> None:
    (tmp_path / "staff.json").write_text(text)
    with pytest.raises(NotKnownHere):
        StaffFile(tmp_path / "staff.json").sign_in("417", RIGHT, at=NOW)


def test_a_wiped_file_is_gone(tmp_path: Path) -> None:
    file = staff(tmp_path)
    file.wipe()
    assert not (tmp_path / "staff.json").exists()
    with pytest.raises(NotKnownHere):
        file.sign_in("417", RIGHT, at=NOW)
