"""A shift: two handhelds, a supervisor, and an index that is damaged on the disk in its middle.

The real service as a process, over TCP, and the real handhelds with their threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from handheld_app.handheld import Handheld
from handheld_app.work import Entry
from tests.damage import file_of
from tests.enforcement_api.program import Serving, key, open_site, serving
from tests.handheld_app.conftest import CHEAP
from tests.journeys.test_freshness import until

PINS = {"417": "204816", "418": "204817"}
MESSAGE = "0192f3a4-0000-7000-8000-000000000001"


@pytest.fixture
def closing() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def enrolled(admin: httpx.Client, server: Serving, folder: Path, name: str, badge: str) -> Handheld:
    """A handheld at work in zone G1."""
    device = {"name": name, "sites": ["1085"]}
    code = admin.post("/v1/devices", json=device).raise_for_status().json()["enrolment_code"]
    handheld = Handheld(folder, pin_cost=CHEAP)
    patrol = handheld.patrol
    patrol.enrol(server.address, code)
    handheld.sync()
    until(lambda: "G1" in patrol.zones() and patrol.numbers_left() > 0)
    patrol.choose_zone("G1")
    patrol.sign_in(badge, PINS[badge])
    patrol.start_shift()
    return handheld


def issue(handheld: Handheld, plate: str) -> str:
    patrol = handheld.patrol
    draft = patrol.draft(patrol.check(plate, "CA-QC"))
    draft.codes = ["P01"]
    draft.decide("warning")
    return patrol.record(draft).id


def entry(handheld: Handheld, id: str) -> Entry:
    found = handheld.patrol.entry(id)
    assert found is not None
    return found


def test_a_shift_of_two_patrollers_and_a_supervisor(
    tmp_path: Path, closing: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handheld_app.edges.BRIEFED_EVERY", 0.2)
    data_dir = tmp_path / "service"
    admin_key = key(data_dir)
    server = closing.enter_context(serving(data_dir))
    admin = closing.enter_context(server.client(admin_key))
    open_site(admin)
    for name, badge in (("marie", "417"), ("luc", "418")):
        body = {"badge": badge, "name": name, "pin": PINS[badge]}
        admin.put(f"/v1/sites/1085/patrollers/{name}", json=body).raise_for_status()
    family: dict[str, Any] = {
        "version": 1, "site": "1085", "zones": ["G1"], "permit_number": "77",
        "valid_from": "2026-01-01", "status": "active",
    }  # fmt: skip
    updates = [{**family, "id": f"f{n}", "plate": f"FAM00{n}"} for n in (1, 2)]
    admin.post("/v1/plate-updates", json={"updates": updates}).raise_for_status()
    marie = enrolled(admin, server, tmp_path / "marie", "Terminal 1", "417")
    closing.callback(lambda: marie.close())
    luc = enrolled(admin, server, tmp_path / "luc", "Terminal 2", "418")
    closing.callback(luc.close)

    # One permit, two vehicles: what Marie has checked warns Luc.
    marie.patrol.note_check(marie.patrol.check("FAM001", "CA-QC"))
    marie.sync()
    until(lambda: not marie.outbox.waiting())

    def luc_is_warned() -> bool:
        luc.sync()
        return bool(luc.patrol.alerts(luc.patrol.check("FAM002", "CA-QC")))

    until(luc_is_warned)
    (alert,) = luc.patrol.alerts(luc.patrol.check("FAM002", "CA-QC"))
    assert alert.seen is not None
    assert (alert.kind, alert.seen.plate.text, alert.seen.device) == (
        "two_vehicles", "FAM001", "Terminal 1",
    )  # fmt: skip

    # A question, an answer; one taken back; a message. All over one handheld.
    asked, void = issue(marie, "QQQ111"), issue(marie, "QQQ112")
    marie.patrol.void(entry(marie, void), "misread_plate")
    marie.sync()
    until(lambda: not marie.outbox.waiting())
    assert admin.get(f"/v1/infractions/{void}").json()["state"] == "voided"
    review = {"decision": "request_information", "expected_state": "received"}
    question = "Dans quelle rangée ?"
    admin.post(
        f"/v1/infractions/{asked}/reviews", json={**review, "note": question}
    ).raise_for_status()
    admin.put(f"/v1/sites/1085/messages/{MESSAGE}", json={"text": "Tempête"}).raise_for_status()

    def marie_is_told() -> bool:
        marie.sync()
        return bool(marie.patrol.messages()) and entry(marie, asked).question is not None

    until(marie_is_told)
    assert entry(marie, asked).question.text == question  # type: ignore[union-attr]
    marie.patrol.answer(entry(marie, asked), "Rangée C")
    marie.patrol.read_message(marie.patrol.messages()[0])
    marie.sync()
    until(lambda: not marie.outbox.waiting())
    told = admin.get(f"/v1/infractions/{asked}").json()
    assert told["state"] == "received"
    assert "Rangée C" in [review["note"] for review in told["reviews"]]
    (listed,) = admin.get("/v1/sites/1085/messages").json()["items"]
    assert len(listed["read"]) == 1

    # The index is damaged on the disk; what was not sent is there after the start, and goes.
    marie.stop_syncing()
    unsent = issue(marie, "QQQ113")
    shift = marie.patrol.shift
    marie.close()
    file = file_of(marie.replica_of("1085"))
    file.write_bytes(b"\0" * file.stat().st_size)
    for end in ("-wal", "-shm"):
        Path(f"{file}{end}").unlink(missing_ok=True)
    marie = Handheld(tmp_path / "marie", pin_cost=CHEAP)
    assert marie.patrol.site() is None
    assert [item.id for item in marie.outbox.waiting() if item.kind == "infraction"] == [unsent]
    assert shift is not None
    assert marie.patrol.shift is not None
    assert marie.patrol.shift.id == shift.id
    marie.sync()
    until(lambda: marie.patrol.site() is not None)
    assert marie.patrol.check("FAM001", "CA-QC").verdict == "valid"
    until(lambda: not marie.outbox.waiting())
    assert admin.get(f"/v1/infractions/{unsent}").status_code == 200
    marie.patrol.sign_in("417", PINS["417"])
    summary = marie.patrol.end_shift()
    assert summary is not None
    assert (summary.infractions, summary.voided) == (3, 1)
