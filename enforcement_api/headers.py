"""What every answer tells browsers and caches: guess nothing, show it nowhere, do not keep it.

A strict Content-Security-Policy: an answer of the API runs nothing at all; the documentation runs
what this service serves, and its one inline script by that script's hash.
"""

from __future__ import annotations

import base64
import hashlib
import re

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

NOTHING = "default-src 'none'; frame-ancestors 'none'"
_YEAR = 31_536_000
_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)


class Headers:
    """Adds the headers to every answer that does not have its own. `docs` is a page of scripts."""

    def __init__(self, app: ASGIApp, *, docs: str) -> None:
        self._app = app
        self._docs = docs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and add to the answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        is_docs = path == self._docs or path.startswith(f"{self._docs}/")
        held: list[Message] = []

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("Referrer-Policy", "no-referrer")
                if scope["scheme"] == "https":
                    headers.setdefault("Strict-Transport-Security", f"max-age={_YEAR}")
                if not is_docs:
                    headers.setdefault("Content-Security-Policy", NOTHING)
                    headers.setdefault("Cache-Control", "no-store")
                elif path == self._docs:
                    held.append(message)  # until its scripts are known
                    return
                else:
                    headers.setdefault("Content-Security-Policy", "frame-ancestors 'none'")
            elif held:
                start = held.pop()
                policy = _docs_policy(message.get("body", b""))
                MutableHeaders(scope=start).setdefault("Content-Security-Policy", policy)
                await send(start)
            await send(message)

        await self._app(scope, receive, add)


def _docs_policy(page: bytes) -> str:
    digests = (hashlib.sha256(script).digest() for script in _SCRIPT.findall(page))
    scripts = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline';"
        " img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'"
    )
