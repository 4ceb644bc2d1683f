"""When the calls of a step are due: an open loop, computed from the seed before the step begins."""

from __future__ import annotations

from random import Random

from harness.capacity.course import Spacing
from harness.plan import Plan


def due_times_ns(
    count: int, *, start_ns: int, end_ns: int, spacing: Spacing, key: tuple[int, ...]
) -> list[int]:
    """Give `count` moments of a stretch in order; the same key gives the same moments.

    `poisson` is what many independent users make: given their number, the arrivals of a Poisson
    process lie uniformly. `even` puts the same time between any two.
    """
    span_ns = end_ns - start_ns
    if spacing == "even":
        return [start_ns + span_ns * (2 * place + 1) // (2 * count) for place in range(count)]
    draw = Random(".".join(map(str, key))).random  # seeded by text: the same on every machine
    return sorted(start_ns + int(draw() * span_ns) for _ in range(count))


def calls_a_turn(plan: Plan) -> float:
    """Give how many calls one turn of a session makes on average; more than 1 with `parallel`."""
    return sum(map(plan.calls_a_turn, plan.sessions)) / len(plan.sessions)
