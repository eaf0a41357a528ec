"""Rows as CSV, a few lines at a time, so that nobody holds a whole export.

CSV is RFC 4180 in UTF-8: commas, CRLF, a header. Excel in Québec wants semicolons and a byte order
mark instead (`excel`), and reads neither from the plain form when a file is double-clicked.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator

CSV_TYPE = "text/csv; charset=utf-8; header=present"

AT_ONCE = 200
"""Rows that are handed on together."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")

Cell = str | int | float | bool | None


def _cell(value: Cell) -> str:
    """A cell that no spreadsheet takes for a formula. Numbers are ours and stay numbers."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    return str(value)


def as_csv(
    header: Iterable[str], rows: Iterable[Iterable[Cell]], *, excel: bool = False
) -> Iterator[str]:
    """A header and a line for each. Text that a spreadsheet would run begins with an apostrophe."""
    out = io.StringIO(newline="")
    write = csv.writer(out, delimiter=";" if excel else ",", lineterminator="\r\n").writerow
    if excel:
        out.write("\N{ZERO WIDTH NO-BREAK SPACE}")
    write(header)
    for number, row in enumerate(rows, 1):
        write(map(_cell, row))
        if number % AT_ONCE == 0:
            yield out.getvalue()
            out.seek(0)
            out.truncate()
    yield out.getvalue()
