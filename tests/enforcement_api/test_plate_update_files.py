"""Files of plate updates, read without a record; docs/plate-updates.md among them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from enforcement_api.permits.files import COLUMNS, REQUIRED, read_file
from enforcement_api.permits.updates import Item, PlateUpdateIn
from enforcement_api.problems import Problem

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "plate-updates.md"


def read(path: Path, **options: Any) -> list[Item]:
    return [item for _, item in read_file(path, site=None, progress=lambda read: None, **options)]


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
