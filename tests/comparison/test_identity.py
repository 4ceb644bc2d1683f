"""What two runs have to share: everything that was asked, by whom, and on which kind of machine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from faults.network import TcpDown, TcpLatency
from faults.process import Sigterm
from harness.comparison.identity import Identity, differences, identify
from harness.scenario.auth import Auth
from harness.scenario.dependencies import EmbeddedDependency, PostgresDependency
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
        ({"seed": 8}, "seed: 7, then 8"),
        ({"load": {"sessions": 21, "ramp": "1s"}}, "load.sessions: 20 (default), then 21"),
        ({"phases": {"warmup": "3s"}}, "phases.warmup: 1s, then 3s"),
        ({"client": {"deadline": "3s"}}, "client.deadline: 10s (default), then 3s"),
        ({"limits": {"recovery": "<= 4s"}}, "limits.recovery: left out, then <= 4s"),
        ({"revision": "2025-06-18"}, "revision: left out, then 2025-06-18"),
        ({"engine": "sdk"}, "engine: wire (default), then sdk"),
    ],
)
def test_another_load_is_named_where_it_differs(changes: dict[str, Any], told: str) -> None:
    """By its key in the file, with both values as the file writes them, base first."""
    whole = {"phases": {"warmup": "1s", "baseline": "10s", "recovery": "10s"}, **changes}
    whole["phases"] = {"baseline": "10s", "recovery": "10s", **whole["phases"]}
    (difference,) = differences(identity(), identity(journals.scenario(**whole)))
    assert difference.told == told


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"era": "legacy"}, "era: modern, then legacy"),
        ({"transport": "HTTP+SSE"}, "transport: Streamable HTTP, then HTTP+SSE"),
        ({"workers": 2}, "worker processes: 0, then 2"),
        ({"toxiproxy": {"kind": "server"}}, "Toxiproxy: embedded, then server"),
        ({"machine": MACHINE | {"processors": 8}}, "machine's processors: 2, then 8"),
        ({"machine": MACHINE | {"memory_bytes": 16 << 30}}, "machine's memory: 8 GiB, then 16 GiB"),
    ],
)
def test_other_circumstances_are_named(facts: dict[str, Any], told: str) -> None:
    """Era, way of speaking, proxy and kind of machine."""
    assert [one.told for one in differences(identity(), identity(**facts))] == [told]


def test_a_few_bytes_of_memory_are_no_other_machine() -> None:
    """The kernel keeps more or less of it."""
    near = identity(machine=MACHINE | {"memory_bytes": (8 << 30) - 5_000_000})
    assert differences(identity(), near) == ()


def told(base: Scenario, head: Scenario) -> list[str]:
    """What is said of two scenarios."""
    return [one.told for one in differences(identity(base), identity(head))]


def test_only_the_first_of_many_differences_are_told() -> None:
    """The rest is counted."""
    steps = [
        [{"call": f"tool_{number}", "with": {"limit": limit}} for number in range(12)]
        for limit in (1, 2)
    ]
    lines = told(*(journals.scenario(steps=one) for one in steps))
    assert len(lines) == 8
    assert lines[0] == "agents.worker.steps.tool_0.with.limit: 1, then 2"
    assert lines[-1].endswith("; and 4 more of the scenario's keys differ")


def test_one_more_step_does_not_shift_the_others() -> None:
    """Steps are known by their tools; what came whole is told as one."""
    extra = {"call": "fetch", "with": {"id": "${nonce}"}, "deadline": "2s"}
    later = journals.scenario(steps=(extra, journals.SEARCH, journals.NOTE))
    assert told(journals.scenario(), later) == [
        "agents.worker.steps: [search, append_note], then [fetch, search, append_note]"
    ]
    turned = journals.scenario(steps=(journals.NOTE, journals.SEARCH))
    assert told(journals.scenario(), turned) == [
        "agents.worker.steps: [search, append_note], then [append_note, search]"
    ]


def test_agents_and_faults_are_named_as_their_author_named_them() -> None:
    """With the key's own units, and another fault of the same shape is another one."""
    steps = [{"call": "search"}, {"call": "search", "with": {"query": "x"}}]
    one, other = (
        journals.scenario(
            journals.window(TcpLatency.model_validate({"delay": delay})),
            journals.window(TcpDown()),
            agents=[{"name": "researcher", "pace": pace, "steps": steps}],
        )
        for delay, pace in (("50ms", "8/s"), ("2s", "4/s"))
    )
    assert told(one, other) == [
        "agents.researcher.pace: 8/s, then 4/s",
        "faults.tcp-latency.delay: 50ms, then 2s",
    ]
    down, dead = (journals.scenario(journals.window(fault)) for fault in (TcpDown(), Sigterm()))
    assert told(down, dead) == ["faults: [tcp-down], then [sigterm]"]


def test_a_dependency_of_another_kind_is_another_one() -> None:
    """Its name says nothing of that, so its kind stands beside it."""
    one, other = (
        journals.scenario(dependencies={"store": kind})
        for kind in (EmbeddedDependency(), PostgresDependency())
    )
    assert told(one, other)[0] == ("dependencies: [store: embedded], then [store: postgres]")


def test_a_section_that_only_one_side_has_is_told_once() -> None:
    """And neither its defaults nor its parts beside it."""
    plain = journals.scenario()
    assert told(plain, plain.model_copy(update={"auth": Auth(scopes="mcp:read")})) == [
        "auth: left out, then given"
    ]


def test_long_values_that_begin_alike_are_still_told_apart() -> None:
    """Cut to a line, with a mark of what was cut."""
    lines = told(
        *(
            journals.scenario(steps=[{"call": "search", "with": {"query": "x" * 80 + end}}])
            for end in "ab"
        )
    )
    (line,) = lines
    assert line.startswith("agents.worker.steps.search.with.query: xxx")
    assert len(line) < 180


def test_scenarios_of_other_names_are_told_by_their_names_first() -> None:
    """What differs in them follows."""
    base, head = identity(), identity(journals.scenario(phases={}), scenario="calm")
    lines = [one.told for one in differences(base, head)]
    assert lines[:2] == ["scenario: storm, then calm", "phases.warmup: 1s, then 2s (default)"]


def test_what_an_older_baseline_file_does_not_hold_is_said() -> None:
    """It can still be compared where nothing differs."""
    older = replace(identity(), given=None)
    assert differences(older, identity()) == ()
    (difference,) = differences(older, identity(journals.scenario(phases={})))
    assert difference.place == "scenario"
    assert "an older squall does not hold the scenario's keys" in difference.told
    assert "squall baseline save" in difference.told


def test_what_lies_beyond_the_kept_keys_is_said_to_differ() -> None:
    """The digest knows of all of them."""
    hidden = [
        replace(identity(), given={"load.sessions": "20"}, digest=digest) for digest in ("1", "2")
    ]
    (difference,) = differences(*hidden)
    assert difference.told.endswith("they differ where no key was kept")


def test_no_credential_is_kept() -> None:
    """A baseline file goes into a repository."""
    secret = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln"
    seen = identity(journals.scenario(steps=[{"call": "search", "with": {"token": secret}}]))
    assert secret not in str(seen)
    assert "[redacted]" in str(seen)
