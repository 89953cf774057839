"""People can log in, log out, and change or reset their password."""

import re
from datetime import UTC, date, datetime

from django.core.mail import EmailMessage
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from conftest import PASSWORD
from users.models import User


def test_login_page_is_the_projects_own(client: Client) -> None:
    page = client.get("/accounts/login/").content.decode()

    assert "site.css" in page
    assert 'name="password"' in page


def test_login_leads_to_the_home_page(client: Client, user: User) -> None:
    response = client.post(
        "/accounts/login/", {"username": "ada", "password": PASSWORD}, follow=True
    )

    assert response.redirect_chain == [("/", 302)]
    assert "ada" in response.content.decode()


def test_logout_ends_the_session(client: Client, user: User) -> None:
    client.force_login(user)

    response = client.post("/accounts/logout/")

    assert response.headers["Location"] == "/"
    assert "_auth_user_id" not in client.session


def test_password_change_takes_the_new_password(client: Client, user: User) -> None:
    client.force_login(user)
    new = "another long passphrase"

    response = client.post(
        "/accounts/password_change/",
        {"old_password": PASSWORD, "new_password1": new, "new_password2": new},
        follow=True,
    )

    assert "Your password was changed." in response.content.decode()
    user.refresh_from_db()
    assert user.check_password(new)


def test_new_password_ends_the_other_sessions(client: Client, user: User) -> None:
    elsewhere = Client()
    for browser in (client, elsewhere):
        browser.force_login(user)
    new = "another long passphrase"

    client.post(
        "/accounts/password_change/",
        {"old_password": PASSWORD, "new_password1": new, "new_password2": new},
    )

    assert client.get("/accounts/password_change/").status_code == 200
    assert elsewhere.get("/accounts/password_change/").status_code == 302


def test_password_change_refuses_a_weak_password(client: Client, user: User) -> None:
    client.force_login(user)

    response = client.post(
        "/accounts/password_change/",
        {"old_password": PASSWORD, "new_password1": "1234", "new_password2": "1234"},
    )

    assert response.status_code == 200
    assert "errorlist" in response.content.decode()


def test_password_reset_goes_by_email(
    client: Client, user: User, mailoutbox: list[EmailMessage]
) -> None:
    new = "another long passphrase"

    sent = client.post("/accounts/password_reset/", {"email": user.email}, follow=True)
    link = re.search(r"http://127.0.0.1:8000(/\S+)", str(mailoutbox[0].body))
    assert link
    form = client.get(link[1], follow=True)
    done = client.post(
        form.redirect_chain[-1][0],
        {"new_password1": new, "new_password2": new},
        follow=True,
    )

    assert "Password reset sent" in sent.content.decode()
    assert "Enter new password" in form.content.decode()
    assert "Password reset complete" in done.content.decode()
    user.refresh_from_db()
    assert user.check_password(new)


def test_password_reset_email_names_the_account_and_the_site(
    client: Client, user: User, mailoutbox: list[EmailMessage]
) -> None:
    client.post("/accounts/password_reset/", {"email": user.email})

    assert mailoutbox[0].subject == "Password reset on 127.0.0.1:8000"
    assert mailoutbox[0].to == ["ada@example.com"]
    assert "ada" in str(mailoutbox[0].body)


def test_password_reset_link_leads_to_the_site_and_not_to_the_host_of_the_request(
    client: Client,
    user: User,
    mailoutbox: list[EmailMessage],
    settings: Settings,
) -> None:
    settings.SITE_URL = "https://example.com"

    client.post(
        "/accounts/password_reset/",
        {"email": user.email},
        headers={"host": "localhost:1337"},
    )

    assert "https://example.com/accounts/reset/" in str(mailoutbox[0].body)
    assert "localhost" not in str(mailoutbox[0].body)


def test_password_reset_does_not_tell_who_has_an_account(
    client: Client, db: None, mailoutbox: list[EmailMessage]
) -> None:
    response = client.post(
        "/accounts/password_reset/", {"email": "nobody@example.com"}, follow=True
    )

    assert "Password reset sent" in response.content.decode()
    assert mailoutbox == []


def test_password_reset_link_with_a_wrong_token_is_refused(
    client: Client, db: None
) -> None:
    page = client.get("/accounts/reset/MQ/wrong-token/").content.decode()

    assert "The password reset link was invalid" in page


def test_admin_lists_and_finds_users(client: Client, admin: User, user: User) -> None:
    client.force_login(admin)

    page = client.get("/admin/users/user/?q=ADA@example.com").content.decode()

    assert "ada@example.com" in page
    assert "root@example.com" not in page


def test_admin_adds_a_user(client: Client, admin: User) -> None:
    client.force_login(admin)

    client.post(
        "/admin/users/user/add/",
        {
            "username": "grace",
            "usable_password": "true",
            "password1": PASSWORD,
            "password2": PASSWORD,
        },
    )

    assert User.objects.get(username="grace").check_password(PASSWORD)


def test_database_keeps_every_character(db: None) -> None:
    User.objects.create(username="zoë", first_name="Zoë 🐍 李")

    assert User.objects.get(username="zoë").first_name == "Zoë 🐍 李"


def test_database_knows_time_zones(db: None) -> None:
    User.objects.create(
        username="ada", date_joined=datetime(2026, 6, 30, 23, tzinfo=UTC)
    )

    with timezone.override("Europe/Paris"):
        found = User.objects.filter(date_joined__date=date(2026, 7, 1))

        assert [user.username for user in found] == ["ada"]
