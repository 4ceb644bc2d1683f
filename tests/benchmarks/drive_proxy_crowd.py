"""Opens many connections through a proxy and lets each echo once; a module of its own process.

Argument: how many connections. It prints the port of its upstream, reads the proxy's port, prints
`open` once all have echoed, and keeps them until its standard input ends.
"""

from __future__ import annotations

import asyncio
import sys

import uvloop

from tests.benchmarks.rounds import say

AT_ONCE = 50
WAIT_S = 60


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.read(4096))


async def _main() -> None:
    connections = int(sys.argv[1])
    server = await asyncio.start_server(_echo, "127.0.0.1", 0, backlog=1024)
    say(str(server.sockets[0].getsockname()[1]))
    port = int(await asyncio.to_thread(sys.stdin.readline))
    gate = asyncio.Semaphore(AT_ONCE)

    async def open_one() -> asyncio.StreamWriter:
        async with gate:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            return writer

    async with asyncio.timeout(WAIT_S):
        kept = await asyncio.gather(*(open_one() for _ in range(connections)))
    say("open")
    await asyncio.to_thread(sys.stdin.read)
    for writer in kept:
        writer.close()


if __name__ == "__main__":
    uvloop.run(_main())
