from __future__ import annotations

from harness.gameday.leases import Leases

S = 1_000_000_000


def leases() -> Leases:
    """Half a minute, and ten seconds of grace."""
    return Leases(length_ns=30 * S, grace_ns=10 * S)


def test_a_lease_that_nobody_renews_ends_its_fault() -> None:
    """Whatever was wanted, the lease ends first."""
    held = leases()
    held.grant(1, now_ns=0, for_ns=600 * S)
    assert held.over(now_ns=29 * S) == ()
    ((window, why),) = held.over(now_ns=30 * S)
    assert window == 1
    assert "lease ran out" in why


def test_a_renewed_lease_ends_when_its_fault_was_wanted_to() -> None:
    """Renewing gives no fault more time than was asked for."""
    held = leases()
    held.grant(1, now_ns=0, for_ns=40 * S)
    for at_s in range(0, 40, 5):
        held.renew(now_ns=at_s * S)
        assert held.over(now_ns=at_s * S) == ()
    assert held.over(now_ns=40 * S) == ((1, "its time was up"),)


def test_with_nobody_there_a_lease_is_cut_short_once() -> None:
    """The grace runs from the first moment on, and is not begun anew at each look."""
    held = leases()
    held.grant(1, now_ns=0, for_ns=600 * S)
    assert held.shorten(now_ns=5 * S)
    assert not held.shorten(now_ns=9 * S)
    assert held.over(now_ns=14 * S) == ()
    assert [window for window, _ in held.over(now_ns=15 * S)] == [1]


def test_whoever_comes_back_in_time_restores_the_lease() -> None:
    """A reload of the page costs no fault its life."""
    held = leases()
    held.grant(1, now_ns=0, for_ns=600 * S)
    held.shorten(now_ns=5 * S)
    assert held.renew(now_ns=8 * S)
    assert held.over(now_ns=37 * S) == ()
    assert [window for window, _ in held.over(now_ns=38 * S)] == [1]


def test_more_time_does_not_outlive_the_lease() -> None:
    """Who extends a fault has to stay all the same."""
    held = leases()
    held.grant(1, now_ns=0, for_ns=10 * S)
    held.extend(1, now_ns=5 * S, for_ns=300 * S)
    assert held.over(now_ns=10 * S) == ()
    assert [window for window, _ in held.over(now_ns=30 * S)] == [1]
    held.end(1)
    assert held.over(now_ns=400 * S) == ()
