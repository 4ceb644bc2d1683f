from __future__ import annotations

import hashlib
import subprocess
import sys
import tracemalloc
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from faults.network import TcpLatency
from harness import plan
from harness.plan import NS_PER_S, Plan
from harness.scenario.records import Scenario

SEARCH: dict[str, Any] = {"call": "search", "with": {"query": "${nonce}"}}
READER: dict[str, Any] = {
    "name": "reader",
    "share": "70%",
    "pace": "2/s",
    "steps": [{"method": "tools/list"}, SEARCH, {"read": "doc://${session}"}],
}
WRITER: dict[str, Any] = {
    "name": "writer",
    "share": "30%",
    "pace": "1/3s",
    "steps": [
        {"parallel": [SEARCH, {"call": "fetch"}, {"prompt": "greet"}]},
        {"call": "append_note"},
    ],
}
LATENCY: dict[str, Any] = {"fault": TcpLatency(), "for": "4s"}


def scenario(**changes: Any) -> Scenario:
    """Make a scenario with two agents, the second of which has calls in parallel."""
    document: dict[str, Any] = {
        "question": "Does it hold when things break?",
        "seed": 7,
        "agents": [READER, WRITER],
        "load": {"sessions": 23, "ramp": "2s", "treated": "50%"},
        "phases": {"warmup": "1s", "baseline": "5s", "recovery": "3s"},
    }
    return Scenario.model_validate(document | changes)


def make(seed: int | None = None, **changes: Any) -> Plan:
    """Plan it."""
    return plan.make(scenario(**changes), seed=seed)


def digest(planned: Plan) -> str:
    """Digest a plan down to its last step."""
    whole = hashlib.sha256(planned.canonical())
    for session in planned.sessions:
        for step in planned.steps(session.session):
            line = (step.session, step.index, step.position, step.due_ns, step.nonce)
            whole.update(repr(line).encode())
    for number in range(50):
        whole.update(repr(planned.draw("vanish", number, number * 7)).encode())
    return whole.hexdigest()


def test_the_same_seed_gives_the_same_plan_byte_for_byte() -> None:
    """Pinned: a change here means that no recorded run can be repeated any more."""
    assert digest(make()) == "28aaeffb441ae97c2a36978489676ecffa9c9f5ed8b2e66b0faf2c8f5035c147"
    assert digest(make()) == digest(make(seed=7))


def test_another_process_derives_the_same_plan() -> None:
    """Workers are told the seed and nothing else; Python's own hashes differ between them."""
    code = "from tests import test_plan as t; print(t.digest(t.make()))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=Path(__file__).parent.parent,
    )
    assert done.stdout.strip() == digest(make())


def test_another_seed_gives_other_nonces_and_other_moments() -> None:
    """And the same shape: who is who does not depend on it."""
    one, two = make(seed=1), make(seed=2)
    assert one.canonical() != two.canonical()
    assert [each.arm for each in one.sessions] == [each.arm for each in two.sessions]
    assert one.nonce(0, 0) != two.nonce(0, 0)
    assert one.sessions[0].first_due_ns != two.sessions[0].first_due_ns


def test_every_step_is_counted_and_numbered_without_a_gap() -> None:
    """(session, index) names a call, so conservation can be checked against the plan."""
    planned = make()
    for session in planned.sessions:
        steps = list(planned.steps(session.session))
        assert [step.index for step in steps] == list(range(len(steps)))
        assert len(steps) == planned.count(session.session)
        assert {step.session for step in steps} == {session.session}


def test_a_step_is_due_every_pace_until_the_end() -> None:
    """The first one within a pace of the session's opening, none at the end or after."""
    planned = make()
    for session in planned.sessions:
        dues = [group[0].due_ns for group in planned.groups(session.session)]
        assert session.open_ns <= dues[0] < session.open_ns + session.pace_ns
        assert {later - earlier for earlier, later in pairwise(dues)} <= {session.pace_ns}
        assert dues[-1] < planned.end_ns <= dues[-1] + session.pace_ns


def test_parallel_steps_are_due_together_and_numbered_in_line() -> None:
    """A group is what is in flight at once; its members are logical calls of their own."""
    planned = make()
    writer = next(each for each in planned.sessions if each.agent == 1)
    groups = list(planned.groups(writer.session))
    assert [len(group) for group in groups] == [3, 1]
    assert [step.position for group in groups for step in group] == [0, 1, 2, 3]
    assert [step.index for group in groups for step in group] == list(range(4))
    for group in groups:
        assert len({step.due_ns for step in group}) == 1
    assert [step for group in groups for step in group] == list(planned.steps(writer.session))


def test_every_distinct_call_has_one_name_in_file_order() -> None:
    """Reports and records use its number."""
    planned = make()
    assert planned.calls == (
        "tools/list",
        "search",
        "read:doc://${session}",
        "fetch",
        "prompt:greet",
        "append_note",
    )
    assert planned.positions == ((0, 1, 2), (1, 3, 4, 5))
    assert planned.together == ((1, 1, 1), (3, 1))
    writer = next(each for each in planned.sessions if each.agent == 1)
    calls = [planned.calls[planned.call(step)] for step in planned.steps(writer.session)]
    assert calls[:4] == ["search", "fetch", "prompt:greet", "append_note"]


