"""How the sessions reach the target: where they connect, and how they come by their tokens."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.session.authority import Authority
from harness.session.tokens import Grant, TokenPolicy
from harness.trust import SYSTEM, Trust


@dataclass(frozen=True, kw_only=True)
class Access:
    """How sessions come by their tokens. Holds secrets, so it is never written anywhere."""

    authority: Authority | None = None  # None: the target asks for no token
    bearer_variable: str = ""
    clients: tuple[tuple[str, str, str], ...] = ()  # (arm, client id, client secret)
    grant: Grant = "client_credentials"
    policy: TokenPolicy = field(default_factory=TokenPolicy)

    def __repr__(self) -> str:
        """Say what kind of access it is, and no secret."""
        kind = "bearer" if self.bearer_variable else "oauth" if self.authority else "open"
        return f"Access({kind})"


@dataclass(frozen=True, kw_only=True)
class Doors:
    """Where each arm's sessions really connect, and the address they believe in."""

    url: str
    control: tuple[str, int]
    treated: tuple[str, int]
    trust: Trust = SYSTEM  # paths, and nothing that is secret
    unix_socket: str = ""  # of the target, for what does not go through the doors
