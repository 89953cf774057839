"""Attacks on the production stack: guesses of passwords, links and tokens, and of who has an account."""

import re
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.mailserver import mails_to, mailserver, use_mailserver
from tests.production import fetch, serving, site, until
from tests.stack import Answer, Stack, on

PASSWORD = "a long enough passphrase"
LOGIN, RESET = "/accounts/login/", "/accounts/password_reset/"
ME = "/api/v1/users/me/"
# Every page takes this for the secret of its cookie
CSRF = "a" * 32

# Each database counts, and each answer to background_tasks sends (slug → answers)
STACKS = {
    "guessing-postgresql": {"database": "postgresql", "rest_api": "drf"},
    "guessing-mysql": {
        "database": "mysql",
        "rest_api": "ninja",
        "background_tasks": "database",
    },
    "guessing-mariadb": {
        "database": "mariadb",
        "rest_api": "drf",
        "background_tasks": "celery",
    },
    "guessing-sqlite": {"database": "sqlite", "rest_api": "ninja"},
}

# Logs in from the address of a container, and prints the status
ELSEWHERE = f"""
import http.client, socket, ssl, sys
connection = http.client.HTTPSConnection("localhost")
connection.sock = ssl._create_unverified_context().wrap_socket(
    socket.create_connection(("proxy", 443)), server_hostname="localhost"
)
connection.request("POST", "{LOGIN}", sys.argv[1], {{
    "Content-Type": "application/x-www-form-urlencoded",
    "Cookie": "csrftoken={CSRF}", "X-CSRFToken": "{CSRF}", "Referer": "https://localhost/",
}})
print(connection.getresponse().status)
"""


@contextmanager
def with_people(project: Path) -> Iterator[Stack]:
    """Start a production stack with accounts and a mail server; the API's limit ends with no minute."""
    stack = site(project)
    stack.environment["API_RATE"] = "300/hour"
    use_mailserver(stack)
    with serving(stack), mailserver(stack, delay=0.5):
        shell(
            stack,
            "from users.models import User; [User.objects.create_superuser("
            f"f'person{{n}}', f'person{{n}}@example.com', '{PASSWORD}') for n in range(9)]",
        )
        yield stack


pytestmark = [pytest.mark.container, on(with_people, STACKS)]


@pytest.fixture(autouse=True)
def nothing_counted(stack: Stack) -> None:
    shell(stack, "from users.models import Counter; Counter.objects.all().delete()")


def shell(stack: Stack, code: str) -> str:
    """Run code with the project's models in a container."""
    return stack.execute("python", "manage.py", "shell", "-c", code)


def post(stack: Stack, path: str, cookie: str = "", **data: str) -> Answer:
    """Send a form."""
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Cookie": f"csrftoken={CSRF}; {cookie}",
        "Referer": f"https://localhost:{stack.environment['HTTPS_PORT']}/",
        "X-CSRFToken": CSRF,
    }
    return fetch(stack, path, urlencode(data).encode(), headers)


def log_in(stack: Stack, username: str, password: str = "wrong", page: str = LOGIN) -> Answer:
    return post(stack, page, username=username, password=password)


def log_in_elsewhere(stack: Stack, username: str, password: str) -> int:
    """Log in from another address, and return the status."""
    form = urlencode({"username": username, "password": password})
    return int(stack.execute("python", "-c", ELSEWHERE, form))


def at_once(calls: Iterable[Callable[[], Answer]]) -> Counter[int]:
    """Make the calls on twelve connections, and count the answers by status."""
    with ThreadPoolExecutor(12) as pool:
        found = Counter(answer.status for answer in pool.map(lambda call: call(), calls))
    print(f"measured: {dict(found)}")
    return found


def token_of(stack: Stack, username: str) -> str:
    return stack.execute("python", "manage.py", "create_token", username).strip()


def ask(stack: Stack, key: str) -> Answer:
    return fetch(stack, ME, headers={"Authorization": f"Bearer {key}"})


@pytest.mark.parametrize("page", [LOGIN, "/admin/login/"])
@pytest.mark.parametrize("username", ["person0", "nobody"])
def test_guesses_of_a_password_end_exactly_at_the_limit(
    stack: Stack, page: str, username: str
) -> None:
    found = at_once([lambda: log_in(stack, username, page=page)] * 40)

    refused = log_in(stack, username, PASSWORD, page)
    assert found == {200: 10, 429: 30}
    assert refused.status == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 600
    assert "Too many attempts" in refused.text


