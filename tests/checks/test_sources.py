"""The dependency's ledger has the last word on what an answer may claim."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from faults.fault import Fault
from faults.network import TcpLatency
from harness.checks import answers, dependency
from harness.evidence.phases import Evidence
from harness.journal import Calls, DependencyEntry
from harness.outcome import Outcome, Reason
from tests.checks import cases, ledgers
from tests.journals import NOTE, end

FAULT = TcpLatency()  # which one does not matter: the ledger says what came of it
NAME = "1:tcp-latency"


def answered(
    within: tuple[float, float],
    *,
    rows: int,
    reason: Reason = Reason.NONE,
    outcome: Outcome | None = None,
) -> Callable[[Calls], None]:
    """Let every search have ten rows, but those due in a stretch of the run so many."""

    def spoil(made: Calls) -> None:
        made["rows"][made["call"] == 0] = ledgers.ROWS
        chosen = cases.kind(made, 0, within)
        made["rows"][chosen] = rows
        known = Outcome.WRONG if reason else Outcome.OK
        made["outcome"][chosen] = known if outcome is None else outcome
        made["reason"][chosen] = reason

    return spoil


def run(
    change: ledgers.Change | None, spoil: Callable[[Calls], None], fault: Fault = FAULT
) -> Evidence:
    """Make a run in which the ledger is changed under the fault."""
    laid = None if change is None else ledgers.within(cases.WINDOW, change)
    return cases.run(fault, spoil=spoil, ledger=ledgers.asked(change=laid))


FAILED = {
    "refused": ledgers.instead(status=503, rows=-1),
    "limited": ledgers.instead(status=429, rows=-1, retry_after_s=5.0),
    "cut": ledgers.instead(answered=False),
    "mute": ledgers.instead(status=0, answered=False),
    "never-asked": ledgers.nothing,
}


@pytest.mark.parametrize("how", FAILED)
@pytest.mark.parametrize("reason", [Reason.NONE, Reason.ROWS, Reason.NONCE_MISSING])
def test_an_empty_answer_over_a_failure_is_silent_empty(how: str, reason: Reason) -> None:
    """Nothing that was asked for it succeeded, whoever expects rows or does not."""
    of = run(FAILED[how], answered(cases.WINDOW, rows=0, reason=reason))
    assert cases.failed(of) == {("silent-empty", NAME)}


def test_a_refusal_dressed_as_a_result_is_silent_empty_and_no_wrong_answer() -> None:
    """A rate limit in a success payload has no nonce, and not the rows that there always are."""
    spoil = answered(cases.WINDOW, rows=1, reason=Reason.NONCE_MISSING)
    of = run(FAILED["limited"], spoil)
    assert cases.failed(of) == {("silent-empty", NAME)}
    finding = cases.one(answers.silent_empty(of))
    assert "the dependency's ledger has rows at " in finding.why
    assert "429" in finding.why


def test_a_refused_credential_under_a_success_is_auth_masked() -> None:
    """What the dependency said no to, the call says yes to."""
    of = run(ledgers.instead(status=401, rows=-1), answered(cases.WINDOW, rows=0))
    assert cases.failed(of) == {("auth-masked", NAME)}
    finding = cases.one(dependency.auth_masked(of))
    assert (finding.ruling, finding.hard) == ("fail", False)
    assert finding.evidence


def test_errors_over_failures_are_right() -> None:
    """`isError` is what a resilient server says."""
    spoil = answered(cases.WINDOW, rows=-1, outcome=Outcome.TOOL_ERROR, reason=Reason.TOOL_ERROR)
    for change in FAILED.values():
        assert cases.failed(run(change, spoil)) == set()


def test_an_answer_as_whole_as_ever_may_come_from_memory() -> None:
    """The dependency is down, and what it said before is still true: no lie is told."""
    of = run(FAILED["refused"], answered(cases.WINDOW, rows=ledgers.ROWS))
    assert cases.failed(of) == set()


def test_an_empty_answer_is_true_where_the_dependency_has_none() -> None:
    """Even where the author expects rows: what is not there cannot be answered with."""
    spoil = answered(cases.WINDOW, rows=0, reason=Reason.ROWS)
    none = ledgers.within(cases.WINDOW, ledgers.instead(rows=0, total=0))
    of = cases.run(FAULT, steps=(cases.ROWS, NOTE), spoil=spoil, ledger=ledgers.asked(change=none))
    assert cases.failed(of) == set()


def test_an_empty_answer_is_a_lie_where_rows_were_kept_back() -> None:
    """The total says that there are ten, and the server did not look."""
    kept = ledgers.instead(rows=0, total=ledgers.ROWS, fault="empty")
    assert cases.failed(run(kept, answered(cases.WINDOW, rows=0))) == {("silent-empty", NAME)}


def test_part_of_the_rows_taken_for_all_is_truncated() -> None:
    """The ledger knows how many there are, of a page that was lost and of a body that was cut."""
    for change in (
        ledgers.instead(rows=0, total=ledgers.ROWS, fault="partial"),
        lambda row, whole: [whole, *ledgers.instead(answered=False, fault="partial")(row, whole)],
    ):
        of = run(change, answered(cases.WINDOW, rows=4))
        assert cases.failed(of) == {("truncated", NAME)}
        assert "ledger" in cases.one(answers.truncated(of)).why


def test_a_tool_that_picks_from_what_it_gets_is_not_called_truncated() -> None:
    """It never gave all rows, with nothing broken either."""

    def pick(made: Calls) -> None:
        made["rows"][made["call"] == 0] = 4

    assert cases.failed(run(None, pick)) == set()


def test_a_tool_that_answers_by_itself_is_not_judged_by_the_ledger() -> None:
    """Half its answers never needed the dependency."""

    def now_and_then(_: object, whole: DependencyEntry) -> list[DependencyEntry]:
        return [whole] if whole.at_ns % 2 else []

    def few(made: Calls) -> None:
        made["rows"][made["call"] == 0] = ledgers.ROWS
        made["rows"][cases.some(cases.kind(made, 0, cases.WINDOW), 2)] = 4

    of = cases.run(FAULT, spoil=few, ledger=ledgers.asked(change=now_and_then))
    assert cases.failed(of) == set()


def test_a_request_that_came_before_or_after_the_attempt_is_none_of_its() -> None:
    """An earlier attempt's success does not excuse the one that settled the call."""

    def early(_: object, whole: DependencyEntry) -> list[DependencyEntry]:
        failed = replace(whole, status=503, rows=-1)
        return [
            replace(whole, at_ns=whole.at_ns - 10_000_000),
            failed,
            replace(whole, at_ns=whole.at_ns + 10**12),
        ]

    assert cases.failed(run(early, answered(cases.WINDOW, rows=0))) == {("silent-empty", NAME)}


