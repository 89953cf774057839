"""What the tests share: rendered projects, an engine to run them on, and the rule for its absence."""

import functools
import os
import runpy
import signal
import sys
from collections.abc import Callable, Generator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import jinja2
import pytest
from cookiecutter import generate, hooks
from cookiecutter.exceptions import FailedHookException
from cookiecutter.main import cookiecutter
from filelock import FileLock
from pytest_cookies.plugin import Cookies, Result

from tests.matrix import NAME, TEMPLATE, VARIANTS, name_of, wrapped
from tests.stack import Stack
from tools.demo import engine_answers
from tools.interpreter import UV, supported_python

Bake = Callable[..., Path]

# Tests send Ctrl-C, which what a shell starts in the background would ignore
signal.signal(signal.SIGINT, signal.default_int_handler)

LONGEST = ("test_tasks", "test_backup", "test_production", "test_deploy")

# No step of the hook that leaves the folder, unless a test asks for it
os.environ["TEMPLATE_SKIP"] = "git,uv,docker"
os.environ["PATH"] = os.pathsep.join([str(Path(UV).parent), os.environ["PATH"]])


def pytest_xdist_auto_num_workers() -> int:
    """Two workers more than processors: there are always some that only wait for a container."""
    return (os.cpu_count() or 1) + 2


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what waits longest, so that at the end no worker is alone with it."""
    items.sort(key=lambda item: item.path.stem not in LONGEST)


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


def run_in_fork(script: str, folder: Path | str = ".") -> None:
    """Run a hook as Cookiecutter does, in a process of its own, but without starting Python anew."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            os.chdir(folder)
            runpy.run_path(script, run_name="__main__")
            os._exit(0)
        finally:
            os._exit(1)
    if os.waitpid(child, 0)[1]:
        raise FailedHookException(script)


def share_between_variants() -> None:
    """Do once in a process what is the same for every variant: compiling templates, starting Python."""
    environment: Any = jinja2.Environment
    compile_anew = environment.compile
    known: dict[tuple[str, ...], Any] = {}

    def compile_known(self: jinja2.Environment, source: str, *names: str) -> Any:
        key = (self.block_start_string, source, *names)
        if key not in known:
            known[key] = compile_anew(self, source, *names)
        return known[key]

    environment.compile = compile_known
    generate.is_binary = functools.cache(generate.is_binary)
    hooks.run_script = run_in_fork


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
            with ProcessPoolExecutor(initializer=share_between_variants) as pool:
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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Function) -> Generator[None, Any, Any]:
    """Add what the containers said last to the report of a test that failed on a stack."""
    report = yield
    stack = getattr(item, "funcargs", {}).get("stack")
    if report.failed and isinstance(stack, Stack) and stack.folder.exists():
        logs = stack.run("docker", "compose", "logs", "--no-color", "--tail=15", check=False)
        lines = [line[:300] for line in logs.stdout.splitlines()]
        report.sections.append(("docker compose logs", "\n".join(lines)))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what tests have measured, which pytest keeps to itself when they pass."""
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for line in report.capstdout.splitlines():
            if line.startswith("measured: "):
                name = report.nodeid.removeprefix("tests/").partition("@")[0]
                terminalreporter.write_line(f"{name}: {line.removeprefix('measured: ')}")
