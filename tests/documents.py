"""The documents, as far as tests hold them to what they say."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"


def text_of(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def blocks(name: str) -> list[tuple[str, str]]:
    """The kind and the text of each block of code, in their order."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", text_of(name), re.DOTALL | re.MULTILINE)
