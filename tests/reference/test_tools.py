"""The hardened server's tools, in both eras, and its ledger."""

from __future__ import annotations

import anyio
import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from harness.rig.ledger import read as executions
from tests.reference.calls import ERAS, MODERN, Bench, Era

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("era", ERAS)]


async def test_the_official_client_gets_on_with_it(hardened: Bench, era: Era) -> None:
    """Lists the tools with their annotations and schemas, and calls one."""
    token = await hardened.token()
    async with (
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as http,
        Client(
            streamable_http_client(hardened.url, http_client=http),
            mode="legacy" if era == "legacy" else MODERN,
        ) as client,
    ):
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        found = await client.call_tool("search", {"query": "tea", "limit": 4})
    assert set(tools) == {
        *("search", "fetch", "append_note", "remember", "recall", "slow", "big"),
        *("summarize", "confirm", "roots", "touch", "job"),
        *("schedule_note", "add_entry", "list_entries", "feed", "publish"),
    }
    assert all(tool.output_schema and tool.annotations for tool in tools.values())
    reading = {name for name, tool in tools.items() if _only_reads(tool.annotations)}
    asking = {"summarize", "confirm", "roots", "job"}
    assert reading == {"search", "fetch", "recall", "slow", "big", "list_entries", "feed"} | asking
    assert found.structured_content is not None
    assert 3 <= len(found.structured_content["result"]) <= 4


def _only_reads(annotations: object) -> bool:
    return bool(getattr(annotations, "read_only_hint", False))


async def test_a_search_carries_its_query_back_and_finds_what_fetch_has(
    hardened: Bench, era: Era
) -> None:
    """Rows depend on the query alone, and each leads to a document."""
    caller = await hardened.caller(era)
    first = (await caller.call("search", {"query": "nonce-1", "limit": 7})).value["result"]
    again = (await caller.call("search", {"query": "nonce-1", "limit": 7})).value["result"]
    other = (await caller.call("search", {"query": "nonce-2", "limit": 7})).value["result"]
    assert first == again
    assert first != other
    assert 3 <= len(first) <= 7
    assert all("nonce-1" in row["snippet"] for row in first)
    document = (await caller.call("fetch", {"id": first[0]["id"]})).value
    assert (document["id"], document["title"]) == (first[0]["id"], first[0]["title"])


async def test_a_failing_database_is_an_error_that_names_the_cause(
    hardened: Bench, era: Era
) -> None:
    """A query beyond what the database takes is never an empty success."""
    caller = await hardened.caller(era)
    answer = await caller.call("search", {"query": "q" * 64 * 1024})
    assert answer.status == 200
    assert answer.failed
    assert "too complex" in answer.result["content"][0]["text"]


async def test_a_repeated_idempotency_key_takes_effect_once(hardened: Bench, era: Era) -> None:
    """Both callers get the same number, the ledger has one row; without a key it has two."""
    caller = await hardened.caller(era)
    keyed = {"key": "k", "text": f"keyed-{era}", "idempotency_key": f"once-{era}"}
    first = await caller.call("append_note", keyed)
    again = await caller.call("append_note", keyed)
    plain = {"key": "k", "text": f"plain-{era}"}
    await caller.call("append_note", plain)
    await caller.call("append_note", plain)
    keys = [execution.key for execution in executions(hardened.ledger)]
    assert first.value == again.value
    assert keys.count(f"keyed-{era}") == 1
    assert keys.count(f"plain-{era}") == 2


async def test_parallel_repeats_of_one_key_take_effect_once(hardened: Bench, era: Era) -> None:
    """The check and the effect are one transaction."""
    caller = await hardened.caller(era)
    note = {"key": "k", "text": f"raced-{era}", "idempotency_key": f"race-{era}"}
    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(caller.call, "append_note", note)
    rows = [row for row in executions(hardened.ledger) if row.key == f"raced-{era}"]
    assert len(rows) == 1
    assert (rows[0].tool, rows[0].client, rows[0].subject) == ("append_note", "agent", "agent")


async def test_an_idempotency_key_belongs_to_one_client(hardened: Bench, era: Era) -> None:
    """Two clients that chose the same key both take effect."""
    note = {"key": "k", "text": f"two-{era}", "idempotency_key": f"shared-{era}"}
    await (await hardened.caller(era)).call("append_note", note)
    stranger = await hardened.caller(era, await hardened.token("stranger"))
    await stranger.call("append_note", note)
    rows = [row for row in executions(hardened.ledger) if row.key == f"two-{era}"]
    assert {row.client for row in rows} == {"agent", "stranger"}


async def test_a_large_result_has_about_the_size_that_was_asked_for(
    hardened: Bench, era: Era
) -> None:
    """On the wire, text and structured content together; the label comes back."""
    caller = await hardened.caller(era)
    size_bytes = 1024 * 1024
    params = {"name": "big", "arguments": {"size_bytes": size_bytes, "label": "n1"}}
    answer = await caller.ask("tools/call", params)
    sent = len(answer.result["content"][0]["text"]) + len(answer.value["text"])
    assert answer.value["label"] == "n1"
    assert 0.95 * size_bytes < sent < 1.05 * size_bytes


async def test_a_result_beyond_the_cap_is_refused_politely(hardened: Bench, era: Era) -> None:
    """A tool error that says how much there may be; nothing is truncated in silence."""
    caller = await hardened.caller(era)
    answer = await caller.call("big", {"size_bytes": 50 * 1024 * 1024})
    assert answer.failed
    assert "8388608" in answer.result["content"][0]["text"]


async def test_a_slow_call_holds_nobody_up(hardened: Bench, era: Era) -> None:
    """While one call rests for ever, others are served."""
    caller, other = await hardened.caller(era), await hardened.caller(era)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(caller.call, "slow", {"seconds": 60})
            for _ in range(5):
                assert (await other.call("search", {"query": "quick"})).status == 200
            group.cancel_scope.cancel()


async def test_callers_that_vanish_leave_the_server_whole(hardened: Bench, era: Era) -> None:
    """Clients that leave amid a call, a head or a body cost the others nothing."""
    caller = await hardened.caller(era)
    url = httpx.URL(hardened.url)
    for _ in range(10):
        async with await anyio.connect_tcp(url.host, url.port or 0) as stream:
            await stream.send(b"POST /mcp HTTP/1.1\r\nhost: " + url.netloc)
        with anyio.move_on_after(0.02):
            await caller.call("slow", {"seconds": 5})
    assert (await caller.call("search", {"query": "after"})).status == 200


async def test_forgotten_values_are_missed_aloud(hardened: Bench, era: Era) -> None:
    """A lost context is a tool error, never an empty answer."""
    caller = await hardened.caller(era)
    answer = await caller.call("recall", {"key": "never-kept"})
    assert answer.failed
