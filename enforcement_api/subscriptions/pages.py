"""The few pages that a subscriber opens from a letter, or comes back to from the provider's."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from starlette.responses import HTMLResponse

from enforcement_api.pages import Pages
from enforcement_api.problems import translation
from sync.entities import Site

_PAGES = Pages(Path(__file__).parent / "templates")


def page(
    language: str,
    *,
    title: str,
    paragraphs: tuple[str, ...],
    site: Site | None = None,
    tone: Literal["good", "wait", ""] = "",
    button: str | None = None,
    status: int = 200,
    **facts: Any,
) -> HTMLResponse:
    """A page that says something, with a button that posts back to its address or without.

    `title`, `paragraphs` and `button` are marked texts, whose braces the facts fill. `site`: whose
    page it is, as far as that is known.
    """
    show = translation(language).gettext
    return _PAGES.page(
        "page.html",
        language,
        status=status,
        name="Patrouille" if site is None else site.name,
        title=show(title).format(**facts),
        paragraphs=[show(text).format(**facts) for text in paragraphs],
        tone=tone,
        button=None if button is None else show(button),
    )
