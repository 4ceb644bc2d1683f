from __future__ import annotations

import numpy as np
import pytest

from faults.network import TcpLatency
from harness.evidence.latencies import rows
from harness.evidence.phases import evidence
from harness.outcome import Outcome
from reports.distribution import ArmRow
from reports.report import Report, make
from reports.series import bin_width_s
from tests.journals import calls, journal, plan, scenario, storm, window
from tests.reports.samples import FACTS, evidence_of_a_storm, judgement_of_a_storm


@pytest.fixture(scope="module")
def report() -> Report:
    """One storm, reported."""
    return make(evidence_of_a_storm(), judgement_of_a_storm(), FACTS)


def arm_row(report: Report, arm: str, role: str) -> ArmRow:
    """Pick one arm in one role."""
    return next(row for row in report.rows if (row.arm, row.role) == (arm, role))


def test_every_settled_call_is_in_the_timeline_once(report: Report) -> None:
    """Rate times width, summed over bins and arms, is the number of calls."""
    timeline = report.timeline
    length_s = report.length_s - timeline.width_s * (len(timeline.middles_s) - 1)
    widths = [timeline.width_s] * (len(timeline.middles_s) - 1) + [length_s]
    counted = sum(
        (rate or 0) * width
        for arm in timeline.arms
        for rate, width in zip(arm.offered_per_s, widths, strict=True)
    )
    settled = len(evidence_of_a_storm().settled)
    assert counted == pytest.approx(settled, abs=1)


def test_a_lost_session_is_missing_from_then_on(report: Report) -> None:
    """Sessions alive fall by one when one is lost, and only on its arm."""
    by = {arm.arm: arm.alive for arm in report.timeline.arms}
    assert (by["treated"][20], by["treated"][40]) == (10, 9)
    assert (by["control"][20], by["control"][40]) == (10, 10)


def test_the_arms_stand_side_by_side_before_and_under_the_faults(report: Report) -> None:
    """Both arms agree in the baseline and part under the faults."""
    assert arm_row(report, "treated", "baseline").summary.answered_share == 1.0
    assert arm_row(report, "control", "fault").summary.answered_share == 1.0
    under = arm_row(report, "treated", "fault").summary
    assert under.answered_share is not None
    assert under.answered_share < 0.7
    assert under.p99_ms is not None
    assert under.p99_answered_ms is not None
    assert under.p99_ms > 10 * under.p99_answered_ms


def test_percentiles_agree_with_the_judges() -> None:
    """The page and verdict.json show the same figure for the same calls, to HDR's precision."""
    run = storm(TcpLatency())
    report = make(run, judgement_of_a_storm())
    for row in rows(run):
        if row.tool or row.origin != "due" or row.phase != "baseline":
            continue
        mine = arm_row(report, row.arm, "baseline").summary
        assert mine.count == row.count
        assert mine.p50_ms == pytest.approx(row.p50_ms, rel=0.002)
        assert mine.p99_ms == pytest.approx(row.p99_ms, rel=0.002)


def test_a_spectrum_ends_where_its_samples_end(report: Report) -> None:
    """The last point is the slowest call, and the tail is one in the number of calls."""
    for spectrum in report.spectra:
        assert spectrum.tails[0] == 1
        assert spectrum.tails[-1] == pytest.approx(1 / spectrum.count, rel=0.001)
        assert list(spectrum.values_ms) == sorted(spectrum.values_ms)


def test_too_few_calls_support_no_percentile() -> None:
    """A tool with a handful of calls has no p99, rather than a number that means nothing."""
    of = scenario(window(TcpLatency()))
    by = plan(of)
    few = calls(8, due_s=np.linspace(3, 9, 8), treated=1, session=1)
    report = make(evidence(of, by, journal((), few)), judgement_of_a_storm())
    assert report.tools[0].count == 8
    assert report.tools[0].baseline.p50_ms is not None
    assert report.tools[0].baseline.p99_ms is None


def test_an_empty_journal_still_makes_a_report() -> None:
    """A run that died at once is shown as one in which nothing was measured."""
    of = scenario()
    report = make(evidence(of, plan(of), journal()), judgement_of_a_storm())
    assert report.heat == ()
    assert report.spectra == ()
    assert report.ended.startswith("not recorded")
    assert all(row.summary.answered_share is None for row in report.rows)


def test_the_heat_map_holds_every_timed_call(report: Report) -> None:
    """Both arms share a grid, and the counts add up to the calls that have a latency."""
    assert {heat.edges_ms for heat in report.heat} == {report.heat[0].edges_ms}
    total = sum(sum(map(sum, heat.counts)) for heat in report.heat)
    assert total == len(evidence_of_a_storm().settled)


def test_a_long_run_has_no_more_bins_than_a_short_one() -> None:
    """The report's size is bounded whatever the length."""
    for length_s in (1.0, 60.0, 3600.0, 86_400.0, 30 * 86_400.0):
        assert length_s / bin_width_s(length_s, 480) <= 480


def test_evidence_is_told_in_words(report: Report) -> None:
    """A call's facts carry everything a reader needs to find it and judge it."""
    call = report.findings[0].calls[0]
    assert (call.session, call.step, call.attempt, call.arm) == (1, 129, 1, "treated")
    assert call.outcome == Outcome.HTTP_ERROR.name.lower().replace("_", " ")
    assert call.status == 403
    assert call.sample == "403 Forbidden: invalid_token"
    assert "s1.129.1 append_note at 3" in call.sentence
    assert report.findings[0].missing == 1
    unsent = report.findings[1].calls[0]
    assert (unsent.sent_ms, unsent.done_ms) == (None, None)


def test_the_fault_bands_carry_their_parameters_with_units(report: Report) -> None:
    """What the scenario asked for stands beside what it did."""
    assert report.bands[0].parameters == "delay 0.25 s, jitter 0.05 s, direction both"
    assert report.bands[0].recovery_end_s == pytest.approx(32.0, abs=0.1)


def test_the_facts_are_flat_and_the_command_can_be_pasted(report: Report) -> None:
    """Nested facts become dotted names; the command is quoted for a shell."""
    facts = dict(report.facts)
    assert facts["versions.mcp"] == "2.3.0"
    assert report.command == "squall run scenarios/first_storm.yaml --seed 7"
    spaced = make(evidence_of_a_storm(), judgement_of_a_storm(), {"command": ["squall", "a b"]})
    assert spaced.command == "squall 'a b'"
