from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness.capacity.ruling import evidence_of
from harness.capacity.steps import Reading, readings
from harness.journal import Calls, HealthEntry, Journal, StepEntry
from harness.outcome import Outcome, Reason
from tests.capacity.climbs import Server, course, played, prepared, queue

SERVER = queue(8, lambda _: 0.04)  # 200 a second


def journal(server: Server, rate_per_s: float, **options: Any) -> Journal:
    """Play one step."""
    of = course()
    return played(server, of, rate_per_s, 1, np.random.default_rng(1), **options)


def read(of: Journal, **changes: Any) -> Reading:
    """Read the one step of a journal."""
    asked = course(**changes)
    (one,) = readings(evidence_of(prepared(asked), asked, of))
    return one


def with_health(of: Journal, **figures: float) -> Journal:
    """Let the generator have fared so in every second."""
    entries = tuple(
        replace(one, **figures) if isinstance(one, HealthEntry) else one  # type: ignore[arg-type]
        for one in of.entries
    )
    return replace(of, entries=entries)


def with_end(of: Journal, **changes: Any) -> Journal:
    """Let the step have ended so."""
    entries = tuple(
        replace(one, **changes) if isinstance(one, StepEntry) and one.edge == "ended" else one
        for one in of.entries
    )
    return replace(of, entries=entries)


def test_a_step_that_is_kept_up_with_says_what_it_measured() -> None:
    """Offered, answered and the percentiles from due, of its counted stretch."""
    one = read(journal(SERVER, 100))
    assert (one.verdict, one.why, one.kept, one.counts) == ("kept", "", True, True)
    assert (one.offered_per_s, one.answered_per_s) == (100, 100)
    assert one.p50_ms == pytest.approx(40, abs=0.1)
    assert one.p99_ms == pytest.approx(40, abs=0.1)
    assert (one.error_share, one.unsent, one.growth) == (0, 0, 0)


def test_too_few_calls_support_no_p99() -> None:
    """A percentile without its samples is left out."""
    one = read(journal(queue(1, lambda _: 0.05), 10))
    assert one.offered < 299
    assert one.p99_ms is None
    assert one.p50_ms is not None


def test_a_queue_that_grows_is_told_by_its_slope() -> None:
    """With 210 offered of 200, calls take a twentieth of a second longer every second."""
    one = read(journal(SERVER, 210))
    assert one.verdict == "growing"
    assert one.growth == pytest.approx(10 / 210, rel=0.1)
    assert one.answered_per_s == pytest.approx(200, rel=0.01)


def test_a_limit_that_breaks_is_named() -> None:
    """Whoever reads why sees how many calls were too slow."""
    one = read(journal(queue(50, lambda _: 0.6), 60))
    assert (one.verdict, one.why) == ("slow", "100.0% took longer than 500ms")


def test_errors_come_before_the_slowness_that_they_count_as() -> None:
    """A call that failed counts at its deadline, but what is wrong with it is that it failed."""

    def spoil(_: int, calls: Calls) -> None:
        calls["outcome"][::10] = Outcome.HTTP_ERROR
        calls["reason"][::10] = Reason.HTTP_STATUS

    one = read(journal(SERVER, 100, spoil=spoil))
    assert one.verdict == "errors"
    assert one.why == "90.0% answered, >= 99% was wanted"
    assert one.p99_ms == pytest.approx(10_000, rel=0.01)


def test_a_reply_that_squall_threw_away_was_given() -> None:
    """A lost reply is the fault's doing: the target kept up."""

    def spoil(_: int, calls: Calls) -> None:
        calls["outcome"][::3] = Outcome.TRANSPORT_ERROR
        calls["reason"][::3] = Reason.REPLY_LOST

    assert read(journal(SERVER, 100, spoil=spoil)).kept


def test_calls_that_were_never_sent_are_counted_and_condemn_the_step() -> None:
    """What was due and had to wait until the step was over is no call that was not asked for."""

    def spoil(_: int, calls: Calls) -> None:
        last = calls["due_ns"] > np.quantile(calls["due_ns"], 0.9)
        calls["outcome"][last] = Outcome.UNSENT
        calls["sent_ns"][last] = calls["done_ns"][last] = -1

    one = read(journal(SERVER, 100, spoil=spoil))
    assert one.verdict == "growing"
    assert one.unsent == 50
    assert "could not be sent" in one.why


