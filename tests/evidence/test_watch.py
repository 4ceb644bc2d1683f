"""A limit on the recovery can be judged only in a watch that leaves room for it."""

from __future__ import annotations

import numpy as np
import pytest

from faults.network import TcpReset
from harness import plan
from harness.checks.limits import judge_limits
from harness.evidence.phases import evidence
from harness.evidence.watch import cramped, enough_s, latest_s
from harness.journal import Calls
from harness.outcome import Outcome, Reason
from harness.scenario.records import Scenario
from tests import journals

HEALED_S = 22.0


def watched(limit: str, watch_s: float) -> Scenario:
    """Make a scenario of 40 treated calls a second, with one fault."""
    return journals.scenario(
        journals.window(TcpReset()),
        limits={"recovery": limit} if limit else {},
        phases={"warmup": "1s", "baseline": "10s", "recovery": f"{watch_s}s"},
    )


@pytest.mark.parametrize("rate", [0.3, 2.0, 9.0, 15.0, 34.0, 400.0])
@pytest.mark.parametrize("limit_s", [0.0, 1.0, 4.0, 10.0, 60.0])
def test_what_is_called_enough_is_enough_and_no_longer_than_it_has_to_be(
    limit_s: float, rate: float
) -> None:
    """In whole seconds, at any rate that a plan may have."""
    enough = enough_s(limit_s, rate)
    assert latest_s(enough, rate) >= limit_s
    assert limit_s == 0 or latest_s(enough - 1, rate) < limit_s
    assert enough <= 4 * limit_s + 10


def test_a_limit_as_long_as_its_watch_leaves_no_room() -> None:
    """It shows a second of its four, and eight would do."""
    of = watched("<= 4s", 4)
    tight = cramped(plan.make(of), of)
    assert tight is not None
    assert (tight.watch_s, tight.enough_s) == (4.0, 8.0)
    assert tight.seen_s < 1
    roomy = watched("<= 4s", tight.enough_s)
    assert cramped(plan.make(roomy), roomy) is None


def test_without_a_limit_or_a_fault_there_is_nothing_to_leave_room_for() -> None:
    """Neither is too short."""
    of = watched("", 2)
    assert cramped(plan.make(of), of) is None
    calm = journals.scenario(limits={}, phases={"baseline": "10s", "recovery": "2s"})
    assert cramped(plan.make(calm), calm) is None


@pytest.mark.parametrize(("watch_s", "ruling"), [(8.0, "pass"), (4.0, "unknown")])
def test_a_server_that_is_back_just_in_time_passes_where_there_was_room(
    watch_s: float, ruling: str
) -> None:
    """After 3 s of the 4 that it may take; in a watch of as long nobody can tell."""
    of = watched("<= 4s", watch_s)
    by = journals.plan(of)

    def failing(made: Calls) -> None:
        struck = journals.between(made, HEALED_S, HEALED_S + 3) & (made["treated"] == 1)
        which = np.flatnonzero(struck)
        journals.end(made, which, Outcome.HTTP_ERROR, Reason.HTTP_STATUS, status=503, took_ms=5.0)

    whole = journals.healthy(of, by, spoil=failing)
    seen = evidence(of, by, journals.journal(whole.entries, whole.calls))
    (limit,) = [one for one in judge_limits(seen, None) if one.name == "recovery"]
    assert limit.ruling == ruling
    assert limit.observed == (3.0 if ruling == "pass" else None)
