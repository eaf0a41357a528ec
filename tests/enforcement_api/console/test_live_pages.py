"""Patrols as they are now, and what is done with devices, as a browser is told it."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from typing import Any

import pytest
import zxingcpp
from PIL import Image

from enforcement_api.devices import store
from enforcement_api.devices.core import ALPHABET
from tests.enforcement_api.console.patrolling import Patrol
from tests.enforcement_api.console.visiting import Visiting, visiting, words
from tests.service import NOW, Service, new_id

LIVE = "/console/sites/1085/live"
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
AREA = {
    "type": "Polygon",
    "coordinates": [[[-71.9, 45.4], [-71.899, 45.4], [-71.899, 45.4006], [-71.9, 45.4]]],
}


def row(visitor: Visiting, name: str) -> dict[str, Any]:
    (found,) = [each for each in visitor.twin(LIVE)["devices"] if each["name"] == name]
    return found


# All of them


def test_an_empty_site_says_what_to_do(supervisor: Visiting) -> None:
    page = words(supervisor.page(LIVE))
    assert "No handheld is enrolled at this site yet." in page
    assert "Enrol a handheld" in page
    assert "Nobody, as far as handhelds have told." in page


def test_devices_with_something_wrong_come_first_with_what_it_is(service: Service) -> None:
    well, full, old = (Patrol(service, name) for name in ("A well", "B full", "C old"))
    service.device(name="D waits")
    for each in (well, full, old):
        each.catch_up()
    old.is_like()
    service.clock.advance(days=30)
    for each in (well, full):
        each.catch_up()
    well.is_like(battery_percent=80, numbers_left=40)
    full.is_like(unsent=12, battery_percent=9, clock_offset_ms=-90_000, numbers_left=0)

    supervisor = visiting(service, sites=["1085"])

    found = supervisor.twin(LIVE)["devices"]

    assert [each["name"] for each in found] == ["B full", "C old", "A well", "D waits"]
    told = {each["name"]: {t["what"]: t["grave"] for t in each["troubles"]} for each in found}
    assert told["A well"] == {} == told["D waits"]
    assert told["B full"] == {"battery": True, "numbers": True, "unsent": False, "clock": False}
    assert told["C old"] == {"stale": True, "unseen": False}
    page = words(supervisor.page(LIVE))
    for text in ("Battery low", "Data too old", "Clock off", "Waits for its code", "To look at: 2"):
        assert text in page
    assert page.index("B full") < page.index("A well")


def test_last_told_shift_and_checks_by_hour(service: Service, supervisor: Visiting) -> None:
    body = {"badge": "4217", "name": "Marie Tremblay", "pin": "204816"}
    service.admin.put("/v1/sites/1085/patrollers/marie", json=body).raise_for_status()
    patrol = Patrol(service)
    patrol.tell("shift_started", shift="s", patroller="marie", zone="G1")
    service.clock.advance(minutes=50)
    for minutes in (49, 2, 1):
        patrol.tell("check", at=service.clock() - minutes * MINUTE, patroller="4217", lot="P3")

    twin = supervisor.twin(LIVE)

    assert row(supervisor, "Handheld 7")["last"]["lot"] == "P3"
    assert [shift["patroller"] for shift in twin["shifts"]] == ["marie"]
    assert [hour["count"] for hour in twin["checks"] if hour["count"]] == [1, 2]
    assert twin["checks"][0]["from"] == "2026-11-23T05:00:00Z", "midnight in Quebec"
    page = words(supervisor.page(LIVE))
    assert "Marie Tremblay" in page
    assert "Checks today: 3" in page
    patrol.tell("shift_ended", shift="s", patroller="marie")
    assert supervisor.twin(LIVE)["shifts"] == []


def test_a_device_on_a_shift_that_falls_silent_is_told_at_once(
    service: Service, supervisor: Visiting
) -> None:
    patrol = Patrol(service)
    patrol.catch_up()
    patrol.tell("shift_started", shift="s", patroller="4217", zone="G1")
    service.clock.advance(minutes=5)
    assert row(supervisor, "Handheld 7")["troubles"] == []
    service.clock.advance(minutes=6)
    assert row(supervisor, "Handheld 7")["troubles"] == [{"what": "unseen", "grave": True}]


def test_map_shows_lots_and_the_last_positions(service: Service, supervisor: Visiting) -> None:
    lots = [{"code": "P3", "name": "Stationnement P3", "zone": "G1", "area": AREA}]
    service.site("1085", lots=lots)
    near, far = Patrol(service, "Near"), Patrol(service, "Far")
    near.record(position={"lat": 45.4003, "lon": -71.8995, "accuracy_m": 12})
    far.record(position={"lat": 0, "lon": 0, "accuracy_m": 5})

    page = supervisor.page(LIVE)

    assert 'class="accuracy"' in page
    assert "P3 – Stationnement P3" in page
    assert "Far from all lots: Far" in words(page)
    assert "style=" not in page


def test_part_that_renews_itself_is_the_page_s_middle(
    service: Service, supervisor: Visiting
) -> None:
    Patrol(service)
    part = supervisor.page(f"{LIVE}/part")
    assert "<html" not in part
    assert "Handheld 7" in part
    assert part.strip() in supervisor.page(LIVE)


def test_what_renews_itself_keeps_no_session_open(service: Service, supervisor: Visiting) -> None:
    supervisor.page(LIVE)
    for _ in range(12):
        service.clock.advance(minutes=6)
        supervisor.client.get(f"{LIVE}/part", headers={"HX-Request": "true"})
    answer = supervisor.client.get(f"{LIVE}/part", headers={"HX-Request": "true"})
    assert answer.status_code == 204
    assert answer.headers["hx-redirect"].startswith("/console/sign-in")


def test_devices_of_other_sites_are_not_seen(service: Service, supervisor: Visiting) -> None:
    service.site("2000")
    theirs, both = Patrol(service, "Theirs", "2000"), Patrol(service, "Both", "1085", "2000")
    assert [each["name"] for each in supervisor.twin(LIVE)["devices"]] == ["Both"]
    for path in ("", "/revoke"):
        assert supervisor.get(f"{LIVE}/devices/{theirs.id}{path}").status_code == 403
        assert supervisor.get(f"{LIVE}/devices/{both.id}{path}").status_code == 403
    assert supervisor.send(f"{LIVE}/devices/{both.id}/revoke").status_code == 403
    assert supervisor.get("/console/sites/2000/live").status_code == 403
    assert f"devices/{both.id}" not in supervisor.page(LIVE)


def test_device_of_another_site_too_is_shown_and_who_opens_it_is_told(
    service: Service, supervisor: Visiting, administrator: Visiting
) -> None:
    service.site("2000")
    both, mine = Patrol(service, "Both", "1085", "2000"), Patrol(service, "Mine")
    told = "Both Also of a site that is not yours: somebody who has all its sites opens it."
    page = supervisor.page(LIVE)
    assert told in words(page)
    assert words(page).count("not yours") == 1
    assert f"devices/{mine.id}" in page
    refused = supervisor.get(f"{LIVE}/devices/{both.id}")
    assert "Your account does not have the site 2000" in words(refused.text)
    assert "key" not in words(refused.text)
    page = administrator.page(LIVE)
    assert "not yours" not in words(page)
    assert f"devices/{both.id}" in page
    assert "Both" in words(administrator.page(f"{LIVE}/devices/{both.id}"))


def test_hostile_names_are_text(service: Service, supervisor: Visiting) -> None:
    name = "<script>alert(1)</script>\N{RIGHT-TO-LEFT OVERRIDE}" + "x" * 120
    patrol = Patrol(service, name)
    patrol.tell("check", lot="<img src=x>", place="'; DROP TABLE events;--", patroller="<b>")
    for path in (LIVE, f"{LIVE}/devices/{patrol.id}", f"{LIVE}/devices/{patrol.id}/revoke"):
        page = supervisor.page(path)
        assert "<script>alert" not in page
        assert "<img src=x>" not in page
        assert "&lt;script&gt;" in page


# Enrolling


def read_qr(page: str) -> str:
    """What a camera reads of the page's QR code."""
    drawing = re.search(r'<svg[^>]*class="qr".*?</svg>', page, re.S)
    assert drawing is not None
    text = drawing[0]
    side = int(re.search(r'viewBox="0 0 (\d+)', text)[1])  # type: ignore[index]
    path = re.search(r'stroke="#000"[^>]* d="([^"]+)"|d="([^"]+)"[^>]* stroke="#000"', text)
    assert path is not None, text[:300]
    picture = Image.new("L", (side, side), 255)
    x = y = 0.0
    for step, first, second in re.findall(
        r"([MmhH])(-?[\d.]+)(?:[ ,]?(-?[\d.]+))?", path[1] or path[2]
    ):
        if step in "Mm":
            x, y = (
                (x + float(first), y + float(second))
                if step == "m"
                else (
                    float(first),
                    float(second),
                )
            )
        else:
            for pixel in range(int(x), int(x + float(first))):
                picture.putpixel((pixel, int(y)), 0)
            x += float(first)
    found = zxingcpp.read_barcode(picture.resize((side * 8, side * 8), Image.Resampling.NEAREST))
    assert found is not None
    return str(found.text)


