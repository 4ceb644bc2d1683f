"""Small servers behind pipes, each a script, and a client of ours that speaks to one."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from harness.session.access import Command
from harness.session.processes import Processes
from harness.wire.reply import Reply
from harness.wire.schemas import SchemaBook
from harness.wire.speaker import Era
from harness.wire.stdio import StdioClient

NS_PER_S: Final = 1_000_000_000
PLENTY_S: Final = 20.0

# Answers everything; a test says with `turn` what becomes of a tool call.
SERVER: Final = """
import json, os, signal, sys, time
def say(message):
    sys.stdout.write(json.dumps(message) + "\\n"); sys.stdout.flush()
def answer(asked, result):
    say({"jsonrpc": "2.0", "id": asked["id"], "result": result})
def content(text):
    return {"content": [{"type": "text", "text": text}]}
def turn(asked):
    answer(asked, content(asked["params"]["arguments"].get("text", "")))
def hello(asked):
    version = os.environ.get("VERSION", "2025-11-25")
    answer(asked, {"protocolVersion": version, "capabilities": {},
                   "serverInfo": {"name": "small", "version": "1"}})
%s
for line in sys.stdin:
    asked = json.loads(line)
    method = asked.get("method")
    if method == "initialize":
        hello(asked)
    elif method == "tools/call":
        turn(asked)
    elif method == "tools/list":
        answer(asked, {"tools": [{"name": "echo", "inputSchema": {"type": "object"}}]})
    elif "id" in asked and method:
        say({"jsonrpc": "2.0", "id": asked["id"],
             "error": {"code": -32601, "message": "no such method"}})
"""


@asynccontextmanager
async def crew(
    folder: Path,
    script: str = "",
    *,
    shared: bool = False,
    environment: dict[str, str] | None = None,
) -> AsyncIterator[Processes]:
    """Server processes of a script, ended when the block ends; `script` changes the plain one."""
    (folder / "logs").mkdir(exist_ok=True)
    file = folder / "server.py"
    file.write_text(SERVER % script, encoding="utf-8")
    command = Command(
        argv=(sys.executable, "-S", str(file)),
        environment=environment or {},
        shared=shared,
        run_id="t3st",
        folder=str(folder),
    )
    async with Processes(command, now_ns=time.monotonic_ns, writer=None) as processes:
        yield processes


def client(
    processes: Processes, *, era: Era = "legacy", treated: bool = False, session: int = 0
) -> StdioClient:
    """A client that has opened nothing yet."""
    arm: Final = "treated" if treated else "control"
    source = processes.source(arm, session)
    return StdioClient(source, era=era, now_ns=time.monotonic_ns, schemas=SchemaBook())


def within(seconds: float = PLENTY_S) -> int:
    """A deadline so far from now."""
    return time.monotonic_ns() + round(seconds * NS_PER_S)


async def call(
    speaker: StdioClient, text: str = "hello", *, seconds: float = PLENTY_S, lose: bool = False
) -> Reply:
    """Call the one tool there is."""
    params = b'{"name":"echo","arguments":{"text":"%b"}}' % text.encode()
    return await speaker.request(
        "tools/call", params, name="echo", deadline_ns=within(seconds), lose_reply=lose
    )
