"""Rows as CSV, a few lines at a time, so that nobody holds a whole export.

CSV is RFC 4180 in UTF-8: commas, CRLF, a header. Excel in Québec wants semicolons and a byte order
mark instead (`excel`), and reads neither from the plain form when a file is double-clicked.

Spreadsheets run what looks like a formula, and cut a line wherever they are set to. So an
apostrophe stands before each sign that could begin one, at the beginning of a cell or where another
separator or a line's end would make one begin; and marks that nobody sees are left out.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator

from enforcement_api.wording import seen

CSV_TYPE = "text/csv; charset=utf-8; header=present"

AT_ONCE = 200
"""Rows that are handed on together."""
# Excel takes the wide signs of Asian keyboards for the others.
_SIGNS = r"[=+\-@\uff1d\uff0b\uff0d\uff20]"
_RUNS = re.compile(rf"\A(?=\s*{_SIGNS})|\A(?=[\t\r\n])|[,;|\t\r\n](?={_SIGNS})")
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9 :._/-]*")
"""Most of what there is, and nothing that the others look for."""

Cell = str | int | float | bool | None


def _cell(value: Cell) -> str:
    """A cell that no spreadsheet takes for a formula. Numbers are ours and stay numbers."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) else _RUNS.sub(r"\g<0>'", seen(value))
    return str(value)


def as_csv(
    header: Iterable[str], rows: Iterable[Iterable[Cell]], *, excel: bool = False
) -> Iterator[str]:
    """A header and a line for each. Text that a spreadsheet would run has an apostrophe in it."""
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
