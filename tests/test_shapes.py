"""Load shapes in a plan: more sessions for a window, and nobody else is moved."""

from __future__ import annotations

from collections import Counter

import pytest

from faults.fault import Fault
from faults.load import Ramp, Soak, Spike
from harness.plan import NS_PER_S, Plan
from harness.running import guard
from harness.running.assignment import Assignment
from harness.session.access import Access, Doors
from tests import journals

SPIKES = (Spike(times=3), Ramp(to=30), Soak())


def planned(*faults: Fault) -> Plan:
    """Plan twenty sessions under some faults of five seconds each."""
    return journals.plan(journals.scenario(*(journals.window(fault, 5.0) for fault in faults)))


def test_a_spike_adds_treated_sessions_that_live_in_its_window_alone() -> None:
    """Each opens after the window began, has steps due, and none after the window's end."""
    plan = planned(*SPIKES)
    added = [who for who in plan.sessions if who.window]
    assert Counter(who.window for who in added) == {1: 40, 2: 10}
    assert {who.arm for who in added} == {"treated"}
    for who in added:
        window = plan.windows[who.window - 1]
        due_ns = [step.due_ns for step in plan.steps(who.session)]
        assert window.start_ns <= who.open_ns <= due_ns[0]
        assert due_ns[-1] < window.end_ns == who.end_ns
        assert len(due_ns) == plan.count(who.session)


def test_a_spike_opens_within_its_second_and_a_ramp_over_its_window() -> None:
    """And the sessions are numbered as they open."""
    plan = planned(*SPIKES)
    for number, most_s in ((1, 1.0), (2, 4.5)):
        start_ns = plan.windows[number - 1].start_ns
        opens_s = [(w.open_ns - start_ns) / NS_PER_S for w in plan.sessions if w.window == number]
        assert opens_s == sorted(opens_s)
        assert opens_s[0] == 0.0
        assert most_s * 0.8 < opens_s[-1] < most_s


def test_whoever_is_there_anyway_does_what_they_do_without_a_shape() -> None:
    """The usual sessions are planned byte by byte as in a run without it."""
    with_shape, without = planned(Spike()), planned(Soak())
    usual = [who for who in with_shape.sessions if not who.window]
    assert usual == list(without.sessions)
    assert [s.nonce for s in with_shape.steps(3)] == [s.nonce for s in without.steps(3)]
    assert planned(Spike()).canonical() == with_shape.canonical()


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_workers_share_the_sessions_of_a_shape_between_them(workers: int) -> None:
    """Every session has one host, and none hosts the spike alone."""
    plan = planned(Spike(times=4))
    shares = [
        Assignment(
            folder="", text="", file="", overrides={}, worker=number, workers=workers,
            master_port=0, doors=Doors(url=""), access=Access(), tools=(),
        ).numbers(plan)
        for number in range(1, workers + 1)
    ]  # fmt: skip
    assert sorted(number for share in shares for number in share) == list(range(80))
    added = [sum(plan.planned(number).window > 0 for number in share) for share in shares]
    assert max(added) - min(added) <= 1


def test_the_files_of_a_spike_are_asked_for_before_the_run() -> None:
    """A limit that only the spike would meet is met before any load."""
    spiked = journals.scenario(journals.window(Spike(times=10)))
    plain = journals.scenario(journals.window(Soak()))
    assert guard.most_sessions(spiked) == 200
    more = guard.files_needed(spiked, 0) - guard.FILES_SPARE
    assert more == 10 * (guard.files_needed(plain, 0) - guard.FILES_SPARE)
