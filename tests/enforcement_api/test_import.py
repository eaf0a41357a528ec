"""`patrouille import`: files as spreadsheets and exports really write them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.enforcement_api.program import patrouille
from tests.service import Service, ndjson, running

HEADER = (
    "id,version,plate,jurisdiction,site,zones,permit_number,valid_from,valid_until,confirmed_at,"
    "ends_at,status,make,model,year,colour"
)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that serves while files are imported beside it."""
    with running(tmp_path_factory.mktemp("import"), follow_seconds=0.05) as service:
        service.site()
        yield service


def line(id: str, plate: str, **cells: str) -> str:
    found = {
        "id": id, "version": "1", "plate": plate, "site": "1085", "zones": "G1 G2",
        "permit_number": "100014764", "valid_from": "2026-01-01", "status": "active",
    } | cells  # fmt: skip
    return ",".join(found.get(name, "") for name in HEADER.split(","))


class Imported:
    def __init__(self, service: Service, path: Path, *arguments: str, language: str = "en") -> None:
        done = patrouille(service.settings.data_dir, "import", path, *arguments, language=language)
        self.code, self.told = done.returncode, done.stderr
        assert "Traceback" not in done.stderr
        self.totals = json.loads(done.stdout) if done.stdout else {}
        if self.totals:
            service.parts.follower.look()

    @property
    def counts(self) -> tuple[int, int, int, int]:
        return tuple(self.totals[n] for n in ("applied", "unchanged", "stale", "rejected"))  # type: ignore[return-value]


def write(path: Path, *lines: str, encoding: str = "utf-8", end: str = "\r\n") -> Path:
    path.write_bytes(end.join(lines).encode(encoding))
    return path


