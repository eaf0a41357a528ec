"""Installing a snapshot, against decompressing and fsyncing its bytes."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

from benchmarks import material
from benchmarks.measuring import Line, cpu, measure
from sync.messages import PROTOCOL_VERSION, SnapshotManifest
from sync.replica import Replica, SnapshotFile

_CHUNK = 1 << 20


def manifest_of(snapshot: SnapshotFile) -> SnapshotManifest:
    """What the service would say of it."""
    state = snapshot.state
    return SnapshotManifest(
        protocol=PROTOCOL_VERSION,
        epoch=state.epoch,
        cursor=state.cursor,
        sequence=state.sequence,
        url=f"/v1/sites/{material.SITE.id}/snapshots/{snapshot.sha256}.gz",
        sha256=snapshot.sha256,
        bytes=snapshot.bytes,
        encoding="gzip",
        digest=state.digest,
        server_time=material.NOW,
        fed_at=material.NOW,
    )


def run(replica: Replica, folder: Path, *, repetitions: int) -> Line:
    """The snapshot of `replica`, into a folder that has an older one of the same."""
    snapshot = replica.export(folder / "snapshots")
    manifest, state = manifest_of(snapshot), snapshot.state
    handheld = Replica(folder / "handheld")
    plain = folder / "plain.db"

    def decompress() -> None:
        with gzip.open(snapshot.path) as source, open(plain, "wb") as target:
            while chunk := source.read(_CHUNK):
                target.write(chunk)
            target.flush()
            os.fsync(target.fileno())

    def install() -> None:
        assert handheld.install(snapshot.path, manifest).digest == state.digest

    line = measure(
        "install",
        ours=lambda: cpu(install),
        limit=lambda: cpu(decompress),
        told=(
            f"a snapshot of {state.digest.count:,} rows, {snapshot.bytes / 1e6:.0f} MB: verify,"
            " decompress, fsync, quick_check, flip",
            "decompress and fsync the same bytes",
        ),
        unit="s",
        per=1,
        goal=3,
        repetitions=repetitions,
    )
    plain.unlink()
    handheld.wipe()
    return line
