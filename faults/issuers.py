"""Faults of the authorization server that a target trusts; squall's own can be told to fail."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import ceil
from typing import ClassVar, Final, Literal

from pydantic import Field

from faults.agent import agent_lever
from faults.dependency import dependency_lever
from faults.fault import Fault, LeverName, Struck, Undo
from faults.levers import (
    Behaviour,
    Exposure,
    FaultError,
    IdentityLever,
    Injection,
    Levers,
    Programme,
    RefreshManner,
)
from faults.quantities import Duration, Share

ON_ITS_WAY_S: Final = 0.5  # that an answer with the old key in it may take to arrive


def identity_lever(levers: Levers, kind: str) -> IdentityLever:
    """Give the lever, or say why the fault cannot be applied.

    Raises:
        FaultError: when the issuer is not squall's own.
    """
    if levers.identity is None:
        raise FaultError(f"{kind} needs squall's own issuer, and this run has none")
    return levers.identity


class JwksRotate(Fault):
    """The issuer signs the treated sessions' tokens with a new key, and withdraws the old one.

    Every treated session takes a new token at once. The old key stays published for `keep`, and
    until the window's end at the longest. That a key is withdrawn revokes nothing, and usual
    libraries keep a key set for hours; so whether a token under the old key is still accepted is
    asked only where `within` says for how long it may be. The issuer says the same of its key set
    (max-age), and from then on a `share` of calls is first made with a token that is newly signed
    with the old key, as whoever has stolen that can.
    A resilient server: it reads the key set again when it meets a key that it does not know, or
    when its time has run out, and nobody notices.
    Shows: good tokens that are refused from the rotation on, a withdrawn key that opens for ever.
    """

    kind: ClassVar[str] = "jwks-rotate"
    lever: ClassVar[LeverName] = "identity"
    shows: ClassVar[tuple[str, ...]] = ("no-recovery", "wrong-status", "hang", "authn-bypass")
    keep_s: Duration = Field(5.0, alias="keep", description="how long the old key stays published")
    within_s: Duration = Field(
        0.0,
        alias="within",
        description="how long a target may trust it after that, in whole seconds; 0: not asked",
    )
    share: Share = Field(0.2, description="of the treated sessions' calls, shown a stolen key's")

    @property
    def asks_after_s(self) -> float:
        """When a token under the old key is no good any longer; 0 when that is not asked."""
        return self.keep_s + ceil(self.within_s) + ON_ITS_WAY_S if self.within_s else 0.0

    @asynccontextmanager
    async def inject(self, levers: Levers, name: str) -> AsyncIterator[Injection]:
        """Rotate once, and have every treated session renew; in the end the old key is gone."""
        del name
        issuer, agents = identity_lever(levers, self.kind), agent_lever(levers, self.kind)
        renewed = Behaviour(kind="reauthorize", share=1.0)
        stolen = Behaviour(kind="withdrawn_token", share=self.share, after_s=self.asks_after_s)

        async def exposure() -> Exposure:
            return await issuer.exposure("rotation")

        async with Undo() as undo:
            undo.later(issuer.withdraw)
            await issuer.rotate(keep_s=self.keep_s, fresh_s=self.within_s)
            await agents.engage(renewed)
            if self.asks_after_s:
                undo.later(agents.disengage, stolen)
                await agents.engage(stolen)
            yield Injection(exposure=exposure)


class AsOutage(Fault):
    """The issuer is down, or so slow that it might as well be: metadata, keys, tokens, all of it.

    A resilient server: it serves on with the keys that it has, for the tokens are still good.
    Shows: calls that wait for the issuer, good tokens that are refused, a key set that is read for
    every call.
    """

    kind: ClassVar[str] = "as-outage"
    lever: ClassVar[LeverName] = "identity"
    shows: ClassVar[tuple[str, ...]] = (
        "hang",
        "retry-amplification",
        "wrong-status",
        "no-recovery",
    )
    how: Literal["down", "slow"] = Field("down", description="503 at once, or an answer much later")
    delay_s: Duration = Field(
        5.0, alias="delay", ge=0.5, description="of every answer, when it is slow"
    )

    def strikes(self) -> Struck:
        """The target asks the issuer for both arms."""
        return "both"

    @asynccontextmanager
    async def inject(self, levers: Levers, name: str) -> AsyncIterator[Injection]:
        """Take the issuer away, and give it back."""
        del name
        issuer = identity_lever(levers, self.kind)

        async def exposure() -> Exposure:
            return await issuer.exposure("outage")

        async with Undo() as undo:
            undo.later(issuer.set_outage, None)
            await issuer.set_outage(self.how, delay_s=self.delay_s)
            yield Injection(exposure=exposure)


class RefreshFail(Fault):
    """Refreshes of a token go wrong, each in its own way, while a first grant still goes well.

    Of the treated sessions, who all refresh at once when it begins and again when it is over; or,
    with `of: dependency`, of the target itself, which can buy no token there until it is over.
    A resilient server: it is served by what it has, says what is wrong when that runs out, and
    tries again with the next call.
    Shows: sessions that never come back, a target that has given up on its dependency for good.
    """

    kind: ClassVar[str] = "refresh-fail"
    lever: ClassVar[LeverName] = "identity"
    shows: ClassVar[tuple[str, ...]] = ("no-recovery", "hang", "crash")
    of: Literal["agents", "dependency"] = Field("agents", description="whose token it is")
    how: RefreshManner = Field(
        "error",
        description="error is a 500; form answers in a form, undated leaves out expires_in, "
        "narrowed grants less scope",
    )
    dependency: str = Field("", description="its name in the scenario; left out: the only one")

    def strikes(self) -> Struck:
        """The target's own token serves both arms."""
        return "both" if self.of == "dependency" else "treated"

    def stops_service(self) -> bool:
        """Without a token, or with too small a one, no call can be done."""
        return self.of == "dependency" or self.how in {"hang", "narrowed"}

    @asynccontextmanager
    async def inject(self, levers: Levers, name: str) -> AsyncIterator[Injection]:
        """Let them go wrong, and well again."""
        renewed = Behaviour(kind="reauthorize", share=1.0)
        async with Undo() as undo:
            if self.of == "dependency":
                lever = dependency_lever(levers, self.kind)
                refused = Programme(
                    kind="refuse",
                    operations="tokens",
                    status=400 if self.how == "invalid_grant" else 500,
                )
                undo.later(lever.disengage, self.dependency, name)
                await lever.engage(self.dependency, name, refused)

                async def exposure() -> Exposure:
                    return await lever.exposure(self.dependency, name)
            else:
                issuer, agents = identity_lever(levers, self.kind), agent_lever(levers, self.kind)
                undo.later(agents.engage, renewed)
                undo.later(issuer.set_refreshing, None)
                await issuer.set_refreshing(self.how)
                await agents.engage(renewed)

                async def exposure() -> Exposure:
                    return await issuer.exposure("refresh")

            yield Injection(exposure=exposure)


