"""Accounts, passwords and sessions, on every engine."""

from __future__ import annotations

import html
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from enforcement_api.audit import store as audit
from enforcement_api.console.web import ROOT
from enforcement_api.database.tables import accounts
from enforcement_api.problems import Invalid
from enforcement_api.rates import TooManyRequests
from enforcement_api.staff import store
from enforcement_api.staff.core import (
    LOCKED_FROM,
    LONGEST_LOCK,
    Account,
    AccountExists,
    LastAdministrator,
    LimitedAdministrator,
    LinkExpired,
    PasswordTooPlain,
    PasswordTooShort,
    SignInFailed,
    SignInLocked,
    UnknownAccount,
    check_password,
    lock_after,
)
from enforcement_api.staff.entrance import Entered, Entrance
from enforcement_api.staff.keys import UnknownSites
from tests.enforcement_api.console.visiting import Visiting, visiting
from tests.service import Service

PASSWORD = "trois chats sur la neige"
OTHER = "quatre chiens dans le vent"


@pytest.fixture
def entrance(service: Service) -> Entrance:
    return Entrance(
        service.parts.record, now=service.clock, lasts=timedelta(hours=12), idle=timedelta(hours=1)
    )


def made(service: Service, email: str = "marie@example.org", **facts: Any) -> tuple[Account, str]:
    given = {"email": email, "role": "supervisor", "name": "Marie"} | facts
    return service.parts.record.write(lambda tx: store.create(tx, at=service.clock(), **given))


def with_password(service: Service, entrance: Entrance, **facts: Any) -> Account:
    _, link = made(service, **facts)
    return entrance.set_password(link, PASSWORD)


def enter(
    entrance: Entrance,
    password: str = PASSWORD,
    *,
    email: str = "marie@example.org",
    address: str = "192.0.2.7",
) -> Entered:
    return entrance.sign_in(email, password, address=address, browser="a browser")


def deeds(service: Service, account: Account) -> list[str]:
    entries = service.parts.record.read(lambda tx: audit.entries(tx, f"staff:{account.id}"))
    return [entry.action for entry in entries]


# Accounts


def test_account_has_no_password_until_its_link_is_used(
    service: Service, entrance: Entrance
) -> None:
    account, link = made(service)
    assert not account.has_password
    with pytest.raises(SignInFailed):
        enter(entrance)
    entrance.set_password(link, PASSWORD)
    assert enter(entrance).account.email == "marie@example.org"


def test_link_opens_once(service: Service, entrance: Entrance) -> None:
    _, link = made(service)
    entrance.set_password(link, PASSWORD)
    with pytest.raises(LinkExpired):
        entrance.set_password(link, OTHER)


def test_invitation_is_good_for_a_week(service: Service, entrance: Entrance) -> None:
    _, link = made(service)
    service.clock.advance(days=7)
    with pytest.raises(LinkExpired):
        entrance.set_password(link, PASSWORD)


def test_new_link_ends_the_one_before(service: Service, entrance: Entrance) -> None:
    account, first = made(service)
    second = service.parts.record.write(
        lambda tx: store.give_link(tx, account, "reset", by="command", at=service.clock())
    )
    with pytest.raises(LinkExpired):
        entrance.set_password(first, PASSWORD)
    entrance.set_password(second, PASSWORD)


@pytest.mark.parametrize("link", ["", "nothing", "é", "x" * 5000])
def test_link_that_was_never_given_opens_nothing(
    service: Service, entrance: Entrance, link: str
) -> None:
    with pytest.raises(LinkExpired):
        entrance.set_password(link, PASSWORD)


def test_address_has_one_account_however_it_is_written(service: Service) -> None:
    made(service, "Marie@Example.org")
    with pytest.raises(AccountExists):
        made(service, " marie@example.ORG ")


@pytest.mark.parametrize(
    ("facts", "pointer"),
    [
        ({"email": "marie"}, "/email"),
        ({"email": "a@b.c\nBcc: d@e.f"}, "/email"),
        ({"role": "king"}, "/role"),
        ({"name": "two\nlines"}, "/name"),
    ],
)
def test_unusable_account_is_refused_by_what_is_wrong(
    service: Service, facts: dict[str, str], pointer: str
) -> None:
    with pytest.raises(Invalid) as refused:
        made(service, **facts)
    assert [error.pointer for error in refused.value.errors] == [pointer]


def test_account_of_a_site_that_is_not_there_is_refused(service: Service) -> None:
    service.site("1085")
    with pytest.raises(UnknownSites, match=r"no site 2000\. .*\(1085\)"):
        made(service, sites=["1085", "2000"])


def test_supervisor_may_touch_their_sites_alone(service: Service) -> None:
    service.site("1085")
    service.site("2000")
    account, _ = made(service, sites=["1085"])
    assert account.principal.may_touch("1085")
    assert not account.principal.may_touch("2000")
    assert account.principal.actor == f"staff:{account.id}"


