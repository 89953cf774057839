"""What the template can render, read from cookiecutter.json: all of it, and a set that covers every pair."""

import itertools
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

TEMPLATE = Path(__file__).resolve().parent.parent
SOURCE = TEMPLATE / "{{cookiecutter.project_slug}}"

ANSWERS: dict[str, Any] = json.loads((TEMPLATE / "cookiecutter.json").read_text(encoding="utf-8"))
QUESTIONS = [name for name in ANSWERS if not name.startswith("_")]
# Every variant carries a name that breaks what does not quote it
NAME = """Zoë's "Tea" & <Cake> \\ {{ 7*7 }} {% if %} %s $HOME 🐍"""

# Answers that change no file stay out of the product
CHOICES = {q: ANSWERS[q] for q in QUESTIONS if isinstance(ANSWERS[q], list) and q != "docker_build"}

# What no project depends on unless this was answered
PACKAGES = {
    "rest_api": {
        "drf": {"djangorestframework", "drf-spectacular", "inflection"},
        "ninja": {"django-ninja", "pydantic"},
    },
    "background_tasks": {
        "database": {"django-tasks-db"},
        "celery": {"celery", "kombu", "redis"},
    },
}


def product(choices: Mapping[str, Iterable[str]]) -> list[dict[str, str]]:
    """Every combination of the choices (name → values), as a dictionary (name → value) each."""
    return [
        dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())
    ]


def declined_packages(variant: Mapping[str, str]) -> set[str]:
    """The packages that come with other answers than those of a variant."""
    return {
        package
        for question, choices in PACKAGES.items()
        for choice, packages in choices.items()
        for package in packages
        if choice != variant[question]
    }


def wrapped(text: str) -> str:
    """A text as Jinja that yields it again, however awkward it is: Cookiecutter renders key=value."""
    return "{{ '" + "".join(f"\\U{ord(character):08x}" for character in text) + "' }}"


def pairs_of(variant: Mapping[str, str]) -> set[tuple[tuple[str, str], ...]]:
    """Every pair of answers that occurs in a variant."""
    return set(itertools.combinations(variant.items(), 2))


def covering(variants: list[dict[str, str]]) -> list[dict[str, str]]:
    """A small part of the variants in which every pair of answers occurs; greedy, so always the same."""
    missing = set().union(*map(pairs_of, variants))
    chosen = []
    while missing:
        best = max(variants, key=lambda variant: len(pairs_of(variant) & missing))
        chosen.append(best)
        missing -= pairs_of(best)
    return chosen


def name_of(variant: Mapping[str, str]) -> str:
    """A short name for test reports, which is a valid project slug too, of at most 50 characters."""
    return "-".join(["site", *(value.replace(".", "")[:7] for value in variant.values())])


VARIANTS = product(CHOICES)
COVERING = covering(VARIANTS)
