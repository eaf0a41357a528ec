"""A permit as it is answered: as it stands, with every version of it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from enforcement_api.permits import store
from enforcement_api.permits.core import StoredPermit
from enforcement_api.sites import store as sites
from sync import codec


def whole(tx: Connection, site: str, id: str) -> dict[str, Any]:
    """A permit's history, the oldest version first, each with its sequence number.

    Raises UnknownSite, UnknownPermit.
    """
    sites.site(tx, site)
    versions = store.history(tx, site, id)
    newest = versions[-1][1]
    return {
        **codec.permit_record(newest.permit),
        "site": site,
        "source": newest.source,
        "version": newest.version,
        "removed": newest.removed,
        "versions": [_version_json(sequence, version) for sequence, version in versions],
    }


def _version_json(sequence: int, permit: StoredPermit) -> dict[str, Any]:
    facts, vehicle = permit.facts, permit.facts.vehicle
    given = {
        "make": vehicle.make,
        "model": vehicle.model,
        "year": vehicle.year,
        "colour": vehicle.colour,
    }
    return {
        "sequence": sequence,
        "version": permit.version,
        "source": permit.source,
        "recorded_at": codec.instant(permit.recorded_at),
        "removed": permit.removed,
        "plate_raw": permit.plate_raw,
        "valid_from": facts.valid_from.isoformat(),
        "valid_until": facts.valid_until and facts.valid_until.isoformat(),
        "confirmed_at": codec.optional_instant(facts.confirmed_at),
        "given_ends_at": codec.optional_instant(facts.ends_at),
        "given_vehicle": given,
        **codec.permit_record(permit.permit),
    }
