"""The demo's folder: built anew at each run, and never somebody else's."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from collections.abc import Iterator
from pathlib import Path

from enforcement_api.folders import usable
from enforcement_api.problems import N_, Problem

_MARK = ".patrouille-demo"
_OURS = (
    "record.db", "record.db-wal", "record.db-shm", "index", "snapshots", "photos", "handheld",
    "pictures", "subscriptions", "attachments", "attachment.key", "local-provider",
    "serve.log", "local-provider.log", "handheld.log",
)  # fmt: skip


class NotTheDemos(Problem):
    """There is something real in the folder."""

    status = 409
    slug = "not-the-demos"
    title = N_("The folder holds what is not the demo's")
    detail = N_(
        "{folder} has {found}, which the demo did not put there and will not touch."
        " Name another folder with --data-dir."
    )


class DemoIsRunning(Problem):
    """Two demos in one folder would take each other's record away."""

    status = 409
    slug = "demo-is-running"
    title = N_("A demo is running in this folder")
    detail = N_("End it first, or name another folder than {folder} with --data-dir.")


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[Path]:
    """The folder, emptied of what an earlier demo left, and this demo's alone while it lasts.

    Raises NotTheDemos, DemoIsRunning, FolderUnusable.
    """
    mark = folder / _MARK
    if not mark.exists():
        found = [name for name in _OURS if (folder / name).exists()]
        if found:
            raise NotTheDemos(folder=folder, found=", ".join(found))
    with usable(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(mark, "a", encoding="utf-8")  # noqa: SIM115
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoIsRunning(folder=folder) from None
        with usable(folder):
            for name in _OURS:
                path = folder / name
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
        yield folder
