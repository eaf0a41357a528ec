"""A few kills in each test run, `make torture` does hundreds; and that losses are found out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.torture.judging import wrong_in_log, wrong_in_record
from tests.torture.patrolling import Promise, cut_torn_line, ledger, promises
from tests.torture.torture import torture


def test_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    figures = torture(tmp_path, service=6, handheld=6, seed=4)
    assert (figures.service_kills, figures.handheld_kills) == (6, 6)
    assert figures.promised > 0
    assert figures.numbered > 0
    print(figures)


def promise(id: str = "i1", number: str | None = "A1", *photos: str) -> Promise:
    return Promise(id, number, photos)


def listed(id: str = "i1", number: str | None = "A1", **photos: bool) -> dict[str, Any]:
    """An infraction as the log has it; of each photo, whether it is there."""
    shown = [{"sha256": sha256, "present": present} for sha256, present in photos.items()]
    return {"id": id, "number": number, "photos": shown, "complete": all(photos.values())}


def test_what_is_there_as_it_was_promised_is_right() -> None:
    log = [listed("i1", "A1", p=True), listed("i2", None), listed("i3", None)]
    assert wrong_in_log([promise("i1", "A1", "p")], ["i1", "i2", "i3"], log) == []
    assert wrong_in_record({"p1": [1, 2]}, {"p1": [1, 2]}) == []


@pytest.mark.parametrize(
    ("recorded", "log", "wrong"),
    [
        ([], [], "i1 was promised and is not in the log"),
        (["i1", "i2"], [listed()], "i2 is in an outbox and not in the log"),
        (["i1"], [listed(), listed()], "i1 is in the log 2 times"),
        (["i1"], [listed(), listed("i2", None)], "i2 is in the log and in no outbox"),
        (["i1"], [listed("i1", "A2")], "i1 has the number A2, not A1"),
        (["i1", "i2"], [listed(), listed("i2", "A1")], "the number A1 was issued 2 times"),
        (["i1"], [listed("i1", "A1", p=True)], "i1 has other photos than were taken"),
    ],
)
def test_what_was_lost_or_doubled_is_found(
    recorded: list[str], log: list[dict[str, Any]], wrong: str
) -> None:
    assert wrong in wrong_in_log([promise()], recorded, log)


def test_a_photo_that_never_came_is_found() -> None:
    log = [listed("i1", "A1", p=False)]
    assert wrong_in_log([promise("i1", "A1", "p")], ["i1"], log) == ["i1 lacks the photos ['p']"]


@pytest.mark.parametrize("found", [[], [1], [1, 2, 2], [1, 2, 3], [2, 1]])
def test_a_version_that_was_lost_or_doubled_is_found(found: list[int]) -> None:
    assert len(wrong_in_record({"p1": [1, 2]}, {"p1": found})) == 1


def test_a_torn_line_promises_nothing_and_spoils_no_other(tmp_path: Path) -> None:
    whole = b'{"id": "i1", "number": "A1", "photos": ["p"]}\n'
    ledger(tmp_path).write_bytes(whole + b'{"id": "i2"')
    assert promises(tmp_path) == [promise("i1", "A1", "p")]
    cut_torn_line(ledger(tmp_path))
    assert ledger(tmp_path).read_bytes() == whole
