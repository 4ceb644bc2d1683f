"""Who waits for a dependency's return does not spend a processor on it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from faults.dependency import DepDown
from faults.network import TcpLatency
from harness.checks import spinning
from harness.evidence.phases import Evidence
from harness.journal import DependencyEntry, Journal, VitalsEntry
from tests.checks import cases, ledgers
from tests.journals import MS, S


def burning(calm: float, under: float) -> tuple[VitalsEntry, ...]:
    """Make samples of a target that uses so much of a processor before and under a fault."""
    used_s, made = 0.0, []
    for at in range(1, 33):
        made.append(VitalsEntry(at_ns=at * S, alive=True, cpu_s=used_s))
        used_s += under if 12 <= at < 22 else calm
    return tuple(made)


def run(extra: Sequence[Any], ledger: Any = None, fault: Any = None) -> Evidence:
    """Make a run whose dependency goes down."""
    return cases.run(fault or DepDown(), extra=extra, ledger=ledger)


def test_a_processor_spent_on_nothing_is_a_spin() -> None:
    """Far more than before, for as many calls."""
    of = run(burning(0.1, 0.9))
    found = cases.one(spinning.cpu_spin(of))
    assert (found.ruling, found.fault) == ("fail", "1:dep-down")
    assert found.evidence
    assert ("cpu-spin", "1:dep-down") in cases.failed(of)


def test_a_target_that_was_as_busy_before_does_not_spin() -> None:
    """Nor one that is hardly busy."""
    for calm, under in ((0.5, 0.9), (0.05, 0.3), (0.2, 0.1)):
        assert cases.one(spinning.cpu_spin(run(burning(calm, under)))).ruling == "pass"


def _asking(per_second: int) -> Any:
    """Lay requests that no call asked for behind those of the calls."""

    def lay(made: Journal) -> Journal:
        whole: Journal = ledgers.asked()(made)
        step_ns = S // per_second
        extra: Iterable[DependencyEntry] = (
            DependencyEntry(at_ns=12 * S + turn * step_ns + MS, operation="whoami", status=503)
            for turn in range(9 * per_second)
        )
        entries = sorted([*whole.entries, *extra], key=lambda entry: entry.at_ns)
        return replace(whole, entries=tuple(entries))

    return lay


def test_requests_in_a_rush_that_no_call_asked_for_are_a_spin() -> None:
    """The dependency's ledger counts them, where nobody watches the target."""
    of = run((), _asking(60))
    found = cases.one(spinning.cpu_spin(of))
    assert (found.ruling, found.evidence) == ("fail", ("ledger:dependency",))
    assert cases.one(spinning.cpu_spin(run((), _asking(2)))).ruling == "pass"


def test_it_is_unknown_where_nobody_watches_and_no_question_where_nothing_failed() -> None:
    """A fault of the network is another story."""
    assert cases.one(spinning.cpu_spin(run(()))).ruling == "unknown"
    assert spinning.cpu_spin(run(burning(0.1, 0.9), fault=TcpLatency())) == ()
