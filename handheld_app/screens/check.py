"""Type a plate, read the verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from kivy.clock import Clock
from kivy.metrics import dp
from kivy.properties import (
    AliasProperty,
    BooleanProperty,
    ColorProperty,
    NumericProperty,
    ObjectProperty,
    StringProperty,
)
from kivy.uix.behaviors import ButtonBehavior
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.gridlayout import GridLayout
from kivy.utils import get_hex_from_color

from handheld_app.alerts import Alert
from handheld_app.controls import Key, PatrolScreen, Sheet
from handheld_app.drafts import Draft, Sighting
from handheld_app.keyboard import BACKSPACE, ENTER, ESCAPE, KEYPAD_ENTER
from handheld_app.patrol import JURISDICTIONS, NotReady, Recorded
from handheld_app.screens.alert import AlertSheet
from handheld_app.screens.scan import ConfirmSheet, Scan
from handheld_app.theme import NOTHING, look
from handheld_app.wording import (
    AlertWords,
    Face,
    age_of_knowledge,
    alert_words,
    chalk_due,
    face,
    gettext,
    not_judged,
    trouble,
    warning,
)
from sync.plates import LONGEST, Plate, UnusablePlate, differing, normalise
from sync.validity import Verdict
from sync.wording import localized, short_jurisdiction, zone_title

ROWS = ("ABCD12", "EFGH34", "IJKL56", "MNOP78", "QRST90", "UVWXYZ")
"""Six keys a row, so that each is at least 48 dp wide on a screen of 360 dp: letters in the
order of the alphabet, digits in a block of their own on the right."""

LONGEST_TYPED = LONGEST + 2
"""A certificate number is a plate, a dash and a digit."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How the verdict's card is laid out: its sign `above` the word or beside or under it; all on
    one line if `tight`; a long word on two lines if `wrap`.

    The rest are sizes of letters in sp, and in dp the room at the edge and above what to compare.
    """

    above: bool
    tight: bool
    wrap: bool
    icon: int
    word: int
    detail: int
    note: int
    age: int
    edge: int = 5
    apart: int = 6


TIGHT = Plan(False, True, False, 34, 22, 14, 12, 12, edge=1, apart=0)
SMALL = Plan(False, False, False, 40, 40, 15, 13, 12, edge=2, apart=0)
LYING = Plan(False, False, True, 40, 40, 15, 13, 12, edge=3, apart=0)
MEDIUM = Plan(False, False, True, 60, 44, 19, 15, 15)
LARGE = Plan(True, False, False, 54, 46, 20, 15, 15)
LARGEST = Plan(True, False, False, 68, 46, 20, 15, 15)
HUGE = Plan(True, False, False, 120, 72, 28, 20, 18)


LITTLE = (TIGHT, SMALL, LYING)
"""Plans in which some things are left for the screen behind the card."""


def plan_for(width: float, height: float, rows: int) -> Plan:
    """The plan for a card of this width and height in dp, with so many rows of plates to compare.

    From 344 by 118, which is what a screen of 360 by 640 leaves, the word has 40 sp or more.
    """
    if width >= 600 and height >= 400:
        return HUGE
    wanted = 56 * max(0, rows - 1)
    plans = (
        (112, TIGHT),
        (160, SMALL),
        (184, LYING),
        (250 + wanted, MEDIUM),
        (280 + wanted, LARGE),
    )
    for least, plan in plans:
        if height < least:
            return plan
    return LARGEST


SETTLED = 1.0
"""Seconds for which a verdict stands until it counts as a check that somebody looked at."""
SWIPE = dp(72)
"""How far a finger goes across the verdict to see the last checks."""
REMIND_EVERY = 5
"""Seconds after which it is looked whether a marked vehicle's time is up."""


class Keypad(GridLayout):
    """A to Z and 0 to 9; calls `typed` with what was touched. The digits lie under the thumb: on
    the right, or on the left if `mirrored`.
    """

    typed = ObjectProperty(lambda glyph: None)
    mirrored = BooleanProperty(False)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.keys: dict[str, Key] = {}
        for glyph in "".join(ROWS):
            key = Key(glyph=glyph, digit=glyph.isdigit())
            key.by_keyboard = False  # a real keyboard has it already
            key.bind(on_press=lambda key: self.typed(key.glyph))
            self.keys[glyph] = key
        self.on_mirrored()

    def on_mirrored(self, *_: Any) -> None:
        self.clear_widgets()
        for row in ROWS:
            digits = sum(glyph.isdigit() for glyph in row)
            shown = row[-digits:] + row[:-digits] if self.mirrored and digits else row
            for glyph in shown:
                self.add_widget(self.keys[glyph])


