"""Who may import whom: the contracts of pyproject.toml hold, and each breaks when it is broken.

Every offence below is derived from the contracts themselves, written into a copy of the packages,
and judged by the real `lint-imports` with the real configuration.
"""

import contextlib
import io
import itertools
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
CONTRACTS = CONFIGURATION["contracts"]
TERMINAL = {"COLUMNS": "400", "NO_COLOR": "1"}
SECONDS = 60


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


def outcomes(told: str, code: int) -> dict[str, str]:
    """Of each contract by its name, KEPT or BROKEN: what `lint-imports` told, and ended with."""
    found = dict(re.findall(r"^(.+?) (KEPT|BROKEN)\b", told, re.MULTILINE))
    assert set(found) == {contract["name"] for contract in CONTRACTS}, told
    assert (code == 0) == ("BROKEN" not in found.values())
    return found


def at_work_in(folder: Path) -> None:
    os.chdir(folder)
    os.environ |= TERMINAL


def lint_here() -> tuple[str, int]:
    """`lint-imports` without a process of its own, which takes longer to start than to judge."""
    from importlinter.cli import lint_imports

    with contextlib.redirect_stdout(io.StringIO()) as told:
        code = lint_imports(no_cache=True, no_logo=True)
    return told.getvalue(), code


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


@pytest.fixture(scope="module")
def linter(copied: Path) -> Iterator[ProcessPoolExecutor]:
    """A process at work in the copied folder."""
    with ProcessPoolExecutor(1, get_context("spawn"), at_work_in, (copied,)) as pool:
        yield pool


def test_every_contract_is_kept() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)} | TERMINAL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert set(outcomes(done.stdout, done.returncode).values()) == {"KEPT"}


@pytest.mark.parametrize(("contract", "importer", "imported"), CASES)
def test_contract_is_broken_by(
    contract: str, importer: str, imported: str, copied: Path, linter: ProcessPoolExecutor
) -> None:
    offender = source_of(copied, importer)
    before = offender.read_text()
    if imported.split(".")[0] in CONFIGURATION["root_packages"]:
        source_of(copied, imported)
    offender.write_text(f"{before}\n\ndef later() -> None:\n    import {imported}\n")
    try:
        told, code = linter.submit(lint_here).result(SECONDS)
        assert outcomes(told, code)[contract] == "BROKEN"
    finally:
        offender.write_text(before)
