"""Attached files: kept once, taken for one thing, read by staff alone, gone with the last that
needs them; whatever happens meanwhile.
"""

from __future__ import annotations

import base64
import hashlib
import os
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from sqlalchemy import select, update

from enforcement_api import hashed_files
from enforcement_api.audit import store as audit
from enforcement_api.database.tables import attachments as table
from enforcement_api.problems import Invalid
from enforcement_api.subscriptions import attachments, inspection
from enforcement_api.subscriptions.attachments import Attachment
from tests.papers import as_a_telephone_takes_it, pdf, photograph
from tests.service import Service, new_id, picture

A_DAY = timedelta(days=1)
RED, GREEN, BLUE = (picture(colour, kind="PNG") for colour in ("red", "green", "blue"))
"""Made anew they are the same, and they are looked into sooner than documents are."""


def send(
    service: Service,
    content: bytes,
    *,
    id: str | None = None,
    by: httpx.Client | None = None,
    **query: str,
) -> httpx.Response:
    asked = {"site": "1085", "purpose": "proof", "name": "preuve.pdf"} | query
    client = by or service.admin
    return client.put(f"/v1/attachments/{id or new_id()}", params=asked, content=content)


def sent(service: Service, content: bytes, **query: Any) -> dict[str, Any]:
    answer = send(service, content, **query)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def download(service: Service, id: str) -> httpx.Response:
    return service.admin.get(f"/v1/attachments/{id}")


def on_disk(service: Service) -> list[str]:
    return list(hashed_files.names(service.settings.attachment_dir))


def stored(service: Service, id: str) -> Attachment:
    return service.parts.record.read(lambda tx: attachments.find(tx, id))


def use(
    service: Service, *ids: str, subject: str = "request:r1", purposes: Any = ("proof",)
) -> None:
    service.parts.record.write(
        lambda tx: attachments.use(
            tx, "1085", ids, purposes=purposes, subject=subject, pointer="/attachments"
        )
    )


def sweep(service: Service, *, after: timedelta = A_DAY) -> list[str]:
    at = service.clock()
    record, settings = service.parts.record, service.settings
    return [one.id for one in attachments.sweep(record, settings, before=at - after, at=at)]


def log(service: Service, id: str) -> list[tuple[str, str]]:
    with service.parts.record.reading() as tx:
        entries = audit.entries(tx, f"attachment:{id}", site="1085")
    return [(entry.action, entry.by.partition(":")[0]) for entry in entries]


@pytest.fixture
def service(service: Service) -> Service:
    service.site()
    return service


# Handing over


def test_document_comes_back_as_a_file_to_be_saved(service: Service) -> None:
    content = pdf()
    told = sent(service, content, name="Lettre d’appui — é.PDF")
    assert told == {
        "id": told["id"],
        "site": "1085",
        "purpose": "proof",
        "name": "Lettre d’appui — é.pdf",
        "media_type": "application/pdf",
        "bytes": len(content),
        "received_at": "2026-11-23T15:15:00Z",
    }
    answer = download(service, told["id"])
    assert answer.content == content
    headers = answer.headers
    assert headers["content-type"] == "application/pdf"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert headers["cache-control"] == "no-store"
    kind, plain, encoded = headers["content-disposition"].split("; ")
    assert kind == "attachment"
    assert plain == 'filename="Lettre dappui  e.pdf"'
    assert unquote(encoded.removeprefix("filename*=UTF-8''")) == told["name"]
    assert on_disk(service) == [hashlib.sha256(content).hexdigest()]
    path = hashed_files.path_of(service.settings.attachment_dir, on_disk(service)[0])
    assert path.stat().st_mode & 0o777 == 0o600


def test_picture_is_kept_without_its_place(service: Service) -> None:
    given = as_a_telephone_takes_it()
    told = sent(service, given, name="photo.HEIC")
    answer = download(service, told["id"])
    assert told["name"] == "photo.HEIC.jpg"
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.content != given
    assert b"Exif" not in answer.content
    assert told["bytes"] == len(answer.content)
    kept = stored(service, told["id"])
    assert kept.given_sha256 == hashlib.sha256(given).hexdigest()


def test_same_file_again_gets_the_same_answer(service: Service) -> None:
    id, content = new_id(), photograph()
    first = send(service, content, id=id)
    service.clock.advance(hours=3)
    use(service, id)
    again = send(service, content, id=id.upper())
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()