@pytest.mark.parametrize("sessions", [2, 3, 10, 23, 200])
@pytest.mark.parametrize("treated", ["50%", "20%", "33%", "90%"])
def test_both_arms_have_the_same_mix_of_agents(sessions: int, treated: str) -> None:
    """Exact to one session for each agent and for all."""
    planned = make(load={"sessions": sessions, "ramp": "2s", "treated": treated})
    part = float(treated[:-1]) / 100
    for agent in (0, 1):
        arms = Counter(each.arm for each in planned.sessions if each.agent == agent)
        assert abs(arms["treated"] - arms.total() * part) < 1
    whole = Counter(each.arm for each in planned.sessions)
    assert whole.total() == sessions
    assert abs(whole["treated"] - sessions * part) < 1


def test_sessions_open_evenly_over_the_ramp_and_agents_among_each_other() -> None:
    """Whatever part of the ramp is looked at holds the whole's mix."""
    planned = make(load={"sessions": 40, "ramp": "4s"})
    assert [each.session for each in planned.sessions] == list(range(40))
    opened = [each.open_ns for each in planned.sessions]
    assert opened == [number * NS_PER_S // 10 for number in range(40)]
    first = Counter(each.agent for each in planned.sessions[:20])
    assert first == {0: 14, 1: 6}


def test_due_moments_fill_a_pace_evenly_in_each_arm() -> None:
    """No burst that one arm has and the other has not: the largest gap stays small."""
    planned = make(load={"sessions": 200, "ramp": "3s", "treated": "50%"})
    for arm in ("control", "treated"):
        dues = sorted(
            each.first_due_ns % each.pace_ns
            for each in planned.sessions
            if each.agent == 0 and each.arm == arm
        )
        even_ns = NS_PER_S // 2 // len(dues)
        assert max(later - earlier for earlier, later in pairwise(dues)) <= 3 * even_ns


def test_windows_follow_the_baseline_and_each_other() -> None:
    """Each with its recovery; the run ends with the last one's."""
    planned = make(faults=[LATENCY, LATENCY | {"at": "20s"}])
    s = NS_PER_S
    assert (planned.ramp_end_ns, planned.baseline_start_ns) == (2 * s, 3 * s)
    assert planned.baseline_end_ns == 8 * s
    spans = [
        (each.window, each.start_ns, each.end_ns, each.recovery_end_ns) for each in planned.windows
    ]
    assert spans == [(1, 8 * s, 12 * s, 15 * s), (2, 20 * s, 24 * s, 27 * s)]
    assert planned.end_ns == 27 * s


def test_a_run_without_faults_ends_with_its_baseline() -> None:
    """There is nothing to recover from."""
    planned = make()
    assert planned.windows == ()
    assert planned.end_ns == planned.baseline_end_ns == 8 * NS_PER_S


def test_no_two_calls_of_a_run_share_a_nonce() -> None:
    """By construction, so a nonce in a reply names one call; preludes draw from far indices."""
    planned = make()
    nonces = [
        planned.nonce(session, index)
        for session in (0, 1, 2, 255, 19_999)
        for index in (*range(400), *range(2**31, 2**31 + 400))
    ]
    assert len(set(nonces)) == len(nonces)
    assert {len(nonce) for nonce in nonces} == {17}
    assert len({nonce[:4] for nonce in nonces}) == 1
    assert all(nonce[0] == "n" and int(nonce[1:], 16) >= 0 for nonce in nonces)


def test_no_mark_is_part_of_another() -> None:
    """`s…-00001` is not found in `s…-00012`."""
    planned = make()
    marks = [planned.mark(session) for session in range(300)]
    assert len(set(marks)) == 300
    assert len({len(mark) for mark in marks}) == 1


def test_draws_are_even_and_differ_by_purpose() -> None:
    """A share of 20 % hits a fifth, and not the same fifth for every fault."""
    planned = make()
    places = [(session, index) for session in range(100) for index in range(100)]
    vanish = [planned.draw("vanish", *place) < 0.2 for place in places]
    lose = [planned.draw("lose_reply", *place) < 0.2 for place in places]
    assert 1850 < sum(vanish) < 2150
    both = sum(one and other for one, other in zip(vanish, lose, strict=True))
    assert 330 < both < 470
    assert all(0 <= planned.draw("x", *place) < 1 for place in places[:1000])


def test_a_long_plan_of_many_sessions_costs_no_memory_for_its_steps() -> None:
    """Ten minutes of 5,000 sessions, some 5 million steps: they are made when they are due."""
    tracemalloc.start()
    try:
        planned = make(
            load={"sessions": 5000, "ramp": "10s"}, phases={"warmup": "1s", "baseline": "10m"}
        )
        steps = sum(planned.count(each.session) for each in planned.sessions)
        walk = planned.steps(4999)
        first = next(walk)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert steps > 4_000_000
    assert first.index == 0
    assert peak_bytes < 10_000_000
