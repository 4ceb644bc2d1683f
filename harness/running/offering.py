"""Offers a plan's load: in this process, or through local worker processes under a master.

Both ways look alike to the conductor: `engage` and `disengage` behaviours, and `offer` the plan.
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from subprocess import PIPE
from typing import Any, Protocol

import anyio
from anyio.abc import Process

from faults.levers import Behaviour, Exposure
from harness.clock import NS_PER_S, RunClock
from harness.errors import RigError
from harness.journal import Calls, JournalWriter, WorkerEntry
from harness.plan import Plan
from harness.recent import Recent, restore
from harness.rig.process import keep_end, marked, promise_end, trace
from harness.running.assignment import Assignment, dump
from harness.running.host import Host
from harness.running.load import LocustThread

LEAD_NS = 2 * NS_PER_S  # Locust spawns a session this long before the plan opens it
WORKER_START_S = 30.0
WORKER_END_S = 20.0  # beyond the plan's end and the last deadline
STOP_S = 8.0
CONNECT_LEAD_S = 0.5  # from the moment all is ready to the plan's zero


class Offering(Protocol):
    """Load under way."""

    async def engage(self, behaviour: Behaviour) -> None:
        """Tell every treated session to behave so."""
        ...

    async def disengage(self, behaviour: Behaviour) -> None:
        """Tell them to stop."""
        ...

    async def exposure(self, behaviour: Behaviour) -> Exposure:
        """Say who counts: the journal does, when it is judged."""
        ...

    async def offer(self, stop: anyio.Event) -> str:
        """Offer the whole plan; return "" when it is done, else why it ended early."""
        ...

    def alive(self) -> dict[str, int]:
        """How many sessions of each arm live now, as far as is known."""
        ...

    def lag_ms(self) -> float | None:
        """How late the generator's own timers were in the last second: the 99th percentile."""
        ...

    def totals(self) -> tuple[int, int]:
        """Locust's own count of requests and failures."""
        ...


def sessions_due(clock: RunClock, opens_ns: list[int]) -> int:
    """Count the sessions that should be spawned by now; `opens_ns` is sorted."""
    return bisect_right(opens_ns, clock.now_ns() + LEAD_NS)


@dataclass(eq=False)
class LocalOffering:
    """Every session in this process, started and ended by a local Locust."""

    host: Host
    plan: Plan
    clock: RunClock
    web_port: int | None
    _locust: LocustThread | None = None
    _over: bool = False
    _begun: int = 0
    _ended: int = 0
    _all_done: anyio.Event | None = None

    async def start(self) -> None:
        """Bring Locust up; nothing is offered yet.

        Raises:
            RigError: when it does not come up.
        """
        self._all_done = anyio.Event()
        opens_ns = sorted(session.open_ns for session in self.plan.sessions)

        def users() -> int:
            return -1 if self._over else sessions_due(self.clock, opens_ns)

        self._locust = LocustThread(
            "local",
            users=users,
            begin=self._begin,
            end=self.host.end,
            numbers=range(len(self.plan.sessions)),
            web_port=self.web_port,
            on_message=self._hear,
        )
        await self._locust.start()

    def on_batch(self, batch: Calls) -> None:
        """Fold finished calls into Locust's statistics."""
        if self._locust is not None:
            self._locust.fold(batch, self.plan.calls)

    async def offer(self, stop: anyio.Event) -> str:
        """Offer the whole plan."""
        assert self._locust is not None
        assert self._all_done is not None
        all_done = self._all_done
        self._locust.spawn()
        async with anyio.create_task_group() as waiting:

            async def halt() -> None:
                await stop.wait()
                self.host.cancel_all()
                self._over = True
                with anyio.move_on_after(STOP_S):
                    await all_done.wait()
                waiting.cancel_scope.cancel()

            waiting.start_soon(halt)
            await all_done.wait()
            waiting.cancel_scope.cancel()
        early = self.clock.now_ns() < self.plan.end_ns and not stop.is_set()
        self._over = True
        return "ended from Locust's page" if early else ""

    async def close(self) -> None:
        """End Locust."""
        self._over = True
        if self._locust is not None:
            with anyio.CancelScope(shield=True):
                await self._locust.close()

    async def engage(self, behaviour: Behaviour) -> None:
        """Tell every treated session to behave so."""
        self.host.conduct.engage(behaviour, now_ns=self.clock.now_ns())

    async def disengage(self, behaviour: Behaviour) -> None:
        """Tell them to stop."""
        self.host.conduct.disengage(behaviour)

    async def exposure(self, behaviour: Behaviour) -> Exposure:
        """The journal counts."""
        del behaviour
        return Exposure(count=0, unit="calls", source="journal")

    def alive(self) -> dict[str, int]:
        """How many sessions of each arm live now."""
        return self.host.alive()

    def lag_ms(self) -> float | None:
        """How late this process's timers were in the last second."""
        return self.host.lag_ms

    def totals(self) -> tuple[int, int]:
        """Locust's own count of requests and failures."""
        assert self._locust is not None
        return self._locust.totals()

    def _begin(self, number: int, done: Callable[[], None]) -> None:
        self._begun += 1

        def ended() -> None:
            self._ended += 1
            done()
            self._see_whether_all_is_done()

        self.host.begin(number, ended)

    def _hear(self, kind: str, _: object) -> None:
        """Locust has stopped: at the end of the plan, or because somebody told its page to."""
        if kind == "stopped":
            self._over = True
            self._see_whether_all_is_done()

    def _see_whether_all_is_done(self) -> None:
        no_more = self._over or self._ended == len(self.plan.sessions)
        if self._all_done is not None and self._ended == self._begun and no_more:
            self._all_done.set()


