"""`patrouille demo --headless`: the whole way, told in both languages, by real processes."""

import hashlib
import json
import os
import re
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from enforcement_api.demo.folder import DemoIsRunning, claimed
from tests.curling import shell
from tests.local_provider import PLAIN, give_card

SECONDS = 240
"""Long enough for a machine that does other things at the same time."""

WORDS = {
    "fr": (
        "VALIDE", "EN ACTIVATION", "AUTRE ZONE", "PAS DÉBUTÉ",
        "SUSPENDU", "EXPIRÉ", "ANNULÉ", "INCONNU",
    ),
    "en": (
        "VALID", "NOT YET ACTIVE", "WRONG ZONE", "NOT STARTED",
        "SUSPENDED", "EXPIRED", "CANCELLED", "UNKNOWN",
    ),
}  # fmt: skip


def demo(
    *arguments: str, encoding: str = "utf-8", **environment: str
) -> subprocess.CompletedProcess[str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")
    }
    return subprocess.run(
        [sys.executable, "-m", "enforcement_api", "demo", *arguments],
        env=kept | {"PYTHONUTF8": "0", "PYTHONIOENCODING": encoding} | environment,
        capture_output=True,
        encoding=encoding,
        timeout=SECONDS,
    )


def verdicts_shown(transcript: str) -> set[str]:
    """The words behind the ticks, or what stands for one, each before what there is to say."""
    return set(re.findall(r"^ {4}[✓?] (.+?)  ", transcript, re.MULTILINE))


SUBSCRIBED = {
    "fr": ("23,08", "Permis de courtoisie", "aucun serveur de courriel"),
    "en": ("$23.08", "Courtesy permit", "no mail server"),
}


def check_subscriptions(transcript: str, language: str) -> None:
    """Somebody asked, gave a card, was approved and charged; a loan car was let in."""
    price, courtesy, no_mail = SUBSCRIBED[language]
    told = transcript.splitlines()
    ticked = [line.replace("\N{NO-BREAK SPACE}", " ") for line in told if line[2:3] in ("✓", "?")]
    approved, charged = (
        next(place for place, line in enumerate(ticked) if words in line)
        for words in ("100000001", price)
    )
    assert approved < charged
    assert "ABC 123" in ticked[approved]
    assert any("Visa 4242" in line for line in ticked[:approved])
    (granted,) = [line for line in ticked if "COURTOISIE-" in line]
    assert "Y63 KLD" in granted
    (place,) = [place for place, line in enumerate(told) if line.startswith("  Y63 KLD")]
    assert WORDS[language][0] in told[place + 1]
    assert courtesy in told[place + 1]
    (place,) = [place for place, line in enumerate(told) if line.startswith("  ABC 123")]
    assert WORDS[language][1] in told[place + 1]
    assert any(no_mail in line and re.search(r" \d{2} ", line) for line in ticked)


def check_provider_has_ended(transcript: str) -> None:
    service, provider = re.findall(r"http://127\.0\.0\.1:\d+$", transcript, re.MULTILINE)[:2]
    assert service != provider
    with pytest.raises(httpx.ConnectError):
        httpx.get(provider, **PLAIN)


def infractions(folder: Path) -> list[tuple[str, str, str, bool]]:
    with sqlite3.connect(folder / "record.db") as record:
        return record.execute(
            "SELECT plate, verdict, recheck_verdict, differs FROM infractions ORDER BY plate"
        ).fetchall()


@pytest.mark.parametrize(
    ("language", "encoding", "arguments"),
    [
        # To a terminal that has accents, and no ticks.
        ("fr", "latin-1", ["--headless"]),
        # Where there is no screen, the patrol without a window is what is shown.
        ("en", "utf-8", []),
    ],
)
def test_demo_patrols_through_an_outage(
    tmp_path: Path, language: str, encoding: str, arguments: list[str]
) -> None:
    # Another record than the demo's is not touched, whatever the environment says.
    elsewhere = tmp_path / "elsewhere.db"

    done = demo(
        *arguments,
        encoding=encoding,
        PATROUILLE_DATA_DIR=str(tmp_path),
        PATROUILLE_DATABASE_URL=f"sqlite:///{elsewhere}",
        PATROUILLE_LANG=language,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert verdicts_shown(done.stdout) == set(WORDS[language]), done.stdout
    valid, unknown, expired = (WORDS[language][i] for i in (0, 7, 5))
    told = done.stdout.splitlines()
    assert any("GET /v1/infractions" in line and " 2 " in line for line in told)
    assert any("WNF906" in line and unknown in line and valid in line for line in told)
    assert any("BCK73N" in line and line.count(expired) == 2 for line in told)
    numbers = re.findall(r"(?:n°|No\.)\s(1085-\d+)", done.stdout)
    assert sorted(numbers) == ["1085-1", "1085-1", "1085-2", "1085-2"], done.stdout
    check_subscriptions(done.stdout, language)
    check_provider_has_ended(done.stdout)
    assert not elsewhere.exists()
    folder = tmp_path / "demo"
    assert infractions(folder) == [
        ("BCK73N", "expired", "expired", False),
        ("WNF906", "unknown", "valid", True),
    ]
    kept = [path for path in (folder / "photos").rglob("*") if path.is_file()]
    taken = {hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}
    pictures = (folder / "pictures").iterdir()
    assert taken == {hashlib.sha256(path.read_bytes()).hexdigest() for path in pictures}
    assert len(taken) == 4


def test_demo_in_a_window_ends_when_told_and_prints_commands_that_run(tmp_path: Path) -> None:
    folder = tmp_path / "a demo"
    with subprocess.Popen(
        [sys.executable, "-m", "enforcement_api", "demo", "--data-dir", str(folder)],
        env=os.environ | {"SDL_VIDEODRIVER": "offscreen", "PATROUILLE_LANG": "en"},
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        late = threading.Timer(SECONDS, process.kill)
        late.start()
        assert process.stdout is not None
        told: list[str] = []
        while not told or "press Ctrl-C here" not in told[-1]:
            told.append(process.stdout.readline())
            assert told[-1], told
        (command,) = (line for line in told if " import " in line and "retard.csv" in line)
        done = subprocess.run(command, shell=True, capture_output=True, timeout=SECONDS)
        (page,) = re.findall(r"http\S+/pay/\S+", "".join(told))
        httpx.get(give_card(page), **PLAIN)
        (command,) = (line for line in told if "/decision" in line)
        approved = shell(command[command.index("curl ") :], tmp_path)
        process.terminate()  # as Ctrl-C, which some runners have their children ignore
        rest = process.communicate(timeout=SECONDS)[0]
        late.cancel()
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["applied"] == 1
    assert json.loads(approved)["state"] == "approved"
    assert process.returncode == 0
    assert "The demo ends." in rest
    check_provider_has_ended("".join(told))


def test_demo_leaves_a_real_record_alone(tmp_path: Path) -> None:
    record = tmp_path / "record.db"
    record.write_bytes(b"a real record")

    done = demo("--headless", "--data-dir", str(tmp_path), PATROUILLE_LANG="en")

    assert done.returncode == 1
    assert "record.db" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["record.db"]
    assert record.read_bytes() == b"a real record"


def test_two_demos_do_not_share_a_folder(tmp_path: Path) -> None:
    with claimed(tmp_path / "demo") as folder:
        (folder / "record.db").touch()
        with pytest.raises(DemoIsRunning), claimed(folder):
            pass
        assert (folder / "record.db").exists()
    with claimed(folder):
        assert not (folder / "record.db").exists()
