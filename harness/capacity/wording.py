"""A climb's result in words: the knee with its interval, and the last line of the report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from harness.capacity.knee import Knee
from harness.errors import Exit

Ended = Literal["found", "generator", "ceiling", "unclear", "budget"]

_BECAUSE: Final[dict[Ended, str]] = {
    "found": "",
    "generator": "squall itself was the limit above that",
    "ceiling": "no more was asked for",
    "unclear": "no step was clearly too much",
    "budget": "the time was up",
}
_WORDS: Final[dict[Exit, str]] = {
    Exit.PASS: "CAPACITY",
    Exit.FAIL: "FAIL",
    Exit.UNKNOWN: "UNKNOWN",
    Exit.ABORTED: "ABORTED",
    Exit.NOT_HEALED: "NOT HEALED",
    Exit.INTERRUPTED: "INTERRUPTED",
}


def rate(per_s: float) -> str:
    """Write a rate in three digits: `0.5/s`, `612/s`, `12,300/s`."""
    three = float(f"{per_s:.3g}")
    return f"{three:,.0f}/s" if three >= 100 or three == int(three) else f"{three:g}/s"  # noqa: PLR2004


def knee_line(
    name: str,
    knee: Knee | None,
    ended: Ended,
    of_bare: tuple[float | None, float, float | None] | None,
    unsound: str,
) -> str:
    """Say where a curve's knee is: `bare 612/s (95 % between 585/s and 640/s)`."""
    if knee is None:
        return f"{name} not measured"
    doubt = " (in doubt)" if unsound else ""
    if knee.estimate is None:
        below = "" if knee.high is None else f" below {rate(knee.high)}"
        return f"{name}{below or ' not measured'}{doubt}"
    if knee.high is None:
        return f"{name} at least {rate(knee.low)} ({_BECAUSE[ended]}){doubt}"
    told = f"{name} {rate(knee.estimate)} (95 % between {rate(knee.low)} and {rate(knee.high)})"
    return told + doubt + _share(of_bare)


def _share(of_bare: tuple[float | None, float, float | None] | None) -> str:
    if of_bare is None:
        return ""
    estimate, low, high = of_bare
    if high is None:
        return f", at least {low:.0%} of bare"
    if estimate is None:
        return f", at most {high:.0%} of bare"
    return f", {estimate:.0%} of bare ({low:.0%} to {high:.0%})"


def headline(code: Exit, lines: Sequence[str], *, why: str, at_least_per_s: float | None) -> str:
    """Give the verdict in one line."""
    parts = [_WORDS[code]]
    if code is Exit.FAIL and at_least_per_s is not None:
        parts.append(f"at least {rate(at_least_per_s)} was wanted:")
    elif code is Exit.UNKNOWN and not why and at_least_per_s is not None:
        parts.append(f"at least {rate(at_least_per_s)} was wanted, and may be so or not:")
    elif code is not Exit.PASS and why:
        parts.append(f"{why};" if lines else why)
    return "  ".join([parts[0], " ".join([*parts[1:], "; ".join(lines)])])
