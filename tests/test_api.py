"""The API on a real engine, with each framework: it keeps its promises, also under attack."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.matrix import CHOICES
from tests.stack import Stack, development, on, production, started, wait_for

PASSWORD = "a long enough passphrase"
SITE = "https://example.com"
PROXY = {
    "Host": "example.com",
    "X-Forwarded-For": "203.0.113.7",
    "X-Forwarded-Proto": "https",
}
JSON, PROBLEM = "application/json", "application/problem+json"
USERS, ME, SCHEMA = "/api/v1/users/", "/api/v1/users/me/", "/api/v1/openapi.json"


@contextmanager
def with_account(folder: Path) -> Iterator[Stack]:
    """Start a project for development, with one account, which is staff."""
    project = development(folder)
    # Production refuses the default one
    project.environment["DATABASE_PASSWORD"] = "another-password"
    with started(project) as stack:
        stack.execute(
            *("env", f"DJANGO_SUPERUSER_PASSWORD={PASSWORD}"),
            *("python", "manage.py", "createsuperuser", "--no-input"),
            *("--username=root", "--email=root@example.com"),
        )
        yield stack


PROJECTS = {f"api-{name}": {"rest_api": name} for name in CHOICES["rest_api"] if name != "none"}

pytestmark = [pytest.mark.container, on(with_account, PROJECTS)]


@pytest.fixture(scope="module")
def port(stack: Stack) -> Iterator[int]:
    """The port of the production container, whose limit lets an attack through."""
    with production(stack, API_RATE="1000000/min") as published:
        yield published


@pytest.fixture(scope="module")
def key(stack: Stack) -> str:
    """The key of a token of the account."""
    return stack.execute("python", "manage.py", "create_token", "root").strip()


class Proxy(httpx.HTTPTransport):
    """Sends what is meant for https://example.com to a port, as the proxy does."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url.copy_with(scheme="http", host="127.0.0.1", port=self.port)
        sent = httpx.Request(request.method, url, headers=request.headers, stream=request.stream)
        sent.headers.update(PROXY)
        return super().handle_request(sent)


@pytest.fixture
def browser(port: int) -> Iterator[httpx.Client]:
    """Someone who keeps cookies, and is not logged in yet."""
    headers = {"Referer": f"{SITE}/"}
    with httpx.Client(base_url=SITE, transport=Proxy(port), headers=headers) as client:
        yield client


@pytest.fixture
def program(port: int, key: str) -> Iterator[httpx.Client]:
    """Someone who has a token."""
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=SITE, transport=Proxy(port), headers=headers) as client:
        yield client


def assert_problem(answer: httpx.Response, statuses: set[int]) -> None:
    """The answer is a problem with one of the statuses."""
    assert answer.status_code in statuses
    assert answer.headers["Content-Type"] == PROBLEM
    assert answer.json()["status"] == answer.status_code


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


def test_program_uses_the_api_with_a_token(program: httpx.Client) -> None:
    changed = program.patch(ME, json={"first_name": "Zoë 🐍"})
    listed = program.get(USERS, params={"search": "root"})

    assert changed.json()["first_name"] == "Zoë 🐍"
    assert [changed.json()] in listed.json().values()


def test_browser_uses_the_api_with_its_session(browser: httpx.Client) -> None:
    form = re.search('csrfmiddlewaretoken" value="(.+?)"', browser.get("/accounts/login/").text)
    assert form
    person = {"username": "root", "password": PASSWORD, "csrfmiddlewaretoken": form[1]}
    browser.post("/accounts/login/", data=person)
    # The documentation has the token in its page, or in the script of that page
    docs = browser.get("/api/docs/").text + browser.get("/api/docs/?script=").text
    csrf = re.search(r'"(\w{64})"', docs)
    assert csrf

    refused = browser.patch(ME, json={"last_name": "King"})
    changed = browser.patch(ME, json={"last_name": "King"}, headers={"X-CSRFToken": csrf[1]})

    assert browser.get(ME).json()["username"] == "root"
    assert_problem(refused, {403})
    assert changed.json()["last_name"] == "King"


