"""A slower machine is told from a slower target by what the generator itself had to wait."""

from __future__ import annotations

import pytest

from harness.evidence.machine import BUSIER_MAX, busier
from harness.evidence.phases import Span, evidence
from harness.journal import RunEntry
from tests import journals
from tests.journals import S

LATER = Span(start_ns=12 * S, end_ns=22 * S)


def _busier(before: tuple[float, float | None], after: tuple[float, float | None]) -> float:
    """Compare two (CPU share, run delay share) pairs, in the baseline and ten seconds later."""
    of = journals.scenario()
    entries = [
        journals.health(second, cpu_share=cpu, run_delay_share=delay)
        for start, (cpu, delay) in ((2, before), (12, after))
        for second in range(start + 1, start + 10)
    ]
    ended = RunEntry(at_ns=30 * S, edge="ended", how="completed")
    return busier(evidence(of, journals.plan(of), journals.journal((*entries, ended))), LATER)


@pytest.mark.parametrize(
    ("before", "after", "ratio"),
    [
        ((0.1, 0.0), (0.1, 0.0), 1.0),
        ((0.1, 0.0), (0.1, 0.1), 2.0),
        ((0.1, 0.1), (0.1, 0.3), 2.0),
        ((0.1, 0.2), (0.1, 0.0), 1.0),  # a calmer machine excuses nothing
        ((0.3, 0.0), (0.6, 0.0), 1.0),  # more work of our own is no other's doing
        ((0.01, 0.0), (0.01, 0.9), BUSIER_MAX),
        ((0.1, None), (0.1, 0.5), 1.0),  # a system that does not tell excuses nothing
    ],
)
def test_waiting_for_a_processor_is_the_measure(
    before: tuple[float, float | None], after: tuple[float, float | None], ratio: float
) -> None:
    """(Running + waiting) / running, beside the baseline's; between 1 and 4."""
    assert _busier(before, after) == pytest.approx(ratio)


def test_a_stretch_too_short_to_be_measured_excuses_nothing() -> None:
    """Three seconds at least."""
    found = journals.storm()
    assert busier(found, Span(start_ns=5 * S, end_ns=7 * S)) == 1.0
