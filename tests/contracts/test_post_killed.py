"""`kill -9` of a real courier at every moment of a letter: none is lost, and only the moment in
which nobody can know doubles one, under the same Message-ID.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from enforcement_api.database.engine import Record
from enforcement_api.settings import Settings
from enforcement_api.subscriptions import post
from enforcement_api.subscriptions.letters import Letter
from enforcement_api.subscriptions.post import Courier
from sync.codec import instant
from tests.mail import Mailbox, mailbox
from tests.service import NOW, Clock

__all__ = ["mailbox"]

ENDS_WITHIN_S = 60
LETTERS = 2


@pytest.fixture
def post_of(record: Record) -> Record:
    """A record with letters in it."""
    facts = {
        "name": "John John",
        "number": "100014764",
        "product": "5569 - Permis G",
        "site": "1085 - CHUS",
        "time_zone": "America/Toronto",
    }
    for number in range(LETTERS):
        letter = Letter(
            "1085", f"l{number}", "john", None, "resumed", "fr", "john@example.org", facts
        )
        record.write(lambda tx, letter=letter: post.write(record, tx, letter, at=NOW))
    return record


@contextlib.contextmanager
def courier(record: Record, mailbox: Mailbox) -> Iterator[subprocess.Popen[bytes]]:
    """The process; killed at the end of the block."""
    url = record.url.render_as_string(hide_password=False)
    command = [sys.executable, "-m", "tests.delivering", url, str(mailbox.port), instant(NOW)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait(ENDS_WITHIN_S)


def states(record: Record) -> set[str]:
    return {letter.state for letter in record.read(lambda tx: post.listed(tx, "1085"))}


def deliver_the_rest(record: Record, mailbox: Mailbox) -> list[str]:
    """What a service that is started again does; the Message-IDs of all that came."""
    clock = Clock()
    settings = replace(Settings(Path("unused"), "unused"), **mailbox.settings)
    after = Courier(record, settings, now=clock)
    # What was claimed by the one that died is left to it until its lease is over.
    after.deliver_due()
    clock.at += after.lease - timedelta(seconds=1)
    after.deliver_due()
    clock.advance(seconds=1)
    after.deliver_due()
    assert states(record) == {"sent"}
    ids = [str(letter["Message-ID"]) for letter in mailbox.letters]
    assert len(set(ids)) == LETTERS
    return ids


@pytest.mark.parametrize("stage", ["ehlo", "mail", "rcpt", "data", "end"])
def test_a_courier_that_is_killed_before_its_letter_is_taken_loses_and_doubles_none(
    post_of: Record, mailbox: Mailbox, stage: str
) -> None:
    """`ehlo`: connected; `mail`: claimed as well; `end`: everything sent, nothing answered."""
    held = mailbox.hold(stage)
    with courier(post_of, mailbox) as process:
        held.wait_until_reached()
        process.kill()
        process.wait(ENDS_WITHIN_S)
        held.wait_until_left()
    held.release()
    assert mailbox.letters == []
    assert states(post_of) == {"queued"}
    assert len(deliver_the_rest(post_of, mailbox)) == LETTERS


def test_one_that_is_killed_between_the_servers_yes_and_its_note_doubles_that_letter_alone(
    post_of: Record, mailbox: Mailbox
) -> None:
    held = mailbox.hold("end")
    with courier(post_of, mailbox) as process:
        held.wait_until_reached()
        with post_of.engine.connect() as other:
            # So that it cannot note it.
            if post_of.is_sqlite:
                other.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                other.execute(text("LOCK TABLE letters IN SHARE MODE"))
            held.release()
            mailbox.wait_for(1)
            process.kill()
            process.wait(ENDS_WITHIN_S)
            other.rollback()
    assert states(post_of) == {"queued"}
    (first,) = mailbox.letters
    ids = deliver_the_rest(post_of, mailbox)
    assert ids.count(str(first["Message-ID"])) == 2
    assert len(ids) == LETTERS + 1


def test_one_that_is_not_killed_sends_all(post_of: Record, mailbox: Mailbox) -> None:
    with courier(post_of, mailbox) as process:
        assert process.wait(ENDS_WITHIN_S) == 0
    assert states(post_of) == {"sent"}
    assert len(mailbox.letters) == LETTERS
