"""`make bench` reads its tools right, and leaves nothing on the engine."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.matrix import TEMPLATE
from tools.bench.__main__ import table, three_digits
from tools.bench.rows import load, memory, size
from tools.bench.sides import Failed

WRK = 'Running 5s test\n{"rate": 2000.5, "p99": 12.5, "failed": 0}\n'


def bench(*options: str) -> tuple[int, str, list[str]]:
    """Run the benchmark; return its exit status, what it printed, and what it left on the engine."""
    command = (sys.executable, "-m", "tools.bench", "--rounds=1", *options)
    done = subprocess.run(command, check=False, cwd=TEMPLATE, capture_output=True, text=True)
    prefix = re.findall(r"bench-\w+", done.stdout)[0]
    left = [
        subprocess.run(
            ["docker", *kind.split(), "--quiet", "--filter", f"{key}={prefix}"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for kind, key in (
            ("container ls --all", "name"),
            ("network ls", "name"),
            ("volume ls", "name"),
            ("image ls --all", "label=bench"),
        )
    ]
    return done.returncode, done.stdout + done.stderr, "".join(left).split()


def test_table_compares_the_values_of_the_same_round() -> None:
    # The second round was slow for both
    values = {"start": {"a": [1.0, 10.0, 1.2], "b": [2.0, 20.0, 2.0]}}

    line = table(values, {"a": "template", "b": "book"}).splitlines()[-1]

    assert line == "| start | 1.2 | 2 | 0.5 (0.5–0.6) |"


def test_table_leaves_empty_what_a_side_cannot_do() -> None:
    lines = table({"render": {"a": [1.0]}}, {"a": "template", "b": "book"}).splitlines()

    assert lines[0] == "|  | template | book | template ÷ book |"
    assert lines[-1] == "| render | 1 |  |  |"


def test_values_have_three_digits() -> None:
    assert [three_digits(value) for value in (0.12345, 84.84, 2279.4)] == ["0.123", "84.8", "2279"]


def test_base_is_no_part_of_the_size() -> None:
    assert list(size("built\n200000000\n120000000\n").values()) == [80]


def test_memory_is_read_in_megabytes() -> None:
    assert list(memory("created\n50MiB / 512MiB\n").values()) == [52.4288]


def test_load_is_that_of_both_pages() -> None:
    assert list(load(WRK + WRK.replace("2000.5", "900")).values()) == [2000.5, 900, 12.5]


def test_load_with_a_failed_request_does_not_count() -> None:
    with pytest.raises(Failed, match="requests failed"):
        load(WRK + WRK.replace('"failed": 0', '"failed": 1'))


@pytest.mark.container
@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not here")
def test_benchmark_prints_a_row_and_leaves_nothing_on_the_engine(engine: None) -> None:
    status, output, left = bench("--only=memory")

    assert status == 0, output
    assert re.search(r"^\| memory at rest, MB \| \d.+ \| \d.+ \| \d.+ \|$", output, re.MULTILINE)
    assert left == []


@pytest.mark.container
@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not here")
def test_benchmark_leaves_nothing_when_a_build_fails(engine: None, tmp_path: Path) -> None:
    shutil.copy(TEMPLATE / "cookiecutter.json", tmp_path)
    for folder in ("hooks", "{{cookiecutter.project_slug}}"):
        shutil.copytree(TEMPLATE / folder, tmp_path / folder)
    with (tmp_path / "{{cookiecutter.project_slug}}/Dockerfile").open("a") as dockerfile:
        dockerfile.write("RUN false\n")

    status, output, left = bench("--only=size", f"--template={tmp_path}")

    assert status == 1
    assert "size: sh exited" in output
    assert left == []
