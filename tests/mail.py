"""A real SMTP server for the tests, in a thread on a free loopback port.

    with Mailbox() as mailbox:
        courier = Courier(record, replace(settings, **mailbox.settings), now=clock)
        courier.deliver_due()
        (letter,) = mailbox.letters
        assert letter["To"] == "john@example.org"

It keeps what it takes as it came, and can be told to refuse, to hang up and to hold at a stage of
a letter's way: `ehlo`, `mail`, `rcpt`, `data` (before the message), `end` (after it).
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

HOST = "127.0.0.1"
DEADLINE_S = 30


@dataclass(frozen=True, slots=True)
class Mail:
    """A message as it was taken."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes

    @property
    def letter(self) -> EmailMessage:
        content = self.content.replace(b"\r\n", b"\n")
        return message_from_bytes(content, policy=policy.default)


class Hold:
    """A place where whoever comes is held until it is released."""

    def __init__(self) -> None:
        self._reached, self._released = threading.Event(), threading.Event()
        self._held: _Protocol | None = None

    def wait_until_reached(self) -> None:
        assert self._reached.wait(DEADLINE_S), "nobody came"

    def wait_until_left(self) -> None:
        """Until the server sees that whoever is held has hung up, or was killed."""
        assert self._held is not None
        ends = time.monotonic() + DEADLINE_S
        while not self._held.is_gone:
            assert time.monotonic() < ends, "it is still there"
            time.sleep(0.001)

    def release(self) -> None:
        self._released.set()

    def pass_by(self, protocol: _Protocol) -> None:
        """What the server does."""
        self._held = protocol
        self._reached.set()
        self._released.wait(DEADLINE_S)


