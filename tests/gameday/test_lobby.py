from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import httpx
import pytest
from starlette.types import Receive, Scope, Send

from harness.errors import TargetError
from harness.gameday import lobby as lobby_module
from harness.gameday.doors import HOST, Doors, open_doors
from harness.gameday.lobby import JUDGING, STARTING, Lobby
from harness.gameday.serving import served

pytestmark = pytest.mark.anyio
LIMIT_S = 20


@asynccontextmanager
async def waiting() -> AsyncIterator[tuple[Lobby, Doors, httpx.AsyncClient]]:
    """A lobby on a real socket, and somebody who has the operators' link."""
    doors = open_doors(0)
    lobby = Lobby(doors)
    headers = {"authorization": f"Bearer {doors.keys.operator}"}
    base = f"http://{HOST}:{doors.port}"
    with anyio.fail_after(LIMIT_S):
        async with (
            served(lobby, doors),
            httpx.AsyncClient(base_url=base, headers=headers, timeout=LIMIT_S) as client,
        ):
            yield lobby, doors, client


async def test_the_page_is_there_before_the_day_and_hears_what_is_waited_for() -> None:
    """Its files at once; everything else says in words why there is nothing yet."""
    async with waiting() as (lobby, _, client):
        page = await client.get("/")
        assert page.status_code == 200
        assert "squall game day" in page.text
        early = await client.post("/api/live", json={"page": "p"})
        assert (early.status_code, early.json()["why"]) == (503, STARTING)
        lobby.waits_for = "the target is being started"
        early = await client.get("/api/catalogue")
        assert (early.status_code, early.json()["why"]) == (503, "the target is being started")


async def test_who_has_no_link_is_told_nothing() -> None:
    """Not even what is waited for; and other names and sites are turned away as ever."""
    async with waiting() as (_, doors, client):
        odd = await client.get("/api/catalogue", headers={"authorization": "Bearer x"})
        assert (odd.status_code, "starting" in odd.text) == (401, False)
        odd = await client.get("/", headers={"host": f"evil.example:{doors.port}"})
        assert odd.status_code == 421
        odd = await client.post("/api/live", json={}, headers={"origin": "http://evil.example"})
        assert odd.status_code == 403


async def test_whoever_is_still_at_the_desk_is_seen_out_when_it_closes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A stream that does not end by itself holds nothing up, and who comes later hears why."""
    monkeypatch.setattr(lobby_module, "PARTING_S", 0.1)
    there, gone = anyio.Event(), anyio.Event()

    async def desk(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"here", "more_body": True})
        there.set()
        try:
            await anyio.sleep_forever()
        finally:
            gone.set()

    async with waiting() as (lobby, _, client), anyio.create_task_group() as group:

        async def listen() -> None:
            with pytest.raises(httpx.HTTPError):
                await client.post("/api/live", json={})

        lobby.open(desk)
        group.start_soon(listen)
        await there.wait()
        await lobby.close()
        assert gone.is_set()
        late = await client.post("/api/remark", json={})
        assert (late.status_code, late.json()["why"]) == (503, JUDGING)


async def test_what_goes_wrong_behind_the_page_is_raised_as_it_is() -> None:
    """A target that is not there is its own error, in no group of others."""
    doors = open_doors(0)
    port = doors.port
    with pytest.raises(TargetError, match="nobody there"):
        async with served(Lobby(doors), doors):
            raise TargetError("nobody there")
    with pytest.raises(httpx.ConnectError):
        async with httpx.AsyncClient(timeout=LIMIT_S) as client:
            await client.get(f"http://{HOST}:{port}/")


async def test_a_block_that_is_cancelled_leaves_no_socket_to_the_loop() -> None:
    """Whoever listens next has the same number for it, and would never hear of anybody."""
    for _ in range(2):
        doors = open_doors(0)
        with anyio.CancelScope() as scope:
            async with served(Lobby(doors), doors):
                scope.cancel()
                await anyio.sleep_forever()
        assert scope.cancelled_caught
    async with waiting() as (_, _, client):
        assert (await client.get("/")).status_code == 200
