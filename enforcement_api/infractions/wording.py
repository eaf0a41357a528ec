"""The words for what an infraction is and what became of it: of people, not of programs."""

from __future__ import annotations

from collections.abc import Mapping

from enforcement_api.infractions.lifecycle import VOID_REASONS
from enforcement_api.problems import N_
from sync.entities import Instrument

INSTRUMENTS: Mapping[Instrument, str] = {
    "avis": N_("Notice of claim"),
    "constat": N_("Statement of offence"),
}
"""What is issued at a site: a civil claim or a penal statement, never mixed (DOMAIN 5)."""

_OUTCOMES = {"warning": N_("Warning"), "no_issue": N_("Nothing issued")}


def outcome_words(outcome: str, instrument: Instrument) -> str:
    """The words for an outcome, at a site of this instrument."""
    return INSTRUMENTS[instrument] if outcome == "notice" else _OUTCOMES.get(outcome, outcome)


STATES: Mapping[str, str] = {
    "received": N_("To review"),
    "information_requested": N_("Information requested"),
    "confirmed": N_("Confirmed"),
    "voided": N_("Voided"),
    "paid": N_("Paid"),
    "contested": N_("Contested"),
    "upheld": N_("Upheld"),
    "cancelled": N_("Cancelled"),
}

DECISIONS: Mapping[str, str] = {
    "confirm": N_("Confirmed"),
    "void": N_("Voided"),
    "request_information": N_("Information requested"),
    "reopen": N_("Reopened"),
    "answer": N_("Answered"),
    "undo": N_("Taken back"),
}
"""What a review did."""

EVENTS: Mapping[str, str] = {
    "received": N_("Received"),
    "rechecked": N_("Judged again: a permit of the plate changed"),
    "photo_received": N_("Photo received"),
    "reviewed": N_("Reviewed"),
    "answered": N_("Answered by the patroller"),
    "voided": N_("Voided by the patroller"),
    "void-kept": N_("Voiding by the patroller kept, without effect"),
    "correction-linked": N_("A correction was named"),
    "correction-unlinked": N_("A correction was taken back"),
}
"""What the log says was done."""

REASONS: Mapping[str, str] = {
    **VOID_REASONS,
    "driver_returned": N_("driver came back"),
    "medical_emergency": N_("medical emergency"),
    "active_delivery": N_("delivery under way"),
    "unreadable_plate": N_("plate unreadable or under snow"),
    "tolerance_24h": N_("tolerance of 24 h"),
    "missing_signs": N_("signs are missing"),
    "supervisor_instruction": N_("supervisor's instruction"),
    "no_plate": N_("the vehicle carries no plate"),
    "unreadable": N_("the plate cannot be read"),
    "covered": N_("the plate is covered"),
    "another-patroller": N_("another patroller recorded it"),
    "after-revocation": N_("the handheld was revoked"),
    "decided": N_("it was decided already"),
}
"""Why it was voided, nothing was issued, there is no plate, or a voiding had no effect; what else a
patroller wrote stays as it is."""

PLATE_SOURCES: Mapping[str, str] = {
    "typed": N_("typed"),
    "scanned": N_("read from a photo"),
    "none": N_("no plate"),
}

SHOWS: Mapping[str, str] = {
    "plate": N_("the plate"),
    "context": N_("the surroundings"),
    "sign": N_("the sign"),
}
"""What a photo is of."""

PERMIT_STATUS: Mapping[str, str] = {
    "active": N_("active"),
    "suspended": N_("suspended"),
    "cancelled": N_("cancelled"),
}

CURSOR_REASONS: Mapping[str, str] = {
    "unknown-cursor": N_("The service never gave out the cursor that the handheld names."),
    "lost-cursor": N_("A restore lost what the handheld had heard of."),
    "forgotten-cursor": N_("What was known then is no longer kept."),
}
"""Why nobody can tell what a copy at a handheld's cursor says."""

WARNINGS: Mapping[str, str] = {
    "unknown-zone": N_("the site has no such zone"),
    "unknown-lot": N_("the site has no such lot"),
    "unknown-code": N_("the site has no such code"),
    "inactive-code": N_("the code is no longer in use"),
    "no-code": N_("it has no code"),
    "unknown-patroller": N_("the site has no such patroller"),
    "unknown-cursor": N_("the service never gave out the handheld's cursor"),
    "lost-cursor": N_("a restore lost what the handheld had heard of"),
    "unknown-number": N_("the number lies in no block that was given out"),
    "number-of-another-device": N_("the number lies in another handheld's block"),
    "number-used-twice": N_("another infraction has the same number"),
    "plate-without-source": N_("it has a plate, and does not say where from"),
    "source-without-plate": N_("it says where the plate is from, and has none"),
    "no-plate-reason": N_("it does not say why there is no plate"),
    "no-issue-reason": N_("it does not say why nothing was issued"),
    "verdict-not-as-known": N_("the handheld's verdict is not what a copy at its cursor says"),
    "clock-jumped": N_("the handheld's clock had jumped"),
    "observed-in-future": N_("it was observed in the future"),
    "unknown-field": N_("it says more than this version understands"),
    "voided-late": N_("the patroller voided it after the time for that"),
}
"""What is flagged of an infraction (core.warnings_of)."""
