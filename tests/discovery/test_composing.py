"""From findings to a file: it is a scenario whatever a server calls its things, and it teaches."""

from __future__ import annotations

from typing import Any, Final, Literal

import pytest

from faults.network import TcpLatency
from harness import plan
from harness.discovery.composing import compose
from harness.discovery.findings import Counter, Findings, Learned, LeftOut, Link
from harness.discovery.offers import Offer, Resource, Tool
from harness.evidence.watch import cramped
from harness.scenario.auth import Auth
from harness.scenario.load import load_text
from harness.scenario.records import CallStep, LaunchTarget, Scenario, StdioTarget, UrlTarget

URL: Final = UrlTarget(url="http://127.0.0.1:8001/mcp")
PIPED: Final = StdioTarget(stdio=("node", "server.js"))


def learned(name: str, **more: Any) -> Learned:
    """A tool that answered quickly."""
    kept: dict[str, Any] = {"kind": "tool", "rows": 1, "latency_ms": 3.0, "longest_ms": 4.0}
    return Learned(name=name, **(kept | more))


def findings(*found: Learned, **more: Any) -> Findings:
    """What is known of a server of the modern era with these tools."""
    tools = tuple(Tool(name=one.name, description="", schema={}, hints={}) for one in found)
    offer = Offer(
        name=more.pop("title", "shop"),
        version="1",
        era="modern",
        revision="2026-07-28",
        tools=tools,
        resources=(Resource(uri="a://b", name="a://b"),) if more.pop("resources", False) else (),
    )
    more.setdefault("left_out", ())
    return Findings(offer=offer, learned=found, **more)


def text_of(found: Findings, **more: Any) -> str:
    """The file for it."""
    usual: dict[str, Any] = {"target": URL, "auth": None, "era": "", "revision": ""}
    usual |= {"remote": False, "file": "shop.yaml", "again": "squall init --target URL"}
    return compose(found, **(usual | more))


def scenario_of(found: Findings, **more: Any) -> Scenario:
    """The scenario that the file is."""
    return load_text(text_of(found, **more), "shop.yaml").scenario


def test_what_was_learned_is_what_is_expected() -> None:
    """Rows, the nonce that comes back, the value that is handed on, the answer that repeats it."""
    link = Link(argument="id", provider="search", path="items[0].id", name="search_id")
    search = learned("search", arguments={"words": "${nonce}"}, carries=True, rows=3)
    fetch = learned(
        "fetch", arguments={"id": "${search_id}"}, links=(link,), echoes=("id", "search_id")
    )
    empty = learned("empty", rows=0)
    scenario = scenario_of(findings(search, fetch, empty))
    (agent,) = scenario.agents
    steps = {one.call: one for one in agent.steps if isinstance(one, CallStep)}
    assert steps["search"].keep == {"search_id": "items[0].id"}
    assert steps["search"].expect.carries == "nonce"
    assert steps["search"].expect.rows == ">= 1"
    assert steps["fetch"].arguments == {"id": "${search_id}"}
    assert steps["fetch"].expect.equals == {"id": "${search_id}"}
    assert steps["empty"].expect.rows is None


HOSTILE: Final = (
    "plain\nfaults: [tcp-down]",
    "# no comment",
    "a: b",
    "null",
    "'\"`",
    "\u202egnp.exe",
    "${nonce}",
    "é" * 200,
    "x" * 5000,
    "{[!&*|>%@",
    " ",
    "\x00\x1b[31m",
    "true",
    "- - -",
)


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_or_message_of_a_server_gets_out_of_its_place(name: str) -> None:
    """Neither as a tool, a value, a message nor a title; what cannot be said is left out."""
    found = findings(
        learned(name, arguments={"text": name, name[:20]: [name]}, about=name[:90]),
        learned("good", arguments={"text": name.replace("${", "$${")}),
        left_out=(LeftOut(kind="tool", name=name, why=f"failed when tried: {name}"),),
        title=name,
    )
    text = text_of(found)
    scenario = load_text(text, "shop.yaml").scenario
    calls = [one.call for one in scenario.agents[0].steps if isinstance(one, CallStep)]
    assert calls in ([], ["good"], [name, "good"])
    assert calls or len(name) > 1000
    assert scenario.faults[0].fault.kind == "tcp-latency"
    assert all(sign.isprintable() or sign == "\n" for sign in text)


