from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from anyio import fail_after

from faults.levers import Behaviour
from tests.session.mischief.acting import act
from tests.wire.scripted import Request, answering, error, http, legacy_reply, response, serving

pytestmark = pytest.mark.anyio

LIMIT_S = 20
TRACE = 'Traceback (most recent call last):\n  File "x.py", line 1\nKeyError: query'
REFUSED: dict[str, Any] = {"isError": True, "content": [{"type": "text", "text": "no such limit"}]}
BROKEN: dict[str, Any] = {"isError": True, "content": [{"type": "text", "text": TRACE}]}


def answers(result: dict[str, Any]) -> Any:
    """A server of which each tool answers so."""

    def reply(request: Request) -> bytes:
        message = request.message if request.method == "POST" else {}
        if message.get("method") == "tools/call":
            return http(response(message["id"], result))
        return legacy_reply(request)

    return answering(reply)


def asked(requests: list[Request]) -> list[dict[str, Any]]:
    """The parameters of every call of a tool."""
    posted = [one.message for one in requests if one.method == "POST"]
    return [one["params"] for one in posted if one.get("method") == "tools/call"]


async def test_spoilt_arguments_are_told_with_what_was_said_to_them(tmp_path: Path) -> None:
    """What was odd, whether the schema forbids it, and the answer's own words."""
    spoil = Behaviour(kind="spoil_arguments", share=1.0, window=1)
    async with serving(answers(REFUSED)) as server:
        with fail_after(LIMIT_S):
            acted = await act(tmp_path, server.url, spoil, times=8)
    probes = acted.probes
    assert len(probes) == len(asked(server.requests)) == 8
    assert len({probe.sent for probe in probes}) > 2
    assert {probe.text for probe in probes} == {"no such limit"}
    assert {probe.reason for probe in probes} == {"tool_error"}
    assert all(probe.nonce.startswith("n") for probe in probes)


async def test_a_stack_trace_is_recognised_before_the_words_are_cut(tmp_path: Path) -> None:
    """However long the text is in which it stands."""
    long = {"isError": True, "content": [{"type": "text", "text": "x" * 5000 + TRACE}]}
    spoil = Behaviour(kind="spoil_arguments", share=1.0, window=1)
    async with serving(answers(long)) as server:
        with fail_after(LIMIT_S):
            acted = await act(tmp_path, server.url, spoil)
    (probe,) = acted.probes
    assert probe.reason == "stack_trace"
    assert "Traceback" in probe.text
    assert len(probe.text) <= 300


async def test_fuzzed_arguments_are_used_up_once(tmp_path: Path) -> None:
    """Ten with each call, until all have been sent."""
    fuzz = Behaviour(kind="fuzz_arguments", share=1.0, count=24, window=1)
    async with serving(answers(REFUSED)) as server:
        with fail_after(LIMIT_S):
            acted = await act(tmp_path, server.url, fuzz, times=4)
    assert len(acted.probes) == len(asked(server.requests)) == 24


async def test_a_tool_that_never_said_what_it_takes_is_left_alone(tmp_path: Path) -> None:
    """Nothing can be wrong with its arguments."""
    spoil = Behaviour(kind="spoil_arguments", share=1.0, window=1)
    step = {"call": "unlisted", "with": {"text": "${nonce}"}}
    async with serving(answers(REFUSED)) as server:
        with fail_after(LIMIT_S):
            acted = await act(tmp_path, server.url, spoil, step=step)
    assert acted.probes == ()
    assert asked(server.requests) == []


@pytest.mark.parametrize(
    ("reply", "calls"),
    [
        (lambda number: http(response(number, BROKEN)), 5),
        (lambda number: http(error(number, -32602)), 5),
        (lambda number: http(error(number, -1), status="429 Too Many Requests"), 1),
    ],
)
async def test_a_loop_ends_at_its_cap_or_when_it_is_told_to(
    tmp_path: Path, reply: Any, calls: int
) -> None:
    """The same call again and again, as long as it only fails."""
    loop = Behaviour(kind="loop_call", share=1.0, count=5, window=1)

    def answer(request: Request) -> bytes:
        message = request.message if request.method == "POST" else {}
        if message.get("method") != "tools/call":
            return legacy_reply(request)
        made: bytes = reply(message["id"])
        return made

    async with serving(answering(answer)) as server:
        with fail_after(LIMIT_S):
            acted = await act(tmp_path, server.url, loop)
    sent = asked(server.requests)
    assert len(sent) == calls
    assert all(one == sent[0] for one in sent)
    assert len(acted.calls) == calls
