"""The score: reproducible, honest about its width, and never bought back."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from faults.fault import Fault
from faults.identity import TokenExpire
from faults.network import TcpBandwidth, TcpBlackhole, TcpDown, TcpLatency, TcpReset, TcpTruncate
from harness.evidence import recovery
from harness.evidence.phases import Evidence, Mask, evidence
from harness.journal import Calls, HealthEntry
from harness.outcome import Auth, Outcome, Reason
from harness.score import Scored, score
from harness.verdict import Ruling, Score
from tests import journals
from tests.journals import MS, S

FAULT_S, HEALED_S, END_S = 12.0, 22.005, 32.0


def _run(fault: Fault, spoil: Callable[[Calls], object] | None = None, **changes: Any) -> Evidence:
    of = journals.scenario(journals.window(fault), **changes)
    by = journals.plan(of)
    return evidence(of, by, journals.healthy(of, by, spoil=spoil))


def _overall(found: Evidence) -> Score:
    scored = score(found).overall
    assert scored is not None
    return scored


def _treated(made: Calls, start_s: float, end_s: float) -> Mask:
    return np.asarray(journals.between(made, start_s, end_s) & (made["treated"] == 1))


def test_a_server_that_does_what_can_be_done_scores_a_hundred() -> None:
    """Delays that were injected, and silence that no server could break, cost nothing."""
    for fault in (TcpLatency(), TcpReset(), TcpDown(), TcpBlackhole()):
        found = _overall(_run(fault))
        assert found.points == pytest.approx(100.0, abs=0.5), fault.kind
        assert found.caps == ()
        assert None not in found.components.values()


def test_the_same_journal_gives_the_same_bytes() -> None:
    """Bit for bit, from evidence that was laid out anew."""

    def write(scored: Scored) -> bytes:
        assert scored.overall is not None
        windows = {number: asdict(one) for number, one in scored.windows.items() if one}
        return json.dumps([asdict(scored.overall), windows]).encode()

    def fail_some(made: Calls) -> None:
        some = _treated(made, FAULT_S, END_S) & (made["index"] % 7 == 0)
        journals.end(made, some, Outcome.TIMEOUT, Reason.DEADLINE, took_ms=10_000.0)

    first, again = _run(TcpLatency(), fail_some), _run(TcpLatency(), fail_some)
    assert write(score(first)) == write(score(again)) == write(score(first))
    other_seed = _run(TcpLatency(), fail_some, seed=8)
    assert write(score(other_seed)) != write(score(first))


def test_calls_that_fail_under_the_fault_cost_availability_and_latency() -> None:
    """A third unanswered is two thirds available, and p95 is the deadline."""

    def fail_a_third(made: Calls) -> None:
        some = _treated(made, FAULT_S, 22.0) & (made["index"] % 3 == 0)
        journals.end(made, some, Outcome.HTTP_ERROR, Reason.HTTP_STATUS, status=500, took_ms=1.0)

    found = _overall(_run(TcpLatency(), fail_a_third))
    assert found.components["availability"] == pytest.approx(2 / 3, abs=0.02)
    latency = found.components["latency"]
    assert latency is not None
    assert latency < 0.5  # p95 and p99 stand at the deadline
    assert found.points < 89
    assert any(cap.startswith("availability") for cap in found.caps)
    assert found.components["blast"] == 1.0


def test_a_component_at_nothing_is_not_bought_back_by_the_others() -> None:
    """The mean is geometric: five times 1 and once 0 is not 85."""

    def hurt_the_control_arm(made: Calls) -> None:
        some = journals.between(made, FAULT_S, 22.0) & (made["treated"] == 0)
        journals.end(made, some, Outcome.HTTP_ERROR, Reason.HTTP_STATUS, status=503, took_ms=1.0)

    found = _overall(_run(TcpLatency(), hurt_the_control_arm))
    blast = found.components["blast"]
    assert blast is not None
    assert blast < 0.01
    assert found.points == pytest.approx(100 * 0.01**0.10, abs=0.1)


def test_a_broken_hard_rule_caps_the_score_at_49() -> None:
    """Its window's and the run's."""
    found = _run(TcpLatency())
    scored = score(found, hard=((1, "double-exec"),))
    assert scored.overall is not None
    window = scored.windows[1]
    assert window is not None
    assert (scored.overall.points, scored.overall.high, window.points) == (49.0, 49.0, 49.0)
    assert "double-exec" in scored.overall.caps[0]
    at_large = score(found, hard=((0, "crosstalk"),))
    assert at_large.overall is not None
    assert at_large.overall.points == 49.0
    assert at_large.windows[1] == score(found).windows[1]


def test_another_call_s_data_leaves_no_correctness() -> None:
    """One is enough, in either arm."""

    def leak(made: Calls) -> None:
        one = np.flatnonzero(journals.between(made, FAULT_S, 22.0) & (made["treated"] == 0))[:1]
        journals.end(made, one, Outcome.WRONG, Reason.FOREIGN_NONCE, status=200)

    found = _overall(_run(TcpLatency(), leak))
    assert found.components["correctness"] == 0.0
    assert found.points <= 49.0


def test_evidence_that_is_not_sound_has_no_score() -> None:
    """Withheld, never flattered."""
    rulings: tuple[Ruling, ...] = ("fail", "unknown")
    for ruling in rulings:
        scored = score(_run(TcpLatency()), soundness=ruling)
        assert scored.overall is None
        assert dict(scored.windows) == {1: None}
    of = journals.scenario(journals.window(TcpLatency()))
    nothing = evidence(of, journals.plan(of), journals.journal())
    assert score(nothing).overall is None


def test_sessions_are_drawn_and_not_calls() -> None:
    """The same failures are less certain when one session has them all."""

    def spread(made: Calls) -> None:
        some = _treated(made, FAULT_S, 22.0) & (made["index"] % 10 == 0)
        journals.end(made, some, Outcome.TIMEOUT, Reason.DEADLINE, took_ms=10_000.0)

    def gather(made: Calls) -> None:
        some = _treated(made, FAULT_S, 22.0) & (made["session"] == _one_treated(made))
        journals.end(made, some, Outcome.TIMEOUT, Reason.DEADLINE, took_ms=10_000.0)

    even, uneven = _run(TcpLatency(), spread), _run(TcpLatency(), gather)
    lost = [
        np.count_nonzero(found.settled["outcome"] == Outcome.TIMEOUT) for found in (even, uneven)
    ]
    assert abs(lost[0] - lost[1]) <= 2
    narrow, wide = _overall(even), _overall(uneven)
    assert wide.low < narrow.low
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)
    assert wide.low <= wide.points <= wide.high


def _one_treated(made: Calls) -> int:
    return int(made["session"][made["treated"] == 1][0])


def test_recovery_is_the_first_of_three_good_seconds_in_a_row() -> None:
    """Calls that fail for 3 s after the fault make it 3 s, held against the limit.

    The score forgives the second in which calls that the fault had caught ran out.
    """

    def linger(made: Calls) -> None:
        some = _treated(made, HEALED_S, HEALED_S + 3.0)
        journals.end(made, some, Outcome.HTTP_ERROR, Reason.HTTP_STATUS, status=502, took_ms=5.0)

    found = _run(TcpReset(), linger)
    assert recovery.recovery_s(found, found.phases.windows[0]) == 3.0
    assert _overall(found).components["recovery"] == pytest.approx(7 / 9, abs=0.01)
    strict = _run(TcpReset(), linger, limits={"recovery": "<= 4s"})
    assert _overall(strict).components["recovery"] == pytest.approx(1 / 3, abs=0.01)


def test_a_server_that_stays_slow_has_never_recovered() -> None:
    """Answers alone are no recovery: p95 has to be back too. Never is -1 and caps the score."""

    def crawl(made: Calls) -> None:
        some = _treated(made, HEALED_S, END_S)
        made["done_ns"][some] += 400 * MS

    found = _run(TcpLatency(), crawl)
    assert recovery.recovery_s(found, found.phases.windows[0]) == recovery.NEVER_S
    scored = _overall(found)
    assert scored.components["recovery"] == 0.0
    assert scored.points <= 49.0


def test_a_recovery_that_the_next_fault_swallowed_is_not_measured() -> None:
    """What was still waiting was caught by it; whoever failed before is not excused by that."""

    def queue(made: Calls) -> None:
        some = _treated(made, HEALED_S + 2.0, END_S)
        made["due_ns"][some] = (END_S + 1.0) * S

    def fail_and_queue(made: Calls) -> None:
        some = _treated(made, HEALED_S, HEALED_S + 2.0)
        journals.end(made, some, Outcome.HTTP_ERROR, Reason.HTTP_STATUS, status=502, took_ms=5.0)
        queue(made)

    found = _run(TcpReset(), queue)
    assert recovery.recovery_s(found, found.phases.windows[0]) is None
    found = _run(TcpReset(), fail_and_queue)
    assert recovery.recovery_s(found, found.phases.windows[0]) == recovery.NEVER_S


def test_a_busier_machine_lets_the_untouched_sessions_be_the_yardstick_for_longer() -> None:
    """Both arms are as slow as each other, and the generator waits for a processor, too."""

    def slow_everybody(made: Calls) -> None:
        made["done_ns"][made["due_ns"] > 12 * S] += 400 * MS

    def seen(*, delay: float) -> Evidence:
        of = journals.scenario(journals.window(TcpReset()))
        by = journals.plan(of)
        whole = journals.healthy(of, by, spoil=slow_everybody)
        kept = [entry for entry in whole.entries if not isinstance(entry, HealthEntry)]
        shares = ((second, 0.0 if second < 12 else delay) for second in range(1, 32))
        told = [journals.health(at, cpu_share=0.1, run_delay_share=share) for at, share in shares]
        return evidence(of, by, journals.journal((*kept, *told), whole.calls))

    calm, busy = seen(delay=0.0), seen(delay=0.2)
    assert recovery.recovery_s(calm, calm.phases.windows[0]) == recovery.NEVER_S
    assert recovery.recovery_s(busy, busy.phases.windows[0]) == 0.0


def test_time_that_the_untouched_sessions_lost_counts_as_the_others_does() -> None:
    """Four times a baseline of milliseconds is no catastrophe; all that is left is the deadline."""

    def slow_the_control_arm(took_ms: float) -> Callable[[Calls], object]:
        def spoil(made: Calls) -> None:
            some = journals.between(made, FAULT_S, END_S) & (made["treated"] == 0)
            made["done_ns"][some] += int(took_ms * MS)

        return spoil

    found = [
        _overall(_run(TcpLatency(), slow_the_control_arm(ms))).components["blast"]
        for ms in (60.0, 1_000.0, 10_000.0)
    ]
    assert found == [pytest.approx(0.9, abs=0.05), pytest.approx(0.44, abs=0.05), 0.0]


def test_a_handful_of_calls_a_second_does_not_look_like_a_relapse() -> None:
    """Slices grow until they hold twenty calls, so one slow call is no outage."""

    def stumble(made: Calls) -> None:
        mine = np.flatnonzero(_treated(made, HEALED_S, END_S))
        some = mine[np.argsort(made["due_ns"][mine])][::25]
        made["done_ns"][some] += 300 * MS

    agents = [{"name": "idler", "pace": "1/s", "steps": [journals.SEARCH]}]
    found = _run(TcpReset(), stumble, agents=agents)
    sliced = recovery.slices(found, found.phases.windows[0])
    assert sliced is not None
    assert sliced.length_s > 1.9
    assert recovery.recovery_s(found, found.phases.windows[0]) == 0.0


@pytest.mark.parametrize(
    ("slow", "seconds"), [(3, 0.0), (4, recovery.NEVER_S)], ids=["chance", "too many"]
)
def test_only_more_slow_calls_than_chance_brings_are_a_relapse(slow: int, seconds: float) -> None:
    """A machine that hiccups for a tenth of a second catches three calls of twenty-five."""
    shape = (10, 4)
    sliced = recovery.Slices(
        length_s=1.0,
        calls=np.ones(shape, dtype=np.int64),
        answered=np.ones(shape, dtype=np.int64),
        slow=np.zeros(shape, dtype=np.int64),
        answered_share_min=0.95,
        unavoidable_s=0.0,
        watched_s=4.0,
    )
    calls = np.full((1, 4), 25.0)
    found = recovery.time_to_recover(sliced, calls, calls, np.array([[0.0, slow, 0.0, 0.0]]))
    assert found.tolist() == [seconds]


def test_waiting_out_one_s_own_deadline_is_not_the_server_s_doing() -> None:
    """A black hole leaves calls hanging past its end; the sessions' next calls are what counts."""

    def hang_over(made: Calls) -> None:
        mine = _treated(made, 21.0, 24.0)
        caught = mine & (made["due_ns"] < 22 * S)
        made["done_ns"][caught] = 25 * S
        queued = mine & (made["due_ns"] >= 22 * S)
        made["sent_ns"][queued], made["done_ns"][queued] = 25 * S, 25 * S + 20 * MS

    found = _run(TcpBlackhole(), hang_over, client={"deadline": "3s"})
    window = found.phases.windows[0]
    assert recovery.recovery_s(found, window) == 2.0  # what its users felt
    scored = _overall(found)
    assert scored.components["availability"] == 1.0
    assert scored.components["latency"] == pytest.approx(1.0, abs=0.01)
    assert scored.components["recovery"] == 1.0
    lost = recovery.unpreventable(found)
    assert np.array_equal(
        np.flatnonzero(lost & journals.between(found.settled, HEALED_S, END_S)),
        np.flatnonzero(_treated(found.settled, HEALED_S, 25.02)),
    )


