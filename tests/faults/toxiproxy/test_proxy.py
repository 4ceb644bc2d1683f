"""A proxy's door: that it stays open whatever happens at it, on real sockets."""

from __future__ import annotations

import resource
import socket
import sys
import time
from contextlib import ExitStack

import pytest

from tests.faults.toxiproxy.conftest import Server, Upstream, end, start_ours
from tests.faults.toxiproxy.peers import WAIT_S, client, echoed

SHORT_OF = 40  # descriptors, where eighty connections need two each


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux limits a process so")
def test_running_out_of_descriptors_ends_nothing(upstream: Upstream) -> None:
    """An improvement: one failed accept ends the original's loop for good."""
    server = start_ours()
    try:
        address = server.proxy(upstream.address)
        limits = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (SHORT_OF, limits[1]))
        with ExitStack() as stack:
            for _ in range(80):
                stack.enter_context(client(address))
            assert server.process.poll() is None
        assert _echo_comes(address)
        assert server.api.get("/proxies/p").json()["enabled"]
    finally:
        end(server)


def _echo_comes(address: tuple[str, int]) -> bool:
    """Whether a new connection is served before long."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        try:
            with client(address) as stream:
                if echoed(stream, b"hello") == b"hello":
                    return True
        except OSError:
            time.sleep(0.05)
    return False


def test_a_stop_closes_clients_that_have_only_just_come(ours: Server, upstream: Upstream) -> None:
    """Also one whose turn had not even begun: nobody is left hanging."""
    for _ in range(20):
        address = ours.proxy(upstream.address)
        with ExitStack() as stack:
            streams = [stack.enter_context(client(address)) for _ in range(10)]
            assert ours.api.delete("/proxies/p").status_code == 204
            for stream in streams:
                try:
                    assert stream.recv(1) == b""
                except ConnectionResetError:
                    continue


def test_two_calls_for_one_name_make_one_proxy(ours: Server) -> None:
    """Names are looked up meanwhile, so both are under way at once; no listener is left over."""
    body = '{"name":"p","listen":"localhost:0","upstream":"127.0.0.1:9"}'
    head = f"POST /proxies HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    for _ in range(10):
        with ExitStack() as stack:
            streams = [
                stack.enter_context(socket.create_connection(ours.address, WAIT_S))
                for _ in range(8)
            ]
            for stream in streams:
                stream.sendall(f"{head}{body}".encode())
            statuses = sorted(stream.recv(65536)[9:12] for stream in streams)
        assert statuses == [b"201", *[b"409"] * 7]
        assert ours.api.delete("/proxies/p").status_code == 204


def test_an_update_cannot_bring_a_deleted_proxy_back(ours: Server) -> None:
    """Whoever is later finds nothing; the port is free in either order."""
    update = '{"listen":"localhost:0","enabled":true}'
    asks = [
        f"PATCH /proxies/p HTTP/1.1\r\nHost: x\r\nContent-Length: {len(update)}\r\n\r\n{update}",
        "DELETE /proxies/p HTTP/1.1\r\nHost: x\r\n\r\n",
    ]
    for number in range(20):
        address = ours.proxy("127.0.0.1:9")
        with ExitStack() as stack:
            for ask in asks[:: 1 if number % 2 else -1]:
                stream = socket.create_connection(ours.address, WAIT_S)
                stack.enter_context(stream).sendall(ask.encode())
                if "DELETE" in ask:
                    deleting = stream
            assert deleting.recv(65536)[9:12] == b"204"
        assert ours.api.get("/proxies").json() == {}
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, 5)
