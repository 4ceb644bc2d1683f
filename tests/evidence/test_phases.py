"""The run as it really was: phases from edges, and the masks every opinion reads."""

from __future__ import annotations

import numpy as np

from faults.agent import ClientVanish
from faults.network import TcpDown, TcpLatency, TcpReset
from faults.process import ProcessKill
from harness.evidence.phases import BASELINE, DROPPED, evidence, fault_code, recovery_code
from harness.journal import NEVER_NS, RunEntry, TargetEdge, TargetEntry
from harness.outcome import Auth, EndedBy, Outcome, Reason
from tests import journals
from tests.journals import MS, S


def test_windows_are_where_their_edges_were_and_not_where_they_were_planned() -> None:
    """A late injection and a slow healing move the phases."""
    found = journals.storm(TcpLatency())
    planned, window = found.plan.windows[0], found.phases.windows[0]
    assert window.start_ns == planned.start_ns + 5 * MS
    assert window.end_ns == planned.end_ns
    assert window.healed_ns == planned.end_ns + 5 * MS
    assert found.phases.baseline.end_ns == planned.start_ns  # the intent was written then
    assert window.injected
    assert window.healed
    assert (window.exposure_count, window.exposure_source) == (100, "injector")


def test_every_call_falls_in_the_phase_it_was_due_in() -> None:
    """Due times alone decide, for calls that no fault met in flight."""
    of = journals.scenario(journals.window(TcpReset()))
    by = journals.plan(of)
    due_s = [0.5, 2.5, 11.0, 12.1, 21.9, 22.5, 31.9, 33.0]
    made = journals.calls(len(due_s), due_s=due_s)
    wanted = [DROPPED, BASELINE, BASELINE, 1, 1, 2, 2, DROPPED]
    ended = RunEntry(at_ns=40 * S, edge="ended", how="completed")
    whole = evidence(
        of, by, journals.journal((*journals.fault_window(by, TcpReset()), ended), made)
    )
    assert whole.phase.tolist() == wanted
    assert [whole.phase_name(code) for code in whole.codes] == [
        "baseline",
        "1:tcp-reset",
        "1:recovery",
    ]


def test_a_call_in_flight_when_the_fault_came_belongs_to_the_fault() -> None:
    """Due before, done after the injection: the fault could touch it, so the baseline cannot."""
    of = journals.scenario(journals.window(TcpReset()))
    by = journals.plan(of)
    made = journals.calls(2, due_s=[11.9, 11.9], took_ms=[50.0, 500.0])
    found = evidence(of, by, journals.journal(journals.fault_window(by, TcpReset()), made))
    assert found.phase.tolist() == [BASELINE, fault_code(1)]


def test_a_call_whose_connection_broke_when_the_fault_came_belongs_to_the_fault() -> None:
    """No reply, no stamp: it may have waited a second, a timed out one its whole deadline."""
    of = journals.scenario(journals.window(TcpReset()), client={"deadline": "4s"})
    by = journals.plan(of)
    made = journals.calls(4, due_s=[7.5, 8.5, 10.5, 11.9])
    journals.end(made, [0, 1], Outcome.TIMEOUT, ended_by=EndedBy.DEADLINE)
    journals.end(made, [2, 3], Outcome.TRANSPORT_ERROR, Reason.RESET)
    made["done_ns"] = NEVER_NS
    found = evidence(of, by, journals.journal(journals.fault_window(by, TcpReset()), made))
    assert found.phase.tolist() == [BASELINE, fault_code(1), BASELINE, fault_code(1)]


