"""What goes into the APK and onto a desktop: it is what the sources import, and installs there."""

from __future__ import annotations

import ast
import configparser
import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from importlib import metadata
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple
from xml.etree import ElementTree

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name as canonical
from PIL import Image

from handheld_app.edges import app_version
from tests.documents import blocks

ROOT = Path(__file__).resolve().parents[2]
PACKED = ("handheld_app", "sync")
OURS = {*PACKED, "enforcement_api", "tests"}
ANDROID = "{http://schemas.android.com/apk/res/android}"

RECIPES = {
    "python3": "the interpreter, with SQLite and OpenSSL",
    "kivy": "compiled; its recipe brings SDL and what Kivy itself imports",
    "pillow": "compiled; unpinned, for the recipe's patch is for one version's source",
    "httpx": "pure Python, and has a recipe all the same",
}
"""Requirements that python-for-android (the release of `p4a.branch`) has a recipe for."""

WINDOWLESS = (
    "handheld_app.handheld", "handheld_app.edges", "handheld_app.scripted_patrol", "sync.edges",
)  # fmt: skip
"""Modules that, with what they import, are all but the screens."""

OPTIONAL: dict[str, str] = {
    "android": "comes with every APK; on a desktop no position is known, and OpenCV has the camera",
    "jnius": "comes with every APK; a desktop knows no position, does not shake, and has other ways"
    " to plates, faces and printers",
    "cv2": "Android has its own camera and detector of faces; a desktop without shows no camera,"
    " reads no plates and looks for no faces",
    "numpy": "comes with cv2, and is used with it alone",
    "onnxruntime": "Android reads plates with ML Kit; on a desktop without they are typed",
    "rapidocr": "the same",
    "usb": "a USB printer is told as unsupported, but for one that is a device of the system's",
}
"""Modules that an APK or a desktop may lack, and what the handheld does then. Each is imported
where that is caught: within a function, in a `try` for ImportError, or in a module of ours that is
itself imported in such a `try` and nowhere else."""

NOT_IMPORTED = {
    "python3": "runs it",
    "tzdata": "zoneinfo reads it: Android has no time zones where Python looks for them",
    "fonticon-materialdesignicons7": "its font is opened as a file (theme.py)",
}
"""Requirements that no import speaks of."""

NOT_NEEDED = {
    ("sqlite-utils", "pip"): "only its command `sqlite-utils install` does",
    ("kivy", "kivy-garden"): "only its command `garden` does; what else it needs, its recipe has",
    ("kivy", "docutils"): "only RstDocument does",
    ("kivy", "pygments"): "only CodeInput does",
    ("kivy", "requests"): "its recipe brings it",
    ("kivy", "filetype"): "its recipe brings it",
    ("python-escpos", "appdirs"): "only its settings file does, which only its command reads",
    ("python-escpos", "argcomplete"): "only its command does",
    ("python-escpos", "setuptools"): "nothing of it is imported any more",
}
"""Dependencies (of, on) that are left out."""

PURE_WITHOUT = {
    "pyyaml": ("yaml._yaml", "speaks to libyaml, which Android lacks: setup then leaves it out"),
}
"""Compiled modules that a requirement is installed without where there is no wheel, and why. The
app is started without them here too."""

JAVA = {
    "android.": "", "java.": "", "org.kivy.android.": "",
    "com.google.mlkit.": "com.google.mlkit:text-recognition",
    "com.google.android.gms.tasks.": "com.google.mlkit:text-recognition",
}  # fmt: skip
"""Where Java's classes come from, by the start of their names: empty for those of every APK."""


class Spec(configparser.ConfigParser):
    """buildozer.spec as buildozer reads it: keys keep their case, lists are told by commas."""

    def optionxform(self, optionstr: str) -> str:
        return optionstr

    def app(self, key: str) -> str:
        return self.get("app", key)

    def listed(self, key: str) -> list[str]:
        return [item.strip() for item in self.app(key).split(",")]


