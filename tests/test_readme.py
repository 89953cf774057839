"""The README says what is true: its questions, its tree and its commands are those of the template."""

import re

from tests.conftest import Bake
from tests.matrix import ANSWERS, CHOICES, QUESTIONS, TEMPLATE

README = (TEMPLATE / "README.md").read_text(encoding="utf-8")


def test_table_of_questions_is_complete() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", README, re.MULTILINE))

    assert list(rows) == QUESTIONS
    for question in CHOICES.keys() - {"python_version"}:
        assert rows[question].startswith(", ".join(CHOICES[question]))


def test_tree_is_the_rendered_one(bake: Bake) -> None:
    tree = README.partition("## What you get")[2].partition("\n\n\n")[0]
    named = set(re.findall(r"^    ([\w.-]+)/? {2,}\S", tree, re.MULTILINE))

    answers = [(q, choice) for q in QUESTIONS if q in ANSWERS["_features"] for choice in ANSWERS[q]]
    rendered = [bake(), *(bake(**{question: choice}) for question, choice in answers)]
    assert named == {path.name for project in rendered for path in project.iterdir()}


def test_make_commands_exist() -> None:
    targets = re.findall(r"^(\w+):.*##", (TEMPLATE / "Makefile").read_text(), re.MULTILINE)

    assert set(re.findall(r"^ +make (\w+)$", README, re.MULTILINE)) <= set(targets)


def test_make_commands_of_the_rendered_readme_exist(bake: Bake) -> None:
    project = bake()
    groups = [
        re.findall(r"^([\w-]+):.*##", (project / name).read_text(), re.MULTILINE)
        for name in ("Makefile", "deploy/deploy.mk")
    ]
    targets = {target for group in groups for target in group}

    assert all(0 < len(group) <= 10 for group in groups)
    named = re.findall(r"`?make ([\w-]+)`?\n", (project / "README.md").read_text())
    assert set(named) <= targets
