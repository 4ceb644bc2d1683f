"""Is the target ready for production? A checklist, each line met, not met or not measured.

A line is met only if somebody looked: a check that passed, under a fault that bit where the line
needs one. It speaks of this run alone, so a scenario that asks little leaves much unmeasured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from faults.catalogue import CATALOGUE
from harness.checklist import AREAS, CUTS, ENDS, EXPIRY, LINES, Line
from harness.evidence.phases import Evidence
from harness.journal import HealthEntry
from harness.outcome import Auth, Outcome
from harness.plan import flat
from harness.scenario.records import Expect, UrlTarget
from harness.scenario.transports import is_piped
from harness.scenario.units import counted
from harness.verdict import FaultVerdict, Finding, Ready, TraceRow

_EVIDENCE_MAX: Final = 5
_NEARLY_ALL: Final = 0.9
_SPANS: Final = (
    "spans join the trace of the agent's call",
    "spans say which tool it was, and how long it took",
    "spans say how large the result was",
    "no span holds a credential",
)
_UNTOLD: Final = "no step of the scenario says what a true answer is: `expect`"


def readiness(
    evidence: Evidence,
    findings: Sequence[Finding],
    faults: Sequence[FaultVerdict],
    traces: Sequence[TraceRow] = (),
) -> tuple[Ready, ...]:
    """Go through the checklist; the same evidence and findings give the same lines."""
    told = any(
        step.expect != Expect() for agent in evidence.scenario.agents for step in flat(agent)
    )
    lines = [_ruled(line, findings, faults, told=told) for line in LINES]
    lines += [ask(evidence, faults) for ask in _ASKED]
    lines += _observed(evidence, traces)
    return tuple(sorted(lines, key=lambda one: AREAS.index(one.area)))


def _ruled(
    line: Line, findings: Sequence[Finding], faults: Sequence[FaultVerdict], *, told: bool
) -> Ready:
    kinds = {fault.id: fault.kind for fault in faults}
    mine = [
        finding
        for finding in findings
        if finding.verdict in line.verdicts
        and (not finding.fault or not line.faults or kinds.get(finding.fault) in line.faults)
    ]
    failed = [finding for finding in mine if finding.ruling == "fail"]
    if failed:
        first = min(failed, key=lambda one: (one.cause != "", not one.hard))
        named = [_named(finding) for finding in failed]
        return _ready(line, "not met", first.why, [*dict.fromkeys(named), *first.evidence])
    under = [fault.id for fault in faults if fault.kind in line.faults and fault.bit]
    passed = [finding for finding in mine if finding.ruling == "pass"]
    if line.faults and not under:
        return _ready(line, "not measured", _wanting(line))
    if line.told and not told:
        return _ready(line, "not measured", _UNTOLD)
    if not passed:
        unknown = next((finding.why for finding in mine if finding.why), line.missing)
        return _ready(line, "not measured", unknown)
    where = f", under {', '.join(under)}" if under else ""
    return _ready(line, "met", passed[0].why + where, list(dict.fromkeys(map(_named, passed))))


def _named(finding: Finding) -> str:
    return f"{finding.verdict} under {finding.fault}" if finding.fault else finding.verdict


def _wanting(line: Line) -> str:
    known = [kind for kind in line.faults if kind in CATALOGUE]
    if not known:
        return "squall has no fault for it yet"
    shown = " or ".join(known[:3])
    return f"no fault of this run asks for it; {shown} does"


def _ready(line: Line, state: str, why: str, evidence: Sequence[str] = ()) -> Ready:
    assert state in {"met", "not met", "not measured"}
    return Ready(
        area=line.area,
        line=line.wanted,
        state=state,  # type: ignore[arg-type]  # one of the three, as asserted
        why=why,
        evidence=tuple(evidence[:_EVIDENCE_MAX]),
    )


# --- what no finding says -------------------------------------------------------------------


def _short_lived(evidence: Evidence, _: Sequence[FaultVerdict]) -> Ready:
    """Static tokens cannot be rotated, scoped or audited."""
    wanted = "tokens are short-lived and issued to each client, not one static key"
    auth = evidence.scenario.auth
    line = Line(area="auth", wanted=wanted, verdicts=())
    calls = evidence.calls
    ok = calls["outcome"] == Outcome.OK
    open_ = int((ok & (calls["auth"] == Auth.NONE_NEEDED)).sum())
    if is_piped(evidence.scenario.target):
        return _ready(line, "not measured", "over pipes there are no tokens")
    if auth is None and not open_:
        return _ready(line, "not measured", "the scenario has no auth, and nothing was answered")
    if auth is None:
        return _ready(line, "not met", f"{open_} calls were answered without any token")
    if auth.grant == "bearer":
        return _ready(line, "not met", "the scenario presents one static bearer token")
    return _ready(line, "met", f"tokens by {auth.grant}, each session its own")


def _sessions(evidence: Evidence, _: Sequence[FaultVerdict]) -> Ready:
    line = Line(area="testing", wanted="many agents at once, not one user alone", verdicts=())
    spoke = evidence.calls["session"][evidence.calls["outcome"] == Outcome.OK]
    most = max((entry.sessions for entry in evidence.journal.of(HealthEntry)), default=0)
    if not len(spoke):
        return _ready(line, "not measured", "no session was ever answered")
    state = "met" if most > 1 else "not met"
    return _ready(
        line,
        state,
        f"at most {counted(most, 'sessions')} at once, {len(spoke):,} answered attempts",
    )


def _broken(_: Evidence, faults: Sequence[FaultVerdict]) -> Ready:
    line = Line(
        area="testing",
        wanted="the network and the tokens fail while agents work",
        verdicts=(),
        faults=("tcp-reset", "token-expire"),
    )
    bit = [fault for fault in faults if fault.bit]
    wire = [fault.id for fault in bit if fault.kind in (*CUTS, *ENDS)]
    tokens = [fault.id for fault in bit if fault.kind in (*EXPIRY, "refresh-race")]
    if wire and tokens:
        return _ready(line, "met", f"{', '.join([*wire, *tokens])}", [*wire, *tokens])
    lacks = [
        words
        for words, found in (("connections that fail", wire), ("tokens that expire", tokens))
        if not found
    ]
    return _ready(line, "not measured", f"this run had no {' and no '.join(lacks)}")


def _gated(evidence: Evidence, _: Sequence[FaultVerdict]) -> Ready:
    line = Line(
        area="testing", wanted="a pipeline is stopped when it gets worse: limits", verdicts=()
    )
    named = [name for name, value in evidence.scenario.limits if value is not None]
    if not named:
        return _ready(line, "not met", "the scenario sets no limits")
    return _ready(line, "met", f"gated on {', '.join(name.replace('_', ' ') for name in named)}")


_ASKED: Final[tuple[Callable[[Evidence, Sequence[FaultVerdict]], Ready], ...]] = (
    _short_lived,
    _sessions,
    _broken,
    _gated,
)


# --- what the target's spans say ------------------------------------------------------------


def _observed(evidence: Evidence, traces: Sequence[TraceRow]) -> Iterator[Ready]:
    """Rule on the spans; where none came, say whether anybody could expect them."""
    calls, joined = sum(row.calls for row in traces), sum(row.joined for row in traces)
    spans = sum(row.spans for row in traces if row.tool)
    tools = [row for row in traces if row.tool and "/" not in row.tool]
    lines = [Line(area="observability", wanted=wanted, verdicts=()) for wanted in _SPANS]
    if not calls or not joined:
        state, why = _unobserved(evidence, traces, calls)
        yield _ready(lines[0], state, why)
        yield from (_ready(line, "not measured", why) for line in lines[1:])
        return
    yield _weighed(lines[0], joined, calls, "answered calls have a span of the target's")
    told = sum(min(row.named, row.timed) for row in traces if row.tool)
    yield _weighed(lines[1], told, spans, "spans say which tool, and how long it took")
    sized, sizable = sum(row.sized for row in tools), sum(row.spans for row in tools)
    yield _weighed(lines[2], sized, sizable, "spans of tools say how large the result was")
    exposed = sum(row.exposed for row in traces)
    why = f"{exposed} of {spans:,} spans hold what looks like a credential"
    yield _ready(lines[3], "not met" if exposed else "met", why)


def _unobserved(evidence: Evidence, traces: Sequence[TraceRow], calls: int) -> tuple[str, str]:
    if not evidence.scenario.observe.traces:
        return "not measured", "the scenario does not ask for it: `observe: {traces: true}`"
    if not calls:
        return "not measured", "no call was answered, or the receiver's counts are missing"
    came = sum(row.spans for row in traces)
    if came:
        return "not met", f"none of {came:,} spans joined the trace of the call that caused it"
    if isinstance(evidence.scenario.target, UrlTarget):
        return "not measured", "no span came; a target that runs already has to be told where to"
    return "not met", "no span came, though OTEL_EXPORTER_OTLP_ENDPOINT said where to"


def _weighed(line: Line, count: int, whole: int, words: str) -> Ready:
    why = f"{count:,} of {whole:,} {words}"
    if not whole:
        return _ready(line, "not measured", why)
    return _ready(line, "met" if count >= _NEARLY_ALL * whole else "not met", why)


def by_area(lines: Sequence[Ready]) -> Iterator[tuple[str, tuple[Ready, ...]]]:
    """Give the lines area by area, in the checklist's order."""
    for area in AREAS:
        yield area, tuple(line for line in lines if line.area == area)
