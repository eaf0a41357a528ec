"""The files of the console: which there are, at which addresses, and how long they are kept."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from enforcement_api import problems
from enforcement_api.console import static
from enforcement_api.console.static import LIBRARIES, OF_LIBRARIES, StaticFiles, url_for_static
from enforcement_api.headers import Headers

ROOT = Path(__file__).resolve().parents[2]
CONSOLE = ROOT / "enforcement_api" / "console"
BORN = "/console/static/"
NOT_FETCHED = "make setup fetches the console's libraries"

Ask = Callable[..., httpx.Response]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    folder = tmp_path / "static"
    folder.mkdir()
    (folder / "console.css").write_text("main { color: #111820 }\n" * 20)
    (folder / "logo.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (folder / "README.md").write_text("not for browsers")
    (tmp_path / "secret.css").write_text("beside, not below")
    return folder


@pytest.fixture
def files(own: Path) -> StaticFiles:
    return StaticFiles(own)


def asking(files: StaticFiles) -> Ask:
    """An application with these files, and the service's headers and errors."""
    app = FastAPI()

    async def anybody(request: object) -> None: ...

    problems.install(app, storage_failed=lambda problem: None, may_ask=anybody)
    app.add_middleware(Headers, docs="/docs")
    app.include_router(files.router())

    def ask(address: str, method: str = "GET", **headers: str) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
                named = {name.replace("_", "-"): value for name, value in headers.items()}
                return await client.request(method, address, headers=named)

        return asyncio.run(send())

    return ask


@pytest.fixture
def ask(files: StaticFiles) -> Ask:
    return asking(files)


def test_an_address_with_the_version_is_kept_for_good(files: StaticFiles, ask: Ask) -> None:
    address = files.url("console.css")
    assert address is not None
    assert re.fullmatch(r"/console/static/console\.css\?v=[0-9a-f]{16}", address)
    answer = ask(address)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"] == "text/css; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.text.startswith("main {")


def test_another_content_has_another_address(files: StaticFiles, own: Path) -> None:
    (own / "console.css").write_text("main { color: #111821 }\n")
    assert StaticFiles(own).url("console.css") != files.url("console.css")
    assert StaticFiles(own).url("logo.svg") == files.url("logo.svg")


@pytest.mark.parametrize("query", ["", "?v=", "?v=0123456789abcdef"])
def test_without_the_right_version_it_is_asked_for_again_each_time(ask: Ask, query: str) -> None:
    answer = ask(f"{BORN}console.css{query}")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-cache"
    again = ask(f"{BORN}console.css{query}", if_none_match=f'"other", {answer.headers["etag"]}')
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == answer.headers["etag"]
    assert ask(f"{BORN}console.css", if_none_match='"other"').status_code == 200


def test_text_travels_compressed_to_whoever_takes_it(ask: Ask) -> None:
    plain, packed = (
        ask(f"{BORN}console.css", accept_encoding=way) for way in ("identity", "br, gzip")
    )
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.content == plain.content
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"])
    assert plain.headers["vary"] == "Accept-Encoding"
    picture = ask(f"{BORN}images/layers.png", accept_encoding="gzip")
    assert "content-encoding" not in picture.headers, NOT_FETCHED
    assert picture.headers["content-type"] == "image/png"


