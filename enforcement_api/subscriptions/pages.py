"""The few pages that a subscriber opens from a letter: no script, no cookie, nothing kept."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from enforcement_api.problems import translation

_FOLDER = Path(__file__).parent / "templates"
_STYLE = (_FOLDER / "page.css").read_text()


@cache
def _environment() -> Environment:
    loader = FileSystemLoader(_FOLDER)
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)


def _policy() -> str:
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self';"
        " frame-ancestors 'none'; base-uri 'none'"
    )


def page(
    language: str,
    *,
    title: str,
    paragraphs: tuple[str, ...],
    button: str | None = None,
    status: int = 200,
    **facts: Any,
) -> HTMLResponse:
    """A page that says something, with a button that posts back to its address or without.

    `title`, `paragraphs` and `button` are marked texts, whose braces the facts fill.
    """
    show = translation(language).gettext
    body = (
        _environment()
        .get_template("page.html")
        .render(
            language=language,
            style=_STYLE,
            title=show(title).format(**facts),
            paragraphs=[show(text).format(**facts) for text in paragraphs],
            button=None if button is None else show(button),
        )
    )
    headers = {
        "Content-Security-Policy": _policy(),
        "Content-Language": language,
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
    }
    return HTMLResponse(body, status, headers=headers)
