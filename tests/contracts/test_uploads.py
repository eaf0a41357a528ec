"""Uploads wait for the feed of their site; nobody else waits with them."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Connection

from enforcement_api.database.engine import Record
from enforcement_api.feed import store as feed
from sync import exchange
from tests.service import Service, infraction, new_id, running

UPLOADS = 45
"""More than the service has threads for whatever else is asked."""
SOON = 10
"""Seconds."""


def test_an_upload_is_told_to_come_again_before_a_handheld_gives_up(
    tmp_path: Path, database_url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    defaults = Record.__init__.__kwdefaults__
    assert defaults["lock_seconds"] < exchange.PATIENCE
    monkeypatch.setitem(defaults, "lock_seconds", 0.2)
    with running(tmp_path, database_url=database_url) as service:
        service.site()
        handheld = service.handheld()
        id = new_id()
        handheld.outbox.put_infraction(id, infraction(), (), at=service.clock())
        with service.parts.record.engine.connect() as holding:
            holding.exec_driver_sql("BEGIN IMMEDIATE" if database_url is None else "BEGIN")
            feed.lock(holding, "1085")
            answer = handheld.client.send(exchange.put_infraction(id, infraction()).request)
            assert (answer.status, answer.headers["retry-after"]) == (503, "5")
            with pytest.raises(exchange.Unreachable):
                handheld.push()
        handheld.push()
        assert service.reader.get(f"/v1/infractions/{id}").status_code == 200


def test_others_are_answered_while_uploads_wait_for_a_long_list_of_permits(
    service: Service,
) -> None:
    service.site()
    device = service.device_client()
    is_held, may_end = threading.Event(), threading.Event()

    def take_a_long_list(tx: Connection) -> None:
        feed.lock(tx, "1085")
        is_held.set()
        may_end.wait(60)

    with ThreadPoolExecutor(UPLOADS + 2) as threads:
        holding = threads.submit(service.parts.record.write, take_a_long_list)
        assert is_held.wait(SOON)
        uploads = [
            threads.submit(device.put, f"/v1/infractions/{new_id()}", json=infraction())
            for _ in range(UPLOADS)
        ]
        try:
            ends = time.monotonic() + SOON
            while sum(method == "PUT" for method, _ in service.bridge.requests) <= UPLOADS:
                assert time.monotonic() < ends
                time.sleep(0.01)
            for path in ("/v1/sites/1085/changes", "/v1/sites/1085/snapshot"):
                answer = threads.submit(service.admin.get, path).result(SOON)
                assert answer.status_code == 200
            assert not any(upload.done() for upload in uploads)
        finally:
            may_end.set()
        holding.result(SOON)
        assert [upload.result(60).status_code for upload in uploads] == [201] * UPLOADS
