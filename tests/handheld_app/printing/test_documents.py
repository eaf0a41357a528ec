"""What the documents on printing say holds."""

from __future__ import annotations

import json
import re
from typing import get_args

import pytest

from handheld_app.printing.printers import KINDS, STALLED, PrintTrouble
from handheld_app.wording import print_trouble
from sync.paper.layout import WIDTHS
from sync.paper.notice import payment_address
from tests.documents import blocks, text_of
from tests.sync.paper.sheets import sheet

DOCUMENTS = [("printing.md", "en"), ("impression.md", "fr")]


@pytest.mark.parametrize(("name", "lang"), DOCUMENTS)
def test_every_trouble_kind_and_width_is_told(name: str, lang: str) -> None:
    text = text_of(name)
    for reason in get_args(PrintTrouble):
        words = print_trouble(reason, lang).replace("\u00a0", " ")
        told = re.split(r" ?[.:,]", words)[0]
        assert f"| {told}" in text
    for kind in KINDS:
        assert f"| `{kind}` |" in text
    for width in WIDTHS:
        assert f"| {width} |" in text
    assert f" {STALLED:.0f} se" in text


@pytest.mark.parametrize(("name", "lang"), DOCUMENTS)
def test_the_example_of_texts_is_what_is_printed(name: str, lang: str) -> None:
    (text,) = [json.loads(block) for kind, block in blocks(name) if kind == "json"]
    printed = sheet(texts=text)
    for said in (*text["avis"]["fr"].values(), *text["avis"]["en"].values()):
        assert said in printed.words
    assert printed.code == payment_address(text["payment_url"], "avis", "1085-1042")
    assert f"`{printed.code}`" in text_of(name)
