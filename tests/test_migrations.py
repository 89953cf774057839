"""The rendered project's own test refuses a migration that the code before it would not survive."""

from pathlib import Path

from tests.rendering import render
from tests.stack import Stack
from tools.interpreter import UV

# A migration each, and what the test says of it, if anything
MIGRATIONS = {
    'AddField("user", "tea", models.CharField(default="green"))': "tea of user as NOT NULL without",
    'AddField("user", "cup", models.CharField(null=True))': "",
    'AddField("user", "sugar", models.IntegerField(db_default=0))': "",
    'AlterField("user", "cup", models.CharField(default="", db_default=""))': "cup of user NOT NULL",
    'RenameField("user", "cup", "mug")': "Rename field cup on user to mug",
    'RemoveField("user", "sugar")': "Remove field sugar from user",
    'CreateModel("Pot", [("id", models.AutoField(primary_key=True))]), '
    'migrations.AddField("pot", "size", models.IntegerField())': "",
    'RenameModel("Pot", "Kettle")': "Rename model Pot to Kettle",
    'AlterModelTable("Kettle", "kettles")': "Rename table for Kettle to kettles",
    'SeparateDatabaseAndState(state_operations=[migrations.RemoveField("user", "tea")])': "",
    'SeparateDatabaseAndState([migrations.RemoveField("user", "mug")])': "Remove field mug from user",
    'DeleteModel("Kettle")': "Delete model Kettle",
}

TEXT = """from django.db import migrations, models


{comment}
class Migration(migrations.Migration):
    dependencies = [("users", "{before}")]
    operations = [migrations.{operation}]
"""


def write_migrations(folder: Path, comment: str = "") -> None:
    """Add the migrations to the app of the users."""
    before = "0002_counter"
    for number, operation in enumerate(MIGRATIONS, 3):
        text = TEXT.format(comment=comment, before=before, operation=operation)
        before = f"{number:04}_tea"
        (folder / f"users/migrations/{before}.py").write_text(text)


def test_migration_that_bites_is_told_of_in_one_sentence_and_can_be_accepted(
    tmp_path: Path, python: str
) -> None:
    environment = {"UV_PYTHON": python, "UV_PROJECT_ENVIRONMENT": str(tmp_path / "environment")}
    project = Stack(render(tmp_path), "", environment)
    check = (UV, "run", "--quiet", "pytest", "-q", "--tb=line", "tests/test_migrations.py")

    write_migrations(project.folder)
    refused = project.run(*check, check=False).stdout
    write_migrations(project.folder, "# reviewed: the code before it does without")
    accepted = project.run(*check).stdout

    expected = [sentence for sentence in MIGRATIONS.values() if sentence]
    assert all(sentence in refused for sentence in expected), refused
    assert f"{len(expected)} failed, {len(MIGRATIONS) - len(expected) + 2} passed" in refused
    assert f"{len(MIGRATIONS) + 2} passed" in accepted
