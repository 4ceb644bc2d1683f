from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from faults.fault import Fault
from faults.network import TcpLatency
from harness.evidence import profiles
from harness.evidence.phases import Evidence, Mask
from harness.journal import Calls
from harness.outcome import Outcome, Reason
from tests.checks import cases
from tests.journals import end, storm


class Both(TcpLatency):
    """A fault that leaves no arm alone."""

    def strikes(self) -> str:  # type: ignore[override]
        """Strike both arms."""
        return "both"


def empties(*spoiled: tuple[int, tuple[float, float], int]) -> Callable[[Calls], None]:
    """Let searches return ten rows, and some of them none: (how many, when, which arm)."""

    def spoil(made: Calls) -> None:
        made["rows"][made["call"] == 0] = 10
        for count, within, treated in spoiled:
            made["rows"][cases.some(cases.kind(made, 0, within, treated), count)] = 0

    return spoil


def charged(of: Evidence) -> Mask:
    """Give the empty answers that are out of character."""
    return profiles.unusual(of, judged=profiles.answered(of), bad=np.asarray(of.calls["rows"] == 0))


def count(
    *spoiled: tuple[int, tuple[float, float], int], fault: Fault | None = None
) -> tuple[int, int]:
    """Count the charged answers of a run, control first."""
    of = cases.run(fault or TcpLatency(), spoil=empties(*spoiled))
    arms = of.calls["treated"][charged(of)]
    return int((arms == 0).sum()), int((arms == 1).sum())


def test_what_comes_and_goes_with_the_fault_is_charged() -> None:
    """Twenty empty answers under the fault, none before, beside or after."""
    assert count((20, cases.WINDOW, 1)) == (0, 20)


def test_a_queue_that_runs_dry_is_not_charged_to_the_fault_it_coincides_with() -> None:
    """Both arms find it empty from the window's beginning to the end of the run."""
    dry = ((40, cases.WINDOW, 0), (40, cases.WINDOW, 1), (40, cases.RECOVERY, 0))
    assert count(*dry, (40, cases.RECOVERY, 1)) == (0, 0)


def test_what_the_untouched_sessions_suffer_while_it_lasts_is_charged_too() -> None:
    """An exhausted pool is empty for everybody, and well again afterwards."""
    assert count((40, cases.WINDOW, 0), (40, cases.WINDOW, 1)) == (40, 40)


def test_a_fault_of_both_arms_is_held_against_baseline_and_recovery() -> None:
    """There is no control; what stays empty afterwards may be the tool's nature."""
    both = ((40, cases.WINDOW, 0), (40, cases.WINDOW, 1))
    assert count(*both, fault=Both()) == (40, 40)
    ever_after = ((80, cases.RECOVERY, 0), (80, cases.RECOVERY, 1))
    assert count(*both, *ever_after, fault=Both()) == (0, 0)


def test_without_a_baseline_nothing_is_out_of_character() -> None:
    """A tool that is first called under the fault has no usual self."""

    def unasked(made: Calls) -> None:
        empties((20, cases.WINDOW, 1))(made)
        end(made, cases.kind(made, 0, (0.0, 12.0), None), Outcome.HTTP_ERROR, Reason.HTTP_STATUS)

    assert not charged(cases.run(TcpLatency(), spoil=unasked)).any()


def test_a_share_that_the_baseline_explains_is_not_charged() -> None:
    """One in ten before, two in ten now: within what one would expect by chance and nature."""
    assert count((40, cases.BASELINE, 0), (20, cases.WINDOW, 1)) == (0, 0)


@pytest.mark.parametrize(("rows", "exact", "least"), [([10] * 20, True, 10), ([10] * 20, False, 5)])
def test_what_never_varies_is_what_every_answer_must_have(
    rows: list[int], exact: bool, least: float
) -> None:
    """Bytes vary with the texts in them, so half is the limit there."""
    assert profiles.least(np.array(rows, dtype=np.float64), exact=exact) == least
    assert profiles.least(np.array(rows[1:], dtype=np.float64), exact=exact) == 0
    assert profiles.least(np.array([4, *rows], dtype=np.float64), exact=exact) == 2


def test_short_answers_are_short_by_rows_or_by_bytes() -> None:
    """Four rows of ten, a third of the bytes; an empty list has a name of its own."""

    def spoil(made: Calls) -> None:
        empties((1, cases.WINDOW, 1))(made)
        some = cases.some(cases.kind(made, 0, cases.WINDOW), 4)
        made["rows"][some[1]] = 4
        made["reply_bytes"][some[2]] = 133
        made["rows"][some[3]] = 11

    of = cases.run(TcpLatency(), spoil=spoil)
    short = profiles.short(of, profiles.answered(of))
    assert of.calls["rows"][short].tolist() == [4, 10]


def test_rows_of_the_table_say_what_each_kind_of_call_brought() -> None:
    """By phase and arm, with the nulls where somebody looked."""
    of = cases.run(TcpLatency(), spoil=empties((20, cases.WINDOW, 1)))
    told = {(row.tool, row.phase, row.arm): row for row in profiles.rows(of, {(0, 1, 1): 0.25})}
    assert len(told) == 8
    search = told["search", "1:tcp-latency", "treated"]
    assert search.empty_share == pytest.approx(20 / search.answers)
    assert (search.rows_p50, search.bytes_p50, search.null_share) == (10.0, 400.0, 0.25)
    note = told["append_note", "baseline", "control"]
    assert (note.rows_p50, note.empty_share, note.null_share) == (None, None, None)


def test_a_run_without_calls_has_no_rows_of_quality() -> None:
    """Nothing was answered, so there is nothing to tell."""
    of = storm(TcpLatency(), spoil=lambda made: end(made, slice(None), Outcome.HANG, Reason.HANG))
    assert profiles.rows(of, {}) == ()
