"""Connections to a dependency that never come back are counted by the dependency."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from faults.agent import ClientVanish
from faults.dependency import DepPool
from harness.checks import connections
from harness.evidence.phases import Evidence
from harness.journal import Calls
from tests import journals
from tests.checks import cases, ledgers

STEADILY = tuple((float(at), 16 * at, 3) for at in range(1, 33))


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


def test_connections_that_become_ever_more_with_no_fault_have_leaked() -> None:
    """Sixteen a second, from the beginning: no fault is blamed, and none is needed."""
    for of in (run(lambda at: 16 * at), cases.run(extra=ledgers.pool(*STEADILY))):
        found = cases.one(connections.leak_conn(of))
        assert (found.ruling, found.fault) == ("fail", "")
        assert "ever more, with no fault" in found.why
        assert found.evidence


@pytest.mark.parametrize(
    "open_at",
    [
        lambda _: 200,  # a pool of its own size
        lambda at: min(4 * at, 30),  # one that grows to what its calls need
        lambda at: 200 if at % 4 else 20,  # up, and down again
    ],
)
def test_a_pool_that_is_large_by_nature_or_grows_into_its_size_does_not_leak(
    open_at: Callable[[int], int],
) -> None:
    """Twenty sessions may need twenty."""
    counts = ledgers.pool(*((float(at), open_at(at), 3) for at in range(1, 33)))
    assert connections.leak_conn(cases.run(extra=counts)) == ()


def counted_by_a_proxy(open_at: Callable[[int], int]) -> Evidence:
    """Make a run in which a proxy counts them, which cannot tell how many are in use."""
    counts = ledgers.pool(*((float(at), open_at(at), 0) for at in range(1, 33)))
    return cases.run(DepPool(), extra=tuple(replace(one, busy=None) for one in counts))


def test_what_a_proxy_counts_is_held_against_the_calls_that_were_under_way() -> None:
    """A call needs no more than one, so what is far beyond both has leaked."""
    of = counted_by_a_proxy(lambda at: 4 if at <= 12 else 60)
    found = cases.one(connections.leak_conn(of))
    assert (found.ruling, found.observed) == ("fail", 60.0)
    assert "calls were under way at once" in found.why
    assert found.evidence == ("60 open at 25 s, by the proxy before it",)


def test_a_pool_as_large_as_there_were_calls_does_not_leak() -> None:
    """All twenty sessions waited at once for a dependency that was late, and the pool grew."""

    def late(made: Calls) -> None:
        chosen = journals.between(made, *cases.WINDOW)
        made["done_ns"][chosen] = made["sent_ns"][chosen] + 240 * journals.MS

    counts = ledgers.pool(*((float(at), 2 if at <= 12 else 24, 0) for at in range(1, 33)))
    extra = tuple(replace(one, busy=None) for one in counts)
    of = cases.run(DepPool(), extra=extra, spoil=late)
    assert cases.one(connections.leak_conn(of)).ruling == "pass"


def counted_by_the_system(open_at: Callable[[int], int]) -> Evidence:
    """Make a run in which the target's own sockets are counted, for its proxy keeps no count."""
    counts = ledgers.pool(*((float(at), open_at(at), 0) for at in range(1, 33)))
    return cases.run(
        DepPool(), extra=tuple(replace(one, busy=None, by_system=True) for one in counts)
    )


def test_what_the_system_counts_is_judged_like_what_a_proxy_counts() -> None:
    """As with Shopify's Toxiproxy before a database."""
    found = cases.one(
        connections.leak_conn(counted_by_the_system(lambda at: 4 if at <= 12 else 60))
    )
    assert (found.ruling, found.observed) == ("fail", 60.0)
    assert found.evidence == ("60 open at 25 s, by the system, of the target's own",)
    sound = connections.leak_conn(counted_by_the_system(lambda _: 4))
    assert cases.one(sound).ruling == "pass"


def test_a_target_without_a_single_connection_of_its_own_proves_nothing() -> None:
    """Its work may be done by processes that squall did not start, as in a container."""
    found = cases.one(connections.leak_conn(counted_by_the_system(lambda _: 0)))
    assert (found.ruling, found.why) == ("unknown", connections.UNSEEN.format("db"))
    assert cases.one(connections.leak_conn(counted_by_a_proxy(lambda _: 0))).ruling == "pass"


def test_a_dependency_whose_connections_nobody_counts_is_unknown() -> None:
    """As where the system does not tell whose a socket is."""
    depends_on = {"db": {"postgres": {}, "variable": "DATABASE_URL"}}
    found = cases.one(connections.leak_conn(cases.run(DepPool(), dependencies=depends_on)))
    assert (found.ruling, found.why) == ("unknown", connections.UNCOUNTED)


def test_it_is_unknown_without_counts_at_rest_and_no_question_without_any() -> None:
    """Neither accuses."""
    early = ledgers.pool(*((float(at), 4, 1) for at in range(1, 12)))
    of = cases.run(DepPool(), extra=early)
    assert cases.one(connections.leak_conn(of)).ruling == "unknown"
    assert connections.leak_conn(cases.run(ClientVanish())) == ()
