"""A gate of four: one that failed, one that passed, one that could not be read, one refused."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

from harness.errors import Exit, ScenarioError
from harness.scenario.load import load_text
from harness.verdict import Judgement
from reports.gate.entries import Batch, Entry, gather, told_first
from reports.report import Report, make
from tests.reports.samples import (
    FACTS,
    evidence_of_a_storm,
    judgement_of_a_calm,
    judgement_of_a_storm,
)

STORM: Final = """\
question: When the network and the tokens fail together, do agents keep their work?
target: {reference: hardened}
auth: {issuer: embedded}
agents:
  - name: reader
    steps:
      - call: search
        with: {query: "${nonce}"}
load: {sessions: 20}
faults:
  - tcp-latency: {}
    for: 10s
  - token-expire: {}
    for: 10s
  - tcp-reset: {}
    for: 10s
  - response-lost: {}
    for: 10s
limits:
  answered: ">= 99.5%"
  latency_p99: "<= 800ms"
  recovery: "<= 10s"
  score: ">= 80"
"""


def line_of(part: str) -> int:
    """The number of the line of the storm that holds `part`."""
    (number,) = [n for n, line in enumerate(STORM.splitlines(), 1) if part in line]
    return number


def entry(
    judgement: Judgement | None = None,
    *,
    file: str = "first_storm.yaml",
    spoil: Callable[[Report], Report] = lambda report: report,
) -> Entry:
    """What became of the storm, or of another judgement of it."""
    judged = judgement or judgement_of_a_storm()
    report = spoil(make(evidence_of_a_storm(), judged, FACTS))
    return Entry(
        name=judged.scenario,
        file=file,
        code=Exit(judged.exit_code),
        told=told_first(judged),
        era=judged.era,
        report=report,
        folder=f"runs/{judged.scenario}-1",
        lines=load_text(STORM, file).lines,
    )


def unreadable(file: str = "wrong.yaml") -> Entry:
    """A scenario with two mistakes."""
    text = STORM.replace("sessions: 20", "sessions: many").replace('"<= 10s"', '"<= 10"')
    try:
        load_text(text, file)
    except ScenarioError as error:
        return Entry(
            name=Path(file).stem,
            file=file,
            code=Exit.NOT_RUN,
            told=str(error).partition("\n")[0],
            mistakes=error.mistakes,
        )
    raise AssertionError(f"{file} was to be wrong")


@cache
def batch() -> Batch:
    """The four of them."""
    refused = Entry(
        name="refused",
        file="refused.yaml",
        code=Exit.NOT_RUN,
        told="nothing listens on http://127.0.0.1:1/mcp; start the target first",
        lines=load_text(STORM, "refused.yaml").lines,
    )
    return gather([entry(judgement_of_a_calm()), entry(), unreadable(), refused])
