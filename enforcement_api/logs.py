"""What may stand in a log: anything that helps, but for card numbers that somebody sent where none
belong.
"""

from __future__ import annotations

import logging
from typing import Any

from enforcement_api.cards import has_card_number, without_card_numbers

_formatter = logging.Formatter()


class _Record(logging.LogRecord):
    """A line of a log, and the traceback under it, without card numbers.

    Of every logger: what a server or a database library says of an error quotes requests too.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        try:
            told = self.getMessage()
        except Exception:
            return  # arguments that do not fit their text: whoever writes it says so
        if has_card_number(told):
            self.msg, self.args = without_card_numbers(told), None
        if self.exc_info:
            self.exc_text = without_card_numbers(_formatter.formatException(self.exc_info))


def keep_card_numbers_out() -> None:
    """From now on, in this process."""
    logging.setLogRecordFactory(_Record)
