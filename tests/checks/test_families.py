from __future__ import annotations

import pytest

from faults.catalogue import CATALOGUE
from faults.fault import Fault
from harness.checks.families import CAUSES, link
from harness.verdict import Finding, Ruling
from tests.checks import cases


def finding(verdict: str, fault: str = "", ruling: Ruling = "fail") -> Finding:
    """Make a bare finding."""
    return Finding(verdict=verdict, ruling=ruling, fault=fault)


def test_a_consequence_names_its_cause() -> None:
    """Under the same fault, or a cause that needs no fault."""
    for fault in ("1:tcp-down", ""):
        linked = link([finding("no-recovery", "1:tcp-down"), finding("wrong-status", fault)])
        assert [each.cause for each in linked] == ["wrong-status", ""]


@pytest.mark.parametrize(
    "other",
    [finding("wrong-status", "2:tcp-reset"), finding("wrong-status", "1:tcp-down", "pass")],
)
def test_another_fault_or_a_passed_question_causes_nothing(other: Finding) -> None:
    """What happened under one fault explains nothing under another."""
    assert link([finding("no-recovery", "1:tcp-down"), other])[0].cause == ""


def test_the_likeliest_cause_comes_first_and_a_given_one_stays() -> None:
    """A target that came back and answers 400 holds its clients off, not the crash before."""
    linked = link([finding("no-recovery"), finding("crash"), finding("wrong-status")])
    assert linked[0].cause == "wrong-status"
    assert link(linked) == linked


def test_no_verdict_is_its_own_cause_by_any_way_round() -> None:
    """Causes form no circle, so that something always stands first."""

    def reaches(start: str, goal: str) -> bool:
        return any(each == goal or reaches(each, goal) for each in CAUSES.get(start, ()))

    assert not [verdict for verdict in CAUSES if reaches(verdict, verdict)]


@pytest.mark.parametrize("fault", CATALOGUE.values(), ids=CATALOGUE)
@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_a_healthy_server_is_clean_under_every_fault(fault: type[Fault], era: str) -> None:
    """Nothing fails that should not, in either era."""
    assert cases.failed(cases.run(fault(), era=era, auth={})) == set()
