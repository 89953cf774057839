"""`make demo` shows the page, with Docker and without, and cleans up after Ctrl-C."""

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.matrix import TEMPLATE
from tests.stack import outside_make, wait_for

# Each looks for a free port
pytestmark = pytest.mark.xdist_group("demo")

NO_ENGINE = {"DOCKER_HOST": "tcp://127.0.0.1:9"}


@dataclass
class Demo:
    """A demo that runs: its process, and what it has printed."""

    pid: int
    shown: str = ""


@contextmanager
def demo(folder: Path, **variables: str) -> Iterator[tuple[int, Demo]]:
    """Run make demo with a folder of its own for temporary files; gives the port it names."""
    with subprocess.Popen(
        ["make", "demo"],
        cwd=TEMPLATE,
        env=outside_make() | {"TMPDIR": str(folder)} | variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as running:
        assert running.stdout
        shown = Demo(running.pid)
        try:
            for line in running.stdout:
                shown.shown += line
                if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                    yield int(found[1]), shown
                    break
            else:
                raise AssertionError(shown.shown)
        finally:
            if running.poll() is None:
                os.killpg(running.pid, signal.SIGINT)
            shown.shown += running.stdout.read()


def test_demo_without_an_engine_runs_on_sqlite(tmp_path: Path, python: str) -> None:
    with demo(tmp_path, UV_PYTHON=python, **NO_ENGINE) as (port, _):
        assert "<dt>SQLite</dt>" in wait_for(port, "/").text

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("signals", [[signal.SIGINT, signal.SIGINT], [signal.SIGHUP]], ids=len)
def test_demo_that_is_stopped_in_a_hurry_leaves_nothing(
    tmp_path: Path, python: str, signals: list[int]
) -> None:
    with demo(tmp_path, UV_PYTHON=python, **NO_ENGINE) as (_, running):
        for number in signals:
            os.killpg(running.pid, number)
            time.sleep(0.1)

    assert list(tmp_path.iterdir()) == []


def test_demo_says_what_it_uses_and_gives_one_address(tmp_path: Path, python: str) -> None:
    with demo(tmp_path, UV_PYTHON=python, **NO_ENGINE) as (port, running):
        wait_for(port, "/")

    assert "so this uses SQLite" in running.shown
    assert set(re.findall(r"https?://[^ )]+", running.shown)) == {f"http://127.0.0.1:{port}"}
    assert "docker compose up" not in running.shown


@pytest.mark.container
@pytest.mark.parametrize("signals", [[signal.SIGINT, signal.SIGINT], [signal.SIGHUP]], ids=len)
def test_demo_in_docker_that_is_stopped_in_a_hurry_leaves_nothing(
    engine: None, signals: list[int]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        with demo(Path(folder)) as (_, running):
            for number in signals:
                os.killpg(running.pid, number)
                time.sleep(0.5)

        assert list(Path(folder).iterdir()) == []
    assert_no_demo_is_left()


@pytest.mark.container
def test_demo_with_an_engine_runs_in_docker(engine: None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        with demo(Path(folder)) as (port, _):
            assert "<dt>PostgreSQL</dt>" in wait_for(port, "/").text

        assert list(Path(folder).iterdir()) == []
    assert_no_demo_is_left()


def assert_no_demo_is_left() -> None:
    """No container, stopped ones included, no volume and no network has the name of a demo."""
    for kind in ("container", "volume", "network"):
        every = ["--all"] if kind == "container" else []
        command = ["docker", kind, "ls", "--quiet", *every, "--filter", "name=demo-"]
        assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == ""


def test_demo_without_engine_and_python_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tools import demo as module

    monkeypatch.setattr("signal.signal", lambda number, action: None)
    monkeypatch.setattr(module, "engine_answers", lambda: False)
    monkeypatch.setattr(module, "supported_python", lambda: None)

    assert module.main() == 1
    assert capsys.readouterr().out.count(".\n") == 1
