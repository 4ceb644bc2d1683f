"""Scenario steps, compiled once per process: from a step to the bytes of its request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json, to_json

from harness.clock import NS_PER_S
from harness.outcome import Outcome, Reason
from harness.plan import Plan
from harness.scenario import expectations, expressions, results
from harness.scenario.records import (
    Agent,
    AnyStep,
    CallStep,
    ListStep,
    ParallelStep,
    PromptStep,
    ReadStep,
    Scenario,
    SingleStep,
    SubscribeStep,
)
from harness.session.talking import Talk
from harness.wire.reply import Reply

PADDING = b"x"
_OK = Outcome.OK  # bound once: looking a member up on its class costs more than comparing it


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One step, ready to be sent: its request's parts, and what its reply must show."""

    call: int  # index into Plan.calls
    method: str
    name: str  # the tool, prompt or resource; "" for lists
    named: expressions.Template | None  # when the name itself holds ${...}
    params: expressions.Template
    kept_needs: frozenset[str]  # of the values it needs, those that earlier steps must have kept
    expect: Callable[[Mapping[str, Any], Mapping[str, Any]], Reason | None]
    keep: Callable[[Mapping[str, Any]], dict[str, Any]] | None
    keeps: tuple[str, ...]
    effect: bool
    deadline_ns: int
    counts_rows: bool
    expects_error: bool
    talk: Talk | None = None  # what it asks for beyond its reply; None for nothing


def compile_agent(scenario: Scenario, plan: Plan, number: int) -> tuple[Step, ...]:
    """Compile an agent's steps, parallel groups flattened as the plan flattens them."""
    agent: Agent = scenario.agents[number]
    flat = [single for step in agent.steps for single in _members(step)]
    positions = plan.positions[number]
    return tuple(
        _compile(single, call=positions[index], scenario=scenario)
        for index, single in enumerate(flat)
    )


def _members(step: AnyStep) -> tuple[SingleStep, ...]:
    return step.parallel if isinstance(step, ParallelStep) else (step,)


def _compile(step: SingleStep, *, call: int, scenario: Scenario) -> Step:
    name, effect, deadline_s = "", False, None
    keep: Mapping[str, str] = {}
    named: expressions.Template | None = None
    params: Any
    match step:
        case CallStep():
            method, name, keep = "tools/call", step.call, step.keep
            params = {"name": step.call, "arguments": step.arguments}
            effect, deadline_s = step.effect == "once", step.deadline_s
        case ReadStep():
            method, name, keep = "resources/read", step.read, step.keep
            params, deadline_s = {"uri": step.read}, step.deadline_s
            named = expressions.compile(step.read)
        case PromptStep():
            method, name = "prompts/get", step.prompt
            params = {"name": step.prompt, "arguments": step.arguments}
            deadline_s = step.deadline_s
        case SubscribeStep():
            method, name, params = step.method, step.uri, {"uri": step.uri}
            deadline_s = step.deadline_s
        case ListStep():
            method, params = step.method, {}
    talk = _talk(step)
    if talk is not None and talk.progress:
        params["_meta"] = {"progressToken": "${nonce}"}
    if scenario.observe.traces or scenario.dependencies:  # whose ledger knows a call by it
        params.setdefault("_meta", {})["traceparent"] = "${traceparent}"
    template = expressions.compile(params)
    return Step(
        call=call,
        method=method,
        name=name,
        named=named if named is not None and named.needs else None,
        params=template,
        kept_needs=template.needs - expressions.BUILTINS,
        expect=expectations.compile(step.expect),
        keep=expectations.compile_keep(keep) if keep else None,
        keeps=tuple(keep),
        effect=effect,
        deadline_ns=round((deadline_s or scenario.client.deadline_s) * NS_PER_S),
        expects_error=step.expect.error,
        talk=talk,
        counts_rows=method in {"tools/call", "tools/list", "resources/list", "prompts/list"},
    )


def _talk(step: SingleStep) -> Talk | None:
    """What a step asks for beyond its reply; None for nothing, which is the common case."""
    if isinstance(step, SubscribeStep):
        ends = step.method == "resources/unsubscribe"
        return Talk(subscription="unsubscribe" if ends else "subscribe")
    if not isinstance(step, CallStep):
        return None
    talk = Talk(
        progress=step.progress or step.expect.progress is not None or step.patience_s is not None,
        patience_ns=round((step.patience_s or 0) * NS_PER_S),
        cancel_after_ns=None
        if step.cancel_after_s is None
        else round(step.cancel_after_s * NS_PER_S),
        task=step.task,
    )
    return None if talk == Talk() else talk


def measure(reply: Reply, step: Step, values: Mapping[str, Any]) -> int:
    """Hold a reply against the expectations; give its rows, -1 where none can be counted."""
    if reply.outcome is _OK:
        reason = step.expect(reply.result, values)
        if reason is not None:
            reply.outcome, reply.reason = Outcome.WRONG, reason
    elif reply.outcome is not Outcome.TOOL_ERROR or not step.expects_error:
        return results.ROWS_UNKNOWN
    elif step.expect(reply.result, values) is None:
        reply.outcome, reply.reason = Outcome.OK, Reason.NONE
    return results.rows(reply.result) if step.counts_rows else results.ROWS_UNKNOWN


def inflate(params: bytes, nonce: str, size_bytes: int) -> bytes | None:
    """Make the text argument that carries the nonce, or else the first one, `size_bytes` long.

    None when the request has no text argument to inflate.
    """
    padding = PADDING * size_bytes
    marker = nonce.encode()
    if marker in params:
        return params.replace(marker, marker + b" " + padding, 1)
    document = from_json(params)
    arguments = document.get("arguments")
    texts = [key for key, value in (arguments or {}).items() if isinstance(value, str)]
    if not texts:
        return None
    arguments[texts[0]] = arguments[texts[0]] + " " + padding.decode()
    return to_json(document)