@pytest.fixture(scope="module")
def spec() -> Spec:
    read = Spec(allow_no_value=True)
    assert read.read(ROOT / "buildozer.spec", "utf-8")
    return read


@pytest.fixture(scope="module")
def required(spec: Spec) -> dict[str, str]:
    """Name and version, empty for the recipe's own, of each requirement."""
    pairs = [item.partition("==") for item in spec.listed("requirements")]
    return {canonical(name): version for name, _, version in pairs}


def packed_files(spec: Spec) -> set[str]:
    """What buildozer copies: what is not excluded or is included, of the kinds that are told."""
    kinds = spec.listed("source.include_exts")
    included, excluded = (spec.listed(f"source.{way}_patterns") for way in ("include", "exclude"))
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=True, text=True,
    ).stdout.split("\0")  # fmt: skip
    ours = [path for path in tracked if path and (ROOT / path).is_file()]
    made = [str(path.relative_to(ROOT)) for path in ROOT.glob("*/locale/*/LC_MESSAGES/*.mo")]
    return {
        path
        for path in ours + made
        if not any(part.startswith(".") for part in Path(path).parts)
        and Path(path).suffix.removeprefix(".") in kinds
        and (
            any(fnmatch(path, pattern) for pattern in included)
            or not any(fnmatch(path, pattern) for pattern in excluded)
        )
    }


class Import(NamedTuple):
    """`name`: the module, and with `from` also what is taken of it. `within`: a function."""

    name: str
    within: bool
    tried: bool
    line: int


def imports(path: Path) -> Iterator[Import]:
    """Each imported module, or one whose files are looked for."""

    def walk(node: ast.AST, within: bool, tried: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for name in node.names:
                yield Import(name.name, within, tried, node.lineno)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for name in node.names:
                yield Import(f"{node.module}.{name.name}", within, tried, node.lineno)
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func).rpartition(".")[2]
            if called in ("find_spec", "import_module") and isinstance(node.args[0], ast.Constant):
                yield Import(str(node.args[0].value), within, tried, node.lineno)
        within |= isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if isinstance(node, ast.Try):
            names = {
                name.id
                for handler in node.handlers
                if handler.type is not None
                for name in ast.walk(handler.type)
                if isinstance(name, ast.Name)
            }
            guarded = tried or bool(names & {"ImportError", "ModuleNotFoundError"})
            for child in node.body:
                yield from walk(child, within, guarded)
            for child in (*node.handlers, *node.orelse, *node.finalbody):
                yield from walk(child, within, tried)
            return
        for child in ast.iter_child_nodes(node):
            yield from walk(child, within, tried)

    return walk(ast.parse(path.read_bytes()), False, False)


def modules() -> list[Path]:
    return [path for package in PACKED for path in sorted((ROOT / package).rglob("*.py"))]


def optional_modules(root: Path, paths: Iterable[Path]) -> set[Path]:
    """Those that are imported in a `try` for ImportError, and nowhere else."""
    paths = list(paths)
    told = [imported for path in paths for imported in imports(path)]

    def is_optional(path: Path) -> bool:
        name = ".".join(path.relative_to(root).with_suffix("").parts)
        tries = [one.tried for one in told if f"{one.name}.".startswith(f"{name}.")]
        return bool(tries) and all(tries)

    return {path for path in paths if is_optional(path)}


def third_party() -> Iterator[tuple[str, bool, str]]:
    """Each import of what is not ours, nor Python's: its top-level module, whether its lack may be
    caught, where.
    """
    optional = optional_modules(ROOT, modules())
    for path in modules():
        for name, within, tried, line in imports(path):
            module = name.partition(".")[0]
            if module not in sys.stdlib_module_names and module not in OURS:
                caught = within or tried or path in optional
                yield module, caught, f"{path.relative_to(ROOT)}:{line}"


