"""The API: who may do what under /api/v1/, in which form, and how it says no."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from io import StringIO
from typing import Any
from unittest.mock import patch

import pytest
from django.contrib.staticfiles import finders
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from conftest import PASSWORD
from users.models import Counter, User

USERS, ME = "/api/v1/users/", "/api/v1/users/me/"

type As = Callable[[User], Client]


def by_session(user: User) -> Client:
    """A browser that is logged in, and that must prove that it means what it sends."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    return client


def by_token(user: User, *options: str) -> Client:
    """A program that has a token."""
    return program(output_of("create_token", user.username, *options))


def program(key: str) -> Client:
    return Client(enforce_csrf_checks=True, headers={"Authorization": f"Bearer {key}"})


def output_of(*command: str) -> str:
    output = StringIO()
    call_command(*command, stdout=output)
    return output.getvalue().strip()


def listed(client: Client, **query: Any) -> list[str]:
    """The usernames on a page of the list."""
    page = client.get(USERS, query).json()
    entries = next(value for value in page.values() if isinstance(value, list))
    return [entry["username"] for entry in entries]


def change(client: Client, data: Any, **headers: str) -> Any:
    return client.patch(ME, data, "application/json", headers=headers)


def assert_problem(response: Any, *statuses: int) -> None:
    assert response.status_code in statuses
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["status"] == response.status_code
    assert response.json()["title"] == response.reason_phrase


either_way = pytest.mark.parametrize("client_of", [by_session, by_token])


# Who may do what


@either_way
def test_staff_list_users(client_of: As, admin: User, user: User) -> None:
    assert sorted(listed(client_of(admin))) == ["ada", "root"]


@either_way
def test_others_do_not_list_users(client_of: As, user: User) -> None:
    assert_problem(client_of(user).get(USERS), 403)


@pytest.mark.django_db
@pytest.mark.parametrize("path", [USERS, ME])
def test_nobody_gets_in_without_credentials(path: str, client: Client) -> None:
    response = client.get(path)

    assert_problem(response, 401)
    assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.django_db
def test_nobody_changes_anything_without_credentials() -> None:
    # Where a session could have been, a CSRF token is missing too
    assert_problem(change(Client(enforce_csrf_checks=True), {}), 401, 403)


@either_way
def test_me_is_who_asks(client_of: As, user: User) -> None:
    me = client_of(user).get(ME).json()

    joined = datetime.fromisoformat(me.pop("date_joined"))
    assert abs(joined - user.date_joined) < timedelta(milliseconds=1)
    assert me == {
        "id": user.pk,
        "username": "ada",
        "first_name": "",
        "last_name": "",
        "email": "ada@example.com",
        "is_staff": False,
    }


def test_program_changes_its_users_name(user: User) -> None:
    user.last_name = "Byron"
    user.save()

    response = change(by_token(user), {"first_name": "  Zoë 🐍 "})

    assert response.status_code == 200
    assert response.json()["first_name"] == "Zoë 🐍"
    user.refresh_from_db()
    assert (user.first_name, user.last_name) == ("Zoë 🐍", "Byron")


def test_browser_changes_a_name_with_the_csrf_token_alone(user: User) -> None:
    client = by_session(user)
    # The documentation has the token in its page, or in the script of that page
    page, script = client.get("/api/docs/"), client.get("/api/docs/?script=")
    token = re.search(r'"(\w{64})"', f"{page.content!r} {script.content!r}")
    assert token

    refused = change(client, {"first_name": "Ada"})
    changed = change(client, {"first_name": "Ada"}, **{"X-CSRFToken": token[1]})

    assert_problem(refused, 403)
    assert changed.json()["first_name"] == "Ada"


def test_nothing_but_the_name_can_be_changed(user: User) -> None:
    change(by_token(user), {"is_staff": True, "username": "root", "last_name": "King"})

    user.refresh_from_db()
    assert (user.is_staff, user.username, user.last_name) == (False, "ada", "King")


# Tokens


@pytest.mark.parametrize("key", ["", "wrong", "ä", "two words"])
@pytest.mark.django_db
def test_wrong_token_is_refused(key: str) -> None:
    assert_problem(program(key).get(ME), 401)


def test_wrong_token_is_refused_in_spite_of_a_session(user: User) -> None:
    response = by_session(user).get(ME, headers={"Authorization": "Bearer wrong"})

    assert_problem(response, 401)


