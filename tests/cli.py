"""Run Cookiecutter's command on the template, as a user does."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.matrix import TEMPLATE

COOKIECUTTER = str(Path(sys.executable).with_name("cookiecutter"))

IDENTITY = {
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.com",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.com",
}


def generate(
    folder: Path,
    *answers: str,
    path: Path | None = None,
    template: Path = TEMPLATE,
    environment: Mapping[str, str] = {},
    **variables: str,
) -> subprocess.CompletedProcess[str]:
    """Run the command of the README into a folder; path holds the only commands there are."""
    kept = {k: v for k, v in os.environ.items() if k != "TEMPLATE_SKIP"}
    if path:
        kept["PATH"] = str(path)
    command = [COOKIECUTTER, str(template), "--no-input", "--output-dir", str(folder), *answers]
    return subprocess.run(
        command,
        check=False,
        env={**kept, **environment, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def stand_in(commands: Path, name: str, script: str) -> None:
    """Put a shell script in the place of a command."""
    command = commands / name
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)


def copy_of_template(folder: Path) -> Path:
    """A copy of what git tracks of the template."""
    copy = folder / "template"
    for name in ("cookiecutter.json", "hooks", "{{cookiecutter.project_slug}}"):
        source = TEMPLATE / name
        copy.mkdir(exist_ok=True)
        ignore = shutil.ignore_patterns("__pycache__", ".*_cache")
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=ignore)
        else:
            shutil.copy(source, copy / name)
    return copy
