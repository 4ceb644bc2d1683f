"""From what was learned to a scenario: who does what, how often, what breaks, what is demanded.

Pure. Every figure follows from what was measured, and stays on the gentle side of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Final, Literal

from harness.discovery.findings import Counter, Findings, Learned, LeftOut
from harness.scenario.auth import Auth
from harness.scenario.records import StdioTarget, Target
from harness.scenario.transports import is_piped
from harness.scenario.units import duration

SLOW_MS: Final = 300.0  # from here on a tool gets an agent of its own
STEPS_MAX: Final = 8  # of one agent: each is to be seen often enough to be judged
LISTED_MAX: Final = 2  # resources, and prompts
BUSY_SHARE: Final = 0.25  # of the time in which one call after the other would be answered
BUSY_SHARE_MAX: Final = 0.5
RATE_MIN: Final = 15.0  # calls a second: fewer show little within half a minute
RATE_MAX: Final = 40.0
REMOTE_RATE_MAX: Final = 8.0
OPEN_WORLD_PACE_S: Final = 10.0  # of a session whose tools reach beyond the server
READY_S: Final = 20.0  # what a scenario grants a process to start, unless it says more
BASELINE_CALLS: Final = 90  # of one arm
RECOVERY_CALLS: Final = 130  # a recovery is seen in slices of twenty, and three have to be good
PACES_S: Final = (0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 20.0, 30.0, 60.0)
_NICE: Final = (1.0, 2.0, 5.0)
P99_CALLS_MIN: Final = 400
DEADLINE_S: Final = 10.0
AgentName = Literal["reader", "slow", "writer"]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of an agent: something that was learned, and what is kept of its answer."""

    learned: Learned
    keep: dict[str, str] = field(default_factory=dict)
    effect_once: bool = False


@dataclass(frozen=True, kw_only=True)
class Agent:
    """One kind of agent."""

    name: AgentName
    share_percent: int
    pace_s: float
    lists: str  # the list that it asks for first; "" for none
    steps: tuple[Step, ...]


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
    piped = is_piped(target)
    sessions = 8 if piped or remote else 20
    opening_s = findings.opening_ms / 1e3
    agents, crowded = _agents(findings, sessions=sessions, piped=piped, remote=remote)
    steps = [step for agent in agents for step in agent.steps]
    slowest_ms = max((step.learned.longest_ms for step in steps), default=1.0)
    rate = _rate(agents, sessions)
    rate_of_arm = max(rate / 2, 0.1)
    repeatable = all(
        one.learned.repeat_key or not _writes(one.learned, findings.counter) for one in steps
    )
    keyed = any(one.effect_once and one.learned.repeat_key for one in steps)
    faults = _faults(agents, piped=piped, auth=auth, loses=keyed and repeatable)
    recovery_s = float(min(max(math.ceil(RECOVERY_CALLS / rate_of_arm), 5), 45))
    if piped:  # a killed process is started anew, and its session's calls have piled up
        recovery_s += min(math.ceil(4 * opening_s) + 2, 40)
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
        limits=_limits(slowest_ms, opening_s=opening_s, calls=rate / 2 * struck_s, piped=piped),
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


# --- who works -----------------------------------------------------------------------------------


def _agents(
    findings: Findings, *, sessions: int, piped: bool, remote: bool
) -> tuple[tuple[Agent, ...], tuple[LeftOut, ...]]:
    groups: dict[AgentName, list[Learned]] = {"reader": [], "slow": [], "writer": []}
    for chain in _chains(findings.learned):
        groups[_who(chain, findings.counter)] += chain
    crowded: list[LeftOut] = []
    for name, members in groups.items():
        kept, spare = _first_chains(members, STEPS_MAX)
        groups[name] = kept
        crowded += [
            LeftOut(kind=one.kind, name=one.name, why="it answered; the steps were enough")
            for one in spare
        ]
    lists = _lists(findings)
    if lists and not groups["reader"] and not groups["slow"]:
        groups["reader"] = []
    present: list[AgentName] = [
        name for name, members in groups.items() if members or (name == "reader" and lists)
    ]
    shares = _shares(present)
    agents = tuple(
        Agent(
            name=name,
            share_percent=shares[name],
            pace_s=_pace(
                groups[name],
                sessions * shares[name] / 100,
                shares[name],
                piped=piped,
                remote=remote,
            ),
            lists=lists if name == "reader" else "",
            steps=tuple(_steps(groups[name])),
        )
        for name in present
    )
    return agents, tuple(crowded)


def _lists(findings: Findings) -> str:
    offer = findings.offer
    if offer.tools:
        return "list_tools"
    if offer.resources:
        return "list_resources"
    return "list_prompts" if offer.prompts else "ping" if offer.era == "legacy" else ""


