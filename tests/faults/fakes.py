"""Levers that move nothing but their own state, and fail where a test tells them to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import anyio
from anyio.lowlevel import checkpoint

from faults.levers import (
    Behaviour,
    BehaviourKind,
    Conditions,
    Exposure,
    FaultError,
    Levers,
    Mishap,
    Programme,
    RefreshManner,
)

Failing = Literal["refuses", "loses its answer", "hangs"]
TOXIC_TYPES = (
    "latency", "bandwidth", "slow_close", "timeout", "reset_peer", "slicer", "limit_data", "idle",
)  # fmt: skip


@dataclass
class Hand:
    """What pulls all levers of a run: counts the pulls, and makes the chosen ones fail."""

    failing: dict[int, Failing] = field(default_factory=dict)  # number of the pull -> how
    pulls: list[str] = field(default_factory=list)
    stuck: anyio.Event = field(default_factory=anyio.Event)  # set when a pull hangs

    async def before(self, what: str) -> Failing | None:
        """Count a pull; raise or hang where one is to fail before it has any effect."""
        number = len(self.pulls)
        self.pulls.append(what)
        await checkpoint()
        failing = self.failing.get(number)
        if failing == "refuses":
            raise FaultError(f"the lever refused to {what}")
        if failing == "hangs":
            self.stuck.set()
            await anyio.sleep_forever()
        return failing

    def after(self, what: str, failing: Failing | None) -> None:
        """Raise where the effect is there and only its confirmation is lost."""
        if failing == "loses its answer":
            raise FaultError(f"no answer to: {what}")


class FakeNetwork:
    """A proxy without a network; the contract of `NetworkLever` and nothing beyond it."""

    def __init__(self, hand: Hand | None = None) -> None:
        self.hand = hand or Hand()
        self.toxics: dict[str, tuple[str, str, dict[str, int]]] = {}
        self.named: list[str] = []  # every toxic there ever was
        self.enabled = True

    async def add_toxic(
        self,
        name: str,
        *,
        type: str,  # noqa: A002  the proxy's own word
        stream: Literal["upstream", "downstream"],
        attributes: Mapping[str, int],
    ) -> None:
        """Note it; refuse a name that is taken and a type that nobody knows."""
        failing = await self.hand.before(f"add {name}")
        if name in self.toxics:
            raise FaultError(f"there is a toxic {name} already")
        if type not in TOXIC_TYPES:
            raise FaultError(f"there are no toxics of type {type}")
        self.toxics[name] = (type, stream, dict(attributes))
        self.named.append(name)
        self.hand.after(f"add {name}", failing)

    async def remove_toxic(self, name: str) -> None:
        """Forget it, where there is one."""
        failing = await self.hand.before(f"remove {name}")
        self.toxics.pop(name, None)
        self.hand.after(f"remove {name}", failing)

    async def set_enabled(self, enabled: bool) -> None:
        """Note it."""
        failing = await self.hand.before(f"enable {enabled}")
        self.enabled = enabled
        self.hand.after(f"enable {enabled}", failing)

    async def exposure(self, toxic: str | None) -> Exposure:
        """Claim one connection, for a toxic that is there."""
        await checkpoint()
        if toxic is not None and toxic not in self.toxics:
            raise FaultError(f"there is no toxic {toxic}")
        return Exposure(count=1, unit="connections", source="injector", connections=1)


class FakeIdentity:
    """An issuer without tokens."""

    def __init__(self, hand: Hand) -> None:
        self.hand = hand
        self.ttl_s: float | None = None
        self.revocations = 0
        self.rotations = 0
        self.old_keys = False
        self.outage: str | None = None
        self.refreshing: str | None = None

    async def set_ttl(self, ttl_s: float | None) -> None:
        """Note it."""
        failing = await self.hand.before(f"set ttl {ttl_s}")
        self.ttl_s = ttl_s
        self.hand.after("set ttl", failing)

    async def revoke(self) -> Exposure:
        """Claim seven tokens."""
        failing = await self.hand.before("revoke")
        self.revocations += 1
        self.hand.after("revoke", failing)
        return Exposure(count=7, unit="tokens", source="issuer")

    async def rotate(self, *, keep_s: float, fresh_s: float = 0.0) -> None:
        """Note it."""
        failing = await self.hand.before(f"rotate {keep_s} {fresh_s}".removesuffix(" 0.0"))
        self.rotations += 1
        self.old_keys = True
        self.hand.after("rotate", failing)

    async def withdraw(self) -> None:
        """Note it."""
        failing = await self.hand.before("withdraw")
        self.old_keys = False
        self.hand.after("withdraw", failing)

    async def set_outage(
        self, how: Literal["down", "slow"] | None, *, delay_s: float = 0.0
    ) -> None:
        """Note it."""
        failing = await self.hand.before(f"outage {how} {delay_s}")
        self.outage = how
        self.hand.after("outage", failing)

    async def set_refreshing(self, how: RefreshManner | None, *, leeway_s: float = 0.0) -> None:
        """Note it."""
        failing = await self.hand.before(f"refreshing {how} {leeway_s}")
        self.refreshing = how
        self.hand.after("refreshing", failing)

    async def exposure(self, mishap: Mishap) -> Exposure:
        """Claim two requests of each kind."""
        del mishap
        await checkpoint()
        return Exposure(count=2, unit="calls", source="issuer")


class FakeAgents:
    """Sessions that only remember what they were told."""

    def __init__(self, hand: Hand) -> None:
        self.hand = hand
        self.engaged: dict[BehaviourKind, Behaviour] = {}
        self.renewals: list[float | None] = []  # the issuer's ttl at each reauthorization
        self.identity: FakeIdentity | None = None

    async def engage(self, behaviour: Behaviour) -> None:
        """Take it up; a reauthorization happens once and does not last."""
        failing = await self.hand.before(f"engage {behaviour.kind}")
        if behaviour.kind == "reauthorize":
            self.renewals.append(self.identity.ttl_s if self.identity else None)
        else:
            self.engaged[behaviour.kind] = behaviour
        self.hand.after(f"engage {behaviour.kind}", failing)

    async def disengage(self, behaviour: Behaviour) -> None:
        """Drop it, where it is in force."""
        failing = await self.hand.before(f"disengage {behaviour.kind}")
        self.engaged.pop(behaviour.kind, None)
        self.hand.after(f"disengage {behaviour.kind}", failing)

    async def exposure(self, behaviour: Behaviour) -> Exposure:
        """Claim three calls, while it is in force."""
        await checkpoint()
        return Exposure(
            count=3 if behaviour.kind in self.engaged else 0, unit="calls", source="journal"
        )


class FakeProcesses:
    """Server processes that only remember what was done to them."""

    def __init__(self, hand: Hand) -> None:
        self.hand = hand
        self.killing = False
        self.stopped = False
        self.told: float | None = None  # its grace, until it is restored

    async def kill(self) -> None:
        """Note it."""
        failing = await self.hand.before("kill")
        self.killing = True
        self.hand.after("kill", failing)

    async def spare(self) -> None:
        """Note it."""
        failing = await self.hand.before("spare")
        self.killing = False
        self.hand.after("spare", failing)

    async def stop(self) -> None:
        """Note it."""
        failing = await self.hand.before("stop")
        self.stopped = True
        self.hand.after("stop", failing)

    async def resume(self) -> None:
        """Note it."""
        failing = await self.hand.before("resume")
        self.stopped = False
        self.hand.after("resume", failing)

    async def tell(self, *, grace_s: float, conditions: Conditions | None = None) -> None:
        """Note it."""
        del conditions
        failing = await self.hand.before(f"tell {grace_s}")
        self.told = grace_s
        self.hand.after("tell", failing)

    async def restore(self) -> None:
        """Note it."""
        failing = await self.hand.before("restore")
        self.told = None
        self.hand.after("restore", failing)

    async def exposure(self) -> Exposure:
        """Claim five processes, while something is done to them."""
        await checkpoint()
        count = 5 if self.killing or self.stopped or self.told is not None else 0
        return Exposure(count=count, unit="processes", source="journal")


class FakeDependency:
    """A dependency that only remembers what it was told, behind a proxy without a network."""

    def __init__(self, hand: Hand) -> None:
        self.hand = hand
        self.proxy = FakeNetwork(hand)
        self.programmes: dict[str, Programme] = {}
        self.labels: list[str] = []  # every programme there ever was

    def network(self, name: str) -> FakeNetwork:
        """Give the only one's proxy."""
        if name:
            raise FaultError(f"there is no dependency {name}")
        return self.proxy

    async def engage(self, name: str, label: str, programme: Programme) -> None:
        """Note it."""
        failing = await self.hand.before(f"engage {label}")
        assert not name
        self.programmes[label] = programme
        self.labels.append(label)
        self.hand.after(f"engage {label}", failing)

    async def disengage(self, name: str, label: str) -> None:
        """Forget it, where it is there."""
        failing = await self.hand.before(f"disengage {label}")
        assert not name
        self.programmes.pop(label, None)
        self.hand.after(f"disengage {label}", failing)

    async def exposure(self, name: str, label: str) -> Exposure:
        """Claim nine requests, while it is in force."""
        await checkpoint()
        assert not name
        count = 9 if label in self.programmes else 0
        return Exposure(count=count, unit="requests", source="injector")


