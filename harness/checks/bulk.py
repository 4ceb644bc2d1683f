"""What comes back when a tool is asked for a very large result?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from faults.agent import PayloadResponse
from harness.checks import sightings
from harness.checks.sightings import Rule
from harness.evidence.phases import Evidence, Mask, WindowSpan
from harness.journal import BEHAVIOUR_CODES, ProbeEntry
from harness.outcome import Outcome
from harness.verdict import Finding

_MIB: Final = 1024**2
# Ten times what the official client takes in one event, and more than gateways pass on.
_RESULT_BYTES: Final = 10 * _MIB
_WHOLE_SHARE: Final = 0.5  # of the size that was asked for; a tool may count in its own way
_MARKED: Final = "marked"
_TRUNCATED: Final = Rule(
    verdict="truncated",
    wrong="were answered with much less than was asked for, and nothing said so",
    source="faults: payload-response: the whole, a page of it, a marked truncation, or an error",
    unseen="no call for a large result was answered",
    hard=True,
    unit="large results",
)
_UNBOUNDED: Final = Rule(
    verdict="unbounded-size",
    wrong="came back in one message of more than 10 MiB",
    source="policy: no limit of a client or gateway in use lets 10 MiB through in one message",
    unseen="no call for a large result came to an end",
    unit="large results",
)
_ENDED: Final = (Outcome.OK, Outcome.WRONG, Outcome.TOOL_ERROR, Outcome.PROTOCOL_ERROR)


def large_results(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether a large result came whole, or was refused or cut in words, and has an end.

    Judged are calls that were asked for a size. Needs, for `truncated`, one that was answered as a
    success; for `unbounded-size`, one that asked for more than 10 MiB and came to an end.
    """
    windows = [w for w in evidence.injected if isinstance(w.fault, PayloadResponse)]
    if not windows:
        return ()
    asked = np.zeros(len(evidence.calls), dtype=np.int64)
    for window in windows:
        asked[_of(evidence, window)] = _asked_bytes(window)
    return (*_truncated(evidence, asked), *_unbounded(evidence, asked))


def _of(evidence: Evidence, window: WindowSpan) -> Mask:
    calls = evidence.calls
    mine = calls["behaviour"] == BEHAVIOUR_CODES["payload_response"]
    return np.asarray(mine & (calls["window"] == window.window) & (calls["attempt"] == 0))


def _asked_bytes(window: WindowSpan) -> int:
    assert isinstance(window.fault, PayloadResponse)
    return int(window.fault.size_bytes)


def _truncated(
    evidence: Evidence, asked: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> tuple[Finding, ...]:
    calls = evidence.calls
    judged = (asked > 0) & (calls["outcome"] == Outcome.OK)
    marked = {
        (probe.session, probe.index)
        for probe in evidence.journal.of(ProbeEntry)
        if probe.kind == "payload_response" and probe.variant == _MARKED
    }
    bad = judged & (calls["reply_bytes"] < _WHOLE_SHARE * asked)
    for at in np.flatnonzero(bad):
        bad[at] = (int(calls["session"][at]), int(calls["index"][at])) not in marked
    weight = asked - calls["reply_bytes"]
    return sightings.judge(evidence, _TRUNCATED, judged=judged, bad=bad, weight=weight)


def _unbounded(
    evidence: Evidence, asked: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> tuple[Finding, ...]:
    calls = evidence.calls
    judged = (asked > _RESULT_BYTES) & np.isin(calls["outcome"], _ENDED)
    if not (asked > _RESULT_BYTES).any():
        return ()
    bad = judged & (calls["reply_bytes"] > _RESULT_BYTES)
    weight = calls["reply_bytes"].astype(np.int64)
    return sightings.judge(evidence, _UNBOUNDED, judged=judged, bad=bad, weight=weight)


CHECKS: Final[tuple[Callable[[Evidence], tuple[Finding, ...]], ...]] = (large_results,)
