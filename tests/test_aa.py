"""What bare arms differ by is noise: how far it reaches is the smallest effect there is."""

from __future__ import annotations

import numpy as np
import pytest

from harness import aa
from harness.errors import Exit
from harness.evidence.phases import Evidence, evidence
from harness.journal import Calls
from harness.judge import judge
from harness.outcome import Outcome
from harness.verdict import Apart, BareArms
from tests import journals
from tests.journals import MS


def _bare(spoil: journals.Spoil | None = None, *, length_s: int = 30) -> Evidence:
    of = journals.scenario(
        phases={"warmup": "1s", "baseline": f"{length_s}s", "recovery": "10s"},
    )
    by = journals.plan(of)
    return evidence(of, by, journals.healthy(of, by, spoil=spoil))


def _measured(spoil: journals.Spoil | None = None, *, stretch_s: float = 10) -> BareArms:
    told = aa.measure(_bare(spoil), stretch_s=stretch_s, run="1a2b3c4d")
    assert told is not None
    return told


def _by_name(told: BareArms) -> dict[str, Apart]:
    return {one.measure: one for one in told.measures}


def test_arms_that_are_alike_differ_by_noise_alone() -> None:
    """Zero is in every interval, and the least that may be claimed is beyond it."""
    told = _measured()
    assert (told.stretches, told.stretch_s, told.own) == (3, 10, True)
    assert list(_by_name(told)) == ["p50", "p95", "p99", "answered"]
    for one in told.measures:
        assert one.low <= 0 <= one.high
        assert one.smallest >= max(abs(one.low), abs(one.high))
    p50 = _by_name(told)["p50"]
    assert p50.control == pytest.approx(20, rel=0.1)
    assert 0.1 < p50.smallest < 5


def test_what_was_never_seen_may_still_be_there() -> None:
    """No call failed, so the interval is empty: three in the calls of an arm's stretch remain."""
    answered = _by_name(_measured())["answered"]
    assert (answered.difference, answered.low, answered.high) == (0, 0, 0)
    calls = 10 * 4 * 10  # sessions of an arm, calls a second, seconds of a stretch
    assert answered.smallest == pytest.approx(3 / calls, rel=0.05)


def test_a_steady_difference_between_the_arms_can_never_be_claimed() -> None:
    """A proxy that is slower by itself adds to what noise reaches."""

    def slower(made: Calls) -> None:
        made["done_ns"][made["treated"] == 1] += 4 * MS

    told, alike = _by_name(_measured(slower)), _by_name(_measured())
    assert told["p50"].difference - alike["p50"].difference == pytest.approx(4, abs=0.3)
    assert told["p50"].smallest > 4


def test_shorter_stretches_allow_less_to_be_claimed() -> None:
    """Fewer calls, more noise; and too few for a percentile leave it out."""
    long, short = _by_name(_measured()), _by_name(_measured(stretch_s=2))
    assert short["answered"].smallest > long["answered"].smallest
    assert short["p50"].smallest > long["p50"].smallest
    assert "p99" not in short


def test_the_worst_stretch_counts() -> None:
    """A machine that stumbles now and then may stumble under a fault."""

    def stumble(made: Calls) -> None:
        one = (made["treated"] == 1) & journals.between(made, 22, 32) & (made["session"] % 3 == 0)
        made["done_ns"][one] += 60 * MS

    assert _by_name(_measured(stumble))["p95"].smallest > 50


def test_the_same_journal_gives_the_same_figures() -> None:
    """Judging again must not change a byte."""
    assert _measured() == _measured()


def test_an_arm_without_calls_measures_nothing() -> None:
    """Nothing is made up."""
    of = journals.scenario(load={"sessions": 4, "ramp": "1s", "treated": "100%"})
    by = journals.plan(of)
    laid = evidence(of, by, journals.healthy(of, by))
    assert aa.measure(laid, stretch_s=10, run="x") is None


def test_the_least_effects_are_said_in_a_clause() -> None:
    """Latencies in milliseconds, shares in points."""
    told = aa.sentence(_measured())
    assert " ms at p50, " in told
    assert told.endswith(" points of answered calls")


# --- the verdict on an A/A run --------------------------------------------------------------


def test_arms_that_agree_pass_without_a_score() -> None:
    """Nothing was broken, so there is nothing to score."""
    judgement = judge(_bare(), name="steady", bare_arms=_measured())
    assert (judgement.exit_code, judgement.score) == (Exit.PASS, None)
    assert judgement.headline.startswith("PASS  steady: bare arms agree; no difference below ")


def test_arms_that_do_not_agree_are_unknown() -> None:
    """Exit 3, by the same question that every run is asked."""

    def unlike(made: Calls) -> None:
        treated = made["treated"] == 1
        made["done_ns"][treated] += 30 * MS
        lost = treated & (np.arange(len(made)) % 5 == 0)
        journals.end(made, lost, Outcome.TIMEOUT, took_ms=10_000)

    found = _bare(unlike)
    bare_arms = aa.measure(found, stretch_s=10, run="x")
    judgement = judge(found, name="steady", bare_arms=bare_arms)
    assert judgement.exit_code == Exit.UNKNOWN
    assert "arms-agree: treated beside control" in judgement.headline
