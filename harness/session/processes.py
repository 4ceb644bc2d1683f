"""The server processes that one process's sessions speak to over pipes, and what befalls them."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, Self

from faults.levers import Behaviour
from harness.journal import JournalWriter, ProcessEntry
from harness.rig.murmur import Log, Murmur
from harness.rig.piped import Ends, Piped, start
from harness.session.access import Command
from harness.wire.limits import Limits
from harness.wire.pipe import Pipe, describe_end
from harness.wire.served import Greeting
from harness.wire.speaker import Era

Arm = Literal["control", "treated"]
SECRET_CHARACTERS_MIN: Final = 6  # shorter values of the environment are no secrets
SHARED: Final = -1


class ServerProcess:
    """One server process and everything that is said with it."""

    def __init__(self, crew: Processes, arm: Arm, session: int) -> None:
        """Prepare the pipe; nothing is started."""
        self.pipe = Pipe(crew.now_ns, crew.limits)
        self.greeting: Greeting | None = None
        self.arm = arm
        self.session = session
        self.stopped = False
        self.piped: Piped | None = None
        self._crew = crew
        self._ending: asyncio.Task[None] | None = None
        self._how = ""
        self._told = False  # its end is in the journal
        self.pipe.on_lost = self._take_loss

    async def start(self) -> None:
        """Start it.

        Raises:
            OSError: it cannot be started.
        """
        crew = self._crew
        murmur = Murmur(crew.log)
        ends = Ends(
            reader=self.pipe, writer=self.pipe.outlet, errors=murmur, on_exit=self._take_exit
        )
        command = crew.command
        self.piped = await start(
            command.argv,
            environment=command.environment,
            run_id=command.run_id,
            folder=Path(command.folder),
            ends=ends,
        )
        murmur.who = f"{self.arm} {self.piped.pid}"
        self.note("started")

    @property
    def leaving(self) -> bool:
        """Whether its end has begun."""
        return self._ending is not None

    def signal(self, number: signal.Signals) -> bool:
        """Send it a signal; False when it has ended."""
        return self.piped is not None and self.piped.send_signal(number)

    def leave(self) -> None:
        """Begin to end it; what it still says goes unread by those who asked."""
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self._end())

    async def end(self) -> None:
        """End it, and wait for that; the end goes on when this is cancelled."""
        self.leave()
        assert self._ending is not None
        await asyncio.shield(self._ending)

    def note(
        self, edge: Literal["started", "killed", "stopped", "resumed", "slowed"], window: int = 0
    ) -> None:
        """Write an edge of its life into the journal."""
        self._crew.append(
            ProcessEntry(
                at_ns=self._crew.now_ns(),
                pid=self.piped.pid if self.piped else 0,
                session=self.session,
                treated=self.arm == "treated",
                edge=edge,
                window=window,
            )
        )

    async def _end(self) -> None:
        if self.piped is not None:
            took = await self.piped.end(self.pipe.outlet.close)
            self._how = f"{self._how}, after {took}" if took else self._how
            self.pipe.close()
            self._note_end()
        self._crew.forget(self)

    def _take_exit(self, status: int) -> None:
        self._how = describe_end(status)
        self.pipe.take_exit(status)

    def _take_loss(self) -> None:
        """It ended by itself, or shut us out: nothing of it may stay behind."""
        if self._ending is None:
            self._how = self._how or "closed its standard input or output, and ran on"
            self._note_end(asked=False)
            self.leave()

    def _note_end(self, *, asked: bool = True) -> None:
        if self._told:
            return
        self._told = True
        crew, pipe = self._crew, self.pipe
        crew.append(
            ProcessEntry(
                at_ns=crew.now_ns(),
                pid=self.piped.pid if self.piped else 0,
                session=self.session,
                treated=self.arm == "treated",
                edge="ended",
                how=self._how,
                asked=asked,
                messages=pipe.messages,
                noise_lines=pipe.noise_lines,
                duplicate_replies=pipe.duplicate_replies,
                unknown_ids=pipe.unknown_ids,
                noise=pipe.noise,
            )
        )


class _Source:
    """What a client's source knows, whoever shares its processes."""

    def __init__(self, crew: Processes) -> None:
        self.opening = asyncio.Lock()
        self._crew = crew

    @property
    def known_era(self) -> Era:
        """What a process was found to speak."""
        return self._crew.known_era

    @known_era.setter
    def known_era(self, era: Era) -> None:
        self._crew.known_era = era


class _Own(_Source):
    """A process for one session alone."""

    shared = False

    def __init__(self, crew: Processes, arm: Arm, session: int) -> None:
        super().__init__(crew)
        self._arm, self._session = arm, session

    async def take(self) -> ServerProcess:
        """A new process."""
        return await self._crew.begin(self._arm, self._session)


