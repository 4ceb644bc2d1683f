"""The bounds that keep a hostile server from growing this process."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What one reply may hold, in bytes and counts, and how long the waits beside it may last."""

    header_bytes: int = 64 * KIB
    event_bytes: int = 32 * MIB
    body_bytes: int = 32 * MIB
    events_max: int = 10_000
    connect_s: float = 5.0
    hang_grace_s: float = 5.0
