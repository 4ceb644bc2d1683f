"""Faults of the network between the agents and the target, pulled through Toxiproxy.

Each one hits every connection of the treated arm and none of the control arm.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field

from faults.agent import agent_lever
from faults.fault import Fault, LeverName, Undo
from faults.levers import (
    Behaviour,
    Exposure,
    FaultError,
    Injection,
    Levers,
    NetworkLever,
)
from faults.quantities import Bandwidth, Duration, Size

Direction = Literal["upstream", "downstream", "both"]


@dataclass(frozen=True, kw_only=True)
class Toxic:
    """One toxic, in Toxiproxy's own words and whole numbers."""

    type: str
    stream: Literal["upstream", "downstream"]
    attributes: Mapping[str, int]


def _network(levers: Levers, kind: str) -> NetworkLever:
    if levers.network is None:
        raise FaultError(f"{kind} needs a proxy in front of the target, and this run has none")
    return levers.network


@asynccontextmanager
async def closed(network: NetworkLever) -> AsyncIterator[Injection]:
    """Keep a proxy's port closed for as long as the block lasts."""
    async with Undo() as undo:
        undo.later(network.set_enabled, True)
        await network.set_enabled(False)

        async def exposure() -> Exposure:
            return await network.exposure(None)

        yield Injection(exposure=exposure)


class NetworkFault(Fault):
    """A fault made of toxics; injected by adding them and healed by removing them."""

    lever: ClassVar[LeverName] = "network"

    @abstractmethod
    def toxics(self) -> tuple[Toxic, ...]:
        """Give the toxics that make this fault, in the order in which they are added."""

    @asynccontextmanager
    async def inject(self, levers: Levers, name: str) -> AsyncIterator[Injection]:
        """Add every toxic, and take all of them off again in reverse."""
        async with toxified(_network(levers, self.kind), self.toxics(), name) as injection:
            yield injection


@asynccontextmanager
async def toxified(
    network: NetworkLever, toxics: Sequence[Toxic], name: str
) -> AsyncIterator[Injection]:
    """Have these toxics on a proxy for as long as the block lasts; `name` begins theirs.

    Raises:
        FaultError: when one cannot be added.
        NotUndoneError: when one may still be there.
    """
    names: list[str] = []

    async def exposure() -> Exposure:
        hits = [await network.exposure(toxic) for toxic in names]
        return max(hits, key=lambda hit: hit.count)

    async with Undo() as undo:
        for number, toxic in enumerate(toxics):
            toxic_name = f"{name}-{number}"
            undo.later(network.remove_toxic, toxic_name)
            await network.add_toxic(
                toxic_name, type=toxic.type, stream=toxic.stream, attributes=toxic.attributes
            )
            names.append(toxic_name)
        yield Injection(exposure=exposure)


def _streams(direction: Direction) -> tuple[Literal["upstream", "downstream"], ...]:
    return ("upstream", "downstream") if direction == "both" else (direction,)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


class TcpLatency(NetworkFault):
    """Every segment is delayed, each way.

    A resilient server: calls slow down by the delay each way and nothing else changes.
    Shows: calls that time out, and calls that are sent more than once.
    """

    kind: ClassVar[str] = "tcp-latency"
    shows: ClassVar[tuple[str, ...]] = ("hang", "retry-amplification", "no-recovery")
    delay_s: Duration = Field(0.25, alias="delay", description="added one way")
    jitter_s: Duration = Field(0.05, alias="jitter", description="added or taken, at random")
    direction: Direction = "both"

    def toxics(self) -> tuple[Toxic, ...]:
        """Use one latency toxic a direction."""
        attributes = {"latency": _ms(self.delay_s), "jitter": _ms(self.jitter_s)}
        return tuple(
            Toxic(type="latency", stream=stream, attributes=attributes)
            for stream in _streams(self.direction)
        )

    def added_round_trip_s(self) -> float:
        """Sum the delay over the directions, jitter at its worst."""
        return (self.delay_s + self.jitter_s) * len(_streams(self.direction))


