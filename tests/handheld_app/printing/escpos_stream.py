"""A printer as far as its paper goes: reads an ESC/POS stream and gives the picture it prints."""

from __future__ import annotations

from dataclasses import dataclass, field

from PIL import Image


@dataclass
class Paper:
    """What came out: strips of rows as they were printed, and how far it was fed after."""

    strips: list[Image.Image] = field(default_factory=list)
    fed: int = 0
    asked: int = 0

    @property
    def picture(self) -> Image.Image:
        width = max(strip.width for strip in self.strips)
        whole = Image.new("1", (width, sum(strip.height for strip in self.strips)), 255)
        top = 0
        for strip in self.strips:
            whole.paste(strip, (0, top))
            top += strip.height
        return whole


def printed(stream: bytes) -> Paper:
    """Raises ValueError for a command that our printers need not know, and for half a one."""
    paper, at = Paper(), 0
    while at < len(stream):
        command = stream[at : at + 4]
        if command[:2] == b"\x1b@":
            at += 2
        elif command[:3] == b"\x10\x04\x04":
            paper.asked += 1
            at += 3
        elif command[:2] == b"\x1bd":
            paper.fed += stream[at + 2]
            at += 3
        elif command == b"\x1dv0\x00":
            row, rows = (int.from_bytes(stream[at + n : at + n + 2], "little") for n in (4, 6))
            dots = stream[at + 8 : at + 8 + row * rows]
            if len(dots) < row * rows:
                raise ValueError("the stream ends within a picture")
            # A printer's 1 is black.
            paper.strips.append(Image.frombytes("1", (row * 8, rows), bytes(b ^ 255 for b in dots)))
            at += 8 + row * rows
        else:
            raise ValueError(f"no command of ours at {at}: {command!r}")
    return paper
