"""The console's words for codes of the record: states, outcomes, reasons, warnings, deeds."""

from __future__ import annotations

from collections.abc import Mapping

from enforcement_api.infractions import wording as infractions
from enforcement_api.infractions.lifecycle import VOID_REASONS
from enforcement_api.patrols.core import PrintedShape
from enforcement_api.problems import LANGUAGES, N_
from enforcement_api.subscriptions import words as subscriptions

ROLES: Mapping[str, str] = {
    "supervisor": N_("Supervisor"),
    "administrator": N_("Administrator"),
}
DECIDE: Mapping[str, str] = {
    "confirm": N_("Confirm"),
    "void": N_("Void"),
    "request_information": N_("Ask the patroller"),
    "reopen": N_("Reopen"),
}
"""What may be decided of an infraction, as buttons say it."""
DECIDED: Mapping[str, str] = {**infractions.DECISIONS, "undo": N_("Decision taken back")}
"""What a review did."""
ATTENTION: Mapping[str, str] = {
    "": N_("To look at"),
    "differs": N_("Verdict differs"),
    "stale": N_("Old data"),
    "clock": N_("Clock jumped"),
    "repeated": N_("Seen before"),
    "photos": N_("Photos missing"),
    "sample": N_("Sample"),
    "rest": N_("The others"),
}
"""Why an infraction should be looked at."""
ATTENTION_ICONS: Mapping[str, str] = {
    "differs": "swap",
    "stale": "clock",
    "clock": "alert",
    "repeated": "copies",
    "photos": "photo",
    "sample": "dice",
}
SITE_FIELDS: Mapping[str, str] = {
    "code": N_("Code"),
    "name": N_("Name"),
    "name/fr": N_("Name in French"),
    "name/en": N_("Name in English"),
    "note": N_("Note"),
    "note/fr": N_("Note in French"),
    "note/en": N_("Note in English"),
    "title/fr": N_("Title in French"),
    "title/en": N_("Title in English"),
    "address": N_("Address"),
    "time_zone": N_("Time zone"),
    "jurisdiction": N_("Jurisdiction of plates"),
    "instrument": N_("Kind of notice"),
    "instruments": N_("Kinds of notice"),
    "activation_hours": N_("Activation delay, in hours"),
    "retention_days": N_("How long an ended permit counts, in days"),
    "stale_after_hours": N_("Age of data that warns, in hours"),
    "zone": N_("Zone"),
    "zones": N_("Zones"),
    "lots": N_("Lots"),
    "codes": N_("Codes"),
    "area": N_("Corners"),
    "article": N_("Article or clause"),
    "amounts": N_("Amounts"),
    "amount_cents": N_("Amount"),
    "photos_required": N_("Photos to take"),
    "active": N_("In use"),
    "from": N_("From"),
    "until": N_("Until"),
    "reason": N_("Reason"),
    "reason/fr": N_("Reason in French"),
    "reason/en": N_("Reason in English"),
    "no_notice": N_("Times without notices"),
    "order": N_("Order"),
    "file": N_("File"),
    "repeat_days": N_("An earlier notice is told for, in days"),
    "two_vehicles_minutes": N_("Two vehicles of one permit are told within, in minutes"),
    "void_minutes": N_("Patrollers may void their own for, in minutes"),
    "idle_lock_minutes": N_("A handheld asks for the PIN after, in minutes"),
    "ask_about_faces": N_("Ask about faces in photos"),
    "chalk_minutes": N_("Time limits to choose from, in minutes"),
    "operator": N_("Who issues it"),
    "how_to_pay": N_("How to pay"),
    "how_to_contest": N_("How to contest"),
    "footer": N_("At the bottom"),
    "payment_url": N_("Address to pay at"),
    "fr": N_("in French"),
    "en": N_("in English"),
    "avis": N_("Notice of claim"),
    "constat": N_("Statement of offence"),
    "warning": N_("Warning"),
}
"""What the fields about a site are called, by the end of the pointer that a shape has for each."""
FIELDS: Mapping[str, str] = {
    **{name.replace("/", "_"): text for name, text in SITE_FIELDS.items()},
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
    "sites": N_("Sites"),
    "to_device": N_("Device"),
    "to_patroller": N_("Patroller"),
    "expires_at": N_("Until"),
    "jurisdiction": N_("Jurisdiction"),
    "priority": N_("Priority"),
    "instructions": N_("Instructions"),
    "pin": N_("PIN"),
    "purpose": N_("Purpose"),
    "purpose_told": N_("In other words"),
    "zone": N_("Zone"),
    "zones": N_("Zones"),
    "until": N_("Until"),
    "product": N_("Product"),
    "on": N_("Last day"),
    "ends_on": N_("Last day"),
    "action": N_("What to do"),
    "plate_confirmed": N_("The plate is right as typed"),
    "acknowledge_differs": N_("I know that the verdicts differ"),
    "correction": N_("Number of the one that takes its place"),
    "infraction": N_("Infraction"),
    "infractions": N_("Infractions"),
    "to": N_("To"),
    "all_sites": N_("All sites"),
    "all_zones": N_("All zones"),
    "sees_subscribers": N_("Reads subscribers"),
    "corners": N_("Corners"),
    "way": N_("Way"),
    "outcome": N_("Preview of"),
    "paper": N_("Paper"),
    "language": N_("Language"),
}
"""What fields are called when a form that waited for a sign-in is shown again."""
PRINTED: Mapping[str, tuple[str, str, str]] = {
    f"{paper}_{language}_{part}": (SITE_FIELDS[paper], SITE_FIELDS[language], SITE_FIELDS[part])
    for paper in ("avis", "constat", "warning")
    for language in LANGUAGES
    for part in PrintedShape.model_fields
}
"""What a field of printed texts is called: its paper, its language, and what it says."""
_BOXES = (
    *("acknowledge_differs", "plate_confirmed", "all_sites", "all_zones", "sees_subscribers"),
    *("active", "ask_about_faces"),
)
VALUES: Mapping[str, Mapping[str, str]] = {
    "decision": {**DECIDE, **subscriptions.DECIDE},
    "action": subscriptions.DEEDS,
    "reason": VOID_REASONS,
    "role": ROLES,
    "way": {"up": N_("Move up"), "down": N_("Move down")},
    "to": {"device": N_("A device, whoever has it"), "patroller": N_("A patroller")},
    "outcome": {"notice": N_("Notice"), "warning": N_("Warning")},
    **{box: {"on": N_("yes")} for box in _BOXES},
}
EVENTS: Mapping[str, str] = {
    **infractions.EVENTS,
    "correction-linked": N_("Correction linked"),
    "correction-unlinked": N_("Link to a correction taken back"),
}
"""What the log says was done to an infraction."""
PURPOSES: Mapping[str, str] = {
    "subscriber": N_("Subscriber's question"),
    "patroller": N_("Patroller's question"),
    "contested": N_("Notice that somebody contests"),
    "review": N_("Review of an infraction"),
    "request": N_("Decision about a request"),
    "courtesy": N_("Courtesy permit"),
    "other": N_("Something else"),
    "compare": N_("Comparison with a plate that looks alike"),
    "patrol": N_("Patrol"),
}
"""What plates are looked up for (DOMAIN 6)."""
TESTS: Mapping[int, str] = {
    1: N_("It ended so long ago that it does not count any more, since {at}."),
    2: N_("It has ended: {at}."),
    3: N_("It is suspended."),
    4: N_("It begins only {at}."),
    5: N_("It is not good in this zone, but in: {zones}."),
    6: N_("The plate is active only from {at}."),
    7: N_("It has begun, is active, and is good in this zone."),
}
"""Which test of DOMAIN 2.6 decided."""
PERMIT_FIELDS: Mapping[str, str] = {
    "plate": N_("plate"),
    "zones": N_("zones"),
    "permit_number": N_("number"),
    "status": N_("status"),
    "valid_from": N_("first day"),
    "valid_until": N_("last day"),
    "confirmed_at": N_("confirmed"),
    "given_ends_at": N_("ended by its source"),
    "starts_at": N_("begins"),
    "ends_at": N_("ends"),
    "active_from": N_("active from"),
    "vehicle": N_("vehicle"),
    "reconciled": N_("lacking in its source's list"),
    "removed": N_("removed from the feed by the retention"),
}
"""What changes from one version of a permit to the next."""
