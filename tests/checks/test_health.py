"""A health check is held against the calls: it is honest, lies, or nobody can say."""

from __future__ import annotations

import pytest

from faults.dependency import DepDown
from faults.fault import Fault
from faults.network import TcpDown
from faults.process import Sigterm, SlowStart
from harness.checks import health
from harness.evidence.phases import Evidence
from harness.journal import Calls, HealthProbeEntry, TargetEntry
from harness.outcome import Outcome, Reason
from harness.verdict import Finding
from tests.checks import cases
from tests.checks.cases import target_life
from tests.journals import MS, S, end

END_S = 33
SICK = "the store does not answer"


def probes(*sick: tuple[float, float], status: int = 503) -> tuple[HealthProbeEntry, ...]:
    """Make an answer each second: 200, and in some stretches another."""
    return tuple(
        HealthProbeEntry(
            at_ns=at_s * S + 300 * MS,
            took_ns=4 * MS,
            status=status if any(a <= at_s < b for a, b in sick) else 200,
            text=SICK if any(a <= at_s < b for a, b in sick) else "ready",
        )
        for at_s in range(1, END_S)
    )


def run(
    fault: Fault,
    *entries: HealthProbeEntry | TargetEntry,
    dead: tuple[float, float] | None = None,
    outcome: Outcome = Outcome.TOOL_ERROR,
    reason: Reason = Reason.TOOL_ERROR,
    status: int = 200,
    took_ms: float = 20,
    spared: int = 0,
) -> Evidence:
    """Make a run in which all but some of the calls of a stretch fail, of both arms."""

    def spoil(made: Calls) -> None:
        due_s = made["due_ns"] / S
        end(made, due_s > 0, Outcome.OK, took_ms=20)
        if dead is not None:
            bad = (due_s >= dead[0]) & (due_s < dead[1]) & (made["session"] >= spared)
            end(made, bad, outcome, reason, status=status, took_ms=took_ms)

    return cases.run(fault, spoil=spoil, extra=entries)


def under(findings: tuple[Finding, ...], fault: str) -> Finding:
    """Give the only finding on one fault."""
    return cases.one([one for one in findings if one.fault == fault])


def test_a_check_that_says_ok_while_nothing_is_answered_lies() -> None:
    """The calls that failed meanwhile are the evidence."""
    of = run(DepDown(), *probes(), dead=(12, 22))
    finding = under(health.health_lies(of), "1:dep-down")
    assert (finding.verdict, finding.ruling) == ("health-lies", "fail")
    assert "said 200 10 times" in finding.why
    assert finding.evidence
    assert finding.treated
    assert finding.control
    assert under(health.health_lies(of), "").ruling == "pass"


def test_calls_that_wait_in_vain_are_failing_before_they_end() -> None:
    """A hang has no end to count it by."""
    hung = {"outcome": Outcome.TIMEOUT, "reason": Reason.DEADLINE, "status": 0, "took_ms": 10_000}
    of = run(DepDown(), *probes(), dead=(12, 22), **hung)  # type: ignore[arg-type]  # as named
    assert under(health.health_lies(of), "1:dep-down").ruling == "fail"


@pytest.mark.parametrize(
    ("sick", "dead", "spared"),
    [
        ((12, 22), (12, 22), 0),  # it says 503
        ((0, 0), None, 0),  # nothing fails
        ((0, 0), (12, 22), 3),  # some are answered
        ((0, 0), (12, 14), 0),  # for a moment, which a check once a second may miss
        ((14, 22), (12, 22), 0),  # it takes two seconds to notice
    ],
)
def test_an_honest_check_passes(
    sick: tuple[float, float], dead: tuple[float, float] | None, spared: int
) -> None:
    """Under the fault, and before it."""
    of = run(DepDown(), *probes(sick), dead=dead, spared=spared)
    assert {one.ruling for one in health.health_lies(of)} == {"pass"}


@pytest.mark.parametrize("status", [401, 404, 429])
def test_a_refusal_of_the_request_says_nothing_against_the_check(status: int) -> None:
    """A session that ended with its process, or a token, or a rate: the server is well."""
    refused = {"outcome": Outcome.HTTP_ERROR, "reason": Reason.HTTP_STATUS, "status": status}
    of = run(Sigterm(), *probes(), dead=(14, 32), **refused)  # type: ignore[arg-type]  # as named
    assert not [one for one in health.health_lies(of) if one.ruling == "fail"]


def test_a_process_that_says_ok_before_it_can_answer_is_ready_too_early() -> None:
    """It is said which process that was."""
    life = target_life(
        ("told", 12.1, 1), ("ended", 12.5, 1), ("started", 12.6, 2), ("ready", 13, 2)
    )
    failing = {"outcome": Outcome.HTTP_ERROR, "reason": Reason.HTTP_STATUS, "status": 503}
    early = run(SlowStart(), *probes((12, 13)), *life, dead=(12, 18), **failing)  # type: ignore[arg-type]  # as named
    finding = under(health.health_lies(early), "1:slow-start")
    assert finding.ruling == "fail"
    assert "a process that was started 12.6 s" in finding.why
    late = run(SlowStart(), *probes((12, 18)), *life, dead=(12, 18), **failing)  # type: ignore[arg-type]  # as named
    assert under(health.health_lies(late), "1:slow-start").ruling == "pass"


def test_nothing_is_said_where_nobody_was_asked_or_ever_said_ok() -> None:
    """No address of the health check, or a wrong one."""
    silent = cases.one(health.health_lies(run(DepDown(), dead=(12, 22))))
    assert (silent.ruling, silent.fault) == ("unknown", "")
    assert "target: {health" in silent.why
    wrong = run(DepDown(), *probes((0, END_S), status=404), dead=(12, 22))
    finding = cases.one(health.health_lies(wrong))
    assert (finding.ruling, finding.why) == ("unknown", "the health check never said ok: 404")


def test_what_breaks_on_the_network_between_is_not_the_checks_to_tell() -> None:
    """It was asked past the proxies."""
    of = run(TcpDown(), *probes(), dead=(12, 22))
    assert [one.fault for one in health.health_lies(of)] == [""]


def test_calls_that_never_were_answered_say_nothing() -> None:
    """The scenario may ask for what there is not."""
    of = run(DepDown(), *probes(), dead=(0, END_S))
    assert {one.ruling for one in health.health_lies(of)} == {"unknown"}
