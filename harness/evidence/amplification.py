"""What a fault multiplies: attempts for one call, and tokens in an agent's context.

Tokens are estimated from bytes on the wire, so only ratios mean anything. What a client does wrong
on purpose before its real call is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from harness.evidence.phases import BASELINE, Evidence, Mask, Span, WindowSpan, fault_code
from harness.evidence.summaries import BYTES_PER_TOKEN
from harness.verdict import Amplification

WARN_RATIO: Final = 3.0
FAIL_RATIO: Final = 10.0
_CALLS_MIN: Final = 20  # in the baseline, and under the fault
_OTHERS_SHARE_MAX: Final = 0.5  # of a growth that the untouched sessions show as well


@dataclass(frozen=True, kw_only=True)
class _Cost:
    """What one arm's sessions spent in one phase."""

    calls: int
    attempts_per_call: float | None
    tokens_per_minute: float | None  # of one session


def rows(evidence: Evidence) -> tuple[Amplification, ...]:
    """Give what each injected fault multiplied on the arm that it struck."""
    return tuple(_row(evidence, window) for window in evidence.injected)


def _row(evidence: Evidence, window: WindowSpan) -> Amplification:
    every = np.ones(len(evidence.calls), dtype=np.bool_)
    treated = evidence.calls["treated"] == 1
    struck = every if window.arm == "both" else treated
    span = Span(start_ns=window.start_ns, end_ns=window.healed_ns)
    code = fault_code(window.window)
    usual = _cost(evidence, struck, BASELINE, evidence.phases.baseline)
    here = _cost(evidence, struck, code, span)
    ratio = _ratio(here, usual)
    others = None
    if window.arm != "both":
        others = _ratio(
            _cost(evidence, ~treated, code, span),
            _cost(evidence, ~treated, BASELINE, evidence.phases.baseline),
        )
    return Amplification(
        fault=window.id,
        attempts_per_call=here.attempts_per_call,
        baseline_attempts_per_call=usual.attempts_per_call,
        tokens_per_minute=here.tokens_per_minute,
        baseline_tokens_per_minute=usual.tokens_per_minute,
        tokens_ratio=None if ratio is None else round(ratio, 3),
        level=_level(ratio, others),
    )


def _cost(evidence: Evidence, arm: Mask, code: int, span: Span) -> _Cost:
    calls = evidence.calls
    mine = arm & (evidence.attempt_phase == code) & (calls["attempt"] > 0)
    mine &= calls["sent_ns"] >= 0
    settled = int(np.count_nonzero(mine & (calls["last"] == 1)))
    minutes = span.length_s / 60 * len(np.unique(calls["session"][mine]))
    size_bytes = float(calls["request_bytes"][mine].sum(dtype=np.int64))
    size_bytes += float(calls["reply_bytes"][mine].sum(dtype=np.int64))
    return _Cost(
        calls=settled,
        attempts_per_call=round(int(mine.sum()) / settled, 3) if settled else None,
        tokens_per_minute=round(size_bytes / BYTES_PER_TOKEN / minutes, 1) if minutes else None,
    )


def _ratio(here: _Cost, usual: _Cost) -> float | None:
    if min(here.calls, usual.calls) < _CALLS_MIN or not usual.tokens_per_minute:
        return None
    return (
        None if here.tokens_per_minute is None else here.tokens_per_minute / usual.tokens_per_minute
    )


def _level(
    ratio: float | None, others: float | None
) -> Literal["ok", "warn", "fail", "not measured"]:
    """Rule on a growth of tokens; what the untouched sessions show as well is not the fault's."""
    if ratio is None:
        return "not measured"
    if ratio <= WARN_RATIO or (others is not None and others > _OTHERS_SHARE_MAX * ratio):
        return "ok"
    return "fail" if ratio > FAIL_RATIO else "warn"
