"""Connections to a dependency that never come back are counted by the dependency."""

from __future__ import annotations

from collections.abc import Callable

from faults.agent import ClientVanish
from faults.dependency import DepPool
from harness.checks import connections
from harness.phases import Evidence
from tests.checks import cases, ledgers


def run(open_at: Callable[[int], int], busy_at: Callable[[int], int] = lambda _: 3) -> Evidence:
    """Make a run in which the dependency counts its connections every second."""
    counts = ledgers.pool(*((float(at), open_at(at), busy_at(at)) for at in range(1, 33)))
    return cases.run(DepPool(), extra=counts)


def test_connections_that_stay_open_beyond_all_use_have_leaked() -> None:
    """All the time at rest after the fault, and far more than were ever busy."""
    of = run(lambda at: 4 if at <= 12 else 40)
    found = cases.one(connections.leak_conn(of))
    assert (found.ruling, found.fault, found.observed) == ("fail", "1:dep-pool", 40.0)
    assert found.evidence
    assert ("leak-conn", "1:dep-pool") in cases.failed(of)


def test_a_pool_that_keeps_what_it_needed_does_not_leak() -> None:
    """Twenty were in use at once, and twenty are kept."""
    of = run(lambda at: 4 if at <= 12 else 20, lambda at: 20 if 12 <= at < 22 else 3)
    assert cases.one(connections.leak_conn(of)).ruling == "pass"


def test_connections_that_are_given_back_in_time_have_not_leaked() -> None:
    """One count at rest that is low again is enough."""
    of = run(lambda at: 40 if 12 < at < 27 else 4)
    assert cases.one(connections.leak_conn(of)).ruling == "pass"


def test_it_is_unknown_without_counts_at_rest_and_no_question_without_any() -> None:
    """Neither accuses."""
    early = ledgers.pool(*((float(at), 4, 1) for at in range(1, 12)))
    of = cases.run(DepPool(), extra=early)
    assert cases.one(connections.leak_conn(of)).ruling == "unknown"
    assert connections.leak_conn(cases.run(ClientVanish())) == ()
