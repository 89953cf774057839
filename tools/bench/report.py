"""What a benchmark found: rounds of values, their ratios, and the table that shows them."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median
from typing import Any

OURS, BOOK, FLOOR = "template", "book", "floor"


@dataclass(frozen=True)
class Target:
    """What a row must reach: the template's value, against others of the same round or a number."""

    # The sides whose values are added up; none of them means that `factor` is the limit itself
    against: tuple[str, ...]
    factor: float
    sign: str = "≤"

    def ratios(self, values: dict[str, list[float]]) -> list[float]:
        """How many times the others the template took, round by round: a slow minute hits both."""
        others = [values[side] for side in self.against] or [[1.0] * len(values[OURS])]
        limits = [sum(parts) for parts in zip(*others, strict=True)]
        return [ours / limit for ours, limit in zip(values[OURS], limits, strict=True)]

    def met(self, ratio: float) -> bool:
        """Whether a ratio is good enough."""
        return {"≤": ratio <= self.factor, "<": ratio < self.factor, "≥": ratio >= self.factor}[
            self.sign
        ]

    def measurable(self, values: dict[str, list[float]]) -> bool:
        """Whether all that it compares was measured."""
        return all(values.get(side) for side in (OURS, *self.against))

    def __str__(self) -> str:
        factor = f"{self.factor:g}"
        times = f" × {' + '.join(self.against)}" if self.against else ""
        return f"{self.sign} {factor}{times}"


@dataclass
class Result:
    """The values of one row: side → one value for each round."""

    name: str
    what: str
    unit: str
    targets: tuple[Target, ...] = ()
    values: dict[str, list[float]] = field(default_factory=dict)
    # Requests that were not answered with 200, by side
    failed: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, side: str, value: float) -> None:
        """Keep the value of a round."""
        self.values.setdefault(side, []).append(value)

    def verdicts(self) -> list[dict[str, Any]]:
        """Each target that can be judged, with the median of its ratios and whether it is met."""
        found: list[dict[str, Any]] = []
        for target in self.targets:
            if target.measurable(self.values):
                ratio = median(target.ratios(self.values))
                found.append(
                    {"target": str(target), "ratio": rounded(ratio), "met": target.met(ratio)}
                )
        if OURS in self.failed:
            failed = self.failed[OURS]
            found.append({"target": "no failed request", "ratio": failed, "met": failed == 0})
        return found

    def as_json(self) -> dict[str, Any]:
        """The row with every value of every round."""
        return {
            "name": self.name,
            "what": self.what,
            "unit": self.unit,
            "sides": {
                side: summary(values) | {"values": [rounded(v) for v in values]}
                for side, values in self.values.items()
            },
            "failed": self.failed,
            "targets": self.verdicts(),
            "notes": self.notes,
        }


def summary(values: Iterable[float]) -> dict[str, float]:
    """Median, lowest and highest."""
    ordered = sorted(values)
    return {
        "median": rounded(median(ordered)),
        "lowest": rounded(ordered[0]),
        "highest": rounded(ordered[-1]),
    }


def rounded(value: float) -> float:
    """The value with three significant digits, or all those before the point."""
    if value == 0 or not math.isfinite(value):
        return value
    return round(value, max(0, 2 - math.floor(math.log10(abs(value)))))


def cell(values: list[float]) -> str:
    """The median, and the range if there is one."""
    of = summary(values)
    spread = f" ({of['lowest']:g}–{of['highest']:g})" if of["lowest"] != of["highest"] else ""
    return f"{of['median']:g}{spread}"


def ratio_to(result: Result, side: str) -> str:
    """How many times the value of a side the template's is, if both were measured."""
    target = Target((side,), 1)
    if not target.measurable(result.values):
        return ""
    return f"{median(target.ratios(result.values)):.2f}"


def table(results: list[Result]) -> str:
    """The results as a Markdown table that is readable as it is: median (lowest–highest), and ratios."""
    header = ["measured", OURS, BOOK, FLOOR, f"× {BOOK}", f"× {FLOOR}", "must be", ""]
    rows = [header, ["---"] * len(header)]
    for result in results:
        verdicts = result.verdicts()
        rows.append(
            [
                f"{result.name}, {result.unit}",
                *(
                    cell(result.values[side]) if result.values.get(side) else ""
                    for side in (OURS, BOOK, FLOOR)
                ),
                *(ratio_to(result, side) for side in (BOOK, FLOOR)),
                "; ".join(verdict["target"] for verdict in verdicts),
                "; ".join("met" if v["met"] else f"missed: {v['ratio']:g}" for v in verdicts),
            ]
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    lines[1] = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join(lines)


def others(results: list[Result]) -> str:
    """What was measured beside the three sides of the table: other images and settings, and remarks."""
    lines = []
    for result in results:
        extra = [side for side in result.values if side not in (OURS, BOOK, FLOOR)]
        failed = [f"{side}: {n} failed requests" for side, n in result.failed.items() if n]
        if not extra and not failed and not result.notes:
            continue
        lines.append(f"{result.name}, {result.unit}")
        lines += [f"    {side}: {cell(result.values[side])}" for side in extra]
        lines += [f"    {text}" for text in (*failed, *result.notes)]
    return "\n".join(lines)
