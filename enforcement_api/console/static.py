"""The files that the console's pages name: its own, and those of its libraries.

`make setup` fetches the libraries at the versions of `package.json`, and a wheel brings what is
named here. Everything is in memory from the start on, and found by its whole name: there is no way
to any other file.
"""

from __future__ import annotations

import gzip
import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from enforcement_api.problems import NotFound

PREFIX = "/console/static"
OWN = Path(__file__).parent / "static"
LIBRARIES = Path(__file__).parent / "node_modules"

OF_LIBRARIES = {
    "htmx.min.js": "htmx.org/dist/htmx.min.js",
    "leaflet.js": "leaflet/dist/leaflet.js",
    "leaflet.css": "leaflet/dist/leaflet.css",
    # Where the style sheet looks for them.
    "images/layers.png": "leaflet/dist/images/layers.png",
    "images/layers-2x.png": "leaflet/dist/images/layers-2x.png",
    "images/marker-icon.png": "leaflet/dist/images/marker-icon.png",
    "images/marker-icon-2x.png": "leaflet/dist/images/marker-icon-2x.png",
    "images/marker-shadow.png": "leaflet/dist/images/marker-shadow.png",
}
"""The names that pages have for them, and where they lie."""

MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
"""A file of another kind is not served."""

_COMPRESSED = {".css", ".js", ".svg"}
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class File:
    """What is served under a name. `version`: the start of its SHA-256."""

    media_type: str
    content: bytes
    compressed: bytes | None
    version: str

    @classmethod
    def read(cls, path: Path) -> File:
        """Raises OSError."""
        content = path.read_bytes()
        return cls(
            MEDIA_TYPES[path.suffix],
            content,
            gzip.compress(content, mtime=0) if path.suffix in _COMPRESSED else None,
            hashlib.sha256(content).hexdigest()[:16],
        )


class StaticFiles:
    """All of them. `missing`: the names of libraries' files that are not there."""

    def __init__(self, own: Path = OWN, libraries: Path = LIBRARIES) -> None:
        """Raises OSError if one that is there cannot be read."""
        self._files = {
            path.relative_to(own).as_posix(): File.read(path)
            for path in own.rglob("*")
            if path.suffix in MEDIA_TYPES and path.is_file()
        }
        for name, place in OF_LIBRARIES.items():
            if (libraries / place).is_file():
                self._files[name] = File.read(libraries / place)
        self.missing = tuple(name for name in OF_LIBRARIES if name not in self._files)

    def __iter__(self) -> Iterator[str]:
        """The names of what is there."""
        return iter(self._files)

    def url(self, name: str) -> str | None:
        """The address of a file, another one for each content; None for a library's that is not
        there, which a page does without. Raises KeyError for a name that nothing has.
        """
        if name in self.missing:
            return None
        return f"{PREFIX}/{name}?v={self._files[name].version}"

    def router(self) -> APIRouter:
        """Where they are served. The log is told what is missing."""
        if self.missing:
            _log.warning(
                "The console's pages have no script and no map, for files of its libraries are"
                " missing (%s): `make setup` fetches them, and what is installed from there has"
                " them.",
                ", ".join(self.missing),
            )
        routes = APIRouter()
        routes.add_route(PREFIX + "/{name:path}", self._answer, include_in_schema=False)
        return routes

    async def _answer(self, request: Request) -> Response:
        file = self._files.get(request.path_params["name"])
        if file is None:
            raise NotFound
        # An address without the version is asked for again each time, which the ETag makes cheap.
        is_final = request.query_params.get("v") == file.version
        etag = f'W/"{file.version}"'
        headers = {
            "Cache-Control": "public, max-age=31536000, immutable" if is_final else "no-cache",
            "ETag": etag,
            "Vary": "Accept-Encoding",
        }
        if etag in map(str.strip, request.headers.get("if-none-match", "").split(",")):
            return Response(status_code=304, headers=headers)
        content = file.content
        if file.compressed is not None and _takes_gzip(request):
            content = file.compressed
            headers["Content-Encoding"] = "gzip"
        headers["Content-Type"] = file.media_type
        return Response(content, headers=headers)


def _takes_gzip(request: Request) -> bool:
    # As browsers say it; whoever says it in another way gets the whole.
    accepted = request.headers.get("accept-encoding", "").split(",")
    return "gzip" in map(str.strip, accepted)


@cache
def console_files() -> StaticFiles:
    """Those of this installation, read once."""
    return StaticFiles()


def url_for_static(name: str) -> str | None:
    """The address of one of them, for templates; as `StaticFiles.url` tells it."""
    return console_files().url(name)
