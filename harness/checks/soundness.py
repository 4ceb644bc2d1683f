"""Is the evidence itself sound? Asked before any number is believed; if not, nothing is concluded.

`fail` is proof that the evidence is not sound, `unknown` that its soundness could not be shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from harness.checks import agreement
from harness.checks.bite import bite
from harness.checks.engines import engines_agree
from harness.evidence.generator import SLIP_P99_MAX_MS, Stretch, assess
from harness.evidence.latencies import HIGHEST_US, SAMPLES_MIN, latency_ns, measured, out_of_range
from harness.evidence.phases import BASELINE, Evidence, Span, fault_code, recovery_code
from harness.journal import HealthEntry, RunEntry, WorkerEntry
from harness.scenario.units import counted
from harness.verdict import GeneratorHealth, GeneratorVerdict, Ruling, Soundness

CALLS_MIN: Final = SAMPLES_MIN[90.0]
SESSIONS_MIN: Final = 3

Check = Callable[[Evidence], tuple[Soundness, ...]]
_BITTEN: Final[dict[bool | None, Ruling]] = {True: "pass", False: "fail", None: "unknown"}


_FARED: Final[dict[GeneratorVerdict, Ruling]] = {
    "ok": "pass",
    "suspect": "pass",
    "invalid": "fail",
}


def generator(evidence: Evidence) -> tuple[Soundness, ...]:
    """Ask whether squall itself was the bottleneck; `evidence.generator` says how that is judged.

    Suspect passes, and says why. Needs the health record.
    """
    fared = generator_health(evidence)
    if fared is None:
        return (_unknown("generator", "no process of the generator recorded how it fared"),)
    return (
        Soundness(
            name="generator",
            ruling=_FARED[fared.verdict],
            why=f"{fared.verdict}: {fared.why}",
            observed=fared.sent_late_p99_ms,
            limit=round(max(SLIP_P99_MAX_MS, _reported_p50_ms(evidence)), 3),
            unit="ms",
        ),
    )


def generator_health(evidence: Evidence) -> GeneratorHealth | None:
    """Judge every process of the generator; None when none of them said how it fared.

    The calls are those of the baseline, for a fault may hold a call back; the rest is asked of
    every phase.
    """
    spans = [("the baseline", evidence.phases.baseline.start_ns, evidence.phases.baseline.end_ns)]
    for window in evidence.phases.windows:
        spans.append((window.id, window.start_ns, window.healed_ns))
        after = f"the recovery after {window.id}"
        spans.append((after, window.healed_ns, window.recovery_end_ns))
    lost = {one.worker: one.why for one in evidence.journal.of(WorkerEntry) if one.edge == "lost"}
    return assess(
        evidence.settled[evidence.phase == BASELINE],
        evidence.journal.of(HealthEntry),
        [Stretch(name=name, start_ns=start, end_ns=end) for name, start, end in spans],
        p50_ms=_reported_p50_ms(evidence),
        lost=lost,
    )


def _reported_p50_ms(evidence: Evidence) -> float:
    calm = (evidence.phase == BASELINE) & measured(evidence, "due")
    values = latency_ns(evidence, "due")[calm]
    return float(np.median(values)) / 1e6 if len(values) else 0.0


def fault_bit(evidence: Evidence) -> tuple[Soundness, ...]:
    """Ask of every window whether its fault hit anything; a fault that did not proves nothing."""
    return tuple(
        Soundness(
            name="fault-bit",
            ruling=_BITTEN[found.bit],
            why=f"{window.id}: {found.exposure}",
            observed=float(found.count),
            limit=1.0,
            unit=found.unit,
        )
        for window in evidence.phases.windows
        for found in (bite(evidence, window),)
    )


def healed(evidence: Evidence) -> tuple[Soundness, ...]:
    """Ask whether every fault is proven undone; without faults there is nothing to ask."""
    windows = evidence.phases.windows
    if not windows:
        return ()
    left = [
        f"{window.id}{f' ({window.error})' if window.error else ''}"
        for window in windows
        if not window.healed
    ]
    why = f"not proven undone: {', '.join(left)}" if left else f"all {len(windows)} faults undone"
    return (
        Soundness(
            name="healed",
            ruling="fail" if left else "pass",
            why=why,
            observed=float(len(left)),
            limit=0.0,
            unit="faults",
        ),
    )


def conservation(evidence: Evidence) -> tuple[Soundness, ...]:
    """Ask whether every planned step has exactly one settling attempt, and no other has any.

    A run that broke off can only be asked for duplicates and strangers.
    """
    settled, plan = evidence.settled, evidence.plan
    count = evidence.session_count
    planned = np.zeros(count, dtype=np.int64)
    for who in plan.sessions:
        planned[who.session] = plan.count(who.session)
    session, index = settled["session"], settled["index"]
    stranger = index >= planned[session]
    twice = np.zeros(len(settled), dtype=np.bool_)
    twice[1:] = (session[1:] == session[:-1]) & (index[1:] == index[:-1])
    distinct = np.bincount(session[~twice & ~stranger], minlength=count)
    missing = int((planned - distinct).sum())
    unsettled = 0
    if len(evidence.group):
        settling = np.bincount(evidence.group[evidence.logical], minlength=evidence.group[-1] + 1)
        unsettled = int(np.count_nonzero(settling == 0))
    duplicates, strangers = int(twice.sum()), int(stranger.sum())
    wrong = duplicates + strangers + missing
    words = (
        f"{int(planned.sum())} steps planned, {len(settled)} settled: {missing} missing, "
        f"{duplicates} settled twice, {strangers} never planned, {unsettled} begun and not settled"
    )
    ruling: Ruling = "pass" if wrong == 0 else "fail"
    if wrong and not duplicates and not strangers and _ending(evidence) is None:
        ruling = "unknown"
        words = f"the record breaks off; {words}"
    return (
        Soundness(
            name="conservation",
            ruling=ruling,
            why=words,
            observed=float(wrong),
            limit=0.0,
            unit="steps",
        ),
    )


def _ending(evidence: Evidence) -> RunEntry | None:
    ended = [entry for entry in evidence.journal.of(RunEntry) if entry.edge == "ended"]
    return ended[-1] if ended else None


def workers(evidence: Evidence) -> tuple[Soundness, ...]:
    """Ask whether every worker process stayed, and all that it recorded is here."""
    entries = evidence.journal.of(WorkerEntry)
    if not entries:
        return ()
    joined = {entry.worker for entry in entries if entry.edge == "joined"}
    done = {entry.worker: entry for entry in entries if entry.edge == "done"}
    lost = {entry.worker: entry.why for entry in entries if entry.edge == "lost"}
    for worker in sorted(joined - done.keys() - lost.keys()):
        lost[worker] = "it never said that it was done"
    records = np.bincount(evidence.calls["worker"], minlength=256)
    short = [
        f"worker {worker} wrote {entry.calls} calls, {int(records[worker])} are here"
        for worker, entry in sorted(done.items())
        if entry.calls and entry.calls != int(records[worker])
    ]
    faults = [f"worker {worker} was lost: {why}" for worker, why in sorted(lost.items())] + short
    return (
        Soundness(
            name="workers",
            ruling="fail" if faults else "pass",
            why="; ".join(faults) or f"all {len(joined | done.keys())} workers finished",
            observed=float(len(lost)),
            limit=0.0,
            unit="workers",
        ),
    )


def samples(evidence: Evidence) -> tuple[Soundness, ...]:
    """Ask whether every phase that is compared holds enough calls, and the arms enough sessions."""
    least = min(
        _counts(evidence),
        key=lambda one: (one.ruling == "pass", (one.observed or 0) / (one.limit or 1)),
    )
    whole = Span(start_ns=evidence.phases.baseline.start_ns, end_ns=evidence.phases.end_ns)
    return (agreement.explained(evidence, whole, least),)


def _counts(evidence: Evidence) -> Iterator[Soundness]:
    arms = {who.arm for who in evidence.plan.sessions}
    for arm, mask in (("treated", evidence.treated), ("control", evidence.control)):
        if arm not in arms:
            continue
        spoke = len(np.unique(evidence.settled["session"][mask & evidence.counted]))
        yield _enough(f"{arm} sessions that made calls", spoke, SESSIONS_MIN, "sessions")
        phases: list[tuple[tuple[int, ...], str]] = [((BASELINE,), "baseline")]
        for window in evidence.phases.windows if arm == "treated" else ():
            # A fault that expires every credential may leave no fair call inside its window.
            both = (fault_code(window.window), recovery_code(window.window))
            phases.append((both, f"{window.id} and its recovery"))
            phases.append(((recovery_code(window.window),), f"{window.window}:recovery"))
        for codes, name in phases:
            mine = mask & evidence.counted & np.isin(evidence.phase, codes)
            count = int(np.count_nonzero(mine))
            yield _enough(f"{arm} calls in {name}", count, CALLS_MIN, "calls")
    if not arms:
        yield _unknown("samples", "the plan has no sessions")


def _enough(what: str, count: int, least: int, unit: str) -> Soundness:
    return Soundness(
        name="samples",
        ruling="pass" if count >= least else "unknown",
        why=f"{count} {what}, at least {least} are needed",
        observed=float(count),
        limit=float(least),
        unit=unit,
    )


def histogram_range(evidence: Evidence) -> tuple[Soundness, ...]:
    """Ask whether every latency fits the histograms; one below zero means that a clock jumped."""
    count = out_of_range(evidence)
    return (
        Soundness(
            name="histogram-range",
            ruling="fail" if count else "pass",
            why=f"{count} latencies were below zero or above {HIGHEST_US // 60_000_000} minutes",
            observed=float(count),
            limit=0.0,
            unit="latencies",
        ),
    )


def run_complete(evidence: Evidence) -> tuple[Soundness, ...]:
    """Ask whether the run came to its planned end, and its record is whole."""
    ending = _ending(evidence)
    damaged = evidence.journal.damaged_lines
    if ending is None:
        whole = "; what it broke is proven undone" if evidence.journal.whole_by else ""
        why = f"the run did not end: its record breaks off after {evidence.run_end_ns / 1e9:.1f} s"
        return (_unknown("run-complete", why + whole),)
    if ending.how != "completed":
        how = {"failed": "could not go on"}.get(ending.how, f"was {ending.how or 'ended'}")
        why = f"the run {how}{f': {ending.why}' if ending.why else ''}"
        return (_unknown("run-complete", why),)
    if damaged:
        return (
            _unknown("run-complete", f"{counted(damaged, 'lines')} of the journal cannot be read"),
        )
    return (Soundness(name="run-complete", ruling="pass", why="the run came to its planned end"),)


def _unknown(name: str, why: str) -> Soundness:
    return Soundness(name=name, ruling="unknown", why=why)


CHECKS: Final[tuple[Check, ...]] = (
    run_complete,
    healed,
    workers,
    conservation,
    samples,
    generator,
    agreement.arms_agree,
    agreement.baseline_steady,
    fault_bit,
    histogram_range,
    engines_agree,
)
