"""How long the API waits for its clients: a server in this process, with shorter times."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import NoReturn

import anyio
import pytest

from faults.toxiproxy import lookups
from faults.toxiproxy.addresses import open_listener
from faults.toxiproxy.control.api import Api
from faults.toxiproxy.control.front import Protocol, front
from faults.toxiproxy.control.store import Store
from tests.faults.toxiproxy.conftest import Upstream

WAIT_S = 10.0
ASK = b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /proxies HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"
REFUSED = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Connection: close\r\n\r\n400 Bad Request"
)


class Impatient(Protocol):
    """Deadlines that a test can wait for."""

    read_s = 0.3
    write_s = 0.3


class Patient(Protocol):
    """Deadlines that no test comes to."""

    read_s = write_s = 60.0


@asynccontextmanager
async def serving(
    protocol: type[Protocol] = Impatient, *, answer_s: float = 25.0
) -> AsyncIterator[tuple[Store, int]]:
    """A server in this loop: what it holds, and its port."""
    store = Store(1)
    listener = open_listener("127.0.0.1:0")
    server = front(Api(store, answer_s=answer_s), protocol)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: server.serve(sockets=[listener]))
        try:
            with anyio.fail_after(WAIT_S):
                yield store, listener.getsockname()[1]
        finally:
            server.should_exit = True
    store.close()


async def talk(port: int, *pieces: bytes, every_s: float = 0.0, end: bool = False) -> bytes:
    """Say something piece by piece; gives all that comes until the server ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in pieces:
        writer.write(piece)
        await anyio.sleep(every_s)
    if end:
        writer.write_eof()
    heard = b""
    with suppress(ConnectionError):
        heard = await reader.read()
    writer.close()
    return heard


async def repeat(deed: Callable[[], Awaitable[None]]) -> NoReturn:
    """Do something again and again until it fails."""
    while True:
        await deed()
        await anyio.sleep(0.01)


async def _send(writer: asyncio.StreamWriter, piece: bytes) -> None:
    writer.write(piece)
    await writer.drain()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("said", "heard"),
    [
        (b"", b""),
        (b"GET", REFUSED),
        (b"GET /version HTTP/1.1\r\nHost: x\r\nX: ", REFUSED),
        (POST % (100, b'{"name": "p", "upstream": "a:1"}'), b""),
    ],
    ids=["silence", "half a line", "half a head", "half a body"],
)
async def test_a_request_that_does_not_come_ends_the_connection(said: bytes, heard: bytes) -> None:
    """And what has come so far has no effect."""
    async with serving() as (store, port):
        assert await talk(port, said) == heard
        assert store.proxies == {}


@pytest.mark.anyio
async def test_a_request_that_trickles_wins_no_time() -> None:
    """A byte now and then is not a request."""
    async with serving() as (_, port):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        with pytest.raises(ConnectionError):
            await repeat(lambda: _send(writer, b"G"))
        writer.close()


@pytest.mark.anyio
async def test_a_second_request_has_the_same_time_as_the_first() -> None:
    """It begins with its first byte: the pause before it is another deadline's."""
    async with serving() as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(3):
            writer.write(ASK)
            assert b"2.12.0" in await reader.readuntil(b"}\n")
            await anyio.sleep(0.4)
        writer.write(ASK[:10])
        assert await reader.read() == REFUSED
        writer.close()


@pytest.mark.anyio
async def test_a_half_request_behind_a_whole_one_has_its_time_too() -> None:
    """Sent in one breath, the first is answered and the second waited for."""
    async with serving() as (_, port):
        heard = await talk(port, ASK + ASK[:10])
        assert heard.count(b"HTTP/1.1 200 OK") == 1


