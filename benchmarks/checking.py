"""The check endpoint, against a FastAPI endpoint whose answer is ready."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence
from itertools import islice
from urllib.parse import urlencode

from benchmarks import constant, material
from benchmarks.measuring import Line, measure
from benchmarks.service import Server
from benchmarks.service import constant as serve_constant
from sync.plates import normalise

CONNECTIONS = 4


def run(server: Server, known: list[str], *, requests: int, repetitions: int) -> Line:
    """Random distinct plates, half of them with a permit; the same load on both processes."""
    chance = random.Random(4)
    here = {normalise(plate) for plate in known}
    wanted = chance.sample(known, requests // 2)
    strangers = (p for p in material.plates(chance) if normalise(p) not in here)
    wanted += [material.typed(p, chance) for p in islice(strangers, requests // 2)]
    chance.shuffle(wanted)
    queries = [urlencode({"plate": plate, "zone": material.ZONE}) for plate in wanted]
    path = f"/v1/sites/{material.SITE.id}/check"

    answers = asyncio.run(_drive(server, path, queries))
    verdicts = [json.loads(answer)["verdict"] for answer in answers]
    assert verdicts.count("unknown") == requests // 2
    size = round(sum(map(len, answers)) / len(answers))

    def cost(of: Server, path: str) -> float:
        before = of.cpu_seconds()
        asyncio.run(_drive(of, path, queries))
        return of.cpu_seconds() - before

    with serve_constant(size) as limit:
        return measure(
            "checks",
            ours=lambda: cost(server, path),
            limit=lambda: cost(limit, constant.PATH),
            told=(
                f"GET check under uvicorn, half unknown, {len(here):,} plates known:"
                " CPU of the server's process a request",
                f"a FastAPI endpoint that returns {size} ready bytes, the same load",
            ),
            unit="µs",
            per=requests,
            goal=2,
            repetitions=repetitions,
        )


async def _drive(server: Server, path: str, queries: Sequence[str]) -> list[bytes]:
    """Send a request for each query over a few connections that stay open; the bodies."""
    head = (
        f" HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nAccept: application/json\r\n"
        f"Accept-Language: fr\r\nUser-Agent: bench\r\nAuthorization: Bearer {server.key}\r\n\r\n"
    )
    waiting = iter(queries)
    bodies: list[bytes] = []

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for query in waiting:
            writer.write(f"GET {path}?{query}{head}".encode())
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 200"), answer
            length = answer.lower().partition(b"content-length: ")[2].partition(b"\r")[0]
            bodies.append(await reader.readexactly(int(length)))
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
    return bodies
