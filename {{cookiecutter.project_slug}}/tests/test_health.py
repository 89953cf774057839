"""Health checks answer anyone, at any time, and tell the truth."""

import logging
from unittest.mock import patch

import pytest
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from pytest_django import Settings


def test_live_needs_no_database(client: Client) -> None:
    assert client.get("/health/live").json() == {"status": "ok"}


@pytest.mark.django_db
def test_ready_when_the_database_is_there_and_migrated(client: Client) -> None:
    response = client.get("/health/ready")

    assert response.status_code == 200
    assert response.json() == {"status": "ok"}


@pytest.mark.django_db
def test_not_ready_while_the_database_is_away(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with patch.object(connection, "cursor", side_effect=OperationalError):
        response = client.get("/health/ready")

    assert response.status_code == 503
    assert response.json() == {"status": "database unreachable"}
    assert not caplog.records


@pytest.mark.django_db
def test_not_ready_while_a_migration_is_missing(client: Client) -> None:
    MigrationRecorder(connection).record_unapplied("sessions", "0001_initial")

    response = client.get("/health/ready")

    assert response.status_code == 503
    assert response.json() == {"status": "migrations missing"}


def test_any_host_name_may_ask(client: Client, settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["example.com"]

    assert client.get("/health/live", headers={"host": "10.0.0.7"}).status_code == 200
    assert client.get("/", headers={"host": "10.0.0.7"}).status_code == 400


def test_no_detour_over_https(client: Client, settings: Settings) -> None:
    settings.SECURE_SSL_REDIRECT = True

    assert client.get("/health/live").status_code == 200
    assert client.get("/").status_code == 301


@pytest.mark.django_db
def test_no_session_and_no_log_line(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "config.logging")

    response = client.get("/health/ready")

    assert not response.cookies
    assert not caplog.records
