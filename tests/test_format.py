"""What is rendered is final: no formatter would change it, and no linter or schema objects."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent


def run(*command: str | Path, folder: Path) -> None:
    """Run a tool of the virtual environment in a folder; its output is the failure's message."""
    done = subprocess.run(
        [BIN / command[0], *command[1:]], check=False, cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def all_files(rendered: Path, pattern: str) -> list[Path]:
    """One file of each content, apart from the project's name."""
    found = {}
    for file in sorted(rendered.glob(f"*/{pattern}")):
        slug = file.relative_to(rendered).parts[0]
        text = file.read_text().replace(slug, "slug").replace(slug.replace("-", "_"), "slug")
        found[file.name, text] = file
    assert found
    return list(found.values())


def test_ruff_would_format_nothing(rendered: Path) -> None:
    run("ruff", "format", "--check", "--no-cache", folder=rendered)


def test_ruff_finds_nothing(rendered: Path) -> None:
    run("ruff", "check", "--no-cache", folder=rendered)


def test_djade_would_format_no_template(rendered: Path) -> None:
    templates = all_files(rendered, "templates/**/*.*")
    run("djade", "--target-version", "6.1", "--check", *templates, folder=rendered)


def test_yamllint_finds_nothing(rendered: Path) -> None:
    rules = (
        "{extends: default, rules: {document-start: disable, line-length: disable, "
        "truthy: {check-keys: false}}}"
    )
    files = [file for kind in ("yml", "yaml") for file in all_files(rendered, f"**/*.{kind}")]
    run("yamllint", "--strict", "--config-data", rules, *files, folder=rendered)


def test_hadolint_finds_nothing(rendered: Path) -> None:
    # One of those that differ in nothing but the tag of the base image
    tag = re.compile('python:[^"]+')
    files = {tag.sub("", file.read_text()): file for file in all_files(rendered, "Dockerfile")}
    run("hadolint", *files.values(), folder=rendered)


def test_shellcheck_finds_nothing(rendered: Path) -> None:
    # Each text once, whatever its project
    scripts = {script.read_text(): script for script in all_files(rendered, "**/*.sh")}
    for script in scripts.values():
        run("shellcheck", "--external-sources", script, folder=rendered)


@pytest.mark.parametrize(
    ("schema", "pattern"),
    [
        ("vendor.compose-spec", "docker-compose*.yml"),
        ("vendor.github-workflows", ".github/workflows/*.yml"),
        ("vendor.dependabot", ".github/dependabot.yml"),
    ],
)
def test_files_follow_their_schema(rendered: Path, schema: str, pattern: str) -> None:
    files = all_files(rendered, pattern)
    run("check-jsonschema", "--builtin-schema", schema, *files, folder=rendered)


def test_zizmor_finds_nothing_in_what_github_runs(rendered: Path) -> None:
    files = [
        all_files(rendered, f".github/{name}.yml")[0] for name in ("workflows/*", "dependabot")
    ]
    run("zizmor", "--offline", *files, folder=rendered)


@pytest.mark.container
def test_compose_reads_every_file(rendered: Path, engine: None) -> None:
    for file in all_files(rendered, "docker-compose*.yml"):
        command = ["docker", "compose", "--file", str(file), "config", "--quiet"]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert not done.stderr
