"""The service as a whole: health, its document, addresses it does not have."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from anyio import to_thread

from enforcement_api.app import create_app
from enforcement_api.feed.follower import Follower
from enforcement_api.listening import listen
from enforcement_api.settings import Settings, UnusableSetting
from tests.enforcement_api.program import DEADLINE, patrouille, serving
from tests.service import Service, infraction, new_id, running


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("app")) as found:
        found.site()
        yield found


def test_it_lives_and_is_ready(service: Service) -> None:
    stranger = service.client(None)
    assert stranger.get("/health/live").json() == {"status": "live"}
    assert stranger.head("/health/live").status_code == 200
    assert stranger.get("/health/ready").json() == {"status": "ready"}


def test_it_is_not_ready_while_its_index_cannot_follow(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Follower) -> None:
        raise RuntimeError("the index lies")

    monkeypatch.setattr(Follower, "look", fail)
    answer = service.client(None).get("/health/ready")
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/not-ready")
    assert "the index lies" in answer.json()["detail"]


def test_the_document_names_every_operation_its_key_and_its_errors(service: Service) -> None:
    document = service.client(None).get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    chapters = {tag["name"] for tag in document["tags"]}
    keyless = set()
    names = []
    for operations in document["paths"].values():
        for operation in operations.values():
            names.append(operation["operationId"])
            assert operation["tags"]
            assert set(operation["tags"]) <= chapters
            assert operation["summary"]
            refusals = [told for status, told in operation["responses"].items() if status >= "4"]
            assert all("application/problem+json" in told["content"] for told in refusals)
            if "security" not in operation:
                keyless.add(operation["operationId"])
    assert len(names) == len(set(names))
    assert keyless == {
        "enrolDevice",
        "getAuthority",
        "isLive",
        "isReady",
        "tellPaymentEvent",
    }


def test_examples_of_the_document_have_what_answers_have(service: Service) -> None:
    document = service.client(None).get("/openapi.json").json()

    def example(path: str, method: str = "get") -> Any:
        answers = document["paths"][path][method]["responses"]
        content, *_ = (answers[s]["content"]["application/json"] for s in answers if s in "200 201")
        if "example" in content:
            return content["example"]
        name = content["schema"]["$ref"].rpartition("/")[2]
        return document["components"]["schemas"][name]["examples"][0]

    def same_names(one: Any, other: Any) -> None:
        """As deep as both go. FastAPI leaves what is null out of its examples."""
        if isinstance(one, dict) and isinstance(other, dict):
            assert one.keys() <= other.keys()
            assert not any(other[name] for name in other.keys() - one.keys())
            for name in one:
                if name not in ("facts", "sequence", "problem", "vehicle", "record"):
                    same_names(one[name], other[name])
        elif isinstance(one, list) and isinstance(other, list) and one and other:
            same_names(one[0], other[0])

    permit = service.permit("EXA111", id="example")
    bad = service.update("EXA222", zone="nowhere")
    same_names(example("/v1/plate-updates", "post"), service.push(bad))
    same_names(example("/v1/sites/{site}/check"), service.check("EXA111"))
    found = service.reader.get(f"/v1/sites/1085/permits/{permit['id']}").json()
    same_names(example("/v1/sites/{site}/permits/{id}"), found)
    device = service.device_client()
    for last in ("snapshot", "changes"):
        same_names(example("/v1/sites/{site}/" + last), device.get(f"/v1/sites/1085/{last}").json())
    block = f"/v1/sites/1085/number-blocks/{new_id()}"
    path = "/v1/sites/{site}/number-blocks/{id}"
    same_names(example(path, "put"), device.put(block).json())
    same_names(example(path), service.reader.get(block).json())
    event = {"kind": "shift_start", "site": "1085", "at": "2026-11-23T15:15:00Z"}
    kept = device.put(f"/v1/events/{new_id()}", json=event).json()
    same_names(example("/v1/events/{id}", "put"), kept)
    for path in ("/v1/devices", "/v1/events", "/v1/sites/{site}/number-blocks"):
        same_names(example(path), service.admin.get(path.format(site="1085")).json())
    shown = service.admin.get(f"/v1/devices/{service.device()['id']}").json()
    same_names(example("/v1/devices/{id}"), shown)
    marie = {"badge": "4217", "name": "Marie", "pin": "806213"}
    service.admin.put("/v1/sites/1085/patrollers/marie", json=marie).raise_for_status()
    signed_in = device.post("/v1/sign-ins", json={"badge": "4217", "pin": "806213"}).json()
    same_names(example("/v1/sign-ins", "post"), signed_in)
    id = new_id()
    seen = device.get("/v1/sites/1085/changes").json()
    known = {name: seen[name] for name in ("epoch", "cursor")}
    device.put(f"/v1/infractions/{id}", json=infraction("EXA111", **known))
    listed = service.reader.get("/v1/infractions", params={"plate": "EXA111"}).json()
    same_names(example("/v1/infractions"), listed)
    same_names(example("/v1/infractions/{id}"), service.reader.get(f"/v1/infractions/{id}").json())


@pytest.mark.parametrize(
    "site",
    [
        {"address": "Sherbrooke\x12"},
        {"codes": [{"code": "P01", "title": {"fr": "P", "en": "P"}, "photos_required": 11}]},
        {"codes": [{"code": "P01", "title": {"fr": "P", "en": "P"}, "photos_required": -1}]},
    ],
)
def test_what_a_site_may_not_have_the_document_refuses_too(service: Service, site: Any) -> None:
    document = service.client(None).get("/openapi.json").json()
    shape = {"$ref": "#/components/schemas/SiteShape", "components": document["components"]}
    assert jsonschema_rs.is_valid(shape, {"name": "CHUS"})

    assert not jsonschema_rs.is_valid(shape, {"name": "CHUS"} | site)

    answer = service.admin.put("/v1/sites/2000", json={"name": "CHUS"} | site)
    assert answer.status_code == 422


def test_what_a_vehicle_may_not_be_the_document_refuses_too(service: Service) -> None:
    document = service.client(None).get("/openapi.json").json()
    shape = document["paths"]["/v1/plate-updates"]["post"]["requestBody"]["content"]
    shape = shape["application/json"]["schema"] | {"components": document["components"]}
    good, bad = service.update(), service.update(vehicle={"colour": "bleu\0"})
    assert jsonschema_rs.is_valid(shape, {"updates": [good]})

    assert not jsonschema_rs.is_valid(shape, {"updates": [bad]})

    assert len(service.push(bad)["rejected"]) == 1


def test_the_document_tells_that_what_was_known_is_asked_for_by_a_number(service: Service) -> None:
    document = service.client(None).get("/openapi.json").json()
    asked = document["paths"]["/v1/sites/{site}/check"]["get"]["parameters"]
    (shape,) = (p["schema"] for p in asked if p["name"] == "as_known_at")
    assert jsonschema_rs.is_valid(shape, 0)

    assert not jsonschema_rs.is_valid(shape, "yesterday")

    check = {"plate": "ABC123", "zone": "G1", "as_known_at": "yesterday"}
    assert service.reader.get("/v1/sites/1085/check", params=check).status_code == 422


def test_a_check_is_the_first_route_of_ours_that_is_tried(service: Service) -> None:
    """Nothing is asked as often; behind others it costs a third more."""
    app = create_app(service.settings)
    ours = [route.original_router for route in app.routes if hasattr(route, "original_router")]
    assert ours[0].routes[0].path == "/v1/sites/{site}/check"


def test_every_error_of_the_document_is_a_problem(service: Service) -> None:
    document = service.client(None).get("/openapi.json").json()
    for operations in document["paths"].values():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                if status[0] in "45d":
                    assert list(answer["content"]) == ["application/problem+json"]


def test_the_documentation_needs_no_other_host(service: Service) -> None:
    page = service.client(None).get("/docs")
    assert page.status_code == 200
    assert "https://" not in page.text
    assert service.client(None).get("/docs/static/swagger-ui-bundle.js").status_code == 200


@pytest.mark.parametrize("path", ["/nowhere", "/v1/sites/1085/", "/v1/plate-updates/"])
def test_what_is_not_there_is_a_problem_and_no_redirect(service: Service, path: str) -> None:
    answer = service.admin.get(path, headers={"Host": "evil.example"})
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")


def test_a_body_that_is_not_utf_8_is_told_like_any_other_bad_body(service: Service) -> None:
    headers = {"Content-Type": "application/json"}
    answer = service.admin.put("/v1/sites/1085", content=b"\x90\x9d", headers=headers)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "")


def test_free_text_finds_a_plate_however_it_is_typed(service: Service) -> None:
    device = service.device_client()
    id = new_id()
    body = infraction("XYZ987", plate_raw="xyz 987")
    assert device.put(f"/v1/infractions/{id}", json=body).status_code == 201
    for words in ("xyz987", "XYZ 987", "yz-98"):
        found = service.reader.get("/v1/infractions", params={"q": words}).json()["items"]
        assert [item["id"] for item in found] == [id]


def test_an_address_that_is_taken_is_told_in_a_sentence(tmp_path: Path) -> None:
    with serving(tmp_path / "first") as first:
        port = first.address.rpartition(":")[2]
        second = patrouille(tmp_path / "second", "serve", "--port", port)
    assert second.returncode == 1
    assert "Traceback" not in second.stderr
    assert f"port {port}" in second.stderr


def test_reading_makes_no_record(tmp_path: Path) -> None:
    folder = tmp_path / "typo"
    for command in (["keys", "list"], ["digest", "--site", "1085"]):
        done = patrouille(folder, *command)
        assert done.returncode == 1
        assert "patrouille init" in done.stderr
    assert not folder.exists()


@pytest.mark.parametrize("at", ["2999-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "soon"])
def test_the_retention_job_runs_as_of_no_instant_that_has_not_come(tmp_path: Path, at: str) -> None:
    """Handhelds would refuse to judge until then."""
    assert patrouille(tmp_path, "init").returncode == 0
    done = patrouille(tmp_path, "prune", "--site", "1085", "--at", at)
    assert done.returncode == 1
    assert at in done.stderr or "2026-11-23T15:15:00Z" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_body_that_says_it_is_too_long_is_refused_before_it_is_read(service: Service) -> None:
    body = b"x" * (service.settings.largest_json + 1)
    answer = service.client(None).post("/v1/enrolments", content=body)
    assert (answer.status_code, answer.json()["type"]) == (413, "/problems/too-large")


@pytest.mark.parametrize(
    ("variable", "value", "setting"),
    [
        ("PATROUILLE_RETENTION_HOURS", "6", ("retention_hours", 6)),
        ("PATROUILLE_KEY_CACHE_SECONDS", "0.5", ("key_cache_seconds", 0.5)),
        ("PATROUILLE_NOTICE_DAYS", "", ("notice_days", 30)),
    ],
)
def test_every_limit_is_set_by_a_variable_of_its_name(
    tmp_path: Path, variable: str, value: str, setting: tuple[str, float]
) -> None:
    name, expected = setting
    assert getattr(Settings.load(tmp_path, {variable: value}), name) == expected


@pytest.mark.parametrize("value", ["soon", "-1", "nan", "inf"])
def test_a_limit_that_is_none_is_told(tmp_path: Path, value: str) -> None:
    with pytest.raises(UnusableSetting, match="PATROUILLE_KEY_CACHE_SECONDS"):
        Settings.load(tmp_path, {"PATROUILLE_KEY_CACHE_SECONDS": value})


def test_a_poll_shows_how_far_its_device_has_come(service: Service) -> None:
    handheld = service.handheld()
    state = handheld.pull()
    devices = service.admin.get("/v1/devices", params={"limit": 500}).json()["items"]
    (found,) = (device for device in devices if device["id"] == handheld.id)
    (cursor,) = found["cursors"]
    assert (cursor["cursor"], cursor["sequence"]) == (state.cursor, state.sequence)


def test_nobody_waits_behind_pushes_that_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record is held; sixty feeders wait. Checks, new keys and polls do not."""
    with running(tmp_path) as service, ThreadPoolExecutor(60) as pool:
        service.site()
        service.permit("ABC123")
        device = service.device_client()
        cursor = device.get("/v1/sites/1085/changes").json()["cursor"]
        feeder, new_key = service.feeder, service.client(service.key("reader"))
        feeder.post("/v1/plate-updates", json={"updates": []}).raise_for_status()
        held, enough = threading.Event(), threading.Event()

        def hold(*arguments: Any, **named: Any) -> Any:
            held.set()
            assert enough.wait(DEADLINE)
            return {}

        monkeypatch.setattr("enforcement_api.permits.intake.heartbeat", hold)
        try:
            pushes = [
                pool.submit(feeder.post, "/v1/plate-updates", json={"updates": []})
                for _ in range(60)
            ]
            assert held.wait(DEADLINE)
            query = {"plate": "ABC123", "zone": "G1"}
            assert new_key.get("/v1/sites/1085/check", params=query).json()["verdict"] == "valid"
            page = device.get("/v1/sites/1085/changes", params={"after": cursor})
            assert page.status_code == 200
            assert not any(push.done() for push in pushes)
        finally:
            enough.set()
        assert {push.result(DEADLINE).status_code for push in pushes} == {200}


