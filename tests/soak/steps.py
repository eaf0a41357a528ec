"""What the patroller of the soak does, by key and touch, and writes down once it is shown."""

from __future__ import annotations

from typing import Any

from PIL import Image

from tests.handheld_app.conftest import BADGE, PIN
from tests.handheld_app.test_window import Hand


class Camera:
    """Sees another picture each time, also after a restart."""

    light = None

    def __init__(self, first: int) -> None:
        self._seen = first

    def newest(self) -> Image.Image:
        self._seen += 1
        small = Image.new("RGB", (4, 4))
        for at in range(16):
            small.putpixel((at % 4, at // 4), tuple(self._seen >> 2 * at & 3 for _ in range(3)))
        return small.point(lambda value: value * 80).resize((640, 480))

    def close(self) -> None:
        pass


class Steps:
    """One step of the plan after the other."""

    def __init__(self, hand: Hand, ledger: Any, plan: list[dict[str, Any]]) -> None:
        self.hand, self.ledger, self.plan = hand, ledger, plan

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
        if hand.app.screens.current == "place":
            await hand.touch(hand.app.screens.current_screen.ids.start)
        await hand.until(
            lambda: hand.app.screens.current in ("check", "infraction"), "where one was"
        )
        await self._find_where_one_was()

    async def _find_where_one_was(self) -> None:
        """The process may have died between an infraction's record and its line in the ledger, and
        before the notice was shown: then it is among one's own work.
        """
        if self.ledger.done == len(self.plan):
            return
        step = self.plan[self.ledger.done]
        if self.hand.app.screens.current == "infraction":
            draft = self.hand.app.screens.current_screen.draft
            assert draft.plate.text == step["plate"], (draft.plate, step)
            assert step["infraction"], step
            self.ledger.note("came back", step["plate"], len(draft.photos), draft.note)
            await self._finish_infraction(step)
            return
        found = self.hand.app.patrol.work(text=step["plate"])
        if step["infraction"] and found:
            (entry,) = found
            self.ledger.note("was recorded", step["plate"], 1, "")
            self.ledger.write(**step, id=entry.item.id, shown=entry.number)

    async def take(self, step: dict[str, Any]) -> None:
        """A check, and an infraction after it if the plan says so."""
        hand, plate = self.hand, step["plate"]
        check = await hand.screen("check")
        await hand.press_keys("\x1b")
        await hand.close_sheet(check)
        await hand.press_keys(plate.lower() + "\n")
        assert check.ids.plate.text == plate, (check.ids.plate.text, plate)
        assert check.sighting is not None, check.ids.card.word
        assert check.sighting.verdict == step["verdict"], (check.sighting.verdict, step)
        await hand.close_sheet(check)
        if not step["infraction"]:
            self.ledger.write(**step)
            return
        await hand.touch(check.ids.infraction)
        await hand.screen("infraction")
        await self._finish_infraction(step)

    async def _finish_infraction(self, step: dict[str, Any]) -> None:
        """A note, a photo, a last look, and issued."""
        hand, app = self.hand, self.hand.app
        screen = await hand.screen("infraction")
        note = f"Rangée {step['number']}"
        if note not in screen.ids.note.text:
            screen.ids.note.text = note
        wanted = max(1, app.patrol.photos_required(screen.draft))
        if len(screen.draft.photos) < wanted:
            await hand.touch(screen.ids.add_photo)
            capture = await hand.screen("capture")
            await hand.until(lambda: capture.can_shoot, "a picture")
            while app.screens.current == "capture":
                enough = len(screen.draft.photos) + screen.draft.photos_pending >= wanted
                await hand.touch(capture.ids.done if enough else capture.ids.shutter)
        if app.screens.current == "infraction":
            await hand.touch(screen.ids.review)
        look = await hand.screen("lastlook")
        lacks = app.patrol.lacks

        def answered() -> bool:
            return bool(look.may_record) or "faces" in lacks(look.draft)

        await hand.until(answered, f"nothing lacking of {lacks(look.draft)}")
        if not look.may_record:  # a face was found, if there is one or not: it is needed
            await hand.touch(look.faces_row)
            await hand.until(lambda: look.may_record, f"nothing lacking of {lacks(look.draft)}")
        id = look.draft.id
        await hand.touch(look.ids.record)
        await hand.until(lambda: app.screens.current == "issued", "what was issued")
        issued = app.screens.current_screen
        number = issued.ids.number.text
        self.ledger.write(**step, id=id, shown=number)
        await hand.touch(issued.ids.next)
