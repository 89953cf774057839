"""The migrate service waits for the database, migrates under its lock, and stays."""

import signal
import time
from pathlib import Path
from unittest.mock import MagicMock

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder

from pages.management.commands import migrate_and_stay


@pytest.fixture
def stay(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> MagicMock:
    """What the command does at its end, instead of waiting for a signal."""
    waiting = MagicMock()
    monkeypatch.setattr(signal, "sigwait", waiting)
    monkeypatch.setattr(signal, "pthread_sigmask", MagicMock())
    monkeypatch.setattr(migrate_and_stay, "MIGRATED", tmp_path / "migrated")
    # The connection of a test belongs to the test
    monkeypatch.setattr(connection, "close", MagicMock())
    return waiting


@pytest.mark.django_db
def test_migrations_are_applied_before_it_stays(
    stay: MagicMock, tmp_path: Path
) -> None:
    call_command("migrate_and_stay")

    assert ("users", "0001_initial") in MigrationRecorder(
        connection
    ).applied_migrations()
    assert (tmp_path / "migrated").exists()
    stay.assert_called_once_with({signal.SIGTERM, signal.SIGINT})


@pytest.mark.django_db
def test_it_waits_for_a_database_that_is_away(
    stay: MagicMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [OperationalError, OperationalError, MagicMock()]
    monkeypatch.setattr(connection, "cursor", MagicMock(side_effect=answers))
    waits = MagicMock()
    monkeypatch.setattr(time, "sleep", waits)

    migrate_and_stay.lock_database()

    assert waits.call_count == 2


@pytest.mark.django_db
def test_its_lock_is_given_back_with_the_connection(stay: MagicMock) -> None:
    call_command("migrate_and_stay")

    connection.close.assert_called()  # type: ignore[attr-defined]
