"""Asks our server for everything and anything, and sees that it stays well.

`python -m tests.faults.toxiproxy.fuzz --requests 100000 --seed 1` prints what it did; it ends with
1 at the first thing that should not have been. Data flows through the proxies all the while.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from tests.faults.toxiproxy.conftest import ROOT
from tests.faults.toxiproxy.fuzz_requests import Request, Requests

TALKERS = 6
BATCH = 24  # requests that one talker sends in one breath
SWEEP_EVERY = 2000  # requests after which every proxy is removed
ANSWER_S = 20.0  # for a whole batch, on a busy machine
SETTLE_S = 10.0
# Words of an address that cannot be had, which is the only 500 there is.
_REFUSED = re.compile(r"^(listen tcp|lookup|address)\b")
_GAUGE = re.compile(r"^(python_asyncio_tasks|process_open_fds) (\S+)$", re.MULTILINE)

Address = tuple[str, int]


class WrongError(Exception):
    """The server did what it should not have done."""


@dataclass
class Figures:
    """What came of it."""

    statuses: Counter[int] = field(default_factory=Counter)
    rude: int = 0
    streams: int = 0
    slowest_s: float = 0.0  # for one batch
    elapsed_s: float = 0.0

    @property
    def requests(self) -> int:
        """All of them."""
        return self.statuses.total() + self.rude


@asynccontextmanager
async def _server() -> AsyncIterator[Address]:
    """Our server; what it says on its standard error is wrong, whatever it is.

    Raises:
        WrongError: it has said something, or has ended on its own.
    """
    words = ("-m", "faults.toxiproxy", "--port", "0", "--stdin-lease", "--seed", "1")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *words, "--proxy-metrics", "--runtime-metrics"),
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        cwd=ROOT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    said = asyncio.create_task(process.stderr.read())
    try:
        host, _, port = (await process.stdout.readline()).decode().split()[1].rpartition(":")
        yield host, int(port)
        if process.returncode is not None:
            raise WrongError(f"the server has ended with {process.returncode}")
        process.terminate()
        if await asyncio.wait_for(process.wait(), SETTLE_S):
            raise WrongError(f"it ended with {process.returncode} when told to")
        if await said:
            raise WrongError(f"it said: {(await said).decode()[-2000:]}")
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        said.cancel()


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _answer(reader: asyncio.StreamReader, method: str) -> tuple[int, bytes]:
    """Status and body of one answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head[9:12])
    lower = head.lower()
    if method == "HEAD" or status == 204:
        return status, b""
    if b"transfer-encoding: chunked" in lower:
        body = b""
        while size := int(await reader.readline(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
        return status, body
    length = lower.partition(b"content-length: ")[2].partition(b"\r\n")[0]
    return status, await reader.readexactly(int(length))


def _judge(request: Request, status: int, body: bytes) -> None:
    """See that an answer is one that a request may get.

    Raises:
        WrongError: it is not.
    """
    allowed = {200, 201, 204, 301, 400, 403, 404, 405, 409}
    if status in allowed:
        return
    if status == 500:
        error = json.loads(body)["error"]
        if _REFUSED.match(error):
            return
    raise WrongError(f"{status} {body[:300]!r} to {request.raw[:3000]!r}")


class _Fuzz:
    def __init__(self, address: Address, supply: Requests, left: int) -> None:
        self._address = address
        self._supply = supply
        self._left = left
        self.figures = Figures()
        self._swept = 0

    async def talk(self) -> None:
        """Send batches until enough has been sent, over one connection for as long as it lasts."""
        reader, writer = await asyncio.open_connection(*self._address)
        while self._left > 0:
            batch = [self._supply.next() for _ in range(min(BATCH, self._left))]
            self._left -= len(batch)
            polite = [request for request in batch if not request.rude]
            began_s = time.monotonic()
            async with asyncio.timeout(ANSWER_S):
                writer.write(b"".join(request.raw for request in polite))
                for request in polite:
                    status, body = await _answer(reader, request.method)
                    self.figures.statuses[status] += 1
                    _judge(request, status, body)
            self.figures.slowest_s = max(self.figures.slowest_s, time.monotonic() - began_s)
            for request in batch:
                if request.rude:
                    await self._be_rude(request)
            if self.figures.requests - self._swept > SWEEP_EVERY:
                self._swept = self.figures.requests
                await self.sweep()
        writer.close()

    async def _be_rude(self, request: Request) -> None:
        """Say something that is no request, and leave; now and then without a farewell."""
        self.figures.rude += 1
        reader, writer = await asyncio.open_connection(*self._address)
        with suppress(OSError):
            writer.write(request.raw)
            if len(request.raw) % 2:
                writer.write_eof()
                async with asyncio.timeout(ANSWER_S):
                    heard = await reader.read()
                if b"500 Internal" in heard and b'{"error"' not in heard:
                    raise WrongError(f"{heard[:300]!r} to {request.raw[:3000]!r}")
        writer.transport.abort()

    async def ask(self, method: str, path: str, body: bytes = b"") -> bytes:
        """One call by itself; its answer's body."""
        reader, writer = await asyncio.open_connection(*self._address)
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        try:
            async with asyncio.timeout(ANSWER_S):
                writer.write(head.encode() + body)
                return (await _answer(reader, method))[1]
        finally:
            writer.close()

    async def sweep(self) -> None:
        """Remove every proxy, also those whose names no path can hold."""
        for name in json.loads(await self.ask("GET", "/proxies")):
            change = json.dumps([{"op": "delete", "proxy": name}])
            await self.ask("POST", "/squall/changes", change.encode())

    async def stream(self) -> None:
        """Let data flow through whatever proxies there are, until cancelled."""
        while True:
            proxies = json.loads(await self.ask("GET", "/proxies")).values()
            listens = [proxy["listen"] for proxy in proxies if proxy["enabled"]]
            await asyncio.gather(
                *(self._flow(listen) for listen in listens if listen.startswith("127.0.0.1:"))
            )
            await asyncio.sleep(0.01)

    async def _flow(self, listen: str) -> None:
        self.figures.streams += 1
        host, _, port = listen.rpartition(":")
        with suppress(OSError, TimeoutError):
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                async with asyncio.timeout(0.05):
                    writer.write(b"x" * 50_000)
                    await reader.read()
            finally:
                writer.transport.abort()

    async def settled(self, before: dict[str, float]) -> None:
        """Wait until no task and no descriptor is left that was not there before.

        Raises:
            WrongError: something stays.
        """
        deadline = time.monotonic() + SETTLE_S
        while time.monotonic() < deadline:
            now = await self.gauges()
            if all(now[name] <= before[name] for name in before):
                return
            await asyncio.sleep(0.05)
        raise WrongError(f"left over: {before} before, {now} after")

    async def gauges(self) -> dict[str, float]:
        """Tasks and descriptors of the server."""
        page = (await self.ask("GET", "/metrics")).decode()
        return {name: float(value) for name, value in _GAUGE.findall(page)}


async def fuzz(requests: int, seed: int) -> Figures:
    """Send so many requests to a server of ours.

    Raises:
        WrongError: something was not as it should be.
    """
    echo = await asyncio.start_server(_echo, "127.0.0.1", 0)
    upstream = f"127.0.0.1:{echo.sockets[0].getsockname()[1]}"
    async with echo, _server() as address:
        run = _Fuzz(address, Requests(seed, [upstream]), requests)
        before = await run.gauges()
        began_s = time.monotonic()
        streaming = asyncio.create_task(run.stream())
        try:
            async with asyncio.TaskGroup() as talkers:
                for _ in range(TALKERS):
                    talkers.create_task(run.talk())
        finally:
            streaming.cancel()
            await asyncio.wait([streaming])
        if not streaming.cancelled():
            await streaming
        run.figures.elapsed_s = time.monotonic() - began_s
        await run.sweep()
        await run.settled(before)
    return run.figures


def main() -> int:
    """Fuzz as asked on the command line."""
    parser = argparse.ArgumentParser(description="send odd requests to our Toxiproxy server")
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    try:
        figures = asyncio.run(fuzz(given.requests, given.seed))
    except (ExceptionGroup, WrongError, TimeoutError, OSError, EOFError) as error:
        found = error.exceptions if isinstance(error, ExceptionGroup) else [error]
        sys.stderr.writelines(f"WRONG with seed {given.seed}: {each!r}\n" for each in found)
        return 1
    counted = ", ".join(f"{status}: {count}" for status, count in sorted(figures.statuses.items()))
    print(  # noqa: T201 - a command's answer
        f"{figures.requests} requests in {figures.elapsed_s:.1f} s ({figures.rude} of them rude), "
        f"{figures.streams} connections through the proxies; the slowest batch of {BATCH} took "
        f"{figures.slowest_s * 1000:.0f} ms; answers {counted}; nothing wrong, nothing left over"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
