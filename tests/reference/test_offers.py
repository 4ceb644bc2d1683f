"""What the server offers changes: who lists, is told, and in which order."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from harness.clock import RunClock
from harness.outcome import Outcome
from harness.rig.issuer import control
from harness.wire.client import WireClient
from harness.wire.endpoint import Endpoint
from harness.wire.listen import Listening
from harness.wire.schemas import SchemaBook
from tests.reference.calls import ERAS, Bench, Caller, Era, bench

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("era", ERAS)]
WAIT_S = 10


async def names(caller: Caller) -> list[str]:
    """The tools as they are listed."""
    return [tool["name"] for tool in (await caller.ask("tools/list", {})).result["tools"]]


async def heard(running: Bench, era: Era) -> int:
    """How often a session that listens is told that something has come, and gone again."""
    clock = RunClock()
    client = WireClient(
        Endpoint.from_url(running.url),
        era=era,
        now_ns=clock.now_ns,
        schemas=SchemaBook(),
        listen=True,
    )
    client.authorization = b"Bearer " + (await running.token()).encode()
    caller = await running.caller(era)
    limit_ns = clock.now_ns() + WAIT_S * 1_000_000_000
    told = anyio.Event()
    client.inbox.on_list_changed = lambda _: told.set()
    try:
        with anyio.fail_after(WAIT_S):
            opened = await client.open(deadline_ns=limit_ns)
            assert opened.outcome is Outcome.OK
            tools = opened.result["capabilities"]["tools"]
            assert tools["listChanged"] is True
            while client.stats.listening is not Listening.OPEN:  # noqa: ASYNC110 - no event says so
                await anyio.sleep(0.01)
            await client.request("tools/list", b"{}", deadline_ns=limit_ns)
            usual = await names(caller)
            came = await caller.call("publish", {"label": "came"})
            assert came.value == {"label": "came", "offered": True}
            assert await names(caller) == [*usual, "bulletin"]
            assert (await caller.call("bulletin", {"label": "new"})).value == {"label": "new"}
            await caller.call("publish", {})
            assert await names(caller) == usual
            with anyio.move_on_after(1):
                await told.wait()
        return client.inbox.counts["heard:tools/list_changed"]
    finally:
        client.drop_connections()


async def test_whoever_listens_is_told_of_a_tool_that_comes_and_goes(
    hardened: Bench, era: Era
) -> None:
    """And what is still there keeps its order."""
    assert await heard(hardened, era) >= 1


async def test_a_server_that_tells_nobody_promises_its_list_for_a_minute(
    issuer: control.Issuer, folder: Path, era: Era
) -> None:
    """So that no client has a reason to ask again."""
    async with bench(issuer, folder, "list-untold") as running:
        assert await heard(running, era) == 0
        listed = (await (await running.caller(era)).ask("tools/list", {})).result
        assert listed.get("ttlMs") == (60_000 if era == "modern" else None)


async def test_an_unstable_list_has_all_its_tools_each_time_in_another_order(
    issuer: control.Issuer, folder: Path, era: Era
) -> None:
    """Nothing else is wrong with it."""
    async with bench(issuer, folder, "list-unstable") as running:
        caller = await running.caller(era)
        first, second = await names(caller), await names(caller)
    assert first != second
    assert sorted(first) == sorted(second)
