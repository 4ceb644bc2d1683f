"""Faults of the agents themselves: how real clients misbehave. Pulled in the wire engine."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar

from pydantic import Field

from faults.fault import Fault, LeverName, Undo
from faults.levers import AgentLever, Behaviour, Exposure, FaultError, Injection, Levers
from faults.quantities import Bandwidth, Duration, Share, Size


def agent_lever(levers: Levers, kind: str) -> AgentLever:
    """Give the lever, or say why the fault cannot be applied.

    Raises:
        FaultError: when this run drives no sessions of its own.
    """
    if levers.agent is None:
        raise FaultError(f"{kind} needs sessions that squall drives, and this run has none")
    return levers.agent


class AgentFault(Fault):
    """A fault that is one behaviour of the treated sessions."""

    lever: ClassVar[LeverName] = "agent"

    @abstractmethod
    def behaviour(self) -> Behaviour:
        """Give the behaviour that makes this fault."""

    @asynccontextmanager
    async def inject(self, levers: Levers, name: str) -> AsyncIterator[Injection]:
        """Engage the behaviour on every treated session, and disengage it."""
        del name  # behaviours are told apart by their kind
        agents = agent_lever(levers, self.kind)
        behaviour = self.behaviour()

        async def exposure() -> Exposure:
            return await agents.exposure(behaviour)

        async with Undo() as undo:
            undo.later(agents.disengage, behaviour)
            await agents.engage(behaviour)
            yield Injection(exposure=exposure)


class ClientVanish(AgentFault):
    """A share of calls is sent and abandoned: the client closes its connection mid-call.

    The session's real call follows on a new connection.
    A resilient server: no other session notices, and it neither crashes nor spins. In the modern
    era the work stops; before it, a vanished client may leave work running.
    Shows: a crash, orphaned work, a spinning processor.
    """

    kind: ClassVar[str] = "client-vanish"
    shows: ClassVar[tuple[str, ...]] = ("crash", "hang", "orphan-work", "no-recovery")
    after_s: Duration = Field(0.2, alias="after", description="from sending to leaving")
    share: Share = Field(0.2, description="of the treated sessions' calls")

    def behaviour(self) -> Behaviour:
        """Leave after a while."""
        return Behaviour(kind="vanish", share=self.share, after_s=self.after_s)


class ResponseLost(AgentFault):
    """A share of replies arrives and is thrown away before the agent can see it.

    The work is done and the caller cannot know; what it does next is the scenario's client policy.
    A resilient server: a repeat under the same key finds the stored result; the effect stays one.
    Shows: doubled effects.
    """

    kind: ClassVar[str] = "response-lost"
    shows: ClassVar[tuple[str, ...]] = ("double-exec", "no-recovery")
    share: Share = Field(0.2, description="of the treated sessions' calls")

    def behaviour(self) -> Behaviour:
        """Throw the reply away."""
        return Behaviour(kind="lose_reply", share=self.share)


class PayloadRequest(AgentFault):
    """A share of calls is preceded by one with an oversized argument.

    A resilient server: 413 or a clear error, fast; its memory does not follow the body, and the
    other sessions do not notice.
    Shows: memory that grows with the request, a crash, hangs.
    """

    kind: ClassVar[str] = "payload-request"
    shows: ClassVar[tuple[str, ...]] = ("unbounded-size", "crash", "hang")
    size_bytes: Size = Field(
        5 * 1024**2, alias="size", ge=64 * 1024, le=16 * 1024**2, description="of the argument"
    )
    share: Share = Field(0.1, description="of the treated sessions' calls")

    def behaviour(self) -> Behaviour:
        """Inflate the first text argument of the step."""
        return Behaviour(kind="payload_request", share=self.share, size_bytes=self.size_bytes)


class PayloadResponse(AgentFault):
    """A share of calls is preceded by one that asks a tool for a very large result.

    A resilient server: the whole result, a page of it, a marked truncation, or a clear error.
    Shows: unbounded results, silent truncation, a crash.
    """

    kind: ClassVar[str] = "payload-response"
    shows: ClassVar[tuple[str, ...]] = ("unbounded-size", "truncated", "crash", "hang")
    tool: str = Field("big", description="the tool that is asked")
    argument: str = Field("size_bytes", description="its argument that takes the size in bytes")
    size_bytes: Size = Field(1024**2, alias="size", ge=1024, description="of the result")
    share: Share = Field(0.1, description="of the treated sessions' calls")

    def behaviour(self) -> Behaviour:
        """Ask for much."""
        return Behaviour(
            kind="payload_response",
            share=self.share,
            size_bytes=self.size_bytes,
            tool=self.tool,
            argument=self.argument,
        )


class SlowReader(AgentFault):
    """The treated sessions read what their server writes slowly or, at 0KB/s, not at all.

    Over pipes: one holds about 64 KiB, and a server that has filled it waits for its reader.
    Over HTTP: streams of their own, opened in three floods and held to the window's end, on which
    a `tool` is asked to report much progress.
    A resilient server: it waits without growing, keeps the order of its messages, and answers what
    is still waited for when it is read again. Others do not notice.
    Shows: a crash, sessions that stay dead, doubled or torn replies; memory that grows with each
    further flood.
    """

    kind: ClassVar[str] = "slow-reader"
    shows: ClassVar[tuple[str, ...]] = ("no-recovery", "crash", "stdout-noise", "leak-memory")
    rate_bytes_per_s: Bandwidth = Field(
        16_000, alias="rate", description="of each process's output, or stream, that is read"
    )
    tool: str = Field("", description="over HTTP: the tool whose progress is read so")
    argument: str = Field("size_bytes", description="its argument that takes the size in bytes")
    size_bytes: Size = Field(
        16 * 1024**2, alias="size", ge=1024, description="that each stream is asked for"
    )
    share: Share = Field(0.2, description="over HTTP: of the treated sessions that have slow ones")

    def behaviour(self) -> Behaviour:
        """Hold the reading end back."""
        if self.tool:
            return Behaviour(
                kind="read_slowly",
                share=self.share,
                bytes_per_s=float(self.rate_bytes_per_s),
                tool=self.tool,
                argument=self.argument,
                size_bytes=self.size_bytes,
            )
        return Behaviour(kind="slow_read", share=1.0, bytes_per_s=float(self.rate_bytes_per_s))

    def stops_service(self) -> bool:
        """An answer that is not read is none, whatever the server does.

        Over HTTP the slow streams are no session's own: what else it asks is answered.
        """
        return not self.tool
