"""Builders of journals: a whole believable run in a line, and its parts for the odd ones out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from faults.fault import Fault
from harness.evidence.phases import Evidence, evidence
from harness.journal import (
    Calls,
    EffectEntry,
    FaultEntry,
    HealthEntry,
    Journal,
    RunEntry,
    SessionEntry,
    empty_calls,
)
from harness.outcome import Auth, Effect, EndedBy, Outcome, Reason
from harness.plan import Plan, flat, make
from harness.scenario.records import CallStep, Scenario

S = 1_000_000_000
MS = 1_000_000
SEARCH: dict[str, Any] = {"call": "search", "with": {"query": "${nonce}"}}
NOTE: dict[str, Any] = {
    "call": "append_note",
    "with": {"key": "${session}", "text": "${nonce}"},
    "effect": "once",
}
Spoil = Callable[[Calls], object]


def scenario(
    *windows: dict[str, Any], steps: Sequence[dict[str, Any]] = (SEARCH, NOTE), **changes: Any
) -> Scenario:
    """Make a small scenario: 20 sessions, 4 steps a second each, 10 s of baseline and recovery.

    `windows` are written as records: `{"fault": TcpLatency(), "for": "10s"}`.
    """
    document: dict[str, Any] = {
        "question": "Does it hold when things break?",
        "seed": 7,
        "agents": [{"name": "worker", "pace": "4/s", "steps": list(steps)}],
        "load": {"sessions": 20, "ramp": "1s"},
        "phases": {"warmup": "1s", "baseline": "10s", "recovery": "10s"},
        "faults": list(windows),
    }
    return Scenario.model_validate(document | changes)


def window(fault: Fault, duration_s: float = 10.0) -> dict[str, Any]:
    """Make the record of one fault window, for `scenario`."""
    return {"fault": fault, "for": f"{duration_s}s"}


def plan(of: Scenario) -> Plan:
    """Plan a scenario as a run would."""
    return make(of)


# --- parts of a journal ---------------------------------------------------------------------


def calls(count: int = 1, *, took_ms: ArrayLike = 20.0, **columns: ArrayLike) -> Calls:
    """Make settled, answered calls of a control session; columns by name, `due_s` for seconds."""
    made = empty_calls(count)
    made["attempt"] = made["last"] = 1
    made["index"] = np.arange(count)
    made["status"] = 200
    made["rows"] = -1
    made["request_bytes"], made["reply_bytes"] = 300, 400
    if "due_s" in columns:
        made["due_ns"] = np.round(np.asarray(columns.pop("due_s"), dtype=float) * S)
    for name, values in columns.items():
        made[name] = values
    if "sent_ns" not in columns:
        made["sent_ns"] = made["due_ns"] + MS // 5
    if "done_ns" not in columns:
        took(made, slice(None), took_ms)
    return in_order(made)


def took(made: Calls, which: Any, took_ms: ArrayLike) -> None:
    """Let some calls be done so long after they were due."""
    made["done_ns"][which] = made["due_ns"][which] + np.asarray(
        np.asarray(took_ms, dtype=float) * MS, dtype=np.int64
    )
    made["first_ns"][which] = made["done_ns"][which]


def end(
    made: Calls,
    which: Any,
    outcome: Outcome,
    reason: Reason = Reason.NONE,
    *,
    status: int = 0,
    took_ms: ArrayLike | None = None,
    ended_by: EndedBy = EndedBy.REPLY,
) -> None:
    """Let some calls end otherwise than well."""
    made["outcome"][which], made["reason"][which] = outcome, reason
    made["status"][which], made["ended_by"][which] = status, ended_by
    if took_ms is not None:
        took(made, which, took_ms)


def unsend(made: Calls, which: Any, reason: Reason = Reason.SESSION_DEAD) -> None:
    """Let some steps never start."""
    end(made, which, Outcome.UNSENT, reason, ended_by=EndedBy.NEVER_SENT)
    made["sent_ns"][which] = made["first_ns"][which] = -1
    made["done_ns"][which] = made["due_ns"][which]
    made["attempt"][which] = 1


def between(made: Calls, start_s: float, end_s: float) -> NDArray[np.bool_]:
    """Select the calls due in a stretch of the run."""
    return np.asarray((made["due_ns"] >= start_s * S) & (made["due_ns"] < end_s * S))


def in_order(made: Calls) -> Calls:
    """Sort records the way a journal is read."""
    return made[np.lexsort((made["attempt"], made["index"], made["session"]))]


def journal(entries: Sequence[Any] = (), made: Calls | None = None) -> Journal:
    """Make a journal from its parts, in time order."""
    return Journal(
        entries=tuple(sorted(entries, key=lambda entry: entry.at_ns)),
        calls=empty_calls() if made is None else in_order(made),
    )


def session(number: int, *edges: tuple[str, float], era: str = "legacy") -> tuple[Any, ...]:
    """Make a session's life from (edge, seconds) pairs."""
    return tuple(
        SessionEntry(at_ns=round(at_s * S), session=number, edge=edge, era=era)  # type: ignore[arg-type]
        for edge, at_s in edges
    )


