"""The judgement: one ruling, one exit code, one line, and the same bytes every time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import numpy as np
import pytest

from faults.agent import ClientVanish, ResponseLost
from faults.agent_sessions import SessionFlood
from faults.fault import Fault
from faults.network import TcpLatency, TcpReset
from harness import checks
from harness import judge as judging
from harness.checks import soundness
from harness.errors import Exit
from harness.evidence import summaries
from harness.evidence.phases import Evidence, evidence
from harness.headline import headline
from harness.journal import Calls, EffectEntry, FaultEntry, FloodEntry, HealthEntry, NoteEntry
from harness.judge import judge
from harness.outcome import Effect, Outcome, Reason
from harness.verdict import Finding, Judgement
from tests import journals
from tests.journals import MS, S


def _run(
    *faults: Fault, without: type[object] | None = None, add: Sequence[Any] = (), **options: Any
) -> Evidence:
    limits = options.pop("limits", {})
    of = journals.scenario(*(journals.window(fault) for fault in faults), limits=limits)
    by = journals.plan(of)
    whole = journals.healthy(of, by, **options)
    entries = [e for e in whole.entries if without is None or not isinstance(e, without)]
    return evidence(of, by, journals.journal((*entries, *add), whole.calls))


def _fail_treated(start_s: float, end_s: float) -> journals.Spoil:
    def spoil(made: Calls) -> None:
        some = journals.between(made, start_s, end_s) & (made["treated"] == 1)
        journals.end(made, some, Outcome.HTTP_ERROR, Reason.HTTP_STATUS, status=500, took_ms=5.0)

    return spoil


def _doubled(found: Evidence) -> Evidence:
    """Let the ledger show one treated call of the fault window twice."""
    under = (found.phase == 1) & (found.settled["effect"] == Effect.HAPPENED) & found.treated
    row = found.settled[under][0]
    key = found.plan.nonce(int(row["session"]), int(row["index"]))
    again = EffectEntry(at_ns=int(row["done_ns"]), key=key, tool="append_note")
    whole = journals.journal((*found.journal.entries, again), found.calls)
    return evidence(found.scenario, found.plan, whole)


def _write(judgement: Judgement) -> bytes:
    return json.dumps(asdict(judgement)).encode()


def test_a_good_run_passes_and_says_so_in_a_line() -> None:
    """Ruling, score with its interval, and what was lost."""
    found = judge(_run(TcpLatency(), TcpReset()), name="first_storm")
    assert (found.ruling, found.exit_code) == ("pass", Exit.PASS)
    assert found.headline == (
        "PASS  score 100 (100-100)  first_storm: 2 faults, 4,122 calls, "
        "nothing lost by the server, 400 by the faults alone"
    )
    assert [fault.ruling for fault in found.faults] == ["pass", "pass"]
    assert all(fault.bit and fault.healed for fault in found.faults)
    assert {finding.ruling for finding in found.findings} <= {"pass", "unknown"}
    assert found.latency
    assert found.latency_answered
    assert found.era == "legacy"
    assert found.seed == 7


def test_what_the_faults_cost_is_told_apart_from_what_the_server_lost() -> None:
    """A pass is no claim that nobody lost a call."""
    cut = judge(_run(TcpReset()))
    assert cut.headline.endswith("nothing lost by the server, 400 by the faults alone")
    lost = judge(_run(TcpLatency(), spoil=_fail_treated(13.0, 13.1)))
    assert lost.exit_code == Exit.PASS
    count = lost.calls["http_error"]
    assert 0 < count < 20
    assert f"calls, {count} calls lost by the server" in lost.headline


def test_judging_twice_gives_the_same_bytes() -> None:
    """From evidence that was laid out anew."""
    first = _run(TcpLatency(), spoil=_fail_treated(13.0, 15.0))
    again = _run(TcpLatency(), spoil=_fail_treated(13.0, 15.0))
    assert (
        _write(judge(first, name="x"))
        == _write(judge(again, name="x"))
        == _write(judge(first, name="x"))
    )


def test_evidence_that_is_not_sound_is_unknown_whatever_it_seems_to_show() -> None:
    """A missed limit does not fail a run whose generator nobody watched."""
    limits = {"answered": ">= 99%"}
    spoil = _fail_treated(13.0, 20.0)
    assert judge(_run(TcpLatency(), limits=limits, spoil=spoil)).exit_code == Exit.FAIL
    blind = judge(_run(TcpLatency(), limits=limits, spoil=spoil, without=HealthEntry))
    assert (blind.ruling, blind.exit_code) == ("unknown", Exit.UNKNOWN)
    assert blind.score is None
    assert blind.headline.startswith("UNKNOWN  generator: ")


def test_a_fault_that_did_not_bite_leaves_the_run_unknown() -> None:
    """A fault that hit nothing must not pass."""
    found = judge(_run(TcpLatency(), exposed=0))
    assert (found.ruling, found.exit_code) == ("unknown", Exit.UNKNOWN)
    assert found.faults[0].ruling == "unknown"
    assert not found.faults[0].bit
    assert "fault-bit: 1:tcp-latency: nothing was hit" in found.headline


def test_a_fault_of_which_nothing_could_be_said_has_its_own_reason_told() -> None:
    """Not that of another check which saw nothing either."""
    poured = [
        FloodEntry(at_ns=12 * S, window=1, kind="session_flood", flood=1, edge="began", sent=30),
        FloodEntry(at_ns=13 * S, window=1, kind="session_flood", flood=1, edge="ended", sent=30),
    ]
    found = judge(_run(SessionFlood.model_validate({"rest": "1s"}), add=poured))
    assert found.exit_code == Exit.UNKNOWN
    assert "nothing could be said of 1:session-flood: 0 of 3 floods" in found.headline


def test_a_broken_hard_rule_fails_a_run_that_is_not_sound_too() -> None:
    """One doubled effect needs no statistics."""
    found = judge(_doubled(_run(ResponseLost(), without=HealthEntry)), name="lost_reply")
    assert (found.ruling, found.exit_code) == ("fail", Exit.FAIL)
    assert found.score is None
    assert found.headline.startswith("FAIL  lost_reply: double-exec under 1:response-lost: ")
    assert found.faults[0].findings == ("double-exec",)
    assert found.effects["doubled"] == 1


def test_a_finding_needs_no_steady_baseline() -> None:
    """Replies that are no JSON-RPC stand for themselves; the score and the limits do not."""

    def drown(made: Calls) -> None:
        late = journals.between(made, 6.0, 12.0)
        made["done_ns"][late] += 300 * MS
        journals.end(
            made,
            np.flatnonzero(late)[:5],
            Outcome.PROTOCOL_ERROR,
            Reason.MALFORMED_JSON,
            status=200,
        )

    limits = {"latency_p50": "<= 1ms"}
    found = judge(_run(spoil=drown, limits=limits))
    assert [one.name for one in found.soundness if one.ruling != "pass"] == ["baseline-steady"]
    assert (found.exit_code, found.score) == (Exit.FAIL, None)
    assert found.headline.startswith("FAIL  wrong-answer: 5 of ")
    blind = judge(_run(spoil=drown, limits=limits, without=HealthEntry))
    assert blind.exit_code == Exit.UNKNOWN


def test_a_broken_hard_rule_caps_the_score_of_a_sound_run() -> None:
    """However well all else went."""
    found = judge(_doubled(_run(ResponseLost())))
    assert found.exit_code == Exit.FAIL
    assert found.score is not None
    assert found.score.points == 49.0


def test_no_calls_at_all_never_pass() -> None:
    """Zero samples: unknown, with or without faults."""
    for faults in ((), (TcpLatency(),)):
        of = journals.scenario(*(journals.window(fault) for fault in faults))
        by = journals.plan(of)
        whole = journals.healthy(of, by)
        found = judge(evidence(of, by, journals.journal(whole.entries)))
        assert (found.ruling, found.exit_code) == ("unknown", Exit.UNKNOWN)
        assert found.score is None
    of = journals.scenario(limits={"answered": ">= 1%"})
    assert judge(evidence(of, journals.plan(of), journals.journal())).exit_code == Exit.UNKNOWN


def test_how_the_run_ended_outranks_what_it_found_and_not_healed_outranks_both() -> None:
    """5, then 130, then 4, then the rest."""
    for how, code in (("interrupted", Exit.INTERRUPTED), ("aborted", Exit.ABORTED)):
        found = judge(_doubled(_run(ResponseLost(), how=how)))
        assert (found.ruling, found.exit_code) == ("unknown", code)
        assert found.headline.startswith(code.name)
    stuck = _run(TcpReset(), how="interrupted", without=FaultEntry)
    edges = ("intended", "injected", "healing", "not_healed")
    left = journals.fault_window(stuck.plan, TcpReset(), edges=edges, error="no answer")
    whole = journals.journal((*stuck.journal.entries, *left), stuck.calls)
    found = judge(evidence(stuck.scenario, stuck.plan, whole))
    assert found.exit_code == Exit.NOT_HEALED
    assert found.headline == "NOT HEALED  healed: not proven undone: 1:tcp-reset (no answer)"
    assert not found.faults[0].healed


def test_a_missed_limit_fails_and_is_named() -> None:
    """With what was wanted and what was seen."""
    found = judge(_run(TcpLatency(), limits={"latency_p95": "<= 500ms"}))
    assert (found.ruling, found.exit_code) == ("fail", Exit.FAIL)
    assert "latency_p95 wanted <= 500ms: p95 from due over" in found.headline


def test_an_unsettled_limit_is_unknown() -> None:
    """Nothing failed, and nothing was shown."""
    found = judge(_run(limits={"recovery": "<= 5s"}))
    assert found.exit_code == Exit.UNKNOWN
    assert "recovery wanted <= 5s: there was no fault" in found.headline


def test_a_check_that_breaks_says_so_and_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our defect is not the server's, and not a pass either."""

    def broken_check(_: Evidence) -> tuple[Finding, ...]:
        raise ZeroDivisionError("no calls")

    monkeypatch.setattr(judging, "CHECKS", (broken_check, *judging.CHECKS))
    found = judge(_run(TcpLatency()))
    assert found.exit_code == Exit.UNKNOWN
    first = found.findings[0]
    assert (first.verdict, first.ruling) == ("broken-check", "unknown")
    assert "ZeroDivisionError" in first.why
    assert any(f.verdict == "double-exec" for f in found.findings)
    assert any(one.name == "checks" for one in found.soundness)


