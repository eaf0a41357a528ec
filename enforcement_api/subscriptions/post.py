"""The post: letters wait in the record, written in the transaction that they tell of, until a
courier has handed them to a mail server.

    queued -> sent | failed;  failed -> queued (retry)

A letter belongs to the courier that claimed it until its lease ends, so that any number of
processes may deliver from one record and none sends what another does; one that dies leaves its
letter to the next, when the lease is over. Every way of a letter is one transaction, and that it
was sent is written down right after the mail server's 250.

What SMTP itself cannot tell is whether a message was taken when the connection, or our process,
ends between the message's last line and our note of the 250. Such a letter is sent again rather
than lost. Its Message-ID is the same at each try, and its Date is when it was queued: programs that
read mail show it once.
"""

from __future__ import annotations

import contextlib
import logging
import re
import smtplib
import ssl
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any

from sqlalchemy import Connection, Row, literal_column, or_, select, update

from enforcement_api.database.engine import Record
from enforcement_api.database.tables import contracts, letters
from enforcement_api.problems import N_, Problem
from enforcement_api.settings import SMTP_PORTS, Settings, mail_address
from enforcement_api.subscriptions import contract
from enforcement_api.subscriptions.letters import Letter, compose
from enforcement_api.wording import Words, line
from sync import codec

MOST_AT_ONCE = 100
"""Letters that one call sends at most: whoever calls has other things to do as well."""
SECONDS = 30.0
"""How long a mail server may take for an answer."""
LAST_SECONDS = 600.0
"""How long for the one that says that it has the letter (RFC 5321, 4.5.3.2.6): to give up earlier
is to send it twice."""
FIRST_WAIT, LONGEST_WAIT = timedelta(minutes=1), timedelta(hours=6)
"""Between two tries of a letter that is put off: the first, doubled up to the longest."""
AFTER_A_HANG_UP = timedelta(minutes=10)
"""How long others go before a letter at which the mail server ended the connection."""
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(minutes=5)
"""Between two tries to reach a mail server."""
LONGEST_WORDS = 500

_log = logging.getLogger(__name__)
_c = letters.c
# As it is in the indexes of the table: a database cannot tell that a parameter says the same.
_QUEUED = _c.state == literal_column("'queued'")
_CLOSING = 421


class UnknownLetter(Problem):
    """No such letter at this site."""

    status = 404
    slug = "unknown-letter"
    title = N_("There is no such letter")
    detail = N_("Take the id from the list of letters.")


class LetterSent(Problem):
    """It was sent, and is not sent again."""

    status = 409
    slug = "letter-sent"
    title = N_("This letter was sent already")
    detail = N_("The mail server took it at {sent_at}. Nothing was done.")


# What others do with letters, each within a transaction of theirs


@dataclass(frozen=True, slots=True)
class Posted:
    """What became of a letter. `error`: what the mail server, or the way to it, said last."""

    id: str
    kind: str
    subscription: str | None
    state: str
    queued_at: datetime
    sent_at: datetime | None
    next_try_at: datetime | None
    attempts: int
    error: str | None

    def as_json(self) -> dict[str, Any]:
        """A letter as it is answered."""
        return {
            "id": self.id,
            "kind": self.kind,
            "subscription": self.subscription,
            "state": self.state,
            "queued_at": codec.instant(self.queued_at),
            "sent_at": codec.optional_instant(self.sent_at),
            "next_try_at": codec.optional_instant(self.next_try_at),
            "attempts": self.attempts,
            "error": self.error,
        }


def write(record: Record, tx: Connection, letter: Letter, *, at: datetime) -> None:
    """Queue a letter; nothing if the site has one of this key."""
    new = record.insert(letters).values(
        site=letter.site,
        id=str(uuid.uuid4()),
        key=letter.key,
        holder=letter.holder,
        subscription=letter.subscription,
        kind=letter.kind,
        language=letter.language,
        recipient=letter.recipient,
        facts=dict(letter.facts),
        # Given at the first try: its right half is the domain of whom letters come from.
        message_id="",
        state="queued",
        queued_at=at,
        next_try_at=at,
        attempts=0,
    )
    tx.execute(new.on_conflict_do_nothing(index_elements=[_c.site, _c.key]))


def address_changed(tx: Connection, site: str, holder: str, recipient: str) -> None:
    """What a holder has not been sent yet goes to the new address, but for what is to prove the
    old one.
    """
    tx.execute(
        update(letters)
        .where(_c.site == site, _c.holder == holder)
        .where(_c.state != "sent", _c.kind != "confirm_address")
        .values(recipient=recipient)
    )


