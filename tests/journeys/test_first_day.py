"""A new handheld's first day: enrolled by a link over TLS of the organization's own authority,
signed in, at work while the service is away, and a month later with another token.

The real programs as processes, over TCP and TLS, and the real handheld with its threads.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import trustme

from handheld_app.authority import WrongAuthority
from handheld_app.handheld import Handheld
from handheld_app.staff import WrongPin
from sync.exchange import Untrusted
from tests.enforcement_api.program import Serving, key, open_site, patrouille, serving
from tests.handheld_app.conftest import CHEAP
from tests.journeys.test_freshness import until

BADGE, PIN = "417", "204816"


class Organization:
    """A site and its own authority; the service is served with `tls`."""

    def __init__(self, folder: Path) -> None:
        self.data_dir = folder / "data"
        authority = trustme.CA()
        pair, self._ca = folder / "pair.pem", folder / "ca.pem"
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(pair)
        authority.cert_pem.write_to_path(self._ca)
        self.tls = ("--tls-cert", pair, "--tls-key", pair, "--tls-ca", self._ca)
        self._admin = key(self.data_dir)
        with serving(self.data_dir) as server, server.client(self._admin) as client:
            open_site(client)
            marie = {"badge": BADGE, "name": "Marie Tremblay", "pin": PIN}
            client.put("/v1/sites/1085/patrollers/marie", json=marie).raise_for_status()
            assert server.end() == 0

    def link(self, server: Serving) -> str:
        done = patrouille(
            self.data_dir,
            *("devices", "enrol", "Handheld 7", "--site", "1085"),
            *("--server", server.address, "--tls-ca", self._ca),
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()[1]

    def client(self, server: Serving) -> httpx.Client:
        return httpx.Client(
            base_url=server.address,
            headers={"Authorization": f"Bearer {self._admin}"},
            verify=ssl.create_default_context(cafile=str(self._ca)),
            trust_env=False,
        )


@pytest.fixture
def organization(tmp_path: Path) -> Organization:
    folder = tmp_path / "organization"
    folder.mkdir()
    return Organization(folder)


@pytest.fixture
def handheld(tmp_path: Path) -> Iterator[Handheld]:
    handheld = Handheld(tmp_path / "pocket", pin_cost=CHEAP)
    yield handheld
    handheld.close()


def test_a_handheld_is_enrolled_by_link_and_its_notice_arrives_with_its_number(
    organization: Organization, handheld: Handheld
) -> None:
    patrol = handheld.patrol
    with serving(organization.data_dir, options=organization.tls) as server:
        with pytest.raises(Untrusted):
            patrol.enrol(server.address, "any-code")
        patrol.enrol(organization.link(server), "")
        handheld.sync()
        until(lambda: "G1" in patrol.zones())
        patrol.choose_zone("G1")
        until(lambda: patrol.numbers_left() > 0)

        with pytest.raises(WrongPin):
            patrol.sign_in(BADGE, "111111")
        assert patrol.sign_in(BADGE, PIN).called == "Marie Tremblay"
        patrol.sign_out()
        assert server.end() == 0

    # Without the service: the device's own verifier, and a number all the same.
    assert patrol.sign_in(BADGE, PIN).unconfirmed
    until(lambda: handheld.status.connection == "offline")
    draft = patrol.draft(patrol.check("ABC123", "CA-QC"))
    draft.codes, draft.stale_accepted = ["P01"], True
    recorded = patrol.record(draft)
    assert recorded.number is not None

    port = handheld.device_file.device.server.rpartition(":")[2]
    options = (*organization.tls, "--port", port)
    with serving(organization.data_dir, options=options) as server:
        handheld.sync()
        until(lambda: patrol.unsent() == 0)
        with organization.client(server) as client:
            found = client.get(f"/v1/infractions/{recorded.id}").json()
            assert (found["number"], found["patroller"]) == (recorded.number, "marie")
            assert "unknown-number" not in found["warnings"]

            # A month later another token is asked for, and the old one is dead.
            device = handheld.device_file.device
            handheld.device_file.change(token_at="2020-01-01T00:00:00Z")
            handheld.sync()
            until(lambda: handheld.device_file.device.secret != device.token)
            handheld.sync()  # it is shown with the next request
            until(lambda: handheld.device_file.device.token != device.token)
            client.headers["Authorization"] = f"Bearer {device.token}"
            assert client.get("/v1/sites/1085/changes").status_code == 401
        until(lambda: handheld.status.connection == "online")


def test_a_link_of_another_organization_leads_nowhere(
    organization: Organization, handheld: Handheld
) -> None:
    with serving(organization.data_dir, options=organization.tls) as server:
        link = organization.link(server)
        other = "A" * 43
        with pytest.raises(WrongAuthority):
            handheld.patrol.enrol(link.rpartition("ca=")[0] + f"ca={other}", "")
        assert not handheld.patrol.device.enrolled
        handheld.patrol.enrol(link, "")  # the code is still good: it was not sent