def test_administrator_has_all_sites(service: Service) -> None:
    service.site("1085")
    account, _ = made(service, role="administrator")
    assert account.sites is None
    with pytest.raises(LimitedAdministrator):
        made(service, "boss@example.org", role="administrator", sites=["1085"])
    limited, _ = made(service, "jean@example.org", sites=["1085"])

    def change(before: Account, **facts: Any) -> Account:
        after, at = replace(before, **facts), service.clock()
        return service.parts.record.write(
            lambda tx: store.change(tx, before, after, by="command", at=at)
        )

    for before, facts in (
        (account, {"sites": ("1085",)}),
        (account, {"sites": ()}),
        (limited, {"role": "administrator"}),
    ):
        with pytest.raises(LimitedAdministrator):
            change(before, **facts)
    assert change(limited, role="administrator", sites=None).principal.may_touch("2000")


def as_once(service: Service, account: Account) -> Account:
    """An administrator of one site alone, as one could be made once."""
    once = update(accounts).where(accounts.c.id == account.id)
    record = service.parts.record
    record.write(lambda tx: tx.execute(once.values(role="administrator", sites=["1085"])))
    return record.read(lambda tx: store.account(tx, account.id))


def test_administrator_of_one_site_is_a_supervisor_of_it_who_reads_subscribers(
    service: Service, entrance: Entrance
) -> None:
    account = as_once(service, with_password(service, entrance))
    assert (account.role, account.sites) == ("supervisor", ("1085",))
    assert account.may_see_subscribers
    assert not account.is_administrator
    assert enter(entrance).account == account
    # Nobody is left with them alone.
    boss = with_password(service, entrance, email="boss@example.org", role="administrator")
    record, at = service.parts.record, service.clock()
    with pytest.raises(LastAdministrator):
        record.write(lambda tx: store.revoke(tx, boss, by="command", at=at))


def test_administrator_of_one_site_is_given_what_the_page_showed(service: Service) -> None:
    account = as_once(service, made(service)[0])
    everywhere = replace(account, sites=None, sees_subscribers=False)
    record, at = service.parts.record, service.clock()
    record.write(lambda tx: store.change(tx, account, everywhere, by="staff:x", at=at))
    assert record.read(lambda tx: store.account(tx, account.id)) == everywhere


def test_last_administrator_stays(service: Service, entrance: Entrance) -> None:
    account, _ = made(service, role="administrator")
    with pytest.raises(LastAdministrator):
        service.parts.record.write(
            lambda tx: store.revoke(tx, account, by="command", at=service.clock())
        )
    lowered = replace(account, role="supervisor")
    with pytest.raises(LastAdministrator):
        service.parts.record.write(
            lambda tx: store.change(tx, account, lowered, by="command", at=service.clock())
        )


def test_administrator_who_never_chose_a_password_is_nobody_to_be_left_with(
    service: Service, entrance: Entrance
) -> None:
    anne = with_password(service, entrance, role="administrator")
    _, link = made(service, "boss@example.org", role="administrator")
    at = service.clock()
    with pytest.raises(LastAdministrator):
        service.parts.record.write(lambda tx: store.revoke(tx, anne, by="command", at=at))
    entrance.set_password(link, PASSWORD)
    service.parts.record.write(lambda tx: store.revoke(tx, anne, by="command", at=at))


def test_two_administrators_who_revoke_each_other_at_once_are_not_both_gone(
    service: Service, entrance: Entrance
) -> None:
    record = service.parts.record
    two = [
        with_password(service, entrance, email=email, role="administrator")
        for email in ("anne@example.org", "boss@example.org")
    ]
    both = threading.Barrier(2)

    def revoke(whom: Account) -> bool:
        both.wait(30)
        try:
            record.write(lambda tx: store.revoke(tx, whom, by="command", at=service.clock()))
        except LastAdministrator:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(revoke, two)) == [False, True]


def test_two_administrators_who_change_an_account_at_once_overwrite_nothing(
    service: Service,
) -> None:
    account, _ = made(service, sites=None)
    path = f"{ROOT}/staff/{account.id}"
    two = [
        visiting(service, email=email, role="administrator")
        for email in ("anne@example.org", "boss@example.org")
    ]
    (seen,) = re.findall(r'name="expected" value="([^"]*)"', two[0].page(path))
    both = threading.Barrier(2)
    kept = {"email": account.email, "role": "supervisor", "all_sites": "on"}

    def rename(who: Visiting) -> tuple[int, str]:
        both.wait(30)
        name = f"by {who.account.email}"
        return who.send(path, **kept, name=name, expected=html.unescape(seen)).status_code, name

    with ThreadPoolExecutor(2) as pool:
        (_, first), (refused, _) = sorted(pool.map(rename, two))
    assert refused == 422
    found = service.parts.record.read(lambda tx: store.account(tx, account.id))
    assert (found.name, deeds(service, account).count("changed")) == (first, 1)


