"""What is set for patrols: changed by parts, never over what somebody else set meanwhile."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from enforcement_api.audit import store as audit
from enforcement_api.database.engine import Record
from enforcement_api.patrols import setting, store
from enforcement_api.patrols.core import PatrolSettings
from enforcement_api.security import ForbiddenSite, Principal
from enforcement_api.sites.core import UnknownSite
from enforcement_api.sites.pieces import Seen, SiteChanged
from enforcement_api.sites.shapes import SiteShape
from tests.contracts.composed import START, Composed

OFFICE = Principal(id="ann", role="admin", name="Ann", source="ann", sites=None)
Edit = Callable[[PatrolSettings], PatrolSettings]


@pytest.fixture
def record_with_site(record: Record) -> Record:
    plan = SiteShape.model_validate({"name": "CHUS"}).plan("1085")
    Composed(record).administration.put_site(plan, by=OFFICE, at=START)
    return record


def minutes(void: int) -> Edit:
    def edit(before: PatrolSettings) -> PatrolSettings:
        settings = before.settings.model_copy(update={"void_minutes": void})
        return before.model_copy(update={"settings": settings})

    return edit


def footer(words: str) -> Edit:
    def edit(before: PatrolSettings) -> PatrolSettings:
        shown = before.model_dump(mode="json")
        shown["texts"]["avis"]["fr"]["footer"] = words
        return PatrolSettings.model_validate(shown)

    return edit


def seen(record: Record, name: str) -> Seen:
    now = setting.pieces(record.read(lambda tx: store.settings(tx, "1085")))
    return Seen.read(str(Seen.of_records({name: now[name]})))


def change(
    record: Record, edit: Edit, of: Seen | None = None, site: str = "1085"
) -> PatrolSettings:
    return setting.change(record, site, edit, seen=of, by=OFFICE, at=START)


def test_one_part_is_set_and_the_other_stays(record_with_site: Record) -> None:
    record = record_with_site
    of_settings, of_texts = seen(record, "settings"), seen(record, "texts")
    change(record, minutes(20), of_settings)
    after = change(record, footer("Merci."), of_texts)
    assert after.settings.void_minutes == 20
    assert after.texts.avis.fr.footer == "Merci."
    assert record.read(lambda tx: store.settings(tx, "1085")) == after


def test_what_was_set_meanwhile_is_told_and_stays(record_with_site: Record) -> None:
    record = record_with_site
    of_texts = seen(record, "texts")
    change(record, footer("Merci."))
    with pytest.raises(SiteChanged) as refused:
        change(record, footer("Bonne route."), of_texts)
    assert refused.value.extra["changed"] == ["texts/avis/fr/footer"]
    assert refused.value.extra["now"]["texts"]["avis/fr/footer"] == "Merci."
    assert record.read(lambda tx: store.settings(tx, "1085")).texts.avis.fr.footer == "Merci."


def test_setting_is_told_in_the_log(record_with_site: Record) -> None:
    record = record_with_site
    change(record, minutes(20))
    (entry,) = record.read(lambda tx: audit.entries(tx, "patrol-settings:1085", site="1085"))
    assert (entry.by, entry.action) == (OFFICE.actor, "replaced")


def test_nothing_is_set_for_a_site_that_is_not_there_or_not_theirs(record: Record) -> None:
    with pytest.raises(UnknownSite):
        change(record, minutes(20), site="9999")
    stranger = Principal(id="x", role="admin", name="X", source="x", sites=frozenset({"2000"}))
    with pytest.raises(ForbiddenSite):
        setting.change(record, "1085", minutes(20), seen=None, by=stranger, at=START)
