"""How well plates are read from pictures, and how often a wrong one would be filled in.

`python -m benchmarks.reading FOLDER` reads every picture of the folder's `labels.csv` (columns
`file,plate`; others are not looked at) and prints a table; docs/scanning.md tells what it means.
"""

from __future__ import annotations

import csv
import random
import resource
import statistics
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import click
from PIL import Image

from handheld_app.scanning.matching import Match, match
from handheld_app.scanning.reading import Candidate, ReaderMissing, open_reader
from sync.plates import Plate, fold

FOLDER = Path(__file__).resolve().parents[2] / "shared/data/plates-dev"
INDEXED = 200_000
JURISDICTION = "CA-QC"
"""All pictures are matched within one, and all plates are indexed in it: the hardest case."""
MOST = 5

SERIES = (
    *("LLL999", "LLL999", "999LLL", "L99LLL", "99LLLL", "LLL99L"),  # Québec, and many states
    *("LLLL999", "LLL9999", "9LLL999", "999LLLL", "LL99999"),  # Ontario, Alberta, large states
    *("LL999LL", "9L99999", "LL9999", "999999"),  # Europe, and older ones
)
"""Letters and digits of plates of the index, each as likely as the others."""
_AT_ONCE = 100
"""Plates of one series that are drawn together."""


@dataclass(frozen=True)
class Goal:
    """The least, or the most where it is a cost, that a figure may be."""

    folded: float
    among_five: float = 0.95
    milliseconds: float = 300.0


GOALS = {"eu": Goal(folded=0.95), "us": Goal(folded=0.88)}
"""By the part of a file's name before its dash. Other pictures are held to the lower ones."""
OTHER = Goal(folded=0.88)


@dataclass
class Picture:
    """One picture, and what became of it."""

    file: str
    plate: str
    candidates: list[Candidate]
    milliseconds: float
    without: Match | None = None
    """Matched with an index that lacks every plate of the folder…"""
    having: Match | None = None
    """…and with one that has them besides."""

    @property
    def exact(self) -> bool:
        return self.place([c.text for c in self.candidates], self.plate) == 0

    @property
    def folded(self) -> bool:
        return self.place([fold(c.text) for c in self.candidates], fold(self.plate)) == 0

    @property
    def exact_among_five(self) -> bool:
        return self.place([c.text for c in self.candidates], self.plate) is not None

    @property
    def folded_among_five(self) -> bool:
        place = self.place([fold(c.text) for c in self.candidates], fold(self.plate))
        return place is not None

    @staticmethod
    def place(texts: list[str], plate: str) -> int | None:
        return texts.index(plate) if plate in texts[:MOST] else None

    @property
    def falsely_preselected(self) -> bool:
        return self.without is not None and self.without.preselected is not None

    @property
    def rightly_preselected(self) -> bool:
        return (
            self.having is not None
            and self.having.preselected is not None
            and self.having.preselected.text == self.plate
        )

    @property
    def wrongly_preselected(self) -> bool:
        """Another plate of the folder was filled in."""
        return (
            self.having is not None
            and self.having.preselected is not None
            and self.having.preselected.text != self.plate
        )


@dataclass
class Index:
    """Plates by what look-alikes have in common, as a replica finds them."""

    _by_fold: dict[str, set[Plate]] = field(default_factory=lambda: defaultdict(set))

    def add(self, texts: Iterable[str]) -> None:
        for text in texts:
            self._by_fold[fold(text)].add(Plate(text, JURISDICTION))

    def look_alikes(self, plate: Plate) -> set[Plate]:
        return self._by_fold.get(plate.fold, set())


