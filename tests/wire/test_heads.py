from __future__ import annotations

import pytest

from harness.wire.endpoint import Endpoint
from harness.wire.heads import modern_headers, render_head

_ENDPOINT = Endpoint.from_url("http://example.test:81/mcp?a=b", via=("127.0.0.1", 9))


def test_a_head_names_the_target_and_not_the_proxy() -> None:
    """Path with query, authority with port, and no blank line yet."""
    head = render_head("GET", _ENDPOINT, session_id="s", protocol_version="2025-11-25")
    assert head == (
        b"GET /mcp?a=b HTTP/1.1\r\nHost: example.test:81\r\nUser-Agent: squall\r\n"
        b"Accept: text/event-stream\r\nMcp-Session-Id: s\r\nMCP-Protocol-Version: 2025-11-25\r\n"
    )


def test_a_credential_that_would_break_the_head_is_refused_and_not_repeated() -> None:
    """No line break gets in, and no token gets out."""
    with pytest.raises(ValueError, match="control characters") as raised:
        render_head("POST", _ENDPOINT, authorization=b"Bearer secret\r\nX: y")
    assert "secret" not in str(raised.value)


def test_a_name_that_is_no_ascii_is_wrapped() -> None:
    """`Mcp-Name` survives any tool's name."""
    assert modern_headers("tools/call", "größe") == (
        b"Mcp-Method: tools/call\r\nMcp-Name: =?base64?Z3LDtsOfZQ==?=\r\n"
    )
    assert modern_headers("tools/list", "x") == b"Mcp-Method: tools/list\r\n"
