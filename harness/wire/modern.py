"""What each request of the stateless era (2026-07-28) carries in its body, lacking a session."""

from __future__ import annotations

from typing import Any, Final

from pydantic_core import to_json

from harness.wire.jsonrpc import decode

VERSION: Final = "2026-07-28"
VERSIONS: Final = (VERSION,)
DISCOVER: Final = "server/discover"
LISTEN: Final = "subscriptions/listen"
_PREFIX = "io.modelcontextprotocol/"


def request_meta(agent: str, version: str, capabilities: dict[str, Any]) -> dict[str, Any]:
    """The `_meta` object of every request: version, what is offered, and who asks."""
    return {
        f"{_PREFIX}protocolVersion": version,
        f"{_PREFIX}clientCapabilities": capabilities,
        f"{_PREFIX}clientInfo": {"name": agent, "version": "0"},
    }


def listen_params(uris: frozenset[str]) -> bytes:
    """What `subscriptions/listen` asks to hear of: every list, and the resources at `uris`."""
    wanted: dict[str, Any] = dict.fromkeys(
        ("toolsListChanged", "promptsListChanged", "resourcesListChanged"), True
    )
    if uris:
        wanted["resourceSubscriptions"] = sorted(uris)
    return to_json({"notifications": wanted})


def add_meta(params: bytes, meta: bytes) -> bytes:
    """`params` with `meta` as its `_meta`; an own `_meta` of `params` is kept beside it."""
    if b'"_meta"' in params:
        decoded = decode(params)
        if "_meta" in decoded:
            decoded["_meta"] = {**decoded["_meta"], **decode(meta)}
            return to_json(decoded)
    if len(params) <= 2:  # noqa: PLR2004 - "{}" or nothing
        return b'{"_meta":%b}' % meta
    return b'{"_meta":%b,%b' % (meta, params[1:])
