"""What is written is what is read."""

from __future__ import annotations

import json

import pytest

from sync import codec
from sync.messages import (
    LARGEST_SNAPSHOT,
    PROTOCOL_VERSION,
    Change,
    ChangePage,
    Digest,
    Receipt,
    SnapshotManifest,
)
from tests.builders import NOON, permit

PAGE = ChangePage(
    protocol=PROTOCOL_VERSION,
    epoch="e1",
    cursor="c7",
    sequence=7,
    more=False,
    changes=(codec.change_of(permit("ÀBC123", zone="G1 G2")), Change("permit", "p2", None)),
    digest=Digest(1, 0xFEDCBA9876543210),
    server_time=NOON,
    fed_at=None,
)
MANIFEST = SnapshotManifest(
    protocol=PROTOCOL_VERSION,
    epoch="e1",
    cursor="c7",
    sequence=7,
    url="/v1/sites/1085/snapshots/x.gz",
    sha256="0" * 64,
    bytes=12,
    encoding="gzip",
    digest=Digest(1, 5),
    server_time=NOON,
    fed_at=NOON,
)
RECEIPT = Receipt("i1", NOON, "received", None, False, ("0" * 64,), ("unknown-lot",))


def test_messages_come_back_as_they_were_written() -> None:
    page = json.loads(codec.json_text(codec.change_page_json(PAGE)))
    assert codec.change_page(page) == PAGE
    manifest = json.loads(codec.json_text(codec.snapshot_manifest_json(MANIFEST)))
    assert codec.snapshot_manifest(manifest) == MANIFEST
    receipt = json.loads(codec.json_text(codec.receipt_json(RECEIPT)))
    assert codec.receipt(receipt) == RECEIPT


@pytest.mark.parametrize("left_out", ["epoch", "cursor", "digest", "server_time"])
def test_message_that_lacks_something_is_malformed(left_out: str) -> None:
    page, manifest = codec.change_page_json(PAGE), codec.snapshot_manifest_json(MANIFEST)
    for message, read in ((page, codec.change_page), (manifest, codec.snapshot_manifest)):
        del message[left_out]
        with pytest.raises(codec.MalformedMessage):
            read(message)


@pytest.mark.parametrize(
    "spoiled",
    [
        {"bytes": LARGEST_SNAPSHOT + 1},
        {"bytes": -1},
        {"bytes": 12.0},
        {"bytes": "12"},
        {"sha256": "../../outbox.db"},
        {"sha256": "F" * 64},
        {"sha256": ["0" * 64]},
    ],
)
def test_snapshot_that_no_disk_should_take_is_malformed(spoiled: dict[str, object]) -> None:
    largest = codec.snapshot_manifest_json(MANIFEST) | {"bytes": LARGEST_SNAPSHOT}
    assert codec.snapshot_manifest(largest).bytes == LARGEST_SNAPSHOT
    with pytest.raises(codec.MalformedMessage):
        codec.snapshot_manifest(largest | spoiled)


def test_newer_protocol_is_named() -> None:
    newer = codec.change_page_json(PAGE) | {"protocol": PROTOCOL_VERSION + 1}
    with pytest.raises(codec.UnknownProtocol, match="newer"):
        codec.change_page(newer)
