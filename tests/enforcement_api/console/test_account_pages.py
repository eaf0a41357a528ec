"""Signing in, sessions, forged forms and accounts, as a browser sees them."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from enforcement_api.console.web import COOKIE, TOKEN, is_inside
from enforcement_api.database.tables import accounts
from enforcement_api.staff import store
from tests.enforcement_api.console.visiting import Visiting, fields, visiting, words
from tests.service import ADDRESS, ENDS_WITHIN_S, Service, running

PASSWORD = "trois chats sur la neige"
PAGES = ["/console", "/console/account", "/console/staff", "/console/audit"]


@pytest.fixture
def browser(service: Service) -> httpx.Client:
    """Somebody who is not signed in."""
    client = httpx.Client(
        base_url=ADDRESS,
        transport=service.bridge,
        headers={"Accept": "text/html", "Accept-Language": "en"},
        timeout=ENDS_WITHIN_S,
    )
    service._clients.append(client)
    return client


def with_password(service: Service, email: str = "marie@example.org", **facts: Any) -> str:
    given = {"role": "supervisor", "sites": ["1085"], "language": "en"} | facts
    _, link = service.parts.record.write(
        lambda tx: store.create(tx, email=email, at=service.clock(), **given)
    )
    service.parts.entrance.set_password(link, PASSWORD)
    return email


def sign_in(browser: httpx.Client, email: str, **fields: str) -> httpx.Response:
    form = {"email": email, "password": PASSWORD} | fields
    return browser.post("/console/sign-in", data=form)


# Signing in


@pytest.mark.parametrize("path", PAGES)
def test_page_asks_who_is_there(browser: httpx.Client, path: str) -> None:
    answer = browser.get(path)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/console/sign-in")


def test_signing_in_leads_where_one_was_going(service: Service, browser: httpx.Client) -> None:
    with_password(service)
    answer = browser.get("/console/account")
    page = browser.get(answer.headers["location"])
    answer = sign_in(browser, "marie@example.org", next=fields(page.text)["next"])
    assert answer.headers["location"] == "/console/account"
    assert "Where you are signed in" in words(browser.get("/console/account").text)


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/console/",
        "//evil.example/console",
        "/\\evil.example",
        "/console/..\\..\\x",
        "/v1/devices",
        "javascript:alert(1)",
        "/console\n/x",
    ],
)
def test_signing_in_never_leads_outside(
    service: Service, browser: httpx.Client, target: str
) -> None:
    assert not is_inside(target)
    with_password(service)
    assert sign_in(browser, "marie@example.org", next=target).headers["location"] == "/console"


def test_wrong_password_is_told_and_the_address_kept(
    service: Service, browser: httpx.Client
) -> None:
    with_password(service)
    answer = sign_in(browser, "marie@example.org", password="wrong")
    assert answer.status_code == 403
    assert "do not go together" in words(answer.text)
    assert 'value="marie@example.org"' in answer.text
    assert "wrong" not in answer.text.replace("Wrong", "")


def test_too_many_wrong_passwords_are_told_with_the_wait(
    service: Service, browser: httpx.Client
) -> None:
    with_password(service)
    for _ in range(5):
        sign_in(browser, "marie@example.org", password="wrong")
    answer = sign_in(browser, "marie@example.org")
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 61


def test_cookie_is_for_the_console_alone_and_no_script(
    service: Service, browser: httpx.Client
) -> None:
    with_password(service)
    cookie = sign_in(browser, "marie@example.org").headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "Path=/console" in cookie
    assert "SameSite=lax" in cookie
    assert "Secure" not in cookie  # over plain HTTP, to this machine alone


def test_cookie_of_a_secure_page_is_secure(service: Service, browser: httpx.Client) -> None:
    with_password(service)
    form = {"email": "marie@example.org", "password": PASSWORD}
    answer = browser.post("https://localhost/console/sign-in", data=form)
    assert "Secure" in answer.headers["set-cookie"]


def test_cookie_is_secure_behind_what_speaks_tls_for_the_service(tmp_path: Any) -> None:
    with running(tmp_path, public_url="https://parking.example.org") as service:
        service.site("1085")
        with_password(service)
        form = {"email": "marie@example.org", "password": PASSWORD}
        for host, is_secure in (("parking.example.org", True), ("localhost", False)):
            answer = service.client(None).post(f"http://{host}/console/sign-in", data=form)
            assert ("Secure" in answer.headers["set-cookie"]) is is_secure


def test_signing_out_ends_the_session_for_the_cookie_too(supervisor: Visiting) -> None:
    supervisor.sent("/console/sign-out")
    supervisor.client.cookies.set(COOKIE, supervisor.secret)
    assert supervisor.get("/console/account").status_code == 303


def test_every_answer_forbids_what_a_page_does_not_need(supervisor: Visiting) -> None:
    for path in ("/console/account", "/console/nothing", "/console/sign-in"):
        policy = supervisor.get(path).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy


def test_pages_are_kept_by_no_cache(supervisor: Visiting) -> None:
    assert supervisor.get("/console/account").headers["cache-control"] == "no-store"


# Forms that nobody forges


def test_form_without_the_token_does_nothing(service: Service, supervisor: Visiting) -> None:
    answer = supervisor.client.post("/console/sign-out", data={})
    assert answer.status_code == 403
    assert supervisor.get("/console/account").status_code == 200


def test_token_of_another_session_does_nothing(service: Service, supervisor: Visiting) -> None:
    other = visiting(service, "jean@example.org")
    answer = supervisor.client.post("/console/sign-out", data={TOKEN: other.token})
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
def test_form_of_another_site_does_nothing(supervisor: Visiting, headers: dict[str, str]) -> None:
    answer = supervisor.client.post(
        "/console/sign-out", data={TOKEN: supervisor.token}, headers=headers
    )
    assert answer.status_code == 403
    assert supervisor.get("/console/account").status_code == 200


def test_nobody_is_signed_in_by_another_site(service: Service, browser: httpx.Client) -> None:
    with_password(service)
    form = {"email": "marie@example.org", "password": PASSWORD}
    answer = browser.post("/console/sign-in", data=form, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


# A session that ends in the middle


def expired(service: Service, visitor: Visiting, path: str, **typed: str) -> httpx.Response:
    service.clock.advance(hours=13)
    return visitor.send(path, **typed)


def test_what_was_typed_is_shown_again_after_signing_in(
    service: Service, browser: httpx.Client
) -> None:
    with_password(service, "boss@example.org", role="administrator", sites=None)
    sign_in(browser, "boss@example.org")
    token = fields(browser.get("/console/staff").text)[TOKEN]
    service.clock.advance(hours=13)
    typed = {"name": "Zoé", "email": "zoe@example.org", "role": "supervisor", "site": "1085"}
    answer = browser.post("/console/staff", data={TOKEN: token} | typed)
    assert answer.status_code == 401
    assert "is kept" in words(answer.text)
    kept = {n: v for n, v in fields(answer.text).items() if n.startswith("kept")}
    answer = sign_in(browser, "boss@example.org", **kept)
    assert answer.status_code == 200
    assert "zoe@example.org" in words(answer.text)
    again = fields(answer.text)
    assert again[TOKEN] != token
    answer = browser.post("/console/staff", data=again)
    assert "zoe@example.org" in words(answer.text)
    assert len(service.parts.record.read(store.all_accounts)) == 2


def test_printed_texts_are_shown_again_by_what_they_are(
    service: Service, browser: httpx.Client
) -> None:
    with_password(service, "boss@example.org", role="administrator", sites=None)
    sign_in(browser, "boss@example.org")
    path = "/console/sites/1085/settings/texts"
    form = fields(browser.get(path).text)
    service.clock.advance(hours=13)
    typed = {"avis_fr_operator": "Parc-Auto", "warning_en_footer": "Drive well", "paper": "80"}
    kept = fields(browser.post(path, data=form | typed).text)
    page = sign_in(browser, "boss@example.org", **{n: kept[n] for n in kept if n != TOKEN}).text
    told = words(page)
    assert "Notice of claim – in French – Who issues it Parc-Auto" in told
    assert "Warning – in English – At the bottom Drive well" in told
    assert "Paper 80" in told
    assert "_fr_" not in told
    assert browser.post(path, data=fields(page)).status_code == 303


def test_ticks_are_shown_again_in_words(service: Service, browser: httpx.Client) -> None:
    with_password(service, "boss@example.org", role="administrator", sites=None)
    sign_in(browser, "boss@example.org")
    token = fields(browser.get("/console/staff").text)[TOKEN]
    service.clock.advance(hours=13)
    typed = {TOKEN: token, "name": "Zoé", "all_sites": "on", "sees_subscribers": "on"}
    kept = fields(browser.post("/console/staff", data=typed).text)
    page = sign_in(browser, "boss@example.org", **{n: kept[n] for n in kept if n != TOKEN}).text
    assert "All sites yes Reads subscribers yes" in words(page)


@pytest.mark.parametrize(
    ("page", "typed", "told"),
    [
        (
            "live/messages",
            {"to": "device:5f0c7b1e-6f2d-4f0e-9a51-0d6c3c1c8a11", "text": "To: P7, please"},
            "To A device, whoever has it Text To: P7, please Send",
        ),
        (
            "review",
            {
                "infraction": ["5f0c7b1e-6f2d-4f0e-9a51-0d6c3c1c8a11:received:0"] * 3,
                "decision": "confirm",
            },
            "Infractions 3 Decision Confirm Send",
        ),
    ],
)
def test_what_was_chosen_is_shown_again_in_words(
    service: Service, browser: httpx.Client, page: str, typed: dict[str, Any], told: str
) -> None:
    service.site("1085", zones=["G1"])
    with_password(service, "boss@example.org", role="administrator", sites=None)
    sign_in(browser, "boss@example.org")
    token = fields(browser.get("/console/account").text)[TOKEN]
    service.clock.advance(hours=13)
    path = f"/console/sites/1085/{page}"
    kept: dict[str, Any] = {}
    page = browser.post(path, data={TOKEN: token, **typed}).text
    for name, value in re.findall(r'name="(kept[^"]*)" value="([^"]*)"', page):
        kept.setdefault(name, []).append(value)
    shown = sign_in(browser, "boss@example.org", **kept).text
    assert told in words(shown)


def test_what_was_typed_is_not_shown_to_somebody_else(
    service: Service, browser: httpx.Client
) -> None:
    with_password(service, "boss@example.org", role="administrator", sites=None)
    with_password(service, "other@example.org")
    sign_in(browser, "boss@example.org")
    token = fields(browser.get("/console/staff").text)[TOKEN]
    service.clock.advance(hours=13)
    typed = {TOKEN: token, "name": "Zoé", "email": "zoe@example.org"}
    kept = fields(browser.post("/console/staff", data=typed).text)
    answer = sign_in(browser, "other@example.org", **{n: kept[n] for n in kept if n != TOKEN})
    assert answer.status_code == 303
    assert "zoe" not in answer.text


def test_what_was_typed_is_shown_again_after_signing_in_on_another_page(
    service: Service, browser: httpx.Client
) -> None:
    with_password(service)
    sign_in(browser, "marie@example.org")
    token = fields(browser.get("/console/account").text)[TOKEN]
    service.clock.advance(hours=13)
    sign_in(browser, "marie@example.org")
    typed = {TOKEN: token, "text": "Le P3 est fermé."}
    path = "/console/sites/1085/live/messages?after="
    answer = browser.post(path, data=typed, headers={"Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == 403
    assert "Le P3 est fermé." in words(answer.text)
    assert f'action="{path}"' in answer.text
    again = fields(answer.text)
    assert again[TOKEN] != token
    assert browser.post(path, data=again).status_code == 303


def test_what_was_typed_on_an_older_page_is_not_sent_by_somebody_else(
    service: Service, browser: httpx.Client, supervisor: Visiting
) -> None:
    with_password(service, "jean@example.org")
    sign_in(browser, "jean@example.org")
    typed = {TOKEN: supervisor.token, "text": "Le P3 est fermé."}
    path = "/console/sites/1085/live/messages"
    answer = browser.post(path, data=typed, headers={"Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == 403
    assert "Le P3" not in answer.text
    # Nor is anything shown that no browser says to have come from a page of ours.
    old = supervisor.token[:-4] + "0000"
    answer = supervisor.client.post(path, data=typed | {TOKEN: old})
    assert answer.status_code == 403
    assert "Le P3" not in answer.text


def test_passwords_are_not_kept_over_an_ended_session(
    service: Service, supervisor: Visiting
) -> None:
    answer = expired(
        service, supervisor, "/console/account/password", old_password="o", password="secret-words"
    )
    assert answer.status_code == 401
    assert "secret-words" not in answer.text


def test_part_that_renews_itself_sends_the_browser_to_the_sign_in(
    service: Service, supervisor: Visiting
) -> None:
    service.clock.advance(hours=13)
    here = f"{ADDRESS}/console/account?done=saved"
    # As htmx asks: it takes anything.
    headers = {"Accept": "*/*", "HX-Request": "true", "HX-Current-URL": here}
    answer = supervisor.client.get("/console/account", headers=headers)
    assert answer.status_code == 204
    onward = "%2Fconsole%2Faccount%3Fdone%3Dsaved"
    assert answer.headers["hx-redirect"] == f"/console/sign-in?next={onward}&why=expired"


def test_program_that_asks_is_answered_in_its_language(supervisor: Visiting) -> None:
    supervisor.sent("/console/sign-out")
    answer = supervisor.client.get("/console/account", headers={"Accept": "application/json"})
    assert answer.status_code == 401
    assert answer.json()["type"] == "/problems/not-signed-in"


def test_session_that_is_ended_elsewhere_lets_in_no_more(
    service: Service, supervisor: Visiting, administrator: Visiting
) -> None:
    page = administrator.page(f"/console/staff/{supervisor.account.id}")
    (end,) = re.findall(r'action="([^"]*sessions[^"]*)"', page)
    administrator.sent(end)
    assert supervisor.get("/console/account").status_code == 303


def test_lowered_role_holds_at_the_next_page(
    service: Service, supervisor: Visiting, administrator: Visiting
) -> None:
    other = visiting(service, "boss@example.org", role="administrator")
    assert other.get("/console/staff").status_code == 200
    administrator.sent(
        f"/console/staff/{other.account.id}",
        name="Boss",
        email="boss@example.org",
        role="supervisor",
        site="1085",
    )
    assert other.get("/console/staff").status_code == 403
    assert other.send("/console/staff", email="x@example.org", name="x").status_code == 403


def test_change_of_an_account_that_somebody_else_changed_is_told_and_overwrites_nothing(
    supervisor: Visiting, administrator: Visiting
) -> None:
    path = f"/console/staff/{supervisor.account.id}"
    mine = {"name": "Marie", "email": "marie@example.org", "site": "1085"}

    def expected(page: str) -> str:
        (found,) = re.findall(r'name="expected" value="([^"]*)"', page)
        return str(found)

    seen = expected(administrator.page(path))
    administrator.sent(path, **mine, role="supervisor", badge="77", expected=seen)
    stale = administrator.send(path, **mine, role="administrator", all_sites="on", expected=seen)
    assert stale.status_code == 422
    assert "Somebody else has changed this account meanwhile" in words(stale.text)
    assert 'value="administrator" selected' in stale.text  # what was typed is still there
    assert 'name="badge" maxlength="32" autocomplete="off" value="77"' in administrator.page(path)
    administrator.sent(
        path, **mine, role="administrator", all_sites="on", expected=expected(stale.text)
    )
    assert 'value="administrator" selected' in administrator.page(path)


# What somebody may see


def test_supervisor_sees_no_accounts_and_no_log(supervisor: Visiting) -> None:
    for path in ("/console/staff", f"/console/staff/{supervisor.account.id}", "/console/audit"):
        answer = supervisor.get(path)
        assert answer.status_code == 403
        assert "Ask an administrator" in words(answer.text)


def test_first_page_is_the_one_site_or_the_list(service: Service, supervisor: Visiting) -> None:
    assert supervisor.get("/console").headers["location"] == "/console/sites/1085/review"
    service.site("2000")
    boss = visiting(service, "boss@example.org", role="administrator")
    assert "Site 2000" in words(boss.page("/console"))


def test_nobody_without_a_site_is_left_without_a_word(tmp_path: Any) -> None:
    with running(tmp_path / "empty") as service:
        boss = visiting(service, "boss@example.org", role="administrator")
        assert "no site" in words(boss.page("/console"))


def test_language_is_the_account_s_and_can_be_changed(supervisor: Visiting) -> None:
    assert "My account" in words(supervisor.page("/console/account"))
    supervisor.sent("/console/language", language="fr", next="/console/account")
    assert "Mon compte" in words(supervisor.page("/console/account"))


# Everybody's accounts


def test_invited_person_sets_a_password_and_gets_in(
    service: Service, administrator: Visiting, browser: httpx.Client
) -> None:
    answer = administrator.send(
        "/console/staff", name="Zoé", email="zoe@example.org", role="supervisor", site="1085"
    )
    (path,) = re.findall(r'value="http://localhost(/console/password/[^"]+)"', answer.text)
    assert "zoe@example.org" in words(browser.get(path).text)
    short = browser.post(path, data={"password": "court", "password_again": "court"})
    assert short.status_code == 422
    unlike = browser.post(path, data={"password": PASSWORD, "password_again": "autre"})
    assert unlike.status_code == 422
    set_ = browser.post(path, data={"password": PASSWORD, "password_again": PASSWORD})
    assert set_.headers["location"] == "/console/sign-in?why=password"
    assert sign_in(browser, "zoe@example.org").status_code == 303
    assert browser.get(path).status_code == 410


def test_unusable_invitation_is_shown_again_with_what_was_typed(
    administrator: Visiting,
) -> None:
    answer = administrator.send(
        "/console/staff", name="Zoé", email="zoe", role="supervisor", site="1085"
    )
    assert answer.status_code == 422
    assert "must be an e-mail address" in words(answer.text)
    assert 'value="Zoé"' in answer.text


def test_administrator_of_some_sites_alone_is_made_by_nobody(
    service: Service, administrator: Visiting, supervisor: Visiting
) -> None:
    typed = {"name": "Zoé", "email": "zoe@example.org", "role": "administrator", "site": "1085"}
    for path in ("/console/staff", f"/console/staff/{supervisor.account.id}"):
        answer = administrator.send(path, **typed)
        assert answer.status_code == 422
        assert "An administrator has all sites. Choose all of them" in words(answer.text)
    assert supervisor.get("/console/staff").status_code == 403


def test_nobody_with_some_sites_gives_sites(service: Service) -> None:
    service.site("2000")
    once = visiting(service, "once@example.org", sites=["1085"])
    facts = {"role": "administrator", "sites": ["1085"]}
    of_once = update(accounts).where(accounts.c.id == once.account.id).values(**facts)
    service.parts.record.write(lambda tx: tx.execute(of_once))
    typed = {"name": "Moi", "email": "once@example.org", "role": "supervisor", "all_sites": "on"}
    for path in ("/console/staff", f"/console/staff/{once.account.id}"):
        assert once.get(path).status_code == 403
        assert once.send(path, **typed).status_code == 403
    for path in ("/console/audit", "/console/sites/new", "/console/sites/2000/review"):
        assert once.get(path).status_code == 403
    assert once.get("/console").headers["location"] == "/console/sites/1085/review"


def test_hostile_name_is_shown_as_text(administrator: Visiting) -> None:
    name = '<script>alert(1)</script>"><img src=x>'
    administrator.send(
        "/console/staff", name=name, email="zoe@example.org", role="supervisor", all_sites="on"
    )
    page = administrator.page("/console/staff")
    assert "<script>alert" not in page
    assert "<img" not in page
    assert name in words(page)


def test_audit_log_tells_who_did_what(administrator: Visiting) -> None:
    administrator.send(
        "/console/staff", name="Zoé", email="zoe@example.org", role="supervisor", all_sites="on"
    )
    page = words(administrator.page("/console/audit"))
    assert f"staff:{administrator.account.id}" in page
    assert "password-link-given" in page
