"""The flaw last-login-wins: of the sessions that one token has opened, the newest alone lives."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

SESSIONS_MAX = 20_000  # remembered, of each kind
Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]


class Logins:
    """Which session each token has opened last, and which ones that has ended."""

    def __init__(self) -> None:
        """Start with nobody logged in."""
        self._latest: OrderedDict[bytes, str] = OrderedDict()
        self._over: OrderedDict[str, None] = OrderedDict()

    def is_over(self, session_id: str) -> bool:
        """Whether a later login has ended this session."""
        return session_id in self._over

    def watch(self, send: Send, authorization: str) -> Send:
        """Notice the session that the answer opens, and end the one that its token had."""
        mark = hashlib.sha256(authorization.encode()).digest()

        async def watched(message: Message) -> None:
            for name, value in message.get("headers", ()):
                if name.lower() == b"mcp-session-id":
                    self._open(mark, value.decode("latin-1"))
            await send(message)

        return watched

    def _open(self, mark: bytes, session_id: str) -> None:
        before = self._latest.get(mark)
        if before is not None and before != session_id:
            self._over[before] = None
        self._latest[mark] = session_id
        for kept in (self._latest, self._over):
            if len(kept) > SESSIONS_MAX:
                kept.popitem(last=False)
