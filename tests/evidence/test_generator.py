"""ok, suspect or invalid: what squall says of itself, process by process, from its own figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from harness.evidence.generator import FREE_CALLS_MIN, Stretch, assess
from harness.journal import Calls, HealthEntry
from harness.verdict import GeneratorHealth
from tests import journals
from tests.journals import MS, S

WHOLE = Stretch(name="the baseline", start_ns=0, end_ns=10 * S)


def _calls(count: int = 200, *, late_ms: float = 0.2, worker: int = 0) -> Calls:
    """Make one session's calls over ten seconds, each answered in 20 ms from when it left."""
    made = journals.calls(
        count, due_s=np.linspace(0.1, 9.9, count), session=worker, worker=worker, took_ms=20.0
    )
    made["sent_ns"] = made["due_ns"] + round(late_ms * MS)
    made["done_ns"] = made["sent_ns"] + 20 * MS
    return made


def _seconds(worker: int = 0, **changes: Any) -> list[HealthEntry]:
    return [journals.health(second, worker, **changes) for second in range(1, 11)]


def _fared(
    calls: Calls,
    entries: Sequence[HealthEntry],
    *,
    stretches: Sequence[Stretch] = (WHOLE,),
    **options: Any,
) -> GeneratorHealth:
    fared = assess(calls, entries, stretches, **options)
    assert fared is not None
    return fared


def test_a_generator_at_ease_is_ok_and_says_its_figures() -> None:
    """The scheduling error and the lag stand beside every result, good ones too."""
    fared = _fared(_calls(), _seconds())
    assert fared.verdict == "ok"
    assert fared.sent_late_p50_ms == pytest.approx(0.2)
    assert fared.lag_p99_ms == 1.0
    assert [(one.name, one.verdict, one.why) for one in fared.processes] == [("squall", "ok", "")]
    assert fared.why == (
        "calls that nothing held left 0.2 ms late at p50, 0.2 at p99; "
        "loop lag 0.2 / 1.0 ms, CPU 20%, waiting for a processor 1%"
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lag_p50_ms": 6.0, "lag_p99_ms": 30.0}, "lagged 6.0 ms at its median"),
        ({"lag_p99_ms": 9.0}, "lagged 9.0 ms at p99"),
        ({"run_delay_share": 0.1}, "waited for a processor 10% of the time"),
        ({"run_delay_share": 0.4}, "waited for a processor 40% of the time"),
        ({"cpu_share": 0.9}, "used 90% of a core"),
        ({"throttled_share": 0.3}, "the container's limit held squall back 30% of the time"),
        ({"open_files": 950, "open_files_max": 1000}, "had 950 of at most 1,000 files open"),
        ({"stalled_ms": 50.0}, "stood still for 5% of the baseline"),
    ],
)
def test_what_a_process_is_short_of_makes_it_suspect_while_no_figure_shows_it(
    changes: dict[str, Any], words: str
) -> None:
    """Busy and harmless: said in words, and believed."""
    fared = _fared(_calls(), _seconds(**changes))
    assert fared.verdict == "suspect"
    assert words in fared.why
    assert "and no figure shows it" in fared.why


@pytest.mark.parametrize("changes", [{"lag_p50_ms": 6.0}, {"run_delay_share": 0.3}])
def test_a_shortage_that_delays_calls_makes_the_run_invalid(changes: dict[str, Any]) -> None:
    """Lateness alone may be the target's doing (a token is awaited), and lag alone harms nobody."""
    late = _calls()
    late["sent_ns"][::20] += 90 * MS
    late["done_ns"][::20] += 90 * MS
    assert _fared(late, _seconds()).verdict == "ok"
    fared = _fared(late, _seconds(**changes))
    assert fared.verdict == "invalid"
    assert fared.why.startswith("squall was the bottleneck: p99 of calls left 90 ms late")


def test_a_typical_call_that_leaves_late_makes_the_run_invalid_whatever_the_loop_says() -> None:
    """More than 2 ms and a quarter of the reported p50."""
    assert _fared(_calls(late_ms=4.0), _seconds()).verdict == "ok"
    assert _fared(_calls(late_ms=4.0), _seconds(), p50_ms=8.0).verdict == "invalid"
    assert "left 9.0 ms late" in _fared(_calls(late_ms=9.0), _seconds()).why


