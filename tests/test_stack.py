"""On a real engine, for every pair of answers: the project builds, boots, answers, and is never root."""

import json
import os
import re
from collections.abc import Iterator
from html import escape

import pytest

from tests.matrix import ANSWERS, COVERING, NAME, covering, id_of, name_of, wrapped
from tests.rendering import render
from tests.stack import Stack, development, get, given, link_to, production, started

UIDS = (1000, 1001, 4242)

# Headers of a request that came over HTTPS
BY_PROXY = {
    "Host": "example.com",
    "X_Forwarded_For": "203.0.113.7",
    "X_Forwarded_Proto": "https",
}


# Every answer occurs among them, and they are of the covering set, whose stacks run anyway
EVERY_ANSWER = covering(COVERING, 1)

pytestmark = pytest.mark.container


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run every test on the covering set, but a project's own tests, which take longest, on few of it."""
    few = metafunc.function is test_projects_own_tests_and_checks_pass_on_its_database
    variants = [
        pytest.param(
            (variant, UIDS[number % len(UIDS)] if os.getuid() == 0 else os.getuid()),
            id=id_of(variant),
            marks=pytest.mark.xdist_group(name_of(variant)),
        )
        for number, variant in enumerate(COVERING)
        if not few or variant in EVERY_ANSWER
    ]
    metafunc.parametrize("variant", variants, indirect=True, scope="module")


Variant = tuple[dict[str, str], int]


@pytest.fixture(scope="module")
def variant(request: pytest.FixtureRequest) -> Variant:
    answers: Variant = request.param
    return answers


