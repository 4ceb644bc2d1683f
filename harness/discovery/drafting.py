"""From what was learned to a scenario: who does what, how often, what breaks, what is demanded.

Pure. Every figure follows from what was measured, and stays on the gentle side of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import median
from typing import Final

from harness.discovery.agents import Agent, agents_of, rate_of, writes
from harness.discovery.findings import Counter, Findings, Learned, LeftOut
from harness.evidence.watch import enough_s
from harness.scenario.auth import Auth
from harness.scenario.records import StdioTarget, Target
from harness.scenario.transports import is_piped
from harness.scenario.units import duration

READY_S: Final = 20.0  # what a scenario grants a process to start, unless it says more
BASELINE_CALLS: Final = 90  # of one arm
RECOVERY_CALLS: Final = 130  # a recovery is seen in slices of twenty, and three have to be good
FEWER: Final = 0.6  # of the calls that the shares promise are made at least
_NICE: Final = (1.0, 2.0, 5.0)
P99_CALLS_MIN: Final = 400
DEADLINE_S: Final = 10.0


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One window: a fault as a file writes it, how long, and what it is for."""

    kind: str
    parameters: dict[str, str]
    for_s: float
    why: str


@dataclass(frozen=True, kw_only=True)
class Draft:
    """Everything that the scenario says."""

    findings: Findings
    target: Target
    auth: Auth | None
    era: str  # "" leaves it to both sides
    revision: str
    sessions: int
    ramp_s: float
    warmup_s: float
    baseline_s: float
    recovery_s: float
    deadline_s: float
    retries: bool
    agents: tuple[Agent, ...]
    faults: tuple[Fault, ...]
    unkeyed: tuple[
        str, ...
    ]  # tools because of which no reply is lost, though others could stand it
    limits: dict[str, str]
    counter: Counter | None
    left_out: tuple[LeftOut, ...]
    remote: bool


def draft(
    findings: Findings,
    *,
    target: Target,
    auth: Auth | None,
    era: str = "",
    revision: str = "",
    remote: bool = False,
) -> Draft:
    """Draft a scenario that is run as it is; a `remote` target is not this machine's."""
    if auth is not None and auth.grant != "bearer" and findings.open_door:
        auth = None  # tokens that nobody asks for are not had
    piped = is_piped(target)
    sessions = 8 if piped or remote else 20
    opening_s = findings.opening_ms / 1e3
    agents, crowded = agents_of(findings, sessions=sessions, piped=piped, remote=remote)
    steps = [step for agent in agents for step in agent.steps]
    slowest_ms = max((step.learned.longest_ms for step in steps), default=1.0)
    rate = rate_of(agents, sessions)
    rate_of_arm = max(rate / 2, 0.1)
    unkeyed = tuple(
        one.learned.name
        for one in steps
        if writes(one.learned, findings.counter) and not one.learned.repeat_key
    )
    repeatable = not unkeyed
    keyed = any(one.effect_once and one.learned.repeat_key for one in steps)
    guarded = auth is not None and not findings.open_door
    faults = _faults(agents, piped=piped, guarded=guarded, loses=keyed and repeatable)
    back_s = _back_s(slowest_ms, opening_s=opening_s, piped=piped)
    recovery_s = float(min(max(math.ceil(RECOVERY_CALLS / rate_of_arm), 5), 45))
    if piped:  # a killed process is started anew, and its session's calls have piled up
        recovery_s += min(math.ceil(4 * opening_s) + 2, 40)
    # A few whole sessions follow their shares roughly, and fewer calls take longer slices.
    recovery_s = max(recovery_s, enough_s(back_s, (FEWER if piped else 1.0) * rate_of_arm))
    struck_s = sum(fault.for_s + recovery_s for fault in faults)
    if isinstance(target, StdioTarget) and 4 * opening_s > READY_S:
        target = target.model_copy(update={"ready_s": nice(4 * opening_s)})
    return Draft(
        findings=findings,
        target=target,
        auth=auth,
        era=era,
        revision=revision,
        sessions=sessions,
        ramp_s=float(min(max(3, math.ceil(sessions * opening_s / 2)), 30)) if piped else 2.0,
        warmup_s=2.0 + math.ceil(2 * opening_s),
        baseline_s=float(min(max(math.ceil(BASELINE_CALLS / rate_of_arm), 10), 45)),
        recovery_s=recovery_s,
        deadline_s=max(DEADLINE_S, nice(5 * slowest_ms / 1e3)),
        retries=repeatable and (piped or keyed),
        agents=agents,
        faults=faults,
        unkeyed=unkeyed if keyed else (),
        limits=_limits(slowest_ms, back_s=back_s, calls=rate / 2 * struck_s, piped=piped),
        counter=findings.counter if any(one.effect_once for one in steps) else None,
        left_out=(*findings.left_out, *crowded),
        remote=remote,
    )


