"""Evidence -> Judgement: every opinion there is on one run, and the exit code they add up to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from harness import aa
from harness.checks import (
    answers,
    audit,
    auth,
    bulk,
    configuration,
    consumers,
    conversation,
    credentials,
    dependency,
    effects,
    families,
    health,
    hops,
    issuers,
    latency,
    leaks,
    lifecycle,
    limits,
    lists,
    neighbours,
    orphans,
    outsiders,
    processes,
    protocol,
    quality,
    readers,
    resources,
    shutdown,
    soak,
    soundness,
    streams,
    updates,
    validation,
)
from harness.checks import recovery as recoveries
from harness.checks.bite import bite
from harness.errors import Exit
from harness.evidence import (
    amplification,
    contents,
    latencies,
    manners,
    profiles,
    recovery,
    summaries,
    telemetry,
    witnesses,
)
from harness.evidence.machine import busier
from harness.evidence.phases import Evidence, Span, WindowSpan
from harness.evidence.readiness import readiness
from harness.headline import headline
from harness.journal import NoteEntry, RunEntry
from harness.scenario.units import counted
from harness.score import Scored, score
from harness.verdict import (
    BareArms,
    FaultVerdict,
    Finding,
    Judgement,
    Limit,
    Ruling,
    Score,
    Soundness,
    worst,
)

CHECKS: Final[tuple[Callable[[Evidence], tuple[Finding, ...]], ...]] = (
    *answers.CHECKS,
    *effects.CHECKS,
    *audit.CHECKS,
    *orphans.CHECKS,
    *validation.CHECKS,
    *bulk.CHECKS,
    *updates.CHECKS,
    *readers.CHECKS,
    *auth.CHECKS,
    *credentials.CHECKS,
    *issuers.CHECKS,
    *hops.CHECKS,
    *protocol.CHECKS,
    *conversation.CHECKS,
    *dependency.CHECKS,
    *resources.CHECKS,
    *recoveries.CHECKS,
    *latency.CHECKS,
    *lifecycle.CHECKS,
    *shutdown.CHECKS,
    *soak.CHECKS,
    *configuration.CHECKS,
    *health.CHECKS,
    *streams.CHECKS,
    *processes.CHECKS,
    *outsiders.CHECKS,
    *leaks.CHECKS,
    *quality.CHECKS,
    *lists.CHECKS,
    *neighbours.CHECKS,
)

_BUSIER_TOLD: Final = 1.5
# What these leave in doubt is whatever is compared with the baseline or the other arm: the score,
# the limits, the recovery. A finding stands on the calls that it names.
_COMPARISONS: Final = frozenset({"arms-agree", "baseline-steady"})


def judge(evidence: Evidence, *, name: str = "", bare_arms: BareArms | None = None) -> Judgement:
    """Judge a run, deterministically; `name` is the scenario's, for the headline.

    `bare_arms` are what an A/A run showed: this one, which then has no score, or an earlier one.
    """
    found, crashed = _run_checks(evidence)
    findings = families.link(found)
    sound = (*_run_soundness(evidence), *crashed)
    verdict = worst(one.ruling for one in sound)
    own = bare_arms is not None and bare_arms.own
    scored = score(
        evidence, soundness="unknown" if own else verdict, hard=_broken(evidence, findings)
    )
    faults = tuple(_fault(evidence, window, findings, scored) for window in evidence.phases.windows)
    wanted = limits.judge_limits(evidence, scored.overall)
    code = _exit_code(
        evidence, _Parts(findings=findings, sound=sound, faults=faults, limits=wanted)
    )
    counted_sessions, counted_effects = summaries.sessions(evidence), summaries.effects(evidence)
    counted_calls = summaries.calls(evidence)
    traces = telemetry.rows(evidence)
    return Judgement(
        scenario=name,
        question=evidence.scenario.question,
        seed=evidence.plan.seed,
        era=evidence.era,
        ruling=_ruling(code),
        exit_code=int(code),
        headline=headline(
            code,
            name=name,
            score=scored.overall,
            faults=faults,
            findings=findings,
            limits=wanted,
            soundness=sound,
            sessions=counted_sessions,
            calls=counted_calls,
            effects=counted_effects,
            losses=recovery.losses(evidence),
            bare_arms=aa.sentence(bare_arms) if own and bare_arms else "",
        ),
        score=scored.overall,
        faults=faults,
        findings=findings,
        limits=wanted,
        latency=latencies.rows(evidence),
        latency_answered=latencies.rows(evidence, answered_only=True),
        sessions=counted_sessions,
        calls=counted_calls,
        effects=counted_effects,
        tokens=summaries.tokens(evidence),
        soundness=sound,
        generator=soundness.generator_health(evidence),
        bare_arms=bare_arms,
        notes=_notes(evidence),
        engines=witnesses.rows(evidence),
        quality=profiles.rows(evidence, contents.null_shares(contents.looks(evidence))),
        amplification=amplification.rows(evidence),
        misled=consumers.misled(evidence),
        manners=manners.rows(evidence),
        readiness=readiness(evidence, findings, faults, traces),
        traces=traces,
    )


# --- running the checks ---------------------------------------------------------------------


def _run_checks(evidence: Evidence) -> tuple[list[Finding], list[Soundness]]:
    """Run every check; one that crashes says nothing, which leaves the run unknown."""
    findings: list[Finding] = []
    crashed: list[Soundness] = []
    for check in CHECKS:
        try:
            findings += check(evidence)
        except Exception as error:  # noqa: BLE001  a check's defect must not hide the others
            called = check.__name__.replace("_", "-")
            why = f"the check {called} broke: {type(error).__name__}: {error}"
            findings.append(Finding(verdict=called, ruling="unknown", fault="", why=why))
            crashed.append(Soundness(name="checks", ruling="unknown", why=why))
    return findings, crashed


def _run_soundness(evidence: Evidence) -> list[Soundness]:
    answers_: list[Soundness] = []
    for check in soundness.CHECKS:
        try:
            answers_ += check(evidence)
        except Exception as error:  # noqa: BLE001  as above
            called = check.__name__.replace("_", "-")
            why = f"the check broke: {type(error).__name__}: {error}"
            answers_.append(Soundness(name=called, ruling="unknown", why=why))
    return answers_


def _broken(evidence: Evidence, findings: Sequence[Finding]) -> tuple[tuple[int, str], ...]:
    """List the broken hard rules by window number, 0 for none in particular."""
    numbers = {window.id: window.window for window in evidence.phases.windows}
    return tuple(
        (numbers.get(finding.fault, 0), finding.verdict)
        for finding in findings
        if finding.hard and finding.ruling == "fail"
    )


# --- ruling ---------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Parts:
    findings: tuple[Finding, ...]
    sound: tuple[Soundness, ...]
    faults: tuple[FaultVerdict, ...]
    limits: tuple[Limit, ...]


def _exit_code(evidence: Evidence, parts: _Parts) -> Exit:
    """Weigh the opinions: what is left broken outranks how the run ended, and that what it found.

    A broken hard rule needs no statistics, so it fails a run that is not sound too, and any finding
    fails one in which merely nothing can be compared: a server that drowns has no steady baseline.
    Otherwise nothing is concluded from evidence that is not sound.
    """
    if any(not window.healed for window in evidence.phases.windows):
        return Exit.NOT_HEALED
    how = next((e.how for e in reversed(evidence.journal.of(RunEntry)) if e.edge == "ended"), "")
    if how == "interrupted":
        return Exit.INTERRUPTED
    if how == "aborted":
        return Exit.ABORTED
    if any(finding.hard and finding.ruling == "fail" for finding in parts.findings):
        return Exit.FAIL
    failed = any(finding.ruling == "fail" for finding in parts.findings)
    doubted = {one.name for one in parts.sound if one.ruling != "pass"}
    if doubted:
        return Exit.FAIL if failed and doubted <= _COMPARISONS else Exit.UNKNOWN
    opinions = [*(fault.ruling for fault in parts.faults), *(one.ruling for one in parts.limits)]
    ruling = worst([*opinions, "fail" if failed else "pass"])
    return {"pass": Exit.PASS, "fail": Exit.FAIL, "unknown": Exit.UNKNOWN}[ruling]


def _ruling(code: Exit) -> Ruling:
    if code is Exit.PASS:
        return "pass"
    return "fail" if code is Exit.FAIL else "unknown"


def _fault(
    evidence: Evidence, window: WindowSpan, findings: Sequence[Finding], scored: Scored
) -> FaultVerdict:
    hit = bite(evidence, window)
    mine = [finding for finding in findings if finding.fault == window.id]
    failed = tuple(dict.fromkeys(f.verdict for f in mine if f.ruling == "fail"))
    one: Score | None = scored.windows.get(window.window)
    return FaultVerdict(
        id=window.id,
        kind=window.fault.kind,
        lever=window.fault.lever,
        arm=window.arm,
        start_s=round(window.start_ns / 1e9, 3),
        end_s=round(window.end_ns / 1e9, 3),
        bit=hit.bit is True,
        exposure=hit.exposure,
        healed=window.healed,
        ruling=_fault_ruling(window, findings, hit_nothing=hit.bit is not True),
        score=None if one is None else one.points,
        recovery_s=recovery.recovery_s(evidence, window),
        findings=failed,
    )


def _fault_ruling(window: WindowSpan, findings: Sequence[Finding], *, hit_nothing: bool) -> Ruling:
    """Rule on one fault: by what failed under it, if it was real and somebody could look."""
    mine = [finding.ruling for finding in findings if finding.fault == window.id]
    if "fail" in mine:
        return "fail"
    sought = [
        finding.ruling
        for finding in findings
        if finding.verdict in window.fault.shows and finding.fault in ("", window.id)
    ]
    blind = bool(sought) and all(ruling == "unknown" for ruling in sought)
    return "unknown" if hit_nothing or not window.healed or blind else "pass"


def _notes(evidence: Evidence) -> tuple[str, ...]:
    """Pass on what the run noted, and say what the figures leave out."""
    notes = [entry.text for entry in evidence.journal.of(NoteEntry)]
    preceded = int((evidence.self_delayed & evidence.counted).sum())
    if preceded:
        notes.append(
            f"latency from due leaves out {counted(preceded, 'calls')} that misbehaved on purpose: "
            "part of such a delay is squall's own"
        )
    excused = int(((evidence.excused | evidence.rightly_refused) & (evidence.phase >= 0)).sum())
    if excused:
        notes.append(
            f"neither for nor against the target: {counted(excused, 'calls')} whose client left, "
            "threw the reply away, or was rightly refused"
        )
    for window in evidence.phases.windows:
        if why := recovery.doubt(evidence, window):
            notes.append(f"whether the target was back to normal after {window.id}: {why}")
        ratio = busier(evidence, Span(start_ns=window.start_ns, end_ns=window.recovery_end_ns))
        if ratio >= _BUSIER_TOLD:
            notes.append(
                f"this machine was {ratio:.1f} times busier under {window.id} and after it than in "
                "the baseline; the untouched sessions' slowdown is allowed for that much"
            )
    return tuple(notes)
