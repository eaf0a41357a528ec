"""A card number that somebody sends anywhere is stored nowhere, logged nowhere, and echoed nowhere.

Every operation of the OpenAPI document is asked as somebody who may, with a card number in each of
its fields in turn, beside them, as the whole body, and in each parameter. Then all that the service
wrote and said is searched. A word that is no card number is sent the same way: it is found, so that
the search and the requests are seen to work.
"""

from __future__ import annotations

import copy
import gzip
import itertools
import json
import logging
import re
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_plus

import httpx
import pytest
import sqlalchemy as sa

from enforcement_api.database.tables import metadata
from enforcement_api.shapes import UUID_PATTERN
from enforcement_api.subscriptions import confirming, payment_routes
from tests.endpoints import HERE, ROLES, ROWS, Ask, World, operations, payment_event
from tests.local_provider import LocalProvider, shared_provider
from tests.service import Service, ndjson, new_id, running

__all__ = ["shared_provider"]

NUMBER = "4539148803436467"
OTHERS = ("5425233430109903", "374245455400126")
SPELLINGS: tuple[str, ...] = (
    NUMBER,
    " ".join(re.findall("....", NUMBER)),
    "-".join(re.findall("....", OTHERS[0])),
    ".".join(re.findall("....", NUMBER)),
    "\u00a0".join(re.findall("....", NUMBER)),
    "".join(chr(0xFF10 + int(digit)) for digit in NUMBER),
    "".join(chr(0x0660 + int(digit)) for digit in NUMBER),
    f"{OTHERS[1][:4]} {OTHERS[1][4:10]} {OTHERS[1][10:]}",
    f"Ma carte : {NUMBER}, merci",
)
WORD = "Fauvettes7"
"""What is no card number: kept wherever text is kept."""
WRITES = ("POST", "PUT", "PATCH")

A_FEEDERS = {
    ("pushPlateUpdates", "/updates/0/id"),
    ("pushPlateUpdates", "/updates/0/permit_number"),
    ("reconcilePermits", "/0/id"),
    ("reconcilePermits", "/0/permit_number"),
    ("putInfraction", "/known/0/id"),
    ("putInfraction", "/known/0/permit_number"),
}
"""Ids and numbers of permits are a feeder's: one of 16 digits is not ours to doubt."""


WITHIN = {
    ("putHolder", "/email"): "{}@example.org",
    ("putPaymentPage", "/return_url"): "https://example.org/merci?carte={}",
    ("putPatrolSettings", "/texts/payment_url"): "https://example.org/payer?carte={}",
}
"""Text of which a card number can be but a part."""


# Searching


