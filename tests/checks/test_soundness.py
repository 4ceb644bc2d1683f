"""Evidence that is not sound is found out, and evidence that is only noisy is not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from faults.agent import ResponseLost
from faults.fault import Fault
from faults.identity import TokenExpire
from faults.network import TcpLatency, TcpReset, TcpSlice
from harness.checks import agreement, soundness
from harness.checks.bite import bite
from harness.evidence.phases import Evidence, evidence
from harness.journal import Calls, FaultEntry, HealthEntry, RunEntry, TokenEntry, WorkerEntry
from harness.outcome import Outcome, Reason
from harness.verdict import Soundness
from tests import journals
from tests.journals import MS, S


def _run(
    fault: Fault = TcpLatency(),  # noqa: B008  frozen
    *,
    spoil: journals.Spoil | None = None,
    drop: type[object] | None = None,
    extra: Sequence[Any] = (),
    keep: Any = None,
    **options: Any,
) -> Evidence:
    of = journals.scenario(journals.window(fault))
    by = journals.plan(of)
    whole = journals.healthy(of, by, spoil=spoil, **options)
    entries = [entry for entry in whole.entries if drop is None or not isinstance(entry, drop)]
    entries += extra
    made = whole.calls if keep is None else whole.calls[keep(whole.calls)]
    return evidence(of, by, journals.journal(entries, made))


def _one(found: Evidence, check: soundness.Check) -> Soundness:
    (one,) = check(found)
    return one


def test_a_run_at_ease_is_sound_in_every_question() -> None:
    """Every check runs, and none objects."""
    found = _run()
    told = [one for check in soundness.CHECKS for one in check(found)]
    assert {one.name for one in told} == {
        "run-complete",
        "healed",
        "conservation",
        "samples",
        "generator",
        "arms-agree",
        "baseline-steady",
        "fault-bit",
        "histogram-range",
    }
    assert [one for one in told if one.ruling != "pass"] == []
    assert all(one.why for one in told)


# --- the generator --------------------------------------------------------------------------


def _health(**changes: Any) -> list[HealthEntry]:
    return [journals.health(second, **changes) for second in range(1, 32)]


def _late(late_ms: float) -> journals.Spoil:
    def spoil(made: Calls) -> None:
        made["sent_ns"] += round(late_ms * MS)
        made["done_ns"] += round(late_ms * MS)

    return spoil


def test_a_machine_that_is_merely_busy_is_not_thrown_away() -> None:
    """Lag and a crowded processor are said, and pass while calls leave on time."""
    for changes in ({"lag_p50_ms": 6.0, "lag_p99_ms": 30.0}, {"run_delay_share": 0.4}):
        found = _run(drop=HealthEntry, extra=_health(**changes))
        told = _one(found, soundness.generator)
        assert told.ruling == "pass"
        assert told.why.startswith("suspect: ")
        assert "and no figure shows it" in told.why
    assert _one(_run(), soundness.generator).why.startswith("ok: calls that nothing held left")


def test_a_lagging_loop_that_sends_late_is_the_bottleneck() -> None:
    """Busy and visible in the figures: not sound."""

    def some_late(made: Calls) -> None:
        late = made["index"] % 20 == 0
        made["sent_ns"][late] += 90 * MS
        made["done_ns"][late] += 90 * MS

    found = _run(spoil=some_late, drop=HealthEntry, extra=_health(lag_p50_ms=6.0))
    assert _one(found, soundness.generator).ruling == "fail"
    assert _one(_run(spoil=some_late), soundness.generator).ruling == "pass"


def test_a_generator_whose_typical_call_is_late_is_the_bottleneck_whatever_it_says() -> None:
    """More than 2 ms and a quarter of the reported p50."""
    assert _one(_run(spoil=_late(1.0)), soundness.generator).ruling == "pass"
    assert _one(_run(spoil=_late(15.0)), soundness.generator).ruling == "fail"


def test_calls_that_wait_for_their_own_session_do_not_accuse_the_generator() -> None:
    """A slow server holds its callers back; only idle sessions' calls are looked at."""

    def queue(made: Calls) -> None:
        made["sent_ns"] = made["due_ns"] + 300 * MS
        made["done_ns"] = made["due_ns"] + 600 * MS

    assert _one(_run(spoil=queue), soundness.generator).ruling == "pass"


def test_without_a_health_record_nobody_knows() -> None:
    """Zero samples never pass."""
    assert _one(_run(drop=HealthEntry), soundness.generator).ruling == "unknown"


# --- the arms and the baseline --------------------------------------------------------------


