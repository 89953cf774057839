"""Render projects, as the command of the README does, but inside this process."""

from pathlib import Path

from cookiecutter.main import cookiecutter

from tests.matrix import TEMPLATE


def render(folder: Path, **answers: str) -> Path:
    """Render a project into a folder from answers by their names, and return its path.

    Cookiecutter renders each answer as Jinja; see `wrapped` for text that must arrive as it is.
    """
    made = cookiecutter(str(TEMPLATE), no_input=True, extra_context=answers, output_dir=str(folder))
    return Path(made)


def replace(file: Path, old: str, new: str) -> None:
    """Replace a text that must be in the file once."""
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{text.count(old)} times in {file}: {old}"
    file.write_text(text.replace(old, new), encoding="utf-8")
