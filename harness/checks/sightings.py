"""What every check needs: the fault in force over an attempt, and offenders turned into findings.

An attempt is blamed on a fault only if the fault was in force while it lasted, on its own arm, and
nothing says that the server does the same by itself (`blame`). Whatever the server does with no
fault in force is the server's own, `fault = ""`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from faults.fault import Fault
from harness.checks import blame, spreading
from harness.checks.blame import Own, Windows
from harness.evidence.phases import Evidence, Mask, Times, WindowSpan
from harness.journal import Calls, call_id
from harness.scenario.units import counted
from harness.verdict import Finding

EVIDENCE_MAX: Final = 10
TOOLS_NAMED_MAX: Final = 3
LINES_MAX: Final = 3  # of a ledger, in a sentence


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One question in words, the same whether it passes or fails."""

    verdict: str
    wrong: str  # what the offending attempts did: "never came to an end"
    source: str
    unseen: str  # why nothing can be said when nothing was judged
    hard: bool = False
    unit: str = "calls"
    own: Own = "rate"  # how often it is seen with nothing broken, for it to be the server's own


def attempted(evidence: Evidence) -> Mask:
    """Tell which attempts were made, whether or not a connection was there to send them on."""
    return evidence.attempted


def began_ns(evidence: Evidence) -> Times:
    """Give when each attempt was sent; where nothing could be sent, when it was due."""
    return evidence.began_ns


def ended_ns(evidence: Evidence) -> Times:
    """Give when each attempt ended: with its reply, or at the latest when waiting for one did."""
    return evidence.ended_ns


def fit(evidence: Evidence) -> Mask:
    """Tell which attempts presented a credential that is good, or needed none."""
    return evidence.fit


def overlaps(evidence: Evidence, window: WindowSpan) -> Mask:
    """Tell which attempts were in flight at any moment of a window, whichever their arm."""
    return np.asarray(
        window.injected
        & evidence.attempted
        & (evidence.began_ns < window.healed_ns)
        & (evidence.ended_ns >= window.start_ns)
    )


def struck(evidence: Evidence, by: Callable[[Fault], bool]) -> Mask:
    """Tell which attempts overlapped a window on their own arm whose fault answers to `by`."""
    met, windows = evidence.met, evidence.injected
    treated = np.asarray(evidence.calls["treated"] == 1)
    chosen = np.array([by(window.fault) for window in windows], dtype=np.bool_)
    if met is None or any(window.arm == "both" for window in windows):
        mask = np.zeros(len(evidence.calls), dtype=np.bool_)
        for window in (one for one, yes in zip(windows, chosen, strict=True) if yes):
            mine = overlaps(evidence, window)
            mask |= mine & treated if window.arm == "treated" else mine
        return mask
    before = np.concatenate(([0], np.cumsum(chosen)))
    return np.asarray(evidence.attempted & (before[met.end] > before[met.start]) & treated)


def in_force(evidence: Evidence) -> Windows:
    """Give each attempt the number of the window it stood under; 0 for none.

    A misbehaviour names its window itself; otherwise it is the latest one that the attempt
    overlapped on the treated arm.
    """
    return evidence.in_force


def fault_at(evidence: Evidence, at_ns: int) -> str:
    """Name the window in force at a moment; "" for none."""
    ids = [
        w.id for w in evidence.phases.windows if w.injected and w.start_ns <= at_ns < w.healed_ns
    ]
    return ids[-1] if ids else ""


def fault_id(evidence: Evidence, window: int) -> str:
    """Name a window as verdicts do; "" for none."""
    return evidence.window(window).id if window else ""


def judge(
    evidence: Evidence,
    rule: Rule,
    *,
    judged: Mask,
    bad: Mask,
    weight: NDArray[np.int64] | None = None,
    windows: Windows | None = None,
) -> tuple[Finding, ...]:
    """Turn a mask of offending attempts into one finding a fault, or one that says all is well.

    `weight` orders the evidence, heaviest first; the time from due to done by default. `windows`
    says which window each attempt stood under; `in_force` by default. What some sessions do wrong
    on purpose is blamed too for what goes wrong with others meanwhile, where it has spread.
    """
    if not judged.any():
        return (unknown(rule, rule.unseen),)
    bad = bad & judged
    if not bad.any():
        return (passed(rule, int(judged.sum())),)
    calls = evidence.calls
    weight = ended_ns(evidence) - calls["due_ns"] if weight is None else weight
    windows = in_force(evidence) if windows is None else windows
    windows = spreading.spread(evidence, judged=judged, bad=bad, windows=windows)
    blamed = blame.blame(evidence, judged=judged, bad=bad, windows=windows, own=rule.own)
    own = bad & (blamed == 0)
    under = np.maximum(windows, blamed)  # with what a fault has left behind
    return tuple(
        _fail(
            evidence,
            rule,
            offenders=np.flatnonzero(bad & (blamed == number)),
            judged_count=int((judged & ((under == number) if number else (under >= 0))).sum()),
            weight=weight,
            fault=fault_id(evidence, int(number)),
            counts=blame.afterwards(blamed == number, windows)
            if number
            else blame.counts(evidence, judged=judged, bad=own, windows=windows),
        )
        for number in np.unique(blamed[bad])
    )