def digits_of(text: str) -> str:
    """The text as a person might still read a number in it: letters and digits, of any script and
    however they are escaped.
    """
    plain = re.sub(r"\\u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)), text)
    plain = re.sub(r"[\W_]+", "", unquote_plus(plain))
    if plain.isascii():
        return plain
    plain = unicodedata.normalize("NFKC", plain)
    return re.sub(r"[^\x00-\x7f]", lambda m: str(unicodedata.decimal(m[0], m[0])), plain)


def holds(text: str, *wanted: str) -> bool:
    plain = digits_of(text)
    return any(each in plain for each in wanted)


def kept_by(service: Service) -> Iterator[tuple[str, str]]:
    """Everything that the service has written: where, and what."""
    for path in sorted(service.folder.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            if path.suffix == ".gz":
                content = gzip.decompress(content)
            for how in ("utf-8", "ascii"):  # what is no text may lie between two digits
                yield f"{path} as {how}", content.decode(how, "ignore")
    with service.parts.record.reading() as tx:
        for table in metadata.sorted_tables:
            for row in tx.execute(sa.select(table)):
                yield table.name, json.dumps(list(map(str, row)), ensure_ascii=False)


# Asking


class Everybody:
    """Asks every operation as somebody who may, and remembers what was answered."""

    def __init__(self, service: Service) -> None:
        self.world = World(service)
        self.answers: list[tuple[str, str]] = []
        self.kept: set[tuple[str, str]] = set()
        """Operations and fields by which the word was taken."""
        self._shapes = itertools.cycle(
            (str, lambda _: int(NUMBER), lambda s: [s], lambda s: {s: s})
        )
        self._document = service.client(None).get("/openapi.json").json()

    def client(self, operation: str) -> httpx.Client:
        """Of the last role that is let in: an administrator or a device rather than a reader."""
        nobody, *others = ROWS[operation][0].split()
        statuses = dict(zip(ROLES, (nobody, nobody, nobody, *others), strict=True))
        here = ("reader", "feeder", "device", "admin")
        role = next((role for role in reversed(here) if statuses[role] < "400"), "no key")
        return self.world.clients[role]

    def send(self, operation: str, asked: Ask, what: str, **how: Any) -> httpx.Response:
        method, template = operations()[operation]
        path = template.format(**{name: quote(part, safe="") for name, part in asked.path.items()})
        answer = self.client(operation).request(method, path, **(asked.how | how))
        told = f"{operation} {what}: {answer.status_code}"
        assert answer.status_code < 500, (told, answer.text)
        self.answers.append((told, f"{answer.text} {list(answer.headers.items())}"))
        return answer

    # What can be asked with

    def schema(self, operation: str, body: Any) -> dict[str, Any]:
        """What the document says of a body in JSON."""
        method, template = operations()[operation]
        told = self._document["paths"][template][method.lower()].get("requestBody", {})
        content = told.get("content", {}).get("application/json", {})
        schema = self.resolved(content.get("schema", {}), body)
        return schema | ({"examples": [content["example"]]} if "example" in content else {})

    def resolved(self, schema: dict[str, Any], body: Any = None) -> dict[str, Any]:
        """A schema; of several, the one that a body has, or the first that is not null."""
        if "$ref" in schema:
            found = self._document["components"]["schemas"]
            return self.resolved(found[schema["$ref"].rpartition("/")[2]], body)
        several = schema.get("anyOf", schema.get("oneOf"))
        if several is None:
            return schema
        whole = [self.resolved(one, body) for one in several]
        return next(one for one in whole if one.get("type") != "null" and is_of(one, body))

    def example(self, operation: str, body: Any) -> Any:
        """What the document says that a body looks like, as full as it says."""
        schema = self.schema(operation, body)
        parts = schema.get("properties", {}).items()
        of_parts = {name: part["examples"][0] for name, part in parts if "examples" in part}
        return next(iter(schema.get("examples", ())), of_parts)

    def fields(self, body: Any, schema: dict[str, Any], at: str = "") -> Iterator[str]:
        """Where there is text in a body, or there could be."""
        schema = self.resolved(schema, body)
        if isinstance(body, dict):
            parts = schema.get("properties", {})
            for name in {**parts, **body}:
                if name in body:
                    yield from self.fields(body[name], parts.get(name, {}), f"{at}/{name}")
                elif self.resolved(parts[name]).get("type") == "string":
                    yield f"{at}/{name}"
        elif isinstance(body, list):
            for i, part in enumerate(body[:1]):
                yield from self.fields(part, schema.get("items", {}), f"{at}/{i}")
        elif isinstance(body, str) or (body is None and at):
            yield at

    def body(self, operation: str, asked: Ask) -> Any:
        """A valid body with every field that the example has; None where JSON is not asked for."""
        given = asked.how.get("json")
        if operation in ("reconcilePermits", "pushPlateUpdates"):
            # One that is new: another version of a known one would be refused for that.
            updates = [self.world.service.update(vehicle={"colour": "rouge"})]
            given = updates if operation == "reconcilePermits" else {"updates": updates}
        if isinstance(given, dict) and is_id(given.get("id")):
            given = given | {"id": new_id()}
        return None if given is None else filled(given, self.example(operation, given))

    def how(self, operation: str, body: Any) -> dict[str, Any]:
        if operation == "reconcilePermits":
            at = self.world.service.clock().isoformat().replace("+00:00", "Z")
            return {"content": ndjson(*body), "params": {"as_of": at, "count": len(body)}}
        return {"json": body}

    def parameters(self, operation: str) -> list[str]:
        method, template = operations()[operation]
        told = self._document["paths"][template][method.lower()].get("parameters", ())
        return [one["name"] for one in told if one["in"] == "query"]

    # What is asked

    def try_fields(self, operation: str, spelling: Callable[[], str]) -> None:
        ask = ROWS[operation][1]
        body = self.body(operation, ask(self.world))
        for pointer in self.fields(body, self.schema(operation, body)):
            form = WITHIN.get((operation, pointer), "{}")
            for given in (WORD, form.format(spelling()), form.format(NUMBER)):
                if given is not WORD and (operation, pointer) in A_FEEDERS:
                    continue
                asked = ask(self.world)
                fresh = self.body(operation, asked)
                how = self.how(operation, changed(fresh, pointer, given))
                answer = self.send(operation, asked, f"{pointer}={given!r}", **how)
                is_refused = answer.status_code >= 300 or '"rejected":[{' in answer.text
                if given is WORD and not is_refused:
                    self.kept.add((operation, pointer))

    def try_beside(self, operation: str, spelling: Callable[[], str]) -> None:
        ask = ROWS[operation][1]
        body = self.body(operation, ask(self.world))
        for pointer in places(body):
            for name, given in (("card", next(self._shapes)(spelling())), (spelling(), "x")):
                asked = ask(self.world)
                fresh = self.body(operation, asked)
                more = changed(fresh, f"{pointer}/{name}", given)
                self.send(operation, asked, f"{pointer}/{name}", **self.how(operation, more))

    def try_whole(self, operation: str, spelling: Callable[[], str]) -> None:
        ask, forms = ROWS[operation][1], itertools.cycle((NUMBER, '"{}"', "card={}", "[{}]"))
        kinds = ("application/json", "application/x-ndjson", "text/plain", "image/png")
        for kind in (*kinds, "application/x-www-form-urlencoded", "application/json"):
            asked = ask(self.world)
            asked.how.pop("json", None)
            content = next(forms).format(spelling()).encode()
            self.send(operation, asked, kind, content=content, headers={"Content-Type": kind})

    def try_parameters(self, operation: str, spelling: Callable[[], str]) -> None:
        ask = ROWS[operation][1]
        for name in ("card", *self.parameters(operation)):
            asked = ask(self.world)
            params = asked.how.get("params", {}) | {name: spelling()}
            self.send(operation, asked, f"?{name}", params=params)
        for name in ask(self.world).path if "{" in operations()[operation][1] else ():
            asked = ask(self.world)
            asked.path[name] = spelling()
            self.send(operation, asked, f"{{{name}}}")

    def try_pages(self, spelling: Callable[[], str]) -> None:
        """Pages for people, of which the document does not tell."""
        nobody = self.world.clients["no key"]
        for method, path, name in (
            ("GET", confirming.PATH, "jeton"),
            ("POST", confirming.PATH, "jeton"),
            ("GET", payment_routes.RETURN, "ticket"),
            ("GET", payment_routes.RETURN, "langue"),
        ):
            for given in (NUMBER, spelling()):
                answer = nobody.request(method, path, params={name: given})
                assert answer.status_code < 500
                self.answers.append((f"{method} {path}?{name}", answer.text))

    def try_signed_events(self, spelling: Callable[[], str]) -> None:
        """As the provider would sign them, if it did what it never does."""
        for name in ("ticket", "order", "card"):
            for given in (NUMBER, spelling(), int(NUMBER)):
                asked = payment_event(self.world, json.dumps({"ticket": "t", name: given}).encode())
                self.send("tellPaymentEvent", asked, f"{name}={given}")


def filled(given: Any, example: Any) -> Any:
    """What is given, with what an example has besides."""
    if isinstance(given, dict) and isinstance(example, dict):
        # But for ids: nothing has those of an example.
        more = {name: part for name, part in example.items() if not is_id(part)}
        return more | {name: filled(part, example.get(name)) for name, part in given.items()}
    if isinstance(given, list) and isinstance(example, list) and given and example:
        return [filled(each, example[0]) for each in given]
    return copy.deepcopy(given)


def is_id(part: Any) -> bool:
    return isinstance(part, str) and re.fullmatch(UUID_PATTERN, part) is not None


def is_of(schema: dict[str, Any], body: Any) -> bool:
    """Whether a body has the constants of a schema."""
    parts = schema.get("properties", {}).items()
    told = {name: part["const"] for name, part in parts if "const" in part}
    return not isinstance(body, dict) or all(body.get(name) == told[name] for name in told)


def places(body: Any, at: str = "") -> Iterator[str]:
    """Where there is an object in a body, to which something could be added."""
    if isinstance(body, dict):
        yield at
        for name, part in body.items():
            yield from places(part, f"{at}/{name}")
    elif isinstance(body, list):
        for i, part in enumerate(body[:1]):
            yield from places(part, f"{at}/{i}")


def changed(body: Any, pointer: str, value: Any) -> Any:
    """The body with a value at a pointer."""
    whole = copy.deepcopy(body)
    *way, last = pointer.split("/")[1:]
    part = whole
    for step in way:
        part = part[int(step) if isinstance(part, list) else step]
    part[int(last) if isinstance(part, list) else last] = value
    return whole


KEEP_TEXT = {
    ("putSite", "/name"),
    ("putSite", "/address"),
    ("putSite", "/zones/0/note/fr"),
    ("putSite", "/codes/0/article"),
    ("putSite", "/no_notice/0/reason/en"),
    ("putPatroller", "/name"),
    ("putHotlistEntry", "/instructions"),
    ("createDevice", "/name"),
    ("putDeviceState", "/app_version"),
    ("enrolDevice", "/install_id"),
    ("putEvent", "/reason"),
    ("putPatrolSettings", "/texts/avis/fr/footer"),
    ("putPatrolMessage", "/text"),
    ("putInfraction", "/note"),
    ("putInfraction", "/place"),
    ("putInfraction", "/plate_raw"),
    ("putInfraction", "/patroller"),
    ("putInfraction", "/vehicle/colour"),
    ("reviewInfraction", "/note"),
    ("pushPlateUpdates", "/updates/0/vehicle/colour"),
    ("reconcilePermits", "/0/permit_number"),
    ("putCategory", "/name/fr"),
    ("putProduct", "/notice/fr"),
    ("putHolder", "/last_name"),
    ("putRequest", "/message"),
    ("decideRequest", "/reason"),
    ("changeSubscription", "/reason"),
    ("putVehicle", "/colour"),
    ("putMessage", "/body"),
    ("grantCourtesyPermit", "/reason"),
    ("refundPayment", "/reason"),
    ("receivePayment", "/reference"),
}
"""Fields that keep whatever they are given: the requests that fill them are seen to be good."""


@pytest.fixture
def service(
    tmp_path: Path, database_url: str | None, shared_provider: LocalProvider
) -> Iterator[Service]:
    settings = shared_provider.settings | {"enrolment_failures_per_minute": 100_000}
    with running(tmp_path, database_url=database_url, **settings) as service:
        yield service


def test_card_number_is_nowhere(
    service: Service, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore"):  # who asks, not who is asked
        logging.getLogger(name).setLevel(logging.CRITICAL)
    asking = Everybody(service)
    turns = itertools.cycle(SPELLINGS)

    def spelling() -> str:
        return next(turns)

    for operation, (method, _) in operations().items():
        if method in WRITES:
            asking.try_fields(operation, spelling)
            asking.try_beside(operation, spelling)
            asking.try_whole(operation, spelling)
        asking.try_parameters(operation, spelling)
    asking.try_pages(spelling)
    asking.try_signed_events(spelling)
    assert asking.kept >= KEEP_TEXT, KEEP_TEXT - asking.kept
    service.admin.get(f"/v1/sites/{HERE}/snapshot").raise_for_status()

    said = capfd.readouterr()
    logged = "\n".join([caplog.text, *(record.getMessage() for record in caplog.records)])
    wrote = [*kept_by(service), ("logs", logged), ("stderr", said.err), ("stdout", said.out)]
    places_with_one = [
        where for where, text in (*wrote, *asking.answers) if holds(text, NUMBER, *OTHERS)
    ]
    assert places_with_one == []

    # The search finds what is there.
    found = {where.partition(" ")[0] for where, text in wrote if holds(text, WORD)}
    tables = {"patrollers", "hotlist", "devices", "events", "infractions", "reviews", "audit_log",
              "permit_versions", "categories", "products", "holders", "requests", "vehicles",
              "messages", "courtesy_permits", "subscription_events",
              "patrol_messages"}  # fmt: skip
    assert tables <= found, tables - found
    assert any(Path(where).name.startswith("record.db") for where in found) == (
        service.parts.record.is_sqlite
    )
    assert any(holds(text, WORD) for _, text in asking.answers)
    for text in SPELLINGS:
        assert holds(f"avant {text} après", NUMBER, *OTHERS)
        assert holds(json.dumps([text]), NUMBER, *OTHERS)
        assert holds(quote(text), NUMBER, *OTHERS)


def test_log_of_the_service_and_of_its_libraries_holds_none(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    log = logging.getLogger("uvicorn.error")
    for text in (NUMBER, *SPELLINGS):
        log.error("%s %s failed: %s", "PUT", f"/v1/x/{text}", text)
        try:
            raise ValueError(f"{text} is no place")
        except ValueError:
            log.exception("failed")
    log.error(WORD)
    assert not holds(caplog.text, NUMBER, *OTHERS)
    assert WORD in caplog.text
    assert "is no place" in caplog.text
