from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from harness.evidence.phases import Evidence, evidence
from harness.journal import (
    Calls,
    DeedEntry,
    FaultEntry,
    HaltEntry,
    Journal,
    OrderEntry,
    RemarkEntry,
    RunEntry,
)
from harness.judge import judge
from harness.plan import Plan
from harness.played import GAME_DAY, Course, plan_for, settle
from harness.verdict import Judgement
from reports.folder import write_all
from reports.record.day import Day, make
from tests import journals

S = journals.S
COURSE = Course(longest_s=120.0)
LIMITS = {"answered": ">= 99%", "latency_p99": "<= 800ms"}
EVIL = "<script>alert(1)</script> | **bold** @all"


def evidence_of_a_day(*, breaks: str = "", slow_ms: float = 20.0, bit: bool = True) -> Evidence:
    """One latency fault by hand from 20 to 40 s of a day that somebody ended at 60 s."""
    scenario = journals.scenario(limits=LIMITS)
    whole = plan_for(scenario, COURSE)
    entries = [
        RunEntry(at_ns=0, edge="started"),
        DeedEntry(at_ns=1, who="Ana", deed="came", words="operator"),
        OrderEntry(
            at_ns=20 * S,
            window=1,
            who="Ana",
            kind="tcp-latency",
            parameters={"delay": "300ms"},
            for_s=20.0,
            expected=f"slower {EVIL}",
            breaks=breaks,
            stop_when="half of them fail",
            stop_errors="> 50% for 10s",
        ),
        RemarkEntry(
            at_ns=41 * S, who="Ben", kind="observation", text="queues", window=1, as_expected="no"
        ),
        RemarkEntry(at_ns=42 * S, who="Ben", kind="action", text=f"raise it {EVIL}", window=1),
        HaltEntry(at_ns=40 * S, who="Ben", edge="asked"),
        RunEntry(at_ns=60 * S, edge="ended", how="completed", why="ended by Ana"),
    ]
    for edge, at_s in (("intended", 20), ("injected", 20), ("healing", 40), ("healed", 40)):
        entries.append(
            FaultEntry(
                at_ns=at_s * S,
                window=1,
                kind="tcp-latency",
                lever="network",
                edge=edge,  # type: ignore[arg-type]
                exposure_count=10 if bit and edge == "healed" else 0,
                exposure_unit="connections",
                exposure_source="injector",
            )
        )
    made = calls_of(whole, slow_ms)
    found: Journal = journals.journal(entries, made)
    return evidence(*settle(scenario, COURSE, found), found)


def calls_of(whole: Plan, slow_ms: float) -> Calls:
    """Every call until the end, those of the treated arm under the fault slower."""
    rows = [
        (step.due_ns / S, step.session, step.index, session.arm == "treated", whole.call(step))
        for session in whole.sessions
        for step in whole.steps(session.session)
        if step.due_ns < 60 * S
    ]
    due_s, session, index, treated, call = zip(*rows, strict=True)
    return journals.calls(
        len(rows),
        due_s=due_s,
        session=session,
        index=index,
        treated=treated,
        call=call,
        took_ms=[
            slow_ms if arm and 20 <= at < 40 else 20.0
            for at, arm in zip(due_s, treated, strict=True)
        ],
    )


def day_of(of: Evidence) -> tuple[Day, Judgement]:
    """What its record shows."""
    judgement = judge(of, name="day")
    return make(of, judgement), judgement


@pytest.mark.parametrize(
    ("breaks", "slow_ms", "held", "says"),
    [
        ("", 30.0, True, "no limit was expected to be missed, and none was"),
        ("", 900.0, False, "no limit was expected to be missed, and latency_p99 was"),
        ("latency_p99", 900.0, True, "latency_p99 was expected to be missed, and it was"),
        ("latency_p99", 30.0, False, "latency_p99 was expected to be missed, and it held"),
    ],
)
def test_a_hypothesis_is_held_against_what_was_measured_under_its_fault(
    breaks: str, slow_ms: float, *, held: bool, says: str
) -> None:
    """Limit by limit, for this fault alone, whatever the whole day's figures are."""
    day, _ = day_of(evidence_of_a_day(breaks=breaks, slow_ms=slow_ms))
    (trial,) = day.trials
    assert (trial.held, trial.outcome) == (held, says)
    assert day.surprises == (not held)
    slow = next(side for side in trial.sides if (side.phase, side.arm) == ("fault", "treated"))
    calm = next(side for side in trial.sides if (side.phase, side.arm) == ("fault", "control"))
    assert slow.p99_ms == pytest.approx(slow_ms, rel=0.05)
    assert calm.p99_ms == pytest.approx(20.0, rel=0.05)


def test_a_fault_that_hit_nothing_has_tried_no_hypothesis() -> None:
    """Neither held nor not."""
    day, _ = day_of(evidence_of_a_day(bit=False))
    (trial,) = day.trials
    assert trial.held is None
    assert "hit nothing" in trial.outcome


def test_the_record_tells_the_day_in_html_and_in_markdown(tmp_path: Path) -> None:
    """Who did what, hypothesis beside observation, actions; the same day gives the same bytes."""
    of = evidence_of_a_day(breaks="latency_p99", slow_ms=900.0)
    judgement = judge(of, name="day")
    facts = {GAME_DAY: {"longest_s": 120.0}, "scenario": "day"}
    write_all(tmp_path, of, judgement, facts)
    page = (tmp_path / "record.html").read_text(encoding="utf-8")
    text = (tmp_path / "record.md").read_text(encoding="utf-8")
    for said in ("Ana", "Ben", "delay 300ms", "queues", "HALT", "half of them fail", "0:20"):
        assert said in page
        assert said in text
    assert "- [ ] raise it" in text
    assert "and it was" in text
    assert "<script>alert(1)" not in page
    assert "<script>alert(1)" not in text
    assert "**bold**" not in text
    assert re.search(r"^\| 0:20 \| Ana \| 1: ordered tcp-latency for 20 s \|$", text, re.MULTILINE)
    write_all(tmp_path, of, judgement, facts)
    assert (tmp_path / "record.html").read_text(encoding="utf-8") == page
    assert (tmp_path / "record.md").read_text(encoding="utf-8") == text


def test_what_was_no_game_day_has_no_record(tmp_path: Path) -> None:
    """A run's folder holds what it always held."""
    of = evidence_of_a_day()
    write_all(tmp_path, of, judge(of, name="day"), {"scenario": "day"})
    assert not (tmp_path / "record.html").exists()
    assert (tmp_path / "report.html").exists()


def test_findings_become_actions_once_each() -> None:
    """What people wrote down comes first; a consequence of something else asks nothing more."""
    of = evidence_of_a_day(slow_ms=900.0)
    judgement = judge(of, name="day")
    found = judgement.findings[0]
    failing = tuple(
        replace(found, verdict=name, ruling="fail", fault="1:tcp-latency", cause=cause)
        for name, cause in (("hang", ""), ("hang", ""), ("crash", "hang"))
    )
    day = make(of, replace(judgement, findings=failing))
    assert [action.who for action in day.actions] == ["Ben", ""]
    assert day.actions[1].text.startswith("look into hang")
    assert [found.split(":")[0] for found in day.trials[0].findings] == ["hang", "hang", "crash"]