def test_csv_is_imported_and_the_serving_process_knows_at_once(
    service: Service, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.csv", HEADER, line("a1", "ABC 123"), "", line("a2", "DDD444"))
    imported = Imported(service, path)
    assert (imported.code, imported.counts) == (0, (2, 0, 0, 0))
    assert service.verdict("ABC123") == service.verdict("DDD444", zone="G2") == "valid"
    assert Imported(service, path).counts == (0, 2, 0, 0)


@pytest.mark.parametrize(
    ("encoding", "delimiter"),
    [
        ("utf-8-sig", ";"),
        ("utf-8-sig", ","),
        ("utf-8", "\t"),
        ("cp1252", ";"),
        ("cp1252", ","),
    ],
)
def test_spreadsheets_of_quebec_are_read(
    service: Service, tmp_path: Path, encoding: str, delimiter: str
) -> None:
    """A byte order mark, semicolons, Windows-1252 letters."""
    name = f"{encoding} {ord(delimiter)}"
    cells = line(name, "ÉTÉ 42", make="Citroën", colour="doré œuf", permit_number="n° 1")
    path = write(
        tmp_path / "q.csv", *(row.replace(",", delimiter) for row in (HEADER, cells)),
        encoding=encoding,
    )  # fmt: skip
    imported = Imported(service, path)
    assert imported.counts == (1, 0, 0, 0), imported.told
    permit = next(p for p in service.check("ETE42")["permits"] if p["id"] == name)
    assert permit["vehicle"] == {"make": "Citroën", "colour": "doré œuf"}
    assert permit["permit_number"] == "n° 1"


def test_refused_lines_are_told_by_number_and_the_others_kept(
    service: Service, tmp_path: Path
) -> None:
    path = write(
        tmp_path / "r.csv", HEADER, line("r1", "RRR111"), line("r2", "é"), "only,three,cells",
        line("r4", "RRR444", zones="Q9"), line("r5", "RRR555", valid_from="31/12/2026"),
        line("r6", "RRR666", version="one"), line("r7", '"RRR777'), line("r8", "RRR888"),
        end="\n",
    )  # fmt: skip
    for language, told in (("en", "line 3 (r2)"), ("fr", "3")):
        imported = Imported(service, path, language=language)
        assert imported.code == 1
        assert imported.totals["rejected"] >= 5
        assert told in imported.told
    for number, named in ((4, "cells"), (5, "Q9"), (6, "valid_from"), (7, "version")):
        english = Imported(service, path).told
        said = [row for row in english.splitlines() if f"line {number} " in row]
        assert said, english
        assert named in said[0]
    assert service.verdict("RRR111") == "valid"


def test_ndjson_is_imported_and_bad_lines_told(service: Service, tmp_path: Path) -> None:
    path = tmp_path / "n.ndjson"
    good = [service.update(f"NN{n}", id=f"n{n}") for n in range(3)]
    path.write_bytes(b"\xef\xbb\xbf" + ndjson(good[0], "{not json", "", good[1], "[]", good[2]))
    imported = Imported(service, path)
    assert (imported.code, imported.counts) == (1, (3, 0, 0, 2))
    assert "line 2 " in imported.told
    assert "line 5 " in imported.told
    assert [service.verdict(f"NN{n}") for n in range(3)] == ["valid"] * 3


def test_site_is_that_of_the_command_where_a_line_names_none(
    service: Service, tmp_path: Path
) -> None:
    path = write(tmp_path / "s.csv", HEADER, line("s1", "SSS111", site=""), "{}")
    imported = Imported(service, path)
    assert imported.code == 1
    assert "line 2 (s1): site: is missing (--site names" in imported.told
    assert "send it again" not in imported.told
    path = write(tmp_path / "s.csv", HEADER, line("s1", "SSS111", site=""))
    assert Imported(service, path, "--site", "1085").counts == (1, 0, 0, 0)
    assert service.verdict("SSS111") == "valid"


@pytest.mark.parametrize(
    "content",
    [b"", b"\n\n", b"plate,zones\nABC,G1\n", b"\x00\x01\x02\xff" * 500, b"PK\x03\x04 a spreadsheet",
     HEADER.encode() + b",surprise\n"],
)  # fmt: skip
def test_file_that_is_none_is_told_and_nothing_imported(
    service: Service, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "none.csv"
    path.write_bytes(content)
    imported = Imported(service, path)
    assert imported.code == 1
    assert "none.csv" in imported.told
    assert not imported.totals


def test_large_file_is_imported_in_parts(service: Service, tmp_path: Path) -> None:
    rows = [line(f"l{n}", f"L{n:05}") for n in range(10_050)]
    imported = Imported(service, write(tmp_path / "l.csv", HEADER, *rows))
    assert imported.counts == (10_050, 0, 0, 0)
    assert service.verdict("L10049") == "valid"
    service.assert_consistent()


def test_check_and_digest_work_while_it_serves(service: Service) -> None:
    service.permit("CLI123")
    done = patrouille(
        service.settings.data_dir, "check", "cli 123", "--site", "1085", "--zone", "G1", "--json"
    )
    assert json.loads(done.stdout)["verdict"] == "valid"
    assert patrouille(service.settings.data_dir, "digest", "--site", "1085").returncode == 0


def test_a_quote_that_is_never_closed_spoils_its_own_line_alone(
    service: Service, tmp_path: Path
) -> None:
    spoiled = line("q2", "QQQ222", make='"Acura')
    path = write(tmp_path / "q.csv", HEADER, line("q1", "QQQ111"), spoiled, line("q3", "QQQ333"))
    imported = Imported(service, path)
    assert (imported.code, imported.counts) == (1, (2, 0, 0, 1))
    assert "line 3" in imported.told
    assert service.verdict("QQQ333") == "valid"


def test_a_number_too_long_to_be_one_spoils_its_own_line_alone(
    service: Service, tmp_path: Path
) -> None:
    path = write(
        tmp_path / "n.csv",
        HEADER,
        line("long1", "NNN111", version="9" * 5000),
        line("long2", "NNN222"),
    )
    imported = Imported(service, path)
    assert (imported.code, imported.counts) == (1, (1, 0, 0, 1))
    assert "line 2 (long1)" in imported.told
