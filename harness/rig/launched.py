"""The target that squall launched: watched to its end, struck by faults, and started again.

Whoever launched it holds its first process; those that follow, on the same address, live here.
"""

from __future__ import annotations

import signal
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Literal

import anyio
import httpx
from anyio.abc import TaskGroup
from anyio.to_thread import run_sync

from faults.levers import Conditions
from harness.errors import RigError
from harness.rig import postures
from harness.rig.looks import Look
from harness.rig.process import Child, child
from harness.rig.server import Again, Target

POLL_S: Final = 0.05
SPAWN_S: Final = 5.0  # how long a process may take to be there at all, ready or not
Edge = Literal["started", "ready", "told", "killed", "stopped", "resumed", "ended"]


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One edge in the life of the target's process."""

    pid: int
    edge: Edge
    asked: bool = False  # whether it was told to end, or killed
    status: int = 0  # its exit status, negative for a signal
    took_s: float = -1.0  # from being told to its end; -1 where nobody told it
    window: int = 0


USUAL: Final = Conditions()


class Launched:
    """One target at one address, whatever process serves it; see `kept`."""

    def __init__(self, target: Target, first: Child, again: Again, group: TaskGroup) -> None:
        """Take over what has been launched; `again` tells how to do so once more."""
        self.url = target.url
        # Who writes the edges down; set by the run, whose clock it is.
        self.on_turn: Callable[[Turn], None] = lambda _: None
        self._again = again
        self._group = group
        self._child = first
        self._told_s: float | None = None  # when the process in hand was told to end
        self._window = 0
        self._down = False  # nothing is started while a fault wants it so
        self._struck = False  # a fault has ended it, and has not had it started again
        self._conditions = USUAL
        self._up = anyio.Event()  # a process has been started after the last one ended
        group.start_soon(self._keep, first)

    @property
    def pid(self) -> int:
        """The process that serves now, or did so last."""
        return self._child.pid

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self._child.returncode is None

    # --- what faults do to it -------------------------------------------------------------------

    def tell(self, *, grace_s: float, window: int, conditions: Conditions = USUAL) -> None:
        """Tell it to end, as SIGTERM does; another is started once it has, at the latest then.

        Raises:
            RigError: it does not run.
        """
        self._must_run()
        self._window, self._conditions, self._struck = window, conditions, True
        told, self._told_s = self._child, time.monotonic()
        self._say("told")
        told.tell()
        self._group.start_soon(self._insist, told, grace_s)

    def kill(self, *, window: int) -> None:
        """End it at once; nothing is started in its place until `restore`.

        Raises:
            RigError: it does not run.
        """
        self._must_run()
        self._window, self._down, self._struck = window, True, True
        self._told_s = time.monotonic()
        self._say("killed")
        self._child.kill()

    def stop(self, *, window: int) -> None:
        """Let none of its processes run.

        Raises:
            RigError: it does not run.
        """
        self._must_run()
        self._window = window
        self._child.send_signal(signal.SIGSTOP)
        self._say("stopped")

    def resume(self) -> None:
        """Let those that were stopped run again."""
        if self.runs:
            self._child.send_signal(signal.SIGCONT)
            self._say("resumed")

    async def restore(self) -> None:
        """Have it run as it was launched; ready or not, for that is the target's own affair.

        Raises:
            RigError: it cannot be started.
        """
        if not self._struck:
            return
        as_usual = self._conditions == USUAL
        self._down, self._conditions = False, USUAL
        if self.runs and (self._told_s is not None or not as_usual):
            self._say("killed")
            self._child.kill()
        if not self.runs or not as_usual:
            self._told_s = self._told_s or time.monotonic()
        try:
            with anyio.fail_after(SPAWN_S):
                while not self.runs or self._told_s is not None:
                    await self._up.wait()
        except TimeoutError:
            raise RigError(f"the target was not started again within {SPAWN_S:g} s") from None
        self._struck = False

    # --- what can be seen of it -------------------------------------------------------------------

    async def look(self, changed: Collection[str] = (), *, moved: bool = False) -> Look:
        """See whether it runs as it was launched, as the system tells it.

        `changed` names the variables that faults have started it with otherwise, `moved` says that
        they have started it elsewhere.
        """
        pid = self.pid
        posture = await run_sync(postures.of_group, pid)
        if not self.runs or pid not in posture.members:
            return Look(stands=(f"the target's process {pid} has ended, and none runs",))
        if posture.stopped:
            return Look(
                stands=(f"of the target's processes {_listed(posture.stopped)} stand still",)
            )
        seen = (f"the target's process {pid} runs, says the system",)
        if not changed and not moved:
            return Look(seen=seen)
        if posture.environment is None or posture.directory is None:
            return Look(seen=(*seen, "that it was started as launched is squall's own word alone"))
        usual = self._again.env
        stands = tuple(
            f"the target was started with another {name}"
            for name in changed
            if posture.environment.get(name) != usual.get(name)
        )
        if moved and not await run_sync(postures.is_in, posture, self._again.directory):
            stands += (f"the target was started in {posture.directory}",)
        return Look(stands=stands, seen=(*seen, "started as it was launched"))

    def _must_run(self) -> None:
        if not self.runs or self._told_s is not None:
            raise RigError("the target's process does not run, so nothing can be done to it")

    async def _insist(self, told: Child, grace_s: float) -> None:
        """End a process that was told to and has not."""
        await anyio.sleep(grace_s)
        if told.returncode is None:
            self._say("killed")
            told.kill()

    # --- its life -------------------------------------------------------------------------------

    async def _keep(self, first: Child) -> None:
        """See each process to its end, and start the next one where a fault is the reason."""
        self._child = first
        await self._see_out(first)
        while True:
            while self._down or self._told_s is None:  # noqa: ASYNC110 - rarely, and briefly
                await anyio.sleep(POLL_S)
            try:
                await self._serve()
            except RigError:
                # Nobody can start it: whoever waits for it will say so.
                await anyio.sleep_forever()

    async def _serve(self) -> None:
        """Start a process and stay with it until it has ended."""
        again, conditions = self._again, self._conditions
        env = dict(again.env)
        for name, value in conditions.environment.items():
            if value is None:
                env.pop(name, None)
            else:
                env[name] = value
        async with child(
            again.argv,
            env=env,
            ready=None,
            log=again.log,
            cwd=conditions.directory or again.directory,
        ) as process:
            self._child, self._told_s = process, None
            self._say("started")
            self._up.set()
            self._up = anyio.Event()
            async with anyio.create_task_group() as watching:
                watching.start_soon(self._await_ready, process)
                await self._see_out(process)
                watching.cancel_scope.cancel()

    async def _await_ready(self, process: Child) -> None:
        """Say when it first answers."""
        async with self._again.client() as http:
            while process.returncode is None:
                try:
                    async with http.stream("GET", self.url):
                        break
                except httpx.HTTPError:
                    await anyio.sleep(POLL_S)
        if process.returncode is None:
            self._say("ready")

    async def _see_out(self, process: Child) -> None:
        status = await process.wait()
        told_s = self._told_s
        self.on_turn(
            Turn(
                pid=process.pid,
                edge="ended",
                asked=told_s is not None,
                status=status,
                took_s=-1.0 if told_s is None else time.monotonic() - told_s,
                window=self._window,
            )
        )

    def _say(self, edge: Edge) -> None:
        self.on_turn(Turn(pid=self.pid, edge=edge, window=self._window))


def _listed(pids: tuple[int, ...]) -> str:
    return ", ".join(map(str, pids))


@asynccontextmanager
async def kept(target: Target) -> AsyncIterator[Launched | None]:
    """A launched target that can be struck, for as long as the block lasts; None for any other."""
    if target.child is None or target.again is None:
        yield None
        return
    failure: Exception | None = None
    # The body's error is carried past the task group, which would wrap it in a group of one.
    async with anyio.create_task_group() as group:
        try:
            yield Launched(target, target.child, target.again, group)
        except Exception as error:  # noqa: BLE001 - raised again below, unchanged
            failure = error
        finally:
            group.cancel_scope.cancel()
    if failure is not None:
        raise failure
