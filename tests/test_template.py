"""The template keeps its own rules: every question explained, guards that stand alone, one home for a fact."""

import re
import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.matrix import ANSWERS, COVERING, QUESTIONS, SOURCE, TEMPLATE, VARIANTS, pairs_of

RENDERED_SOURCES = [
    path
    for path in SOURCE.rglob("*")
    if path.is_file()
    and not {"templates", "static", "workflows"} & set(path.relative_to(SOURCE).parts)
]


@pytest.mark.parametrize("question", QUESTIONS)
def test_question_and_every_choice_have_a_label(question: str) -> None:
    label = ANSWERS["__prompts__"][question]

    if isinstance(ANSWERS[question], list):
        assert list(label) == ["__prompt__", *ANSWERS[question]]
    else:
        assert isinstance(label, str)


def test_labels_show_as_they_are_written() -> None:
    # Cookiecutter prints them as Rich markup, in which [text] vanishes
    assert "[" not in str([*ANSWERS["__prompts__"].values()]).replace("[{", "").replace("['", "")


def test_covering_set_holds_every_pair_of_answers() -> None:
    every = set().union(*map(pairs_of, VARIANTS))

    assert set().union(*map(pairs_of, COVERING)) == every
    assert len(COVERING) < len(VARIANTS)


@pytest.mark.parametrize("path", RENDERED_SOURCES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_guards_stand_alone_and_ask_one_question(path: Path) -> None:
    guards = [line for line in path.read_text(encoding="utf-8").splitlines() if "{%" in line]

    # These gather what every feature adds
    most = {"settings.py": 12, "docker-compose.prod.yml": 8, "pyproject.toml": 8}.get(path.name, 6)
    assert len(guards) <= 2 * most, f"more than {most} blocks: split the file"
    question = r'# \{% if cookiecutter\.\w+ (==|!=) "[\w.-]+" %\}'
    for opening, closing in zip(guards[::2], guards[1::2], strict=True):
        assert re.fullmatch(question, opening.strip())
        assert closing.strip() == "# {% endif %}"


def test_files_that_are_only_copied_ask_for_nothing() -> None:
    for path in filter(Path.is_file, SOURCE.rglob("*")):
        name = path.relative_to(SOURCE).as_posix()
        if any(fnmatch(name, pattern) for pattern in ANSWERS["_copy_without_render"]):
            assert b"{{ cookiecutter." not in path.read_bytes(), name
            assert b"# {%" not in path.read_bytes(), name


def test_features_name_files_that_exist() -> None:
    for choices in ANSWERS["_features"].values():
        for files in choices.values():
            assert all((SOURCE / file).exists() for file in files)


def test_tools_have_one_version_each() -> None:
    development = tomllib.loads((TEMPLATE / "pyproject.toml").read_text())["dependency-groups"][
        "dev"
    ]
    pinned = dict(line.split("==") for line in development)
    rendered = (SOURCE / "pyproject.toml").read_text()
    hooks = (SOURCE / ".pre-commit-config.yaml").read_text()
    image = re.search(r"astral-sh/uv:([\d.]+)", (SOURCE / "Dockerfile").read_text())

    assert f'"ruff=={pinned["ruff"]}"' in rendered
    assert f"rev: v{pinned['ruff']}" in hooks
    assert f"rev: {pinned['djade']}" in hooks
    assert image
    assert pinned["uv"].startswith(image[1] + ".")


def test_every_source_file_is_tracked() -> None:
    # Git obeys the template's own .gitignore, and would leave out a file that it names
    command = ["git", "ls-files", "--others", "--", "{{cookiecutter.project_slug}}"]
    done = subprocess.run(command, check=True, cwd=TEMPLATE, capture_output=True, text=True)

    assert done.stdout == ""
