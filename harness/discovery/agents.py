"""Who works in a scenario: agents by what their tools do, and at what pace.

Pure. Every figure follows from what was measured, and stays on the gentle side of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

from harness.discovery.findings import Counter, Findings, Learned, LeftOut

SLOW_MS: Final = 100.0  # from here on a tool gets an agent of its own
STEPS_MAX: Final = 8  # of one agent: each is to be seen often enough to be judged
LISTED_MAX: Final = 2  # resources, and prompts
BUSY_SHARE: Final = 0.25  # of the time in which one call after the other would be answered
BUSY_SHARE_MAX: Final = 0.5
RATE_MIN: Final = 15.0  # calls a second: fewer show little within half a minute
RATE_MAX: Final = 40.0
REMOTE_RATE_MAX: Final = 8.0
OPEN_WORLD_PACE_S: Final = 10.0  # of a session whose tools reach beyond the server
PACES_S: Final = (0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 20.0, 30.0, 60.0)
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


def agents_of(
    findings: Findings, *, sessions: int, piped: bool, remote: bool
) -> tuple[tuple[Agent, ...], tuple[LeftOut, ...]]:
    """Give the agents, and what answered and finds no place among their steps."""
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


def writes(one: Learned, counter: Counter | None) -> bool:
    """Whether calls may change something; what does nothing but count was seen not to."""
    return one.effects != "none" and (counter is None or one.name != counter.tool)


def _who(chain: list[Learned], counter: Counter | None) -> AgentName:
    if any(writes(one, counter) for one in chain):
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


def rate_of(agents: Iterable[Agent], sessions: int) -> float:
    """Give how many steps a second all of them take."""
    return sum(sessions * one.share_percent / 100 / one.pace_s for one in agents)


def underway_of(agents: Iterable[Agent], sessions: int) -> float:
    """Give how many of their calls are under way at a time on average, when none is in the way."""
    return sum(rate_of((one,), sessions) * _mean_s(one) for one in agents)


def _mean_s(agent: Agent) -> float:
    took_ms = [step.learned.latency_ms for step in agent.steps]
    return sum(took_ms) / 1e3 / (len(took_ms) + bool(agent.lists)) if took_ms else 0.0