def test_change_by_somebody_who_looked_earlier_lets_nobody_in_again(service: Service) -> None:
    account, _ = made(service)
    record, at = service.parts.record, service.clock()
    record.write(lambda tx: store.revoke(tx, account, by="command", at=at))
    renamed = replace(account, name="Marie Roy")
    record.write(lambda tx: store.change(tx, account, renamed, by="command", at=at))
    found = record.read(lambda tx: store.account(tx, account.id))
    assert (found.name, found.revoked_at) == ("Marie Roy", at)


def test_whoever_is_let_in_is_not_let_in_again(service: Service, entrance: Entrance) -> None:
    account = with_password(service, entrance)
    at = service.clock()
    link = service.parts.record.write(lambda tx: store.reinstate(tx, account, by="command", at=at))
    enter(entrance)
    entrance.set_password(link, OTHER)
    enter(entrance, OTHER)


def test_everything_done_to_an_account_is_in_the_log(service: Service, entrance: Entrance) -> None:
    made(service, "boss@example.org", role="administrator")
    account = with_password(service, entrance)
    enter(entrance)
    at = service.clock()
    renamed = replace(account, name="Marie T.")
    service.parts.record.write(lambda tx: store.change(tx, account, renamed, by="staff:x", at=at))
    service.parts.record.write(lambda tx: store.revoke(tx, account, by="staff:x", at=at))
    assert deeds(service, account) == [
        "created",
        "password-link-given",
        "password-set",
        "signed-in",
        "changed",
        "session-ended",
        "revoked",
    ]


def test_reinstated_account_needs_a_new_password(service: Service, entrance: Entrance) -> None:
    account = with_password(service, entrance)
    at = service.clock()
    service.parts.record.write(lambda tx: store.revoke(tx, account, by="command", at=at))
    with pytest.raises(SignInFailed):
        enter(entrance)
    link = service.parts.record.write(lambda tx: store.reinstate(tx, account, by="command", at=at))
    with pytest.raises(SignInFailed):
        enter(entrance)
    entrance.set_password(link, OTHER)
    enter(entrance, OTHER)


def test_unknown_account_is_told(service: Service) -> None:
    with pytest.raises(UnknownAccount):
        service.parts.record.read(lambda tx: store.account(tx, "nobody"))


# Passwords


@pytest.mark.parametrize("password", ["court", "onze lettre"])
def test_short_password_is_refused(password: str) -> None:
    with pytest.raises(PasswordTooShort):
        check_password(password, known=())


@pytest.mark.parametrize(
    "password",
    [
        "aaaaaaaaaaaaaaaa",
        "marie@example.org",
        "motdepasse1234",
        "123456789012",
        "marietremblay1",
    ],
)
def test_password_that_is_tried_first_is_refused(password: str) -> None:
    with pytest.raises(PasswordTooPlain):
        check_password(password, known=("marie@example.org", "Marie", "Tremblay"))


def test_lock_doubles_up_to_an_hour() -> None:
    minutes = [lock_after(n).total_seconds() / 60 for n in range(4, 12)]
    assert minutes == [0, 1, 2, 4, 8, 16, 32, 60]
    assert lock_after(10_000) == LONGEST_LOCK


def test_wrong_passwords_lock_the_address_even_for_the_right_one(
    service: Service, entrance: Entrance
) -> None:
    with_password(service, entrance)
    for _ in range(5):
        with pytest.raises(SignInFailed):
            enter(entrance, OTHER)
    with pytest.raises(SignInLocked) as locked:
        enter(entrance)
    assert 0 < locked.value.facts["retry_after"] <= 61  # type: ignore[operator]
    service.clock.advance(seconds=61)
    enter(entrance)


def test_many_passwords_at_once_are_counted_one_by_one(
    service: Service, entrance: Entrance
) -> None:
    record, at = service.parts.record, service.clock()
    all_at_once = threading.Barrier(8)

    def attempt(_: int) -> bool:
        all_at_once.wait(30)
        return record.write(lambda tx: store.attempt(record, tx, "m@example.org", at=at)) == 0

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(8))) == LOCKED_FROM


def test_new_password_that_is_too_short_is_no_wrong_one(
    service: Service, entrance: Entrance
) -> None:
    with_password(service, entrance)
    here = enter(entrance)
    for _ in range(6):
        with pytest.raises(PasswordTooShort):
            entrance.change_password(here.account, here.session, old=PASSWORD, password="court")
    entrance.change_password(here.account, here.session, old=PASSWORD, password=OTHER)