def test_an_import_is_found_wherever_it_stands(tmp_path: Path) -> None:
    source = tmp_path / "module.py"
    source.write_text(
        "import a.b\n"
        "try:\n    import c\nexcept ImportError:\n    import d\n"
        "try:\n    import e\nexcept ValueError:\n    pass\n"
        "def f():\n    from g.h import i\n"
        "class K:\n    import l\n"
        "from . import m\n"
        "find_spec('n')\n"
    )
    found = {name: (within, tried) for name, within, tried, _ in imports(source)}
    plain, tried, within = (False, False), (False, True), (True, False)
    assert found == {
        "a.b": plain, "c": tried, "d": plain, "e": plain, "g.h.i": within, "l": plain, "n": plain,
    }  # fmt: skip


def test_a_module_is_optional_if_each_import_of_it_is_tried(tmp_path: Path) -> None:
    trying = "def f():\n    try:\n        {}\n    except ImportError:\n        pass\n"
    sources = {
        "ours/a.py": trying.format("from ours.tried import x") + trying.format("import ours.both"),
        "ours/b.py": trying.format("from ours import tried")
        + "def f():\n    from ours.both import x\n    import ours.within\n",
        "ours/tried.py": "", "ours/both.py": "", "ours/within.py": "", "ours/tried_not.py": "",
    }  # fmt: skip
    (tmp_path / "ours").mkdir()
    for name, text in sources.items():
        (tmp_path / name).write_text(text)
    found = optional_modules(tmp_path, [tmp_path / name for name in sources])
    assert found == {tmp_path / "ours/tried.py"}


def test_every_import_installs_on_android(required: dict[str, str]) -> None:
    distributions = metadata.packages_distributions()
    lacking = [
        f"{where}: {module}"
        for module, _, where in third_party()
        if module not in OPTIONAL
        and not any(canonical(name) in required for name in distributions.get(module, ()))
    ]
    assert lacking == [], "name it in buildozer.spec, or make it optional and say so here"


def test_what_may_be_missing_is_imported_where_that_is_caught() -> None:
    uses = [(module, caught, where) for module, caught, where in third_party()]
    assert [where for module, caught, where in uses if module in OPTIONAL and not caught] == []
    assert set(OPTIONAL) <= {module for module, _, _ in uses}, "nothing imports it any more"
    assert all(OPTIONAL.values()), "say what happens without it"


def test_each_requirement_is_imported_or_needed_by_another(required: dict[str, str]) -> None:
    distributions = metadata.packages_distributions()
    used = {
        canonical(name) for module, _, _ in third_party() for name in distributions.get(module, ())
    }
    needed = {on for name in required for on in dependencies(name)}
    assert set(required) - used - needed - set(NOT_IMPORTED) == set()
    assert set(NOT_IMPORTED) <= set(required)


def dependencies(name: str) -> set[str]:
    """What an installed distribution needs on Android, by its own word."""
    if name == "python3":
        return set()
    there = {**default_environment(), "python_version": "3.14", "platform_system": "Android"}
    there |= {"python_full_version": "3.14.2", "sys_platform": "android", "extra": ""}
    needs = map(Requirement, metadata.requires(name) or ())
    return {
        canonical(need.name) for need in needs if not need.marker or need.marker.evaluate(there)
    }


def test_what_a_requirement_needs_is_required_too(required: dict[str, str]) -> None:
    lacking = {(name, on) for name in required for on in dependencies(name) - set(required)}
    assert lacking == set(NOT_NEEDED)


def test_versions_are_those_of_the_constraints(required: dict[str, str]) -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = [line.partition("==") for line in lines if not line.startswith("#")]
    constraints = {canonical(name): version for name, _, version in pinned}
    unpinned = {name for name, version in required.items() if not version}
    assert unpinned == {"python3", "pillow"}
    assert {name: constraints[name] for name in required if name not in unpinned} == {
        name: version for name, version in required.items() if version
    }


