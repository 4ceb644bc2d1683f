"""Starts a server whose standard input and output are pipes to us, and ends it as it should be.

Every such process bears a mark in its environment and stands in a file of the run folder, so that
whoever clears up after a squall that died finds them all.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Final

import anyio
from anyio.to_thread import run_sync

from harness.rig import births
from harness.rig.process import marked

INPUT_END_S: Final = 2.0  # how long a server may take to end once its input has ended
TERMINATE_S: Final = 1.0  # how long SIGTERM may take before SIGKILL follows
REAP_S: Final = 5.0


@dataclass(frozen=True, kw_only=True)
class Ends:
    """Who reads and writes our three ends of a server's pipes, and hears of its end."""

    reader: asyncio.BaseProtocol  # of its standard output
    writer: asyncio.BaseProtocol  # of its standard input
    errors: asyncio.BaseProtocol  # of its standard error
    on_exit: Callable[[int], None]


class Piped:
    """A server process behind pipes, the leader of a process group of its own."""

    def __init__(self, pid: int, exited: asyncio.Event, errors: asyncio.BaseTransport) -> None:
        """Wrap a running process; `exited` is set when it has been reaped."""
        self.pid = pid
        self._exited = exited
        self._errors = errors
        self._closed = False

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return not self._exited.is_set()

    def send_signal(self, number: signal.Signals) -> bool:
        """Send a signal to the process and everything in its group; False when it has ended."""
        if not self.running:
            return False
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)
        return True

    async def end(self, close_input: Callable[[], None]) -> str:
        """End it as the protocol says: its input, SIGTERM, SIGKILL; what it took, "" for nothing.

        Whatever it has started in its group goes with it.
        """
        close_input()
        took = ""
        if not await self._gone(INPUT_END_S):
            took = "SIGTERM"
            self.send_signal(signal.SIGCONT)  # a stopped process hears nothing else
            self.send_signal(signal.SIGTERM)
            if not await self._gone(TERMINATE_S):
                took = "SIGKILL"
        # Always: a grandchild may have outlived its parent, and the group id is ours until reused.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        await self._gone(REAP_S)
        self._errors.close()
        return took

    async def _gone(self, limit_s: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._exited.wait()
        return self._exited.is_set()


async def start(
    argv: Sequence[str], *, environment: Mapping[str, str], run_id: str, folder: Path, ends: Ends
) -> Piped:
    """Start a server; `environment` is added to our own.

    Raises:
        OSError: it cannot be started, or there are no descriptors left for its pipes.
    """
    env = marked({**os.environ, **environment}) | {births.SERVER_VARIABLE: run_id}
    # Not by the loop: uvloop's children inherit copies of their own pipes, so that one which
    # closes its output would not be seen to.
    with anyio.CancelScope(shield=True):
        process = await run_sync(
            lambda: Popen(
                list(argv),
                bufsize=0,
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                env=env,
                start_new_session=True,
            )
        )
    record(folder, process.pid)
    exited = asyncio.Event()
    _watch(process, exited, ends.on_exit)
    loop = asyncio.get_running_loop()
    await loop.connect_write_pipe(lambda: ends.writer, process.stdin)
    await loop.connect_read_pipe(lambda: ends.reader, process.stdout)
    errors, _ = await loop.connect_read_pipe(lambda: ends.errors, process.stderr)
    return Piped(process.pid, exited, errors)


def _watch(process: Popen[bytes], exited: asyncio.Event, on_exit: Callable[[int], None]) -> None:
    """Set the event and call, once the process has ended and was reaped."""
    loop = asyncio.get_running_loop()

    def tell() -> None:
        status = process.wait()  # it has ended already
        exited.set()
        on_exit(status)

    try:
        descriptor = os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # macOS, and systems that forbid it

        def wait() -> None:
            process.wait()
            with suppress(RuntimeError):  # the loop has been closed meanwhile
                loop.call_soon_threadsafe(tell)

        threading.Thread(target=wait, daemon=True).start()
        return

    def ready() -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        tell()

    loop.add_reader(descriptor, ready)


def record(folder: Path, pid: int) -> None:
    """Write down that a process was started, for whoever clears up after us."""
    born = births.born(pid)
    if born is not None:
        with suppress(OSError), (folder / births.SERVERS).open("a", encoding="utf-8") as file:
            file.write(f"{pid} {born}\n")
