"""The two ends of a proxied connection: clients that look closely, upstreams of several kinds."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

from tests.faults.toxiproxy.conftest import Server, Upstream

WAIT_S = 20.0
SLACK_S = 1.5  # how late a busy machine may be

# How a stream ended, after what was still heard of it.
END = (b"", "end")
RESET = (b"", "reset")

Address = tuple[str, int]


@contextmanager
def client(address: Address) -> Iterator[socket.socket]:
    """A connection to a proxy; every wait on it is bounded."""
    with socket.create_connection(address, WAIT_S) as stream:
        stream.settimeout(WAIT_S)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield stream


def take(stream: socket.socket, size_bytes: int) -> bytes:
    """Exactly that many bytes, or fewer if the stream ends."""
    got = bytearray()
    while len(got) < size_bytes and (data := stream.recv(min(1 << 20, size_bytes - len(got)))):
        got += data
    return bytes(got)


def rest(stream: socket.socket) -> bytes:
    """Everything up to the end."""
    return take(stream, 1 << 40)


def last_of(stream: socket.socket) -> tuple[bytes, str]:
    """Everything that still comes, and how it ends: with an end, a reset, or not at all."""
    got = bytearray()
    try:
        while data := stream.recv(1 << 16):
            got += data
    except ConnectionResetError:
        return bytes(got), "reset"
    except TimeoutError:
        return bytes(got), "silence"
    return bytes(got), "end"


def quiet(stream: socket.socket, for_s: float) -> bool:
    """Whether nothing comes for so long, neither a byte nor an end."""
    stream.settimeout(for_s)
    try:
        stream.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        return True
    except OSError:
        return False
    finally:
        stream.settimeout(WAIT_S)
    return False


def echoed(stream: socket.socket, data: bytes) -> bytes:
    """Send and take back, at the same time."""
    sender = threading.Thread(target=stream.sendall, args=(data,), daemon=True)
    sender.start()
    got = take(stream, len(data))
    sender.join(WAIT_S)
    return got


def cut_off(address: Address) -> bool:
    """Whether a new connection is closed without an echo."""
    try:
        with client(address) as stream:
            stream.sendall(b"x")
            return stream.recv(1) == b""
    except ConnectionResetError:
        return True


def refused(address: Address) -> bool:
    """Whether nobody listens there."""
    try:
        socket.create_connection(address, WAIT_S).close()
    except ConnectionRefusedError:
        return True
    return False


def in_time(since_s: float, least_s: float, most_s: float | None = None) -> str:
    """`in time`, or by how much not; the upper bound leaves room for a busy machine."""
    took_s = time.monotonic() - since_s
    most_s = least_s if most_s is None else most_s
    if least_s - 0.005 <= took_s <= most_s + SLACK_S:
        return "in time"
    return f"after {took_s:.3f} s, not {least_s} to {most_s} s"


class Listener:
    """An upstream that runs one function per connection, each on a thread of its own."""

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        """Listen on a free port."""
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self._serve = serve
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                stream, _ = self.listener.accept()
                stream.settimeout(WAIT_S)
                threading.Thread(target=self._one, args=(stream,), daemon=True).start()

    def _one(self, stream: socket.socket) -> None:
        with suppress(OSError), stream:
            self._serve(stream)

    def close(self) -> None:
        """Stop listening."""
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self._thread.join(WAIT_S)


@dataclass
class Heard:
    """What one connection brought an upstream, and how it ended."""

    data: bytearray = field(default_factory=bytearray)
    end: str = ""
    ended_s: float = 0.0
    over: threading.Event = field(default_factory=threading.Event)


@dataclass
class Bench:
    """One server with its proxy p, and everything that a probe opens, closed at the end."""

    server: Server
    stack: ExitStack

    def echo(self) -> Address:
        """Proxy to an upstream that echoes; closes after `bye`."""
        upstream = Upstream()
        self.stack.callback(upstream.close)
        return self.server.proxy(upstream.address)

    def listener(self, serve: Callable[[socket.socket], None]) -> Listener:
        """An upstream of one's own."""
        upstream = Listener(serve)
        self.stack.callback(upstream.close)
        return upstream

    def sink(self) -> tuple[Address, list[Heard]]:
        """Proxy to an upstream that listens and remembers."""
        heard: list[Heard] = []

        def listen(stream: socket.socket) -> None:
            one = Heard()
            heard.append(one)
            try:
                while data := stream.recv(1 << 16):
                    one.data += data
                one.end = "end"
            except ConnectionResetError:
                one.end = "reset"
            one.ended_s = time.monotonic()
            one.over.set()

        return self.server.proxy(self.listener(listen).address), heard

    def speaker(self, words: bytes) -> Address:
        """Proxy to an upstream that speaks first and leaves."""
        return self.server.proxy(self.listener(lambda stream: stream.sendall(words)).address)

    def connect(self, address: Address) -> socket.socket:
        """A client that stays until the probe ends."""
        return self.stack.enter_context(client(address))

    def live(self, address: Address) -> socket.socket:
        """A client whose connection has carried something already."""
        stream = self.connect(address)
        assert echoed(stream, b"live") == b"live"
        return stream

    def change(self, name: str, **attributes: int) -> None:
        """Change a toxic's attributes."""
        path = f"/proxies/p/toxics/{name}"
        answer = self.server.api.patch(path, json={"attributes": attributes})
        assert answer.status_code == 200, answer.text

    def patch(self, **fields: object) -> None:
        """Change the proxy."""
        answer = self.server.api.patch("/proxies/p", json=fields)
        assert answer.status_code == 200, answer.text


def heard_by(heard: list[Heard]) -> Heard:
    """The first connection that an upstream heard, once it is over."""
    deadline = time.monotonic() + WAIT_S
    while not heard and time.monotonic() < deadline:
        time.sleep(0.005)
    assert heard[0].over.wait(WAIT_S)
    return heard[0]
