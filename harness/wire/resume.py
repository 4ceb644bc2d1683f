"""Getting a broken reply stream back with `Last-Event-ID`, as the handshake era allows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from harness.clock import NS_PER_MS
from harness.outcome import Reason
from harness.wire.arrival import REFUSAL_STATUS, Arrival
from harness.wire.jsonrpc import CallId
from harness.wire.pool import Pool, Unconnected
from harness.wire.reading import Call

ATTEMPTS_IN_VAIN_MAX: Final = 5
RETRY_MS_DEFAULT: Final = 1000
SERVER_ERROR_STATUS: Final = 500
BREAKS = frozenset({Reason.STREAM_ENDED, Reason.RESET, Reason.CLOSED_EARLY, Reason.SEND_FAILED})


def can_resume(arrival: Arrival) -> bool:
    """Whether the reply's stream broke after the server gave an event an id."""
    sse = arrival.sse
    return arrival.reason in BREAKS and sse is not None and sse.last_id != b""


def with_last_event_id(head: bytes, last_id: bytes) -> bytes:
    """A whole GET request that asks for what came after `last_id` (for the start when empty)."""
    return b"%bLast-Event-ID: %b\r\n\r\n" % (head, last_id) if last_id else head + b"\r\n"


async def resume_stream(
    broken: Arrival, call: Call, expires_ns: int, pool: Pool, get_head: Callable[[], bytes]
) -> tuple[Arrival, int]:
    """What ended the wait, and how many streams were resumed on the way.

    Gives up after five attempts in a row that brought nothing new, when the server refuses,
    or when its `retry:` lies beyond the deadline; then the last broken stream is returned.
    """
    last, resumed, in_vain = broken, 0, 0
    while in_vain < ATTEMPTS_IN_VAIN_MAX:
        assert last.sse is not None
        last_id, retry_ms = last.sse.last_id, last.sse.retry_ms
        wait_ms = retry_ms if retry_ms >= 0 else RETRY_MS_DEFAULT
        if pool.now_ns() + wait_ms * NS_PER_MS >= expires_ns:
            last.detail = f"the server's retry of {wait_ms} ms lies beyond the deadline"
            break
        await asyncio.sleep(wait_ms / 1000)
        request = with_last_event_id(get_head(), last_id)
        next_one = await _exchange(pool, call.call_id, request, expires_ns)
        if next_one is not None and next_one.whole_stream:
            return next_one, resumed + 1
        if next_one is None or next_one.sse is None:
            if next_one is not None and next_one.reason is Reason.HANG:
                return next_one, resumed
            status = next_one.head.status if next_one is not None and next_one.head else 0
            if REFUSAL_STATUS <= status < SERVER_ERROR_STATUS:
                last.detail = f"the stream could not be resumed: HTTP {status}"
                break
            in_vain += 1
            continue
        resumed += 1
        if next_one.reason not in BREAKS:
            return next_one, resumed
        in_vain = 0 if next_one.sse.last_id not in (b"", last_id) else in_vain + 1
        # A stream that brought no id leaves the place where the one before it broke.
        next_one.sse.last_id = next_one.sse.last_id or last_id
        if next_one.sse.retry_ms < 0:
            next_one.sse.retry_ms = retry_ms
        last = next_one
    return last, resumed


async def _exchange(pool: Pool, call_id: CallId, request: bytes, expires_ns: int) -> Arrival | None:
    connection = pool.take() or await pool.connect(expires_ns)
    if isinstance(connection, Unconnected):
        return None
    try:
        arrival = await connection.send(call_id, request, expires_ns)
    except BaseException:
        connection.abort()
        raise
    pool.give_back(connection)
    return arrival
