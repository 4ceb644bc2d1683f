"""A target that lacks a variable: it refuses to start, does without, or fails its calls late."""

from __future__ import annotations

import pytest

from faults.fault import Fault
from faults.process import EnvMissing, PathDiffers
from harness.checks import configuration, lifecycle
from harness.evidence.phases import Evidence
from harness.journal import Calls, TargetEntry
from harness.outcome import Outcome, Reason
from tests import journals
from tests.checks import cases
from tests.checks.cases import target_life, vitals
from tests.journals import MS, S, between, end

STARTED = target_life(("told", 12.1, 1), ("ended", 12.5, 1), ("started", 12.6, 2))
READY = target_life(("ready", 13, 2))
REFUSED = (TargetEntry(at_ns=13 * S, pid=2, edge="ended", window=1, status=2),)


def without(*entries: TargetEntry, failing: bool = False, fault: Fault | None = None) -> Evidence:
    """Make a run whose target is started again without a variable, or as another fault wants it."""

    def spoil(made: Calls) -> None:
        inside = between(made, 13.5, 21.0)
        end(made, inside, Outcome.OK, took_ms=20)
        if failing:
            bad = inside & (made["call"] == 0)
            end(made, bad, Outcome.TOOL_ERROR, Reason.TOOL_ERROR, status=200, took_ms=20)
            made["first_ns"][bad] = made["done_ns"][bad] - MS

    return cases.run(fault or EnvMissing(), spoil=spoil, extra=(*STARTED, *entries))


def test_a_target_that_serves_and_fails_for_want_of_a_variable_says_so_too_late() -> None:
    """Its calls are the evidence."""
    finding = cases.one(configuration.late_fail_config(without(*READY, failing=True)))
    assert (finding.verdict, finding.ruling) == ("late-fail-config", "fail")
    assert finding.fault == "1:env-missing"
    assert finding.tool == "search"
    assert finding.evidence


def test_a_target_that_serves_and_fails_in_another_directory_says_so_too_late() -> None:
    """It is said which one."""
    of = without(*READY, failing=True, fault=PathDiffers(directory="/srv"))
    finding = cases.one(configuration.late_fail_config(of))
    assert (finding.ruling, finding.fault) == ("fail", "1:path-differs")
    assert finding.why.endswith("started all the same, in /srv")


@pytest.mark.parametrize(("entries", "failing"), [(REFUSED, False), (READY, False)])
def test_a_target_that_does_not_start_or_does_without_passes(
    entries: tuple[TargetEntry, ...], failing: bool
) -> None:
    """Both are right."""
    of = without(*entries, failing=failing)
    assert cases.one(configuration.late_fail_config(of)).ruling == "pass"


def test_a_target_that_came_up_too_late_leaves_the_question_open() -> None:
    """Nobody could call it."""
    assert cases.one(configuration.late_fail_config(without())).ruling == "unknown"
    assert configuration.late_fail_config(journals.storm()) == ()


def test_a_target_that_rightly_refused_to_start_has_not_crashed() -> None:
    """It is dead for as long as the window lasts."""
    of = cases.run(
        EnvMissing(), extra=(*vitals((3, 80)), *STARTED, *REFUSED, *vitals((15, None), alive=False))
    )
    assert cases.one(lifecycle.crash(of)).ruling == "pass"
