"""One worker process of a distributed run: hosts its share of the sessions, and only that.

Started by the master with its assignment as one line on standard input, whose end means that the
master is gone. It never touches a fault; what behaviours are in force the master tells it.
"""

from __future__ import annotations

import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from pydantic import TypeAdapter

from faults.levers import Behaviour
from harness import plan as plans
from harness.clock import RunClock
from harness.journal import Calls, JournalWriter
from harness.overrides import restore as restore_overrides
from harness.recent import ArmTally, dump, tally
from harness.running.assignment import Assignment, restore
from harness.running.guard import raise_file_limit
from harness.running.host import Host
from harness.running.load import LocustThread
from harness.wire.schemas import SchemaBook

_BEHAVIOUR: TypeAdapter[Behaviour] = TypeAdapter(Behaviour)
GOODBYE_S = 6.0  # how long the master may take to say quit after all is done


class Worker:
    """Joins a master's messages to a host of sessions."""

    def __init__(self, part: Assignment) -> None:
        """Derive the plan; nothing is started."""
        overrides = restore_overrides(part.overrides, Path(part.folder))
        self.part = part
        self.scenario = overrides.load(part.text, part.file).scenario
        self.plan = plans.make(self.scenario)
        self.numbers = part.numbers(self.plan)
        self.started = anyio.Event()
        self.finished = anyio.Event()
        self.clock = RunClock()
        self.host: Host | None = None
        self.locust: LocustThread | None = None
        self._ended = 0
        self._stopped = False
        self._sums: dict[str, ArmTally] = {}
        self._early: list[tuple[int, Any]] = []  # users spawned before the host is up

    async def run(self) -> None:
        """Connect to the master, host the sessions, say how many calls were written."""
        self.locust = LocustThread(
            "worker",
            users=lambda: 0,
            begin=self._begin,
            end=self._end,
            numbers=self.numbers,
            master_port=self.part.master_port,
            on_message=self._hear,
        )
        await self.locust.start()
        self.locust.report(self._report)
        await self.started.wait()
        schemas = SchemaBook()
        for page in self.part.tools:
            schemas.learn(page)
        folder = Path(self.part.folder)
        with JournalWriter(folder, worker=self.part.worker) as writer:
            async with Host(
                scenario=self.scenario,
                plan=self.plan,
                clock=self.clock,
                writer=writer,
                doors=self.part.doors,
                access=self.part.access,
                schemas=schemas,
                on_batch=self._on_batch,
            ) as host:
                self.host = host
                for number, done in self._early:
                    self._begin(number, done)
                await self.finished.wait()
            calls = writer.calls_written
        self.locust.send("squall", {"say": "done", "worker": self.part.worker, "calls": calls})
        await anyio.sleep(GOODBYE_S)

    def _hear(self, _: str, data: Any) -> None:
        match data.get("say"):
            case "start":
                self.clock.origin_ns = int(data["origin_ns"])
                self.started.set()
                if not self.numbers:
                    self.finished.set()
            case "stop":
                self._stopped = True
                if self.host is not None:
                    self.host.cancel_all()
                self.finished.set()
            case "engage" if self.host is not None:
                behaviour = _BEHAVIOUR.validate_python(data["behaviour"])
                self.host.conduct.engage(behaviour, now_ns=self.clock.now_ns())
            case "disengage" if self.host is not None:
                self.host.conduct.disengage(_BEHAVIOUR.validate_python(data["behaviour"]))

    def _begin(self, number: int, done: Any) -> None:
        def ended() -> None:
            self._ended += 1
            done()  # lets the Locust user go
            if self._ended == len(self.numbers):
                self.finished.set()

        if self.host is None:
            self._early.append((number, done))
        elif not self._stopped:
            self.host.begin(number, ended)

    def _end(self, number: int) -> None:
        if self.host is not None:
            self.host.end(number)

    def _on_batch(self, batch: Calls) -> None:
        assert self.locust is not None
        self.locust.fold(batch, self.plan.calls)
        for arm, sums in tally(batch).items():
            self._sums.setdefault(arm, ArmTally()).add(sums)

    def _report(self) -> dict[str, Any]:
        """Give what has come since the last report; called in Locust's thread."""
        sums, self._sums = self._sums, {}
        alive = self.host.alive() if self.host is not None else {}
        lag_ms = self.host.lag_ms if self.host is not None else None
        return {
            "worker": self.part.worker,
            "alive": alive,
            "lag_ms": lag_ms,
            "sums": dump(sums),
        }


async def _main(line: bytes) -> None:
    part = restore(line)
    raise_file_limit(0)
    worker = Worker(part)
    async with anyio.create_task_group() as group:

        async def leash() -> None:
            await anyio.to_thread.run_sync(sys.stdin.buffer.read, abandon_on_cancel=True)
            group.cancel_scope.cancel()

        async def signals() -> None:
            with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as received:
                async for _ in received:
                    group.cancel_scope.cancel()

        group.start_soon(leash)
        group.start_soon(signals)
        await worker.run()
        group.cancel_scope.cancel()


def main() -> None:
    """Read the assignment and serve it."""
    line = sys.stdin.buffer.readline()
    if not line:
        return
    anyio.run(partial(_main, line), backend_options={"use_uvloop": True})


if __name__ == "__main__":
    main()
