"""The record's tables. `site` leads the keys of what grows with a site."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import JSON as SQL_JSON
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    false,
    literal_column,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import ColumnElement

metadata = MetaData(
    naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s", "pk": "pk_%(table_name)s"}
)


class Instant(TypeDecorator[datetime]):
    """An aware instant, kept as whole seconds since 1970 in UTC: the same on every engine."""

    impl = BigInteger
    cache_ok = True

    # A permit has seven: through process_bind_param and its kin, each takes three times as long.
    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], int | None]:
        return _seconds

    def result_processor(
        self, dialect: Dialect, coltype: object
    ) -> Callable[[int | None], datetime | None]:
        return _instant

    def process_literal_param(self, value: datetime | None, dialect: Dialect) -> str:
        return str(_seconds(value))


def _seconds(at: datetime | None) -> int | None:
    return None if at is None else int(at.timestamp() // 1)


def _instant(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


class Hash64(TypeDecorator[int]):
    """An unsigned 64-bit number in a signed column."""

    impl = BigInteger
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[[int | None], int | None]:
        return _signed

    def result_processor(
        self, dialect: Dialect, coltype: object
    ) -> Callable[[int | None], int | None]:
        return _unsigned

    def process_literal_param(self, value: int | None, dialect: Dialect) -> str:
        return str(_signed(value))


def _signed(value: int | None) -> int | None:
    return value - (1 << 64) if value is not None and value >= 1 << 63 else value


def _unsigned(value: int | None) -> int | None:
    return None if value is None else value % (1 << 64)


JSON = SQL_JSON(none_as_null=True)

meta = Table(
    "meta",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", Text, nullable=False),
)

sites = Table(
    "sites",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("time_zone", String, nullable=False),
    Column("jurisdiction", String, nullable=False),
    Column("instrument", String, nullable=False),
    Column("activation_hours", Integer, nullable=False),
    Column("retention_days", Integer, nullable=False),
    Column("stale_after_hours", Integer),
    Column("no_notice", JSON, nullable=False),
    Column("pruned_at", Instant),
    Column("created_at", Instant, nullable=False),
)

# Counters: the one row that a transaction on replicated state locks. `sequence`, and the digest
# of the feed at that sequence. `horizon`: the sequence from which on everything is still known;
# what was superseded before it may be gone.
counters = Table(
    "counters",
    metadata,
    Column("site", String, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("digest_count", BigInteger, nullable=False),
    Column("digest_sum", Hash64, nullable=False),
    Column("fed_at", Instant),
    Column("horizon", BigInteger, nullable=False, server_default="0"),
)

# Epochs that ended with a restore, and up to which sequence the site's feed in each is the one that
# this record holds. What came after it in that epoch is lost.
earlier_epochs = Table(
    "earlier_epochs",
    metadata,
    Column("site", String, primary_key=True),
    Column("epoch", String, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
)

zones = Table(
    "zones",
    metadata,
    Column("site", String, primary_key=True),
    Column("code", String, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("name", JSON, nullable=False),
    Column("note", JSON),
)

lots = Table(
    "lots",
    metadata,
    Column("site", String, primary_key=True),
    Column("code", String, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("zone", String),
    Column("area", Text),
)

codes = Table(
    "codes",
    metadata,
    Column("site", String, primary_key=True),
    Column("code", String, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("title", JSON, nullable=False),
    Column("instruments", JSON, nullable=False),
    Column("article", Text),
    Column("amounts", JSON, nullable=False),
    Column("photos_required", JSON, nullable=False),
    Column("active", Boolean, nullable=False),
)

patrollers = Table(
    "patrollers",
    metadata,
    Column("site", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("badge", String, nullable=False),
    Column("name", Text, nullable=False),
    Column("pin_hash", Text, nullable=False),
    Index("ix_patrollers_badge", "site", "badge", unique=True),
)

hotlist = Table(
    "hotlist",
    metadata,
    Column("site", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("plate", String, nullable=False),
    Column("jurisdiction", String, nullable=False),
    Column("reason", Text, nullable=False),
    Column("priority", String, nullable=False),
    Column("instructions", Text),
    Column("expires_at", Instant),
)

# What the feed carries besides permits: each record once, at its latest sequence.
feed_entries = Table(
    "feed_entries",
    metadata,
    Column("site", String, primary_key=True),
    Column("kind", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("record", Text),
    Column("hash", Hash64),
    Index("ix_feed_entries_sequence", "site", "sequence", unique=True),
)

# Permits, in versions that are kept for years: a row is what was known of one from `sequence` until
# `superseded_at`, the sequence of the next (null: still). `removed`: the retention job took it out
# of the feed; its facts stay. `base` is the pusher's id, shared with the plates it had before
# (`<id>~1`, …). `given_ends_at` is the pusher's, `ends_at` what came of it.
# `reconciled`: it was cancelled because its source's list of all permits lacked it.
permit_versions = Table(
    "permit_versions",
    metadata,
    Column("site", String, primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("id", String, nullable=False),
    Column("base", String, nullable=False),
    Column("superseded_at", BigInteger),
    Column("removed", Boolean, nullable=False),
    Column("source", String, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    Column("plate", String, nullable=False),
    Column("jurisdiction", String, nullable=False),
    Column("fold", String, nullable=False),
    Column("plate_raw", Text, nullable=False),
    Column("zones", Text, nullable=False),
    Column("permit_number", String, nullable=False),
    Column("valid_from", Date, nullable=False),
    Column("valid_until", Date),
    Column("confirmed_at", Instant),
    Column("given_ends_at", Instant),
    Column("status", String, nullable=False),
    Column("make", Text),
    Column("model", Text),
    Column("year", Integer),
    Column("colour", Text),
    Column("starts_at", Instant, nullable=False),
    Column("ends_at", Instant),
    Column("active_from", Instant, nullable=False),
    Column("cancelled_at", Instant),
    Column("hash", Hash64, nullable=False),
    Column("reconciled", Boolean, nullable=False, server_default=false()),
)
_current = permit_versions.c.superseded_at.is_(None)
Index(
    "ix_permit_versions_current",
    permit_versions.c.site,
    permit_versions.c.id,
    unique=True,
    sqlite_where=_current,
    postgresql_where=_current,
)
Index(
    "ix_permit_versions_fold",
    permit_versions.c.site,
    permit_versions.c.fold,
)
Index("ix_permit_versions_history", permit_versions.c.site, permit_versions.c.base)
Index(
    "ix_permit_versions_number",
    permit_versions.c.site,
    permit_versions.c.permit_number,
    sqlite_where=_current,
    postgresql_where=_current,
)

keys = Table(
    "keys",
    metadata,
    Column("id", String, primary_key=True),
    Column("hash", String, nullable=False, unique=True),
    Column("role", String, nullable=False),
    Column("name", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("sites", JSON),
    Column("created_at", Instant, nullable=False),
    Column("revoked_at", Instant),
)

# Who works at the console. `sites`: null is all. `badge`: a patroller's, if they patrol too.
accounts = Table(
    "accounts",
    metadata,
    Column("id", String, primary_key=True),
    Column("email", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("role", String, nullable=False),
    Column("sites", JSON),
    Column("badge", Text),
    Column("sees_subscribers", Boolean, nullable=False),
    Column("language", String, nullable=False),
    Column("password_hash", Text),
    Column("created_at", Instant, nullable=False),
    Column("revoked_at", Instant),
    Index("ix_accounts_email", "email", unique=True),
)

# Links that give a password, once; their secret is kept hashed.
account_links = Table(
    "account_links",
    metadata,
    Column("hash", String, primary_key=True),
    Column("account", String, nullable=False),
    Column("purpose", String, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Index("ix_account_links_account", "account"),
)

# Browsers that somebody is signed in on; the cookie's secret is kept hashed.
sessions = Table(
    "sessions",
    metadata,
    Column("hash", String, primary_key=True),
    Column("id", String, nullable=False),
    Column("account", String, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("address", Text, nullable=False),
    Column("browser", Text, nullable=False),
    Index("ix_sessions_id", "id", unique=True),
    Index("ix_sessions_account", "account", "seen_at"),
)

# Wrong passwords in a row, by the hash of the address that was typed.
sign_in_failures = Table(
    "sign_in_failures",
    metadata,
    Column("hash", String, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("last_at", Instant, nullable=False),
    Column("locked_until", Instant, nullable=False),
)

devices = Table(
    "devices",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", Text, nullable=False),
    Column("sites", JSON, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("enrolment_hash", String, unique=True),
    Column("enrolment_expires_at", Instant),
    Column("install_id", Text),
    Column("enrolled_at", Instant),
    Column("token_hash", String, unique=True),
    Column("revoked_at", Instant),
    Column("last_seen_at", Instant),
    Column("app_version", Text),
    Column("unsent", Integer),
    Column("clock_offset_ms", BigInteger),
    Column("battery_percent", Integer),
    # A token that is being replaced is good until the new one has been used.
    Column("next_token_hash", String),
    # How often a replica differed from the record and was fetched anew, and the last time.
    Column("mismatches", Integer, nullable=False, server_default="0"),
    Column("mismatched_at", Instant),
    # Numbers that the device has left to print, and how many plates it held at its last contact.
    Column("numbers_left", Integer),
    Column("plates_held", Integer),
    Index("ix_devices_next_token_hash", "next_token_hash", unique=True),
)

device_cursors = Table(
    "device_cursors",
    metadata,
    Column("device", String, primary_key=True),
    Column("site", String, primary_key=True),
    Column("cursor", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("at", Instant, nullable=False),
    # How many plates a copy at this cursor holds; null: not counted yet.
    Column("plates_held", Integer),
)

# What patrollers recorded. `decided_at` is null as long as it is judged again when a permit of
# its plate changes. `told_at`: since when the feed tells handhelds of it (a `notice` record); null
# when it does not, or no longer. `attention`: the reasons why a supervisor should see it, the
# weightiest first, and `review_rank` its place among them; null once it is decided. `fold`: what
# look-alike plates have in common. `day`: the local date at the site, as it was when this came, on
# which it was observed: the one that it counts under, whatever becomes of the site's time zone.
infractions = Table(
    "infractions",
    metadata,
    Column("site", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("received_at", Instant, nullable=False),
    Column("state", String, nullable=False),
    Column("device", String, nullable=False),
    Column("after_revocation", Boolean, nullable=False),
    Column("patroller", Text, nullable=False),
    Column("shift", Text),
    Column("zone", Text, nullable=False),
    Column("lot", Text),
    Column("place", Text),
    Column("lat", Float),
    Column("lon", Float),
    Column("accuracy_m", Float),
    Column("plate", String),
    Column("jurisdiction", String),
    Column("plate_raw", Text, nullable=False),
    Column("plate_source", String, nullable=False),
    Column("plate_missing_reason", Text),
    Column("vehicle", JSON),
    Column("outcome", String, nullable=False),
    Column("no_issue_reason", Text),
    Column("number", Text),
    Column("observed_at", Instant, nullable=False),
    Column("device_time", Instant, nullable=False),
    Column("clock_offset_ms", BigInteger, nullable=False),
    Column("clock_uncertainty_ms", BigInteger),
    Column("clock_jumped", Boolean),
    Column("verdict", String),
    Column("epoch", Text, nullable=False),
    Column("cursor", Text, nullable=False),
    Column("known", JSON, nullable=False),
    Column("note", Text),
    Column("content_hash", String, nullable=False),
    Column("warnings", JSON, nullable=False),
    # What the service makes of the device's cursor: null when that can't be reconstructed.
    Column("cursor_verdict", String),
    Column("recheck_verdict", String),
    Column("differs", Boolean, nullable=False),
    Column("rechecked_at", Instant),
    Column("decision_reason", Text),
    Column("decided_at", Instant),
    Column("told_at", Instant),
    Column("fold", String),
    Column("attention", JSON, nullable=False, server_default="[]"),
    Column("review_rank", Integer),
    Column("day", Date, nullable=False, server_default="1970-01-01"),
    Index("ix_infractions_id", "id", unique=True),
    Index("ix_infractions_observed", "site", "observed_at", "id"),
    Index("ix_infractions_received", "site", "received_at", "id"),
    Index("ix_infractions_plate", "site", "plate", "observed_at", "id"),
    # What the log is filtered by, in the order in which it is read.
    Index("ix_infractions_fold", "site", "fold", "received_at", "id"),
    Index("ix_infractions_number", "site", "number", "received_at", "id"),
    Index("ix_infractions_device", "site", "device", "received_at", "id"),
    Index("ix_infractions_patroller", "site", "patroller", "received_at", "id"),
    Index("ix_infractions_lot", "site", "lot", "received_at", "id"),
    Index("ix_infractions_state", "site", "state", "received_at", "id"),
    Index("ix_infractions_zone", "site", "zone", "received_at", "id"),
    Index("ix_infractions_outcome", "site", "outcome", "received_at", "id"),
)
_undecided = infractions.c.decided_at.is_(None)
Index(
    "ix_infractions_undecided",
    infractions.c.site,
    infractions.c.plate,
    infractions.c.jurisdiction,
    sqlite_where=_undecided,
    postgresql_where=_undecided,
)
_asked = infractions.c.state == literal_column("'information_requested'")
Index(
    "ix_infractions_asked",
    infractions.c.site,
    infractions.c.device,
    sqlite_where=_asked,
    postgresql_where=_asked,
)
_told = infractions.c.told_at.is_not(None)
Index(
    "ix_infractions_told",
    infractions.c.site,
    infractions.c.observed_at,
    sqlite_where=_told,
    postgresql_where=_told,
)

_differs = infractions.c.differs.is_(True)
Index(
    "ix_infractions_differs",
    infractions.c.site,
    infractions.c.received_at,
    infractions.c.id,
    sqlite_where=_differs,
    postgresql_where=_differs,
)
_waits = infractions.c.review_rank.is_not(None)
Index(
    "ix_infractions_waiting",
    infractions.c.site,
    infractions.c.review_rank,
    infractions.c.received_at,
    infractions.c.id,
    sqlite_where=_waits,
    postgresql_where=_waits,
)
# Received long after the observation, or before it: the two instants of any other lie so close
# that a range of the one tells a range of the other.
USUAL_DELAY_S = (-300, 604_800)
DELAYED: ColumnElement[bool] = literal_column(
    f"received_at - observed_at NOT BETWEEN {USUAL_DELAY_S[0]} AND {USUAL_DELAY_S[1]}"
)
Index(
    "ix_infractions_delayed",
    infractions.c.site,
    infractions.c.received_at,
    infractions.c.id,
    sqlite_where=DELAYED,
    postgresql_where=DELAYED,
)

# `received_at` is the infraction's.
infraction_codes = Table(
    "infraction_codes",
    metadata,
    Column("site", String, primary_key=True),
    Column("infraction", String, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("code", Text, nullable=False),
    Column("received_at", Instant, nullable=False, server_default="0"),
    Index("ix_infraction_codes_code", "site", "code", "received_at", "infraction"),
)

infraction_photos = Table(
    "infraction_photos",
    metadata,
    Column("site", String, primary_key=True),
    Column("infraction", String, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("sha256", String, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("taken_at", Instant, nullable=False),
    Column("shows", String),
    Index("ix_infraction_photos_sha256", "sha256"),
)

# What was decided of an infraction; a decision is undone by another one.
reviews = Table(
    "reviews",
    metadata,
    Column("site", String, primary_key=True),
    Column("infraction", String, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("by", Text, nullable=False),
    Column("by_name", Text, nullable=False),
    Column("decision", String, nullable=False),
    Column("reason", Text),
    Column("note", Text),
    Column("state_before", String, nullable=False),
    Column("state", String, nullable=False),
    Column("acknowledged_differs", Boolean, nullable=False),
)

# What an infraction was corrected by: it stays as it was issued, another one takes its place.
infraction_corrections = Table(
    "infraction_corrections",
    metadata,
    Column("site", String, primary_key=True),
    Column("infraction", String, primary_key=True),
    Column("correction", String, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("by", Text, nullable=False),
    Column("by_name", Text, nullable=False),
    Index("ix_infraction_corrections_correction", "site", "correction"),
)

photos = Table(
    "photos",
    metadata,
    Column("sha256", String, primary_key=True),
    Column("media_type", String, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("device", String, nullable=False),
    # Where it is false an infraction may name it all the same: one that came at the same moment.
    Column("is_named", Boolean, nullable=False, server_default=false()),
    Index("ix_photos_device", "device", "received_at", "bytes"),
)
_unnamed = photos.c.is_named.is_(False)
Index(
    "ix_photos_unnamed",
    photos.c.device,
    sqlite_where=_unnamed,
    postgresql_where=_unnamed,
)

# The next number of a site's notices that was given to nobody.
number_series = Table(
    "number_series",
    metadata,
    Column("site", String, primary_key=True),
    Column("next", BigInteger, nullable=False),
)

# Numbers `first` to `last` are one device's, for good.
number_blocks = Table(
    "number_blocks",
    metadata,
    Column("site", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("device", String, nullable=False),
    Column("prefix", Text, nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("given_at", Instant, nullable=False),
    Index("ix_number_blocks_first", "site", "first", unique=True),
)

# What a patrol leaves behind besides infractions, each as it was sent. `subject`: what it is about,
# such as `infraction:<id>`. `shared_permit`: the number of the permit of a plate that was checked,
# if more plates had it when the check was received.
events = Table(
    "events",
    metadata,
    Column("site", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("at", Instant, nullable=False),
    Column("device", String, nullable=False),
    Column("after_revocation", Boolean, nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("facts", JSON, nullable=False),
    Column("content_hash", String, nullable=False),
    Column("subject", Text),
    Column("shared_permit", Text),
    Index("ix_events_id", "id", unique=True),
    Index("ix_events_at", "site", "at", "id"),
    Index("ix_events_kind", "site", "kind", "at", "id"),
)
_has_subject = events.c.subject.is_not(None)
Index(
    "ix_events_subject",
    events.c.site,
    events.c.subject,
    sqlite_where=_has_subject,
    postgresql_where=_has_subject,
)
_is_shared = events.c.shared_permit.is_not(None)
Index(
    "ix_events_shared_permit",
    events.c.site,
    events.c.at,
    events.c.id,
    sqlite_where=_is_shared,
    postgresql_where=_is_shared,
)

# Counted as it happens (figures/counting.py), so that no figure reads what it counts. Numbers of
# infractions of a day by each dimension of them: `all` (whose value is empty), zone, lot, code,
# patroller; an empty value: none was told. What was recorded is counted by outcome, and of all of
# it what is undecided and what is voided, by the reason: those of DOMAIN 5, and any other.
VOIDED_FOR = (
    "permit_valid_at_the_time",
    "replacement_under_way",
    "misread_plate",
    "stale_replica",
    "deficient_signs",
    "emergency",
    "duplicate",
    "wrong_code",
    "other",
)
infraction_tallies = Table(
    "infraction_tallies",
    metadata,
    Column("site", String, primary_key=True),
    Column("dimension", String, primary_key=True),
    Column("value", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("notices", Integer, nullable=False),
    Column("warnings", Integer, nullable=False),
    Column("no_issues", Integer, nullable=False),
    Column("undecided", Integer, nullable=False),
    *(Column(f"voided_{reason}", Integer, nullable=False) for reason in VOIDED_FOR),
    sqlite_with_rowid=False,
)

# Checks of a day by what came of them; an empty verdict: none was told.
check_tallies = Table(
    "check_tallies",
    metadata,
    Column("site", String, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("verdict", String, primary_key=True),
    Column("count", Integer, nullable=False),
    sqlite_with_rowid=False,
)

# Where patrols were on a day: checks by the part of the day, infractions, and the last of them.
# `kind`: zone or lot; an empty place: none was told.
visits = Table(
    "visits",
    metadata,
    Column("site", String, primary_key=True),
    Column("kind", String, primary_key=True),
    Column("place", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("night", Integer, nullable=False),
    Column("morning", Integer, nullable=False),
    Column("afternoon", Integer, nullable=False),
    Column("evening", Integer, nullable=False),
    Column("infractions", Integer, nullable=False),
    Column("last_at", Instant, nullable=False),
    sqlite_with_rowid=False,
)

# How often a device caught up on a day, by the age of the oldest change of a permit that it had
# waited for: `band` is a place in figures/core.py's AGES.
catch_up_tallies = Table(
    "catch_up_tallies",
    metadata,
    Column("site", String, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("band", Integer, primary_key=True, autoincrement=False),
    Column("count", Integer, nullable=False),
    sqlite_with_rowid=False,
)

# The last check of a device.
_is_check = events.c.kind == literal_column("'check'")
Index(
    "ix_events_checks",
    events.c.site,
    events.c.device,
    events.c.at,
    sqlite_where=_is_check,
    postgresql_where=_is_check,
)

# Which of the staff looked a plate up, and what for (DOMAIN 6). `zone`, `verdict`: where it was
# judged, and how; null: nowhere. What patrollers look up are events.
lookups = Table(
    "lookups",
    metadata,
    Column("site", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("by", Text, nullable=False),
    Column("by_name", Text, nullable=False),
    Column("plate", String, nullable=False),
    Column("jurisdiction", String, nullable=False),
    Column("zone", String),
    Column("verdict", String),
    Column("purpose", Text, nullable=False),
    Index("ix_lookups_plate", "site", "plate", "at", "id"),
)

# What a supervisor has set for the patrols of a site; a site without a row has the defaults.
patrol_settings = Table(
    "patrol_settings",
    metadata,
    Column("site", String, primary_key=True),
    Column("facts", JSON, nullable=False),
)

# What supervisors tell patrols. `device`, `patroller`: whom; null: all.
patrol_messages = Table(
    "patrol_messages",
    metadata,
    Column("site", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("content_hash", String, nullable=False),
    Column("at", Instant, nullable=False),
    Column("by", Text, nullable=False),
    Column("by_name", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("device", String),
    Column("patroller", String),
    Column("expires_at", Instant, nullable=False),
    Index("ix_patrol_messages_at", "site", "at", "id"),
    Index("ix_patrol_messages_expires", "site", "expires_at"),
)

# The append-only log: chains of entries, one of each site and one (empty `chain`) of the
# installation, so that no lock is wider than a site's. `entry` is the text that was hashed.
audit_heads = Table(
    "audit_heads",
    metadata,
    Column("chain", String, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("hash", String, nullable=False),
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("chain", String, primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("subject", Text, nullable=False),
    Column("entry", Text, nullable=False),
    Column("hash", String, nullable=False),
    Index("ix_audit_log_subject", "chain", "subject", "number"),
)

# The subscription core. What is personal lies in `holders`, `messages`, `letters`, in answers of
# `requests` and in the facts of `contracts`; erasing a person empties those.

categories = Table(
    "categories",
    metadata,
    Column("site", String, primary_key=True),
    Column("code", String, primary_key=True),
    Column("name", JSON, nullable=False),
    Column("active", Boolean, nullable=False),
)

products = Table(
    "products",
    metadata,
    Column("site", String, primary_key=True),
    Column("code", String, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("name", JSON, nullable=False),
    Column("category", String, nullable=False),
    Column("price_cents", BigInteger, nullable=False),
    Column("billing_period", String, nullable=False),
    Column("zones", Text, nullable=False),
    Column("notice", JSON),
    Column("questions", JSON, nullable=False),
    Column("proof_required", Boolean, nullable=False),
    Column("max_vehicles", Integer, nullable=False),
    Column("grace_days", Integer, nullable=False),
    Column("active", Boolean, nullable=False),
)

# `erased_at`: everything personal is gone; the row stays, since subscriptions name it.
holders = Table(
    "holders",
    metadata,
    Column("site", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("email", Text, nullable=False),
    Column("email_confirmed_at", Instant),
    Column("language", String, nullable=False),
    Column("gender", Text),
    Column("first_name", Text, nullable=False),
    Column("last_name", Text, nullable=False),
    Column("line1", Text),
    Column("apartment", Text),
    Column("line2", Text),
    Column("city", Text),
    Column("province", Text),
    Column("postal_code", Text),
    Column("mobile", Text),
    Column("home", Text),
    Column("home_extension", Text),
    Column("work", Text),
    Column("work_extension", Text),
    Column("created_at", Instant, nullable=False),
    Column("erased_at", Instant),
    Index("ix_holders_id", "id", unique=True),
    Index("ix_holders_email", "site", "email"),
    Index("ix_holders_name", "site", "last_name", "first_name", "id"),
)

# Links in letters that prove an address; their secret is kept hashed.
confirmations = Table(
    "confirmations",
    metadata,
    Column("hash", String, primary_key=True),
    Column("site", String, nullable=False),
    Column("holder", String, nullable=False),
    Column("email", Text, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("used_at", Instant),
    Index("ix_confirmations_holder", "site", "holder"),
)

# The next contract number of a site that was given to nobody.
contract_series = Table(
    "contract_series",
    metadata,
    Column("site", String, primary_key=True),
    Column("next", BigInteger, nullable=False),
)

# `decision`: requested, approved, refused or withdrawn. What a subscription is now follows from the
# instants: `active_from` (not before its start), `ends_at` (the earlier of its last day's end and
# its cancellation, `cancelled_at`), and from whether it is suspended.
subscriptions = Table(
    "subscriptions",
    metadata,
    Column("site", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("number", String, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("holder", String, nullable=False),
    Column("product", String, nullable=False),
    Column("decision", String, nullable=False),
    Column("requested_at", Instant, nullable=False),
    Column("decided_at", Instant),
    Column("starts_on", Date, nullable=False),
    Column("ends_on", Date),
    Column("active_from", Instant),
    Column("ends_at", Instant),
    Column("cancelled_at", Instant),
    Column("suspended_at", Instant),
    # Why it is suspended: "staff" or "payment".
    Column("suspended_for", String),
    Column("payment_method", String),
    Column("payment_token", Text),
    Column("card_brand", Text),
    Column("card_last4", String),
    Column("card_expiry", String),
    Column("cheque", String),
    Index("ix_subscriptions_id", "id", unique=True),
    Index("ix_subscriptions_number", "site", "number", unique=True),
    Index("ix_subscriptions_holder", "site", "holder", "number"),
    Index("ix_subscriptions_decision", "site", "decision", "number"),
    Index("ix_subscriptions_product", "site", "product", "number"),
)

# `position` is the end of its permit's id, `permit_version` the version that was last pushed (null:
# none yet). `confirmed_at`: the later of the approval and this plate's last change (DOMAIN 2.2).
vehicles = Table(
    "vehicles",
    metadata,
    Column("site", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("subscription", String, nullable=False),
    Column("position", Integer, nullable=False),
    Column("plate", String, nullable=False),
    Column("jurisdiction", String, nullable=False),
    Column("plate_raw", Text, nullable=False),
    Column("make", Text),
    Column("model", Text),
    Column("year", Integer),
    Column("colour", Text),
    Column("added_at", Instant, nullable=False),
    Column("confirmed_at", Instant),
    Column("deleted_at", Instant),
    Column("permit_version", BigInteger),
    Index("ix_vehicles_id", "id", unique=True),
    Index("ix_vehicles_subscription", "site", "subscription", "position", unique=True),
    Index("ix_vehicles_plate", "site", "plate", "jurisdiction"),
)

# `wanted`: what a change of category or a cancellation asks for. The request for a subscription has
# the subscription's id.
requests = Table(
    "requests",
    metadata,
    Column("site", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("subscription", String, nullable=False),
    Column("state", String, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("submitted_at", Instant, nullable=False),
    Column("content_hash", String, nullable=False),
    Column("wanted", JSON, nullable=False),
    Column("answers", JSON, nullable=False),
    Column("consents", JSON, nullable=False),
    Column("message", Text),
    Column("attachments", JSON, nullable=False),
    Column("decided_at", Instant),
    Column("decided_by", Text),
    Column("reason", Text),
    Index("ix_requests_id", "id", unique=True),
    Index("ix_requests_subscription", "site", "subscription", "submitted_at"),
    Index("ix_requests_state", "site", "state", "submitted_at", "id"),
    Index("ix_requests_submitted", "site", "submitted_at", "id"),
)

# What was done to a subscription or a holder, and by which of the client's actions: an action that
# comes again is answered and not done again.
subscription_events = Table(
    "subscription_events",
    metadata,
    Column("site", String, primary_key=True),
    Column("subject", String, primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("action_id", String),
    Column("content_hash", String),
    Column("at", Instant, nullable=False),
    Column("by", Text, nullable=False),
    Column("action", String, nullable=False),
    Column("reason", Text),
    Column("facts", JSON, nullable=False),
    Index("ix_subscription_events_action_id", "action_id", unique=True),
)

# Files beside the record, by the SHA-256 of what is kept; `given_sha256` is that of what was sent.
# `subject` is what it was handed in with: `request:<id>`, `message:<id>`, `subscription:<id>`.
attachments = Table(
    "attachments",
    metadata,
    Column("site", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("purpose", String, nullable=False),
    Column("name", Text, nullable=False),
    Column("given_sha256", String, nullable=False),
    Column("sha256", String, nullable=False),
    Column("media_type", String, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("is_encrypted", Boolean, nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("received_by", Text, nullable=False),
    Column("subject", String),
    Column("removed_at", Instant),
    Index("ix_attachments_id", "id", unique=True),
    Index("ix_attachments_sha256", "sha256"),
    Index("ix_attachments_subject", "site", "subject"),
)

messages = Table(
    "messages",
    metadata,
    Column("site", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("subscription", String, nullable=False),
    Column("sender", String, nullable=False),
    Column("at", Instant, nullable=False),
    Column("subject", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("attachments", JSON, nullable=False),
    Column("content_hash", String, nullable=False),
    Index("ix_messages_id", "id", unique=True),
    Index("ix_messages_subscription", "site", "subscription", "at", "id"),
)

# What the contract said when it was made; its PDF is made from these facts, the same each time.
contracts = Table(
    "contracts",
    metadata,
    Column("site", String, primary_key=True),
    Column("subscription", String, primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("made_at", Instant, nullable=False),
    Column("facts", JSON, nullable=False),
)

# Letters on their way. `key` says what one is about, so that it is written once; `message_id` is
# the same at each try. `claimed_until`: somebody is sending it until then.
letters = Table(
    "letters",
    metadata,
    Column("site", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("key", String, nullable=False),
    Column("holder", String, nullable=False),
    Column("subscription", String),
    Column("kind", String, nullable=False),
    Column("language", String, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("facts", JSON, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("state", String, nullable=False),
    Column("queued_at", Instant, nullable=False),
    Column("next_try_at", Instant, nullable=False),
    Column("claimed_until", Instant),
    Column("attempts", Integer, nullable=False),
    Column("error", Text),
    Column("sent_at", Instant),
    Index("ix_letters_key", "site", "key", unique=True),
    Index("ix_letters_holder", "site", "holder", "queued_at"),
    Index("ix_letters_subscription", "site", "subscription", "queued_at"),
)
_queued = letters.c.state == "queued"
Index(
    "ix_letters_queued",
    letters.c.next_try_at,
    sqlite_where=_queued,
    postgresql_where=_queued,
)
_failed = letters.c.state == "failed"
Index("ix_letters_failed", letters.c.site, sqlite_where=_failed, postgresql_where=_failed)

# What is to be paid. The same `order` is asked for until its outcome is known, so that a charge
# whose answer was lost is found again and not made twice; a new try has a new one. `asked_at`: when
# it was first asked for, while its outcome is not known.
payments = Table(
    "payments",
    metadata,
    Column("site", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("subscription", String, nullable=False),
    Column("position", Integer, nullable=False),
    Column("kind", String, nullable=False),
    Column("method", String, nullable=False),
    Column("period_from", Date, nullable=False),
    Column("period_until", Date),
    Column("amount_cents", BigInteger, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("state", String, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("order", String, nullable=False),
    Column("asked_at", Instant),
    Column("charge", Text),
    Column("next_try_at", Instant),
    Column("claimed_until", Instant),
    Column("failed_since", Instant),
    Column("grace_until", Instant),
    Column("reason", Text),
    Column("settled_at", Instant),
    Column("refund", Text),
    Index("ix_payments_id", "id", unique=True),
    Index("ix_payments_order", "order"),
    Index("ix_payments_subscription", "site", "subscription", "position", unique=True),
)
_to_try = payments.c.next_try_at.is_not(None)
Index(
    "ix_payments_to_try",
    payments.c.next_try_at,
    sqlite_where=_to_try,
    postgresql_where=_to_try,
)

# Pages of the provider on which somebody gives a card; `completed_at`: its token is here.
payment_pages = Table(
    "payment_pages",
    metadata,
    Column("site", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("subscription", String, nullable=False),
    Column("content_hash", String, nullable=False),
    Column("ticket", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("opened_at", Instant, nullable=False),
    Column("completed_at", Instant),
    Index("ix_payment_pages_id", "id", unique=True),
    Index("ix_payment_pages_ticket", "ticket", unique=True),
    Index("ix_payment_pages_subscription", "site", "subscription"),
)

courtesy_permits = Table(
    "courtesy_permits",
    metadata,
    Column("site", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("number", String, nullable=False),
    Column("content_hash", String, nullable=False),
    Column("subscription", String),
    Column("plate", String, nullable=False),
    Column("jurisdiction", String, nullable=False),
    Column("plate_raw", Text, nullable=False),
    Column("zones", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("granted_at", Instant, nullable=False),
    Column("granted_by", Text, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("permit_version", BigInteger, nullable=False),
    Index("ix_courtesy_permits_id", "id", unique=True),
    Index("ix_courtesy_permits_granted", "site", "granted_at", "id"),
    Index("ix_courtesy_permits_plate", "site", "plate", "jurisdiction"),
)
