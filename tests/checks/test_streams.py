"""Streams that are cut off or held back, told from calls that merely break."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from faults.network import IdleCut, TcpReset
from harness.checks import streams
from harness.evidence.phases import Evidence
from harness.journal import BreachEntry, Calls, SaidEntry
from harness.outcome import Outcome, Reason
from tests.checks import cases
from tests.journals import MS, S, end

SLOW = {"call": "slow", "with": {"seconds": 2, "label": "${nonce}"}, "progress": True}
IDLE = IdleCut.model_validate({"after": "1500ms"})
CUT = (Outcome.TRANSPORT_ERROR, Reason.CLOSED_EARLY)


def broken(
    ages_s: Sequence[float], within: tuple[float, float], fault: Any = IDLE, sessions: int = 3
) -> Evidence:
    """Make a run of calls of two seconds in which some break, each at its age."""
    entries: list[BreachEntry] = []

    def spoil(made: Calls) -> None:
        made["done_ns"] = made["sent_ns"] + 2 * S
        made["first_ns"] = made["sent_ns"] + MS
        chosen = np.flatnonzero(cases.kind(made, 0, within))
        ours = np.unique(made["session"][chosen])[:sessions]
        chosen = chosen[np.isin(made["session"][chosen], ours)]
        order = chosen[np.argsort(made["index"][chosen], kind="stable")][: len(ages_s)]
        for at, age_s in zip(order, ages_s, strict=True):
            end(made, [at], *CUT)
            made["done_ns"][at] = -1
            one = made[at]
            entries.append(
                BreachEntry(
                    at_ns=int(one["sent_ns"]) + round(age_s * S),
                    session=int(one["session"]),
                    index=int(one["index"]),
                    kind="stream:broken",
                )
            )

    faults = () if fault is None else (fault,)
    cases.run(*faults, steps=(SLOW,), spoil=spoil)
    known = tuple(entries)
    return cases.run(*faults, steps=(SLOW,), spoil=spoil, extra=known)


def test_answers_that_are_cut_off_after_silence_are_found_under_the_fault() -> None:
    """Two are enough, for nothing but silence is cut there."""
    finding = cases.one(streams.stream_cut(broken([1.6, 1.7], cases.WINDOW)))
    assert (finding.verdict, finding.ruling, finding.fault) == ("stream-cut", "fail", "1:idle-cut")
    assert len(finding.evidence) == 2


def test_answers_that_are_cut_at_one_age_with_no_fault_are_the_servers_own() -> None:
    """Nobody else gives an answer a lifetime."""
    finding = cases.one(streams.stream_cut(broken([1.9, 2.0, 2.0, 2.05], cases.BASELINE, None)))
    assert (finding.ruling, finding.fault, finding.tool) == ("fail", "", "slow")


@pytest.mark.parametrize(
    ("ages_s", "within", "fault", "sessions"),
    [
        ([1.1, 1.5, 1.9, 1.3], cases.BASELINE, None, 3),  # by one event, at every age
        ([2.0, 2.0], cases.BASELINE, None, 3),  # too few
        ([2.0, 2.0, 2.0], cases.BASELINE, None, 1),  # one session's own trouble
        ([0.4, 0.4, 0.4, 0.4], cases.BASELINE, None, 3),  # young
        ([0.6, 0.7], cases.WINDOW, IDLE, 3),  # before the silence was long enough
        ([2.0, 2.0, 2.0, 2.0], cases.WINDOW, TcpReset(), 3),  # what that fault does
    ],
)
def test_calls_that_break_otherwise_are_no_cut_streams(
    ages_s: list[float], within: tuple[float, float], fault: Any, sessions: int
) -> None:
    """They have other names, or none."""
    of = broken(ages_s, within, fault, sessions)
    assert cases.one(streams.stream_cut(of)).ruling == "pass"


def test_short_calls_say_nothing_of_streams() -> None:
    """Nothing lasted a second."""
    assert cases.one(streams.stream_cut(cases.run())).ruling == "unknown"


def progressing(first_s: float, *, heard: int = 500, took_s: float = 2.0) -> Evidence:
    """Make a run of calls that ask for progress, whose first byte comes so late."""

    def spoil(made: Calls) -> None:
        made["first_ns"] = made["sent_ns"] + round(first_s * S)
        made["done_ns"] = made["sent_ns"] + round(took_s * S)

    said = SaidEntry(at_ns=S, worker=0, counts={"heard:progress": heard * 10})
    return cases.run(steps=(SLOW,), spoil=spoil, extra=(said,))


def test_a_stream_that_comes_whole_at_its_end_is_buffered() -> None:
    """Though there was progress to tell of on the way."""
    finding = cases.one(streams.buffered_stream(progressing(1.95)))
    assert (finding.verdict, finding.ruling, finding.fault) == ("buffered-stream", "fail", "")
    assert finding.evidence


def test_a_stream_whose_first_byte_comes_early_passes() -> None:
    """Headers at once, or with the first event."""
    assert cases.one(streams.buffered_stream(progressing(0.2))).ruling == "pass"


def test_a_server_without_progress_is_not_judged() -> None:
    """It has nothing to send before its answer."""
    assert cases.one(streams.buffered_stream(progressing(1.95, heard=0))).ruling == "unknown"
    assert cases.one(streams.buffered_stream(progressing(0.5, took_s=0.6))).ruling == "unknown"
    assert streams.buffered_stream(cases.run()) == ()
