from __future__ import annotations

import heapq
from typing import Any

import numpy as np
import pytest

from faults.network import TcpLatency
from harness.checks import latency
from harness.evidence.phases import Evidence
from harness.journal import Calls
from harness.outcome import Outcome, Reason
from harness.verdict import Finding
from tests.checks import cases
from tests.journals import MS, NOTE, SEARCH, Spoil, end

SLOW = {"call": "slow", "with": {"seconds": 0.5}}
SLOW_MS = 500.0
SLOW_CALL = 2  # after search and append_note


def serve(
    *,
    fast_ms: float,
    slow_ms: float = SLOW_MS,
    workers: int | None,
    share: bool,
    early_ms: float = 0,
) -> Spoil:
    """Let a server answer in the order of arrival.

    `workers` is how many calls it can work on at once, None for any number; with `share` a slow
    call takes one of them, without it waits aside. `early_ms` answers queued fast calls that much
    before the slow one that held them.
    """

    def spoil(made: Calls) -> None:
        random = np.random.default_rng(3)
        slow = made["call"] == SLOW_CALL
        took_ns = np.where(slow, slow_ms, fast_ms * random.lognormal(0, 0.6, len(made))) * MS
        free = [0.0] * (workers or 1)
        for at in np.argsort(made["sent_ns"], kind="stable"):
            begin = float(made["sent_ns"][at])
            if workers is not None and (share or not slow[at]):
                begin = max(begin, heapq.heappop(free))
                heapq.heappush(free, begin + took_ns[at])
            waited = begin > made["sent_ns"][at] + early_ms * MS
            made["done_ns"][at] = begin + took_ns[at] - (early_ms * MS if waited else 0)
            made["first_ns"][at] = made["done_ns"][at]

    return spoil


def serving(*faults: Any, slow: Any = SLOW, **how: Any) -> Evidence:
    """Make a run of sessions of which a fifth does nothing but slow calls, one every 2 s."""
    agents = [
        {"name": "quick", "share": "80%", "pace": "2/s", "steps": [SEARCH, NOTE]},
        {"name": "patient", "share": "20%", "pace": "1/2s", "steps": [slow]},
    ]
    phases = {"warmup": "1s", "baseline": f"{how.pop('baseline_s', 40)}s", "recovery": "10s"}
    load = {"sessions": how.pop("sessions", 10), "ramp": "1s"}
    return cases.run(*faults, spoil=serve(**how), agents=agents, phases=phases, load=load)


@pytest.mark.parametrize("early_ms", [0.0, 8.0])
def test_one_slow_call_that_holds_all_others_is_found(early_ms: float) -> None:
    """A loop that works on one call at a time; its answers may leave a little before the slow."""
    of = serving(fast_ms=5, workers=1, share=True, early_ms=early_ms)
    finding = cases.one(latency.hol_block(of))
    assert finding.ruling == "fail"
    assert finding.observed is not None
    assert finding.observed > 0.8
    assert "slow" in finding.why
    assert finding.evidence
    assert cases.failed(of) == {("hol-block", "")}


def turning(answered_between: int) -> Spoil:
    """Let a loop do what has come, first every slow call and one after another.

    Between two of them it answers so many fast calls, each 10 ms after the other.
    """

    def spoil(made: Calls) -> None:
        slow = made["call"] == SLOW_CALL
        made["sent_ns"][slow] -= made["sent_ns"][slow] % (2000 * MS)
        made["sent_ns"][slow] += made["session"][slow].astype(np.int64) * 20 * MS
        order = np.argsort(made["sent_ns"], kind="stable").tolist()
        made["first_ns"] = 0
        now_ns, place = 0, 0
        while place < len(order):
            now_ns, turn = max(now_ns, int(made["sent_ns"][order[place]])), 0
            while True:
                come = order[place : np.searchsorted(made["sent_ns"][order], now_ns, side="right")]
                aside = [at for at in come if slow[at]]
                if turn == len(aside):
                    break
                between = [at for at in come if not slow[at] and not made["first_ns"][at]]
                for count, at in enumerate(between[: answered_between if turn else 0], start=1):
                    made["done_ns"][at] = made["first_ns"][at] = now_ns + 10 * count * MS
                now_ns, turn = now_ns + 600 * MS, turn + 1
            late = [at for at in come if not made["first_ns"][at]]
            made["done_ns"][late] = made["first_ns"][late] = now_ns + 5 * MS
            place += len(come)

    return spoil


