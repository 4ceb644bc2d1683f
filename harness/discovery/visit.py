"""Visits a server: stands it up as a run would, reads, tries, and gives a scenario for it."""

from __future__ import annotations

import os
import secrets as random_secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from harness.clock import RunClock
from harness.discovery import names, places
from harness.discovery.findings import Findings
from harness.discovery.permits import Permit
from harness.discovery.reading import read
from harness.discovery.rounds import try_all
from harness.discovery.trying import Trier
from harness.discovery.visitor import OPEN_S, Say, Visitor
from harness.errors import NotHealedError, SquallError
from harness.journal import ProcessEntry
from harness.redaction import redact
from harness.rig.safety import kept_whole
from harness.running import assembly, guard
from harness.running.interruption import interruptible
from harness.scenario.auth import Auth
from harness.scenario.records import Agent, LaunchTarget, ListStep, Scenario, StdioTarget, Target
from harness.scenario.units import counted
from harness.session.processes import Processes

WITHIN_S: Final = 120.0  # for all tries
_SECRET_CHARACTERS_MIN: Final = 6


@dataclass(frozen=True, kw_only=True)
class Order:
    """A visit as it was asked for."""

    target: Target
    auth: Auth | None = None
    era: str = ""
    revision: str = ""
    allowed: tuple[str, ...] = ()
    permit: Permit = field(default_factory=Permit)
    given: Mapping[str, str] = field(default_factory=dict)  # values for arguments
    within_s: float = WITHIN_S


async def visit(order: Order, say: Say) -> Findings:
    """Read what the target offers and try what may be tried; nothing is left behind.

    Raises:
        TargetError, RigError, UsageError: the target is not there, not allowed, or lost too soon.
        InterruptedRunError: a signal came; everything that was started has ended.
        NotHealedError: a part of the rig could not be shown to be gone.
    """
    scenario = _scenario(order)
    guard.raise_file_limit(guard.files_needed(scenario, 0))
    with _folder() as folder:
        async with interruptible():
            return await _visit(order, scenario, folder, say)


async def _visit(order: Order, scenario: Scenario, folder: Path, say: Say) -> Findings:
    run_id = random_secrets.token_hex(4)
    noise: list[str] = []
    async with (
        kept_whole(folder, run_id, folder / "logs"),
        assembly.build(
            scenario, run_id=run_id, toxiproxy_url=None, allowed=order.allowed, folder=folder
        ) as rig,
    ):
        clock = RunClock()
        async with (
            _processes(rig, clock, noise) as processes,
            Visitor(scenario, rig, clock, processes, secrets=_environment()) as visitor,
        ):
            offer = await read(visitor)
            say(
                f"{offer.name} {offer.version}".strip()
                + f", revision {offer.revision}: {counted(len(offer.tools), 'tools')}, "
                f"{counted(len(offer.resources), 'resources')}, "
                f"{counted(len(offer.prompts), 'prompts')}"
            )
            for unread in offer.unread:
                say(f"  not read: {unread}")
            open_door = await visitor.lets_anybody_in()
            if open_door and order.auth is not None:
                say("  it asks for no token: a session opens without any")
            trier = Trier(
                visitor=visitor,
                given=order.given,
                say=say,
                within_s=order.within_s,
                now_ns=clock.now_ns,
                places=places.named_by(order.target),
            )
            found = await try_all(offer, trier, order.permit, say)
            found = replace(found, opening_ms=visitor.opening_ms, open_door=open_door)
    if noise:  # known once the processes have ended
        shown = redact(noise[0], _environment())
        say(f"  its standard output also holds what is no message: {shown}")
        return replace(found, noise=shown)
    return found


def _scenario(order: Order) -> Scenario:
    """What stands for the scenario while there is none: as much of it as a session needs."""
    visitor = Agent(name="visitor", steps=(ListStep(method="tools/list"),))
    shape = {
        "question": "What does this server offer?",
        "agents": (visitor,),
        "load": {"sessions": 2},
    }
    target = order.target
    if isinstance(target, StdioTarget | LaunchTarget):
        target = target.model_copy(update={"ready_s": max(target.ready_s, OPEN_S)})
    return Scenario.model_validate(
        {
            **shape,
            "target": target,
            "auth": order.auth,
            "era": order.era or "auto",
            "revision": order.revision or None,
        }
    )


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder for what the parts write; it stays where an error tells to look into it."""
    folder = Path(tempfile.mkdtemp(prefix="squall-init-"))
    (folder / "logs").mkdir()
    keep = False
    try:
        yield folder
    except SquallError as error:
        keep = isinstance(error, NotHealedError) or str(folder) in str(error)
        raise
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


class _Heard(Processes):
    """Processes that keep in mind what they said beside their messages."""

    noise: list[str]

    def append(self, entry: ProcessEntry) -> None:
        """Take an edge of a process's life."""
        if entry.noise:
            self.noise.append(entry.noise)


@asynccontextmanager
async def _processes(
    rig: assembly.Rig, clock: RunClock, noise: list[str]
) -> AsyncIterator[Processes | None]:
    command = rig.doors.command
    if command is None:
        yield None
        return
    async with _Heard(command, now_ns=clock.now_ns, writer=None) as processes:
        processes.noise = noise
        yield processes


def _environment() -> tuple[str, ...]:
    """What our environment holds that nobody may see, as far as its names tell."""
    return tuple(
        value
        for name, value in os.environ.items()
        if names.is_secret(name) and len(value) >= _SECRET_CHARACTERS_MIN
    )
