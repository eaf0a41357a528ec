"""Applications whose answer is ready: `-m benchmarks.constant SIZE`.

One endpoint of FastAPI answers at once; one of bare Starlette once the next change comes.
"""

from __future__ import annotations

import asyncio
import sys
from socket import socket

import uvicorn
from fastapi import FastAPI, Request, Response
from starlette.applications import Starlette
from starlette.routing import Mount, Route

PATH = "/constant"
WAIT = "/wait"
CHANGE = "/change"


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        port = self.servers[0].sockets[0].getsockname()[1]
        print(f"listening on http://127.0.0.1:{port}", file=sys.stderr, flush=True)


def main() -> None:
    answer = b'{"constant":"' + b"x" * (int(sys.argv[1]) - 15) + b'"}'
    app = FastAPI()

    @app.get(PATH)
    async def constant() -> Response:
        return Response(answer, media_type="application/json")

    news = asyncio.Event()

    async def wait(request: Request) -> Response:
        await news.wait()
        return Response(answer, media_type="application/json")

    async def change(request: Request) -> Response:
        nonlocal news
        news.set()
        news = asyncio.Event()
        return Response(b"{}", media_type="application/json")

    bare = Starlette(
        routes=[Route(WAIT, wait), Route(CHANGE, change, methods=["PUT"]), Mount("/", app)]
    )

    # As enforcement_api.serving configures it.
    config = uvicorn.Config(
        bare, port=0, log_level="warning", access_log=False, server_header=False, lifespan="off"
    )
    _Server(config).run()


if __name__ == "__main__":
    main()
