"""A plate is scanned by touch: in one window, with still pictures for a camera."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from PIL import Image, ImageDraw, ImageFont

from handheld_app.scanning.frames import FrameSource, NoCamera, StillPictures
from handheld_app.scanning.reading import Candidate, PlateReader, ReaderMissing, Region, open_reader
from handheld_app.wording import cannot_scan
from tests.handheld_app.test_work_window import Patroller, at_work

PLATE = (440, 320, 400, 120)
"""Where the plate stands in the pictures that the tests draw."""


class Given:
    """What the device has: pictures for its camera and what a reader says of them, or neither."""

    def __init__(self) -> None:
        self.files: list[Path] = []
        self.refused: Exception | None = None
        self.says: Sequence[tuple[str, float]] = ()
        self.missing = False
        self.reader: PlateReader | None = None
        self.lit: list[bool] | None = None
        self.source: StillPictures | None = None

    def open_camera(self) -> FrameSource:
        if self.refused is not None:
            raise self.refused
        self.source = StillPictures(self.files)
        if self.lit is not None:
            self.source.light = self.lit.append
        return self.source

    def open_reader(self) -> PlateReader:
        if self.missing:
            raise ReaderMissing("rapidocr is missing")
        return self

    def read(self, image: Image.Image, region: Region | None = None) -> list[Candidate]:
        if self.reader is not None:
            return self.reader.read(image, region)
        return [Candidate(text, share, PLATE) for text, share in self.says]


def drawn_plate(path: Path, text: str) -> Path:
    """A plate at the back of a car, as a camera of 1280 by 720 sees it."""
    import kivy

    font = Path(kivy.__file__).parent / "data" / "fonts" / "Roboto-Bold.ttf"
    picture = Image.new("RGB", (1280, 720), "#3d4653")
    draw = ImageDraw.Draw(picture)
    x, y, width, height = PLATE
    draw.rectangle((x, y, x + width, y + height), fill="white", outline="#16407a", width=6)
    middle = (x + width / 2, y + height / 2)
    draw.text(middle, text, "#16407a", ImageFont.truetype(str(font), 84), anchor="mm")
    picture.save(path, quality=92)
    return path


given = Given()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def window(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Patroller]:
    folder = tmp_path_factory.mktemp("scan")
    given.files = [drawn_plate(folder / "car.jpg", "ABC 123")]
    async with at_work(
        folder, open_camera=given.open_camera, open_reader=given.open_reader
    ) as window:
        window.world.permit("ABC123")
        yield window


@pytest_asyncio.fixture(loop_scope="session")
async def hand(window: Patroller) -> Patroller:
    given.refused, given.missing, given.lit, given.says = None, False, None, ()
    given.reader = None
    window.app.screens.get_screen("scan")._reader = None
    await window.anew()
    return window


async def scan(hand: Patroller, *says: tuple[str, float]) -> Any:
    """From the check screen; the reader says this of the picture."""
    given.says = says
    check = await hand.screen("check")
    await hand.touch(check.ids.scan)
    return await hand.screen("scan")


async def read(hand: Patroller, *says: tuple[str, float]) -> Any:
    """What is read well is captured without a touch."""
    screen = await scan(hand, *says)
    await hand.until(lambda: screen.stage == "choosing", "a plate read")
    return screen


@pytest.mark.asyncio
async def test_exact_plate_lies_ready_under_its_picture(hand: Patroller) -> None:
    screen = await read(hand, ("ABC123", 0.8), ("A8C123", 0.1), ("ABC128", 0.05))
    assert screen.ready_plate == "ABC123"
    assert [row.selected for row in screen.rows.values()] == [True, False, False]
    assert "80" in screen.rows["ABC123 QC"].detail
    crop = screen.scan.plate
    assert crop.width < 640
    assert screen.texture.size == crop.size
    preview = screen.ids.preview
    assert preview.shown[2] > 300
    for row in screen.rows.values():
        assert row.to_window(0, row.top)[1] <= preview.y
    await hand.see("scan-exact")
    source = given.source
    assert source is not None
    with pytest.raises(NoCamera):  # it was let go
        source.newest()
    await hand.touch(screen.ids.confirm)
    check = await hand.screen("check")
    assert check.sighting.verdict == "valid"
    assert check.ids.plate.text == "ABC123"


@pytest.mark.asyncio
async def test_only_look_alike_lies_ready_and_what_was_read_is_recorded(hand: Patroller) -> None:
    screen = await read(hand, ("A8C123", 0.7), ("ABC123", 0.2))
    assert screen.ready_plate == "ABC123"
    await hand.touch(screen.ids.confirm)
    check = await hand.screen("check")
    assert (check.sighting.plate.text, check.sighting.raw) == ("ABC123", "A8C123")
    await hand.touch(check.ids.infraction)
    infraction = await hand.screen("infraction")
    assert infraction.draft.source == "scanned"


@pytest.mark.asyncio
async def test_one_character_off_is_offered_and_never_ready(hand: Patroller) -> None:
    screen = await read(hand, ("ABC124", 0.9))
    assert screen.ready_plate == ""
    assert screen.ids.confirm.disabled
    assert not any(row.selected for row in screen.rows.values())
    assert list(screen.rows) == ["ABC124 QC", "ABC123 QC"]
    assert "un caractère diffère" in screen.rows["ABC123 QC"].detail
    await hand.see("scan-one-edit")
    await hand.touch(screen.rows["ABC123 QC"])
    check = await hand.screen("check")
    assert check.sighting.verdict == "valid"


@pytest.mark.asyncio
async def test_plate_that_is_not_found_is_confirmed_against_its_picture(hand: Patroller) -> None:
    screen = await read(hand, ("XYZ789", 0.9))
    await hand.touch(screen.rows["XYZ789 QC"])
    check = await hand.screen("check")
    assert check.sighting.verdict == "unknown"
    await hand.touch(check.ids.infraction)
    sheet = await hand.sheet()
    assert hand.app.screens.current == "check"
    assert (sheet.plate, sheet.ids.picture.texture.size) == ("XYZ789", screen.scan.plate.size)
    await hand.see("scan-confirm")
    await hand.touch(sheet.ids.no)
    await hand.until(lambda: sheet.parent is None, "the sheet gone")
    assert hand.app.screens.current == "check"
    await hand.touch(check.ids.infraction)
    sheet = await hand.sheet()
    await hand.touch(sheet.ids.yes)
    infraction = await hand.screen("infraction")
    draft = infraction.draft
    assert (draft.source, draft.sighting.raw) == ("scanned", "XYZ789")
    await hand.until(lambda: draft.photos, "the picture kept")
    (photo,) = draft.photos
    assert photo.shows == "plate"
    assert photo.taken_at == screen.scan.at
    with Image.open(io.BytesIO(photo.path.read_bytes())) as kept:
        assert (kept.format, kept.size) == ("JPEG", (1280, 720))
    hand.app.patrol.record(draft)
    body = hand.app.handheld.outbox.infractions()[0].body
    assert (body["plate"], body["plate_source"], body["plate_raw"]) == (
        "XYZ789", "scanned", "XYZ789",
    )  # fmt: skip


@pytest.mark.asyncio
async def test_plate_that_is_corrected_by_hand_is_typed(hand: Patroller) -> None:
    screen = await read(hand, ("XYZ789", 0.9))
    await hand.touch(screen.rows["XYZ789 QC"])
    check = await hand.screen("check")
    await hand.touch(check.ids.backspace)
    await hand.touch(check.ids.keypad.keys["8"])
    await hand.touch(check.ids.check)
    await hand.touch(check.ids.infraction)
    infraction = await hand.screen("infraction")
    assert (infraction.draft.source, infraction.draft.sighting.raw) == ("typed", "XYZ788")
    assert not infraction.draft.photos


@pytest.mark.asyncio
async def test_badly_read_picture_is_shown_only_when_asked_for(hand: Patroller) -> None:
    screen = await scan(hand, ("AB1", 0.2))
    await hand.until(lambda: screen.can_read, "the preview")
    await hand.frames(20)
    assert screen.stage == "aiming"
    await hand.see("scan-aiming")
    await hand.touch(screen.ids.read)
    await hand.until(lambda: screen.stage == "choosing", "what was read")
    assert list(screen.rows) == ["AB1 QC"]
    given.says = ()
    await hand.touch(screen.ids.read)
    await hand.until(lambda: screen.stage == "aiming" and screen.can_read, "the preview again")
    await hand.touch(screen.ids.read)
    await hand.until(lambda: screen.stage == "choosing", "that nothing was read")
    assert not screen.rows
    assert "Aucune plaque" in screen.hint
    await hand.see("scan-nothing")
    await hand.touch(screen.ids.type)
    await hand.screen("check")


@pytest.mark.parametrize("why", ["absent", "refused", "no_reader"])
@pytest.mark.asyncio
async def test_without_camera_or_reader_it_says_so_and_typing_is_one_touch_away(
    hand: Patroller, why: Any
) -> None:
    if why == "no_reader":
        given.missing = True
    else:
        given.refused = NoCamera(why, "")
    screen = await scan(hand)
    await hand.until(lambda: screen.trouble, "why not")
    assert screen.trouble == cannot_scan(why, "fr")
    if why == "refused":
        await hand.see("scan-refused")
        given.refused = None
        await hand.touch(screen.ids.again)
        await hand.until(lambda: screen.can_read, "the camera after all")
    await hand.touch(screen.ids.type)
    await hand.screen("check")


@pytest.mark.asyncio
async def test_light_is_switched_where_there_is_one(hand: Patroller) -> None:
    screen = await scan(hand)
    await hand.until(lambda: screen.can_read, "the preview")
    assert screen.ids.light.disabled
    hand.app.go("check")
    given.lit = []
    screen = await scan(hand)
    await hand.until(lambda: screen.can_read, "the preview")
    await hand.touch(screen.ids.light)
    await hand.touch(screen.ids.light)
    assert given.lit == [True, False]


@pytest.mark.asyncio
async def test_plate_is_read_from_a_picture_by_the_reader_of_this_device(hand: Patroller) -> None:
    given.reader = open_reader()
    screen = await scan(hand)
    await hand.until(lambda: screen.stage == "choosing", "the plate read")
    assert screen.ready_plate == "ABC123"
    x, y, width, height = screen.scan.candidates[0].box
    assert abs(x + width / 2 - 640) < 40
    assert abs(y + height / 2 - 380) < 30
    await hand.touch(screen.ids.confirm)
    assert (await hand.screen("check")).sighting.verdict == "valid"
