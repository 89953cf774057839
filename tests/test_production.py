"""The production stack, on each database: HTTPS, hardened to the last container, and nothing lost at a stop."""

import http.client
import json
import re
import time
from pathlib import Path

import pytest

from tests.matrix import BY_DATABASE, declined_packages
from tests.production import (
    assert_locked_down,
    fetch,
    load,
    serving_project,
    site,
    until,
)
from tests.rendering import render
from tests.roles import AS_APP, AS_OWNER, CHANGES, ESCAPES, MIGRATION, not_denied
from tests.stack import Stack, on, removed

pytestmark = pytest.mark.container

STACKS = {f"production-{database}": answers for database, answers in BY_DATABASE.items()}

each_database = on(serving_project, STACKS)
each_server = on(serving_project, {k: v for k, v in STACKS.items() if v["database"] != "sqlite"})


@each_database
def test_proxy_answers_over_https_and_leads_there(stack: Stack) -> None:
    page = fetch(stack, "/")
    connection = http.client.HTTPConnection("localhost", int(stack.environment["HTTP_PORT"]))
    connection.request("GET", "/")
    plain = connection.getresponse()
    connection.close()

    assert page.status == 200
    assert plain.status == 308
    assert plain.headers["Location"].startswith("https://")


@each_database
def test_pages_carry_the_headers_of_a_safe_site(stack: Stack) -> None:
    headers = fetch(stack, "/accounts/login/").headers

    assert "max-age" in headers["Strict-Transport-Security"]
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert {"secure", "samesite=lax"} <= set(re.split(r"; ?", headers["Set-Cookie"].lower()))
    assert "Server" not in headers


@each_database
def test_first_start_needs_no_second_try(stack: Stack) -> None:
    restarts = "{" + "{.Name}} {" + "{.RestartCount}}"
    every = stack.compose("ps", "--all", "--quiet").split()

    counts = stack.run("docker", "inspect", "--format", restarts, *every).stdout.split()

    assert set(counts[1::2]) == {"0"}, counts


@each_database
def test_every_container_is_locked_down(stack: Stack) -> None:
    assert_locked_down(stack)


@each_database
def test_health_checks_leave_no_line_in_the_log(stack: Stack) -> None:
    template = "{" + "{json .Config.Healthcheck.Test}" + "}"
    # PostgreSQL speaks of a checkpoint some minutes after every change
    quiet = re.compile(r"^(?!.*checkpoint).+", re.MULTILINE)

    for service in {"cache", "db", "media", "proxy", "web"} & set(
        stack.compose("ps", "--services").split()
    ):
        container = stack.compose("ps", "--quiet", service).split()[0]
        kind, *command = json.loads(
            stack.run("docker", "inspect", "-f", template, container).stdout
        )
        before = quiet.findall(stack.run("docker", "logs", container).stdout)
        for _ in range(3):
            shell = ("sh", "-c") if kind == "CMD-SHELL" else ()
            stack.run("docker", "exec", container, *shell, *command)
        assert quiet.findall(stack.run("docker", "logs", container).stdout) == before, service


@each_database
def test_nothing_of_the_development_settings_reaches_production(stack: Stack) -> None:
    (stack.folder / ".env").read_text().index("DEBUG=true")

    for service in stack.compose("ps", "--services").split():
        names = {line.partition("=")[0] for line in stack.execute("env", service=service).split()}
        assert not names & {"DATABASE_PASSWORD", "DEBUG", "EMAIL_URL", "HOST_UID", "SECRET_KEY"}


@each_database
def test_secrets_are_closed_to_others_and_stay_in_their_files(stack: Stack) -> None:
    folder = stack.folder / "secrets"
    containers = stack.compose("ps", "--all", "--quiet").split()
    told = stack.run("docker", "inspect", *containers).stdout
    told += stack.run("docker", "history", "--no-trunc", stack.name).stdout
    told += stack.compose("logs")

    assert folder.stat().st_mode & 0o777 == 0o700
    for secret in folder.iterdir():
        assert secret.stat().st_mode & 0o777 == 0o444
        if secret.name != "database_url" or "@" in secret.read_text():
            assert secret.read_text().strip() not in told


@each_server
def test_site_may_change_rows_and_nothing_else(stack: Stack) -> None:
    assert not_denied(stack, *AS_APP, statements=ESCAPES) == {}
    assert not_denied(stack, *AS_APP, statements=CHANGES) == {}


@each_server
def test_owner_of_the_tables_is_no_superuser(stack: Stack) -> None:
    assert not_denied(stack, *AS_OWNER, statements=ESCAPES) == {}
    assert set(not_denied(stack, *AS_OWNER, statements=MIGRATION).values()) == {"allowed"}


@each_server
def test_password_of_a_role_is_known_where_it_is_used(stack: Stack) -> None:
    passwords = {
        path.name: re.findall(r"\w{64}", path.read_text())[0]
        for path in (stack.folder / "secrets").glob("database_*")
    }

    for service in {"web", "worker", "scheduler"} & set(stack.compose("ps", "--services").split()):
        known = stack.execute("sh", "-c", "cat /run/secrets/*", service=service)
        assert [name for name in passwords if passwords[name] in known] == ["database_url"]


