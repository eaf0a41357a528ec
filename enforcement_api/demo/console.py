"""The demo's staff: they get their passwords by link and sign in at the console, as people do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from enforcement_api.console.web import ROOT, SIGN_IN
from enforcement_api.demo.processes import LOOPBACK

PASSWORD = "neige fraîche sur la rivière"
"""Of everybody in a demo, which this machine alone can reach."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody of the staff; `options`: what `patrouille staff create` is told of them."""

    name: str
    email: str
    options: tuple[str, ...]


def people(site: str) -> Mapping[str, Person]:
    """Who works at the demo's console, by role."""
    return {
        "supervisor": Person(
            "Hélène Bouchard",
            "helene@exemple.ca",
            ("--role", "supervisor", "--site", site, "--sees-subscribers"),
        ),
        "administrator": Person("Étienne Morin", "etienne@exemple.ca", ("--role", "administrator")),
    }


def choose_password(link: str) -> bool:
    """Choose the password by the link that somebody was given; whether it was taken."""
    with httpx.Client(**LOOPBACK) as browser:
        form = {"password": PASSWORD, "password_again": PASSWORD}
        return browser.post(link, data=form).is_redirect


def queue(address: str, email: str, site: str) -> list[str]:
    """The infractions that somebody who signs in finds waiting for a review, in their order."""
    with httpx.Client(base_url=address, follow_redirects=True, **LOOPBACK) as browser:
        browser.post(SIGN_IN, data={"email": email, "password": PASSWORD})
        page = browser.get(f"/console/sites/{site}/review").text
        return re.findall(r'data-open href="[^"]*/infractions/([0-9a-f-]{36})', page)


__all__ = ["PASSWORD", "ROOT", "choose_password", "people", "queue"]
