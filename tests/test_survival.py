"""A slow database, a full disk and curious strangers cost the production site as little as they can."""

import http.client
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.production import fetch, serving, site, until
from tests.stack import Stack, on

# The first start of the database takes half a minute longer, and uploads have two megabytes
OBSTACLES = """
services:
  db:
    entrypoint: [sh, -c, sleep 30; exec docker-entrypoint.sh postgres]
volumes:
  uploads:
    driver_opts: {type: tmpfs, device: tmpfs, o: "size=2m,mode=1777"}
"""

RESTARTS = "{" + "{.RestartCount}" + "}"

# One that answers requests: its parent is the server, and that one's parent is init
KILL_ONE_PROCESS = """
import os, pathlib
status = {path.parent.name: path.read_text() for path in pathlib.Path("/proc").glob("[0-9]*/stat")}
parents = {pid: line.rpartition(")")[2].split()[1] for pid, line in status.items()}
os.kill(next(int(pid) for pid in parents if parents.get(parents[pid]) == "1"), 9)
"""

# What a project would have of its own
VIEWS = """

from django.core.files.storage import default_storage
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt


@csrf_exempt
def upload(request: HttpRequest) -> HttpResponse:
    return HttpResponse(default_storage.save("uploaded", request.FILES["file"]))


def environment(request: HttpRequest) -> HttpResponse:
    return HttpResponse(" ".join(request.META))


urlpatterns += [path("upload", upload), path("environment", environment)]
"""


@contextmanager
def obstructed(project: Path) -> Iterator[Stack]:
    """A production stack with obstacles, and with all its extras."""
    stack = site(project)
    (project / "obstacles.yml").write_text(OBSTACLES)
    with (project / "config" / "urls.py").open("a") as urls:
        urls.write(VIEWS)
    stack.environment["COMPOSE_FILE"] += ":obstacles.yml"
    stack.environment["EXTRAS"] = "metrics sentry"
    stack.environment["METRICS"] = "true"
    stack.environment["SENTRY_DSN"] = "http://key@127.0.0.1:9/1"
    with serving(stack):
        yield stack


pytestmark = [pytest.mark.container, on(obstructed, {"survival": {}})]


def upload(stack: Stack, size: int) -> tuple[int, str]:
    """Upload a file of so many bytes: status and text of the answer."""
    head = b'--edge\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
    kind = {"Content-Type": "multipart/form-data; boundary=edge"}
    answer = fetch(stack, "/upload", head + b"x" * size + b"\r\n--edge--\r\n", kind)
    return answer.status, answer.text


def log(stack: Stack) -> list[dict[str, Any]]:
    """Return the log lines of the site."""
    logs = stack.compose("logs", "--no-log-prefix", "web").splitlines()
    return [json.loads(line) for line in logs if line.startswith("{")]


def lines(stack: Stack, path: str) -> list[dict[str, Any]]:
    """Return the log lines of the requests for a path."""
    return [line for line in log(stack) if line.get("path") == path]


def test_slow_database_needs_no_restart_and_no_second_start(stack: Stack) -> None:
    every = stack.compose("ps", "--all", "--quiet").split()

    counts = stack.run("docker", "inspect", "--format", RESTARTS, *every).stdout.split()

    assert set(counts) == {"0"}
    assert fetch(stack, "/health/ready").status == 200


def test_full_disk_fails_the_upload_alone(stack: Stack) -> None:
    status, name = upload(stack, 1_000_000)
    assert status == 200
    assert fetch(stack, f"/media/{name}").text == "x" * 1_000_000

    status, page = upload(stack, 5_000_000)
    assert status == 500
    assert "Something went wrong" in page

    assert fetch(stack, "/accounts/login/").status == 200
    assert fetch(stack, f"/media/{name}").status == 200


def test_process_that_dies_is_replaced(stack: Stack) -> None:
    container = stack.compose("ps", "--quiet", "web").split()[0]

    stack.run("docker", "exec", container, "python", "-c", KILL_ONE_PROCESS)

    until(lambda: "Respawning" in stack.run("docker", "logs", container).stdout, 30)
    assert {fetch(stack, "/accounts/login/").status for _ in range(20)} == {200}
    restarts = stack.run("docker", "inspect", "--format", RESTARTS, container).stdout
    assert restarts.strip() == "0"


