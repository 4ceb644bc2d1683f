"""What is concluded: rulings, findings, soundness, and the stable shape of `verdict.json`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

Ruling = Literal["pass", "fail", "unknown"]
_WORST_FIRST: Final[tuple[Ruling, ...]] = ("fail", "unknown", "pass")


def worst(rulings: Iterable[Ruling]) -> Ruling:
    """Compose rulings: fail outranks unknown outranks pass; nothing at all is unknown."""
    given = set(rulings)
    return next((ruling for ruling in _WORST_FIRST if ruling in given), "unknown")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One opinion with its evidence. `pass` findings are kept: a check that ran is information."""

    verdict: str  # the catalogue's name of what is (or would be) wrong: "double-exec"
    ruling: Ruling
    fault: str  # the window's id, as in "2:token-expire"; "" when no fault is involved
    tool: str = ""
    observed: float | None = None
    limit: float | None = None
    unit: str = ""
    why: str = ""  # one sentence for people
    source: str = ""  # where the expectation comes from: a specification section, the scenario
    evidence: tuple[str, ...] = ()  # call ids, worst first, at most ten
    hard: bool = False  # a hard rule: one breach is enough, and it caps the score
    cause: str = ""  # the verdict this one follows from, when it is a consequence
    first_s: float | None = None  # since the run began: when the first offender was sent
    last_s: float | None = None  # and when the last one ended
    treated: int | None = None  # sessions of that arm that it happened to; None: not told
    control: int | None = None


@dataclass(frozen=True, kw_only=True)
class Soundness:
    """One question about the evidence itself."""

    name: str  # generator | arms-agree | baseline-steady | fault-bit | conservation | samples | ...
    ruling: Ruling
    why: str
    observed: float | None = None
    limit: float | None = None
    unit: str = ""


GeneratorVerdict = Literal["ok", "suspect", "invalid"]


@dataclass(frozen=True, kw_only=True)
class ProcessHealth:
    """How one process of the generator fared: its typical second, and its worst moment."""

    worker: int  # 0 is the only process, or the master
    name: str  # "squall", "the master", "worker 1"
    verdict: GeneratorVerdict
    why: str  # "" when there is nothing to remark
    sent_late_p50_ms: float  # sent - due, of calls that nothing held back
    sent_late_p99_ms: float
    lag_p50_ms: float  # a 10 ms timer's lateness
    lag_p99_ms: float
    lag_max_ms: float
    stalled_share: float  # of `stalled_in`, in which the event loop stood still
    stalled_in: str  # the phase that suffered most; "" for none
    cpu_share: float
    run_delay_share: float | None  # time runnable but not running
    throttled_share: float | None  # time held back by the container's limit
    gc_pause_max_ms: float
    open_files: int | None
    open_files_max: int | None


@dataclass(frozen=True, kw_only=True)
class GeneratorHealth:
    """Whether squall's own figures are to be trusted: ok, suspect (and believed), or invalid."""

    verdict: GeneratorVerdict
    why: str
    sent_late_p50_ms: float  # the scheduling error: sent - due
    sent_late_p99_ms: float
    lag_p99_ms: float  # of the worst process
    processes: tuple[ProcessHealth, ...]


@dataclass(frozen=True, kw_only=True)
class Apart:
    """How far two bare arms were apart in one measure; `difference` is treated - control."""

    measure: str  # answered | p50 | p95 | p99
    unit: Literal["share", "ms"]
    control: float
    treated: float
    difference: float
    low: float  # of its interval, by drawing sessions anew
    high: float
    smallest: float  # the smallest difference that may be claimed, in one stretch


@dataclass(frozen=True, kw_only=True)
class BareArms:
    """What an A/A run of this scenario on this machine showed."""

    run: str  # the id of the run that measured it
    own: bool  # this very run
    stretch_s: float  # how long the scenario's shortest fault is
    stretches: int  # that were looked at
    measures: tuple[Apart, ...]


@dataclass(frozen=True, kw_only=True)
class FaultVerdict:
    """One fault window: that it was real, what it did, and what the target made of it."""

    id: str  # "1:tcp-latency"
    kind: str
    lever: str
    arm: Literal["treated", "both"]
    start_s: float
    end_s: float
    bit: bool
    exposure: str  # in words: "412 connections, counted by the injector"
    healed: bool
    ruling: Ruling
    score: float | None
    recovery_s: float | None  # None: not measured; -1: never within the time watched
    findings: tuple[str, ...]  # verdict names that failed


@dataclass(frozen=True, kw_only=True)
class LatencyRow:
    """Percentiles of one arm, phase and call; None where the samples do not support one."""

    arm: str
    phase: str
    tool: str  # the call's name in Plan.calls; "" for all calls together
    origin: Literal["due", "sent"]  # in verdict.json the key is `from`
    count: int
    p50_ms: float | None
    p90_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    p999_ms: float | None
    max_ms: float | None


@dataclass(frozen=True, kw_only=True)
class EngineRow:
    """What one client saw in one phase: squall's own, or the official one beside it."""

    engine: Literal["wire", "sdk"]
    phase: str
    calls: int
    answered: int
    p50_ms: float | None  # of the answered ones, from sent
    outcomes: dict[str, int]  # by outcome name, those that occurred