def test_other_content_under_the_same_id_is_refused(service: Service) -> None:
    service.site("2000")
    id = new_id()
    assert send(service, RED, id=id).status_code == 201
    for answer in (
        send(service, GREEN, id=id),
        send(service, RED, id=id, purpose="cheque"),
        send(service, RED, id=id, site="2000"),
        send(service, RED, id=id, name="autre.pdf"),
    ):
        assert (answer.status_code, answer.json()["type"]) == (409, "/problems/attachment-conflict")
    assert download(service, id).content == RED


def test_two_who_send_the_same_at_once_are_both_answered(service: Service) -> None:
    id, answers = new_id(), []
    threads = [
        threading.Thread(target=lambda: answers.append(send(service, RED, id=id))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 201]
    assert len({answer.text for answer in answers}) == 1
    assert log(service, id) == [("attachment-received", "key")]


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("", "document.pdf"),
        ("..", "document.pdf"),
        (".pdf", "document.pdf"),
        ("preuve", "preuve.pdf"),
        ("preuve.jpg", "preuve.pdf"),
        ("preuve.exe", "preuve.exe.pdf"),
        ("C:\\Users\\marie\\preuve.pdf", "preuve.pdf"),
        ("../../etc/passwd", "passwd.pdf"),
        ("a\r\nSet-Cookie: x.pdf", "aSet-Cookie: x.pdf"),
        ("\u202efdp.exe\u202c.pdf", "fdp.exe.pdf"),
        ("e\u0301.pdf", "é.pdf"),
        ('"; filename="evil.html', '"; filename="evil.html.pdf'),
        ("x" * 900, "x" * 150 + ".pdf"),
        ("  deux   mots .pdf", "deux mots.pdf"),
    ],
)
def test_name_is_one_harmless_line_that_ends_as_its_kind_does(given: str, shown: str) -> None:
    assert attachments.shown_name(given, media_type="application/pdf") == shown


def test_name_that_no_database_stores_is_mended(service: Service) -> None:
    told = sent(service, pdf(), name="a\0b\u2028c.pdf")
    assert told["name"] == "a\N{REPLACEMENT CHARACTER}bc.pdf"
    assert "\n" not in download(service, told["id"]).headers["content-disposition"]


def test_header_holds_one_file_name_whatever_the_file_is_called(service: Service) -> None:
    told = sent(service, pdf(), name='a"; filename="b.html";\\é%.pdf')
    header = download(service, told["id"]).headers["content-disposition"]
    assert header.count('"') == 2
    assert header.isascii()
    assert unquote(header.rpartition("''")[2]) == told["name"]


def test_each_purpose_has_its_size(service: Service) -> None:
    proof, message = service.settings.largest_proof, service.settings.largest_message_file
    assert (proof, message) == (2 * 1024 * 1024, 10 * 1024 * 1024)
    document = pdf()
    for purpose, most in (("proof", proof), ("cheque", proof), ("message", message)):
        padded = document + b" " * (most - len(document))
        assert send(service, padded, purpose=purpose).status_code == 201
        answer = send(service, padded + b" ", purpose=purpose)
        assert (answer.status_code, answer.json()["type"]) == (413, "/problems/too-large")
        assert f"{most >> 20} MiB" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("content", "slug"),
    [
        (b"GIF89a", "unknown-kind-of-file"),
        (b"\xff\xd8\xff", "damaged-file"),
        (pdf(catalog="/OpenAction << /S /JavaScript /JS (x) >>"), "active-pdf"),
        (pdf(pages=inspection.MOST_PAGES + 1), "too-many-pages"),
    ],
)
def test_file_that_cannot_be_taken_leaves_nothing(
    service: Service, content: bytes, slug: str
) -> None:
    answer = send(service, content)
    assert (answer.status_code, answer.json()["type"]) == (422, f"/problems/{slug}")
    assert not service.settings.attachment_dir.exists()


def test_query_says_what_is_wrong_with_it(service: Service) -> None:
    path = f"/v1/attachments/{new_id()}"
    answer = service.admin.put(path, params={"site": "1085", "purpose": "x"}, content=pdf())
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/query/purpose"]
    answer = service.admin.put("/v1/attachments/x", params={"site": "1085", "purpose": "proof"})
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/path/id"]
    assert send(service, pdf(), site="9999").status_code == 404
    for id in ("x", new_id(), "a%00b"):
        assert download(service, id).status_code == 404


def test_files_of_another_site_are_not_for_a_key_of_this_one(service: Service) -> None:
    service.site("2000")
    told = sent(service, pdf())
    other = service.client(service.key("admin", sites=["2000"], name="other"))
    assert other.get(f"/v1/attachments/{told['id']}").status_code == 403
    assert other.delete(f"/v1/attachments/{told['id']}").status_code == 403
    assert send(service, pdf(), by=other).status_code == 403


