"""Pages are complete, tell nothing they should not, and obey a strict content security policy."""

import re
from pathlib import Path

import django
import pytest
from django.conf import settings as project_settings
from django.test import Client, RequestFactory
from django.views import defaults
from pytest_django import Settings

TEMPLATES = sorted((project_settings.BASE_DIR / "templates").rglob("*.html"))


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/", "/accounts/login/", "/no-such-page"])
def test_pages_show_the_name_of_the_project(
    path: str, client: Client, settings: Settings
) -> None:
    settings.PROJECT_NAME = "Tea & <Biscuits>"

    page = client.get(path).content.decode()

    assert "Tea &amp; &lt;Biscuits&gt;</title>" in page
    assert page.count("Tea &amp; &lt;Biscuits&gt;") >= 2


@pytest.mark.django_db
def test_home_page_tells_what_is_running_while_debug_is_on(
    client: Client, settings: Settings
) -> None:
    settings.DEBUG = True

    page = client.get("/").content.decode()

    assert django.get_version() in page
    assert '<a class="button" href="/admin/">' in page


@pytest.mark.django_db
def test_home_page_tells_nothing_about_the_server_when_debug_is_off(
    client: Client, settings: Settings
) -> None:
    settings.DEBUG = False

    page = client.get("/").content.decode()

    assert django.get_version() not in page
    assert "/admin/" not in page


def test_icon_is_found_where_browsers_look_for_it(client: Client) -> None:
    response = client.get("/favicon.ico")

    assert response.headers["Location"] == "/static/favicon.svg"


def test_unknown_address_gets_the_404_page(client: Client) -> None:
    response = client.get("/no-such-page")

    assert response.status_code == 404
    assert "Page not found" in response.content.decode()


def test_forbidden_page_has_its_own_template(rf: RequestFactory) -> None:
    response = defaults.permission_denied(rf.get("/"), Exception())

    assert response.status_code == 403
    assert "Forbidden" in response.content.decode()


def test_form_without_csrf_token_gets_an_explanation() -> None:
    response = Client(enforce_csrf_checks=True).post("/accounts/login/")

    assert response.status_code == 403
    assert "could not be verified" in response.content.decode()


def test_server_error_page_needs_neither_database_nor_context(
    rf: RequestFactory,
) -> None:
    response = defaults.server_error(rf.get("/"))

    assert response.status_code == 500
    assert "Server error" in response.content.decode()


@pytest.mark.django_db
def test_pages_carry_the_security_headers(client: Client) -> None:
    headers = client.get("/").headers

    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_templates_have_nothing_inline(template: Path) -> None:
    source = template.read_text()

    inline = r"<style|\sstyle=|\son\w+=|<script(?! src=| type=.*json)"
    assert not re.search(inline, source)
