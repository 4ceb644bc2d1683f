"""Names the cause of findings that only follow from another one.

One flaw has consequences: a blocked loop looks like a hang to those who wait, a wrong status keeps
a client from coming back. A report names the cause first and what follows under it, and a
consequence is no second defect.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from harness.verdict import Finding

# consequence -> what may be behind it, the likeliest first
CAUSES: Final[dict[str, tuple[str, ...]]] = {
    "hang": ("crash", "hol-block", "retry-amplification", "crosstalk"),
    # Who is blocked sees nobody leave.
    "orphan-work": ("hol-block",),
    # A token that is looked at no more is not looked into either.
    "scope-bypass": ("authn-bypass",),
    "audience-bypass": ("authn-bypass",),
    "hol-block": ("crash",),
    # A target that is back and answers the wrong thing holds its clients off, not the crash.
    "no-recovery": ("retry-amplification", "wrong-status", "auth-masked", "crash"),
    "wrong-answer": ("no-recovery", "crash", "crosstalk"),
    "crash": ("unbounded-size",),
    # A refusal or a failure in the words of an answer is short, too.
    "truncated": ("silent-empty", "auth-masked"),
    "latency-shift": ("hol-block", "hang", "retry-amplification", "cpu-spin", "leak-conn", "crash"),
    "token-burn": ("unbounded-size", "retry-amplification"),
    # Another tool's answer breaks what this one promises.
    "schema-drift": ("crosstalk",),
}


def link(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Set `cause` on failed findings that follow from another one.

    A cause stands under the same fault, or under none: what the server does at all times explains
    what it does under a fault, and not the other way round.
    """
    given = tuple(findings)
    broken = [finding for finding in given if finding.ruling == "fail"]
    failed = [(finding.verdict, finding.fault) for finding in broken]
    # What has hit untouched sessions too explains what else they met, which no fault is blamed for.
    failed += [(finding.verdict, "") for finding in broken if finding.control]
    return tuple(replace(finding, cause=_cause(finding, failed)) for finding in given)


def _cause(finding: Finding, failed: list[tuple[str, str]]) -> str:
    if finding.ruling != "fail" or finding.cause:
        return finding.cause
    return next(
        (
            cause
            for cause in CAUSES.get(finding.verdict, ())
            if (cause, finding.fault) in failed or (cause, "") in failed
        ),
        "",
    )