def listed(
    tx: Connection, site: str, *, holder: str | None = None, subscription: str | None = None
) -> list[Posted]:
    """The letters to a holder, or about a subscription, the oldest first."""
    found = select(letters).where(_c.site == site).order_by(_c.queued_at, _c.id)
    if holder is not None:
        found = found.where(_c.holder == holder)
    if subscription is not None:
        found = found.where(_c.subscription == subscription)
    return [
        Posted(
            id=row.id,
            kind=row.kind,
            subscription=row.subscription,
            state=row.state,
            queued_at=row.queued_at,
            sent_at=row.sent_at,
            next_try_at=row.next_try_at if row.state == "queued" else None,
            attempts=row.attempts,
            error=row.error,
        )
        for row in tx.execute(found)
    ]


def retry(tx: Connection, site: str, id: str, at: datetime) -> None:
    """Have a letter tried now that failed or waits, and for as long as a new one.

    Raises UnknownLetter, LetterSent.
    """
    here = (_c.site == site, _c.id == id)
    tried = (
        update(letters)
        .where(*here, _c.state != "sent")
        .values(state="queued", next_try_at=at, attempts=0)
    )
    if tx.execute(tried).rowcount:
        return
    sent_at = tx.execute(select(_c.sent_at).where(*here)).scalar()
    if sent_at is None:
        raise UnknownLetter
    raise LetterSent(sent_at=f"{sent_at:%Y-%m-%dT%H:%M:%SZ}")


def wait(attempts: int, *, days: int) -> timedelta | None:
    """How long after this many tries a letter is tried again; None when it was tried for so many
    days.
    """
    in_all, next_wait = timedelta(0), FIRST_WAIT
    for _ in range(attempts):
        this, next_wait = next_wait, min(next_wait * 2, LONGEST_WAIT)
        in_all += this
    return this if in_all <= timedelta(days=days) else None


# Delivering


class _Unreachable(Exception):
    """The mail server cannot be reached, or takes no letters of ours: no letter's fault."""


class _HungUp(_Unreachable):
    """It ended the connection, or fell silent, in the middle of a letter."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a mail server said to a letter."""

    code: int
    words: str

    @property
    def is_yes(self) -> bool:
        return 200 <= self.code < 300

    @property
    def is_final(self) -> bool:
        """Whether it would be the same another day. A refusal for reasons of policy (5.7.x, 530)
        mostly is of us: whoever forgot a password should not lose letters for it.
        """
        is_policy = self.code in (530, 535) or re.match(r"5\.7\.\d", self.words)
        return self.code >= 500 and not is_policy

    def __str__(self) -> str:
        return f"{self.code} {self.words}"[:LONGEST_WORDS]


