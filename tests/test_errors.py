"""What goes wrong in production is seen by its owner, costs little, and tells no secret."""

import json
import os
import textwrap
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.production import fetch, serving, site, until
from tests.stack import Answer, Stack, get, on, wait_for

pytestmark = pytest.mark.container

# What a project would have of its own
VIEWS = """
from django.db import connection
from django.http import HttpResponse
from users.models import User


def broken(request, text):
    raise RuntimeError("broken on purpose at redis://:hidden-password@cache")


def users(request):
    return HttpResponse(User.objects.count())


def execute(request):
    with connection.cursor() as cursor:
        cursor.execute(request.GET["statement"])
    return HttpResponse()


urlpatterns += [
    path("broken/<path:text>", broken),
    path("users", users),
    path("execute", execute),
]
"""

STACKS = {
    "errors-postgresql": {},
    # The C stack of older Pythons knows no end but its own
    "errors-mysql": {"database": "mysql", "rest_api": "drf", "python_version": "3.12"},
    "errors-mariadb": {"database": "mariadb", "rest_api": "ninja", "python_version": "3.13"},
}

SLEEP = {"errors-postgresql": "pg_sleep", "errors-mysql": "SLEEP", "errors-mariadb": "SLEEP"}

# Takes minutes
ENDLESS = "SELECT count(*) FROM " + ", ".join(f"information_schema.columns c{n}" for n in range(4))


@contextmanager
def with_mail(project: Path) -> Iterator[Stack]:
    """Start a production stack that mails its errors to a server beside it."""
    with (project / "config/urls.py").open("a") as urls:
        urls.write(VIEWS)
    stack = site(project)
    email_url = project / "secrets/email_url"
    email_url.unlink()
    email_url.write_text("smtp://mail:1025")
    stack.environment["ADMINS"] = "ada@example.com"
    server = f"{stack.name}-mail"
    with serving(stack):
        stack.run(
            *("docker", "run", "--detach", "--name", server, "--network-alias=mail"),
            *(f"--network={stack.name}_front", "--publish=127.0.0.1::8025"),
            "axllent/mailpit:v1.31",
        )
        try:
            wait_for(mail_port(stack), "/readyz")
            yield stack
        finally:
            stack.run("docker", "rm", "--force", "--volumes", server)


def each(*slugs: str) -> pytest.MarkDecorator:
    """Run a test on these production stacks."""
    return on(with_mail, {slug: STACKS[slug] for slug in slugs})


each_database = each(*STACKS)
one_database = each("errors-postgresql")
each_api = each("errors-mysql", "errors-mariadb")


@contextmanager
def paused(stack: Stack, container: str) -> Iterator[None]:
    """Let a container neither answer nor close what is open."""
    stack.run("docker", "pause", container)
    try:
        yield
    finally:
        stack.run("docker", "unpause", container)


def mail_port(stack: Stack) -> int:
    """The port of the loopback address on which the mail server shows what has arrived."""
    published = stack.run("docker", "port", f"{stack.name}-mail", "8025").stdout
    return int(published.split()[-1].rpartition(":")[2])


def mails(stack: Stack) -> list[str]:
    """The text of every mail that has arrived, the newest first."""
    port = mail_port(stack)
    messages = json.loads(get(port, "/api/v1/messages").text)["messages"]
    return [get(port, f"/api/v1/message/{message['ID']}").text for message in messages]


def log(stack: Stack, service: str = "web") -> str:
    """What a service has written."""
    return stack.compose("logs", "--no-log-prefix", service)


def timed(ask: Callable[[], Answer]) -> tuple[Answer, float]:
    """An answer, and the seconds it took."""
    begun = time.monotonic()
    return ask(), time.monotonic() - begun


def inside(stack: Stack, code: str) -> str:
    """Run Python in the container of the site."""
    return stack.execute("python", "-c", textwrap.dedent(code))