def test_latency_counts_from_due_and_not_from_sent() -> None:
    """Calls that had to wait for their session took that long for their user."""

    def hold(_: int, calls: Calls) -> None:
        calls["sent_ns"] = calls["done_ns"] - 1_000_000

    one = read(journal(SERVER, 300, spoil=hold))
    assert one.verdict == "slow"
    assert one.p50_ms is not None
    assert one.p50_ms > 500


def test_a_step_that_was_cut_short_never_counts_as_kept() -> None:
    """The reason for which it ended is why it failed."""
    cut = with_end(journal(SERVER, 100), why="cut short: 2.1 s of calls were waiting")
    one = read(cut)
    assert (one.verdict, one.why) == ("growing", "cut short: 2.1 s of calls were waiting")
    assert one.cut


def test_a_step_without_an_end_does_not_count() -> None:
    """Ctrl-C leaves half a step, which says nothing."""
    whole = journal(SERVER, 100)
    entries = tuple(
        one for one in whole.entries if not (isinstance(one, StepEntry) and one.edge == "ended")
    )
    one = read(replace(whole, entries=entries))
    assert (one.verdict, one.counts) == ("unfinished", False)


def test_a_late_generator_is_labelled_and_does_not_count() -> None:
    """Calls that left 30 ms late are no measure of the target, even where it kept up."""

    def starve(_: int, calls: Calls) -> None:
        for stamp in ("sent_ns", "done_ns"):
            calls[stamp] += 30_000_000

    one = read(journal(SERVER, 100, spoil=starve))
    assert (one.verdict, one.counts, one.kept) == ("limited", False, False)
    assert "late" in one.why


def test_a_generator_that_stands_still_again_and_again_is_labelled() -> None:
    """Many stalls, each shorter than a call takes, are most of what is measured."""
    one = read(with_health(journal(SERVER, 100), stalled_ms=600.0, lag_max_ms=30.0))
    assert (one.verdict, one.counts) == ("limited", False)
    assert "stood still" in one.why
    assert read(with_health(journal(SERVER, 100), stalled_ms=30.0, lag_max_ms=30.0)).kept


def test_a_generator_without_a_processor_left_is_the_limit_of_what_fell_behind() -> None:
    """With its core all used up, it cannot be told who was too slow."""
    one = read(with_health(journal(SERVER, 400), cpu_share=0.99))
    assert (one.verdict, one.why) == ("limited", "squall used 99% of a core")
    assert read(with_health(journal(SERVER, 100), cpu_share=0.99)).kept


def test_a_proxy_without_a_processor_left_is_the_limit_too() -> None:
    """The hop is squall's own, so the target is not blamed for it."""
    one = read(with_end(journal(SERVER, 400), proxy_cpu_share=0.97))
    assert (one.verdict, one.why) == ("limited", "squall's proxy used 97% of a core")


def test_too_few_sessions_are_the_generators_limit() -> None:
    """A target that takes 400 ms for each of any number of calls is no slower at 200 a second."""
    of = course(limits=("latency_p99 <= 2s",))
    random = np.random.default_rng(1)
    calm = played(queue(1000, lambda _: 0.4), of, 20, 1, random, start_s=10)
    # Fifty sessions, each with one call in flight, make 125 calls a second of 400 ms.
    held = played(queue(50, lambda _: 0.4), of, 150, 2, random, start_s=40)
    held.calls["sent_ns"] = held.calls["done_ns"] - 400_000_000
    both = Journal(
        entries=(*calm.entries, *held.entries), calls=np.concatenate((calm.calls, held.calls))
    )
    first, second = readings(evidence_of(prepared(of), of, both))
    assert first.kept
    assert (second.verdict, second.why) == (
        "limited",
        "every session was busy; --sessions gives more",
    )


def test_nobody_saying_how_the_generator_fared_counts_as_limited() -> None:
    """Without a health record there is no step to rely on."""
    whole = journal(SERVER, 100)
    entries = tuple(one for one in whole.entries if not isinstance(one, HealthEntry))
    assert read(replace(whole, entries=entries)).verdict == "limited"