def test_without_a_ledger_nothing_is_said_of_what_lies_beneath() -> None:
    """And without a single answer nobody can say it."""
    of = cases.run(FAULT, spoil=answered(cases.WINDOW, rows=10))
    assert dependency.auth_masked(of) == ()

    def mute(made: Calls) -> None:
        end(made, slice(None), Outcome.TIMEOUT, Reason.DEADLINE)

    of = cases.run(FAULT, spoil=mute, ledger=ledgers.asked())
    assert cases.one(dependency.auth_masked(of)).ruling == "unknown"
    assert cases.one(answers.silent_empty(of)).ruling == "unknown"


# --- stale-read -----------------------------------------------------------------------------

READ = {
    "call": "read_note",
    "with": {"key": "${session}"},
    "expect": {"fresh": "${written}"},
}
WRITE = {**NOTE, "keep": {"written": "text"}}


def reading(reason: Reason, outcome: Outcome = Outcome.WRONG) -> Evidence:
    """Make a run whose sessions read their notes back, some of them in vain."""

    def spoil(made: Calls) -> None:
        chosen = cases.some(cases.kind(made, 1, cases.WINDOW), 5)
        end(made, chosen, outcome, reason, status=200)

    return cases.run(FAULT, steps=(WRITE, READ), spoil=spoil)


def test_a_write_that_its_own_session_does_not_read_back_is_a_stale_read() -> None:
    """Whatever it shows instead."""
    of = reading(Reason.STALE)
    assert cases.failed(of) == {("stale-read", NAME)}
    assert cases.one(dependency.stale_read(of)).hard


def test_an_error_instead_of_an_old_answer_is_right() -> None:
    """Who says that it is behind tells no lie."""
    of = reading(Reason.TOOL_ERROR, Outcome.TOOL_ERROR)
    assert cases.one(dependency.stale_read(of)).ruling == "pass"
    assert cases.failed(of) == set()


def test_stale_reads_are_sought_only_where_somebody_reads_back() -> None:
    """And unknown where nobody was answered."""
    assert dependency.stale_read(cases.run(FAULT)) == ()

    def mute(made: Calls) -> None:
        end(made, slice(None), Outcome.TIMEOUT, Reason.DEADLINE)

    of = cases.run(FAULT, steps=(WRITE, READ), spoil=mute)
    assert cases.one(dependency.stale_read(of)).ruling == "unknown"
