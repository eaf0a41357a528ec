"""The translations: messages out of the sources, and French complete.

``update`` writes the ``.po`` files anew: new messages come in empty, gone ones go.
``check`` says what is missing, fuzzy, broken or out of date, and exits 1 if anything is.
"""

import ast
import io
import re
import sys
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parents[1]
DOMAINS = {"enforcement_api": "patrouille", "handheld_app": "handheld", "sync": "sync"}
LANGUAGES = ["fr"]
# Kivy's language reads `_('…', app.lang)`, which Babel's Python extractor finds.
METHODS = [("**.py", "python"), ("**.kv", "python"), ("**/templates/**.html", "jinja2")]


def sources(package: str) -> Catalog:
    """All messages of a package, as a template."""
    template = Catalog(charset="utf-8")
    for _, _, message, comments, context in extract_from_dir(
        ROOT / package, METHODS, comment_tags=["Translators:"], strip_comment_tags=True
    ):
        template.add(message, auto_comments=comments, context=context)
    return template


def hidden(package: str) -> list[str]:
    """Where a message stands within an f-string: Babel does not look there."""
    return [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for text in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(text, ast.JoinedStr)
        for call in ast.walk(text)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id in DEFAULT_KEYWORDS
    ]


def translated(po: Path, language: str, template: Catalog) -> Catalog:
    """The translations that there are, for the messages that there are."""
    catalogue = Catalog(locale=language, charset="utf-8")
    if po.exists():
        with po.open("rb") as file:
            catalogue = read_po(file, locale=language)
    catalogue.update(template, no_fuzzy_matching=True)
    return catalogue


def rendered(catalogue: Catalog) -> bytes:
    """As a ``.po`` file without dates and line numbers, which would differ at every turn."""
    messages = io.BytesIO()
    write_po(
        messages,
        catalogue,
        width=0,
        no_location=True,
        omit_header=True,
        sort_output=True,
        ignore_obsolete=True,
    )
    header = (
        'msgid ""\nmsgstr ""\n'
        f'"Language: {catalogue.locale_identifier}\\n"\n'
        f'"Plural-Forms: {catalogue.plural_forms}\\n"\n'
        '"MIME-Version: 1.0\\n"\n'
        '"Content-Type: text/plain; charset=utf-8\\n"\n'
        '"Content-Transfer-Encoding: 8bit\\n"\n\n'
    )
    return header.encode() + messages.getvalue()


def placeholders(text: str) -> set[str]:
    """The names that ``str.format`` or ``%`` fills in."""
    return {a or b for a, b in re.findall(r"\{(\w+)[^}]*\}|%\((\w+)\)", text)}


def faults(message: Message) -> list[str]:
    """What is wrong with one translation."""
    originals = message.id if isinstance(message.id, tuple) else (message.id,)
    strings = message.string if isinstance(message.string, tuple) else (message.string,)
    if not all(strings):
        return ["is not translated"]
    if message.fuzzy:
        return ["is fuzzy: look at it, then remove the mark"]
    # The last form speaks of many, in English and in French.
    wanted, found = (placeholders(text) for text in (originals[-1], strings[-1]))
    if wanted != found:
        return [f"has other placeholders: {sorted(wanted)} against {sorted(found)}"]
    return []


def main(command: str) -> int:
    failed = False
    for package, domain in DOMAINS.items():
        template = sources(package)
        for place in hidden(package):
            failed = True
            print(f"{place}: a message within an f-string is not found: put it before it")
        for language in LANGUAGES:
            po = ROOT / package / "locale" / language / "LC_MESSAGES" / f"{domain}.po"
            if not len(template) and not po.exists():
                continue
            name = po.relative_to(ROOT)
            catalogue = translated(po, language, template)
            current = rendered(catalogue)
            if command == "update":
                po.parent.mkdir(parents=True, exist_ok=True)
                po.write_bytes(current)
            elif not po.exists() or po.read_bytes() != current:
                failed = True
                print(f"{name} is out of date with the sources: run `make translations`")
            for message in catalogue:
                for fault in faults(message) if message.id else []:
                    failed = True
                    print(f"{name}: {message.id!r} {fault}")
            print(f"{name}: {len(catalogue)} messages", file=sys.stderr)
    return int(failed and command == "check")


if __name__ == "__main__":
    if sys.argv[1:] not in (["update"], ["check"]):
        sys.exit(f"usage: {Path(__file__).name} update|check")
    sys.exit(main(sys.argv[1]))