@pytest.fixture(scope="module")
def stack(
    engine: None, variant: Variant, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """The development stack of a variant, up and healthy."""
    answers, uid = variant
    names = {"project_slug": name_of(answers), "project_name": wrapped(NAME)}
    project = render(tmp_path_factory.mktemp("stack"), **names, **answers)
    stack = development(given(project, uid))
    # Production refuses the default one
    stack.environment["DATABASE_PASSWORD"] = "another-password"
    with started(stack) as running:
        yield running


@pytest.fixture(scope="module")
def production_port(stack: Stack) -> Iterator[int]:
    """The port of the production container, which uses the database of the stack."""
    with production(stack) as port:
        yield port


def test_home_page_says_what_is_running(stack: Stack, variant: Variant) -> None:
    page = stack.get("/")

    database = ANSWERS["_databases"][variant[0]["database"]]
    name, version = database["name"], database.get("image", "").rpartition(":")[2]
    assert page.status == 200
    assert f"<title>{escape(NAME)}</title>" in page.text
    assert variant[0]["python_version"] in page.text
    assert re.search(rf"<dt>{name}</dt>\s*<dd>{version}", page.text)


def test_admin_asks_for_login(stack: Stack) -> None:
    page = stack.get("/admin/login/")

    assert page.status == 200
    assert 'name="password"' in page.text


def test_health_checks_answer(stack: Stack) -> None:
    assert stack.get("/health/live").text == '{"status": "ok"}'
    assert stack.get("/health/ready").text == '{"status": "ok"}'


def test_superuser_can_log_in_to_the_admin(stack: Stack) -> None:
    stack.execute(
        *("env", "DJANGO_SUPERUSER_PASSWORD=a long enough passphrase"),
        *("python", "manage.py", "createsuperuser", "--no-input"),
        *("--username=root", "--email=root@example.com"),
    )
    browser = """
import re
from http.cookiejar import CookieJar
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, build_opener

opener = build_opener(HTTPCookieProcessor(CookieJar()))
url = "http://127.0.0.1:8000/admin/login/?next=/admin/"
token = re.search('csrfmiddlewaretoken" value="(.+?)"', opener.open(url).read().decode())[1]
form = {"csrfmiddlewaretoken": token, "username": "root", "password": "a long enough passphrase"}
answer = opener.open(url, urlencode(form).encode())
print(answer.url, "Site administration" in answer.read().decode())
"""

    assert stack.execute("python", "-c", browser).strip() == "http://127.0.0.1:8000/admin/ True"


def test_projects_own_tests_and_checks_pass_on_its_database(stack: Stack) -> None:
    tests = ("pytest", "-q", "--cov", "--cov-fail-under=90")
    output = stack.compose("run", "--rm", "--no-TTY", "web", *tests)
    stack.run("make", "check")

    assert re.search(r"^\d+ passed in", output, re.MULTILINE), output


def test_readme_says_how_to_look_into_the_database(stack: Stack) -> None:
    readme = (stack.folder / "README.md").read_text()
    command = re.search(r"look into the database \| `docker compose exec (.+?)` \|", readme)
    assert command

    output = stack.run("sh", "-c", f"echo 'SELECT 6 * 7;' | docker compose exec -T {command[1]}")

    assert "42" in output.stdout


def test_no_container_runs_as_root(stack: Stack, variant: Variant) -> None:
    services = stack.compose("ps", "--services").split()

    assert "web" in services
    for service in services:
        # Every process, not only a new one: the second line of status is the real, effective, … uid
        processes = stack.execute(
            "sh", "-c", "grep -hs ^Uid: /proc/[0-9]*/status || true", service=service
        )
        uids = set(re.findall(r"\d+", processes))
        assert uids, processes
        assert "0" not in uids, (service, processes)
    assert stack.execute("id", "-u").strip() == str(variant[1])


def test_every_file_written_in_the_container_belongs_to_the_host_user(
    stack: Stack, variant: Variant
) -> None:
    for command in ("startapp shop", "makemigrations", "makemessages --locale=de", "collectstatic"):
        arguments = command.split() + (["--no-input"] if command == "collectstatic" else [])
        stack.execute("python", "manage.py", *arguments)

    owners = {path.lstat().st_uid for path in stack.folder.rglob("*")}
    assert (stack.folder / "shop/models.py").exists()
    assert (stack.folder / "locale/de/LC_MESSAGES/django.po").exists()
    assert (stack.folder / "staticfiles/site.css").exists()
    assert owners == {variant[1]}


def test_production_serves_pages_to_the_proxy_alone(production_port: int) -> None:
    page = get(production_port, "/", **BY_PROXY)

    assert page.status == 200
    assert "Python" not in page.text
    assert "max-age" in page.headers["Strict-Transport-Security"]
    assert get(production_port, "/", Host="example.com").status == 301
    assert get(production_port, "/", Host="evil.example").status == 400


def test_production_serves_static_files_by_hashed_names(production_port: int) -> None:
    headers = BY_PROXY | {"Accept_Encoding": "gzip"}
    page = get(production_port, "/", **BY_PROXY)

    style = get(production_port, link_to("site.css", page.text), **headers)

    assert style.status == 200
    assert "immutable" in style.headers["Cache-Control"]
    assert style.headers["Content-Encoding"] == "gzip"


def test_production_runs_as_the_images_account(stack: Stack, production_port: int) -> None:
    container = f"{stack.name}-production"

    status = stack.run("docker", "exec", container, "cat", "/proc/1/status").stdout

    assert re.search(r"^Uid:\s+10001\s+10001\s+10001\s+10001$", status, re.MULTILINE)
    assert re.search(r"^CapEff:\s+0+$", status, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\s+1$", status, re.MULTILINE)


def test_production_image_holds_no_tools_and_no_secrets(stack: Stack, production_port: int) -> None:
    container = f"{stack.name}-production"

    listing = stack.run("docker", "exec", container, "ls", "-A", "/app", "/opt/venv/bin").stdout
    names = set(listing.split())

    assert "manage.py" in names
    assert "granian" in names
    assert not names & {".env", ".git", "tests", "uv", "pytest", "ruff", "mypy"}
    assert stack.run("docker", "exec", container, "which", "uv", check=False).returncode == 1


def test_production_logs_the_request_under_its_id(stack: Stack, production_port: int) -> None:
    get(production_port, "/accounts/login/", **BY_PROXY, X_Request_ID="the-id-of-mine")

    output = stack.run("docker", "logs", f"{stack.name}-production").stdout
    lines = [json.loads(line) for line in output.splitlines()]
    request = next(line for line in lines if line["request_id"] == "the-id-of-mine")
    assert request["path"] == "/accounts/login/"
    assert request["status"] == 200


# The last one: what it stopped stays down
def test_production_stops_without_a_complaint(stack: Stack, production_port: int) -> None:
    container = f"{stack.name}-production"
    state = "{" + "{.State.ExitCode}" + "}"

    stack.run("docker", "stop", "--time=30", container)

    assert stack.run("docker", "inspect", "--format", state, container).stdout.strip() == "0"
    for line in stack.run("docker", "logs", container).stdout.splitlines():
        assert json.loads(line)["level"]
