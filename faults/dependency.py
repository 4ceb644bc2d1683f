"""Faults of what the target depends on, which strike both arms: the target is one for all.

Those of the connection are pulled at the proxy in front of a dependency, whatever that is. The
others need squall's own, which can be told how to answer.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar, Literal

from pydantic import Field, StrictInt

from faults.fault import Fault, LeverName, Struck, Undo
from faults.levers import (
    DependencyLever,
    Exposure,
    FaultError,
    Injection,
    Levers,
    Operations,
    Programme,
)
from faults.network import Toxic, closed, toxified
from faults.quantities import Duration, Share


def dependency_lever(levers: Levers, kind: str) -> DependencyLever:
    """Give the lever, or say why the fault cannot be applied.

    Raises:
        FaultError: when nothing the target depends on is in squall's hands.
    """
    if levers.dependency is None:
        raise FaultError(f"{kind} needs a dependency behind squall's proxy, and this run has none")
    return levers.dependency


class DependencyFault(Fault):
    """A fault of one dependency; the target that depends on it serves both arms."""

    lever: ClassVar[LeverName] = "dependency"
    dependency: str = Field("", description="its name in the scenario; left out: the only one")

    def strikes(self) -> Struck:
        """Whoever calls the target meets its dependency."""
        return "both"


class LinkFault(DependencyFault):
    """A fault of the connections between the target and a dependency: made of toxics."""

    @abstractmethod
    def toxics(self) -> tuple[Toxic, ...]:
        """Give the toxics that make this fault, in the order in which they are added."""

    @asynccontextmanager
    async def inject(self, levers: Levers, name: str) -> AsyncIterator[Injection]:
        """Add every toxic, and take all of them off again in reverse."""
        network = dependency_lever(levers, self.kind).network(self.dependency)
        async with toxified(network, self.toxics(), name) as injection:
            yield injection


class ProgrammeFault(DependencyFault):
    """A fault that is one programme of squall's own dependency."""

    @abstractmethod
    def programme(self) -> Programme:
        """Give the programme that makes this fault."""

    @asynccontextmanager
    async def inject(self, levers: Levers, name: str) -> AsyncIterator[Injection]:
        """Put the programme into force, and take it out again."""
        lever = dependency_lever(levers, self.kind)

        async def exposure() -> Exposure:
            return await lever.exposure(self.dependency, name)

        async with Undo() as undo:
            undo.later(lever.disengage, self.dependency, name)
            await lever.engage(self.dependency, name, self.programme())
            yield Injection(exposure=exposure)


# --- of the connection ----------------------------------------------------------------------


class DepLatency(LinkFault):
    """Every answer of the dependency comes late.

    A resilient server: it waits within a deadline of its own, then says in an error that it did
    not get an answer; tools that need nothing of the dependency are as fast as ever.
    Shows: calls that hang, other tools that wait along, more requests than calls.
    """

    kind: ClassVar[str] = "dep-latency"
    shows: ClassVar[tuple[str, ...]] = ("hang", "hol-block", "retry-amplification")
    delay_s: Duration = Field(2.0, alias="delay", description="of every answer")
    jitter_s: Duration = Field(0.0, alias="jitter", description="added or taken, at random")

    def toxics(self) -> tuple[Toxic, ...]:
        """Delay what comes back."""
        attributes = {"latency": round(self.delay_s * 1000), "jitter": round(self.jitter_s * 1000)}
        return (Toxic(type="latency", stream="downstream", attributes=attributes),)

    def added_round_trip_s(self) -> float:
        """Add the delay at its worst, for a server that asks once a call."""
        return self.delay_s + self.jitter_s