def test_expired_token_is_refused(user: User) -> None:
    assert_problem(by_token(user, "--days=0").get(ME), 401)


@either_way
def test_inactive_user_is_refused(client_of: As, user: User) -> None:
    client = client_of(user)
    user.is_active = False
    user.save()

    assert_problem(client.get(ME), 401)


@pytest.mark.parametrize("password", ["another long passphrase", None])
def test_tokens_end_with_the_password(password: str | None, user: User) -> None:
    client = by_token(user)
    if password:
        user.set_password(password)
    else:
        user.set_unusable_password()
    user.save()

    assert_problem(client.get(ME), 401)


def test_tokens_outlive_a_new_hash_of_the_same_password(
    user: User, settings: Settings
) -> None:
    client = by_token(user)
    hasher = "django.contrib.auth.hashers.PBKDF2PasswordHasher"
    settings.PASSWORD_HASHERS = [hasher, *settings.PASSWORD_HASHERS]

    assert user.check_password(PASSWORD)
    assert user.password.startswith("pbkdf2")
    assert client.get(ME).status_code == 200


def test_command_shows_a_key_that_is_not_stored(user: User) -> None:
    key = output_of("create_token", "ada", "--days=7")

    assert program(key).get(ME).json()["username"] == "ada"
    assert key not in output_of("dumpdata")


@pytest.mark.django_db
def test_command_knows_its_users() -> None:
    with pytest.raises(CommandError, match="no user nobody"):
        call_command("create_token", "nobody")


# {% if cookiecutter.rest_api == "ninja" %}
def test_admin_lists_and_deletes_tokens_but_makes_none(admin: User) -> None:
    program = by_token(admin)
    browser = Client()
    browser.force_login(admin)

    page = browser.get("/admin/api/token/").content.decode()
    token = admin.token_set.get().pk
    browser.post(f"/admin/api/token/{token}/delete/", {"post": "yes"})

    assert "1 token" in page
    assert_problem(program.get(ME), 401)
    assert browser.get("/admin/api/token/add/").status_code == 403


# {% endif %}
# Lists


def test_list_comes_in_pages(admin: User) -> None:
    User.objects.bulk_create(User(username=f"user{number}") for number in range(20))
    client = by_token(admin)

    first, second = listed(client), listed(client, page=2, offset=20)

    assert len(first) == 20
    assert second == ["user19"]


def test_list_can_be_searched(admin: User, user: User) -> None:
    client = by_token(admin)
    User.objects.create_user("other", last_name="Lovelace")

    assert listed(client, search="ADA@") == ["ada"]
    assert listed(client, search="lovelace") == ["other"]
    assert len(listed(client, search="")) == 3


@pytest.mark.parametrize("number", ["", "x", "-1", "9" * 30])
def test_page_that_cannot_be_is_refused(number: str, admin: User) -> None:
    response = by_token(admin).get(USERS, {"page": number, "offset": number})

    assert_problem(response, 404, 422)


def test_search_that_cannot_match_is_refused(admin: User) -> None:
    assert_problem(by_token(admin).get(USERS, {"search": "nul\0"}), 400, 422)


# How it says no


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"first_name": "x" * 151}, ["first_name"]),
        ({"first_name": None, "last_name": []}, ["first_name", "last_name"]),
        ({"first_name": "nul\0"}, ["first_name"]),
        ({"first_name": 7}, ["first_name"]),
        ([], []),
    ],
)
def test_wrong_body_is_refused_with_the_names_of_its_fields(
    body: Any, fields: list[str], user: User
) -> None:
    response = change(by_token(user), body)

    assert_problem(response, 400, 422)
    assert all(field in str(response.json()["errors"]) for field in fields)


@pytest.mark.parametrize("body", [b"{", b"\xff", b"null"])
def test_body_that_is_no_object_is_refused(body: bytes, user: User) -> None:
    assert_problem(change(by_token(user), body), 400, 422)


@pytest.mark.parametrize("depth", [500, 100_000])
def test_deeply_nested_body_is_refused(depth: int, user: User) -> None:
    body = b'{"first_name":' + b"[" * depth + b"]" * depth + b"}"

    assert_problem(change(by_token(user), body), 400, 422)


@pytest.mark.parametrize(
    "path", ["/api/nothing", "/api/v1/nothing/", "/api/v1/users/1/", "/api/v2/users/"]
)
def test_unknown_address_is_a_problem(
    path: str, client: Client, settings: Settings
) -> None:
    for settings.DEBUG in (True, False):
        assert_problem(client.get(path), 404)