@pytest.mark.parametrize(
    "path",
    [
        "",
        "README.md",
        # Dots as they are would not leave httpx, nor a browser.
        "%2e%2e/static.py",
        "%2e%2e/secret.css",
        "%2e/console.css",
        "..%2fsecret.css",
        "..%5csecret.css",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "console.css/",
        "console.css%00",
        "CONSOLE.CSS",
        "images",
        "images/",
        "htmx.js",
        "node_modules/axe-core/axe.min.js",
        "axe.min.js",
        "package.json",
    ],
)
def test_nothing_else_can_be_reached(ask: Ask, path: str) -> None:
    answer = ask(BORN + path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_it_is_looked_at_only(ask: Ask) -> None:
    head = ask(f"{BORN}console.css", "HEAD")
    assert (head.status_code, head.content) == (200, b"")
    assert ask(f"{BORN}console.css", "POST").status_code == 405


def test_a_name_that_nothing_has_is_a_mistake(files: StaticFiles) -> None:
    with pytest.raises(KeyError):
        files.url("consle.css")


def test_libraries_are_at_the_versions_of_package_json() -> None:
    wanted = json.loads((CONSOLE / "package.json").read_text())
    there = {
        name: json.loads((LIBRARIES / name / "package.json").read_text())
        for name in wanted["dependencies"] | wanted["devDependencies"]
    }
    assert {name: told["version"] for name, told in there.items()} == (
        wanted["dependencies"] | wanted["devDependencies"]
    ), NOT_FETCHED
    assert wanted["private"] is True, "it is never published"
    assert {name: told["license"] for name, told in there.items()} == {
        "htmx.org": "0BSD",
        "leaflet": "BSD-2-Clause",
        "axe-core": "MPL-2.0",  # of the tests alone: it is neither served nor packed
    }, "another licence: read it first"
    for name in wanted["dependencies"]:
        assert "sourceMappingURL=http" not in (LIBRARIES / main_file(name)).read_text()
    assert set(wanted["dependencies"]) == {place.split("/")[0] for place in OF_LIBRARIES.values()}


def main_file(library: str) -> str:
    return next(place for place in OF_LIBRARIES.values() if place.startswith(library))


def test_what_is_served_of_libraries_is_what_was_fetched(ask: Ask) -> None:
    for name, place in OF_LIBRARIES.items():
        assert ask(BORN + name).content == (LIBRARIES / place).read_bytes(), NOT_FETCHED
    assert "htmx" in ask(f"{BORN}htmx.min.js").text
    assert url_for_static("htmx.min.js") == StaticFiles().url("htmx.min.js")
    sheet = ask(f"{BORN}leaflet.css").text
    for picture in re.findall(r"url\((?!#)([^)]*)\)", sheet):
        assert ask(BORN + picture).status_code == 200


def test_without_libraries_the_service_says_so_and_serves_the_rest(
    own: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = StaticFiles(own, tmp_path / "nowhere")
    with caplog.at_level(logging.WARNING):
        ask = asking(files)
    (told,) = caplog.messages
    assert "no script and no map" in told
    assert "htmx.min.js, leaflet.js" in told
    assert "make setup" in told
    assert files.url("htmx.min.js") is None
    assert ask(f"{BORN}htmx.min.js").status_code == 404
    assert ask(str(files.url("console.css"))).status_code == 200


def test_with_all_there_the_log_says_nothing(
    files: StaticFiles, caplog: pytest.LogCaptureFixture
) -> None:
    files.router()
    assert caplog.messages == [], NOT_FETCHED


def test_an_installation_brings_what_is_served_and_its_licences(tmp_path: Path) -> None:
    command = (sys.executable, "setup.py", "--quiet", "build_py", "--build-lib", str(tmp_path))
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    packed = tmp_path / "enforcement_api" / "console" / "node_modules"
    there = {path.relative_to(packed).as_posix() for path in packed.rglob("*") if path.is_file()}
    licences = {f"{place.split('/')[0]}/LICENSE" for place in OF_LIBRARIES.values()}
    assert there == set(OF_LIBRARIES.values()) | licences
    ours = Path(static.OWN)
    for path in ours.rglob("*"):
        assert not path.is_file() or (packed.parent / "static" / path.relative_to(ours)).exists()


def test_what_is_compressed_is_the_same_each_time() -> None:
    files = StaticFiles()._files
    for name, file in StaticFiles()._files.items():
        assert files[name] == file
        assert file.compressed is None or gzip.decompress(file.compressed) == file.content
