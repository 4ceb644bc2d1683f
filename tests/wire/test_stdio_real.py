from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from harness.outcome import Outcome, Reason
from harness.rig import ledger, server
from harness.session.access import Command
from harness.session.processes import Processes
from harness.wire.limits import MIB
from harness.wire.speaker import Era
from harness.wire.stdio import StdioClient
from tests.wire.talking import client, within

pytestmark = pytest.mark.anyio
EVERYTHING = Path(os.environ.get("SQUALL_EVERYTHING", "absent"))
SDK = """
from mcp.server import MCPServer
server = MCPServer("plain", log_level="WARNING")
@server.tool()
async def shout(text: str) -> str:
    print("this goes nowhere that matters")
    return text.upper()
server.run("stdio")
"""


@asynccontextmanager
async def opened(folder: Path, argv: Sequence[str], era: Era) -> AsyncIterator[StdioClient]:
    """A client of a real server's process, with its session open."""
    (folder / "logs").mkdir()
    command = Command(
        argv=tuple(argv), environment={}, shared=False, run_id="t3st", folder=str(folder)
    )
    with anyio.fail_after(90):
        async with Processes(command, now_ns=time.monotonic_ns, writer=None) as processes:
            speaker = client(processes, era=era)
            reply = await speaker.open(deadline_ns=within(40))
            assert reply.outcome is Outcome.OK, reply
            yield speaker


@pytest.mark.parametrize("era", ["legacy", "modern", "auto"])
async def test_the_official_server_is_spoken_to_in_either_era(tmp_path: Path, era: Era) -> None:
    """It answers both; left to itself, the newer one is found."""
    (tmp_path / "plain.py").write_text(SDK, encoding="utf-8")
    async with opened(tmp_path, (sys.executable, str(tmp_path / "plain.py")), era) as speaker:
        assert speaker.era == ("legacy" if era == "legacy" else "modern")
        params = b'{"name":"shout","arguments":{"text":"hear"}}'
        reply = await speaker.request("tools/call", params, name="shout", deadline_ns=within())
        assert reply.outcome is Outcome.OK, reply
        assert reply.result["content"][0]["text"] == "HEAR"
        assert speaker._served is not None
        assert speaker._served.pipe.noise_lines == 0


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_the_bundled_server_bounds_a_message_and_counts_an_effect(
    tmp_path: Path, era: Era
) -> None:
    """Five mebibytes are refused by their id, without a process lost; a note is in the ledger."""
    notes = tmp_path / "ledger.sqlite"
    async with opened(tmp_path, server.piped_reference(ledger=notes), era) as speaker:
        large = b'{"name":"search","arguments":{"query":"%b"}}' % (b"x" * 5 * MIB)
        refused = await speaker.request("tools/call", large, name="search", deadline_ns=within())
        assert refused.reason is Reason.JSONRPC_ERROR
        assert "may have" in refused.detail
        note = b'{"name":"append_note","arguments":{"key":"k","text":"t","idempotency_key":"once"}}'
        for _ in range(2):
            reply = await speaker.request(
                "tools/call", note, name="append_note", deadline_ns=within()
            )
            assert reply.outcome is Outcome.OK, reply
        assert len(ledger.read(notes)) == 1


@pytest.mark.real
@pytest.mark.skipif(
    not EVERYTHING.is_file() or shutil.which("node") is None,
    reason="SQUALL_EVERYTHING names no server-everything, or there is no node",
)
async def test_server_everything_is_spoken_to_over_its_pipes(tmp_path: Path) -> None:
    """The TypeScript SDK's server, which speaks the older era alone."""
    argv = ("node", str(EVERYTHING), "stdio")
    async with opened(tmp_path, argv, "auto") as speaker:
        assert speaker.era == "legacy"
        params = b'{"name":"echo","arguments":{"message":"here"}}'
        reply = await speaker.request("tools/call", params, name="echo", deadline_ns=within())
        assert reply.outcome is Outcome.OK, reply
        assert "here" in reply.result["content"][0]["text"]