@pytest.mark.parametrize(
    ("path", "methods"),
    [(USERS, ["post", "put", "patch", "delete"]), (ME, ["post", "put", "delete"])],
)
def test_other_methods_are_refused_with_a_list_of_the_right_ones(
    path: str, methods: list[str], admin: User
) -> None:
    client = by_token(admin)

    for method in [*methods, "options"]:
        response = getattr(client, method)(path)
        assert_problem(response, 405)
        assert "GET" in response.headers["Allow"]


def test_too_many_requests_are_refused_for_a_while(
    user: User, admin: User, settings: Settings
) -> None:
    settings.API_RATE = "2/min"
    client = by_token(user)

    first, last, refused = client.get(ME), client.get(ME), client.get(ME)

    assert (first.status_code, last.status_code) == (200, 200)
    assert_problem(refused, 429)
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    assert by_token(admin).get(ME).status_code == 200
    Counter.objects.update(expires=timezone.now())
    assert client.get(ME).status_code == 200


def test_requests_without_a_right_token_count_too(
    user: User, settings: Settings
) -> None:
    settings.API_RATE = "2/min"
    right = by_token(user)

    assert_problem(program("wrong").get(ME), 401)
    assert_problem(Client().get(ME), 401)
    assert_problem(Client().get(ME), 429)
    assert_problem(program("wrong").get(ME), 429)
    assert_problem(right.get(ME), 429)
    assert right.get(ME, REMOTE_ADDR="192.0.2.1").status_code == 200


def test_refused_requests_of_a_user_count_once(user: User, settings: Settings) -> None:
    settings.API_RATE = "2/min"
    client = by_token(user)

    for status in (403, 403, 429):
        assert_problem(client.get(USERS), status)


def test_failure_is_a_problem_that_tells_nothing(
    user: User, settings: Settings
) -> None:
    client = by_session(user)
    client.raise_request_exception = False
    settings.DEBUG = False

    with patch.object(connection, "cursor", side_effect=RuntimeError("secret")):
        response = client.get(ME)

    assert_problem(response, 500)
    assert "secret" not in response.content.decode()


def test_wrong_host_is_a_problem_too(client: Client, settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["example.com"]

    assert_problem(client.get(ME, headers={"host": "evil.example"}), 400)


def test_errors_of_pages_stay_pages(client: Client) -> None:
    assert "html" in client.get("/no-such-page").headers["Content-Type"]


# Other origins


@pytest.mark.django_db
def test_pages_of_other_origins_are_kept_out_by_default(client: Client) -> None:
    response = client.get(USERS, headers={"Origin": "https://app.example.com"})

    assert "Access-Control-Allow-Origin" not in response.headers


def test_pages_of_listed_origins_may_call_the_api_alone(
    client: Client, settings: Settings
) -> None:
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example.com"]
    ask = {
        "Origin": "https://app.example.com",
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "authorization",
    }

    allowed = client.options(ME, headers=ask)
    elsewhere = client.options("/accounts/login/", headers=ask)

    assert allowed.headers["Access-Control-Allow-Origin"] == ask["Origin"]
    assert "authorization" in allowed.headers["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Credentials" not in allowed.headers
    assert "Access-Control-Allow-Origin" not in elsewhere.headers


# Documentation


@pytest.mark.django_db
def test_openapi_document_describes_every_route_and_its_errors(client: Client) -> None:
    document = client.get("/api/v1/openapi.json").json()

    operations = {
        (method, path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert document["openapi"].startswith("3.1")
    assert set(operations) == {("get", USERS), ("get", ME), ("patch", ME)}
    for operation in operations.values():
        assert len(operation["security"]) == 2
        assert [*operation["responses"]["default"]["content"]] == [
            "application/problem+json"
        ]


@pytest.mark.django_db
def test_documentation_loads_nothing_from_elsewhere(client: Client) -> None:
    response = client.get("/api/docs/")

    page = response.content.decode()
    policy = response.headers["Content-Security-Policy"]
    addresses = re.findall(r'(?:src|href)="(.+?)"', page)
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script>", page)
    assert len(addresses) >= 4
    for address in addresses:
        assert re.match(r"/(\w|$)", address)
        view, static, name = address.partition("/static/")
        if static:
            assert finders.find(name)
        else:
            assert client.get(view).status_code == 200
