"""One face for whichever Toxiproxy there is: the same tests on ours and on the original."""

from __future__ import annotations

import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import psutil
import pytest
from anyio.abc import SocketAttribute, SocketStream

from harness.errors import NotHealedError, RigError
from harness.rig.process import child
from harness.rig.toxiproxy import server as rig
from harness.rig.toxiproxy.answers import Exposure
from harness.rig.toxiproxy.proxy import Proxy
from harness.rig.toxiproxy.server import Toxiproxy
from harness.rig.toxiproxy.serving import serve

pytestmark = pytest.mark.anyio

WAIT_S = 30.0


@asynccontextmanager
async def serving(which: str, log_dir: Path | None = None) -> AsyncIterator[Toxiproxy]:
    """The server under test."""
    async with serve(prefer_binary=which == "original", log_dir=log_dir) as server:
        yield server


@asynccontextmanager
async def echo(host: str = "127.0.0.1") -> AsyncIterator[str]:
    """An upstream that sends back what it gets; gives its address."""

    async def answer(stream: SocketStream) -> None:
        async with stream:
            try:
                async for data in stream:
                    await stream.send(data)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                return

    listener = await anyio.create_tcp_listener(local_host=host)
    port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - sockets, not a database
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, answer)
        yield f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        group.cancel_scope.cancel()


async def end_by(ending: str, scope: anyio.CancelScope) -> None:
    """Leave the caller's block in the given way."""
    if ending == "error":
        raise KeyError(ending)
    scope.cancel()
    await anyio.sleep_forever()


def kill_listener(port: int) -> None:
    """SIGKILL whichever of our children listens on a port."""
    for process in psutil.Process().children(recursive=True):
        if any(
            held.laddr and held.laddr.port == port and held.status == "LISTEN"
            for held in process.net_connections("tcp")
        ):
            process.kill()


async def connect(proxy: Proxy) -> SocketStream:
    """A client's connection to a proxy."""
    return await anyio.connect_tcp(proxy.host, proxy.port)


async def test_the_server_says_what_it_is(which: str, tmp_path: Path) -> None:
    """Kind, address and version are known once it is served; a log may be kept."""
    with anyio.fail_after(WAIT_S):
        async with serving(which, tmp_path) as server:
            assert server.server.url.startswith("http://127.0.0.1:")
            expected = {"embedded": ("embedded", "2.12.0"), "original": ("shopify-process", "git")}
            assert server.server.kind == expected[which][0]
            if which == "embedded":
                assert server.server.version == expected[which][1]
            assert server.server.version
    assert (tmp_path / "toxiproxy.log").exists()


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
async def test_an_upstream_may_be_an_ipv6_address(which: str) -> None:
    """In brackets, on both servers."""
    with anyio.fail_after(WAIT_S):
        async with echo("::1") as upstream, serving(which) as server:
            proxy = await server.create_proxy("six", upstream=upstream)
            async with await connect(proxy) as stream:
                await stream.send(b"six")
                assert await stream.receive() == b"six"


async def test_an_upstream_may_be_a_unix_socket_on_our_server_alone(
    which: str, tmp_path: Path
) -> None:
    """The original would cut each connection: it is refused before there is one."""
    path = tmp_path / "s"

    async def answer(stream: SocketStream) -> None:
        async with stream:
            await stream.send(await stream.receive())

    with anyio.fail_after(WAIT_S):
        listener = await anyio.create_unix_listener(path)
        async with listener, anyio.create_task_group() as group, serving(which) as server:
            group.start_soon(listener.serve, answer)
            if which == "original":
                with pytest.raises(RigError, match="cannot reach a Unix socket"):
                    await server.create_proxy("local", upstream=f"unix:{path}")
            else:
                proxy = await server.create_proxy("local", upstream=f"unix:{path}")
                await proxy.add_toxic(
                    "slow", type="latency", stream="downstream", attributes={"latency": 5}
                )
                async with await connect(proxy) as stream:
                    await stream.send(b"local")
                    assert await stream.receive() == b"local"
            group.cancel_scope.cancel()


async def test_the_process_ends_with_the_block(which: str) -> None:
    """No child of this process is left."""
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    with anyio.fail_after(WAIT_S):
        async with serving(which):
            during = {process.pid for process in psutil.Process().children(recursive=True)}
            assert during - before
    after = {process.pid for process in psutil.Process().children(recursive=True)}
    assert not after & (during - before)


