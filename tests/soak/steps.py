"""What the patroller of the soak does, by key and touch, and writes down once it is shown."""

from __future__ import annotations

from typing import Any

from tests.handheld_app.conftest import BADGE, PIN
from tests.handheld_app.test_window import Hand


class Steps:
    """One step of the plan after the other."""

    def __init__(self, hand: Hand, ledger: Any) -> None:
        self.hand, self.ledger = hand, ledger

    async def begin(self) -> None:
        """Sign in, as after every start; go on with the infraction that was under way, if any."""
        hand = self.hand
        screen = await hand.screen("signin")
        if screen.ids.badge.text != BADGE:
            screen.ids.badge.text = ""
            await hand.write(screen.ids.badge, BADGE)
        await hand.write(screen.ids.pin, PIN)
        await hand.touch(screen.ids.sign_in)
        await hand.until(lambda: hand.app.screens.current != "signin", "who it is")
        if hand.app.screens.current == "infraction":
            await self.finish_infraction(restored=True)

    async def take(self, step: dict[str, Any]) -> None:
        """A check, and an infraction after it if the plan says so."""
        hand, plate = self.hand, step["plate"]
        check = await hand.screen("check")
        await hand.press_keys("\x1b")
        await hand.close_sheet(check)
        await hand.press_keys(plate.lower() + "\n")
        assert check.ids.plate.text == plate, (check.ids.plate.text, plate)
        assert check.sighting is not None, check.ids.card.word
        verdict = check.sighting.verdict
        assert verdict == step["verdict"], (plate, verdict, step)
        await hand.close_sheet(check)
        if not step["infraction"]:
            self.ledger.write(plate=plate, verdict=verdict)
            return
        await hand.touch(check.ids.infraction)
        await hand.screen("infraction")
        await self.finish_infraction(restored=False)

    async def finish_infraction(self, *, restored: bool) -> None:
        """A photo, a note, a last look, and issued."""
        raise NotImplementedError
