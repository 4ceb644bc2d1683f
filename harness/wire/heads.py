"""Request heads, rendered once and used for every call until a credential or a session changes."""

from __future__ import annotations

from functools import lru_cache

from harness.wire.endpoint import Endpoint
from harness.wire.schemas import header_value

NAMED_METHODS = frozenset({
    "tools/call", "prompts/get", "resources/read", "tasks/get", "tasks/update", "tasks/cancel",
})  # fmt: skip


def render_head(
    method: str,
    endpoint: Endpoint,
    *,
    authorization: bytes = b"",
    session_id: str = "",
    protocol_version: str = "",
) -> bytes:
    """The head of a request up to its last fixed line; the blank line is the caller's.

    Raises:
        ValueError: the authorization would break the head apart.
    """
    lines = [
        f"{method} {endpoint.path} HTTP/1.1".encode("ascii"),
        f"Host: {endpoint.authority}".encode("ascii"),
        b"User-Agent: squall",
    ]
    if method == "POST":
        lines.append(b"Accept: application/json, text/event-stream")
        lines.append(b"Content-Type: application/json")
    elif method == "GET":
        lines.append(b"Accept: text/event-stream")
    if authorization:
        lines.append(b"Authorization: " + checked_authorization(authorization))
    if session_id:
        lines.append(b"Mcp-Session-Id: " + session_id.encode("ascii"))
    if protocol_version:
        lines.append(b"MCP-Protocol-Version: " + protocol_version.encode("ascii"))
    return b"\r\n".join(lines) + b"\r\n"


def checked_authorization(value: bytes) -> bytes:
    """The header value itself.

    Raises:
        ValueError: it holds a control character; the value is not repeated.
    """
    if any(byte < 0x20 or byte == 0x7F for byte in value):  # noqa: PLR2004
        raise ValueError("an Authorization value must not hold control characters")
    return value


@lru_cache(maxsize=1024)
def modern_headers(method: str, name: str) -> bytes:
    """The `Mcp-Method` and `Mcp-Name` lines that every modern request repeats."""
    if name and method in NAMED_METHODS:
        return b"Mcp-Method: %b\r\nMcp-Name: %b\r\n" % (method.encode(), header_value(name))
    return b"Mcp-Method: %b\r\n" % method.encode()