def nice(value: float) -> float:
    """Give the next of 1, 2, 5, 10, 20, 50 … that is no smaller."""
    if value <= 0:
        return _NICE[0]
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (*_NICE, 10.0) if step * power >= value * 0.999999)


# --- what breaks, and what is demanded -----------------------------------------------------------


def _faults(
    agents: tuple[Agent, ...], *, piped: bool, guarded: bool, loses: bool
) -> tuple[Fault, ...]:
    lost = Fault(
        kind="response-lost",
        parameters={"share": "20%"},
        for_s=6.0,
        why="The work is done, its answer is lost, and the agent tries again under the same key.",
    )
    if piped:
        faults = [
            Fault(
                kind="process-stop",
                parameters={},
                for_s=2.0,
                why="Their processes stand still for a while, as on a laptop that sleeps.",
            ),
            Fault(
                kind="process-kill",
                parameters={},
                for_s=1.0,
                why="Their processes are killed; how soon does the next one work?",
            ),
        ]
        return (*faults, lost) if loses else tuple(faults)
    # Half of what half of the calls take, so that most of those who leave do so before the answer.
    took_ms = [step.learned.latency_ms for one in agents for step in one.steps]
    leave_s = max(1, round(median(took_ms or [2.0]) / 2)) / 1e3
    faults = [
        Fault(
            kind="tcp-latency",
            parameters={"delay": "100ms", "jitter": "20ms"},
            for_s=6.0,
            why="A slow network: 100 ms more, each way.",
        ),
        Fault(
            kind="tcp-reset",
            parameters={"after": "50ms"},
            for_s=5.0,
            why="Connections are reset 50 ms after the first byte moves.",
        ),
        Fault(
            kind="client-vanish",
            parameters={"after": duration(leave_s), "share": "20%"},
            for_s=6.0,
            why="Agents ask, and leave before the answer can be there.",
        ),
    ]
    if guarded:
        token = Fault(
            kind="token-expire",
            parameters={"by": "damage"},
            for_s=5.0,
            why="Bad tokens are shown: only a 401 tells an agent to renew its own.",
        )
        faults.append(token)
    return (*faults, lost) if loses else tuple(faults)


def _back_s(slowest_ms: float, *, opening_s: float, piped: bool) -> float:
    """Give how soon the server is to be itself again."""
    # A process that is started anew shares the machine with whatever else goes on there.
    return max(10.0 if piped else 5.0, nice(3 * slowest_ms / 1e3), nice(4 * opening_s))


def _limits(slowest_ms: float, *, back_s: float, calls: float, piped: bool) -> dict[str, str]:
    percentile = "latency_p99" if calls >= P99_CALLS_MIN else "latency_p95"
    latency_s = max(nice(4 * slowest_ms / 1e3), 2.0)
    limits = {
        "answered": ">= 99%",
        percentile: f"<= {duration(latency_s)}",
        "recovery": f"<= {duration(back_s)}",
        "sessions_survived": ">= 99%",
    }
    if piped:  # each start of a process stands in the way of a call or two
        del limits[percentile]
    return limits


def without(findings: Findings, lost: dict[str, str]) -> Findings:
    """Give the findings without what cannot be written, and what depends on it: name -> why."""
    learned = list(findings.learned)
    left_out = list(findings.left_out)
    gone = dict(lost)
    while any(_is_gone(one, gone) for one in learned):
        for one in [one for one in learned if _is_gone(one, gone)]:
            learned.remove(one)
            why = gone.setdefault(one.name, "it needs what another step would have brought")
            left_out.append(LeftOut(kind=one.kind, name=one.name, why=why))
    return replace(findings, learned=tuple(learned), left_out=tuple(left_out))


def _is_gone(one: Learned, gone: dict[str, str]) -> bool:
    return one.name in gone or any(link.provider in gone for link in one.links)