def test_what_has_no_recipe_is_pure_python(required: dict[str, str]) -> None:
    assert set(RECIPES) <= set(required)
    for name in set(required) - set(RECIPES):
        distribution = metadata.distribution(name)
        files = [str(file) for file in distribution.files or ()]
        assert files, name
        compiled = [file for file in files if file.endswith((*EXTENSION_SUFFIXES, ".so"))]
        if name in PURE_WITHOUT:
            left_out = PURE_WITHOUT[name][0].replace(".", "/")
            assert [file.partition(".")[0] for file in compiled] == [left_out]
            continue
        assert compiled == [], name
        wheel = distribution.read_text("WHEEL")
        assert wheel is not None, name
        assert "Root-Is-Purelib: true" in wheel, name
        tags = re.findall(r"^Tag: (.*)$", wheel, re.MULTILINE)
        assert tags, name
        assert all(tag.endswith("-none-any") for tag in tags), name


def test_javas_classes_are_androids_or_come_with_the_apk(spec: Spec) -> None:
    asked = {
        str(word.value)
        for path in modules()
        for call in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(call, ast.Call) and ast.unparse(call.func).rpartition(".")[2] == "autoclass"
        for word in call.args
        if isinstance(word, ast.Constant)
    }
    sources = {name: [JAVA[start] for start in JAVA if name.startswith(start)] for name in asked}
    assert [name for name, found in sources.items() if not found] == []
    packed = {item.rpartition(":")[0] for item in spec.listed("android.gradle_dependencies")}
    assert packed == {source for found in sources.values() for source in found if source}
    assert spec.app("android.enable_androidx") == "True"  # ML Kit's own dependencies are of it


def test_all_that_runs_is_packed_and_nothing_else(spec: Spec) -> None:
    packed = packed_files(spec)
    left_out = (".typed", ".po", ".svg", ".png", ".desktop")
    ours = {
        str(path.relative_to(ROOT))
        for package in PACKED
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix not in left_out
    }
    assert ours <= packed, "name its kind in source.include_exts"
    assert {path.partition("/")[0] for path in packed} == {*PACKED, "pyproject.toml"}
    assert any(path.endswith(".mo") for path in packed), "translations are compiled by make setup"


def test_the_app_starts_from_what_is_packed(
    spec: Spec, required: dict[str, str], tmp_path: Path
) -> None:
    """As Android starts it: `main.py` beside the sources, and no packages but the requirements. It
    prints, too, for what that needs is imported only then.
    """
    app, private, packages = (tmp_path / name for name in ("app", "files", "site-packages"))
    for path in packed_files(spec):
        (app / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, app / path)
    hook = runpy.run_path(str(ROOT / spec.app("p4a.hook")))
    told = SimpleNamespace(args=SimpleNamespace(unknown_args=["--private", str(app)]))
    hook["before_apk_build"](told)
    packages.mkdir()
    for name in set(required) - {"python3"}:
        for file in metadata.files(name) or ():
            here = packages / file.parts[0]
            if file.parts[0] not in ("..", "__pycache__") and not here.exists():
                here.symlink_to(metadata.distribution(name).locate_file(file.parts[0]))
    start = (
        "import importlib, runpy, sys\n"
        f"sys.path[:0] = [{str(app)!r}, {str(packages)!r}]\n"
        f"for module in {[name for name, _ in PURE_WITHOUT.values()]!r}:\n"
        "    sys.modules[module] = None\n"
        f"for module in {WINDOWLESS!r}: importlib.import_module(module)\n"
        "from PIL import Image\n"
        "from handheld_app.printing.printers import escpos\n"
        "assert escpos(Image.new('1', (384, 8)))\n"
        "from handheld_app.edges import __file__, app_version\n"
        "print(__file__, app_version())\n"
        "sys.argv = ['main.py', '--check-display']\n"
        f"runpy.run_path({str(app / 'main.py')!r}, run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", start],
        env={"ANDROID_PRIVATE": str(private), "ANDROID_ARGUMENT": str(app)},
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert done.stdout.split() == [str(app / "handheld_app" / "edges.py"), project["version"]]
    assert app_version() == project["version"]


