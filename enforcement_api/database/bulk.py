"""Many rows at once: one statement for very many of them, and the same one for however many.

pg8000's `executemany` asks PostgreSQL once a row, at two milliseconds; there, the rows travel as
a JSON text. SQLite, in this very process, has nothing to be asked over.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from functools import cache
from itertools import islice
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Connection,
    Date,
    DateTime,
    Table,
    Text,
    TextClause,
    bindparam,
    cast,
    column,
    func,
    insert,
    text,
    update,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ColumnElement
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from enforcement_api.database.tables import Instant

AT_ONCE = 10_000
"""Rows of one text: a retention run may change all permits of a site, and PostgreSQL takes a
gigabyte at most."""
_NEAR = 200
"""Rows that are converted and inserted together: as many as the processor has at hand."""


class each_text(FunctionElement[str]):
    """The texts of a JSON list, in a column `value`: what is looked for, as one parameter.

    A list of parameters is put together, and parsed by the engine, anew for each length.
    """

    inherit_cache = True


@compiles(each_text, "sqlite")
def _in_sqlite(given: each_text, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_each({compiler.process(given.clauses, **options)})"


@compiles(each_text, "postgresql")
def _in_postgresql(given: each_text, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_array_elements_text(CAST({compiler.process(given.clauses, **options)} AS json))"


def insert_rows(tx: Connection, table: Table, rows: Iterable[tuple[Any, ...]]) -> None:
    """Insert whole rows, the columns in the table's order.

    SQLAlchemy's own way converts row by row, at three times what the database needs; this one
    converts column by column, and only what the engine does not take as it is. Not for tables with
    JSON or times: within a JSON text the one would arrive quoted, the other as its date alone.
    """
    names = table.columns.keys()
    parts = _as_kept(tx, table, rows)
    if _is_far(tx):
        objects = (dict(zip(names, row, strict=True)) for part in parts for row in part)
        listed = ", ".join(names)
        given = f"json_populate_recordset(NULL::{table.name}, CAST(:rows AS json))"
        statement = text(f"INSERT INTO {table.name} ({listed}) SELECT {listed} FROM {given}")
        for rows_text in _texts(objects):
            tx.execute(statement, {"rows": rows_text})
        return
    compiled = insert(table).compile(dialect=tx.dialect)
    assert compiled.positiontup == names
    for part in parts:
        tx.exec_driver_sql(compiled.string, part)


def _as_kept(
    tx: Connection, table: Table, rows: Iterable[tuple[Any, ...]]
) -> Iterator[list[tuple[Any, ...]]]:
    """The rows as the engine takes them, a part at a time."""
    converts = {}
    for i, of in enumerate(table.columns):
        assert not isinstance(of.type, JSON | DateTime), f"{of} does not travel as a JSON text"
        convert = of.type.dialect_impl(tx.dialect).bind_processor(tx.dialect)
        if convert is not None:
            # The same days come again and again, and each is a text to be put together.
            converts[i] = cache(convert) if isinstance(of.type, Date) else convert
    rest = iter(rows)
    while part := list(islice(rest, _NEAR)):
        columns: list[Iterable[Any]] = list(zip(*part, strict=True))
        for i, convert in converts.items():
            columns[i] = map(convert, columns[i])
        yield list(zip(*columns, strict=True))


def add_rows(tx: Connection, table: Table, rows: Iterable[tuple[Any, ...]]) -> None:
    """Count: insert whole rows, and where one of that key is, add their numbers to its.

    Of two instants the later stays. No key is twice among the rows. Nor for tables with JSON or
    times: see `insert_rows`.
    """
    names = table.columns.keys()
    for part in _as_kept(tx, table, rows):
        if _is_far(tx):
            objects = (dict(zip(names, row, strict=True)) for row in part)
            for rows_text in _texts(objects):
                tx.execute(_adding(table, "greatest"), {"rows": rows_text})
        else:
            tx.exec_driver_sql(str(_adding(table, "max")), part)


@cache
def _adding(table: Table, later: str) -> TextClause:
    """The statement that counts in a table; `later`: what the engine calls the larger of two."""
    name, columns = table.name, table.columns
    listed, key = ", ".join(columns.keys()), ", ".join(table.primary_key.columns.keys())
    if later == "greatest":
        given = f"SELECT {listed} FROM json_populate_recordset(NULL::{name}, CAST(:rows AS json))"
    else:
        given = f"VALUES ({', '.join('?' * len(columns))})"
    sums = ", ".join(
        f"{c} = {later}({name}.{c}, excluded.{c})"
        if isinstance(column.type, Instant)
        else f"{c} = {name}.{c} + excluded.{c}"
        for c, column in columns.items()
        if not column.primary_key
    )
    return text(f"INSERT INTO {name} ({listed}) {given} ON CONFLICT ({key}) DO UPDATE SET {sums}")


def update_rows(
    tx: Connection,
    here: ColumnElement[bool],
    key: Column[int],
    changed: Column[int],
    values: Mapping[int, int],
) -> None:
    """In the rows of `here` whose `key` is a key of `values`, set another column to its value."""
    pairs = ({"of_key": key, "value": value} for key, value in values.items())
    change = update(key.table)
    if _is_far(tx):
        given = (
            func.json_to_recordset(cast(bindparam("pairs", type_=Text), JSON))
            .table_valued(column("of_key", BigInteger), column("value", BigInteger))
            .render_derived(with_types=True)
        )
        change = change.where(here, key == given.c.of_key).values({changed: given.c.value})
        for pairs_text in _texts(pairs):
            tx.execute(change, {"pairs": pairs_text})
        return
    change = change.where(here, key == bindparam("of_key")).values({changed: bindparam("value")})
    tx.execute(change, list(pairs))


def _texts(objects: Iterator[dict[str, Any]]) -> Iterator[str]:
    while some := list(islice(objects, AT_ONCE)):
        yield json.dumps(some, default=date.isoformat)


def _is_far(tx: Connection) -> bool:
    return tx.dialect.name == "postgresql"
