"""A build takes what the lock file says, whatever other builds have left on the engine."""

from pathlib import Path

import pytest
import yaml

from tests.production import changed
from tests.rendering import render, replace
from tests.stack import Stack

# What another build leaves in the caches where builds with uv keep packages, just before the project's own build
PLANT = """
FROM build AS planting
COPY pyproject.toml ./
RUN --mount=type=cache,target=/root/.cache/uv --mount=type=cache,target=/opt/venv \\
    env -u UV_NO_CACHE UV_LINK_MODE=copy uv sync --no-default-groups --group production \\
    && for package in /opt/venv/lib/*/site-packages /root/.cache/uv/archive-v*/*; do \\
        touch "$package/planted.py"; done

FROM planting AS dependencies
"""

CLEAN = """
FROM base AS cleaning
RUN --mount=type=cache,target=/root/.cache/uv --mount=type=cache,target=/opt/venv \\
    rm -rf /opt/venv/* && find /root/.cache/uv -name planted.py -delete
"""


@pytest.mark.container
def test_image_holds_nothing_that_another_build_has_left_in_a_cache(
    engine: None, tmp_path: Path
) -> None:
    image = Stack(render(tmp_path, project_slug="planted", database="sqlite"), "planted")
    dockerfile = image.folder / "Dockerfile"
    build = ("docker", "build", "--tag", image.name)
    try:
        replace(dockerfile, "\nFROM build AS dependencies\n", PLANT)
        image.run(*build, "--no-cache-filter=planting,dependencies", ".")
        found = image.run("docker", "run", "--rm", image.name, "find", "/opt/venv").stdout
    finally:
        with changed(dockerfile, CLEAN):
            image.run(*build, "--no-cache-filter=cleaning", "--target=cleaning", ".")
        image.run("docker", "rmi", "--force", image.name)

    assert "whitenoise" in found
    assert "planted.py" not in found


def test_ci_fails_without_the_lock_file(tmp_path: Path) -> None:
    project = Stack(render(tmp_path), "")
    workflow = yaml.safe_load((project.folder / ".github/workflows/ci.yml").read_text())
    (check,) = [step["run"] for step in workflow["jobs"]["test"]["steps"] if "name" in step]

    without = project.run("sh", "-ec", check, check=False)
    (project.folder / "uv.lock").touch()
    with_lock = project.run("sh", "-ec", check, check=False)

    assert (without.returncode, with_lock.returncode) == (1, 0)
