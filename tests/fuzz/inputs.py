"""Inputs that nobody meant to send: whatever is read from outside, spoiled and made up.

Each fuzzer feeds one reader. What it must answer is said beside it: a result or an error of ours,
in time, and nothing else. `hunt` gives how many inputs that took.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import itertools
import json
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from enforcement_api.permits import files
from handheld_app import enrolment
from sync import codec
from sync.messages import PROTOCOL_VERSION, SnapshotManifest
from sync.plates import Plate, UnusableJurisdiction, UnusablePlate, normalise
from sync.replica import BadSnapshot, DamagedIndex, Replica, ReplicaError
from tests.service import NOW, Service, infraction, ndjson, new_id, running

HANGS_AFTER_S = 20

# What is spoiled, and how

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
"""Any JSON value."""


@st.composite
def spoiled_bytes(draw: st.DrawFn, good: bytes) -> bytes:
    """Cut, doubled, overwritten, lengthened: up to four times."""
    found = good
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(found)))
        until = min(len(found), at + draw(st.integers(0, 64)))
        how = draw(st.sampled_from(("cut", "end", "double", "overwrite", "insert", "bit")))
        if how == "cut":
            found = found[:at] + found[until:]
        elif how == "end":
            found = found[:at]
        elif how == "double":
            found = found[:until] + found[at:]
        elif how == "bit" and at < len(found):
            changed = bytearray(found)
            changed[at] ^= 1 << draw(st.integers(0, 7))
            found = bytes(changed)
        else:
            end = until if how == "overwrite" else at
            found = found[:at] + draw(st.binary(max_size=32)) + found[end:]
    return found


@st.composite
def spoiled_json(draw: st.DrawFn, good: Any) -> Any:
    """The value with one to three of its parts replaced, left out, or named otherwise."""
    found = json.loads(json.dumps(good))
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(found))
        if not places:
            return draw(anything)
        holder, key = draw(st.sampled_from(places))
        how = draw(st.sampled_from(("replace", "replace", "delete", "rename", "double")))
        if how == "delete":
            del holder[key]
        elif how == "rename" and isinstance(holder, dict):
            holder[draw(st.text(max_size=8))] = holder.pop(key)
        elif how == "double" and isinstance(holder, list):
            holder.append(holder[key])
        else:
            holder[key] = draw(anything)
    return found


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, part in inner:
        yield value, key
        if isinstance(part, dict | list):
            yield from _places(part)


def as_bytes(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=True).encode()


# Where it goes


class Arena:
    """A real service with something of everything, and a handheld's index beside it."""

    def __init__(self, service: Service, folder: Path) -> None:
        self.service, self.folder = service, folder
        service.site()
        self.update = service.permit("ABC123", id="p-1")
        for n in range(40):
            service.permit(f"DEF{n:03}", id=f"d-{n}")
        self.device = service.device_client()
        self.handheld = service.handheld()
        self.handheld.pull()
        self.page = self.device.get("/v1/sites/1085/changes").json()
        answer = service.admin.get("/v1/sites/1085/snapshot").json()
        self.manifest = codec.snapshot_manifest(answer)
        self.snapshot = service.admin.get(answer["url"]).content
        self.plain = gzip.decompress(self.snapshot)
        self.index = Replica(folder / "index")
        self.names = itertools.count()
        self.install(self.snapshot)

    def install(self, packed: bytes) -> None:
        """Install a file under a manifest that promises just its bytes."""
        file = self.folder / f"snapshot-{next(self.names)}.gz"
        file.write_bytes(packed)
        sha256 = hashlib.sha256(packed).hexdigest()
        kept = self.manifest
        manifest = SnapshotManifest(
            protocol=PROTOCOL_VERSION,
            epoch=kept.epoch,
            cursor=kept.cursor,
            sequence=kept.sequence,
            url=f"/v1/sites/1085/snapshots/{sha256}.gz",
            sha256=sha256,
            bytes=len(packed),
            encoding="gzip",
            digest=kept.digest,
            server_time=NOW,
            fed_at=NOW,
        )
        try:
            self.index.install(file, manifest, distrust=True)
        finally:
            file.unlink()

    def close(self) -> None:
        self.index.close()


def assert_answered(answer: httpx.Response, *statuses: int) -> None:
    """One of the statuses, in JSON, a problem where it is an error."""
    assert answer.status_code in statuses, (answer.status_code, answer.text[:500])
    kind = "application/json" if answer.status_code < 400 else "application/problem+json"
    assert answer.headers["content-type"] == kind
    answer.json()


# The readers


