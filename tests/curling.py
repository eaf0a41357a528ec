"""The shell commands of documents and of the demo, run where nobody has installed curl.

    said = shell('curl "$SERVICE/v1/products" -H "Authorization: Bearer $KEY"', folder, SERVICE=…)

bash runs them as they stand; `curl` is then this module, which takes the options that they use.
"""

from __future__ import annotations

import argparse
import http.client
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

SECONDS = 60
CURL = f'curl() {{ "{sys.executable}" -I "{Path(__file__).resolve()}" "$@"; }}\n'


def shell(commands: str, folder: Path, **variables: str) -> str:
    """Run commands in a folder; what they said on stdout. They end with the first that fails."""
    done = subprocess.run(
        ["bash", "-euc", CURL + commands],
        cwd=folder,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def curl(arguments: list[str]) -> None:
    """Ask for one address as curl does; the body of the answer on stdout, or in a file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("-X", dest="method")
    parser.add_argument("-H", dest="headers", action="append", default=[])
    parser.add_argument("-o", dest="file")
    parser.add_argument("--json")
    parser.add_argument("-d", "--data-binary", dest="data")
    asked = parser.parse_args(arguments)
    headers = dict(line.split(": ", 1) for line in asked.headers)
    body = None
    if asked.json is not None:
        body = asked.json.encode()
        headers = {"Content-Type": "application/json", "Accept": "application/json"} | headers
    elif asked.data is not None:
        file = asked.data.removeprefix("@")
        body = asked.data.encode() if file == asked.data else Path(file).read_bytes()
        headers = {"Content-Type": "application/x-www-form-urlencoded"} | headers
    parts = urlsplit(asked.address)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=SECONDS)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    method = asked.method or ("GET" if body is None else "POST")
    connection.request(method, target, body, headers)
    answer = connection.getresponse().read()
    if asked.file is None:
        sys.stdout.buffer.write(answer)
    else:
        Path(asked.file).write_bytes(answer)


if __name__ == "__main__":
    curl(sys.argv[1:])
