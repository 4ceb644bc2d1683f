"""How late squall itself was stands in every rendering, good results included."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Final

import pytest

from harness.evidence.phases import evidence
from harness.judge import judge
from harness.verdict import GeneratorVerdict
from reports.document import verdict
from reports.junit import junit
from reports.markdown import escape, markdown
from reports.page import page
from reports.report import Report, make
from reports.terminal import summary
from reports.words import near_lag
from tests import journals
from tests.reports.samples import FACTS, evidence_of_a_storm, judgement_of_a_storm

LATE: Final = "calls left 0.20 ms late at p50, 0.20 ms at p99"


def _report(fared: GeneratorVerdict = "suspect", *, lag_p99_ms: float = 9.0) -> Report:
    judgement = judgement_of_a_storm()
    assert judgement.generator is not None
    changed = replace(judgement.generator, verdict=fared, lag_p99_ms=lag_p99_ms)
    return make(evidence_of_a_storm(), replace(judgement, generator=changed), FACTS)


@pytest.mark.parametrize("fared", ["ok", "suspect", "invalid"])
def test_the_scheduling_error_is_printed_with_every_result(fared: GeneratorVerdict) -> None:
    """With the verdict in the word that everyone uses."""
    report = _report(fared)
    assert f"generator    {fared}: {LATE}" in summary(report, color=False)
    assert f"Generator {fared}: {LATE}" in page(report)
    assert escape(f"Generator {fared}: {LATE}.") in markdown(report)
    assert f'name="generator" value="{fared}: ' in junit(report)
    assert 'name="sent_late_p99_ms" value="0.200"' in junit(report)


def test_a_suspect_generator_says_what_it_was_short_of() -> None:
    """In the terminal beside the word, in the page beside each process."""
    text = " ".join(summary(_report(), color=False).split())
    assert "the event loop of worker 2 lagged 9.0 ms at p99" in text
    told = page(_report())
    assert 'title="the event loop of worker 2 lagged 9.0 ms at p99">suspect</td>' in told
    assert 'class="w">worker 1</td><td class="ok"' in told


def test_the_lag_stands_beside_every_percentile_below_ten_times_it() -> None:
    """A p50 of 25 ms is told with a lag of 9 ms beside it, and without one of 1 ms."""
    near, far = _report(), _report(lag_p99_ms=1.0)
    assert "ms*" in summary(near, color=False)
    assert "* below ten times the loop's lag, 9.00 ms at p99" in summary(near, color=False)
    assert "ms*" not in summary(far, color=False)
    assert 'ms<span class="lag">lag 9.00 ms</span>' in page(near)
    assert 'class="lag"' not in page(far)
    assert near_lag(9.9, 1.0)
    assert not near_lag(10.0, 1.0)
    assert not near_lag(None, 1.0)
    assert not near_lag(1.0, None)


def test_verdict_json_has_every_process() -> None:
    """From the real judge: its figures are those of the health record."""
    told = json.loads(verdict(judge(journals.storm())))["generator"]
    assert (told["verdict"], told["lag_p99_ms"]) == ("ok", 1.0)
    assert told["sent_late_p99_ms"] == pytest.approx(0.2)
    (process,) = told["processes"]
    assert (process["name"], process["cpu_share"]) == ("squall", 0.2)


def test_a_run_without_a_health_record_says_so_and_is_unknown() -> None:
    """Nobody knows is not the same as ok."""
    of = journals.scenario()
    laid = evidence(of, journals.plan(of), journals.journal())
    judgement = judge(laid)
    assert judgement.generator is None
    assert judgement.ruling == "unknown"
    report = make(laid, judgement, FACTS)
    assert "no process of the generator" in " ".join(summary(report, color=False).split())
    assert "<h3>The generator" not in page(report)