def plate(arena: Arena, given: tuple[str, str]) -> None:
    """A plate, or UnusablePlate; and what was made of it is its own normal form."""
    raw, jurisdiction = given
    try:
        found = Plate.parse(raw, jurisdiction)
    except (UnusablePlate, UnusableJurisdiction):
        return
    assert 2 <= len(found.text) <= 8
    assert normalise(found.text) == found.text
    assert Plate.parse(found.text, found.jurisdiction) == found


def plate_updates(arena: Arena, body: bytes) -> None:
    assert_answered(
        arena.service.feeder.post(
            "/v1/plate-updates", content=body, headers={"Content-Type": "application/json"}
        ),
        *(200, 422),
    )


def plate_update_lines(arena: Arena, body: bytes) -> None:
    """Every line is applied, unchanged, stale or rejected: none is lost, none counts twice."""
    answer = arena.service.feeder.post(
        "/v1/plate-updates", content=body, headers={"Content-Type": "application/x-ndjson"}
    )
    assert_answered(answer, 200, 422)
    if answer.status_code == 200:
        told = answer.json()
        counted = told["applied"] + told["unchanged"] + told["stale"] + len(told["rejected"])
        assert counted == sum(bool(line.strip()) for line in body.split(b"\n")), told


def csv_file(arena: Arena, content: bytes) -> None:
    """Each line an update or a problem; or the file as a whole is refused."""
    path = arena.folder / f"{next(arena.names)}.csv"
    path.write_bytes(content)
    read: list[int] = []
    try:
        for number, item in files.read_file(path, site="1085", progress=read.append):
            assert number > 0
            assert item is not None
    except (files.UnreadableFile, files.WrongColumns, files.DoubledColumns) as problem:
        problem.as_json("fr")
    finally:
        path.unlink()
    assert sum(read) <= len(content)


def snapshot(arena: Arena, packed: bytes) -> None:
    """Installed, or BadSnapshot and the index is what it was."""
    before = (arena.index.folder / "current").read_text()
    try:
        arena.install(packed)
    except BadSnapshot:
        assert (arena.index.folder / "current").read_text() == before
        left = {p.name.split(".")[0] for p in arena.index.folder.glob("*.db*")}
        assert left == {before.split(".")[0]}
        return
    # Its bytes are those that were promised: what is in them, reading finds out, in our words.
    with contextlib.suppress(DamagedIndex, ReplicaError), arena.index.reading() as view:
        view.recount()
        view.check(Plate("DEF001", "CA-QC"), zone="G1", at=NOW)
    arena.install(arena.snapshot)


def cursor(arena: Arena, text: str) -> None:
    changes = {"after": text, "limit": 1}
    device = arena.device.get("/v1/sites/1085/changes", params=changes)
    assert_answered(device, 200, 410, 422)
    for path in ("/v1/devices", "/v1/infractions", "/v1/events"):
        assert_answered(arena.service.admin.get(path, params={"cursor": text}), 200, 422)


def infraction_body(arena: Arena, body: bytes) -> None:
    answer = arena.device.put(
        f"/v1/infractions/{new_id()}", content=body, headers={"Content-Type": "application/json"}
    )
    assert_answered(answer, 201, 403, 404, 422)


def enrolment_link(arena: Arena, text: str) -> None:
    """A link, or NotALink; one that is believed has a server and a code."""
    with contextlib.suppress(enrolment.NotALink):
        found = enrolment.parse_link(text)
        assert found.server
        assert found.code
        assert found.pin is None or len(found.pin) == 32


def change_page(arena: Arena, message: Any) -> None:
    """A page that can be applied or is refused, or MalformedMessage; the index stays whole."""
    before = arena.handheld.replica.state()
    try:
        page = codec.change_page(message)
        arena.handheld.replica.apply([page], after=before and before.cursor)
    except (codec.MalformedMessage, ReplicaError):
        assert arena.handheld.replica.state() == before  # not counted as damaged either
        return
    with contextlib.suppress(DamagedIndex), arena.handheld.replica.reading() as view:
        assert view.recount() == view.state.digest
    arena.handheld.replica.wipe()
    arena.handheld.pull()


# All of them

Feed = Callable[[Arena, Any], None]


@dataclass(frozen=True)
class Fuzzer:
    """`weight`: how many of its inputs cost as much as one request."""

    name: str
    weight: float
    inputs: Callable[[Arena], st.SearchStrategy[Any]]
    feed: Feed