def order(box: Any, mirrored: bool) -> None:
    """The children as kv has them, or the other way round."""
    if not hasattr(box, "upright"):
        box.upright = list(box.children)
    wanted = box.upright[::-1] if mirrored else box.upright
    if box.children != wanted:
        box.children[:] = wanted


class PlateField(BoxLayout):
    """The plate being typed, its jurisdiction on the left, backspace on the right."""

    text = StringProperty("")
    jurisdiction = StringProperty("CA-QC")
    where = AliasProperty(lambda self: short_jurisdiction(self.jurisdiction), bind=["jurisdiction"])


class VerdictCard(ButtonBehavior, BoxLayout):
    """The answer. Touched, it tells all that is known of the plate; swiped, the last checks."""

    swiped = ObjectProperty(lambda: None)

    word = StringProperty("")
    sign = StringProperty("looking")
    tone = StringProperty("idle")
    detail = StringProperty("")
    note = StringProperty("")
    aside = StringProperty("")
    vehicle = StringProperty("")
    age = StringProperty("")
    stale = BooleanProperty(False)
    more = BooleanProperty(False)
    plan = ObjectProperty(LARGEST, rebind=True)
    beside = BooleanProperty(False)
    """Whether the sign stands beside all that is told."""
    room = NumericProperty(0)
    """Height that is left for the reasons and the note."""
    ground = ColorProperty()
    ink = ColorProperty()
    age_ground = ColorProperty()
    age_ink = ColorProperty()

    def on_touch_up(self, touch: Any) -> bool:
        if touch.grab_current is self and abs(touch.x - touch.ox) > SWIPE > abs(touch.y - touch.oy):
            touch.ungrab(self)
            self.state = "normal"
            self.swiped()
            return True
        return bool(super().on_touch_up(touch))

    def ground_of_age(self, tones: Any, tone: str, stale: bool, age: str) -> Any:
        """The age stands out when stale, on whatever colour the verdict has."""
        if stale:
            return tones["wait"][tone == "wait"]
        return NOTHING if tone == "wait" or not age else look.SHADE


class Offer(ButtonBehavior, BoxLayout):
    """A plate that a person may take instead of what was typed."""

    text = StringProperty("")
    where = StringProperty("")
    elsewhere = BooleanProperty(False)
    """Whether it is of another jurisdiction than what was typed."""
    plate = ObjectProperty(None, allownone=True)


