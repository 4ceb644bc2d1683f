"""A fault that strikes the target itself strikes both arms, and leaves nobody to compare with."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from faults.fault import Struck
from faults.network import TcpDown, TcpLatency
from harness.checks import answers, sightings
from harness.checks.bite import bite
from harness.evidence.phases import Evidence, evidence
from harness.journal import Calls
from harness.judge import judge
from harness.outcome import Outcome
from harness.score import score
from tests import journals


class TargetSlow(TcpLatency):
    """As slow as a network, but for everybody."""

    kind: ClassVar[str] = "target-slow"

    def strikes(self) -> Struck:
        """Nobody is spared."""
        return "both"


class TargetDown(TcpDown):
    """Nothing answers anybody."""

    kind: ClassVar[str] = "target-down"

    def strikes(self) -> Struck:
        """Nobody is spared."""
        return "both"


def _hang_in_window(made: Calls) -> None:
    """Let every fifth call of either arm never end while the fault is in force."""
    inside = np.flatnonzero(journals.between(made, 13.0, 21.0))[::5]
    journals.end(made, inside, Outcome.HANG, took_ms=15_000.0)


def _run(*faults: TcpLatency | TcpDown, spoil: journals.Spoil | None = None) -> Evidence:
    of = journals.scenario(*(journals.window(fault) for fault in faults))
    by = journals.plan(of)
    return evidence(of, by, journals.healthy(of, by, spoil=spoil))


@pytest.mark.parametrize("fault", [TargetSlow(), TargetDown()])
def test_calls_of_the_control_arm_stand_under_the_fault_too(fault: TcpLatency | TcpDown) -> None:
    """As they do not under a fault that strikes the treated arm."""
    both, one = _run(fault), _run(TcpLatency())
    control = both.calls["treated"] == 0
    assert (sightings.in_force(both)[control] == 1).any()
    assert sightings.struck(both, lambda _: True)[control].any()
    assert both.phases.windows[0].arm == "both"
    assert not (sightings.in_force(one)[one.calls["treated"] == 0] == 1).any()


def test_what_happens_to_both_arms_under_it_is_blamed_on_it() -> None:
    """One finding for all calls, and none of the server's own."""
    found = _run(TargetSlow(), spoil=_hang_in_window)
    (finding,) = answers.hang(found)
    assert (finding.ruling, finding.fault) == ("fail", "1:target-slow")


def test_no_control_arm_is_left_to_measure_a_blast_by() -> None:
    """Blast is not measured; the rest is held against the baseline, and the verdict says both."""
    found = _run(TargetSlow())
    scored = score(found).windows[1]
    assert scored is not None
    assert scored.components["blast"] is None
    assert scored.components["availability"] == pytest.approx(1.0)
    (verdict,) = judge(found).faults
    assert verdict.arm == "both"


def test_calls_that_nobody_could_answer_are_unpreventable_in_both_arms() -> None:
    """A target that is down for everybody has failed nobody whom it could have served."""
    found = _run(TargetDown())
    whole = score(found).windows[1]
    assert whole is not None
    assert whole.points == pytest.approx(100.0, abs=0.5)


def test_a_fault_beside_it_still_strikes_its_own_arm_alone() -> None:
    """Windows of both kinds in one run keep their arms."""
    found = _run(TargetSlow(), TcpLatency())
    control = found.calls["treated"] == 0
    assert set(np.unique(sightings.in_force(found)[control])) == {0, 1}
    assert set(np.unique(sightings.in_force(found)[~control])) == {0, 1, 2}


def test_a_proxy_that_does_not_count_leaves_it_to_the_calls_of_both_arms() -> None:
    """They must be slower than before: beside them there is nobody."""
    of = journals.scenario(journals.window(TargetSlow()))
    by = journals.plan(of)

    def slow(made: Calls) -> None:
        journals.took(made, journals.between(made, 12.0, 22.0), 300.0)

    whole = journals.healthy(of, by, spoil=slow)
    uncounted = [e for e in whole.entries if getattr(e, "type", "") != "fault"]
    edges = journals.fault_window(by, TargetSlow(), exposed=0, source="proxy")
    found = evidence(of, by, journals.journal((*uncounted, *edges), whole.calls))
    hit = bite(found, found.phases.windows[0])
    assert hit.bit
    assert "seen in the journal" in hit.exposure
