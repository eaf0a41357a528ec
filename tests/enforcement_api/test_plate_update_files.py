"""Files of plate updates, read without a record; docs/plate-updates.md among them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from enforcement_api.permits.files import COLUMNS, REQUIRED, read_file
from enforcement_api.permits.updates import Item, PlateUpdateIn, read_item
from enforcement_api.problems import Problem

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "plate-updates.md"


def read(path: Path, **options: Any) -> list[Item]:
    lines = read_file(path, site=None, progress=lambda read: None, **options)
    return [read_item(line) for _, line in lines]


def example(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", DOCUMENT.read_text("utf-8"), re.M | re.S)
    assert found is not None
    return found.group(1)


def updates(path: Path, text: str) -> list[PlateUpdateIn]:
    path.write_text(text, encoding="utf-8")
    found = [update for _, update in read(path)]
    assert not [update for update in found if isinstance(update, Problem)]
    return [update for update in found if isinstance(update, PlateUpdateIn)]


def test_the_documents_examples_are_read(tmp_path: Path) -> None:
    from_csv = updates(tmp_path / "a.csv", example("csv"))
    assert [update.facts("CA-QC").plate.text for update in from_csv] == [
        "KTM418", "E38NVR", "482XGK",
    ]  # fmt: skip
    assert updates(tmp_path / "a.ndjson", example("json")) == from_csv[:1]


@pytest.mark.parametrize("lines", [0, 1, 199, 200, 450])
def test_all_of_a_file_is_told_as_it_is_read(tmp_path: Path, lines: int) -> None:
    path, told = tmp_path / "a.csv", []
    path.write_text(example("csv").splitlines()[0] + "\n" + "x\n" * lines, encoding="utf-8")
    assert len(list(read_file(path, site=None, progress=told.append))) == lines
    assert sum(told) == path.stat().st_size


def test_the_document_tells_every_column_and_which_are_needed() -> None:
    rows = [
        line.split("|")[1:3] for line in DOCUMENT.read_text("utf-8").splitlines()
        if line.startswith("| `")
    ]  # fmt: skip
    told = {
        name: needed.strip().startswith("yes")
        for names, needed in rows
        for name in re.findall("`(.+?)`", names)
    }
    assert told == {name: name in REQUIRED for name in COLUMNS}


# Files that are none


def refusal(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(Problem) as raised:
        read(path)
    return raised.value.text("en")


HEADER = "id,version,plate,zones,permit_number,valid_from,status"


def test_a_header_is_told_what_is_wrong_with_it_and_nothing_else(tmp_path: Path) -> None:
    missing = refusal(tmp_path / "a.csv", HEADER.replace("plate,", "").encode())
    assert "missing columns: plate." in missing
    assert "unknown" not in missing
    unknown = refusal(tmp_path / "a.csv", (HEADER + ",colur").encode())
    assert "unknown columns: colur." in unknown
    assert "missing" not in unknown
    both = refusal(tmp_path / "a.csv", HEADER.replace("plate", "plaque").encode())
    assert "missing columns: plate; unknown columns: plaque." in both


def test_a_column_named_twice_is_refused(tmp_path: Path) -> None:
    told = refusal(tmp_path / "a.csv", (HEADER + ",plate,Zones").encode())
    assert "more than once: plate, zones." in told


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_told_as_that(tmp_path: Path, encoding: str) -> None:
    told = refusal(tmp_path / "a.csv", HEADER.encode(encoding))
    assert "save it as CSV UTF-8" in told
    assert "\0" not in told
