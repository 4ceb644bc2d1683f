"""What one fault has hit is no exposure of the next one, and what still stands is seen."""

from __future__ import annotations

import anyio
import pytest

from harness.errors import RigError
from harness.rig.issuer import control
from harness.rig.network import Network
from harness.rig.toxiproxy.serving import serve
from harness.running.identity import Identity
from tests.rig.test_toxiproxy import echo

pytestmark = pytest.mark.anyio
LIMIT_S = 60


async def test_connections_that_an_earlier_cut_has_closed_are_not_counted_again() -> None:
    """The server counts on; a second cut that finds nobody has hit nobody."""
    with anyio.fail_after(LIMIT_S):
        async with echo() as upstream, serve(prefer_binary=False, log_dir=None) as server:
            proxy = await server.create_proxy("squall-t", upstream=upstream)
            network = Network(proxy)
            async with await anyio.connect_tcp(proxy.host, proxy.port) as stream:
                await stream.send(b"x")
                await stream.receive()
                await network.set_enabled(False)
                assert (await network.exposure(None)).count == 1
                await network.set_enabled(True)
            await network.set_enabled(False)
            assert (await network.exposure(None)).count == 0
            await network.set_enabled(True)


async def test_what_an_earlier_mishap_has_hit_is_not_counted_again() -> None:
    """A second rotation is one rotation; an outage has hit whoever looked whether it is there."""
    with anyio.fail_after(LIMIT_S):
        async with control.serve(log_dir=None) as issuer:
            identity = Identity(issuer, ttl_s=60)
            for _ in range(2):
                await identity.rotate(keep_s=0)
                assert (await identity.exposure("rotation")).count == 1
            for _ in range(2):
                await identity.set_outage("down")
                assert (await identity.exposure("outage")).count == 1
                await identity.set_outage(None)


async def test_what_an_issuer_still_does_is_seen_though_its_lever_said_nothing() -> None:
    """Its own word on each mishap; one that is away cannot be asked, and proves nothing."""
    with anyio.fail_after(LIMIT_S):
        async with control.serve(log_dir=None) as issuer:
            await issuer.register(client_id="c", group="treated", scopes="tools", ttl_s=60)
            identity = Identity(issuer, ttl_s=60)
            well = await identity.look()
            assert well.stands == ()
            assert well.seen == ("the issuer answers, and says that it does nothing odd",)
            await issuer.set_ttl("treated", 4)
            await issuer.set_refreshing("treated", "hang", leeway_s=2)
            await issuer.rotate(keep_s=60)
            assert (await identity.look()).stands == (
                "the issuer lets refreshes go wrong",
                "the issuer forgives spent tokens",
                "the issuer mints tokens for 4 s instead of 60",
                "the issuer publishes keys that sign nothing",
            )
            await issuer.set_ttl("treated", 60)
            await issuer.set_refreshing("treated", None)
            await issuer.rotate(keep_s=None)
            assert await identity.look() == well
            await issuer.set_outage("slow", delay_s=0.3)
            assert (await identity.look()).stands == ("the issuer is away",)
            await issuer.set_outage("down")
            with pytest.raises(RigError, match=r"expected the issuer .* to answer"):
                await identity.look()
