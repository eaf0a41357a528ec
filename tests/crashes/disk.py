"""What a power cut can leave of a folder, by what was done to it (`tests.crashes.tracing`).

The disk is as bad as POSIX allows. What was synced is there. Of what was written to a file since
its last sync each write is there, is not, is torn between two sectors, or has left zeros where the
file grew. Of the names that were made, changed or removed in a folder since that was last synced,
each is as after or as before, in any combination.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.crashes.tracing import Call

SECTOR = 512
Fate = Literal["kept", "dropped", "torn", "zeros"]


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes written, or with `data` None the file cut or lengthened to `offset`."""

    offset: int
    data: bytes | None
    at: int


@dataclass(slots=True, eq=False)
class File:
    """What of it is on the disk for sure, and what was written since."""

    durable: bytes = b""
    pending: list[Write] = field(default_factory=list)

    def content(self, fates: Mapping[int, Fate]) -> bytes:
        """What is read when the writes had these fates (by `id`); those not named are kept."""
        found = bytearray(self.durable)
        for write in self.pending:
            _apply(found, write, fates.get(id(write), "kept"))
        return bytes(found)

    def sync(self, started: int) -> None:
        """Make durable what was written before then."""
        found = bytearray(self.durable)
        while self.pending and self.pending[0].at < started:
            _apply(found, self.pending.pop(0), "kept")
        self.durable = bytes(found)


def _apply(content: bytearray, write: Write, fate: Fate) -> None:
    if fate == "dropped":
        return
    if write.data is None:
        del content[write.offset :]
        content.extend(bytes(write.offset - len(content)))
        return
    data = write.data
    if fate == "torn":
        middle = write.offset + len(data) // 2
        data = data[: max(0, middle - middle % SECTOR - write.offset)]
    end = write.offset + len(data)
    if len(content) < end:
        content.extend(bytes(end - len(content)))
    if fate != "zeros":
        content[write.offset : end] = data


FOLDER = File()
"""What a name stands for that is a folder's."""


@dataclass(frozen=True, slots=True, eq=False)
class Naming:
    """Names of one folder that change in one step; None: there is nothing of this name."""

    names: Mapping[str, File | None]
    at: int