@pytest.mark.anyio
async def test_answers_that_nobody_takes_end_the_connection() -> None:
    """So that a client which only asks cannot fill the server's memory."""
    async with serving() as (store, port):
        for number in range(200):
            body = b'{"name":"%d","upstream":"%s:1","enabled":false}' % (number, b"a" * 5000)
            await store.create(body)
        with socket.create_connection(("127.0.0.1", port)) as stream:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stream.setblocking(False)
            loop = asyncio.get_running_loop()
            asks = ASK.replace(b"/version", b"/proxies")
            with pytest.raises(ConnectionError):
                await repeat(lambda: loop.sock_sendall(stream, asks * 100))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("said", "heard"),
    [
        (ASK, b"200 OK"),
        (ASK * 3, b"200 OK"),
        (POST % (100, b'{"name": "p"'), b"400 Bad Request"),
        (POST % (100, b""), b"400 Bad Request"),
        (ASK[:10], b""),
    ],
    ids=["a request", "three at once", "half a body", "no body", "half a head"],
)
async def test_a_client_that_closes_its_side_is_answered(said: bytes, heard: bytes) -> None:
    """What was asked before counts, and the server closes then."""
    async with serving(Patient) as (_, port):
        answers = await talk(port, said, end=True)
        assert answers.count(b"HTTP/1.1 ") == answers.count(b"HTTP/1.1 " + heard)
        assert answers.count(b"HTTP/1.1 ") == max(said.count(b"\r\n\r\n"), 0)


@pytest.fixture
def unanswered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Looking a name up takes until the test is over, unless it is this machine's."""
    over = threading.Event()
    ask = lookups._ask

    def hang(host: str, port: int, flags: int) -> list[str]:
        if flags != socket.AI_NUMERICHOST and host != "localhost":
            over.wait(WAIT_S)
        return ask(host, port, flags)

    monkeypatch.setattr(lookups, "_ask", hang)
    yield
    over.set()


@pytest.mark.anyio
@pytest.mark.usefixtures("unanswered")
async def test_an_answer_that_cannot_be_made_in_time_is_the_originals_page() -> None:
    """503, 77 bytes of HTML; and nothing comes to be later, where the original would go on."""
    async with serving(Patient, answer_s=0.2) as (store, port):
        body = b'{"name":"p","listen":"stuck.test:0","upstream":"a:1"}'
        heard = await talk(port, POST % (len(body), body), every_s=0.5, end=True)
        head, _, page = heard.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert b"\r\nContent-Length: 77\r\n" in head
        assert b"\r\nContent-Type: text/html; charset=utf-8\r\n" in head
        assert b"\r\nX-Toxiproxy-Request-Id: " in head
        assert page == (
            b"<html><head><title>Timeout</title></head><body><h1>Timeout</h1></body></html>"
        )
        assert store.proxies == {}


@pytest.mark.anyio
@pytest.mark.usefixtures("unanswered")
async def test_other_calls_are_answered_while_a_name_is_looked_up() -> None:
    """A wait is its own request's alone."""
    async with serving(Patient) as (_, port):
        body = b'{"name":"p","listen":"stuck.test:0","upstream":"a:1"}'
        _, stuck = await asyncio.open_connection("127.0.0.1", port)
        stuck.write(POST % (len(body), body))
        for _ in range(20):
            assert b"200 OK" in await talk(port, ASK, end=True)
        stuck.close()


@pytest.mark.anyio
@pytest.mark.usefixtures("unanswered")
async def test_upstreams_that_cannot_be_looked_up_hold_up_nobody_else(upstream: Upstream) -> None:
    """Twenty clients wait for one proxy's name; another's, and a control call's, are looked up."""
    port = upstream.address.rpartition(":")[2]
    async with serving(Patient) as (store, _):
        for name, leads in (("stuck", "stuck.test:1"), ("free", f"localhost:{port}")):
            body = {"name": name, "listen": "localhost:0", "upstream": leads}
            await store.create(json.dumps(body).encode())
        stuck, free = store.proxies.values()
        waiting = []
        for _ in range(20):
            where = int(stuck.listen.rpartition(":")[2])
            waiting.append((await asyncio.open_connection("127.0.0.1", where))[1])
        where = int(free.listen.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", where)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        assert stuck.traffic.connections == 20
        for each in (*waiting, writer):
            each.close()
