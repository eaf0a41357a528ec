"""Plates are read from pictures: drawn ones here, and a dozen photographs with a bar."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import kivy
import pytest
from click.testing import CliRunner
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from benchmarks.reading import FOLDER, labels, main, match_all, read_all
from handheld_app.scanning.reading import PlateReader, ReaderMissing, open_reader, within
from sync.plates import fold

FONTS = Path(kivy.__file__).parent / "data/fonts"


@pytest.fixture(scope="module")
def reader() -> PlateReader:
    return open_reader()


def text(draw: ImageDraw.ImageDraw, middle: tuple[int, int], said: str, size: int) -> None:
    font = ImageFont.truetype(str(FONTS / "RobotoMono-Regular.ttf"), size)
    draw.text(middle, said, (20, 30, 90), font, anchor="mm", stroke_width=size // 30)


def plate(said: str, name: str = "Québec", slogan: str = "Je me souviens") -> Image.Image:
    """A plate of 320 by 160 pixels: name, number, slogan, and a sticker in a corner."""
    picture = Image.new("RGB", (320, 160), (235, 235, 230))
    draw = ImageDraw.Draw(picture)
    draw.rounded_rectangle((2, 2, 317, 157), 12, outline=(20, 30, 90), width=3)
    text(draw, (160, 20), name, 24)
    text(draw, (160, 82), said, 68)
    text(draw, (160, 142), slogan, 16)
    draw.rectangle((270, 125, 305, 150), fill=(230, 180, 30))
    text(draw, (288, 138), "27", 18)
    return picture


def spoiled(picture: Image.Image, seed: int) -> Image.Image:
    """Turned, blurred, darkened and noisy."""
    dice = random.Random(seed)
    turned = picture.rotate(
        dice.uniform(-7, 7), Image.Resampling.BICUBIC, expand=True, fillcolor=(90, 95, 100)
    )
    noise = Image.effect_noise(turned.size, 60).convert("RGB")
    noisy = Image.blend(turned.filter(ImageFilter.GaussianBlur(1.2)), noise, 0.2)
    return noisy.point([round(level * 0.6) for level in range(256)] * 3)


def best(reader: PlateReader, picture: Image.Image) -> str:
    candidates = reader.read(picture)
    assert candidates, "nothing is read"
    return candidates[0].text


@pytest.mark.parametrize("said", ["ABC 123", "K47 HXE", "GJKT 529"])
def test_number_is_read_and_name_slogan_and_sticker_are_not(reader: PlateReader, said: str) -> None:
    candidates = reader.read(plate(said))
    assert candidates[0].text == said.replace(" ", "")
    assert candidates[0].confidence > 0.5
    x, y, width, height = candidates[0].box
    assert abs(x + width / 2 - 160) < 15
    assert abs(y + height / 2 - 82) < 15
    assert 40 < height < 110


@pytest.mark.parametrize(("said", "seed"), [("ABC 123", 1), ("724 KRE", 2), ("H26 TNP", 3)])
def test_spoiled_picture_is_read(reader: PlateReader, said: str, seed: int) -> None:
    assert fold(best(reader, spoiled(plate(said), seed))) == fold(said.replace(" ", ""))


def test_candidates_are_ranked_and_can_be_plates(reader: PlateReader) -> None:
    candidates = reader.read(spoiled(plate("B8O 0DQ"), 4))
    shares = [candidate.confidence for candidate in candidates]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) <= 1.001
    assert len({candidate.text for candidate in candidates}) == len(candidates) > 1
    assert all(2 <= len(c.text) <= 8 and c.text.isalnum() for c in candidates)


def test_region_is_where_it_looks_and_boxes_stay_in_pixels_of_the_picture(
    reader: PlateReader,
) -> None:
    street = Image.new("RGB", (900, 500), (120, 120, 125))
    street.paste(plate("ABC 123"), (20, 30))
    street.paste(plate("XYZ 789"), (520, 300))
    for said, (left, top) in (("ABC123", (20, 30)), ("XYZ789", (520, 300))):
        first = reader.read(street, (left - 15, top - 15, 350, 190))[0]
        assert first.text == said
        x, y, width, height = first.box
        assert left < x < x + width <= left + 320
        assert top < y < y + height <= top + 160


def test_low_plate_in_a_large_photograph_is_found_where_it_is(reader: PlateReader) -> None:
    photograph = Image.new("RGB", (3200, 1800), (120, 120, 125))
    photograph.paste(plate("K47 HXE"), (2500, 1400))
    first = reader.read(photograph)[0]
    assert first.text == "K47HXE"
    x, y, width, height = first.box
    assert abs(x + width / 2 - 2660) < 25
    assert abs(y + height / 2 - 1482) < 25


def test_line_across_the_whole_of_a_large_picture_ends(reader: PlateReader) -> None:
    strip = Image.new("RGB", (6000, 120), (235, 235, 230))
    for x in range(200, 6000, 400):
        text(ImageDraw.Draw(strip), (x, 60), "ABC 123", 60)
    assert all(2 <= len(candidate.text) <= 8 for candidate in reader.read(strip))


def test_region_over_the_edge_is_cut_and_one_outside_reads_nothing(reader: PlateReader) -> None:
    picture = plate("ABC 123")
    assert reader.read(picture, (-100, -100, 1000, 1000))[0].text == "ABC123"
    assert reader.read(picture, (400, 10, 50, 50)) == []
    assert reader.read(picture, (10, 10, 0, 50)) == []


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3), (64, 64)])
def test_picture_without_text_reads_nothing(reader: PlateReader, size: tuple[int, int]) -> None:
    assert reader.read(Image.new("RGB", size, (90, 90, 90))) == []


def test_part_of_a_region_within_the_picture() -> None:
    assert within(None, (10, 5)) == (0, 0, 10, 5)
    assert within((-2, 1, 5, 9), (10, 5)) == (0, 1, 3, 4)
    assert within((10, 0, 5, 5), (10, 5)) is None
    assert within(None, (0, 5)) is None


@pytest.fixture(params=["cv2", "numpy", "onnxruntime"])
def without(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delitem(sys.modules, "handheld_app.scanning.rapid", raising=False)
    monkeypatch.setitem(sys.modules, request.param, None)
    name: str = request.param
    return name


def test_missing_package_is_named_with_what_to_install(without: str) -> None:
    with pytest.raises(ReaderMissing, match=rf"{without}.*pip install 'patrouille\[reader\]'"):
        open_reader()


def test_missing_networks_are_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from handheld_app.scanning import rapid

    monkeypatch.setattr(rapid, "find_spec", lambda name: None)
    with pytest.raises(ReaderMissing, match="rapidocr is missing: pip install"):
        rapid.RapidReader()


READ_WITHOUT_NETWORK = """
import socket, sys
def refuse(*args, **kwargs):
    raise SystemExit("it asks the network")
