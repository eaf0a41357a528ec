"""The processes of the demo: each is started here, waited for with a deadline, and ended here."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from enforcement_api.problems import N_, Problem

READY_SECONDS = 60.0
END_SECONDS = 30.0
COMMAND_SECONDS = 120.0

_READY = "listening on "


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
    """What the demo's processes are told: this language, and nothing of another record."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PATROUILLE_DATA_DIR", "PATROUILLE_DATABASE_URL")
    }
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


class ServiceProcess:
    """`patrouille serve` over a data folder. It keeps its port when it is started again."""

    def __init__(self, data_dir: Path, *, env: Mapping[str, str]) -> None:
        self.log = data_dir / "service.log"
        self.address = ""
        self._data_dir = data_dir
        self._env = env
        self._port = 0
        self._process: subprocess.Popen[str] | None = None
        self._listener: threading.Thread | None = None

    def start(self) -> str:
        """Start it and wait until it listens; its address. Raises ProcessFailed, ProcessSlow."""
        command = python(
            *("enforcement_api", "serve", "--data-dir", str(self._data_dir)),
            *("--port", str(self._port)),
        )
        # A session of its own: Ctrl-C is for the demo, which then ends the service.
        process = subprocess.Popen(
            command, env=self._env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, encoding="utf-8", errors="replace", start_new_session=True,
        )  # fmt: skip
        self._process = process
        heard: queue.Queue[str] = queue.Queue()
        self._listener = threading.Thread(target=self._listen, args=(process, heard), daemon=True)
        self._listener.start()
        try:
            self.address = heard.get(timeout=READY_SECONDS)
        except queue.Empty:
            self.stop()
            raise ProcessSlow(
                command=_shown(command), seconds=round(READY_SECONDS), said=self._said()
            ) from None
        if not self.address:
            code = process.wait(timeout=END_SECONDS)
            raise ProcessFailed(command=_shown(command), code=code, said=self._said())
        self._port = int(self.address.rpartition(":")[2])
        return self.address

    def _listen(self, process: subprocess.Popen[str], heard: queue.Queue[str]) -> None:
        assert process.stderr is not None
        with process.stderr, open(self.log, "a", encoding="utf-8") as log:
            for line in process.stderr:
                log.write(line)
                log.flush()
                if line.startswith(_READY):
                    heard.put(line.removeprefix(_READY).strip())
        heard.put("")

    def _said(self) -> str:
        return _last(self.log.read_text(encoding="utf-8")) if self.log.exists() else ""

    def stop(self) -> int:
        """End it with SIGTERM and wait until it is gone; its exit code. Raises ProcessSlow."""
        code = end(self._process, "serve") if self._process is not None else 0
        if self._listener is not None:
            self._listener.join(timeout=END_SECONDS)
        self._process = self._listener = None
        return code


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