def test_connections_that_the_injector_cut_are_not_the_server_s_errors() -> None:
    """tcp-truncate closes connections itself; an error page in between is still an error."""

    def cut(made: Calls) -> None:
        some = _treated(made, FAULT_S, 22.0) & (made["index"] % 5 == 0)
        journals.end(made, some, Outcome.TRANSPORT_ERROR, Reason.CLOSED_EARLY, took_ms=5.0)

    assert _overall(_run(TcpTruncate(), cut)).components["availability"] == 1.0
    availability = _overall(_run(TcpLatency(), cut)).components["availability"]
    assert availability == pytest.approx(0.8, abs=0.02)


def test_latency_is_not_measured_where_nobody_knows_what_the_fault_adds() -> None:
    """A throttled wire slows each call by its size."""
    found = _overall(_run(TcpBandwidth()))
    assert found.components["latency"] is None
    assert found.points == pytest.approx(100.0, abs=0.5)


def test_a_session_that_had_to_begin_anew_counts_half() -> None:
    """Two of ten reopened is 0.9."""
    of = journals.scenario(journals.window(TcpReset()))
    by = journals.plan(of)
    two = [who.session for who in by.sessions if who.arm == "treated"][:2]
    extra = [e for n in two for e in journals.session(n, ("lost", 15.0), ("reopened", 23.0))]
    found = evidence(of, by, journals.healthy(of, by, extra=extra))
    assert _overall(found).components["survival"] == pytest.approx(0.9)


