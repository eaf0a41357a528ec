"""What the handheld says, in both languages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from handheld_app import wording
from handheld_app.handheld import Handheld
from handheld_app.patrol import NotReady
from handheld_app.wording import (
    age_of_knowledge,
    duration,
    face,
    instant,
    permit_title,
    verdict_word,
)
from sync.entities import Vehicle, Zone
from sync.plates import UnusablePlate
from sync.replica import BeforeRetention
from sync.validity import VERDICTS
from sync.wording import LANGUAGES, day, outcome_words, zone_title
from tests.handheld_app.conftest import DAY, NOW, World, fill

SHERBROOKE = ZoneInfo("America/Toronto")
MIDNIGHT = datetime(2026, 11, 24, 5, tzinfo=UTC)
"""The end of 23 November in Sherbrooke."""


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


def test_verdict_words_are_those_of_the_domain() -> None:
    assert [verdict_word(verdict, "fr") for verdict in VERDICTS] == [
        "VALIDE",
        "EN ACTIVATION",
        "AUTRE ZONE",
        "PAS DÉBUTÉ",
        "SUSPENDU",
        "EXPIRÉ",
        "ANNULÉ",
        "INCONNU",
    ]
    assert [verdict_word(verdict, "en") for verdict in VERDICTS] == [
        "VALID",
        "NOT YET ACTIVE",
        "WRONG ZONE",
        "NOT STARTED",
        "SUSPENDED",
        "EXPIRED",
        "CANCELLED",
        "UNKNOWN",
    ]


@pytest.mark.parametrize(
    ("permit", "fr", "en"),
    [
        (
            {"ends_at": MIDNIGHT + 10 * DAY},
            ["Jusqu’au 3 décembre 2026 inclus"],
            ["Until December 3, 2026, included"],
        ),
        (
            {"ends_at": NOW + timedelta(hours=2)},
            ["Jusqu’à aujourd’hui à 17 h 05"],
            ["Until today at 17:05"],
        ),
        (
            {"ends_at": NOW + timedelta(days=5, hours=2)},
            ["Jusqu’au 28 novembre à 17 h 05"],
            ["Until November 28 at 17:05"],
        ),
        ({}, ["Durée indéterminée"], ["No end date"]),
        (
            {"active_from": NOW + timedelta(hours=19, minutes=20)},
            ["Actif demain à 10 h 25", "dans 19 h 20"],
            ["Active tomorrow at 10:25", "in 19 h 20"],
        ),
        (
            {"active_from": NOW + timedelta(days=3)},
            ["Actif le 26 novembre à 15 h 05", "dans 3 jours"],
            ["Active November 26 at 15:05", "in 3 days"],
        ),
        (
            {"zone": "G2 M1"},
            [
                "Bon pour : Zone G2 · Fleurimont, M1 · Médecins",
                "Vous êtes ici : Zone G1 · Hôtel-Dieu",
            ],
            ["Good in: Zone G2 · Fleurimont, M1 · Doctors", "You are in: Zone G1 · Hôtel-Dieu"],
        ),
        (
            {"starts_at": MIDNIGHT + 7 * DAY},
            ["À partir du 1er décembre 2026"],
            ["From December 1, 2026"],
        ),
        (
            {"starts_at": NOW + timedelta(hours=20)},
            ["Dès demain à 11 h 05"],
            ["From tomorrow at 11:05"],
        ),
        (
            {"starts_at": NOW + timedelta(days=8)},
            ["À partir du 1er décembre à 15 h 05"],
            ["From December 1 at 15:05"],
        ),
        ({"status": "suspended"}, ["Le permis est suspendu"], ["The permit is suspended"]),
        (
            {"ends_at": MIDNIGHT - 20 * DAY},
            ["Depuis le 4 novembre 2026"],
            ["Since November 4, 2026"],
        ),
        (
            {"status": "cancelled", "ends_at": NOW - timedelta(hours=3)},
            ["Depuis aujourd’hui à 12 h 05"],
            ["Since today at 12:05"],
        ),
        (
            {"status": "cancelled", "ends_at": NOW - timedelta(days=3, hours=2)},
            ["Depuis le 20 novembre à 13 h 05"],
            ["Since November 20 at 13:05"],
        ),
        (None, ["Aucun permis pour cette plaque"], ["No permit for this plate"]),
    ],
)
def test_a_verdict_gives_its_reasons(
    handheld: Handheld,
    world: World,
    permit: dict[str, Any] | None,
    fr: list[str],
    en: list[str],
) -> None:
    if permit is not None:
        world.permit("ABC123", **permit)
    fill(handheld, world)
    patrol = handheld.patrol
    check = patrol.check("ABC123", "CA-QC").check
    site = patrol.site()
    assert site is not None
    for lang, expected in (("fr", fr), ("en", en)):
        seen = face(check, site=site, zones=patrol.zones(), lang=lang)
        assert [plain(line) for line in seen.reasons] == expected


def test_a_vehicle_is_shown_when_known(handheld: Handheld, world: World) -> None:
    world.permit("ABC123", vehicle=Vehicle("Toyota", "gris"))
    world.permit("ABC124", vehicle=Vehicle(None, "rouge"))
    fill(handheld, world)
    site = handheld.patrol.site()
    assert site is not None
    seen = [
        face(handheld.patrol.check(plate, "CA-QC").check, site=site, zones={}, lang="fr").vehicle
        for plate in ("ABC123", "ABC124")
    ]
    assert seen == ["gris · Toyota", "rouge"]


def test_a_courtesy_permit_is_told_in_the_place_of_the_vehicle(
    handheld: Handheld, world: World
) -> None:
    world.permit("LTN456", number="COURTOISIE-100000001")
    world.permit("LTN457", zone="G2", number="COURTOISIE-100000002")
    world.permit("ABC123")
    fill(handheld, world)
    site = handheld.patrol.site()
    assert site is not None
    for lang, told in (("fr", "Permis de courtoisie"), ("en", "Courtesy permit")):
        for plate, expected in (("LTN456", told), ("LTN457", told), ("ABC123", "")):
            check = handheld.patrol.check(plate, "CA-QC").check
            seen = face(check, site=site, zones=handheld.patrol.zones(), lang=lang)
            assert seen.vehicle == expected
        (permit,) = handheld.patrol.check("LTN456", "CA-QC").check.judgement.permits
        assert permit_title(permit, lang) == f"{told} 100000001"


def test_instants_are_told_on_the_sites_clock() -> None:
    at = datetime(2027, 3, 1, 4, 30, tzinfo=UTC)
    assert plain(instant(at, SHERBROOKE, "fr", now=NOW)) == "28 février 2027 à 23 h 30"
    assert instant(at, SHERBROOKE, "en", now=NOW) == "February 28, 2027 at 23:30"


def test_the_hour_that_comes_twice_tells_which() -> None:
    at = datetime(2026, 11, 1, 6, 30, tzinfo=UTC)
    assert "01:30 (UTC-0500)" in instant(at, SHERBROOKE, "en", now=at).replace("1:30", "01:30")


def test_french_says_first_of_the_month() -> None:
    of = datetime(2026, 7, 1, tzinfo=UTC).date()
    assert (day(of, "fr"), day(of, "en")) == ("1er juillet 2026", "July 1, 2026")


@pytest.mark.parametrize(
    ("span", "fr", "en"),
    [
        (timedelta(seconds=30), "0 min", "0 min"),
        (timedelta(minutes=59), "59 min", "59 min"),
        (timedelta(hours=2, minutes=5), "2 h 05", "2 h 05"),
        (timedelta(days=3), "3 jours", "3 days"),
    ],
)
def test_lengths_of_time_are_short(span: timedelta, fr: str, en: str) -> None:
    assert [plain(duration(span, lang)) for lang in ("fr", "en")] == [fr, en]


def test_the_age_of_the_data_is_told() -> None:
    assert age_of_knowledge(NOW, "fr", now=NOW) == "Données à jour"
    assert age_of_knowledge(None, "fr", now=NOW) == "Données d’âge inconnu"
    assert plain(age_of_knowledge(NOW - 3 * DAY, "fr", now=NOW)) == "Données vieilles de 3 jours"


def test_the_two_instruments_never_mix() -> None:
    assert outcome_words("notice", "avis", "fr") == "Avis de réclamation"
    assert outcome_words("notice", "constat", "fr") == "Constat d’infraction"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Zone G1 · Hôtel-Dieu", "Zone G1 · Hôtel-Dieu"),
        ("G1", "G1"),
        ("Hôtel-Dieu", "G1 · Hôtel-Dieu"),
        ("Stationnement étagé de la zone G1", "G1 · Stationnement étagé de la zone G1"),
    ],
)
def test_a_zone_is_told_by_its_code_first(name: str, told: str) -> None:
    assert zone_title(Zone("G1", {"fr": name}, None), "fr") == told


def test_of_many_zones_with_long_names_the_codes_are_told() -> None:
    long = {"fr": "Centre hospitalier universitaire, pavillon Hôtel-Dieu"}
    zones = {code: Zone(code, long, None) for code in ("G1", "G2")}
    assert wording.zone_names(["G1", "G2"], zones, "fr") == "G1, G2"
    assert wording.zone_names(["G1"], zones, "fr").startswith("G1 · Centre")
    assert wording.zone_names(["*"], zones, "fr") == "toutes les zones"


@pytest.mark.parametrize(
    ("taken", "required", "fr", "en"),
    [
        (0, 0, "Photos", "Photos"),
        (0, 1, "Photos · encore 1 exigée", "Photos · 1 more needed"),
        (1, 3, "Photos · encore 2 exigées", "Photos · 2 more needed"),
        (12, 1, "Photos", "Photos"),
    ],
)
def test_photos_are_counted_while_some_are_needed(
    taken: int, required: int, fr: str, en: str
) -> None:
    assert [wording.photos_title(taken, required, lang) for lang in ("fr", "en")] == [fr, en]


def test_a_plate_that_is_not_judged_says_why(handheld: Handheld, world: World) -> None:
    fill(handheld, world)
    with pytest.raises(UnusablePlate) as short:
        handheld.patrol.check("A", "CA-QC")
    assert wording.not_judged(short.value, "fr")[0] == "Trop court"
    behind = NotReady()
    behind.__cause__ = BeforeRetention(NOW)
    assert wording.not_judged(behind, "fr")[0] == "Heure à régler"
    assert wording.not_judged(NotReady(), "fr")[0] == "Pas de verdict"


@pytest.mark.parametrize("lang", LANGUAGES)
def test_what_hinders_the_sync_is_told_with_what_to_do(lang: str) -> None:
    hinders = ("offline", "untrusted", "refused", "unauthorized", "revoked", "failing")
    for connection in hinders:
        told = wording.trouble(connection, lang, fetched=False, reason="why")
        assert told is not None
        assert told.word
        assert told.words
    for connection in ("starting", "online"):
        assert wording.trouble(connection, lang, fetched=False) is None
    known, unknown = (
        wording.trouble("offline", lang, fetched=fetched) for fetched in (True, False)
    )
    assert known != unknown


@pytest.mark.parametrize("lang", LANGUAGES)
def test_only_an_unknown_device_is_sent_to_enrol_again(lang: str) -> None:
    reason = "Site inconnu. Le site 2000 n’existe pas."
    refused = wording.trouble("refused", lang, fetched=True, reason=reason)
    unauthorized = wording.trouble("unauthorized", lang, fetched=True, reason=reason)
    assert refused is not None
    assert unauthorized is not None
    assert refused.words == reason
    assert reason not in unauthorized.words
    assert refused.word != unauthorized.word


def test_a_refused_enrolment_is_told_in_the_language_of_the_screen() -> None:
    problem = {"type": "/problems/enrolment-refused", "title": "T", "detail": "D"}
    assert "Ce code" in wording.enrolment_refused(problem, "fr")
    assert "This enrolment code" in wording.enrolment_refused(problem, "en")
    unheard = {"type": "/problems/unheard-of", "title": "Plus tard", "detail": "Attendez."}
    assert wording.enrolment_refused(unheard, "fr") == "Plus tard. Attendez."


def test_nothing_shown_has_a_character_that_the_letters_lack() -> None:
    missing = set("\u202f✓⚠→⌫●")
    package = Path(wording.__file__).parent
    shown = [*package.glob("*.kv"), *package.glob("screens/*"), package / "wording.py"]
    for source in shown:
        if source.is_file():
            assert not set(source.read_text(encoding="utf-8")) & missing, source
    # What only the terminal shows may have them: then the English has them too.
    catalogue = wording._catalogue("fr")._catalog  # type: ignore[attr-defined]
    for message, french in catalogue.items():
        assert set(french) & missing <= set(message) & missing, message


def test_what_the_machine_lacks_is_told_with_what_to_do() -> None:
    for lang in ("fr", "en"):
        told = wording.no_window("libraries", lang, packages=["libgl1", "libegl1"])
        assert "apt-get install libgl1 libegl1" in told
        assert "SSL_CERT_FILE" in wording.certificate_trouble("self-signed", lang)
        assert "(self-signed)" in wording.certificate_trouble("self-signed", lang)
