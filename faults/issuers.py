"""Faults of the authorization server that a target trusts; squall's own can be told to fail."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar, Literal

from pydantic import Field

from faults.agent import agent_lever
from faults.fault import Fault, LeverName, Struck, Undo
from faults.levers import Behaviour, Exposure, FaultError, IdentityLever, Injection, Levers
from faults.quantities import Duration


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
    until the window's end at the longest.
    A resilient server: it reads the key set again when it meets a key that it does not know, and
    nobody notices.
    Shows: good tokens that are refused from the rotation on.
    """

    kind: ClassVar[str] = "jwks-rotate"
    lever: ClassVar[LeverName] = "identity"
    shows: ClassVar[tuple[str, ...]] = ("no-recovery", "wrong-status", "hang")
    keep_s: Duration = Field(5.0, alias="keep", description="how long the old key stays published")

    @asynccontextmanager
    async def inject(self, levers: Levers, name: str) -> AsyncIterator[Injection]:
        """Rotate once, and have every treated session renew; in the end the old key is gone."""
        del name
        issuer, agents = identity_lever(levers, self.kind), agent_lever(levers, self.kind)
        renewed = Behaviour(kind="reauthorize", share=1.0)

        async def exposure() -> Exposure:
            return await issuer.exposure("rotation")

        async with Undo() as undo:
            undo.later(issuer.withdraw)
            await issuer.rotate(keep_s=self.keep_s)
            await agents.engage(renewed)
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
