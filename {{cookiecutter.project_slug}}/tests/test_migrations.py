"""Migrations leave the code before them working: it serves while they run, and after a rollback."""

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from django.apps import apps
from django.db import migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from conftest import BASE_DIR

# A migration with a comment that begins so is not looked at
REVIEWED = "# reviewed:"

LOST = (
    migrations.AlterModelTable,
    migrations.DeleteModel,
    migrations.RemoveField,
    migrations.RenameField,
    migrations.RenameModel,
)

LOADER = MigrationLoader(None)

OWN_APPS = {
    config.label
    for config in apps.get_app_configs()
    if str(BASE_DIR) in config.path and "site-packages" not in config.path
}


@pytest.mark.parametrize(
    "key", sorted(key for key in LOADER.disk_migrations if key[0] in OWN_APPS), ids=str
)
def test_migration_suits_the_code_before_it(key: tuple[str, str]) -> None:
    migration = LOADER.disk_migrations[key]
    source = inspect.getsource(inspect.getmodule(type(migration)) or type(migration))
    if REVIEWED in source:
        return

    state = LOADER.project_state(key, at_end=False)
    found = list(breaking(migration.operations, key[0], state))

    assert not found, f"{'.'.join(key)} {'; '.join(found)} ({REVIEWED} accepts it)"


def breaking(
    operations: Sequence[Operation], app: str, state: ProjectState
) -> Iterator[str]:
    """Say what the code before a migration could no longer do; the state is that before it."""
    old = set(state.models)
    for operation in operations:
        model = (app, getattr(operation, "model_name", "").lower())
        match operation:
            case migrations.SeparateDatabaseAndState():
                yield from breaking(operation.database_operations, app, state.clone())
            case migrations.AddField() if model in old and required(operation.field):
                yield (
                    f"adds the column {operation.name} of {operation.model_name} as NOT NULL "
                    "without db_default, so the code before it can insert no row"
                )
            case migrations.AlterField() if model in old and not operation.field.null:
                if state.models[model].fields[operation.name].null:
                    yield (
                        f"makes the column {operation.name} of {operation.model_name} "
                        "NOT NULL, which the code before it may leave empty"
                    )
            case _ if isinstance(operation, LOST):
                yield (
                    f"does what the code before it may not survive: {operation.describe()}"
                )
        operation.state_forwards(app, state)


def required(field: "models.Field[Any, Any]") -> bool:
    """Whether the database demands a value for a column, and has none itself."""
    return not (
        field.null or field.many_to_many or field.generated or field.has_db_default()
    )
