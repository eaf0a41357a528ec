"""Keys, on both engines."""

from datetime import timedelta

import pytest
from sqlalchemy import Connection

from enforcement_api.database.engine import Record
from enforcement_api.security import Principal, secret_hash
from enforcement_api.sites import store as sites
from enforcement_api.staff import keys
from sync.entities import Site
from tests.contracts.composed import START


def add_site(record: Record, id: str) -> None:
    site = Site(id, "CHUS", "", "America/Toronto", "CA-QC", "avis", 24, 90, None, (), None)
    record.write(lambda tx: sites.add(tx, record, site, at=START))


def holder(record: Record, secret: str) -> Principal | None:
    return record.read(lambda tx: keys.find(tx, secret_hash(secret)))


def test_key_lets_its_holder_in_until_it_is_revoked(record: Record) -> None:
    secret = record.write(lambda tx: keys.create(tx, role="feeder", name="SPAQ", at=START))
    [key] = record.read(keys.all_keys)
    assert holder(record, secret) == Principal(key.id, "feeder", "SPAQ", "SPAQ", None)
    record.write(lambda tx: keys.revoke(tx, key.id, at=START + timedelta(hours=1)))
    assert holder(record, secret) is None
    record.write(lambda tx: keys.revoke(tx, key.id, at=START + timedelta(hours=2)))
    [key] = record.read(keys.all_keys)
    assert key.revoked_at == START + timedelta(hours=1)


def test_secret_is_nowhere_in_the_record(record: Record) -> None:
    secret = record.write(lambda tx: keys.create(tx, role="admin", name="me", at=START))
    assert holder(record, secret + "x") is None
    rows = record.read(lambda tx: tx.exec_driver_sql("SELECT * FROM keys").all())
    assert secret not in str(rows)


def test_key_holds_at_its_sites_and_speaks_for_its_source(record: Record) -> None:
    for site in ("1085", "2000"):
        add_site(record, site)
    secret = record.write(
        lambda tx: keys.create(
            tx,
            role="reader",
            name="Kiosque d’accueil",
            source="SPAQ",
            sites=["2000", "1085", "2000"],
            at=START,
        )
    )
    found = holder(record, secret)
    assert found is not None
    assert found.source == "SPAQ"
    assert found.sites == frozenset({"1085", "2000"})
    assert record.read(keys.all_keys)[0].sites == ("1085", "2000")


def test_keys_are_listed_oldest_first(record: Record) -> None:
    def make(tx: Connection) -> None:
        for hour, name in ((2, "second"), (1, "first"), (3, "third")):
            keys.create(tx, role="admin", name=name, at=START + timedelta(hours=hour))

    record.write(make)
    assert [key.name for key in record.read(keys.all_keys)] == ["first", "second", "third"]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"role": "device"}, keys.UnknownRole),
        ({"role": "ADMIN"}, keys.UnknownRole),
        ({"name": ""}, keys.UnusableKeyName),
        ({"name": "a\0b"}, keys.UnusableKeyName),
        ({"name": "\udc80"}, keys.UnusableKeyName),
        ({"name": "a\nb"}, keys.UnusableKeyName),
        ({"name": "x" * 201}, keys.UnusableKeyName),
        ({"source": " "}, keys.UnusableKeyName),
    ],
)
def test_unusable_key_is_refused_with_a_sentence(
    wanted: dict[str, object], expected: type[keys.UnusableKey], record: Record
) -> None:
    whole = {"role": "admin", "name": "me", "at": START} | wanted
    with pytest.raises(expected) as refused:
        record.write(lambda tx: keys.create(tx, **whole))  # type: ignore[arg-type]
    assert refused.value.text("en").startswith("No such key can be made. ")
    assert record.read(keys.all_keys) == []


@pytest.mark.parametrize(
    ("sites", "told"),
    [
        (["1085", "nowhere"], "There is no site nowhere. Name one that there is (1085, 2000), or"),
        (["a\0"], "There is no site a\0. Name one that there is (1085, 2000), or"),
        ([], "No site is named. Name one at least, or choose all sites."),
    ],
)
def test_site_that_is_not_there_is_told_with_those_that_are(
    sites: list[str], told: str, record: Record
) -> None:
    for site in ("2000", "1085"):
        add_site(record, site)
    with pytest.raises((keys.UnknownSites, keys.NoSites)) as refused:
        record.write(lambda tx: keys.create(tx, role="admin", name="me", sites=sites, at=START))
    assert refused.value.text("en").startswith(told)
    assert record.read(keys.all_keys) == []


@pytest.mark.parametrize("id", ["nothing", "", "a\0"])
def test_revoking_no_key_is_refused(id: str, record: Record) -> None:
    with pytest.raises(keys.UnknownKey):
        record.write(lambda tx: keys.revoke(tx, id, at=START))


def test_source_of_the_service_itself_is_nobodys_key(record: Record) -> None:
    with pytest.raises(keys.ReservedSource, match="patrouille:subscriptions"):
        record.write(
            lambda tx: keys.create(
                tx, role="feeder", name="x", source="patrouille:subscriptions", at=START
            )
        )
    assert record.read(keys.all_keys) == []
