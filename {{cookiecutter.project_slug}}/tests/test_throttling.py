"""Guessing is slowed down, and keeps nobody out who has the right password."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.core.mail import EmailMessage
from django.test import Client, RequestFactory
from django.utils import timezone

from conftest import PASSWORD
from users import throttling
from users.models import Counter, User
from users.throttling import LOGIN, LOGIN_BY_ACCOUNT, LOGIN_BY_ADDRESS, Limit

LOGIN_PAGES = ["/accounts/login/", "/admin/login/"]


def log_in(
    client: Client,
    username: str = "root",
    password: str = "wrong",
    page: str = "/accounts/login/",
    address: str = "192.0.2.1",
) -> Any:
    data = {"username": username, "password": password}
    return client.post(page, data, REMOTE_ADDR=address)


def fill(limit: Limit, *name: object) -> None:
    """Use a limit up."""
    throttling.count(limit, *name)
    Counter.objects.filter(key=throttling.key_of(*name)).update(count=limit.most)


@pytest.mark.parametrize("page", LOGIN_PAGES)
@pytest.mark.parametrize("username", ["root", "nobody"])
def test_guesses_of_a_password_end_whether_there_is_an_account_or_not(
    client: Client, admin: User, username: str, page: str
) -> None:
    for _ in range(LOGIN.most):
        assert log_in(client, username, page=page).status_code == 200
    refused = log_in(client, username, PASSWORD, page)

    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= LOGIN.seconds
    assert "Please try again in 10 minutes." in refused.content.decode()


def test_other_spelling_of_a_name_is_the_same_guess(
    client: Client, admin: User
) -> None:
    for _ in range(LOGIN.most):
        log_in(client, "root")

    for username in ("ROOT", "roöt", "ro\u200bot", " root"):
        assert log_in(client, username).status_code == 429


def test_others_and_elsewhere_are_not_meant(
    client: Client, admin: User, user: User
) -> None:
    for _ in range(LOGIN.most):
        log_in(client)

    assert log_in(client, "ada", PASSWORD).status_code == 302
    assert log_in(Client(), "root", PASSWORD, address="192.0.2.2").status_code == 302


def test_guesses_are_possible_again_after_the_window(
    client: Client, admin: User
) -> None:
    for _ in range(LOGIN.most + 1):
        log_in(client)
    Counter.objects.update(expires=timezone.now())

    assert log_in(client).status_code == 200
    assert log_in(client, "root", PASSWORD).status_code == 302


def test_right_passwords_do_not_count(admin: User) -> None:
    for _ in range(LOGIN.most + 1):
        assert log_in(Client(), "root", PASSWORD).status_code == 302


def test_guesses_for_one_account_from_everywhere_end(
    client: Client, admin: User
) -> None:
    fill(LOGIN_BY_ACCOUNT, "login account", "root")

    assert log_in(client, "root", PASSWORD).status_code == 429


def test_guesses_from_one_address_for_every_account_end(
    client: Client, admin: User
) -> None:
    fill(LOGIN_BY_ADDRESS, "login address", "192.0.2.1")

    assert log_in(client, "root", PASSWORD).status_code == 429


def test_browser_that_has_logged_in_before_is_not_kept_out_by_others(
    client: Client, admin: User
) -> None:
    log_in(client, "root", PASSWORD)
    for _ in range(LOGIN.most):
        log_in(Client())
    fill(LOGIN_BY_ACCOUNT, "login account", "root")

    assert log_in(Client(), "root", PASSWORD).status_code == 429
    assert log_in(client, "root", PASSWORD).status_code == 302


def test_browser_is_known_for_its_own_account_alone_and_guesses_no_more_than_others(
    client: Client, admin: User, user: User
) -> None:
    log_in(client, "ada", PASSWORD)

    for username in ("ada", "root"):
        for _ in range(LOGIN.most):
            assert log_in(client, username).status_code == 200
        assert log_in(client, username).status_code == 429


@pytest.mark.parametrize("address", ["ada@example.com", "nobody@example.com"])
def test_nobody_is_sent_many_emails(
    client: Client, user: User, mailoutbox: list[EmailMessage], address: str
) -> None:
    for _ in range(throttling.RESET_BY_ACCOUNT.most):
        answer = client.post("/accounts/password_reset/", {"email": address})
        assert answer.status_code == 302
    refused = client.post("/accounts/password_reset/", {"email": address.upper()})

    assert refused.status_code == 429
    assert len(mailoutbox) in (0, throttling.RESET_BY_ACCOUNT.most)


def test_requests_for_emails_from_one_address_end(client: Client, user: User) -> None:
    fill(throttling.RESET_BY_ADDRESS, "reset address", "127.0.0.1")

    answer = client.post("/accounts/password_reset/", {"email": user.email})

    assert answer.status_code == 429


def test_guesses_of_a_link_end(client: Client, db: None) -> None:
    fill(throttling.RESET_LINK, "reset link", "127.0.0.1")

    assert client.get("/accounts/reset/MQ/wrong-token/").status_code == 429


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1:2:3", "2001:db8::/64"),
        ("unix:", "unix:"),
    ],
)
def test_network_counts_for_its_addresses(
    rf: RequestFactory, address: str, counted: str
) -> None:
    assert throttling.address_of(rf.get("/", REMOTE_ADDR=address)) == counted


def test_old_counters_are_deleted(db: None) -> None:
    throttling.count(LOGIN, "old")
    Counter.objects.update(expires=timezone.now() - timedelta(days=2))

    throttling.count(LOGIN, "new")

    assert str(Counter.objects.get()) == throttling.key_of("new")


def test_login_without_a_request_is_not_limited(admin: User) -> None:
    for _ in range(LOGIN.most + 1):
        assert Client().login(username="root", password=PASSWORD)


def test_reset_link_makes_the_browser_known(
    client: Client, user: User, mailoutbox: list[EmailMessage]
) -> None:
    client.post("/accounts/password_reset/", {"email": user.email})
    link = re.search(r"/accounts/reset/\S+", str(mailoutbox[0].body))
    assert link
    form = client.get(link[0], follow=True).redirect_chain[-1][0]
    client.post(form, {"new_password1": PASSWORD, "new_password2": PASSWORD})
    fill(LOGIN_BY_ACCOUNT, "login account", "ada")

    assert log_in(Client(), "ada", PASSWORD).status_code == 429
    assert log_in(client, "ada", PASSWORD).status_code == 302
