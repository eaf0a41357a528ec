"""Lists that are read page by page to their end.

for _ in turns():
    page = ...
    if page["next_cursor"] is None:
        break
"""

from __future__ import annotations

from collections.abc import Iterator

MOST = 500
"""More pages than the list of any test has."""


def turns(most: int = MOST) -> Iterator[int]:
    """A turn for each page. A list that still goes on after `most` of them fails the test: it
    would go on for ever.
    """
    yield from range(most)
    raise AssertionError(f"after {most} pages there is another")