def test_a_call_that_queued_until_a_fault_refused_its_connection_belongs_to_that_fault() -> None:
    """Its session was late: those before it ended under the fault, so it was tried no sooner."""
    of = journals.scenario(journals.window(TcpDown()))
    by = journals.plan(of)
    made = journals.calls(5, session=[1, 1, 2, 2, 3], index=[4, 5, 4, 5, 4], due_s=11.0, took_ms=20)
    journals.took(made, [0], 1500)  # held up until the fault was there
    journals.end(made, [1, 3, 4], Outcome.TRANSPORT_ERROR, Reason.CONNECT_REFUSED)
    for column in ("sent_ns", "first_ns", "done_ns"):
        made[column][[1, 3, 4]] = NEVER_NS
    found = evidence(of, by, journals.journal(journals.fault_window(by, TcpDown()), made))
    assert found.phase.tolist() == [fault_code(1), fault_code(1), BASELINE, BASELINE, BASELINE]


def test_a_target_that_is_ready_only_under_the_next_fault_leaves_no_recovery_to_watch() -> None:
    """Its start says more of the machine than of the server; the next fault's begins no sooner."""
    of = journals.scenario(journals.window(ProcessKill()), journals.window(ProcessKill()))
    by = journals.plan(of)
    first, second = by.windows
    ready_ns = second.end_ns + S
    edges: tuple[tuple[int, TargetEdge, int], ...] = (
        (first.end_ns, "started", 1),
        (ready_ns, "ready", 2),
    )
    entries = (
        *journals.fault_window(by, ProcessKill(), 1),
        *journals.fault_window(by, ProcessKill(), 2),
        *(TargetEntry(at_ns=at, pid=7, edge=edge, window=number) for at, edge, number in edges),
        RunEntry(at_ns=by.end_ns, edge="ended", how="completed"),
    )
    windows = evidence(of, by, journals.journal(entries)).phases.windows
    assert windows[0].healed_ns == windows[0].recovery_end_ns
    assert windows[1].healed_ns == ready_ns


def test_a_run_cut_short_has_its_phases_cut_at_its_end() -> None:
    """Ctrl-C in the first recovery: the second fault never was, and nothing of it is left."""
    of = journals.scenario(journals.window(TcpLatency()), journals.window(TcpReset()))
    by = journals.plan(of)
    entries = (
        *journals.fault_window(by, TcpLatency(), 1),
        RunEntry(at_ns=25 * S, edge="ended", how="interrupted"),
    )
    found = evidence(of, by, journals.journal(entries))
    first, second = found.phases.windows
    assert found.phases.end_ns == first.recovery_end_ns == 25 * S
    assert not second.injected
    assert second.healed  # it was never begun
    assert (second.start_ns, second.end_ns, second.recovery_end_ns) == (25 * S,) * 3


def test_a_crash_between_intent_and_healing_leaves_the_fault_unhealed() -> None:
    """The intent is on disk before anything is touched; without a healed edge nothing is proven."""
    of = journals.scenario(journals.window(TcpLatency()))
    by = journals.plan(of)
    for edges in (("intended",), ("intended", "injected"), ("intended", "injected", "not_healed")):
        entries = journals.fault_window(by, TcpLatency(), edges=edges)
        window = evidence(of, by, journals.journal(entries)).phases.windows[0]
        assert not window.healed, edges
    late = ("intended", "injected", "not_healed", "healed")
    mended = journals.fault_window(by, TcpLatency(), edges=late)  # by hand, after the run
    assert evidence(of, by, journals.journal(mended)).phases.windows[0].healed
    failed = journals.fault_window(by, TcpLatency(), edges=("intended", "failed"), error="refused")
    window = evidence(of, by, journals.journal(failed)).phases.windows[0]
    assert window.healed
    assert not window.injected
    assert window.error == "refused"


def test_a_prelude_marks_the_logical_call_it_precedes() -> None:
    """Attempt 0 never settles anything; the real call after it is known by it."""
    of = journals.scenario(journals.window(ClientVanish()))
    by = journals.plan(of)
    made = journals.calls(
        5,
        session=[1, 1, 1, 1, 3],
        index=[4, 4, 5, 5, 4],
        attempt=[0, 1, 1, 2, 1],
        last=[0, 1, 0, 1, 1],
        due_s=[13, 13, 14, 14, 13],
    )
    found = evidence(of, by, journals.journal((), made))
    assert found.logical.tolist() == [1, 3, 4]
    assert found.has_prelude.tolist() == [True, False, False]
    assert found.prelude.tolist() == [0]
    found.calls["behaviour"][2] = 2  # the second call's first attempt lost its reply on purpose
    again = evidence(of, by, journals.journal((), found.calls))
    assert again.has_prelude.tolist() == [True, False, False]
    assert again.self_delayed.tolist() == [True, True, False]
    assert found.group.tolist() == [0, 0, 1, 1, 2]