async def test_a_proxy_carries_and_its_toxic_acts_and_goes(which: str) -> None:
    """Add, change, list and remove a toxic on a connection that stays open."""
    with anyio.fail_after(WAIT_S):
        async with echo() as upstream, serving(which) as server:
            proxy = await server.create_proxy("squall-t", upstream=upstream)
            assert (await server.proxies())["squall-t"].upstream == upstream
            async with await connect(proxy) as stream:
                await stream.send(b"before")
                assert await stream.receive() == b"before"
                await proxy.add_toxic(
                    "slow", type="latency", stream="downstream", attributes={"latency": 150}
                )
                assert await proxy.toxics() == ("slow",)
                began = anyio.current_time()
                await stream.send(b"late")
                assert await stream.receive() == b"late"
                assert anyio.current_time() - began >= 0.15
                await proxy.update_toxic("slow", attributes={"latency": 250}, toxicity=1.0)
                began = anyio.current_time()
                await stream.send(b"later")
                assert await stream.receive() == b"later"
                assert anyio.current_time() - began >= 0.25
                await proxy.remove_toxic("slow")
                assert await proxy.toxics() == ()
                await stream.send(b"after")
                assert await stream.receive() == b"after"


async def test_exposure_is_counted_by_the_injector_or_said_to_be_unknown(which: str) -> None:
    """Ours counts connections, bytes and pieces, also after the toxic is gone."""
    with anyio.fail_after(WAIT_S):
        async with echo() as upstream, serving(which) as server:
            proxy = await server.create_proxy("squall-t", upstream=upstream)
            await proxy.add_toxic("cut", type="noop", stream="upstream", attributes={})
            await proxy.add_toxic(
                "slow", type="latency", stream="upstream", attributes={"latency": 1}
            )
            for _ in range(2):
                async with await connect(proxy) as stream:
                    await stream.send(b"12345")
                    assert await stream.receive() == b"12345"
                    still = (await proxy.exposure(None)).open
            await proxy.remove_toxic("slow")
            seen = await proxy.exposure("slow")
            whole = await proxy.exposure(None)
            if which == "original":
                assert seen == Exposure(connections=0, bytes=0, hits=0, open=0, source="proxy")
                return
            assert (seen.connections, seen.bytes, seen.hits, seen.source) == (2, 10, 2, "injector")
            assert 1 <= still <= 2  # the first may not have been seen to close
            assert (whole.connections, whole.bytes, whole.hits) == (2, 20, 0)
            with pytest.raises(RigError, match="counts nothing for squall-t/other"):
                await proxy.exposure("other")


async def test_a_disabled_proxy_refuses_and_comes_back_on_its_port(which: str) -> None:
    """Down closes what is open; up listens where it did."""
    with anyio.fail_after(WAIT_S):
        async with echo() as upstream, serving(which) as server:
            proxy = await server.create_proxy("squall-t", upstream=upstream)
            async with await connect(proxy) as stream:
                await stream.send(b"x")
                await stream.receive()
                await proxy.set_enabled(False)
                with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                    await stream.receive()
            with pytest.raises(OSError, match=r"refused|attempts failed"):
                await connect(proxy)
            if which == "embedded":
                assert (await proxy.exposure(None)).hits == 1
            await proxy.set_enabled(True)
            async with await connect(proxy) as stream:
                await stream.send(b"back")
                assert await stream.receive() == b"back"


async def test_a_taken_name_is_refused_with_the_mend(which: str) -> None:
    """The leftover is named, and stays untouched at the end."""
    with anyio.fail_after(WAIT_S):
        async with serving(which) as server:
            await server.create_proxy("squall-t", upstream="127.0.0.1:9")
            with pytest.raises(RigError, match=r"squall-t.*left over.*curl -X DELETE http"):
                await server.create_proxy("squall-t", upstream="127.0.0.1:10")
            async with serve(url=server.server.url, log_dir=None) as other:
                assert other.server.kind == "external"
                with pytest.raises(RigError, match="already has a proxy named squall-t"):
                    await other.create_proxy("squall-t", upstream="127.0.0.1:11")
                await other.create_proxy("squall-other", upstream="127.0.0.1:9")
            assert set(await server.proxies()) == {"squall-t"}


