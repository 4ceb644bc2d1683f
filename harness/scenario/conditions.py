"""Conditions as people write them: `>= 99.5%`, `<= 800ms`, `> 20% for 5s`, rows `1..50`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from pydantic_core import PydanticCustomError

from faults.quantities import parse_duration_s, parse_share
from harness.scenario.records import Limits

Comparison = Literal[">=", "<=", ">", "<"]
Unit = Literal["share", "s", "points"]
_COMPARE: Final[Mapping[str, Callable[[float, float], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_CONDITION: Final = re.compile(r"\s*(>=|<=|>|<)\s*(\S+?)\s*(?:\s+for\s+(\S+))?\s*")
_ROWS: Final = re.compile(r"\s*(?:(>=|<=|==|>|<)\s*(\d{1,9})|(\d{1,9})\s*\.\.\s*(\d{1,9}))\s*")
ROWS_MAX: Final = 10**9


class ConditionError(ValueError):
    """A condition that means nothing; says what was expected and how to mend it."""

    def __init__(self, expected: str, mend: str) -> None:
        """Keep both halves, for the scenario's list of mistakes."""
        super().__init__(f"expected {expected}; {mend}")
        self.expected = expected
        self.mend = mend


@dataclass(frozen=True, kw_only=True)
class Measure:
    """What a limit is put on: its unit, and which way is good."""

    unit: Unit
    good: Literal["high", "low"]
    example: str


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A comparison with a limit: seconds, a share in [0, 1], or points out of 100."""

    text: str
    comparison: Comparison
    limit: float
    unit: Unit
    for_s: float = 0.0  # how long it has to hold without a break; 0 is at once

    def holds(self, value: float) -> bool:
        """Whether a measured value, in the condition's unit, meets it."""
        return _COMPARE[self.comparison](value, self.limit)


@dataclass(frozen=True, kw_only=True)
class RowCount:
    """How many rows are right, both ends included."""

    text: str
    rows_min: int
    rows_max: int

    def holds(self, rows: int) -> bool:
        """Whether a count is right; an unknown one (-1) never is."""
        return self.rows_min <= rows <= self.rows_max


_LATENCY: Final = Measure(unit="s", good="low", example="<= 800ms")
LIMITS: Final[Mapping[str, Measure]] = {
    "answered": Measure(unit="share", good="high", example=">= 99.5%"),
    "latency_p50": _LATENCY,
    "latency_p95": _LATENCY,
    "latency_p99": _LATENCY,
    "recovery": Measure(unit="s", good="low", example="<= 5s"),
    "sessions_survived": Measure(unit="share", good="high", example=">= 99%"),
    "score": Measure(unit="points", good="high", example=">= 80"),
}
_ABORT: Final = Measure(unit="share", good="low", example="> 20% for 5s")


def parse_limit(name: str, text: str) -> Condition:
    """Read the limit called `name`, one of `LIMITS`.

    Raises:
        ConditionError: when it is no comparison, of another unit, or the wrong way round.
    """
    measure = LIMITS[name]
    condition = _parse(text, measure)
    if condition.for_s:
        raise ConditionError("a limit on the whole run", f"write for example {measure.example}")
    right = (">=", ">") if measure.good == "high" else ("<=", "<")
    if condition.comparison not in right:
        better = "a least value" if measure.good == "high" else "a greatest value"
        raise ConditionError(better, f"write for example {measure.example}")
    return condition


def parse_abort(text: str) -> Condition:
    """Read a stop condition such as `> 20% for 5s`.

    Raises:
        ConditionError: when it is no share above which to stop.
    """
    condition = _parse(text, _ABORT)
    if condition.comparison not in {">", ">="}:
        raise ConditionError("a share above which to stop", f"write {_ABORT.example}")
    return condition


def limits(given: Limits) -> dict[str, Condition]:
    """Read all limits that a scenario gives, by their names in file form.

    Raises:
        ConditionError: never for a loaded scenario, whose conditions were read once already.
    """
    texts = {name: getattr(given, name) for name in LIMITS}
    return {name: parse_limit(name, text) for name, text in texts.items() if text is not None}


def parse_rows(text: str) -> RowCount:
    """Read `>= 1`, `== 3` or `1..50`.

    Raises:
        ConditionError: when it is neither, or no count could be right.
    """
    match = _ROWS.fullmatch(text)
    if match is None:
        raise ConditionError("a number of rows", "write for example >= 1, == 3 or 1..50")
    if match[1] is None:
        low, high = int(match[3]), int(match[4])
    else:
        count = int(match[2])
        low, high = {
            ">=": (count, ROWS_MAX),
            ">": (count + 1, ROWS_MAX),
            "<=": (0, count),
            "<": (0, count - 1),
            "==": (count, count),
        }[match[1]]
    if low > high:
        raise ConditionError("a number of rows that can be", "write the smaller number first")
    return RowCount(text=text, rows_min=low, rows_max=high)


def _parse(text: str, measure: Measure) -> Condition:
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise ConditionError("a comparison", f"write for example {measure.example}")
    comparison = match[1]
    assert comparison in {">=", "<=", ">", "<"}
    return Condition(
        text=text,
        comparison=comparison,  # type: ignore[arg-type]  # the expression admits no other
        limit=_amount(match[2], measure),
        unit=measure.unit,
        for_s=_amount(match[3], _LATENCY) if match[3] else 0.0,
    )


def _amount(text: str, measure: Measure) -> float:
    try:
        match measure.unit:
            case "share":
                return parse_share(text)
            case "s":
                return parse_duration_s(text)
            case "points":
                points = float(text) if re.fullmatch(r"\d{1,3}(\.\d+)?", text) else -1.0
                if not 0 <= points <= 100:  # noqa: PLR2004  points are out of a hundred
                    raise ConditionError("points from 0 to 100", f"write {measure.example}")
                return points
    except PydanticCustomError as error:
        context = error.context or {}
        raise ConditionError(
            str(context.get("expected")), f"write for example {measure.example}"
        ) from None
