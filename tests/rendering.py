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
