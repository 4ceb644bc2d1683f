"""A run of a second: real sessions, faults and sockets in this process, judged by every check."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import urlsplit

import anyio
import numpy as np

from faults.catalogue import CATALOGUE
from faults.levers import Behaviour, Exposure
from harness import journal
from harness import plan as planning
from harness.checks import families
from harness.clock import RunClock
from harness.evidence.phases import Evidence, evidence
from harness.journal import Calls, EffectEntry, JournalWriter, ProbeEntry, RunEntry, SessionEntry
from harness.judge import CHECKS
from harness.outcome import Reason
from harness.plan import Plan
from harness.rig.launched import Launched
from harness.running import lookout
from harness.running.assembly import Rig
from harness.running.chaos import Chaos
from harness.running.grip import grip
from harness.running.host import Host
from harness.running.offering import Offering
from harness.scenario.records import Scenario
from harness.session.access import Access, Doors
from harness.verdict import Finding
from harness.wire.schemas import SchemaBook

BOUND_S = 40
SEARCH: dict[str, Any] = {
    "call": "search",
    "with": {"query": "${nonce}"},
    "expect": {"carries": "nonce"},
}
NOTE: dict[str, Any] = {
    "call": "note",
    "with": {"text": "${nonce}"},
    "expect": {"carries": "nonce"},
    "effect": "once",
}
Effects = Callable[[RunClock], Sequence[EffectEntry]]


@dataclass(frozen=True, kw_only=True)
class Played:
    """What a run has left behind, and every opinion on it."""

    evidence: Evidence
    findings: tuple[Finding, ...]

    @property
    def failed(self) -> set[str]:
        """The verdicts that are found, consequences left out."""
        return {one.verdict for one in self.findings if one.ruling == "fail" and not one.cause}

    @property
    def calls(self) -> Calls:
        """Every attempt."""
        return self.evidence.calls

    @property
    def settled(self) -> Calls:
        """Those that the end of the run, early on a busy machine, did not cut off."""
        return np.asarray(self.calls[self.calls["reason"] != Reason.RUN_ENDED])

    @property
    def probes(self) -> tuple[ProbeEntry, ...]:
        """Every request that was wrong on purpose."""
        return self.evidence.journal.of(ProbeEntry)

    @property
    def sessions(self) -> tuple[SessionEntry, ...]:
        """What befell the sessions."""
        return self.evidence.journal.of(SessionEntry)

    def of(self, verdict: str) -> list[str]:
        """How each opinion on one verdict rules."""
        return [one.ruling for one in self.findings if one.verdict == verdict]


@dataclass(kw_only=True)
class _Here:
    """The sessions of this process, as the levers of a fault take hold of them."""

    host: Host
    clock: RunClock

    async def engage(self, behaviour: Behaviour) -> None:
        self.host.conduct.engage(behaviour, now_ns=self.clock.now_ns())

    async def disengage(self, behaviour: Behaviour) -> None:
        self.host.conduct.disengage(behaviour)

    async def exposure(self, _: Behaviour) -> Exposure:
        return Exposure(count=0, unit="calls", source="journal")


@dataclass(frozen=True, kw_only=True)
class _Stage:
    """What one run is made of."""

    of: Scenario
    by: Plan
    clock: RunClock
    writer: JournalWriter
    launched: Launched | None


def scenario(*steps: dict[str, Any], **changes: Any) -> Scenario:
    """Make the scenario of a very short run: four sessions that call all the time."""
    document: dict[str, Any] = {
        "question": "Is what this server does read as it is?",
        "seed": 5,
        "era": "legacy",
        "agents": [{"name": "worker", "pace": "10/s", "steps": list(steps or (SEARCH,))}],
        "load": {"sessions": 4, "ramp": "0s"},
        "phases": {"warmup": "0s", "baseline": "300ms", "recovery": "100ms"},
        "client": {"deadline": "3s"},
    }
    return Scenario.model_validate(document | changes)


def window(kind: str, length: str = "600ms", **settings: Any) -> dict[str, Any]:
    """Make the record of one fault's window."""
    return {"fault": CATALOGUE[kind].model_validate(settings), "for": length}


async def play(
    folder: Path,
    url: str,
    *steps: dict[str, Any],
    access: Access | None = None,
    effects: Effects | None = None,
    launched: Launched | None = None,
    **changes: Any,
) -> Played:
    """Play a scenario against `url`; `effects` says afterwards what took effect there."""
    of, clock = scenario(*steps, **changes), RunClock()
    by = planning.make(of)
    with anyio.fail_after(BOUND_S), JournalWriter(folder) as writer:
        stage = _Stage(of=of, by=by, clock=clock, writer=writer, launched=launched)
        async with _host(stage, url, access or Access()) as host:
            clock.origin_ns = RunClock().origin_ns  # the run begins once all stands
            writer.append(RunEntry(at_ns=clock.now_ns(), edge="started"))
            async with anyio.create_task_group() as beside:
                beside.start_soon(lookout.watch, launched, clock, writer)
                await _storm(stage, host)
                beside.cancel_scope.cancel()
            writer.append(RunEntry(at_ns=clock.now_ns(), edge="ended", how="completed"))
        for effect in effects(clock) if effects is not None else ():
            writer.append(effect)
    journal.merge(folder)
    seen = evidence(of, by, journal.read(folder))
    found = families.link(finding for check in CHECKS for finding in check(seen))
    return Played(evidence=seen, findings=found)


@asynccontextmanager
async def _host(stage: _Stage, url: str, access: Access) -> AsyncIterator[Host]:
    parts = urlsplit(url)
    door = (str(parts.hostname), parts.port or 0)
    async with Host(
        scenario=stage.of,
        plan=stage.by,
        clock=stage.clock,
        writer=stage.writer,
        doors=Doors(url=url, control=door, treated=door),
        access=access,
        schemas=SchemaBook(),
        on_batch=lambda _: None,
    ) as host:
        yield host


async def _storm(stage: _Stage, host: Host) -> None:
    """Let the sessions live, and the faults happen; until both are over."""
    rig = SimpleNamespace(
        network=None, identity=None, dependency=None, launched=stage.launched, doors=Doors(url="")
    )
    here = _Here(host=host, clock=stage.clock)
    chaos = Chaos(
        scenario=stage.of,
        plan=stage.by,
        levers=grip(cast("Rig", rig), cast("Offering", here)),
        writer=stage.writer,
        clock=stage.clock,
        run_id="differing",
    )
    over = [anyio.Event() for _ in stage.by.sessions]
    async with anyio.create_task_group() as together:
        together.start_soon(chaos.conduct, anyio.Event())
        for planned, done in zip(stage.by.sessions, over, strict=True):
            host.begin(planned.session, done.set)
        await stage.clock.sleep_until(stage.by.end_ns)
        host.cancel_all()  # what has piled up behind a slow server is not waited for
        for done in over:
            await done.wait()