# Being taken


def pointers(raised: pytest.ExceptionInfo[Invalid]) -> list[str]:
    return [error.pointer for error in raised.value.errors]


def test_file_is_taken_for_one_thing_again_and_again(service: Service) -> None:
    one, two = sent(service, RED)["id"], sent(service, GREEN)["id"]
    use(service, one, two.upper())
    use(service, two, one, one)
    with service.parts.record.reading() as tx:
        found = attachments.of_subjects(tx, "1085", ["request:r1", "request:r2"])
    assert {each.id for each in found} == {one, two}
    with pytest.raises(Invalid) as raised:
        use(service, one, subject="request:r2")
    assert pointers(raised) == ["/attachments/0"]
    assert stored(service, one).subject == "request:r1"


def test_each_file_that_cannot_be_taken_is_named_and_none_is_taken(service: Service) -> None:
    service.site("2000")
    good, cheque = sent(service, RED)["id"], sent(service, RED, purpose="cheque")["id"]
    elsewhere = sent(service, RED, site="2000")["id"]
    removed = sent(service, RED)["id"]
    assert service.admin.delete(f"/v1/attachments/{removed}").status_code == 204
    with pytest.raises(Invalid) as raised:
        use(service, good, cheque, elsewhere, new_id(), "no\0id", removed)
    assert pointers(raised) == [f"/attachments/{i}" for i in range(1, 6)]
    assert stored(service, good).subject is None


# Void cheques


def test_cheque_is_encrypted_and_each_reading_is_written_down(service: Service) -> None:
    content = pdf(objects={100: "(815-30000 transit 12345 compte 1234567)"})
    told = sent(service, content, purpose="cheque", name="spécimen.pdf")
    assert told["bytes"] == len(content)
    everything = b"".join(
        path.read_bytes() for path in service.settings.data_dir.rglob("*") if path.is_file()
    )
    assert b"1234567" not in everything
    assert download(service, told["id"]).content == content
    assert download(service, told["id"]).content == content
    assert log(service, told["id"]) == [
        ("attachment-received", "key"),
        ("attachment-read", "key"),
        ("attachment-read", "key"),
    ]
    other = sent(service, content)["id"]
    download(service, other)
    assert log(service, other) == [("attachment-received", "key")]


def test_log_tells_nothing_of_what_a_file_is_called(service: Service) -> None:
    told = sent(service, RED, purpose="cheque", name="Marie Tremblay.pdf")
    service.admin.delete(f"/v1/attachments/{told['id']}")
    answer = service.admin.get("/v1/audit", params={"subject": f"attachment:{told['id']}"})
    assert len(answer.json()["items"]) == 2
    assert "Tremblay" not in answer.text


def test_key_is_made_once_for_its_owner_alone(service: Service) -> None:
    key = service.settings.attachment_key_file
    sent(service, RED)
    assert not key.exists()
    one, two = (sent(service, RED, purpose="cheque")["id"] for _ in range(2))
    assert key.stat().st_mode & 0o777 == 0o600
    assert len(base64.b64decode(key.read_bytes())) == 32
    # Two who need one at once make one.
    answers: list[int] = []
    threads = [
        threading.Thread(
            target=lambda: answers.append(send(service, RED, purpose="cheque").status_code)
        )
        for _ in range(3)
    ]
    service.admin.delete(f"/v1/attachments/{one}")
    service.admin.delete(f"/v1/attachments/{two}")
    key.unlink()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert answers == [201, 201, 201]
    assert [path.name for path in key.parent.glob("attachment.key*")] == ["attachment.key"]


def test_same_cheque_is_another_file_each_time(service: Service) -> None:
    for _ in range(2):
        sent(service, RED, purpose="cheque")
    assert len(on_disk(service)) == 2


def told_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].removeprefix("/problems/")


def test_missing_key_is_told_and_no_new_one_is_made(service: Service) -> None:
    id, key = sent(service, RED, purpose="cheque")["id"], service.settings.attachment_key_file
    content = key.read_bytes()
    key.unlink()
    for answer in (download(service, id), send(service, RED, purpose="cheque")):
        assert told_of(answer) == (503, "attachment-key-missing")
        assert str(key) in answer.json()["detail"]
    assert not key.exists()
    assert sent(service, RED)  # other files need none
    key.write_bytes(content)
    assert download(service, id).content == RED


