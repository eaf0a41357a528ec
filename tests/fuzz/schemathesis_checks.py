"""Four checks of schemathesis, with what no JSON schema can say; it loads this file by its config.

Everything else that it checks, it checks as it comes.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import schemathesis
from schemathesis.specs.openapi import checks

BEYOND_A_SCHEMA = {
    "/problems/not-a-cursor": "a cursor is opaque, and of one site",
    "/problems/not-a-page-cursor": "a cursor is opaque, and of one list",
    "/problems/rejected": "with `atomic=true`, an update that the site refuses",
    "/problems/photo-hash": "a photo hashes to its name",
    "/problems/not-a-picture": "a photo is a picture",
    "/problems/unknown-kind-of-file": "an attached file is a picture or a PDF",
    "/problems/damaged-file": "an attached file is whole",
}
"""Problems with status 422 that a request may get which its schema allows, and why."""

BEYOND_A_PATTERN = re.compile(
    "|".join(
        (
            "is no plate",  # what is typed is folded before it is counted
            "is no (device|patroller) of this site",
            "must lie between the years",  # of a `date` or `date-time`
            "must be an instant (with its offset|such as)",
            "must be a date or an instant",
            "must be later than `from`",
            "is before valid_from",
            "there is no site",
            "must be the name of an IANA time zone",
            "twice",
            "must be a GeoJSON|has a ring|positions|longitude",
            "must be a whole number|or a number of photos",  # a schema counts 1.0 as one
            "has too many items",
            "is none of the zones",
            "is over|must be within",  # of the clock
            "at least one telephone|is before starts_on",
            "must be an address such as https",
            "looks like a card number",
            "must be a sequence number from 0",  # to that of the site
        )
    )
)
"""Sentences of `errors` about values that a pattern cannot tell apart."""


def _is_beyond_a_schema(response: Any) -> bool:
    problem = response.json()
    if problem["type"] in BEYOND_A_SCHEMA:
        return True
    errors = problem.get("errors", ())
    return bool(errors) and all(BEYOND_A_PATTERN.search(error["detail"]) for error in errors)


@schemathesis.serializer("application/x-ndjson")
def lines(ctx: Any, value: Any) -> bytes:
    """A value a line, of a list; text as it is."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    items = value if isinstance(value, list) else [value]
    return b"\n".join(json.dumps(item).encode() for item in items)


@schemathesis.check
def valid_data_is_taken(ctx: Any, response: Any, case: Any) -> bool | None:
    """A request as the document has it is not refused for its form."""
    if response.status_code == 412:  # a version that is not there, in the form of one
        return None
    if response.status_code == 422 and _is_beyond_a_schema(response):
        return None
    return checks.positive_data_acceptance(ctx, response, case)


@schemathesis.check
def invalid_data_is_refused(ctx: Any, response: Any, case: Any) -> bool | None:
    """A request that is not as the document has it is refused; of a list, the items that are not.

    A rejected item never stops the others (CONTRACT): the answer to the whole is 200.
    """
    taken_in_part = response.status_code == 200 and case.path == "/v1/plate-updates"
    if taken_in_part and response.json()["rejected"]:
        return None
    if response.status_code == 413:  # it is counted before it is read
        return None
    # An object in the place of a text is sent as its name several times: the last counts.
    names = [name for name, _ in parse_qsl(urlsplit(response.request.url).query)]
    if response.status_code == 200 and len(names) > len(set(names)):
        return None
    return checks.negative_data_rejection(ctx, response, case)


STAYS = {
    "/v1/devices/{id}": "revoked_at",
    "/v1/holders/{id}": "erased_at",
    "/v1/courtesy-permits/{id}": "ended_at",
}
"""What is still there when it was deleted, and says when that was."""


@schemathesis.check
def needed_headers_are_asked_for(ctx: Any, response: Any, case: Any) -> bool | None:
    """A request without a header that it needs is refused; without If-Match with a 428."""
    if response.status_code == 428:
        return None
    return checks.missing_required_header(ctx, response, case)


@schemathesis.check
def deleted_is_gone(ctx: Any, response: Any, case: Any) -> bool | None:
    """What was deleted is not there any more, but for what stays and says that it was."""
    stays = case.path in STAYS and response.status_code == 200
    if stays and response.json()[STAYS[case.path]] is not None:
        return None
    return checks.use_after_free(ctx, response, case)
