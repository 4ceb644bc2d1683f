"""A small, right server of both eras; what a test makes differ is one of its methods."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

from harness.clock import RunClock
from harness.journal import EffectEntry
from tests.wire.scripted import (
    INITIALIZE_RESULT,
    LAST_CHUNK,
    STREAM_HEAD,
    Peer,
    Request,
    chunk,
    error,
    http,
    response,
)

DISCOVERED: dict[str, Any] = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}
_NONCE = re.compile(r"n[0-9a-f]{16}")


def is_modern(request: Request) -> bool:
    """Tell whether a request speaks the revision without sessions."""
    return request.headers.get("mcp-protocol-version") == "2026-07-28"


def nonce(request: Request) -> str:
    """Give the nonce of a call; empty where there is none."""
    found = _NONCE.search(request.body.decode())
    return found[0] if found else ""


def text(said: str, **more: Any) -> dict[str, Any]:
    """Make a tool's result of one text."""
    return {"content": [{"type": "text", "text": said}], **more}


def stream(*events: bytes) -> bytes:
    """Make a whole reply that is an event stream."""
    return STREAM_HEAD + b"".join(chunk(one) for one in events) + LAST_CHUNK


class Stack:
    """Answers each call with its nonce after `takes_s`, in JSON, in a session where there is one.

    What is called off stops: by its caller's word in the legacy era, by his leaving in the modern.
    """

    takes_s = 0.0

    def __init__(self) -> None:
        """Begin with no session."""
        self.sessions: set[str] = set()
        self.calls: dict[tuple[str, Any], asyncio.Event] = {}  # set when one is called off
        self._done: list[tuple[float, str]] = []  # when which call took effect
        self._minted = 0

    async def serve(self, peer: Peer) -> None:
        """Answer one connection, request by request."""
        while True:
            await self.answer(peer, await peer.request())

    async def answer(self, peer: Peer, request: Request) -> None:
        """Answer one request."""
        if request.method != "POST":
            await peer.send(self.odd(request))
            return
        try:
            message = request.message
        except ValueError:
            await peer.send(http(error(None, -32700, "Parse error"), status="400 Bad Request"))
            return
        if "id" not in message:
            await peer.send(self.told(request))
        elif message["method"] in ("initialize", "server/discover"):
            await peer.send(self.greet(request))
        elif not is_modern(request) and self.session_of(request) not in self.sessions:
            await peer.send(self.unknown_session(request))
        elif message["method"] == "tools/call":
            await self.call(peer, request)
        elif message["method"] == "tools/list":
            await peer.send(http(response(message["id"], {"tools": []})))
        else:
            await peer.send(http(error(message["id"], -32601)))

    def session_of(self, request: Request) -> str:
        """Give the session that a request names."""
        return request.headers.get("mcp-session-id", "")

    def greet(self, request: Request) -> bytes:
        """Answer who wants to begin."""
        message = request.message
        if message["method"] == "server/discover":
            return http(response(message["id"], DISCOVERED))
        self._minted += 1
        name = f"session-{self._minted}"
        self.sessions.add(name)
        return http(
            response(message["id"], INITIALIZE_RESULT), headers=(f"Mcp-Session-Id: {name}",)
        )

    def odd(self, request: Request) -> bytes:
        """Answer what is no POST."""
        if request.method == "DELETE":
            self.sessions.discard(self.session_of(request))
            return http()
        return http(status="405 Method Not Allowed")

    def told(self, request: Request) -> bytes:
        """Take a notification."""
        message = request.message
        if message["method"] == "notifications/cancelled":
            named = (self.session_of(request), message["params"]["requestId"])
            if named in self.calls:
                self.calls[named].set()
        return http(status="202 Accepted")

    def unknown_session(self, _: Request) -> bytes:
        """Say that there is no such session."""
        return http(error("server-error", -32001, "Session not found"), status="404 Not Found")

    async def call(self, peer: Peer, request: Request) -> None:
        """Do what a call asks for, unless it is called off."""
        named = (self.session_of(request), request.message["id"])
        off = self.calls[named] = asyncio.Event()
        leaves = asyncio.ensure_future(peer.gone() if is_modern(request) else off.wait())
        try:
            if self.takes_s:
                await asyncio.wait({leaves}, timeout=self.takes_s)
                if leaves.done():
                    await self.called_off(peer, request)
                    return
            leaves.cancel()
            self.effect(request)
            await self.reply(peer, request)
        finally:
            leaves.cancel()
            self.calls.pop(named, None)

    async def called_off(self, peer: Peer, request: Request) -> None:
        """Say nothing any more."""
        del peer, request
        await asyncio.Event().wait()

    async def reply(self, peer: Peer, request: Request) -> None:
        """Answer a call that is done."""
        await peer.send(http(response(request.message["id"], text(nonce(request)))))

    def effect(self, request: Request) -> None:
        """Let a call take effect now."""
        self._done.append((time.monotonic(), nonce(request)))

    def effects(self, clock: RunClock) -> list[EffectEntry]:
        """Give what took effect, in the run's time."""
        now_s, now_ns = time.monotonic(), clock.now_ns()
        return [
            EffectEntry(at_ns=now_ns - round((now_s - at_s) * 1e9), key=f"note {key}", tool="note")
            for at_s, key in self._done
        ]
