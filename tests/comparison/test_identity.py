"""What two runs have to share: everything that was asked, by whom, and on which kind of machine."""

from __future__ import annotations

from typing import Any

import pytest

from harness.comparison.identity import Identity, differences, identify
from harness.scenario.records import Scenario
from tests import journals
from tests.comparison.runs import MACHINE

FACTS: dict[str, Any] = {
    "scenario": "storm",
    "machine": MACHINE,
    "workers": 0,
    "transport": "Streamable HTTP",
    "toxiproxy": {"kind": "embedded", "version": "2.12.0"},
}


def identity(of: Scenario | None = None, era: str = "modern", **facts: Any) -> Identity:
    """A run's identity, with other facts."""
    return identify(of or journals.scenario(), FACTS | facts, era=era)


def test_what_is_compared_or_only_judges_is_no_difference() -> None:
    """Another target, question or limit leaves the same load."""
    other = journals.scenario(
        question="Is it another question?",
        target={"url": "http://127.0.0.1:9/mcp"},
        limits={"answered": ">= 50%"},
        abort={"control_errors": "> 20% for 5s"},
    )
    assert differences(identity(), identity(other, scenario="another-name")) == ()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"seed": 8}, "seed 7 and 8"),
        ({"load": {"sessions": 21, "ramp": "1s"}}, "scenario's load.sessions not given and 21"),
        ({"phases": {"warmup": "3s"}}, "scenario's phases.warmup 1.0 and 3.0"),
        ({"client": {"deadline": "3s"}}, "scenario's client.deadline not given and 3"),
        ({"limits": {"recovery": "<= 4s"}}, 'scenario\'s limits.recovery not given and "<= 4s"'),
    ],
)
def test_another_load_is_named_where_it_differs(changes: dict[str, Any], told: str) -> None:
    """With both values, base first."""
    (difference,) = differences(identity(), identity(journals.scenario(**changes)))
    assert difference.startswith(told)


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"era": "legacy"}, "era modern and legacy"),
        ({"transport": "HTTP+SSE"}, "transport Streamable HTTP and HTTP+SSE"),
        ({"workers": 2}, "worker processes 0 and 2"),
        ({"toxiproxy": {"kind": "server"}}, "Toxiproxy embedded and server"),
        ({"machine": MACHINE | {"processors": 8}}, "machine's processors 2 and 8"),
        ({"machine": MACHINE | {"memory_bytes": 16 << 30}}, "machine's memory 8 GiB and 16 GiB"),
    ],
)
def test_other_circumstances_are_named(facts: dict[str, Any], told: str) -> None:
    """Era, way of speaking, proxy and kind of machine."""
    assert differences(identity(), identity(**facts)) == (told,)


def test_a_few_bytes_of_memory_are_no_other_machine() -> None:
    """The kernel keeps more or less of it."""
    near = identity(machine=MACHINE | {"memory_bytes": (8 << 30) - 5_000_000})
    assert differences(identity(), near) == ()


def test_only_the_first_of_many_differences_are_told() -> None:
    """The rest is counted."""
    steps = [{"call": f"tool_{number}"} for number in range(12)]
    told = differences(identity(), identity(journals.scenario(steps=steps)))
    assert len(told) == 7
    assert told[-1].endswith("more of the scenario's places")


def test_no_credential_is_kept() -> None:
    """A baseline file goes into a repository."""
    secret = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln"
    seen = identity(journals.scenario(steps=[{"call": "search", "with": {"token": secret}}]))
    assert secret not in str(seen)
    assert "[redacted]" in str(seen)