def test_the_version_is_the_projects(spec: Spec) -> None:
    text = (ROOT / spec.app("version.filename").replace("%(source.dir)s", ".")).read_text()
    found = re.search(spec.app("version.regex"), text)
    assert found is not None
    assert found[1] == app_version()


def test_everything_lies_in_the_apps_own_storage_and_leaves_it_in_no_backup(spec: Spec) -> None:
    """DOMAIN 6."""
    asked = {re.sub(r"\(name=(.*?);.*", r"\1", item) for item in spec.listed("android.permissions")}
    assert asked == {
        f"android.permission.{name}"
        for name in (
            "INTERNET", "ACCESS_NETWORK_STATE", "CAMERA", "VIBRATE", "BLUETOOTH",
            "BLUETOOTH_CONNECT", "ACCESS_COARSE_LOCATION", "ACCESS_FINE_LOCATION",
        )
    }  # fmt: skip
    assert spec.app("android.allow_backup") == "False"
    assert int(spec.app("android.api")) >= 28  # from there on, plain HTTP is refused unless allowed
    told = (ROOT / spec.app("android.extra_manifest_application_arguments")).read_text()
    application = ElementTree.fromstring(f'<application xmlns:android="{ANDROID[1:-1]}" {told}/>')
    rules = ROOT / spec.app("android.res_xml")
    assert application.attrib == {
        f"{ANDROID}usesCleartextTraffic": "false",
        f"{ANDROID}dataExtractionRules": f"@xml/{rules.stem}",
    }
    for way in ("cloud-backup", "device-transfer"):
        ways = ElementTree.parse(rules).getroot().findall(way)
        assert [{child.get("domain") for child in way} for way in ways] == [{"root", "device_root"}]
    assert not spec.has_option("app", "services")


def test_the_icons_are_ones(spec: Spec) -> None:
    with Image.open(ROOT / spec.app("icon.filename").replace("%(source.dir)s/", "")) as icon:
        assert (icon.format, icon.size) == ("PNG", (512, 512))
    drawing = ElementTree.parse(ROOT / "handheld_app/assets/patrouille.svg").getroot()
    assert drawing.get("viewBox") == "0 0 512 512"


def test_a_desktop_entry_is_installed_as_told(tmp_path: Path) -> None:
    """The commands of the document, in a home of their own; the entry keeps to its format."""
    (commands,) = (
        text for kind, text in blocks("installing-handhelds.md") if "patrouille.desktop" in text
    )
    assert commands in [text for _, text in blocks("installer-les-terminaux.md")]
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    subprocess.run(["sh", "-eu", "-c", commands], cwd=ROOT, env=env, check=True, timeout=30)
    shared = tmp_path / ".local/share"
    lines = (shared / "applications/patrouille.desktop").read_text("utf-8").splitlines()
    assert lines[0] == "[Desktop Entry]"
    pairs = [line.partition("=") for line in lines[1:]]
    entry = {key: value for key, _, value in pairs}
    assert len(entry) == len(pairs), "a key twice"
    for key in entry:
        assert re.fullmatch(r"[A-Za-z0-9-]+(\[fr\])?", key), key
        assert key.removesuffix("[fr]") in entry, f"{key} without its English"
    assert entry["Type"] == "Application"
    assert entry["Name"]
    for key in ("Terminal", "SingleMainWindow"):
        assert entry[key] in ("true", "false")
    assert entry["Categories"].endswith(";")
    assert {"GenericName[fr]", "Comment[fr]", "Keywords[fr]"} <= set(entry)
    program, *arguments = entry["Exec"].split()
    assert os.access(program, os.X_OK)
    assert arguments == ["handheld", "--data-dir", str(shared / "patrouille")]
    icon = shared / f"icons/hicolor/scalable/apps/{entry['Icon']}.svg"
    assert icon.read_bytes() == (ROOT / "handheld_app/assets/patrouille.svg").read_bytes()
