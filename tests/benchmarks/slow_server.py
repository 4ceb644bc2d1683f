"""An MCP server that answers each call 20 ms after it came, and says how long it really held it.

Its timers are exact: it waits in `select`, which counts microseconds, for an `epoll` that waits for
all sockets (Linux only). Run as
`python -m tests.benchmarks.slow_server`; it prints its port, serves until its standard input ends,
and then prints one line a call: the nonce that the call carried, and nanoseconds.
"""

from __future__ import annotations

import gc
import re
import select
import socket
import sys
from collections import deque
from time import monotonic_ns
from typing import Final

HOLD_NS: Final = 20_000_000
_READ_BYTES: Final = 65536
_NS_PER_S: Final = 1e9
_LENGTH: Final = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: *([0-9]+)")
_ID: Final = re.compile(rb'"id":("[^"]*"|[0-9]+)')
_NONCE: Final = re.compile(rb"n[0-9a-f]{16}")
_OPEN: Final = (
    b'{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},'
    b'"serverInfo":{"name":"slow","version":"1"}}'
)
_CALL: Final = b'{"content":[{"type":"text","text":"done"}],"isError":false}'


class SlowServer:
    """Every connection, and the replies that are waiting for their time, the next one first."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.listener.setblocking(False)
        self.poll = select.epoll()
        self.clients: dict[int, socket.socket] = {}
        self.pending: dict[int, bytes] = {}
        self.waiting: deque[tuple[int, int, socket.socket, bytes, bytes]] = deque()
        self.held: list[tuple[bytes, int]] = []

    def serve(self) -> None:
        """Serve until standard input ends."""
        print(self.listener.getsockname()[1], flush=True)  # noqa: T201 - how the parent learns it
        gc.disable()  # a pause here would be laid at the client's door
        for descriptor in (self.listener.fileno(), sys.stdin.fileno()):
            self.poll.register(descriptor, select.EPOLLIN)
        while True:
            left_s = None
            if self.waiting:
                left_s = max(0.0, (self.waiting[0][0] - monotonic_ns()) / _NS_PER_S)
            if select.select((self.poll,), (), (), left_s)[0]:
                for descriptor, _ in self.poll.poll(0):
                    if descriptor == sys.stdin.fileno():
                        return
                    self._read(descriptor)
                    self._answer()
            self._answer()

    def _read(self, descriptor: int) -> None:
        if descriptor == self.listener.fileno():
            fresh, _ = self.listener.accept()
            fresh.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.poll.register(fresh, select.EPOLLIN)
            self.clients[fresh.fileno()], self.pending[fresh.fileno()] = fresh, b""
            return
        came_ns, one = monotonic_ns(), self.clients[descriptor]
        data = one.recv(_READ_BYTES)
        if not data:
            del self.clients[descriptor], self.pending[descriptor]
            one.close()
            return
        text = self.pending[descriptor] + data
        while (end := text.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(text, 0, end)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(text) < whole:
                break
            self._take(one, text[end + 4 : whole], came_ns)
            text = text[whole:]
        self.pending[descriptor] = text

    def _take(self, one: socket.socket, body: bytes, came_ns: int) -> None:
        call_id = _ID.search(body)
        if call_id is None:
            one.send(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
            return
        nonce = _NONCE.search(body)
        result = _CALL if nonce else _OPEN
        message = b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (call_id[1], result)
        reply = (
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
            % (len(message), message)
        )
        named = nonce[0] if nonce else b""
        self.waiting.append((came_ns + HOLD_NS, came_ns, one, reply, named))

    def _answer(self) -> None:
        while self.waiting and self.waiting[0][0] <= monotonic_ns():
            _, came_ns, one, reply, nonce = self.waiting.popleft()
            if one.fileno() < 0:
                continue
            sent_ns = monotonic_ns()
            one.send(reply)
            if nonce:
                self.held.append((nonce, sent_ns - came_ns))


def main() -> None:
    """Serve, then tell how long each call was held."""
    server = SlowServer()
    server.serve()
    for nonce, held_ns in server.held:
        print(nonce.decode(), held_ns)  # noqa: T201 - what the parent reads


if __name__ == "__main__":
    main()