def test_a_loop_that_stands_still_is_found_in_the_phase_that_it_spoils() -> None:
    """Two seconds in sixty are nothing, but they may be a fault's whole window."""
    entries = [
        *(journals.health(second) for second in range(1, 31)),
        journals.health(33, stalled_ms=1980.0, lag_max_ms=2000.0),
        *(journals.health(second) for second in range(34, 61)),
    ]
    long = Stretch(name="the baseline", start_ns=0, end_ns=60 * S)
    assert _fared(_calls(), entries, stretches=[long]).verdict == "suspect"
    phases = [
        Stretch(name="the baseline", start_ns=0, end_ns=30 * S),
        Stretch(name="1:tcp-reset", start_ns=30 * S, end_ns=40 * S),
        Stretch(name="the recovery after 1:tcp-reset", start_ns=40 * S, end_ns=60 * S),
    ]
    fared = _fared(_calls(), entries, stretches=phases)
    assert fared.verdict == "invalid"
    assert "squall stood still for 20% of 1:tcp-reset" in fared.why
    assert fared.processes[0].lag_max_ms == 2000.0


def test_stalls_that_are_short_beside_the_typical_call_are_believed() -> None:
    """A server that takes seconds is not told from one that takes a tenth more."""
    entries = _seconds(stalled_ms=100.0, lag_max_ms=400.0)
    assert _fared(_calls(), entries).verdict == "invalid"
    assert _fared(_calls(), entries, p50_ms=7000.0).verdict == "suspect"


def test_a_hiccup_in_a_short_phase_is_no_reason_to_give_it_up() -> None:
    """Half a second at least: a busy machine stumbles now and then."""
    short = Stretch(name="1:tcp-reset", start_ns=0, end_ns=2 * S)
    entries = [journals.health(1, stalled_ms=400.0), journals.health(2)]
    assert _fared(_calls(), entries, stretches=[short]).verdict == "ok"


def test_each_process_has_its_own_verdict_and_the_worst_is_the_runs() -> None:
    """One starved worker among several is named; a crowded master delays no call."""
    calls = np.concatenate([_calls(worker=1), _calls(worker=2, late_ms=15.0)])
    fared = _fared(
        calls,
        [*_seconds(0, run_delay_share=0.5, stalled_ms=900.0), *_seconds(1), *_seconds(2)],
        p50_ms=20.0,
    )
    assert [(one.name, one.verdict) for one in fared.processes] == [
        ("the master", "suspect"),
        ("worker 1", "ok"),
        ("worker 2", "invalid"),
    ]
    assert fared.verdict == "invalid"
    assert fared.processes[2].sent_late_p50_ms == pytest.approx(15.0)
    assert fared.processes[1].sent_late_p50_ms == pytest.approx(0.2)


def test_a_lost_process_makes_the_run_invalid() -> None:
    """Also one that went before it said a word."""
    fared = _fared(_calls(worker=1), [*_seconds(0), *_seconds(1)], lost={2: "status -9"})
    assert fared.verdict == "invalid"
    assert "worker 2 was lost (status -9)" in fared.why


def test_where_no_call_was_free_the_loop_speaks_for_the_calls() -> None:
    """At its limit no session is ever idle, so that nothing would be seen of the generator."""
    queued = _calls()
    queued["done_ns"] = queued["due_ns"] + S
    assert _fared(queued, _seconds()).verdict == "ok"
    fared = _fared(queued, _seconds(lag_p50_ms=30.0, lag_p99_ms=90.0), p50_ms=40.0)
    assert (fared.verdict, fared.sent_late_p99_ms) == ("invalid", 90.0)
    assert _fared(_calls(FREE_CALLS_MIN), _seconds()).sent_late_p99_ms == 1.0


def test_what_is_outside_the_stretches_is_not_looked_at() -> None:
    """The ramp may be as rough as it likes; silence throughout is no verdict."""
    ramp = [journals.health(-second, lag_p50_ms=50.0, stalled_ms=900.0) for second in (2, 1)]
    assert _fared(_calls(), [*ramp, *_seconds()]).verdict == "ok"
    assert assess(_calls(), ramp, [WHOLE]) is None
    assert assess(_calls(), (), [WHOLE]) is None
