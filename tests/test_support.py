"""Nothing is offered that its makers are about to give up."""

import re
from datetime import date, datetime, timedelta

import pytest

from tests.matrix import ANSWERS


def supported_until() -> dict[str, date]:
    """The end of support of what is offered, by the name of the answer."""
    found = {"django": date.fromisoformat(ANSWERS["_versions"]["django_supported_until"])}
    for question in ("python_version", "debian_tag"):
        for choice in ANSWERS[question]:
            label = ANSWERS["__prompts__"][question][choice]
            (month,) = re.findall(r"until (\w+ \d{4})\)", label)
            found[choice] = datetime.strptime(month, "%B %Y").date().replace(day=28)
    for database, row in ANSWERS["_databases"].items():
        if "image" in row:
            found[database] = date.fromisoformat(row["supported_until"])
    return found


SUPPORTED_UNTIL = supported_until()


def remaining(day: date, today: date) -> timedelta:
    """The time until ninety days before the end of support."""
    return day - timedelta(days=90) - today


@pytest.mark.parametrize("version", SUPPORTED_UNTIL)
def test_support_lasts_another_ninety_days(version: str) -> None:
    day = SUPPORTED_UNTIL[version]

    assert remaining(day, date.today()) > timedelta(0), f"{version} loses its support on {day}"


def test_ninety_days_are_counted() -> None:
    assert remaining(date(2028, 6, 30), date(2028, 4, 1)) == timedelta(0)
    assert remaining(date(2028, 6, 30), date(2028, 3, 31)) > timedelta(0)
