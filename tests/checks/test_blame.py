"""Whose is what goes wrong with and without a fault: the fault's, or the server's at all times?"""

from __future__ import annotations

import re

import numpy as np
import pytest

from faults.agent import ClientVanish
from faults.dependency import DepDown
from faults.fault import Fault
from faults.network import TcpLatency
from harness.checks import answers, blame
from harness.journal import Calls
from harness.outcome import EndedBy, Outcome, Reason
from harness.verdict import Finding
from tests.checks import cases
from tests.journals import S, Spoil, end, storm

Seen = tuple[tuple[float, float], int, int]  # when, in which arm, how many


def spoiled(reason: Reason, *seen: Seen, call: int = 0, rows: int = -1) -> Spoil:
    """Let some calls claim a success that is not true, spread over their stretch."""

    def spoil(made: Calls) -> None:
        for within, treated, count in seen:
            chosen = np.flatnonzero(cases.kind(made, call, within, treated))
            assert len(chosen) >= count
            chosen = chosen[np.linspace(0, len(chosen) - 1, count).astype(int)]
            end(made, chosen, Outcome.WRONG, reason, status=200)
            made["rows"][chosen] = rows

    return spoil


def crossed(*seen: Seen, fault: Fault | None = None) -> tuple[Finding, ...]:
    """What is said of answers that were another call's."""
    spoil = spoiled(Reason.FOREIGN_NONCE, *seen)
    return answers.crosstalk(cases.run(fault or TcpLatency(), spoil=spoil))


def emptied(*seen: Seen, fault: Fault | None = None) -> tuple[Finding, ...]:
    """What is said of searches that were answered with nothing."""
    spoil = spoiled(Reason.ROWS, *seen, rows=0)
    return answers.silent_empty(cases.run(fault or DepDown(), steps=(cases.ROWS,), spoil=spoil))


def test_answers_mixed_up_only_under_a_fault_are_its_doing() -> None:
    """Nobody has seen it otherwise."""
    finding = cases.one(crossed((cases.WINDOW, 1, 3)))
    assert (finding.ruling, finding.fault, finding.observed) == ("fail", "1:tcp-latency", 3)


@pytest.mark.parametrize("treated", [0, 1])
def test_one_answer_mixed_up_before_any_fault_makes_it_the_servers_own(treated: int) -> None:
    """In whichever arm: one finding, no fault accused beside it, and both counts told."""
    finding = cases.one(crossed((cases.BASELINE, treated, 1), (cases.WINDOW, 1, 60)))
    assert (finding.ruling, finding.fault, finding.observed) == ("fail", "", 61)
    assert "with no fault to blame: 1 of " in finding.why
    assert " with none in force, 60 of " in finding.why
    assert " under 1:tcp-latency" in finding.why


def test_an_untouched_session_that_is_mixed_up_beside_a_network_fault_is_no_work_of_it() -> None:
    """What happens to others' connections does not reach it."""
    finding = cases.one(crossed((cases.WINDOW, 0, 1), (cases.WINDOW, 1, 60)))
    assert (finding.fault, finding.observed) == ("", 61)


def test_what_began_with_a_fault_and_is_blamed_on_none_says_before_which_there_was_nothing() -> (
    None
):
    """The calls of the calm before it are counted apart from those after."""
    finding = cases.one(crossed((cases.WINDOW, 0, 1), (cases.WINDOW, 1, 60)))
    told = re.search(r"none of (\d+) before 1:tcp-latency, then 1 of (\d+) with none", finding.why)
    assert told is not None, finding.why
    assert min(map(int, told.groups())) > 100


@pytest.mark.parametrize("fault", [ClientVanish(), DepDown()])
def test_an_untouched_session_is_no_witness_beside_a_fault_that_reaches_it(fault: Fault) -> None:
    """Sessions that misbehave and dependencies that fail reach everybody, so they stay accused."""
    found = crossed((cases.WINDOW, 0, 1), (cases.WINDOW, 1, 60), fault=fault)
    assert f"1:{fault.kind}" in {finding.fault for finding in found}