def test_without_faults_three_components_make_the_score() -> None:
    """Availability, correctness and survival over the baseline and both arms."""
    of = journals.scenario()
    by = journals.plan(of)

    def fail_some(made: Calls) -> None:
        some = made["index"] % (11 + made["session"] % 13) == 3
        journals.end(made, some, Outcome.TIMEOUT, took_ms=10_000.0)

    found = _overall(evidence(of, by, journals.healthy(of, by, spoil=fail_some)))
    known = {name for name, value in found.components.items() if value is not None}
    assert known == {"availability", "correctness", "survival"}
    assert found.components["availability"] == pytest.approx(0.94, abs=0.03)
    assert found.low < found.points < found.high


def test_the_run_scores_the_geometric_mean_of_its_windows() -> None:
    """One bad window is not lost among good ones."""

    def ruin_the_second(made: Calls) -> None:
        some = _treated(made, 32.0, 42.0)
        journals.end(made, some, Outcome.HTTP_ERROR, Reason.HTTP_STATUS, status=500, took_ms=1.0)

    of = journals.scenario(journals.window(TcpLatency()), journals.window(TcpLatency()))
    by = journals.plan(of)
    scored = score(evidence(of, by, journals.healthy(of, by, spoil=ruin_the_second)))
    first, second, overall = scored.windows[1], scored.windows[2], scored.overall
    assert first is not None
    assert second is not None
    assert overall is not None
    assert first.points > 99 > second.points
    assert overall.points == pytest.approx((first.points * second.points) ** 0.5, abs=0.1)