class Courier:
    """Hands letters to a mail server. Of one thread."""

    def __init__(
        self,
        record: Record,
        settings: Settings,
        *,
        now: Callable[[], datetime],
        seconds: float = SECONDS,
        last_seconds: float = LAST_SECONDS,
    ) -> None:
        """`seconds`: how long an answer is waited for; `last_seconds`: for the one at the end."""
        self._record = record
        self._settings = settings
        self._now = now
        self._seconds = seconds
        self._last_seconds = last_seconds
        # Longer than a letter can take: MAIL, RCPT, DATA and its lines, then the last answer.
        self.lease = timedelta(seconds=6 * seconds + last_seconds)
        self._from = mail_address(settings.mail_from) if settings.smtp_host else None
        self._taken: dict[tuple[str, str], datetime] = {}
        self._resume_at: datetime | None = None
        self._pause = FIRST_PAUSE

    def deliver_due(self) -> int:
        """Send the letters that are due; how many the mail server took. Nothing without a mail
        server, and for some minutes after it could not be reached.

        Raises RecordUnavailable, RecordBusy, StorageFailed; what was sent is not sent again for it.
        """
        self._note_taken()
        if self._from is None or self._is_pausing() or not self._is_any_due():
            return 0
        taken = 0
        try:
            with self._connected(self._from) as server:
                for _ in range(MOST_AT_ONCE):
                    claimed = self._claim(self._from)
                    if claimed is None:
                        break
                    taken += self._deliver(server, self._from, claimed)
        except _Unreachable as problem:
            self._resume_at = self._now() + self._pause
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
            _log.warning("letters wait: %s", problem)
            self._tell_waiting(str(problem))
        else:
            self._resume_at = None
        return taken

    def _is_pausing(self) -> bool:
        # A clock that was set back must not make the pause longer.
        return (
            self._resume_at is not None
            and timedelta(0) < self._resume_at - self._now() <= LONGEST_PAUSE
        )

    # The record

    def _is_any_due(self) -> bool:
        due = select(_c.id).where(*_due(self._now())).limit(1)
        return self._record.read(lambda tx: tx.execute(due).first()) is not None

    def _claim(self, sender: Address) -> Row[Any] | None:
        """The letter that is due first, ours until the lease ends."""
        at = self._now()
        first = (
            select(letters)
            .where(*_due(at))
            .order_by(_c.next_try_at, _c.queued_at)
            .limit(1)
            .with_for_update(skip_locked=True)
        )

        def claim(tx: Connection) -> Row[Any] | None:
            found = tx.execute(first).first()
            if found is None:
                return None
            message_id = found.message_id or f"<{found.id}@{sender.domain}>"
            return tx.execute(
                update(letters)
                .where(_c.site == found.site, _c.id == found.id)
                .values(claimed_until=at + self.lease, message_id=message_id)
                .returning(letters)
            ).one()

        return self._record.write(claim)

    def _release(self, claimed: Row[Any], **changes: Any) -> None:
        """It is nobody's again, unless it is somebody else's by now."""
        ours = (
            update(letters)
            .where(_c.site == claimed.site, _c.id == claimed.id)
            .where(_QUEUED, _c.claimed_until == claimed.claimed_until)
            .values(claimed_until=None, **changes)
        )
        self._record.write(lambda tx: tx.execute(ours))

    def _note_taken(self) -> None:
        """Write down what the mail server took. What the record could not take at once is tried
        before anything else is sent.
        """
        for (site, id), at in list(self._taken.items()):
            here = (_c.site == site, _c.id == id)

            def note(tx: Connection, here: Any = here, at: datetime = at) -> None:
                facts = tx.execute(select(_c.facts).where(*here)).scalar() or {}
                # A link that proves an address is a secret, and is kept no longer than needed.
                kept = {name: fact for name, fact in facts.items() if name != "link"}
                tx.execute(
                    update(letters)
                    .where(*here, _c.state != "sent")
                    .values(
                        state="sent",
                        sent_at=at,
                        claimed_until=None,
                        attempts=_c.attempts + 1,
                        error=None,
                        facts=kept,
                    )
                )

            self._record.write(note)
            del self._taken[site, id]

    def _tell_waiting(self, why: str) -> None:
        told = update(letters).where(*_due(self._now()), _c.error.is_distinct_from(why))
        self._record.write(lambda tx: tx.execute(told.values(error=why)))

    # One letter

    def _deliver(self, server: smtplib.SMTP, sender: Address, claimed: Row[Any]) -> bool:
        """Whether the mail server took it. Raises _Unreachable."""
        try:
            message = self._message(sender, claimed)
        except Problem:
            raise
        except Exception as error:
            # A defect of ours, or facts of another version: the others must not wait for it. What
            # it says may be personal.
            _log.error("letter %s cannot be written: %s", claimed.id, type(error).__name__)
            self._release(claimed, state="failed", error=f"{type(error).__name__}: {error}")
            return False
        try:
            answer = self._hand_over(server, sender, claimed.recipient, message)
        except _HungUp as problem:
            self._release(claimed, next_try_at=self._now() + AFTER_A_HANG_UP, error=str(problem))
            raise
        except _Unreachable:
            self._release(claimed)
            raise
        self._pause = FIRST_PAUSE
        if answer.is_yes:
            self._taken[claimed.site, claimed.id] = self._now()
            self._note_taken()
            return True
        attempts = claimed.attempts + 1
        later = None if answer.is_final else wait(attempts, days=self._settings.letter_days)
        told: dict[str, Any] = {"attempts": attempts, "error": str(answer)}
        # Not the server's words: they may repeat the address.
        if later is None:
            _log.warning("letter %s failed: the mail server said %d", claimed.id, answer.code)
            self._release(claimed, state="failed", **told)
        else:
            _log.info("letter %s is put off: the mail server said %d", claimed.id, answer.code)
            self._release(claimed, next_try_at=self._now() + later, **told)
        try:
            server.rset()
        except (OSError, smtplib.SMTPException) as error:
            raise _Unreachable(_told(error)) from error
        return False

    def _message(self, sender: Address, claimed: Row[Any]) -> EmailMessage:
        letter = Letter(
            claimed.site,
            claimed.key,
            claimed.holder,
            claimed.subscription,
            claimed.kind,
            claimed.language,
            claimed.recipient,
            claimed.facts,
        )
        composed = compose(letter)
        message = EmailMessage(policy.SMTP)
        message["From"] = sender
        message["To"] = Address(addr_spec=_reachable(claimed.recipient))
        if self._settings.mail_reply_to:
            message["Reply-To"] = mail_address(self._settings.mail_reply_to)
        message["Subject"] = composed.subject
        message["Date"] = format_datetime(claimed.queued_at)
        message["Message-ID"] = claimed.message_id
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(composed.text, cte="quoted-printable")
        message.add_alternative(composed.html, subtype="html", cte="quoted-printable")
        position = claimed.facts.get("contract")
        if position is not None:
            number = line(claimed.facts["number"])
            name = Words(composed.language, "UTC").say(N_("contract-{number}.pdf"), number=number)
            message.add_attachment(
                self._contract(claimed, position),
                maintype="application",
                subtype="pdf",
                filename=name,
            )
        # Last, since what is said of the content before it has parts goes to one of them.
        message["Content-Language"] = composed.language
        return message

    def _contract(self, claimed: Row[Any], position: int) -> bytes:
        facts = select(contracts.c.facts).where(
            contracts.c.site == claimed.site,
            contracts.c.subscription == claimed.subscription,
            contracts.c.position == position,
        )
        return contract.pdf(self._record.read(lambda tx: tx.execute(facts).scalar_one()))

    # The mail server

    @contextlib.contextmanager
    def _connected(self, sender: Address) -> Iterator[smtplib.SMTP]:
        """Raises _Unreachable."""
        server = self._connect(sender)
        try:
            yield server
            with contextlib.suppress(OSError, smtplib.SMTPException):
                server.quit()
        finally:
            server.close()

    def _connect(self, sender: Address) -> smtplib.SMTP:
        settings = self._settings
        where = (settings.smtp_host, settings.smtp_port or SMTP_PORTS[settings.smtp_security])
        # The domain, as the name that we go by: to ask for this machine's takes a network.
        named: dict[str, Any] = {"local_hostname": sender.domain, "timeout": self._seconds}
        server: smtplib.SMTP | None = None
        try:
            if settings.smtp_security == "tls":
                context = ssl.create_default_context()
                server = smtplib.SMTP_SSL(*where, context=context, **named)
            else:
                server = smtplib.SMTP(*where, **named)
            if settings.smtp_security == "starttls":
                server.starttls(context=ssl.create_default_context())
            server.ehlo_or_helo_if_needed()
            if settings.smtp_user:
                server.login(settings.smtp_user, settings.smtp_password)
        except (OSError, smtplib.SMTPException) as error:
            if server is not None:
                server.close()
            raise _Unreachable(_told(error)) from error
        return server

    def _hand_over(
        self, server: smtplib.SMTP, sender: Address, recipient: str, message: EmailMessage
    ) -> _Answer:
        """What the server says to it, in the end. Raises _Unreachable, _HungUp."""
        lines = re.sub(rb"(?m)^\.", b"..", message.as_bytes())
        try:
            answer = _answer(server.mail(sender.addr_spec))
            if answer.code == _CLOSING:
                raise _HungUp(str(answer))
            if not answer.is_yes:
                # Whom letters come from is the same in all of them.
                raise _Unreachable(str(answer))
            answer = _answer(server.rcpt(_reachable(recipient)))
            if answer.is_yes:
                answer = _answer(server.docmd("DATA"))
                if answer.code == 354:
                    server.send(lines + b".\r\n")
                    assert server.sock is not None
                    server.sock.settimeout(self._last_seconds)
                    answer = _answer(server.getreply())
                    server.sock.settimeout(self._seconds)
                elif answer.is_yes:
                    raise _HungUp(str(answer))
            if answer.code == _CLOSING:
                raise _HungUp(str(answer))
        except (OSError, smtplib.SMTPException) as error:
            raise _HungUp(_told(error)) from error
        return answer


def _due(at: datetime) -> tuple[Any, ...]:
    unclaimed = or_(_c.claimed_until.is_(None), _c.claimed_until <= at)
    return _QUEUED, _c.next_try_at <= at, unclaimed


def _reachable(recipient: str) -> str:
    """The address as mail servers know it: its domain in ASCII. Raises ValueError."""
    if recipient.isascii():
        return recipient
    user, _, domain = recipient.rpartition("@")
    return f"{user}@{domain.encode('idna').decode()}"


def _answer(reply: tuple[int, bytes]) -> _Answer:
    code, words = reply
    if code < 0:
        raise smtplib.SMTPServerDisconnected("the connection ended")
    return _Answer(code, line(words.decode("utf-8", "replace")))


def _told(error: Exception) -> str:
    """What was wrong on the way, on one line."""
    if isinstance(error, smtplib.SMTPResponseException):
        words = error.smtp_error
        told = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
        return line(f"{error.smtp_code} {told}")[:LONGEST_WORDS]
    return line(str(error) or type(error).__name__)[:LONGEST_WORDS]
