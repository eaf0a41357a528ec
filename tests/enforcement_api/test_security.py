"""A key is believed for a moment, and no longer."""

from __future__ import annotations

from enforcement_api.security import KeyRing, Principal


def test_key_is_looked_up_again_when_its_moment_is_over() -> None:
    time = [0.0]
    holders = {"hash": Principal("k1", "reader", "SPAQ", "SPAQ", None)}
    ring = KeyRing(holders.get, seconds=1, now=lambda: time[0])
    assert ring.known("hash") is None
    assert ring.holder("hash") == ring.known("hash") == holders["hash"]
    time[0] = 0.9
    assert ring.known("hash") is not None
    time[0] = 1.1
    assert ring.known("hash") is None
    del holders["hash"]
    assert ring.holder("hash") is None


def test_key_that_was_revoked_here_is_forgotten_at_once() -> None:
    holders = {"hash": Principal("k1", "reader", "SPAQ", "SPAQ", None)}
    ring = KeyRing(holders.get, seconds=1, now=lambda: 0.0)
    ring.holder("hash")
    ring.forget("k1")
    assert ring.known("hash") is None


def test_key_that_nobody_has_any_more_is_not_known_from_before() -> None:
    holders = {"hash": Principal("k1", "reader", "SPAQ", "SPAQ", None)}
    ring = KeyRing(holders.get, seconds=1, now=lambda: 0.0)
    ring.holder("hash")
    holders.clear()
    ring.holder("hash")
    assert ring.known("hash") is None


def test_a_key_revoked_while_the_record_is_asked_for_it_is_not_believed_a_moment_longer() -> None:
    holder = Principal("k1", "reader", "SPAQ", "SPAQ", None)

    def revoked_meanwhile(_: str) -> Principal:
        ring.forget("k1")
        return holder

    ring = KeyRing(revoked_meanwhile, seconds=1, now=lambda: 0.0)
    ring.holder("hash")
    assert ring.known("hash") is None
