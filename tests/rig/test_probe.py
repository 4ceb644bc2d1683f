"""Telling an MCP server from everything else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.abc
import pytest

from harness.errors import TargetError
from harness.rig import probe as module
from harness.rig import server
from harness.rig.issuer import control
from harness.rig.probe import probe
from tests.ports import free_port

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """As everywhere, but for as long as the module's servers live."""
    return "asyncio"


@pytest.fixture(scope="module")
async def open_target(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[server.Target]:
    """The bundled server, open to everybody."""
    folder = tmp_path_factory.mktemp("open")
    async with server.reference(issuer=None, ledger=folder / "ledger.db") as target:
        yield target


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[str]:
    """A URL whose server answers every request with these bytes and closes."""

    async def serve(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            if answer:
                await stream.send(answer)
            else:
                await anyio.sleep_forever()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    # S610 takes this for a query set of a web framework.
    port = listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        yield f"http://127.0.0.1:{port}/mcp"
        group.cancel_scope.cancel()


def http(status: str, body: str = "", *headers: str) -> bytes:
    """A response as it goes over the wire."""
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


async def test_an_open_mcp_server_is_recognised_and_left_as_it_was(
    open_target: server.Target,
) -> None:
    """No error, and no session is left behind."""
    with anyio.fail_after(20):
        await probe(open_target.url)


async def test_a_server_that_wants_a_token_is_an_mcp_server(tmp_path: Path) -> None:
    """A challenge is answer enough; with a token in the headers it is asked properly."""
    with anyio.fail_after(30):
        async with (
            control.serve(log_dir=None) as issuer,
            server.reference(issuer=issuer.url, ledger=tmp_path / "l.db") as target,
        ):
            await probe(target.url)
            await probe(target.url, headers={"authorization": "Bearer wrong"})


MODERN_ONLY = http(
    "400 Bad Request", '{"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"x"}}'
)


@pytest.mark.parametrize(
    "answer",
    [
        MODERN_ONLY,
        http("200 OK", '{"jsonrpc":"2.0","id":1,"result":{}}', "content-type: application/json"),
        http(
            "200 OK",
            ': hello\n\nevent: message\ndata: {"jsonrpc":"2.0","id":1,"result":{}}\n\n',
            "content-type: text/event-stream",
        ),
        http("401 Unauthorized", "", 'www-authenticate: Bearer realm="x"'),
    ],
)
async def test_every_way_of_speaking_mcp_is_recognised(answer: bytes) -> None:
    """Errors of another era, plain JSON, an event stream, a challenge."""
    with anyio.fail_after(10):
        async with answering(answer) as url:
            await probe(url)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (http("404 Not Found", "no"), "got HTTP 404; is '/mcp' the right path"),
        (
            http("200 OK", "<html></html>", "content-type: text/html"),
            r"got HTTP 200 \(text/html\) without a JSON-RPC message",
        ),
        (http("200 OK", '{"hello": 1}', "content-type: application/json"), "without a JSON-RPC"),
        (http("307 Temporary Redirect", "", "location: http://x.test/mcp/"), "use that address"),
        (http("401 Unauthorized", "", 'www-authenticate: Basic realm="x"'), "got HTTP 401"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "expected HTTP from"),
    ],
)
async def test_anything_else_is_named_in_one_sentence(answer: bytes, sentence: str) -> None:
    """Wrong path, web page, other API, redirect, other login, other protocol."""
    with anyio.fail_after(10):
        async with answering(answer) as url:
            with pytest.raises(TargetError, match=sentence) as caught:
                await probe(url)
    assert url in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        (lambda: f"http://127.0.0.1:{free_port()}/mcp", "but nothing listens there"),
        (lambda: "http://no-such-host.invalid/mcp", "'no-such-host.invalid' does not resolve"),
        (lambda: "127.0.0.1:8000/mcp", "give the address with its scheme"),
        (lambda: "ftp://127.0.0.1/mcp", "give the address with its scheme"),
    ],
)
async def test_an_unreachable_target_says_why(url: Callable[[], str], sentence: str) -> None:
    """Refused, unknown host, no URL."""
    with anyio.fail_after(15), pytest.raises(TargetError, match=sentence):
        await probe(url())


async def test_a_silent_target_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Something accepts and never answers."""
    monkeypatch.setattr(module, "PROBE_S", 0.2)
    with anyio.fail_after(10):
        async with answering(b"") as url:
            with pytest.raises(TargetError, match=r"got none within 0\.2 s"):
                await probe(url)


async def test_an_old_server_is_told_by_the_endpoint_that_its_stream_begins_with(
    tmp_path: Path,
) -> None:
    """A refused POST, then a GET: the specification's own way to know it; asked for, at once."""
    async with server.reference(issuer=None, ledger=tmp_path / "notes.db", sse=True) as target:
        assert target.url.endswith("/sse")
        assert await probe(target.url) == "sse"
        assert await probe(target.url, transport="sse") == "sse"
        with pytest.raises(TargetError, match="HTTP 405"):
            await probe(target.url, transport="http")


async def test_a_streamable_server_is_none_of_the_old_ones(open_target: server.Target) -> None:
    """Whoever says sse wants a stream with an endpoint."""
    assert await probe(open_target.url) == "http"
    with pytest.raises(TargetError, match="begins with an endpoint event"):
        await probe(open_target.url, transport="sse")


async def test_an_old_server_that_wants_a_token_is_told_as_well(tmp_path: Path) -> None:
    """Its challenge to the GET is answer enough."""
    ledger = tmp_path / "notes.db"
    async with (
        control.serve(log_dir=None) as issuer,
        server.reference(issuer=issuer.url, ledger=ledger, sse=True) as target,
    ):
        assert await probe(target.url, transport="sse") == "sse"
