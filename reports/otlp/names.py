"""How conventions name what a run knows: the method and tool of a call, its error, its target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from harness.evidence.attempts import Attempts
from harness.journal import SessionEntry
from harness.outcome import Outcome, Reason
from harness.plan import flat
from harness.redaction import redact
from harness.scenario.records import CallStep, PromptStep, ReadStep, SingleStep, SubscribeStep
from harness.scenario.transports import is_piped

Told = Mapping[str, str | int | float | bool]

METHOD: Final = "mcp.method.name"
SESSION: Final = "mcp.session.id"
PROTOCOL: Final = "mcp.protocol.version"
RESOURCE: Final = "mcp.resource.uri"
TOOL: Final = "gen_ai.tool.name"
PROMPT: Final = "gen_ai.prompt.name"
AGENT: Final = "gen_ai.agent.name"
OPERATION: Final = "gen_ai.operation.name"
ERROR: Final = "error.type"
STATUS: Final = "http.response.status_code"

_HTTP_STATUS_MIN: Final = 100
_TEMPLATE: Final = "${"
# By what the finer reason adds nothing to, or is told otherwise.
_ERRORS: Final[Mapping[Outcome, str]] = {
    Outcome.TOOL_ERROR: "tool_error",  # the conventions' own word
    Outcome.TIMEOUT: "timeout",
    Outcome.HANG: "hang",
}


def of_calls(of: Attempts) -> tuple[dict[str, str], ...]:
    """Give the attributes that name each of the plan's calls, by its index."""
    names: list[dict[str, str]] = [{} for _ in of.plan.calls]
    for agent, positions in zip(of.scenario.agents, of.plan.positions, strict=True):
        for step, call in zip(flat(agent), positions, strict=True):
            names[call] = _of_step(step)
    return tuple(names)


def _of_step(step: SingleStep) -> dict[str, str]:
    match step:
        case CallStep():
            return {METHOD: "tools/call", TOOL: step.call, OPERATION: "execute_tool"}
        case PromptStep():
            return {METHOD: "prompts/get", PROMPT: step.prompt}
        case ReadStep():
            uri = {} if _TEMPLATE in step.read else {RESOURCE: redact(step.read)}
            return {METHOD: "resources/read", **uri}
    uri = {RESOURCE: redact(step.uri)} if isinstance(step, SubscribeStep) else {}
    return {METHOD: step.method, **uri}


def span_name(call: Mapping[str, str]) -> str:
    """Name a client's span: the method, and the tool or the prompt, but no URI."""
    target = call.get(TOOL) or call.get(PROMPT)
    return f"{call[METHOD]} {target}" if target else call[METHOD]


def error_type(outcome: int, reason: int, status: int) -> str:
    """Say of what class the error is that an attempt ended with; "" where it ended well."""
    what = Outcome(outcome)
    if what in (Outcome.OK, Outcome.ABANDONED):
        return ""
    if what is Outcome.HTTP_ERROR and status >= _HTTP_STATUS_MIN:
        return str(status)
    if what in _ERRORS:
        return _ERRORS[what]
    return (Reason(reason) if reason else what).name.lower()


def of_target(of: Attempts, facts: Mapping[str, Any]) -> dict[str, str | int]:
    """Give the attributes that say which server was spoken to, and how; never its credentials."""
    protocols = {one.protocol for one in of.journal.of(SessionEntry) if one.protocol}
    said: dict[str, str | int] = {PROTOCOL: protocols.pop()} if len(protocols) == 1 else {}
    if is_piped(of.scenario.target):
        return {**said, "network.transport": "pipe"}
    said |= {"network.protocol.name": "http", "network.protocol.version": "1.1"}
    socket = getattr(of.scenario.target, "unix_socket", "")
    if socket:
        return {**said, "network.transport": "unix", "server.address": socket}
    url = urlsplit(str(facts.get("target", "")))
    said["network.transport"] = "tcp"
    if url.hostname:
        said["server.address"] = url.hostname
        said["server.port"] = url.port or (443 if url.scheme == "https" else 80)
    return said