def test_guesses_keep_nobody_out_elsewhere_nor_after_their_time(stack: Stack) -> None:
    at_once([lambda: log_in(stack, "person0")] * 20)

    assert log_in_elsewhere(stack, "person0", PASSWORD) == 302
    assert log_in(stack, "person1", PASSWORD).status == 302
    assert log_in(stack, "person0", PASSWORD).status == 429
    shell(
        stack,
        "from users.models import Counter; from django.utils.timezone import now; "
        "Counter.objects.update(expires=now())",
    )
    assert log_in(stack, "person0", PASSWORD).status == 302


def test_browser_that_knows_the_password_is_not_kept_out_by_guesses_of_others(
    stack: Stack,
) -> None:
    cookies = log_in(stack, "person0", PASSWORD).headers.get_all("Set-Cookie", [])
    device = next(cookie for cookie in cookies if cookie.startswith("device=")).partition(";")[0]
    at_once([lambda: log_in(stack, "person0")] * 20)

    again = post(stack, LOGIN, device, username="person0", password=PASSWORD)

    assert log_in(stack, "person0", PASSWORD).status == 429
    assert again.status == 302


@pytest.mark.parametrize("person", ["person0", "nobody"])
def test_nobody_is_sent_more_emails_than_the_limit(stack: Stack, person: str) -> None:
    found = at_once([lambda: post(stack, RESET, email=f"{person}@example.com")] * 20)

    assert found == {302: 5, 429: 15}


def test_guesses_of_a_link_end_exactly_at_the_limit(stack: Stack) -> None:
    found = at_once([lambda: fetch(stack, "/accounts/reset/MQ/d00d-guess/")] * 130)

    assert found == {200: 100, 429: 30}


def test_limit_of_the_api_is_exact(stack: Stack) -> None:
    key = token_of(stack, "person0")

    assert at_once([lambda: ask(stack, key)] * 400) == {200: 300, 429: 100}
    assert ask(stack, token_of(stack, "person1")).status == 200


def test_guesses_of_a_token_end_exactly_at_the_limit(stack: Stack) -> None:
    key = token_of(stack, "person0")

    assert at_once([lambda: ask(stack, "guess")] * 400) == {401: 300, 429: 100}
    assert ask(stack, key).status == 429


@pytest.mark.parametrize("path", [LOGIN, RESET])
def test_time_does_not_tell_who_has_an_account(stack: Stack, path: str) -> None:
    taken: dict[str, list[float]] = {"person": [], "nobody": []}

    for number in range(25):
        for kind, times in taken.items():
            name = f"{kind}{number % 5}"
            begun = time.monotonic()
            post(stack, path, username=name, password="wrong", email=f"{name}@example.com")
            times.append(time.monotonic() - begun)

    known, unknown = (statistics.median(times) for times in taken.values())
    print(f"measured: {known * 1000:.0f} ms known, {unknown * 1000:.0f} ms unknown")
    assert 0.6 < known / unknown < 1.6


def test_link_leads_to_the_site_and_a_new_password_ends_sessions_and_tokens(stack: Stack) -> None:
    key = token_of(stack, "person5")
    session = session_of(log_in(stack, "person5", PASSWORD))
    assert ask(stack, key).status == 200
    assert fetch(stack, "/admin/", headers={"Cookie": session}).status == 200

    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Cookie": f"csrftoken={CSRF}",
        "Host": "localhost:1337",
        "Referer": "https://localhost:1337/",
        "X-CSRFToken": CSRF,
    }
    fetch(stack, RESET, b"email=person5@example.com", headers)
    until(lambda: mails_to(stack, "person5@example.com"))
    (mail,) = mails_to(stack, "person5@example.com")
    link = re.search(r"https://localhost(/accounts/reset/\S+)", mail)
    assert link
    assert "1337" not in mail
    opened = fetch(stack, link[1])
    new = "another long passphrase"
    form = opened.headers["Location"]
    done = post(stack, form, session_of(opened), new_password1=new, new_password2=new)

    assert done.status == 302
    assert ask(stack, key).status == 401
    assert fetch(stack, "/admin/", headers={"Cookie": session}).status == 302
    assert log_in(stack, "person5", new).status == 302


def session_of(answer: Answer) -> str:
    """The cookie of the session that an answer begins."""
    cookies = answer.headers.get_all("Set-Cookie", [])
    return next(c for c in cookies if "sessionid=" in c).partition(";")[0]


def test_email_that_is_on_its_way_is_sent_before_the_site_stops(stack: Stack) -> None:
    people = [f"person{number}@example.com" for number in (6, 7, 8)]
    for person in people:
        post(stack, RESET, email=person)

    stack.compose("restart", "web")

    until(lambda: all(mails_to(stack, person) for person in people))
    until(lambda: fetch(stack, "/").status == 200)
