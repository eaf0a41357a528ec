"""A FastAPI application with one endpoint, whose answer is ready: `-m benchmarks.constant SIZE`."""

from __future__ import annotations

import sys
from socket import socket

import uvicorn
from fastapi import FastAPI, Response

PATH = "/constant"


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

    # As enforcement_api.serving configures it.
    config = uvicorn.Config(
        app, port=0, log_level="warning", access_log=False, server_header=False, lifespan="off"
    )
    _Server(config).run()


if __name__ == "__main__":
    main()
