"""The scenario's limits: what they are measured on, and when nothing can be said."""

from __future__ import annotations

from typing import Any

import pytest

from faults.fault import Fault
from faults.network import TcpLatency, TcpReset
from harness.checks.limits import judge_limits
from harness.evidence.phases import Evidence, evidence
from harness.journal import Calls
from harness.outcome import Outcome, Reason
from harness.verdict import Limit, Score
from tests import journals
from tests.journals import MS, S


def _run(*faults: Fault, limits: dict[str, str], **options: Any) -> Evidence:
    of = journals.scenario(*(journals.window(fault) for fault in faults), limits=limits)
    by = journals.plan(of)
    return evidence(of, by, journals.healthy(of, by, **options))


def _one(found: Evidence, score: Score | None = None) -> Limit:
    (one,) = judge_limits(found, score)
    return one


def _fail_treated(start_s: float, end_s: float, every: int = 1) -> journals.Spoil:
    def spoil(made: Calls) -> None:
        some = journals.between(made, start_s, end_s) & (made["treated"] == 1)
        some &= made["index"] % every == 0
        journals.end(made, some, Outcome.HTTP_ERROR, Reason.HTTP_STATUS, status=500, took_ms=5.0)

    return spoil


def test_no_limit_no_opinion() -> None:
    """Only what the scenario asks is judged."""
    assert judge_limits(_run(TcpLatency(), limits={}), None) == ()


def test_answered_is_of_the_treated_sessions_under_the_faults() -> None:
    """Good minutes before the fault do not dilute it."""
    limits = {"answered": ">= 95%"}
    found = _one(_run(TcpLatency(), limits=limits, spoil=_fail_treated(12.0, 22.0, every=5)))
    assert found.ruling == "fail"
    assert found.observed == pytest.approx(0.9, abs=0.01)
    assert _one(_run(TcpLatency(), limits=limits)).ruling == "pass"


def test_calls_that_no_server_could_answer_are_left_out() -> None:
    """A refused port is not an unanswered call."""
    found = _one(_run(TcpReset(), limits={"answered": ">= 99.5%"}))
    assert found.ruling == "pass"
    assert found.observed == 1.0


def test_without_faults_answered_is_of_everybody() -> None:
    """Over the baseline."""
    found = _one(_run(limits={"answered": ">= 99%"}, spoil=_fail_treated(2.0, 12.0, every=10)))
    assert found.ruling == "fail"
    assert found.observed == pytest.approx(0.95, abs=0.01)


def test_a_latency_limit_is_held_against_the_time_from_due() -> None:
    """With what the fault adds: the scenario's author knows the fault."""
    found = _one(_run(TcpLatency(), limits={"latency_p95": "<= 800ms"}))
    assert found.ruling == "pass"
    assert found.observed == pytest.approx(0.63, abs=0.02)
    assert _one(_run(TcpLatency(), limits={"latency_p95": "<= 500ms"})).ruling == "fail"


def test_a_percentile_without_the_samples_is_unknown() -> None:
    """Zero samples never pass."""

    def nobody(made: Calls) -> None:
        made["due_ns"][made["treated"] == 1] = 0

    for name in ("latency_p99", "answered"):
        wanted = "<= 1s" if name != "answered" else ">= 1%"
        found = _one(_run(TcpLatency(), limits={name: wanted}, spoil=nobody))
        assert found.ruling == "unknown"
        assert found.observed is None


def test_recovery_is_the_slowest_and_never_fails_every_limit() -> None:
    """-1 stands for never."""
    limits = {"recovery": "<= 5s"}
    slow = _one(_run(TcpReset(), TcpReset(), limits=limits, spoil=_fail_treated(42.0, 45.0)))
    assert (slow.ruling, slow.observed) == ("pass", 3.0)
    assert "2:tcp-reset" in slow.why
    never = _one(_run(TcpReset(), limits=limits, spoil=_fail_treated(22.0, 32.0)))
    assert (never.ruling, never.observed) == ("fail", -1.0)
    assert _one(_run(limits=limits)).ruling == "unknown"


def test_a_session_that_was_reopened_did_not_survive() -> None:
    """What it had kept is gone."""
    limits = {"sessions_survived": ">= 95%"}
    assert _one(_run(TcpReset(), limits=limits)).observed == 1.0
    who = next(w.session for w in journals.storm().plan.sessions if w.arm == "treated")
    edges = journals.session(who, ("lost", 15.0), ("reopened", 23.0))
    found = _one(_run(TcpReset(), limits=limits, extra=edges))
    assert (found.ruling, found.observed) == ("fail", 0.9)
    assert _one(_run(limits=limits)).observed == 1.0


@pytest.mark.parametrize(
    ("low", "high", "ruling"), [(81, 90, "pass"), (70, 79, "fail"), (75, 85, "unknown")]
)
def test_the_score_s_whole_interval_has_to_be_on_one_side(
    low: float, high: float, ruling: str
) -> None:
    """One that straddles the limit settles nothing."""
    score = Score(points=(low + high) / 2, low=low, high=high, components={})
    assert _one(_run(limits={"score": ">= 80"}), score).ruling == ruling
    assert _one(_run(limits={"score": ">= 80"}), None).ruling == "unknown"


def test_a_stall_is_in_the_limit_s_percentile() -> None:
    """Three seconds of silence are 3 s of p99, however few calls were sent in them."""

    def freeze(made: Calls) -> None:
        stuck = journals.between(made, 5.0, 8.0)
        made["done_ns"][stuck] = 8 * S + 20 * MS
        made["sent_ns"][stuck] = 8 * S

    found = _one(_run(limits={"latency_p99": "<= 2s"}, spoil=freeze))
    assert found.ruling == "fail"
    assert found.observed is not None
    assert found.observed > 2.8
