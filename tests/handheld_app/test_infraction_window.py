"""An infraction by touch, from the verdict to the paper: in the real window, without a service."""

from __future__ import annotations

import hashlib
import io
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pytest
import pytest_asyncio
from PIL import Image

from handheld_app.device import DeviceFile
from handheld_app.drafts import from_json
from handheld_app.locating import Position
from handheld_app.notebook import Notebook
from handheld_app.printing.printers import PrinterChoice
from handheld_app.scanning.frames import NoCamera
from handheld_app.wording import no_camera
from sync.entities import Lot, Vehicle
from tests.handheld_app.conftest import CODES, World, enrol, fill, give_numbers, measure
from tests.handheld_app.test_window import SIZES, Hand, opened

LOT = json.dumps(
    {
        "type": "Polygon",
        "coordinates": [
            [[-71.9, 45.4], [-71.8, 45.4], [-71.8, 45.5], [-71.9, 45.5], [-71.9, 45.4]]
        ],
    }
)


class Camera:
    """A camera that sees no two pictures alike; `refusal` is why there is none."""

    def __init__(self) -> None:
        self.refusal: Literal["absent", "refused"] | None = None
        self._seen = 0

    def open(self) -> Camera:
        if self.refusal is not None:
            raise NoCamera(self.refusal, "")
        return self

    def newest(self) -> Image.Image:
        if self.refusal is not None:
            raise NoCamera(self.refusal, "")
        self._seen += 1
        return Image.linear_gradient("L").rotate(self._seen).resize((1280, 720)).convert("RGB")

    def close(self) -> None:
        pass


