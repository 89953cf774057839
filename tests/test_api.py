"""The API on a real engine, with each framework: it keeps its promises, also under attack."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.matrix import CHOICES, VARIANTS, name_of
from tests.stack import Answer, Stack, copy_of, production, started, wait_for

PASSWORD = "a long enough passphrase"
PROXY = {
    "Host": "example.com",
    "X-Forwarded-For": "203.0.113.7",
    "X-Forwarded-Proto": "https",
}
PROBLEM = "application/problem+json"
USERS, ME, SCHEMA = "/api/v1/users/", "/api/v1/users/me/", "/api/v1/openapi.json"

# The first variant of each framework
BY_FRAMEWORK = {
    name: next(variant for variant in VARIANTS if variant["rest_api"] == name)
    for name in CHOICES["rest_api"]
    if name != "none"
}

pytestmark = [
    pytest.mark.container,
    pytest.mark.parametrize(
        "stack",
        [
            pytest.param(variant, id=name, marks=pytest.mark.xdist_group(f"api-{name}"))
            for name, variant in BY_FRAMEWORK.items()
        ],
        indirect=True,
        scope="module",
    ),
]


@pytest.fixture(scope="module")
def stack(
    engine: None,
    request: pytest.FixtureRequest,
    rendered: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    """A development stack with one account, which is staff."""
    variant: dict[str, str] = request.param
    name = f"api-{variant['rest_api']}"
    folder = tmp_path_factory.mktemp("api") / name
    copy_of(rendered / name_of(variant), folder, 1000)
    environment = {"COMPOSE_PROJECT_NAME": name, "WEB_PORT": "0"}
    # Production refuses the default one
    environment["DATABASE_PASSWORD"] = "another-password"
    with started(Stack(folder, name, environment)) as running:
        running.execute(
            *("env", f"DJANGO_SUPERUSER_PASSWORD={PASSWORD}"),
            *("python", "manage.py", "createsuperuser", "--no-input"),
            *("--username=root", "--email=root@example.com"),
        )
        yield running


@pytest.fixture(scope="module")
def port(stack: Stack) -> Iterator[int]:
    """The port of the production container, whose limit lets an attack through."""
    with production(stack, API_RATE="1000000/min") as published:
        yield published


@pytest.fixture(scope="module")
def key(stack: Stack) -> str:
    """The key of a token of the account."""
    return stack.execute("python", "manage.py", "create_token", "root").strip()


def ask(port: int, path: str, method: str = "GET", body: str = "", **headers: str) -> Answer:
    """Send a request as the proxy does; underscores in header names become dashes."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body.encode(), PROXY | names)
        response = connection.getresponse()
        cookies = response.headers.get_all("Set-Cookie", [])
        sent_back = "; ".join(cookie.partition(";")[0] for cookie in cookies)
        response.headers.add_header("Cookie", sent_back)
        return Answer(response.status, response.headers, response.read().decode(errors="replace"))
    finally:
        connection.close()


def attack(
    port: int, folder: Path, headers: dict[str, str], examples: int
) -> subprocess.CompletedProcess[str]:
    """Let Schemathesis call every operation with what the document allows, and with what it forbids."""
    return subprocess.run(
        [
            *(Path(sys.executable).parent / "schemathesis", "run"),
            f"http://127.0.0.1:{port}{SCHEMA}",
            *(f"--header={name}: {value}" for name, value in headers.items()),
            *("--checks=all", "--continue-on-failure", "--no-color", "--seed=1"),
            *("--generation-deterministic", f"--max-examples={examples}"),
        ],
        check=False,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_program_uses_the_api_with_a_token(port: int, key: str) -> None:
    bearer = {"Authorization": f"Bearer {key}", "Content_Type": "application/json"}

    changed = ask(port, ME, "PATCH", '{"first_name": "Zoë 🐍"}', **bearer)
    listed = ask(port, f"{USERS}?search=root", **bearer)

    assert json.loads(changed.text)["first_name"] == "Zoë 🐍"
    assert json.loads(listed.text)["results"] == [json.loads(changed.text)]


def test_browser_uses_the_api_with_its_session(port: int) -> None:
    page = ask(port, "/accounts/login/")
    token = re.search('csrfmiddlewaretoken" value="(.+?)"', page.text)
    assert token
    secure = {"Referer": "https://example.com/", "Content_Type": "application/json"}
    form = f"username=root&password={PASSWORD.replace(' ', '+')}&csrfmiddlewaretoken={token[1]}"
    login = secure | {"Content_Type": "application/x-www-form-urlencoded"}
    answer = ask(port, "/accounts/login/", "POST", form, Cookie=page.headers["Cookie"], **login)
    session = {"Cookie": answer.headers["Cookie"]} | secure
    docs = ask(port, "/api/docs/", **session)
    csrf = re.search('data-csrf-token="(.+?)"', docs.text)
    assert csrf

    refused = ask(port, ME, "PATCH", '{"last_name": "King"}', **session)
    changed = ask(port, ME, "PATCH", '{"last_name": "King"}', X_CSRFToken=csrf[1], **session)

    assert ask(port, ME, **session).status == 200
    assert (refused.status, refused.headers["Content-Type"]) == (403, PROBLEM)
    assert json.loads(changed.text)["last_name"] == "King"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", ME, 401),
        ("PATCH", ME, 401),
        ("DELETE", ME, 405),
        ("GET", "/api/v1/nothing/", 404),
        ("GET", f"{USERS}?page=0", 400),
        ("PATCH", ME, 400),
    ],
)
def test_errors_are_problems(port: int, key: str, method: str, path: str, status: int) -> None:
    headers = {"Content_Type": "application/json"}
    if status != 401:
        headers["Authorization"] = f"Bearer {key}"

    answer = ask(port, path, method, "{" if status == 400 else "", **headers)

    assert (answer.status, answer.headers["Content-Type"]) == (status, PROBLEM)
    assert json.loads(answer.text)["status"] == status


