"""The look of all pages: a layout and a style sheet, light and dark, without script or cookie.

Whoever has pages keeps their templates in a folder of its own, which extend `layout.html`.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from enforcement_api.problems import translation

_SHARED = Path(__file__).parent / "templates"
_STYLE = (_SHARED / "page.css").read_text(encoding="utf-8")
_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()


class Pages:
    """The pages whose templates lie in a folder."""

    def __init__(self, folder: Path) -> None:
        self._templates = Environment(
            loader=FileSystemLoader([folder, _SHARED]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def page(
        self, template: str, language: str, *, status: int = 200, onward: str = "", **shown: Any
    ) -> HTMLResponse:
        """A page as an answer that runs nothing, and that nobody keeps or frames.

        `onward`: an origin to which a form of the page may lead, besides its own.
        """
        body = self._templates.get_template(template).render(
            _=translation(language).gettext, language=language, style=_STYLE, **shown
        )
        headers = {
            "Content-Security-Policy": _policy(onward),
            "Content-Language": language,
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
        }
        return HTMLResponse(body, status, headers=headers)


def _policy(onward: str) -> str:
    # A browser holds what a form leads to against `form-action`, redirects too.
    leads_to = f"'self' {onward}".rstrip()
    return (
        f"default-src 'none'; style-src 'sha256-{_DIGEST}'; form-action {leads_to};"
        " frame-ancestors 'none'; base-uri 'none'"
    )