class IdleCut(NetworkFault):
    """Connections on which nothing moves for `after` are cut, as gateways and load balancers do.

    Needs squall's own proxy, which counts the silence in both directions.
    A resilient server: while it works it says something, a progress notification or a comment, at
    least every half of that time; so the answer still has a way to come.
    Shows: streams that are cut in the middle of a long call, and results that nobody ever sees.
    """

    kind: ClassVar[str] = "idle-cut"
    shows: ClassVar[tuple[str, ...]] = ("stream-cut", "no-recovery")
    after_s: Duration = Field(20.0, alias="after", ge=0.5, description="of silence")

    def toxics(self) -> tuple[Toxic, ...]:
        """One for both directions."""
        attributes = {"after": _ms(self.after_s)}
        return (Toxic(type="idle", stream="downstream", attributes=attributes),)


class TcpReset(NetworkFault):
    """Connections are reset, live ones and new ones, shortly after the first byte moves.

    A resilient server: the caller has its error within one round trip, work that was done is done
    once, and the next call after the fault succeeds.
    Shows: hangs, doubled effects, a crash.
    """

    kind: ClassVar[str] = "tcp-reset"
    shows: ClassVar[tuple[str, ...]] = ("hang", "double-exec", "crash", "no-recovery")
    after_s: Duration = Field(0.2, alias="after", description="from first byte to reset")

    def toxics(self) -> tuple[Toxic, ...]:
        """Reset on the way back, so that requests still reach the server."""
        return (
            Toxic(
                type="reset_peer",
                stream="downstream",
                attributes={"timeout": _ms(self.after_s)},
            ),
        )

    def stops_service(self) -> bool:
        """Every treated connection is reset."""
        return True


class TcpBlackhole(NetworkFault):
    """Bytes vanish both ways and nothing says so; connections stay open.

    A resilient server: its own deadlines fire, and it frees what the lost peers held.
    Shows: hangs that outlive the fault, and descriptors or threads that climb.
    """

    kind: ClassVar[str] = "tcp-blackhole"
    shows: ClassVar[tuple[str, ...]] = ("hang", "leak-conn", "no-recovery")

    def toxics(self) -> tuple[Toxic, ...]:
        """Use the timeout toxic with 0: drop everything and never close."""
        return tuple(
            Toxic(type="timeout", stream=stream, attributes={"timeout": 0})
            for stream in _streams("both")
        )

    def stops_service(self) -> bool:
        """Nothing passes."""
        return True


class TcpDown(NetworkFault):
    """The target's address refuses connections, and every live connection is closed.

    A resilient server: sessions are back within seconds of the port's return.
    Shows: sessions that never recover, and a storm when they do.
    """

    kind: ClassVar[str] = "tcp-down"
    shows: ClassVar[tuple[str, ...]] = ("no-recovery", "hang")

    def toxics(self) -> tuple[Toxic, ...]:
        """No toxic: the proxy itself is switched off."""
        return ()

    @asynccontextmanager
    async def inject(self, levers: Levers, name: str) -> AsyncIterator[Injection]:
        """Switch the proxy off, and on again."""
        del name  # a closed port needs none
        async with closed(_network(levers, self.kind)) as injection:
            yield injection

    def stops_service(self) -> bool:
        """The port is closed."""
        return True


class TcpBandwidth(NetworkFault):
    """Each connection is throttled, each way.

    A resilient server: slower and complete.
    Shows: truncated results and cut streams.
    """

    kind: ClassVar[str] = "tcp-bandwidth"
    shows: ClassVar[tuple[str, ...]] = ("truncated", "stream-cut", "hang")
    rate_bytes_per_s: Bandwidth = Field(
        32_000, alias="rate", ge=1000, description="per connection and direction"
    )
    direction: Direction = "both"

    def toxics(self) -> tuple[Toxic, ...]:
        """Use one bandwidth toxic a direction; Toxiproxy counts in thousands of bytes."""
        attributes = {"rate": max(1, round(self.rate_bytes_per_s / 1000))}
        return tuple(
            Toxic(type="bandwidth", stream=stream, attributes=attributes)
            for stream in _streams(self.direction)
        )


