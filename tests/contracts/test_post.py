"""The post on both engines, against a real SMTP server (DOMAIN 4, "E-mails")."""

from __future__ import annotations

import itertools
import logging
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
from sqlalchemy import insert, select, text

from enforcement_api.database.engine import Record, RecordBusy
from enforcement_api.database.tables import contracts, letters
from enforcement_api.settings import Settings
from enforcement_api.subscriptions import contract, post
from enforcement_api.subscriptions.letters import Letter
from enforcement_api.subscriptions.post import Courier, Posted
from tests.contract_facts import contract_facts
from tests.mail import Mailbox, mailbox, trusting
from tests.service import NOW, Clock

__all__ = ["mailbox"]

SITE = "1085"
ENDS_WITHIN_S = 60
on_one_engine = pytest.mark.parametrize("record", ["sqlite"], indirect=True)
"""For what is between the courier and the mail server."""


class Post:
    """A record with letters in it, and couriers."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.clock = Clock()
        self._written = 0

    def letter(self, **given: Any) -> Letter:
        self._written += 1
        facts = {
            "name": "John John",
            "number": "100014764",
            "product": "5569 - Permis G",
            "site": "1085 - CHUS",
            "time_zone": "America/Toronto",
        } | given.pop("facts", {})
        whole: dict[str, Any] = {
            "site": SITE,
            "key": f"letter-{self._written}",
            "holder": "john",
            "subscription": "sub",
            "kind": "resumed",
            "language": "fr",
            "recipient": "john@example.org",
            "facts": facts,
        }
        return Letter(**(whole | given))

    def write(self, **given: Any) -> str:
        """Queue a letter; its id."""
        letter = self.letter(**given)
        self.record.write(lambda tx: post.write(self.record, tx, letter, at=self.clock()))
        return self.id_of(letter.key)

    def id_of(self, key: str) -> str:
        query = select(letters.c.id).where(letters.c.key == key)
        return str(self.record.read(lambda tx: tx.execute(query).scalar_one()))

    def courier(self, mailbox: Mailbox | None, **settings: Any) -> Courier:
        reached = {} if mailbox is None else mailbox.settings
        plain = Settings(data_dir=Path("unused"), database_url="unused")
        return Courier(self.record, replace(plain, **(reached | settings)), now=self.clock)

    def listed(self) -> list[Posted]:
        return self.record.read(lambda tx: post.listed(tx, SITE))

    def one(self, id: str | None = None) -> Posted:
        (found,) = [letter for letter in self.listed() if id in (None, letter.id)]
        return found

    def states(self) -> Counter[str]:
        return Counter(letter.state for letter in self.listed())


@pytest.fixture
def at(record: Record) -> Post:
    return Post(record)


# On its way


def test_a_letter_is_sent_once(at: Post, mailbox: Mailbox) -> None:
    at.write()
    courier = at.courier(mailbox)
    at.clock.advance(seconds=5)
    assert courier.deliver_due() == 1
    assert courier.deliver_due() == 0
    (mail,) = mailbox.mails
    assert mail.sender == "parking@example.org"
    assert mail.recipients == ("john@example.org",)
    letter = at.one()
    assert (letter.state, letter.attempts, letter.error) == ("sent", 1, None)
    assert (letter.queued_at, letter.sent_at) == (NOW, at.clock())
    assert letter.next_try_at is None


def test_it_says_whom_it_is_from_and_when_it_was_written(at: Post, mailbox: Mailbox) -> None:
    at.write()
    at.clock.advance(hours=2)
    at.courier(mailbox, mail_reply_to="office@example.org").deliver_due()
    (letter,) = mailbox.letters
    assert letter["From"] == "Stationnement <parking@example.org>"
    assert letter["To"] == "john@example.org"
    assert letter["Reply-To"] == "office@example.org"
    assert letter["Subject"] == "Votre abonnement n’est plus suspendu – contrat 100014764"
    assert parsedate_to_datetime(letter["Date"]) == NOW
    assert letter["Message-ID"] == f"<{at.one().id}@example.org>"
    assert letter["Content-Language"] == "fr"
    assert letter["Auto-Submitted"] == "auto-generated"
    plain, html = letter.get_body(("plain",)), letter.get_body(("html",))
    assert plain is not None
    assert html is not None
    assert "La suspension de votre abonnement est levée." in plain.get_content()
    assert "La suspension de votre abonnement est levée." in html.get_content()
    assert b"\r\n" in mailbox.mails[0].content
    assert mailbox.mails[0].content.isascii()


@on_one_engine
def test_a_line_that_is_a_dot_arrives(at: Post, mailbox: Mailbox) -> None:
    at.write(kind="refused", facts={"reason": "one\n.\n..two\n"})
    at.courier(mailbox).deliver_due()
    (letter,) = mailbox.letters
    plain = letter.get_body(("plain",))
    assert plain is not None
    assert "    one\n    .\n    ..two\n" in plain.get_content()


def test_the_contract_goes_with_it(at: Post, mailbox: Mailbox) -> None:
    facts = contract_facts()
    row = {"site": SITE, "subscription": "sub", "position": 2, "made_at": NOW, "facts": facts}
    at.record.write(lambda tx: tx.execute(insert(contracts).values(row)))
    at.write(
        kind="approved",
        facts={
            "starts_on": "2026-12-01",
            "ends_on": None,
            "activation_hours": 24,
            "plates": [],
            "contract": 2,
        },
    )
    assert at.courier(mailbox).deliver_due() == 1
    (letter,) = mailbox.letters
    assert letter["Content-Language"] == "fr"
    (attached,) = letter.iter_attachments()
    assert attached.get_content_type() == "application/pdf"
    assert attached.get_filename() == "contrat-100014764.pdf"
    assert attached.get_content() == contract.pdf(facts)


def test_what_is_about_the_same_is_written_once(at: Post, mailbox: Mailbox) -> None:
    at.write(key="approved:sub")
    at.write(key="approved:sub")
    assert at.courier(mailbox).deliver_due() == 1
    at.write(key="approved:sub")
    assert at.courier(mailbox).deliver_due() == 0
    assert len(mailbox.letters) == 1


def test_what_did_not_happen_is_not_told(at: Post, mailbox: Mailbox) -> None:
    def fail(tx: Any) -> None:
        post.write(at.record, tx, at.letter(), at=NOW)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        at.record.write(fail)
    assert at.courier(mailbox).deliver_due() == 0


def test_several_go_over_one_connection(at: Post, mailbox: Mailbox) -> None:
    for _ in range(5):
        at.write()
    assert at.courier(mailbox).deliver_due() == 5
    assert mailbox.connections == 1
    assert at.courier(mailbox).deliver_due() == 0
    assert mailbox.connections == 1  # nothing to send: nobody is called


def test_a_link_that_proves_an_address_is_forgotten_once_it_is_sent(
    at: Post, mailbox: Mailbox
) -> None:
    link = "https://parking.example.org/confirm?token=secret"
    facts = {"link": link, "expires_at": "2026-11-24T15:15:00Z"}
    at.write(kind="confirm_address", facts=facts)
    at.courier(mailbox).deliver_due()
    plain = mailbox.letters[0].get_body(("plain",))
    assert plain is not None
    assert f"\n{link}\n" in plain.get_content()
    (kept,) = at.record.read(lambda tx: tx.execute(select(letters.c.facts)).scalars().all())
    assert "link" not in kept


@on_one_engine
def test_the_next_letter_is_found_by_an_index(at: Post, mailbox: Mailbox) -> None:
    at.write()
    asked: list[str] = []
    connection = at.record.engine.raw_connection()
    connection.driver_connection.set_trace_callback(asked.append)  # type: ignore[union-attr]
    connection.close()
    at.courier(mailbox).deliver_due()
    found = [query for query in asked if query.startswith("SELECT") and "next_try_at <=" in query]
    assert found
    for query in found:
        explained = f"EXPLAIN QUERY PLAN {query}"
        plan = at.record.read(lambda tx, q=explained: tx.exec_driver_sql(q).all())
        assert "ix_letters_queued" in str(plan)


# Waiting


def test_without_a_mail_server_letters_wait(at: Post) -> None:
    at.write()
    assert at.courier(None).deliver_due() == 0
    assert at.states() == {"queued": 1}


def test_with_the_mail_server_down_letters_wait_and_say_why(at: Post, mailbox: Mailbox) -> None:
    at.write()
    at.write()
    mailbox.go_down()
    courier = at.courier(mailbox)
    for _ in range(300):
        assert courier.deliver_due() == 0
        at.clock.advance(hours=1)
    assert at.states() == {"queued": 2}
    for letter in at.listed():
        assert letter.attempts == 0
        assert "refused" in str(letter.error)
    mailbox.come_back()
    assert courier.deliver_due() == 2
    assert {letter.error for letter in at.listed()} == {None}


def test_a_mail_server_that_is_down_is_not_called_at_every_turn(at: Post, mailbox: Mailbox) -> None:
    at.write()
    mailbox.hang_up("ehlo")
    courier = at.courier(mailbox)
    for _ in range(120):
        courier.deliver_due()
        at.clock.advance(seconds=5)
    # In ten minutes: at 0, 1, 3, 7 minutes.
    assert mailbox.connections == 4
    mailbox.behave()
    at.clock.advance(minutes=5)
    assert courier.deliver_due() == 1


def test_a_clock_that_is_set_back_makes_no_pause_longer(at: Post, mailbox: Mailbox) -> None:
    at.write()
    mailbox.hang_up("ehlo", times=1)
    courier = at.courier(mailbox)
    at.clock.advance(days=400)
    assert courier.deliver_due() == 0
    at.clock.advance(days=-399)
    assert courier.deliver_due() == 1


@pytest.mark.parametrize("stage", ["mail", "rcpt", "end"])
def test_a_letter_that_is_put_off_is_tried_again_and_is_the_same_one(
    at: Post, mailbox: Mailbox, stage: str
) -> None:
    at.write()
    mailbox.refuse(stage, "451 4.7.1 greylisted, come again")
    courier = at.courier(mailbox)
    assert courier.deliver_due() == 0
    assert at.one().state == "queued"
    assert "greylisted" in str(at.one().error)
    mailbox.behave()
    assert courier.deliver_due() == 0
    at.clock.advance(seconds=59)
    assert courier.deliver_due() == 0
    at.clock.advance(seconds=1)
    assert courier.deliver_due() == 1
    (letter,) = mailbox.letters
    assert parsedate_to_datetime(letter["Date"]) == NOW
    assert letter["Message-ID"] == f"<{at.one().id}@example.org>"


def test_a_letter_that_is_put_off_for_days_fails(at: Post, mailbox: Mailbox) -> None:
    at.write()
    mailbox.refuse("rcpt", "450 4.2.2 mailbox full")
    courier = at.courier(mailbox, letter_days=2)
    tries: list[datetime] = []
    while at.one().state == "queued":
        next_try_at = at.one().next_try_at
        assert next_try_at is not None
        at.clock.at = next_try_at
        tries.append(next_try_at)
        courier.deliver_due()
    waits = [after - before for before, after in itertools.pairwise(tries)]
    minutes = [wait / timedelta(minutes=1) for wait in waits]
    assert minutes[:9] == [1, 2, 4, 8, 16, 32, 64, 128, 256]
    assert set(minutes[9:]) == {360}
    assert timedelta(days=1.75) < tries[-1] - NOW <= timedelta(days=2)
    assert at.one().error == "450 4.2.2 mailbox full"
    assert at.one().attempts == len(tries)


# Refused


@pytest.mark.parametrize("stage", ["rcpt", "end"])
def test_a_letter_that_is_refused_for_good_fails_with_the_servers_words(
    at: Post, mailbox: Mailbox, stage: str
) -> None:
    refused = at.write()
    mailbox.refuse(stage, "550 5.1.1 no such person here")
    courier = at.courier(mailbox)
    assert courier.deliver_due() == 0
    mailbox.behave()
    at.write()
    at.clock.advance(days=1)
    assert courier.deliver_due() == 1
    failed = at.one(refused)
    assert (failed.state, failed.attempts) == ("failed", 1)
    assert failed.error == "550 5.1.1 no such person here"
    assert failed.next_try_at is None


@on_one_engine
def test_one_that_is_refused_holds_up_no_other(at: Post, mailbox: Mailbox) -> None:
    at.write(recipient="nobody@example.org")
    at.clock.advance(seconds=1)
    at.write(recipient="john@example.org")
    mailbox.refuse_recipient("nobody@example.org", "550 5.1.1 no such person here")
    assert at.courier(mailbox).deliver_due() == 1
    assert at.states() == {"failed": 1, "sent": 1}
    assert mailbox.connections == 1


@on_one_engine
@pytest.mark.parametrize(
    ("stage", "answer"),
    [
        ("mail", "550 5.7.1 you may not send"),
        ("mail", "530 5.7.0 sign in first"),
        ("mail", "421 closing"),
        ("rcpt", "421 closing"),
        ("data", "421 closing"),
        ("end", "421 closing"),
    ],
)
def test_what_is_not_the_letters_fault_keeps_it_queued(
    at: Post, mailbox: Mailbox, stage: str, answer: str
) -> None:
    at.write()
    at.write()
    mailbox.refuse(stage, answer)
    courier = at.courier(mailbox)
    for _ in range(40):
        assert courier.deliver_due() == 0
        at.clock.advance(hours=6)
    assert at.states() == {"queued": 2}
    assert {letter.attempts for letter in at.listed()} == {0}
    assert {answer[4:] in str(letter.error) for letter in at.listed()} == {True}
    mailbox.behave()
    assert courier.deliver_due() == 2


@on_one_engine
@pytest.mark.parametrize("answer", ["554 5.7.1 relay access denied", "530 5.7.0 sign in first"])
def test_whoever_forgot_to_sign_in_loses_no_letter(at: Post, mailbox: Mailbox, answer: str) -> None:
    at.write()
    mailbox.refuse("rcpt", answer)
    courier = at.courier(mailbox)
    courier.deliver_due()
    assert (at.one().state, at.one().error) == ("queued", answer)
    mailbox.behave()
    at.clock.advance(minutes=1)
    assert courier.deliver_due() == 1


@on_one_engine
@pytest.mark.parametrize("stage", ["ehlo", "mail", "rcpt", "data"])
def test_a_connection_that_ends_loses_nothing(at: Post, mailbox: Mailbox, stage: str) -> None:
    for _ in range(3):
        at.write()
    mailbox.hang_up(stage, times=1)
    courier = at.courier(mailbox)
    assert courier.deliver_due() == 0
    assert at.states() == {"queued": 3}
    at.clock.advance(minutes=11)
    assert courier.deliver_due() == 3
    ids = [letter["Message-ID"] for letter in mailbox.letters]
    assert len(ids) == len(set(ids)) == 3


def test_a_letter_at_which_the_server_hangs_up_lets_others_go_first(
    at: Post, mailbox: Mailbox
) -> None:
    at.write(recipient="trouble@example.org")
    at.clock.advance(seconds=1)
    at.write()
    courier = at.courier(mailbox)
    mailbox.hang_up("rcpt", times=1)
    assert courier.deliver_due() == 0
    at.clock.advance(minutes=1)
    assert courier.deliver_due() == 1
    assert mailbox.mails[0].recipients == ("john@example.org",)


def test_an_answer_that_is_lost_is_the_one_moment_that_doubles(at: Post, mailbox: Mailbox) -> None:
    """The server has it, and nobody can know: the same Message-ID goes again."""
    at.write()
    mailbox.hang_up("end", times=1)
    courier = at.courier(mailbox)
    assert courier.deliver_due() == 0
    at.clock.advance(minutes=11)
    assert courier.deliver_due() == 1
    first, second = mailbox.letters
    assert first["Message-ID"] == second["Message-ID"]
    assert first["Date"] == second["Date"]
    assert first["Subject"] == second["Subject"]


@on_one_engine
def test_a_silent_mail_server_is_not_waited_for_for_ever(at: Post, mailbox: Mailbox) -> None:
    at.write()
    plain = Settings(data_dir=Path("unused"), database_url="unused")
    settings = replace(plain, **mailbox.settings)
    courier = Courier(at.record, settings, now=at.clock, seconds=0.2, last_seconds=0.3)
    for stage in ("ehlo", "mail", "rcpt", "data"):
        held = mailbox.hold(stage)
        assert courier.deliver_due() == 0
        held.release()
        assert "timed out" in str(at.one().error)
        at.clock.advance(hours=1)
    assert courier.deliver_due() == 1


# Several couriers


def test_couriers_at_once_send_each_letter_once(at: Post, mailbox: Mailbox) -> None:
    for _ in range(24):
        at.write()
    couriers = [at.courier(mailbox) for _ in range(3)]
    start = threading.Barrier(3)

    def deliver(courier: Courier) -> int:
        start.wait(ENDS_WITHIN_S)
        return courier.deliver_due()

    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(deliver, couriers)) == 24
    ids = [letter["Message-ID"] for letter in mailbox.letters]
    assert len(ids) == len(set(ids)) == 24
    assert at.states() == {"sent": 24}


@contextmanager
def delivering(courier: Courier) -> Iterator[Any]:
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(courier.deliver_due)


def test_a_claimed_letter_is_anothers_after_the_lease_and_not_before(
    at: Post, mailbox: Mailbox
) -> None:
    at.write()
    first, second = at.courier(mailbox), at.courier(mailbox)
    held = mailbox.hold("mail")
    with delivering(first) as done:
        held.wait_until_reached()
        at.clock.advance(seconds=first.lease.total_seconds() - 1)
        assert second.deliver_due() == 0
        at.clock.advance(seconds=1)
        assert second.deliver_due() == 1
        # The first comes to itself when it is too late, and is put off.
        mailbox.refuse("mail", "451 not now")
        held.release()
        assert done.result(ENDS_WITHIN_S) == 0
    assert at.one().state == "sent"
    assert len(mailbox.letters) == 1


def test_what_the_record_could_not_note_is_not_sent_again(at: Post, mailbox: Mailbox) -> None:
    at.write()
    at.write()
    hurried = Record(at.record.url.render_as_string(hide_password=False), lock_seconds=0.2)
    settings = replace(Settings(Path("unused"), "unused"), **mailbox.settings)
    courier = Courier(hurried, settings, now=at.clock)
    held = mailbox.hold("end")
    try:
        with delivering(courier) as done:
            held.wait_until_reached()
            with at.record.engine.connect() as other:
                if at.record.is_sqlite:
                    other.exec_driver_sql("BEGIN IMMEDIATE")
                else:
                    other.execute(text("LOCK TABLE letters IN ACCESS EXCLUSIVE MODE"))
                held.release()
                with pytest.raises(RecordBusy):
                    done.result(ENDS_WITHIN_S)
                other.rollback()
        assert at.states() == {"queued": 2}
        at.clock.advance(hours=1)
        assert courier.deliver_due() == 1
    finally:
        hurried.close()
    assert at.states() == {"sent": 2}
    ids = [letter["Message-ID"] for letter in mailbox.letters]
    assert len(ids) == len(set(ids)) == 2


# What staff does


def test_a_letter_that_failed_is_tried_again_for_days(at: Post, mailbox: Mailbox) -> None:
    id = at.write()
    mailbox.refuse("rcpt", "550 no such person here")
    courier = at.courier(mailbox)
    courier.deliver_due()
    at.clock.advance(days=30)
    mailbox.refuse("rcpt", "450 not now")
    at.record.write(lambda tx: post.retry(tx, SITE, id, at.clock()))
    courier.deliver_due()
    assert at.one().state == "queued"
    mailbox.behave()
    at.clock.advance(minutes=1)
    assert courier.deliver_due() == 1
    (letter,) = mailbox.letters
    assert parsedate_to_datetime(letter["Date"]) == NOW


def test_only_what_is_there_and_was_not_sent_is_tried_again(at: Post, mailbox: Mailbox) -> None:
    id = at.write()
    at.courier(mailbox).deliver_due()
    with pytest.raises(post.LetterSent, match="2026-11-23T15:15:00Z"):
        at.record.write(lambda tx: post.retry(tx, SITE, id, NOW))
    with pytest.raises(post.UnknownLetter):
        at.record.write(lambda tx: post.retry(tx, SITE, "another", NOW))
    with pytest.raises(post.UnknownLetter):
        at.record.write(lambda tx: post.retry(tx, "2000", id, NOW))


def test_what_waits_goes_to_the_new_address(at: Post, mailbox: Mailbox) -> None:
    facts = {"link": "https://parking.example.org/x", "expires_at": "2026-11-24T15:15:00Z"}
    at.write()
    at.write(holder="mary", recipient="mary@example.org")
    at.write(kind="confirm_address", facts=facts)
    at.record.write(lambda tx: post.address_changed(tx, SITE, "john", "new@example.org"))
    at.courier(mailbox).deliver_due()
    to = Counter(mail.recipients[0] for mail in mailbox.mails)
    # A link that proves an address goes to that one.
    assert to == {"new@example.org": 1, "mary@example.org": 1, "john@example.org": 1}


def test_letters_are_listed_by_whom_they_go_to_and_what_they_are_about(at: Post) -> None:
    mine = at.write()
    at.clock.advance(seconds=1)
    other = at.write(subscription="other")
    at.write(holder="mary", subscription="marys")

    def ids(**by: str) -> list[str]:
        return [found.id for found in at.record.read(lambda tx: post.listed(tx, SITE, **by))]

    assert ids(holder="john") == [mine, other]
    assert ids(subscription="other") == [other]
    assert at.record.read(lambda tx: post.listed(tx, "2000", holder="john")) == []


# What cannot be sent


@on_one_engine
@pytest.mark.parametrize(
    "given",
    [
        {"kind": "unknown"},
        {"kind": "approved"},  # its facts are missing
        {"facts": {"time_zone": "Nowhere/Land"}},
        {"facts": {"contract": 7}},  # there is none
        {"recipient": "john@example.org\nBcc: all@example.org"},
        {"recipient": "nobody"},
        {"recipient": "a@b, c@d"},
        {"recipient": "éric@example.org"},  # no mail server in ten would take it
    ],
)
def test_a_letter_that_cannot_be_written_holds_up_no_other(
    at: Post, mailbox: Mailbox, given: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    broken = at.write(**given)
    at.clock.advance(seconds=1)
    at.write()
    assert at.courier(mailbox).deliver_due() == 1
    assert at.one(broken).state == "failed"
    assert at.one(broken).error
    (mail,) = mailbox.mails
    assert mail.recipients == ("john@example.org",)
    assert "example.org" not in caplog.text


@on_one_engine
def test_a_domain_in_other_letters_is_reached(at: Post, mailbox: Mailbox) -> None:
    at.write(recipient="john@théâtre.example")
    assert at.courier(mailbox).deliver_due() == 1
    assert mailbox.mails[0].recipients == ("john@xn--thtre-4qa2c.example",)
    assert mailbox.letters[0]["To"] == "john@xn--thtre-4qa2c.example"


# Encryption and signing in


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@on_one_engine
@pytest.mark.parametrize("tls", [False, True], ids=["starttls", "tls"])
def test_letters_go_encrypted_to_a_server_that_is_who_it_says(
    at: Post, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, tls: bool
) -> None:
    at.write()
    with (
        Mailbox(authority=authority, tls=tls, user="parking", password="s3cret") as mailbox,
        trusting(authority, monkeypatch),
    ):
        assert at.courier(mailbox).deliver_due() == 1
        assert len(mailbox.letters) == 1


@on_one_engine
@pytest.mark.parametrize("tls", [False, True], ids=["starttls", "tls"])
def test_an_unknown_authority_or_another_name_gets_nothing(
    at: Post, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, tls: bool
) -> None:
    at.write()
    with Mailbox(authority=authority, tls=tls) as mailbox:
        assert at.courier(mailbox).deliver_due() == 0
        assert "certificate verify failed" in str(at.one().error)
    with (
        Mailbox(authority=authority, tls=tls, certified="elsewhere.example.org") as mailbox,
        trusting(authority, monkeypatch),
    ):
        assert at.courier(mailbox).deliver_due() == 0
        assert mailbox.letters == []
    assert at.one().state == "queued"


@on_one_engine
def test_a_server_that_does_not_encrypt_gets_neither_letter_nor_password(
    at: Post, mailbox: Mailbox
) -> None:
    at.write()
    secure = {"smtp_security": "starttls", "smtp_user": "parking", "smtp_password": "s3cret"}
    assert at.courier(mailbox, **secure).deliver_due() == 0
    assert mailbox.letters == []
    assert "STARTTLS" in str(at.one().error)


@on_one_engine
def test_a_wrong_password_keeps_everything_queued_and_is_not_shown(
    at: Post,
    authority: trustme.CA,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    at.write()
    caplog.set_level(logging.DEBUG)
    with (
        Mailbox(authority=authority, user="parking", password="s3cret") as mailbox,
        trusting(authority, monkeypatch),
    ):
        courier = at.courier(mailbox, smtp_password="wr0ng-one")
        assert courier.deliver_due() == 0
        assert (at.one().state, at.one().attempts) == ("queued", 0)
        assert "535" in str(at.one().error)
        ours = [entry.getMessage() for entry in caplog.records if "patr" in entry.pathname]
        assert "wr0ng-one" not in f"{at.one()} {ours} {courier!r} {courier._settings!r}"
        at.clock.advance(minutes=5)
        assert at.courier(mailbox).deliver_due() == 1


@on_one_engine
def test_what_is_logged_names_nobody(
    at: Post, mailbox: Mailbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="enforcement_api")
    at.write()
    mailbox.refuse("rcpt", "550 5.1.1 <john@example.org>: no such person here")
    at.courier(mailbox).deliver_due()
    assert "550" in caplog.text
    assert "john" not in caplog.text.lower()
