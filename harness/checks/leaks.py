"""Does what a flood leaves behind stay? Judged by what each further flood adds, never by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from faults.agent_sessions import FLOODS, RejectFlood, SessionFlood
from harness.checks import memory, sightings
from harness.checks.memory import LEAST_BYTES, MIB, PER_SESSION_BYTES
from harness.checks.outsiders import tell
from harness.checks.sightings import Rule
from harness.evidence.phases import Evidence, WindowSpan
from harness.journal import FloodEntry, ProbeEntry, VitalsEntry
from harness.verdict import Finding

_LEAK: Final = Rule(
    verdict="leak-session",
    wrong="cost something for good",
    source="a leak: each of the last two of three equal floods adds 8 MiB, and 10 KiB a request",
    unseen="",
    unit="MiB",
)
ANSWERED_SHARE_MIN: Final = 0.8  # of a flood; what was not answered may not have come
KEPT_SHARE_MIN: Final = 0.5  # descriptors or threads, of what a flood has sent
KEPT_MIN: Final = 20
REST_SURE_S: Final = 30.0  # a rest after which what is still held counts as kept


@dataclass(frozen=True, kw_only=True)
class _Flood:
    """One flood that was rested after, and what the target held before it and after its rest."""

    sent: int
    answered: int
    before: VitalsEntry | None
    after: VitalsEntry | None

    def grew(self, of: Callable[[VitalsEntry], int | None]) -> int | None:
        """Give by how much something grew; None where nobody looked."""
        first = None if self.before is None else of(self.before)
        last = None if self.after is None else of(self.after)
        return None if first is None or last is None else last - first


def leak_session(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether sessions and refused requests are let go of.

    A session that is served after the server agreed to end it is a leak by itself. Otherwise the
    last two of three floods must have grown the target's memory alike (or descriptors, or threads),
    after a rest in which every session was ended or, where DELETE ends none, after 30 s or the
    time in which sessions idle out. Needs three floods and a target whose process squall sees.
    """
    return tuple(
        _under(evidence, window)
        for window in evidence.phases.windows
        if window.injected and isinstance(window.fault, SessionFlood | RejectFlood)
    )


def _under(evidence: Evidence, window: WindowSpan) -> Finding:
    probes = [e for e in evidence.journal.of(ProbeEntry) if e.window == window.window]
    alive = [e for e in probes if e.variant == "ended" and e.outcome == "ok"]
    # Who serves any id at all keeps no sessions, whatever it says when one is ended.
    stateless = any(e.variant == "unknown" and e.outcome == "ok" for e in probes)
    if alive and not stateless:
        asked = sum(e.variant == "ended" for e in probes)
        return _fail(
            window,
            f"{len(alive)} of {asked} sessions were served after DELETE had ended them: "
            f"{tell(alive[0])}",
            evidence=tuple(tell(e) for e in alive[: sightings.EVIDENCE_MAX]),
        )
    floods = _floods(evidence, window)
    unheard = [flood for flood in floods if flood.answered < ANSWERED_SHARE_MIN * flood.sent]
    if unheard:
        why = f"{unheard[0].answered} of a flood's {unheard[0].sent} requests were answered"
        return sightings.unknown(_LEAK, why, fault=window.id)
    held = any(e.variant == "unended" and e.outcome == "ok" for e in probes)
    if len(floods) < FLOODS:
        why = f"{len(floods)} of {FLOODS} floods were over in the fault's time; give it longer"
        return sightings.unknown(_LEAK, why, fault=window.id)
    if held and not _rested_enough(window):
        why = (
            "sessions cannot be ended with DELETE here, and may idle out later than the rest of "
            f"{_rest_s(window):g} s; give a longer rest, or say in idle: when they do"
        )
        return sightings.unknown(_LEAK, why, fault=window.id)
    return _by_growth(window, floods[1:])


