"""The mission's story: from a subscription system's file to the supervisor's log."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from handheld_app.briefing import Briefings
from handheld_app.device import DeviceFile
from handheld_app.ids import uuid7
from handheld_app.notebook import Notebook
from handheld_app.patrol import Patrol
from handheld_app.signing_in import Cost
from handheld_app.staff import StaffFile
from sync.codec import instant
from sync.engine import Pushed
from sync.exchange import Revoked, Unreachable
from sync.messages import SignIn
from sync.validity import VERDICTS
from tests.builders import DAY, HOUR
from tests.enforcement_api.program import patrouille
from tests.service import ADDRESS, Handheld, Service, picture, running

# The import is a process of its own, with the real clock.
NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with running(tmp_path, at=NOW, follow_seconds=0.05) as service:
        service.site(
            "1085",
            zones=["G1", "G2"],
            codes=[{"code": "P01", "title": {"fr": "Sans permis", "en": "No permit"},
                    "photos_required": 1}],
        )  # fmt: skip
        yield service


def subscriptions(path: Path) -> Path:
    """What the subscription system exports: a plate for each verdict, semicolons, Windows-1252."""

    def day(days: int) -> str:
        return str((NOW + days * DAY).date())

    def row(plate: str, **cells: str) -> dict[str, str]:
        return {
            "id": f"s-{plate}", "version": "1", "plate": plate, "site": "1085", "zones": "G1",
            "permit_number": "100014764", "valid_from": day(-60), "status": "active",
            "colour": "doré",
        } | cells  # fmt: skip

    rows = [
        row("H4K 7M2"),
        row("ABC 123", confirmed_at=instant(NOW - 5 * HOUR)),
        row("XYZ 789", zones="G2"),
        row("E12 ABC", valid_from=day(10)),
        row("SUS 111", status="suspended"),
        row("K22 XYZ", valid_until=day(-20)),
        row("CAN 001", status="cancelled", ends_at=instant(NOW - 3 * HOUR)),
    ]
    names = list(dict.fromkeys(name for found in rows for name in found))
    lines = [names, *([found.get(name, "") for name in names] for found in rows)]
    path.write_bytes("\r\n".join(";".join(cells) for cells in lines).encode("cp1252"))
    return path


def patroller(handheld: Handheld, folder: Path) -> Patrol:
    """Somebody at work with this handheld in zone G1, badge 4217."""
    device = DeviceFile(folder / "device.json", new_install_id="install")
    device.change(
        server=ADDRESS, device=handheld.id, token=handheld.token, sites=("1085",), site="1085",
        zone="G1",
    )  # fmt: skip

    def not_asked(*_: object) -> Any:
        raise AssertionError("it is enrolled, and knows its patroller")

    staff = StaffFile(folder / "staff.json", cost=Cost(n=2, r=1, p=1))
    now = handheld.clock.now()
    staff.remember("4217", "806213", SignIn("4217", now + 30 * DAY), at=now)
    notebook = Notebook(folder)
    patrol = Patrol(
        device=device,
        replica_of=lambda site: handheld.replica,
        outbox=handheld.outbox,
        read_clock=handheld.clock.read,
        staff=staff,
        notebook=notebook,
        briefings=Briefings(notebook),
        ask_sign_in=not_asked,
        ask_enrolment=not_asked,
        fetch_authority=not_asked,
        new_id=lambda: uuid7(handheld.clock.now()),
    )
    patrol.sign_in("4217", "806213")
    return patrol


def test_plate_goes_in_and_an_infraction_comes_back(service: Service, tmp_path: Path) -> None:
    # A subscription system's file goes in, beside the service that serves.
    file = subscriptions(tmp_path / "abonnements.csv")
    imported = patrouille(service.settings.data_dir, "import", file, "--source", "subscriptions")
    assert imported.returncode == 0, imported.stderr

    # A handheld is enrolled with a code, and gets level by a snapshot.
    handheld = service.handheld()
    handheld.pull()
    handheld.assert_level_with(service)
    assert any("/snapshots/" in path for _, path in handheld.bridge.requests)
    patrol = patroller(handheld, tmp_path)

    # The network is lost.
    handheld.lose_network()
    with pytest.raises(Unreachable):
        handheld.pull()

    # It gives the right verdict for any plate.
    plates = dict(zip(
        VERDICTS,
        ["H4K7M2", "abc-123", "xyz789", "E12 ABC", "SUS111", "K22XYZ", "CAN001", "NOBODY1"],
        strict=True,
    ))  # fmt: skip
    assert {v: patrol.check(p, "CA-QC").verdict for v, p in plates.items()} == {
        v: v for v in VERDICTS
    }
    assert not patrol.is_stale()

    # A patroller records an infraction with a photo. Nothing is sent, nothing is lost.
    sighting = patrol.check("NOBODY 1", "CA-QC")
    observed_at = sighting.at
    draft = patrol.draft(sighting)
    photo = picture("crimson")
    (tmp_path / "car.jpg").write_bytes(photo)
    draft.photos.append(patrol.take_photo(tmp_path / "car.jpg"))
    draft.note = "Aucun permis affiché, neige déneigée"
    id = patrol.record(draft).id
    with pytest.raises(Unreachable):
        handheld.push()
    assert patrol.unsent() == 2

    # Still without network, the activation of a plate takes effect at its instant.
    service.clock.at = NOW + 19 * HOUR - timedelta(seconds=2)
    assert patrol.check("ABC123", "CA-QC").verdict == "pending_activation"
    service.clock.at = NOW + 19 * HOUR
    assert patrol.check("ABC123", "CA-QC").verdict == "valid"

    # Meanwhile the permit turns out to have been approved long before the observation.
    service.permit("NOBODY1", id="late", confirmed_at=instant(NOW - 3 * DAY))
    assert patrol.check("NOBODY1", "CA-QC").verdict == "unknown"
    service.clock.advance(hours=10)
    assert patrol.is_stale()

    # The network is back; the answer to the first upload is lost on the way.
    handheld.find_network()
    handheld.bridge.lose = lambda request: request.method == "PUT"
    with pytest.raises(Unreachable):
        handheld.push()
    handheld.bridge.lose = lambda request: False
    assert handheld.push() == Pushed(sent=2, set_aside=0, waiting=0)
    assert patrol.unsent() == 0

    # The log shows it, once, with its photo and the re-check.
    log = service.reader.get("/v1/infractions").json()["items"]
    assert [found["id"] for found in log] == [id]
    found = log[0]
    assert found["plate"] == "NOBODY1"
    assert found["plate_raw"] == "NOBODY 1"
    assert found["codes"] == ["P01"]
    assert found["patroller"] == "4217"
    assert found["device"] == handheld.id
    assert found["note"] == draft.note
    assert found["observed_at"] == instant(observed_at)
    assert found["warnings"] == ["unknown-patroller"]
    assert found["complete"] is True
    assert found["known"]["verdict"] == "unknown"
    assert found["recheck"]["verdict"] == "valid"
    assert found["recheck"]["differs"] is True
    assert service.reader.get("/v1/infractions?differs=true").json()["items"] == log
    name = sha256(photo).hexdigest()
    assert [p["sha256"] for p in found["photos"]] == [name]
    assert service.reader.get(f"/v1/photos/{name}").content == photo

    # The handheld knows its receipt, and by its next sync the permit and the notice.
    (item,) = patrol.log()
    assert (item.id, item.state) == (id, "sent")
    assert item.answer is not None
    assert item.answer["recheck"] == {"verdict": "valid", "differs": True}
    handheld.pull()
    handheld.assert_level_with(service)
    assert not patrol.is_stale()
    assert patrol.check("NOBODY1", "CA-QC").verdict == "valid"
    with handheld.replica.reading() as view:
        assert [notice.id for notice in view.notices(sighting.plate)] == [id]


def test_revoked_handheld_hands_over_what_it_holds_and_nothing_more(
    service: Service, tmp_path: Path
) -> None:
    service.permit("ABC123")
    handheld = service.handheld()
    handheld.pull()
    patrol = patroller(handheld, tmp_path)
    draft = patrol.draft(patrol.check("NOBODY1", "CA-QC"))
    (tmp_path / "car.jpg").write_bytes(picture())
    draft.photos.append(patrol.take_photo(tmp_path / "car.jpg"))
    id = patrol.record(draft).id

    service.admin.delete(f"/v1/devices/{handheld.id}").raise_for_status()
    with pytest.raises(Revoked):
        handheld.pull()
    assert handheld.push().sent == 2
    found = service.reader.get(f"/v1/infractions/{id}").json()
    assert (found["after_revocation"], found["complete"]) == (True, True)


def test_service_that_restarts_keeps_everything(service: Service, tmp_path: Path) -> None:
    service.permit("ABC123")
    handheld = service.handheld()
    handheld.pull()
    patrol = patroller(handheld, tmp_path)
    draft = patrol.draft(patrol.check("NOBODY1", "CA-QC"))
    draft.outcome, draft.no_issue_reason = "no_issue", "driver_returned"
    id = patrol.record(draft).id
    handheld.push()
    service.restart()
    handheld.pull()
    handheld.assert_level_with(service)
    assert service.verdict("ABC123") == "valid"
    found = service.reader.get(f"/v1/infractions/{id}").json()
    assert (found["outcome"], found["no_issue_reason"]) == ("no_issue", "driver_returned")
