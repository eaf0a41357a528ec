"""What a restored record holds of the epochs before its own."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from hypothesis import example, given
from hypothesis import strategies as st

from enforcement_api.operations.core import held

# Each step: a change is appended; a backup is made; a backup is restored, the one of this number,
# over a record that can be read or not.
STEPS = st.lists(
    st.one_of(
        st.just("append"),
        st.just("append"),
        st.just("back up"),
        st.tuples(st.integers(0, 9), st.booleans()),
    ),
    max_size=40,
)


@dataclass
class Record:
    """One site's feed, its epoch, and what it holds of the epochs before."""

    epoch: str
    feed: list[int] = field(default_factory=list)
    earlier: dict[str, int] = field(default_factory=dict)

    @property
    def says(self) -> dict[str, int]:
        return self.earlier | {self.epoch: len(self.feed)}

    def copy(self) -> Record:
        return Record(self.epoch, list(self.feed), dict(self.earlier))


def in_common(one: list[int], other: list[int]) -> int:
    return len(
        [*itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))]
    )


@example(["back up", "append", "back up", (1, True), (0, True), (1, True)])
@given(STEPS)
def test_record_holds_of_each_epoch_what_was_the_same_and_never_more(
    steps: list[str | tuple[int, bool]],
) -> None:
    """It never holds more than that; if each replaced record could be read, no less either than any
    since the epoch did: what one of them lacked, none after it can tell of.
    """
    names, changes = map(str, itertools.count()), itertools.count()
    record, backups, is_all_read = Record(next(names)), [], True
    ended: dict[str, list[int]] = {}
    least: dict[str, int] = {}
    for step in steps:
        if step == "append":
            record.feed.append(next(changes))
        elif step == "back up":
            backups.append(record.copy())
        elif backups:
            number, is_read = step
            is_all_read &= is_read
            backup = backups[int(number) % len(backups)]
            ended[record.epoch] = record.feed
            earlier = held(backup.says, record.says if is_read else {})
            record = Record(next(names), list(backup.feed), earlier)
            for epoch, sequence in earlier.items():
                same = in_common(ended[epoch], record.feed)
                least[epoch] = min(least.get(epoch, same), same)
                assert sequence <= same
                assert sequence >= least[epoch] or not is_all_read
            assert ended.keys() == earlier.keys() or not is_all_read
