"""The walks of CONTRIBUTING lead to a template whose own tests pass: nothing else has to be changed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli import generate
from tests.matrix import SOURCE, TEMPLATE
from tests.rendering import replace

FILES = {
    "pages/opening_hours.py": '"""When the shop is open."""\n\nHOURS = range(9, 17)\n',
    "tests/test_opening_hours.py": (
        "from pages.opening_hours import HOURS\n\n\n"
        "def test_noon_is_within_the_hours() -> None:\n    assert 12 in HOURS\n"
    ),
}

SETTING = """
# {% if cookiecutter.opening_hours == "shown" %}
SHOW_OPENING_HOURS = True

# {% endif %}
LANGUAGE_CODE ="""


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A copy of what git would commit of the template."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    files = subprocess.run(listed, check=True, cwd=TEMPLATE, capture_output=True, text=True).stdout
    for file in filter(None, files.split("\0")):
        if (TEMPLATE / file).exists():
            (tmp_path / "template" / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(TEMPLATE / file, tmp_path / "template" / file)
    git = ["git", "-c", "init.defaultBranch=main", "init", "--quiet"]
    subprocess.run(git, check=True, cwd=tmp_path / "template")
    return tmp_path / "template"


def change_answers(template: Path, **changes: Any) -> None:
    """Change rows of cookiecutter.json; a new question comes before the others."""
    path = template / "cookiecutter.json"
    answers = json.loads(path.read_text(encoding="utf-8"))
    for name, value in changes.items():
        changes[name] = answers[name] | value if isinstance(value, dict) else value
    new = {name: value for name, value in changes.items() if name not in answers}
    path.write_text(json.dumps(new | answers | changes), encoding="utf-8")


def assert_its_tests_pass(template: Path) -> None:
    """The copy's own tests can be collected, and the rules of the template hold."""
    rules = (
        "test_template.py",
        "test_support.py",
        "test_readme.py::test_table_of_questions_is_complete",
    )
    subprocess.run(["git", "add", "--all", "--force"], check=True, cwd=template)
    for arguments in (["--collect-only", "tests"], [f"tests/{rule}" for rule in rules]):
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
        done = subprocess.run(command, check=False, cwd=template, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-5000:]


def test_question_needs_its_rows_its_files_and_a_line_in_the_readme(
    template: Path, tmp_path: Path
) -> None:
    labels = {"__prompt__": "Opening hours", "hidden": "no", "shown": "yes: on the home page"}
    change_answers(
        template,
        opening_hours=["hidden", "shown"],
        __prompts__={"opening_hours": labels},
        _features={"opening_hours": {"shown": {"files": [*FILES], "packages": ["holidays~=0.60"]}}},
    )
    source = template / SOURCE.name
    for name, text in FILES.items():
        (source / name).write_text(text)
    replace(source / "config/settings.py", "\nLANGUAGE_CODE =", SETTING)
    replace(
        template / "README.md",
        "\n| `project_name`",
        "\n| `opening_hours` | hidden, shown |\n| `project_name`",
    )

    generate(tmp_path, "project_slug=with-hours", "opening_hours=shown", template=template)
    generate(tmp_path, "project_slug=without-hours", template=template)

    assert_its_tests_pass(template)
    for folder, shown in {"with-hours": True, "without-hours": False}.items():
        project = tmp_path / folder
        assert all((project / name).exists() == shown for name in FILES)
        assert ("holidays" in (project / "pyproject.toml").read_text()) == shown
        assert ("SHOW_OPENING_HOURS" in (project / "config/settings.py").read_text()) == shown


def test_version_of_python_needs_its_label(template: Path, tmp_path: Path) -> None:
    answers = json.loads((template / "cookiecutter.json").read_text(encoding="utf-8"))
    label = {"3.99": "3.99 (supported until October 2099)"}
    change_answers(
        template,
        python_version=[*answers["python_version"], "3.99"],
        __prompts__={"python_version": answers["__prompts__"]["python_version"] | label},
    )

    generate(tmp_path, "python_version=3.99", template=template)

    assert_its_tests_pass(template)
    assert "python:3.99-slim" in (tmp_path / "my-django-site/Dockerfile").read_text()
