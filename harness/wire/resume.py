"""Getting a broken reply stream back with `Last-Event-ID`, as the handshake era allows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from harness.clock import NS_PER_MS
from harness.outcome import Reason
from harness.wire.connection import Connection
from harness.wire.pool import Pool, Unconnected
from harness.wire.reading import REFUSAL_STATUS, Call

ATTEMPTS_IN_VAIN_MAX: Final = 5
RETRY_MS_DEFAULT: Final = 1000
_BREAKS = frozenset({Reason.STREAM_ENDED, Reason.RESET, Reason.CLOSED_EARLY, Reason.SEND_FAILED})


def can_resume(connection: Connection) -> bool:
    """Whether the reply's stream broke after the server gave an event an id."""
    return (
        connection.reason in _BREAKS
        and connection.message is None
        and connection.sse is not None
        and connection.sse.last_id != b""
    )


def with_last_event_id(head: bytes, last_id: bytes) -> bytes:
    """A whole GET request that asks for what came after `last_id` (for the start when empty)."""
    return b"%bLast-Event-ID: %b\r\n\r\n" % (head, last_id) if last_id else head + b"\r\n"


async def resume_stream(
    broken: Connection, call: Call, expires_ns: int, pool: Pool, get_head: Callable[[], bytes]
) -> tuple[Connection, int]:
    """The connection that ended the wait, and how many streams were resumed on the way.

    Gives up after five attempts in a row that brought nothing new, when the server refuses,
    or when its `retry:` lies beyond the deadline; then the last broken connection is returned.
    """
    last, resumed, in_vain = broken, 0, 0
    while in_vain < ATTEMPTS_IN_VAIN_MAX:
        assert last.sse is not None
        last_id, retry_ms = last.sse.last_id, last.sse.retry_ms
        wait_ms = retry_ms if retry_ms >= 0 else RETRY_MS_DEFAULT
        if pool.now_ns() + wait_ms * NS_PER_MS >= expires_ns:
            last.detail = f"the server's retry of {wait_ms} ms lies beyond the deadline"
            break
        await _pause(wait_ms)
        connection = pool.take() or await pool.connect(expires_ns)
        if isinstance(connection, Unconnected):
            in_vain += 1
            continue
        request = with_last_event_id(get_head(), last_id)
        await _exchange(connection, call.call_id, expires_ns, request)
        if connection.sse is None:
            if connection.reason is Reason.HANG:
                return connection, resumed
            status = connection.head.status if connection.head else 0
            pool.give_back(connection)
            if REFUSAL_STATUS <= status < 500:  # noqa: PLR2004 - a refusal that will not change
                last.detail = f"the stream could not be resumed: HTTP {status}"
                break
            in_vain += 1
            continue
        resumed += 1
        if not can_resume(connection) and connection.reason not in _BREAKS:
            return connection, resumed
        pool.give_back(connection)
        in_vain = 0 if connection.sse.last_id not in (b"", last_id) else in_vain + 1
        # A stream that brought no id leaves the place where the one before it broke.
        connection.sse.last_id = connection.sse.last_id or last_id
        if connection.sse.retry_ms < 0:
            connection.sse.retry_ms = retry_ms
        last = connection
    return last, resumed


async def _exchange(connection: Connection, call_id: int, expires_ns: int, request: bytes) -> None:
    done: Awaitable[None] = connection.begin(call_id, expires_ns)
    try:
        connection.write(request)
        await done
    except BaseException:
        connection.abort()
        raise


async def _pause(wait_ms: int) -> None:
    await asyncio.sleep(wait_ms / 1000)
