from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from faults.agent import PayloadResponse
from harness.checks import bulk
from harness.journal import BEHAVIOUR_CODES, Calls, ProbeEntry
from harness.outcome import Outcome
from harness.verdict import Finding
from tests.checks import cases
from tests.journals import S

MIB = 1024**2
KIB = 1024


def judged(
    *, size: str, reply_bytes: int, outcome: Outcome = Outcome.OK, marked: bool = False
) -> dict[str, Finding]:
    """Judge a run in which three calls asked for so much and got so much."""
    fault = PayloadResponse.model_validate({"size": size})
    where: dict[str, Any] = {}

    def more(made: Calls) -> Iterable[Calls]:
        rows = made[(made["treated"] == 1) & cases.kind(made, 0, cases.WINDOW)][:3].copy()
        rows["attempt"], rows["last"], rows["effect"] = 0, 0, 0
        rows["behaviour"], rows["window"] = BEHAVIOUR_CODES["payload_response"], 1
        rows["reply_bytes"], rows["outcome"] = reply_bytes, outcome
        where["rows"] = rows
        return (np.asarray(rows),)

    evidence = cases.run(fault, more=more)
    if marked:
        marks = [
            ProbeEntry(
                at_ns=14 * S,
                session=int(row["session"]),
                window=1,
                kind="payload_response",
                variant="marked",
                index=int(row["index"]),
            )
            for row in where["rows"]
        ]
        evidence = cases.run(fault, more=more, extra=marks)
    return {finding.verdict: finding for finding in bulk.large_results(evidence)}


@pytest.mark.parametrize(
    ("how", "ruling"),
    [
        ({"reply_bytes": 520 * KIB}, "pass"),
        ({"reply_bytes": 64 * KIB}, "fail"),
        ({"reply_bytes": 64 * KIB, "marked": True}, "pass"),
        ({"reply_bytes": 300, "outcome": Outcome.TOOL_ERROR}, "unknown"),  # an honest refusal
    ],
)
def test_a_cut_result_says_so(how: dict[str, Any], ruling: str) -> None:
    """Or gives the way to the rest; or it is an error."""
    found = judged(size="512KiB", **how)
    assert found["truncated"].ruling == ruling
    assert "unbounded-size" not in found
    if ruling == "fail":
        assert found["truncated"].fault == "1:payload-response"
        assert len(found["truncated"].evidence) == 3


@pytest.mark.parametrize(
    ("how", "ruling"),
    [
        ({"reply_bytes": 12 * MIB}, "fail"),
        ({"reply_bytes": 300, "outcome": Outcome.TOOL_ERROR}, "pass"),
        ({"reply_bytes": 9 * MIB}, "pass"),
        ({"reply_bytes": 0, "outcome": Outcome.HANG}, "unknown"),
    ],
)
def test_a_result_has_an_end(how: dict[str, Any], ruling: str) -> None:
    """However much was asked for."""
    assert judged(size="12MiB", **how)["unbounded-size"].ruling == ruling


def test_nothing_is_said_of_a_run_that_asked_for_nothing_large() -> None:
    """Usual results are others' business."""
    assert bulk.large_results(cases.run()) == ()