class Mailbox:
    """The server, and what it took. `user` and `password`: nobody else may send; `authority`: it
    wants STARTTLS (with `tls`: TLS from the first byte on) and has a certificate from there.
    """

    def __init__(
        self,
        *,
        user: str = "",
        password: str = "",
        authority: trustme.CA | None = None,
        tls: bool = False,
        certified: str = HOST,
    ) -> None:
        self._user, self._password = user, password
        self._context: ssl.SSLContext | None = None
        if authority is not None:
            self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            authority.issue_cert(certified).configure_cert(self._context)
        self._tls = tls
        self._changed = threading.Condition()
        self._answers: dict[str, str] = {}
        self._hang_ups: dict[str, int] = {}
        self._holds: dict[str, Hold] = {}
        self._held: list[Hold] = []
        self._connections: set[_Protocol] = set()
        self.mails: list[Mail] = []
        self.connections = 0
        """How many there ever were."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="mail", daemon=True)
        self._thread.start()
        self._open(0)

    def __enter__(self) -> Mailbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # what tests ask

    @property
    def settings(self) -> dict[str, Any]:
        """What an installation sets to send through it."""
        security = "none" if self._context is None else "tls" if self._tls else "starttls"
        return {
            "smtp_host": HOST,
            "smtp_port": self.port,
            "smtp_security": security,
            "smtp_user": self._user,
            "smtp_password": self._password,
            "mail_from": "Stationnement <parking@example.org>",
        }

    @property
    def letters(self) -> list[EmailMessage]:
        """What was taken, read."""
        with self._changed:
            return [mail.letter for mail in self.mails]

    def wait_for(self, number: int) -> list[EmailMessage]:
        """The letters, as soon as there are so many."""
        ends = time.monotonic() + DEADLINE_S
        with self._changed:
            while len(self.mails) < number:
                left = ends - time.monotonic()
                assert left > 0, f"{len(self.mails)} letters of {number} came"
                self._changed.wait(left)
        return self.letters

    # what tests tell it

    def refuse(self, stage: str, answer: str) -> None:
        """From now on everybody is answered so at this stage."""
        self._answers[stage] = answer

    def refuse_recipient(self, recipient: str, answer: str) -> None:
        """From now on nobody may send to this address."""
        self._answers[recipient] = answer

    def hang_up(self, stage: str, *, times: int = 1_000_000) -> None:
        """End so many connections at this stage, without an answer."""
        self._hang_ups[stage] = times

    def hold(self, stage: str) -> Hold:
        """Keep the next one who comes to this stage waiting."""
        held = self._holds[stage] = Hold()
        self._held.append(held)
        return held

    def behave(self) -> None:
        """No longer refuse, hang up or hold."""
        self._answers.clear()
        self._hang_ups.clear()
        self._holds.clear()
        for held in self._held:
            held.release()

    def go_down(self) -> None:
        """Nobody answers at its port any more, and whoever is connected is cut off."""
        self._run(self._close())

    def come_back(self) -> None:
        """At the same port."""
        self._open(self.port)

    def close(self) -> None:
        self.behave()
        self._run(self._close())
        self._run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # the server

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(DEADLINE_S)

    def _open(self, port: int) -> None:
        context = self._context if self._tls else None
        creating = self._loop.create_server(
            lambda: _Protocol(self), HOST, port, ssl=context, reuse_address=True
        )
        self._server = self._run(creating)
        self.port: int = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        for protocol in list(self._connections):
            if protocol.transport is not None:
                protocol.transport.abort()
        ends = time.monotonic() + DEADLINE_S
        while self._connections and time.monotonic() < ends:
            await asyncio.sleep(0.001)

    async def stage(self, name: str, protocol: _Protocol) -> str | None:
        """What is answered there instead of yes."""
        held = self._holds.pop(name, None)
        if held is not None:
            await asyncio.get_running_loop().run_in_executor(None, held.pass_by, protocol)
        if self._hang_ups.get(name, 0) > 0:
            self._hang_ups[name] -= 1
            protocol.hang_up()
        return self._answers.get(name)

    # what aiosmtpd asks of its handler

    async def handle_EHLO(
        self,
        server: _Protocol,
        session: Session,
        envelope: Envelope,
        hostname: str,
        responses: list[str],
    ) -> list[str]:
        session.host_name = hostname
        answer = await self.stage("ehlo", server)
        return responses if answer is None else [answer]

    async def handle_MAIL(
        self,
        server: _Protocol,
        session: Session,
        envelope: Envelope,
        address: str,
        options: list[str],
    ) -> str:
        answer = await self.stage("mail", server)
        if answer is not None:
            return answer
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(
        self,
        server: _Protocol,
        session: Session,
        envelope: Envelope,
        address: str,
        options: list[str],
    ) -> str:
        answer = await self.stage("rcpt", server) or self._answers.get(address)
        if answer is not None:
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: _Protocol, session: Session, envelope: Envelope) -> str:
        """Takes it with its answer: not for one who is gone by then."""
        hangs_up = self._hang_ups.get("end", 0) > 0
        answer = await self.stage("end", server)
        if answer is not None:
            return answer
        if server.is_gone and not hangs_up:
            return "451 gone"
        assert isinstance(envelope.content, bytes)
        with self._changed:
            recipients = tuple(envelope.rcpt_tos)
            self.mails.append(Mail(str(envelope.mail_from), recipients, envelope.content))
            self._changed.notify_all()
        return "250 OK"

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, given: Any
    ) -> AuthResult:
        is_right = isinstance(given, LoginPassword) and (given.login, given.password) == (
            self._user.encode(),
            self._password.encode(),
        )
        return AuthResult(success=is_right, handled=is_right)


class _Protocol(SMTP):
    """aiosmtpd's, with stages and connections that are known."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        context = None if mailbox._tls else mailbox._context
        super().__init__(
            mailbox,
            hostname="mail.example.org",
            loop=mailbox._loop,
            tls_context=context,
            require_starttls=context is not None,
            auth_required=bool(mailbox._user),
            authenticator=mailbox.authenticate,
        )
        # It knows of TLS that it has begun itself; to be told of other is an error to it.
        self._auth_require_tls = not mailbox._tls

    def connection_made(self, transport: Any) -> None:
        if self not in self._mailbox._connections:
            self._mailbox.connections += 1
        self._mailbox._connections.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._mailbox._connections.discard(self)
        super().connection_lost(error)

    @property
    def is_gone(self) -> bool:
        reader = self._reader
        return self.transport is None or self.transport.is_closing() or reader.at_eof()

    def hang_up(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    async def smtp_DATA(self, arg: str) -> None:
        answer = await self._mailbox.stage("data", self)
        if answer is not None:
            await self.push(answer)
        elif not self.is_gone:
            await super().smtp_DATA(arg)


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    """A server that takes everything."""
    with Mailbox() as mailbox:
        yield mailbox


@contextlib.contextmanager
def trusting(authority: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As with $SSL_CERT_FILE of a private authority."""
    with authority.cert_pem.tempfile() as path:
        monkeypatch.setenv("SSL_CERT_FILE", path)
        yield
