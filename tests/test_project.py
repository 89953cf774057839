"""Without Docker, on SQLite: the rendered project starts, and its own tests and checks pass."""

import os
import re
import shutil
import signal
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.matrix import ANSWERS, PACKAGES, VARIANTS, declined_packages, name_of
from tests.stack import unused_port, wait_for
from tools.interpreter import UV


def kind(variant: dict[str, str]) -> dict[str, str]:
    """The answers that reach Python files, templates or dependencies; a database does by its backend."""
    elsewhere = ("python_version", "debian_tag", "database", "deploy_to")
    backend = {"backend": ANSWERS["_databases"][variant["database"]]["backend"]}
    return backend | {
        question: variant[question] for question in variant if question not in elsewhere
    }


# One variant of each kind, by its name
KINDS = {"-".join(kind(variant).values()): variant for variant in reversed(VARIANTS)}
# Here every answer occurs once, since their suites take long; test_stack.py runs those of every pair
TESTED = ["sqlite3-none-none", "postgresql-drf-database", "mysql-ninja-celery"]


def sources(rendered: Path, variant: dict[str, str]) -> dict[str, str]:
    """Everything that runs without Docker (path → text), with the slug taken out."""
    folder = rendered / name_of(variant)
    found = [*folder.rglob("*.py"), *folder.glob("templates/**/*.*"), folder / "pyproject.toml"]
    return {
        str(path.relative_to(folder)): path.read_text().replace(folder.name, "slug")
        for path in found
    }


def test_other_answers_change_no_source(rendered: Path) -> None:
    expected = {name: sources(rendered, variant) for name, variant in KINDS.items()}

    for variant in VARIANTS:
        assert sources(rendered, variant) == expected["-".join(kind(variant).values())]


def test_every_answer_is_in_a_tested_kind() -> None:
    answers = {answer for variant in VARIANTS for answer in kind(variant).values()}

    assert {answer for name in TESTED for answer in name.split("-")} == answers


class Project:
    """A copy of a rendered project, whose commands run as its README says: with uv."""

    def __init__(self, folder: Path, python: str, environment: Path) -> None:
        self.folder = folder
        removed = {"VIRTUAL_ENV", "TEMPLATE_SKIP", "PYTHONDONTWRITEBYTECODE"}
        self.environment = {k: v for k, v in os.environ.items() if k not in removed}
        self.environment["UV_PYTHON"] = python
        self.environment["UV_PROJECT_ENVIRONMENT"] = str(environment)

    def run(self, *command: str) -> str:
        """Run a command in the project's own virtual environment, and return what it prints."""
        done = subprocess.run(
            [UV, "run", "--quiet", *command],
            check=False,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout


@pytest.fixture(scope="module")
def project(
    request: pytest.FixtureRequest,
    rendered: Path,
    tmp_path_factory: pytest.TempPathFactory,
    python: str,
) -> Project:
    name = name_of(request.param)
    folder = tmp_path_factory.mktemp("project") / name
    shutil.copytree(rendered / name, folder)
    return Project(folder, python, tmp_path_factory.mktemp("environment"))


each_project = pytest.mark.parametrize(
    "project",
    [
        pytest.param(KINDS[name], id=name, marks=pytest.mark.xdist_group(f"project-{name}"))
        for name in TESTED
    ],
    indirect=True,
    scope="module",
)


@each_project
def test_its_own_tests_pass_and_cover_its_code(project: Project) -> None:
    output = project.run("pytest", "-q", "--cov", "--cov-fail-under=90")

    passed = re.search(r"^(\d+) passed in", output, re.MULTILINE)
    assert passed, output
    assert int(passed[1]) >= 30


@each_project
def test_its_types_are_right(project: Project) -> None:
    assert "Success" in project.run("mypy", ".")


@each_project
def test_django_finds_nothing(project: Project) -> None:
    assert "no issues (0 silenced)" in project.run("manage.py", "check", "--fail-level", "WARNING")
    assert "No changes detected" in project.run("manage.py", "makemigrations", "--check")


@each_project
def test_it_starts_on_sqlite(project: Project) -> None:
    port = unused_port()
    project.run("manage.py", "migrate")
    command = [UV, "run", "--quiet", "manage.py", "runserver", "--noreload", str(port)]
    with subprocess.Popen(command, cwd=project.folder, env=project.environment) as server:
        try:
            assert "<dt>SQLite</dt>" in wait_for(port, "/").text
        finally:
            server.send_signal(signal.SIGTERM)


@each_project
def test_no_slug_can_take_the_name_of_a_dependency(project: Project) -> None:
    packages = tomllib.loads((project.folder / "uv.lock").read_text())["package"]

    names = {package["name"] for package in packages} - {project.folder.name}
    reserved = ANSWERS["_reserved_slugs"]["names a package that the project depends on"]
    assert names <= set(reserved)


@each_project
def test_lock_holds_the_packages_of_its_answers_alone(project: Project) -> None:
    variant = next(v for v in VARIANTS if name_of(v) == project.folder.name)
    packages = tomllib.loads((project.folder / "uv.lock").read_text())["package"]

    names = {package["name"] for package in packages}
    asked = set().union(*(PACKAGES[q].get(variant[q], set()) for q in PACKAGES))
    assert asked <= names
    assert not names & declined_packages(variant)
