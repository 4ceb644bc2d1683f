"""One client's connections: the idle ones, the busy ones, and the way to a new one."""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from harness.clock import NS_PER_S
from harness.outcome import Reason
from harness.trust import tls_failure
from harness.wire.arrival import Arrival, decode_event
from harness.wire.connection import AT_REST, Connection, Stage
from harness.wire.deadlines import Sweep, running_sweep
from harness.wire.endpoint import Endpoint
from harness.wire.http import BrokenReplyError
from harness.wire.jsonrpc import Sort, sort_message
from harness.wire.limits import Limits

CONNECT_S_MIN: Final = 0.05
# Names for the hot path: a member of an enumeration costs three look-ups each time.
_IDLE: Final = Stage.IDLE
_RESULT, _BROKEN = Sort.RESULT, Sort.BROKEN
DRAINING_MAX: Final = 4  # streams left open by the server after their reply, per client


@dataclass(frozen=True, kw_only=True, slots=True)
class Unconnected:
    """Why no connection could be had."""

    reason: Reason
    detail: str


class Pool:
    """Connections of one client; also counts what they carried."""

    __slots__ = (
        "_endpoint", "_idle", "_open", "_sweep", "batches", "bytes_in", "bytes_out",
        "connections_opened", "duplicate_replies", "foreign_messages", "limits", "now_ns",
        "on_notification", "on_server_request", "streams_left_open",
    )  # fmt: skip

    def __init__(
        self,
        endpoint: Endpoint,
        now_ns: Callable[[], int],
        limits: Limits,
        on_server_request: Callable[[dict[str, Any]], None],
        on_notification: Callable[[dict[str, Any]], None],
    ) -> None:
        self._endpoint = endpoint
        self.on_server_request = on_server_request
        self.on_notification = on_notification
        self._idle: list[Connection] = []
        self._open: list[Connection] = []  # few: a set would weigh more than they are worth
        self._sweep: Sweep | None = None
        self.limits = limits
        self.now_ns = now_ns
        self.batches = False
        self.bytes_in = self.bytes_out = 0
        self.connections_opened = 0
        self.foreign_messages = self.duplicate_replies = self.streams_left_open = 0

    @property
    def sweep(self) -> Sweep:
        """The deadline sweep of the loop this client lives on."""
        if self._sweep is None:
            self._sweep = running_sweep(self.now_ns)
        return self._sweep

    def take(self) -> Connection | None:
        """An idle connection whose end nobody has seen, or None."""
        idle = self._idle
        while idle:
            connection = idle.pop()
            # What `usable` asks, without a call of its own: this is asked before every request.
            transport = connection.transport
            if connection.stage is _IDLE and transport is not None and not transport.is_closing():
                return connection
        return None

    def give_back(self, connection: Connection) -> None:
        """Keep the connection for the next exchange, if it can carry one."""
        if connection.stage is _IDLE:
            connection.arrival = AT_REST
            self._idle.append(connection)
        elif connection.stage is Stage.DRAIN:
            self.streams_left_open += 1
            self._bound_draining()

    async def connect(self, deadline_ns: int) -> Connection | Unconnected:
        """A new connection, or why there is none by the deadline or the connect limit."""
        connection = Connection(self, asyncio.get_running_loop())
        failure = await dial(connection, self._endpoint, self, deadline_ns)
        if failure is not None:
            return failure
        self._open.append(connection)
        self.connections_opened += 1
        return connection

    def drop(self, *, reset: bool) -> None:
        """Close every connection at once, busy ones too."""
        for connection in list(self._open):
            connection.abort(reset=reset)
        self._idle.clear()

    def _bound_draining(self) -> None:
        draining = [one for one in self._open if one.stage is Stage.DRAIN]
        if len(draining) > DRAINING_MAX:
            min(draining, key=lambda one: one.arrival.done_ns).abort()

    # --- what connections report ---------------------------------------------------------------

    def take_event(self, arrival: Arrival, data: bytes, now_ns: int) -> None:
        """Sort what came on a reply's stream; the reply itself is left on the arrival.

        Raises:
            BrokenReplyError: the event is no JSON or no JSON-RPC.
        """
        message = decode_event(data)
        if isinstance(message, list) and self.batches:
            for one in message:
                self._take_message(arrival, one, now_ns)
        else:
            self._take_message(arrival, message, now_ns)

    def _take_message(self, arrival: Arrival, message: object, now_ns: int) -> None:
        sort = sort_message(message, arrival.call_id)
        if sort is _BROKEN:
            raise BrokenReplyError(Reason.NOT_JSONRPC, "an event that is no JSON-RPC 2.0 message")
        assert isinstance(message, dict)
        if sort is _RESULT or sort in (Sort.ERROR, Sort.NAMELESS_ERROR):
            if arrival.message is None:
                arrival.message = message
                arrival.done_ns = now_ns
            else:
                self.duplicate_replies += 1
            return
        self.foreign_messages += 1
        if sort is Sort.OTHER_ID:
            assert arrival.pieces is not None
            arrival.pieces.other_ids += 1
        elif sort is Sort.REQUEST:
            self.on_server_request(message)
        else:
            self.on_notification(message)

    def take_freed(self, connection: Connection) -> None:
        """A stream that outlived its reply has ended: its connection may serve again."""
        connection.arrival = AT_REST
        self._idle.append(connection)

    def take_lost(self, connection: Connection) -> None:
        """The connection is gone."""
        if connection in self._open:
            self._open.remove(connection)
        if connection in self._idle:
            self._idle.remove(connection)