def test_enrolling_shows_a_code_that_enrols(service: Service, supervisor: Visiting) -> None:
    assert "1085" in supervisor.page(f"{LIVE}/devices/new")
    page = supervisor.send(f"{LIVE}/devices", name="Handheld 9", sites=["1085"])
    assert page.status_code == 200
    code = re.search(f'id="code">([{ALPHABET}]{{4}}-[{ALPHABET}]{{4}})<', page.text)
    assert code is not None
    assert read_qr(page.text).endswith(f"code={code[1].replace('-', '')}")
    assert 'fill="#fff"' in page.text
    (part,) = re.findall(r'hx-get="([^"]+/enrolled[^"]*)"', page.text)
    part = part.replace("&amp;", "&")
    assert "Waiting for the handheld" in words(supervisor.page(part))

    answer = service.client(None).post("/v1/enrolments", json={"code": code[1]})

    assert answer.status_code == 201
    told = supervisor.page(part)
    assert "The handheld is enrolled." in told
    assert "hx-get" not in told, "it asks no more"
    assert row(supervisor, "Handheld 9")["state"] == "enrolled"


def test_code_that_nobody_used_is_told_over_and_another_one_given(
    service: Service, supervisor: Visiting
) -> None:
    page = supervisor.send(f"{LIVE}/devices", name="Handheld 9", sites=["1085"]).text
    (part,) = re.findall(r'hx-get="([^"]+/enrolled[^"]*)"', page)
    service.clock.advance(minutes=11)
    assert "The code has expired" in words(supervisor.page(part.replace("&amp;", "&")))
    id = row(supervisor, "Handheld 9")["id"]
    again = supervisor.send(f"{LIVE}/devices/{id}/code")
    assert again.status_code == 200
    assert "Its old token works until this code is used." in words(again.text)


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"name": "", "sites": ["1085"]}, "Name:"),
        ({"name": "H9", "sites": []}, "Sites:"),
        ({"name": "H9", "sites": ["3000"]}, "there is no site 3000"),
    ],
)
def test_form_that_cannot_be_taken_comes_back_with_what_was_typed(
    supervisor: Visiting, given: dict[str, Any], wrong: str
) -> None:
    answer = supervisor.send(f"{LIVE}/devices", **given)
    assert answer.status_code == 422
    assert wrong in words(answer.text)
    assert f'value="{given["name"]}"' in answer.text
    assert supervisor.twin(LIVE)["devices"] == []


