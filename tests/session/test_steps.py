from __future__ import annotations

from typing import Any

import pytest
from pydantic_core import from_json, to_json

from harness.plan import make
from harness.scenario.records import Scenario
from harness.session.steps import Step, compile_agent, inflate

VALUES = {"nonce": "n0123456789abcdef", "session": "s", "doc": "d1", "index": 3, "agent": "a"}


def _steps(*steps: dict[str, Any]) -> tuple[tuple[Step, ...], tuple[str, ...]]:
    scenario = Scenario.model_validate(
        {
            "question": "What is sent for each kind of step?",
            "agents": [{"name": "a", "steps": list(steps)}],
            "client": {"deadline": "4s"},
        }
    )
    plan = make(scenario)
    return compile_agent(scenario, plan, 0), plan.calls


@pytest.mark.parametrize(
    ("written", "method", "name", "params"),
    [
        ({"method": "tools/list"}, "tools/list", "", {}),
        ({"method": "ping"}, "ping", "", {}),
        (
            {"call": "search", "with": {"query": "${nonce}", "limit": 5}},
            "tools/call",
            "search",
            {"name": "search", "arguments": {"query": "n0123456789abcdef", "limit": 5}},
        ),
        (
            {"read": "note://${doc}"},
            "resources/read",
            "note://${doc}",
            {"uri": "note://d1"},
        ),
        (
            {"prompt": "greet", "with": {"who": "${session}"}},
            "prompts/get",
            "greet",
            {"name": "greet", "arguments": {"who": "s"}},
        ),
    ],
)
def test_a_step_becomes_its_request(
    written: dict[str, Any], method: str, name: str, params: dict[str, Any]
) -> None:
    """Method, name and parameters as the protocol has them."""
    (step,), _ = _steps(written)
    assert (step.method, step.name) == (method, name)
    assert from_json(step.params.render_json(VALUES)) == params


def test_a_name_with_a_value_in_it_is_rendered() -> None:
    """The headers of the modern era name the resource that is really read."""
    (read, plain), _ = _steps({"read": "note://${doc}"}, {"read": "note://fixed"})
    assert read.named is not None
    assert read.named.render_text(VALUES) == "note://d1"
    assert plain.named is None


def test_parallel_steps_are_flattened_as_the_plan_flattens_them() -> None:
    """A position means the same step to both."""
    steps, calls = _steps(
        {"call": "a"}, {"parallel": [{"call": "b"}, {"call": "a"}]}, {"method": "ping"}
    )
    assert [calls[step.call] for step in steps] == ["a", "b", "a", "ping"]


def test_a_deadline_is_the_step_s_own_or_the_client_s() -> None:
    """In nanoseconds."""
    steps, _ = _steps({"call": "a", "deadline": "500ms"}, {"call": "a"}, {"method": "ping"})
    assert [step.deadline_ns for step in steps] == [500_000_000, 4_000_000_000, 4_000_000_000]


def test_only_a_declared_effect_is_one() -> None:
    """`effect: once` is the author's claim."""
    steps, _ = _steps({"call": "a", "effect": "once"}, {"call": "a"}, {"method": "ping"})
    assert [step.effect for step in steps] == [True, False, False]


# --- oversized arguments --------------------------------------------------------------------


def test_the_argument_with_the_nonce_is_inflated() -> None:
    """The nonce stays at its front, so that the result can be told from a foreign one."""
    nonce = VALUES["nonce"]
    params = to_json({"name": "t", "arguments": {"key": "k", "text": nonce}})
    grown = inflate(params, str(nonce), 70_000)
    assert grown is not None
    arguments = from_json(grown)["arguments"]
    assert arguments["key"] == "k"
    assert arguments["text"].startswith(f"{nonce} x")
    assert len(arguments["text"]) >= 70_000


def test_the_first_text_is_inflated_where_none_carries_the_nonce() -> None:
    """Numbers and lists are left alone."""
    grown = inflate(to_json({"arguments": {"n": 1, "text": "hello", "more": "x"}}), "n0", 70_000)
    assert grown is not None
    arguments = from_json(grown)["arguments"]
    assert arguments["n"] == 1
    assert arguments["more"] == "x"
    assert arguments["text"].startswith("hello x")
    assert len(arguments["text"]) >= 70_000


@pytest.mark.parametrize(
    "params", [{}, {"arguments": {}}, {"arguments": {"n": 1}}, {"arguments": None}]
)
def test_a_request_without_a_text_cannot_be_inflated(params: dict[str, Any]) -> None:
    """Nothing is sent then, rather than something that the tool does not know."""
    assert inflate(to_json(params), "n0", 70_000) is None