def test_what_depends_on_something_unwritable_is_left_out_with_it() -> None:
    """And both are named at the end."""
    link = Link(argument="id", provider="${odd}", path="id", name="odd_id")
    fetch = learned("fetch", arguments={"id": "${odd_id}"}, links=(link,))
    text = text_of(findings(learned("${odd}"), fetch, learned("good")))
    assert "tool ${odd}: a scenario file cannot say" in text
    assert "tool fetch: it needs what another step would have brought" in text


def test_slow_tools_and_tools_that_write_have_agents_of_their_own() -> None:
    """Nobody's pace is quicker than four of its slowest calls."""
    found = findings(
        learned("quick"),
        learned("report", latency_ms=2000.0, longest_ms=2600.0),
        learned("order", effects="adds"),
        learned("elsewhere", open_world=True),
    )
    agents = {agent.name: agent for agent in scenario_of(found).agents}
    calls = {
        name: {step.call for step in agent.steps if isinstance(step, CallStep)}
        for name, agent in agents.items()
    }
    assert calls == {"reader": {"quick"}, "slow": {"report", "elsewhere"}, "writer": {"order"}}
    assert agents["slow"].pace_s >= 8
    assert sum(agent.share for agent in agents.values()) == pytest.approx(1)


def test_effects_are_demanded_once_only_where_they_are_counted() -> None:
    """With the audit that counts them; with a key for repeats, replies are lost as well."""
    counter = Counter(tool="count", arguments={}, path="orders")
    order = {"effects": "adds", "arguments": {"text": "${nonce}", "request_id": "${nonce}"}}
    plain = scenario_of(findings(learned("count"), learned("order", **order)))
    assert plain.audit is None
    assert "effect" not in plain.agents[-1].steps[0].model_fields_set
    keyed = learned("order", **order, repeat_key="request_id", counted=True)
    audited = scenario_of(findings(learned("count"), keyed, counter=counter))
    assert audited.audit is not None
    assert (audited.audit.call, audited.audit.counts) == ("count", "orders")
    (step,) = audited.agents[-1].steps
    assert isinstance(step, CallStep)
    assert step.effect == "once"
    assert audited.client.retry.attempts == 3
    assert [window.fault.kind for window in audited.faults][-1] == "response-lost"


def test_nothing_is_repeated_that_a_server_could_do_twice() -> None:
    """One tool that writes, without a key for its repeats, and no call is tried again."""
    counter = Counter(tool="count", arguments={}, path="orders")
    arguments = {"text": "${nonce}"}
    once = learned("order", effects="adds", arguments=arguments, counted=True)
    scenario = scenario_of(findings(learned("count"), once, counter=counter), target=PIPED)
    assert scenario.client.retry.attempts == 1
    assert scenario_of(findings(learned("count")), target=PIPED).client.retry.attempts == 3


@pytest.mark.parametrize("latency_ms", [0.1, 5.0, 60.0, 250.0, 4000.0])
@pytest.mark.parametrize("where", ["http", "pipes", "remote"])
def test_each_phase_holds_the_calls_that_a_judgement_needs(latency_ms: float, where: str) -> None:
    """However slow the server is, within a few minutes, and never at more than half its load."""
    found = findings(
        learned("a", latency_ms=latency_ms, longest_ms=latency_ms * 2), opening_ms=700.0
    )
    target = PIPED if where == "pipes" else URL
    scenario = scenario_of(found, target=target, remote=where == "remote")
    made = plan.make(scenario)
    rate = sum(1e9 / one.pace_ns for one in made.sessions if one.arm == "treated")
    slow = latency_ms > 1000
    assert rate * scenario.phases.recovery_s >= (10 if slow else 29)
    assert cramped(made, scenario) is None
    assert made.end_ns < 300e9
    servers = len(made.sessions) if where == "pipes" else 1
    apart = latency_ms > 100  # the readers only list
    asking = [
        one for one in made.sessions if scenario.agents[one.agent].name == "slow" or not apart
    ]
    assert sum(1e9 / one.pace_ns for one in asking) * latency_ms / 1e3 <= 0.55 * servers
    if where == "remote":
        assert len(made.sessions) <= 8
        assert sum(1e9 / one.pace_ns for one in made.sessions) <= 8