def test_nobody_enrols_a_device_of_another_s_site(service: Service, supervisor: Visiting) -> None:
    service.site("2000")
    answer = supervisor.send(f"{LIVE}/devices", name="H9", sites=["1085", "2000"])
    assert answer.status_code == 403
    assert supervisor.twin(LIVE)["devices"] == []


# One of them


def test_device_s_page_tells_all_that_is_known(service: Service, supervisor: Visiting) -> None:
    service.permit("ABC123")
    patrol = Patrol(service)
    patrol.catch_up()
    patrol.is_like(unsent=3, battery_percent=64, numbers_left=40)
    patrol.client.put(f"/v1/sites/1085/number-blocks/{new_id()}").raise_for_status()
    id = patrol.record(number="1085-1", plate="DEF456")
    patrol.tell("check", lot="P3", verdict="valid", plate="ABC123")
    patrol.tell("number_spoiled", number="1085-2")

    page = words(supervisor.page(f"{LIVE}/devices/{patrol.id}"))
    twin = supervisor.twin(f"{LIVE}/devices/{patrol.id}")

    assert "64%" in page
    assert "1085-1 – 50" in page
    assert "Number spoiled" in page
    assert twin["held_at_contact"] == 1
    assert twin["infractions"] == [id]
    assert {each["kind"] for each in twin["events"]} == {"number_spoiled", "check"}
    (block,) = twin["number_blocks"]
    assert (block["issued"], block["spoiled"], block["unused"]) == (1, 1, 48)


