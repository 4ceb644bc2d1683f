from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from faults.fault import Fault
from faults.levers import FaultError, Levers, NetworkLever
from faults.network import (
    NetworkFault,
    ReconnectStorm,
    TcpBandwidth,
    TcpBlackhole,
    TcpDown,
    TcpLatency,
    TcpReset,
    TcpSlice,
    TcpTruncate,
    Toxic,
)
from harness.rig.network import Network
from harness.rig.toxiproxy.serving import serve
from tests.faults.fakes import FakeNetwork, World

TOXIC_FAULTS: tuple[NetworkFault, ...] = (
    TcpLatency(), TcpReset(), TcpBlackhole(), TcpBandwidth(), TcpSlice(), TcpTruncate(),
)  # fmt: skip
WAIT_S = 20.0


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A network lever, and a look behind it."""

    lever: NetworkLever
    toxics: Callable[[], Awaitable[set[str]]]
    enabled: Callable[[], Awaitable[bool]]


@asynccontextmanager
async def _fake() -> AsyncIterator[Bench]:
    network = FakeNetwork()

    async def toxics() -> set[str]:
        return set(network.toxics)

    async def enabled() -> bool:
        return network.enabled

    yield Bench(lever=network, toxics=toxics, enabled=enabled)


@asynccontextmanager
async def _real(folder: Path) -> AsyncIterator[Bench]:
    async with serve(prefer_binary=False, log_dir=folder) as server:
        proxy = await server.create_proxy("squall-contract", upstream="127.0.0.1:9")

        async def toxics() -> set[str]:
            return set(await proxy.toxics())

        async def enabled() -> bool:
            return (await server.proxies())[proxy.name].enabled

        yield Bench(lever=Network(proxy), toxics=toxics, enabled=enabled)


@pytest.fixture(params=["fake", "real"])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    """The fake lever of the other tests, and the one that runs pull, over our own Toxiproxy."""
    with anyio.fail_after(WAIT_S):
        async with _fake() if request.param == "fake" else _real(tmp_path) as made:
            yield made


async def _add(lever: NetworkLever, name: str) -> None:
    await lever.add_toxic(name, type="latency", stream="upstream", attributes={"latency": 1})


@pytest.mark.anyio
async def test_a_network_lever_keeps_its_contract(bench: Bench) -> None:
    """What the fake does in every other test is what the real lever does."""
    lever = bench.lever
    await _add(lever, "squall-a")
    await _add(lever, "squall-b")
    assert await bench.toxics() == {"squall-a", "squall-b"}
    assert (await lever.exposure("squall-a")).unit == "connections"

    with pytest.raises(FaultError):
        await _add(lever, "squall-a")
    with pytest.raises(FaultError):
        await lever.add_toxic("squall-c", type="gremlin", stream="upstream", attributes={})
    with pytest.raises(FaultError):
        await lever.exposure("squall-nobody")
    assert await bench.toxics() == {"squall-a", "squall-b"}

    await lever.remove_toxic("squall-a")
    await lever.remove_toxic("squall-a")
    assert await bench.toxics() == {"squall-b"}

    for enabled in (False, False, True, True):
        await lever.set_enabled(enabled)
        assert await bench.enabled() is enabled
    assert (await lever.exposure(None)).unit == "connections"
    assert await bench.toxics() == {"squall-b"}
    await lever.remove_toxic("squall-b")


@pytest.mark.anyio
async def test_every_fault_of_toxics_is_one_that_the_proxy_takes(bench: Bench) -> None:
    """Types and attributes are the proxy's own; in force inside the block and gone after it."""
    levers = Levers(network=bench.lever)
    for number, fault in enumerate(TOXIC_FAULTS):
        name = f"squall-r4nd-{number}"
        async with fault.inject(levers, name) as injection:
            wanted = {f"{name}-{at}" for at in range(len(fault.toxics()))}
            assert await bench.toxics() == wanted
            assert (await injection.exposure()).unit == "connections"
        assert await bench.toxics() == set()


@pytest.mark.anyio
async def test_a_closed_port_is_open_again_whatever_happened(bench: Bench) -> None:
    """Down inside the block, up after it, and up when it was up already."""
    async with TcpDown().inject(Levers(network=bench.lever), "squall-r4nd-1"):
        assert not await bench.enabled()
    assert await bench.enabled()
    async with TcpDown().inject(Levers(network=bench.lever), "squall-r4nd-2"):
        await bench.lever.set_enabled(True)
    assert await bench.enabled()


