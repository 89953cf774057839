"""What the tests share: rendered projects, an engine to run them on, and the rule for its absence."""

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import jinja2
import pytest
from cookiecutter.main import cookiecutter
from filelock import FileLock
from pytest_cookies.plugin import Cookies, Result

from tests.matrix import NAME, TEMPLATE, VARIANTS, name_of, wrapped
from tools.demo import engine_answers
from tools.interpreter import UV, supported_python

Bake = Callable[..., Path]

# No step of the hook that leaves the folder, unless a test asks for it
os.environ["TEMPLATE_SKIP"] = "git,uv,docker"
os.environ["PATH"] = os.pathsep.join([str(Path(UV).parent), os.environ["PATH"]])


@pytest.fixture
def bake(cookies: Cookies) -> Bake:
    """Render one project from answers given by keyword, and return its folder."""

    def render(**answers: str) -> Path:
        result: Result = cookies.bake(extra_context=answers)
        if result.exception:
            raise result.exception
        assert result.project_path
        return Path(result.project_path)

    return render


def compile_once() -> None:
    """Let all variants that this process renders share what Jinja compiles of their common templates."""
    environment: Any = jinja2.Environment
    compile_anew = environment.compile
    known: dict[tuple[str, ...], Any] = {}

    def compile_known(self: jinja2.Environment, source: str, *names: str) -> Any:
        key = (self.block_start_string, source, *names)
        if key not in known:
            known[key] = compile_anew(self, source, *names)
        return known[key]

    environment.compile = compile_known


def render_variant(variant: dict[str, str], folder: Path) -> None:
    """Render a variant into a folder named after it."""
    answers = variant | {"project_slug": name_of(variant), "project_name": wrapped(NAME)}
    cookiecutter(str(TEMPLATE), no_input=True, extra_context=answers, output_dir=str(folder))


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that holds every variant, rendered once for all workers of pytest-xdist."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    folder, done = shared / "rendered", shared / "rendered.done"
    with FileLock(shared / "rendered.lock"):
        if not done.exists():
            with ProcessPoolExecutor(initializer=compile_once) as pool:
                list(pool.map(render_variant, VARIANTS, [folder] * len(VARIANTS)))
            done.touch()
    return folder


@pytest.fixture(scope="session")
def python() -> str:
    """A Python on which the rendered project runs."""
    found = supported_python()
    assert found, "no Python from 3.12 to 3.14 here, and uv could not fetch one"
    return found


@pytest.fixture(scope="session")
def engine() -> None:
    """A Docker engine; without one the test is skipped, or fails where REQUIRE_DOCKER is set."""
    if engine_answers():
        return
    if os.environ.get("REQUIRE_DOCKER"):
        pytest.fail("REQUIRE_DOCKER is set, but no Docker engine answers")
    pytest.skip("no Docker engine answers")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what tests have measured, which pytest keeps to itself when they pass."""
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for line in report.capstdout.splitlines():
            if line.startswith("measured: "):
                name = report.nodeid.removeprefix("tests/").partition("@")[0]
                terminalreporter.write_line(f"{name}: {line.removeprefix('measured: ')}")
