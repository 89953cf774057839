"""What every test starts from: files of its own, a fast password hasher, two people, and a fresh Python."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings as project_settings
from pytest_django import Settings

# {% if cookiecutter.background_tasks == "celery" %}
from config.celery import app
# {% endif %}
from users.models import User

PASSWORD = "a long enough passphrase"

BASE_DIR: Path = project_settings.BASE_DIR

type Python = Callable[..., subprocess.CompletedProcess[str]]

PRODUCTION = {
    "DEBUG": "false",
    "SECRET_KEY": "0123456789abcdef" * 4,
    "ALLOWED_HOSTS": "example.com",
    "DATABASE_URL": "sqlite://:memory:",
    "EMAIL_URL": "submission://user:password@mail.example.com:587",
}


@pytest.fixture(autouse=True)
def test_settings(settings: Settings, tmp_path: Path) -> None:
    """Static files need no collectstatic, no test touches the real media, and logins are fast."""
    settings.MEDIA_ROOT = tmp_path / "media"
    settings.SITE_URL = "http://127.0.0.1:8000"
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.WHITENOISE_AUTOREFRESH = True
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {
            "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        }
    }


# {% if cookiecutter.background_tasks == "none" %}
@pytest.fixture(autouse=True)
def immediate_emails(monkeypatch: pytest.MonkeyPatch) -> None:
    """E-mails are sent at once: another thread would not see what a test has stored."""

    def submit(function: Callable[[str], None], address: str) -> None:
        function(address)

    monkeypatch.setattr("users.threads.executor.submit", submit)
    monkeypatch.setattr("users.threads.close_old_connections", lambda: None)


# {% endif %}
# {% if cookiecutter.background_tasks == "database" %}
@pytest.fixture(autouse=True)
def immediate_tasks(settings: Settings) -> None:
    """Tasks run at once: no test needs a worker."""
    backend = "django.tasks.backends.immediate.ImmediateBackend"
    settings.TASKS = {"default": {"BACKEND": backend}}


# {% endif %}
# {% if cookiecutter.background_tasks == "celery" %}
@pytest.fixture(autouse=True)
def eager_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks run at once: no test needs a broker, nor the end of its transaction, which never comes."""
    monkeypatch.setitem(app.conf, "task_always_eager", True)
    monkeypatch.setattr("django.db.transaction.on_commit", lambda call: call())


# {% endif %}
@pytest.fixture
def user(db: None) -> User:
    return User.objects.create_user("ada", "ada@example.com", PASSWORD)


@pytest.fixture
def admin(db: None) -> User:
    return User.objects.create_superuser("root", "root@example.com", PASSWORD)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Python:
    """Run Python in a copy of the project that has no .env, with the given variables alone."""
    copy = tmp_path_factory.mktemp("copy") / "project"
    left_out = shutil.ignore_patterns(".*", "backups", "media", "secrets")
    shutil.copytree(BASE_DIR, copy, ignore=left_out)
    environment = {
        k: v for k, v in os.environ.items() if k not in explained_variables()
    }

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            check=False,
            cwd=copy,
            env=environment | variables,
            capture_output=True,
            text=True,
        )

    return run


def explained_variables() -> list[str]:
    """The names in .env.example, also those that are commented out."""
    lines = (BASE_DIR / ".env.example").read_text().splitlines()
    return [m[1] for line in lines if (m := re.match(r"(?:# )?([A-Z_]+)=", line))]
