"""The project as a whole: settings, checks, migrations and static files."""

import json
import re
from pathlib import Path

import pytest
from django.core.management import call_command
from pytest_django import Settings

from conftest import BASE_DIR, PRODUCTION, Python, explained_variables


@pytest.mark.django_db
def test_models_have_no_migration_missing() -> None:
    call_command("makemigrations", "--check", "--dry-run")


def test_check_is_silent() -> None:
    call_command("check", "--fail-level", "WARNING")


def test_deployment_check_is_silent_in_production(python: Python) -> None:
    done = python(
        "manage.py", "check", "--deploy", "--fail-level", "WARNING", **PRODUCTION
    )

    assert done.returncode == 0, done.stderr
    assert "no issues (0 silenced)" in done.stdout


@pytest.mark.parametrize("name", sorted(PRODUCTION.keys() - {"DEBUG"}))
def test_production_does_not_start_without_a_variable(
    python: Python, name: str
) -> None:
    variables = {key: value for key, value in PRODUCTION.items() if key != name}

    done = python("-c", "import config.settings", **variables)

    assert done.returncode != 0
    assert name in done.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", "development-only"),
        ("DATABASE_URL", "postgresql://site:development-only@db/site"),
    ],
)
def test_production_refuses_what_development_uses(
    python: Python, name: str, value: str
) -> None:
    done = python("-c", "import config.settings", **PRODUCTION | {name: value})

    assert done.returncode != 0
    assert f"Production needs a {name}" in done.stderr


def test_development_needs_no_variable(python: Python) -> None:
    done = python("-c", "import config.settings", DEBUG="true")

    assert done.returncode == 0, done.stderr


def test_secret_can_come_from_a_file(python: Python, tmp_path: Path) -> None:
    secret = tmp_path / "secret_key"
    secret.write_text("from a file\n")

    done = python(
        *("-c", "from config.settings import SECRET_KEY; print(repr(SECRET_KEY))"),
        **PRODUCTION | {"SECRET_KEY_FILE": str(secret)},
    )

    assert done.stdout.strip() == "'from a file'"


def test_email_is_sent_as_the_url_says(python: Python) -> None:
    done = python(
        *("-c", "import json, config.settings as s; print(json.dumps(s.MAILERS))"),
        **PRODUCTION,
    )

    options = json.loads(done.stdout)["default"]["OPTIONS"]
    assert options["host"] == "mail.example.com"
    assert options["port"] == 587
    assert options["use_tls"] is True


def test_every_variable_is_explained_once() -> None:
    sources = [*BASE_DIR.glob("config/*.py"), *BASE_DIR.glob("*.py")]
    sources += [*BASE_DIR.glob("docker-compose*.yml"), *BASE_DIR.glob("deploy/*/*.yml")]
    used = set()
    for source in sources:
        used |= set(
            re.findall(
                r"""env\.\w+\(\s*"(\w+)"|os\.environ\.get\("(\w+)"|\$\{([A-Z_]+)\b""",
                source.read_text(),
            )
        )
    names = {name for groups in used for name in groups if name}

    assert sorted(names) == sorted(explained_variables())


def test_static_files_get_hashed_names(settings: Settings, tmp_path: Path) -> None:
    settings.STATIC_ROOT = tmp_path
    # The project's own files are enough
    settings.STATICFILES_FINDERS = [
        "django.contrib.staticfiles.finders.FileSystemFinder"
    ]
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {
            "BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"
        }
    }

    call_command("collectstatic", "--no-input", verbosity=0)

    manifest = json.loads((tmp_path / "staticfiles.json").read_text())
    hashed = tmp_path / manifest["paths"]["site.css"]
    assert re.fullmatch(r"site\.[0-9a-f]{12}\.css", hashed.name)
    assert hashed.exists()