def random_plates(seed: int, without: set[str], count: int = INDEXED) -> set[str]:
    """Plates such as are on the road, none of `without`; the same for the same seed."""
    dice = random.Random(seed)
    kinds = {"L": "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "9": "0123456789"}
    found: dict[str, None] = {}
    while len(found) < count:
        series = dice.choice(SERIES)
        columns = (dice.choices(kinds[kind], k=_AT_ONCE) for kind in series)
        for characters in zip(*columns, strict=True):
            plate = "".join(characters)
            if plate not in without and len(found) < count:
                found[plate] = None
    return set(found)


def labels(folder: Path) -> list[tuple[str, str]]:
    with open(folder / "labels.csv", newline="") as file:
        return [(row["file"], row["plate"]) for row in csv.DictReader(file)]


def read_all(folder: Path, chosen: Iterable[tuple[str, str]]) -> list[Picture]:
    """Read the whole of each picture; where the plate is in it the reader has to find."""
    reader = open_reader()
    pictures = []
    for file, plate in chosen:
        with Image.open(folder / file) as source:
            image = source.convert("RGB")
        before = time.process_time()
        candidates = reader.read(image)
        spent = (time.process_time() - before) * 1000
        pictures.append(Picture(file, plate, candidates, spent))
    return pictures


def match_all(pictures: Iterable[Picture], seed: int, count: int = INDEXED) -> None:
    """Match each with a random index that lacks all their plates, and with one that has them."""
    pictures = list(pictures)
    plates = {picture.plate for picture in pictures}
    index = Index()
    index.add(random_plates(seed, plates, count))
    for picture in pictures:
        picture.without = match(picture.candidates, index.look_alikes, jurisdiction=JURISDICTION)
    index.add(plates)
    for picture in pictures:
        picture.having = match(picture.candidates, index.look_alikes, jurisdiction=JURISDICTION)


def missed(group: str, pictures: list[Picture], *, slow: bool = False) -> list[str]:
    """What of the goals a group of pictures misses."""
    goal = GOALS.get(group, OTHER)
    n = len(pictures)
    folded = sum(p.folded for p in pictures) / n
    among = sum(p.folded_among_five for p in pictures) / n
    median = statistics.median(p.milliseconds for p in pictures)
    false = sum(p.falsely_preselected or p.wrongly_preselected for p in pictures)
    checks = (
        (folded >= goal.folded, f"{folded:.1%} right but for look-alikes, not {goal.folded:.0%}"),
        (among >= goal.among_five, f"{among:.1%} among the first 5, not {goal.among_five:.0%}"),
        (
            slow or median <= goal.milliseconds,
            f"{median:.0f} ms at the median, not {goal.milliseconds:.0f}",
        ),
        (false == 0, f"{false} filled in wrongly"),
    )
    return [f"{group}: {text}" for good, text in checks if not good]


def table(groups: dict[str, list[Picture]]) -> str:
    """One line a group."""
    head = (
        f"{'':6}{'pictures':>9}{'exact':>8}{'folded':>8}{'exact in 5':>12}{'folded in 5':>13}"
        f"{'CPU ms':>8}{'p95':>6}{'filled in wrongly':>19}{'rightly':>9}"
    )
    rows = [head]
    for group, pictures in groups.items():
        n = len(pictures)
        spent = sorted(p.milliseconds for p in pictures)
        false = sum(p.falsely_preselected or p.wrongly_preselected for p in pictures)
        rows.append(
            f"{group:6}{n:9}"
            f"{sum(p.exact for p in pictures) / n:8.1%}{sum(p.folded for p in pictures) / n:8.1%}"
            f"{sum(p.exact_among_five for p in pictures) / n:12.1%}"
            f"{sum(p.folded_among_five for p in pictures) / n:13.1%}"
            f"{statistics.median(spent):8.0f}{spent[min(n - 1, int(n * 0.95))]:6.0f}"
            f"{false:19}{sum(p.rightly_preselected for p in pictures) / n:9.1%}"
        )
    return "\n".join(rows)


def one_line(picture: Picture) -> str:
    sign = "=" if picture.exact else "~" if picture.folded else "x"
    said = "  ".join(f"{c.text} {c.confidence:.2f}" for c in picture.candidates[:MOST])
    having = picture.having.preselected if picture.having else None
    filled_in = f"  -> {having.text}" if having else ""
    spent = f"{picture.milliseconds:5.0f} ms"
    return f"{sign} {picture.file:24}{picture.plate:9}{spent}  {said}{filled_in}"


def _most_memory() -> int:
    """Megabytes that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


@click.command()
@click.argument(
    "folder", type=click.Path(exists=True, file_okay=False, path_type=Path), default=FOLDER
)
@click.option("--each", is_flag=True, help="List every picture too.")
@click.option("--seed", default=1, show_default=True, help="Of the random index.")
@click.option(
    "--indexes", default=1, show_default=True, help="Count wrong ones over so many random indexes."
)
@click.option("--slow", is_flag=True, help="Let it take longer: this machine is no judge of that.")
def main(folder: Path, each: bool, seed: int, indexes: int, slow: bool) -> None:
    """Read every picture of FOLDER and compare with its labels.csv. Exit 1 if a goal is missed."""
    without_reader = _most_memory()
    try:
        pictures = read_all(folder, labels(folder))
    except ReaderMissing as error:
        raise click.ClickException(str(error)) from error
    with_reader = _most_memory()
    match_all(pictures, seed)
    groups: dict[str, list[Picture]] = defaultdict(list)
    for picture in pictures:
        groups[picture.file.partition("-")[0] if "-" in picture.file else "all"].append(picture)
    if each:
        for picture in pictures:
            click.echo(one_line(picture))
    click.echo(table(groups))
    click.echo(
        f"memory with the reader: {with_reader} MB, of which without it: {without_reader} MB"
    )
    failures = [
        text for group, members in groups.items() for text in missed(group, members, slow=slow)
    ]
    if indexes > 1:
        false = 0
        for number in range(seed, seed + indexes):
            match_all(pictures, number)
            false += sum(p.falsely_preselected for p in pictures)
        asked = indexes * len(pictures)
        click.echo(f"{false} of {asked} filled in wrongly over {indexes} random indexes")
    for text in failures:
        click.echo(f"missed: {text}", err=True)
    raise SystemExit(1 if failures else 0)


if __name__ == "__main__":
    main()
