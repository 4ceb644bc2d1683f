from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.checks import updates
from harness.evidence.phases import Evidence, evidence
from harness.journal import Calls
from harness.verdict import Finding
from tests import journals
from tests.journals import S

EDIT: dict[str, Any] = {
    "call": "add_entry",
    "with": {"record": "shared", "entry": "${nonce}"},
    "seen_in": "list_entries",
}
READ: dict[str, Any] = {"call": "list_entries", "with": {"record": "shared"}}


def run(
    *,
    kept: float = 1.0,
    before: int = 0,
    lag_s: float = 0.0,
    page: int | None = None,
    sessions: int = 20,
) -> Evidence:
    """Make a run of editors and readers; `kept` is the share of edits that stay."""
    of = journals.scenario(
        agents=[
            {"name": "editor", "share": "80%", "pace": "4/s", "steps": [EDIT]},
            {"name": "reader", "share": "20%", "pace": "1/s", "steps": [READ]},
        ],
        load={"sessions": sessions, "ramp": "1s"},
    )
    by = journals.plan(of)

    def spoil(made: Calls) -> None:
        edits = np.sort(made["done_ns"][made["call"] == 0])
        reads = made["call"] == 1
        seen = np.searchsorted(edits, made["sent_ns"][reads] - round(lag_s * S), side="right")
        rows = before + np.floor(seen * kept).astype(np.int64)
        made["rows"][reads] = rows if page is None else np.minimum(rows, page)

    return evidence(of, by, journals.healthy(of, by, spoil=spoil))


def judged(**how: Any) -> Finding:
    """Judge such a run."""
    (finding,) = updates.lost_update(run(**how))
    return finding


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"before": 500},  # what an earlier run has left
        {"lag_s": 1.5},  # a copy that is behind
    ],
)
def test_edits_that_are_all_there_are_no_finding(how: dict[str, Any]) -> None:
    """Whatever was there before, and however old the copy that was read."""
    finding = judged(**how)
    assert (finding.verdict, finding.ruling) == ("lost-update", "pass")


@pytest.mark.parametrize("kept", [0.5, 0.8])
def test_edits_that_were_answered_for_and_are_gone_are_counted(kept: float) -> None:
    """At least so many; the last read is the evidence, and edits that overlapped."""
    finding = judged(kept=kept)
    assert (finding.ruling, finding.fault, finding.hard) == ("fail", "", True)
    assert (finding.observed or 0) > 10
    assert "list_entries showed" in finding.why
    assert len(finding.evidence) == 10


def test_a_tool_that_shows_a_page_says_nothing() -> None:
    """The same number of rows again and again is a page, and no loss."""
    finding = judged(page=50)
    assert finding.ruling == "unknown"
    assert "no more than 50 rows" in finding.why


def test_edits_one_after_another_prove_nothing() -> None:
    """What was never at the same time could not get into each other's way."""
    finding = judged(sessions=5)
    assert (finding.ruling, "overlapped" in finding.why) == ("unknown", True)


def test_a_scenario_without_edits_is_not_judged() -> None:
    """Nobody said what shows what."""
    assert updates.lost_update(journals.storm()) == ()
