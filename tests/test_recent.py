from __future__ import annotations

import numpy as np
import pytest

from harness.journal import Calls
from harness.outcome import Auth, Outcome
from harness.recent import ArmTally, Recent, dump, restore, tally
from tests import journals


def _batch() -> Calls:
    """Eight settled calls, half of them treated, and two attempts that settled nothing."""
    made = journals.calls(
        10, took_ms=[1, 2, 3, 4, 10, 20, 30, 40, 50, 60], treated=[0] * 4 + [1] * 6
    )
    made["last"][8:] = 0
    made["attempt"][8] = 0
    made["window"][8:] = 2
    return made


def test_calls_and_errors_are_counted_by_arm() -> None:
    """Only what settled a call is one; what the client itself left is no error."""
    batch = _batch()
    batch["outcome"][[0, 4, 5]] = Outcome.TIMEOUT
    batch["outcome"][1] = Outcome.ABANDONED
    sums = tally(batch)
    assert (sums["control"].calls, sums["control"].errors) == (4, 1)
    assert (sums["treated"].calls, sums["treated"].errors) == (4, 2)


def test_a_rightful_refusal_is_neither_a_call_nor_an_error() -> None:
    """A 401 for a dead token is what the server should say; one for a good token is an error."""
    batch = _batch()
    batch["status"][:2], batch["outcome"][:2] = 401, Outcome.HTTP_ERROR
    batch["auth"][:2] = [Auth.EXPIRED, Auth.VALID]
    control = tally(batch)["control"]
    assert (control.calls, control.errors) == (3, 1)


def test_attempts_that_a_window_asked_for_are_counted_by_it() -> None:
    """Preludes too, which settle nothing."""
    sums = tally(_batch())
    assert sums["treated"].behaved == {2: 2}
    assert sums["control"].behaved == {}


def test_nothing_happened_is_no_percentile() -> None:
    """An empty interval has no latency, and no division by it."""
    sums = tally(_batch()[:0])
    assert all(part.calls == 0 and part.quantile_ms(0.5) is None for part in sums.values())


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_a_percentile_is_right_within_a_bucket(share: float) -> None:
    """A sixteenth of a doubling, which is under five percent."""
    took_ms = np.exp(np.random.default_rng(1).normal(2, 1, 4000))
    part = tally(journals.calls(4000, took_ms=took_ms))["control"]
    exact_ms = float(np.quantile(took_ms, share, method="inverted_cdf"))
    assert part.quantile_ms(share) == pytest.approx(exact_ms, rel=0.045)


def test_calls_are_counted_by_outcome_and_their_latencies_add_up() -> None:
    """Of settled calls alone: what settled nothing has neither."""
    batch = _batch()
    batch["outcome"][[4, 5]] = Outcome.TIMEOUT
    sums = tally(batch)
    assert sums["treated"].outcomes == {Outcome.OK: 2, Outcome.TIMEOUT: 2}
    assert sums["control"].took_us == 10_000
    assert sums["treated"].took_us == 100_000


def test_a_call_that_was_never_sent_has_no_latency() -> None:
    """It is an error all the same."""
    batch = journals.calls(3, took_ms=5)
    batch["outcome"][0], batch["done_ns"][0] = Outcome.UNSENT, -1
    control = tally(batch)["control"]
    assert (control.calls, control.errors, sum(control.buckets.values())) == (3, 1, 2)


def test_tallies_of_two_workers_add_up_to_one() -> None:
    """Merged, they are the tally of all calls together, over a message between processes too."""
    batch = _batch()
    merged = tally(batch[:5])
    other = restore(dump(tally(batch[5:])))
    for arm, part in merged.items():
        part.add(other[arm])
    assert merged == tally(batch)


def test_a_message_survives_keys_that_became_text() -> None:
    """JSON knows no numbers as keys."""
    sums = tally(_batch())
    message = {
        arm: [*part[:3], *({str(key): n for key, n in each.items()} for each in part[3:])]
        for arm, part in dump(sums).items()
    }
    assert restore(message) == sums


def test_the_last_seconds_are_few_and_the_total_is_all() -> None:
    """Old intervals go, what they counted stays."""
    recent = Recent(intervals=3)
    for count in (1, 2, 4, 8):
        recent.add({"control": ArmTally(calls=count, errors=1, buckets={count: count})})
    assert recent.window("control", 1).calls == 8
    assert recent.window("control", 2).calls == 12
    assert recent.window("control", 99).calls == 14
    assert recent.total["control"].calls == 15
    assert recent.window("treated", 3) == ArmTally()


def test_looking_at_a_window_changes_nothing() -> None:
    """A view that looks four times a second must not count four times."""
    recent = Recent()
    recent.add({"treated": ArmTally(calls=5, buckets={1: 5})})
    seen = [recent.window("treated", 5) for _ in range(3)]
    assert seen[0] == seen[1] == seen[2] == ArmTally(calls=5, buckets={1: 5})


def test_a_second_of_several_processes_is_that_of_all_of_them() -> None:
    """However their words interleave; whoever was lost has no last second."""
    recent = Recent(intervals=2)
    for worker, count in ((1, 10), (2, 100), (2, 200), (1, 20), (1, 40)):
        recent.add({"control": ArmTally(calls=count)}, worker)
    assert recent.window("control", 1).calls == 240
    assert recent.window("control", 2).calls == 360
    recent.forget(2)
    assert recent.window("control", 2).calls == 60
    assert recent.total["control"].calls == 370
