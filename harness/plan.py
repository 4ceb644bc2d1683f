"""Scenario -> Plan: everything that will be asked, of whom and when, before anything is asked.

Pure and seeded. A session's steps are computed on demand from (seed, session, index) alone, in
integer arithmetic and a fixed hash, so a plan costs no memory per step, every worker derives the
same one, and the same seed gives the same bytes on any machine.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Literal

from faults.load import LoadShape
from harness.scenario.marks import Marks
from harness.scenario.records import (
    Agent,
    CallStep,
    ListStep,
    ParallelStep,
    PromptStep,
    ReadStep,
    Scenario,
    SingleStep,
    SubscribeStep,
)
from harness.scenario.shares import apportion, is_treated

Arm = Literal["control", "treated"]
Engine = Literal["wire", "sdk"]

NS_PER_S: Final = 1_000_000_000
# Few and slow, for each call of theirs costs this process a millisecond.
WITNESSES_PER_ARM: Final = 2
WITNESS_PACE_NS_MIN: Final = NS_PER_S // 4
_WORD: Final = 1 << 64
# Multiples of the golden ratio fill an interval evenly, however many there are.
_GOLDEN: Final = 0x9E3779B97F4A7C15


@dataclass(slots=True)
class PlannedStep:
    """One step of one session, due at a moment of the run.

    Not frozen, which would cost a microsecond a call; nothing but `settled` is ever changed.
    """

    session: int
    index: int  # 0, 1, 2, ... within the session; (session, index) names the logical call
    position: int  # which of the agent's flattened steps it is, see `Plan.positions`
    due_ns: int
    nonce: str  # `n` and 16 hexadecimal digits, unique in the run
    settled: bool = False  # whether it has its last entry in the journal


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedSession:
    """One session: who it is, which arm it belongs to, when it opens and when its steps are due."""

    session: int
    agent: int  # index into the scenario's agents
    arm: Arm
    open_ns: int  # when it connects
    first_due_ns: int  # its first step; later ones follow every pace_ns
    pace_ns: int
    end_ns: int  # no step is due at or after this
    engine: Engine = "wire"  # which client drives it
    window: int = 0  # the window whose load it is part of; 0 for the usual load


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedWindow:
    """One fault window as planned; what really happened stands in the journal."""

    window: int  # 1, 2, ... ; 0 means none
    start_ns: int
    end_ns: int
    recovery_end_ns: int


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The whole run, planned."""

    seed: int
    sessions: tuple[PlannedSession, ...]
    windows: tuple[PlannedWindow, ...]
    ramp_end_ns: int
    baseline_start_ns: int
    baseline_end_ns: int
    end_ns: int
    # every distinct call of the scenario in file order, as shown in reports: "search", "tools/list"
    calls: tuple[str, ...]
    # for each agent: flattened step -> index into `calls`
    positions: tuple[tuple[int, ...], ...]
    # for each agent: how many flattened steps are due together, in order; 1 but for `parallel`
    together: tuple[tuple[int, ...], ...]
    marks: Marks = field(repr=False)
    # Sessions that the official client drives beside ours, numbered on; what they see is compared.
    witnesses: tuple[PlannedSession, ...] = ()

    def planned(self, session: int) -> PlannedSession:
        """Give a session by its number, a witness too."""
        count = len(self.sessions)
        return self.sessions[session] if session < count else self.witnesses[session - count]

    def steps(self, session: int) -> Iterator[PlannedStep]:
        """Yield a session's steps in the order they are due."""
        for group in self.groups(session):
            yield from group

    def groups(self, session: int) -> Iterator[tuple[PlannedStep, ...]]:
        """Yield a session's steps, those that are due at the same moment together."""
        planned = self.planned(session)
        sizes = self.together[planned.agent]
        due_ns = planned.first_due_ns
        end_ns, pace_ns = planned.end_ns, planned.pace_ns
        nonce = self.marks.nonces(session)
        index = 0
        while due_ns < end_ns:
            position = 0
            for size in sizes:
                if due_ns >= end_ns:
                    return
                if size == 1:
                    yield (PlannedStep(session, index, position, due_ns, nonce(index)),)
                else:
                    yield _together(session, index, position, due_ns, size, nonce)
                index += size
                position += size
                due_ns += pace_ns

    def count(self, session: int) -> int:
        """Count a session's steps without making them."""
        planned = self.planned(session)
        span_ns = planned.end_ns - planned.first_due_ns
        ticks = -(-span_ns // planned.pace_ns) if span_ns > 0 else 0
        sizes = self.together[planned.agent]
        rounds, rest = divmod(ticks, len(sizes))
        return rounds * sum(sizes) + sum(sizes[:rest])

    def calls_a_turn(self, planned: PlannedSession) -> float:
        """How many calls of a session are due at a time on the average; one without `parallel`."""
        sizes = self.together[planned.agent]
        return sum(sizes) / len(sizes)

    def calls_a_second(self, planned: PlannedSession) -> float:
        """How many calls of a session are due in a second on the average."""
        return self.calls_a_turn(planned) * NS_PER_S / planned.pace_ns

    def call(self, step: PlannedStep) -> int:
        """Give a step's index into `calls`."""
        return self.positions[self.planned(step.session).agent][step.position]

    def nonce(self, session: int, index: int) -> str:
        """Give the nonce of one logical call."""
        return self.marks.nonce(session, index)

    def mark(self, session: int) -> str:
        """Give the text that names a session to the target; no mark is part of another."""
        return self.marks.mark(session)

    def draw(self, purpose: str, session: int, index: int) -> float:
        """Give a reproducible number in [0, 1) for a decision about one call."""
        return self.marks.draw(purpose, session, index)

    def canonical(self) -> bytes:
        """Write the plan so that two plans are equal exactly when their bytes are.

        One JSON object a line: the run, its windows, its sessions. Steps follow from these; each
        session's first nonce stands for the rest.
        """
        run = {
            "seed": self.seed,
            "ramp_end_ns": self.ramp_end_ns,
            "baseline_ns": [self.baseline_start_ns, self.baseline_end_ns],
            "end_ns": self.end_ns,
            "calls": self.calls,
            "positions": self.positions,
            "together": self.together,
        }
        sessions = (
            {**_fields(each), "nonce": self.nonce(each.session, 0)}
            for each in (*self.sessions, *self.witnesses)
        )
        lines = (run, *map(asdict, self.windows), *sessions)
        return b"".join(
            json.dumps(line, separators=(",", ":"), sort_keys=True).encode() + b"\n"
            for line in lines
        )


def make(scenario: Scenario, *, seed: int | None = None) -> Plan:
    """Plan a run of a checked scenario; `seed` takes the place of the scenario's own."""
    seed = scenario.seed if seed is None else seed
    marks = Marks.of(seed)
    ramp_end_ns = _ns(scenario.load.ramp_s)
    baseline_start_ns = ramp_end_ns + _ns(scenario.phases.warmup_s)
    baseline_end_ns = baseline_start_ns + _ns(scenario.phases.baseline_s)
    windows = _windows(scenario, baseline_end_ns)
    end_ns = windows[-1].recovery_end_ns if windows else baseline_end_ns
    usual = _sessions(scenario, marks, end_ns)
    sessions = (*usual, *_shaped(scenario, usual, windows))
    calls = tuple(dict.fromkeys(_label(step) for agent in scenario.agents for step in flat(agent)))
    return Plan(
        seed=seed,
        sessions=sessions,
        witnesses=_witnesses(usual, len(sessions)) if scenario.engine == "sdk" else (),
        windows=windows,
        ramp_end_ns=ramp_end_ns,
        baseline_start_ns=baseline_start_ns,
        baseline_end_ns=baseline_end_ns,
        end_ns=end_ns,
        calls=calls,
        positions=tuple(
            tuple(calls.index(_label(step)) for step in flat(agent)) for agent in scenario.agents
        ),
        together=tuple(
            tuple(
                len(step.parallel) if isinstance(step, ParallelStep) else 1 for step in agent.steps
            )
            for agent in scenario.agents
        ),
        marks=marks,
    )


def flat(agent: Agent) -> tuple[SingleStep, ...]:
    """Give an agent's steps with parallel ones laid out in line; `position` counts these."""
    return tuple(
        single
        for step in agent.steps
        for single in (step.parallel if isinstance(step, ParallelStep) else (step,))
    )


def _windows(scenario: Scenario, free_ns: int) -> tuple[PlannedWindow, ...]:
    windows: list[PlannedWindow] = []
    for number, window in enumerate(scenario.faults, start=1):
        start_ns = free_ns if window.at_s is None else _ns(window.at_s)
        end_ns = start_ns + _ns(window.duration_s)
        free_ns = end_ns + _ns(scenario.phases.recovery_s)
        windows.append(
            PlannedWindow(window=number, start_ns=start_ns, end_ns=end_ns, recovery_end_ns=free_ns)
        )
    return tuple(windows)


def _sessions(scenario: Scenario, marks: Marks, end_ns: int) -> tuple[PlannedSession, ...]:
    total = scenario.load.sessions
    counts = apportion(total, [agent.share for agent in scenario.agents])
    # Spread each agent's sessions evenly over the ramp, so that every second has the same mix.
    order = sorted(
        (_WORD * (2 * rank + 1) // (2 * count), agent, rank)
        for agent, count in enumerate(counts)
        for rank in range(count)
    )
    before = [sum(counts[:agent]) for agent in range(len(counts))]
    kinds = [(agent, treated) for agent in range(len(counts)) for treated in (False, True)]
    ranks = dict.fromkeys(kinds, 0)
    # Both arms the same, half a pace apart: whichever calls keep meeting, they do so in either.
    phases = {
        (agent, treated): marks.word("phase", agent) + treated * _WORD // 2
        for agent, treated in kinds
    }
    ramp_ns = _ns(scenario.load.ramp_s)
    sessions: list[PlannedSession] = []
    for session, (_, agent, rank) in enumerate(order):
        treated = is_treated(before[agent] + rank, scenario.load.treated)
        in_arm = ranks[agent, treated]
        ranks[agent, treated] += 1
        open_ns = ramp_ns * session // total
        pace_ns = max(1, _ns(scenario.agents[agent].pace_s))
        # Evenly through one pace within each arm: neither arm suffers bursts the other does not.
        phase = (phases[agent, treated] + in_arm * _GOLDEN) % _WORD * pace_ns // _WORD
        sessions.append(
            PlannedSession(
                session=session,
                agent=agent,
                arm="treated" if treated else "control",
                open_ns=open_ns,
                first_due_ns=open_ns + (phase - open_ns) % pace_ns,
                pace_ns=pace_ns,
                end_ns=end_ns,
            )
        )
    return tuple(sessions)


def _shaped(
    scenario: Scenario, usual: tuple[PlannedSession, ...], windows: tuple[PlannedWindow, ...]
) -> Iterator[PlannedSession]:
    """Plan the sessions that are there for a window alone, each like a treated one of the usual."""
    alike = [each for each in usual if each.arm == "treated"]
    number = len(usual)
    for planned, window in zip(windows, scenario.faults, strict=True):
        shape = window.fault
        if not isinstance(shape, LoadShape):
            continue
        count = shape.added(len(usual))
        over_ns = _ns(shape.opening_s(window.duration_s))
        for turn in range(count):
            pattern = alike[turn % len(alike)]
            open_ns = planned.start_ns + over_ns * turn // count
            # Evenly through one pace, however they open.
            phase_ns = turn * _GOLDEN % _WORD * pattern.pace_ns // _WORD
            yield replace(
                pattern,
                session=number,
                open_ns=open_ns,
                first_due_ns=open_ns + (phase_ns - open_ns) % pattern.pace_ns,
                end_ns=planned.end_ns,
                window=planned.window,
            )
            number += 1


def _witnesses(sessions: tuple[PlannedSession, ...], first: int) -> tuple[PlannedSession, ...]:
    """Let a few more sessions do what ours do, in both arms, by the official client."""
    witnesses: list[PlannedSession] = []
    for arm in ("control", "treated"):
        alike = [each for each in sessions if each.arm == arm]
        by_agent = {each.agent: each for each in reversed(alike)}  # the first of each
        kinds = [by_agent[agent] for agent in sorted(by_agent)]
        for turn in range(WITNESSES_PER_ARM if kinds else 0):
            pattern = kinds[turn % len(kinds)]
            witnesses.append(
                replace(
                    pattern,
                    session=first + len(witnesses),
                    open_ns=0,
                    first_due_ns=pattern.pace_ns * (turn + 1) // (WITNESSES_PER_ARM + 1),
                    pace_ns=max(pattern.pace_ns, WITNESS_PACE_NS_MIN),
                    engine="sdk",
                )
            )
    return tuple(witnesses)


def _fields(session: PlannedSession) -> dict[str, Any]:
    """Give what `canonical` writes of a session: what is out of the usual only where it is."""
    fields = asdict(session)
    if session.engine == "wire":
        del fields["engine"]
    if not session.window:
        del fields["window"]
    return fields


def _together(  # noqa: PLR0917 - called in one place, for the sake of every session's weight
    session: int, index: int, position: int, due_ns: int, size: int, nonce: Callable[[int], str]
) -> tuple[PlannedStep, ...]:
    # A function, since what a comprehension sees costs whoever holds it 40 bytes a name.
    return tuple(
        PlannedStep(session, index + at, position + at, due_ns, nonce(index + at))
        for at in range(size)
    )


def _label(step: SingleStep) -> str:
    match step:
        case CallStep():
            return step.call
        case ReadStep():
            return f"read:{step.read}"
        case PromptStep():
            return f"prompt:{step.prompt}"
        case SubscribeStep():
            return f"{step.method.removeprefix('resources/')}:{step.uri}"
        case ListStep():
            return step.method


def _ns(seconds: float) -> int:
    return round(seconds * NS_PER_S)
