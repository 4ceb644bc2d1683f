from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import socket
import ssl
from collections.abc import AsyncIterator

import pytest
import trustme
from anyio import fail_after
from pydantic_core import to_json

from harness.outcome import EndedBy, Outcome, Reason
from harness.trust import Trust
from harness.wire.client import WireClient
from harness.wire.endpoint import Endpoint
from harness.wire.limits import Limits
from harness.wire.reply import Reply
from harness.wire.schemas import SchemaBook
from harness.wire.sdk import SdkSpeaker
from tests.echo_server import Papers, server, standing
from tests.wire.scripted import (
    CLOCK,
    WAIT_S,
    Peer,
    ScriptedServer,
    Serve,
    answering,
    call,
    http,
    legacy_reply,
    response,
    within,
)

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    """One authority for the module: keys take a moment."""
    return Papers(tmp_path_factory.mktemp("papers"))


@contextlib.asynccontextmanager
async def serving(serve: Serve, issued: trustme.LeafCert) -> AsyncIterator[ScriptedServer]:
    """A scripted server behind TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(context)
    scripted = ScriptedServer(serve)
    listener = await asyncio.start_server(
        scripted._accept, "127.0.0.1", 0, ssl=context, limit=64 * 1024 * 1024
    )
    scripted.port = listener.sockets[0].getsockname()[1]
    try:
        yield scripted
    finally:
        listener.close()
        await scripted.stop()


@contextlib.asynccontextmanager
async def speaking(
    url: str, trust: Trust, *, via: tuple[str, int] | None = None, limits: Limits | None = None
) -> AsyncIterator[WireClient]:
    """A client whose sockets are closed at the end."""
    endpoint = Endpoint.from_url(url, via=via, trust=trust)
    client = WireClient(
        endpoint, era="legacy", now_ns=CLOCK.now_ns, schemas=SchemaBook(), limits=limits
    )
    try:
        with fail_after(WAIT_S):
            yield client
    finally:
        client.forget_session()
        client.drop_connections()
        await asyncio.sleep(0)


async def opened(url: str, trust: Trust) -> Reply:
    """What came of the handshake."""
    async with speaking(url, trust) as client:
        return await client.open(deadline_ns=within(WAIT_S))


async def test_the_official_server_is_spoken_to_over_tls(papers: Papers) -> None:
    """Through a door that is not the URL's host: the name asked for and verified is the target's.

    A large body goes and comes back whole.
    """
    app = server().streamable_http_app()
    async with standing(app, **papers.options()) as place:
        port = int(place.rpartition(":")[2])
        url, via = f"https://localhost:{port}/mcp", ("127.0.0.1", port)
        async with speaking(url, Trust(ca=papers.ca), via=via) as client:
            assert (await client.open(deadline_ns=within(WAIT_S))).outcome is Outcome.OK
            for size in (1, 1_000_000):
                params = to_json({"name": "echo", "arguments": {"text": "x" * size}})
                reply = await client.request(
                    "tools/call", params, name="echo", deadline_ns=within(WAIT_S)
                )
                assert reply.outcome is Outcome.OK, reply
                assert reply.result["content"][0]["text"] == "x" * size
            closed = await client.close(deadline_ns=within(WAIT_S))
            assert closed is not None
            assert closed.outcome is Outcome.OK


async def test_each_distrust_has_its_own_name(papers: Papers) -> None:
    """Untrusted issuer, wrong name, expired: never sent, and told apart."""
    past = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    right = papers.authority.issue_cert("127.0.0.1")
    stale = papers.authority.issue_cert("127.0.0.1", not_after=past)
    other = papers.authority.issue_cert("other.test")
    for issued, trust, reason, says in (
        (right, Trust(), Reason.TLS_UNTRUSTED, "not trusted"),
        (stale, Trust(ca=papers.ca), Reason.TLS_EXPIRED, "expired"),
        (other, Trust(ca=papers.ca), Reason.TLS_WRONG_NAME, "127.0.0.1"),
    ):
        async with serving(answering(legacy_reply), issued) as scripted:
            reply = await opened(f"https://127.0.0.1:{scripted.port}/mcp", trust)
            assert (reply.outcome, reply.reason) == (Outcome.TRANSPORT_ERROR, reason), reply
            assert reply.ended_by is EndedBy.NEVER_SENT
            assert says in reply.detail
            assert not scripted.requests


async def test_plain_http_where_tls_was_expected_is_a_tls_failure(papers: Papers) -> None:
    """The peer's words are no TLS record."""

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    listener = await asyncio.start_server(plain, "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        reply = await opened(f"https://127.0.0.1:{port}/mcp", Trust(ca=papers.ca))
    assert (reply.outcome, reply.reason) == (Outcome.TRANSPORT_ERROR, Reason.TLS_FAILED), reply


def _demand_once(listener: socket.socket, context: ssl.SSLContext) -> None:
    """Take one client and demand a certificate of it, with OpenSSL's own alert when it has none."""
    peer, _ = listener.accept()
    peer.settimeout(WAIT_S)
    secured = context.wrap_socket(peer, server_side=True, do_handshake_on_connect=False)
    with contextlib.suppress(OSError):
        secured.do_handshake()
    with socket.socket(fileno=secured.detach()) as plain:
        plain.settimeout(WAIT_S)
        with contextlib.suppress(OSError):
            while plain.recv(65536):  # a close over unread bytes would overtake the alert
                pass


async def test_a_client_certificate_that_is_lacking_is_named(papers: Papers) -> None:
    """TLS 1.3 tells of it only after the handshake, in answer to the first call; 1.2 in it."""
    for newest in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.maximum_version = newest
        context.load_cert_chain(papers.certificate, papers.key)
        context.load_verify_locations(papers.ca)
        context.verify_mode = ssl.CERT_REQUIRED
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(WAIT_S)
            demanding = asyncio.ensure_future(asyncio.to_thread(_demand_once, listener, context))
            url = f"https://127.0.0.1:{listener.getsockname()[1]}/mcp"
            refused = await opened(url, Trust(ca=papers.ca))
            await demanding
        assert refused.outcome is Outcome.TRANSPORT_ERROR
        assert refused.reason is Reason.TLS_CLIENT_REFUSED, (newest, refused)


async def test_a_client_certificate_is_shown(papers: Papers) -> None:
    """A server that asks for one is spoken to like any other."""
    app = server().streamable_http_app()
    async with standing(app, **papers.options(mutual=True)) as place:
        trust = Trust(ca=papers.ca, certificate=papers.client)
        async with speaking(f"https://{place}/mcp", trust) as client:
            assert (await client.open(deadline_ns=within(WAIT_S))).outcome is Outcome.OK
            await client.close(deadline_ns=within(WAIT_S))


async def test_a_handshake_that_hangs_is_a_connect_timeout(papers: Papers) -> None:
    """TLS is part of connecting, and so of its limit."""

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    listener = await asyncio.start_server(mute, "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        limits = Limits(connect_s=0.2)
        url = f"https://127.0.0.1:{port}/mcp"
        async with speaking(url, Trust(ca=papers.ca), limits=limits) as client:
            reply = await client.open(deadline_ns=within(WAIT_S))
    assert (reply.outcome, reply.reason) == (Outcome.TRANSPORT_ERROR, Reason.CONNECT_TIMEOUT)


async def test_a_cut_in_the_handshake_is_a_reset(papers: Papers) -> None:
    """As a plain connection meets it with its first call."""

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.transport.abort()

    listener = await asyncio.start_server(cut, "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        reply = await opened(f"https://127.0.0.1:{port}/mcp", Trust(ca=papers.ca))
    assert (reply.outcome, reply.reason) == (Outcome.TRANSPORT_ERROR, Reason.RESET), reply


async def test_resets_and_early_ends_under_tls_are_what_they_are_without(papers: Papers) -> None:
    """The server's cut is a transport error; the client's own vanishing is abandoned."""
    left = asyncio.Event()

    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.send(http(response(1)))
        await peer.request()
        await peer.send(http(response(2))[:-5])
        peer.reset()

    async def wait(peer: Peer) -> None:
        await peer.request()
        await peer.gone()
        left.set()

    issued = papers.authority.issue_cert("127.0.0.1")
    trust = Trust(ca=papers.ca)
    async with serving(serve, issued) as scripted:
        url = f"https://127.0.0.1:{scripted.port}/mcp"
        async with speaking(url, trust) as client:
            assert (await call(client)).outcome is Outcome.OK
            broken = await call(client)
            assert broken.outcome is Outcome.TRANSPORT_ERROR, broken
            assert broken.reason in {Reason.RESET, Reason.CLOSED_EARLY}
    async with serving(wait, issued) as scripted:
        url = f"https://127.0.0.1:{scripted.port}/mcp"
        async with speaking(url, trust) as client:
            gone = await call(client, vanish_after_ns=20_000_000)
            assert (gone.outcome, gone.reason) == (Outcome.ABANDONED, Reason.VANISHED)
            await left.wait()


async def test_a_refusal_while_a_large_body_is_sent_never_reads_as_broken_http(
    papers: Papers,
) -> None:
    """What the kernel still holds is ciphertext under TLS: it must not be taken for an answer."""

    async def refuse(peer: Peer) -> None:
        await peer.read(100)
        await peer.send(http(b"", status="413 Content Too Large"))
        peer.reset()

    issued = papers.authority.issue_cert("127.0.0.1")
    async with serving(refuse, issued) as scripted:
        url = f"https://127.0.0.1:{scripted.port}/mcp"
        async with speaking(url, Trust(ca=papers.ca)) as client:
            params = to_json({"name": "echo", "arguments": {"text": "x" * 8_000_000}})
            reply = await client.request("tools/call", params, deadline_ns=within(WAIT_S))
    assert (reply.outcome, reply.status) == (Outcome.HTTP_ERROR, 413) or (
        reply.outcome is Outcome.TRANSPORT_ERROR
        and reply.reason in {Reason.SEND_FAILED, Reason.RESET, Reason.CLOSED_EARLY}
    ), reply


async def test_the_official_client_verifies_the_targets_name_too(papers: Papers) -> None:
    """Through the door as well: what is trusted is the URL's host, not the proxy's."""
    app = server().streamable_http_app()
    async with standing(app, **papers.options()) as place:
        port = int(place.rpartition(":")[2])
        for name, trust, outcome in (
            ("localhost", Trust(ca=papers.ca), Outcome.OK),
            ("localhost", Trust(), Outcome.TRANSPORT_ERROR),
            ("other.test", Trust(ca=papers.ca), Outcome.TRANSPORT_ERROR),
        ):
            endpoint = Endpoint.from_url(
                f"https://{name}:{port}/mcp", via=("127.0.0.1", port), trust=trust
            )
            speaker = SdkSpeaker(endpoint, era="legacy", now_ns=CLOCK.now_ns)
            with fail_after(WAIT_S):
                opened = await speaker.open(deadline_ns=within(WAIT_S))
                assert opened.outcome is outcome, (name, opened)
                await speaker.close(deadline_ns=within(WAIT_S))
