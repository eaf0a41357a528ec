"""What every answer tells browsers and caches: guess nothing, show it nowhere, do not keep it.

A strict Content-Security-Policy: an answer of the API runs nothing at all; the documentation runs
what this service serves, and its one inline script by that script's hash.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ALWAYS = {b"x-content-type-options": b"nosniff", b"referrer-policy": b"no-referrer"}
_OF_THE_API = {
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"cache-control": b"no-store",
}
_OF_DOCS = {b"content-security-policy": b"frame-ancestors 'none'"}
_OVER_TLS = {b"strict-transport-security": b"max-age=31536000"}
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
                _add(message, _ALWAYS)
                if scope["scheme"] == "https":
                    _add(message, _OVER_TLS)
                if path == self._docs:
                    held.append(message)  # until its scripts are known
                    return
                _add(message, _OF_DOCS if is_docs else _OF_THE_API)
            elif held:
                start = held.pop()
                policy = _docs_policy(message.get("body", b""))
                _add(start, {b"content-security-policy": policy.encode()})
                await send(start)
            await send(message)

        await self._app(scope, receive, add)


def _add(start: Message, headers: Mapping[bytes, bytes]) -> None:
    """Give an answer the headers of these that it does not have."""
    given = list(start["headers"])
    present = {name for name, _ in given}
    start["headers"] = given + [(n, value) for n, value in headers.items() if n not in present]


def _docs_policy(page: bytes) -> str:
    digests = (hashlib.sha256(script).digest() for script in _SCRIPT.findall(page))
    scripts = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline';"
        " img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'"
    )
