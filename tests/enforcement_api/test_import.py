"""`patrouille import`: files as spreadsheets and exports really write them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from enforcement_api.cli import utc_now
from enforcement_api.infractions.store import recheck_open
from enforcement_api.permits import intake
from enforcement_api.permits.files import read_file
from enforcement_api.security import Principal
from sync.codec import instant
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
    rows = [line(f"l{n}", f"L{n:05}") for n in range(20_050)]
    imported = Imported(service, write(tmp_path / "l.csv", HEADER, *rows))
    assert imported.counts == (20_050, 0, 0, 0)
    assert service.verdict("L20049") == "valid"
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


# The whole of what a source has: --full


class Export:
    """A site of its own with permits `p0`, `p1`, … of the command's source, and exports of it."""

    def __init__(self, service: Service, folder: Path, site: str, permits: int) -> None:
        self.service, self.site, self.path = service, site, folder / f"{site}.csv"
        service.site(site)
        self.lines = [line(f"p{n}", f"{site}{n:02}", site="") for n in range(permits)]
        (taken,) = intake.take_lines(
            service.parts.record,
            read_file(write(self.path, HEADER, *self.lines), site=site, progress=lambda read: None),
            by=Principal(id="cli", role="admin", name="cli", source="import", sites=None),
            now=utc_now,
            at_once=permits + 1,
            on_change=recheck_open,
        )
        assert taken.applied == permits

    def full(self, *lines: str, **options: int) -> Imported:
        """Import these lines, drawn up after what was recorded before."""
        told = {"as-of": instant(utc_now() + timedelta(minutes=1))} | options
        given = [f"--{name.replace('_', '-')}={value}" for name, value in told.items()]
        write(self.path, HEADER, *lines)
        return Imported(self.service, self.path, "--site", self.site, "--full", *given)

    def verdict(self, number: int) -> str:
        at = instant(utc_now() + timedelta(seconds=1))
        return self.service.verdict(f"{self.site}{number:02}", site=self.site, at=at)


def test_what_a_full_export_lacks_is_cancelled_and_the_rest_lives(
    service: Service, tmp_path: Path
) -> None:
    export = Export(service, tmp_path, "2001", 40)
    suspended = export.lines[1].replace("active", "suspended")
    done = export.full(suspended, *export.lines[2:])
    assert done.code == 0
    assert done.totals == {
        "applied": 1, "unchanged": 38, "stale": 0, "rejected": 0, "cancelled": 1, "held_back": 0,
    }  # fmt: skip
    assert "1 cancelled" in done.told
    assert [export.verdict(n) for n in range(3)] == ["cancelled", "suspended", "valid"]
    service.assert_consistent("2001")


def test_a_full_export_that_would_cancel_too_much_does_nothing_unless_it_is_said(
    service: Service, tmp_path: Path
) -> None:
    export = Export(service, tmp_path, "2002", 40)
    kept = [row.replace("active", "suspended") for row in export.lines[3:]]
    refused = export.full(*kept)
    assert (refused.code, refused.totals) == (1, {})
    assert "3 of the 40 live permits of import" in refused.told
    assert "--max-cancel 3" in refused.told
    assert [export.verdict(n) for n in (0, 3)] == ["valid", "valid"]
    assert export.full(*kept, max_cancel=3).totals["cancelled"] == 3
    assert [export.verdict(n) for n in (0, 3)] == ["cancelled", "suspended"]


@pytest.mark.parametrize("said", [29, 31])
def test_a_full_export_of_another_length_does_nothing(
    service: Service, tmp_path: Path, said: int
) -> None:
    export = Export(service, tmp_path, f"20{said}", 30)
    changed = [row.replace("active", "suspended") for row in export.lines]
    refused = export.full(*changed, count=said)
    assert (refused.code, refused.totals) == (1, {})
    assert f"--count says {said} permits" in refused.told
    assert export.verdict(0) == "valid"


def test_refused_lines_of_a_full_export_are_told_and_protect_their_permits(
    service: Service, tmp_path: Path
) -> None:
    export = Export(service, tmp_path, "2003", 10)
    bad = [
        line("p0", "é", site=""),
        line("p1", "200301"),
        line("p2", "200302", site="", zones="Q9"),
    ]
    done = export.full(*bad, *export.lines[3:], count=10)
    assert (done.code, done.counts) == (1, (0, 7, 0, 3))
    assert (done.totals["cancelled"], done.totals["held_back"]) == (0, 0)
    for number, id, why in ((2, "p0", "plate"), (3, "p1", "1085"), (4, "p2", "Q9")):
        (said,) = [row for row in done.told.splitlines() if f"line {number} ({id})" in row]
        assert why in said
    assert [export.verdict(n) for n in range(3)] == ["valid"] * 3


def test_a_line_of_a_full_export_without_an_id_lets_nothing_go(
    service: Service, tmp_path: Path
) -> None:
    export = Export(service, tmp_path, "2004", 20)
    done = export.full(line("", "200400", site=""), *export.lines[1:])
    assert (done.code, done.totals["cancelled"], done.totals["held_back"]) == (1, 0, 1)
    assert "1 permits that the file lacks were not cancelled" in done.told
    assert export.verdict(0) == "valid"


def test_a_full_export_is_as_of_the_files_modification_unless_it_is_said(
    service: Service, tmp_path: Path
) -> None:
    export = Export(service, tmp_path, "2005", 30)
    path = write(tmp_path / "old.csv", HEADER, *export.lines[1:])
    for age, cancelled in ((3600, 0), (-60, 1)):
        modified = utc_now() - timedelta(seconds=age)
        os.utime(path, (modified.timestamp(), modified.timestamp()))
        done = Imported(service, path, "--site", "2005", "--full")
        assert f"as of {instant(modified)}" in done.told
        assert done.totals["cancelled"] == cancelled
    assert export.verdict(0) == "cancelled"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--full"], "--full needs --site"),
        (["--site=1085", "--max-cancel=1"], "--max-cancel goes with --full"),
        (["--source=patrouille:subscriptions"], "a source of the service itself"),
    ],
)
def test_options_that_do_not_go_together_say_so(
    service: Service, tmp_path: Path, arguments: list[str], told: str
) -> None:
    path = write(tmp_path / "a.csv", HEADER, line("o1", "OOO111"))
    done = Imported(service, path, *arguments)
    assert (done.code, done.totals) == (2, {})
    assert told in done.told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["--as-of=2999-01-01T00:00:00Z"], "--as-of: is in the future"),
     (["--site=9999"], "no such site")],
)  # fmt: skip
def test_a_full_export_that_makes_no_sense_is_refused(
    service: Service, tmp_path: Path, arguments: list[str], told: str
) -> None:
    path = write(tmp_path / "a.csv", HEADER, line("o1", "OOO111"))
    done = Imported(service, path, "--site=1085", "--full", *arguments)
    assert (done.code, done.totals) == (1, {})
    assert told in done.told
