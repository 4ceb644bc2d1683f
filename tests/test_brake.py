"""What ends a run by itself: a share of errors that has held, and what neither adds nor takes."""

from __future__ import annotations

import pytest

from harness.brake import Brake
from harness.recent import ArmTally
from harness.scenario.conditions import parse_abort

GOOD, BAD, SILENT = (100, 10), (100, 30), (0, 0)


def pulled(condition: str, *seconds: tuple[int, int], arm: str = "control") -> list[str]:
    """Give what a brake says, second by second."""
    brake = Brake(arm=arm, condition=parse_abort(condition))
    return [
        brake.pull({arm: ArmTally(calls=calls, errors=errors)}, 1.0) for calls, errors in seconds
    ]


@pytest.mark.parametrize(
    ("seconds", "ends"),
    [
        ((BAD, BAD, BAD), True),
        ((BAD, BAD), False),
        ((BAD, BAD, GOOD, BAD), False),
        ((BAD, SILENT, BAD, SILENT, SILENT, BAD), True),
        ((BAD, BAD, SILENT, SILENT, SILENT), False),
        ((SILENT, SILENT, SILENT, SILENT), False),
    ],
)
def test_only_seconds_in_which_calls_ended_count(
    seconds: tuple[tuple[int, int], ...], *, ends: bool
) -> None:
    """One that was good begins the count anew; one in which all calls hang does not."""
    *before, last = pulled("> 20% for 3s", *seconds)
    assert not any(before)
    assert last == ("control arm: 30% errors, > 20% for 3s was the limit" if ends else "")


def test_a_condition_without_a_time_ends_at_once() -> None:
    """The first bad second is enough; the arm is named."""
    assert pulled("> 20%", GOOD, BAD, arm="treated") == [
        "",
        "treated arm: 30% errors, > 20% was the limit",
    ]