async def dial(
    connection: Connection, endpoint: Endpoint, bounds: Pool, deadline_ns: int
) -> Unconnected | None:
    """Bring `connection` up; None when it is, else why not."""
    left_s = (deadline_ns - bounds.now_ns()) / NS_PER_S
    limit_s = max(CONNECT_S_MIN, min(bounds.limits.connect_s, left_s))
    loop = asyncio.get_running_loop()
    host, port = endpoint.connect_host, endpoint.connect_port
    try:
        async with asyncio.timeout(limit_s):
            await loop.create_connection(
                lambda: connection,
                host,
                port,
                ssl=endpoint.context,
                server_hostname=endpoint.server_name,
            )
    except TimeoutError:
        connection.abort()
        return Unconnected(
            reason=Reason.CONNECT_TIMEOUT,
            detail=f"no connection to {host}:{port} in {limit_s:.1f}s",
        )
    except UnicodeError:
        return Unconnected(reason=Reason.CONNECT_FAILED, detail=f"{host!r} is not a host name")
    except OSError as error:
        return _unconnected(error, endpoint)
    except BaseException:
        connection.abort()
        raise
    if not connection.usable():
        reason = connection.arrival.reason or Reason.CLOSED_EARLY
        words = connection.arrival.detail or "closed as soon as it was open"
        return Unconnected(reason=reason, detail=f"{host}:{port}: {words}")
    return None


def _unconnected(error: OSError, endpoint: Endpoint) -> Unconnected:
    where = f"{endpoint.connect_host}:{endpoint.connect_port}"
    if endpoint.context is not None:
        failure = tls_failure(error)
        if failure is not None:
            return Unconnected(reason=failure[0], detail=failure[1])
        if isinstance(error, (ssl.SSLError, ConnectionResetError, ConnectionAbortedError)):
            # A plain connection meets this with its first call.
            return Unconnected(reason=Reason.RESET, detail=f"{where}: cut in the TLS handshake")
    # Two addresses for one name fail as one error whose text names both.
    refused = error.errno == errno.ECONNREFUSED or "refused" in str(error)
    reason = Reason.CONNECT_REFUSED if refused else Reason.CONNECT_FAILED
    return Unconnected(reason=reason, detail=f"{where}: {error.strerror or type(error).__name__}")