def test_arms_that_differ_before_any_fault_cannot_be_compared() -> None:
    """A treated proxy that is 15 ms slower by itself would be taken for the fault."""

    def slow_treated(made: Calls) -> None:
        made["done_ns"][made["treated"] == 1] += 15 * MS

    told = _one(_run(spoil=slow_treated), agreement.arms_agree)
    assert told.ruling == "fail"
    assert told.observed is not None
    assert told.observed > 1.25

    def slightly(made: Calls) -> None:
        made["done_ns"][made["treated"] == 1] += 2 * MS

    assert _one(_run(spoil=slightly), agreement.arms_agree).ruling == "pass"


def test_an_arm_whose_calls_fail_before_any_fault_is_no_twin() -> None:
    """Answered shares are compared too."""

    def fail_some(made: Calls) -> None:
        some = (made["treated"] == 1) & (made["index"] % 5 == 0)
        journals.end(made, some, Outcome.HTTP_ERROR, status=500, took_ms=20.0)

    assert _one(_run(spoil=fail_some), agreement.arms_agree).ruling == "fail"


def test_a_single_arm_has_nothing_to_agree_with() -> None:
    """All sessions treated: the baseline is all there is to compare with."""
    of = journals.scenario(
        journals.window(TcpLatency()), load={"sessions": 10, "ramp": "1s", "treated": "100%"}
    )
    by = journals.plan(of)
    found = evidence(of, by, journals.healthy(of, by))
    assert agreement.arms_agree(found) == ()
    assert _one(found, agreement.baseline_steady).ruling == "pass"


def test_a_baseline_with_a_trend_is_no_baseline() -> None:
    """Its second half twice as slow as its first."""

    def drift(made: Calls) -> None:
        late = journals.between(made, 7.0, 12.0)
        made["done_ns"][late] += 25 * MS

    assert _one(_run(spoil=drift), agreement.baseline_steady).ruling == "fail"


def test_a_baseline_without_calls_is_unknown() -> None:
    """Zero samples never pass."""
    found = _run(keep=lambda made: made["due_ns"] > 12 * S)
    assert _one(found, agreement.baseline_steady).ruling == "unknown"
    assert _one(found, agreement.arms_agree).ruling == "unknown"


# --- faults that bit ------------------------------------------------------------------------


def test_a_fault_that_hit_nothing_proves_nothing() -> None:
    """By the injector's own counter."""
    told = _one(_run(exposed=0), soundness.fault_bit)
    assert told.ruling == "fail"
    assert told.why == "1:tcp-latency: nothing was hit, says the injector"
    assert bite(_run(), _run().phases.windows[0]).bit is True


def test_where_the_proxy_keeps_no_count_the_calls_themselves_show_the_fault() -> None:
    """Slower, or broken, where the control arm is not; else nobody knows."""
    for fault, words in ((TcpLatency(), "ms at p50 instead of"), (TcpReset(), "calls broken")):
        told = _one(_run(fault, exposed=0, source="none"), soundness.fault_bit)
        assert told.ruling == "pass"
        assert words in told.why
    assert _one(_run(TcpSlice(), exposed=0, source="none"), soundness.fault_bit).ruling == "unknown"


def test_attempts_that_misbehaved_and_tokens_that_were_replaced_are_proof() -> None:
    """The journal has them one by one."""

    def lose(made: Calls) -> None:
        some = np.flatnonzero((made["treated"] == 1) & journals.between(made, 13.0, 20.0))[:7]
        made["window"][some], made["behaviour"][some] = 1, 2
        journals.end(made, some, Outcome.TRANSPORT_ERROR, Reason.REPLY_LOST, status=200)

    told = _one(_run(ResponseLost(), spoil=lose, exposed=0), soundness.fault_bit)
    assert (told.ruling, told.observed) == ("pass", 7.0)
    treated = next(who.session for who in _run().plan.sessions if who.arm == "treated")
    renewed = TokenEntry(at_ns=15 * S, session=treated, edge="renewed")
    told = _one(_run(TokenExpire(), extra=(renewed,), exposed=0), soundness.fault_bit)
    assert (told.ruling, told.unit) == ("pass", "tokens")
    both = _one(_run(TokenExpire(), spoil=lose, extra=(renewed,), exposed=0), soundness.fault_bit)
    assert both.why == "1:token-expire: 7 calls and 1 token replaced, counted in the journal"
    assert _one(_run(ResponseLost(), exposed=0), soundness.fault_bit).ruling == "fail"


def test_a_fault_that_was_never_in_force_did_not_bite() -> None:
    """Refused by its lever, it is named with the reason."""
    of = journals.scenario(journals.window(TcpLatency()))
    by = journals.plan(of)
    whole = journals.healthy(of, by)
    failed = journals.fault_window(
        by, TcpLatency(), edges=("intended", "failed"), error="no proxy in front"
    )
    entries = [e for e in whole.entries if not isinstance(e, FaultEntry)]
    told = _one(
        evidence(of, by, journals.journal((*entries, *failed), whole.calls)), soundness.fault_bit
    )
    assert told.ruling == "fail"
    assert "no proxy in front" in told.why


