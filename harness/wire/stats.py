"""What one client has carried, in counters."""

from __future__ import annotations

from dataclasses import dataclass

from harness.wire.listen import Listening


@dataclass(frozen=True, kw_only=True, slots=True)
class WireStats:
    """What one client has carried so far; sizes in bytes."""

    connections_opened: int
    bytes_in: int
    bytes_out: int
    foreign_messages: int  # notifications, server requests, responses to other ids
    duplicate_replies: int
    server_requests: int
    streams_left_open: int  # replies whose stream the server did not end with them
    listening: Listening
    listen_messages: int
    listen_reconnects: int
