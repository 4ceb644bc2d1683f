from __future__ import annotations

from dataclasses import replace

import pytest

from harness.running.assignment import Assignment, dump, restore
from harness.session.access import Access, Doors
from harness.session.authority import Authority
from harness.session.registration import Registration
from harness.session.tokens import TokenPolicy
from tests import journals

ACCESS = Access(
    authority=Authority(
        issuer="http://127.0.0.1:1", token_endpoint="http://127.0.0.1:1/token",
        resource="http://127.0.0.1:2/mcp", scopes=("a", "b"),
    ),
    clients=tuple(
        (arm, Registration(issuer="http://127.0.0.1:1", client_id=arm, secret=f"h1dden-{arm}"))
        for arm in ("control", "treated")
    ),
    policy=TokenPolicy(refresh="on-401", refresh_before_s=5.0),
)  # fmt: skip
PART = Assignment(
    folder="runs/x",
    text="question: “does it”?\n",
    file="a.yaml",
    overrides={"seed": 3, "reference": ["no-dedup"]},
    worker=1,
    workers=1,
    master_port=5557,
    doors=Doors(url="http://h/mcp", control=("127.0.0.1", 1), treated=("127.0.0.1", 2)),
    access=ACCESS,
    tools=({"tools": [{"name": "t"}]},),
)


def test_an_assignment_is_one_line_and_comes_back_whole() -> None:
    """Whatever the scenario's text holds."""
    line = dump(PART)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert restore(line) == PART


def test_an_assignment_shows_no_secret() -> None:
    """Only the pipe carries it."""
    assert "h1dden" not in repr(PART)
    assert b"h1dden-control" in dump(PART)


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
@pytest.mark.parametrize("sessions", [7, 20, 101])
def test_the_workers_share_both_arms_evenly(workers: int, sessions: int) -> None:
    """Every session is hosted once, and no worker's arms differ from another's by more than one."""
    plan = journals.plan(journals.scenario(load={"sessions": sessions, "ramp": "1s"}))
    parts = [
        replace(PART, worker=worker, workers=workers).numbers(plan)
        for worker in range(1, workers + 1)
    ]
    assert sorted(number for part in parts for number in part) == list(range(sessions))
    assert all(list(part) == sorted(part) for part in parts)
    for arm in ("control", "treated"):
        counts = [sum(plan.sessions[number].arm == arm for number in part) for part in parts]
        assert max(counts) - min(counts) <= 1
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
