"""Before any test: the translations are compiled, so that a bare `pytest` speaks French too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def pytest_sessionstart() -> None:
    command = [sys.executable, "setup.py", "--quiet", "compile_translations"]
    subprocess.run(command, cwd=ROOT, check=True)
