from __future__ import annotations

import pytest

from faults.agent import PayloadRequest
from faults.network import TcpReset
from harness.evidence import amplification
from harness.journal import Calls
from harness.outcome import Outcome
from tests.checks import cases


def again(made: Calls) -> list[Calls]:
    """Let every treated call of the window have been asked twice before."""
    rows = []
    for attempt in (2, 3):
        extra = made[cases.kind(made, 0, cases.WINDOW)].copy()
        extra["attempt"], extra["last"], extra["effect"] = attempt, 0, 0
        rows.append(extra)
    return rows


def test_attempts_for_one_call_are_counted_on_the_arm_that_was_struck() -> None:
    """Every search three times, every note once: two attempts a call, and twice the tokens."""
    row = cases.only(amplification.rows(cases.run(TcpReset(), more=again)))
    assert row.fault == "1:tcp-reset"
    assert row.attempts_per_call == pytest.approx(2.0, abs=0.15)
    assert row.baseline_attempts_per_call == 1.0
    assert row.tokens_ratio == pytest.approx(2.0, abs=0.2)
    assert row.level == "ok"


def test_past_three_times_the_baseline_is_a_warning_and_past_ten_a_failure() -> None:
    """What grows is the answers, by a factor."""

    def level(factor: int, *arms: int) -> str:
        def grow(made: Calls) -> None:
            for arm in arms:
                for call in (0, 1):
                    made["reply_bytes"][cases.kind(made, call, (11.9, 22.1), arm)] *= factor

        return cases.only(amplification.rows(cases.run(TcpReset(), spoil=grow))).level

    assert [level(factor, 1) for factor in (1, 8, 40)] == ["ok", "warn", "fail"]
    assert level(40, 0, 1) == "ok"


def test_what_precedes_a_call_on_purpose_costs_the_agent_nothing() -> None:
    """Five megabytes that the fault sent are no tokens of the agent's."""

    def oversized(made: Calls) -> list[Calls]:
        chosen = cases.kind(made, 0, cases.WINDOW)
        return [
            cases.preludes(
                made, chosen, "payload_request", Outcome.TOOL_ERROR, request_bytes=5_000_000
            )
        ]

    row = cases.only(amplification.rows(cases.run(PayloadRequest(), more=oversized)))
    assert row.tokens_ratio == pytest.approx(1.0, abs=0.1)


def test_few_calls_measure_nothing() -> None:
    """Nineteen calls in the baseline are no yardstick."""
    of = cases.run(TcpReset(), load={"sessions": 2, "ramp": "1s"}, phases={"baseline": "2s"})
    row = cases.only(amplification.rows(of))
    assert (row.tokens_ratio, row.level) == (None, "not measured")