@each_server
def test_proxy_does_not_reach_the_database_which_reaches_nothing(stack: Stack) -> None:
    lookup = ("docker", "compose", "exec", "-T", "proxy", "getent", "hosts", "db")
    network = "{" + "{.Internal}" + "}"

    assert stack.run(*lookup, check=False).returncode != 0
    assert stack.execute("getent", "hosts", "db").split()[1] == "db"
    back = stack.run("docker", "network", "inspect", "--format", network, f"{stack.name}_back")
    assert back.stdout.strip() == "true"


@each_database
def test_uploaded_file_is_served_by_the_proxy(stack: Stack) -> None:
    stack.execute("sh", "-c", "echo hello > /data/media/hello.txt")

    answer = fetch(stack, "/media/hello.txt")

    assert answer.text == "hello\n"
    assert "sandbox" in answer.headers["Content-Security-Policy"]


@each_database
def test_body_over_the_limit_is_refused(stack: Stack) -> None:
    page = fetch(stack, "/accounts/login/")
    token = re.search('csrfmiddlewaretoken" value="(.+?)"', page.text)
    assert token
    headers = {
        "Content-Type": "multipart/form-data; boundary=frontier",
        "Cookie": page.headers["Set-Cookie"].partition(";")[0],
        "Referer": f"https://localhost:{stack.environment['HTTPS_PORT']}/",
        "X-CSRFToken": token[1],
    }
    part = b'--frontier\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'

    for megabytes, status in ((1, 200), (11, 413)):
        body = part + b"x" * megabytes * 1_000_000 + b"\r\n--frontier--\r\n"
        assert fetch(stack, "/accounts/login/", body, headers).status == status


@each_server
def test_no_request_is_lost_when_a_replica_stops(stack: Stack) -> None:
    replica = f"{stack.name}-web-1"
    state = "{" + "{.State.ExitCode}" + "}"

    with load(stack) as outcomes:
        stack.run("docker", "stop", "--time=30", replica)

    exit_code = stack.run("docker", "inspect", "--format", state, replica).stdout.strip()
    stack.compose("up", "--wait")
    assert exit_code == "0"
    assert outcomes.total() > 20
    assert set(outcomes) == {"200"}


@each_server
def test_site_recovers_by_itself_when_the_database_was_away(stack: Stack) -> None:
    restarts = "{" + "{.RestartCount}" + "}"

    stack.compose("stop", "db")
    away = set()
    for _ in range(10):
        away.add(fetch(stack, "/health/ready").status)
        time.sleep(2)
    stack.compose("up", "--wait", "db")
    back = time.monotonic()
    while fetch(stack, "/health/ready").status != 200:
        assert time.monotonic() < back + 60
    took = time.monotonic() - back

    print(f"measured: whole again {took:.1f} s after the database")
    assert away == {503}
    assert took < 5
    web = stack.compose("ps", "--quiet", "web").split()
    counts = stack.run("docker", "inspect", "--format", restarts, *web).stdout.split()
    assert set(counts) == {"0"}


@each_database
def test_image_holds_nothing_but_what_runs(stack: Stack) -> None:
    find = (
        "command -v gcc cc make uv git; ls /root/.cache /var/lib/apt/lists/* /var/cache/apt/*.bin"
    )
    packages = "from importlib.metadata import distributions as d; print(*(p.name for p in d()))"

    found = stack.execute("sh", "-c", f"({find}) 2>/dev/null; ls /app")
    installed = set(stack.execute("python", "-c", packages).lower().split())

    assert not set(found.split()) & {"tests", ".env", "secrets", "deploy", "docker-compose.yml"}
    assert "/" not in found
    assert not installed & {"pytest", "mypy", "ruff", "coverage", "sentry-sdk", "prometheus-client"}
    assert not installed & declined_packages(STACKS[stack.name])
    assert {"django", "granian"} <= installed


@each_database
def test_deployment_check_is_silent(stack: Stack) -> None:
    check = ("python", "manage.py", "check", "--deploy", "--fail-level", "WARNING")

    assert "no issues (0 silenced)" in stack.execute(*check)


@pytest.mark.xdist_group("elsewhere")
def test_database_elsewhere_takes_two_lines(engine: None, tmp_path: Path) -> None:
    elsewhere = site(render(tmp_path, project_slug="elsewhere"))
    server = "elsewhere-db"
    ready = ("docker", "exec", server, "pg_isready", "--host=127.0.0.1")
    elsewhere.environment["DB_REPLICAS"] = "0"
    secrets = elsewhere.folder / "secrets"
    (secrets / "database_owner_url").unlink()
    (secrets / "database_url").unlink()
    (secrets / "database_url").write_text(f"postgresql://postgres:password@{server}:5432/another")
    elsewhere.run("make", "secrets")
    with removed(elsewhere):
        elsewhere.compose("up", "--no-start", "--build")
        elsewhere.run(
            *("docker", "run", "--detach", f"--name={server}", "--network=elsewhere_front"),
            *("--env=POSTGRES_PASSWORD=password", "--env=POSTGRES_DB=another", "postgres:18"),
        )
        try:
            until(lambda: elsewhere.run(*ready, check=False).returncode == 0)
            elsewhere.compose("up", "--wait", "--wait-timeout=300")

            assert fetch(elsewhere, "/health/ready").status == 200
            assert "db" not in elsewhere.compose("ps", "--services").split()
        finally:
            elsewhere.run("docker", "rm", "--force", "--volumes", server)
            elsewhere.run("docker", "rmi", "--force", elsewhere.name)
