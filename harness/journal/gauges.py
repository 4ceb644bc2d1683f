"""What was read off at intervals: the target's vitals and health, squall's own, and counters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class VitalsEntry:
    """The target's process tree, sampled; None where the system would not say."""

    at_ns: int
    alive: bool
    rss_bytes: int | None = None
    open_files: int | None = None
    threads: int | None = None
    cpu_s: float | None = None
    children: int | None = None
    type: Literal["vitals"] = "vitals"


@dataclass(frozen=True, kw_only=True)
class HealthEntry:
    """One process of the generator over about one second: was it the bottleneck?"""

    at_ns: int
    worker: int  # 0 is the only process, or the master
    lag_p50_ms: float  # a 10 ms timer's lateness
    lag_p99_ms: float
    slip_p50_ms: float  # sent - due of the steps sent in this second
    slip_p99_ms: float
    cpu_share: float
    run_delay_share: float | None = None  # time runnable but not running
    lag_max_ms: float = 0.0
    stalled_ms: float = 0.0  # how long the timer was later than a stall begins
    throttled_share: float | None = None  # time held back by a limit of the container's
    gc_pause_ms: float = 0.0  # all pauses together
    gc_pause_max_ms: float = 0.0
    open_files: int | None = None
    open_files_max: int | None = None
    sessions: int = 0
    calls: int = 0
    type: Literal["health"] = "health"


@dataclass(frozen=True, kw_only=True)
class HealthProbeEntry:
    """What the target said of its health when it was asked, beside the load and past any proxy."""

    at_ns: int  # asked
    took_ns: int
    status: int = 0  # of HTTP; 0 where no answer came
    text: str = ""  # the beginning of what it said, redacted, or why no answer came
    type: Literal["health_probe"] = "health_probe"


@dataclass(frozen=True, kw_only=True)
class SaidEntry:
    """What servers asked and said unasked in about one second of one process, in counters.

    Their names: `asked:KIND:HOW`, `heard:WHAT`, `rounds`, `tasks:WHAT`, `cancelled:HOW`,
    `listen:WHAT`, `answers:us` (the time that answers took, in microseconds).
    """

    at_ns: int
    worker: int
    counts: dict[str, int]
    type: Literal["said"] = "said"


@dataclass(frozen=True, kw_only=True)
class PoolEntry:
    """The target's connections to a dependency, as it, its proxy or the system counts them."""

    at_ns: int
    dependency: str
    open: int
    busy: int | None  # None: by a proxy or the system, which cannot tell what is in use
    refused: int = 0  # so far, for want of a free one
    by_system: bool = False  # among the target's own sockets, for its proxy keeps no count
    type: Literal["pool"] = "pool"


@dataclass(frozen=True, kw_only=True)
class ContentEntry:
    """What a few answers to one kind of call held, in about one second of one process and arm.

    Of each field by its path (`result[].title`): the answers that had it, its values, and how many
    of those were null. Only answers with rows are looked into, and not every one of them.
    """

    at_ns: int  # of the last look
    from_ns: int  # of the first
    worker: int
    call: int  # index into Plan.calls
    treated: bool
    answers: int
    fields: dict[str, tuple[int, int, int]]
    examples: tuple[str, ...] = ()  # ids of the calls, those with most nulls first
    type: Literal["content"] = "content"


@dataclass(frozen=True, kw_only=True)
class AuditEntry:
    """How many effects the target counted when it was asked, by a session beside the load."""

    at_ns: int  # asked
    answered_ns: int
    edge: Literal["before", "baseline", "recovery", "after"]  # what had just ended
    window: int = 0  # whose recovery it was
    count: int | None = None  # None: it could not be asked, or said no number
    why: str = ""
    type: Literal["audit"] = "audit"


@dataclass(frozen=True, kw_only=True)
class TraceEntry:
    """What the target's own spans said of the calls to one tool, counted by the receiver.

    Those of tool "" named none, or belong to no trace of this run.
    """

    at_ns: int
    tool: str
    calls: int  # distinct ones whose trace a span of the target joined
    spans: int
    named: int = 0  # of them, those that name the tool
    timed: int = 0  # say how long it took
    sized: int = 0  # say how large the result was
    failed: int = 0
    downstream: int = 0  # requests to others, within these calls
    exposed: int = 0  # spans that hold what looks like a credential
    type: Literal["trace"] = "trace"