class World:
    """Every lever there is, at rest, pulled by one hand."""

    def __init__(self, failing: dict[int, Failing] | None = None) -> None:
        self.hand = Hand(failing=failing or {})
        self.network = FakeNetwork(self.hand)
        self.identity = FakeIdentity(self.hand)
        self.agent = FakeAgents(self.hand)
        self.agent.identity = self.identity
        self.process = FakeProcesses(self.hand)
        self.dependency = FakeDependency(self.hand)

    @property
    def levers(self) -> Levers:
        """What a fault gets to see."""
        return Levers(
            network=self.network,
            identity=self.identity,
            agent=self.agent,
            process=self.process,
            dependency=self.dependency,
        )

    @property
    def named(self) -> set[str]:
        """What is in force under a name."""
        dependency = self.dependency
        return {*self.network.toxics, *dependency.proxy.toxics, *dependency.programmes}

    @property
    def at_rest(self) -> bool:
        """Whether nothing is out of the ordinary."""
        return (
            not self.named
            and self.dependency.proxy.enabled
            and self.network.enabled
            and self.identity.ttl_s is None
            and self.identity.outage is None
            and self.identity.refreshing is None
            and not self.identity.old_keys
            and not self.agent.engaged
            and not self.process.stopped
            and not self.process.killing
            and self.process.told is None
        )
