"""Every combination of answers renders exactly the files it should, and nothing of the template is left."""

import functools
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


@functools.cache
def problems(name: str, text: str) -> list[str]:
    """What is wrong with a file, by its name and text; most variants have the same."""
    found = [word for word in ("cookiecutter", "# {%", "\r") if word in text]
    if text and not text.endswith("\n"):
        found.append("no end of line")
    if re.search(r"\n\n\n\n|[ \t]\n|\A\n|\n\n\Z", text):
        found.append("blanks")
    # Python's files are parsed by ruff, in test_format.py
    parsers: dict[str, Callable[[str], object]] = {
        ".toml": tomllib.loads,
        ".yml": yaml.safe_load,
        ".yaml": lambda text: list(yaml.safe_load_all(text)),
    }
    try:
        parsers.get(Path(name).suffix, str)(text)
    except (tomllib.TOMLDecodeError, yaml.YAMLError) as error:
        found.append(str(error))
    return found


def test_nothing_of_the_template_is_left_and_data_parses(project: Path) -> None:
    for path in project.rglob("*"):
        assert "cookiecutter" not in path.name
        if path.is_file():
            text = path.read_bytes().decode().replace(project.name, "slug")
            assert not problems(path.name, text), path


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
