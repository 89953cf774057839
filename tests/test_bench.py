"""`make bench` counts right, shows what it counted, and leaves nothing on the engine."""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.conftest import Bake
from tools.bench import projects
from tools.bench.__main__ import main
from tools.bench.engine import Engine
from tools.bench.load import offer, percentile, wrk_load
from tools.bench.report import BOOK, FLOOR, OURS, Result, Target, others, rounded, summary, table
from tools.bench.rows import LOADED, ROWS, ran

WRK = """\
Running 3s test @ http://127.0.0.1:8000/
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    12.00ms    3.00ms  90.00ms   90.00%
  Latency Distribution
     50%   11.00ms
     99%    1.50s
  3000 requests in 3.00s, 4.00MB read
  Socket errors: connect 0, read 2, write 0, timeout 1
  Non-2xx or 3xx responses: 4
Requests/sec:    999.50
"""


def result(*targets: Target, **values: list[float]) -> Result:
    return Result("start", "What it is.", "s", targets, values)


def test_ratio_is_that_of_values_of_the_same_round() -> None:
    # The second round was slow for both
    measured = result(Target((BOOK,), 0.7), template=[1, 10, 1], book=[2, 20, 2])

    assert measured.verdicts() == [{"target": "≤ 0.7 × book", "ratio": 0.5, "met": True}]


def test_target_can_be_a_sum_of_sides_or_a_number() -> None:
    measured = result(
        Target((BOOK, "collectstatic"), 1),
        Target((), 2, "<"),
        template=[3],
        book=[1],
        collectstatic=[1],
    )

    assert [(v["target"], v["ratio"], v["met"]) for v in measured.verdicts()] == [
        ("≤ 1 × book + collectstatic", 1.5, False),
        ("< 2", 3, False),
    ]


def test_target_is_not_judged_by_what_was_not_measured() -> None:
    assert result(Target((FLOOR,), 1.5), template=[1]).verdicts() == []


def test_failed_request_misses_the_target() -> None:
    measured = result(template=[1])
    measured.failed = {OURS: 2, BOOK: 0}

    assert measured.verdicts() == [{"target": "no failed request", "ratio": 2, "met": False}]
    assert "template: 2 failed requests" in others([measured])


def test_values_are_shown_with_three_digits() -> None:
    assert summary([0.12345, 1234.5, 2]) == {"median": 2, "lowest": 0.123, "highest": 1234}
    assert rounded(0) == 0


def test_table_is_markdown_with_median_range_ratios_and_verdict() -> None:
    measured = result(Target((FLOOR,), 1.5), template=[3, 1, 2], book=[4, 4, 4], floor=[1, 1, 1])

    lines = table([measured]).splitlines()

    assert [cell.strip() for cell in lines[2].split("|")[1:-1]] == [
        *("start, s", "2 (1–3)", "4", "1", "0.50", "2.00", "≤ 1.5 × floor", "missed: 2")
    ]
    assert len({len(line) for line in lines}) == 1


def test_wrk_is_read_with_its_failures() -> None:
    load = wrk_load(WRK)

    assert (load.rate, load.p99, load.failed, load.answers) == (999.5, 1500, 7, 3000)


def test_percentile_is_the_one_of_the_slowest_hundredth() -> None:
    assert percentile([float(number) for number in range(101)]) == 99


def test_step_is_known_to_have_run_or_not() -> None:
    report = "#7 [build 2/2] RUN uv sync --locked\n#7 {}\n#8 [last 1/1] COPY . .\n#8 DONE 0.1s\n"

    assert ran(report.format("DONE 3.0s"), "uv sync")
    assert not ran(report.format("CACHED"), "uv sync")


class Stalling(BaseHTTPRequestHandler):
    """Answers at once, but for one request that holds all others up."""

    protocol_version = "HTTP/1.1"
    # Header and body in one segment: the second would wait for an acknowledgement
    wbufsize = -1
    lock = threading.Lock()
    asked = 0

    def do_GET(self) -> None:
        with Stalling.lock:
            Stalling.asked += 1
            if Stalling.asked == 20:
                threading.Event().wait(0.5)
        self.send_response(200 if self.path == "/" else 500)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def stalling() -> Iterator[int]:
    """The port of a server that stalls once."""
    Stalling.asked = 0
    with ThreadingHTTPServer(("127.0.0.1", 0), Stalling) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_stall_is_charged_to_all_who_would_have_come_meanwhile(stalling: int) -> None:
    load = offer(stalling, "/", {}, rate=100, seconds=1, connections=1)

    # A client that waits for each answer would have seen one slow request in a hundred
    assert load.failed == 0
    assert load.answers == 100
    assert load.p99 > 300


def test_refused_requests_are_counted(stalling: int) -> None:
    assert offer(stalling, "/no", {}, rate=100, seconds=0.1).failed == 10


def test_floor_has_the_files_of_the_project_and_no_hooks(bake: Bake, tmp_path: Path) -> None:
    project = bake()

    floor = projects.floor_template(project, tmp_path / "floor")

    source = floor / "{{cookiecutter.project_slug}}"
    sizes = {str(path.relative_to(source)): path.stat().st_size for path in source.rglob("*.*")}
    assert sizes["config/settings.py"] == (project / "config/settings.py").stat().st_size
    assert not (floor / "hooks").exists()


def test_query_page_is_added_where_the_project_has_its_views(bake: Bake) -> None:
    project = bake()

    projects.add_query_page(project)

    views = (project / "pages/views.py").read_text()
    compile(views, "views.py", "exec")
    assert "from users.models import User" in views
    assert projects.QUERY_PATH[1:] in (project / "pages/urls.py").read_text()


def test_book_has_its_own_dockerfile_around_the_same_project(
    bake: Bake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projects, "write_requirements", lambda folder: None)
    project = bake()

    book = projects.book(project, tmp_path / "book")

    assert (book / "Dockerfile").read_text().startswith("FROM python:3.")
    settings = (book / "config/settings.py").read_text()
    assert settings == (project / "config/settings.py").read_text()


def test_every_row_says_what_it_measures() -> None:
    assert all(row.__doc__ for row in ROWS.values())
    assert set(LOADED) <= set(ROWS)


@pytest.mark.container
def test_benchmark_reports_and_leaves_nothing_on_the_engine(
    engine: None, tmp_path: Path, python: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_PYTHON", python)
    made = Engine(f"bench-test-{os.getpid()}")
    monkeypatch.setattr("tools.bench.__main__.Engine", lambda: made)
    report = tmp_path / "bench.json"

    status = main(
        ["--rounds=1", "--only=render", "--only=size", "--only=context", "--json", str(report)]
    )

    found = json.loads(report.read_text())
    assert status == 0
    assert found["rounds"] == 1
    assert found["machine"].keys() == {"cores", "memory_gb"}
    assert [row["name"] for row in found["rows"]] == ["render", "image", "build context"]
    for row in found["rows"]:
        assert row["what"]
        for side in row["sides"].values():
            assert side["lowest"] <= side["median"] <= side["highest"]
        assert {"target", "ratio", "met"} == set(row["targets"][0])
    assert all(target["met"] for row in found["rows"][1:] for target in row["targets"])
    for kind in ("container", "network", "volume", "image"):
        listed = ["docker", kind, "ls", "--filter"]
        listed += [f"{'reference' if kind == 'image' else 'name'}={made.prefix}*"]
        done = subprocess.run([*listed, "--quiet"], check=True, capture_output=True, text=True)
        assert done.stdout == "", kind
