"""Cursors: how far a replica has come, opaque to it."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from enforcement_api.problems import N_, Problem


class CursorExpired(Problem):
    """The cursor is of another epoch, or older than the service keeps."""

    status = 410
    slug = "cursor-expired"
    title = N_("This cursor is no longer good")
    detail = N_("Fetch the snapshot at `snapshot` and go on from its cursor.")


class NotACursor(Problem):
    """The text is no cursor of this site."""

    status = 422
    slug = "not-a-cursor"
    title = N_("This is no cursor of this site")
    detail = N_(
        "Send a `cursor` that the site {site} gave, unchanged, or leave out `after` to begin."
    )


@dataclass(frozen=True, slots=True)
class Cursor:
    """A point of one site's feed in one epoch.

    `began`: how far the feed was when a first catch-up began that is not over. It needs no word of
    removals before that, so it does not expire, however old what it has got to is.
    """

    site: str
    epoch: str
    sequence: int
    began: int | None = None

    @property
    def knows(self) -> int:
        """All removals up to here are known."""
        return self.sequence if self.began is None else self.began

    def __str__(self) -> str:
        plain = f"1 {self.epoch} {self.sequence} {self.site}"
        if self.began is not None:
            plain = f"2 {self.epoch} {self.sequence} {self.began} {self.site}"
        return base64.urlsafe_b64encode(plain.encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str, *, site: str) -> Cursor:
        """Read a cursor of this site. Raises NotACursor."""
        try:
            plain = base64.b64decode(
                text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True
            ).decode()
            version, epoch, *numbers = plain.removesuffix(f" {site}").split(" ")
            if not plain.endswith(f" {site}") or not all(map(str.isdecimal, numbers)):
                raise ValueError(plain)
            if (version, len(numbers)) not in (("1", 1), ("2", 2)):
                raise ValueError(plain)
            return cls(site, epoch, *map(int, numbers))
        except (ValueError, binascii.Error) as error:
            raise NotACursor(site=site) from error
