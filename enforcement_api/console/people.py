"""Who did something, as people say it, from how the log names them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection

from enforcement_api.devices import store as devices
from enforcement_api.staff import keys, store

_NAMES = {"staff": store.names, "key": keys.names, "device": devices.names}


def named(tx: Connection, actors: Iterable[str | None]) -> Mapping[str, str]:
    """What actors such as `staff:<id>` are called; who is not found keeps the name of the log."""
    wanted = {one for one in actors if one}
    found = {one: one for one in wanted}
    for kind, names in _NAMES.items():
        ids = [one.removeprefix(f"{kind}:") for one in wanted if one.startswith(f"{kind}:")]
        if ids:
            found |= {f"{kind}:{id}": name for id, name in names(tx, ids).items()}
    return found
