"""The rig's own requests: under the run's trust, and to a Unix socket if the target is on one."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from harness.errors import TargetError
from harness.rig.probe import probe
from harness.rig.reaching import http_client
from harness.trust import Trust
from tests.echo_server import Papers, server, standing

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    """One authority and its certificates."""
    return Papers(tmp_path_factory.mktemp("papers"))


async def _token(_: Request) -> Response:
    return JSONResponse({"access_token": "t", "token_type": "Bearer", "expires_in": 60})


@pytest.fixture
async def issuer(papers: Papers) -> AsyncIterator[str]:
    """An issuer behind TLS."""
    app = Starlette(routes=[Route("/token", _token, methods=["POST"])])
    async with standing(app, **papers.options()) as place:
        yield f"https://{place}"


async def test_a_token_is_asked_for_under_the_runs_trust(issuer: str, papers: Papers) -> None:
    """An issuer that is not trusted is shown no secret."""
    form = {"grant_type": "client_credentials", "client_secret": "s"}
    async with http_client("https://mcp.test/mcp", trust=Trust(ca=papers.ca)) as http:
        reply = await http.post(f"{issuer}/token", data=form)
        assert reply.json()["access_token"] == "t"
    async with http_client("https://mcp.test/mcp") as http:
        with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
            await http.post(f"{issuer}/token", data=form)


async def test_the_probe_says_what_is_wrong_with_tls_and_the_mend(papers: Papers) -> None:
    """Before any load."""
    async with standing(server().streamable_http_app(), **papers.options()) as place:
        assert await probe(f"https://{place}/mcp", trust=Trust(ca=papers.ca)) == "http"
        with pytest.raises(TargetError, match=r"not trusted.*--ca"):
            await probe(f"https://{place}/mcp")


async def test_only_the_targets_origin_is_on_its_unix_socket() -> None:
    """The issuer beside it is reached as ever."""

    async def here(_: Request) -> Response:
        return PlainTextResponse("tcp")

    async def answer(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nunix")

    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "s")
        listener = await anyio.create_unix_listener(path)
        app = Starlette(routes=[Route("/", here)])
        async with listener, anyio.create_task_group() as group, standing(app) as place:
            group.start_soon(listener.serve, answer)
            async with http_client("http://localhost/mcp", unix_socket=path) as http:
                assert (await http.get("http://localhost/mcp")).text == "unix"
                assert (await http.get(f"http://{place}/")).text == "tcp"
                with socket.socket() as taken:
                    taken.bind(("127.0.0.1", 0))
                    with pytest.raises(httpx.ConnectError):
                        await http.get(f"http://127.0.0.1:{taken.getsockname()[1]}/")
            group.cancel_scope.cancel()