@pytest.mark.parametrize(
    ("variable", "value", "answer"),
    [
        ("WEB_CONCURRENCY", "many", "Not a valid integer"),
        ("WEB_THREADS", "0", "Must be greater than or equal to 1"),
    ],
)
def test_server_names_the_variable_that_it_cannot_use(
    stack: Stack, variable: str, value: str, answer: str
) -> None:
    start = ("web", "python", "-m", "config.server")

    done = stack.run(
        *("docker", "compose", "exec", "-T", f"--env={variable}={value}", *start), check=False
    )

    assert done.returncode == 1
    assert f'"{variable}" invalid' in done.stdout
    assert answer in done.stdout


def test_error_mails_have_no_secrets_of_the_environment_to_show(stack: Stack) -> None:
    names = fetch(stack, "/environment").text.split()

    assert "TRUSTED_PROXIES" in names
    assert "SENTRY_DSN" not in names


def test_every_line_of_a_request_has_the_id_that_the_proxy_gave_it(stack: Stack) -> None:
    answer = fetch(stack, "/no-such-page", headers={"X-Request-ID": "made-up-by-me"})

    identifier = answer.headers["X-Request-Id"]
    told = [line["message"] for line in log(stack) if line["request_id"] == identifier]
    assert identifier != "made-up-by-me"
    assert told == ["GET /no-such-page 404", "Not Found: /no-such-page"]


def test_health_checks_leave_no_log_line(stack: Stack) -> None:
    for container in stack.compose("ps", "--quiet", "web").split():
        check = "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health/ready')"
        stack.run("docker", "exec", container, "python", "-c", check)

    assert not [line for line in log(stack) if "/health/" in line["message"]]


def test_client_cannot_choose_its_address(stack: Stack) -> None:
    gateway = fetch(stack, "/honest").headers and lines(stack, "/honest")[0]["client"]

    fetch(stack, "/liar", headers={"X-Forwarded-For": "203.0.113.7"})
    fetch(stack, "/sly", headers={"X_Forwarded_For": "203.0.113.7"})

    assert lines(stack, "/liar")[0]["client"] == gateway
    assert lines(stack, "/sly")[0]["client"] == gateway


def test_only_the_proxy_is_believed(stack: Stack) -> None:
    script = (
        "import urllib.request as u, urllib.error;"
        "claim = {'X-Forwarded-For': '203.0.113.7', 'X-Forwarded-Proto': 'https', 'Host': 'localhost'};"
        "o = u.build_opener(type('Stay', (u.HTTPRedirectHandler,), {'redirect_request': lambda *a: None}));\n"
        "try: print(o.open(u.Request('http://web:8000/stranger', headers=claim)).status)\n"
        "except urllib.error.HTTPError as error: print(error.code)"
    )

    stranger = ("run", "--rm", "--no-deps", "--no-TTY", "migrate", "sh", "-c")
    told = stack.compose(*stranger, f'hostname --all-ip-addresses; python -c "{script}"').split()

    assert told[-1] == "301"
    assert lines(stack, "/stranger")[0]["client"] in told


def test_metrics_are_there_but_not_for_the_public(stack: Stack) -> None:
    script = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9100').read().decode())"

    for _ in range(20):
        fetch(stack, "/accounts/login/")

    inside = stack.execute("python", "-c", script)

    assert "django_request_duration_seconds_count{" in inside
    assert fetch(stack, "/metrics").status == 404


def test_proxy_speaks_the_newer_kinds_of_http(stack: Stack) -> None:
    port = int(stack.environment["HTTPS_PORT"])
    context = ssl._create_unverified_context()
    context.set_alpn_protocols(["h2"])

    connection = http.client.HTTPSConnection("localhost", port, context=context)
    connection.connect()
    spoken = connection.sock.selected_alpn_protocol()
    connection.close()

    assert spoken == "h2"
    assert 'h3=":443"' in fetch(stack, "/").headers["Alt-Svc"]
    assert stack.compose("port", "--protocol=udp", "proxy", "443").strip().endswith(f":{port}")