class TcpSlice(NetworkFault):
    """Bytes arrive in small pieces, with gaps.

    A resilient server: the result is the same to the byte.
    Shows: parse errors and broken characters.
    """

    kind: ClassVar[str] = "tcp-slice"
    shows: ClassVar[tuple[str, ...]] = ("wrong-answer", "truncated")
    size_bytes: Size = Field(64, alias="size", ge=1, description="average piece")
    variation_bytes: Size = Field(32, alias="variation", description="how much a piece may differ")
    gap_s: Duration = Field(0.0005, alias="gap", description="after each piece")

    def toxics(self) -> tuple[Toxic, ...]:
        """Slice both ways; a variation of the whole average would never end in Toxiproxy."""
        attributes = {
            "average_size": self.size_bytes,
            "size_variation": min(self.variation_bytes, self.size_bytes - 1),
            "delay": round(self.gap_s * 1e6),
        }
        return tuple(
            Toxic(type="slicer", stream=stream, attributes=attributes)
            for stream in _streams("both")
        )


class TcpTruncate(NetworkFault):
    """Each connection is closed after a number of bytes of replies, wherever that falls.

    A resilient server: the caller sees an error, never half a result; work is done once.
    Shows: half a document taken for a whole one, and hangs.
    """

    kind: ClassVar[str] = "tcp-truncate"
    shows: ClassVar[tuple[str, ...]] = ("truncated", "hang", "double-exec")
    after_bytes: Size = Field(16_384, alias="after", description="of replies, per connection")

    def toxics(self) -> tuple[Toxic, ...]:
        """Count the bytes on the way back."""
        return (
            Toxic(
                type="limit_data",
                stream="downstream",
                attributes={"bytes": self.after_bytes},
            ),
        )


class ReconnectStorm(Fault):
    """All connections are cut and refused, and all agents come back at once, in new sessions.

    With `jitter` they come back spread over that time, as agents that back off would. Those come
    back that had anything to ask meanwhile; the sessions that they had are left behind.
    A resilient server: a handshake costs it little; what is too much at once it refuses at once,
    with 503 and `Retry-After`; everybody is back within seconds, and nothing goes on spinning.
    Shows: sessions that do not come back, a crash, a processor that goes on spinning, hangs.
    """

    kind: ClassVar[str] = "reconnect-storm"
    lever: ClassVar[LeverName] = "network"
    shows: ClassVar[tuple[str, ...]] = ("no-recovery", "cpu-spin", "crash", "hang")
    jitter_s: Duration = Field(
        0.0, alias="jitter", description="over which they come back; 0s: all at once"
    )

    @asynccontextmanager
    async def inject(self, levers: Levers, name: str) -> AsyncIterator[Injection]:
        """Switch the proxy off; on again, and only then let the agents come back."""
        del name  # a closed port needs none, and a behaviour is told by its kind
        network, agents = _network(levers, self.kind), agent_lever(levers, self.kind)
        behaviour = Behaviour(kind="rejoin", share=1.0, every_s=self.jitter_s)

        async def exposure() -> Exposure:
            return await network.exposure(None)

        async with Undo() as undo:
            undo.later(agents.disengage, behaviour)
            await agents.engage(behaviour)
            undo.later(network.set_enabled, True)
            await network.set_enabled(False)
            yield Injection(exposure=exposure)

    def stops_service(self) -> bool:
        """Nobody answers."""
        return True

    def ends_sessions(self) -> bool:
        """Whoever comes back does so in a new one."""
        return True
