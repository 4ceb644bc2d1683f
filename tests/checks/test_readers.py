"""Is what a server keeps for slow readers told from what its buffers hold?"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from faults.agent import SlowReader
from harness.checks import readers
from harness.evidence.phases import Evidence
from harness.journal import BEHAVIOUR_CODES, Calls
from harness.outcome import Outcome, Reason
from tests import journals
from tests.checks import cases
from tests.checks.cases import vitals
from tests.journals import S, end

# Three floods of 3.3 s from 12 s on: memory is read in the second half of each.
FLOODS_S = (12.1, 15.5, 18.8)
READ_S = (14.5, 17.5, 21.0)
STREAMS = 4


def flooded(*levels_mib: float | None, floods: int = 3, tool: str = "feed") -> Evidence:
    """Make a run with four slow streams a flood, and so much memory in each."""
    fault = SlowReader.model_validate({"tool": tool} if tool else {})

    def more(made: Calls) -> Iterable[Calls]:
        rows = made[made["treated"] == 1][: STREAMS * floods].copy()
        rows["attempt"], rows["last"], rows["effect"] = 0, 0, 0
        rows["behaviour"], rows["window"] = BEHAVIOUR_CODES["read_slowly"], 1
        begun_s = np.repeat(FLOODS_S[:floods], STREAMS)
        rows["sent_ns"] = np.round(begun_s * S)
        end(rows, slice(None), Outcome.ABANDONED, Reason.CANCELLED)
        rows["done_ns"] = 22 * S
        return (np.asarray(rows),)

    return cases.run(fault, more=more, extra=vitals(*zip(READ_S, levels_mib, strict=False)))


def test_memory_that_grows_with_each_further_flood_is_kept_for_the_readers() -> None:
    """The streams are the evidence, beside the samples."""
    finding = cases.one(readers.unread_streams(flooded(100, 140, 180)))
    assert (finding.verdict, finding.ruling, finding.fault) == (
        "leak-memory", "fail", "1:slow-reader",
    )  # fmt: skip
    assert any(line.startswith("s") for line in finding.evidence)


@pytest.mark.parametrize("levels", [(100, 103, 106), (100, 140, 141), (140, 150, 130)])
def test_the_buffers_of_a_few_streams_are_no_leak(levels: tuple[float, ...]) -> None:
    """Nor is what is taken once."""
    assert cases.one(readers.unread_streams(flooded(*levels))).ruling == "pass"


@pytest.mark.parametrize("evidence", [flooded(100, 140), flooded(100, 140, 180, floods=2)])
def test_a_flood_that_nobody_saw_leaves_the_question_open(evidence: Evidence) -> None:
    """Without a sample, or without a stream."""
    assert cases.one(readers.unread_streams(evidence)).ruling == "unknown"


def test_nothing_is_said_of_processes_or_of_a_run_without_slow_readers() -> None:
    """Over pipes nothing is opened in floods."""
    assert readers.unread_streams(flooded(100, 140, 180, tool="")) == ()
    assert readers.unread_streams(journals.storm()) == ()
