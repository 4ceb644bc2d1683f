"""Faults of identity in the agents' hands: tokens that are good, and not for this call."""

from __future__ import annotations

from typing import ClassVar, Final, Literal

from pydantic import Field

from faults.agent import AgentFault
from faults.fault import LeverName
from faults.levers import Behaviour
from faults.quantities import Duration, Share

OTHER_USER: Final = "squall-other"  # beside the two that the arms' sessions are


class ScopeDeny(AgentFault):
    """A share of writing calls is first sent with a token that may only read, then as it should be.

    A resilient server: 403 with `insufficient_scope` and the scope that is missing, or an error
    that the model can read; nothing is executed.
    Shows: writes that take effect all the same, calls that answer well and do nothing.
    """

    kind: ClassVar[str] = "scope-deny"
    lever: ClassVar[LeverName] = "identity"
    shows: ClassVar[tuple[str, ...]] = ("scope-bypass", "auth-masked")
    scope: str = Field("mcp:read", min_length=1, description="all that the token may do")
    tool: str = Field(
        "", description="the tool that needs more; the steps that declare an effect by default"
    )
    share: Share = Field(0.2, description="of the treated sessions' calls of it")

    def behaviour(self) -> Behaviour:
        """Show a token of less scope."""
        return Behaviour(kind="narrow_token", share=self.share, variant=self.scope, tool=self.tool)


class AudWrong(AgentFault):
    """A share of calls is first sent with a token that its issuer made for another resource.

    A resilient server: 401 with a challenge, and the tool does not run.
    Shows: a server that takes any token of its issuer, so that every other service can pass on
    what it was given.
    """

    kind: ClassVar[str] = "aud-wrong"
    lever: ClassVar[LeverName] = "identity"
    shows: ClassVar[tuple[str, ...]] = ("audience-bypass", "wrong-status")
    resource: str = Field(
        "https://other.invalid/mcp", pattern=r"^https?://[^\s#]+$", description="whose token it is"
    )
    share: Share = Field(0.1, description="of the treated sessions' calls")

    def behaviour(self) -> Behaviour:
        """Show a token of another resource."""
        return Behaviour(kind="misdirected_token", share=self.share, variant=self.resource)


class SharedCredential(AgentFault):
    """Agents share a credential: with a token in use, a share of calls opens further sessions.

    They all open at once under the same token; the first of them makes the call, too, and they are
    closed again before the session that was there goes on.
    A resilient server: all of them work, and go on working.
    Shows: sessions that a later login ends, tokens that are good for one session only.
    """

    kind: ClassVar[str] = "shared-credential"
    lever: ClassVar[LeverName] = "identity"
    shows: ClassVar[tuple[str, ...]] = ("no-recovery", "crosstalk", "crash")
    sessions: int = Field(3, ge=1, le=32, strict=True, description="opened at once with each token")
    share: Share = Field(0.1, description="of the treated sessions' calls")

    def behaviour(self) -> Behaviour:
        """Open more sessions under one token."""
        return Behaviour(kind="share_token", share=self.share, count=self.sessions)


class IdentityHop(AgentFault):
    """Two users at a time: a share of calls is first made by another user, then as it should be.

    Whom the target acts for, where it depends on somebody, is read off the dependency's ledger.
    A resilient server: it acts for whoever asked, under a credential of its own or one that it
    has exchanged, and the caller's token stays with it.
    Shows: work done in another user's name, tokens that are passed on.
    """

    kind: ClassVar[str] = "identity-hop"
    lever: ClassVar[LeverName] = "identity"
    shows: ClassVar[tuple[str, ...]] = ("crosstalk", "secret-leak")
    share: Share = Field(0.3, description="of the treated sessions' calls")

    def behaviour(self) -> Behaviour:
        """Come as another user."""
        return Behaviour(kind="hop_user", share=self.share, variant=OTHER_USER)


class RefreshAsAccess(AgentFault):
    """A share of calls is first sent with a token of the issuer's that is no access token.

    It is signed with the same key, but its header and claims say that it is a refresh or id token.
    A resilient server: 401 with a challenge, and the tool does not run (RFC 9068, section 4).
    Shows: a server that takes whatever its issuer has signed.
    """

    kind: ClassVar[str] = "refresh-as-access"
    lever: ClassVar[LeverName] = "identity"
    shows: ClassVar[tuple[str, ...]] = ("authn-bypass", "wrong-status")
    token: Literal["refresh", "id"] = Field("refresh", description="which kind of token it is")
    share: Share = Field(0.1, description="of the treated sessions' calls")

    def behaviour(self) -> Behaviour:
        """Show a token of another kind."""
        return Behaviour(kind="unsuited_token", share=self.share, variant=self.token)


class ClockSkew(AgentFault):
    """A share of calls is first sent with a token made by a clock that is ahead or behind.

    The times in it (iat, nbf, exp; it lives for a minute) are off by `tolerated` or by `refused`,
    one way or the other.
    A resilient server: it serves the first two and answers the others with a 401 challenge.
    Shows: fresh tokens that are refused, tokens that are served before or long after their time.
    """

    kind: ClassVar[str] = "clock-skew"
    lever: ClassVar[LeverName] = "identity"
    shows: ClassVar[tuple[str, ...]] = ("wrong-status", "authn-bypass")
    tolerated_s: Duration = Field(
        30.0, alias="tolerated", gt=0, le=50, description="off by so much, it must do"
    )
    refused_s: Duration = Field(
        330.0, alias="refused", ge=120, description="off by so much, it must not; many allow 5 min"
    )
    share: Share = Field(0.2, description="of the treated sessions' calls")

    def behaviour(self) -> Behaviour:
        """Show tokens of four clocks."""
        near, far = round(self.tolerated_s), round(self.refused_s)
        return Behaviour(
            kind="skewed_token", share=self.share, variant=f"{near} {-near} {far} {-far}"
        )
