"""`make demo` shows the page, with Docker and without, and cleans up after Ctrl-C."""

import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.matrix import TEMPLATE
from tests.stack import outside_make, wait_for

NO_ENGINE = {"DOCKER_HOST": "tcp://127.0.0.1:9"}


@contextmanager
def demo(folder: Path, **variables: str) -> Iterator[tuple[int, "subprocess.Popen[str]"]]:
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
        output = ""
        try:
            for line in running.stdout:
                output += line
                if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                    yield int(found[1]), running
                    break
            else:
                raise AssertionError(output)
        finally:
            if running.poll() is None:
                os.killpg(running.pid, signal.SIGINT)
            running.stdout.read()


def test_demo_without_an_engine_runs_on_sqlite(tmp_path: Path, python: str) -> None:
    with demo(tmp_path, UV_PYTHON=python, **NO_ENGINE) as (port, _):
        assert "<dt>SQLite</dt>" in wait_for(port, "/").text

    assert list(tmp_path.iterdir()) == []


@pytest.mark.container
def test_demo_with_an_engine_runs_in_docker(engine: None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        with demo(Path(folder)) as (port, _):
            assert "<dt>PostgreSQL</dt>" in wait_for(port, "/").text

        assert list(Path(folder).iterdir()) == []
    for kind in ("container", "volume", "network"):
        command = ["docker", kind, "ls", "--quiet", "--filter", "name=demo-"]
        assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == ""


def test_demo_without_engine_and_python_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tools import demo as module

    monkeypatch.setattr(module, "engine_answers", lambda: False)
    monkeypatch.setattr(module, "supported_python", lambda: None)

    assert module.main() == 1
    assert capsys.readouterr().out.count(".\n") == 1
