"""How long the API waits for its clients, as Go's server does: for a request, and to be read."""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

READ_S = 15.0  # for a whole request, from its first byte; for the first one, from the connection
WRITE_S = 30.0  # for a client that does not take its answer
IDLE_S = 60  # between two requests


class TimedProtocol(H11Protocol):
    """A connection that ends when a request trickles, or when an answer is not taken."""

    read_s = READ_S
    write_s = WRITE_S

    _reading: asyncio.TimerHandle | None = None
    _writing: asyncio.TimerHandle | None = None
    _ended = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Wait for the first request."""
        super().connection_made(transport)
        self._reading = self.loop.call_later(self.read_s, self._give_up)

    def data_received(self, data: bytes) -> None:
        """Read on."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """Go on with what came in meanwhile."""
        super().on_response_complete()
        self._look()
        if self._ended and self.cycle.response_complete:
            self.transport.close()

    def eof_received(self) -> bool:  # type: ignore[override]  # uvicorn never stays open
        """Answer what was asked: a client may close its side once it has said everything."""
        self._ended = True
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            return False
        if cycle.more_body:  # the handler sees that the body is not whole
            cycle.more_body = False
            cycle.keep_alive = False
            cycle.message_event.set()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        super().connection_lost(exc)
        for timer in (self._reading, self._writing):
            if timer is not None:
                timer.cancel()

    def pause_writing(self) -> None:
        """The client does not take its answer."""
        super().pause_writing()
        self._writing = self.loop.call_later(self.write_s, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has taken it."""
        super().resume_writing()
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None

    def _look(self) -> None:
        """Wait no longer than allowed for the rest of a request; what trickles wins no time."""
        theirs = self.conn.their_state
        begun = theirs is h11.SEND_BODY or (theirs is h11.IDLE and self.conn.trailing_data[0])
        if begun and self._reading is None:
            self._reading = self.loop.call_later(self.read_s, self._give_up)
        elif not begun and self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _give_up(self) -> None:
        """End; who has begun to say something is told that it was not enough, as Go does."""
        if self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            self.send_400_response("Bad Request")
        else:
            self.transport.close()
