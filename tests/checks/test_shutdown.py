"""What a target does that is told to end: drains and goes, cuts off, or hangs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from faults.process import Sigterm
from harness.checks import shutdown
from harness.evidence.phases import Evidence
from harness.journal import Calls
from harness.outcome import Outcome, Reason
from tests import journals
from tests.checks import cases
from tests.checks.cases import target_life
from tests.journals import MS, S, end

GRACE = Sigterm.model_validate({"grace": "3s"})
TOLD_S = 13.0
GONE = target_life(("told", TOLD_S, 1), ("ended", 14, 1), ("started", 14.1, 2))
KILLED = target_life(
    ("told", TOLD_S, 1), ("killed", 16, 1), ("ended", 16, 1), ("started", 16.1, 2), took_s=3.0
)


def under_way(made: Calls, *, age_s: float = 1.0, rest_s: float = 0.5) -> Any:
    """Select four calls and let them be in flight when the target is told to end."""
    made["done_ns"][made["call"] == 0] = made["sent_ns"][made["call"] == 0] + 20 * MS
    chosen = cases.some(cases.kind(made, 0, cases.BASELINE), 4)
    made["sent_ns"][chosen] = round((TOLD_S - age_s) * S)
    made["done_ns"][chosen] = round((TOLD_S + rest_s) * S)
    return chosen


def told(
    entries: Sequence[Any] = GONE, *, lost: int = 0, age_s: float = 1.0, outcome: Any = None
) -> Evidence:
    """Make a run whose target is told to end with four calls in flight, some of them lost."""

    def spoil(made: Calls) -> None:
        chosen = under_way(made, age_s=age_s)
        made["outcome"][chosen] = Outcome.OK
        if lost:
            cut = outcome or (Outcome.TRANSPORT_ERROR, Reason.CLOSED_EARLY)
            end(made, chosen[:lost], *cut)

    return cases.run(GRACE, spoil=spoil, extra=entries)


def test_calls_that_were_under_way_and_got_their_answers_pass() -> None:
    """The four are all that is judged."""
    finding = cases.one(shutdown.no_drain(told()))
    assert (finding.ruling, finding.fault) == ("pass", "1:sigterm")
    assert "0 of 4" in finding.why


def test_one_call_without_an_answer_is_enough() -> None:
    """It is named."""
    finding = cases.one(shutdown.no_drain(told(lost=1)))
    assert (finding.ruling, finding.observed) == ("fail", 1.0)
    assert len(finding.evidence) == 1


def test_an_error_is_an_answer() -> None:
    """Who was told so has lost nothing without knowing it."""
    refused = (Outcome.HTTP_ERROR, Reason.HTTP_STATUS)
    assert cases.one(shutdown.no_drain(told(lost=2, outcome=refused))).ruling == "pass"


def test_a_call_that_was_only_just_sent_is_new_work() -> None:
    """It may not even have arrived; so nothing was under way."""
    finding = cases.one(shutdown.no_drain(told(lost=4, age_s=0.3)))
    assert finding.ruling == "unknown"


def test_a_call_that_takes_longer_than_the_grace_may_be_cut_off() -> None:
    """How long its kind takes is known from the baseline."""

    def spoil(made: Calls) -> None:
        chosen = under_way(made)
        end(made, chosen, Outcome.TRANSPORT_ERROR, Reason.CLOSED_EARLY)
        kind = cases.some(cases.kind(made, 0, (5.0, 5.9)), 1)
        made["done_ns"][kind] = made["sent_ns"][kind] + 6 * S

    of = cases.run(GRACE, spoil=spoil, extra=GONE)
    assert cases.one(shutdown.no_drain(of)).ruling == "unknown"


@pytest.mark.parametrize(("entries", "ruling"), [(GONE, "pass"), (KILLED, "fail")])
def test_a_process_that_had_to_be_killed_after_its_grace_hung(
    entries: Sequence[Any], ruling: str
) -> None:
    """By time, never by exit status."""
    finding = cases.one(shutdown.hung_exit(told(entries)))
    assert (finding.verdict, finding.ruling, finding.fault) == ("hung-exit", ruling, "1:sigterm")
    assert bool(finding.evidence) == (ruling == "fail")


def test_a_process_that_was_not_given_its_grace_leaves_the_question_open() -> None:
    """The window's end killed it."""
    early = target_life(("told", 13, 1), ("killed", 14, 1), ("ended", 14, 1), took_s=1.0)
    assert cases.one(shutdown.hung_exit(told(early))).ruling == "unknown"
    never = target_life(("told", 13, 1))
    assert cases.one(shutdown.hung_exit(told(never))).ruling == "unknown"


def test_nothing_is_said_of_a_target_that_nobody_told_to_end() -> None:
    """Nor of one that squall ended after the run."""
    assert shutdown.no_drain(journals.storm()) == ()
    assert shutdown.hung_exit(journals.storm()) == ()
    assert np.any(journals.storm().ok)


def test_a_recovery_begins_when_the_target_first_answered() -> None:
    """How long a program takes to start says more of the machine than of the server."""
    ready = target_life(("ready", 24, 2))
    span = told((*GONE, *ready)).phases.windows[0]
    assert span.healed_ns == 24 * S
    assert told().phases.windows[0].healed_ns < 23 * S
