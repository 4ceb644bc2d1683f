from __future__ import annotations

import numpy as np
import pytest

from faults.agent import PayloadRequest
from faults.network import TcpLatency, TcpReset, TcpSlice
from harness.checks import sightings
from harness.checks.answers import wrong_answer
from harness.journal import Calls
from harness.outcome import Outcome, Reason
from tests.checks import cases
from tests.journals import S, end, storm


def _spoil_window(made: Calls) -> None:
    end(
        made,
        cases.some(cases.kind(made, 0, cases.WINDOW), 12),
        Outcome.WRONG,
        Reason.NONCE_MISSING,
        status=200,
    )


def test_a_fault_is_blamed_for_what_happens_only_under_it() -> None:
    """A finding names the window in force on the attempt's own arm."""
    finding = cases.one(wrong_answer(cases.run(TcpSlice(), spoil=_spoil_window)))
    assert (finding.ruling, finding.fault) == ("fail", "1:tcp-slice")
    assert finding.observed == 12
    assert finding.tool == "search"


def test_what_the_server_always_does_is_not_blamed_on_a_fault() -> None:
    """As common with no fault as under one: one finding, and no fault named."""

    def always(made: Calls) -> None:
        every_tenth = np.flatnonzero(made["call"] == 0)[::10]
        end(made, every_tenth, Outcome.WRONG, Reason.EXPECTATION, status=200)

    finding = cases.one(wrong_answer(cases.run(TcpSlice(), spoil=always)))
    assert (finding.ruling, finding.fault) == ("fail", "")


def test_the_control_arm_is_never_blamed_on_a_fault_of_the_other() -> None:
    """What an untouched session suffers in a window stands without a fault."""

    def control(made: Calls) -> None:
        chosen = cases.some(cases.kind(made, 0, cases.WINDOW, treated=0), 3)
        end(made, chosen, Outcome.WRONG, Reason.NONCE_MISSING, status=200)

    finding = cases.one(wrong_answer(cases.run(TcpSlice(), spoil=control)))
    assert (finding.ruling, finding.fault) == ("fail", "")


def test_what_only_a_recovery_saw_is_said_to_be_of_that_recovery() -> None:
    """No fault was in force, but one had just gone; what happened elsewhere too says neither."""

    def after(made: Calls) -> None:
        chosen = cases.some(cases.kind(made, 0, cases.RECOVERY), 3)
        end(made, chosen, Outcome.WRONG, Reason.NONCE_MISSING, status=200)

    def before_too(made: Calls) -> None:
        after(made)
        chosen = cases.some(cases.kind(made, 0, cases.BASELINE), 3)
        end(made, chosen, Outcome.WRONG, Reason.NONCE_MISSING, status=200)

    finding = cases.one(wrong_answer(cases.run(TcpSlice(), spoil=after)))
    assert (finding.ruling, finding.fault) == ("fail", "")
    assert finding.why.endswith(", in the recovery after 1:tcp-slice")
    finding = cases.one(wrong_answer(cases.run(TcpSlice(), spoil=before_too)))
    assert finding.why.endswith(", with no fault to blame")


def test_evidence_is_at_most_ten_calls_and_the_slowest_come_first() -> None:
    """Twelve offenders give ten names, ordered by the time from due to done."""

    def spoil(made: Calls) -> None:
        _spoil_window(made)
        chosen = cases.some(cases.kind(made, 0, cases.WINDOW), 12)
        made["done_ns"][chosen] = made["due_ns"][chosen] + np.arange(1, 13) * 100_000_000

    of = cases.run(TcpSlice(), spoil=spoil)
    finding = cases.one(wrong_answer(of))
    slowest = of.calls[of.calls["outcome"] == Outcome.WRONG]
    slowest = slowest[np.argsort(slowest["due_ns"] - slowest["done_ns"], kind="stable")]
    assert finding.evidence == tuple(f"s{row['session']}.{row['index']}.1" for row in slowest[:10])


def test_nothing_judged_is_unknown() -> None:
    """A journal without an answer never passes."""

    def silence(made: Calls) -> None:
        end(made, slice(None), Outcome.TRANSPORT_ERROR, Reason.CONNECT_REFUSED)

    finding = cases.one(wrong_answer(cases.run(spoil=silence)))
    assert finding.ruling == "unknown"
    assert finding.why


def test_a_call_in_flight_when_a_fault_came_stands_under_it() -> None:
    """The time that counts is from sending to the end, not the moment due."""

    def hold(made: Calls) -> None:
        late = (made["treated"] == 1) & (made["due_ns"] < 12 * S)
        made["done_ns"][np.flatnonzero(late)[-1:]] += S

    of = storm(TcpLatency(), spoil=hold)
    calls = of.calls
    start_ns = of.phases.windows[0].start_ns
    early = (calls["treated"] == 1) & (calls["sent_ns"] < start_ns) & (calls["done_ns"] >= start_ns)
    assert early.any()
    assert (sightings.in_force(of)[early] == 1).all()


def test_a_misbehaviour_names_its_window_itself() -> None:
    """A prelude belongs to the window that asked for it, even where another overlaps."""
    of = cases.run(
        PayloadRequest(),
        TcpReset(),
        more=lambda made: [
            cases.preludes(
                made,
                cases.some(cases.kind(made, 0, (33.0, 41.0)), 2),
                "payload_request",
                Outcome.TOOL_ERROR,
                window=1,
            )
        ],
    )
    prelude = of.calls["attempt"] == 0
    assert sightings.in_force(of)[prelude].tolist() == [1, 1]


def test_windows_out_of_order_are_met_as_those_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """One look at all windows says the same as one look at each."""
    found = storm(TcpLatency(), TcpReset(), TcpLatency())
    monkeypatch.setitem(found.__dict__, "met", None)
    slow = sightings.in_force(found), sightings.struck(found, lambda f: f.stops_service())
    fresh = storm(TcpLatency(), TcpReset(), TcpLatency())
    assert fresh.met is not None
    quick = sightings.in_force(fresh), sightings.struck(fresh, lambda f: f.stops_service())
    for one, other in zip(slow, quick, strict=True):
        np.testing.assert_array_equal(one, other)
    assert set(np.unique(quick[0]).tolist()) == {0, 1, 2, 3}
