"""Names looked up in threads of their own, so that a name server that hangs holds nobody else up.

The loop's own lookups share a handful of threads: a few clients of one proxy whose upstream cannot
be looked up would keep all of them busy, and with them every other proxy and control call.
"""

from __future__ import annotations

import asyncio
import queue
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass

THREADS_MAX = 4  # for one proxy, and for all control calls
THREAD = "name lookup"


@dataclass(frozen=True, slots=True)
class _Job:
    host: str
    port: int
    found: asyncio.Future[list[str]]


class Lookups:
    """Looks names up, so many at a time; those beyond wait their turn."""

    def __init__(self, threads_max: int = THREADS_MAX) -> None:
        """Start no thread before there is something to do."""
        self._loop = asyncio.get_running_loop()
        self._threads_max = threads_max
        self._threads = 0
        self._waiting = 0  # jobs that are not answered yet
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()

    async def hosts(self, host: str, port: int) -> list[str]:
        """The numeric hosts of a name, best first, without a wait where it is numeric already.

        Raises:
            OSError: there is no such name.
            ValueError: it could never be one, such as with an empty label.
        """
        with suppress(OSError):
            return _ask(host, port, socket.AI_NUMERICHOST)
        job = _Job(host, port, self._loop.create_future())
        self._jobs.put(job)
        self._waiting += 1
        if self._threads < min(self._waiting, self._threads_max):
            self._threads += 1
            # A daemon, for a lookup cannot be called off and must not hold up the end.
            threading.Thread(
                target=self._work, args=(self._jobs,), name=THREAD, daemon=True
            ).start()
        try:
            return await job.found
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Let the threads go once they come back; the next lookup starts others."""
        for _ in range(self._threads):
            self._jobs.put(None)
        self._jobs = queue.SimpleQueue()
        self._threads = 0

    def _work(self, jobs: queue.SimpleQueue[_Job | None]) -> None:
        while (job := jobs.get()) is not None:
            if job.found.cancelled():
                continue
            answer: list[str] | Exception
            try:
                answer = _ask(job.host, job.port, 0)
            except (OSError, ValueError) as error:
                answer = error
            with suppress(RuntimeError):  # the loop is closed: nobody asks any more
                self._loop.call_soon_threadsafe(_settle, job.found, answer)


def _ask(host: str, port: int, flags: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return [str(entry[4][0]) for entry in found]


def _settle(found: asyncio.Future[list[str]], answer: list[str] | Exception) -> None:
    if found.done():
        return
    if isinstance(answer, Exception):
        found.set_exception(answer)
    else:
        found.set_result(answer)