@pytest.mark.anyio
async def test_agents_come_back_only_once_the_way_is_free() -> None:
    """The port is open again before anybody is told; with no sessions there is no storm."""
    world = World()
    storm = ReconnectStorm.model_validate({"jitter": "2s"})
    async with storm.inject(world.levers, "squall-r4nd-1") as injection:
        assert not world.network.enabled
        assert world.agent.engaged["rejoin"].every_s == 2.0
        assert (await injection.exposure()).unit == "connections"
    assert world.at_rest
    assert world.hand.pulls[-1] == "disengage rejoin"
    with pytest.raises(FaultError, match="sessions that squall drives"):
        async with storm.inject(Levers(network=world.network), "squall-r4nd-2"):
            pass


# --- what each fault asks of the proxy ------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "toxics"),
    [
        (
            {"delay": "250ms", "jitter": "50ms", "direction": "upstream"},
            (Toxic(type="latency", stream="upstream", attributes={"latency": 250, "jitter": 50}),),
        ),
        (
            {"delay": "1s", "jitter": "0s"},
            tuple(
                Toxic(type="latency", stream=stream, attributes={"latency": 1000, "jitter": 0})
                for stream in ("upstream", "downstream")
            ),
        ),
    ],
)
def test_a_delay_reaches_the_proxy_in_milliseconds(
    written: dict[str, str], toxics: tuple[Toxic, ...]
) -> None:
    """One toxic a direction, in whole milliseconds."""
    assert TcpLatency.model_validate(written).toxics() == toxics


def test_an_added_round_trip_counts_every_direction_and_the_jitter() -> None:
    """What the score must allow a server for the delay alone."""
    both = TcpLatency.model_validate({"delay": "250ms", "jitter": "50ms"})
    one = TcpLatency.model_validate({"delay": "250ms", "jitter": "50ms", "direction": "downstream"})
    assert both.added_round_trip_s() == pytest.approx(0.6)
    assert one.added_round_trip_s() == pytest.approx(0.3)


def test_a_reset_lets_the_request_through() -> None:
    """It strikes on the way back, so work that was asked for may have been done."""
    (toxic,) = TcpReset.model_validate({"after": "200ms"}).toxics()
    expected = Toxic(type="reset_peer", stream="downstream", attributes={"timeout": 200})
    assert toxic == expected


def test_a_blackhole_never_closes() -> None:
    """Toxiproxy's timeout of 0 drops everything and lets nobody know."""
    assert {toxic.stream for toxic in TcpBlackhole().toxics()} == {"upstream", "downstream"}
    assert all(toxic.attributes == {"timeout": 0} for toxic in TcpBlackhole().toxics())


@pytest.mark.parametrize(("rate", "kilobytes"), [("32KB/s", 32), ("1500B/s", 2), ("1000B/s", 1)])
def test_a_bandwidth_reaches_the_proxy_in_thousands_of_bytes(rate: str, kilobytes: int) -> None:
    """Never 0, which would stop all traffic."""
    fault = TcpBandwidth.model_validate({"rate": rate, "direction": "downstream"})
    (toxic,) = fault.toxics()
    assert toxic.attributes == {"rate": kilobytes}


@pytest.mark.parametrize(("size", "variation", "sent"), [("64B", "32B", 32), ("1B", "9KiB", 0)])
def test_a_slice_varies_by_less_than_its_average(size: str, variation: str, sent: int) -> None:
    """A variation of the whole average would let Toxiproxy cut pieces of nothing for ever."""
    fault = TcpSlice.model_validate({"size": size, "variation": variation, "gap": "500us"})
    for toxic in fault.toxics():
        assert toxic.attributes["size_variation"] == sent
        assert toxic.attributes["size_variation"] < toxic.attributes["average_size"]
        assert toxic.attributes["delay"] == 500


def test_a_truncation_counts_replies() -> None:
    """Requests reach the server whole."""
    (toxic,) = TcpTruncate.model_validate({"after": "16KiB"}).toxics()
    assert (toxic.stream, toxic.attributes) == ("downstream", {"bytes": 16_384})


@pytest.mark.parametrize(
    ("fault", "stops"),
    [(TcpReset(), True), (TcpBlackhole(), True), (TcpDown(), True), (TcpLatency(), False),
     (TcpBandwidth(), False), (TcpSlice(), False), (TcpTruncate(), False)],
)  # fmt: skip
def test_a_fault_says_whether_any_server_could_answer_through_it(fault: Fault, stops: bool) -> None:
    """Calls that nobody could have answered are not the server's loss."""
    assert fault.stops_service() is stops