def test_every_module_of_checks_is_asked() -> None:
    """A check that is not in the list cannot fail."""
    asked = {check.__module__ for check in judging.CHECKS}
    modules = [
        import_module(f"{checks.__name__}.{one.name}") for one in iter_modules(checks.__path__)
    ]
    there = {module.__name__ for module in modules if hasattr(module, "CHECKS")}
    assert asked == there - {soundness.__name__}


def test_what_the_figures_leave_out_stands_in_the_notes() -> None:
    """Preludes and excused calls are counted, and the run's own notes are passed on."""

    def misbehave(made: Calls) -> None:
        some = np.flatnonzero(journals.between(made, 13.0, 20.0) & (made["treated"] == 1))
        journals.end(made, some[::9], Outcome.TRANSPORT_ERROR, Reason.REPLY_LOST, status=200)

    found = _run(ClientVanish(), spoil=misbehave, add=(NoteEntry(at_ns=S, text="two cores"),))
    prelude = found.calls[(found.phase == 1) & found.treated][:1].copy()
    prelude["attempt"], prelude["last"], prelude["window"] = 0, 0, 1
    made = np.concatenate([found.calls, prelude])
    notes = judge(
        evidence(found.scenario, found.plan, journals.journal(found.journal.entries, made))
    ).notes
    assert notes[0] == "two cores"
    assert notes[1].startswith("latency from due leaves out 1 call that misbehaved")
    assert "neither for nor against the target: " in notes[2]


