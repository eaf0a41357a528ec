"""The folder that a command is pointed at: can it be written to, is there a record in it?"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from enforcement_api.problems import N_, Problem


class FolderUnusable(Problem):
    """The disk is full or read-only, or the folder is somebody else's."""

    status = 507
    slug = "folder-unusable"
    title = N_("The data folder cannot be written to")
    detail = N_(
        "Make {folder} writable, free space, or name another folder with --data-dir."
        " The system said: {reason}"
    )


class NoRecord(Problem):
    """There is nothing to read at the record's address."""

    status = 503
    slug = "no-record"
    title = N_("There is no record here")
    detail = N_(
        "{where}: run `patrouille init` to make one, or name its folder with --data-dir or"
        " PATROUILLE_DATA_DIR."
    )


@contextlib.contextmanager
def usable(folder: Path) -> Iterator[None]:
    """Within the block, what the disk refuses is a FolderUnusable."""
    try:
        yield
    except OSError as error:
        raise FolderUnusable(folder=folder, reason=error) from error