def turned(answered_between: int) -> Finding:
    """Judge a run of two sessions that call slow tools at once, beside others."""
    agents = [
        {"name": "quick", "share": "80%", "pace": "2/s", "steps": [SEARCH, NOTE]},
        {"name": "patient", "share": "20%", "pace": "1/2s", "steps": [SLOW]},
    ]
    phases = {"warmup": "1s", "baseline": "40s", "recovery": "10s"}
    load = {"sessions": 10, "ramp": "1s"}
    of = cases.run(spoil=turning(answered_between), agents=agents, phases=phases, load=load)
    return cases.one(latency.hol_block(of))


def test_slow_calls_that_take_turns_hold_the_others_all_the_same() -> None:
    """A loop that blocks twice in a row gives a few fast calls an answer between the two."""
    finding = turned(answered_between=1)
    assert finding.ruling == "fail"
    assert finding.observed is not None
    assert finding.observed > 0.8


def test_slow_calls_beside_fast_ones_pass() -> None:
    """A server that lets them run side by side."""
    finding = cases.one(latency.hol_block(serving(fast_ms=5, workers=None, share=False)))
    assert (finding.ruling, finding.observed) == ("pass", 0.0)


def test_a_merely_busy_server_is_not_accused() -> None:
    """Calls wait in its queue, and it goes on answering."""
    of = serving(fast_ms=16, workers=2, share=False, sessions=60)
    busy = of.calls[of.calls["call"] == 0]
    assert np.quantile(busy["done_ns"] - busy["sent_ns"], 0.9) > 2 * 16 * MS
    assert cases.one(latency.hol_block(of)).ruling == "pass"


def test_an_overloaded_server_is_not_accused() -> None:
    """Its queue only grows: that is no single call's doing."""
    of = serving(fast_ms=60, workers=2, share=False, sessions=60)
    assert {finding.ruling for finding in latency.hol_block(of)} <= {"pass", "unknown"}


def test_a_pool_that_a_few_slow_calls_share_is_not_accused() -> None:
    """Four workers, some of them taken: the others go on."""
    of = serving(fast_ms=5, workers=4, share=True)
    assert cases.one(latency.hol_block(of)).ruling == "pass"


def test_a_server_that_is_slow_in_everything_is_asked_nothing() -> None:
    """No call is slower than the others, so none can be in their way."""
    assert latency.hol_block(serving(fast_ms=600, slow_ms=700, workers=None, share=False)) == ()
    assert latency.hol_block(serving(slow=SEARCH, fast_ms=5, workers=None, share=False)) == ()


def test_too_few_meetings_are_unknown() -> None:
    """A few seconds do not show it, either way."""
    of = serving(fast_ms=5, workers=1, share=True, sessions=5, baseline_s=2)
    finding = cases.one(latency.hol_block(of))
    assert finding.ruling == "unknown"
    assert "20 are needed" in finding.why


def test_a_session_waits_for_itself_without_blame() -> None:
    """Only the calls of other sessions can be held by a slow one."""
    steps = [{"parallel": [SLOW, SEARCH]}]
    agents = [{"name": "alone", "pace": "1/2s", "steps": steps}]
    phases = {"warmup": "1s", "baseline": "60s", "recovery": "10s"}

    def spoil(made: Calls) -> None:
        quick = made["call"] == 1
        made["done_ns"] = made["sent_ns"] + 1000 * MS
        made["sent_ns"][quick] += 10 * MS
        alone = np.flatnonzero(quick)[::5]
        made["done_ns"][alone] = made["sent_ns"][alone] + 20 * MS
        made["first_ns"] = made["done_ns"]

    load = {"sessions": 1, "ramp": "1s"}
    of = cases.run(spoil=spoil, agents=agents, phases=phases, load=load)
    finding = cases.one(latency.hol_block(of))
    assert finding.ruling == "unknown"
    assert "only 0 fast calls" in finding.why


def test_nothing_answered_is_unknown() -> None:
    """No answer, no service time."""

    def silence(made: Calls) -> None:
        end(made, slice(None), Outcome.TRANSPORT_ERROR, Reason.RESET)

    assert cases.one(latency.hol_block(cases.run(spoil=silence))).ruling == "unknown"


def test_a_delay_on_the_wire_is_not_the_servers() -> None:
    """Treated calls under a network fault are left out."""
    of = serving(TcpLatency(delay="2s"), fast_ms=5, workers=None, share=False)
    assert cases.one(latency.hol_block(of)).ruling == "pass"