class CompareSheet(Sheet):
    """All the plates to compare, when the card has no room for them."""

    def __init__(self, offers: Sequence[Offer], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for offer in offers:
            offer.height = dp(56)
            offer.bind(on_release=lambda _: self.dismiss())
            self.ids.grid.add_widget(offer)


class JurisdictionSheet(Sheet):
    """Where the plate is from."""

    chosen = ObjectProperty(lambda jurisdiction: None)
    current = StringProperty("")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for code in JURISDICTIONS:
            key = Key(glyph=short_jurisdiction(code), digit=code == self.current)
            key.bind(on_release=lambda _, code=code: self._choose(code))
            self.ids.grid.add_widget(key)

    def _choose(self, code: str) -> None:
        self.chosen(code)
        self.dismiss()


def _gist(sighting: Sighting) -> tuple[Plate, str, Verdict]:
    """What makes it another check: the plate, where, and what came of it."""
    return sighting.plate, sighting.check.zone.id, sighting.verdict


@dataclass
class Told:
    """What the card is to say: put together first, then said at once, each text drawn once."""

    word: str = ""
    sign: str = "looking"
    tone: str = "idle"
    detail: str = ""
    note: str = ""
    aside: str = ""
    vehicle: str = ""
    more: bool = False


class CheckScreen(PatrolScreen):
    """Home. The verdict comes while typing as soon as a permit is found, else with Check."""

    sighting = ObjectProperty(None, allownone=True)
    ready = BooleanProperty(False)
    unjudged = ObjectProperty(None, allownone=True)
    """A plate that could not be judged, and can be recorded all the same."""
    where = StringProperty("")
    left_handed = BooleanProperty(False)
    wide = BooleanProperty(False)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ids.update(self.ids.card.ids)  # the answer's parts are this screen's too
        self.ids.keypad.typed = self.touch_key
        self._clocks: list[Any] = []
        self._typed = ""
        self._scan: Scan | None = None
        """What the camera saw of the plate that is in the field."""
        self._announced: tuple[Draft, Recorded] | None = None
        self._error: Exception | None = None
        self._sheet: Sheet | None = None
        self._settling: Any = None
        self._noted: Sighting | None = None
        self._alerts: list[Alert] = []
        self._reminded: set[str] = set()
        self.ids.card.swiped = lambda: self.app.go("recent")
        self._told: Any = None
        self._offers: list[Callable[[], Offer]] = []
        self._plan_soon = Clock.create_trigger(lambda _: self._replan(), -1)
        self.ids.card.bind(size=self._plan_soon)

    def on_pre_enter(self, *_: Any) -> None:
        super().on_pre_enter()
        self.app.hear_keys(self._key_down)
        self._stop_clocks()
        self._clocks = [
            Clock.schedule_interval(lambda _: self.show_age(), 20),
            Clock.schedule_interval(lambda _: self.judge_again(), 1),
            Clock.schedule_interval(lambda _: self.remind(), REMIND_EVERY),
        ]

    def leave(self) -> None:
        self.app.hear_keys(None)
        self.settle()
        self._stop_clocks()

    def _stop_clocks(self) -> None:
        for clock in self._clocks:
            clock.cancel()

    def on_left_handed(self, *_: Any) -> None:
        """Put everything where the thumb of the hand that holds the device reaches it."""
        order(self.ids.plate, self.left_handed)
        order(self.ids.actions, self.left_handed)
        order(self.ids.halves, self.left_handed and self.wide)

    def on_wide(self, *_: Any) -> None:
        self.on_left_handed()

    def begin(self) -> None:
        """Ready for the next plate, of the site's own jurisdiction."""
        self.ids.plate.jurisdiction = self.patrol.home_jurisdiction()
        self.clear()

    # typing

    def touch_key(self, glyph: str) -> None:
        self.app.cues.play("key")
        self.type(glyph)

    def type(self, glyph: str) -> None:
        field = self.ids.plate
        if len(field.text) < LONGEST_TYPED and len(normalise(field.text + glyph)) <= LONGEST + 1:
            field.text += glyph
            self.typed()

    def backspace(self) -> None:
        self.ids.plate.text = self.ids.plate.text[:-1]
        self.typed()

    def clear(self) -> None:
        """On to the next car. A verdict that a plate has by itself was looked at; `unknown` may
        have been that of half a plate.
        """
        if self.sighting is not None and self.sighting.verdict != "unknown":
            self.settle()
        self.ids.plate.text = ""
        self.typed()

    def typed(self) -> None:
        """The text changed: judge it when more letters cannot change what plate it is, else wait
        for Check.
        """
        self._stop_settling()
        self._announced = self._error = self._told = None
        self.unjudged = self._scan = None
        field = self.ids.plate
        self._typed = field.text
        if self.patrol.is_settled(field.text, field.jurisdiction):
            self.judge()
        else:
            self.sighting = None
            self.show()

    def _key_down(self, key: int, character: str) -> None:
        if key == BACKSPACE:
            self.backspace()
        elif key == ESCAPE:
            self.clear()
        elif key in (ENTER, KEYPAD_ENTER):
            self.check()
        elif character == "-" or (character and normalise(character)):
            self.type(character.upper())

    def ask_jurisdiction(self) -> None:
        current = self.ids.plate.jurisdiction
        JurisdictionSheet(chosen=self.take_jurisdiction, current=current).open()

    def take_jurisdiction(self, jurisdiction: str) -> None:
        """The plate is from there: what was judged is judged anew."""
        judged, typed, scan = self.sighting is not None, self._typed, self._scan
        self.ids.plate.jurisdiction = jurisdiction
        self.typed()
        self._typed, self._scan = typed, scan
        if judged:
            self.judge()

    # judging

    def check(self) -> None:
        """A person asks for the verdict: it counts as looked at."""
        self.judge()
        self.settle()

    def judge(self) -> None:
        """The verdict on what is typed, or why there is none."""
        field = self.ids.plate
        plate = (field.text, field.jurisdiction)
        self._error = self.unjudged = None
        try:
            self.sighting = self.patrol.check(*plate, typed=self._typed)
        except UnusablePlate as error:
            self.sighting, self._error = None, error
        except NotReady as error:
            self.sighting, self._error = None, error
            self.unjudged = self.patrol.unjudged(*plate, typed=self._typed)
        self._settle_soon()
        self.show()
        self._sound()

    def _sound(self) -> None:
        """The cue of the verdict, once; again when it has become another."""
        told = self._error or (self.sighting and (self.sighting.plate, self.sighting.verdict))
        if told != self._told:
            self._told = told
            self.app.cues.play("error" if self._error else self.ids.card.tone)

    # a check that somebody looked at

    def _settle_soon(self) -> None:
        """A verdict that is judged anew meanwhile, at each sync, is looked at all the same."""
        self._alerts = self.patrol.alerts(self.sighting) if self.sighting is not None else []
        if self.sighting is None:
            self._stop_settling()
        elif self._settling is None:
            self._settling = Clock.schedule_once(lambda _: self.settle(), SETTLED)

    def _stop_settling(self) -> None:
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None

    def settle(self) -> None:
        """The verdict was looked at: it is noted, and what must not be missed is in the way."""
        if self._settling is None or self.sighting is None:
            return
        self._stop_settling()
        sighting, before, self._noted = self.sighting, self._noted, self.sighting
        if before is None or _gist(before) != _gist(sighting):
            self.app.workers.write(
                lambda: self.patrol.note_check(sighting), lambda _: None, lambda error: None
            )
        self._warn(sighting)

    def _warn(self, sighting: Sighting) -> None:
        new = [alert for alert in self._alerts if not self.patrol.is_acknowledged(alert)]
        if self._sheet is not None or not any(alert.urgent for alert in new):
            return

        def seen() -> None:
            for alert in new:
                self.app.save(lambda alert=alert: self.patrol.acknowledge(alert, sighting))

        self._lay(AlertSheet([self._alert_words(alert, sighting) for alert in new], seen=seen))

    def _lay(self, sheet: Sheet) -> None:
        """Put it in the way, with its cue."""
        self._sheet = sheet
        sheet.bind(on_dismiss=lambda _: setattr(self, "_sheet", None))
        sheet.open()
        self.app.cues.play("alert")

    def _alert_words(self, alert: Alert, sighting: Sighting) -> AlertWords:
        zones, lang = self.patrol.zones(), self.app.lang
        return alert_words(alert, sighting.site, zones, lang, now=self.patrol.now())

    def remind(self) -> None:
        """The time of a marked vehicle is up: say so, once, when nobody is typing."""
        due = [chalk for chalk in self.patrol.marks_due() if chalk.id not in self._reminded]
        if not due or self.ids.plate.text or self._sheet is not None:
            return
        self._reminded |= {chalk.id for chalk in due}
        lang, site, now = self.app.lang, self.patrol.site(), self.patrol.now()
        told = [chalk_due(chalk, site, lang, now=now) for chalk in due]
        self._lay(AlertSheet(told, seen=lambda: self.app.go("chalk")))

    def compare(self, plate: Plate) -> None:
        """A person chose one of the plates to compare; what was typed is recorded with it."""
        self.ids.plate.text, self.ids.plate.jurisdiction = plate.text, plate.jurisdiction
        self.check()

    def take_scan(self, scan: Scan, plate: Plate) -> None:
        """A person chose this plate for what the camera saw; what it read is recorded with it."""
        self.clear()
        self.ids.plate.text, self.ids.plate.jurisdiction = plate.text, plate.jurisdiction
        self._typed, self._scan = scan.raw, scan
        self.check()

    def details(self) -> None:
        """Behind the card: all that is known of the plate, or how to get to work."""
        if self.sighting is not None:
            self.app.screens.get_screen("plate").sighting = self.sighting
            self.app.go("plate")
        elif not self.ready:
            self.app.go("sync" if self.patrol.site() is None else "place")

    def infraction(self) -> None:
        self.settle()
        if self._sheet is not None:
            return  # an alert was not seen yet
        known = self.sighting is not None and self.sighting.verdict != "unknown"
        scan, text = self._scan, self.ids.plate.text
        if scan is not None and not known and scan.confirmed != text:
            # What a camera read is no reason to ticket anybody: a person says what the plate says.
            self._lay(ConfirmSheet(scan, text, lambda: self._confirmed(scan, text)))
            return
        self._begin_infraction()

    def _confirmed(self, scan: Scan, text: str) -> None:
        scan.confirmed = text
        self._begin_infraction()

    def _begin_infraction(self) -> None:
        screen, scan = self.app.screens.get_screen("infraction"), self._scan
        if scan is None:
            screen.begin(self.sighting, self.unjudged)
        else:
            screen.begin(self.sighting, self.unjudged, source="scanned")
            screen.shoot(scan.frame, scan.at, "plate")
        self.app.go("infraction")

    # showing

    def announce(self, draft: Draft, recorded: Recorded) -> None:
        """Say that an infraction was recorded, until the next key."""
        self._announced = (draft, recorded)

    def synced(self) -> None:
        """Something may have been learnt: judge anew what is being looked at."""
        self._look_around()
        if self.sighting is not None:
            self.judge()
        else:
            self.show()

    def judge_again(self) -> None:
        """Also without network a verdict changes when its instant comes."""
        if self.sighting is None:
            return
        if self.patrol.is_over(self.sighting) or self.patrol.is_expired():
            self.judge()

    def refresh(self) -> None:
        self._look_around()
        if self.sighting is not None and self.sighting.check.zone != self.patrol.zone():
            self.judge()
        else:
            self.show()

    def _look_around(self) -> None:
        """Where this is, and whether anything can be judged."""
        lang = self.app.lang
        site, zone = self.patrol.site(), self.patrol.zone()
        self.where = zone_title(zone, lang) if zone else gettext("Choose a zone", lang)
        self.ready = site is not None and zone is not None
        if not self.ready:
            self.sighting = None  # a revocation or another site took what it was judged with

    def _replan(self) -> None:
        if self.ids.card.plan != self._plan() or self.ids.offers.children:
            self.show()

    def _plan(self) -> Plan:
        rows = -(-len(self._offers) // self._columns()) if self._offers else 0
        card = self.ids.card
        return plan_for(card.width / dp(1), card.height / dp(1), rows)

    def _columns(self) -> int:
        return 3 if self.ids.card.width >= dp(350) and len(self._offers) > 2 else 2

    def show(self) -> None:
        lang, told = self.app.lang, Told()
        self._offers = []
        if self.patrol.site() is None:
            self.sighting = None  # the copy was wiped: nothing is known of that plate any more
        if self.sighting is not None:
            for plate in self.sighting.check.suggestions:
                self._offers.append(partial(self._offer, plate, self.sighting.plate))
        if not self._offers:
            self._offer_certificate()
        plan = self.ids.card.plan = self._plan()
        if self.sighting is None:
            self._show_waiting(told, lang)
        else:
            site, zones = self.patrol.site(), self.patrol.zones()
            seen = face(self.sighting.check, site=site, zones=zones, lang=lang)
            self._show_face(told, seen, self.sighting, lang)
        if self._offers:
            told.note = ""
            if plan in LITTLE:
                told.detail = ""
        if plan.tight:
            told.note = ""
        if self.sighting is not None and self._alerts:
            self._show_alerts(told, self.sighting)
        told.more = self.sighting is not None
        for name, value in vars(told).items():
            setattr(self.ids.card, name, value)
        self.show_age()
        self._show_offers()

    def _show_alerts(self, told: Told, sighting: Sighting) -> None:
        """What was seen already stays to be read; `stale` is told by the age itself."""
        alerts = [alert for alert in self._alerts if alert.kind != "stale"]
        if alerts:
            more = f" · +{len(alerts) - 1}" if alerts[1:] else ""
            told.note = self._alert_words(alerts[0], sighting).short + more

    def _show_waiting(self, told: Told, lang: str) -> None:
        text = self.ids.plate.text
        if not self.ready:
            told.sign, told.word = "sync", gettext("Fetching permits", lang)
            told.detail = gettext("The first time needs the network", lang)
            status = self.app.status
            hindrance = trouble(status.connection, lang, fetched=False, reason=status.trouble)
            if self.patrol.site() is not None:
                told.sign, told.word = "pin", gettext("Choose a zone", lang)
                told.detail = gettext("Touch the name at the top", lang)
            elif hindrance is not None:
                told.tone, told.sign = hindrance.tone, hindrance.sign
                told.word, told.detail = hindrance.word, hindrance.words
        elif self._announced is not None:
            self._show_recorded(told, *self._announced, lang)
        elif not text:
            told.word = gettext("Type a plate", lang)
            zone = self.patrol.zone()
            told.note = localized(zone.note, lang) if zone else ""
            warnings, left = self.patrol.warnings(), self.patrol.numbers_left()
            if warnings:
                told.sign, told.detail = "warning", warning(warnings[0], lang, left=left)
                if self.ids.card.plan in LITTLE:
                    told.note = ""  # no room for both
        elif len(normalise(text)) > LONGEST:
            told.word = gettext("Too long", lang)
            told.detail = gettext("A plate has 2 to 8 letters and digits", lang)
        elif self._error is not None:
            told.sign = "warning"
            told.word, told.detail = not_judged(self._error, lang)
        else:
            told.word = text
            told.detail = gettext("Touch Check for the verdict", lang)

    def _show_recorded(self, told: Told, draft: Draft, recorded: Recorded, lang: str) -> None:
        told.sign, told.word = "infraction", gettext("Recorded", lang)
        parts = [draft.plate.text if draft.plate else "", *draft.codes]
        if recorded.number is not None:
            parts = [gettext("No. {number}", lang).format(number=recorded.number), *parts]
        elif draft.outcome == "notice":
            told.sign = "warning"
            parts = [gettext("Without a number", lang), *parts]
        told.detail = " · ".join(part for part in parts if part)

    def _show_face(self, told: Told, seen: Face, sighting: Sighting, lang: str) -> None:
        plan = self.ids.card.plan
        little = plan in LITTLE
        told.tone, told.sign, told.word = seen.tone, seen.sign, seen.word
        comparing = bool(sighting.check.suggestions)
        if plan in (SMALL, LYING) and comparing:
            told.aside = gettext("Compare:", lang)
            return
        reasons = seen.reasons
        if little:
            # The header tells the zone already.
            reasons = (reasons[0] if sighting.verdict == "wrong_zone" else " · ".join(reasons),)
        # With little room the vehicle stands on the line below, beside the age of the data.
        told.vehicle = seen.vehicle if little else ""
        lines = reasons if little else (*reasons, seen.vehicle)
        told.detail = "\n".join(filter(None, lines))
        told.note = "" if comparing else localized(sighting.check.zone.note, lang)

    def show_age(self) -> None:
        card, lang = self.ids.card, self.app.lang
        if self.patrol.site() is None:
            card.age, card.stale = "", False
            return
        card.age = age_of_knowledge(self.patrol.known_at(), lang, now=self.patrol.now())
        card.stale = self.patrol.is_stale()

    def _offer(self, plate: Plate, typed: Plate) -> Offer:
        """A plate to compare, with the characters that differ marked."""
        text = plate.text
        if len(text) == len(typed.text):
            marked = set(differing(text, typed.text))
            mark = get_hex_from_color(look.MARK)
            text = "".join(
                f"[u][color={mark}]{c}[/color][/u]" if i in marked else c
                for i, c in enumerate(text)
            )
        return self._made_offer(
            f"[b]{text}[/b]",
            plate,
            where=short_jurisdiction(plate.jurisdiction),
            elsewhere=plate.jurisdiction != typed.jurisdiction,
        )

    def _offer_certificate(self) -> None:
        field = self.ids.plate
        hint = self.patrol.certificate_hint(field.text)
        if hint is None:
            return
        words = gettext("Certificate? Plate {plate}", self.app.lang).format(plate=hint)
        self._offers.append(partial(self._made_offer, words, Plate(hint, field.jurisdiction)))

    def _made_offer(self, words: str, plate: Plate, **looks: Any) -> Offer:
        offer = Offer(text=words, plate=plate, **looks)
        offer.bind(on_release=lambda _: self.compare(plate))
        return offer

    def _show_offers(self) -> None:
        """As many as the card has room for, each to be read whole; the rest one touch away."""
        box, card, offers = self.ids.offers, self.ids.card, self._offers
        box.clear_widgets()
        if not offers:
            return
        columns = 1 if card.plan.tight else self._columns()
        high = 48 * look.measures.letters + 8
        left = card.height / dp(1) - (0 if card.plan.tight else 1.2 * card.plan.word + 26 + 30)
        rows = 1 if card.plan.tight else max(1, int(left // high))
        shown, box.cols = len(offers), min(columns, len(offers))
        if len(offers) > rows * columns:
            shown = rows * columns - 1
            if rows == 1 and not card.plan.tight:
                shown, box.cols = 2, 3
        for make in offers[:shown]:
            box.add_widget(make())
        if shown < len(offers):
            box.add_widget(self._rest(len(offers) - shown, narrow=box.cols == 3 and rows == 1))

    def _rest(self, count: int, *, narrow: bool) -> Offer:
        """The button behind which all of them are."""
        words = f"+{count}"
        if self.ids.card.plan.tight:
            words = gettext("Compare ({n})", self.app.lang).format(n=count)
        rest = Offer(text=f"[b]{words}[/b]")
        if narrow:
            rest.size_hint_x, rest.width = None, dp(48)
        rest.bind(on_release=lambda _: CompareSheet([make() for make in self._offers]).open())
        return rest