@pytest.mark.parametrize(
    ("method", "path", "statuses"),
    [
        ("DELETE", ME, {405}),
        ("GET", "/api/v1/nothing/", {404}),
        ("GET", f"{USERS}?search=%00", {400, 422}),
        ("PATCH", ME, {400}),
    ],
)
def test_errors_are_problems(
    program: httpx.Client, method: str, path: str, statuses: set[int]
) -> None:
    answer = program.request(method, path, content="{", headers={"Content-Type": JSON})

    assert_problem(answer, statuses)


def test_stranger_gets_problems_alone(browser: httpx.Client) -> None:
    assert_problem(browser.get(ME), {401})
    assert_problem(browser.patch(ME, json={}), {401, 403})


def test_document_is_valid(browser: httpx.Client) -> None:
    OpenAPIV31SpecValidator(browser.get(SCHEMA).json()).validate()


# What a program does with the client; the names come from the document
CLIENT = f"""
import sys
from client import AuthenticatedClient
from client.api.users import users_list, users_me_retrieve

address, key = sys.argv[1:]
with AuthenticatedClient(base_url=address, token=key, headers={PROXY}) as api:
    print(users_me_retrieve.sync(client=api).username)
    print(users_list.sync(client=api, search="roo").count)
with AuthenticatedClient(base_url=address, token="wrong", headers={PROXY}) as api:
    print(users_me_retrieve.sync(client=api).status)
"""


def test_client_made_from_the_document_works(
    browser: httpx.Client, port: int, key: str, tmp_path: Path
) -> None:
    (tmp_path / "openapi.json").write_text(browser.get(SCHEMA).text)
    (tmp_path / "config.yml").write_text("post_hooks: []")
    generate = (
        *(str(Path(sys.executable).parent / "openapi-python-client"), "generate"),
        *("--path=openapi.json", "--output-path=client", "--meta=none", "--config=config.yml"),
        "--fail-on-warning",
    )

    subprocess.run(generate, check=True, cwd=tmp_path)
    call = (sys.executable, "-c", CLIENT, f"http://127.0.0.1:{port}", key)
    done = subprocess.run(call, check=True, cwd=tmp_path, stdout=subprocess.PIPE, text=True)

    assert done.stdout.splitlines() == ["root", "1", "401"]


def test_documentation_loads_only_what_the_project_serves(browser: httpx.Client) -> None:
    page = browser.get("/api/docs/")
    addresses = re.findall(r'(?:src|href)="(.+?)"', page.text)

    assert len(addresses) >= 4
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script>", page.text)
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    for address in addresses:
        assert re.fullmatch(r"/static/.+\.[0-9a-f]{12}\.\w+|/api/docs/.*|/|/accounts/.*", address)
        assert browser.get(address).status_code == 200


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
    problems.write_text(source.replace('["responses"]["default"]', '["responses"]["404"]'))
    deadline = time.monotonic() + 60
    while '"404"' not in wait_for(stack.port(), SCHEMA).text:
        assert time.monotonic() < deadline
        time.sleep(0.5)

    done = attack(stack.port(), tmp_path, {"Authorization": f"Bearer {key}"}, 5)

    assert done.returncode == 1
    assert "Undocumented status code" in done.stdout


# The last one: the database is away afterwards
def test_api_without_its_database_answers_with_a_problem(
    stack: Stack, program: httpx.Client
) -> None:
    stack.compose("stop", "db")

    assert_problem(program.get(ME), {503})


def test_limit_that_makes_no_sense_is_named(stack: Stack) -> None:
    wrong = ("--env=API_RATE=lots", "web", "python", "manage.py", "check")

    done = stack.run("docker", "compose", "run", "--rm", "--no-TTY", *wrong, check=False)

    assert done.returncode != 0
    assert 'variable "API_RATE" invalid' in done.stdout
    assert "takes a number of requests per sec, min, hour or day" in done.stdout
