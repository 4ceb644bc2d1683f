"""Whether what a scenario asks for can be had over the transport that its target speaks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from faults.agent import SlowReader
from faults.agent_calls import IdCollide
from faults.agent_sessions import OutsiderFault
from faults.fault import Fault
from faults.process import Relaunch, Sigterm
from harness.scenario.mistakes import Trail
from harness.scenario.objections import Objection
from harness.scenario.records import (
    ReferenceTarget,
    Scenario,
    StdioTarget,
    Target,
    UrlTarget,
)

PROCESSES_MAX: Final = 256  # a server's process may well take 60 MiB
# Of the bundled server's flaws, those that need HTTP or tokens to show.
HTTP_FLAWS: Final = (
    "auth-at-init-only",
    "expired-is-403",
    "session-bound-to-token",
    "sigterm-hang",
    "sigterm-cut",
    "memory-per-call",
    "no-keepalive",
    "lazy-env",
    "absolute-write-timeout",
    "no-flush-header",
    "id-keyed-responses",
    "global-lock",
    "cancel-ignored",
    "id-zero-falsy",
    "disconnect-crash",
    "unbounded-queue",
    "orphan-task",
    "health-lies",
    "ready-too-early",
    "cwd-relative",
    "ram-state",
)
_UNSPOKEN: Final = ("stdio", "sse")
_INSTEAD: Final = {
    "tcp-blackhole": "process-stop",
    "tcp-reset": "process-kill",
    "tcp-down": "process-kill",
    "tcp-truncate": "process-kill",
}


def is_piped(target: Target) -> bool:
    """Whether a target is spoken to over pipes, so that there is no network and no token."""
    if isinstance(target, ReferenceTarget):
        return target.transport == "stdio"
    return isinstance(target, StdioTarget)


def is_shared(target: Target) -> bool:
    """Whether the sessions of an arm speak to one process."""
    return isinstance(target, ReferenceTarget | StdioTarget) and target.processes == "shared"


def _no(trail: Trail, expected: str, came: str, mend: str) -> Objection:
    return Objection(trail=trail, expected=expected, came=came, mend=mend)


def clashes(scenario: Scenario) -> Iterator[Objection]:
    """Yield everything that the target's transport cannot do."""
    piped = is_piped(scenario.target)
    yield from _over_pipes(scenario) if piped else _over_a_network(scenario)
    for number, window in enumerate(scenario.faults):
        trail: Trail = ("faults", number, window.fault.kind)
        yield from _misplaced(window.fault, trail, scenario.target)
        if _of_http(window.fault) and scenario.target.transport in _UNSPOKEN:
            expected = "a target over Streamable HTTP, whose sessions and headers it is about"
            mend = "remove the fault, or give the target another transport"
            yield _no(trail, expected, f"transport: {scenario.target.transport}", mend)


def _of_http(fault: Fault) -> bool:
    """Whether a fault is about what Streamable HTTP alone has."""
    if isinstance(fault, SlowReader):
        return bool(fault.tool)
    return isinstance(fault, OutsiderFault | IdCollide)


def _misplaced(fault: Fault, trail: Trail, target: Target) -> Iterator[Objection]:
    if not is_piped(target):
        yield from _misplaced_on_a_network(fault, trail, target)
    elif fault.lever == "network":
        instead = _INSTEAD.get(fault.kind, "slow-reader")
        mend = f"use {instead}, or remove the fault"
        yield _no(trail, "a fault without a network, as pipes have none", fault.kind, mend)
    elif fault.lever == "identity":
        expected = "a fault without tokens, as pipes carry none"
        yield _no(trail, expected, fault.kind, "remove the fault, or give the target a url:")
    elif isinstance(fault, Sigterm | Relaunch):
        expected = "a target with an address, as a server over pipes is told to end by their end"
        yield _no(trail, expected, fault.kind, "use process-kill, or remove the fault")


def _misplaced_on_a_network(fault: Fault, trail: Trail, target: Target) -> Iterator[Objection]:
    if isinstance(fault, SlowReader) and not fault.tool:
        expected = "over HTTP, a tool whose progress is read slowly"
        mend = "add tool: NAME and argument: NAME, or speak to a target over stdio"
        yield _no(trail, expected, "a target with an address", mend)
    elif fault.lever == "process" and isinstance(target, UrlTarget):
        expected = "a target that squall starts, for it alone it may end"
        mend = "write target: {launch: [COMMAND], url: URL}, or remove the fault"
        yield _no(trail, expected, "a server that runs already", mend)


def _over_pipes(scenario: Scenario) -> Iterator[Objection]:
    target, sessions = scenario.target, scenario.load.sessions
    if scenario.auth is not None:
        expected = "no auth, as pipes carry no tokens"
        mend = "remove it; credentials go into target.environment"
        yield _no(("auth",), expected, f"grant {scenario.auth.grant}", mend)
    if scenario.engine == "sdk":
        expected = "our own engine, which alone is driven over pipes here"
        yield _no(("engine",), expected, "sdk", "remove engine: sdk")
    if scenario.client.listen:
        expected = "no listen, as pipes have no GET stream"
        yield _no(("client", "listen"), expected, "true", "remove it")
    if not is_shared(target) and sessions > PROCESSES_MAX:
        yield _no(
            ("load", "sessions"),
            f"at most {PROCESSES_MAX} sessions with a process each",
            f"{sessions} sessions, so {sessions} processes",
            "ask for fewer, or say processes: shared",
        )
    if isinstance(target, ReferenceTarget):
        for flaw in target.flaws:
            if flaw in HTTP_FLAWS:
                expected = "flaws that can show without HTTP and tokens"
                mend = "remove it, or transport: stdio"
                yield _no(("target", "reference"), expected, flaw, mend)


def _over_a_network(scenario: Scenario) -> Iterator[Objection]:
    target = scenario.target
    if isinstance(target, ReferenceTarget) and "processes" in target.model_fields_set:
        expected = "transport: stdio beside it, where alone there are several processes"
        yield _no(("target", "processes"), expected, target.processes, "add transport: stdio")
