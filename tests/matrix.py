"""What the template can render, read from cookiecutter.json: what is rendered, and what is booted."""

import itertools
import json
import re
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

TEMPLATE = Path(__file__).resolve().parent.parent
SOURCE = TEMPLATE / "{{cookiecutter.project_slug}}"

ANSWERS: dict[str, Any] = json.loads((TEMPLATE / "cookiecutter.json").read_text(encoding="utf-8"))
QUESTIONS = [name for name in ANSWERS if not name.startswith("_")]
# Every variant carries a name that breaks what does not quote it
NAME = """Zoë's "Tea" & <Cake> \\ {{ 7*7 }} {% if %} %s $HOME 🐍"""

# docker_build changes no file
CHOICES = {q: ANSWERS[q] for q in QUESTIONS if isinstance(ANSWERS[q], list) and q != "docker_build"}
# These reach the base image alone, so they join the others in pairs
BASE_IMAGE = ("python_version", "debian_tag")

Variant = dict[str, str]


def product(choices: Mapping[str, Iterable[str]]) -> list[Variant]:
    """Every combination of the choices (name → values), as a dictionary (name → value) each."""
    return [
        dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())
    ]


def combinations_of(variant: Variant, size: int) -> set[tuple[tuple[str, str], ...]]:
    """Every combination of so many answers that occurs in a variant."""
    return set(itertools.combinations(variant.items(), size))


def covering(variants: list[Variant], size: int) -> list[Variant]:
    """A few of the variants in which every combination of so many answers occurs; always the same."""
    missing = set().union(*(combinations_of(variant, size) for variant in variants))
    chosen = []
    while missing:
        best = max(variants, key=lambda variant: len(combinations_of(variant, size) & missing))
        chosen.append(best)
        missing -= combinations_of(best, size)
    return chosen


def rendered_variants() -> list[Variant]:
    """A few projects in which any three answers that reach the source meet, on changing base images."""
    images = itertools.cycle(product({q: CHOICES[q] for q in BASE_IMAGE}))
    source = covering(product({q: CHOICES[q] for q in CHOICES if q not in BASE_IMAGE}), 3)
    return [next(images) | variant for variant in source]


def id_of(variant: Variant) -> str:
    """The answers of a variant, for the reports of the tests."""
    return "-".join(variant.values())


# Booted: every pair of answers occurs
COVERING = covering(product(CHOICES), 2)
# Every answer that reaches the source, in as few projects as there are databases
EVERY_ANSWER = covering(product({q: CHOICES[q] for q in CHOICES if q not in BASE_IMAGE}), 1)
BY_DATABASE = {variant["database"]: variant for variant in EVERY_ANSWER}
# Rendered and checked: any three answers that reach the source meet, and what is booted
VARIANTS = [*{id_of(variant): variant for variant in rendered_variants() + COVERING}.values()]


def name_of(variant: Variant) -> str:
    """A slug for the project of a variant, of the same length however many questions there are."""
    return f"site-{zlib.crc32(id_of(variant).encode()):08x}"


def packages_of(question: str, choice: str) -> set[str]:
    """The names of the packages in the row of an answer."""
    row = ANSWERS["_features"].get(question, {}).get(choice, {})
    return {re.split(r"[\[~=]", package)[0] for package in row.get("packages", [])}


def declined_packages(variant: Variant) -> set[str]:
    """The packages of the answers that a variant has not given."""
    every = {
        package for q in CHOICES for choice in CHOICES[q] for package in packages_of(q, choice)
    }
    return every.difference(*(packages_of(q, choice) for q, choice in variant.items()))


def wrapped(text: str) -> str:
    """A text as Jinja that yields it again, however awkward it is: Cookiecutter renders key=value."""
    return "{{ '" + "".join(f"\\U{ord(character):08x}" for character in text) + "' }}"
