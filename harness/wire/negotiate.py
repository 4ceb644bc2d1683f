"""How a client and a server come to an era: the handshake, discovery, or one after the other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from pydantic_core import to_json

from harness.outcome import Outcome, Reason
from harness.wire import legacy, modern
from harness.wire.inbox import Inbox
from harness.wire.jsonrpc import MODERN_CODES, UNSUPPORTED_VERSION
from harness.wire.reading import CREDENTIAL_STATUSES
from harness.wire.reply import Reply
from harness.wire.speaker import Era

# Busy or broken for the moment: it says nothing about the era.
_PASSING_STATUSES: Final = frozenset({429, 502, 503, 504})
_NO_SAYING = frozenset(
    {Outcome.TRANSPORT_ERROR, Outcome.TIMEOUT, Outcome.HANG, Outcome.ABANDONED, Outcome.UNSENT}
)


class Opener(Protocol):
    """What opening asks of a client, whatever carries its messages."""

    era: Era
    agent: str
    revision: str  # the one to speak; empty lets both sides settle on one
    inbox: Inbox

    def adopt(self, era: Era, *, version: str, session_id: str = "") -> None:
        """Speak `version` of `era` from now on."""
        ...

    async def request(self, method: str, params: bytes, *, deadline_ns: int) -> Reply:
        """Send one request."""
        ...

    async def notify(self, method: str, params: bytes, *, deadline_ns: int) -> Reply:
        """Send one notification."""
        ...


async def open_legacy(client: Opener, deadline_ns: int) -> Reply:
    """Shake hands; the reply is the one to `initialize`, or to whatever failed after it."""
    client.adopt("legacy", version="")
    declared = client.inbox.rules.declare("legacy")
    offered = legacy.initialize_params(client.agent, declared, client.revision)
    reply = await client.request(legacy.INITIALIZE, to_json(offered), deadline_ns=deadline_ns)
    if reply.outcome is not Outcome.OK:
        return reply
    version = reply.result["protocolVersion"]
    if version != (client.revision or version) or version not in legacy.VERSIONS:
        refuse_version(reply, version, client.revision)
        return reply
    client.adopt("legacy", version=version, session_id=reply.session_id)
    receipt = await client.notify(legacy.INITIALIZED, b"", deadline_ns=deadline_ns)
    return reply if receipt.outcome is Outcome.OK else receipt


def refuse_version(reply: Reply, version: str, pinned: str) -> None:
    """Make the reply to a handshake one that failed on the version."""
    reply.outcome, reply.reason = Outcome.WRONG, Reason.RESULT_SHAPE
    reply.detail = (
        f"the server answers with version {version[:40]!r}, where {pinned} was asked for"
        if pinned
        else f"the server wants version {version[:40]!r}, which this client cannot speak"
    )


async def open_modern(client: Opener, deadline_ns: int) -> Reply:
    """Discover; the reply is the one to `server/discover`."""
    client.adopt("modern", version=modern.VERSION)
    reply = await client.request(modern.DISCOVER, b"{}", deadline_ns=deadline_ns)
    if _offers_ours(reply):
        # It refuses the very version that it offers: the specification says to ask once more.
        reply = await client.request(modern.DISCOVER, b"{}", deadline_ns=deadline_ns)
    if reply.outcome is Outcome.OK and modern.VERSION not in reply.result["supportedVersions"]:
        reply.outcome, reply.reason = Outcome.WRONG, Reason.RESULT_SHAPE
        reply.detail = f"the server does not list version {modern.VERSION}"
    return reply


async def open_auto(client: Opener, deadline_ns: int) -> Reply:
    """Discover, try one modern request, and shake hands where either shows a legacy server."""
    return await follow_discovery(client, await open_modern(client, deadline_ns), deadline_ns)


async def follow_discovery(client: Opener, reply: Reply, deadline_ns: int) -> Reply:
    """Go on after a first discovery that was answered by `reply`, as `open_auto` does."""
    if reply.outcome is Outcome.OK:
        # Some legacy servers answer discovery and refuse every modern request after it.
        probe = await client.request("tools/list", b"{}", deadline_ns=deadline_ns)
        if not _refuses_version(probe):
            return reply
    elif not _shows_legacy(reply):
        client.era = "auto"
        return reply
    handshake = await open_legacy(client, deadline_ns)
    if handshake.outcome is not Outcome.OK:
        client.era = "auto"
    return handshake


def _shows_legacy(reply: Reply) -> bool:
    if reply.outcome in _NO_SAYING:
        return False
    if reply.status in CREDENTIAL_STATUSES or reply.status in _PASSING_STATUSES:
        return False
    code = reply.error["code"] if reply.error else None
    return code == UNSUPPORTED_VERSION or code not in MODERN_CODES


def _offers_ours(reply: Reply) -> bool:
    """Whether the server refuses the version and then lists it among those that it supports."""
    if reply.error is None or reply.error["code"] != UNSUPPORTED_VERSION:
        return False
    told = reply.error.get("data")
    supported = told.get("supported") if isinstance(told, dict) else None
    return isinstance(supported, list) and modern.VERSION in supported


def _refuses_version(reply: Reply) -> bool:
    if reply.error is not None and reply.error["code"] == UNSUPPORTED_VERSION:
        return True
    bad_request = 400
    code = reply.error["code"] if reply.error else None
    return reply.status == bad_request and code not in MODERN_CODES


OPENERS: Final[dict[str, Callable[[Opener, int], Awaitable[Reply]]]] = {
    "legacy": open_legacy,
    "modern": open_modern,
    "auto": open_auto,
}