def test_a_check_with_a_new_key_waits_behind_no_other_work(tmp_path: Path) -> None:
    """Every thread of the pool is busy; a key has threads of its own."""
    with running(tmp_path) as service:
        service.site()
        service.permit("ABC123")
        new_key = service.client(service.key("reader"))
        enough = threading.Event()

        async def fill_the_pool() -> list[asyncio.Task[Any]]:
            threads = int(to_thread.current_default_thread_limiter().total_tokens)
            tasks = [
                asyncio.create_task(to_thread.run_sync(enough.wait, DEADLINE))
                for _ in range(threads)
            ]
            await asyncio.sleep(0)
            return tasks

        tasks = service.loop.run(fill_the_pool())
        try:
            query = {"plate": "ABC123", "zone": "G1"}
            answer = new_key.get("/v1/sites/1085/check", params=query)
            assert answer.json()["verdict"] == "valid"
            assert not any(task.done() for task in tasks)
        finally:
            enough.set()


def test_answers_do_not_wait_for_acknowledgements() -> None:
    """Nagle's delay, 40 ms of each answer, is off on every connection that is accepted."""

    async def accepted() -> int:
        off: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connection = writer.get_extra_info("socket")
            off.set_result(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        listening = listen("127.0.0.1", 0)
        async with await asyncio.start_server(connected, sock=listening):
            _, writer = await asyncio.open_connection(*listening.getsockname()[:2])
            try:
                return await asyncio.wait_for(off, DEADLINE)
            finally:
                writer.close()
                await writer.wait_closed()

    assert asyncio.run(accepted())
