"""Files of plate updates: CSV and NDJSON, as spreadsheets and exports really write them."""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from enforcement_api.permits.updates import LONGEST_NUMBER, Line, PlateUpdateIn, UnreadableItem
from enforcement_api.problems import N_, Problem, Sentence

_CHUNK = 1 << 20
_HEAD = 4096
_TOLD_EVERY = 200
"""Lines after which whoever shows how far it has come is told so."""
_NO_TEXT = N_("it is UTF-16, or a spreadsheet: save it as CSV UTF-8")
_VEHICLE = ("make", "model", "year", "colour")
COLUMNS = (*(name for name in PlateUpdateIn.model_fields if name != "vehicle"), *_VEHICLE)
REQUIRED = {name for name, field in PlateUpdateIn.model_fields.items() if field.is_required()}
_WHOLE_NUMBERS = ("version", "year")


class UnreadableFile(Problem):
    """The file as a whole cannot be read."""

    status = 422
    slug = "unreadable-file"
    title = N_("The file cannot be read")
    detail = N_("{file}: {reason}. Nothing was imported.")


class WrongColumns(Problem):
    """The header lacks columns of an update, and names others."""

    status = 422
    slug = "wrong-columns"
    title = N_("The file's header is not that of plate updates")
    detail = N_(
        "{file}: missing columns: {missing}; unknown columns: {unknown}."
        " The columns are: {columns}. Nothing was imported."
    )


class MissingColumns(WrongColumns):
    """The header lacks columns of an update."""

    detail = N_(
        "{file}: missing columns: {missing}. The columns are: {columns}. Nothing was imported."
    )


class UnknownColumns(WrongColumns):
    """The header names columns that an update has not."""

    detail = N_(
        "{file}: unknown columns: {unknown}. The columns are: {columns}. Nothing was imported."
    )


class DoubledColumns(WrongColumns):
    """The header names a column twice: which of its cells is meant?"""

    detail = N_("{file}: columns named more than once: {doubled}. Nothing was imported.")


class WrongCells(Problem):
    """A line that has more or fewer cells than the header."""

    status = 422
    slug = "wrong-cells"
    title = N_("The line does not fit the header")
    detail = N_("It has {found} cells, the header has {wanted}: look for a delimiter in a cell.")


def encoding_of(path: Path) -> str:
    """UTF-8 (with or without a byte order mark) if all of it is, else Windows-1252.

    Raises UnreadableFile for UTF-16 and spreadsheets, which have NULs.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    with open(path, "rb") as file:
        if b"\0" in file.read(_HEAD):
            raise UnreadableFile(file=path, reason=Sentence(_NO_TEXT))
        file.seek(0)
        try:
            while chunk := file.read(_CHUNK):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "cp1252"
    return "utf-8-sig"


def read_file(path: Path, *, site: str | None, progress: Callable[[int], None]) -> Iterator[Line]:
    """The lines of a file of updates, numbered from 1. `site` is that of lines that name none.

    `progress` is told the bytes read since it was last told. Raises UnreadableFile, WrongColumns.
    """
    try:
        encoding = encoding_of(path)
        with open(path, "rb") as raw:
            text = io.TextIOWrapper(raw, encoding=encoding, errors="replace", newline="")
            read = _ndjson if _is_ndjson(path, text) else _csv
            told = 0
            for number, item in read(path, text):
                if site is not None and isinstance(item, dict) and not item.get("site"):
                    item = item | {"site": site}
                yield number, item
                if number % _TOLD_EVERY == 0:
                    progress(raw.tell() - told)
                    told = raw.tell()
            progress(raw.tell() - told)
    except OSError as error:
        raise UnreadableFile(file=path, reason=error.strerror) from error


def _is_ndjson(path: Path, text: io.TextIOWrapper) -> bool:
    first = text.read(4096).lstrip("\ufeff \t\r\n")[:1]
    text.seek(0)
    return first == "{" or path.suffix.lower() in (".ndjson", ".jsonl")


def _ndjson(path: Path, text: io.TextIOWrapper) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(text, start=1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except (ValueError, RecursionError) as error:
            yield number, UnreadableItem(reason=str(error).split("\n")[0][:200])


def _csv(path: Path, text: io.TextIOWrapper) -> Iterator[tuple[int, Any]]:
    header = text.readline()
    delimiter = max(",;\t", key=header.count)
    names = [name.strip().lower() for name in next(csv.reader([header], delimiter=delimiter), [])]
    present = set(names)
    missing, unknown = REQUIRED - present - {"site"}, present - set(COLUMNS)
    if missing or unknown:
        wrong = (
            WrongColumns if missing and unknown else MissingColumns if missing else UnknownColumns
        )
        raise wrong(
            file=path,
            missing=", ".join(sorted(missing)),
            unknown=", ".join(sorted(unknown)),
            columns=", ".join(COLUMNS),
        )
    doubled = [name for name in COLUMNS if names.count(name) > 1]
    if doubled:
        raise DoubledColumns(file=path, doubled=", ".join(doubled))
    # Line by line: no field of an update has a line feed, so that a quote which somebody forgot to
    # close spoils its own line and not those after it.
    for number, line in enumerate(text, start=2):
        if not line.strip(f" \t\r\n{delimiter}"):
            continue
        try:
            cells = next(csv.reader([line], delimiter=delimiter, strict=True))
        except csv.Error as error:
            yield number, UnreadableItem(reason=str(error))
            continue
        yield number, _update_of(names, cells)


def _update_of(names: list[str], cells: list[str]) -> Any:
    if len(cells) != len(names):
        return WrongCells(found=len(cells), wanted=len(names))
    update: dict[str, Any] = {
        name: cell.strip() for name, cell in zip(names, cells, strict=True) if cell.strip()
    }
    for name in _WHOLE_NUMBERS:
        if update.get(name, "").isdecimal() and len(update[name]) < LONGEST_NUMBER:
            update[name] = int(update[name])
    update["zones"] = update.get("zones", "").split()
    vehicle = {name: update.pop(name) for name in _VEHICLE if name in update}
    if vehicle:
        update["vehicle"] = vehicle
    return update
