"""Starts a child process, waits for its ready line, and never leaves it behind.

The child's standard input is a pipe that we hold and never write to: a child that watches it sees
its end when we die, by whatever signal. Programs that do not watch it are started under `leashed`.
"""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from subprocess import PIPE
from typing import BinaryIO, Literal

import anyio
from anyio.abc import ByteReceiveStream, Process
from anyio.to_thread import run_sync

from harness import wal as wals
from harness.errors import RigError
from harness.rig import births, undo

TERMINATE_S = 3.0  # how long SIGTERM may take before SIGKILL follows
REAP_S = 5.0  # how long a killed process may take to be collected
LINE_LIMIT_BYTES = 64 * 1024  # a line before the ready line that is longer than this is an error
TAIL_BYTES = 600  # how much of the child's last words an error quotes

# The shell ends the program when our pipe ends, for it reads nothing itself. It ends itself when
# the program does, with its status, for the death of a target has to be seen at once; and hands
# SIGTERM on and waits, for a program that is told to end may have something to put away.
_LEASH = """
end=$1; shift
exec 3<&0
"$@" 3<&- </dev/null & child=$!
trap 'kill -s "$end" "$child" 2>/dev/null' TERM
{ cat <&3 >/dev/null; kill -s "$end" "$child"; } 2>/dev/null &
exec 3<&-
wait "$child"; status=$?
while kill -0 "$child" 2>/dev/null; do wait "$child"; status=$?; done
exit "$status"
"""


def leashed(argv: Sequence[str], *, end: Literal["TERM", "INT"] = "TERM") -> tuple[str, ...]:
    """The command that runs `argv` and ends it with the signal `end` once standard input ends."""
    return ("sh", "-c", _LEASH, "leash", end, *argv)


def given_to(user: str, argv: Sequence[str]) -> tuple[str, ...]:
    """The command that runs `argv` as another user, which only root can ask for."""
    return ("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--", *argv)


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Which process this is, in words that hold when its number means another one."""

    pid: int
    born: str
    run: str  # "" outside a run


class Child:
    """A running child process, and the line by which it said that it is ready."""

    def __init__(self, process: Process, origin: Origin | None = None) -> None:
        """Wrap a process that leads its own process group."""
        self._process = process
        self.origin = origin  # None when it ended at once
        self.ready_line = ""

    @property
    def pid(self) -> int:
        """Its process id, which is also the id of its process group."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; then its exit status, negative for a signal."""
        return self._process.returncode

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the child and everything it started in its group."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def tell(self) -> None:
        """Ask the child alone to end, as a supervisor does; what it started is its own affair."""
        with suppress(ProcessLookupError, PermissionError):
            os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)

    async def wait(self) -> int:
        """Return its exit status once it has ended."""
        return await self._process.wait()


@asynccontextmanager
async def child(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    ready: str | None,
    log: Path | None,
    ready_s: float = 15.0,
    cwd: str | None = None,
) -> AsyncIterator[Child]:
    """A child process for as long as the block lasts, then terminated and reaped.

    `ready` is the beginning of the line on standard output to wait for; None waits for nothing.
    What the child writes goes to `log` when one is given. It runs in its own session, so that a
    Ctrl-C at the terminal reaches it through us alone, after the faults are undone.

    Raises:
        RigError: the program is missing, ended early, or was not ready within `ready_s`.
    """
    with _open_log(log) as sink:
        process = await _start(argv, env=env, sink=sink, cwd=cwd)
        origin = await trace(process)
        running = Child(process, origin)
        failure: Exception | None = None
        # The body's error is carried past the task group, which would wrap it in a group of one.
        async with anyio.create_task_group() as group:
            try:
                await promise_end(origin, named(argv))
                rest = await _await_ready(
                    running, process, ready, ready_s=ready_s, sink=sink, argv=argv, log=log
                )
                group.start_soon(_drain, process.stdout, rest, sink)
                yield running
            except Exception as error:  # noqa: BLE001 - raised again below, unchanged
                failure = error
            finally:
                with anyio.CancelScope(shield=True):
                    await _stop(running, process)
                keep_end(process)
                group.cancel_scope.cancel()
        if failure is not None:
            raise failure


def marked(env: Mapping[str, str] | None) -> dict[str, str]:
    """The environment of something that this run starts: our own when `env` is None."""
    wal = wals.CURRENT.get()
    given = dict(os.environ if env is None else env)
    return given if wal is None else given | {births.RUN_VARIABLE: wal.run_id}


async def trace(process: Process) -> Origin | None:
    """Say which process this is, while it surely is the one that was started; None if it ended."""
    wal = wals.CURRENT.get()
    # Asked for in a thread: on a system without /proc it takes another process.
    with anyio.CancelScope(shield=True):
        born = await run_sync(births.born, process.pid)
    if born is None:
        return None
    return Origin(pid=process.pid, born=born, run=wal.run_id if wal else "")