def test_a_machine_that_became_busier_is_told_and_not_blamed_on_the_server() -> None:
    """The generator waits for the processor: the untouched sessions' slowdown is the machine's."""

    def slow_everybody(made: Calls) -> None:
        made["done_ns"][made["due_ns"] > 12 * S] += 60_000_000

    busy = [
        journals.health(second, cpu_share=0.1, run_delay_share=0.0 if second < 12 else 0.25)
        for second in range(1, 32)
    ]
    excused = judge(_run(TcpLatency(), spoil=slow_everybody, without=HealthEntry, add=busy))
    blamed = judge(_run(TcpLatency(), spoil=slow_everybody))
    assert excused.score is not None
    assert blamed.score is not None
    assert excused.score.components["blast"] == 1.0
    assert blamed.score.components["blast"] == pytest.approx(0.91, abs=0.03)
    assert any("3.5 times busier under 1:tcp-latency" in note for note in excused.notes)
    assert blamed.notes == ()
    # Beside the control arm at the same time, the treated sessions are back and fast enough.
    assert blamed.score.components["recovery"] == 1.0
    assert blamed.score.components["latency"] == 1.0


# --- the counts -----------------------------------------------------------------------------


def test_sessions_add_up() -> None:
    """Opened is survived and reopened and lost, whether someone said so or not."""

    def hang(made: Calls) -> None:
        journals.unsend(made, (made["session"] == 7) & (made["due_ns"] > 20 * S))

    edges = (
        *journals.session(3, ("lost", 15.0), ("reopened", 16.0)),
        *journals.session(5, ("lost", 15.0), ("failed", 16.0)),
        *journals.session(77, ("failed", 1.0)),
    )
    found = summaries.sessions(_run(TcpLatency(), spoil=hang, extra=edges))
    assert found == {"opened": 20, "survived": 17, "reopened": 1, "lost": 2}


