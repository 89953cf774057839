"""Without Docker, on SQLite: the rendered project starts, and its own tests and checks pass."""

import os
import re
import signal
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.matrix import EVERY_ANSWER, declined_packages, id_of, packages_of
from tests.rendering import render
from tests.stack import unused_port, wait_for
from tools.interpreter import UV


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
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, python: str
) -> Project:
    folder = render(tmp_path_factory.mktemp("project"), **request.param)
    return Project(folder, python, tmp_path_factory.mktemp("environment"))


def on_projects(variants: list[dict[str, str]]) -> pytest.MarkDecorator:
    """Run a test on the projects of these answers."""
    projects = [
        pytest.param(answers, id=id_of(answers), marks=pytest.mark.xdist_group(id_of(answers)))
        for answers in variants
    ]
    return pytest.mark.parametrize("project", projects, indirect=True, scope="module")


each_project = on_projects(EVERY_ANSWER)
# What takes long is done for the others in test_stack.py, on their databases
first_project = on_projects(EVERY_ANSWER[:1])


@first_project
def test_its_own_tests_pass_and_cover_its_code(project: Project) -> None:
    output = project.run("pytest", "-q", "--cov", "--cov-fail-under=90")

    passed = re.search(r"^(\d+) passed in", output, re.MULTILINE)
    assert passed, output
    assert int(passed[1]) >= 30


@first_project
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
def test_lock_holds_the_packages_of_its_answers_alone(
    project: Project, request: pytest.FixtureRequest
) -> None:
    answers = request.node.callspec.params["project"]
    packages = tomllib.loads((project.folder / "uv.lock").read_text())["package"]

    names = {package["name"] for package in packages}
    assert set().union(*(packages_of(q, choice) for q, choice in answers.items())) <= names
    assert not names & declined_packages(answers)


def test_project_may_have_the_name_of_a_dependency(tmp_path: Path, python: str) -> None:
    project = Project(render(tmp_path, project_slug="django"), python, tmp_path / "environment")

    assert "6.1" in project.run("manage.py", "version")