def test_what_is_left_mixed_up_after_a_fault_is_no_witness_against_the_server() -> None:
    """The recovery belongs to the fault, which has left its confusion behind: one finding."""
    finding = cases.one(crossed((cases.WINDOW, 1, 60), (cases.RECOVERY, 1, 2)))
    assert (finding.fault, finding.observed) == ("1:tcp-latency", 62)
    assert "under 1:tcp-latency (2 of them in its recovery)" in finding.why


def test_empty_answers_that_end_a_moment_after_a_fault_are_still_its_own() -> None:
    """In both arms, which a dependency that is gone has struck."""
    finding = cases.one(
        emptied((cases.WINDOW, 1, 30), (cases.RECOVERY, 1, 2), (cases.RECOVERY, 0, 2))
    )
    assert (finding.fault, finding.observed) == ("1:dep-down", 34)


def test_what_is_mixed_up_only_after_a_fault_is_not_laid_at_its_door() -> None:
    """Under it there was nothing to see."""
    assert cases.one(crossed((cases.RECOVERY, 1, 2))).fault == ""


def test_answers_that_are_often_empty_with_nothing_broken_are_the_servers_own() -> None:
    """In both arms: the fault that makes it likelier is named in the counts alone."""
    finding = cases.one(
        emptied((cases.BASELINE, 0, 6), (cases.BASELINE, 1, 6), (cases.WINDOW, 1, 60))
    )
    assert (finding.ruling, finding.fault, finding.observed) == ("fail", "", 72)
    assert "12 of " in finding.why
    assert "60 of " in finding.why


@pytest.mark.parametrize(
    "seen",
    [
        [(cases.BASELINE, 0, 1)],
        [(cases.BASELINE, 0, 2), (cases.BASELINE, 1, 2)],
        [(cases.BASELINE, 0, 9)],
    ],
)
def test_a_rare_empty_answer_does_not_hide_what_a_fault_does(seen: list[Seen]) -> None:
    """A moment's failure of a busy machine, or one arm's: the fault stays accused of the rest."""
    found = emptied(*seen, (cases.WINDOW, 1, 60))
    counts = {finding.fault: finding.observed for finding in found}
    assert counts == {"": sum(count for _, _, count in seen), "1:dep-down": 60}


def test_one_tools_empty_answers_say_nothing_of_anothers() -> None:
    """What is common of one kind of call is no excuse for another under a fault."""
    notes = {"call": "read_notes", "with": {"key": "${session}"}, "expect": {"rows": ">= 1"}}
    own = spoiled(Reason.ROWS, (cases.BASELINE, 0, 9), (cases.BASELINE, 1, 9), rows=0)
    under = spoiled(Reason.ROWS, (cases.WINDOW, 1, 60), call=1, rows=0)

    def spoil(made: Calls) -> None:
        own(made)
        under(made)

    found = answers.silent_empty(cases.run(DepDown(), steps=(cases.ROWS, notes), spoil=spoil))
    assert {(one.fault, one.tool) for one in found} == {
        ("", "search"),
        ("1:dep-down", "read_notes"),
    }


def test_a_hang_now_and_then_does_not_hide_those_under_a_fault() -> None:
    """Where only the rate can tell, one or a dozen with nothing broken excuse nothing."""

    def spoil(made: Calls) -> None:
        for within, count in ((cases.BASELINE, 12), (cases.WINDOW, 60)):
            chosen = cases.some(cases.kind(made, 0, within), count)
            end(
                made,
                chosen,
                Outcome.HANG,
                Reason.HANG,
                took_ms=15_000.0,
                ended_by=EndedBy.DEADLINE,
            )

    found = answers.hang(cases.run(DepDown(), spoil=spoil))
    assert "1:dep-down" in {finding.fault for finding in found}


def test_quiet_is_what_no_fault_could_have_reached() -> None:
    """The baseline of both arms, and the untouched arm beside a fault of the network."""
    of = storm(TcpLatency())
    quiet, calls = blame.quiet(of), of.calls
    before = calls["done_ns"] < of.phases.windows[0].start_ns
    during = (calls["sent_ns"] > 13 * S) & (calls["sent_ns"] < 21 * S)
    assert quiet[before].all()
    assert quiet[during & (calls["treated"] == 0)].all()
    assert not quiet[during & (calls["treated"] == 1)].any()
