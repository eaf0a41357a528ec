"""The console's words for codes of the record: states, outcomes, reasons, warnings, deeds."""

from __future__ import annotations

from collections.abc import Mapping

from enforcement_api.infractions.lifecycle import VOID_REASONS
from enforcement_api.problems import N_

STATES: Mapping[str, str] = {
    "received": N_("To review"),
    "information_requested": N_("Question asked"),
    "confirmed": N_("Confirmed"),
    "voided": N_("Voided"),
    "paid": N_("Paid"),
    "contested": N_("Contested"),
    "upheld": N_("Upheld"),
    "cancelled": N_("Cancelled"),
}
OUTCOMES: Mapping[str, str] = {
    "notice": N_("Notice"),
    "warning": N_("Warning"),
    "no_issue": N_("Nothing issued"),
}
ROLES: Mapping[str, str] = {
    "supervisor": N_("Supervisor"),
    "administrator": N_("Administrator"),
}
DECISIONS: Mapping[str, str] = {
    "confirm": N_("Confirm"),
    "void": N_("Void"),
    "request_information": N_("Ask the patroller"),
    "reopen": N_("Reopen"),
}
FIELDS: Mapping[str, str] = {
    "decision": N_("Decision"),
    "reason": N_("Reason"),
    "note": N_("Note"),
    "text": N_("Text"),
    "plate": N_("Plate"),
    "name": N_("Name"),
    "email": N_("E-mail address"),
    "role": N_("Role"),
    "site": N_("Site"),
    "badge": N_("Badge"),
}
"""What fields are called when a form that waited for a sign-in is shown again."""
VALUES: Mapping[str, Mapping[str, str]] = {
    "decision": DECISIONS,
    "reason": VOID_REASONS,
    "role": ROLES,
}
