"""What must be true at the end, however often everything was killed: pure, so that it is tested."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tests.torture.patrolling import Promise


def wrong_in_log(
    promised: Iterable[Promise], recorded: Iterable[str], log: Sequence[Mapping[str, Any]]
) -> list[str]:
    """`promised`: what patrollers were told; `recorded`: the ids that outboxes know; `log`: the
    infractions as the service lists them.
    """
    wrong: list[str] = []
    times = Counter(str(item["id"]) for item in log)
    found = {str(item["id"]): item for item in log}
    wrong += [f"{id} is in the log {count} times" for id, count in times.items() if count > 1]
    wrong += [f"{id} is in an outbox and not in the log" for id in {*recorded} - times.keys()]
    wrong += [f"{id} is in the log and in no outbox" for id in times.keys() - {*recorded}]
    for promise in promised:
        item = found.get(promise.id)
        if item is None:
            wrong.append(f"{promise.id} was promised and is not in the log")
            continue
        if item["number"] != promise.number:
            wrong.append(f"{promise.id} has the number {item['number']}, not {promise.number}")
        if [photo["sha256"] for photo in item["photos"]] != list(promise.photos):
            wrong.append(f"{promise.id} has other photos than were taken")
    for item in log:
        lacking = [photo["sha256"] for photo in item["photos"] if not photo["present"]]
        if lacking or not item["complete"]:
            wrong.append(f"{item['id']} lacks the photos {lacking}")
    numbers = Counter(item["number"] for item in log if item["number"] is not None)
    wrong += [
        f"the number {n} was issued {count} times" for n, count in numbers.items() if count > 1
    ]
    return wrong


def wrong_in_record(
    acknowledged: Mapping[str, Sequence[int]], versions: Mapping[str, Sequence[int]]
) -> list[str]:
    """By permit: the versions that the feeder was told are taken, in order, and those on record."""
    return [
        f"{id}: versions {list(versions.get(id, []))} on record, {list(wanted)} acknowledged"
        for id, wanted in acknowledged.items()
        if list(versions.get(id, [])) != list(wanted)
    ]