async def test_what_the_server_refuses_is_a_sentence(which: str) -> None:
    """A refusal carries the server's own words."""
    with anyio.fail_after(WAIT_S):
        async with serving(which) as server:
            proxy = await server.create_proxy("squall-t", upstream="127.0.0.1:9")
            with pytest.raises(RigError, match=r"refused to add toxic odd.*invalid toxic type"):
                await proxy.add_toxic("odd", type="odd", stream="upstream", attributes={})
            with pytest.raises(RigError, match=r"must be an int, got 1\.5"):
                await proxy.add_toxic(
                    "odd",
                    type="latency",
                    stream="upstream",
                    attributes={"latency": 1.5},  # type: ignore[dict-item]
                )
            await proxy.add_toxic("one", type="noop", stream="upstream", attributes={})
            with pytest.raises(RigError, match="toxic already exists"):
                await proxy.add_toxic("one", type="noop", stream="downstream", attributes={})
            with pytest.raises(RigError, match="toxic not found"):
                await proxy.update_toxic("two", attributes={})
            await proxy.remove_toxic("two")  # gone is gone


@pytest.mark.parametrize("ending", ["error", "cancel"])
async def test_own_proxies_are_removed_however_the_block_ends(which: str, ending: str) -> None:
    """An exception and a cancellation both leave the server as it was."""
    with anyio.fail_after(WAIT_S):
        async with serving(which) as server:
            url = server.server.url
            await server.create_proxy("not-mine", upstream="127.0.0.1:9")
            with anyio.CancelScope() as scope:
                try:
                    async with serve(url=url, log_dir=None) as mine:
                        await mine.create_proxy("mine", upstream="127.0.0.1:9")
                        assert set(await mine.proxies()) == {"mine", "not-mine"}
                        await end_by(ending, scope)
                except KeyError:
                    pass
            assert set(await server.proxies()) == {"not-mine"}


async def test_a_foreign_server_that_died_is_not_healed(which: str) -> None:
    """What cannot be proven is said, with the names and the mend."""

    async def bereaved(url: str) -> None:
        async with serve(url=url, log_dir=None) as server:
            await server.create_proxy("squall-t", upstream="127.0.0.1:9")
            kill_listener(int(url.rpartition(":")[2]))

    with anyio.fail_after(WAIT_S):
        async with serving(which) as own:
            with pytest.raises(NotHealedError, match=r"squall-t.*cannot be shown.*curl -X DELETE"):
                await bereaved(own.server.url)


async def test_an_own_server_that_died_has_left_nothing_broken(which: str) -> None:
    """Proxies live in its memory alone; calls say that it is gone, the end does not complain."""
    with anyio.fail_after(WAIT_S):
        async with serving(which) as server:
            proxy = await server.create_proxy("squall-t", upstream="127.0.0.1:9")
            kill_listener(int(server.server.url.rpartition(":")[2]))
            with pytest.raises(RigError, match="cannot be reached to disable squall-t"):
                await proxy.set_enabled(False)


async def test_a_creation_cancelled_half_way_leaves_nothing() -> None:
    """The clean-up waits for the call that was under way."""
    with anyio.fail_after(WAIT_S):
        async with serving("embedded") as server:
            url = server.server.url
            for delay_s in (0.0, 0.0005, 0.001, 0.002, 0.004):
                async with serve(url=url, log_dir=None) as mine:
                    with anyio.move_on_after(delay_s):
                        await mine.create_proxy("mine", upstream="127.0.0.1:9")
                assert await server.proxies() == {}


async def test_a_server_that_never_answers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accepting and saying nothing ends in an error, not in a hang."""
    monkeypatch.setattr(rig, "CALL_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent, anyio.fail_after(WAIT_S):
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(RigError, match=r"did not tell its version within 0\.3 s"):
            async with serve(url=url, log_dir=None):
                pytest.fail("the block must not run")


@pytest.mark.parametrize("url", ["127.0.0.1:8474", "https://h:1", "http://h:1/x", "http://"])
async def test_an_address_that_cannot_be_one_is_refused(url: str) -> None:
    """The sentence shows what an address looks like."""
    with pytest.raises(RigError, match="expected one like http://127"):
        async with serve(url=url, log_dir=None):
            pytest.fail("the block must not run")


async def test_a_server_on_another_machine_listens_where_we_reach_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its loopback is not ours: the proxy listens on every interface, under the server's name."""
    monkeypatch.setattr(rig, "_is_loopback", lambda _: False)
    with anyio.fail_after(WAIT_S):
        async with echo() as upstream, serving("embedded") as server:
            proxy = await server.create_proxy("squall-t", upstream=upstream)
            assert (await server.proxies())["squall-t"].listen.startswith(("[::]:", "0.0.0.0:"))
            async with await connect(proxy) as stream:
                await stream.send(b"x")
                assert await stream.receive() == b"x"