def test_wrong_key_is_told_and_nothing_is_sealed_with_it(service: Service) -> None:
    id, key = sent(service, RED, purpose="cheque")["id"], service.settings.attachment_key_file
    content = key.read_bytes()
    key.write_bytes(base64.b64encode(b"x" * 32))
    for answer in (download(service, id), send(service, RED, purpose="cheque")):
        assert told_of(answer) == (503, "attachment-key-wrong")
    for unusable in (b"", b"x", base64.b64encode(b"x" * 31), b"\xff" * 44):
        key.write_bytes(unusable)
        assert told_of(download(service, id)) == (503, "attachment-key-unusable")
    key.write_bytes(content)
    assert download(service, id).content == RED
    assert len(on_disk(service)) == 1


def test_key_that_is_lost_for_good_is_followed_by_a_new_one_once_nothing_needs_it(
    service: Service,
) -> None:
    id, key = sent(service, RED, purpose="cheque")["id"], service.settings.attachment_key_file
    key.unlink()
    assert service.admin.delete(f"/v1/attachments/{id}").status_code == 204
    new = sent(service, RED, purpose="cheque")["id"]
    assert download(service, new).content == RED


def test_cheque_in_the_place_of_another_is_not_opened(service: Service) -> None:
    one, two = (sent(service, content, purpose="cheque")["id"] for content in (RED, GREEN))
    other = stored(service, two).sha256
    service.parts.record.write(
        lambda tx: tx.execute(update(table).where(table.c.id == one).values(sha256=other))
    )
    assert told_of(download(service, one)) == (503, "seal-broken")
    assert download(service, two).content == GREEN


def test_damaged_or_lost_file_is_told(service: Service) -> None:
    for purpose in ("proof", "cheque"):
        id = sent(service, RED, purpose=purpose)["id"]
        path = hashed_files.path_of(service.settings.attachment_dir, stored(service, id).sha256)
        path.write_bytes(path.read_bytes()[:-1] + b"x")
        assert told_of(download(service, id)) == (503, "attachment-lost")
        path.unlink()
        assert told_of(download(service, id)) == (503, "attachment-lost")
        assert log(service, id) == [("attachment-received", "key")]


# Going


def test_removed_file_is_gone_and_its_name_forgotten(service: Service) -> None:
    id = sent(service, RED, name="Marie Tremblay.pdf")["id"]
    use(service, id)
    assert service.admin.delete(f"/v1/attachments/{id}").status_code == 204
    assert on_disk(service) == []
    for answer in (download(service, id), service.admin.delete(f"/v1/attachments/{id}")):
        assert told_of(answer) == (404, "attachment-removed")
    again = send(service, RED, id=id, name="Marie Tremblay.pdf")
    assert told_of(again) == (409, "attachment-conflict")
    assert "removed" in again.json()["title"]
    with service.parts.record.reading() as tx:
        assert tx.execute(select(table.c.name)).scalars().all() == [""]
    assert log(service, id)[-1] == ("attachment-removed", "key")


def test_same_file_is_kept_once_and_goes_with_the_last_that_needs_it(service: Service) -> None:
    service.site("2000")
    ids = [sent(service, RED)["id"], sent(service, RED, purpose="message")["id"]]
    ids.append(sent(service, RED, site="2000")["id"])
    assert len(on_disk(service)) == 1
    for n, id in enumerate(ids):
        assert download(service, id).content == RED
        assert service.admin.delete(f"/v1/attachments/{id}").status_code == 204
        assert len(on_disk(service)) == (0 if n == 2 else 1)


def test_file_that_nothing_took_within_a_day_is_swept(service: Service) -> None:
    taken, untaken = sent(service, RED)["id"], sent(service, GREEN)["id"]
    cheque = sent(service, RED, purpose="cheque")["id"]
    use(service, taken)
    service.clock.advance(hours=24)
    late = sent(service, BLUE)["id"]
    assert sweep(service) == []
    service.clock.advance(seconds=1)
    assert set(sweep(service)) == {untaken, cheque}
    assert len(on_disk(service)) == 2
    assert download(service, taken).content == RED
    assert download(service, late).content == BLUE
    assert told_of(download(service, untaken)) == (404, "unknown-attachment")
    assert log(service, untaken)[-1] == ("attachment-swept", "service")
    # It may come again.
    assert send(service, GREEN, id=untaken).status_code == 201


