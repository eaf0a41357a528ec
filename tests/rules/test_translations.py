"""`make check` refuses a message without French, and a `.po` that no longer fits the sources."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def translations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The tool, put to work on a package with one message in Python and one in kv."""
    spec = importlib.util.spec_from_file_location("translations", ROOT / ".ci" / "translations.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    package = tmp_path / "handheld_app"
    package.mkdir()
    (package / "wording.py").write_text("def word(lang):\n    return _('Zone {name:>4}', lang)\n")
    (package / "check.kv").write_text(
        "#:import dp kivy.metrics.dp\n"
        "<Check@Button>:\n"
        "    text: _('Check', app.lang) + ' · ' if root.ready else ''\n"
        "    on_release:\n"
        "        root.go()\n"
    )
    assert tool.main("update") == 0
    return tool


@pytest.fixture
def po(translations: ModuleType) -> Path:
    """French complete."""
    path = translations.ROOT / "handheld_app" / "locale" / "fr" / "LC_MESSAGES" / "handheld.po"
    text = path.read_text()
    text = text.replace('msgid "Check"\nmsgstr ""', 'msgid "Check"\nmsgstr "Vérifier"')
    text = text.replace('{name:>4}"\nmsgstr ""', '{name:>4}"\nmsgstr "Zone {name}"')
    path.write_text(text)
    return path


def test_complete_translations_pass(translations: ModuleType, po: Path) -> None:
    assert translations.main("check") == 0


def test_update_changes_nothing_the_second_time(translations: ModuleType, po: Path) -> None:
    before = po.read_bytes()
    assert translations.main("update") == 0
    assert po.read_bytes() == before


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        pytest.param('"Vérifier"', '""', "'Check' is not translated", id="missing"),
        pytest.param('msgid "Check"', '#, fuzzy\nmsgid "Check"', "is fuzzy", id="fuzzy"),
        pytest.param("Zone {name}", "Zone {nom}", "other placeholders", id="placeholder"),
        pytest.param('msgid "Check"', 'msgid "Chek"', "out of date", id="obsolete"),
    ],
)
def test_check_refuses(
    translations: ModuleType,
    po: Path,
    capsys: pytest.CaptureFixture[str],
    old: str,
    new: str,
    told: str,
) -> None:
    assert old in po.read_text()
    po.write_text(po.read_text().replace(old, new))
    assert translations.main("check") == 1
    assert told in capsys.readouterr().out


def test_check_refuses_a_new_message(translations: ModuleType, po: Path) -> None:
    with (translations.ROOT / "handheld_app" / "wording.py").open("a") as source:
        source.write("\n\ndef other(lang):\n    return _('New', lang)\n")
    assert translations.main("check") == 1


def test_check_refuses_a_message_that_stands_where_nobody_looks(
    translations: ModuleType, po: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (translations.ROOT / "handheld_app" / "wording.py").open("a") as source:
        source.write("\n\ndef other(lang):\n    return f\"7 {_('new', lang)}\"\n")
    assert translations.main("check") == 1
    assert "handheld_app/wording.py:6: a message within an f-string" in capsys.readouterr().out