@asynccontextmanager
async def offered_here(
    *, host: Host, plan: Plan, clock: RunClock, web_port: int | None
) -> AsyncIterator[LocalOffering]:
    """A local offering, ready to go.

    Raises:
        RigError: when Locust does not come up.
    """
    offering = LocalOffering(host=host, plan=plan, clock=clock, web_port=web_port)
    try:
        await offering.start()
        yield offering
    finally:
        await offering.close()


# --- workers --------------------------------------------------------------------------------


@dataclass(eq=False)
class WorkerOffering:
    """Sessions in worker processes under a Locust master; faults stay with the master."""

    plan: Plan
    clock: RunClock
    writer: JournalWriter
    assignment: Assignment  # worker 0 of it is the pattern for all
    web_port: int | None
    recent: Recent
    deadline_s: float
    _locust: LocustThread | None = None
    _over: bool = False

    async def start(self, stack: AsyncExitStack) -> None:
        """Bring the master and all workers up; nothing is offered yet.

        Raises:
            RigError: when one of them does not come up.
        """
        self._done: dict[int, int] = {}
        self._lost: set[int] = set()
        self._living: dict[int, dict[str, int]] = {}
        self._lags_ms: dict[int, float] = {}
        self._stopped = False  # from Locust's page
        count = self.assignment.workers
        opens_ns = sorted(session.open_ns for session in self.plan.sessions)

        def users() -> int:
            # Rounded up to a whole number a worker, so that each gets just its own sessions.
            due = sessions_due(self.clock, opens_ns)
            return -1 if self._over else -(-due // count) * count

        self._locust = LocustThread(
            "master", users=users, web_port=self.web_port, on_message=self._hear
        )
        await self._locust.start()
        self._processes: dict[int, Process] = {}
        for number in range(1, count + 1):
            part = replace(self.assignment, worker=number, master_port=self._locust.master_port)
            self._processes[number] = await _start_worker(part, stack)
        with anyio.move_on_after(WORKER_START_S):
            while self._locust.workers_ready < count:
                self._see_who_died()
                if self._lost:
                    break
                await anyio.sleep(0.05)
        if self._locust.workers_ready < count or self._lost:
            log = Path(self.assignment.folder) / "logs"
            raise RigError(f"not every worker process came up; see {log}/worker-*.log")
        for number in self._processes:
            self._entry(number, "joined")

    async def offer(self, stop: anyio.Event) -> str:
        """Offer the whole plan; a lost worker does not end it, it is written down."""
        assert self._locust is not None
        self._locust.send("squall", {"say": "start", "origin_ns": self.clock.origin_ns})
        await anyio.sleep(CONNECT_LEAD_S / 2)
        self._locust.spawn()
        latest_ns = self.plan.end_ns + round((self.deadline_s + WORKER_END_S) * NS_PER_S)
        told = False
        while True:
            self._see_who_died()
            if len(self._done.keys() | self._lost) == len(self._processes):
                break
            if (stop.is_set() or self._stopped) and not told:
                told = True
                self._locust.send("squall", {"say": "stop"})
                latest_ns = self.clock.now_ns() + round(STOP_S * NS_PER_S)
            if self.clock.now_ns() > latest_ns:
                for number in self._processes.keys() - self._done.keys() - self._lost:
                    self._lose(number, "did not finish in time")
                break
            await anyio.sleep(0.1)
        self._over = True
        early = self.clock.now_ns() < self.plan.end_ns and not stop.is_set() and not self._lost
        return "ended from Locust's page" if early else ""

    async def close(self) -> None:
        """End the workers and Locust, once their last statistics are in."""
        self._over = True
        if self._locust is not None:
            with anyio.CancelScope(shield=True):
                await self._locust.close()

    async def engage(self, behaviour: Behaviour) -> None:
        """Tell every treated session on every worker to behave so."""
        assert self._locust is not None
        self._locust.send("squall", {"say": "engage", "behaviour": asdict(behaviour)})

    async def disengage(self, behaviour: Behaviour) -> None:
        """Tell them to stop."""
        assert self._locust is not None
        self._locust.send("squall", {"say": "disengage", "behaviour": asdict(behaviour)})

    async def exposure(self, behaviour: Behaviour) -> Exposure:
        """The journal counts."""
        del behaviour
        return Exposure(count=0, unit="calls", source="journal")

    def alive(self) -> dict[str, int]:
        """How many sessions of each arm the workers last said they had."""
        return dict(sum(map(Counter, self._living.values()), Counter()))

    def lag_ms(self) -> float | None:
        """How late the timers of the worst worker were."""
        return max(self._lags_ms.values(), default=None)

    def totals(self) -> tuple[int, int]:
        """Locust's own count of requests and failures."""
        assert self._locust is not None
        return self._locust.totals()

    def _hear(self, kind: str, data: Any) -> None:
        if kind == "tally":
            self._living[data["worker"]] = data["alive"]
            if data["lag_ms"] is not None:
                self._lags_ms[data["worker"]] = data["lag_ms"]
            self.recent.add(restore(data["sums"]), data["worker"])
        elif kind == "stopped":
            self._stopped = True
        elif data.get("say") == "done":
            number = int(data["worker"])
            self._done[number] = int(data["calls"])
            self._entry(number, "done", calls=int(data["calls"]))

    def _see_who_died(self) -> None:
        for number, process in self._processes.items():
            if process.returncode is not None and number not in self._done:
                self._lose(number, f"ended with status {process.returncode}")

    def _lose(self, number: int, why: str) -> None:
        if number not in self._lost:
            self._lost.add(number)
            self._living.pop(number, None)
            self._lags_ms.pop(number, None)
            self.recent.forget(number)
            self._entry(number, "lost", why=why)

    def _entry(self, worker: int, edge: Any, *, calls: int = 0, why: str = "") -> None:
        self.writer.append(
            WorkerEntry(at_ns=self.clock.now_ns(), worker=worker, edge=edge, calls=calls, why=why),
            sync=True,
        )


async def _start_worker(part: Assignment, stack: AsyncExitStack) -> Process:
    log = Path(part.folder) / "logs" / f"worker-{part.worker}.log"
    with log.open("ab") as sink:
        process = await anyio.open_process(
            [sys.executable, "-m", "harness.worker"],
            stdin=PIPE,
            stdout=sink,
            stderr=sink,
            env=marked(None),
            start_new_session=True,
        )
    stack.push_async_callback(_end_worker, process)
    await promise_end(await trace(process), f"worker {part.worker}")
    assert process.stdin is not None
    await process.stdin.send(dump(part))
    return process


async def _end_worker(process: Process) -> None:
    """Ask by the pipe's end, which a worker waits for even when it is done; then insist."""
    with anyio.CancelScope(shield=True):
        assert process.stdin is not None
        with suppress(anyio.BrokenResourceError):
            await process.stdin.aclose()
        with anyio.move_on_after(3):
            await process.wait()
        if process.returncode is None:
            process.kill()
        with anyio.move_on_after(3):
            await process.aclose()
        keep_end(process)