def test_revoking_says_before_and_after_what_it_means(
    service: Service, supervisor: Visiting
) -> None:
    service.permit("ABC123")
    patrol = Patrol(service)
    patrol.catch_up()
    patrol.is_like(unsent=7)

    asked = words(supervisor.page(f"{LIVE}/devices/{patrol.id}/revoke"))
    assert "Plates that it held 1 at its last contact" in asked
    assert "items not sent yet: 7" in asked
    target = supervisor.sent(f"{LIVE}/devices/{patrol.id}/revoke")

    assert patrol.client.get("/v1/sites/1085/changes").status_code in (401, 403)
    told = words(supervisor.page(target))
    assert "The device is revoked" in told
    assert ": 1." in told
    assert "Items that it still owes: 7." in told
    assert "Revoke…" not in told
    assert supervisor.get(f"{LIVE}/devices/{patrol.id}/revoke").status_code == 303
    assert row(supervisor, "Handheld 7")["state"] == "revoked"


def test_of_a_lost_device_it_is_told_whose_pins_are_to_be_given_anew(
    service: Service, supervisor: Visiting
) -> None:
    for id, badge in (("Marie", "4217"), ("Luc", "5000")):
        body = {"badge": badge, "name": id, "pin": "204816"}
        service.admin.put(f"/v1/sites/1085/patrollers/{id}", json=body).raise_for_status()
    patrol, other = Patrol(service), Patrol(service, "Other")
    for device, badge in ((patrol, "4217"), (other, "5000")):
        signed = device.client.post("/v1/sign-ins", json={"badge": badge, "pin": "204816"})
        assert signed.status_code == 200
    path = f"{LIVE}/devices/{patrol.id}"
    assert "Give new PINs" not in words(supervisor.page(path))
    assert "for the old: Marie ." in words(supervisor.page(f"{path}/revoke"))
    supervisor.sent(f"{path}/revoke")
    page = words(supervisor.page(path))
    assert "Give new PINs to those who signed in on it" in page
    assert "Marie" in page
    supervisor.send(f"{LIVE}/patrollers/Marie/pin")
    assert "Give new PINs" not in words(supervisor.page(path))


def test_question_to_a_device_that_hears_nothing_is_told(
    service: Service, supervisor: Visiting
) -> None:
    patrol = Patrol(service)
    id = patrol.record(number="1085-9")
    patrol.ask(id)
    path = f"{LIVE}/devices/{patrol.id}"
    assert "Quelle place ?" in words(supervisor.page(path))
    supervisor.sent(f"{path}/revoke")
    assert "A revoked device hears no question" in words(supervisor.page(path))


def test_no_device_no_page(supervisor: Visiting) -> None:
    for path in ("x", new_id(), "%00", "é"):
        assert supervisor.get(f"{LIVE}/devices/{path}").status_code == 404


def test_french_is_asked_for_and_told(service: Service) -> None:
    patrol = Patrol(service)
    page = visiting(service, "a@example.org", sites=["1085"], language="fr").page(LIVE)
    assert patrol.id in page
    assert '<html lang="fr">' in page


def test_page_of_a_hundred_devices_is_quick(service: Service, supervisor: Visiting) -> None:
    def fill(tx: Any) -> None:
        for n in range(100):
            store.add(
                tx,
                name=f"Handheld {n}",
                sites=["1085"],
                by="test",
                at=NOW,
                code_expires_at=NOW + HOUR,
            )

    service.parts.record.write(fill)
    supervisor.page(LIVE)
    began = time.process_time()
    supervisor.page(f"{LIVE}/part")
    assert time.process_time() - began < 0.2