UPDATE = {
    "id": "p-2",
    "version": 1,
    "plate": "ABC 123",
    "jurisdiction": "CA-QC",
    "site": "1085",
    "zones": ["G1"],
    "permit_number": "1",
    "valid_from": "2026-01-01",
    "valid_until": None,
    "confirmed_at": "2026-05-28T18:00:00Z",
    "status": "active",
    "vehicle": {"make": "Acura", "model": "NSX", "year": 2021, "colour": "rouge"},
}
CSV = (
    "id,version,plate,jurisdiction,site,zones,permit_number,valid_from,valid_until,status,make\n"
    'a-1,1,ABC 123,CA-QC,1085,G1 G2,100,2026-01-01,,active,"Acura, rouge"\n'
    "a-2,2,É12 BCD,,1085,*,101,2026-01-01,2026-12-31,cancelled,\n"
).encode()
LINK = "patrouille://enrol?server=https://patrouille.example.org&code=K7PX4RTA&ca=" + "A" * 43


def _bodies(good: Any) -> st.SearchStrategy[bytes]:
    return spoiled_json(good).map(as_bytes) | spoiled_bytes(as_bytes(good))


def _snapshots(arena: Arena) -> st.SearchStrategy[bytes]:
    return (
        spoiled_bytes(arena.snapshot)
        | spoiled_bytes(arena.plain).map(gzip.compress)
        | st.binary(max_size=200).map(gzip.compress)
        | st.binary(max_size=200)
        | spoiled_bytes(arena.plain[:100]).map(lambda head: gzip.compress(head + arena.plain[100:]))
    )


def _infraction(arena: Arena) -> st.SearchStrategy[bytes]:
    permit = next(c["record"] for c in arena.page["changes"] if c["kind"] == "permit")
    photo = {"sha256": "0" * 64, "bytes": 5, "taken_at": "2026-11-23T15:15:00Z"}
    place = {"lat": 45.4, "lon": -71.9, "accuracy_m": 5.5}
    good = infraction("ABC123", known=[permit], photos=[photo], position=place)
    return _bodies(good | {"vehicle": {"make": "Acura"}, "number": "1085-1", "note": "é"})


def _lines(arena: Arena) -> st.SearchStrategy[bytes]:
    return st.lists(_bodies(UPDATE), max_size=6).map(lambda lines: b"\n".join(lines)) | (
        spoiled_bytes(ndjson(UPDATE, UPDATE))
    )


def _cursors(arena: Arena) -> st.SearchStrategy[str]:
    good = arena.page["cursor"].encode()
    return st.text(max_size=60) | spoiled_bytes(good).map(lambda b: b.decode("latin-1"))


FUZZERS = (
    Fuzzer("plates", 20, lambda a: st.tuples(st.text(max_size=80), st.just("CA-QC") | st.text()),
           plate),
    Fuzzer("plate updates", 1, lambda a: _bodies({"updates": [UPDATE, UPDATE | {"id": "p-3"}]}),
           plate_updates),
    Fuzzer("plate update lines", 1, _lines, plate_update_lines),
    Fuzzer("CSV files", 3, lambda a: spoiled_bytes(CSV) | st.binary(), csv_file),
    Fuzzer("snapshot files", 0.5, _snapshots, snapshot),
    Fuzzer("cursors", 0.5, _cursors, cursor),
    Fuzzer("infractions", 1, _infraction, infraction_body),
    Fuzzer("enrolment links", 20,
           lambda a: st.text() | spoiled_bytes(LINK.encode()).map(lambda b: b.decode("latin-1")),
           enrolment_link),
    Fuzzer("change pages", 0.5, lambda a: spoiled_json(a.page), change_page),
)  # fmt: skip


@contextlib.contextmanager
def arena(folder: Path) -> Iterator[Arena]:
    with running(folder, requests_by_key=0, requests_by_address=0) as service:
        made = Arena(service, folder)
        try:
            yield made
        finally:
            made.close()


class Hang(BaseException):
    """An input was not done with in time."""


@contextlib.contextmanager
def in_time() -> Iterator[None]:
    """Within the block, what takes too long is a Hang (in the main thread: there is the alarm)."""

    def late(*_: object) -> None:
        raise Hang(f"it took more than {HANGS_AFTER_S} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, HANGS_AFTER_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def hunt(fuzzer: Fuzzer, arena: Arena, *, examples: int, chance: int | None = None) -> int:
    """Feed that many inputs (more for what is quick); how many it were.

    Without `chance` (a seed) they are the same each time. Raises what a reader must not raise.
    """
    fed = 0

    @settings(
        max_examples=max(1, round(examples * fuzzer.weight)),
        derandomize=chance is None,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(fuzzer.inputs(arena))
    def feed(input: Any) -> None:
        nonlocal fed
        fed += 1
        with in_time():
            fuzzer.feed(arena, input)

    (feed if chance is None else seed(chance)(feed))()
    return fed
