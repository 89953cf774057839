"""The template keeps its own rules: every question explained, guards that stand alone, one home for a fact."""

import re
import subprocess
from collections import Counter
from fnmatch import fnmatch
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.matrix import (
    ANSWERS,
    CHOICES,
    COVERING,
    QUESTIONS,
    SOURCE,
    TEMPLATE,
    combinations_of,
    product,
)

# In one file, for one question: beyond that the answer deserves a file of its own
MOST_GUARDS = 6

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


def test_every_pair_of_answers_is_booted() -> None:
    every = set().union(*(combinations_of(variant, 2) for variant in product(CHOICES)))

    assert set().union(*(combinations_of(variant, 2) for variant in COVERING)) == every


def guards_of(path: Path) -> list[str]:
    """The lines of a file that hold a block of Jinja."""
    return [line.strip() for line in path.read_text("utf-8").splitlines() if "{%" in line]


def test_guards_stand_alone_and_ask_one_question() -> None:
    question = r'# \{% if cookiecutter\.\w+ (==|!=) "[\w.-]+" %\}'
    for path in RENDERED_SOURCES:
        guards = guards_of(path)
        for opening, closing in zip(guards[::2], guards[1::2], strict=True):
            assert re.fullmatch(question, opening), path
            assert closing == "# {% endif %}", path


def test_no_file_asks_one_question_too_often() -> None:
    for path in RENDERED_SOURCES:
        asked = Counter(re.findall(r"if cookiecutter\.(\w+)", "\n".join(guards_of(path))))
        assert max(asked.values(), default=0) <= MOST_GUARDS, f"{path}: split the file"


def test_files_that_are_only_copied_ask_for_nothing() -> None:
    for path in filter(Path.is_file, SOURCE.rglob("*")):
        name = path.relative_to(SOURCE).as_posix()
        if any(fnmatch(name, pattern) for pattern in ANSWERS["_copy_without_render"]):
            assert b"{{ cookiecutter." not in path.read_bytes(), name
            assert b"# {%" not in path.read_bytes(), name


def test_features_name_files_that_exist() -> None:
    for rows in ANSWERS["_features"].values():
        for row in rows.values():
            assert all((SOURCE / file).exists() for file in row.get("files", []))


@pytest.mark.parametrize("tool", ["djade", "ruff", "uv"])
def test_tests_use_the_tool_that_is_rendered(tool: str) -> None:
    assert version(tool).startswith(ANSWERS["_versions"][tool])


def test_every_source_file_is_tracked() -> None:
    # Git obeys the template's own .gitignore, and would leave out a file that it names
    command = ["git", "ls-files", "--others", "--", "{{cookiecutter.project_slug}}"]
    done = subprocess.run(command, check=True, cwd=TEMPLATE, capture_output=True, text=True)

    assert done.stdout == ""
