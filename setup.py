"""Compiles the translations, so that every way of installing brings them.

The rest of the build is told in ``pyproject.toml``.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent


def compile_translations(root: Path) -> None:
    """Write each ``.mo`` beside its ``.po``, which an editable install then finds too."""
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import read_po

    for po in sorted(root.glob("*/locale/*/LC_MESSAGES/*.po")):
        with po.open("rb") as source:
            catalogue = read_po(source, locale=po.parts[-3])
        with po.with_suffix(".mo").open("wb") as compiled:
            write_mo(compiled, catalogue)


class BuildWithTranslations(build_py):
    def run(self) -> None:
        compile_translations(ROOT)
        super().run()


setup(cmdclass={"build_py": BuildWithTranslations})
