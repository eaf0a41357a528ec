"""What the infraction log promises on both engines."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, update

from enforcement_api.database.tables import infractions
from enforcement_api.infractions import core, store
from enforcement_api.problems import Problem
from enforcement_api.security import Principal
from sync import codec
from tests.enforcement_api.infraction_log import (
    NOON,
    InfractionLog,
    new_id,
    picture,
    sha256,
)


def test_first_upload_is_201_and_the_same_again_is_200_with_the_same_receipt(
    log: InfractionLog,
) -> None:
    id, body = new_id(), log.infraction()
    first = log.put(body, id)
    assert first.status_code == 201
    assert first.json() == {
        "id": id,
        "received_at": "2026-11-23T17:00:00Z",
        "state": "received",
        "recheck": {"verdict": "unknown", "differs": False},
        "photos_missing": [],
        "warnings": [],
        "epoch": body["epoch"],
    }
    codec.receipt(first.json())
    log.now += timedelta(hours=1)
    log.permit("ABC123")
    again = log.put(dict(reversed(body.items())), id.upper())
    assert (again.status_code, again.json()) == (200, first.json())
    assert log.ids() == [id]


def test_other_content_under_the_same_id_conflicts_and_changes_nothing(log: InfractionLog) -> None:
    log.put_site("2000")
    _, both = log.enrol("1085", "2000")
    id, body = new_id(), log.infraction(note="first")
    log.put(body, id)
    for other in ({"note": "second"}, {"codes": ["P01", "P02"]}, {"site": "2000"}):
        answer = log.put(body | other, id, key=both)
        assert answer.status_code == 409
        assert answer.json()["type"] == "/problems/infraction-conflict"
    assert log.get(id)["note"] == "first"


def test_one_of_two_uploads_at_once_is_new_and_both_get_the_receipt(log: InfractionLog) -> None:
    upload = core.read(json.dumps(log.infraction()).encode())
    by = Principal(log.device_id, "device", "Pixel", "", frozenset({"1085"}))
    id = new_id()
    found: list[store.Received] = []

    def put() -> None:
        record = log.service.record
        found.append(
            record.write(
                lambda tx: store.receive(
                    record, tx, id, upload, by=by, received_at=NOON, told_from=NOON
                )
            )
        )

    threads = [threading.Thread(target=put) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.is_new for one in found].count(True) == 1
    assert len({one.receipt for one in found}) == 1


def test_everything_that_was_sent_comes_back(log: InfractionLog) -> None:
    log.permit("ABC123", zone="V1")
    checked = log.request("GET", "/v1/sites/1085/check?plate=ABC123&zone=G1", log.device).json()
    body = log.infraction(
        lot="P3",
        place="rangée C",
        position={"lat": 45.40010001, "lon": -71.9, "accuracy_m": 4.5},
        plate_raw="abc 123",
        vehicle={"make": "Acura", "year": 2021},
        codes=["P02", "M01", "P02"],
        number="A-000001",
        shift="2026-11-23 jour",
        verdict="wrong_zone",
        known=checked["permits"],
        note="note",
        clock_offset_ms=-(2**63),
    )
    id = new_id()
    assert log.put(body, id).status_code == 201
    found = log.get(id)
    photos, known = body.pop("photos"), body.pop("known")
    assert {name: found[name] for name in body} == body
    assert (found["photos"], photos) == ([], [])
    assert found["known"] == {
        "verdict": "wrong_zone",
        "epoch": body["epoch"],
        "cursor": body["cursor"],
        "permits": known,
    }
    assert found["recheck"] == {
        "verdict": "wrong_zone",
        "differs": False,
        "at": "2026-11-23T17:00:00Z",
        "permits": known,
    }
    assert (found["device"], found["state"], found["reviews"]) == (log.device_id, "received", [])
    assert [event["event"] for event in found["history"]] == ["received"]


@pytest.mark.parametrize(
    "text", ["a\u0000b", "a\ud83db", "🚗 naïve \u202e", "‮", "''\\\"%_", "x" * 500]
)
def test_any_text_is_kept_but_for_what_no_engine_stores(log: InfractionLog, text: str) -> None:
    stored = text.replace("\u0000", "\N{REPLACEMENT CHARACTER}").replace("\ud83d", "\ufffd")
    fields: dict[str, Any] = dict.fromkeys(
        ("note", "place", "plate_raw", "plate_missing_reason", "cursor"), text
    )
    short = text[:100]
    fields |= dict.fromkeys(("zone", "lot", "patroller", "shift", "number", "epoch"), short)
    fields |= {"codes": [short], "vehicle": {short[:50]: short}}
    found = log.get(log.record(**fields))
    assert found["note"] == found["place"] == found["plate_raw"] == stored
    assert found["zone"] == found["codes"][0] == stored[:100]
    assert found["vehicle"] == {stored[:50]: stored[:100]}
    assert [
        item["id"] for item in log.list(q=text[:200].replace("\ud83d", "?")).json()["items"]
    ] in (
        [found["id"]],
        [],
    )
    assert log.ids(zone=stored[:100]) == [found["id"]]


# Judging again (DOMAIN 5)


def test_permit_approved_meanwhile_makes_the_verdict_differ(log: InfractionLog) -> None:
    id = log.record("ABC123")
    assert log.ids(differs=True) == []
    log.now += timedelta(hours=2)
    log.permit("ABC123", valid_from="2026-11-01")
    found = log.get(id)
    assert found["known"]["verdict"] == "unknown"
    assert (found["recheck"]["verdict"], found["recheck"]["differs"]) == ("valid", True)
    assert found["recheck"]["at"] == "2026-11-23T19:00:00Z"
    assert [permit["plate"] for permit in found["recheck"]["permits"]] == ["ABC123"]
    assert log.ids(differs=True) == [id]
    assert [event["event"] for event in found["history"]] == ["received", "rechecked"]
    assert found["history"][1]["facts"] == {
        "before": "unknown",
        "verdict": "valid",
        "differs": True,
    }


def test_infraction_is_judged_as_of_its_observation(log: InfractionLog) -> None:
    log.permit("ABC123", valid_from="2026-11-24")
    id = log.record("ABC123", verdict="not_started")
    log.now += timedelta(days=3)
    log.permit("ABC123", id="other", valid_from="2026-11-25")
    assert log.get(id)["recheck"]["verdict"] == "not_started"
    assert len(log.get(id)["history"]) == 1


def test_receipt_says_that_the_device_did_not_know(log: InfractionLog) -> None:
    log.permit("ABC123")
    answer = log.put(log.infraction("ABC123", verdict="unknown"))
    assert answer.json()["recheck"] == {"verdict": "valid", "differs": True}


def test_change_back_is_written_down_too(log: InfractionLog) -> None:
    id = log.record("ABC123")
    log.permit("ABC123")
    log.permit("ABC123", valid_from="2026-11-24")
    found = log.get(id)
    assert [event["facts"].get("verdict") for event in found["history"]] == [
        None,
        "valid",
        "not_started",
    ]
    assert found["recheck"]["differs"] is True


def test_without_a_plate_nothing_is_judged(log: InfractionLog) -> None:
    answer = log.put(log.infraction(None, plate_missing_reason="covered", jurisdiction=None))
    assert answer.json()["recheck"] == {"verdict": None, "differs": False}
    found = log.get(answer.json()["id"])
    assert found["recheck"] == {"verdict": None, "differs": False, "at": None, "permits": []}
    assert (found["plate"], found["jurisdiction"]) == (None, None)


def test_plate_without_jurisdiction_is_of_the_site(log: InfractionLog) -> None:
    log.permit("ABC123")
    answer = log.put(log.infraction("ABC123", jurisdiction=None))
    assert answer.json()["recheck"]["verdict"] == "valid"
    assert log.get(answer.json()["id"])["jurisdiction"] == "CA-QC"


def test_same_text_of_another_jurisdiction_is_left_alone(log: InfractionLog) -> None:
    id = log.record("ABC123", jurisdiction="CA-ON")
    log.permit("ABC123")
    assert log.get(id)["recheck"]["verdict"] == "unknown"


def test_unknown_zone_is_judged_as_it_was_written(log: InfractionLog) -> None:
    log.permit("ABC123", zones=["*"])
    assert log.put(log.infraction(zone="gone")).json()["recheck"]["verdict"] == "valid"
    log.permit("ABC123", zones=["G1"])
    assert log.put(log.infraction(zone="gone")).json()["recheck"]["verdict"] == "wrong_zone"


def test_only_undecided_ones_among_many_plates_are_judged_again(log: InfractionLog) -> None:
    ids = {f"T{i:03}": log.record(f"T{i:03}") for i in range(5)}
    for plate in ids:
        log.permit(plate)

    def decide(tx: Connection) -> None:
        tx.execute(
            update(infractions)
            .where(infractions.c.id == ids["T000"])
            .values(state="confirmed", decided_at=NOON)
        )

    log.service.record.write(decide)
    log.now += timedelta(hours=1)
    plates = {log.plate(f"T{i:03}") for i in range(1000)}
    for few in (2000, 2):
        before, store._FEW = store._FEW, few
        try:
            log.service.record.write(lambda tx: store.recheck_open(tx, "1085", plates, log.now))
        finally:
            store._FEW = before
        at = {plate: log.get(id)["recheck"]["at"] for plate, id in ids.items()}
        assert at.pop("T000") == "2026-11-23T17:00:00Z"
        assert set(at.values()) == {codec.instant(log.now)}
        log.now += timedelta(hours=1)


# Notices


def test_forgetting_old_notices_leaves_the_digest_true(log: InfractionLog) -> None:
    old = log.record(observed_at=codec.instant(NOON - timedelta(days=20)))
    new = log.record()
    forget = NOON - timedelta(days=10)
    record = log.service.record
    assert record.write(lambda tx: store.forget_old_notices(tx, "1085", forget)) == 1
    assert record.write(lambda tx: store.forget_old_notices(tx, "1085", forget)) == 0
    log.service.follower.follow("1085")
    with log.service.follower.replica("1085").reading() as view:
        assert [notice.id for notice in view.notices(log.plate("ABC123"))] == [new]
    assert set(log.ids()) == {old, new}


# Photos


def test_photo_that_arrives_completes_the_infraction(log: InfractionLog) -> None:
    content, other = picture(shade=1), picture(shade=2)
    told = [
        {"sha256": sha256(one), "bytes": len(one), "taken_at": "2026-11-23T16:59:00Z"}
        for one in (content, other, content)
    ]
    id, body = new_id(), log.infraction(photos=told)
    missing = [sha256(content), sha256(other)]
    assert log.put(body, id).json()["photos_missing"] == missing
    assert log.put_photo(content).status_code == 201
    assert log.put(body, id).json()["photos_missing"] == missing[1:]
    assert log.put_photo(content).status_code == 200
    assert log.put_photo(other).status_code == 201
    assert log.put(body, id).json()["photos_missing"] == []
    found = log.get(id)
    assert found["complete"] is True
    assert [photo["present"] for photo in found["photos"]] == [True, True, True]


def test_what_a_photo_shows_comes_back_and_is_part_of_what_was_sent(log: InfractionLog) -> None:
    told = [
        {"sha256": sha256(picture(shade=n)), "bytes": 1000, "taken_at": "2026-11-23T16:59:00Z"}
        for n in range(4)
    ]
    shown = [*zip(told, ("plate", "context", "sign"), strict=False)]
    photos = [photo | {"shows": shows} for photo, shows in shown] + told[3:]
    id, body = new_id(), log.infraction(photos=photos)
    assert log.put(body, id).status_code == 201
    assert log.put(body, id).status_code == 200
    found = log.get(id)["photos"]
    assert [photo["shows"] for photo in found] == ["plate", "context", "sign", None]
    other = log.infraction(photos=[photos[0] | {"shows": "sign"}, *photos[1:]])
    assert log.put(other, id).json()["type"] == "/problems/infraction-conflict"
    refused = log.put(log.infraction(photos=[photos[0] | {"shows": "face"}]))
    assert refused.status_code == 422
    assert "/photos/0/shows" in refused.text


def test_nothing_is_kept_when_the_transaction_fails(
    log: InfractionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(Problem):
        status = 507

    def fail(*_: Any) -> None:
        raise Full

    with monkeypatch.context() as patched:
        patched.setattr(store.feed, "save", fail)
        assert log.put(log.infraction()).status_code == 507
    assert log.ids() == []
    id = log.record()
    assert log.ids() == [id]
