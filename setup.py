"""Compiles the translations, so that every way of installing brings them.

The rest of the build is told in ``pyproject.toml``.
"""

from pathlib import Path
from typing import ClassVar

from setuptools import Command, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent


class CompileTranslations(Command):
    """Write each ``.mo`` beside its ``.po``, where an editable install finds it too."""

    description = "compile the .po files in place"
    user_options: ClassVar[list[tuple[str, str | None, str]]] = []

    def initialize_options(self) -> None:
        pass

    def finalize_options(self) -> None:
        pass

    def run(self) -> None:
        from babel.messages.mofile import write_mo
        from babel.messages.pofile import read_po

        for po in sorted(ROOT.glob("*/locale/*/LC_MESSAGES/*.po")):
            mo = po.with_suffix(".mo")
            if mo.exists() and mo.stat().st_mtime_ns > po.stat().st_mtime_ns:
                continue
            with po.open("rb") as source:
                catalogue = read_po(source, locale=po.parts[-3])
            with mo.open("wb") as compiled:
                write_mo(compiled, catalogue)


class BuildWithTranslations(build_py):
    def run(self) -> None:
        self.run_command("compile_translations")
        super().run()


setup(cmdclass={"build_py": BuildWithTranslations, "compile_translations": CompileTranslations})
