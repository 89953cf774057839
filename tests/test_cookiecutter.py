"""The template works with every way to start Cookiecutter, from 2.6 on, and with nothing else installed."""

import os
import pty
import subprocess
from pathlib import Path

import pytest

from tests.cli import COOKIECUTTER
from tests.matrix import ANSWERS, QUESTIONS, TEMPLATE
from tools.interpreter import UV


def environment(home: Path, **variables: str) -> dict[str, str]:
    """An environment with a home folder of its own, so that no user's configuration is read or written."""
    return os.environ | {"HOME": str(home), "UV_CACHE_DIR": cache()} | variables


def cache() -> str:
    return subprocess.run(
        [UV, "cache", "dir"], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.mark.parametrize("version", ["2.6.0", "2.7.1"])
def test_uvx_renders_the_defaults(version: str, tmp_path: Path, python: str) -> None:
    command = [UV, "tool", "run", "--quiet", "--from", f"cookiecutter=={version}", "cookiecutter"]
    arguments = [str(TEMPLATE), "--no-input", "--output-dir", str(tmp_path / version)]

    subprocess.run(
        command + arguments, check=True, env=environment(tmp_path, UV_PYTHON=python), timeout=120
    )

    assert (tmp_path / version / "my-django-site/manage.py").exists()


def test_git_address_renders_what_is_committed(tmp_path: Path) -> None:
    clone = tmp_path / "template"
    subprocess.run(["git", "clone", "--quiet", TEMPLATE, clone], check=True)

    subprocess.run(
        [COOKIECUTTER, f"git+file://{clone}", "--no-input", "--output-dir", str(tmp_path)],
        check=True,
        env=environment(tmp_path),
    )

    assert (tmp_path / "my-django-site/.env.example").exists()


def test_enter_on_every_question_gives_a_good_project(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [COOKIECUTTER, str(TEMPLATE), "--output-dir", str(tmp_path)],
        env=environment(tmp_path, COLUMNS="200"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as running:
        os.write(ours, b"\n" * len(QUESTIONS))
        assert running.wait(60) == 0
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)

    assert (tmp_path / "my-django-site/manage.py").exists()
    for label in ANSWERS["__prompts__"].values():
        for text in label.values() if isinstance(label, dict) else [label]:
            assert text in shown


def test_answers_on_the_command_line_are_taken(tmp_path: Path) -> None:
    answers = ["project_name=Tea Shop", "python_version=3.12", "database=mariadb"]
    command = [COOKIECUTTER, str(TEMPLATE), "--no-input", "--output-dir", str(tmp_path), *answers]

    subprocess.run(command, check=True, env=environment(tmp_path))

    project = tmp_path / "tea-shop"
    assert "python:3.12-slim-trixie" in (project / "Dockerfile").read_text()
    assert "mariadb:11.8" in (project / "docker-compose.yml").read_text()
