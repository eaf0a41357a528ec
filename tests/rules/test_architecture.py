"""Who may import whom: the contracts of pyproject.toml hold, and each breaks when it is broken.

Every offence below is derived from the contracts themselves, written into a copy of the packages,
and judged by the real `lint-imports` with the real configuration.
"""

import itertools
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
CONTRACTS = CONFIGURATION["contracts"]


def offences(contract: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Pairs (importer, imported), each of which breaks the contract."""
    if contract["type"] == "forbidden":
        # Each source is tried with the first forbidden module, each forbidden one with the first.
        sources, forbidden = contract["source_modules"], contract["forbidden_modules"]
        yield from dict.fromkeys(
            [(source, forbidden[0]) for source in sources]
            + [(sources[0], module) for module in forbidden]
        )
        return
    for container in contract.get("containers", [""]):
        layers = [
            [f"{container}.{name}".lstrip(".") for name in re.findall(r"\w+", layer)]
            for layer in contract["layers"]
        ]
        for upper, lower in itertools.pairwise(layers):
            yield from itertools.product(lower, upper)
        for layer, told in zip(layers, contract["layers"], strict=True):
            if "|" in told:
                yield from itertools.permutations(layer, 2)


CASES = [
    pytest.param(contract["name"], *offence, id=f"{contract['id']}: {offence[0]} -> {offence[1]}")
    for contract in CONTRACTS
    for offence in offences(contract)
]


def lint_imports(folder: Path) -> dict[str, str]:
    """Run it there; the outcome, KEPT or BROKEN, of each contract by its name."""
    result = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "COLUMNS": "400", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    outcomes = dict(re.findall(r"^(.+?) (KEPT|BROKEN)\b", result.stdout, re.MULTILINE))
    assert set(outcomes) == {contract["name"] for contract in CONTRACTS}, result.stdout
    assert (result.returncode == 0) == ("BROKEN" not in outcomes.values())
    return outcomes


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packages")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for package in CONFIGURATION["root_packages"]:
        only_python = shutil.ignore_patterns("__pycache__", "locale", "assets", "static")
        shutil.copytree(ROOT / package, folder / package, ignore=only_python)
    return folder


def source_of(folder: Path, module: str) -> Path:
    """The file of one of our modules; an empty one where a contract speaks of a module to come."""
    path = folder.joinpath(*module.split("."))
    found = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    found.touch()
    return found


def test_every_contract_is_kept() -> None:
    assert set(lint_imports(ROOT).values()) == {"KEPT"}


@pytest.mark.parametrize(("contract", "importer", "imported"), CASES)
def test_contract_is_broken_by(contract: str, importer: str, imported: str, copied: Path) -> None:
    offender = source_of(copied, importer)
    before = offender.read_text()
    if imported.split(".")[0] in CONFIGURATION["root_packages"]:
        source_of(copied, imported)
    offender.write_text(f"{before}\n\ndef later() -> None:\n    import {imported}\n")
    try:
        assert lint_imports(copied)[contract] == "BROKEN"
    finally:
        offender.write_text(before)
