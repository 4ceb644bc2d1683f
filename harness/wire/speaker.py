"""What a session asks of whatever carries its messages: the one contract of all transports."""

from __future__ import annotations

from typing import Literal, Protocol

from harness.wire.inbox import Inbox
from harness.wire.reply import Reply
from harness.wire.stats import WireStats

Era = Literal["auto", "legacy", "modern"]


class Speaker(Protocol):
    """One agent's MCP client over some transport; nothing that a server does makes it raise.

    `session_id` is empty while there is no session; `protocol_version` is empty until `open` has
    succeeded, save in the modern era, where every request names it.
    """

    era: Era
    protocol_version: str
    session_id: str
    inbox: Inbox  # gets what the server says unasked; its rules say what the client declares

    @property
    def next_id(self) -> int:
        """The id of the next request, if nothing is awaited before it is made."""
        ...

    @property
    def cancels_by_close(self) -> bool:
        """Whether to leave a request is to cancel it; else a notification must say so."""
        ...

    @property
    def authorization(self) -> bytes:
        """The value of the Authorization header; empty for none, or where there are no headers."""
        ...

    @authorization.setter
    def authorization(self, value: bytes) -> None: ...

    async def open(self, *, deadline_ns: int) -> Reply:
        """Begin to speak; the reply that decided, whose outcome is OK when requests may follow."""
        ...

    async def request(
        self,
        method: str,
        params: bytes,
        *,
        name: str = "",
        deadline_ns: int,
        authorization: bytes | None = None,
        lose_reply: bool = False,
        vanish_after_ns: int | None = None,
        headers: bytes = b"",
    ) -> Reply:
        """Send one request and give what came of it.

        `params` is an encoded JSON object. `authorization` overrides the client's for this one
        request (empty sends none). `vanish_after_ns` counts from the moment of sending.
        """
        ...

    async def notify(self, method: str, params: bytes, *, deadline_ns: int) -> Reply:
        """Send one notification; OK when the server took it."""
        ...

    async def listen(self, uris: frozenset[str], *, deadline_ns: int) -> Reply:
        """Modern era: hear of changed lists and of updates at `uris` from now on, and no others.

        OK once the server has acknowledged it; asked for anew by itself whenever it ends.
        """
        ...

    def forget_session(self) -> None:
        """Know no session any more: the next `open` begins a new one without the old id."""
        ...

    def drop_connections(self) -> None:
        """Cut every connection at once; the session itself stays known."""
        ...

    async def close(self, *, deadline_ns: int) -> Reply | None:
        """End the session at the server when there is one, then every connection."""
        ...

    @property
    def stats(self) -> WireStats:
        """What has been carried so far."""
        ...