def is_running(origin: Origin) -> bool:
    """Whether anything of a process's group runs; blocking."""
    return bool(undo.running(asdict(origin)))


async def promise_end(origin: Origin | None, name: str) -> None:
    """Write down that a process must be ended; outside a run there is nobody to tell.

    Raises:
        RigError: it cannot be written down.
    """
    wal = wals.CURRENT.get()
    if wal is not None and origin is not None:
        await run_sync(lambda: wal.intend("end_process", **asdict(origin), name=name))


def keep_end(process: Process) -> None:
    """Write down that a process was ended, if it was."""
    wal = wals.CURRENT.get()
    if wal is None or process.returncode is None:
        return
    for intent in wal.left:
        if intent.undo == "end_process" and intent.what["pid"] == process.pid:
            wal.done(intent.number)


def _open_log(log: Path | None) -> BinaryIO:
    """The file that takes the child's words; an anonymous one when nobody asked to keep them."""
    if log is None:
        return tempfile.TemporaryFile()
    log.parent.mkdir(parents=True, exist_ok=True)
    return log.open("a+b", buffering=0)


async def _start(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None,
    sink: BinaryIO,
    cwd: str | None,
) -> Process:
    try:
        return await anyio.open_process(
            list(argv),
            stdin=PIPE,
            stdout=PIPE,
            stderr=sink,
            env=marked(env),
            cwd=cwd,
            start_new_session=True,
        )
    except OSError as error:
        raise RigError(f"cannot start {argv[0]}: {error.strerror or error}") from error


async def _await_ready(
    running: Child,
    process: Process,
    ready: str | None,
    *,
    ready_s: float,
    sink: BinaryIO,
    argv: Sequence[str],
    log: Path | None,
) -> bytes:
    """Read up to the ready line; give back what was read after it."""
    if ready is None:
        return b""
    assert process.stdout is not None
    rest = b""
    try:
        with anyio.fail_after(ready_s):
            while True:
                line, newline, rest = rest.partition(b"\n")
                if newline:
                    _keep(sink, line + newline)
                    if line.startswith(ready.encode()):
                        running.ready_line = line.decode(errors="replace").rstrip("\r")
                        return rest
                    continue
                if len(line) > LINE_LIMIT_BYTES:
                    raise RigError(f"{named(argv)} wrote {len(line)} bytes without a line end")
                rest = line + await process.stdout.receive()
    except TimeoutError:
        raise RigError(
            f"{named(argv)} did not say {ready!r} within {ready_s:g} s{_last_words(sink, log)}"
        ) from None
    except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
        with anyio.move_on_after(1):
            await process.wait()
        raise RigError(
            f"{named(argv)} ended before it was ready (status {process.returncode})"
            f"{_last_words(sink, log)}"
        ) from None


def named(argv: Sequence[str]) -> str:
    """The program in a sentence; arguments may hold what must not be shown."""
    if tuple(argv[2:4]) == (_LEASH, "leash"):
        return named(argv[5:])
    if argv[0] == "setpriv":
        return named(argv[argv.index("--") + 1 :])
    module = argv[argv.index("-m") + 1 :][:1] if "-m" in argv else ()
    return " -m ".join([Path(argv[0]).name, *module])


def _last_words(sink: BinaryIO, log: Path | None) -> str:
    """The end of what the child wrote, for an error's sentence, and where the rest is."""
    size = sink.seek(0, os.SEEK_END)
    sink.seek(max(0, size - TAIL_BYTES))
    words = sink.read().decode(errors="replace").strip()
    rest = f" (all of them in {log})" if log is not None else ""
    return f"; its last words{rest}: {words}" if words else ""


def _keep(sink: BinaryIO, piece: bytes) -> None:
    """Append to the log; a full disk must not take the child down with it."""
    with suppress(OSError):
        sink.write(piece)


async def _drain(stdout: ByteReceiveStream | None, rest: bytes, sink: BinaryIO) -> None:
    """Copy standard output to the log, so that the child never blocks on a full pipe."""
    assert stdout is not None
    _keep(sink, rest)
    with suppress(anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
        while True:
            _keep(sink, await stdout.receive())


async def _stop(running: Child, process: Process) -> None:
    """SIGTERM, then SIGKILL, then reap; the group's stragglers go with it."""
    if process.returncode is None:
        running.terminate()
        with anyio.move_on_after(TERMINATE_S):
            await process.wait()
    # A grandchild may have outlived it. The number of one that ended long ago may be another's.
    if running.origin is None or await run_sync(is_running, running.origin):
        running.kill()
    with anyio.move_on_after(REAP_S):
        await process.wait()
        await process.aclose()
