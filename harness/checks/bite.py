"""Did a fault hit anything? By whoever injected it, or else by what the journal shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from faults.agent_sessions import OutsiderFault
from faults.load import LoadShape
from harness.evidence.latencies import latency_ns, measured
from harness.evidence.phases import BASELINE, Evidence, WindowSpan, fault_code
from harness.journal import FloodEntry, ProbeEntry, ProcessEntry, TokenEntry
from harness.outcome import Outcome
from harness.scenario.units import counted

SHIFT_MIN: Final = 1.25  # of the treated p50, beyond the control arm's own shift
SHIFT_SLACK_NS: Final = 1_000_000
ERRORS_MIN: Final = 0.05  # more failing calls than in the baseline
_CALLS_MIN: Final = 10
_BROKEN: Final = (Outcome.TRANSPORT_ERROR, Outcome.TIMEOUT, Outcome.HANG)


@dataclass(frozen=True, kw_only=True)
class Bite:
    """Whether a fault hit; None where nobody can tell. `exposure` says so in words."""

    bit: bool | None
    count: int
    unit: str
    exposure: str


def bite(evidence: Evidence, window: WindowSpan) -> Bite:
    """Tell whether a window's fault hit anything.

    Attempts that misbehaved for the window are proof in themselves. Else the injector's count
    decides; a proxy that keeps none leaves it to the treated calls: they must have slowed or failed
    where the control arm's did not.
    """
    if not window.injected:
        why = window.error or "the run ended before it"
        return Bite(bit=False, count=0, unit="", exposure=f"never in force: {why}")
    told = _recorded(evidence, window)
    if told is not None:
        return told
    count, unit, source = window.exposure_count, window.exposure_unit, window.exposure_source
    if count > 0:
        words = f"{counted(count, unit)}, counted by the {source}"
        return Bite(bit=True, count=count, unit=unit, exposure=words)
    if window.fault.lever == "agent" or source in ("injector", "issuer", "journal"):
        words = f"nothing was hit, says the {source or 'journal'}"
        return Bite(bit=False, count=0, unit=unit or "calls", exposure=words)
    seen = _seen(evidence, window)
    if seen is not None:
        hit, words = seen
        return Bite(bit=True, count=hit, unit="calls", exposure=f"{words}, seen in the journal")
    words = "no counter of the injector's, and the treated calls show no effect"
    return Bite(bit=None, count=0, unit=unit or "calls", exposure=words)


def _recorded(evidence: Evidence, window: WindowSpan) -> Bite | None:
    """Look for what only the fault can have caused: misbehaving attempts, replaced tokens."""
    if isinstance(window.fault, LoadShape):
        return _shaped(evidence, window, window.fault)
    struck = _struck(evidence, window)
    if struck:
        words = f"{counted(struck, 'processes')}, counted in the journal"
        return Bite(bit=True, count=struck, unit="processes", exposure=words)
    asked = _asked(evidence, window)
    if asked:
        words = f"{counted(asked, 'odd requests')}, counted in the journal"
        return Bite(bit=True, count=asked, unit="calls", exposure=words)
    acted = int(evidence.acted[window.window])
    renewed = _renewed(evidence, window)
    if not acted and not renewed:
        return None
    hits = ((acted, "calls"), (renewed, "tokens replaced"))
    words = " and ".join(counted(count, what) for count, what in hits if count)
    return Bite(
        bit=True,
        count=acted or renewed,
        unit="calls" if acted else "tokens",
        exposure=f"{words}, counted in the journal",
    )


def _shaped(evidence: Evidence, window: WindowSpan, shape: LoadShape) -> Bite:
    """Count the calls of the sessions that a shape adds; of all, where it only lasts."""
    calls = evidence.calls
    inside = evidence.attempted & (evidence.began_ns >= window.start_ns)
    inside &= evidence.began_ns < window.end_ns
    if shape.added(evidence.scenario.load.sessions):
        added = [who.session for who in evidence.plan.sessions if who.window == window.window]
        inside &= np.isin(calls["session"], added)
    count = int(np.count_nonzero(inside))
    words = f"{counted(count, 'calls')} of its load, counted in the journal"
    return Bite(bit=count > 0, count=count, unit="calls", exposure=words)


def _struck(evidence: Evidence, window: WindowSpan) -> int:
    """Count the server processes that a window's fault killed, stopped or would not read."""
    return sum(
        entry.struck and entry.window == window.window
        for entry in evidence.journal.of(ProcessEntry)
    )


def _asked(evidence: Evidence, window: WindowSpan) -> int:
    """Count the requests of outsiders: those that were written down, and those of floods."""
    if not isinstance(window.fault, OutsiderFault):
        return 0
    probes = sum(entry.window == window.window for entry in evidence.journal.of(ProbeEntry))
    floods = (one for one in evidence.journal.of(FloodEntry) if one.window == window.window)
    return probes + sum(flood.requests for flood in floods)


def _renewed(evidence: Evidence, window: WindowSpan) -> int:
    """Count the tokens that treated sessions had to replace while a fault of identity lasted."""
    if window.fault.lever != "identity":
        return 0
    arm = evidence.session_treated
    return sum(
        entry.replaced
        and window.start_ns <= entry.at_ns < window.healed_ns
        and entry.session < len(arm)
        and bool(arm[entry.session])
        for entry in evidence.journal.of(TokenEntry)
    )


def _seen(evidence: Evidence, window: WindowSpan) -> tuple[int, str] | None:
    """Look for the fault in the treated calls of its window: failures first, then slowness."""
    mine = evidence.struck_by(window)
    inside = (evidence.phase == fault_code(window.window)) & mine
    base = (evidence.phase == BASELINE) & mine
    if min(np.count_nonzero(inside), np.count_nonzero(base)) < _CALLS_MIN:
        return None
    broken = np.isin(evidence.settled["outcome"], _BROKEN)
    control = (evidence.phase == fault_code(window.window)) & ~mine
    usual = max(float(broken[base].mean()), float(broken[control].mean()) if control.any() else 0.0)
    if float(broken[inside].mean()) > usual + ERRORS_MIN:
        count = int(np.count_nonzero(broken & inside))
        return count, f"{count} treated calls broken"
    took_ns, told = latency_ns(evidence, "sent"), measured(evidence, "sent")
    if not (told & inside).any() or not (told & base).any():
        return None
    now_ns, base_ns = np.median(took_ns[told & inside]), np.median(took_ns[told & base])
    beside, before = told & control, told & ~mine & (evidence.phase == BASELINE)
    drift = 1.0
    if beside.any() and before.any():
        drift = max(1.0, float(np.median(took_ns[beside]) / np.median(took_ns[before])))
    if now_ns > base_ns * drift * SHIFT_MIN + SHIFT_SLACK_NS:
        count = int(np.count_nonzero(told & inside))
        words = f"{count} treated calls, {now_ns / 1e6:.1f} ms at p50 instead of"
        return count, f"{words} {base_ns / 1e6:.1f}"
    return None
