"""Nothing is offered that its makers are about to give up."""

import re
from datetime import date, timedelta

import pytest

from tests.matrix import ANSWERS, CHOICES, SOURCE

SUPPORTED_UNTIL = {
    (kind, version): date.fromisoformat(day)
    for kind, versions in ANSWERS["_supported_until"].items()
    for version, day in versions.items()
}


def test_every_version_has_a_date() -> None:
    assert {"python_version", "debian_tag", "database"} <= set(ANSWERS["_supported_until"])
    for question, choices in CHOICES.items():
        assert list(ANSWERS["_supported_until"].get(question, choices)) == choices


def test_django_is_the_one_with_the_date() -> None:
    (series,) = ANSWERS["_supported_until"]["django"]
    pinned = re.search(r'"django~=(\d+\.\d+)\.', (SOURCE / "pyproject.toml").read_text())

    assert pinned
    assert pinned[1] == series


def remaining(day: date, today: date) -> timedelta:
    """The time until ninety days before the end of support."""
    return day - timedelta(days=90) - today


@pytest.mark.parametrize(("kind", "version"), SUPPORTED_UNTIL)
def test_support_lasts_another_ninety_days(kind: str, version: str) -> None:
    day = SUPPORTED_UNTIL[kind, version]

    assert remaining(day, date.today()) > timedelta(0), (
        f"{kind} {version} loses its support on {day}: "
        f"take it out of cookiecutter.json, in {kind!r} and in '_supported_until'"
    )


def test_ninety_days_are_counted() -> None:
    assert remaining(date(2028, 6, 30), date(2028, 4, 1)) == timedelta(0)
    assert remaining(date(2028, 6, 30), date(2028, 3, 31)) > timedelta(0)
