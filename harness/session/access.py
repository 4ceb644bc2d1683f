"""How the sessions reach the target: where they connect, and how they come by their tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import httpx

from harness.session.authority import Authority
from harness.session.credential import Credential
from harness.session.membership import Membership
from harness.session.registration import Grant, Registration
from harness.session.tokens import StaticBearer, TokenPolicy, TokenSource
from harness.trust import SYSTEM, Trust


@dataclass(frozen=True, kw_only=True)
class Access:
    """How sessions come by their tokens. Holds secrets, so it is never written anywhere."""

    authority: Authority | None = None  # None: the target asks for no token
    bearer_variable: str = ""
    clients: tuple[tuple[str, Registration], ...] = ()  # (arm, who it is to the issuer)
    grant: Grant = "client_credentials"
    assertion: str = ""  # for the JWT bearer grant
    policy: TokenPolicy = field(default_factory=TokenPolicy)
    target_url: str = ""  # of a target whose issuer may change; "" when it is squall's own
    registers: bool = False  # squall has made itself known to the issuer, and may to another

    def __repr__(self) -> str:
        """Say what kind of access it is, and no secret."""
        kind = "bearer" if self.bearer_variable else "oauth" if self.authority else "open"
        return f"Access({kind})"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be shown anywhere, tokens aside."""
        held = [secret for _, registration in self.clients for secret in registration.secrets]
        return tuple(filter(None, (*held, self.assertion)))


def creditor(
    access: Access, http: httpx.AsyncClient, now_ns: Callable[[], int]
) -> Callable[[str], Credential | None]:
    """What makes one session's credential, given its arm; None where no token is asked for."""
    memberships = {
        arm: Membership(
            access.authority,
            registration,
            http=http,
            now_ns=now_ns,
            target_url=access.target_url,
            grant=access.grant,
            registers=access.registers,
        )
        for arm, registration in access.clients
        if access.authority is not None
    }

    def credential(arm: str) -> Credential | None:
        if access.bearer_variable:
            return StaticBearer(access.bearer_variable, now_ns)
        if not memberships:
            return None
        return TokenSource(
            memberships[arm], access.policy, now_ns, grant=access.grant, assertion=access.assertion
        )

    return credential


@dataclass(frozen=True, kw_only=True)
class Command:
    """How a server is started that is spoken to over its standard input and output."""

    argv: tuple[str, ...]
    environment: dict[str, str]  # beside our own; it may hold secrets
    shared: bool  # one process for all sessions of an arm, instead of one for each
    run_id: str
    folder: str  # of the run
    ready_s: float = 20.0  # how long a process may take to answer its first message

    def __repr__(self) -> str:
        """Name the program; arguments and environment may hold what must not be shown."""
        return f"Command({self.argv[0]!r}, shared={self.shared})"


@dataclass(frozen=True, kw_only=True)
class Doors:
    """Where each arm's sessions really connect, and the address they believe in."""

    url: str  # in words where there is no address
    control: tuple[str, int] = ("", 0)
    treated: tuple[str, int] = ("", 0)
    command: Command | None = None  # None: the target has an address
    trust: Trust = SYSTEM  # paths, and nothing that is secret
    unix_socket: str = ""  # of the target, for what does not go through the doors
    transport: Literal["http", "sse"] = "http"