class _Shared(_Source):
    """One process for all sessions of an arm."""

    shared = True

    def __init__(self, crew: Processes, arm: Arm) -> None:
        super().__init__(crew)
        self._arm = arm
        self._served: ServerProcess | None = None

    async def take(self) -> ServerProcess:
        """The arm's process, or a new one where that is lost or on its way out."""
        served = self._served
        if served is None or served.pipe.lost or served.leaving:
            served = self._served = await self._crew.begin(self._arm, SHARED)
        return served


class Processes:
    """Starts servers, keeps them in sight, and ends them all; an async context manager."""

    def __init__(
        self,
        command: Command,
        *,
        now_ns: Callable[[], int],
        writer: JournalWriter | None,
        worker: int = 0,
    ) -> None:
        """Start nothing yet; without a writer nothing is written down."""
        secrets = [
            value for value in command.environment.values() if len(value) >= SECRET_CHARACTERS_MIN
        ]
        self.command = command
        self.now_ns = now_ns
        self.limits = Limits()
        self.log = Log(Path(command.folder) / "logs" / f"servers-{worker}.log", secrets)
        self._writer = writer
        self._living: set[ServerProcess] = set()
        self._starting: set[asyncio.Task[ServerProcess]] = set()
        self._arms: dict[Arm, _Shared] = {}
        self.known_era: Era = "auto"
        self._deadly: Behaviour | None = None
        self._slow: Behaviour | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """End them all, at the same time."""
        await asyncio.gather(*self._starting, return_exceptions=True)
        ends = [served.end() for served in self._living]
        await asyncio.gather(*ends, return_exceptions=True)

    def source(self, arm: Arm, session: int) -> _Own | _Shared:
        """Where a session's processes come from."""
        if not self.command.shared:
            return _Own(self, arm, session)
        if arm not in self._arms:
            self._arms[arm] = _Shared(self, arm)
        return self._arms[arm]

    async def begin(self, arm: Arm, session: int) -> ServerProcess:
        """A new process; it is kept in sight though the caller should be cancelled meanwhile.

        Raises:
            OSError: it cannot be started.
        """
        task = asyncio.get_running_loop().create_task(self._begin(arm, session))
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)
        return await asyncio.shield(task)

    async def _begin(self, arm: Arm, session: int) -> ServerProcess:
        served = ServerProcess(self, arm, session)
        await served.start()
        self._living.add(served)
        if self._slow is not None and arm == "treated":
            self._hold(served, self._slow)
        if self._deadly is not None and arm == "treated":
            self._kill(served, self._deadly)
        return served

    # --- what faults do to them ----------------------------------------------------------------

    def engage(self, behaviour: Behaviour) -> None:
        """Let a fault strike the treated sessions' processes; other behaviours are not ours."""
        match behaviour.kind:
            case "kill_process":
                self._deadly = behaviour
                for served in self._treated():
                    self._kill(served, behaviour)
            case "stop_process":
                for served in self._treated():
                    served.note("stopped", behaviour.window)
                    served.stopped = served.signal(signal.SIGSTOP)
            case "slow_read":
                self._slow = behaviour
                for served in self._treated():
                    self._hold(served, behaviour)

    def disengage(self, behaviour: Behaviour) -> None:
        """Take it back, as far as it can be."""
        match behaviour.kind:
            case "kill_process":
                self._deadly = None
            case "stop_process":
                for served in tuple(self._living):
                    if served.stopped:
                        served.stopped = False
                        served.signal(signal.SIGCONT)
                        served.note("resumed", behaviour.window)
            case "slow_read":
                self._slow = None
                for served in self._treated():
                    served.pipe.release()

    def _treated(self) -> tuple[ServerProcess, ...]:
        return tuple(
            one
            for one in self._living
            if one.arm == "treated" and not one.pipe.lost and not one.leaving
        )

    def _kill(self, served: ServerProcess, behaviour: Behaviour) -> None:
        served.note("killed", behaviour.window)
        served.signal(signal.SIGKILL)

    def _hold(self, served: ServerProcess, behaviour: Behaviour) -> None:
        served.note("slowed", behaviour.window)
        served.pipe.hold(behaviour.bytes_per_s)

    # --- what processes report -----------------------------------------------------------------

    def append(self, entry: ProcessEntry) -> None:
        """Write an entry into the journal."""
        if self._writer is not None:
            self._writer.append(entry)

    def forget(self, served: ServerProcess) -> None:
        """It has ended and everything of it is closed."""
        self._living.discard(served)
