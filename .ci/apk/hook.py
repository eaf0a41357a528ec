"""Called by python-for-android while an APK is made, in its own Python."""

from pathlib import Path
from typing import Any

MAIN = '''"""What Android starts: the same as `python -m handheld_app`."""

import runpy

runpy.run_module("handheld_app", run_name="__main__")
'''


def before_apk_build(toolchain: Any) -> None:
    """Write the `main.py` that Android looks for, into the copy of the sources that is packed."""
    told = toolchain.args.unknown_args
    (Path(told[told.index("--private") + 1]) / "main.py").write_text(MAIN)
