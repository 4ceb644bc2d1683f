"""Do sessions come back once the fault is gone, and live through what is no fault at all?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.checks import sightings
from harness.checks.renewals import SHARE_MIN, forgotten, renewals, sessions_lost
from harness.checks.sightings import Rule
from harness.evidence.attempts import LOST, REOPENED
from harness.evidence.phases import Evidence, Indices, Mask, WindowSpan, recovery_code
from harness.journal import call_id
from harness.outcome import Outcome
from harness.scenario.units import counted
from harness.verdict import Finding

_RECOVERY: Final = Rule(
    verdict="no-recovery",
    wrong="had no answer after the fault was gone",
    source="scenario: phases.recovery",
    unseen="no treated session had two calls due after the fault was gone",
    unit="sessions",
)
_RENEWAL: Final = Rule(
    verdict="no-recovery",
    wrong="lost their session or what it held when their token was renewed",
    source="MCP security best practices: bind a session to the user, not to one token",
    unseen="",
    unit="renewals",
)
_CALLS_MIN: Final = 2
_SHARE_MAX: Final = 0.02
_WATCHED_MIN_NS: Final = 1_500_000_000
_WATCHED_SHARE_MIN: Final = 0.5  # of the recovery that was planned


def no_recovery(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask, for each fault that was healed, whether the treated sessions were answered again.

    Needs a treated session that was answered before the fault and has at least two calls due
    in the recovery after it; steps that only the run's end kept from starting are no such calls.
    More than one session in fifty without an answer fails, and so do sessions that their client
    found lost and never reopened.
    """
    return tuple(_after(evidence, window) for window in evidence.phases.windows if window.injected)


def _after(evidence: Evidence, window: WindowSpan) -> Finding:
    if not window.healed:
        why = "the fault was not proven healed"
        return sightings.unknown(_RECOVERY, why, fault=window.id)
    planned = next(one for one in evidence.plan.windows if one.window == window.window)
    planned_ns = planned.recovery_end_ns - planned.end_ns
    watched_ns = window.recovery_end_ns - window.healed_ns
    if watched_ns < max(_WATCHED_MIN_NS, _WATCHED_SHARE_MIN * planned_ns):
        why = "the target was ready again too late in the recovery to be watched"
        return sightings.unknown(_RECOVERY, why, fault=window.id)
    calls = evidence.calls
    due = _due_after(evidence, window)
    count = len(evidence.session_treated)
    due_count = _per_session(calls["session"][due], count)
    ok_after = _per_session(calls["session"][due[calls["outcome"][due] == Outcome.OK]], count)
    first_ns = evidence.answered_ns[0][:count]
    ok_before = (first_ns >= 0) & (first_ns < window.start_ns)
    watched = evidence.session_treated & (due_count >= _CALLS_MIN) & ok_before
    if not watched.any():
        return sightings.unknown(_RECOVERY, _RECOVERY.unseen, fault=window.id)
    gone = watched & ((ok_after == 0) | _never_reopened(evidence, window, count))
    gone_count, watched_count = int(gone.sum()), int(watched.sum())
    failed = gone_count > 0 and gone_count >= _SHARE_MAX * watched_count
    return Finding(
        verdict=_RECOVERY.verdict,
        ruling="fail" if failed else "pass",
        fault=window.id,
        observed=float(gone_count),
        limit=float(np.floor(_SHARE_MAX * watched_count)),
        unit="sessions",
        why=f"{gone_count} of {watched_count} treated sessions had no answer in the "
        f"{watched_ns / 1e9:.1f} s after {window.id} was gone",
        source=_RECOVERY.source,
        evidence=_first_each(evidence, due, gone) if failed else (),
    )


def _due_after(evidence: Evidence, window: WindowSpan) -> Indices:
    """Find the settling calls due in a window's recovery that the run let start.

    What was still waiting when the next fault came was in its hands: that shows nothing of this.
    """
    positions, due_ns = evidence.begun
    start, end = np.searchsorted(due_ns, (window.healed_ns, window.recovery_end_ns), side="left")
    found = np.sort(positions[start:end])
    return np.asarray(found[evidence.attempt_phase[found] == recovery_code(window.window)])