def test_sweep_deletes_what_crashes_left_and_nothing_else(service: Service) -> None:
    id = sent(service, RED)["id"]
    use(service, id)
    folder = service.settings.attachment_dir
    # Written, and the power failed before the record knew of it.
    hashed_files.keep(folder, hashlib.sha256(b"x").hexdigest(), b"x")
    old, new = (folder / "ab" / f"{name}.part" for name in ("old", "new"))
    old.parent.mkdir(exist_ok=True)
    for part in (old, new):
        part.write_bytes(b"half")
    os.utime(old, (0, 0))
    (folder / "README").write_text("of somebody")
    sweep(service)
    assert on_disk(service) == [stored(service, id).sha256]
    assert (old.exists(), new.exists(), (folder / "README").exists()) == (False, True, True)


def test_remove_without_its_sweep_is_made_good_by_the_next(service: Service) -> None:
    """As when the power fails between the two."""
    id, other = sent(service, RED)["id"], sent(service, RED)["id"]
    use(service, other)
    record, at = service.parts.record, service.clock()
    for one in (id, other):
        wanted = stored(service, one)
        record.write(lambda tx, w=wanted: attachments.remove(tx, [w], by="service", at=at))
        assert len(on_disk(service)) == 1
        sweep(service)
    assert on_disk(service) == []


class Paused:
    """Holds a call up until it is let go."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.reached, self.go_on = threading.Event(), threading.Event()
        self.times = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.times += 1
        result = self._function(*args, **kwargs)
        if self.times == 1:
            self.reached.set()
            assert self.go_on.wait(60)
        return result


def test_file_that_is_swept_while_it_is_handed_over_is_written_again(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lay there already, needed by nobody; the row that needs it is not written yet."""
    first = sent(service, RED)["id"]
    service.clock.advance(days=2)
    kept = Paused(hashed_files.keep)
    monkeypatch.setattr(hashed_files, "keep", kept)
    answers: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: answers.append(send(service, RED)))
    thread.start()
    assert kept.reached.wait(60)
    assert sweep(service) == [first]
    assert on_disk(service) == []
    kept.go_on.set()
    thread.join(60)
    assert answers[0].status_code == 201
    assert kept.times == 2
    assert download(service, answers[0].json()["id"]).content == RED


def test_sweep_waits_for_who_is_writing_the_row(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is there and needed by nobody; the row that needs it is not committed yet."""
    folder = service.settings.attachment_dir
    hashed_files.keep(folder, hashlib.sha256(RED).hexdigest(), RED)
    paused = Paused(audit.append)
    answers: list[httpx.Response] = []
    writer = threading.Thread(target=lambda: answers.append(send(service, RED)))
    sweeper = threading.Thread(target=lambda: sweep(service))
    with monkeypatch.context() as patched:
        patched.setattr(audit, "append", paused)
        writer.start()
        assert paused.reached.wait(60)
        sweeper.start()
        sweeper.join(0.3)
        assert sweeper.is_alive()
        paused.go_on.set()
        writer.join(60)
        sweeper.join(60)
    assert download(service, answers[0].json()["id"]).content == RED


def test_two_who_take_one_file_at_once_do_not_both_get_it(service: Service) -> None:
    id = sent(service, RED)["id"]
    outcomes: list[str] = []

    def take(subject: str) -> None:
        try:
            use(service, id, subject=subject)
            outcomes.append("taken")
        except Invalid:
            outcomes.append("refused")

    threads = [threading.Thread(target=take, args=(f"request:{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(outcomes) == ["refused", "refused", "refused", "taken"]


def test_many_files_are_swept_and_sent_at_once_and_none_that_is_named_is_lost(
    service: Service,
) -> None:
    """Few contents under many ids, sent, removed and swept by several at the same time."""
    failures: list[BaseException] = []
    alive: set[str] = set()
    stopping = threading.Event()

    def people(number: int) -> None:
        try:
            for n in range(6):
                content = (RED, GREEN)[(n + number) % 2]
                id = sent(service, content)["id"]
                assert download(service, id).status_code == 200
                if n % 3:
                    service.admin.delete(f"/v1/attachments/{id}").raise_for_status()
                else:
                    alive.add(id)
        except BaseException as failure:
            failures.append(failure)

    def sweeper() -> None:
        try:
            while not stopping.is_set():
                sweep(service)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=people, args=(n,)) for n in range(3)]
    broom = threading.Thread(target=sweeper)
    for thread in (*threads, broom):
        thread.start()
    for thread in threads:
        thread.join(60)
    stopping.set()
    broom.join(60)
    assert failures == []
    assert len(alive) == 6
    for id in alive:
        assert download(service, id).status_code == 200
    sweep(service)
    assert len(on_disk(service)) == 2