def _fail(
    evidence: Evidence,
    rule: Rule,
    *,
    offenders: NDArray[np.intp],
    judged_count: int,
    weight: NDArray[np.int64],
    fault: str,
    counts: str,
) -> Finding:
    calls = evidence.calls[offenders]
    treated = calls["treated"] == 1
    tools = sorted({evidence.plan.calls[code] for code in np.unique(calls["call"])})
    left = "" if fault else _left_by(evidence, offenders)
    when = f"{f'under {fault}' if fault else left or 'with no fault to blame'}{counts}"
    more = ", …" if len(tools) > TOOLS_NAMED_MAX else ""
    where = f" ({', '.join(tools[:TOOLS_NAMED_MAX])}{more})"
    spread = _spread_words(evidence, fault, calls[~treated])
    return Finding(
        verdict=rule.verdict,
        ruling="fail",
        fault=fault,
        tool=tools[0] if len(tools) == 1 else "",
        observed=float(len(offenders)),
        limit=0.0,
        unit=rule.unit,
        why=f"{len(offenders)} of {judged_count} {rule.unit}{where} {rule.wrong}, {when}{spread}",
        source=rule.source,
        evidence=worst_first(evidence, offenders, weight),
        hard=rule.hard,
        first_s=round(int(began_ns(evidence)[offenders].min()) / 1e9, 3),
        last_s=round(int(ended_ns(evidence)[offenders].max()) / 1e9, 3),
        treated=len(np.unique(calls["session"][treated])),
        control=len(np.unique(calls["session"][~treated])),
    )


def _left_by(evidence: Evidence, offenders: NDArray[np.intp]) -> str:
    """Say whose recovery it was in which all of it happened; "" where it happened elsewhere too."""
    began, ended = began_ns(evidence)[offenders].min(), ended_ns(evidence)[offenders].max()
    return next(
        (
            f"in the recovery after {window.id}"
            for window in evidence.phases.windows
            if window.injected and window.healed_ns <= began and ended < window.recovery_end_ns
        ),
        "",
    )


def _spread_words(evidence: Evidence, fault: str, untouched: Calls) -> str:
    """Say that it spread, where a fault of some sessions' own has hit others; else nothing."""
    if not len(untouched) or fault not in {one.id for one in spreading.suspects(evidence)}:
        return ""
    sessions = len(np.unique(untouched["session"]))
    return (
        f"; {len(untouched)} of them were made by {counted(sessions, 'sessions')} that behaved: it "
        "spread from those that misbehaved on purpose"
    )


def worst_first(
    evidence: Evidence, offenders: NDArray[np.intp], weight: NDArray[np.int64]
) -> tuple[str, ...]:
    """Name at most ten attempts, the heaviest first and equal ones in the journal's order."""
    order = np.argsort(-weight[offenders], kind="stable")[:EVIDENCE_MAX]
    return tuple(call_id(evidence.calls[at]) for at in offenders[order])


def beneath(evidence: Evidence, findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Say with each failed finding what the dependency's ledger has for its worst call."""
    return tuple(
        replace(one, why=f"{one.why}; {lines}") if (lines := _ledger_lines(evidence, one)) else one
        for one in findings
    )


def _ledger_lines(evidence: Evidence, finding: Finding) -> str:
    if finding.ruling != "fail" or not finding.evidence or not len(evidence.downstream):
        return ""
    name = finding.evidence[0]
    session, index, _ = (int(part) for part in name.removeprefix("s").split("."))
    settled = evidence.settled
    which = np.flatnonzero((settled["session"] == session) & (settled["index"] == index))
    asked = evidence.downstream.of(int(which[0])) if len(which) else which
    told = [evidence.downstream.line(int(one)) for one in asked[:LINES_MAX]]
    more = f" and {len(asked) - LINES_MAX} more" if len(asked) > LINES_MAX else ""
    return f"behind {name} the dependency's ledger has {'; '.join(told) or 'nothing'}{more}"


def passed(rule: Rule, count: int, why: str = "", *, fault: str = "") -> Finding:
    """Say that a check ran on `count` of its unit and found nothing."""
    return Finding(
        verdict=rule.verdict,
        ruling="pass",
        fault=fault,
        observed=0.0,
        limit=0.0,
        unit=rule.unit,
        why=why or f"none of {count} {rule.unit} {rule.wrong}",
        source=rule.source,
        hard=rule.hard,
    )


def unknown(rule: Rule, why: str, *, fault: str = "") -> Finding:
    """Say that a check could not see, and why."""
    return Finding(
        verdict=rule.verdict,
        ruling="unknown",
        fault=fault,
        unit=rule.unit,
        why=why,
        source=rule.source,
        hard=rule.hard,
    )
