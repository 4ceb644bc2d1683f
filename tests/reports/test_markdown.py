from __future__ import annotations

import pytest

from reports.markdown import escape, markdown
from reports.report import make
from tests.reports.samples import FACTS, HOSTILE, evidence_of_a_storm, judgement_of_a_storm


def test_the_summary_is_short_and_worst_first() -> None:
    """A reader of a change sees the verdict, what failed and how to repeat it."""
    text = markdown(make(evidence_of_a_storm(), judgement_of_a_storm(), FACTS))
    lines = text.splitlines()
    assert lines[0].startswith("### ❌ FAIL  61.4 of 100")
    assert len(lines) <= 40
    assert text.index("**expired-is-403**") < text.index("**session-lost**")
    assert "| ❌ | answered | \\>= 99.5% | 95.3% |" in text
    assert lines[-1] == "    squall run scenarios/first_storm.yaml --seed 7"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a|b", "a\\|b"),
        ("<b>", "\\<b\\>"),
        ("@somebody", "@<!-- -->somebody"),
        ("#12", "#<!-- -->12"),
        ("https://x.test", "https:<!-- -->//x.test"),
        ("[a](b)", "\\[a\\]\\(b\\)"),
        ("two\nlines", "two lines"),
    ],
)
def test_text_from_outside_makes_no_markup(text: str, expected: str) -> None:
    """No table cell, element, mention, issue link or image can be smuggled in."""
    assert escape(text) == expected


def test_hostile_names_stay_inside_their_cells() -> None:
    """Every row of a table has as many cells as its head."""
    evidence = evidence_of_a_storm(tool=HOSTILE)
    text = markdown(make(evidence, judgement_of_a_storm(tool=HOSTILE, why="a | b\n| c"), FACTS))
    assert "<img" not in text.replace("\\<", "")
    assert "\n| c" not in text