def test_effects_are_read_from_the_ledger_and_unknown_without_one() -> None:
    """Absent, doubled and orphaned are three different things."""
    found = _run(TcpReset())
    lost_by_the_cut = summaries.effects(found)
    assert lost_by_the_cut["absent"] == 200
    assert lost_by_the_cut["orphaned"] == lost_by_the_cut["doubled"] == 0
    row = found.settled[(found.settled["effect"] == Effect.UNKNOWN)][0]
    nonce = found.plan.nonce(int(row["session"]), int(row["index"]))
    late = EffectEntry(at_ns=30 * S, key=f"note/{nonce}")
    whole = journals.journal((*found.journal.entries, late), found.calls)
    heard = summaries.effects(evidence(found.scenario, found.plan, whole))
    assert (heard["orphaned"], heard["absent"]) == (1, 199)
    none = summaries.effects(_run(TcpReset(), without=EffectEntry))
    assert (none["unknown"], none["happened"], none["absent"]) == (heard["happened"] + 199, 0, 0)


def test_calls_are_counted_by_outcome_and_tokens_by_session() -> None:
    """All logical calls; a token is four bytes."""
    found = _run(TcpReset())
    assert sum(summaries.calls(found).values()) == len(found.settled) == 2522
    assert summaries.calls(found)["transport_error"] == 400
    made = journals.calls(3, session=[0, 0, 1], index=[0, 1, 0])
    few = evidence(found.scenario, found.plan, journals.journal((), made))
    assert summaries.tokens(few) == {"mean": 262.5, "max": 350.0}
    nothing = evidence(found.scenario, found.plan, journals.journal())
    assert summaries.tokens(nothing) == {"mean": 0.0, "max": 0.0}


def test_a_consequence_does_not_take_the_headline() -> None:
    """The cause comes first, and hard rules before all."""
    findings = (
        Finding(verdict="no-recovery", ruling="fail", fault="1:x", why="c", cause="crash"),
        Finding(verdict="crash", ruling="fail", fault="1:x", why="the process died"),
    )
    shown = headline(
        Exit.FAIL,
        name="",
        score=None,
        faults=(),
        findings=findings,
        limits=(),
        soundness=(),
        sessions={},
        calls={},
        effects={},
        losses={},
    )
    assert shown == "FAIL  crash under 1:x: the process died (and 1 more)"
    hard = replace(findings[0], verdict="double-exec", hard=True, cause="", why="twice, under 1:x")
    shown = headline(
        Exit.FAIL,
        name="",
        score=None,
        faults=(),
        findings=(*findings, hard),
        limits=(),
        soundness=(),
        sessions={},
        calls={},
        effects={},
        losses={},
    )
    assert shown.startswith("FAIL  double-exec under 1:x: twice (and 2 more)")
