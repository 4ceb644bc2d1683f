from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.cli.conclusion import read
from harness.verdict import Judgement
from reports.page import page
from reports.report import make
from tests.benchmarks import long_run
from tests.reports.samples import judgement_of_a_storm

PAGE_BYTES_MAX = 6_000_000
LONG = "<b>an odd server's own words</b> " * 300


def _swollen(judgement: Judgement, evidence: tuple[str, ...]) -> Judgement:
    """The judgement of a storm, a hundred times over and with texts that never end."""
    findings = tuple(
        replace(finding, why=LONG, source=LONG, tool=f"tool-{number}", evidence=evidence)
        for number in range(1000)
        for finding in judgement.findings
        if finding.ruling != "pass"
    )
    return replace(
        judgement,
        findings=(*findings, *judgement.findings),
        faults=tuple(
            replace(judgement.faults[0], id=f"{number}:tcp-latency", exposure=LONG)
            for number in range(1, 256)
        ),
        soundness=tuple(replace(judgement.soundness[0], why=LONG) for _ in range(300)),
        notes=tuple(f"{number} {LONG}" for number in range(5000)),
    )


@pytest.mark.slow
def test_the_page_of_a_run_of_any_length_and_width_stays_small(tmp_path: Path) -> None:
    """255 windows, thousands of findings and notes, and texts without end: under 6 MB."""
    folder = tmp_path / "run"
    long_run.write(folder, calls=20_000, sessions=20, windows=255)
    evidence, facts = read(folder)
    assert len(evidence.phases.windows) == 255
    named = tuple(f"s{session}.{index}.1" for session in range(20) for index in range(50))
    judgement = _swollen(judgement_of_a_storm(), named)
    report = make(evidence, judgement, facts | {"packages": {str(n): LONG for n in range(200)}})
    text = page(report)
    assert len(text.encode()) < PAGE_BYTES_MAX
    assert report.findings_left == len(judgement.findings) - len(report.findings) > 1000
    assert "more notes in journal.jsonl" in report.notes[-1]