@one_database
def test_error_is_mailed_with_its_traceback_and_without_secrets(stack: Stack) -> None:
    answer = fetch(stack, "/broken/accounts/reset/MQ/hidden-token/?q=hidden-query")

    until(lambda: any("hidden" in mail or "reset" in mail for mail in mails(stack)))
    mail = next(mail for mail in mails(stack) if "reset" in mail)
    assert answer.status == 500
    assert "RuntimeError: broken on purpose" in mail
    assert answer.headers["X-Request-ID"] in mail
    assert "hidden" not in mail
    for secret in (stack.folder / "secrets").iterdir():
        assert secret.read_text().strip() not in mail


@one_database
def test_errors_of_clients_are_cheap_and_mailed_to_nobody(stack: Stack) -> None:
    page = fetch(stack, "/accounts/login/")
    browser = {
        # The form is read for the token
        "Cookie": page.headers["Set-Cookie"].partition(";")[0],
        "Referer": f"https://localhost:{stack.environment['HTTPS_PORT']}/",
    }
    form = browser | {"Content-Type": "application/x-www-form-urlencoded"}
    many = "&".join(f"a{number}=1" for number in range(1001))
    files = browser | {"Content-Type": "multipart/form-data; boundary=edge"}
    part = '--edge\r\nContent-Disposition: form-data; name="a{0}"; filename="a{0}"\r\n\r\n\r\n'
    uploads = "".join(part.format(number) for number in range(101)) + "--edge--\r\n"
    attacks: dict[str, Callable[[], Answer]] = {
        "parameters": lambda: fetch(stack, f"/accounts/login/?{many}"),
        "fields": lambda: fetch(stack, "/accounts/login/", many.encode(), form),
        "files": lambda: fetch(stack, "/accounts/login/", uploads.encode(), files),
    }

    usual = min(timed(lambda: fetch(stack, "/accounts/login/"))[1] for _ in range(10))
    for name, attack in attacks.items():
        answer, took = min((timed(attack) for _ in range(3)), key=lambda outcome: outcome[1])
        print(f"measured: {name} {answer.status} in {took:.3f} s, a page in {usual:.3f} s")
        assert answer.status == 400
        assert took < 0.5 + usual * 20
    wrong_host = """
        import http.client
        connection = http.client.HTTPConnection("127.0.0.1", 8000)
        connection.request("GET", "/accounts/login/", headers={"Host": "evil.example"})
        print(connection.getresponse().status)
        """
    assert inside(stack, wrong_host).strip() == "400"

    fetch(stack, "/broken/afterwards")
    until(lambda: any("afterwards" in mail for mail in mails(stack)))
    assert all("broken" in mail for mail in mails(stack))
    assert "TooManyFieldsSent" in log(stack)


@one_database
def test_traceback_is_in_the_log_though_the_mail_server_hangs(stack: Stack) -> None:
    _, usual = timed(lambda: fetch(stack, "/broken/usual"))
    with paused(stack, f"{stack.name}-mail"):
        answer, took = timed(lambda: fetch(stack, "/broken/unmailed"))
        logged = [line for line in log(stack).splitlines() if "/broken/unmailed" in line]
        until(lambda: "Error not mailed" in log(stack))

    print(f"measured: an error in {usual:.2f} s, in {took:.2f} s while the mail server hangs")
    assert answer.status == 500
    assert "Something went wrong" in answer.text
    assert "RuntimeError: broken on purpose" in logged[0]
    assert took < 1 + usual * 3


@one_database
def test_flood_of_errors_is_no_flood_of_mails(stack: Stack) -> None:
    before = len(mails(stack))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: fetch(stack, "/broken/flood"), range(200)))

    assert {answer.status for answer in answers} == {500}
    assert log(stack).count("Internal Server Error: /broken/flood") >= 200
    # Ten a minute for each process of each replica
    assert len(mails(stack)) - before <= 2 * 2 * 2 * 10


@one_database
def test_errors_are_mailed_before_a_process_ends(stack: Stack) -> None:
    stack.compose("restart", "web")
    until(lambda: fetch(stack, "/").status == 200)

    fetch(stack, "/broken/last-words")
    stack.compose("restart", "web")

    assert any("last-words" in mail for mail in mails(stack))