# --- the record -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("breach", "word"),
    [
        (lambda made: made["index"] != 17, "20 missing"),
        (
            lambda made: np.repeat(np.arange(len(made)), np.where(made["index"] == 17, 2, 1)),
            "20 se",
        ),
    ],
)
def test_a_step_that_is_missing_or_settled_twice_breaks_conservation(
    breach: Any, word: str
) -> None:
    """Exactly one settling attempt for each planned step."""
    told = _one(_run(keep=breach), soundness.conservation)
    assert told.ruling == "fail"
    assert told.observed == 20.0
    assert word in told.why


def test_a_step_nobody_planned_breaks_conservation() -> None:
    """A session or a step beyond the plan."""

    def stray(made: Calls) -> None:
        made["session"][-1] = 4000

    told = _one(_run(spoil=stray), soundness.conservation)
    assert told.ruling == "fail"
    assert "1 missing" in told.why
    assert "1 never planned" in told.why


def test_an_attempt_that_never_settled_breaks_conservation() -> None:
    """Begun is not settled."""

    def unsettle(made: Calls) -> None:
        made["last"][5] = 0

    told = _one(_run(spoil=unsettle), soundness.conservation)
    assert told.ruling == "fail"
    assert "1 begun and not settled" in told.why


def test_a_record_that_breaks_off_is_unknown_and_not_a_breach() -> None:
    """After a crash the missing steps are nobody's lie."""
    found = _run(drop=RunEntry, keep=lambda made: made["due_ns"] < 20 * S)
    assert _one(found, soundness.conservation).ruling == "unknown"
    assert _one(found, soundness.run_complete).ruling == "unknown"


def test_a_lost_worker_is_a_finding_about_the_run() -> None:
    """Never silence; nor are records that did not arrive."""
    joined = [WorkerEntry(at_ns=S, worker=n, edge="joined") for n in (1, 2)]
    done = WorkerEntry(at_ns=32 * S, worker=1, edge="done")
    lost = WorkerEntry(at_ns=20 * S, worker=2, edge="lost", why="missed its heartbeats")
    told = _one(_run(extra=(*joined, done, lost)), soundness.workers)
    assert told.ruling == "fail"
    assert "missed its heartbeats" in told.why
    assert _one(_run(extra=(*joined, done)), soundness.workers).ruling == "fail"
    short = WorkerEntry(at_ns=32 * S, worker=2, edge="done", calls=7)
    told = _one(_run(extra=(*joined, done, short)), soundness.workers)
    assert told.why == "worker 2 wrote 7 calls, 0 are here"
    whole = WorkerEntry(at_ns=32 * S, worker=2, edge="done")
    assert _one(_run(extra=(*joined, done, whole)), soundness.workers).ruling == "pass"


def test_too_few_calls_or_sessions_support_nothing() -> None:
    """Zero samples never pass, and the scarcest is named."""
    told = _one(_run(keep=lambda made: made["due_ns"] < 22 * S), soundness.samples)
    assert told.ruling == "unknown"
    assert told.why.startswith("0 treated calls in 1:recovery")
    told = _one(_run(keep=lambda made: made["session"] < 4), soundness.samples)
    assert told.ruling == "unknown"
    assert "sessions" in told.why
    assert _one(_run(keep=lambda made: made["session"] < 0), soundness.samples).ruling == "unknown"


def test_a_clock_that_jumped_is_seen_in_the_latencies() -> None:
    """Done before due cannot be."""

    def jump(made: Calls) -> None:
        made["done_ns"][made["index"] == 20] -= S

    told = _one(_run(spoil=jump), soundness.histogram_range)
    assert told.ruling == "fail"


def test_a_fault_not_proven_undone_is_named() -> None:
    """With the reason that its lever gave."""
    of = journals.scenario(journals.window(TcpReset()))
    by = journals.plan(of)
    edges = ("intended", "injected", "healing", "not_healed")
    entries = journals.fault_window(by, TcpReset(), edges=edges, error="the proxy is gone")
    told = _one(evidence(of, by, journals.journal(entries)), soundness.healed)
    assert told.ruling == "fail"
    assert told.why == "not proven undone: 1:tcp-reset (the proxy is gone)"
    assert soundness.healed(journals.storm()) == ()


@pytest.mark.parametrize("how", ["aborted", "interrupted", "failed"])
def test_a_run_that_did_not_come_to_its_end_is_unknown(how: str) -> None:
    """Its figures are of another experiment than the one planned."""
    assert _one(_run(how=how), soundness.run_complete).ruling == "unknown"
