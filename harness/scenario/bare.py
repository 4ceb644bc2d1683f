"""A scenario with nothing broken: what an A/A run offers, as long as the run it stands for."""

from __future__ import annotations

from typing import Final

from harness.scenario.records import Limits, Scenario

QUESTION: Final = "With nothing broken, do both arms agree, and how closely?"
_STRETCHES_MIN: Final = 3
_EVEN: Final = 0.5


def bare(scenario: Scenario) -> Scenario:
    """Give the scenario without its faults and limits, one long baseline instead.

    Two arms are needed: where there was one, the sessions are split evenly.
    """
    phases = scenario.phases
    whole_s = phases.baseline_s + sum(
        window.duration_s + phases.recovery_s for window in scenario.faults
    )
    length_s = max(whole_s, _STRETCHES_MIN * stretch_s(scenario)) if scenario.faults else whole_s
    one_arm = scenario.load.treated in {0.0, 1.0}
    treated = _EVEN if one_arm else scenario.load.treated
    return scenario.model_copy(
        update={
            "question": QUESTION,
            "faults": (),
            "limits": Limits(),
            "load": scenario.load.model_copy(update={"treated": treated}),
            "phases": phases.model_copy(update={"baseline_s": length_s}),
        }
    )


def stretch_s(scenario: Scenario) -> float:
    """Give how long what is compared lasts: the shortest fault window, or the baseline."""
    return min((w.duration_s for w in scenario.faults), default=scenario.phases.baseline_s)
