"""The verdict in one line, which is the last that a run prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from harness.errors import Exit
from harness.scenario.units import counted
from harness.verdict import FaultVerdict, Finding, Limit, Score, Soundness

WORDS: Final = {
    Exit.PASS: "PASS",
    Exit.FAIL: "FAIL",
    Exit.NOT_RUN: "NOT RUN",
    Exit.UNKNOWN: "UNKNOWN",
    Exit.ABORTED: "ABORTED",
    Exit.NOT_HEALED: "NOT HEALED",
    Exit.BUG: "DEFECT",
    Exit.INTERRUPTED: "INTERRUPTED",
}


def headline(
    code: Exit,
    *,
    name: str,
    score: Score | None,
    faults: Sequence[FaultVerdict],
    findings: Sequence[Finding],
    limits: Sequence[Limit],
    soundness: Sequence[Soundness],
    sessions: Mapping[str, int],
    calls: Mapping[str, int],
    effects: Mapping[str, int],
    losses: Mapping[str, int],
    bare_arms: str = "",
) -> str:
    """Give the ruling, then the score, then what to know first.

    `bare_arms` is what an A/A run shows, when this is one.
    """
    parts = [WORDS[code]]
    if score is not None:
        parts.append(f"score {score.points:.0f} ({score.low:.0f}-{score.high:.0f})")
    match code:
        case Exit.PASS:
            told = _tally(faults, sessions, calls, effects, losses)
            if bare_arms:
                told = f"bare arms agree; no difference below {bare_arms} can be claimed here"
        case Exit.FAIL:
            told = _failure(findings, limits)
        case _:
            told = _doubt(code, faults, findings, limits, soundness)
    parts.append(f"{name}: {told}" if name else told)
    return "  ".join(parts)


def _tally(
    faults: Sequence[FaultVerdict],
    sessions: Mapping[str, int],
    calls: Mapping[str, int],
    effects: Mapping[str, int],
    losses: Mapping[str, int],
) -> str:
    """Count what there was and what it cost: by the faults alone, and by the server."""
    parts = [
        counted(len(faults), "faults"),
        counted(sum(calls.values()), "calls"),
    ]
    owed = [
        f"{counted(count, what)} {became}"
        for what, became, count in (
            ("calls", "lost by the server", losses["preventable"]),
            ("sessions", "lost", sessions["lost"]),
            ("sessions", "reopened", sessions["reopened"]),
            ("effects", "doubled", effects["doubled"]),
        )
        if count
    ]
    alone = losses["unpreventable"]  # where no server could have answered
    nothing = "nothing lost by the server" if alone else "nothing lost"
    beside = [f"{alone:,} by the faults alone"] if alone else []
    return ", ".join([*parts, *(owed or [nothing]), *beside])


def _failure(findings: Sequence[Finding], limits: Sequence[Limit]) -> str:
    """Name the gravest: hard rules first, causes before what follows from them."""
    failed = [finding for finding in findings if finding.ruling == "fail"]
    if failed:
        # What a fault has shown comes before what was seen of it beside the fault.
        first = min(failed, key=lambda one: (not one.hard, one.cause != "", not one.fault))
        under = f" under {first.fault}" if first.fault else ""
        others = len({(finding.verdict, finding.fault) for finding in failed}) - 1
        more = f" (and {others} more)" if others else ""
        why = first.why.replace(f",{under}", "", 1) if under else first.why
        return f"{first.verdict}{under}: {why}{more}"
    missed = [limit for limit in limits if limit.ruling == "fail"]
    return "; ".join(f"{limit.name} wanted {limit.wanted}: {limit.why}" for limit in missed)


def _doubt(
    code: Exit,
    faults: Sequence[FaultVerdict],
    findings: Sequence[Finding],
    limits: Sequence[Limit],
    soundness: Sequence[Soundness],
) -> str:
    """Say why nothing is concluded: of several reasons the first in the checks' order."""
    wanted = {Exit.NOT_HEALED: "healed"}.get(code, "")
    unsound = [one for one in soundness if one.ruling != "pass" and wanted in ("", one.name)]
    if unsound:
        others = len(unsound) - 1
        more = f" (and {others} more)" if others else ""
        return f"{unsound[0].name}: {unsound[0].why}{more}"
    open_limits = [limit for limit in limits if limit.ruling == "unknown"]
    if open_limits:
        return f"{open_limits[0].name} wanted {open_limits[0].wanted}: {open_limits[0].why}"
    blind = [fault.id for fault in faults if fault.ruling == "unknown"]
    unseen = sorted(
        (one for one in findings if one.ruling == "unknown" and one.why),
        key=lambda one: one.fault not in blind,  # what is said of the fault itself comes first
    )
    return (
        f"nothing could be said of {', '.join(blind)}: {'; '.join(one.why for one in unseen[:1])}"
    )
