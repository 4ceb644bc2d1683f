"""What servers asked and told, in words."""

from __future__ import annotations

from dataclasses import replace

from reports.page import page
from reports.report import make
from reports.said import in_one, sentences
from reports.terminal import summary
from tests.reports.samples import FACTS, evidence_of_a_storm, judgement_of_a_calm

COUNTS = {
    "asked:sampling:answered": 1200,
    "asked:dropped": 2,
    "answers:us": 240_400,
    "answers:taken": 1202,
    "heard:progress": 30,
    "heard:progress:late": 1,
    "heard:tools/list_changed": 4,
    "tasks:created": 5,
    "tasks:poll_failed": 1,
    "listen:lost": 1,
}


def test_each_kind_of_thing_has_a_sentence() -> None:
    """What did not happen is not there."""
    assert dict(sentences(COUNTS)) == {
        "asked back": "2 dropped, 1,200 sampling answered, 0.20 ms each",
        "told unasked": "30 progress, 1 progress late, 4 tools/list_changed",
        "tasks": "5 created, 1 poll failed",
        "listening": "1 lost",
    }
    assert sentences({}) == ()


def test_one_sentence_holds_the_sums() -> None:
    """For a screen that has no more room."""
    assert in_one(COUNTS) == (
        "1,202 questions, 2 left unanswered, 34 notifications, 5 tasks, 1 not to be had"
    )
    assert not in_one({})


def test_it_is_shown_where_there_is_something_to_show() -> None:
    """On the screen in one line, on the page in full; otherwise not at all."""
    report = make(evidence_of_a_storm(), judgement_of_a_calm(), FACTS)
    assert "server said" not in summary(report, color=False)
    assert "asked back" not in page(report)
    told = replace(report, said=COUNTS)
    assert "server said  1,202 questions" in summary(told, color=False)
    assert "1,200 sampling answered" in page(told)