def _per_session(sessions: NDArray[np.uint32], count: int) -> NDArray[np.intp]:
    return np.bincount(sessions, minlength=count)[:count]


def _never_reopened(evidence: Evidence, window: WindowSpan, count: int) -> Mask:
    """Tell which sessions were lost from the fault on and neither reopened nor answered since."""
    last_ok_ns = evidence.answered_ns[1][:count]
    edges = evidence.edges
    known = edges.session < count
    lost = known & (edges.edge == LOST)
    lost &= (edges.at_ns >= window.start_ns) & (edges.at_ns < window.recovery_end_ns)
    lost_ns, back_ns = np.full((2, count), -1, dtype=np.int64)
    np.maximum.at(lost_ns, edges.session[lost], edges.at_ns[lost])
    back = known & (edges.edge == REOPENED)
    np.maximum.at(back_ns, edges.session[back], edges.at_ns[back])
    return np.asarray((lost_ns >= 0) & (back_ns < lost_ns) & (last_ok_ns < lost_ns))


def _first_each(evidence: Evidence, due: Indices, sessions: Mask) -> tuple[str, ...]:
    """Name the first call of each session after the fault, up to ten."""
    calls = evidence.calls
    positions = due[sessions[np.minimum(calls["session"][due], len(sessions) - 1)]]
    _, first = np.unique(calls["session"][positions], return_index=True)
    return tuple(call_id(calls[at]) for at in positions[first][: sightings.EVIDENCE_MAX])


def survives_renewal(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether sessions and what they hold outlive the renewal of their token.

    Needs one renewal. Fails where a fifth of the renewals is directly followed by the loss of the
    session, and losses without a renewal are rare beside them; or where calls that else hardly
    fail do so from a renewal on.
    """
    made = renewals(evidence)
    if not len(made.session):
        return ()
    lost, others = sessions_lost(evidence, made)
    count = len(made.session)
    forgot = forgotten(evidence, made)
    dropped = len(lost) >= SHARE_MIN * count and others <= SHARE_MIN * len(lost)
    if not (lost and dropped) and not len(forgot):
        return (sightings.passed(_RENEWAL, count),)
    if lost and dropped:
        at_ns = np.array([entry.at_ns for entry in lost], dtype=np.int64)
        named = _next_calls(evidence, [(entry.session, entry.at_ns) for entry in lost])
        what = (
            f"{len(lost)} of {count} renewals of a token were directly followed by the loss of "
            "the session, which so is bound to the token and not to whom it was issued"
        )
        observed = len(lost)
    else:
        at_ns = evidence.calls["sent_ns"][forgot]
        named = tuple(call_id(evidence.calls[at]) for at in forgot[: sightings.EVIDENCE_MAX])
        what = (
            f"{counted(len(forgot), 'calls')} failed from the renewal of their session's token on, "
            "and such calls hardly fail otherwise: what the session held is bound to the token"
        )
        observed = len(forgot)
    return (
        Finding(
            verdict=_RENEWAL.verdict,
            ruling="fail",
            fault=sightings.fault_at(evidence, int(np.median(at_ns))),
            observed=float(observed),
            limit=float(np.floor(SHARE_MIN * count)),
            unit="renewals",
            why=what,
            source=_RENEWAL.source,
            evidence=named,
        ),
    )


def _next_calls(evidence: Evidence, losses: list[tuple[int, int]]) -> tuple[str, ...]:
    """Name the call at which each loss was noticed, up to ten."""
    calls = evidence.calls
    named: list[str] = []
    for session, at_ns in losses[: sightings.EVIDENCE_MAX]:
        mine = np.flatnonzero((calls["session"] == session) & (calls["sent_ns"] >= 0))
        if len(mine):
            nearest = mine[np.argmin(np.abs(calls["done_ns"][mine] - at_ns))]
            named.append(call_id(calls[nearest]))
    return tuple(named)


CHECKS: Final[tuple[Callable[[Evidence], tuple[Finding, ...]], ...]] = (
    no_recovery,
    survives_renewal,
)
