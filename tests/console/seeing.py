"""Looking at pages in the browser: whether all can read and use them, and keeping what was seen."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[2]
SHOTS = ROOT / "screenshots" / "console"
AXE = ROOT / "enforcement_api" / "console" / "node_modules" / "axe-core" / "axe.min.js"

TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
"""axe's rules for WCAG 2.2 AA."""

SMALLEST_TARGET = 24
"""CSS pixels, to a side (WCAG 2.5.8)."""

MOST_STOPS = 400
"""More presses of Tab than any page takes."""


@cache
def _axe() -> str:
    assert AXE.exists(), "make setup fetches it"
    return AXE.read_text(encoding="utf-8")


def accessible(page: Page) -> None:
    """axe finds nothing against WCAG 2.2 AA; of contrast, neither in light nor in dark colours."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(_axe())
    found = _violations(page, {"type": "tag", "values": TAGS})
    is_dark = page.evaluate("() => matchMedia('(prefers-color-scheme: dark)').matches")
    page.emulate_media(color_scheme="light" if is_dark else "dark")
    found += _violations(page, {"type": "rule", "values": ["color-contrast"]})
    page.emulate_media(color_scheme="dark" if is_dark else "light")
    assert not found, "\n".join([f"{page.url}:", *found])


def _violations(page: Page, rules: dict[str, Any]) -> list[str]:
    told: dict[str, Any] = page.evaluate(
        """async rules => {
            // One that is under way shows colours of neither side.
            document.getAnimations().forEach(animation => animation.finish());
            const told = await axe.run(document, {runOnly: rules, resultTypes: ['violations']});
            return {checked: told.passes.length + told.violations.length + told.incomplete.length,
                    violations: told.violations};
        }""",
        rules,
    )
    assert told["checked"], "no rule of axe had anything to look at"
    return [
        f"{violation['id']}: {violation['help']}\n    {node['target'][0]}\n    {node['html']}\n"
        f"    {node['failureSummary']}"
        for violation in told["violations"]
        for node in violation["nodes"]
    ]


def keep(page: Page, name: str) -> None:
    """The whole page, for people to look at: screenshots/console/fr-1366x768-NAME.png."""
    language = page.evaluate("() => document.documentElement.lang")
    size = page.viewport_size
    assert size is not None
    path = SHOTS / f"{language[:2]}-{size['width']}x{size['height']}-{name}.png"
    page.screenshot(path=path, full_page=True, animations="disabled", caret="hide")


_CUT = """
({width, smallest}) => {
    const told = [];
    const name = element => {
        const words = (element.innerText || element.value || element.ariaLabel || '').trim();
        return element.outerHTML.replace(/>[^]*/, '>') + (words ? ` “${words.slice(0, 40)}”` : '');
    };
    const page = document.documentElement;
    if (page.scrollWidth > width)
        told.push(`the page scrolls sideways: ${page.scrollWidth} px on a screen of ${width}`);
    // What scrolls or cuts by itself answers for what is in it; a map is larger than its window.
    const holds = element => {
        for (let e = element.parentElement; e && e !== document.body; e = e.parentElement)
            if (getComputedStyle(e).overflowX !== 'visible') return true;
        return false;
    };
    for (const element of document.body.querySelectorAll('*')) {
        if (!(element instanceof HTMLElement)) continue;
        if (!element.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
        const box = element.getBoundingClientRect();
        if (box.width <= 1 || box.height <= 1) continue;  // for screen readers alone
        const style = getComputedStyle(element);
        if (box.right > width + 1 && !holds(element))
            told.push(`${name(element)} ends at ${Math.round(box.right)} of ${width} px`);
        const cell = element.parentElement.closest('td, th, dd, li, .card');
        const out = cell && box.right - cell.getBoundingClientRect().right;
        if (out > 1 && style.position === 'static' && !holds(element))
            told.push(`${name(element)} sticks out of its cell by ${Math.round(out)} px`);
        const speaks = [...element.childNodes].some(n => n.nodeType === 3 && n.data.trim());
        const isField = element.matches('button, select');
        const scrolls = /auto|scroll/.test(style.overflow);
        if ((speaks || isField) && style.display !== 'inline' && !scrolls) {
            const wide = element.scrollWidth - element.clientWidth;
            const tall = style.overflowY === 'visible' ? 0
                : element.scrollHeight - element.clientHeight;
            // An ellipsis may cut what a title says in full.
            if ((wide > 1 || tall > 1) && !(style.textOverflow === 'ellipsis' && element.title))
                told.push(`${name(element)} is cut: by ${wide} px across, ${tall} px down`);
        }
        for (const node of element.childNodes) {
            if (node.nodeType !== 3) continue;
            for (const word of node.data.matchAll(/(?<![^\\s])[\\p{L}’']{3,16}(?![^\\s.,:;…])/gu)) {
                const there = document.createRange();
                there.setStart(node, word.index);
                there.setEnd(node, word.index + word[0].length);
                const lines = new Set([...there.getClientRects()].map(r => Math.round(r.bottom)));
                const broken = `“${word[0]}” is broken over ${lines.size} lines`;
                if (lines.size > 1) told.push(`${broken} in ${name(element)}`);
            }
        }
        if (element.matches('a[href], button, input:not([type=hidden]), select, textarea,' +
                            ' summary, [role=button], [role=tab], [tabindex="0"]')) {
            const isInText = element.matches('a') && style.display === 'inline' &&
                element.parentElement.innerText.trim() !== element.innerText.trim();
            const sizes = [element, ...(element.labels || [])].map(one => {
                const {width, height} = one.getBoundingClientRect();
                return Math.min(width, height);
            });
            const small = Math.max(...sizes);  // a label is pressed as well
            if (!isInText && small < smallest - .5)
                told.push(`${name(element)} is ${small} px small: ${smallest} can be hit`);
        }
    }
    return told;
}
"""


def fits(page: Page) -> None:
    """Nothing scrolls sideways, no text is cut, and what is pressed can be hit with a finger."""
    size = page.viewport_size
    assert size is not None
    told = page.evaluate(_CUT, {"width": size["width"], "smallest": SMALLEST_TARGET})
    assert not told, "\n".join([f"{page.url}:", *told])


_STOP = """
() => {
    const element = document.activeElement;
    if (!element || element === document.body || element === document.documentElement) return null;
    const all = window.stops ??= new Map();
    const part = element === window.lastStop && element.matches(
        'input:is([type=date], [type=datetime-local], [type=time], [type=month], [type=week])');
    window.lastStop = element;
    const again = all.has(element);
    all.set(element, true);
    const style = getComputedStyle(element), box = element.getBoundingClientRect();
    const shows = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2
        || style.boxShadow !== 'none';
    const middle = (start, end, most) => Math.min(Math.max((start + end) / 2, 0), most - 1);
    const at = document.elementFromPoint(
        middle(box.left, box.right, innerWidth), middle(box.top, box.bottom, innerHeight));
    const inView = box.bottom > 0 && box.top < innerHeight
        && box.right > 0 && box.left < innerWidth;
    const covered = !at || !(element.contains(at) || at.contains(element)
        || [...(element.labels || [])].some(label => label.contains(at)));
    const words = element.ariaLabel || element.innerText || element.labels?.[0]?.innerText
        || element.name || element.id || element.outerHTML.replace(/>[^]*/, '>');
    const wrong = [];
    if (!shows) wrong.push('shows no focus');
    if (!inView) wrong.push('is out of view');
    else if (covered) wrong.push('is covered');
    return {again, part, wrong, name: words.trim().replace(/\\s+/g, ' ').slice(0, 60)};
}
"""
_PASSED_OVER = """
() => [...document.querySelectorAll(
        'a[href], button, input, select, textarea, summary, [tabindex]')]
    .filter(e => e.tabIndex >= 0 && !e.matches(':disabled, [type=hidden], [type=radio]')
                 && !e.closest('[inert]') && e.checkVisibility({visibilityProperty: true})
                 && !window.stops?.has(e))
    .map(e => e.outerHTML.replace(/>[^]*/, '>'))
"""


def tabbed(page: Page) -> list[str]:
    """What Tab stops at, in its order, from the top of the page on. Each stop shows the focus, is
    in view and uncovered (WCAG 2.4.7, 2.4.11), and nothing that can be used is passed over.
    """
    page.evaluate(
        "() => { window.stops = window.lastStop = undefined; document.activeElement?.blur(); }"
    )
    page.evaluate("() => { scrollTo(0, 0); getSelection().collapse(document.body, 0); }")
    stops: list[str] = []
    wrong: list[str] = []
    for _ in range(MOST_STOPS):
        page.keyboard.press("Tab")
        stop = page.evaluate(_STOP)
        if stop is not None and stop["part"]:
            continue  # days, months and years of one field
        if stop is None or stop["again"]:
            break
        stops.append(stop["name"])
        wrong += [f"“{stop['name']}” {what}" for what in stop["wrong"]]
    else:
        wrong.append(f"Tab comes to no end after {MOST_STOPS} stops")
    wrong += [f"Tab passes over {element}" for element in page.evaluate(_PASSED_OVER)]
    assert not wrong, "\n".join([f"{page.url}:", *wrong])
    return stops


def shown(page: Page, name: str) -> None:
    """A page as it should be for all, kept to be looked at."""
    accessible(page)
    fits(page)
    keep(page, name)
