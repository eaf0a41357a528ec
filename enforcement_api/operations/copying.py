"""Rows of a record, carried to another one as they are, whichever engines the two run on."""

from __future__ import annotations

from functools import cache

from sqlalchemy import Connection, TypeDecorator, column, delete, insert, select, table
from sqlalchemy.sql.expression import TableClause
from sqlalchemy.sql.schema import Column, Table
from sqlalchemy.types import TypeEngine

from enforcement_api.database.tables import metadata

_ROWS = 2000


def transfer(source: Connection, target: Connection) -> dict[str, int]:
    """Fill the empty tables of a record with the rows of another of the same revision; how many."""
    return {table.name: _transfer(source, target, table) for table in metadata.sorted_tables}


def _transfer(source: Connection, target: Connection, table: Table) -> int:
    raw, count = _raw(table), 0
    with source.execute(select(*raw.c).execution_options(yield_per=_ROWS)) as found:
        for rows in found.mappings().partitions():
            target.execute(insert(raw), [dict(row) for row in rows])
            count += len(rows)
    return count


@cache
def _raw(whole: Table) -> TableClause:
    """A table with its values as the engines keep them: no instant is made, and unmade again."""
    return table(whole.name, *(column(each.name, _kept(each)) for each in whole.columns))


def _kept(column: Column[object]) -> TypeEngine[object]:
    kind = column.type
    return kind.impl_instance if isinstance(kind, TypeDecorator) else kind


def empty(tx: Connection) -> None:
    """Take all rows out of a record."""
    if tx.dialect.name == "postgresql":
        # Unlike DELETE, it does not meet the triggers that make the audit log append-only.
        names = ", ".join(f'"{each.name}"' for each in metadata.sorted_tables)
        tx.exec_driver_sql(f"TRUNCATE {names}")
        return
    for each in metadata.sorted_tables:
        tx.execute(delete(each))
