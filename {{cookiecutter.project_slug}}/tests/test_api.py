"""The API: who may do what under /api/v1/, in which form, and how it says no."""

import re
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from html.parser import HTMLParser
from io import StringIO
from typing import Any
from unittest.mock import patch

import pytest
from django.conf import settings as project_settings
from django.contrib.staticfiles import finders
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from api.models import Token
from users.models import User

USERS, ME = "/api/v1/users/", "/api/v1/users/me/"

type As = Callable[[User], Client]


@pytest.fixture(autouse=True)
def no_requests_yet() -> None:
    cache.clear()


@pytest.fixture
def by_session() -> As:
    """A browser that is logged in, and that must prove that it means what it sends."""

    def login(user: User) -> Client:
        client = Client(enforce_csrf_checks=True)
        client.force_login(user)
        return client

    return login


@pytest.fixture
def by_token() -> As:
    """A program that has a token."""
    return lambda user: program(Token.objects.issue(user))


def program(key: str) -> Client:
    return Client(enforce_csrf_checks=True, headers={"Authorization": f"Bearer {key}"})


def change(client: Client, data: Any, **headers: str) -> Any:
    return client.patch(ME, data, "application/json", headers=headers)


def assert_problem(response: Any, status: int) -> None:
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["status"] == status
    assert response.json()["title"] == response.reason_phrase


# Who may do what


@pytest.mark.parametrize("way", ["by_session", "by_token"])
def test_staff_list_users(
    way: str, request: pytest.FixtureRequest, admin: User, user: User
) -> None:
    client = request.getfixturevalue(way)(admin)

    page = client.get(USERS).json()

    assert page["count"] == 2
    assert {entry["username"] for entry in page["results"]} == {"ada", "root"}


@pytest.mark.parametrize("way", ["by_session", "by_token"])
def test_others_do_not_list_users(
    way: str, request: pytest.FixtureRequest, user: User
) -> None:
    client = request.getfixturevalue(way)(user)

    assert_problem(client.get(USERS), 403)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("method", "path"), [("get", USERS), ("get", ME), ("patch", ME)]
)
def test_nobody_gets_in_without_credentials(
    method: str, path: str, client: Client
) -> None:
    response = getattr(client, method)(path)

    assert_problem(response, 401)
    assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("way", ["by_session", "by_token"])
def test_me_is_who_asks(way: str, request: pytest.FixtureRequest, user: User) -> None:
    client = request.getfixturevalue(way)(user)

    me = client.get(ME).json()

    joined = datetime.fromisoformat(me.pop("date_joined"))
    assert abs(joined - user.date_joined) < timedelta(milliseconds=1)
    assert me == {
        "id": user.pk,
        "username": "ada",
        "first_name": "",
        "last_name": "",
        "email": "ada@example.com",
        "is_staff": False,
        "is_active": True,
    }


def test_program_changes_its_users_name(by_token: As, user: User) -> None:
    user.last_name = "Byron"
    user.save()

    response = change(by_token(user), {"first_name": "  Zoë 🐍 "})

    assert response.status_code == 200
    assert response.json()["first_name"] == "Zoë 🐍"
    user.refresh_from_db()
    assert (user.first_name, user.last_name) == ("Zoë 🐍", "Byron")


def test_browser_changes_a_name_with_the_csrf_token_alone(
    by_session: As, user: User
) -> None:
    client = by_session(user)
    page = client.get("/api/docs/").content.decode()
    token = re.search(r'data-csrf-token="(\w+)"', page)
    assert token

    refused = change(client, {"first_name": "Ada"})
    changed = change(client, {"first_name": "Ada"}, **{"X-CSRFToken": token[1]})

    assert_problem(refused, 403)
    assert changed.json()["first_name"] == "Ada"


def test_nothing_but_the_name_can_be_changed(by_token: As, user: User) -> None:
    change(by_token(user), {"is_staff": True, "username": "root", "last_name": "King"})

    user.refresh_from_db()
    assert (user.is_staff, user.username, user.last_name) == (False, "ada", "King")


# Tokens


@pytest.mark.parametrize("key", ["", "wrong", "ä", "two words"])
@pytest.mark.django_db
def test_wrong_token_is_refused(key: str) -> None:
    assert_problem(program(key).get(ME), 401)


def test_wrong_token_is_refused_in_spite_of_a_session(
    client: Client, user: User
) -> None:
    client.force_login(user)

    assert_problem(client.get(ME, headers={"Authorization": "Bearer wrong"}), 401)


def test_expired_token_is_refused(by_token: As, user: User) -> None:
    client = by_token(user)
    Token.objects.update(expires=timezone.now() - timedelta(seconds=1))

    assert_problem(client.get(ME), 401)


@pytest.mark.parametrize("way", ["by_session", "by_token"])
def test_inactive_user_is_refused(
    way: str, request: pytest.FixtureRequest, user: User
) -> None:
    client = request.getfixturevalue(way)(user)
    user.is_active = False
    user.save()

    assert_problem(client.get(ME), 401)


def test_command_makes_a_token_and_shows_its_key_once(user: User) -> None:
    output = StringIO()

    call_command("create_token", "ada", "--name=backup", "--days=7", stdout=output)

    key = output.getvalue().strip()
    token = Token.objects.get()
    assert program(key).get(ME).json()["username"] == "ada"
    assert key not in str(vars(token))
    assert str(token) == "backup"
    assert timedelta(6) < token.expires - timezone.now() < timedelta(7)


@pytest.mark.django_db
def test_command_knows_its_users() -> None:
    with pytest.raises(CommandError, match="no user nobody"):
        call_command("create_token", "nobody")


