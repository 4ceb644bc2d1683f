"""Rules that show only where a call is more than one request and one reply."""

from __future__ import annotations

from typing import Any

import pytest

from faults.network import TcpReset
from harness.checks import conversation
from harness.journal import BreachEntry, BreachKind, Calls, SaidEntry
from harness.outcome import Outcome, Reason
from tests.checks import cases
from tests.journals import S, end


def _said(at_s: float = 5.0, **counts: int) -> SaidEntry:
    """Counters of one second; a double underscore stands for a colon."""
    named = {name.replace("__", ":"): count for name, count in counts.items()}
    return SaidEntry(at_ns=round(at_s * S), worker=0, counts=named)


def _breach(session: int, index: int, kind: BreachKind) -> BreachEntry:
    return BreachEntry(at_ns=5 * S, session=session, index=index, kind=kind)


def test_progress_that_goes_forward_and_stops_passes() -> None:
    """The number of notifications is the evidence."""
    of = cases.run(extra=[_said(heard__progress=7), _said(6.0, heard__progress=5)])
    found = cases.one(conversation.false_progress(of))
    assert (found.ruling, found.why.split()[2]) == ("pass", "12")


def test_progress_that_goes_back_or_on_after_the_reply_is_found_with_its_calls() -> None:
    """Each call is named once, whatever it did."""
    of = cases.run(
        TcpReset(),
        extra=[
            _said(heard__progress=9, heard__progress__backwards=3, heard__progress__late=1),
            _breach(4, 2, "progress:late"),
            _breach(3, 1, "progress:backwards"),
            _breach(3, 1, "progress:late"),
        ],
    )
    found = cases.one(conversation.false_progress(of))
    assert (found.ruling, found.observed, found.fault) == ("fail", 4.0, "")
    assert found.evidence == ("s3.1.1", "s4.2.1")
    assert "3 did not increase, 1 came after the reply" in found.why


def test_where_nothing_of_the_kind_happened_nothing_is_said() -> None:
    """A run of plain calls asks none of these questions."""
    of = cases.run()
    assert [found for check in conversation.CHECKS for found in check(of)] == []


@pytest.mark.parametrize(
    "reason", [Reason.UNDECLARED, Reason.INPUT_ENDLESS, Reason.INPUT_MALFORMED]
)
def test_input_that_no_client_could_give_is_found(reason: Reason) -> None:
    """Under no fault, and under one that has nothing to do with it: the server's own."""

    def spoil(made: Calls) -> Any:
        chosen = cases.some(cases.kind(made, 0, cases.BASELINE, None), 3)
        end(made, chosen, Outcome.PROTOCOL_ERROR, reason)

    of = cases.run(TcpReset(), spoil=spoil)
    found = cases.one(conversation.unanswerable_input(of))
    assert (found.ruling, found.fault, found.observed) == ("fail", "", 3.0)


def test_rounds_that_were_all_answered_pass() -> None:
    """A server that asks well is a good server."""
    of = cases.run(extra=[_said(rounds=4)])
    assert cases.one(conversation.unanswerable_input(of)).ruling == "pass"


def test_a_task_that_is_lost_under_a_fault_is_blamed_on_it() -> None:
    """Tasks that are only in a process die with it."""

    def spoil(made: Calls) -> Any:
        chosen = cases.some(cases.kind(made, 0, cases.WINDOW), 4)
        end(made, chosen, Outcome.PROTOCOL_ERROR, Reason.TASK_LOST)

    of = cases.run(TcpReset(), spoil=spoil, extra=[_said(tasks__created=40)])
    found = cases.one(conversation.lost_tasks(of))
    assert (found.ruling, found.fault, found.observed) == ("fail", "1:tcp-reset", 4.0)
    kept = cases.run(extra=[_said(tasks__created=40)])
    assert cases.one(conversation.lost_tasks(kept)).ruling == "pass"
