"""The calls of a long storm, made from its plan by numpy: what went well and all that did not."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from faults.identity import TokenExpire
from faults.network import TcpBandwidth
from harness.journal import BEHAVIOUR_CODES, Calls, empty_calls
from harness.outcome import Auth, Effect, EndedBy, Outcome, Reason
from harness.plan import Plan, flat
from harness.scenario.records import CallStep, Scenario

MS: Final = 1_000_000
LATENCY_MS: Final = 20.0
FAILING_SHARE: Final = 0.002
OVERDUE_SHARE: Final = 0.05
LOST_SHARE: Final = 0.3

Rows = NDArray[np.intp]
Mask = NDArray[np.bool_]


def storm(scenario: Scenario, plan: Plan, *, seed: int = 1) -> Calls:
    """Make every call of a plan, and what the faults of its windows do to them."""
    random = np.random.default_rng(seed)
    made = _planned(scenario, plan)
    made["sent_ns"] = made["due_ns"] + random.integers(0, MS, len(made))
    _answer(made, random, np.arange(len(made)))
    _fail_a_few(made, random)
    again: list[Calls] = []
    for window, planned in zip(scenario.faults, plan.windows, strict=True):
        inside = (made["treated"] == 1) & (made["due_ns"] >= planned.start_ns)
        inside &= made["due_ns"] < planned.end_ns
        fault, number = window.fault, planned.window
        if fault.stops_service():
            again += _break(made, np.flatnonzero(inside))
        elif fault.lever == "agent":
            again += _lose_replies(made, _drawn(inside, LOST_SHARE, random), number)
        elif isinstance(fault, TokenExpire):
            again += _refuse(made, _drawn(inside, OVERDUE_SHARE, random), number)
        else:
            slow_ms = 30 if isinstance(fault, TcpBandwidth) else 1e3 * fault.added_round_trip_s()
            for edge in ("first_ns", "done_ns"):
                made[edge][inside] += round(slow_ms * MS)
    whole = np.concatenate((made, *again))
    return whole[np.lexsort((whole["attempt"], whole["index"], whole["session"]))]


def _planned(scenario: Scenario, plan: Plan) -> Calls:
    counts = np.array([plan.count(who.session) for who in plan.sessions])
    made = empty_calls(int(counts.sum()))
    starts = np.cumsum(counts) - counts
    index = np.arange(len(made)) - np.repeat(starts, counts)
    agent = np.array([who.agent for who in plan.sessions])
    made["session"] = np.repeat([who.session for who in plan.sessions], counts)
    made["index"] = index
    made["treated"] = np.repeat([who.arm == "treated" for who in plan.sessions], counts)
    pace_ns = np.repeat([who.pace_ns for who in plan.sessions], counts)
    made["due_ns"] = np.repeat([who.first_due_ns for who in plan.sessions], counts)
    made["due_ns"] += index * pace_ns
    for number, positions in enumerate(plan.positions):
        mine = np.repeat(agent == number, counts)
        made["call"][mine] = np.array(positions)[index[mine] % len(positions)]
    effects = {
        call
        for each, positions in zip(scenario.agents, plan.positions, strict=True)
        for step, call in zip(flat(each), positions, strict=True)
        if isinstance(step, CallStep) and step.effect
    }
    made["effect"][np.isin(made["call"], list(effects))] = Effect.HAPPENED
    made["attempt"] = made["last"] = 1
    made["rows"] = np.where(made["call"] == plan.calls.index("search"), 20, -1)
    made["request_bytes"], made["reply_bytes"] = 300, 400
    made["auth"] = Auth.VALID
    return made


def _answer(made: Calls, random: np.random.Generator, rows: Rows) -> None:
    took_ns = LATENCY_MS * MS * random.lognormal(0.0, 0.3, len(rows))
    made["done_ns"][rows] = made["sent_ns"][rows] + took_ns.astype(np.int64)
    made["first_ns"][rows] = made["done_ns"][rows]
    made["status"][rows] = 200


def _drawn(inside: Mask, share: float, random: np.random.Generator) -> Rows:
    return np.flatnonzero(inside & (random.random(len(inside)) < share))


def _end(made: Calls, rows: Rows, outcome: Outcome, reason: Reason, status: int = 0) -> None:
    made["outcome"][rows], made["reason"][rows], made["status"][rows] = outcome, reason, status
    writes = rows[made["effect"][rows] != Effect.NONE]
    made["effect"][writes] = Effect.UNKNOWN


def _fail_a_few(made: Calls, random: np.random.Generator) -> None:
    """Let calls fail as they do anywhere, whatever the phase."""
    failing = _drawn(np.ones(len(made), dtype=np.bool_), FAILING_SHARE, random)
    ends = (
        (Outcome.TOOL_ERROR, Reason.TOOL_ERROR, 200),
        (Outcome.HTTP_ERROR, Reason.HTTP_STATUS, 503),
        (Outcome.TIMEOUT, Reason.DEADLINE, 0),
        (Outcome.WRONG, Reason.EXPECTATION, 200),
    )
    for number, (outcome, reason, status) in enumerate(ends):
        _end(made, failing[number :: len(ends)], outcome, reason, status)
    late = failing[2 :: len(ends)]
    made["done_ns"][late] = made["sent_ns"][late] + 10_000 * MS
    made["ended_by"][late] = EndedBy.DEADLINE


def _next_attempt(made: Calls, rows: Rows) -> Calls:
    """Make what is asked again after these; they stop being the last."""
    again: Calls = made[rows].copy()
    made["last"][rows] = 0
    again["attempt"] += 1
    again["behaviour"] = again["window"] = 0
    for edge in ("sent_ns", "first_ns", "done_ns"):
        again[edge] += 300 * MS
    return again


def _break(made: Calls, rows: Rows) -> list[Calls]:
    _end(made, rows, Outcome.TRANSPORT_ERROR, Reason.RESET)
    made["first_ns"][rows] = -1
    second = _next_attempt(made, rows)
    third = _next_attempt(second, np.arange(len(second)))
    return [second, third]


def _lose_replies(made: Calls, rows: Rows, window: int) -> list[Calls]:
    again = _next_attempt(made, rows)
    _end(made, rows, Outcome.TRANSPORT_ERROR, Reason.REPLY_LOST)
    made["behaviour"][rows], made["window"][rows] = BEHAVIOUR_CODES["lose_reply"], window
    return [again]


def _refuse(made: Calls, rows: Rows, window: int) -> list[Calls]:
    again = _next_attempt(made, rows)
    _end(made, rows, Outcome.HTTP_ERROR, Reason.HTTP_STATUS, 401)
    made["auth"][rows] = Auth.EXPIRED
    made["behaviour"][rows], made["window"][rows] = BEHAVIOUR_CODES["overdue_token"], window
    return [again]
