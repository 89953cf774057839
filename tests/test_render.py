"""Every combination of answers renders exactly the files it should, and nothing of the template is left."""

import functools
import os
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import Bake
from tests.matrix import ANSWERS, SOURCE, VARIANTS, name_of

MADE_BY_HOOK = {".env"}


@functools.cache
def files_of(folder: Path) -> frozenset[str]:
    """The files of a folder, as paths from there."""
    return frozenset(
        os.path.relpath(os.path.join(parent, file), folder)
        for parent, _, files in os.walk(folder)
        for file in files
    )


def expected_files(answers: dict[str, str]) -> set[str]:
    """The files of a project: all but those that belong only to other answers."""
    declined: set[str] = set()
    for question, rows in ANSWERS["_features"].items():
        declined |= {path for row in rows.values() for path in row.get("files", [])}
        declined -= set(rows.get(answers[question], {}).get("files", []))
    files = {
        file for file in files_of(SOURCE) if not declined & {file, *map(str, Path(file).parents)}
    }
    return files | MADE_BY_HOOK


def test_files_are_exactly_those_of_the_answers(rendered: Path) -> None:
    defaults = {name: ANSWERS[name] for name in ANSWERS["_features"]}

    for variant in VARIANTS:
        name = name_of(variant)
        assert files_of(rendered / name) == expected_files(defaults | variant), name


def read_yaml(text: str) -> Any:
    """What a file of one YAML document says."""
    return yaml.load(text, Loader=yaml.CSafeLoader)


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
        ".yml": read_yaml,
        ".yaml": lambda text: list(yaml.load_all(text, Loader=yaml.CSafeLoader)),
    }
    try:
        parsers.get(Path(name).suffix, str)(text)
    except (tomllib.TOMLDecodeError, yaml.YAMLError) as error:
        found.append(str(error))
    return found


def test_nothing_of_the_template_is_left_and_data_parses(rendered: Path) -> None:
    for project in rendered.iterdir():
        for file in files_of(project):
            text = (project / file).read_bytes().decode().replace(project.name, "slug")
            assert "cookiecutter" not in file
            assert not problems(Path(file).name, text), project / file


def test_answers_reach_the_files(rendered: Path) -> None:
    for variant in VARIANTS:
        project = rendered / name_of(variant)
        dockerfile = (project / "Dockerfile").read_text()
        services = read_yaml((project / "docker-compose.yml").read_text())["services"]

        image = ANSWERS["_databases"][variant["database"]].get("image")
        assert f'"python:{variant["python_version"]}-{variant["debian_tag"]}"' in dockerfile
        assert services.get("db", {}).get("image") == image, project.name


def test_licence_is_there_when_asked_for(bake: Bake) -> None:
    project = bake(__license="MIT", project_name="Tea")

    assert "Copyright (c) Tea contributors" in (project / "LICENSE").read_text()
    assert tomllib.loads((project / "pyproject.toml").read_text())["project"]["license"] == "MIT"


def test_account_is_the_one_asked_for(bake: Bake) -> None:
    project = bake(nonroot_user="web-runner")

    assert '10001 "web-runner"' in (project / "Dockerfile").read_text()