@one_database
def test_token_of_a_reset_is_in_no_log(stack: Stack) -> None:
    link = "/accounts/reset/MQ/c5x2yz-hidden{}/"
    fetch(stack, link.format(""))
    fetch(stack, link.format("") + "none")
    fetch(stack, f"/no-such-page{link.format('')}")

    stack.compose("stop", "web")
    away = fetch(stack, link.format("while-away")).status
    stack.compose("start", "web")
    until(lambda: fetch(stack, "/").status == 200)

    assert away in (502, 503)
    assert "GET /accounts/reset/MQ/***" in log(stack)
    assert "c5x2yz" not in stack.compose("logs")


@each_database
def test_hung_database_costs_only_the_pages_that_need_it(stack: Stack) -> None:
    database = stack.compose("ps", "--quiet", "db").strip()
    sleep = f"/execute?statement=SELECT%20{SLEEP[stack.name]}(3)"
    with ThreadPoolExecutor(60) as pool:
        # Every thread of the server gets a connection
        assert {fetch(stack, "/users").status for _ in range(100)} == {200}
        in_progress = [pool.submit(timed, lambda: fetch(stack, sleep)) for _ in range(2)]
        time.sleep(1)
        with paused(stack, database):
            until_over = time.monotonic() + 20
            asked = [
                pool.submit(repeated, lambda: fetch(stack, "/users"), until_over) for _ in range(40)
            ]
            others = repeated(lambda: fetch(stack, "/"), until_over)
            needy = [outcome for future in asked for outcome in future.result()]
        begun = time.monotonic()
        # Every process has noticed
        until(lambda: {fetch(stack, "/users").status for _ in range(30)} == {200}, 30)
        recovered = time.monotonic() - begun

    needy += [future.result() for future in in_progress]
    times = sorted(took for _, took in others)
    print(
        f"measured: {len(needy)} answers of 503, the last after {max(t for _, t in needy):.1f} s; "
        f"other pages {times[len(times) // 2]:.3f} s, at most {times[-1]:.1f} s; "
        f"back after {recovered:.1f} s"
    )
    assert {answer.status for answer, _ in needy} == {503}
    assert {answer.headers["Retry-After"] for answer, _ in needy} == {"10"}
    assert max(took for _, took in needy) < 10
    assert {answer.status for answer, _ in others} == {200}
    assert times[-1] < 10
    assert len(others) > 20


def repeated(ask: Callable[[], Answer], until_over: float) -> list[tuple[Answer, float]]:
    """Ask again and again, as a browser does that waits a moment."""
    outcomes = []
    while time.monotonic() < until_over:
        outcomes.append(timed(ask))
        time.sleep(0.2)
    return outcomes


@each_database
def test_server_cancels_a_statement_that_takes_too_long(stack: Stack) -> None:
    answer, took = timed(lambda: fetch(stack, "/execute?statement=" + ENDLESS.replace(" ", "%20")))

    print(f"measured: cancelled after {took:.1f} s")
    assert answer.status == 500
    assert took < 10
    assert fetch(stack, "/users").status == 200


@each_database
def test_commands_may_take_longer_than_pages(stack: Stack) -> None:
    code = f"""
        from django.db import connection
        connection.cursor().execute("SELECT {SLEEP[stack.name]}(7)")
        print("done")
        """

    told = stack.execute("python", "manage.py", "shell", "-c", textwrap.dedent(code))

    assert "done" in told


@each_api
@pytest.mark.parametrize("depth", [900, 5_000, 100_000])
def test_deeply_nested_json_is_a_bad_request(stack: Stack, depth: int) -> None:
    name = f"deep-{depth}-{os.urandom(4).hex()}"
    stack.execute(
        *("env", "DJANGO_SUPERUSER_PASSWORD=a long enough passphrase"),
        *("python", "manage.py", "createsuperuser", "--no-input"),
        *(f"--username={name}", f"--email={name}@example.com"),
    )
    key = stack.execute("python", "manage.py", "create_token", name).strip()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    body = b'{"first_name":' + b"[" * depth + b"]" * depth + b"}"

    answer = fetch(stack, "/api/v1/users/me/", body, headers, method="PATCH")

    assert answer.status in (400, 422)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "RecursionError" not in log(stack)
    assert "Respawning" not in log(stack)
    assert not any("users/me" in mail for mail in mails(stack))
