"""What the tests share: rendered projects, an engine to run them on, and the rule for its absence."""

import os
import signal
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from pytest_cookies.plugin import Cookies, Result

from tests.matrix import NAME, VARIANTS, name_of, wrapped
from tests.rendering import render
from tests.stack import Stack
from tools.demo import engine_answers
from tools.interpreter import UV, supported_python

Bake = Callable[..., Path]

# Tests send Ctrl-C, which what a shell starts in the background would ignore
signal.signal(signal.SIGINT, signal.default_int_handler)

LONGEST = ("test_tasks", "test_backup", "test_production", "test_deploy", "test_kubernetes")

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


def render_variant(variant: dict[str, str], folder: Path) -> None:
    """Render a variant into a folder named after it."""
    render(folder, **variant, project_slug=name_of(variant), project_name=wrapped(NAME))


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that holds every variant, rendered once for all workers of pytest-xdist."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    folder, done = shared / "rendered", shared / "rendered.done"
    with FileLock(shared / "rendered.lock"):
        if not done.exists():
            with ProcessPoolExecutor() as pool:
                list(pool.map(render_variant, VARIANTS, [folder] * len(VARIANTS)))
            done.touch()
    return folder


@pytest.fixture
def commands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder for PATH, outside the folder that is generated into."""
    return tmp_path_factory.mktemp("commands")


@pytest.fixture(scope="session")
def python() -> str:
    """A Python on which the rendered project runs."""
    found = supported_python()
    assert found, "no supported Python here, and uv could not fetch one"
    return found


@pytest.fixture(scope="session")
def engine() -> None:
    """A Docker engine; without one the test is skipped, or fails where REQUIRE_DOCKER is set."""
    if engine_answers():
        return
    if os.environ.get("REQUIRE_DOCKER"):
        pytest.fail("REQUIRE_DOCKER is set, but no Docker engine answers")
    pytest.skip("no Docker engine answers")


@pytest.fixture(scope="module")
def stack(
    engine: None, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """The stack of a project of its own, up and healthy; `tests.stack.on` says which."""
    start, slug, answers = request.param
    with start(render(tmp_path_factory.mktemp("stack"), project_slug=slug, **answers)) as running:
        yield running


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
