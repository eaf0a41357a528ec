"""Seeds, each lived through in a folder that is emptied after it."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
from pathlib import Path

from tests.simulation.history import Failed, Simulation


def live_through(seed: int) -> tuple[int, str, str]:
    """A seed, its trace, and what went wrong (empty: nothing)."""
    folder = _folder()
    try:
        return seed, Simulation(seed, folder).run(), ""
    except Failed as failed:
        return seed, "", str(failed)
    finally:
        for left in folder.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()


@functools.cache
def _folder() -> Path:
    """One for each process: the application is put together for its folder, once."""
    in_memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    folder = tempfile.mkdtemp(prefix="patrouille-simulation-", dir=in_memory)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
