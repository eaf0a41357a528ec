"""The processes of the demo: each is started here, waited for with a deadline, and ended here."""

from __future__ import annotations

import os
import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from enforcement_api.problems import N_, Problem

READY_SECONDS = 60.0
END_SECONDS = 30.0
COMMAND_SECONDS = 120.0

_READY = "listening on "
_VARIABLE = "PATROUILLE_"
_REAL = ("PATROUILLE_DATA", "PATROUILLE_PAYMENT", "PATROUILLE_SMTP", "PATROUILLE_MAIL")
"""What names another record, a provider that takes money, or a mail server."""


LOOPBACK: dict[str, Any] = {"trust_env": False, "verify": False, "timeout": 30}
"""How httpx asks on this machine: without TLS, so that it need not read every authority first."""


class DemoFailed(Problem):
    """The demo cannot go on."""

    status = 500
    slug = "demo-failed"
    title = N_("The demo cannot go on")


class ProcessFailed(DemoFailed):
    """A process that the demo started did not do what it should."""

    detail = N_("`{command}` ended with {code}. It said: {said}")


class ProcessSlow(DemoFailed):
    """A process that the demo started did not answer in time."""

    detail = N_("`{command}` was not done within {seconds} seconds. It said: {said}")


def environment(language: str) -> dict[str, str]:
    """What the demo's processes are told: this language, and nothing of what is real here."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_REAL)}
    return {
        **kept,
        "PATROUILLE_LANG": language,
        "PYTHONIOENCODING": "utf-8:replace",
        "PYTHONUNBUFFERED": "1",
    }


def python(*arguments: str) -> list[str]:
    """A command that runs a module with this very Python."""
    return [sys.executable, "-m", *arguments]


def finish(
    command: Sequence[str], *, env: Mapping[str, str], succeeds: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end. Raises ProcessFailed, ProcessSlow."""
    try:
        done = subprocess.run(
            command, env=env, capture_output=True, encoding="utf-8", errors="replace",
            timeout=COMMAND_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as slow:
        said = (slow.stderr or b"").decode(errors="replace")
        raise ProcessSlow(
            command=_shown(command), seconds=round(COMMAND_SECONDS), said=_last(said)
        ) from slow
    if succeeds and done.returncode != 0:
        raise ProcessFailed(command=_shown(command), code=done.returncode, said=_last(done.stderr))
    return done


class ServingProcess:
    """A command that serves until it is told to end, over a data folder.

    `port`: where it listens; 0 for one that is free, which it keeps when it is started again.
    `variables`: what it says on stdout that others need to use it, once it listens.
    """

    def __init__(
        self, command: str, *options: str, data_dir: Path, port: int, env: Mapping[str, str]
    ) -> None:
        self.log = data_dir / f"{command}.log"
        self.env = dict(env)
        self.address = ""
        self.variables: dict[str, str] = {}
        self._name = command
        self._command = python(*("enforcement_api", command, "--data-dir", str(data_dir), *options))
        self._port = port
        self._process: subprocess.Popen[str] | None = None
        self._listener: threading.Thread | None = None
        self._heard: queue.Queue[str] = queue.Queue()

    def begin(self) -> None:
        """Start it, and do not wait for it."""
        self._heard = queue.Queue()
        # A session of its own: Ctrl-C is for the demo, which then ends it.
        self._process = subprocess.Popen(
            [*self._command, "--port", str(self._port)],
            env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, encoding="utf-8", errors="replace", start_new_session=True,
        )  # fmt: skip
        self._listener = threading.Thread(
            target=self._listen, args=(self._process, self._heard), daemon=True
        )
        self._listener.start()

    def start(self) -> str:
        """Start it, unless it has begun, and wait until it listens; its address.

        Raises ProcessFailed, ProcessSlow.
        """
        if self._process is None:
            self.begin()
        assert self._process is not None
        try:
            self.address = self._heard.get(timeout=READY_SECONDS)
        except queue.Empty:
            self.stop()
            raise ProcessSlow(
                command=_shown(self._command), seconds=round(READY_SECONDS), said=self._said()
            ) from None
        if not self.address:
            code = self._process.wait(timeout=END_SECONDS)
            raise ProcessFailed(command=_shown(self._command), code=code, said=self._said())
        self._port = int(self.address.rpartition(":")[2])
        return self.address

    def _listen(self, process: subprocess.Popen[str], heard: queue.Queue[str]) -> None:
        assert process.stdout is not None
        with process.stdout, open(self.log, "a", encoding="utf-8") as log:
            for line in process.stdout:
                if line.startswith(_VARIABLE):  # keys among them: for no log
                    name, _, value = line.strip().partition("=")
                    self.variables[name] = value
                    continue
                log.write(line)
                log.flush()
                if line.startswith(_READY):
                    heard.put(line.removeprefix(_READY).strip())
        heard.put("")

    def _said(self) -> str:
        return _last(self.log.read_text(encoding="utf-8")) if self.log.exists() else ""

    def stop(self) -> int:
        """End it with SIGTERM and wait until it is gone; its exit code. Raises ProcessSlow."""
        code = end(self._process, self._name) if self._process is not None else 0
        if self._listener is not None:
            self._listener.join(timeout=END_SECONDS)
        self._process = self._listener = None
        return code


def free_port() -> int:
    """A port at which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def end(process: subprocess.Popen[str], name: str) -> int:
    """End a process with SIGTERM, and wait; its exit code. Raises ProcessSlow."""
    if process.poll() is None:
        process.terminate()
    try:
        return process.wait(timeout=END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise ProcessSlow(command=name, seconds=round(END_SECONDS), said="") from None


def _shown(command: Sequence[str]) -> str:
    return " ".join(["python", *command[1:]])


def _last(text: str) -> str:
    return " / ".join(line.strip() for line in text.strip().splitlines()[-3:])