def test_document_is_valid(port: int) -> None:
    document: dict[str, Any] = json.loads(ask(port, SCHEMA).text)

    OpenAPIV31SpecValidator(document).validate()


# What a program does with the client; the names come from the document
CLIENT = """
import sys
from client import AuthenticatedClient
from client.api.users import users_list, users_me_retrieve

address, key, host = sys.argv[1:]
headers = {"Host": host, "X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}
with AuthenticatedClient(base_url=address, token=key, headers=headers) as api:
    print(users_me_retrieve.sync(client=api).username)
    print([user.username for user in users_list.sync(client=api, search="roo").results])
with AuthenticatedClient(base_url=address, token="wrong", headers=headers) as api:
    print(users_me_retrieve.sync(client=api).status)
"""


def test_client_made_from_the_document_works(port: int, key: str, tmp_path: Path) -> None:
    (tmp_path / "openapi.json").write_text(ask(port, SCHEMA).text)
    (tmp_path / "config.yml").write_text("post_hooks: []")
    generate = (
        *(str(Path(sys.executable).parent / "openapi-python-client"), "generate"),
        *("--path=openapi.json", "--output-path=client", "--meta=none", "--config=config.yml"),
        "--fail-on-warning",
    )

    subprocess.run(generate, check=True, cwd=tmp_path)
    call = (sys.executable, "-c", CLIENT, f"http://127.0.0.1:{port}", key, PROXY["Host"])
    done = subprocess.run(call, check=True, cwd=tmp_path, stdout=subprocess.PIPE, text=True)

    assert done.stdout.splitlines() == ["root", "['root']", "401"]


def test_documentation_loads_only_what_the_project_serves(port: int) -> None:
    page = ask(port, "/api/docs/")
    assets = re.findall(r'(?:src|href)="(.+?)"', page.text)

    assert len(assets) == 4
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", page.text)
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    for asset in assets:
        assert re.fullmatch(r"/static/.+\.[0-9a-f]{12}\.(css|js|svg)", asset)
        assert ask(port, asset).status == 200


def test_attack_finds_nothing(port: int, key: str, tmp_path: Path) -> None:
    done = attack(port, tmp_path, PROXY | {"Authorization": f"Bearer {key}"}, 100)

    calls = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert done.returncode == 0, done.stdout
    assert calls
    print(f"measured: {calls[0]}")
    assert int(calls[1]) == int(calls[2]) > 100


def test_attack_finds_an_answer_that_the_document_hides(
    stack: Stack, key: str, tmp_path: Path
) -> None:
    problems = stack.folder / "api/problems.py"
    source = problems.read_text()
    problems.write_text(source.replace("STATUSES = (400, ", "STATUSES = ("))
    deadline = time.monotonic() + 60
    while '"400"' in wait_for(stack.port(), SCHEMA).text:
        assert time.monotonic() < deadline
        time.sleep(0.5)

    done = attack(stack.port(), tmp_path, {"Authorization": f"Bearer {key}"}, 5)

    assert done.returncode == 1
    assert "Undocumented status code" in done.stdout


# The last one: the database is away afterwards
def test_api_without_its_database_answers_with_a_problem(stack: Stack, port: int, key: str) -> None:
    stack.compose("stop", "db")

    answer = ask(port, ME, Authorization=f"Bearer {key}")

    assert (answer.status, answer.headers["Content-Type"]) == (500, PROBLEM)


def test_limit_that_makes_no_sense_is_named(stack: Stack) -> None:
    wrong = ("--env=API_RATE=lots", "web", "python", "manage.py", "check")

    done = stack.run("docker", "compose", "run", "--rm", "--no-TTY", *wrong, check=False)

    assert done.returncode != 0
    assert 'variable "API_RATE" invalid' in done.stdout
    assert "takes a number of requests per sec, min, hour or day" in done.stdout