def test_one_slow_call_of_a_few_is_no_relapse_and_one_failed_call_is() -> None:
    """Five calls or more a slice forgive one slow one; an error is an error."""
    found = _run(TcpReset())
    sliced = recovery.slices(found, found.phases.windows[0])
    assert sliced is not None
    few = np.full((1, 4), 7.0)
    nothing, one = np.zeros((1, 4)), np.ones((1, 4))
    assert recovery.time_to_recover(sliced, few, few, nothing)[0] == 0.0
    assert recovery.time_to_recover(sliced, few, few, one)[0] == 0.0
    assert recovery.time_to_recover(sliced, few, few, 2 * one)[0] == recovery.NEVER_S
    assert recovery.time_to_recover(sliced, few, few - one, one)[0] == recovery.NEVER_S
    assert recovery.time_to_recover(sliced, 4 * one, 4 * one, one)[0] == recovery.NEVER_S
    assert recovery.time_to_recover(sliced, nothing, nothing, nothing)[0] == recovery.NEVER_S


def test_where_every_credential_had_expired_the_recovery_tells() -> None:
    """Right refusals leave nothing to count in the window itself."""

    def expire(made: Calls) -> None:
        some = _treated(made, 11.5, 22.5)
        journals.end(made, some, Outcome.HTTP_ERROR, Reason.HTTP_STATUS, status=401, took_ms=5.0)
        made["auth"][some] = Auth.EXPIRED

    found = _overall(_run(TokenExpire(), expire))
    assert found.components["availability"] == 1.0
    assert found.points > 99


def test_a_stall_that_strikes_both_arms_is_no_relapse() -> None:
    """The control arm at the same time is the yardstick, up to a quarter of a second."""

    def stall(*, both: bool) -> Callable[[Calls], object]:
        def spoil(made: Calls) -> None:
            for second in (24.5, 27.5, 30.5):
                some = journals.between(made, second, second + 0.15)
                some &= (made["treated"] == 1) | both
                made["done_ns"][some] += 150 * MS

        return spoil

    shared, own = _run(TcpReset(), stall(both=True)), _run(TcpReset(), stall(both=False))
    assert recovery.recovery_s(shared, shared.phases.windows[0]) == 0.0
    assert recovery.recovery_s(own, own.phases.windows[0]) == recovery.NEVER_S