class Disk:
    """One folder, as its calls are done to it one after the other."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._now: dict[str, File] = {}
        self._durable: dict[str, File] = {}
        self._pending: dict[str, list[Naming]] = {}
        self._offsets: dict[int, int] = {}

    def do(self, call: Call) -> bool:
        """Do a call; whether it concerned this folder."""
        paths = [path for path in call.paths if path.startswith(self._folder + "/")]
        if call.paths and call.paths[0] == self._folder and call.name in ("fsync", "fdatasync"):
            self._sync_names(self._folder, call.started)
            return True
        if not paths or any(path.endswith("-shm") for path in paths):
            # SQLite makes its shared memory anew when nobody has it open.
            return False
        if ">(deleted)" in call.arguments:
            return False
        return self._do(call, paths)

    def _do(self, call: Call, paths: Sequence[str]) -> bool:
        match call.name:
            case "openat":
                return self._open(call, paths[0])
            case "lseek":
                self._offsets[call.descriptor] = call.result
                return False
            case "write" | "pwrite64":
                self._write(call, paths[0])
            case "ftruncate":
                self._file(paths[0]).pending.append(Write(call.number(-1), None, call.ended))
            case "fsync" | "fdatasync":
                self._sync(paths[0], call.started)
            case "rename" | "renameat" | "renameat2":
                old, new = paths
                assert os.path.dirname(old) == os.path.dirname(new), call
                assert self._now[old] is not FOLDER, call
                self._name(call, {old: None, new: self._now[old]})
            case "unlink" | "unlinkat" | "rmdir":
                self._name(call, {paths[0]: None})
            case "mkdir" | "mkdirat":
                self._name(call, {paths[0]: FOLDER})
            case _:
                raise NotImplementedError(call)
        return True

    def _open(self, call: Call, path: str) -> bool:
        file = self._now.get(path)
        self._offsets[call.result] = 0
        if file is None and "O_CREAT" in call.arguments:
            self._name(call, {path: File()})
            return True
        if file is not None and "O_TRUNC" in call.arguments:
            file.pending.append(Write(0, None, call.ended))
            return True
        assert "O_APPEND" not in call.arguments, call
        return False

    def _file(self, path: str) -> File:
        # An unlinked file that is still open: nobody will ever find it again.
        return self._now.get(path) or File()

    def _write(self, call: Call, path: str) -> None:
        data = call.data[0][: call.result]
        if call.name == "pwrite64":
            offset = call.number(-1)
        else:
            offset = self._offsets[call.descriptor]
            self._offsets[call.descriptor] = offset + len(data)
        self._file(path).pending.append(Write(offset, data, call.ended))

    def _sync(self, path: str, started: int) -> None:
        file = self._file(path)
        if file is FOLDER:
            self._sync_names(path, started)
        else:
            file.sync(started)

    def _sync_names(self, folder: str, started: int) -> None:
        pending = self._pending.get(folder, [])
        while pending and pending[0].at < started:
            _rename(self._durable, pending.pop(0))

    def _name(self, call: Call, names: Mapping[str, File | None]) -> None:
        naming = Naming(names, call.ended)
        _rename(self._now, naming)
        self._pending.setdefault(os.path.dirname(next(iter(names))), []).append(naming)

    def settle(self) -> None:
        """What was done so far was long ago, and is on the disk."""
        for file in self._now.values():
            file.sync(1 << 62)
        self._durable = dict(self._now)
        self._pending.clear()

    def after_a_cut(
        self, dice: random.Random, *, singly: int, samples: int
    ) -> Iterator[dict[str, bytes | None]]:
        """States that a power cut now could leave: contents by path, None for a folder.

        All or nothing of the writes with all or nothing of the names; each of the last `singly`
        writes and names with a fate of its own; `samples` combinations by the dice.
        """
        namings = sorted(
            (naming for pending in self._pending.values() for naming in pending),
            key=lambda naming: naming.at,
        )
        files = {id(file): file for file in [*self._now.values(), *self._durable.values()]}
        writes = sorted(
            (write for file in files.values() for write in file.pending),
            key=lambda write: write.at,
        )
        none: dict[int, Fate] = {id(write): "dropped" for write in writes}
        every: set[int] = {id(naming) for naming in namings}
        for named in (every, set()):
            for fates in ({}, none):
                yield self._state(namings, named, fates)
        for write in writes[-singly:]:
            for fate in ("dropped", "torn", "zeros"):
                yield self._state(namings, every, {id(write): fate})
            yield self._state(namings, every, none | {id(write): "kept"})
            yield self._state(namings, every, none | {id(write): "torn"})
        for naming in namings[-singly:]:
            for named in (every - {id(naming)}, {id(naming)}):
                yield self._state(namings, named, {})
                yield self._state(namings, named, none)
        if writes or namings:
            for _ in range(samples):
                fates = {id(w): dice.choice(("kept", "dropped", "torn", "zeros")) for w in writes}
                yield self._state(namings, {n for n in every if dice.random() < 0.5}, fates)

    def _state(
        self, namings: Sequence[Naming], named: set[int], fates: Mapping[int, Fate]
    ) -> dict[str, bytes | None]:
        names = dict(self._durable)
        for naming in namings:
            if id(naming) in named:
                _rename(names, naming)
        found: dict[str, bytes | None] = {}
        for path in sorted(names):
            parent = os.path.dirname(path)
            if parent != self._folder and names.get(parent) is not FOLDER:
                continue
            if parent != self._folder and os.path.relpath(parent, self._folder) not in found:
                continue
            content = None if names[path] is FOLDER else names[path].content(fates)
            found[os.path.relpath(path, self._folder)] = content
        return found


def _rename(names: dict[str, File], naming: Naming) -> None:
    for path, file in naming.names.items():
        if file is None:
            names.pop(path, None)
        else:
            names[path] = file


def digest_of(state: Mapping[str, bytes | None]) -> bytes:
    """The same for the same state."""
    found = hashlib.sha256()
    for path, content in sorted(state.items()):
        whole = b"folder" if content is None else hashlib.sha256(content).digest()
        found.update(path.encode() + b"\0" + whole)
    return found.digest()


def lay_out(state: Mapping[str, bytes | None], folder: Path) -> None:
    """Make the folder what the state says."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path, content in sorted(state.items()):
        if content is None:
            (folder / path).mkdir()
        else:
            (folder / path).write_bytes(content)
