"""Faults of identity: tokens that expire, are revoked, or never come."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar, Literal

from pydantic import Field

from faults.agent import AgentFault, agent_lever
from faults.fault import Fault, LeverName, Undo
from faults.levers import Behaviour, Exposure, FaultError, Injection, Levers
from faults.quantities import Duration, Share


class TokenExpire(Fault):
    """The treated sessions' access tokens live only for `ttl`, so all expire mid-session.

    At the start of the window every treated session takes a new, short-lived token. Most renew it
    as the scenario's refresh policy says; the `overdue` share goes on using its token until the
    server refuses it, as agents do that refresh on 401.
    A resilient server: 401 with a challenge from the moment of expiry, and the session goes on
    under the renewed token.
    Shows: calls that succeed under an expired token, refusals that are not a 401 challenge,
    sessions that die with their token.
    """

    kind: ClassVar[str] = "token-expire"
    lever: ClassVar[LeverName] = "identity"
    shows: ClassVar[tuple[str, ...]] = (
        "authn-bypass",
        "wrong-status",
        "auth-masked",
        "no-recovery",
    )
    ttl_s: Duration = Field(15.0, alias="ttl", ge=1, description="lifetime of the tokens")
    overdue: Share = Field(0.2, description="of the treated sessions use tokens past their expiry")
    leeway_s: Duration = Field(1.0, alias="leeway", description="clock skew granted to the server")
    by: Literal["ttl", "waiting", "damage"] = Field(
        "ttl",
        description="ttl needs squall's issuer; waiting uses a foreign issuer's own lifetimes; "
        "damage spoils the token's signature",
    )

    @asynccontextmanager
    async def inject(self, levers: Levers, name: str) -> AsyncIterator[Injection]:
        """Shorten the lifetime, renew every treated session's token, and restore the lifetime."""
        del name
        agents = agent_lever(levers, self.kind)
        overdue = Behaviour(
            kind="damaged_token" if self.by == "damage" else "overdue_token",
            share=self.overdue,
            after_s=self.leeway_s,
        )
        renewed = Behaviour(kind="reauthorize", share=1.0)
        async with Undo() as undo:
            if self.by == "ttl":
                if levers.identity is None:
                    raise FaultError(
                        "token-expire by ttl needs squall's own issuer; "
                        "say by: waiting or by: damage for a foreign one"
                    )
                undo.later(agents.engage, renewed)
                undo.later(levers.identity.set_ttl, None)
                await levers.identity.set_ttl(self.ttl_s)
                await agents.engage(renewed)
            undo.later(agents.disengage, overdue)
            await agents.engage(overdue)

            async def exposure() -> Exposure:
                return await agents.exposure(overdue)

            yield Injection(exposure=exposure)


class TokenRevoke(Fault):
    """Every token that the treated sessions hold is revoked at once, at the issuer.

    A resilient server: it refuses them with a 401 challenge within `within`, and the sessions go
    on under new tokens.
    Shows: revoked tokens that still work, sessions that never come back.
    """

    kind: ClassVar[str] = "token-revoke"
    lever: ClassVar[LeverName] = "identity"
    shows: ClassVar[tuple[str, ...]] = ("authn-bypass", "wrong-status", "no-recovery")
    within_s: Duration = Field(
        5.0, alias="within", description="how long a server may go on trusting what it has cached"
    )

    @asynccontextmanager
    async def inject(self, levers: Levers, name: str) -> AsyncIterator[Injection]:
        """Revoke once; the sessions' own policy brings new tokens."""
        del name
        if levers.identity is None:
            raise FaultError("token-revoke needs squall's own issuer, and this run has none")
        agents = agent_lever(levers, self.kind)
        revoked = Behaviour(kind="revoked_token", share=1.0, after_s=self.within_s)
        async with Undo() as undo:
            undo.later(agents.disengage, revoked)
            await agents.engage(revoked)
            count = await levers.identity.revoke()

            async def exposure() -> Exposure:
                return count

            yield Injection(exposure=exposure)


class NoToken(AgentFault):
    """A share of calls is first sent without a token, then as it should be.

    A resilient server: 401 with a challenge, and the tool does not run.
    Shows: tools that run for anyone.
    """

    kind: ClassVar[str] = "no-token"
    lever: ClassVar[LeverName] = "identity"
    shows: ClassVar[tuple[str, ...]] = ("authn-bypass", "wrong-status")
    share: Share = Field(0.1, description="of the treated sessions' calls")

    def behaviour(self) -> Behaviour:
        """Withhold the token."""
        return Behaviour(kind="no_token", share=self.share)