@dataclass(frozen=True, kw_only=True)
class QualityRow:
    """What the answers of one kind of call held in one phase and arm; None: not to be told."""

    tool: str
    phase: str
    arm: str
    answers: int
    rows_p05: float | None
    rows_p50: float | None
    empty_share: float | None  # of the answers whose rows can be counted
    bytes_p05: float | None
    bytes_p50: float | None
    null_share: float | None  # of the values in the answers that were looked into


@dataclass(frozen=True, kw_only=True)
class Amplification:
    """What one fault multiplied, per session, on the arm that it struck."""

    fault: str  # the window's id
    attempts_per_call: float | None
    baseline_attempts_per_call: float | None
    tokens_per_minute: float | None  # estimated from bytes
    baseline_tokens_per_minute: float | None
    tokens_ratio: float | None
    level: Literal["ok", "warn", "fail", "not measured"]


@dataclass(frozen=True, kw_only=True)
class Misled:
    """The agents that took for true what was not, under one fault, and worked on."""

    fault: str  # the window's id; "" where no fault is to blame
    agents: int  # sessions that were answered at all meanwhile
    empty: int  # of them, those that went on from an empty answer
    masked: int  # from a refusal in the words of an answer
    untrue: int  # from another's, a cut or a false answer
    answers: int  # such answers in all
    first_s: float | None  # from the fault's start, or the run's, to the first of them


RetryAfter = Literal["kept", "passed on", "ignored", "waited past the deadline", "not asked"]
Breaker = Literal["opened", "stayed shut", "not measured"]


@dataclass(frozen=True, kw_only=True)
class Manners:
    """How the target treated its dependency under one fault, by the dependency's own ledger."""

    fault: str  # the window's id
    calls: int  # of tools that lean on the dependency
    asking: int  # of them, those that reached it
    requests: int
    per_call: float | None  # requests, for each time that a client asked; of those that did
    usual_per_call: float | None  # with nothing broken
    retried: int  # calls that tried again after a failure
    retries_max: int  # of one call, for one thing
    spacing_ms: float | None  # the median pause before the first retry
    spacing_growth: float | None  # of the second pause over the first
    jitter: bool | None  # None: too few pauses to tell
    retry_after: RetryAfter
    breaker: Breaker
    probes: int | None  # calls that reached it while the breaker was open
    back_s: float | None  # from the fault's end to the first request that went well


@dataclass(frozen=True, kw_only=True)
class TraceRow:
    """What the target's own spans say of the calls to one tool; "" for those that name none."""

    tool: str
    calls: int  # that were answered
    joined: int  # of them, those whose trace a span of the target joined
    spans: int  # directly under these calls, preludes and repeats included
    named: int  # of them, those that name the tool
    timed: int  # say how long it took
    sized: int  # say how large the result was
    failed: int
    downstream: int  # requests to others, within these calls
    exposed: int  # hold what looks like a credential


@dataclass(frozen=True, kw_only=True)
class Ready:
    """One line of the readiness checklist."""

    area: str  # auth | transport | observability | error handling | testing
    line: str  # what is wanted
    state: Literal["met", "not met", "not measured"]
    why: str
    evidence: tuple[str, ...] = ()  # call ids, or verdicts with their fault


@dataclass(frozen=True, kw_only=True)
class Score:
    """0 to 100 with its interval, or None when the evidence does not support a number."""

    points: float
    low: float
    high: float
    components: dict[str, float | None]  # availability latency correctness survival recovery blast
    caps: tuple[str, ...] = ()  # why it is not higher than 49 or 89


@dataclass(frozen=True, kw_only=True)
class Limit:
    """One of the scenario's own limits, beside what was measured."""

    name: str
    wanted: str  # as written: "<= 800ms"
    observed: float | None
    unit: str
    ruling: Ruling
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """Everything concluded from one journal; `reports.document` writes it as `verdict.json`."""

    scenario: str
    question: str
    seed: int
    era: str
    ruling: Ruling
    exit_code: int
    headline: str  # the last line of the terminal report
    score: Score | None
    faults: tuple[FaultVerdict, ...]
    findings: tuple[Finding, ...]
    limits: tuple[Limit, ...]
    latency: tuple[LatencyRow, ...]
    sessions: dict[str, int]  # opened survived reopened lost
    calls: dict[str, int]  # by outcome name, logical calls
    effects: dict[str, int]  # happened absent unknown doubled orphaned
    tokens: dict[str, float]  # estimate per session: mean, max
    soundness: tuple[Soundness, ...]
    notes: tuple[str, ...] = ()
    generator: GeneratorHealth | None = None  # None: no process of it said how it fared
    bare_arms: BareArms | None = None  # None: nobody has measured it here
    latency_answered: tuple[LatencyRow, ...] = ()  # the same over answered calls only
    engines: tuple[EngineRow, ...] = ()  # empty where only our own client was there
    quality: tuple[QualityRow, ...] = ()
    amplification: tuple[Amplification, ...] = ()
    misled: tuple[Misled, ...] = ()
    manners: tuple[Manners, ...] = ()  # empty where no dependency keeps a ledger
    readiness: tuple[Ready, ...] = ()
    traces: tuple[TraceRow, ...] = ()  # empty unless the run received spans
