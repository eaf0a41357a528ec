"""The commands that operate an installation, as processes."""

from __future__ import annotations

import json
from pathlib import Path

import sqlalchemy as sa

from enforcement_api.database.engine import Record
from tests.enforcement_api.program import key, open_site, patrouille, serving, updates
from tests.service import new_id, picture


def test_backup_is_made_while_serving_and_restored_when_stopped(tmp_path: Path) -> None:
    data_dir, file = tmp_path / "data", tmp_path / "backup"
    with serving(data_dir) as server, server.client(key(data_dir)) as client:
        open_site(client)
        client.post("/v1/plate-updates", json={"updates": updates([1])}).raise_for_status()
        saved = patrouille(data_dir, "backup", file)
        assert saved.returncode == 0, saved.stderr
        summary = json.loads(saved.stdout)
        refused = patrouille(data_dir, "restore", file)
        assert refused.returncode == 1
        assert "Stop the service" in refused.stderr
        client.post("/v1/plate-updates", json={"updates": updates([2])}).raise_for_status()
        assert server.end() == 0
    done = patrouille(data_dir, "restore", file)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["epoch"] != summary["epoch"]
    assert told["carried_over"] is True
    assert f"between {told['as_of']} and " in done.stderr
    assert "patrollers who were removed stay out" in done.stderr
    verdicts = [
        patrouille(data_dir, "check", f"P00000{n}", "--site", "1085", "--zone", "G1").stdout
        for n in (1, 2)
    ]
    assert verdicts == ["valid\n", "unknown\n"]
    (data_dir / "record.db").unlink()
    done = patrouille(data_dir, "restore", file)
    assert json.loads(done.stdout)["carried_over"] is False
    assert "they are let in again" in done.stderr


def test_backup_says_that_the_key_of_what_is_encrypted_is_to_be_kept_apart(tmp_path: Path) -> None:
    data_dir, file = tmp_path / "data", tmp_path / "backup"
    kept_in = str(data_dir / "attachment.key")
    with serving(data_dir) as server, server.client(key(data_dir)) as client:
        open_site(client)
        assert kept_in not in patrouille(data_dir, "backup", file).stderr
        path, query = f"/v1/attachments/{new_id()}", {"site": "1085", "purpose": "cheque"}
        client.put(path, params=query, content=picture(kind="PNG")).raise_for_status()
        saved = patrouille(data_dir, "backup", file)
        assert kept_in in saved.stderr
        assert json.loads(saved.stdout)["attachments"] == 1
        assert server.end() == 0
    assert kept_in in patrouille(data_dir, "restore", file).stderr


def test_audit_is_verified_and_a_break_is_told(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    key(data_dir)
    key(data_dir)
    whole = patrouille(data_dir, "audit", "verify")
    assert (whole.returncode, whole.stderr) == (0, "")
    [head] = whole.stdout.split()
    assert head.startswith("-=2:")
    assert patrouille(data_dir, "audit", "verify", "--head", head).returncode == 0
    assert patrouille(data_dir, "audit", "verify", "--head", "nonsense").returncode == 2

    record = Record(f"sqlite:///{data_dir / 'record.db'}")

    def cut(tx: sa.Connection) -> None:
        tx.execute(sa.text("DROP TRIGGER audit_log_no_delete"))
        tx.execute(sa.text("DELETE FROM audit_log WHERE number = 2"))

    record.write(cut)
    record.close()
    broken = patrouille(data_dir, "audit", "verify")
    assert broken.returncode == 1
    assert "broken at entry 2" in broken.stderr
