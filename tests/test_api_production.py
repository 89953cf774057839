"""The API behind the proxy of production: who has a token is known, and the documentation loads."""

import json
import re

import pytest

from tests.production import fetch, serving_project
from tests.stack import Stack, on

PROJECTS = {
    "production-drf": {"rest_api": "drf", "database": "mysql"},
    "production-ninja": {"rest_api": "ninja", "database": "mariadb"},
}

pytestmark = [pytest.mark.container, on(serving_project, PROJECTS)]

ME = "/api/v1/users/me/"


def test_stranger_gets_a_problem(stack: Stack) -> None:
    answer = fetch(stack, ME)

    assert answer.status == 401
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_program_is_known_by_its_token(stack: Stack) -> None:
    person = ("--username=ada", "--email=ada@example.com")
    passphrase = ("env", "DJANGO_SUPERUSER_PASSWORD=a long enough passphrase")
    stack.execute(*passphrase, "python", "manage.py", "createsuperuser", "--no-input", *person)
    key = stack.execute("python", "manage.py", "create_token", "ada").strip()

    answer = fetch(stack, ME, headers={"Authorization": f"Bearer {key}"})

    assert json.loads(answer.text)["username"] == "ada"


def test_documentation_loads(stack: Stack) -> None:
    page = fetch(stack, "/api/docs/")

    assert page.status == 200
    assert json.loads(fetch(stack, "/api/v1/openapi.json").text)["openapi"].startswith("3.1")
    for script in re.findall(r'src="(.+?)"', page.text):
        assert fetch(stack, script).status == 200
