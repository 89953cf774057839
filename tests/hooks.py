"""The hooks, imported as they stand in the template, before Cookiecutter renders them."""

import importlib.util
from types import ModuleType

from tests.matrix import ANSWERS, TEMPLATE


def load(name: str) -> ModuleType:
    """Import a hook by its name."""
    spec = importlib.util.spec_from_file_location(name, TEMPLATE / "hooks" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pre_gen = load("pre_gen_project")
post_gen = load("post_gen_project")

GOOD = {
    "project_name": "My Site",
    "__project_slug": "my-site",
    "nonroot_user": "app",
    "__license": "none",
    "_reserved_slugs": ANSWERS["_reserved_slugs"],
}
