from __future__ import annotations

from typing import get_args

import pytest

from faults.levers import Behaviour, BehaviourKind
from harness.session.conduct import PRELUDES, Conduct


def _made(kind: BehaviourKind, share: float = 1.0) -> Behaviour:
    return Behaviour(kind=kind, share=share)


def test_every_session_behaves_well_in_the_beginning() -> None:
    """Nothing is in force, and the hot path is told so in one look."""
    conduct = Conduct()
    assert not conduct.active
    assert conduct.preludes() == ()
    assert all(conduct.get(kind) is None for kind in get_args(BehaviourKind))
    assert conduct.since_ns("vanish") == 0


@pytest.mark.parametrize(
    "kind", [kind for kind in get_args(BehaviourKind) if kind != "reauthorize"]
)
def test_a_behaviour_is_in_force_until_it_is_taken_back(kind: BehaviourKind) -> None:
    """With the moment at which it began; taking it back twice is no error."""
    conduct = Conduct()
    conduct.engage(_made(kind), now_ns=7)
    assert conduct.active
    assert conduct.get(kind) == _made(kind)
    assert conduct.since_ns(kind) == 7
    assert (conduct.preludes() == (_made(kind),)) is (kind in PRELUDES)
    for _ in range(2):
        conduct.disengage(_made(kind))
        assert not conduct.active
        assert conduct.get(kind) is None


def test_preludes_come_in_a_fixed_order() -> None:
    """Whatever the order in which they were engaged, a run repeats itself."""
    conduct = Conduct()
    for kind in reversed(PRELUDES):
        conduct.engage(_made(kind), now_ns=0)
    conduct.engage(_made("lose_reply"), now_ns=0)
    assert tuple(behaviour.kind for behaviour in conduct.preludes()) == PRELUDES


def test_a_reauthorization_is_an_order_and_no_state() -> None:
    """Each order has a number of its own, and cannot be taken back."""
    conduct = Conduct()
    for serial in (1, 2):
        conduct.engage(_made("reauthorize"), now_ns=0)
        assert conduct.reauthorize_serial == serial
    assert conduct.get("reauthorize") is None
    conduct.disengage(_made("reauthorize"))
    assert conduct.reauthorize_serial == 2
    assert conduct.active, "sessions that have not obeyed yet have to look"


def test_a_later_engagement_takes_the_place_of_an_earlier_one() -> None:
    """One behaviour of a kind, the newest."""
    conduct = Conduct()
    conduct.engage(_made("vanish", 0.1), now_ns=1)
    conduct.engage(_made("vanish", 0.9), now_ns=2)
    assert conduct.get("vanish") == _made("vanish", 0.9)
    assert conduct.since_ns("vanish") == 2
