"""Every combination of answers renders exactly the files it should, and nothing of the template is left."""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.conftest import Bake
from tests.matrix import ANSWERS, SOURCE, VARIANTS, name_of

MADE_BY_HOOK = {".env"}


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def expected_files(answers: dict[str, str]) -> set[str]:
    """The files of a project: all but those that belong only to other answers."""
    declined: set[str] = set()
    for question, choices in ANSWERS["_features"].items():
        declined |= {path for paths in choices.values() for path in paths}
        declined -= set(choices.get(answers[question], []))
    files = {
        file for file in files_of(SOURCE) if not declined & {file, *map(str, Path(file).parents)}
    }
    return files | MADE_BY_HOOK


@pytest.fixture(params=VARIANTS, ids=name_of)
def variant(request: pytest.FixtureRequest) -> dict[str, str]:
    answers: dict[str, str] = request.param
    return answers


@pytest.fixture
def project(rendered: Path, variant: dict[str, str]) -> Path:
    return rendered / name_of(variant)


def test_files_are_exactly_those_of_the_answers(project: Path, variant: dict[str, str]) -> None:
    defaults = {name: ANSWERS[name] for name in ANSWERS["_features"]}

    assert files_of(project) == expected_files(defaults | variant)


def test_nothing_of_the_template_is_left(project: Path) -> None:
    for path in project.rglob("*"):
        assert "cookiecutter" not in path.name
        if path.is_file():
            text = path.read_bytes().decode()
            assert "cookiecutter" not in text, path
            assert "# {%" not in text, path
            assert "\r" not in text, path
            assert not text or text.endswith("\n"), path
            assert not re.search(r"\n\n\n\n|[ \t]\n|\A\n|\n\n\Z", text), path


def test_every_file_of_data_parses(project: Path) -> None:
    # Python's files are parsed by ruff, in test_format.py
    parsers: dict[str, Callable[[str], object]] = {".toml": tomllib.loads, ".yml": yaml.safe_load}
    for path in project.rglob("*"):
        if path.suffix in parsers:
            parsers[path.suffix](path.read_text(encoding="utf-8"))


def test_answers_reach_the_files(project: Path, variant: dict[str, str]) -> None:
    dockerfile = (project / "Dockerfile").read_text()
    compose = yaml.safe_load((project / "docker-compose.yml").read_text())

    image = ANSWERS["_databases"][variant["database"]].get("image")
    assert f'"python:{variant["python_version"]}-{variant["debian_tag"]}"' in dockerfile
    assert compose["services"].get("db", {}).get("image") == image


def test_licence_is_there_when_asked_for(bake: Bake) -> None:
    project = bake(__license="MIT", project_name="Tea")

    assert "Copyright (c) Tea contributors" in (project / "LICENSE").read_text()
    assert tomllib.loads((project / "pyproject.toml").read_text())["project"]["license"] == "MIT"


def test_account_is_the_one_asked_for(bake: Bake) -> None:
    project = bake(nonroot_user="web-runner")

    assert '10001 "web-runner"' in (project / "Dockerfile").read_text()
