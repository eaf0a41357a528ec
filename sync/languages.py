"""The language of a command, from its environment: French, unless it says English."""

from __future__ import annotations

from collections.abc import Mapping

_NAMES = ("PATROUILLE_LANG", "LC_ALL", "LC_MESSAGES", "LANG")


def language(environment: Mapping[str, str]) -> str:
    """English when the first of the variables that is set says so, else French."""
    said = next((environment[name] for name in _NAMES if environment.get(name)), "")
    return "en" if said.lower().startswith("en") else "fr"
