"""The bundled server's end: what is under way is answered, and no stream is waited for."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from harness.flaws import Flaw
from harness.reference.draining import Draining

pytestmark = pytest.mark.anyio


class Inner:
    """An application whose calls end when they are let go, and whose streams never do."""

    def __init__(self) -> None:
        self.let_go = anyio.Event()
        self.begun = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer."""
        del receive
        self.begun += 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["method"] == "GET":
            await anyio.sleep_forever()
        await self.let_go.wait()
        await send({"type": "http.response.body", "body": b"done"})


class Caller:
    """What one request was answered with."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    async def ask(self, app: Draining, method: str) -> None:
        """Make a request."""
        headers = [(b"accept", b"text/event-stream")]
        scope = {"type": "http", "method": method, "path": "/mcp", "headers": headers}
        await app(scope, self._nothing, self._take)

    async def _nothing(self) -> Any:
        await anyio.sleep_forever()

    async def _take(self, message: Any) -> None:
        self.messages.append(message)


async def test_a_call_under_way_is_answered_and_new_ones_are_refused() -> None:
    """The stream that stands for ever is ended, whole."""
    inner = Inner()
    app = Draining(inner, flaws=frozenset())
    call, stream, late = Caller(), Caller(), Caller()
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(call.ask, app, "POST")
            group.start_soon(stream.ask, app, "GET")
            while inner.begun < 2:
                await checkpoint()
            group.start_soon(app.drain)
            while not app.over:
                await checkpoint()
            await late.ask(app, "POST")
            inner.let_go.set()
    assert call.messages[-1]["body"] == b"done"
    assert stream.messages[-1] == {"type": "http.response.body", "body": b"", "more_body": False}
    assert late.messages[0]["status"] == 503
    assert (b"retry-after", b"1") in late.messages[0]["headers"]


async def test_a_server_that_waits_for_open_streams_waits_for_ever() -> None:
    """The flaw sigterm-hang, which goes on serving meanwhile."""
    inner = Inner()
    app = Draining(inner, flaws=frozenset({Flaw.SIGTERM_HANG}))
    inner.let_go.set()
    late = Caller()
    with anyio.move_on_after(0.3) as waiting:
        async with anyio.create_task_group() as group:
            group.start_soon(Caller().ask, app, "GET")
            while inner.begun < 1:
                await checkpoint()
            group.start_soon(app.drain)
            while not app.over:
                await checkpoint()
            await late.ask(app, "POST")
    assert waiting.cancelled_caught
    assert late.messages[0]["status"] == 200


async def test_a_result_that_is_kept_for_debugging_is_kept_for_ever() -> None:
    """The flaw memory-per-call."""
    inner = Inner()
    inner.let_go.set()
    app = Draining(inner, flaws=frozenset({Flaw.MEMORY_PER_CALL}))
    for _ in range(3):
        await Caller().ask(app, "POST")
    assert app._for_debugging.count(b"done") == 3
