"""Words for the codes of subscriptions, as the people of the office say them."""

from __future__ import annotations

from collections.abc import Mapping

from enforcement_api.problems import N_

KINDS: Mapping[str, str] = {
    "subscription": N_("New subscription"),
    "category_change": N_("Change of category"),
    "cancellation": N_("Cancellation"),
}
"""What somebody asks for."""
REQUEST_STATES: Mapping[str, str] = {
    "submitted": N_("To decide"),
    "approved": N_("Approved"),
    "refused": N_("Refused"),
    "withdrawn": N_("Withdrawn"),
}
DECIDE: Mapping[str, str] = {
    "approve": N_("Approve"),
    "refuse": N_("Refuse"),
    "withdraw": N_("Withdraw for the subscriber"),
}
"""What may be decided of a request, as buttons say it."""
STATUSES: Mapping[str, str] = {
    "requested": N_("Awaiting approval"),
    "refused": N_("Request refused"),
    "withdrawn": N_("Request withdrawn"),
    "waiting": N_("Approved, not active yet"),
    "active": N_("Active"),
    "suspended": N_("Suspended"),
    "cancelled": N_("Cancelled for good"),
    "ended": N_("Ended"),
}
"""What a subscription is now (DOMAIN 4)."""
DEEDS: Mapping[str, str] = {
    "suspend": N_("Suspend"),
    "resume": N_("Resume"),
    "cancel": N_("Cancel the subscription"),
    "keep": N_("Take the cancellation back"),
}
"""What may be done to a subscription, as buttons say it."""
PERIODS: Mapping[str, str] = {
    "once": N_("once"),
    "week": N_("a week"),
    "month": N_("a month"),
    "term": N_("a term"),
    "year": N_("a year"),
}
"""What a price is for."""
METHODS: Mapping[str, str] = {"card": N_("Card"), "cheque": N_("Void cheque")}
PAYMENT_STATES: Mapping[str, str] = {
    "due": N_("Owed"),
    "failed": N_("Declined"),
    "paid": N_("Paid"),
    "void": N_("Not charged any more"),
    "refunding": N_("Being given back"),
    "refunded": N_("Given back"),
}
SENDERS: Mapping[str, str] = {"holder": N_("Subscriber"), "office": N_("Office")}
PURPOSES: Mapping[str, str] = {
    "proof": N_("Proof"),
    "message": N_("Attached to a message"),
    "cheque": N_("Void cheque"),
}
"""What a file was attached for."""
LETTER_STATES: Mapping[str, str] = {
    "queued": N_("On its way"),
    "sent": N_("Sent"),
    "failed": N_("Not delivered"),
}
LETTERS: Mapping[str, str] = {
    "confirm_address": N_("Confirmation of the address"),
    "request_received": N_("Request received"),
    "approved": N_("Subscription approved"),
    "refused": N_("Request refused"),
    "vehicle_added": N_("Vehicle added"),
    "vehicle_changed": N_("Vehicle changed"),
    "vehicle_deleted": N_("Vehicle removed"),
    "change_received": N_("Request for a change received"),
    "change_approved": N_("Change approved"),
    "change_refused": N_("Change refused"),
    "cancellation_received": N_("Request to cancel received"),
    "cancellation_approved": N_("Cancellation approved"),
    "cancellation_refused": N_("Cancellation refused"),
    "cancelled": N_("Subscription cancelled"),
    "suspended": N_("Subscription suspended"),
    "resumed": N_("Subscription resumed"),
    "payment_failed": N_("Payment declined"),
    "payment_suspended": N_("Suspended over a payment"),
    "payment_received": N_("Payment received"),
}
"""What letters are about."""
EVENTS: Mapping[str, str] = {
    "submitted": N_("Handed in"),
    "requested": N_("Asked for"),
    "category_change-requested": N_("Change of category asked for"),
    "cancellation-requested": N_("Cancellation asked for"),
    "approved": N_("Approved"),
    "refused": N_("Refused"),
    "withdrawn": N_("Withdrawn"),
    "suspended": N_("Suspended"),
    "resumed": N_("Resumed"),
    "cancelled": N_("Cancellation made"),
    "kept": N_("Cancellation taken back"),
    "renewed": N_("Renewed"),
    "product-changed": N_("Product changed"),
    "payment-method": N_("Payment method given"),
    "vehicle-added": N_("Vehicle added"),
    "vehicle-changed": N_("Vehicle changed"),
    "vehicle-deleted": N_("Vehicle removed"),
    "payment-failed": N_("Payment declined"),
    "payment-received": N_("Payment received"),
    "payment-void": N_("Payment not charged any more"),
    "refunded": N_("Given back"),
    "refund-refused": N_("Could not be given back"),
    "granted": N_("Granted"),
    "ended": N_("Ended"),
}
"""What the history says was done."""