def _by_growth(window: WindowSpan, further: Sequence[_Flood]) -> Finding:
    grown = [flood.grew(lambda vitals: vitals.rss_bytes) for flood in further]
    sizes = [size for size in grown if size is not None]
    if len(sizes) < len(further):
        why = "the target's memory is not to be seen from here"
        return sightings.unknown(_LEAK, why, fault=window.id)
    told = " and ".join(f"{size / MIB:.1f}" for size in sizes)
    words = f"the last two of {FLOODS} equal floods of {further[0].sent} added {told} MiB"
    limit = max(LEAST_BYTES, *(flood.sent * PER_SESSION_BYTES for flood in further))
    marks = tuple(_mark(number, flood) for number, flood in enumerate(further, start=2))
    if memory.leaks(sizes, limit):
        each = min(sizes) / further[0].sent / 1024
        why = f"{words}, {each:.0f} KiB for each request, and none of it came back in the rest"
        return _fail(window, why, evidence=marks, observed=min(sizes) / MIB)
    for name, of in (("descriptors", _open_files), ("threads", _threads)):
        kept = [flood.grew(of) or 0 for flood in further]
        if all(k >= max(KEPT_MIN, KEPT_SHARE_MIN * further[0].sent) for k in kept):
            why = f"the last two of {FLOODS} equal floods left {kept[0]} and {kept[1]} {name} open"
            return _fail(window, why, evidence=marks, observed=float(min(kept)))
    return sightings.passed(_LEAK, len(further), f"{words}: no leak", fault=window.id)


def _open_files(vitals: VitalsEntry) -> int | None:
    return vitals.open_files


def _threads(vitals: VitalsEntry) -> int | None:
    return vitals.threads


def _mark(number: int, flood: _Flood) -> str:
    assert flood.before is not None
    assert flood.after is not None
    before, after = flood.before, flood.after
    return (
        f"flood {number}, {flood.sent} sent: {(before.rss_bytes or 0) / MIB:.1f} MiB at "
        f"{before.at_ns / 1e9:.1f} s before it, {(after.rss_bytes or 0) / MIB:.1f} MiB at "
        f"{after.at_ns / 1e9:.1f} s after its rest"
    )


def _fail(
    window: WindowSpan, why: str, *, evidence: tuple[str, ...], observed: float | None = None
) -> Finding:
    return Finding(
        verdict=_LEAK.verdict,
        ruling="fail",
        fault=window.id,
        observed=observed,
        limit=LEAST_BYTES / MIB if observed is not None else None,
        unit=_LEAK.unit if observed is not None else "",
        why=why,
        source=_LEAK.source,
        evidence=evidence,
    )


def _floods(evidence: Evidence, window: WindowSpan) -> list[_Flood]:
    """Give the floods that were rested after, in order."""
    edges = {
        (entry.flood, entry.edge): entry
        for entry in evidence.journal.of(FloodEntry)
        if entry.window == window.window
    }
    vitals = evidence.journal.of(VitalsEntry)
    made: list[_Flood] = []
    for flood in range(1, FLOODS + 1):
        began, ended = edges.get((flood, "began")), edges.get((flood, "ended"))
        rested = edges.get((flood, "rested"))
        if began is None or ended is None or rested is None:
            break
        before = [v for v in vitals if v.at_ns <= began.at_ns]
        after = [v for v in vitals if ended.at_ns < v.at_ns <= rested.at_ns]
        made.append(
            _Flood(
                sent=rested.sent,
                answered=rested.accepted + rested.refused,
                before=before[-1] if before else None,
                after=after[-1] if after else None,
            )
        )
    return made


def _rest_s(window: WindowSpan) -> float:
    fault = window.fault
    return fault.rest_s if isinstance(fault, SessionFlood | RejectFlood) else 0.0


def _rested_enough(window: WindowSpan) -> bool:
    fault = window.fault
    sure_s = REST_SURE_S
    if isinstance(fault, SessionFlood) and fault.idle_s > 0:
        sure_s = fault.idle_s
    return _rest_s(window) >= sure_s


CHECKS: Final[tuple[Callable[[Evidence], tuple[Finding, ...]], ...]] = (leak_session,)
