"""Backups and restores, on both engines and from one to the other."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import sqlite3
import threading
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from enforcement_api import hashed_files
from enforcement_api.audit import store as audit
from enforcement_api.database.engine import Record, RecordOfANewerVersion
from enforcement_api.database.tables import (
    contract_series,
    meta,
    metadata,
    number_blocks,
    number_series,
    subscriptions,
)
from enforcement_api.hashed_files import path_of
from enforcement_api.operations import restore as restoring
from enforcement_api.operations.backup import Backup, BackupNotWritten, backup
from enforcement_api.operations.core import number_floor
from enforcement_api.operations.restore import (
    BackupOfANewerVersion,
    NotABackup,
    Restored,
    restore,
)
from enforcement_api.operations.using import BeingRestored, InUse, alone
from enforcement_api.security import Principal
from enforcement_api.settings import Settings
from enforcement_api.staff import keys
from enforcement_api.staff import store as staff
from enforcement_api.staff.core import Account, SignInFailed
from enforcement_api.staff.entrance import Entered
from enforcement_api.subscriptions import attachments
from tests.postgres import fresh_database
from tests.service import Service, infraction, new_id, picture, running
from tests.subscribing import Office

OF_THE_RESTORE = (
    "meta",
    "earlier_epochs",
    "number_series",
    "contract_series",
    "audit_log",
    "audit_heads",
)
"""The tables in which a restore writes what it is."""

PHOTO = picture()
PHOTO_NAME = hashlib.sha256(PHOTO).hexdigest()
PROOF = picture("green", kind="PNG")
"""Made anew it is the same."""
PROOF_NAME = hashlib.sha256(PROOF).hexdigest()


def rows(record: Record, *, but: tuple[str, ...] = ()) -> dict[str, list[Any]]:
    """Everything that a record holds."""

    def read(tx: sa.Connection) -> dict[str, list[Any]]:
        return {
            table.name: sorted(map(repr, tx.execute(sa.select(table))))
            for table in metadata.sorted_tables
            if table.name not in but
        }

    return record.read(read)


def fill(service: Service) -> None:
    """Something in every corner: permits with versions, a photo, texts of every kind, numbers."""
    service.site(no_notice=[{"from": "2026-12-24T05:00:00Z", "until": "2026-12-26T05:00:00Z",
                             "reason": "Tempête"}])  # fmt: skip
    service.push(*(service.update(f"AAA{n:03}") for n in range(300)))
    first = service.permit("ABC123", id="p", vehicle={"make": "Acura", "colour": "doré 🚗"})
    service.push({**first, "version": 2, "plate": "XYZ789"})
    device = service.device_client()
    body = infraction(
        position={"lat": 45.40123456789, "lon": -71.9, "accuracy_m": 4.5},
        photos=[{"sha256": PHOTO_NAME, "bytes": len(PHOTO), "taken_at": "2026-11-23T15:15:00Z"}],
        number="1085-41",
    )
    assert device.put(f"/v1/infractions/{new_id()}", json=body).status_code == 201
    assert device.put(f"/v1/photos/{PHOTO_NAME}", content=PHOTO).status_code == 201
    attach(service, PROOF)
    service.admin.put("/v1/sites/1085/patrol-settings", json={}).raise_for_status()
    told = {"text": "Le P3 est fermé."}
    message = service.admin.put(f"/v1/sites/1085/messages/{new_id()}", json=told).json()["id"]
    read = {"kind": "message_read", "site": "1085", "at": "2026-11-23T15:15:00Z"}
    answer = device.put(f"/v1/events/{new_id()}", json=read | {"message": message})
    assert answer.status_code == 201


def attach(service: Service, content: bytes, *, purpose: str = "proof") -> str:
    """A file that somebody attached; its id."""
    id, query = new_id(), {"site": "1085", "purpose": purpose}
    answer = service.admin.put(f"/v1/attachments/{id}", params=query, content=content)
    assert answer.status_code == 201, answer.text
    return id


def made(service: Service, file: Path) -> Backup:
    return backup(service.parts.record, service.settings, file, at=service.clock())


def restored(service: Service, file: Path) -> Restored:
    """Stop the service, restore, and start it again."""

    def work() -> Restored:
        with contextlib.closing(Record(service.settings.database_url)) as record:
            return restore(record, service.settings, file, at=service.clock())

    return service.restart(work)


def refused(service: Service, file: Path, kind: type[Exception]) -> str:
    """A restore that is refused; what it says. Nothing has changed."""

    def work() -> str:
        with contextlib.closing(Record(service.settings.database_url)) as record:
            before = rows(record)
            with pytest.raises(kind) as raised:
                restore(record, service.settings, file, at=service.clock())
            assert rows(record) == before
            assert list(service.settings.data_dir.glob("*.part*")) == []
            return str(raised.value)

    return service.restart(work)


def test_record_comes_back_as_it_was(service: Service, tmp_path: Path) -> None:
    fill(service)
    before = rows(service.parts.record, but=OF_THE_RESTORE)
    epoch = service.push()["epoch"]
    summary = made(service, tmp_path / "backup")
    assert summary.manifest.rows["permit_versions"] == 303
    assert (summary.manifest.photos, summary.manifest.missing) == (1, [])
    service.permit("NEW111")
    service.clock.advance(hours=2)
    done = restored(service, tmp_path / "backup")
    assert rows(service.parts.record, but=OF_THE_RESTORE) == before
    assert service.push()["epoch"] == done.epoch != epoch
    assert (service.verdict("AAA001"), service.verdict("NEW111")) == ("valid", "unknown")
    service.assert_consistent()
    assert service.reader.get(f"/v1/photos/{PHOTO_NAME}").content == PHOTO
    assert [proof.reason for proof in service.parts.record.read(audit.verify)] == [None, None]


def other_engine(request: pytest.FixtureRequest, url: str | None) -> str | None:
    """The address of an empty record on the engine that this one is not."""
    if url is not None:
        return None
    template = request.getfixturevalue("migrated_postgres")
    return fresh_database(request.getfixturevalue("postgres_url"), template=template)


def test_site_moves_from_one_engine_to_the_other(
    request: pytest.FixtureRequest, service: Service, database_url: str | None, tmp_path: Path
) -> None:
    fill(service)
    before = rows(service.parts.record, but=OF_THE_RESTORE)
    made(service, tmp_path / "backup")
    there = other_engine(request, database_url)
    with running(tmp_path / "there", database_url=there) as other:
        restored(other, tmp_path / "backup")
        assert rows(other.parts.record, but=OF_THE_RESTORE) == before
        other.admin.headers["Authorization"] = service.admin.headers["Authorization"]
        other.reader.headers["Authorization"] = f"Bearer {other.key('reader')}"
        assert other.verdict("XYZ789") == "valid"
        assert other.reader.get(f"/v1/photos/{PHOTO_NAME}").content == PHOTO
        other.assert_consistent()


def test_backup_made_while_others_write_is_of_one_moment(service: Service, tmp_path: Path) -> None:
    service.site()
    stopping = threading.Event()
    failures: list[BaseException] = []

    def write() -> None:
        try:
            for n in range(10_000):
                service.push(*(service.update(f"W{n % 1000:03}{i}") for i in range(5)))
                if stopping.is_set():
                    return
        except BaseException as failure:
            failures.append(failure)

    service.push()
    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(3):
            before = service.push()["sequence"]
            file = tmp_path / f"backup-{number}.zip"
            summary = made(service, file)
            with zipfile.ZipFile(file) as archive:
                archive.extract("record.db", tmp_path / file.stem)
            copy = sqlite3.connect(tmp_path / file.stem / "record.db")
            [sequence] = copy.execute("SELECT sequence FROM counters").fetchone()
            [permits] = copy.execute("SELECT count(*) FROM permit_versions").fetchone()
            [entries] = copy.execute("SELECT count(*) FROM feed_entries").fetchone()
            [largest] = copy.execute("SELECT max(sequence) FROM permit_versions").fetchone()
            copy.close()
            assert permits == summary.manifest.rows["permit_versions"]
            # Every number was taken once: none is missing and none is of later.
            assert largest in (None, sequence)
            assert permits + entries == sequence
            assert sequence >= before.get("1085", 0)
    finally:
        stopping.set()
        writer.join(60)
    assert failures == []


def test_restore_is_refused_while_a_service_serves(service: Service, tmp_path: Path) -> None:
    fill(service)
    made(service, tmp_path / "backup")
    record = Record(service.settings.database_url)
    try:
        with pytest.raises(InUse):
            restore(record, service.settings, tmp_path / "backup", at=service.clock())
    finally:
        record.close()
    assert service.verdict("AAA001") == "valid"


def test_restore_from_another_machine_is_refused_while_a_service_serves(
    service: Service, tmp_path: Path
) -> None:
    """Another machine has a data folder of its own, and the same database."""
    fill(service)
    made(service, tmp_path / "backup")
    record = Record(service.settings.database_url)
    elsewhere = replace(service.settings, data_dir=tmp_path / "elsewhere")
    try:
        with pytest.raises(InUse):
            restore(record, elsewhere, tmp_path / "backup", at=service.clock())
    finally:
        record.close()


def test_service_does_not_start_during_a_restore(service: Service) -> None:
    service.stop()
    record = Record(service.settings.database_url)
    try:
        with alone(record, service.settings), pytest.raises(BeingRestored):
            service.start()
    finally:
        record.close()
        service.loop.close()
        service.start()


# Numbers


def next_numbers(record: Record) -> dict[str, int]:
    return record.read(
        lambda tx: {row.site: row.next for row in tx.execute(sa.select(number_series))}
    )


def test_series_go_on_beyond_what_the_replaced_record_gave(
    service: Service, tmp_path: Path
) -> None:
    """Also of a site that the backup does not know, should it be made again."""
    fill(service)
    made(service, tmp_path / "backup")
    service.site("2000")
    far = number_floor(service.clock()) + 10_000
    service.parts.record.write(
        lambda tx: tx.execute(
            number_series.insert(), [{"site": "1085", "next": far}, {"site": "2000", "next": far}]
        )
    )
    done = restored(service, tmp_path / "backup")
    assert done.series == next_numbers(service.parts.record) == {"1085": far, "2000": far}


def test_two_restores_of_one_backup_give_other_numbers(service: Service, tmp_path: Path) -> None:
    fill(service)
    made(service, tmp_path / "backup")
    [first] = restored(service, tmp_path / "backup").series.values()
    service.parts.record.write(lambda tx: tx.execute(sa.delete(number_series)))  # it is lost
    service.clock.advance(days=1)
    [second] = restored(service, tmp_path / "backup").series.values()
    assert second - first == 86_400


BLOCKS = "/v1/sites/1085/number-blocks"


def block_of(device: httpx.Client, id: str) -> dict[str, Any]:
    answer = device.put(f"{BLOCKS}/{id}")
    assert answer.status_code == 200, answer.text
    block: dict[str, Any] = answer.json()
    return block


def test_numbers_given_since_the_backup_stay_who_they_were_given_to(
    service: Service, tmp_path: Path
) -> None:
    service.site()
    assert service.reader  # its key is in the backup
    device, other, before, since = (
        service.device_client(),
        service.device_client(),
        new_id(),
        new_id(),
    )
    block_of(device, before)
    made(service, tmp_path / "backup")
    given = block_of(device, since)
    restored(service, tmp_path / "backup")
    assert block_of(device, since) == given
    body = infraction(number=f"1085-{given['last']}")
    answer = other.put(f"/v1/infractions/{new_id()}", json=body)
    assert "number-of-another-device" in answer.json()["warnings"]
    unused = [block["unused"] for block in service.reader.get(BLOCKS).json()["items"]]
    assert unused == [49, 50]


def test_number_given_by_a_record_that_is_lost_is_its_devices_that_shows_it(
    service: Service, tmp_path: Path
) -> None:
    service.site()
    assert service.reader
    device, id = service.device_client(), new_id()
    made(service, tmp_path / "backup")
    given = block_of(device, id)
    service.parts.record.write(lambda tx: tx.execute(sa.delete(number_blocks)))
    service.parts.record.write(lambda tx: tx.execute(sa.delete(number_series)))  # it is lost
    restored(service, tmp_path / "backup")
    for n in (given["first"], given["last"]):
        body = infraction(number=f"1085-{n}")
        warnings = device.put(f"/v1/infractions/{new_id()}", json=body).json()["warnings"]
        assert not any("number" in warning for warning in warnings)
    issued = [block["issued"] for block in service.reader.get(BLOCKS).json()["items"]]
    assert issued == [1, 1]
    assert block_of(device, id)["first"] >= number_floor(service.clock())


# What handhelds knew before


def known_to(device: httpx.Client) -> dict[str, Any]:
    """What a handheld that is level now says that it knows."""
    level = device.get("/v1/sites/1085/changes").json()
    return {"epoch": level["epoch"], "cursor": level["cursor"]}


def told_of(service: Service, device: httpx.Client, knew: dict[str, Any]) -> Any:
    """What the service makes of an infraction whose device knew that: verdict, and why none."""
    id = new_id()
    assert device.put(f"/v1/infractions/{id}", json=infraction(**knew)).status_code == 201
    verdicts = service.reader.get(f"/v1/infractions/{id}").json()["verdicts"]
    return verdicts["cursor"] or verdicts["cursor_reason"]


def test_what_a_handheld_knew_before_a_restore_is_judged_as_far_as_the_backup_goes(
    service: Service, tmp_path: Path
) -> None:
    service.site()
    device = service.device_client()
    at_first = known_to(device)
    first = service.permit("ABC123")
    in_the_backup = known_to(device)
    made(service, tmp_path / "backup")
    service.push({**first, "version": 2, "status": "suspended"})
    beyond_it = known_to(device)
    restored(service, tmp_path / "backup")
    service.push({**first, "version": 2, "status": "cancelled"})
    of_today = known_to(device)
    assert told_of(service, device, at_first) == "unknown"
    assert told_of(service, device, in_the_backup) == "valid"
    assert told_of(service, device, beyond_it) == "lost-cursor"
    assert told_of(service, device, of_today) == "cancelled"
    never = {**beyond_it, "epoch": "never"}
    assert told_of(service, device, never) == "unknown-cursor"


def test_what_a_handheld_knew_is_judged_after_several_restores(
    service: Service, tmp_path: Path
) -> None:
    """Of backups in whatever order, also of an epoch that began after the backup was made."""
    service.site()
    assert service.reader  # its key is in every backup
    device = service.device_client()
    first = service.permit("ABC123")
    made(service, tmp_path / "early")
    in_the_early_one = known_to(device)
    restored(service, tmp_path / "early")
    again = known_to(device)
    service.push({**first, "version": 2, "status": "suspended"})
    made(service, tmp_path / "late")
    in_the_late_one = known_to(device)
    service.push({**first, "version": 3})
    in_none = known_to(device)
    restored(service, tmp_path / "late")
    for knew, verdict in (
        (in_the_early_one, "valid"),
        (again, "valid"),
        (in_the_late_one, "suspended"),
        (in_none, "lost-cursor"),
    ):
        assert told_of(service, device, knew) == verdict
    restored(service, tmp_path / "early")
    for knew, verdict in (
        (in_the_early_one, "valid"),
        (again, "valid"),
        (in_the_late_one, "lost-cursor"),
        (in_none, "lost-cursor"),
    ):
        assert told_of(service, device, knew) == verdict


# Who was let in


def test_who_was_revoked_since_the_backup_stays_so(service: Service, tmp_path: Path) -> None:
    service.site()
    token = service.device_client()
    [device] = service.admin.get("/v1/devices").json()["items"]
    made(service, tmp_path / "backup")
    service.admin.delete(f"/v1/devices/{device['id']}").raise_for_status()
    restored(service, tmp_path / "backup")
    assert token.get("/v1/sites/1085/changes").json()["type"] == "/problems/device-revoked"


def test_log_names_each_key_and_device_whose_revocation_was_carried_over(
    service: Service, tmp_path: Path
) -> None:
    service.site()
    service.device_client()
    [device] = service.admin.get("/v1/devices").json()["items"]
    service.key("reader", name="SPAQ")
    record = service.parts.record
    [key] = [key.id for key in record.read(keys.all_keys) if key.name == "SPAQ"]
    made(service, tmp_path / "backup")
    service.admin.delete(f"/v1/devices/{device['id']}").raise_for_status()
    record.write(lambda tx: keys.revoke(tx, key, at=service.clock()))
    for _ in range(2):
        restored(service, tmp_path / "backup")
        for subject in (f"key:{key}", f"device:{device['id']}"):
            told = service.parts.record.read(lambda tx, of=subject: audit.entries(tx, of))
            assert told[-1].action == "carried-over"
            assert told[-1].facts["revoked_at"]


def hired(service: Service, id: str, *, pin: str = "204816") -> None:
    """A patroller whose badge is their id."""
    shape = {"badge": id, "name": id, "pin": pin}
    service.admin.put(f"/v1/sites/1085/patrollers/{id}", json=shape).raise_for_status()


def is_let_in(device: httpx.Client, badge: str, *, pin: str = "204816") -> bool:
    answer = device.post("/v1/sign-ins", json={"badge": badge, "pin": pin})
    assert answer.status_code in (200, 403), answer.text
    return answer.status_code == 200


def test_who_was_removed_or_given_another_pin_since_the_backup_stays_so(
    service: Service, tmp_path: Path
) -> None:
    service.site()
    device = service.device_client()
    for id in ("stays", "leaves", "forgot"):
        hired(service, id)
    made(service, tmp_path / "backup")
    service.admin.delete("/v1/sites/1085/patrollers/leaves").raise_for_status()
    hired(service, "forgot", pin="481620")
    hired(service, "new")
    done = restored(service, tmp_path / "backup")
    assert done.carried_over
    assert is_let_in(device, "stays")
    assert not is_let_in(device, "leaves")
    assert not is_let_in(device, "forgot")
    assert is_let_in(device, "forgot", pin="481620")
    assert not is_let_in(device, "new")


def test_token_that_was_replaced_since_the_backup_is_dead_and_the_new_one_holds(
    service: Service, tmp_path: Path
) -> None:
    service.site()
    old = service.device_client()
    made(service, tmp_path / "backup")
    answer = old.post("/v1/devices/self/token")
    assert answer.status_code in (200, 201), answer.text
    new = service.client(answer.json()["token"])
    assert new.get("/v1/sites/1085/changes").status_code == 200
    restored(service, tmp_path / "backup")
    assert old.get("/v1/sites/1085/changes").status_code == 401
    assert new.get("/v1/sites/1085/changes").status_code == 200


def test_who_was_shut_out_before_a_restore_stays_so_after_another(
    service: Service, tmp_path: Path
) -> None:
    """The second replaces a record that only the first has told of it."""
    service.site()
    old, device = service.device_client(), service.device_client()
    for id in ("leaves", "forgot"):
        hired(service, id)
    made(service, tmp_path / "backup")
    service.admin.delete("/v1/sites/1085/patrollers/leaves").raise_for_status()
    hired(service, "forgot", pin="481620")
    new = service.client(old.post("/v1/devices/self/token").json()["token"])
    assert new.get("/v1/sites/1085/changes").status_code == 200
    for _ in range(2):
        assert restored(service, tmp_path / "backup").carried_over
        assert not is_let_in(device, "leaves")
        assert not is_let_in(device, "forgot")
        assert is_let_in(device, "forgot", pin="481620")
        assert old.get("/v1/sites/1085/changes").status_code == 401
        assert new.get("/v1/sites/1085/changes").status_code == 200
        assert all(proof.reason is None for proof in service.parts.record.read(audit.verify))


def test_record_that_knows_nothing_of_the_backup_shuts_nobody_out(
    service: Service, tmp_path: Path
) -> None:
    """As when a site moves to another machine, or its record was lost and made again."""
    service.site()
    device = service.device_client()
    hired(service, "stays")
    made(service, tmp_path / "backup")
    with running(tmp_path / "there") as other:
        other.site()
        hired(other, "stays", pin="481620")
        other.admin.delete("/v1/sites/1085/patrollers/stays").raise_for_status()
        done = restored(other, tmp_path / "backup")
        assert not done.carried_over
        there = other.client(device.headers["Authorization"].removeprefix("Bearer "))
        assert is_let_in(there, "stays")


def test_restore_is_told_in_the_log_with_what_it_replaced(service: Service, tmp_path: Path) -> None:
    fill(service)
    summary = made(service, tmp_path / "backup")
    heads = service.parts.record.read(audit.heads)
    done = restored(service, tmp_path / "backup")
    [entry] = service.parts.record.read(
        lambda tx: [e for e in audit.entries(tx, "record") if e.action == "restored"]
    )
    assert entry.facts["epoch"] == done.epoch
    assert entry.facts["backup"]["epoch"] == summary.manifest.epoch
    replaced = {chain: [head.number, head.hash] for chain, head in heads.items()}
    assert entry.facts["replaced"]["heads"] == replaced


# Contract numbers


def contracts(service: Service) -> dict[str, int]:
    """The next number of each site."""
    with service.parts.record.reading() as tx:
        return {row.site: row.next for row in tx.execute(sa.select(contract_series))}


def number_of(office: Office, subscription: str) -> int:
    return int(office.get(subscription)["number"])


def test_contract_numbers_go_on_beyond_all_that_were_given(
    service: Service, tmp_path: Path
) -> None:
    """Also by a record that is lost, and also at sites that are made later."""
    service.site()
    office = Office(service)
    first = number_of(office, office.subscribe("ABC 123"))
    made(service, tmp_path / "backup")
    since = number_of(office, office.subscribe("XYZ 789"))
    assert (first, since) == (100_000_001, 100_000_002)
    done = restored(service, tmp_path / "backup")
    floor = 100_000_000 + number_floor(service.clock())
    assert done.contracts == contracts(service) == {"1085": floor}
    assert number_of(office, office.subscribe("XYZ 789")) == floor
    service.site("2000")
    office = Office(service, site="2000")
    assert number_of(office, office.subscribe("ABC 123")) == floor


def test_people_who_were_erased_since_the_backup_are_named(
    service: Service, tmp_path: Path
) -> None:
    service.site()
    office = Office(service)
    erased, earlier, stays = office.holder(), office.holder(), office.holder()
    assert office.ask("DELETE", f"holders/{earlier}").status_code == 204
    made(service, tmp_path / "backup")
    assert office.ask("DELETE", f"holders/{erased}").status_code == 204
    assert restored(service, tmp_path / "backup").to_erase == (erased,)
    assert office.does("GET", f"holders/{stays}")["erased_at"] is None
    assert office.ask("DELETE", f"holders/{erased}").status_code == 204


def test_contract_numbers_go_on_beyond_those_of_the_replaced_record(
    service: Service, tmp_path: Path
) -> None:
    service.site()
    office = Office(service)
    subscription = office.subscribe("ABC 123")
    made(service, tmp_path / "backup")
    far = 100_000_000 + number_floor(service.clock()) + 50_000
    change = sa.update(subscriptions).values(number=str(far))
    service.parts.record.write(lambda tx: tx.execute(change))
    assert restored(service, tmp_path / "backup").contracts == {"1085": far + 1}
    assert number_of(office, subscription) == 100_000_001
    move = sa.update(contract_series).values(next=far + 700)
    service.parts.record.write(lambda tx: tx.execute(move))
    assert restored(service, tmp_path / "backup").contracts == {"1085": far + 700}


# What cannot be restored


def rewritten(file: Path, change: Callable[[str, bytes], bytes | None]) -> None:
    """The backup again, each part changed (None: left out)."""
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in parts.items():
            changed = change(name, content)
            if changed is not None:
                archive.writestr(name, changed)


def told(**facts: Any) -> Callable[[str, bytes], bytes]:
    """The manifest says something else."""

    def change(name: str, content: bytes) -> bytes:
        if name != "manifest.json":
            return content
        return json.dumps({**json.loads(content), **facts}).encode()

    return change


def only(part: str, content: bytes | None) -> Callable[[str, bytes], bytes | None]:
    return lambda name, old: content if name.startswith(part) else old


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (only("manifest.json", b"[]"), NotABackup),
        (only("manifest.json", b"\xff"), NotABackup),
        (only("manifest.json", None), NotABackup),
        (only("record.db", None), NotABackup),
        (only("record.db", b"SQLite format 3\0"), NotABackup),
        (only("photos/", picture("red")), NotABackup),
        (only("photos/", None), NotABackup),
        (only("attachments/", picture("red")), NotABackup),
        (only("attachments/", None), NotABackup),
        (told(rows={"sites": 17}), NotABackup),
        (told(format=2), BackupOfANewerVersion),
        (told(revision="9999"), BackupOfANewerVersion),
    ],
)
def test_backup_that_is_not_whole_changes_nothing(
    change: Callable[[str, bytes], bytes | None],
    kind: type[Exception],
    tmp_path: Path,
) -> None:
    with running(tmp_path) as service:
        fill(service)
        made(service, tmp_path / "backup")
        rewritten(tmp_path / "backup", change)
        assert str(tmp_path / "backup") in refused(service, tmp_path / "backup", kind)


def test_backup_cut_at_any_length_is_refused(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        fill(service)
        made(service, tmp_path / "backup")
        whole = (tmp_path / "backup").read_bytes()
        for part in (0, 1, 3, 10, 50, 90, 99):
            (tmp_path / "cut").write_bytes(whole[: len(whole) * part // 100])
            refused(service, tmp_path / "cut", NotABackup)


def test_bytes_that_changed_on_the_disk_are_found(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        fill(service)
        made(service, tmp_path / "backup")
        whole = bytearray((tmp_path / "backup").read_bytes())
        for part in (2, 30, 60):
            changed = bytearray(whole)
            changed[len(whole) * part // 100] ^= 0xFF
            (tmp_path / "changed").write_bytes(changed)
            refused(service, tmp_path / "changed", NotABackup)


def test_record_of_a_newer_version_is_not_replaced(service: Service, tmp_path: Path) -> None:
    fill(service)
    made(service, tmp_path / "backup")
    newer = sa.text("UPDATE alembic_version SET version_num = :revision")
    revision = service.parts.record.revision()
    service.parts.record.write(lambda tx: tx.execute(newer, {"revision": "9999"}))
    service.stop()
    record = Record(service.settings.database_url)
    with pytest.raises(RecordOfANewerVersion):
        restore(record, service.settings, tmp_path / "backup", at=service.clock())
    record.write(lambda tx: tx.execute(newer, {"revision": revision}))
    record.close()
    service.start()
    assert service.verdict("AAA001") == "valid"


def test_failed_restore_leaves_the_old_record(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(service)
    made(service, tmp_path / "backup")
    service.permit("NEW111")

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    # The last thing before the new record takes the old one's place, on each engine.
    step = "_settle" if service.parts.record.is_sqlite else "transfer"
    with monkeypatch.context() as failing:
        failing.setattr(restoring, step, fail)
        refused(service, tmp_path / "backup", Exception)
    assert service.verdict("NEW111") == "valid"


# Disasters


def test_lost_or_damaged_record_is_restored(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        fill(service)
        made(service, tmp_path / "backup")
        service.stop()
        path = service.settings.data_dir / "record.db"
        for damage in (b"no database at all" * 1000, path.read_bytes()[:9000], None):
            if damage is None:
                path.unlink()
            else:
                path.write_bytes(damage)
            record = Record(service.settings.database_url)
            done = restore(record, service.settings, tmp_path / "backup", at=service.clock())
            record.close()
            service.clock.advance(minutes=1)
            assert (done.aside is None) == (damage is None)
            if done.aside is not None:
                assert done.aside.read_bytes()[:5000] == (damage or b"")[:5000]
            assert not done.carried_over
        service.start()
        assert service.verdict("AAA001") == "valid"
        service.assert_consistent()


def test_who_cannot_be_read_any_more_is_not_taken_for_removed(tmp_path: Path) -> None:
    """The log of the replaced record says that a PIN was changed; the patrollers are damaged."""
    with running(tmp_path) as service:
        service.site()
        token = service.device_client().headers["Authorization"].removeprefix("Bearer ")
        hired(service, "forgot")
        made(service, tmp_path / "backup")
        hired(service, "forgot", pin="481620")
        service.stop()
        path = service.settings.data_dir / "record.db"
        with contextlib.closing(sqlite3.connect(path)) as connection:
            [page] = connection.execute(
                "SELECT rootpage FROM sqlite_master WHERE name = 'patrollers'"
            ).fetchone()
            [size] = connection.execute("PRAGMA page_size").fetchone()
        with open(path, "r+b") as file:
            file.seek((page - 1) * size)
            file.write(b"\xa5" * size)
        with contextlib.closing(Record(service.settings.database_url)) as record:
            done = restore(record, service.settings, tmp_path / "backup", at=service.clock())
        assert not done.carried_over
        service.start()
        assert is_let_in(service.client(token), "forgot")


def test_log_of_the_old_file_is_not_taken_for_one_of_the_new_file(tmp_path: Path) -> None:
    """A service that was killed leaves a write-ahead log, which would overwrite the new pages."""
    with running(tmp_path) as service:
        fill(service)
        made(service, tmp_path / "backup")
        folder, path = tmp_path / "killed", service.settings.data_dir / "record.db"
        folder.mkdir()
        holder = sqlite3.connect(path)
        holder.execute("SELECT count(*) FROM meta").fetchone()
        service.permit("NEW111")
        for tail in ("", "-wal"):
            (folder / f"record.db{tail}").write_bytes(
                path.with_name(f"record.db{tail}").read_bytes()
            )
        holder.close()
        assert (folder / "record.db-wal").stat().st_size
        settings = Settings(data_dir=folder, database_url=f"sqlite:///{folder / 'record.db'}")
        record = Record(settings.database_url)
        done = restore(record, settings, tmp_path / "backup", at=service.clock())
        assert (
            record.read(lambda tx: tx.execute(sa.text("PRAGMA integrity_check")).scalar()) == "ok"
        )
        assert record.read(record.epoch) == done.epoch
        record.close()


def test_old_backup_is_migrated(tmp_path: Path) -> None:
    """A backup made by the first version, which had no audit log and no numbers."""
    old = tmp_path / "old.db"
    record = Record(f"sqlite:///{old}")
    from alembic import command

    from enforcement_api.database import engine

    config = engine._alembic()
    with record.engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(meta.insert().values(name="epoch", value="old"))
        connection.commit()
    record.close()
    content = old.read_bytes()
    manifest = {
        "format": 1, "made_at": "2026-11-23T15:15:00Z", "revision": "0001", "epoch": "old",
        "record_sha256": hashlib.sha256(content).hexdigest(), "rows": {"meta": 1}, "photos": 0,
        "missing": [], "heads": {},
    }  # fmt: skip
    with zipfile.ZipFile(tmp_path / "backup", "w") as archive:
        archive.writestr("record.db", content)
        archive.writestr("manifest.json", json.dumps(manifest))
    with running(tmp_path) as service:
        restored(service, tmp_path / "backup")
        assert service.parts.record.revision() != manifest["revision"]
        service.parts.record.check_ready()


# Photos


def test_photos_that_the_backup_lacks_stay(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        fill(service)
        made(service, tmp_path / "backup")
        later = picture("red")
        name = hashlib.sha256(later).hexdigest()
        device = service.device_client()
        assert device.put(f"/v1/photos/{name}", content=later).status_code == 201
        restored(service, tmp_path / "backup")
        assert path_of(service.settings.photo_dir, name).read_bytes() == later


def test_photo_that_is_damaged_or_gone_is_told_and_comes_back(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        fill(service)
        made(service, tmp_path / "whole")
        path = path_of(service.settings.photo_dir, PHOTO_NAME)
        path.write_bytes(b"rot")
        assert made(service, tmp_path / "rotten").manifest.missing == [PHOTO_NAME]
        path.unlink()
        assert made(service, tmp_path / "gone").manifest.missing == [PHOTO_NAME]
        restored(service, tmp_path / "gone")
        restored(service, tmp_path / "whole")
        assert path.read_bytes() == PHOTO


# Attached files


def held(service: Service) -> list[str]:
    return list(hashed_files.names(service.settings.attachment_dir))


def test_attached_files_come_back_and_stay_encrypted(service: Service, tmp_path: Path) -> None:
    service.site()
    cheque = picture("blue", kind="PNG")
    ids = [
        attach(service, PROOF),
        attach(service, PROOF),
        attach(service, cheque, purpose="cheque"),
    ]
    gone = attach(service, picture("red", kind="PNG"))
    service.admin.delete(f"/v1/attachments/{gone}").raise_for_status()
    summary = made(service, tmp_path / "backup").manifest
    assert (summary.attachments, summary.missing_attachments, summary.sealed) == (2, [], 1)
    with zipfile.ZipFile(tmp_path / "backup") as archive:
        names = archive.namelist()
        inside = b"".join(archive.read(name) for name in names)
    assert sorted(names) == sorted(
        ["record.db", "manifest.json", *(f"attachments/{name}" for name in held(service))]
    )
    key = service.settings.attachment_key_file.read_bytes()
    assert key.strip() not in inside
    assert cheque not in inside
    shutil.rmtree(service.settings.attachment_dir)
    restored(service, tmp_path / "backup")
    contents = [service.admin.get(f"/v1/attachments/{id}").content for id in ids]
    assert contents == [PROOF, PROOF, cheque]
    for name in held(service):
        path = path_of(service.settings.attachment_dir, name)
        assert path.stat().st_mode & 0o777 == 0o600


def test_encrypted_files_are_read_elsewhere_with_the_key_that_was_kept_apart(
    request: pytest.FixtureRequest, service: Service, database_url: str | None, tmp_path: Path
) -> None:
    service.site()
    id = attach(service, PROOF, purpose="cheque")
    made(service, tmp_path / "backup")
    there = other_engine(request, database_url)
    with running(tmp_path / "there", database_url=there) as other:
        restored(other, tmp_path / "backup")
        other.admin.headers["Authorization"] = service.admin.headers["Authorization"]
        answer = other.admin.get(f"/v1/attachments/{id}")
        assert answer.json()["type"] == "/problems/attachment-key-missing"
        assert not other.settings.attachment_key_file.exists()
        shutil.copy(service.settings.attachment_key_file, other.settings.attachment_key_file)
        assert other.admin.get(f"/v1/attachments/{id}").content == PROOF


def test_attached_file_that_is_damaged_or_gone_is_told_and_comes_back(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        fill(service)
        made(service, tmp_path / "whole")
        path = path_of(service.settings.attachment_dir, PROOF_NAME)
        path.write_bytes(b"rot")
        rotten = made(service, tmp_path / "rotten").manifest
        assert (rotten.missing_attachments, rotten.attachments) == ([PROOF_NAME], 0)
        path.unlink()
        assert made(service, tmp_path / "gone").manifest.missing_attachments == [PROOF_NAME]
        restored(service, tmp_path / "gone")
        restored(service, tmp_path / "whole")
        assert path.read_bytes() == PROOF


def test_what_was_attached_since_the_backup_is_swept(service: Service, tmp_path: Path) -> None:
    """The restored record knows nothing of it."""
    service.site()
    attach(service, PROOF)
    made(service, tmp_path / "backup")
    attach(service, picture("red", kind="PNG"))
    restored(service, tmp_path / "backup")
    assert len(held(service)) == 2
    at = service.clock()
    assert attachments.sweep(service.parts.record, service.settings, before=at, at=at) == []
    assert held(service) == [PROOF_NAME]


def test_backup_that_cannot_be_written_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        service.site()
        (tmp_path / "file").touch()
        with pytest.raises(BackupNotWritten, match="file"):
            made(service, tmp_path / "file" / "backup")
        made(service, tmp_path / "backups" / "backup")
        assert [path.name for path in (tmp_path / "backups").iterdir()] == ["backup"]


def test_secrets_are_in_no_entry(service: Service, tmp_path: Path) -> None:
    secret = service.key("admin")
    texts = service.parts.record.read(
        lambda tx: list(tx.execute(sa.text("SELECT entry FROM audit_log")).scalars())
    )
    assert not [text for text in texts if secret in text or hash_of_(secret) in text]


def hash_of_(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def test_pin_that_was_reset_since_the_backup_holds_after_a_restore(
    service: Service, tmp_path: Path
) -> None:
    service.site()
    device = service.device_client()
    hired(service, "forgot")
    made(service, tmp_path / "backup")
    office = Principal(id="ann", role="admin", name="Ann", source="ann", sites=None)
    at = service.clock.at
    pin = service.parts.administration.reset_pin("1085", "forgot", by=office, at=at)
    assert restored(service, tmp_path / "backup").carried_over
    assert not is_let_in(device, "forgot")
    assert is_let_in(device, "forgot", pin=pin)


def staff_of(service: Service, email: str, **facts: Any) -> Account:
    """Somebody of the staff whose password is OLD_WORDS."""
    given = {"role": "supervisor"} | facts
    _, link = service.parts.record.write(
        lambda tx: staff.create(tx, email=email, at=service.clock(), **given)
    )
    return service.parts.entrance.set_password(link, OLD_WORDS)


def enters(service: Service, email: str, password: str) -> Entered | None:
    try:
        return service.parts.entrance.sign_in(email, password, address="192.0.2.7", browser="")
    except SignInFailed:
        return None


OLD_WORDS, NEW_WORDS = "trois chats sur la neige", "quatre chiens dans le vent"


def test_staff_stay_in_or_out_as_they_were_before_a_restore(
    service: Service, tmp_path: Path
) -> None:
    boss = staff_of(service, "boss@example.org", role="administrator")
    gone = staff_of(service, "gone@example.org")
    lowered = staff_of(service, "lowered@example.org", role="administrator")
    inside = enters(service, "boss@example.org", OLD_WORDS)
    assert inside is not None
    made(service, tmp_path / "backup")
    record, at = service.parts.record, service.clock()
    record.write(lambda tx: staff.revoke(tx, gone, by="command", at=at))
    service.parts.entrance.change_password(boss, inside.session, old=OLD_WORDS, password=NEW_WORDS)
    as_supervisor = replace(lowered, role="supervisor")
    record.write(lambda tx: staff.change(tx, lowered, as_supervisor, by="command", at=at))
    staff_of(service, "new@example.org")
    assert restored(service, tmp_path / "backup").carried_over
    assert enters(service, "gone@example.org", OLD_WORDS) is None
    assert enters(service, "boss@example.org", OLD_WORDS) is None
    assert enters(service, "boss@example.org", NEW_WORDS) is not None
    assert enters(service, "new@example.org", OLD_WORDS) is None
    entered = enters(service, "lowered@example.org", OLD_WORDS)
    assert entered is not None
    assert entered.account.role == "supervisor"
    assert service.parts.entrance.follow(inside.secret) is None
    assert all(proof.reason is None for proof in service.parts.record.read(audit.verify))