socket.socket.connect = socket.getaddrinfo = refuse
from PIL import Image
import handheld_app.scanning, handheld_app.scanning.frames, handheld_app.scanning.matching
from handheld_app.scanning.reading import open_reader
assert not {"numpy", "cv2", "onnxruntime"} & set(sys.modules), "loaded before anybody scans"
print(open_reader().read(Image.open(sys.argv[1]))[0].text)
assert "rapidocr" not in sys.modules
assert "kivy" not in sys.modules
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(peak.split()[1]) // 1024)
"""


def test_reader_needs_no_network_and_less_than_300_mb(tmp_path: Path) -> None:
    plate("ABC 123").save(tmp_path / "plate.png")
    done = subprocess.run(
        [sys.executable, "-c", READ_WITHOUT_NETWORK, str(tmp_path / "plate.png")],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    read, megabytes = done.stdout.split()
    assert read == "ABC123"
    assert int(megabytes) < 300


@pytest.mark.parametrize(("label", "code"), [("ABC123", 0), ("ABC129", 1)])
def test_table_says_what_was_missed(tmp_path: Path, label: str, code: int) -> None:
    plate("ABC 123").save(tmp_path / "qc-1.png")
    (tmp_path / "labels.csv").write_text(f"file,plate\nqc-1.png,{label}\n")
    told = CliRunner().invoke(main, [str(tmp_path), "--each", "--slow"])
    assert told.exit_code == code, told.output
    assert "ABC123 0.9" in told.output or "ABC123 1.0" in told.output
    assert ("missed: qc: 0.0% right but for look-alikes" in told.output) is bool(code)


def test_dozen_photographs_are_read_and_none_fills_in_a_stranger() -> None:
    # Every 17th of the 208, from both groups; the whole is `python -m benchmarks.reading`.
    pictures = read_all(FOLDER, labels(FOLDER)[::17][:12])
    match_all(pictures, seed=1, count=20_000)
    assert sum(picture.folded for picture in pictures) >= 10
    assert sum(picture.folded_among_five for picture in pictures) >= 11
    assert sum(picture.rightly_preselected for picture in pictures) >= 8
    assert not any(p.falsely_preselected or p.wrongly_preselected for p in pictures)
