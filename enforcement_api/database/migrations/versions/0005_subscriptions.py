"""The subscription core."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _categories()
    _products()
    _holders()
    _confirmations()
    _contract_series()
    _subscriptions()
    _vehicles()
    _requests()
    _subscription_events()
    _attachments()
    _messages()
    _contracts()
    _letters()
    _payments()
    _payment_pages()
    _courtesy_permits()


def _categories() -> None:
    op.create_table(
        "categories",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("name", sa.JSON(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("site", "code", name=op.f("pk_categories")),
    )


def _products() -> None:
    op.create_table(
        "products",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.JSON(), nullable=False),
        sa.Column("category", sa.String(), nullable=False),
        sa.Column("price_cents", sa.BigInteger(), nullable=False),
        sa.Column("billing_period", sa.String(), nullable=False),
        sa.Column("zones", sa.Text(), nullable=False),
        sa.Column("notice", sa.JSON(), nullable=True),
        sa.Column("questions", sa.JSON(), nullable=False),
        sa.Column("proof_required", sa.Boolean(), nullable=False),
        sa.Column("max_vehicles", sa.Integer(), nullable=False),
        sa.Column("grace_days", sa.Integer(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("site", "code", name=op.f("pk_products")),
    )


def _holders() -> None:
    op.create_table(
        "holders",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("email_confirmed_at", sa.BigInteger(), nullable=True),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("gender", sa.Text(), nullable=True),
        sa.Column("first_name", sa.Text(), nullable=False),
        sa.Column("last_name", sa.Text(), nullable=False),
        sa.Column("line1", sa.Text(), nullable=True),
        sa.Column("apartment", sa.Text(), nullable=True),
        sa.Column("line2", sa.Text(), nullable=True),
        sa.Column("city", sa.Text(), nullable=True),
        sa.Column("province", sa.Text(), nullable=True),
        sa.Column("postal_code", sa.Text(), nullable=True),
        sa.Column("mobile", sa.Text(), nullable=True),
        sa.Column("home", sa.Text(), nullable=True),
        sa.Column("home_extension", sa.Text(), nullable=True),
        sa.Column("work", sa.Text(), nullable=True),
        sa.Column("work_extension", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("erased_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("site", "id", name=op.f("pk_holders")),
    )
    op.create_index("ix_holders_email", "holders", ["site", "email"])
    op.create_index("ix_holders_id", "holders", ["id"], unique=True)
    op.create_index("ix_holders_name", "holders", ["site", "last_name", "first_name", "id"])


def _confirmations() -> None:
    op.create_table(
        "confirmations",
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_confirmations")),
    )
    op.create_index("ix_confirmations_holder", "confirmations", ["site", "holder"])


def _contract_series() -> None:
    op.create_table(
        "contract_series",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("next", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("site", name=op.f("pk_contract_series")),
    )


def _subscriptions() -> None:
    op.create_table(
        "subscriptions",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("product", sa.String(), nullable=False),
        sa.Column("decision", sa.String(), nullable=False),
        sa.Column("requested_at", sa.BigInteger(), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.Column("starts_on", sa.Date(), nullable=False),
        sa.Column("ends_on", sa.Date(), nullable=True),
        sa.Column("active_from", sa.BigInteger(), nullable=True),
        sa.Column("ends_at", sa.BigInteger(), nullable=True),
        sa.Column("cancelled_at", sa.BigInteger(), nullable=True),
        sa.Column("suspended_at", sa.BigInteger(), nullable=True),
        sa.Column("suspended_for", sa.String(), nullable=True),
        sa.Column("payment_method", sa.String(), nullable=True),
        sa.Column("payment_token", sa.Text(), nullable=True),
        sa.Column("card_brand", sa.Text(), nullable=True),
        sa.Column("card_last4", sa.String(), nullable=True),
        sa.Column("card_expiry", sa.String(), nullable=True),
        sa.Column("cheque", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("site", "id", name=op.f("pk_subscriptions")),
    )
    op.create_index("ix_subscriptions_decision", "subscriptions", ["site", "decision", "number"])
    op.create_index("ix_subscriptions_holder", "subscriptions", ["site", "holder", "number"])
    op.create_index("ix_subscriptions_id", "subscriptions", ["id"], unique=True)
    op.create_index("ix_subscriptions_number", "subscriptions", ["site", "number"], unique=True)
    op.create_index("ix_subscriptions_product", "subscriptions", ["site", "product", "number"])


def _vehicles() -> None:
    op.create_table(
        "vehicles",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("subscription", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("plate", sa.String(), nullable=False),
        sa.Column("jurisdiction", sa.String(), nullable=False),
        sa.Column("plate_raw", sa.Text(), nullable=False),
        sa.Column("make", sa.Text(), nullable=True),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("year", sa.Integer(), nullable=True),
        sa.Column("colour", sa.Text(), nullable=True),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.Column("confirmed_at", sa.BigInteger(), nullable=True),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.Column("permit_version", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("site", "id", name=op.f("pk_vehicles")),
    )
    op.create_index("ix_vehicles_id", "vehicles", ["id"], unique=True)
    op.create_index("ix_vehicles_plate", "vehicles", ["site", "plate", "jurisdiction"])
    op.create_index(
        "ix_vehicles_subscription", "vehicles", ["site", "subscription", "position"], unique=True
    )


def _requests() -> None:
    op.create_table(
        "requests",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subscription", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("submitted_at", sa.BigInteger(), nullable=False),
        sa.Column("content_hash", sa.String(), nullable=False),
        sa.Column("wanted", sa.JSON(), nullable=False),
        sa.Column("answers", sa.JSON(), nullable=False),
        sa.Column("consents", sa.JSON(), nullable=False),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("attachments", sa.JSON(), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("site", "id", name=op.f("pk_requests")),
    )
    op.create_index("ix_requests_id", "requests", ["id"], unique=True)
    op.create_index("ix_requests_state", "requests", ["site", "state", "submitted_at", "id"])
    op.create_index("ix_requests_submitted", "requests", ["site", "submitted_at", "id"])
    op.create_index(
        "ix_requests_subscription", "requests", ["site", "subscription", "submitted_at"]
    )


def _subscription_events() -> None:
    op.create_table(
        "subscription_events",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("action_id", sa.String(), nullable=True),
        sa.Column("content_hash", sa.String(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("site", "subject", "position", name=op.f("pk_subscription_events")),
    )
    op.create_index(
        "ix_subscription_events_action_id", "subscription_events", ["action_id"], unique=True
    )


def _attachments() -> None:
    op.create_table(
        "attachments",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("given_sha256", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("media_type", sa.String(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("is_encrypted", sa.Boolean(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("received_by", sa.Text(), nullable=False),
        sa.Column("subject", sa.String(), nullable=True),
        sa.Column("removed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("site", "id", name=op.f("pk_attachments")),
    )
    op.create_index("ix_attachments_id", "attachments", ["id"], unique=True)
    op.create_index("ix_attachments_sha256", "attachments", ["sha256"])
    op.create_index("ix_attachments_subject", "attachments", ["site", "subject"])


def _messages() -> None:
    op.create_table(
        "messages",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("subscription", sa.String(), nullable=False),
        sa.Column("sender", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("attachments", sa.JSON(), nullable=False),
        sa.Column("content_hash", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("site", "id", name=op.f("pk_messages")),
    )
    op.create_index("ix_messages_id", "messages", ["id"], unique=True)
    op.create_index("ix_messages_subscription", "messages", ["site", "subscription", "at", "id"])


def _contracts() -> None:
    op.create_table(
        "contracts",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("subscription", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("site", "subscription", "position", name=op.f("pk_contracts")),
    )


def _letters() -> None:
    op.create_table(
        "letters",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("subscription", sa.String(), nullable=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("queued_at", sa.BigInteger(), nullable=False),
        sa.Column("next_try_at", sa.BigInteger(), nullable=False),
        sa.Column("claimed_until", sa.BigInteger(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("site", "id", name=op.f("pk_letters")),
    )
    op.create_index(
        "ix_letters_failed",
        "letters",
        ["site"],
        sqlite_where=sa.text("state = 'failed'"),
        postgresql_where=sa.text("state = 'failed'"),
    )
    op.create_index("ix_letters_holder", "letters", ["site", "holder", "queued_at"])
    op.create_index("ix_letters_key", "letters", ["site", "key"], unique=True)
    op.create_index(
        "ix_letters_queued",
        "letters",
        ["next_try_at"],
        sqlite_where=sa.text("state = 'queued'"),
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.create_index("ix_letters_subscription", "letters", ["site", "subscription", "queued_at"])


def _payments() -> None:
    op.create_table(
        "payments",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("subscription", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("period_from", sa.Date(), nullable=False),
        sa.Column("period_until", sa.Date(), nullable=True),
        sa.Column("amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("order", sa.String(), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=True),
        sa.Column("charge", sa.Text(), nullable=True),
        sa.Column("next_try_at", sa.BigInteger(), nullable=True),
        sa.Column("claimed_until", sa.BigInteger(), nullable=True),
        sa.Column("failed_since", sa.BigInteger(), nullable=True),
        sa.Column("grace_until", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("settled_at", sa.BigInteger(), nullable=True),
        sa.Column("refund", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("site", "id", name=op.f("pk_payments")),
    )
    op.create_index("ix_payments_id", "payments", ["id"], unique=True)
    op.create_index("ix_payments_order", "payments", ["order"])
    op.create_index(
        "ix_payments_subscription", "payments", ["site", "subscription", "position"], unique=True
    )
    op.create_index(
        "ix_payments_to_try",
        "payments",
        ["next_try_at"],
        sqlite_where=sa.text("next_try_at IS NOT NULL"),
        postgresql_where=sa.text("next_try_at IS NOT NULL"),
    )


def _payment_pages() -> None:
    op.create_table(
        "payment_pages",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("subscription", sa.String(), nullable=False),
        sa.Column("content_hash", sa.String(), nullable=False),
        sa.Column("ticket", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("completed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("site", "id", name=op.f("pk_payment_pages")),
    )
    op.create_index("ix_payment_pages_id", "payment_pages", ["id"], unique=True)
    op.create_index("ix_payment_pages_subscription", "payment_pages", ["site", "subscription"])
    op.create_index("ix_payment_pages_ticket", "payment_pages", ["ticket"], unique=True)


def _courtesy_permits() -> None:
    op.create_table(
        "courtesy_permits",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("content_hash", sa.String(), nullable=False),
        sa.Column("subscription", sa.String(), nullable=True),
        sa.Column("plate", sa.String(), nullable=False),
        sa.Column("jurisdiction", sa.String(), nullable=False),
        sa.Column("plate_raw", sa.Text(), nullable=False),
        sa.Column("zones", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("granted_at", sa.BigInteger(), nullable=False),
        sa.Column("granted_by", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("permit_version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("site", "id", name=op.f("pk_courtesy_permits")),
    )
    op.create_index("ix_courtesy_permits_granted", "courtesy_permits", ["site", "granted_at", "id"])
    op.create_index("ix_courtesy_permits_id", "courtesy_permits", ["id"], unique=True)
    op.create_index(
        "ix_courtesy_permits_plate", "courtesy_permits", ["site", "plate", "jurisdiction"]
    )
