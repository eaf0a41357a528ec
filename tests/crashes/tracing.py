"""What a program did to the files of a folder, in order: from strace's log of it.

The program says what it has promised by `tell`: a write to /dev/null, which is in the log between
the writes and syncs that it must come after.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
WITHIN_S = 120

_CALLS = (
    "openat,open,creat,lseek,write,pwrite64,writev,pwritev,pwritev2,sendfile,copy_file_range,"
    "ftruncate,truncate,fallocate,fsync,fdatasync,sync_file_range,msync,rename,renameat,renameat2,"
    "link,linkat,symlink,symlinkat,unlink,unlinkat,mkdir,mkdirat,rmdir"
)
_TOLD = "/dev/null"


def tell(fact: Any) -> None:
    """Say, in the program that is traced, that something is promised from here on."""
    descriptor = os.open(_TOLD, os.O_WRONLY)
    os.write(descriptor, json.dumps(fact).encode())
    os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Call:
    """A system call that succeeded. `paths` and `data` are those of its arguments, in order;
    `started`, `ended`: its places in the log.
    """

    name: str
    arguments: str
    paths: Sequence[str]
    data: Sequence[bytes]
    result: int
    started: int
    ended: int

    @property
    def fact(self) -> Any:
        """What was told; None if this is no telling."""
        told = self.name == "write" and self.paths == [_TOLD] and self.data
        return json.loads(self.data[0]) if told else None

    def number(self, place: int) -> int:
        """The argument at this place from the end (-1: the last), a number."""
        return int(self.arguments.rsplit(", ")[place])

    @property
    def descriptor(self) -> int:
        """The file descriptor that is its first argument."""
        return int(self.arguments.split("<", 1)[0])


def trace(arguments: Sequence[str], log: Path) -> list[Call]:
    """Run `python -m …` under strace; its calls. Fails when the program does."""
    strace = shutil.which("strace")
    assert strace is not None, "strace is missing: run `make setup`, or install it"
    done = subprocess.run(
        [strace, "-f", "--seccomp-bpf", "-y", "-xx", "-s", "100000000", "-o", str(log),
         "-e", f"trace={_CALLS}", sys.executable, "-W", "error", "-m", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=WITHIN_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return list(_calls(log))


_LINE = re.compile(r"(\d+) +(\w+)\((.*)\) += (-?\d+)")
_UNFINISHED = re.compile(r"(\d+) +(\w+\(.*) <unfinished \.\.\.>$")
_RESUMED = re.compile(r"(\d+) +<\.\.\. \w+ resumed>(.*)$")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"|<((?:\\x[0-9a-f]{2})+)>')


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _calls(log: Path) -> Iterator[Call]:
    begun: dict[str, tuple[str, int]] = {}
    with open(log, encoding="ascii") as lines:
        for place, line in enumerate(lines):
            line, started = line.rstrip("\n"), place
            if unfinished := _UNFINISHED.match(line):
                begun[unfinished[1]] = unfinished[2], place
                continue
            if resumed := _RESUMED.match(line):
                rest, started = begun.pop(resumed[1])
                line = f"{resumed[1]} {rest}{resumed[2]}"
            if (call := _LINE.match(line)) and int(call[4]) >= 0:
                yield _call(call[2], call[3], int(call[4]), started, place)


def _call(name: str, arguments: str, result: int, started: int, ended: int) -> Call:
    paths, data = [], []
    folder = ""
    for string, descriptor in _STRING.findall(arguments):
        if descriptor:
            folder = os.fsdecode(_bytes(descriptor))
            paths.append(folder)
        elif name in ("write", "pwrite64"):
            data.append(_bytes(string))
        else:
            # A name is relative to the descriptor before it.
            path = os.path.join(folder, os.fsdecode(_bytes(string)))
            if folder and paths and paths[-1] == folder:
                paths.pop()
            paths.append(path)
    return Call(name, arguments, paths, data, result, started, ended)
