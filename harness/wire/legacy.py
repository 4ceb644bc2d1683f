"""What opens a session of the handshake era, and which of its versions this client speaks."""

from __future__ import annotations

from typing import Any, Final

OFFERED_VERSION: Final = "2025-11-25"
VERSIONS: Final = ("2025-03-26", "2025-06-18", "2025-11-25")
BATCH_VERSION: Final = "2025-03-26"
INITIALIZE: Final = "initialize"
INITIALIZED: Final = "notifications/initialized"
CANCELLED: Final = "notifications/cancelled"


def initialize_params(agent: str, capabilities: dict[str, Any]) -> dict[str, Any]:
    """What the handshake offers: the newest version, the capabilities, and who asks."""
    return {
        "protocolVersion": OFFERED_VERSION,
        "capabilities": capabilities,
        "clientInfo": {"name": agent, "version": "0"},
    }