class Desk(Hand):
    """A patroller with a camera, on a site of two lots, where a wrong zone asks for two photos."""

    world: World
    camera: Camera
    touches: int = 0

    async def touch(self, widget: Any) -> None:
        self.touches += 1
        await super().touch(widget)

    async def check(self, plate: str) -> Any:
        """On the check screen, with the verdict of a plate."""
        await self.resize(SIZES[0])
        check = self.app.screens.get_screen("check")
        self.app.screens.current = "check"
        check.begin()
        for glyph in plate:
            check.type(glyph)
        check.check()
        await self.frames()
        self.touches = 0
        return check

    async def begin(self, plate: str) -> Any:
        """An infraction about a plate."""
        check = await self.check(plate)
        check.infraction()
        return await self.screen("infraction")

    async def last_look(self, plate: str) -> Any:
        screen = await self.begin(plate)
        screen.review()
        return await self.screen("lastlook")

    async def see(self, name: str) -> None:
        """In both languages and the three sizes, and with the largest letters on the smallest
        screen: nothing is wrong with it.
        """
        from handheld_app.theme import look

        await self.look(name)
        await self.resize(SIZES[1])
        look.scale = 130
        try:
            await self.settled()
            self._nothing_is_wrong(f"{name}, large letters", self.picture())
        finally:
            look.scale = 100
        await self.resize(SIZES[0])
        await self.speak("fr")

    def bodies(self) -> list[Any]:
        return [item.body for item in self.app.patrol.log()]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three different pictures, as a camera of a telephone takes them."""
    folder = tmp_path_factory.mktemp("pictures")
    made = []
    for n, name in enumerate(("plaque", "contexte", "panneau")):
        path = folder / f"{name}.jpg"
        Image.radial_gradient("L").rotate(40 * n).resize((1280, 720)).convert("RGB").save(path)
        made.append(path)
    return made


@pytest_asyncio.fixture(scope="module")
async def window(
    tmp_path_factory: pytest.TempPathFactory, files: list[Path]
) -> AsyncIterator[Desk]:
    """One window for the whole file."""
    folder = tmp_path_factory.mktemp("handheld")
    camera = Camera()
    async with opened(folder, files[0].parent, kind=Desk, open_camera=camera.open) as desk:
        desk.camera = camera
        now = datetime.now(UTC).replace(microsecond=0)
        world = World(now=now, fed_at=now, synced_at=now)
        world.codes = tuple(
            replace(code, photos_required=2) if code.id == "P02" else code for code in CODES
        )
        world.more += [
            Lot("P1", "P1 · Urgence", "G1", LOT),
            Lot("P9", "P9 · Visiteurs", "G1", None),
        ]
        for n in range(1, 10):
            world.permit(f"XYZ00{n}", zone="G2", vehicle=Vehicle("Toyota", "gris"), number=str(n))
        desk.world = world
        await desk.screen("enrol")
        enrol(desk.app.handheld)
        give_numbers(desk.app.handheld, 1001, 1200)
        measure(desk.app.handheld)
        fill(desk.app.handheld, world)
        desk.app._first_screen()
        await desk.screen("check")
        yield desk


@pytest_asyncio.fixture
async def desk(window: Desk) -> AsyncIterator[Desk]:
    """The window, as if nothing had been done in it before."""
    window.camera.refusal = None
    window.app.screens.get_screen("capture").is_blind = False
    window.app.patrol._count_faces = lambda picture: 0
    window.app.patrol._locate = lambda: None
    window.app.handheld.device_file.change(printer=None)
    await window.speak("fr")
    yield window
    for sheet in [seen for seen in window.window.children if hasattr(seen, "dismiss")]:
        sheet.dismiss()
    await window.frames()


# three touches


@pytest.mark.asyncio
async def test_three_touches_lead_from_the_verdict_to_the_notice(desk: Desk) -> None:
    check = await desk.check("QQQ001")
    await desk.touch(check.ids.infraction)
    screen = await desk.screen("infraction")
    await desk.touch(screen.ids.review)
    last = await desk.screen("lastlook")
    await desk.touch(last.ids.record)
    issued = await desk.screen("issued")
    assert desk.touches == 3
    body = desk.bodies()[0]
    assert (body["plate"], body["codes"], body["outcome"]) == ("QQQ001", ["P01"], "notice")
    assert issued.number == body["number"]
    await desk.see("issued")


@pytest.mark.asyncio
async def test_photos_that_are_required_cost_a_touch_each_and_say_what_they_show(
    desk: Desk,
) -> None:
    check = await desk.check("XYZ001")
    await desk.touch(check.ids.infraction)
    screen = await desk.screen("infraction")
    assert screen.draft.codes == ["P02"]
    assert screen.photos_wanted
    await desk.touch(screen.ids.add_photo)
    capture = await desk.screen("capture")
    await desk.until(lambda: capture.can_shoot, "the camera")
    assert capture.shows == "plate"
    before = desk.app.patrol.now().replace(microsecond=0)
    await desk.touch(capture.ids.shutter)
    assert capture.shows == "context"
    await desk.touch(capture.ids.shutter)
    last = await desk.screen("lastlook")
    await desk.until(lambda: last.may_record, "the photos kept")
    await desk.touch(last.ids.record)
    await desk.screen("issued")
    assert desk.touches == 3 + 2
    photos = desk.bodies()[0]["photos"]
    assert [photo["shows"] for photo in photos] == ["plate", "context"]
    for photo in photos:
        original = desk.app.handheld.outbox.photo(photo["sha256"]).read_bytes()
        assert hashlib.sha256(original).hexdigest() == photo["sha256"]
        assert len(original) == photo["bytes"]
        with Image.open(io.BytesIO(original)) as picture:
            assert (picture.format, picture.size) == ("JPEG", (1280, 720))
        assert before <= datetime.fromisoformat(photo["taken_at"]) <= desk.app.patrol.now()


# photos


@pytest.mark.asyncio
async def test_what_a_photo_shows_can_be_chosen_before_and_after(desk: Desk) -> None:
    screen = await desk.begin("QQQ002")
    await desk.touch(screen.ids.add_photo)
    capture = await desk.screen("capture")
    await desk.until(lambda: capture.can_shoot, "the camera")
    await desk.see("capture")
    await desk.until(lambda: capture.can_shoot, "the camera")
    await desk.touch(capture.labels["sign"])
    assert capture.title == "Photo du panneau"
    await desk.touch(capture.ids.shutter)
    assert capture.shows == "plate"
    await desk.until(lambda: not screen.draft.photos_pending, "the photo kept")
    assert capture.labels["sign"].sign == "check"
    await desk.touch(capture.ids.done)
    await desk.screen("infraction")
    await desk.until(lambda: all(screen.thumbnails.textures.values()), "its thumbnail")
    (snapshot,) = screen.snapshots
    assert snapshot.shows == "Panneau"
    await desk.see("infraction-photo")
    await desk.touch(screen.snapshots[0])
    photo = await desk.screen("photo")
    await desk.until(lambda: photo.texture, "the photo")
    await desk.see("photo")
    await desk.touch(photo.labels["context"])
    assert [kept.shows for kept in screen.draft.photos] == ["context"]
    await desk.touch(photo.ids.take_out)
    await desk.screen("infraction")
    assert screen.draft.photos == []


@pytest.mark.asyncio
async def test_without_a_camera_a_picture_is_chosen_and_the_reason_is_told(
    desk: Desk, files: list[Path]
) -> None:
    desk.camera.refusal = "absent"
    screen = await desk.begin("XYZ002")
    await desk.touch(screen.ids.add_photo)
    pictures = await desk.screen("pictures")
    await desk.until(lambda: files[0].name in getattr(pictures, "rows", {}), "the pictures")
    assert pictures.ids.told.text == no_camera("absent", "fr")
    await desk.see("pictures-no-camera")
    for file in files[:2]:
        await desk.screen("pictures")
        await desk.until(lambda: files[1].name in pictures.rows, "the pictures")
        await desk.until(lambda: pictures.rows[files[1].name].texture, "thumbnails")
        await desk.touch(pictures.rows[file.name])
        if file is files[0]:
            await desk.screen("infraction")
            await desk.touch(screen.ids.add_photo)
    last = await desk.screen("lastlook")
    await desk.until(lambda: last.may_record, "the photos kept")
    assert [photo.shows for photo in last.draft.photos] == ["plate", "context"]
    desk.camera.refusal = None
    desk.app.go("pictures")
    await desk.touch(pictures.ids.camera)
    capture = await desk.screen("capture")
    await desk.until(lambda: capture.can_shoot, "the camera that is there by now")
    assert not capture.is_blind


@pytest.mark.asyncio
async def test_a_camera_that_is_refused_or_goes_away_is_told_and_nothing_is_lost(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    from handheld_app.screens import capture as module

    screen = await desk.begin("QQQ003")
    screen.ids.note.text = "avant la photo"
    desk.camera.refusal = "refused"
    await desk.touch(screen.ids.add_photo)
    capture = await desk.screen("capture")
    await desk.until(lambda: capture.trouble, "why")
    assert capture.trouble == no_camera("refused", "fr")
    assert capture.ids.shutter.disabled
    await desk.see("capture-refused")
    desk.camera.refusal = None
    await desk.touch(capture.ids.again)
    await desk.until(lambda: capture.can_shoot, "the camera")
    monkeypatch.setattr(module, "PATIENCE", 0)
    desk.camera.refusal = "absent"
    await desk.until(lambda: capture.trouble, "that it went away")
    await desk.touch(capture.ids.file)
    await desk.screen("pictures")
    desk.app.go("infraction")
    screen.review()
    last = await desk.screen("lastlook")
    assert last.may_record
    assert last.draft.note == "avant la photo"


@pytest.mark.asyncio
async def test_a_photo_for_which_there_is_no_room_is_told_and_the_rest_goes_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = await desk.begin("QQQ004")
    await desk.touch(screen.ids.add_photo)
    capture = await desk.screen("capture")
    await desk.until(lambda: capture.can_shoot, "the camera")
    monkeypatch.setattr(desk.app.handheld.outbox, "_free", lambda folder: 0)
    await desk.touch(capture.ids.shutter)
    await desk.until(lambda: capture.trouble_tone == "bad" and capture.trouble, "the refusal")
    assert "mémoire" in capture.trouble or "espace" in capture.trouble
    await desk.see("capture-no-room")
    await desk.touch(capture.ids.done)
    assert screen.trouble == capture.trouble
    await desk.touch(screen.ids.review)
    last = await desk.screen("lastlook")
    await desk.touch(last.ids.record)
    await desk.screen("issued")
    assert desk.bodies()[0]["photos"] == []


@pytest.mark.asyncio
async def test_a_face_is_asked_about_and_the_photo_taken_again_or_needed(desk: Desk) -> None:
    desk.app.patrol._count_faces = lambda picture: 1
    screen = await desk.begin("XYZ003")
    await desk.touch(screen.ids.add_photo)
    capture = await desk.screen("capture")
    await desk.until(lambda: capture.can_shoot, "the camera")
    await desk.touch(capture.ids.shutter)
    await desk.touch(capture.ids.shutter)
    last = await desk.screen("lastlook")
    await desk.until(lambda: last.faces_row, "the question")
    assert not last.may_record
    await desk.until(lambda: all(last.thumbnails.textures.values()), "thumbnails")
    await desk.see("lastlook-face")
    desk.app.patrol._count_faces = lambda picture: 0
    await desk.touch(last.retake)
    capture = await desk.screen("capture")
    assert screen.draft.photos == []
    await desk.until(lambda: capture.can_shoot, "the camera")
    await desk.touch(capture.ids.shutter)
    await desk.touch(capture.ids.shutter)
    last = await desk.screen("lastlook")
    await desk.until(lambda: last.may_record, "photos without a face")
    assert last.faces_row is None

    desk.app.patrol._count_faces = lambda picture: 2
    screen.retake(list(screen.draft.photos[1:]))
    capture = await desk.screen("capture")
    await desk.until(lambda: capture.can_shoot, "the camera")
    await desk.touch(capture.ids.shutter)
    last = await desk.screen("lastlook")
    await desk.until(lambda: last.faces_row, "the question")
    await desk.touch(last.faces_row)
    assert last.may_record
    assert last.draft.faces_accepted


# what is said besides


@pytest.mark.asyncio
async def test_vehicle_place_and_note_are_chosen_or_typed(desk: Desk) -> None:
    at = desk.app.patrol.now()
    desk.app.patrol._locate = lambda: Position(45.41, -71.88, 6.4, at)
    screen = await desk.begin("XYZ004")
    assert (screen.make, screen.colour, screen.lot) == ("Toyota", "gris", "P1 · Urgence")
    assert screen.position == "45,41000\u00a0; -71,88000, à 6\u00a0m près"
    await desk.see("infraction-given")
    await desk.touch(screen.ids.make)
    pick = await desk.screen("pick")
    await desk.see("pick-make")
    await desk.touch(pick.rows["Mazda"])
    await desk.screen("infraction")
    await desk.touch(screen.ids.colour)
    await desk.see("pick-colour")
    await desk.speak("en")
    assert pick.rows["bleu"].title == "blue"
    await desk.touch(pick.rows["bleu"])
    assert screen.colour == "blue"
    await desk.speak("fr")
    assert screen.colour == "bleu"
    await desk.touch(screen.ids.make)
    await desk.write(pick.ids.own, "Lada")
    await desk.touch(pick.ids.take_own)
    await desk.touch(screen.ids.lot)
    await desk.touch(pick.rows["P9"])
    await desk.write(screen.ids.place, "Rangée C")
    await desk.write(screen.ids.note, "Roue sur la ligne.")
    await desk.touch(screen.ids.phrases)
    await desk.see("pick-phrase")
    await desk.touch(pick.rows["Engine running."])
    assert screen.ids.note.text == "Roue sur la ligne. Moteur en marche."
    screen.choose_outcome("warning")
    screen.toggle_code("P02")
    screen.toggle_code("M02")
    await desk.touch(screen.ids.review)
    last = await desk.screen("lastlook")
    await desk.see("lastlook-given")
    await desk.touch(last.ids.record)
    await desk.screen("issued")
    body = desk.bodies()[0]
    assert body["vehicle"] == {"make": "Lada", "colour": "bleu"}
    assert (body["lot"], body["place"]) == ("P9", "Rangée C")
    assert body["note"] == "Roue sur la ligne. Moteur en marche."
    assert body["position"] == {"lat": 45.41, "lon": -71.88, "accuracy_m": 6.4}


@pytest.mark.asyncio
async def test_a_plate_that_was_read_from_a_photo_says_so(desk: Desk) -> None:
    check = await desk.check("QQQ005")
    screen = desk.app.screens.get_screen("infraction")
    screen.begin(check.sighting, source="scanned")
    desk.app.go("infraction")
    screen.review()
    last = await desk.screen("lastlook")
    told = {fact.name: fact.value for fact in last.ids.facts.children}
    assert told["Plaque"] == "Lue sur une photo"
    await desk.touch(last.ids.record)
    await desk.screen("issued")
    assert desk.bodies()[0]["plate_source"] == "scanned"


# the last look


@pytest.mark.asyncio
async def test_a_plate_that_became_valid_meanwhile_cannot_be_overlooked(desk: Desk) -> None:
    last = await desk.last_look("NEW555")
    assert last.may_record
    permit = desk.world.permit("NEW555")
    fill(desk.app.handheld, desk.world)
    await desk.touch(last.ids.record)  # before anything was shown of it
    assert desk.app.screens.current == "lastlook"
    assert last.change.word == "VALIDE"
    assert not last.may_record
    await desk.see("lastlook-valid")
    await desk.touch(last.insist_row)
    assert last.may_record
    await desk.touch(last.insist_row)
    assert not last.may_record
    del desk.world.permits[permit.id]
    fill(desk.app.handheld, desk.world)
    await desk.until(lambda: last.change is None, "the verdict of before")
    assert last.may_record
    desk.world.permit("NEW555", zone="M1")
    fill(desk.app.handheld, desk.world)
    await desk.until(lambda: last.change is not None, "another verdict")
    assert (last.change.word, last.may_record) == ("AUTRE ZONE", True)
    await desk.touch(last.ids.record)
    await desk.screen("issued")


@pytest.mark.asyncio
async def test_what_is_previewed_is_what_is_issued(desk: Desk) -> None:
    screen = await desk.begin("QQQ006")
    screen.draft.vehicle = Vehicle("Mazda", "bleu")
    screen.review()
    last = await desk.screen("lastlook")
    notices = desk.app.handheld.notices
    before = notices.preview(last.draft)
    await desk.touch(last.ids.preview)
    notice = await desk.screen("notice")
    await desk.until(lambda: notice.texture, "the notice")
    await desk.settled()
    ink = desk.picture().crop((0, 0, 412, 400)).convert("L").histogram()
    assert sum(ink[:64]) > 1000  # its letters are to be seen
    await desk.see("notice-preview")
    await desk.touch(notice.ids.close)
    last = await desk.screen("lastlook")
    id = last.draft.id
    await desk.touch(last.ids.record)
    issued = await desk.screen("issued")
    assert notices.sheet(id) == before
    await desk.until(lambda: issued.code, "the code to scan")
    await desk.touch(issued.ids.show)
    notice = await desk.screen("notice")
    await desk.until(lambda: notice.texture, "the notice")
    await desk.touch(notice.ids.close)
    await desk.screen("issued")


# paper


class Printer:
    """A printer of the network: what it was sent, and how many bytes it takes before it goes."""

    def __init__(self, most: int | None = None) -> None:
        self.sent = b""
        self._most = most
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection:
                taken = 0
                while self._most is None or taken < self._most:
                    part = connection.recv(4096)
                    if not part:
                        break
                    taken += len(part)
                    self.sent += part

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(5)


@pytest.fixture
def leaving() -> Iterator[Printer]:
    """A printer that goes away in the middle."""
    printer = Printer(most=1000)
    yield printer
    printer.close()


async def issue(desk: Desk, plate: str) -> Any:
    last = await desk.last_look(plate)
    last.record()
    return await desk.screen("issued")


@pytest.mark.asyncio
async def test_a_printer_is_chosen_once_and_prints(desk: Desk, tmp_path: Path) -> None:
    issued = await issue(desk, "PRN001")
    assert issued.told == "Pas encore imprimé"
    await desk.touch(issued.ids.print)
    printer = await desk.screen("printer")
    await desk.see("printer")
    await desk.touch(printer.ids.save)
    assert printer.told == "Donnez l’adresse de l’imprimante."
    await desk.touch(printer.kinds["file"])
    await desk.write(printer.ids.address, str(tmp_path / "notice.bin"))
    await desk.touch(printer.widths[576])
    await desk.touch(printer.ids.try_it)
    await desk.until(lambda: printer.told == "Imprimé", "the line")
    tried = (tmp_path / "notice.bin").read_bytes()
    await desk.touch(printer.ids.save)
    await desk.screen("issued")
    path = desk.app.handheld.folder / "device.json"
    chosen = DeviceFile(path, new_install_id="none").device.printer
    assert PrinterChoice.parse(chosen) == PrinterChoice("file", str(tmp_path / "notice.bin"), 576)
    await desk.touch(issued.ids.print)
    await desk.until(lambda: issued.told == "Imprimé", "the notice")
    await desk.see("issued-printed")
    assert len((tmp_path / "notice.bin").read_bytes()) > 10 * len(tried)
    notices = desk.app.handheld.notices
    assert not notices.is_unprinted(issued.infraction)


@pytest.mark.asyncio
async def test_a_print_that_failed_is_repeated_with_the_same_number(
    desk: Desk, leaving: Printer, tmp_path: Path
) -> None:
    notices, number = desk.app.handheld.notices, None
    notices.choose_printer(PrinterChoice("network", leaving.address))
    issued = await issue(desk, "PRN002")
    number = issued.number
    await desk.touch(issued.ids.print)
    await desk.until(lambda: issued.tone == "bad", "the failure")
    assert issued.told.startswith("Non imprimé. ")
    state = notices.print_state(issued.infraction)
    assert state is not None
    assert (state.printed, state.reason) in ((False, "gone"), (False, "stopped"))
    assert notices.is_unprinted(issued.infraction)
    await desk.see("issued-not-printed")
    notices.choose_printer(PrinterChoice("file", str(tmp_path / "notice.bin")))
    await desk.touch(issued.ids.print)
    await desk.until(lambda: issued.told == "Imprimé", "the notice")
    assert issued.number == number
    assert notices.sheet(issued.infraction).number == number


@pytest.mark.asyncio
async def test_a_print_that_fails_after_one_has_gone_on_is_told_all_the_same(
    desk: Desk, leaving: Printer
) -> None:
    from handheld_app.controls import Alert

    desk.app.handheld.notices.choose_printer(PrinterChoice("network", leaving.address))
    issued = await issue(desk, "PRN003")
    number = issued.number
    issued.print()
    await desk.touch(issued.ids.next)
    await desk.screen("check")

    def alert() -> Any:
        return next((seen for seen in desk.window.children if isinstance(seen, Alert)), None)

    await desk.until(alert, "the sentence")
    assert number in alert().notice.text
    await desk.touch(alert().close)


# nothing typed is lost


def kept(desk: Desk) -> list[Any]:
    """The drafts that another program finds on the disk."""
    notebook = Notebook(desk.app.handheld.folder)
    try:
        return [from_json(page.body) for page in notebook.latest("draft")]
    finally:
        notebook.close()


@pytest.mark.asyncio
async def test_what_is_typed_is_on_the_disk_at_once_and_gone_on_with(desk: Desk) -> None:
    for draft in kept(desk):
        desk.app.patrol.drop_draft(draft)
    screen = await desk.begin("XYZ005")
    await desk.write(screen.ids.note, "Pare-brise givré")
    typed = time.monotonic()
    await desk.until(lambda: any(d.note == "Pare-brise givré" for d in kept(desk)), "the draft")
    assert time.monotonic() - typed < 5
    await desk.touch(screen.ids.add_photo)
    capture = await desk.screen("capture")
    await desk.until(lambda: capture.can_shoot, "the camera")
    await desk.touch(capture.ids.shutter)
    await desk.until(lambda: kept(desk)[0].photos, "the photo too")
    restored = desk.app.patrol.kept_draft()
    assert restored is not None
    assert restored is not screen.draft
    screen.resume(restored)
    desk.app.go("infraction")
    assert screen.ids.note.text == "Pare-brise givré"
    assert [photo.shows for photo in screen.draft.photos] == ["plate"]


@pytest.mark.asyncio
async def test_an_infraction_is_abandoned_only_when_somebody_says_so(desk: Desk) -> None:
    for draft in kept(desk):
        desk.app.patrol.drop_draft(draft)
    screen = await desk.begin("QQQ007")
    back = screen.ids.header.children[-1]
    await desk.touch(back)  # nothing was given: nothing is asked
    await desk.screen("check")
    screen = await desk.begin("QQQ007")
    await desk.write(screen.ids.note, "Brûlé un feu")
    await desk.touch(back)
    await desk.frames(20)
    assert desk.app.screens.current == "infraction"
    await desk.see("abandon")
    await desk.touch(screen.question.no)
    await desk.frames(20)
    assert screen.draft.note == "Brûlé un feu"
    await desk.touch(back)
    await desk.frames(20)
    await desk.touch(screen.question.yes)
    await desk.screen("check")
    await desk.until(lambda: kept(desk) == [], "nothing on the disk")
    assert screen.draft is None