def fault_window(
    of: Plan,
    fault: Fault,
    number: int = 1,
    *,
    exposed: int = 100,
    unit: str = "connections",
    source: str = "injector",
    edges: Sequence[str] = ("intended", "injected", "healing", "healed"),
    error: str = "",
) -> tuple[FaultEntry, ...]:
    """Make the edges of one window at their planned times, a few milliseconds late."""
    planned = of.windows[number - 1]
    at_ns = {
        "intended": planned.start_ns,
        "injected": planned.start_ns + 5 * MS,
        "failed": planned.start_ns + 5 * MS,
        "healing": planned.end_ns,
        "healed": planned.end_ns + 5 * MS,
        "not_healed": planned.end_ns + 5 * MS,
    }
    return tuple(
        FaultEntry(
            at_ns=at_ns[edge],
            window=number,
            kind=fault.kind,
            lever=fault.lever,
            edge=edge,  # type: ignore[arg-type]
            exposure_count=exposed if edge in ("healing", "healed") else 0,
            exposure_unit=unit if edge in ("healing", "healed") else "",
            exposure_source=source if edge in ("healing", "healed") else "",
            error=error if edge in ("failed", "not_healed") else "",
        )
        for edge in edges
    )


def health(at_s: float, worker: int = 0, **changes: Any) -> HealthEntry:
    """Make one second of a generator at ease."""
    fields: dict[str, Any] = {
        "lag_p50_ms": 0.2,
        "lag_p99_ms": 1.0,
        "slip_p50_ms": 0.1,
        "slip_p99_ms": 0.6,
        "cpu_share": 0.2,
        "run_delay_share": 0.01,
        "sessions": 20,
        "calls": 80,
    }
    return HealthEntry(at_ns=round(at_s * S), worker=worker, **(fields | changes))


# --- a whole run ----------------------------------------------------------------------------


def healthy_calls(of: Scenario, by: Plan, *, latency_ms: float = 20.0, seed: int = 1) -> Calls:
    """Make the calls of a run that went as well as it could under its faults."""
    random = np.random.default_rng(seed)
    steps = [step for who in by.sessions for step in by.steps(who.session)]
    arm = {who.session: who.arm == "treated" for who in by.sessions}
    made = calls(
        len(steps),
        took_ms=latency_ms * random.lognormal(0.0, 0.25, len(steps)),
        due_ns=[step.due_ns for step in steps],
        session=[step.session for step in steps],
        index=[step.index for step in steps],
        call=[by.call(step) for step in steps],
        treated=[arm[step.session] for step in steps],
        auth=Auth.NONE_NEEDED if of.auth is None else Auth.VALID,
    )
    for planned, window_ in zip(by.windows, of.faults, strict=True):
        struck = made["treated"] == 1
        struck &= (made["due_ns"] >= planned.start_ns) & (made["due_ns"] < planned.end_ns)
        if window_.fault.stops_service():
            reset_ms = 200.0
            end(made, struck, Outcome.TRANSPORT_ERROR, Reason.RESET, took_ms=reset_ms)
        else:
            made["done_ns"][struck] += round(window_.fault.added_round_trip_s() * S)
    return made


def healthy(
    of: Scenario,
    by: Plan,
    *,
    latency_ms: float = 20.0,
    seed: int = 1,
    spoil: Spoil | None = None,
    extra: Sequence[Any] = (),
    exposed: int = 100,
    source: str = "injector",
    era: str = "legacy",
    how: str = "completed",
) -> Journal:
    """Make the journal of a believable run; `spoil` may change the calls before effects follow."""
    made = healthy_calls(of, by, latency_ms=latency_ms, seed=seed)
    if spoil is not None:
        spoil(made)
    once = [
        call
        for agent, positions in zip(of.agents, by.positions, strict=True)
        for step, call in zip(flat(agent), positions, strict=True)
        if isinstance(step, CallStep) and step.effect == "once"
    ]
    writes = np.isin(made["call"], once)
    made["effect"][writes] = np.where(
        made["outcome"][writes] == Outcome.OK, Effect.HAPPENED, Effect.UNKNOWN
    )
    entries: list[Any] = [
        RunEntry(at_ns=0, edge="started"),
        RunEntry(at_ns=by.end_ns + S // 10, edge="ended", how=how),  # type: ignore[arg-type]
        *(health(second) for second in range(1, by.end_ns // S)),
        *extra,
    ]
    for who in by.sessions:
        opened_s = who.open_ns / S
        entries += session(who.session, ("opened", opened_s), ("closed", by.end_ns / S), era=era)
    for planned, window_ in zip(by.windows, of.faults, strict=True):
        entries += fault_window(by, window_.fault, planned.window, exposed=exposed, source=source)
    done = made[writes & (made["outcome"] == Outcome.OK)]
    entries += [
        EffectEntry(
            at_ns=int(row["done_ns"]) - MS,
            key=by.nonce(int(row["session"]), int(row["index"])),
            tool=by.calls[int(row["call"])],
        )
        for row in done
    ]
    return journal(entries, made)


def storm(*faults: Fault, **options: Any) -> Evidence:
    """Make the evidence of a healthy run under some faults, in one line."""
    of = scenario(*(window(fault) for fault in faults))
    by = plan(of)
    return evidence(of, by, healthy(of, by, **options))
