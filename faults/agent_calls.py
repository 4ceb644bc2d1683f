"""Faults of the agents' calls: called off, repeated, under ids that collide, with bad arguments."""

from __future__ import annotations

from typing import ClassVar, Final

from pydantic import Field

from faults.agent import AgentFault
from faults.levers import Behaviour
from faults.quantities import Duration, Share

ODD_IDS: Final = "odd-ids"


class CallCancel(AgentFault):
    """A share of calls is made a second time beside the real one, and called off in mid-call.

    As each era has it: `notifications/cancelled` before 2026-07-28, since then by closing the
    stream. With `odd_ids` the call's id is 0 once in each session, and once it is empty: both are
    valid, and released servers are known that do not heed their cancel.
    A resilient server: the work stops within a second and what it held is free again. A server
    without sessions may not know whom an older cancel is for.
    Shows: work that goes on after its cancel, by the ledger.
    """

    kind: ClassVar[str] = "call-cancel"
    shows: ClassVar[tuple[str, ...]] = ("orphan-work", "crash", "leak-conn")
    after_s: Duration = Field(0.3, alias="after", description="from sending to calling off")
    share: Share = Field(0.2, description="of the treated sessions' calls of tools")
    tool: str = Field("", description="only calls of this one; left out, of any")
    odd_ids: bool = Field(False, description="call off a call of the id 0, and one of an empty id")

    def behaviour(self) -> Behaviour:
        """Call off after a while."""
        return Behaviour(
            kind="cancel_call",
            share=self.share,
            after_s=self.after_s,
            tool=self.tool,
            variant=ODD_IDS if self.odd_ids else "",
        )


class CallRepeat(AgentFault):
    """A share of writes is made twice: the first reply is lost, and the same call is made again.

    The step says by `effect: once` that a repeat under the same key is harmless.
    A resilient server: the second call finds what the first one did; the effect stays one.
    Shows: doubled effects.
    """

    kind: ClassVar[str] = "call-repeat"
    shows: ClassVar[tuple[str, ...]] = ("double-exec",)
    share: Share = Field(0.2, description="of the treated sessions' calls with `effect: once`")

    def behaviour(self) -> Behaviour:
        """Lose the reply, then go on with the real call."""
        return Behaviour(kind="repeat_call", share=self.share)


class IdCollide(AgentFault):
    """A share of calls is sent several times at once under one JSON-RPC id, beside the real one.

    From as many sessions as there are calls, which is every client's right, or, before 2026-07-28,
    from one session, which is the client's mistake. All of these sessions are the fault's own.
    A resilient server: each answer goes to the call that it belongs to; in one session, further
    calls under an id that is taken may be refused, and nobody is given another's answer.
    Shows: answers that carry another call's data; across sessions, calls that are never answered.
    """

    kind: ClassVar[str] = "id-collide"
    shows: ClassVar[tuple[str, ...]] = ("crosstalk", "hang")
    count: int = Field(4, ge=2, le=10, description="calls at once under one id")
    share: Share = Field(0.2, description="of the treated sessions' calls of tools")

    def behaviour(self) -> Behaviour:
        """Send so many under one id."""
        return Behaviour(kind="collide_ids", share=self.share, count=self.count)


class ArgsInvalid(AgentFault):
    """A share of calls of tools is preceded by one with arguments that are wrong in one way.

    From the tool's own `inputSchema`: one is missing, of another type, null, unknown or huge, or
    all are left out.
    A resilient server: an error that a model can read and learn from, and nothing is changed. It
    may drop what it does not know.
    Shows: what its schema forbids is accepted or has an effect; internal errors, stack traces.
    """

    kind: ClassVar[str] = "args-invalid"
    shows: ClassVar[tuple[str, ...]] = ("bad-validation", "crash")
    share: Share = Field(0.1, description="of the treated sessions' calls of tools")
    tool: str = Field("", description="only calls of this one; left out, of any")

    def behaviour(self) -> Behaviour:
        """Spoil the arguments of the step's own call."""
        return Behaviour(kind="spoil_arguments", share=self.share, tool=self.tool)


class ArgsFuzz(AgentFault):
    """The tools that the scenario calls are called with many odd arguments, beside its own calls.

    Made from each tool's `inputSchema` and the scenario's arguments before the first is sent, and
    the same for one seed: some at the edges of what the schema allows, some beyond.
    A resilient server: does what it is allowed to, and answers the rest with an error that a model
    can read.
    Shows: what its schema forbids is accepted; internal errors, stack traces, a crash, a hang.
    """

    kind: ClassVar[str] = "args-fuzz"
    shows: ClassVar[tuple[str, ...]] = ("bad-validation", "crash", "hang")
    cases: int = Field(200, ge=1, le=1000, description="for each tool, of each process of squall")
    share: Share = Field(1.0, description="of the treated sessions' calls go with ten of them")
    tool: str = Field("", description="only this one; left out, every tool that is called")

    def behaviour(self) -> Behaviour:
        """Call with so many sets of arguments."""
        return Behaviour(kind="fuzz_arguments", share=self.share, count=self.cases, tool=self.tool)


class AgentLoop(AgentFault):
    """A share of calls is accompanied by one that cannot succeed, repeated without a pause.

    As an agent does that reads an error and tries the same again. It stops at a 429.
    A resilient server: errors are cheap, nobody else notices; it may answer 429.
    Shows: others that wait or fail; a crash.
    """

    kind: ClassVar[str] = "agent-loop"
    shows: ClassVar[tuple[str, ...]] = ("crash", "hang")
    cap: int = Field(50, ge=2, le=500, description="how often at most")
    share: Share = Field(0.1, description="of the treated sessions' calls of tools")

    def behaviour(self) -> Behaviour:
        """Repeat so often."""
        return Behaviour(kind="loop_call", share=self.share, count=self.cap)


class SlowNeighbour(AgentFault):
    """A share of the treated sessions calls a slow tool over and over, beside their other calls.

    Meanwhile they ask four times a second for what needs no tool, to see whether it answers at all.
    A resilient server: nobody else waits for them.
    Shows: fast calls that wait until a slow one ends, because the event loop stands still, or for
    a lock.
    """

    kind: ClassVar[str] = "slow-neighbour"
    shows: ClassVar[tuple[str, ...]] = ("hol-block",)
    tool: str = Field("slow", description="the tool that is slow")
    argument: str = Field("seconds", description="its argument that takes a number of seconds")
    slow_s: Duration = Field(5.0, alias="slow", description="how long it is asked to take")
    share: Share = Field(0.1, description="of the treated sessions")

    def behaviour(self) -> Behaviour:
        """Call the slow tool."""
        return Behaviour(
            kind="slow_call",
            share=self.share,
            tool=self.tool,
            argument=self.argument,
            after_s=self.slow_s,
        )
