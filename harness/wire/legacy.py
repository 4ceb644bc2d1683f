"""What opens a session of the handshake era, and which of its versions this client speaks."""

from __future__ import annotations

from typing import Any, Final

OFFERED_VERSION: Final = "2025-11-25"
VERSIONS: Final = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
HEADER_SINCE: Final = "2025-06-18"  # the first with the MCP-Protocol-Version header
BATCH_VERSION: Final = "2025-03-26"
INITIALIZE: Final = "initialize"
INITIALIZED: Final = "notifications/initialized"
CANCELLED: Final = "notifications/cancelled"


def initialize_params(
    agent: str, capabilities: dict[str, Any], version: str = ""
) -> dict[str, Any]:
    """What the handshake offers: a version, else the newest, the capabilities, and who asks."""
    return {
        "protocolVersion": version or OFFERED_VERSION,
        "capabilities": capabilities,
        "clientInfo": {"name": agent, "version": "0"},
    }
