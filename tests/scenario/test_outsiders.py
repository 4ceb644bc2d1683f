"""Faults that outsiders do, as a scenario writes them."""

from __future__ import annotations

import json

import pytest

from faults.agent_sessions import HostHeader, SessionFlood, SessionHijack
from harness.errors import ScenarioError
from harness.scenario.load import load_text

TEXT = """\
question: Whose session is it?
target: TARGET
agents:
  - name: visitor
    pace: 2/s
    steps: [list_tools]
load: {sessions: 4}
faults:
  - session-hijack:
      plant: {tool: remember, arguments: {key: secret, value: "${nonce}"}}
      read: {tool: recall, arguments: {key: secret}}
    for: 5s
  - session-flood: {sessions: 40, rate: 100/s, rest: 2s, idle: 1s}
    for: 20s
  - host-header: {served: [mcp.example.com], health: /healthz}
    for: 5s
"""


def test_an_outsiders_calls_and_paces_are_read_as_they_are_written() -> None:
    """A call keeps its arguments, a pace is the time between two, names are a list."""
    hijack, flood, host = (
        window.fault
        for window in load_text(
            TEXT.replace("TARGET", "{reference: hardened}"), "x"
        ).scenario.faults
    )
    assert isinstance(hijack, SessionHijack)
    told = json.loads(hijack.behaviour().argument)
    assert told[0]["arguments"] == {"key": "secret", "value": "${nonce}"}
    assert told[1] == {"tool": "recall", "arguments": {"key": "secret"}}
    assert isinstance(flood, SessionFlood)
    assert (flood.behaviour().every_s, flood.behaviour().after_s, flood.idle_s) == (0.01, 2, 1)
    assert isinstance(host, HostHeader)
    assert (host.behaviour().variant, host.behaviour().argument) == ("mcp.example.com", "/healthz")


@pytest.mark.parametrize("transport", ["sse", "stdio"])
def test_an_outsider_needs_streamable_http(transport: str) -> None:
    """Sessions and headers are what it is about, and other transports have none of them."""
    target = f"{{reference: hardened, transport: {transport}}}"
    with pytest.raises(ScenarioError) as caught:
        load_text(TEXT.replace("TARGET", target), "x")
    assert "Streamable HTTP" in str(caught.value)
    assert f"transport: {transport}" in str(caught.value)
