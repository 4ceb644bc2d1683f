"""The contracts that faults pull on: what a lever can do, never how it is built.

The rig implements these; a fault only ever sees them. So a fault is tested against a fake lever in
microseconds, and the same contract test runs against the real one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

# Their order gives them their numbers in `calls.npy`: a new one goes to the end.
BehaviourKind = Literal[
    "vanish",
    "lose_reply",
    "payload_request",
    "payload_response",
    "no_token",
    "reauthorize",
    "overdue_token",
    "damaged_token",
    "revoked_token",
    "kill_process",
    "stop_process",
    "slow_read",
    "narrow_token",
    "misdirected_token",
    "unsuited_token",
    "skewed_token",
    "cancel_call",
    "repeat_call",
    "collide_ids",
    "spoil_arguments",
    "fuzz_arguments",
    "loop_call",
    "slow_call",
    "share_token",
    "session_flood",
    "reject_flood",
    "session_hijack",
    "stale_id",
    "session_idle",
    "resume_probe",
    "state_tamper",
    "version_skew",
    "origin_evil",
    "host_header",
    "hop_user",
    "race_refresh",
    "read_slowly",
    "drift_list",
    "rejoin",
    "withdrawn_token",
]

RefreshManner = Literal["invalid_grant", "error", "hang", "form", "undated", "narrowed"]
Mishap = Literal["rotation", "outage", "refresh"]  # what befalls an issuer, counted by itself


class FaultError(Exception):
    """A fault could not be applied or undone; the run goes on and its ruling is unknown."""


class NotUndoneError(FaultError):
    """A fault, or the part of it that was applied, may still be in force."""


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """Proof that a fault bit, counted by whoever injected it."""

    count: int
    unit: Literal["connections", "bytes", "tokens", "calls", "processes", "requests"]
    source: Literal["injector", "issuer", "journal", "proxy", "none"]
    connections: int = 0
    bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """How a share of the treated sessions shall misbehave until told otherwise."""

    kind: BehaviourKind
    share: float  # of calls, or of sessions for the token kinds; in [0, 1]
    after_s: float = 0.0
    size_bytes: int = 0
    tool: str = ""
    argument: str = ""
    bytes_per_s: float = 0.0
    variant: str = ""  # which of its forms
    count: int = 0  # how many at once, or at most
    every_s: float = 0.0
    window: int = 0  # which fault window asked for it; set by whoever engages it


ProgrammeKind = Literal[
    "slow", "refuse", "pool", "stale", "drift", "partial", "empty", "reset"
]  # fmt: skip
Operations = Literal["any", "reads", "writes", "tokens"]


@dataclass(frozen=True, kw_only=True)
class Programme:
    """How the embedded dependency shall answer until told otherwise."""

    kind: ProgrammeKind
    share: float = 1.0  # of the requests it applies to, in [0, 1]
    operations: Operations = "any"
    delay_s: float = 0.0  # slow: before it is done; pool: how long each takes
    after: bool = False  # slow: it is done at once, and the answer waits
    status: int = 429
    retry_after_s: int | None = None
    slots: int = 0  # pool: how many may be under way
    lag_s: float = 0.0  # stale: how far the replica is behind
    field: str = ""  # drift: which one
    change: Literal["renamed", "removed", "null"] = "renamed"  # drift
    lost: Literal["body", "page"] = "body"  # partial
    says: Literal["empty", "error"] = "empty"  # empty: right status, or an error in that shape


class NetworkLever(Protocol):
    """A proxy in front of something: the treated arm's before the target, or a dependency's."""

    async def add_toxic(
        self,
        name: str,
        *,
        type: str,  # noqa: A002  the proxy's own word
        stream: Literal["upstream", "downstream"],
        attributes: Mapping[str, int],
    ) -> None:
        """Put a toxic on every connection, present and future.

        Raises:
            FaultError: when the proxy refuses or does not answer.
        """
        ...

    async def remove_toxic(self, name: str) -> None:
        """Take it off again; a toxic that is already gone is no error."""
        ...

    async def set_enabled(self, enabled: bool) -> None:
        """Close the listener and every connection, or open it again."""
        ...

    async def exposure(self, toxic: str | None) -> Exposure:
        """Count what the toxic (or, for None, the listener since it was closed) has hit so far."""
        ...


class IdentityLever(Protocol):
    """The authorization server that the target trusts."""

    async def set_ttl(self, ttl_s: float | None) -> None:
        """Mint the treated sessions' tokens with this lifetime; None restores the scenario's."""
        ...

    async def revoke(self) -> Exposure:
        """Revoke every live token of the treated sessions."""
        ...

    async def rotate(self, *, keep_s: float, fresh_s: float = 0.0) -> None:
        """Sign the treated sessions' tokens with a new key; the old is published a while longer.

        The key set may be kept for `fresh_s` from now on; 0: for as long as usual.
        """
        ...

    async def withdraw(self) -> None:
        """Publish no key any longer that signs nothing."""
        ...

    async def set_outage(
        self, how: Literal["down", "slow"] | None, *, delay_s: float = 0.0
    ) -> None:
        """Fail every request, or answer late; None ends the outage."""
        ...

    async def set_refreshing(self, how: RefreshManner | None, *, leeway_s: float = 0.0) -> None:
        """Let the treated sessions' refreshes go wrong; None ends that.

        For `leeway_s` after it was spent, a refresh token may be shown again without harm.
        """
        ...

    async def exposure(self, mishap: Mishap) -> Exposure:
        """Count the requests that such a mishap has hit since it was last begun, or its turns."""
        ...


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What is different for the next process of a launched target."""

    environment: Mapping[str, str | None] = field(default_factory=dict)  # None takes one away
    directory: str | None = None