def test_a_right_refusal_and_a_reply_thrown_away_count_neither_way() -> None:
    """401 to an expired token is what a good server says; the client lost the other one itself."""
    made = journals.calls(
        4, due_s=5.0, auth=[Auth.EXPIRED, Auth.EXPIRED, Auth.VALID, Auth.NONE_NEEDED]
    )
    journals.end(made, [0, 2], Outcome.HTTP_ERROR, Reason.HTTP_STATUS, status=401)
    journals.end(made, [1], Outcome.HTTP_ERROR, Reason.HTTP_STATUS, status=403)
    journals.end(
        made, [3], Outcome.TRANSPORT_ERROR, Reason.REPLY_LOST, ended_by=EndedBy.CLIENT, status=200
    )
    of = journals.scenario()
    found = evidence(of, journals.plan(of), journals.journal((), made))
    assert found.rightly_refused.tolist() == [True, False, False, False]
    assert found.excused.tolist() == [False, False, False, True]
    assert found.counted.tolist() == [False, True, True, False]


def test_a_step_s_own_deadline_outranks_the_client_s() -> None:
    """Failures enter latency at the deadline their step declared."""
    of = journals.scenario(
        steps=({"call": "search"}, {"call": "slow", "deadline": "30s"}, {"method": "ping"}),
        client={"deadline": "4s"},
    )
    by = journals.plan(of)
    found = evidence(of, by, journals.journal((), journals.calls(3, call=[0, 1, 2])))
    assert found.deadline_ns.tolist() == [4 * S, 30 * S, 4 * S]


def test_a_call_that_left_before_it_was_due_is_counted_from_when_it_left() -> None:
    """A timer may go off a millisecond early; an answer within it took no negative time."""
    of = journals.scenario()
    made = journals.calls(2, due_s=[3.0, 4.0], took_ms=[-0.2, 2.0], sent_ns=[3 * S - MS, 4 * S])
    found = evidence(of, journals.plan(of), journals.journal((), made))
    assert found.from_due_ns.tolist() == found.from_sent_ns.tolist() == [800_000, 2 * MS]


def test_an_empty_journal_is_evidence_of_nothing_and_breaks_nothing() -> None:
    """A run that died at once still has phases, all of no length."""
    of = journals.scenario(journals.window(TcpLatency()))
    found = evidence(of, journals.plan(of), journals.journal())
    assert found.phases.end_ns == 0
    assert found.phases.baseline.length_s == 0
    assert len(found.settled) == len(found.phase) == len(found.has_prelude) == 0
    assert not np.any(found.counted)
    assert recovery_code(1) == found.codes[-1]


def test_overlapping_faults_hide_no_recovery_behind_them() -> None:
    """A second fault inside the first one's recovery ends that recovery."""
    of = journals.scenario(
        journals.window(TcpLatency()), journals.window(TcpReset()) | {"at": "25s"}
    )
    by = journals.plan(of)
    entries = (
        *journals.fault_window(by, TcpLatency(), 1),
        *journals.fault_window(by, TcpReset(), 2),
        RunEntry(at_ns=46 * S, edge="ended", how="completed"),
    )
    made = journals.calls(4, due_s=[15.0, 24.0, 30.0, 40.0])
    found = evidence(of, by, journals.journal(entries, made))
    assert found.phases.windows[0].recovery_end_ns == 25 * S
    assert found.phase.tolist() == [1, 2, 3, 4]