class RefreshRace(Fault):
    """A share of calls is preceded by a race: several refreshes at once with one refresh token.

    The token serves once. Whoever shows it again within `leeway` is forgiven; later, the issuer
    takes it for stolen and revokes all that came of it.
    A resilient server: it refuses what is revoked with a 401 challenge, and the sessions go on
    under new tokens.
    Shows: sessions that never come back. How often agents refresh is their own policy.
    """

    kind: ClassVar[str] = "refresh-race"
    lever: ClassVar[LeverName] = "identity"
    shows: ClassVar[tuple[str, ...]] = ("no-recovery", "wrong-status")
    at_once: int = Field(5, ge=2, le=32, strict=True, description="refreshes with the same token")
    leeway_s: Duration = Field(0.0, alias="leeway", description="that the issuer grants")
    share: Share = Field(0.1, description="of the treated sessions' calls")

    @asynccontextmanager
    async def inject(self, levers: Levers, name: str) -> AsyncIterator[Injection]:
        """Let them race, under the issuer's leeway."""
        del name
        issuer, agents = identity_lever(levers, self.kind), agent_lever(levers, self.kind)
        race = Behaviour(kind="race_refresh", share=self.share, count=self.at_once)
        async with Undo() as undo:
            undo.later(issuer.set_refreshing, None)
            await issuer.set_refreshing(None, leeway_s=self.leeway_s)
            undo.later(agents.disengage, race)
            await agents.engage(race)

            async def exposure() -> Exposure:
                return await agents.exposure(race)

            yield Injection(exposure=exposure)
