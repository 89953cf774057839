"""A project follows its template: `cruft update` brings what is new, and loses nothing that is the project's own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli import IDENTITY, copy_of_template
from tests.stack import development, started

CRUFT = str(Path(sys.executable).with_name("cruft"))
NEW_FILE = ".editorconfig"

# Run by root, the projects that Cookiecutter makes belong to another account
ANY_OWNER = {
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "safe.directory",
    "GIT_CONFIG_VALUE_0": "*",
}


def run(folder: Path, *command: str, check: bool = True) -> str:
    """Run a command in a folder with an identity for git, and return what it prints."""
    done = subprocess.run(
        command,
        check=False,
        cwd=folder,
        env=os.environ | IDENTITY | ANY_OWNER | {"TEMPLATE_SKIP": "uv,docker"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert not check or done.returncode == 0, done.stdout
    return done.stdout


def commit_all(folder: Path) -> None:
    run(folder, "git", "init", "--quiet", "--initial-branch=main")
    run(folder, "git", "add", "--all", "--force" if (folder / "hooks").exists() else "--verbose")
    run(folder, "git", "commit", "--quiet", "--message", "commit")


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """This template as it is, but for one file and two sentences, in a repository of its own."""
    folder = copy_of_template(tmp_path)
    source = folder / "{{cookiecutter.project_slug}}"
    new_file = (source / NEW_FILE).read_text()
    (source / NEW_FILE).unlink()
    commit_all(folder)
    (source / NEW_FILE).write_text(new_file)
    for name in ("README.md", "config/urls.py"):
        text = (source / name).read_text()
        (source / name).write_text(re.sub(r"(?m)^(A Django site|URL conf)", r"Newer: \1", text))
    commit_all(folder)
    return folder


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Path:
    """A project that cruft has made from the older commit, with a lock file and a first commit."""
    options = ["--checkout", "HEAD~1", "--no-input", "--output-dir", str(tmp_path / "out")]
    run(
        tmp_path,
        CRUFT,
        "create",
        str(template),
        *options,
        "--extra-context",
        '{"database":"sqlite"}',
    )
    folder = tmp_path / "out/my-django-site"
    (folder / "uv.lock").write_text("# a lock file\n")
    commit_all(folder)
    return folder


def update(project: Path) -> str:
    return run(project, CRUFT, "update", "--skip-apply-ask", "--checkout", "main")


def test_hooks_run_no_tool_under_cruft(project: Path) -> None:
    assert run(project, "git", "log", "--format=%s") == "commit\n"
    assert (project / ".env").exists()


def test_fresh_project_has_no_differences(project: Path) -> None:
    assert run(project, CRUFT, "diff") == ""


def test_update_brings_what_is_new_and_keeps_what_is_mine(project: Path) -> None:
    secrets = (project / ".env").read_text()
    views = project / "pages/views.py"
    views.write_text(views.read_text() + "\n# mine\n")
    run(project, "git", "commit", "--all", "--message", "mine")

    update(project)

    assert (project / NEW_FILE).exists()
    assert "Newer: A Django site" in (project / "README.md").read_text()
    assert "# mine" in views.read_text()
    assert (project / ".env").read_text() == secrets
    assert (project / "uv.lock").read_text() == "# a lock file\n"
    assert not (project / "LICENSE").exists()
    assert not list(project.rglob("*.rej"))
    changed = run(project, "git", "status", "--porcelain").split()
    assert set(changed[1::2]) == {".cruft.json", NEW_FILE, "README.md", "config/urls.py"}


def test_conflict_is_reported_and_nothing_is_lost(project: Path) -> None:
    readme = project / "README.md"
    readme.write_text(readme.read_text().replace("A Django site", "My own words on a Django site"))
    run(project, "git", "commit", "--all", "--message", "mine")

    output = update(project)

    left = readme.read_text() + "".join(path.read_text() for path in project.rglob("*.rej"))
    assert "My own words on a Django site" in left
    assert "Newer: A Django site" in left
    assert re.search("conflict|reject", output, re.IGNORECASE)


def test_project_made_without_cruft_can_be_linked(template: Path, tmp_path: Path) -> None:
    run(template, "git", "tag", "old", "HEAD~1")
    cookiecutter = str(Path(sys.executable).with_name("cookiecutter"))
    answers = ["--no-input", "--checkout", "old", "--output-dir", str(tmp_path / "plain")]
    run(tmp_path, cookiecutter, f"git+file://{template}", *answers, "database=sqlite")
    project = tmp_path / "plain/my-django-site"

    context = '{"database":"sqlite"}'
    run(
        project,
        CRUFT,
        "link",
        str(template),
        "--checkout",
        "old",
        "--no-input",
        "--extra-context",
        context,
    )
    run(project, "git", "add", "--all")
    run(project, "git", "commit", "--message", "link")
    update(project)

    assert (project / NEW_FILE).exists()


@pytest.mark.container
def test_updated_project_boots(engine: None, project: Path) -> None:
    (project / "uv.lock").unlink()
    run(project, "git", "commit", "--all", "--message", "no lock")
    update(project)

    with started(development(project)) as stack:
        assert stack.get("/").status == 200
