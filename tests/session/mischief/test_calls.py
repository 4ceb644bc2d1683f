from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from anyio import fail_after

from faults.agent_calls import ODD_IDS
from faults.levers import Behaviour
from harness.outcome import Outcome, Reason
from harness.session.mischief import calls
from tests.session.mischief.acting import DISCOVERED, NOTE, act
from tests.wire.scripted import (
    Peer,
    Request,
    answering,
    http,
    legacy_reply,
    response,
    serving,
    until,
)

pytestmark = pytest.mark.anyio

CANCEL = Behaviour(kind="cancel_call", share=1.0, after_s=0.05, window=1)
ODD = replace(CANCEL, variant=ODD_IDS)
LIMIT_S = 20


def _is_call(request: Request) -> bool:
    return request.method == "POST" and request.message.get("method") == "tools/call"


def _cancels(requests: list[Request]) -> list[Any]:
    told = [one.message for one in requests if one.method == "POST"]
    return [
        one["params"]["requestId"] for one in told if one.get("method") == "notifications/cancelled"
    ]


@pytest.mark.parametrize(
    ("behaviour", "variants"), [(CANCEL, ["id"] * 3), (ODD, ["id-0", "id-empty", "id"])]
)
async def test_an_older_call_is_called_off_in_words_under_the_id_it_was_made_under(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behaviour: Behaviour, variants: list[str]
) -> None:
    """The connection stays. The ids 0 and empty are for whoever asks for them, once each."""
    monkeypatch.setattr(calls, "WATCHED_S", 0.1)
    called = asyncio.Event()

    async def serve(peer: Peer) -> None:
        while True:
            request = await peer.request()
            if _is_call(request):
                called.set()
                await called.wait()
                called.clear()
                if await peer.gone():
                    return
            await peer.send(legacy_reply(request))

    async with serving(serve) as server:
        with fail_after(LIMIT_S):
            acted = await act(tmp_path, server.url, behaviour, times=3)
    ids = [one.message["id"] for one in server.requests if _is_call(one)]
    odd = {0: "id-0", "": "id-empty"}
    assert [odd.get(call_id, "id") for call_id in ids] == variants
    assert _cancels(server.requests) == ids
    assert [probe.variant for probe in acted.probes] == variants
    assert {(probe.outcome, probe.carried) for probe in acted.probes} == {("abandoned", "")}
    assert set(acted.calls["outcome"]) == {Outcome.ABANDONED}
    assert set(acted.calls["reason"]) == {Reason.CANCELLED}
    assert set(acted.calls["attempt"]) == {0}


async def test_a_modern_call_is_called_off_by_closing_its_stream(tmp_path: Path) -> None:
    """No word is said: the end of the connection says it."""
    left: list[str] = []

    async def serve(peer: Peer) -> None:
        await peer.send(http(response((await peer.request()).message["id"], DISCOVERED)))
        await peer.request()
        left.append(await peer.gone())

    async with serving(serve) as server:
        with fail_after(LIMIT_S):
            acted = await act(tmp_path, server.url, CANCEL, era="modern")
            await until(lambda: left)
    assert len(left) == 1
    assert _cancels(server.requests) == []
    (probe,) = acted.probes
    assert (probe.sent, probe.era) == ("cancelled by closing", "modern")
    assert probe.at_ns > probe.sent_ns


async def test_a_call_that_is_done_in_time_is_not_called_off(tmp_path: Path) -> None:
    """There is nothing left to stop, and nothing to conclude from it."""
    async with serving(answering(legacy_reply)) as server:
        with fail_after(LIMIT_S):
            acted = await act(tmp_path, server.url, CANCEL)
    assert _cancels(server.requests) == []
    assert [probe.outcome for probe in acted.probes] == ["ok"]


async def test_a_result_long_after_the_cancel_shows_that_the_work_went_on(tmp_path: Path) -> None:
    """A server may answer a call that was called off, but not with what it went on working for."""

    async def serve(peer: Peer) -> None:
        while True:
            request = await peer.request()
            if _is_call(request):
                await asyncio.sleep(1.2)
            await peer.send(legacy_reply(request))

    async with serving(serve) as server:
        with fail_after(LIMIT_S):
            acted = await act(tmp_path, server.url, CANCEL)
    assert [(probe.outcome, probe.carried) for probe in acted.probes] == [("abandoned", "own")]


async def test_a_repeated_write_is_the_very_same_call_twice(tmp_path: Path) -> None:
    """Under the real call's own nonce, which is what its key is made of; the reply is lost."""
    behaviour = Behaviour(kind="repeat_call", share=1.0, window=1)
    async with serving(answering(legacy_reply)) as server:
        with fail_after(LIMIT_S):
            acted = await act(tmp_path, server.url, behaviour, step=NOTE)
    (sent,) = (one.message["params"] for one in server.requests if _is_call(one))
    (attempt,) = acted.calls
    assert sent["arguments"]["text"].startswith("n")
    assert (attempt["attempt"], attempt["reason"]) == (0, Reason.REPLY_LOST)


async def test_a_read_is_not_repeated(tmp_path: Path) -> None:
    """Only a step that says how often it may take effect can be made twice."""
    behaviour = Behaviour(kind="repeat_call", share=1.0, window=1)
    async with serving(answering(legacy_reply)) as server:
        with fail_after(LIMIT_S):
            acted = await act(tmp_path, server.url, behaviour)
    assert not len(acted.calls)
