"""Climbs of servers whose capacity is known, without a server: queues computed call by call."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

import numpy as np

from harness.capacity.arrivals import due_times_ns
from harness.capacity.course import Course, prepare
from harness.capacity.ladder import next_rate, step_length_s
from harness.capacity.ruling import evidence_of
from harness.capacity.steps import Bars, Reading, readings
from harness.journal import (
    Calls,
    FaultEntry,
    HealthEntry,
    Journal,
    RunEntry,
    StepEntry,
    empty_calls,
)
from harness.outcome import Outcome, Reason
from harness.scenario.conditions import limits
from harness.scenario.records import Scenario
from tests.journals import S
from tests.journals import scenario as small

# Takes the moments at which calls are due (s); gives how long each took (s), and which failed.
Server = Callable[[np.ndarray[Any, Any], np.random.Generator], tuple[Any, Any]]
DEADLINE_S = 10.0


def queue(slots: int, service_s: Callable[[np.random.Generator], float]) -> Server:
    """Make a server of `slots` that takes calls in turn: its capacity is slots by mean service."""

    def serve(due_s: np.ndarray[Any, Any], random: np.random.Generator) -> tuple[Any, Any]:
        free = [0.0] * slots
        took = np.zeros(len(due_s))
        for place, at_s in enumerate(due_s):
            done_s = max(at_s, heapq.heappop(free)) + service_s(random)
            heapq.heappush(free, done_s)
            took[place] = done_s - at_s
        return took, np.zeros(len(due_s), dtype=np.bool_)

    return serve


def cliff(rate_per_s: float) -> Server:
    """Make a server that answers at once up to a rate, and refuses what is beyond it."""

    def serve(due_s: np.ndarray[Any, Any], _: np.random.Generator) -> tuple[Any, Any]:
        failed = np.zeros(len(due_s), dtype=np.bool_)
        for start in np.arange(due_s[0], due_s[-1], 0.1):
            inside = np.flatnonzero((due_s >= start) & (due_s < start + 0.1))
            failed[inside[int(rate_per_s * 0.1) :]] = True
        return np.full(len(due_s), 0.004), failed

    return serve


def course(**changes: Any) -> Course:
    """Make a course of short, even steps."""
    return Course(**{"step_s": 5.0, "spacing": "even", "sessions": 50, **changes})


def prepared(of: Course) -> Scenario:
    """Make the small scenario as the course plays it."""
    return prepare(small(), of)


def climb(
    server: Server, of: Course, *, seed: int = 1, spoil: Callable[[int, Calls], None] | None = None
) -> tuple[Reading, ...]:
    """Climb a server to the end, as a run would: each rate follows from the steps before it."""
    scenario, random = prepared(of), np.random.default_rng(seed)
    steps: list[Reading] = []
    while (rate := next_rate(steps, of, of.first_per_s, bars(of))) is not None:
        number = len(steps) + 1
        journal = played(server, of, rate, number, random, seed=seed, spoil=spoil)
        steps += readings(evidence_of(scenario, of, journal))
    return tuple(steps)


def played(
    server: Server,
    of: Course,
    rate_per_s: float,
    number: int,
    random: np.random.Generator,
    *,
    seed: int = 1,
    spoil: Callable[[int, Calls], None] | None = None,
    start_s: float = 10.0,
    curve: int = 0,
) -> Journal:
    """Play one step against a server; the journal holds nothing else."""
    length_s = step_length_s(of, rate_per_s)
    start_ns, end_ns = round(start_s * S), round((start_s + length_s) * S)
    count = round(rate_per_s * length_s)
    due_ns = np.array(
        due_times_ns(
            count, start_ns=start_ns, end_ns=end_ns, spacing=of.spacing, key=(seed, number)
        )
    )
    took_s, failed = server(due_ns / S, random)
    made = empty_calls(count)
    made["due_ns"] = made["sent_ns"] = due_ns
    made["done_ns"] = due_ns + np.round(took_s * S).astype(np.int64)
    made["attempt"] = made["last"] = made["treated"] = 1
    made["session"] = np.arange(count) % of.sessions
    made["index"] = np.arange(count) // of.sessions + 1000 * number
    made["outcome"][failed] = Outcome.HTTP_ERROR
    made["reason"][failed] = Reason.HTTP_STATUS
    late = took_s > DEADLINE_S
    made["outcome"][late] = Outcome.TIMEOUT
    if spoil is not None:
        spoil(number, made)
    step: dict[str, Any] = {
        "step": number,
        "curve": curve,
        "rate_per_s": rate_per_s,
        "start_ns": start_ns,
        "end_ns": end_ns,
        "calls": count,
        "sessions": of.sessions,
    }
    entries = (
        StepEntry(at_ns=start_ns, edge="began", **step),
        *(
            HealthEntry(
                at_ns=start_ns + round(at * S), worker=0, lag_p50_ms=0.2, lag_p99_ms=1.0,
                slip_p50_ms=0.1, slip_p99_ms=0.5, cpu_share=0.2, run_delay_share=0.0,
                sessions=of.sessions, calls=count // 5,
            )
            for at in np.arange(1.0, length_s + 0.1)
        ),
        StepEntry(at_ns=end_ns, edge="ended", **step),
        RunEntry(at_ns=end_ns + S, edge="ended", how="completed"),
    )  # fmt: skip
    order = np.lexsort((made["attempt"], made["index"], made["session"]))
    return Journal(entries=entries, calls=made[order])


def bars(of: Course) -> Bars:
    """Give what the course's steps are held against."""
    return Bars.of(limits(prepared(of).limits))


def joined(*parts: Journal, how: str = "completed", why: str = "", extra: Any = ()) -> Journal:
    """Make one journal of several steps', with an end and whatever else happened."""
    entries = [one for part in parts for one in part.entries if not isinstance(one, RunEntry)]
    entries += list(extra)
    last_ns = max(one.at_ns for one in entries)
    entries.append(RunEntry(at_ns=last_ns + S, edge="ended", how=how, why=why))  # type: ignore[arg-type]
    calls = np.concatenate([part.calls for part in parts])
    order = np.lexsort((calls["attempt"], calls["index"], calls["session"]))
    return Journal(entries=tuple(sorted(entries, key=lambda one: one.at_ns)), calls=calls[order])


def steps_at(
    server: Server, of: Course, *rates: float, first: int = 1, start_s: float = 10, curve: int = 0
) -> list[Journal]:
    """Play steps one after the other, twenty seconds apart."""
    random = np.random.default_rng(first)
    return [
        played(
            server,
            of,
            rate,
            first + place,
            random,
            start_s=start_s + 20 * place,
            curve=curve,
        )
        for place, rate in enumerate(rates)
    ]


def in_force(of: Course, start_s: float, end_s: float, *, hits: int = 50) -> list[FaultEntry]:
    """Make the edges of the first curve's fault."""
    edge: dict[str, Any] = {"window": 1, "kind": of.faults[0], "lever": "network"}
    seen: dict[str, Any] = {
        "exposure_count": hits,
        "exposure_unit": "connections",
        "exposure_source": "injector",
    }
    return [
        FaultEntry(at_ns=round(start_s * S) - 2, edge="intended", **edge),
        FaultEntry(at_ns=round(start_s * S) - 1, edge="injected", **edge),
        FaultEntry(at_ns=round(end_s * S), edge="healing", **edge, **seen),
        FaultEntry(at_ns=round(end_s * S) + 1, edge="healed", **edge, **seen),
    ]
