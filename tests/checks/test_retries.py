"""What a failing dependency is asked, and how; and whether that is too much."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from faults.dependency import Dep429, DepLatency
from faults.network import TcpLatency
from harness.checks import retries
from harness.evidence import manners
from harness.evidence.phases import Evidence
from harness.journal import Calls, DependencyEntry
from harness.outcome import Outcome, Reason
from harness.verdict import Finding, Manners
from tests.checks import cases, ledgers
from tests.journals import MS, end

FAULT = Dep429()
NAME = "1:dep-429"
INSIDE = (11.9, 22.1)


def erring(within: tuple[float, float], took_ms: float = 20.0) -> Callable[[Calls], None]:
    """Let every search due in a stretch of the run end in an error, after so long."""

    def spoil(made: Calls) -> None:
        chosen = journals_between(made, within)
        end(made, chosen, Outcome.TOOL_ERROR, Reason.TOOL_ERROR, status=200, took_ms=took_ms)

    return spoil


def journals_between(made: Calls, within: tuple[float, float]) -> Any:
    """Select the searches of both arms."""
    return cases.kind(made, 0, within, treated=None)


def run(change: ledgers.Change, *, took_ms: float = 20.0, fault: Any = FAULT) -> Evidence:
    """Make a run whose dependency fails under a fault, and is asked again as `change` says."""
    return cases.run(
        fault,
        spoil=erring(INSIDE, took_ms),
        ledger=ledgers.asked(change=ledgers.within(INSIDE, change)),
    )


def row(of: Evidence) -> Manners:
    """Give the manners under the only fault."""
    (found,) = manners.rows(of)
    return found


def finding(of: Evidence) -> Finding:
    """Give the only finding."""
    return cases.one(retries.retry_amplification(of))


def test_twenty_retries_at_once_are_a_storm() -> None:
    """Far more than three requests for each that the tool makes, and the worst call is told."""
    of = run(ledgers.again(20, [0.0], retry_after_s=5.0))
    found = finding(of)
    assert (found.ruling, found.fault, found.observed) == ("fail", NAME, 21.0)
    assert "the dependency's ledger has rows at " in found.why
    assert len(found.evidence) == 10
    seen = row(of)
    assert (seen.retries_max, seen.per_call, seen.usual_per_call) == (20, 21.0, 1.0)
    assert (seen.spacing_ms, seen.jitter, seen.retry_after) == (0.0, False, "ignored")
    assert cases.failed(of) == {("retry-amplification", NAME)}


def test_two_spaced_retries_are_good_manners() -> None:
    """A pause that doubles, and half of it is chance."""
    random = np.random.default_rng(3)

    def spaced(line: np.void, whole: DependencyEntry) -> Iterable[DependencyEntry]:
        pause_ms = 50 * (0.5 + random.random())
        return ledgers.again(2, [pause_ms, 2 * pause_ms], status=503)(line, whole)

    of = run(spaced)
    assert finding(of).ruling == "pass"
    seen = row(of)
    assert (seen.retries_max, seen.per_call, seen.jitter) == (2, 3.0, True)
    assert seen.spacing_ms == pytest.approx(50, rel=0.2)
    assert seen.spacing_growth == pytest.approx(2.0, rel=0.3)
    assert seen.retry_after == "not asked"
    assert seen.back_s is not None
    assert cases.failed(of) == set()


def test_a_fixed_pause_has_no_jitter() -> None:
    """Every caller comes back at the same moment."""
    assert row(run(ledgers.again(1, [200.0], status=503))).jitter is False


@pytest.mark.parametrize(
    ("gaps_ms", "kept"), [([5_100.0], "kept"), ([100.0], "ignored")], ids=["after", "before"]
)
def test_retry_after_is_kept_to_or_not(gaps_ms: Sequence[float], kept: str) -> None:
    """By the moment of the next request."""
    of = run(ledgers.again(1, gaps_ms, retry_after_s=5.0))
    assert row(of).retry_after == kept


def test_who_asks_no_more_has_passed_it_on_or_sleeps_on_it() -> None:
    """An error in time tells the agent; a call that never ends tells nobody."""
    of = run(ledgers.again(0, [0.0], retry_after_s=3600.0))
    assert row(of).retry_after == "passed on"

    def hang(made: Calls) -> None:
        chosen = journals_between(made, INSIDE)
        end(made, chosen, Outcome.HANG, Reason.HANG, took_ms=15_000)

    change = ledgers.within(INSIDE, ledgers.again(0, [0.0], retry_after_s=3600.0))
    of = cases.run(FAULT, spoil=hang, ledger=ledgers.asked(change=change))
    assert row(of).retry_after == "waited past the deadline"
    assert ("hang", NAME) in cases.failed(of)


def breaking(open_: bool) -> ledgers.Change:
    """Let the target stop asking some time after the fault began, or go on."""

    def change(line: np.void, whole: DependencyEntry) -> Iterable[DependencyEntry]:
        if open_ and int(line["due_ns"]) > 14_000 * MS and int(line["index"]) % 8:
            return []
        return [replace(whole, took_ns=1500 * MS, answered=False, status=0)]

    return change


def test_calls_that_all_try_a_dead_dependency_and_wait_for_it_have_no_breaker() -> None:
    """Long after the first ten failed."""
    of = run(breaking(open_=False), took_ms=1600.0, fault=DepLatency())
    found = finding(of)
    assert (found.ruling, found.fault) == ("fail", "1:dep-latency")
    assert "no breaker opened" in found.why
    assert found.evidence
    assert row(of).breaker == "stayed shut"


def test_a_breaker_that_opens_and_looks_now_and_then_is_seen() -> None:
    """Most calls are answered without asking, and a few requests look whether it is back."""
    of = run(breaking(open_=True), took_ms=1600.0, fault=DepLatency())
    assert finding(of).ruling == "pass"
    seen = row(of)
    assert seen.breaker == "opened"
    assert seen.probes is not None
    assert 0 < seen.probes < seen.calls / 2


def test_failures_that_cost_nothing_need_no_breaker() -> None:
    """An error in 20 ms is no reason to stop asking."""
    assert finding(run(breaking(open_=False), fault=DepLatency())).ruling == "pass"


def test_a_client_that_asks_again_is_not_the_targets_retry() -> None:
    """Requests are counted for each time that the client asked."""

    def thrice(made: Calls) -> None:
        chosen = journals_between(made, INSIDE)
        made["attempt"][chosen] = 3

    change = ledgers.within(INSIDE, ledgers.again(8, [0.0], status=503))
    of = cases.run(FAULT, spoil=thrice, ledger=ledgers.asked(change=change))
    assert finding(of).ruling == "pass"
    assert row(of).per_call == 3.0


def test_without_a_ledger_or_a_fault_of_a_dependency_the_question_does_not_arise() -> None:
    """And it is unknown where nobody reached the dependency under its fault."""
    assert retries.retry_amplification(cases.run(FAULT)) == ()
    assert manners.rows(cases.run(FAULT)) == ()
    of = cases.run(TcpLatency(), ledger=ledgers.asked())
    assert retries.retry_amplification(of) == ()
    of = run(ledgers.nothing)
    assert finding(of).ruling == "unknown"
    assert (row(of).per_call, row(of).breaker) == (None, "not measured")
