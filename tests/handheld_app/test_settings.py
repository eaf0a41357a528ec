"""How the screens look and lie, changed by touch and seen at once."""

from __future__ import annotations

from typing import Any

import pytest

from tests.handheld_app.conftest import World
from tests.handheld_app.test_screens import at_work, known, last_look, now
from tests.handheld_app.test_window import Hand, hand, pictures

__all__ = ["hand", "known", "now", "pictures"]


@pytest.mark.asyncio
@pytest.mark.parametrize("palette", ["day", "night", "contrast"])
async def test_every_screen_is_legible_in_every_palette(
    hand: Hand, known: World, palette: Any
) -> None:
    await at_work(hand, known)
    hand.app.prefer(palette=palette)
    await hand.until(lambda: hand.app.patrol.device.palette == palette, "the palette kept")
    await hand.type_plate("ABC123")
    await hand.look(f"{palette}-check")
    await last_look(hand)
    await hand.look(f"{palette}-lastlook")
    for name in ("infraction", "place", "plate", "sync", "signin", "enrol", "pictures"):
        hand.app.screens.current = name
        await hand.frames()
        await hand.look(f"{palette}-{name}")