class DepReset(LinkFault):
    """The dependency does what it is asked, and the connection is reset before its answer is there.

    A resilient server: an error that says that the outcome is not known; reads may be tried again,
    writes only under a key that keeps them single.
    Shows: doubled effects, a crash, connections that never work again.
    """

    kind: ClassVar[str] = "dep-reset"
    shows: ClassVar[tuple[str, ...]] = ("double-exec", "crash", "silent-empty", "no-recovery")
    after_s: Duration = Field(0.0, alias="after", description="from the answer to the reset")

    def toxics(self) -> tuple[Toxic, ...]:
        """Reset on the way back, so that requests still reach the dependency."""
        return (
            Toxic(
                type="reset_peer",
                stream="downstream",
                attributes={"timeout": round(self.after_s * 1000)},
            ),
        )

    def stops_service(self) -> bool:
        """No answer of the dependency gets through."""
        return True


class DepDown(DependencyFault):
    """The dependency's address refuses connections, and every live connection is closed.

    A resilient server: a clear error at once, fewer attempts the longer it lasts, and service
    again within seconds of the dependency's return.
    Shows: empty answers, endless retries, a server that never recovers or says that it is well.
    """

    kind: ClassVar[str] = "dep-down"
    shows: ClassVar[tuple[str, ...]] = (
        "silent-empty",
        "retry-amplification",
        "no-recovery",
        "health-lies",
        "cpu-spin",
    )

    @asynccontextmanager
    async def inject(self, levers: Levers, name: str) -> AsyncIterator[Injection]:
        """Switch the dependency's proxy off, and on again."""
        del name  # a closed port needs none
        network = dependency_lever(levers, self.kind).network(self.dependency)
        async with closed(network) as injection:
            yield injection

    def stops_service(self) -> bool:
        """The dependency cannot be reached."""
        return True


# --- of squall's own dependency -------------------------------------------------------------


class Dep429(ProgrammeFault):
    """The dependency refuses requests with 429 and says when to come again.

    A resilient server: it waits only as long as its caller will, and otherwise says at once that
    the dependency is busy and for how long; it does not ask more often than it is asked.
    Shows: calls that wait past their deadline, refusals shown as results, retries in a rush.
    """

    kind: ClassVar[str] = "dep-429"
    shows: ClassVar[tuple[str, ...]] = ("retry-amplification", "hang", "silent-empty")
    retry_after_s: Duration = Field(
        5.0, alias="retry_after", le=86_400, description="what Retry-After says, in whole seconds"
    )
    share: Share = Field(1.0, description="of the requests")

    def programme(self) -> Programme:
        """Refuse."""
        return Programme(
            kind="refuse", share=self.share, status=429, retry_after_s=round(self.retry_after_s)
        )

    def stops_service(self) -> bool:
        """Nothing is done while everything is refused."""
        return self.share >= 1


class DepPool(ProgrammeFault):
    """The dependency serves a few requests at a time, each of them slowly, and refuses the others.

    A resilient server: it waits a bounded time for a place, then says in an error that there was
    none; tools that need nothing of the dependency do not notice.
    Shows: empty answers, other tools that wait along, connections that are never given back.
    """

    kind: ClassVar[str] = "dep-pool"
    shows: ClassVar[tuple[str, ...]] = ("silent-empty", "hol-block", "leak-conn")
    connections: StrictInt = Field(5, ge=1, le=10_000, description="that are served at a time")
    takes_s: Duration = Field(3.0, alias="takes", description="each request")

    def programme(self) -> Programme:
        """Serve a few."""
        return Programme(kind="pool", slots=self.connections, delay_s=self.takes_s)


class DepStale(ProgrammeFault):
    """Reads are answered by a replica that lags behind; `consistent=true` asks the primary.

    A resilient server: whoever wrote something reads it, or is told that the answer is old.
    Shows: a note that was written and is not found.
    """

    kind: ClassVar[str] = "dep-stale"
    shows: ClassVar[tuple[str, ...]] = ("stale-read", "lost-update")
    lag_s: Duration = Field(2.0, alias="lag", description="of the replica")

    def programme(self) -> Programme:
        """Lag."""
        return Programme(kind="stale", operations="reads", lag_s=self.lag_s)