def test_admin_lists_and_deletes_tokens_but_makes_none(
    client: Client, admin: User
) -> None:
    Token.objects.issue(admin)
    client.force_login(admin)
    address = f"/admin/api/token/{Token.objects.get().pk}"

    page = client.get("/admin/api/token/?q=root").content.decode()
    client.post(f"{address}/delete/", {"post": "yes"})

    assert "1 token" in page
    assert not Token.objects.exists()
    assert client.get("/admin/api/token/add/").status_code == 403


# Lists


def test_list_comes_in_pages(by_token: As, admin: User, user: User) -> None:
    client = by_token(admin)

    first, second = (
        client.get(USERS, {"page": number, "page_size": 1}).json() for number in (1, 2)
    )

    assert first["count"] == second["count"] == 2
    assert len(first["results"]) == len(second["results"]) == 1
    assert first["results"] != second["results"]


def test_list_can_be_searched_and_filtered(
    by_token: As, admin: User, user: User
) -> None:
    client = by_token(admin)
    User.objects.create_user("gone", last_name="Lovelace", is_active=False)

    def found(**query: str) -> list[str]:
        entries = client.get(USERS, query).json()["results"]
        return [entry["username"] for entry in entries]

    assert found(search="ADA@") == ["ada"]
    assert found(search="lovelace") == ["gone"]
    assert found(search="lovelace", is_active="true") == []
    assert found(is_active="false") == ["gone"]
    assert len(found(search="")) == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("page", "0"),
        ("page", "last"),
        ("page_size", "101"),
        ("page_size", "x"),
        ("is_active", "perhaps"),
        ("search", "nul\0"),
        ("search", "x" * 151),
    ],
)
def test_senseless_query_is_refused_with_the_name_of_its_field(
    name: str, value: str, by_token: As, admin: User
) -> None:
    response = by_token(admin).get(USERS, {name: value})

    assert_problem(response, 400)
    assert [error["field"] for error in response.json()["errors"]] == [name]


@pytest.mark.parametrize("page", ["2", "9" * 30])
def test_page_after_the_last_is_not_found(page: str, by_token: As, admin: User) -> None:
    assert_problem(by_token(admin).get(USERS, {"page": page}), 404)


# How it says no


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"first_name": "x" * 151}, ["first_name"]),
        ({"first_name": None, "last_name": []}, ["first_name", "last_name"]),
        ({"first_name": "nul\0"}, ["first_name"]),
        ({"first_name": 7}, ["first_name"]),
        ([], [""]),
    ],
)
def test_wrong_body_is_refused_with_the_names_of_its_fields(
    body: Any, fields: list[str], by_token: As, user: User
) -> None:
    response = change(by_token(user), body)

    assert_problem(response, 400)
    assert [error["field"] for error in response.json()["errors"]] == fields
    assert all(error["detail"] for error in response.json()["errors"])


@pytest.mark.parametrize("body", [b"{", b"\xff", b"null"])
def test_body_that_is_no_object_is_refused(
    body: bytes, by_token: As, user: User
) -> None:
    assert_problem(change(by_token(user), body), 400)


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
    path: str, methods: list[str], by_token: As, admin: User
) -> None:
    client = by_token(admin)

    for method in [*methods, "options"]:
        response = getattr(client, method)(path)
        assert_problem(response, 405)
        assert "GET" in response.headers["Allow"]


def test_too_many_requests_are_refused_for_a_while(
    by_token: As, user: User, admin: User
) -> None:
    # Where both frameworks keep the times of the latest requests
    allowed = int(project_settings.API_RATE.partition("/")[0])
    cache.set(f"throttle_user_{user.pk}", [time.time()] * allowed)

    response = by_token(user).get(ME)

    assert_problem(response, 429)
    assert 0 < int(response.headers["Retry-After"]) <= 60
    assert by_token(admin).get(ME).status_code == 200


def test_every_request_counts(by_token: As, user: User) -> None:
    client = by_token(user)

    for _ in range(3):
        client.get(ME)

    assert len(cache.get(f"throttle_user_{user.pk}")) == 3


def test_failure_is_a_problem_that_tells_nothing(
    by_session: As, user: User, settings: Settings
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
        assert operation["operationId"]
        assert len(operation["security"]) == 2
        problems = operation["responses"].keys() - {"200"}
        assert problems >= {"400", "401", "403", "404", "405", "429", "500"}
        for status in problems:
            assert [*operation["responses"][status]["content"]] == [
                "application/problem+json"
            ]


class Assets(HTMLParser):
    """What a page loads, and the text of its scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.inline = ""
        self.tag = ""
        self.feed(page)

    def handle_starttag(
        self, tag: str, attributes: list[tuple[str, str | None]]
    ) -> None:
        self.tag = tag
        found = dict(attributes)
        address = found.get("src") or found.get("href")
        self.addresses += [address] if address else []
        assert not any(name == "style" or name.startswith("on") for name in found)

    def handle_endtag(self, tag: str) -> None:
        self.tag = ""

    def handle_data(self, data: str) -> None:
        self.inline += data if self.tag in ("script", "style") else ""


def test_documentation_loads_nothing_from_elsewhere(client: Client) -> None:
    response = client.get("/api/docs/")

    assets = Assets(response.content.decode())
    assert "default-src 'self'" in response.headers["Content-Security-Policy"]
    assert "unsafe" not in response.headers["Content-Security-Policy"]
    assert len(assets.addresses) == 4
    assert not assets.inline
    for address in assets.addresses:
        assert address.startswith("/static/")
        assert finders.find(address.removeprefix("/static/"))
