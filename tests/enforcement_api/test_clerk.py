"""What is due is done by a serving process itself, and by nobody twice."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import httpx
import pytest

from enforcement_api.subscriptions.clerk import Clerk
from tests.enforcement_api.program import key, serving
from tests.mail import Mailbox
from tests.subscribing import new_id

DEADLINE_S = 30


def test_serving_process_sends_letters_and_its_links_work(tmp_path: Path) -> None:
    secret = key(tmp_path, "admin")
    with Mailbox() as mailbox:
        settings = {
            f"PATROUILLE_{name.upper()}": f"{value}" for name, value in mailbox.settings.items()
        }
        settings["PATROUILLE_CLERK_SECONDS"] = "0.2"
        with serving(tmp_path, settings=settings) as server, server.client(secret) as office:
            office.put("/v1/sites/1085", json={"name": "CHUS"}).raise_for_status()
            id = new_id()
            person = {
                "site": "1085",
                "email": "john.john@example.org",
                "first_name": "John",
                "last_name": "John",
                "mobile": "819 555-0123",
            }
            office.put(f"/v1/holders/{id}", json=person).raise_for_status()
            (letter,) = mailbox.wait_for(1)
            body = letter.get_body(("plain",))
            assert body is not None
            (link,) = re.findall(r"https?://\S+", body.get_content())
            assert link.startswith(server.address)
            shown = httpx.get(link, trust_env=False)
            assert "john.john@example.org" in shown.text
            httpx.post(link, trust_env=False).raise_for_status()
            holder = office.get(f"/v1/holders/{id}").json()
            assert holder["email_confirmed_at"] is not None
            assert [letter["state"] for letter in holder["letters"]] == ["sent"]
        assert len(mailbox.letters) == 1


def test_duty_that_fails_is_tried_again_and_holds_no_other_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tried, done, hangs = threading.Event(), threading.Event(), threading.Event()
    failures = iter([RuntimeError("the mail server is down")])

    def letters() -> int:
        for failure in failures:
            raise failure
        tried.set()
        return 1

    def charges() -> int:
        done.set()
        return 1

    def stuck() -> int:
        hangs.wait(DEADLINE_S)
        return 0

    clerk = Clerk({"stuck": stuck, "letters": letters, "charges": charges}, seconds=0.01)
    clerk.start()
    assert tried.wait(DEADLINE_S)
    assert done.wait(DEADLINE_S)
    hangs.set()
    clerk.stop()
    assert "letters failed; it is tried again" in caplog.text
    assert clerk.do_all() == 2