class DepDrift(ProgrammeFault):
    """A new version of the dependency came without notice: one field is not what it was.

    A resilient server: an error that says that the answer was not understood.
    Shows: empty or senseless answers, results that break the tool's own schema, a crash.
    """

    kind: ClassVar[str] = "dep-drift"
    shows: ClassVar[tuple[str, ...]] = ("schema-drift", "silent-empty", "crash")
    field: Literal["title", "snippet", "text", "rows", "notes"] = Field(
        "title", description="of the answers; rows and notes are whole lists"
    )
    change: Literal["renamed", "removed", "null"] = Field(
        "renamed", description="what has become of it"
    )

    def programme(self) -> Programme:
        """Drift."""
        return Programme(kind="drift", operations="reads", field=self.field, change=self.change)

    def stops_service(self) -> bool:
        """What was changed cannot be read any more."""
        return True


class DepPartial(ProgrammeFault):
    """A share of answers is cut in the middle, or lacks the rows of a page that it counts.

    A resilient server: it notices, tries a read again, and else says so in an error.
    Shows: a part taken for the whole.
    """

    kind: ClassVar[str] = "dep-partial"
    shows: ClassVar[tuple[str, ...]] = ("truncated", "silent-empty")
    lost: Literal["body", "page"] = Field("body", description="half of the body, or a page's rows")
    share: Share = Field(0.1, description="of the answers to reads")

    def programme(self) -> Programme:
        """Lose something."""
        return Programme(kind="partial", operations="reads", lost=self.lost, share=self.share)


class ResultEmpty(ProgrammeFault):
    """A share of reads comes back without rows, though there are some.

    With `says: empty` the status is 200 and only the total tells; with `says: error` it is 503, in
    the shape of an empty result.
    A resilient server: empty only if it is empty, else an error with its cause.
    Shows: empty answers that agents take for the truth.
    """

    kind: ClassVar[str] = "result-empty"
    shows: ClassVar[tuple[str, ...]] = ("silent-empty",)
    says: Literal["empty", "error"] = Field("error", description="how it is said")
    share: Share = Field(0.3, description="of the reads")

    def programme(self) -> Programme:
        """Give nothing."""
        return Programme(kind="empty", operations="reads", says=self.says, share=self.share)


class ToolSlow(ProgrammeFault):
    """A share of the dependency's work takes far longer than usual.

    A resilient server: it gives up within its own deadline and says so in an error; the other
    calls do not notice.
    Shows: calls that hang, a pool that is drained by the slow ones.
    """

    kind: ClassVar[str] = "tool-slow"
    shows: ClassVar[tuple[str, ...]] = ("hang", "hol-block", "leak-conn")
    delay_s: Duration = Field(5.0, alias="delay", description="before it is done")
    share: Share = Field(0.3, description="of the requests")
    of: Operations = Field("any", description="which of them")

    def programme(self) -> Programme:
        """Take long."""
        return Programme(kind="slow", share=self.share, operations=self.of, delay_s=self.delay_s)


class TimeoutMismatch(ProgrammeFault):
    """Everything takes longer than the agents wait, and is then done all the same.

    A resilient server: it has a deadline below its callers', says that it does not know the
    outcome, and keeps nothing running for whoever has left.
    Shows: work that outlives its caller, work done twice by whoever asks again.
    """

    kind: ClassVar[str] = "timeout-mismatch"
    shows: ClassVar[tuple[str, ...]] = ("orphan-work", "double-exec", "hang")
    delay_s: Duration = Field(
        15.0, alias="delay", description="half as long again as the client's deadline, say"
    )
    done: Literal["before", "after"] = Field(
        "after", description="the work: before the delay, or after it"
    )

    def programme(self) -> Programme:
        """Take longer than anybody waits."""
        return Programme(kind="slow", delay_s=self.delay_s, after=self.done == "before")

    def stops_service(self) -> bool:
        """Nobody waits that long."""
        return True