def _chains(learned: Iterable[Learned]) -> list[list[Learned]]:
    """Put together what depends on each other's answers, providers first."""
    chains: list[list[Learned]] = []
    for one in learned:
        providers = {("tool", link.provider) for link in one.links}
        mine = [
            chain for chain in chains if any((one.kind, one.name) in providers for one in chain)
        ]
        if not mine:
            chains.append([one])
            continue
        mine[0].extend(each for chain in mine[1:] for each in chain)
        mine[0].append(one)
        chains = [chain for chain in chains if all(chain is not each for each in mine[1:])]
    return chains


def _writes(one: Learned, counter: Counter | None) -> bool:
    """Whether calls may change something; what does nothing but count was seen not to."""
    return one.effects != "none" and (counter is None or one.name != counter.tool)


def _who(chain: list[Learned], counter: Counter | None) -> AgentName:
    if any(_writes(one, counter) for one in chain):
        return "writer"
    slow = any(one.latency_ms >= SLOW_MS or one.open_world for one in chain)
    return "slow" if slow else "reader"


def _first_chains(members: list[Learned], most: int) -> tuple[list[Learned], list[Learned]]:
    """Keep whole chains up to so many steps; what shows the most comes first."""
    kept: list[Learned] = []
    spare: list[Learned] = []
    chains = sorted(
        _chains(members), key=lambda chain: (-len(chain), not any(one.carries for one in chain))
    )
    listed = {"resource": 0, "prompt": 0, "tool": -1000}
    for chain in chains:
        kind = chain[0].kind
        full = len(kept) + len(chain) > most or listed[kind] >= LISTED_MAX
        listed[kind] += 0 if full else 1
        (spare if full else kept).extend(chain)
    order = {id(one): place for place, one in enumerate(members)}
    return sorted(kept, key=lambda one: order[id(one)]), spare


def _steps(members: list[Learned]) -> Iterable[Step]:
    wanted = {(link.provider, link.name): link.path for one in members for link in one.links}
    for one in members:
        keep = {name: path for (tool, name), path in wanted.items() if tool == one.name}
        yield Step(learned=one, keep=keep, effect_once=one.counted)


def _shares(present: list[AgentName]) -> dict[AgentName, int]:
    """Most sessions read quickly; whoever is slow or writes is in the minority."""
    shares: dict[AgentName, int] = {}
    left = 100
    for name in reversed(present):
        share = left if name == present[0] else 30
        shares[name] = share
        left -= share
    return shares


def _pace(
    members: list[Learned], sessions: float, share: int, *, piped: bool, remote: bool
) -> float:
    """Seconds between two steps of one session, so that all of them together stay gentle."""
    slowest_s = max((one.latency_ms for one in members), default=1.0) / 1e3
    mean_s = max(sum(one.latency_ms for one in members) / 1e3 / max(1, len(members)), 1e-4)
    servers = sessions if piped else 1.0  # over pipes each session has a server of its own
    least = min(RATE_MIN, BUSY_SHARE_MAX / mean_s * servers)
    rate = min(max(BUSY_SHARE / mean_s * servers, least), RATE_MAX)
    if mean_s * 1e3 < SLOW_MS:  # what takes long mostly waits, and there is little of it
        rate *= share / 100
    if any(one.open_world for one in members):  # what lies beyond the server may be others'
        slowest_s = max(slowest_s, OPEN_WORLD_PACE_S / 4)
    if remote:
        rate = min(rate, REMOTE_RATE_MAX * share / 100)
    wanted_s = max(sessions / rate, 4 * slowest_s)
    return next((pace for pace in PACES_S if pace >= wanted_s * 0.999), PACES_S[-1])


def _rate(agents: tuple[Agent, ...], sessions: int) -> float:
    return sum(sessions * one.share_percent / 100 / one.pace_s for one in agents)


# --- what breaks, and what is demanded -----------------------------------------------------------


def _faults(
    agents: tuple[Agent, ...], *, piped: bool, auth: Auth | None, loses: bool
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
    if auth is not None:
        token = Fault(
            kind="token-expire",
            parameters={"by": "damage"},
            for_s=5.0,
            why="Bad tokens are shown: only a 401 tells an agent to renew its own.",
        )
        faults.append(token)
    return (*faults, lost) if loses else tuple(faults)


def _limits(slowest_ms: float, *, opening_s: float, calls: float, piped: bool) -> dict[str, str]:
    percentile = "latency_p99" if calls >= P99_CALLS_MIN else "latency_p95"
    latency_s = max(nice(4 * slowest_ms / 1e3), 2.0)
    recovery_s = max(5.0, nice(3 * slowest_ms / 1e3), nice(4 * opening_s))
    limits = {
        "answered": ">= 99%",
        percentile: f"<= {duration(latency_s)}",
        "recovery": f"<= {duration(recovery_s)}",
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
