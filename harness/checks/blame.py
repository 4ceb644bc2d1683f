"""Which fault, if any, is an offending attempt blamed on?

On one that was in force while it lasted, and under which the same thing is at least twice as common
as where none was. But what is seen with nothing broken may be the server's own at any rate, and
then no fault is accused a second time of making it likelier; what else is never seen but goes on in
a recovery, the fault has left behind. Which it is, each verdict says:

- `rate`: a machine that was busy for a moment brings a few hangs and odd statuses without any
  fault, so only the rate can tell, however often it is seen.
- `common`: an empty answer may come of such a moment too, but a call that is answered so in both
  arms, time and again, with nothing broken, has it from the server.
- `one`: nothing makes a sound server give one caller's data to another, so one such call is enough.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from harness.evidence.phases import Evidence, Mask

RATIO_MIN: Final = 2.0
COMMON_MIN: Final = 5  # calls of one kind, of more than one session and of both arms
COMMON_SHARE_MIN: Final = 0.01  # of the calls of that kind
WINDOWS_NAMED_MAX: Final = 3

Windows = NDArray[np.int16]
Own = Literal["rate", "common", "one"]


def blame(evidence: Evidence, *, judged: Mask, bad: Mask, windows: Windows, own: Own) -> Windows:
    """Give each offending attempt the number of the window that is to blame for it; 0 for none.

    `windows` says under which window each attempt stood, 0 for none; `own` how often the same has
    to be seen with nothing broken for it to be the server's own under faults, too.
    """
    blamed = np.where(bad, windows, np.int16(0))
    bare = judged & (windows == 0)
    bare_share = float(bad[bare].mean()) if bare.any() else 0.0
    for number in np.unique(windows[bad & (windows > 0)]):
        here = judged & (windows == number)
        if float(bad[here].mean()) < RATIO_MIN * bare_share:
            blamed[bad & (windows == number)] = 0
    if own != "rate" and blamed.any():
        blamed[_inherent(evidence, judged=judged, bad=bad, windows=windows, own=own)] = 0
        if not (bad & quiet(evidence)).any():
            _leave(evidence, bad=bad & (windows == 0), blamed=blamed)
    return np.asarray(blamed)


def _leave(evidence: Evidence, *, bad: Mask, blamed: Windows) -> None:
    """Blame what goes on in a recovery, and is else never seen, on the fault that it follows."""
    for window in evidence.injected:
        if (blamed == window.window).any():
            late = bad & (blamed == 0) & (evidence.began_ns >= window.start_ns)
            late &= evidence.began_ns < window.recovery_end_ns
            if window.arm == "treated":
                late &= evidence.calls["treated"] == 1
            blamed[late] = window.window


def quiet(evidence: Evidence) -> Mask:
    """Tell which attempts were made with nothing broken that could have reached them.

    What strikes treated connections reaches the treated sessions alone; what sessions do wrong on
    purpose, and what strikes the target itself, reaches all. Each until its recovery is over.
    """
    calls = evidence.calls
    reached = np.zeros(len(calls), dtype=np.bool_)
    for window in evidence.injected:
        during = (evidence.began_ns < window.recovery_end_ns) & (
            evidence.ended_ns >= window.start_ns
        )
        if window.arm == "treated" and window.fault.lever == "network":
            during &= calls["treated"] == 1
        reached |= during
    return np.asarray(evidence.attempted & ~reached)


def _inherent(evidence: Evidence, *, judged: Mask, bad: Mask, windows: Windows, own: Own) -> Mask:
    """Tell which attempts do what the server is seen to do with nothing broken."""
    calls = evidence.calls
    calm = judged & quiet(evidence) & (windows == 0)
    shown = calm & bad
    if own == "one":
        return np.full(len(calls), bool(shown.any()))
    kinds = [
        kind
        for kind in np.unique(calls["call"][shown])
        if _is_common(evidence, shown & (calls["call"] == kind), calm & (calls["call"] == kind))
    ]
    return np.asarray(np.isin(calls["call"], kinds))


def _is_common(evidence: Evidence, shown: Mask, among: Mask) -> bool:
    count = int(shown.sum())
    return (
        count >= max(COMMON_MIN, COMMON_SHARE_MIN * int(among.sum()))
        and len(np.unique(evidence.calls["treated"][shown])) > 1
    )


def afterwards(blamed: Mask, windows: Windows) -> str:
    """Say how many of those that a fault is blamed for came after it; "" for none."""
    late = int((blamed & (windows == 0)).sum())
    return f" ({late} of them in its recovery)" if late else ""


def counts(evidence: Evidence, *, judged: Mask, bad: Mask, windows: Windows) -> str:
    """Say how offenders that no fault is blamed for are spread over faults; "" where none was met.

    `bad` are those offenders alone, and `judged` all that were looked at.
    """
    met = [int(number) for number in np.unique(windows[bad & (windows > 0)])]
    if not met:
        return ""
    since_ns, until = _until_it_began(evidence, judged=judged, bad=bad)
    told = []
    for number in (0, *met)[: WINDOWS_NAMED_MAX + 1]:
        here = (windows == number) & (evidence.began_ns >= since_ns)
        under = f"under {evidence.window(number).id}" if number else "with none in force"
        told.append(f"{int((bad & here).sum())} of {int((judged & here).sum())} {under}")
    more = f" and more under {len(met) - WINDOWS_NAMED_MAX} others"
    return f": {until}{', '.join(told)}{more if len(met) > WINDOWS_NAMED_MAX else ''}"


def _until_it_began(evidence: Evidence, *, judged: Mask, bad: Mask) -> tuple[int, str]:
    """Say before which fault there was none of it, and when that began; 0 and "" for none."""
    first_ns = int(evidence.began_ns[bad].min())
    before = [each for each in evidence.injected if each.start_ns <= first_ns]
    if not before:
        return 0, ""
    fault = max(before, key=lambda each: each.start_ns)
    calm = int((judged & (evidence.began_ns < fault.start_ns)).sum())
    return fault.start_ns, f"none of {calm} before {fault.id}, then " if calm else ""