def test_right_password_forgives_the_wrong_ones(service: Service, entrance: Entrance) -> None:
    with_password(service, entrance)
    for _ in range(3):
        for _ in range(4):
            with pytest.raises(SignInFailed):
                enter(entrance, OTHER)
        enter(entrance)


def test_address_without_an_account_is_locked_alike(service: Service, entrance: Entrance) -> None:
    for _ in range(5):
        with pytest.raises(SignInFailed):
            enter(entrance, email="nobody@example.org")
    with pytest.raises(SignInLocked):
        enter(entrance, email="Nobody@example.org ")


def test_one_machine_cannot_try_many_addresses(service: Service, entrance: Entrance) -> None:
    for n in range(20):
        with pytest.raises(SignInFailed):
            enter(entrance, email=f"n{n}@example.org")
    with pytest.raises(TooManyRequests):
        enter(entrance, email="n20@example.org")
    with pytest.raises(SignInFailed):
        enter(entrance, email="n20@example.org", address="192.0.2.8")


def test_changed_password_ends_every_other_session(service: Service, entrance: Entrance) -> None:
    with_password(service, entrance)
    here, there = enter(entrance), enter(entrance)
    entrance.change_password(here.account, here.session, old=PASSWORD, password=OTHER)
    assert entrance.follow(here.secret) is not None
    assert entrance.follow(there.secret) is None
    with pytest.raises(SignInFailed):
        entrance.change_password(here.account, here.session, old=PASSWORD, password=PASSWORD)


# Sessions


def test_session_ends_when_it_is_left_alone(service: Service, entrance: Entrance) -> None:
    with_password(service, entrance)
    entered = enter(entrance)
    for _ in range(3):
        service.clock.advance(minutes=59)
        assert entrance.follow(entered.secret) is not None
    service.clock.advance(minutes=60)
    assert entrance.follow(entered.secret) is None


def test_session_ends_after_its_hours_however_much_it_is_used(
    service: Service, entrance: Entrance
) -> None:
    with_password(service, entrance)
    entered = enter(entrance)
    for _ in range(23):
        service.clock.advance(minutes=30)
        assert entrance.follow(entered.secret) is not None
    service.clock.advance(minutes=30)
    assert entrance.follow(entered.secret) is None


def test_session_can_be_ended_elsewhere(service: Service, entrance: Entrance) -> None:
    account = with_password(service, entrance)
    here, there = enter(entrance), enter(entrance)
    shown = service.parts.record.read(
        lambda tx: store.open_sessions(tx, account.id, at=service.clock(), idle=entrance.idle)
    )
    assert {one.id for one in shown} == {here.session.id, there.session.id}
    service.parts.record.write(
        lambda tx: store.end(tx, account.id, there.session.id, by="staff:x", at=service.clock())
    )
    assert entrance.follow(there.secret) is None
    assert entrance.follow(here.secret) is not None


def test_lowered_role_holds_in_the_middle_of_a_session(
    service: Service, entrance: Entrance
) -> None:
    with_password(service, entrance, email="boss@example.org", role="administrator")
    account = with_password(service, entrance, role="administrator")
    entered = enter(entrance)
    lowered = replace(account, role="supervisor")
    service.parts.record.write(
        lambda tx: store.change(tx, account, lowered, by="command", at=service.clock())
    )
    followed = entrance.follow(entered.secret)
    assert followed is not None
    assert followed[0].role == "supervisor"


def test_signing_out_ends_the_session(service: Service, entrance: Entrance) -> None:
    with_password(service, entrance)
    entered = enter(entrance)
    entrance.sign_out(entered.account, entered.session)
    assert entrance.follow(entered.secret) is None


@pytest.mark.parametrize("secret", ["", "nothing", "é\x00", "x" * 100_000])
def test_cookie_that_nobody_was_given_lets_nobody_in(
    service: Service, entrance: Entrance, secret: str
) -> None:
    assert entrance.follow(secret) is None


def test_what_is_kept_of_a_session_lets_nobody_in(service: Service, entrance: Entrance) -> None:
    with_password(service, entrance)
    entered = enter(entrance)
    tables = service.parts.record.read(
        lambda tx: tx.exec_driver_sql("SELECT hash FROM sessions").scalars().all()
    )
    assert entered.secret not in tables
    assert entrance.follow(tables[0]) is None


def test_old_sessions_and_links_are_forgotten(service: Service, entrance: Entrance) -> None:
    with_password(service, entrance)
    entered = enter(entrance)
    made(service, "jean@example.org")
    service.clock.advance(days=30)
    before = service.clock() - timedelta(days=7)
    assert service.parts.record.write(lambda tx: store.sweep(tx, before=before)) == 1
    assert entrance.follow(entered.secret) is None