def test_a_server_that_offers_nothing_to_try_is_asked_for_its_lists() -> None:
    """That is a scenario too, and a newcomer's first run passes on it."""
    scenario = scenario_of(findings(resources=True))
    assert [step.method for step in scenario.agents[0].steps] == ["resources/list"]  # type: ignore[union-attr]
    assert isinstance(scenario.faults[0].fault, TcpLatency)


TARGETS: Final = (
    URL,
    UrlTarget.model_validate(
        {"url": "http://127.0.0.1:1/mcp", "socket": "/run/a.sock", "transport": "http"}
    ),
    UrlTarget.model_validate({"url": "https://localhost:1/mcp", "tls": {"ca": "ca.pem"}}),
    LaunchTarget.model_validate(
        {
            "launch": ("python", "server.py", "--port", "${port}"),
            "url": "http://127.0.0.1:${port}/mcp",
            "environment": {"PORT": "${port}"},
            "ready": "60s",
        }
    ),
    PIPED,
)


@pytest.mark.parametrize("target", TARGETS, ids=lambda one: type(one).__name__)
def test_the_target_is_the_one_that_was_visited(target: Any) -> None:
    """With everything that it takes to reach it."""
    assert scenario_of(findings(learned("a")), target=target).target == target


@pytest.mark.parametrize("grant", ["bearer", "client_credentials"])
def test_a_target_with_tokens_has_its_variables_named_and_no_secret(
    grant: Literal["bearer", "client_credentials"], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And tokens that are no longer good are among the faults."""
    monkeypatch.setenv("SQUALL_TOKEN", "tok-0123456789abcdef")
    text = text_of(findings(learned("a")), auth=Auth(issuer="target", grant=grant))
    scenario = load_text(text, "shop.yaml").scenario
    assert scenario.auth is not None
    assert (scenario.auth.issuer, scenario.auth.grant) == ("target", grant)
    assert "token-expire" in [window.fault.kind for window in scenario.faults]
    assert "tok-0123456789" not in text


def test_a_secret_in_the_target_is_not_written_and_that_is_said() -> None:
    """The reader learns how to name the real one."""
    target = StdioTarget(stdio=("srv", "--api-key", "sk-0123456789"))
    text = text_of(findings(learned("a")), target=target)
    assert "sk-0123456789" not in text
    assert "There was a credential in the target" in text


def test_many_things_that_are_left_out_do_not_drown_the_file() -> None:
    """The first are named, the rest are counted, and the file stays small enough to be read."""
    left = tuple(
        LeftOut(kind="tool", name=f"t{number}" * 40, why="é" * 3000 if number % 2 else f"{number}")
        for number in range(2000)
    )
    many = tuple(learned(f"tool{number}", arguments={"text": "x" * 1000}) for number in range(99))
    text = text_of(findings(*many, left_out=left))
    assert len(text.encode()) < 60_000
    assert "# - and " in text


@pytest.mark.parametrize("slow_ms", [155.0, 400.0, 900.0])
@pytest.mark.parametrize("opening_ms", [100.0, 11_000.0])
@pytest.mark.parametrize("writes", [False, True])
def test_a_few_sessions_shared_out_still_show_whether_the_limit_is_held(
    slow_ms: float, opening_ms: float, *, writes: bool
) -> None:
    """Eight sessions cannot be split as exactly as their shares are written."""
    found = [learned("quick"), learned("slow", latency_ms=slow_ms, longest_ms=slow_ms * 1.2)]
    found += [learned("add", effects="adds")] if writes else []
    scenario = scenario_of(findings(*found, opening_ms=opening_ms), target=PIPED)
    assert cramped(plan.make(scenario), scenario) is None


def test_what_an_answer_repeats_is_expected_again() -> None:
    """Beside what it hands on, each by its path, with the value it was asked for."""
    link = Link(argument="id", provider="search", path="items[0].id", name="search_id")
    search = learned("search", arguments={"zone": "UTC", "page": 1}, repeats={"zone": "zone"})
    fetch = learned(
        "fetch",
        arguments={"id": "${search_id}", "page": 1},
        links=(link,),
        echoes=("id", "search_id"),
        repeats={"at.page": "page"},
    )
    (agent,) = scenario_of(findings(search, fetch)).agents
    steps = {one.call: one for one in agent.steps if isinstance(one, CallStep)}
    assert steps["search"].expect.equals == {"zone": "UTC"}
    assert steps["fetch"].expect.equals == {"id": "${search_id}", "at.page": 1}
