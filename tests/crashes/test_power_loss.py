"""A power cut, at any call, takes nothing that was promised; known-bad variants are found out."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.crashes.cuts import cut_everywhere
from tests.crashes.disk import Disk
from tests.crashes.tracing import Call
from tests.crashes.workloads import WORKLOADS


@pytest.mark.parametrize("workload", sorted(WORKLOADS))
def test_a_power_cut_takes_nothing_that_was_promised(workload: str) -> None:
    found = cut_everywhere(workload, singly=2, samples=1)
    print(f"{workload}: {found.states} states after {found.calls} calls")
    assert found.failed == [], "\n".join(str(cut) for cut in found.failed[:3])
    assert found.calls > 50
    assert found.states > 150


# More of them are among the planted bugs of the simulation.
@pytest.mark.parametrize(
    ("workload", "flaw"),
    [
        ("outbox", "outbox-at-off"),
        ("outbox", "no-folder-synced"),
        ("outbox", "no-file-synced"),
        ("index", "pointed-to-before-synced"),
        ("record", "record-at-normal"),
        ("record", "no-folder-synced"),
    ],
)
def test_a_known_bad_variant_is_found(workload: str, flaw: str) -> None:
    found = cut_everywhere(workload, flaw, singly=2, samples=1, until_failed=True)
    print(f"{workload}, {flaw}: found at state {found.states}")
    assert found.failed


# the disk that is as bad as POSIX allows


HERE = Path("/disk")
EVER = 1_000


class Program:
    """Does calls to a disk, and asks what a cut could leave."""

    def __init__(self) -> None:
        self.disk = Disk(HERE)
        self.at = 0

    def do(self, name: str, *paths: str, data: bytes = b"", arguments: str = "") -> None:
        self.at += 1
        where = [str(HERE / path) for path in paths]
        call = Call(name, arguments, where, [data], len(data), self.at, self.at)
        assert self.disk.do(call)

    def make(self, path: str) -> None:
        self.do("openat", path, arguments="O_CREAT")

    def write(self, path: str, data: bytes, at: int = 0) -> None:
        self.do("pwrite64", path, data=data, arguments=f"3</disk>, data, {len(data)}, {at}")

    def states(self) -> list[dict[str, bytes | None]]:
        return list(self.disk.after_a_cut(random.Random(1), singly=9, samples=99))

    def contents(self, path: str) -> set[bytes | None]:
        """What may be read of it; None: it may be away."""
        return {state.get(path) for state in self.states()}


def test_what_was_not_synced_may_be_there_or_not() -> None:
    program = Program()
    program.make("a")
    program.write("a", b"x")
    assert program.contents("a") == {None, b"", b"x", b"\0"}


def test_a_synced_file_without_its_name_synced_may_be_away() -> None:
    program = Program()
    program.make("a")
    program.write("a", b"x")
    program.do("fsync", "a")
    assert program.contents("a") == {None, b"x"}
    program.do("fsync", "")
    assert program.contents("a") == {b"x"}


def test_a_long_write_is_torn_between_sectors() -> None:
    program = Program()
    program.make("a")
    program.do("fsync", "")
    program.write("a", b"x" * 2048)
    assert b"x" * 1024 in program.contents("a")


def test_a_later_write_may_come_before_an_earlier_one() -> None:
    program = Program()
    program.make("a")
    program.do("fsync", "")
    program.write("a", b"x")
    program.write("a", b"y", at=1)
    assert {b"\0y", b"x", b"xy", b""} <= program.contents("a")


def test_a_name_that_was_changed_is_the_old_or_the_new_one() -> None:
    program = Program()
    for path, content in (("old", b"o"), ("new", b"n")):
        program.make(path)
        program.write(path, content)
        program.do("fsync", path)
    program.do("fsync", "")
    program.do("rename", "new", "old")
    assert program.contents("old") == {b"o", b"n"}
    program.do("fsync", "")
    assert program.states()[0] == {"old": b"n"}
    assert program.contents("new") == {None}


def test_what_lies_in_a_folder_goes_with_its_name() -> None:
    program = Program()
    program.do("mkdir", "f")
    program.make("f/a")
    program.do("fsync", "f")
    assert {"f" in state for state in program.states()} == {True, False}
    assert all(("f/a" in state) == ("f" in state) for state in program.states())


def test_a_file_that_was_cut_may_have_its_length_from_before() -> None:
    program = Program()
    program.make("a")
    program.write("a", b"xyz")
    program.do("fsync", "a")
    program.do("fsync", "")
    program.do("ftruncate", "a", arguments="3</disk>, 1")
    assert program.contents("a") == {b"x", b"xyz"}


def test_what_was_written_while_a_sync_ran_is_not_synced_by_it() -> None:
    program = Program()
    program.make("a")
    program.do("fsync", "")
    program.write("a", b"x")
    began = program.at
    program.write("a", b"y")
    sync = Call("fsync", "", [str(HERE / "a")], [], 0, began + 1, EVER)
    program.disk.do(sync)
    assert program.contents("a") == {b"x", b"y"}
