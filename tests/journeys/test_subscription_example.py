"""docs/subscriptions.md and docs/abonnements.md: their example, run as it stands against real
processes, and what they say of states and settings.
"""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import httpx
import pytest

from enforcement_api.settings import Settings
from enforcement_api.subscriptions.core import STATUSES
from tests import papers
from tests.curling import shell
from tests.documents import blocks, text_of
from tests.enforcement_api.program import key, open_site, serving
from tests.local_provider import PLAIN, give_card, local_provider, wait_for

ENGLISH, FRENCH = "subscriptions.md", "abonnements.md"
PAGES = pytest.mark.parametrize("page", [ENGLISH, FRENCH])
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def agrees(told: Any, found: Any) -> bool:
    """Whether an answer has what the document shows of it; which instant, and what follows from it
    or from an address of the day, is another matter.
    """
    if isinstance(told, dict):
        return isinstance(found, dict) and all(
            name in found and agrees(value, found[name]) for name, value in told.items()
        )
    if isinstance(told, list):
        return len(told) == len(found) and all(map(agrees, told, found))
    if isinstance(told, str) and told.startswith("http"):
        return urls_agree(told, found)
    if isinstance(told, str) and INSTANT.fullmatch(told):
        return INSTANT.fullmatch(found) is not None
    return bool(told == found)


def urls_agree(told: str, found: str) -> bool:
    """The same path of the same kind of address, up to what is left out."""
    return httpx.URL(found).path.startswith(httpx.URL(told.partition("…")[0]).path)


def test_the_example_of_the_documentation_works(tmp_path: Path) -> None:
    data, here = tmp_path / "data", tmp_path / "here"
    here.mkdir()
    (here / "preuve.pdf").write_bytes(papers.pdf())
    admin = key(data)
    first, *steps = blocks(ENGLISH)
    with local_provider(tmp_path / "provider") as provider:
        settings = {f"PATROUILLE_{name.upper()}": v for name, v in provider.settings.items()}
        settings["PATROUILLE_CLERK_SECONDS"] = "0.2"
        with serving(data, settings=settings) as service, service.client(admin) as client:
            open_site(client)
            said = ""

            def run(commands: str) -> str:
                variables = {"SERVICE": service.address, "KEY": admin}
                return shell(first[1] + commands, here, **variables)

            for kind, text in steps:
                if kind == "json":
                    assert agrees(json.loads(text), json.loads(said)), said
                    continue
                if "/payments" in text:  # "a few seconds later"
                    wait_for(lambda text=text: '"paid"' in run(text))
                said = run(text)
                assert "/problems/" not in said, said
                if "/payment-pages/" in text:
                    httpx.get(give_card(json.loads(said)["url"]), **PLAIN)
                elif "/check?" in text:
                    assert json.loads(said)["verdict"] == "pending_activation"
    assert (here / "contrat.pdf").read_bytes().startswith(b"%PDF-")
    assert json.loads(said)["number"].startswith("COURTOISIE-")


def test_both_languages_have_the_same_example() -> None:
    assert blocks(ENGLISH) == blocks(FRENCH)


@PAGES
def test_every_state_and_setting_is_told_as_it_is(page: str) -> None:
    text = text_of(page)
    rows = re.findall(r"^\| `(\w+)`(?:, `(\w+)`)? \|", text, re.MULTILINE)
    assert [state for row in rows for state in row if state] == list(STATUSES)
    defaults = {f"PATROUILLE_{s.name.upper()}": s.default for s in fields(Settings)}
    assert set(re.findall(r"PATROUILLE_\w+", text)) <= defaults.keys()
    told = re.findall(r"^\| [^|]+ \| (\d+) [^|]+ \| `(PATROUILLE_\w+)` \|$", text, re.MULTILINE)
    assert len(told) == 7
    assert [(int(days), name) for days, name in told] == [(defaults[n], n) for _, n in told]
    assert f"`PATROUILLE_COURTESY_DAYS` ({defaults['PATROUILLE_COURTESY_DAYS']})" in text
