"""How the screens look, lie and sound, changed by touch and seen at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from handheld_app.device import Device, DeviceFile
from tests.handheld_app.conftest import World
from tests.handheld_app.seeing import flaws
from tests.handheld_app.test_screens import at_work, known, last_look, now
from tests.handheld_app.test_window import SIZES, Hand, hand, pictures

__all__ = ["hand", "known", "now", "pictures"]

COLOURS, LETTERS, TYPES, SIGNALS = 1, 2, 3, 4
"""Sections, from top to bottom."""


async def choose(hand: Hand, section: int, value: Any) -> Any:
    """By touch, on the settings screen."""
    screen = await hand.screen("settings")
    key = screen.sections[section].keys[value]
    await hand.touch(key)
    await hand.until(lambda: key.primary, f"{value} chosen")
    return screen


@pytest.mark.asyncio
async def test_settings_are_changed_by_touch_and_kept(
    hand: Hand, known: World, tmp_path: Path
) -> None:
    from handheld_app.theme import look

    check = await at_work(hand, known)
    await hand.touch(check.ids.menu)
    await hand.touch(hand.window.children[0].rows["settings"])
    await hand.screen("settings")
    await hand.look("settings")
    await choose(hand, COLOURS, "night")
    assert look.palette == "night"
    await choose(hand, LETTERS, 130)
    await choose(hand, TYPES, True)
    await choose(hand, SIGNALS, "silent")
    await hand.look("settings-night-130")
    screen = await hand.screen("settings")
    await hand.touch(screen.sections[0].keys["en"])
    await hand.until(lambda: screen.sections[0].title == "Language", "English")
    assert hand.app.cues.mode == "silent"

    def kept() -> Device:
        return DeviceFile(tmp_path / "handheld" / "device.json", new_install_id="none").device

    # It is written beside the window, which shows it at once.
    await hand.until(lambda: kept().lang == "en", "English kept")
    assert (kept().palette, kept().text_scale) == ("night", 130)
    assert (kept().left_handed, kept().cues) == (True, "silent")


@pytest.mark.asyncio
async def test_what_was_set_is_worn_from_the_start(hand: Hand, known: World) -> None:
    from handheld_app.theme import look

    await at_work(hand, known)
    hand.app.patrol.prefer(palette="contrast", text_scale=115, cues="vibration")
    hand.app._wear()
    assert (look.palette, look.scale, hand.app.cues.mode) == ("contrast", 115, "vibration")
    hand.app.patrol.prefer(palette="of a later version", text_scale=7, cues="song")
    hand.app._wear()
    assert (look.palette, look.scale, hand.app.cues.mode) == ("day", 100, "sound")


@pytest.mark.asyncio
async def test_left_handed_everything_lies_on_the_other_side_at_once(
    hand: Hand, known: World
) -> None:
    check = await at_work(hand, known)
    keys, ids = check.ids.keypad.keys, check.ids
    assert keys["A"].x < keys["1"].x
    hand.app.prefer(left_handed=True)
    await hand.until(lambda: hand.app.left_handed, "the other hand")
    await hand.settled()
    assert keys["2"].right < keys["A"].x
    assert ids.backspace.right < ids.typed.x < ids.jurisdiction.x
    assert ids.check.right < ids.infraction.x < ids.wipe.x
    await hand.type_plate("ABC123")
    await hand.look("check-left-handed")
    await hand.resize((640, 360))
    assert ids.keypad.right < ids.card.x
    hand.app.prefer(left_handed=False)
    await hand.until(lambda: not hand.app.left_handed, "the hand of before")
    await hand.settled()
    assert ids.card.right < ids.keypad.x


@pytest.mark.asyncio
async def test_every_screen_is_whole_and_legible_in_every_look(hand: Hand, known: World) -> None:
    """All palettes and sizes of letters, each changed while the screen is shown: on the smallest
    screen all of them, on the others the largest letters.
    """
    from handheld_app.theme import PALETTES, SCALES, look

    known.permit("B8Z5S2")
    check = await at_work(hand, known)
    await last_look(hand)
    hand.app.go("check")
    wrong: list[Any] = []
    for name in hand.app.screens.make:
        if name == "plate":
            hand.app.screens.get_screen("check").details()
        hand.app.screens.current = name
        for size in SIZES:
            await hand.resize(size)
            worn = list(zip(PALETTES, reversed(SCALES), strict=True))
            for palette, scale in worn if size == SIZES[1] else worn[:1]:
                for lang in ("fr", "en") if scale == 130 else ("fr",):
                    await hand.speak(lang)
                    look.palette, look.scale = palette, scale
                    await hand.settled()
                    picture = hand.picture()
                    found = flaws(hand.window, picture, may_be_cut=[check.ids.note])
                    if found:
                        wrong.append((name, size, palette, scale, lang, found))
                    hand.keep(picture, f"{name}-{palette}-{scale}-{lang}-{size[0]}x{size[1]}")
    assert wrong == []


@pytest.mark.asyncio
async def test_a_real_keyboard_goes_about_presses_and_comes_back(hand: Hand, known: World) -> None:
    check = await at_work(hand, known)
    keyboard = hand.app.keyboard
    await hand.press("tab")
    assert keyboard.target is check.ids.menu.__self__
    await hand.press("right")
    assert keyboard.target is check.ids.zone.__self__
    await hand.look("check-ring")
    await hand.press("enter")
    await hand.screen("place")
    assert keyboard.target is None
    hand.app.go("settings")
    settings = await hand.screen("settings")
    night = settings.sections[COLOURS].keys["night"]
    for _ in range(12):
        await hand.press("tab")
        if keyboard.target is night:
            break
    assert keyboard.target is night
    await hand.press("enter")
    await hand.until(lambda: night.primary, "night")
    await hand.press("escape")
    assert keyboard.target is None
    await hand.press("escape")
    await hand.screen("check")
    await hand.press_keys("abc123")
    assert check.sighting.verdict == "valid"
    await hand.press("down", "down", "enter")
    await hand.press("escape")


@pytest.mark.asyncio
async def test_tab_leaves_a_field_and_escape_a_sheet(hand: Hand, known: World) -> None:
    signin = await at_work(hand, known, badge="")
    await hand.touch(signin.ids.badge)
    await hand.until(lambda: signin.ids.badge.focus, "the badge in focus")
    await hand.press("tab")
    assert signin.ids.pin.focus
    await hand.press("shift-tab")
    assert signin.ids.badge.focus
    await hand.press("escape")
    assert not signin.ids.badge.focus
    await hand.touch(signin.ids.without)
    check = await hand.screen("check")
    check.ask_jurisdiction()
    await hand.settled()
    sheet = hand.window.children[0]
    await hand.press_keys("q")
    assert check.ids.plate.text == ""
    await hand.press("tab")
    assert any(key is hand.app.keyboard.target for key in sheet.ids.grid.children)
    await hand.press("escape")
    await hand.until(lambda: sheet.parent is None, "the sheet gone")


@pytest.mark.asyncio
async def test_a_verdict_is_heard_once(
    hand: Hand, known: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = await at_work(hand, known)
    heard: list[str] = []
    monkeypatch.setattr(hand.app.cues, "play", heard.append)
    await hand.type_plate("ABC123")
    assert heard == ["key"] * 6 + ["good"]
    check.synced()
    assert heard[6:] == ["good"]
    await hand.type_plate("Q")
    await hand.touch(check.ids.check)
    assert heard[7:] == ["key", "error"]
