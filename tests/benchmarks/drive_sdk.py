"""Drives the official `mcp` client: fifty sessions over one shared HTTP client."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack

import httpx2
import uvloop
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from pydantic_core import from_json

from tests.benchmarks.rounds import ARGUMENTS, SESSIONS, asked_rounds, cpu_seconds, report_round

_TEXT: str = from_json(ARGUMENTS)["arguments"]["text"]


async def _call(client: Client, until_s: float) -> int:
    calls, now_s = 0, asyncio.get_running_loop().time
    while now_s() < until_s:
        result = await client.call_tool("echo", {"text": _TEXT})
        assert not result.is_error
        calls += 1
    return calls


async def _main() -> None:
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
        http = await stack.enter_async_context(httpx2.AsyncClient(limits=limits))
        clients = [
            await stack.enter_async_context(
                Client(streamable_http_client(sys.argv[1], http_client=http), mode="legacy")
            )
            for _ in range(SESSIONS)
        ]
        for seconds in asked_rounds():
            before_s = cpu_seconds()
            until_s = loop.time() + seconds
            calls = await asyncio.gather(*(_call(client, until_s) for client in clients))
            report_round(sum(calls), cpu_seconds() - before_s)


if __name__ == "__main__":
    uvloop.run(_main())
