"""SQLAlchemy's dialect for pg8000, which lets some errors of the network through as they are."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from pg8000 import InterfaceError, ProgrammingError
from sqlalchemy.dialects.postgresql.pg8000 import PGDialect_pg8000


def sqlstate(error: BaseException | None) -> str:
    """PostgreSQL's code of an error; empty for any other error."""
    told = error.args[0] if error is not None and error.args else None
    return str(told.get("C", "")) if isinstance(told, dict) else ""


def reason_of(error: BaseException | None) -> str:
    """What PostgreSQL, or the driver, said of an error."""
    told = error.args[0] if error is not None and error.args else None
    return str(told.get("M", "")) if isinstance(told, dict) else str(error)


@contextlib.contextmanager
def _network_errors() -> Iterator[None]:
    """Within the block, a connection that breaks is what the driver calls it elsewhere.

    pg8000 1.31 raises OSError where a read is the first to find out; SQLAlchemy would take that for
    a defect of ours, and neither drop the connection nor try another.
    """
    try:
        yield
    except OSError as error:
        raise InterfaceError("network error") from error


class Dialect(PGDialect_pg8000):
    """As `postgresql+pg8000`; a lost connection is a lost connection however it shows."""

    supports_statement_cache = True

    def connect(self, *arguments: Any, **named: Any) -> Any:
        with _network_errors():
            return super().connect(*arguments, **named)

    def is_disconnect(self, e: Any, connection: Any, cursor: Any) -> bool:
        # 57P01 and its kin: the server is shutting down, or an administrator ended the session.
        ended = isinstance(e, ProgrammingError) and sqlstate(e).startswith("57P")
        return ended or bool(super().is_disconnect(e, connection, cursor))

    def do_close(self, dbapi_connection: Any) -> None:
        with contextlib.suppress(InterfaceError, OSError):  # it may be gone already
            super().do_close(dbapi_connection)

    def do_ping(self, dbapi_connection: Any) -> bool:
        with _network_errors():
            return super().do_ping(dbapi_connection)

    def do_execute(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        with _network_errors():
            super().do_execute(cursor, statement, parameters, context)

    def do_executemany(
        self, cursor: Any, statement: str, parameters: Any, context: Any = None
    ) -> None:
        with _network_errors():
            super().do_executemany(cursor, statement, parameters, context)

    def do_commit(self, dbapi_connection: Any) -> None:
        with _network_errors():
            super().do_commit(dbapi_connection)

    def do_rollback(self, dbapi_connection: Any) -> None:
        with _network_errors():
            super().do_rollback(dbapi_connection)

    def set_isolation_level(self, dbapi_connection: Any, level: Any) -> None:
        with _network_errors():
            super().set_isolation_level(dbapi_connection, level)

    def set_readonly(self, connection: Any, value: bool) -> None:
        with _network_errors():
            super().set_readonly(connection, value)
