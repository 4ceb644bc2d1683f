from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from harness.errors import WORST_FIRST, Exit, worst_exit
from reports.gate.entries import Entry, gather, told_first
from tests.reports.gate.batches import batch
from tests.reports.samples import judgement_of_a_storm


def ended(code: Exit, name: str = "one", era: str = "") -> Entry:
    """A scenario that ended in this code."""
    return Entry(name=name, file=f"{name}.yaml", code=code, told="so it was", era=era)


def test_what_is_not_proven_healed_outranks_everything() -> None:
    """Every code has its place, and what was not run hides nothing."""
    assert sorted(WORST_FIRST) == sorted(Exit)
    assert WORST_FIRST[0] is Exit.NOT_HEALED
    assert WORST_FIRST[-2:] == (Exit.NOT_RUN, Exit.PASS)
    for worse, better in pairwise(WORST_FIRST):
        assert worst_exit([better, worse, better]) is worse
    assert worst_exit([]) is Exit.NOT_RUN


@pytest.mark.parametrize("code", list(Exit))
def test_the_verdict_counts_and_names_the_worst(code: Exit) -> None:
    """A reader of the last line knows how many passed, and where to look first."""
    gate = gather([ended(Exit.PASS, "calm"), ended(code, "storm")])
    assert gate.code is code
    if code is Exit.PASS:
        assert gate.verdict == "PASS  2 of 2 passed"
    else:
        assert gate.verdict.startswith(f"{gate.worst.word}  1 of 2 passed, 1 ")
        assert gate.verdict.endswith("storm: so it was")


def test_a_gate_of_several_counts_each_kind() -> None:
    """What was not run is counted beside what failed."""
    assert batch().verdict.startswith("FAIL  1 of 4 passed, 1 failed, 2 not run  first_storm: ")


def test_entries_of_one_name_are_told_apart() -> None:
    """By era where that tells them apart, and else by number."""
    eras = gather([ended(Exit.PASS, era="legacy"), ended(Exit.PASS, era="modern")])
    assert [entry.name for entry in eras.entries] == ["one (legacy)", "one (modern)"]
    same = gather([ended(Exit.PASS), ended(Exit.PASS), ended(Exit.PASS, "two")])
    assert [entry.name for entry in same.entries] == ["one #1", "one #2", "two"]


def test_a_missed_limit_is_told_with_what_was_measured() -> None:
    """Where nothing else failed; a finding is graver than a limit."""
    storm = judgement_of_a_storm()
    assert told_first(storm) == storm.headline
    alone = told_first(replace(storm, findings=()))
    assert alone == "answered 95.3%, wanted >= 99.5%; score 61.4 points, wanted >= 80"
