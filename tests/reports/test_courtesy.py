"""How the target treats its dependency is shown in words and as a table, right or wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from harness.verdict import Manners
from reports.courtesy import in_one, pauses
from reports.markdown import markdown
from reports.page import page
from reports.report import make
from reports.terminal import summary
from tests.reports.samples import FACTS, evidence_of_a_storm, judgement_of_a_storm

ROW: Final = Manners(
    fault="1:dep-429",
    calls=40,
    asking=40,
    requests=90,
    per_call=2.25,
    usual_per_call=1.0,
    retried=30,
    retries_max=2,
    spacing_ms=52.0,
    spacing_growth=2.04,
    jitter=True,
    retry_after="passed on",
    breaker="not measured",
    probes=None,
    back_s=0.25,
)
RUDE: Final = replace(
    ROW,
    fault="2:dep-pool",
    retried=4,
    retries_max=20,
    spacing_ms=0.0,
    spacing_growth=None,
    jitter=False,
    retry_after="ignored",
    breaker="stayed shut",
)
UNSEEN: Final = replace(ROW, asking=0, retries_max=0, spacing_ms=None, retried=0)
QUIET: Final = replace(
    UNSEEN, asking=9, retry_after="not asked", breaker="opened", spacing_growth=None, jitter=None
)


def test_pauses_are_told_with_their_growth_and_their_jitter() -> None:
    """As far as they are known."""
    assert pauses(ROW) == "52.0 ms apart, then 2.0 times that, with jitter"
    assert pauses(RUDE) == "0.00 ms apart, no jitter"
    assert pauses(UNSEEN) == "n/a"


def test_the_sum_tells_the_worst_that_was_seen() -> None:
    """And nothing where nothing reached the dependency."""
    assert in_one([]) == in_one([UNSEEN]) == ""
    assert in_one([QUIET]) == "no retries; breaker opened"
    assert in_one([ROW, RUDE]) == (
        "at most 20 retries for one thing, 52.0 ms apart, then 2.0 times that, with jitter; "
        "Retry-After ignored; breaker stayed shut"
    )


def test_every_report_shows_it_where_a_dependency_kept_a_ledger() -> None:
    """One line for the terminal and for a pipeline, a table on the page."""
    judgement = replace(judgement_of_a_storm(), manners=(ROW, RUDE))
    report = make(evidence_of_a_storm(), judgement, FACTS)
    assert "at most 20 retries for one thing" in summary(report, width=120, color=False)
    assert "Towards its dependency: at most 20 retries" in markdown(report)
    shown = page(report)
    assert 'id="dependency"' in shown
    assert "2:dep-pool" in shown
    bare = make(evidence_of_a_storm(), judgement_of_a_storm(), FACTS)
    assert 'id="dependency"' not in page(bare)
    assert "Towards its dependency" not in markdown(bare)