class ProcessLever(Protocol):
    """The processes of the target that squall has started: its own, or each treated session's."""

    async def kill(self) -> None:
        """End each of them, as SIGKILL does, and whatever is started in their place."""
        ...

    async def spare(self) -> None:
        """Let those live that are started from now on."""
        ...

    async def stop(self) -> None:
        """Let none of them run, as SIGSTOP does."""
        ...

    async def resume(self) -> None:
        """Let those that were stopped run again; one that has ended meanwhile is no error."""
        ...

    async def tell(self, *, grace_s: float, conditions: Conditions | None = None) -> None:
        """Tell it to end, as SIGTERM does, and start another once it has, at the latest then.

        Raises:
            FaultError: it does not run, or is not one that can be told alone.
        """
        ...

    async def restore(self) -> None:
        """Have it run as it was launched."""
        ...

    async def exposure(self) -> Exposure:
        """Count the processes that were struck so far."""
        ...


class DependencyLever(Protocol):
    """What the target depends on, by the names that the scenario gives."""

    def network(self, name: str) -> NetworkLever:
        """Give the proxy in front of a dependency; "" for the only one.

        Raises:
            FaultError: when there is no such dependency.
        """
        ...

    async def engage(self, name: str, label: str, programme: Programme) -> None:
        """Let the embedded dependency behave so from now on, under a label unique in the run.

        Raises:
            FaultError: when it is none of squall's own, or does not answer.
        """
        ...

    async def disengage(self, name: str, label: str) -> None:
        """Take the programme out again; one that is gone already is no error."""
        ...

    async def exposure(self, name: str, label: str) -> Exposure:
        """Count the requests that the programme has hit, also after it was taken out."""
        ...


class AgentLever(Protocol):
    """The treated sessions themselves."""

    async def engage(self, behaviour: Behaviour) -> None:
        """Tell every treated session, on every worker, to behave so from now on."""
        ...

    async def disengage(self, behaviour: Behaviour) -> None:
        """Tell them to stop."""
        ...

    async def exposure(self, behaviour: Behaviour) -> Exposure:
        """Count the attempts that behaved so."""
        ...


@dataclass(frozen=True, kw_only=True)
class Levers:
    """What this run's rig offers; None where the scenario gives squall no such hold."""

    network: NetworkLever | None = None
    identity: IdentityLever | None = None
    agent: AgentLever | None = None
    process: ProcessLever | None = None
    dependency: DependencyLever | None = None


@dataclass(frozen=True, kw_only=True)
class Injection:
    """A fault in force; `exposure` may be asked while it lasts and right after."""

    exposure: Callable[[], Awaitable[Exposure]]