@pytest.mark.parametrize(
    ("host", "here"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("toxiproxy", False), ("", False)],
)
async def test_loopback_is_known_by_its_names(host: str, here: bool) -> None:
    """A name that is not known to be ours is taken for another machine's."""
    assert rig._is_loopback(host) is here


async def test_proxy_settings_of_the_environment_are_ignored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Control calls go to the server itself, whatever HTTP_PROXY says."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with anyio.fail_after(WAIT_S):
        async with serving("embedded") as server:
            await server.create_proxy("squall-t", upstream="127.0.0.1:9")
            assert set(await server.proxies()) == {"squall-t"}


async def test_a_lease_ends_a_proxy_by_itself() -> None:
    """The embedded server takes away what is not renewed."""
    with anyio.fail_after(WAIT_S):
        async with serving("embedded") as server:
            await server.create_proxy("squall-t", upstream="127.0.0.1:9")
            answer = await server.ask_directly(
                "lease", "POST", "/squall/proxies/squall-t/lease", {"ttl_ms": 50}
            )
            assert answer.json() == {"ttl_ms": 50}
            while await server.proxies():  # noqa: ASYNC110 - another process's timer
                await anyio.sleep(0.02)


async def test_our_proxies_are_leased_and_the_leases_renewed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They outlive many leases while we live, and none when nobody renews them."""
    monkeypatch.setattr(rig, "LEASE_S", 0.6)
    monkeypatch.setattr(rig, "BEAT_S", 0.1)
    with anyio.fail_after(WAIT_S):
        async with serving("embedded") as server:
            await server.create_proxy("mine", upstream="127.0.0.1:9")
            with anyio.move_on_after(2):
                await server.lost()
                pytest.fail("nothing was lost")
            assert set(await server.proxies()) == {"mine"}
            monkeypatch.setattr(rig, "BEAT_S", 60)
            while await server.proxies():  # noqa: ASYNC110 - another process's timer
                await anyio.sleep(0.02)


async def test_a_proxy_that_is_taken_away_is_lost(
    which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On our server the next renewal tells; the original is asked for a sign of life only."""
    monkeypatch.setattr(rig, "BEAT_S", 0.05)
    with anyio.fail_after(WAIT_S):
        async with serving(which) as server:
            await server.create_proxy("mine", upstream="127.0.0.1:9")
            await server.ask_directly("delete it", "DELETE", "/proxies/mine")
            if which == "embedded":
                assert "has a proxy of this run no more" in await server.lost()
                return
            with anyio.move_on_after(0.5):
                await server.lost()
                pytest.fail("nothing was lost")


async def test_a_server_that_dies_is_lost(which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within two beats, in a sentence; what a fault then undoes there is undone already."""
    monkeypatch.setattr(rig, "BEAT_S", 0.05)
    with anyio.fail_after(WAIT_S):
        async with serving(which) as server:
            proxy = await server.create_proxy("mine", upstream="127.0.0.1:9")
            await proxy.add_toxic("one", type="noop", stream="upstream", attributes={})
            await proxy.set_enabled(False)
            kill_listener(int(server.server.url.rpartition(":")[2]))
            assert "cannot be reached" in await server.lost()
            while not await server.gone():  # noqa: ASYNC110 - a leash ends after its program
                await anyio.sleep(0.01)
            await proxy.set_enabled(True)
            await proxy.remove_toxic("one")


async def test_an_address_with_a_password_is_refused_and_not_shown() -> None:
    """Toxiproxy knows no users; a secret that no server asked for must not reach a record."""
    with pytest.raises(RigError, match="takes no user and no password") as refusal:
        async with serve(url="http://user:pa55word@127.0.0.1:8474", log_dir=None):
            pytest.fail("the block must not run")
    assert "pa55word" not in str(refusal.value)


async def test_the_embedded_server_dies_with_its_standard_input() -> None:
    """The end of the pipe is the end of the lease."""
    with anyio.fail_after(WAIT_S):
        argv = [sys.executable, "-m", "faults.toxiproxy", "--port", "0", "--stdin-lease"]
        async with child(argv, ready="listening", log=None) as running:
            stdin = running._process.stdin
            assert stdin is not None
            await stdin.aclose()
            assert await running.wait() == 0
